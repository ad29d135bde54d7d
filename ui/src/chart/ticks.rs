//! Where the time axis of a plot has its ticks: at round moments.

use crate::clock::Show;
use mangru_store::TimeRange;

const SECOND: i64 = 1_000_000_000;
const STEPS: [i64; 22] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    60 * SECOND,
    120 * SECOND,
    300 * SECOND,
    600 * SECOND,
    900 * SECOND,
    1_800 * SECOND,
    3_600 * SECOND,
    7_200 * SECOND,
    10_800 * SECOND,
    21_600 * SECOND,
    43_200 * SECOND,
    86_400 * SECOND,
    2 * 86_400 * SECOND,
    7 * 86_400 * SECOND,
    14 * 86_400 * SECOND,
    30 * 86_400 * SECOND,
];

/// The round moments within a range, at most `most`, and how they are shown.
pub(crate) fn moments(range: TimeRange, most: i64) -> (Vec<i64>, Show) {
    let span = range.end.saturating_sub(range.start).max(1);
    let longest = STEPS[STEPS.len() - 1];
    let step = STEPS
        .into_iter()
        .find(|step| span / step <= most)
        .unwrap_or_else(|| (span / most.max(1) / longest + 1).saturating_mul(longest));
    let show = match step {
        s if s < 60 * SECOND => Show::Clock,
        s if s < 86_400 * SECOND => Show::HourMinute,
        _ => Show::Day,
    };
    let first = range.start.div_euclid(step).saturating_add(1).saturating_mul(step);
    let moments = (0..=most).map(|n| first.saturating_add(step.saturating_mul(n)));
    // A label at the very edge would be cut.
    let edge = span / 50;
    (moments.filter(|at| *at > range.start + edge && *at < range.end - edge).collect(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_at_round_moments_inside_the_range() {
        let start = 1_700_000_000 * SECOND;
        let (ticks, show) = moments(TimeRange { start, end: start + 900 * SECOND }, 8);
        assert_eq!(show, Show::HourMinute);
        assert!((4..=8).contains(&ticks.len()) && ticks.iter().all(|at| at % (120 * SECOND) == 0), "{ticks:?}");
        let (ticks, show) = moments(TimeRange { start, end: start + 30 * 86_400 * SECOND }, 8);
        assert!(show == Show::Day && ticks.len() <= 8, "{ticks:?}");
        let (ticks, _) = moments(TimeRange { start: i64::MIN / 2, end: i64::MAX / 2 }, 8);
        assert!(ticks.len() <= 9);
        let (ticks, _) = moments(TimeRange { start, end: start + 1 }, 8);
        assert!(ticks.len() <= 8);
    }
}
