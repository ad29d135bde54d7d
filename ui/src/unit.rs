//! Units of values on charts: how a number is written, and which steps an axis takes. Shared by the pages and the islands.

use crate::format;
use serde::{Deserialize, Serialize};

/// What a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Just a number.
    #[default]
    None,
    /// `ns`
    Nanoseconds,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// Bytes, told in KiB, MiB …
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// 0 to 100.
    Percent,
    /// 0 to 1, told in percent.
    Ratio,
    /// Events per second.
    PerSecond,
}

impl Unit {
    /// A value as people read it.
    pub(crate) fn text(self, value: f64) -> String {
        if !value.is_finite() {
            return if value.is_nan() { "–".to_owned() } else { value.to_string() };
        }
        match self {
            Self::None => format::short(value),
            Self::PerSecond => format!("{}/s", format::short(value)),
            Self::Percent => format::percent(value / 100.0),
            Self::Ratio => format::percent(value),
            Self::Bytes => format::size(value),
            Self::BytesPerSecond => format!("{}/s", format::size(value)),
            Self::Nanoseconds | Self::Milliseconds | Self::Seconds => duration(value * self.nanoseconds()),
        }
    }

    /// The number at a tick, as short as it can be.
    pub(crate) fn tick(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let text = self.text(value);
        match text.split_once(' ') {
            Some((number, unit)) if number.contains('.') => {
                format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        }
    }

    /// The values at which an axis from `low` to `high` has its ticks: round ones, the first at or below `low`, the last at
    /// or above `high`, about `wanted` of them.
    pub(crate) fn ticks(self, low: f64, high: f64, wanted: usize) -> Vec<f64> {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high { (low, high) } else { (0.0, 1.0) };
        let span = if high - low > 0.0 { high - low } else { high.abs().max(1.0) };
        let high = if high > low { high } else { low + span };
        let step = self.step(span / wanted.max(1) as f64);
        let first = (low / step + 1e-9).floor();
        let last = ((high / step - 1e-9).ceil()).max(first + 1.0);
        let count = ((last - first) as usize).min(50);
        (0..=count).map(|n| (first + n as f64) * step).collect()
    }

    /// The nanoseconds in one of a unit of time.
    const fn nanoseconds(self) -> f64 {
        match self {
            Self::Milliseconds => 1e6,
            Self::Seconds => 1e9,
            _ => 1.0,
        }
    }

    /// A round number at least as large.
    fn step(self, wanted: f64) -> f64 {
        match self {
            Self::Bytes | Self::BytesPerSecond if wanted >= 1.0 => round_size(wanted),
            Self::Nanoseconds | Self::Milliseconds | Self::Seconds => {
                let one = self.nanoseconds();
                round_time(wanted * one) / one
            }
            _ => decimal(wanted),
        }
    }
}

/// Round lengths of time in nanoseconds, from a second on: these are told in sixties.
const ROUND_TIMES: [f64; 18] = [
    1e9, 2e9, 5e9, 10e9, 15e9, 30e9, 60e9, 120e9, 300e9, 600e9, 900e9, 1800e9, 3600e9, 7200e9, 14_400e9, 21_600e9,
    43_200e9, 86_400e9,
];

fn round_time(wanted: f64) -> f64 {
    if wanted <= 5e8 {
        return decimal(wanted).max(1.0);
    }
    let days = || (wanted / 86_400e9).ceil() * 86_400e9;
    ROUND_TIMES.into_iter().find(|step| *step >= wanted).unwrap_or_else(days)
}

fn round_size(wanted: f64) -> f64 {
    let power = 1024_f64.powf((wanted.log2() / 10.0).floor());
    (0..=10).map(|n| f64::from(1 << n) * power).find(|step| *step >= wanted * (1.0 - 1e-9)).unwrap_or(wanted)
}

fn decimal(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= wanted * (1.0 - 1e-9))
        .unwrap_or(wanted)
}

/// A length of time of nanoseconds.
fn duration(ns: f64) -> String {
    if ns == 0.0 {
        "0 s".to_owned()
    } else if ns > 0.0 && ns < 1.0 {
        "< 1 ns".to_owned()
    } else {
        format::duration(ns as i64)
    }
}

/// A number with four digits that count, so that a page does not carry more than can be seen.
#[cfg(feature = "ssr")]
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let power = 10_f64.powf(3.0 - value.abs().log10().floor());
    let rounded = (value * power).round() / power;
    // The very smallest numbers have no such power.
    if rounded.is_finite() { rounded } else { value }
}

// What the browser does not need.
#[cfg(feature = "ssr")]
impl Unit {
    /// Every unit with its name in dashboards.
    pub(crate) const ALL: [(&'static str, Self); 9] = [
        ("none", Self::None),
        ("ns", Self::Nanoseconds),
        ("ms", Self::Milliseconds),
        ("s", Self::Seconds),
        ("bytes", Self::Bytes),
        ("bytes_per_second", Self::BytesPerSecond),
        ("percent", Self::Percent),
        ("ratio", Self::Ratio),
        ("per_second", Self::PerSecond),
    ];

    /// The unit of a name in dashboards.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, unit)| unit)
    }

    /// The unit that UCUM writes so.
    pub(crate) fn of_ucum(ucum: &str) -> Self {
        match ucum {
            "ns" => Self::Nanoseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "By" => Self::Bytes,
            "By/s" => Self::BytesPerSecond,
            "%" => Self::Percent,
            text if text.ends_with("/s") => Self::PerSecond,
            _ => Self::None,
        }
    }

    /// The unit that a query of PromQL most likely gives, by the words of its names.
    pub(crate) fn of_promql(query: &str) -> Self {
        let is_rate = ["rate(", "irate(", "deriv("].iter().any(|call| query.contains(call));
        let has = |word: &str| query.contains(word);
        if has("histogram_quantile") || has("_seconds_sum") && has("_seconds_count") {
            return if has("_seconds") {
                Self::Seconds
            } else if has("_milliseconds") {
                Self::Milliseconds
            } else if has("_bytes") {
                Self::Bytes
            } else {
                Self::None
            };
        }
        if has("/") && has("_total") && query.matches("rate(").count() > 1 {
            return Self::Ratio;
        }
        match (is_rate, has("_bytes"), has("_ratio")) {
            (true, true, _) => Self::BytesPerSecond,
            (true, false, _) if has("_seconds_total") => Self::Ratio,
            (true, ..) => Self::PerSecond,
            (_, true, _) => Self::Bytes,
            (_, _, true) => Self::Ratio,
            _ if has("_seconds") && !has("_count") && !has("_bucket") => Self::Seconds,
            _ if has("_percent") => Self::Percent,
            _ => Self::None,
        }
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(Unit::None.ticks(0.0, 97.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Unit::None.ticks(-3.0, 4.0, 4), [-4.0, -2.0, 0.0, 2.0, 4.0]);
        assert_eq!(Unit::Bytes.ticks(0.0, 3000.0, 4), [0.0, 1024.0, 2048.0, 3072.0]);
        assert_eq!(Unit::Seconds.ticks(0.0, 170.0, 4), [0.0, 60.0, 120.0, 180.0]);
        assert_eq!(Unit::None.ticks(0.0, 0.0, 4).len(), 5);
        let around_five = Unit::None.ticks(5.0, 5.0, 4);
        assert!(around_five[0] <= 5.0 && around_five[around_five.len() - 1] > 5.0, "{around_five:?}");
        assert_eq!(Unit::None.ticks(f64::NAN, 1.0, 2), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn values_are_told_in_their_unit() {
        assert_eq!(Unit::Seconds.text(0.25), "250 ms");
        assert_eq!(Unit::Seconds.text(90.0), "1 m 30 s");
        assert_eq!(Unit::Seconds.text(0.0), "0 s");
        assert_eq!(Unit::Seconds.text(2e-10), "< 1 ns");
        assert_eq!(Unit::Ratio.text(0.125), "12.5 %");
        assert_eq!(Unit::Bytes.text(1536.0), "1.5 KiB");
        assert_eq!(Unit::PerSecond.text(12.0), "12/s");
        assert_eq!(Unit::BytesPerSecond.text(-0.5), "-0.5 B/s");
        assert_eq!(Unit::Ratio.text(-0.125), "-12.5 %");
        assert_eq!(Unit::None.text(f64::NAN), "–");
    }

    #[test]
    fn ticks_are_as_short_as_they_can_be_and_reach_the_top() {
        let shown =
            |unit: Unit, top: f64| unit.ticks(0.0, top, 4).into_iter().map(|tick| unit.tick(tick)).collect::<Vec<_>>();
        assert_eq!(shown(Unit::Nanoseconds, 1.7e9), ["0", "500 ms", "1 s", "1.5 s", "2 s"]);
        assert_eq!(shown(Unit::Seconds, 100.0), ["0", "30 s", "1 m 00 s", "1 m 30 s", "2 m 00 s"]);
        assert_eq!(shown(Unit::Milliseconds, 8_000.0), ["0", "2 s", "4 s", "6 s", "8 s"]);
        assert_eq!(shown(Unit::Ratio, 0.07), ["0", "2 %", "4 %", "6 %", "8 %"]);
        assert_eq!(shown(Unit::PerSecond, 34.0), ["0", "10/s", "20/s", "30/s", "40/s"]);
        assert_eq!(shown(Unit::Bytes, 3.0 * 1024.0 * 1024.0), ["0", "1 MiB", "2 MiB", "3 MiB"]);
        assert_eq!(shown(Unit::Nanoseconds, 1.0), ["0", "1 ns"]);
        for top in [0.0, 1e-9, 1e9, 1e18] {
            for (name, unit) in Unit::ALL {
                let ticks = unit.ticks(0.0, top, 5);
                assert!(ticks.len() >= 2 && ticks.len() < 12, "{name} up to {top}: {ticks:?}");
                assert!(ticks[ticks.len() - 1] >= top * (1.0 - 1e-9), "{name} up to {top}: {ticks:?}");
            }
        }
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert!((rounded(0.123_456) - 0.1235).abs() < 1e-12);
        assert!((rounded(-123_456.0) + 123_500.0).abs() < 1e-6);
        assert!(rounded(f64::MIN_POSITIVE).is_finite());
    }

    #[test]
    fn the_unit_of_a_query_is_guessed_by_its_names() {
        assert_eq!(Unit::of_promql("histogram_quantile(0.95, rate(http_duration_seconds_bucket[5m]))"), Unit::Seconds);
        assert_eq!(Unit::of_promql("rate(requests_total[5m])"), Unit::PerSecond);
        assert_eq!(Unit::of_promql("process_memory_usage_bytes"), Unit::Bytes);
        assert_eq!(Unit::of_promql("up"), Unit::None);
    }
}
