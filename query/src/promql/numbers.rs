//! Sums, means and the like of some numbers, exact as far as numbers are.

/// A sum that loses hardly anything to rounding (A. Neumaier, 1974).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(super) sum: f64,
    /// What the roundings took from it.
    pub(super) lost: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        // Both are computed: that is cheaper than to guess which one is needed.
        let (larger, smaller) = ((self.sum - total) + value, (value - total) + self.sum);
        let rest = if self.sum.abs() >= value.abs() { larger } else { smaller };
        self.lost = if total.is_infinite() { 0.0 } else { self.lost + rest };
        self.sum = total;
    }

    /// Adds all that another has.
    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.add(other.lost);
    }

    pub(crate) fn get(self) -> f64 {
        self.sum + self.lost
    }
}

/// The sum of some values.
pub(crate) fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sum = Sum::default();
    values.into_iter().for_each(|value| sum.add(value));
    sum.get()
}

/// The mean; of values whose sum is too large step by step.
pub(crate) fn mean(values: &[f64]) -> f64 {
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
pub(crate) fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Sum::default(), Sum::default());
    for (place, value) in values.iter().enumerate() {
        let delta = value - mean.get();
        mean.add(delta / (place as f64 + 1.0));
        squares.add(delta * (value - mean.get()));
    }
    squares.get() / values.len() as f64
}

/// The quantile of some values, between two when it lies between them.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
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
pub(crate) fn order(left: &f64, right: &f64) -> std::cmp::Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The order by value, NaN last whichever way.
pub(crate) fn by_value(left: f64, right: f64, falling: bool) -> std::cmp::Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) if falling => order(&right, &left),
        (false, false) => order(&left, &right),
        (left, right) => left.cmp(&right),
    }
}

/// The smallest number; NaN only when there is nothing else.
pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, |least, value| if least.is_nan() || value < least { value } else { least })
}

/// The largest number; NaN only when there is nothing else.
pub(crate) fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, |most, value| if most.is_nan() || value > most { value } else { most })
}
