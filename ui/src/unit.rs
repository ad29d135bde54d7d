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
        let sign = if value < 0.0 { "-" } else { "" };
        match self {
            Self::None => format::short(value),
            Self::PerSecond => format!("{} /s", format::short(value)),
            Self::Percent => percent(value),
            Self::Ratio => percent(value * 100.0),
            Self::Bytes => format!("{sign}{}", bytes(value.abs())),
            Self::BytesPerSecond => format!("{sign}{}/s", bytes(value.abs())),
            Self::Nanoseconds => duration(value),
            Self::Milliseconds => duration(value * 1e6),
            Self::Seconds => duration(value * 1e9),
        }
    }
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

    /// The steps between ticks that read well, smallest first, within one power of the unit's base.
    fn steps(self, rough: f64) -> f64 {
        let by_base = |base: f64| {
            let power = base.powf(rough.log(base).floor());
            let steps: &[f64] = if base > 100.0 {
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0]
            } else {
                &[1.0, 2.0, 2.5, 5.0, 10.0]
            };
            steps.iter().map(|step| step * power).find(|step| *step >= rough * 0.999_999).unwrap_or(rough)
        };
        let per_second = match self {
            Self::Nanoseconds => Some(1e9),
            Self::Milliseconds => Some(1e3),
            Self::Seconds => Some(1.0),
            _ => None,
        };
        match (self, per_second) {
            (Self::Bytes | Self::BytesPerSecond, _) if rough >= 1.0 => by_base(1024.0),
            // From a minute on, time is told in sixties.
            (_, Some(second)) if rough > 20.0 * second => {
                [30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0]
                    .into_iter()
                    .map(|step| step * second)
                    .find(|step| *step >= rough)
                    .unwrap_or_else(|| by_base(10.0))
            }
            _ => by_base(10.0),
        }
    }

    /// The values at which an axis from `low` to `high` has its ticks: round ones, the first at or below `low`, the last at
    /// or above `high`, about `wanted` of them.
    pub(crate) fn ticks(self, low: f64, high: f64, wanted: usize) -> Vec<f64> {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high { (low, high) } else { (0.0, 1.0) };
        let span = if high - low > 0.0 { high - low } else { high.abs().max(1.0) };
        let high = if high > low { high } else { low + span };
        let step = self.steps(span / wanted.max(1) as f64);
        let first = (low / step + 1e-9).floor();
        let last = ((high / step - 1e-9).ceil()).max(first + 1.0);
        let count = ((last - first) as usize).min(50);
        (0..=count).map(|n| (first + n as f64) * step).collect()
    }
}

fn percent(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.01 => format!("{value:.4}"),
        size if size < 1.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

fn bytes(value: f64) -> String {
    let (mut scaled, mut unit) = (value, 0);
    while scaled >= 1024.0 && unit < 4 {
        scaled /= 1024.0;
        unit += 1;
    }
    let text = if scaled < 10.0 && scaled.fract() > 0.0 { format!("{scaled:.1}") } else { format!("{scaled:.0}") };
    format!("{text} {}", ["B", "KiB", "MiB", "GiB", "TiB"][unit])
}

/// A duration in its fitting unit, without needless zeros.
fn duration(ns: f64) -> String {
    let size = ns.abs();
    let trimmed = |value: f64, unit: &str| {
        let text = match value.abs() {
            size if size < 10.0 => format!("{value:.2}"),
            size if size < 100.0 => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        };
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        format!("{text} {unit}")
    };
    match size {
        0.0 => "0 s".to_owned(),
        s if s < 1e3 => trimmed(ns, "ns"),
        s if s < 1e6 => trimmed(ns / 1e3, "µs"),
        s if s < 1e9 => trimmed(ns / 1e6, "ms"),
        s if s < 60e9 => trimmed(ns / 1e9, "s"),
        s if s < 3_600e9 => trimmed(ns / 60e9, "min"),
        s if s < 86_400e9 => trimmed(ns / 3_600e9, "h"),
        _ => trimmed(ns / 86_400e9, "d"),
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
        assert_eq!(Unit::Seconds.text(90.0), "1.5 min");
        assert_eq!(Unit::Ratio.text(0.125), "12.5 %");
        assert_eq!(Unit::Bytes.text(1536.0), "1.5 KiB");
        assert_eq!(Unit::PerSecond.text(12.0), "12 /s");
        assert_eq!(Unit::None.text(f64::NAN), "–");
    }

    #[test]
    fn the_unit_of_a_query_is_guessed_by_its_names() {
        assert_eq!(Unit::of_promql("histogram_quantile(0.95, rate(http_duration_seconds_bucket[5m]))"), Unit::Seconds);
        assert_eq!(Unit::of_promql("rate(requests_total[5m])"), Unit::PerSecond);
        assert_eq!(Unit::of_promql("process_memory_usage_bytes"), Unit::Bytes);
        assert_eq!(Unit::of_promql("up"), Unit::None);
    }
}
