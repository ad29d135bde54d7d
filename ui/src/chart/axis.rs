//! Ranges in words, and the round ends of axes.

use crate::clock;
use crate::text::trf;
use mangru_store::TimeRange;

/// The range in words, for summaries read aloud.
pub(crate) fn spoken(range: TimeRange) -> String {
    let moment = |ns: i64| clock::text(ns, clock::Show::Full);
    trf("from {0} to {1} UTC", &[&moment(range.start), &moment(range.end)])
}

/// A round number at or above the value.
pub(crate) fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_an_axis_is_round() {
        assert!((round_up(7.0) - 8.0).abs() < 1e-9);
        assert!((round_up(130.0) - 150.0).abs() < 1e-9);
        assert!((round_up(0.035) - 0.04).abs() < 1e-9);
        assert!((round_up(0.0) - 1.0).abs() < 1e-9);
    }
}
