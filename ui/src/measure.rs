//! What a number on a chart is: its ticks, and how it is written. Shared by the pages and the islands.

use crate::format;

/// What a number counts or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Measure {
    /// Things.
    Count,
    /// Things per second.
    Rate,
    /// A share of one.
    Share,
    /// Nanoseconds.
    Nanoseconds,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    ByteRate,
}

/// Round lengths of time in nanoseconds, from a microsecond's to a month's.
const ROUND_TIMES: [f64; 16] =
    [1e9, 2e9, 5e9, 10e9, 15e9, 30e9, 60e9, 120e9, 300e9, 600e9, 1800e9, 3600e9, 7200e9, 21_600e9, 43_200e9, 86_400e9];

impl Measure {
    /// The number as people read it.
    pub(crate) fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        match self {
            Self::Count => format::short(value),
            Self::Rate => format!("{}/s", format::short(value)),
            Self::Share => format::percent(value),
            Self::Nanoseconds if value > 0.0 && value < 1.0 => "< 1 ns".to_owned(),
            Self::Nanoseconds => format::duration(value as i64),
            Self::Seconds => format::duration((value * 1e9) as i64),
            Self::Bytes => format::bytes(value.max(0.0) as u64),
            Self::ByteRate => format!("{}/s", format::bytes(value.max(0.0) as u64)),
        }
    }

    /// The number at a tick, as short as it can be.
    pub(crate) fn tick(self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let text = self.show(value);
        match text.split_once(' ') {
            Some((number, unit)) if number.contains('.') => {
                format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        }
    }

    /// Round numbers from 0 to at least `top`, about `wanted` of them; the last is the end of the axis.
    pub(crate) fn ticks(self, top: f64, wanted: usize) -> Vec<f64> {
        let top = if top.is_finite() && top > 0.0 { top } else { 1.0 };
        let step = self.step(top / wanted.max(1) as f64);
        let count = (top / step - 1e-9).ceil().max(1.0) as usize;
        (0..=count).map(|n| n as f64 * step).collect()
    }

    /// A round number at least as large.
    fn step(self, wanted: f64) -> f64 {
        match self {
            Self::Bytes | Self::ByteRate if wanted > 1.0 => {
                let power = 2_f64.powf(10.0 * (wanted.log2() / 10.0).floor());
                let round = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 256.0, 512.0];
                round.into_iter().map(|step| step * power).find(|step| *step >= wanted).unwrap_or(power * 1024.0)
            }
            Self::Nanoseconds if wanted > 5e8 => round_time(wanted),
            Self::Seconds if wanted > 0.5 => round_time(wanted * 1e9) / 1e9,
            Self::Nanoseconds => decimal(wanted).max(1.0),
            Self::Count if wanted < 1.0 => 1.0,
            _ => decimal(wanted),
        }
    }
}

fn round_time(wanted: f64) -> f64 {
    let days = || (wanted / 86_400e9).ceil() * 86_400e9;
    ROUND_TIMES.into_iter().find(|step| *step >= wanted).unwrap_or_else(days)
}

fn decimal(wanted: f64) -> f64 {
    let power = 10_f64.powf(wanted.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= wanted * (1.0 - 1e-9))
        .unwrap_or(wanted)
}

/// A number with four digits that count, so that a page does not carry more than can be seen.
#[cfg(feature = "ssr")]
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let power = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * power).round() / power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_in_the_unit_and_reach_the_top() {
        let shown =
            |unit: Measure, top: f64| unit.ticks(top, 4).into_iter().map(|tick| unit.tick(tick)).collect::<Vec<_>>();
        assert_eq!(shown(Measure::Nanoseconds, 1.7e9), ["0", "500 ms", "1 s", "1.5 s", "2 s"]);
        assert_eq!(shown(Measure::Seconds, 100.0), ["0", "30 s", "1 m 00 s", "1 m 30 s", "2 m 00 s"]);
        assert_eq!(shown(Measure::Share, 0.07), ["0", "2 %", "4 %", "6 %", "8 %"]);
        assert_eq!(shown(Measure::Rate, 34.0), ["0", "10/s", "20/s", "30/s", "40/s"]);
        assert_eq!(shown(Measure::Bytes, 3.0 * 1024.0 * 1024.0), ["0", "1 MiB", "2 MiB", "3 MiB"]);
        assert_eq!(shown(Measure::Count, 2.0), ["0", "1", "2"]);
        for top in [0.0, -3.0, f64::NAN, f64::INFINITY, 1e-9, 1e18] {
            for unit in
                [Measure::Count, Measure::Rate, Measure::Share, Measure::Nanoseconds, Measure::Seconds, Measure::Bytes]
            {
                let ticks = unit.ticks(top, 5);
                assert!(ticks.len() >= 2 && ticks.len() < 12, "{unit:?} up to {top}: {ticks:?}");
                assert!(!top.is_finite() || ticks.last().copied().unwrap_or(0.0) >= top * (1.0 - 1e-9));
            }
        }
    }

    #[cfg(feature = "ssr")]
    #[test]
    fn numbers_keep_four_digits() {
        assert!((rounded(0.123_456) - 0.1235).abs() < 1e-12);
        assert!((rounded(-123_456.0) + 123_500.0).abs() < 1e-6);
    }
}
