//! A sketch of numbers from which any percentile can be read: `DDSketch` (C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and
//! Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019), with buckets for negative numbers.

use hashbrown::HashMap;

/// How far a percentile may be from the exact one, as a part of it.
pub(super) const RELATIVE_ERROR: f64 = 0.005;
/// Numbers nearer to zero count as zero.
const SMALLEST: f64 = 1e-12;

/// A count for each bucket of numbers, whose bounds grow by the same factor.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    positive: HashMap<i32, u64>,
    negative: HashMap<i32, u64>,
    zero: u64,
    count: u64,
    sum: f64,
    range: Option<(f64, f64)>,
}

/// The logarithm of the factor between bounds.
fn log_gamma() -> f64 {
    ((1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)).ln()
}

fn bucket(number: f64) -> i32 {
    (number.ln() / log_gamma()).ceil() as i32
}

/// The number that a bucket stands for: no further than the error from any number in it.
fn representative(bucket: i32) -> f64 {
    let gamma = log_gamma().exp();
    2.0 * (f64::from(bucket) * log_gamma()).exp() / (gamma + 1.0)
}

impl Sketch {
    /// Takes a finite number.
    pub(super) fn add(&mut self, number: f64) {
        self.count += 1;
        self.sum += number;
        self.range = Some(self.range.map_or((number, number), |(min, max)| (min.min(number), max.max(number))));
        if number > SMALLEST {
            *self.positive.entry(bucket(number)).or_default() += 1;
        } else if number < -SMALLEST {
            *self.negative.entry(bucket(-number)).or_default() += 1;
        } else {
            self.zero += 1;
        }
    }

    /// Takes all that another has.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.zero += other.zero;
        self.range = match (self.range, other.range) {
            (Some((min, max)), Some((low, high))) => Some((min.min(low), max.max(high))),
            (mine, theirs) => mine.or(theirs),
        };
        for (mine, theirs) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (bucket, count) in theirs {
                *mine.entry(*bucket).or_default() += count;
            }
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) const fn sum(&self) -> f64 {
        self.sum
    }

    pub(super) fn min(&self) -> Option<f64> {
        self.range.map(|(min, _)| min)
    }

    pub(super) fn max(&self) -> Option<f64> {
        self.range.map(|(_, max)| max)
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * 24
    }

    /// The number that so many of 100 do not exceed (nearest rank), within the error; none without numbers.
    pub(super) fn percentile(&self, percent: f64) -> Option<f64> {
        let (min, max) = self.range?;
        let rank = ((percent / 100.0 * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let mut reached = |count: u64| {
            seen += count;
            seen >= rank
        };
        let mut negative: Vec<_> = self.negative.iter().collect();
        negative.sort_unstable_by_key(|(bucket, _)| std::cmp::Reverse(**bucket));
        for (bucket, count) in negative {
            if reached(*count) {
                return Some((-representative(*bucket)).clamp(min, max));
            }
        }
        if reached(self.zero) {
            return Some(0.0_f64.clamp(min, max));
        }
        let mut positive: Vec<_> = self.positive.iter().collect();
        positive.sort_unstable_by_key(|(bucket, _)| **bucket);
        for (bucket, count) in positive {
            if reached(*count) {
                return Some(representative(*bucket).clamp(min, max));
            }
        }
        Some(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn percentiles_are_within_the_error_however_numbers_are_split(
            numbers in proptest::collection::vec(prop_oneof![-1e9..1e9_f64, 0.0..1.0_f64, Just(0.0), 1e9..1e15_f64], 1..300),
            split in 0..300_usize,
            percent in 0.0..100.0_f64,
        ) {
            let (mut sketch, mut other) = (Sketch::default(), Sketch::default());
            for (place, number) in numbers.iter().enumerate() {
                if place < split { sketch.add(*number) } else { other.add(*number) }
            }
            sketch.merge(&other);
            let mut sorted = numbers.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = ((percent / 100.0 * numbers.len() as f64).ceil() as usize).max(1) - 1;
            let found = sketch.percentile(percent).expect("numbers");
            prop_assert!((found - sorted[rank]).abs() <= RELATIVE_ERROR * 1.000_001 * sorted[rank].abs() + SMALLEST);
            prop_assert_eq!(sketch.count(), numbers.len() as u64);
            prop_assert_eq!(sketch.min(), sorted.first().copied());
            prop_assert_eq!(sketch.max(), sorted.last().copied());
        }
    }

    #[test]
    fn without_numbers_there_is_no_percentile() {
        assert_eq!(Sketch::default().percentile(50.0), None);
        assert_eq!(Sketch::default().mean(), None);
    }
}
