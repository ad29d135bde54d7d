//! The axis of the values.

use super::{Plot, Style};

/// From where to where it goes, and its round values.
pub(super) struct Axis {
    pub(super) ticks: Vec<f64>,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Axis {
    /// The axis that holds all values; none when there are none. `tops` is what lies on top of a stack.
    pub(super) fn new(plot: &Plot<'_>, tops: &[Vec<f64>]) -> Option<Self> {
        let values = || plot.series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
        let stacked = || tops.iter().flatten().copied();
        let dots = || plot.dots.iter().map(|dot| dot.value);
        let lines = || plot.thresholds.iter().map(|line| line.value);
        let finite = || values().chain(stacked()).filter(|value| value.is_finite());
        if !values().chain(dots()).any(f64::is_finite) {
            return None;
        }
        // A far threshold or exemplar does not flatten the values.
        let top = finite().fold(f64::NEG_INFINITY, f64::max);
        let near = |value: &f64| value.is_finite() && (top == 0.0 || *value <= top.abs() * 4.0);
        let high = dots().chain(lines()).filter(near).fold(top, f64::max);
        let lowest = finite().chain(dots()).filter(|value| value.is_finite()).fold(f64::INFINITY, f64::min);
        // Zero is in sight, but where values move little far away from it.
        let is_far = plot.style == Style::Line && !plot.has_zero && lowest > 0.0 && lowest > (high - lowest) * 4.0;
        let low = if is_far { lowest } else { lowest.min(0.0) };
        let ticks = plot.unit.ticks(low, high.max(low), plot.size.value_ticks());
        let (low, high) = (*ticks.first()?, *ticks.last()?);
        Some(Self { ticks, low, high })
    }

    /// From the top, 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let height = self.high - self.low;
        if height <= 0.0 { 1.0 } else { (1.0 - (value - self.low) / height).clamp(-0.02, 1.02) }
    }
}
