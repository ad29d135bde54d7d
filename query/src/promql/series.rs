//! Values over the steps of a query, and the samples they come from.

use super::labels::Labels;
use std::borrow::Cow;

/// Where a series has no value; the same bits as Prometheus' marker of a series that has ended.
pub(super) const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether there is no value.
pub(super) const fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// The moments at which a query is evaluated, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Grid {
    /// All moments from `start` to `end`, `end` included when a step falls on it.
    pub(super) fn new(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { (end.saturating_sub(start) / step.max(1)) as usize + 1 };
        Self { start, step, count }
    }

    pub(super) fn time(&self, place: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(place as i64))
    }

    pub(super) fn end(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |place| self.time(place))
    }
}

/// A series at each step.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
}

impl Series {
    /// Whether it has a value at any step.
    pub(super) fn has_any(&self) -> bool {
        self.values.iter().any(|value| !is_absent(*value))
    }

    /// The same with every value changed.
    pub(super) fn map(mut self, change: impl Fn(usize, f64) -> f64) -> Self {
        for (place, value) in self.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = change(place, *value);
            }
        }
        self
    }
}

/// Samples of one series by time.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    pub(super) labels: Labels,
    /// Milliseconds since the Unix epoch, rising.
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
}

impl Samples {
    /// Without what says that the series has ended.
    pub(super) fn present(&self) -> Cow<'_, Self> {
        if !self.values.iter().any(|value| is_absent(*value)) {
            return Cow::Borrowed(self);
        }
        let pairs = self.times.iter().copied().zip(self.values.iter().copied());
        let (times, values) = pairs.filter(|(_, value)| !is_absent(*value)).unzip();
        Cow::Owned(Self { labels: self.labels.clone(), times, values })
    }
}

/// What an expression gives.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
    Text(String),
}

/// A sum that loses hardly anything to rounding (A. Neumaier, 1974).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    pub(super) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    pub(super) fn get(self) -> f64 {
        self.sum + self.lost
    }
}

/// The sum of some values.
pub(super) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.into_iter().for_each(|value| sum.add(value));
    sum.get()
}

/// The mean; of values whose sum is too large step by step.
pub(super) fn mean(values: &[f64]) -> f64 {
    let total = sum(values.iter().copied());
    if total.is_finite() || values.iter().any(|value| !value.is_finite()) {
        return total / values.len() as f64;
    }
    let mut mean = 0.0;
    for (place, value) in values.iter().enumerate() {
        mean += (value - mean) / (place as f64 + 1.0);
    }
    mean
}

/// The variance of all values, as of a whole population (B. P. Welford, 1962).
pub(super) fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (place, value) in values.iter().enumerate() {
        let delta = value - mean.get();
        mean.add(delta / (place as f64 + 1.0));
        squares.add(delta * (value - mean.get()));
    }
    squares.get() / values.len() as f64
}

/// The quantile of some values, between two when it lies between them.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(order);
    let rank = q * (values.len() as f64 - 1.0);
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// The order of numbers with NaN before all others.
#[allow(clippy::trivially_copy_pass_by_ref)] // is given to `sort_by`
pub(super) fn order(left: &f64, right: &f64) -> std::cmp::Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The order by value, NaN last whichever way.
pub(super) fn by_value(left: f64, right: f64, falling: bool) -> std::cmp::Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) if falling => order(&right, &left),
        (false, false) => order(&left, &right),
        (left, right) => left.cmp(&right),
    }
}

/// The smallest number; NaN only when there is nothing else.
pub(super) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, |least, value| if least.is_nan() || value < least { value } else { least })
}

/// The largest number; NaN only when there is nothing else.
pub(super) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, |most, value| if most.is_nan() || value > most { value } else { most })
}
