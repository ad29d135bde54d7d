//! Native histograms: sparse buckets whose bounds grow by a constant factor
//! (<https://prometheus.io/docs/specs/native_histograms/>).
//!
//! Bucket `i` of schema `s` lies behind `base^(i-1)` up to `base^i`, where `base` is `2^(2^-s)`; those of negative values mirror them; what is
//! as small as the zero threshold is in a bucket of its own.

use super::number_text;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;

/// The finest schema; finer ones are made coarser when they are read, as Prometheus does.
const FINEST: i32 = 8;

/// Buckets of one sign, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Buckets {
    /// The number of the first one.
    first: i32,
    counts: Vec<f64>,
}

/// A native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Native {
    schema: i32,
    zero_threshold: f64,
    zero_count: f64,
    pub(super) count: f64,
    pub(super) sum: f64,
    positive: Buckets,
    negative: Buckets,
    /// Whether its numbers may fall without having begun anew.
    pub(super) is_gauge: bool,
}

/// A bucket with its bounds.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    lower: f64,
    upper: f64,
    count: f64,
}

/// The upper bound of a bucket.
fn bound(index: i32, schema: i32) -> f64 {
    if schema <= 0 {
        return (f64::from(index) * f64::from(-schema).exp2()).exp2();
    }
    // The part within a power of two alone is rounded.
    let parts = 1_i32 << schema;
    let within = f64::from(index.rem_euclid(parts)) / f64::from(parts);
    within.exp2() * f64::from(index.div_euclid(parts)).exp2()
}

impl Buckets {
    pub(super) fn new(first: i32, counts: Vec<f64>) -> Self {
        Self { first, counts }
    }

    fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0.0)
    }

    fn get(&self, index: i32) -> f64 {
        let place = i64::from(index) - i64::from(self.first);
        usize::try_from(place).ok().and_then(|place| self.counts.get(place)).copied().unwrap_or_default()
    }

    /// Each bucket's number and count.
    fn each(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> + '_ {
        self.counts.iter().enumerate().map(|(place, count)| (self.first.saturating_add(place as i32), *count))
    }

    /// Adds counts, each times a factor.
    fn add(&mut self, other: &Self, factor: f64) {
        if other.counts.is_empty() {
            return;
        }
        if self.counts.is_empty() {
            self.first = other.first;
        }
        if other.first < self.first {
            let more = (i64::from(self.first) - i64::from(other.first)) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0.0, more));
            self.first = other.first;
        }
        let start = (i64::from(other.first) - i64::from(self.first)) as usize;
        if self.counts.len() < start + other.counts.len() {
            self.counts.resize(start + other.counts.len(), 0.0);
        }
        for (into, count) in self.counts[start..].iter_mut().zip(&other.counts) {
            *into += count * factor;
        }
    }

    /// The same with buckets that are wider by so many doublings of their number.
    fn coarser(&self, by: u32) -> Self {
        let mut all = Self::default();
        // So far that all buckets fall together.
        let by = by.min(31);
        for (index, count) in self.each().filter(|(_, count)| *count != 0.0) {
            let index = ((index - 1) >> by) + 1;
            all.add(&Self::new(index, vec![count]), 1.0);
        }
        all
    }

    /// Takes away empty buckets at both ends.
    fn trimmed(&self) -> Self {
        let Some(start) = self.counts.iter().position(|count| *count != 0.0) else { return Self::default() };
        let end = self.counts.iter().rposition(|count| *count != 0.0).unwrap_or(start);
        Self { first: self.first + start as i32, counts: self.counts[start..=end].to_vec() }
    }
}

impl Native {
    /// Of a point of OpenTelemetry: bucket `j` begins at `base^j` there.
    pub(super) fn of_point(
        (scale, count, sum): (i32, f64, f64),
        (zero_count, zero_threshold): (f64, f64),
        positive: (i32, &[u64]),
        negative: (i32, &[u64]),
        is_gauge: bool,
    ) -> Self {
        let side = |(offset, counts): (i32, &[u64])| {
            Buckets::new(offset.saturating_add(1), counts.iter().map(|count| *count as f64).collect())
        };
        let histogram = Self {
            schema: scale,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive: side(positive),
            negative: side(negative),
            is_gauge,
        };
        histogram.at_schema(scale.min(FINEST))
    }

    /// The memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        160 + 8 * (self.positive.counts.capacity() + self.negative.counts.capacity())
    }

    /// The same with coarser buckets; a finer schema changes nothing.
    fn at_schema(mut self, schema: i32) -> Self {
        let by = self.schema.saturating_sub(schema);
        if by > 0 {
            self.positive = self.positive.coarser(by as u32);
            self.negative = self.negative.coarser(by as u32);
            self.schema = schema;
        }
        self
    }

    fn bucket(&self, index: i32, count: f64, is_negative: bool) -> Bucket {
        let (near, far) = (bound(index.saturating_sub(1), self.schema), bound(index, self.schema));
        if is_negative {
            Bucket { lower: -far, upper: -near, count }
        } else {
            Bucket { lower: near, upper: far, count }
        }
    }

    /// All buckets that hold something, from the lowest to the highest.
    fn buckets(&self) -> Vec<Bucket> {
        let negative = self.negative.each().rev().map(|(index, count)| self.bucket(index, count, true));
        let zero = Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero_count };
        let positive = self.positive.each().map(|(index, count)| self.bucket(index, count, false));
        negative.chain([zero]).chain(positive).filter(|bucket| bucket.count != 0.0).collect()
    }

    /// The zero bucket of a bucket's side is wider than zero itself only where there are values of that side.
    fn narrowed(&self, bucket: Bucket) -> Bucket {
        if !(bucket.lower <= 0.0 && bucket.upper >= 0.0) {
            return bucket;
        }
        match (self.negative.is_empty(), self.positive.is_empty()) {
            (true, false) => Bucket { lower: 0.0, ..bucket },
            (false, true) => Bucket { upper: 0.0, ..bucket },
            _ => bucket,
        }
    }

    /// Widens the zero bucket to this threshold, or further to the end of a bucket that the threshold lies in.
    fn with_zero_threshold(&mut self, threshold: f64) {
        let mut threshold = threshold;
        if threshold <= self.zero_threshold {
            return;
        }
        // What one side takes in may widen the bucket for the other.
        loop {
            let before = threshold;
            for side in [&mut self.positive, &mut self.negative] {
                let first = side.first;
                for (place, count) in side.counts.iter_mut().enumerate() {
                    let index = first.saturating_add(place as i32);
                    if *count == 0.0 {
                        continue;
                    }
                    if bound(index.saturating_sub(1), self.schema) >= threshold {
                        break;
                    }
                    self.zero_count += std::mem::take(count);
                    threshold = threshold.max(bound(index, self.schema));
                }
            }
            if threshold == before {
                break;
            }
        }
        self.zero_threshold = threshold;
    }

    /// Both with the same zero bucket and schema.
    fn reconciled(left: &Self, right: &Self) -> (Self, Self) {
        let schema = left.schema.min(right.schema);
        let (mut left, mut right) = (left.clone(), right.clone());
        while left.zero_threshold != right.zero_threshold {
            let (before_left, before_right) = (left.zero_threshold, right.zero_threshold);
            left.with_zero_threshold(before_right);
            right.with_zero_threshold(left.zero_threshold);
            if (left.zero_threshold, right.zero_threshold) == (before_left, before_right) {
                break;
            }
        }
        (left.at_schema(schema), right.at_schema(schema))
    }

    /// This and another one times a factor.
    pub(super) fn plus(&self, other: &Self, factor: f64) -> Self {
        let (mut sum, other) = Self::reconciled(self, other);
        sum.count += other.count * factor;
        sum.sum += other.sum * factor;
        sum.zero_count += other.zero_count * factor;
        sum.positive.add(&other.positive, factor);
        sum.negative.add(&other.negative, factor);
        sum.is_gauge = self.is_gauge || other.is_gauge || factor < 0.0;
        sum
    }

    /// All numbers changed in the same way.
    pub(super) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let mut changed = self.clone();
        for number in [&mut changed.count, &mut changed.sum, &mut changed.zero_count]
            .into_iter()
            .chain(&mut changed.positive.counts)
            .chain(&mut changed.negative.counts)
        {
            *number = change(*number);
        }
        changed
    }

    /// Whether observations were lost since an earlier one: it began anew.
    pub(super) fn has_reset_since(&self, before: &Self) -> bool {
        if self.count < before.count || self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return true;
        }
        let mut before = before.clone();
        before.with_zero_threshold(self.zero_threshold);
        if before.zero_threshold != self.zero_threshold || self.zero_count < before.zero_count {
            return true;
        }
        let before = before.at_schema(self.schema);
        let has_fallen = |now: &Buckets, then: &Buckets| then.each().any(|(index, count)| now.get(index) < count);
        has_fallen(&self.positive, &before.positive) || has_fallen(&self.negative, &before.negative)
    }

    /// Whether both hold the same.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let same = |left: f64, right: f64| left == right || (left.is_nan() && right.is_nan());
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && self.zero_threshold == other.zero_threshold
            && self.zero_count == other.zero_count
            && self.positive.trimmed() == other.positive.trimmed()
            && self.negative.trimmed() == other.negative.trimmed()
    }

    /// The value below which a share of the observations lies: between the bounds of a bucket as if they were spread evenly over its
    /// logarithms.
    pub(super) fn quantile(&self, q: f64) -> f64 {
        if q.is_nan() || self.count == 0.0 {
            return f64::NAN;
        }
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        let buckets = self.buckets();
        // Observations that are not a number are in no bucket: they count as the largest.
        let is_forward = self.sum.is_nan() || q < 0.5;
        let mut rank = if is_forward { q * self.count } else { (1.0 - q) * self.count };
        let mut found: Option<Bucket> = None;
        let mut count = 0.0;
        let mut look = |bucket: &Bucket| {
            found = Some(*bucket);
            count += bucket.count;
            count >= rank
        };
        let is_reached = if is_forward { buckets.iter().any(&mut look) } else { buckets.iter().rev().any(&mut look) };
        let Some(bucket) = found else { return f64::NAN };
        let bucket = self.narrowed(bucket);
        let count = count.min(self.count);
        if !is_reached && count < rank {
            return if self.sum.is_nan() { f64::NAN } else { bucket.upper };
        }
        rank = if is_forward { rank - (count - bucket.count) } else { count - rank };
        let fraction = rank / bucket.count;
        if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            return bucket.lower + (bucket.upper - bucket.lower) * fraction;
        }
        let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            (low + (high - low) * fraction).exp2()
        } else {
            -(high + (low - high) * (1.0 - fraction)).exp2()
        }
    }

    /// The share of the observations between two values.
    pub(super) fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        let rank_of = |value: f64| {
            let mut rank = 0.0;
            for bucket in self.buckets() {
                let bucket = self.narrowed(bucket);
                if bucket.lower >= value {
                    return rank;
                }
                if bucket.upper > value {
                    let is_around_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
                    let fraction = if is_around_zero {
                        (value - bucket.lower) / (bucket.upper - bucket.lower)
                    } else {
                        let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
                        let at = value.abs().log2();
                        if value > 0.0 { (at - low) / (high - low) } else { 1.0 - (at - high) / (low - high) }
                    };
                    return rank + bucket.count * fraction;
                }
                rank += bucket.count;
            }
            self.count
        };
        (rank_of(upper).min(self.count) - rank_of(lower).min(self.count)) / self.count
    }

    /// The variance of the observations, each taken for the geometric mean of its bucket's bounds.
    pub(super) fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let terms = self.buckets().into_iter().map(|bucket| {
            let value = if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                (bucket.lower * bucket.upper).sqrt().copysign(bucket.upper)
            };
            bucket.count * (value - mean) * (value - mean)
        });
        super::numbers::sum(terms) / self.count
    }

    /// As Prometheus' HTTP API writes it: buckets that hold something, each with how its bounds belong to it.
    pub(super) fn json(&self) -> Json {
        let buckets: Vec<Json> = self
            .buckets()
            .iter()
            .map(|bucket| {
                let rule = if bucket.lower <= 0.0 && bucket.upper >= 0.0 { 3 } else { i32::from(bucket.upper < 0.0) };
                json!([rule, number_text(bucket.lower), number_text(bucket.upper), number_text(bucket.count)])
            })
            .collect();
        let mut all = json!({ "count": number_text(self.count), "sum": number_text(self.sum) });
        if !buckets.is_empty() {
            all["buckets"] = buckets.into();
        }
        all
    }

    /// As Prometheus writes it in a label or a script.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{{count:{}, sum:{}", number_text(self.count), number_text(self.sum));
        for bucket in self.buckets() {
            let (open, close) = match (bucket.lower <= 0.0 && bucket.upper >= 0.0, bucket.upper < 0.0) {
                (true, _) => ('[', ']'),
                (false, true) => ('[', ')'),
                (false, false) => ('(', ']'),
            };
            let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(number_text);
            // Writing to a string cannot fail.
            let _ = write!(text, ", {open}{lower},{upper}{close}:{count}");
        }
        text + "}"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found} instead of {wanted}");
    }

    /// Buckets of schema 0: (0.5,1]: 2, (1,2]: 4, (2,4]: 6, and one at zero.
    fn example() -> Native {
        Native::of_point((0, 13.0, 30.0), (1.0, 0.001), (-1, &[2, 4, 6]), (0, &[]), false)
    }

    #[test]
    fn bounds_are_powers_of_the_base() {
        close(bound(0, 3), 1.0);
        close(bound(8, 3), 2.0);
        close(bound(-8, 3), 0.5);
        close(bound(4, 3), std::f64::consts::SQRT_2);
        close(bound(2, -1), 16.0);
        close(bound(-3, 0), 0.125);
    }

    #[test]
    fn quantiles_lie_between_bounds_on_a_logarithmic_scale() {
        let histogram = example();
        close(histogram.quantile(1.0), 4.0);
        close(histogram.quantile(0.0), 0.0);
        // Rank 5 of 13: 1 at zero, 2 up to 1, then 2 of 4 of the bucket that ends at 2.
        close(histogram.quantile(5.0 / 13.0), std::f64::consts::SQRT_2);
        close(histogram.fraction(1.0, 2.0), 4.0 / 13.0);
        close(histogram.fraction(f64::NEG_INFINITY, f64::INFINITY), 1.0);
        close(histogram.fraction(std::f64::consts::SQRT_2, 2.0), 2.0 / 13.0);
        assert!(Native::default().quantile(0.5).is_nan());
        let negative = Native::of_point((0, 4.0, -6.0), (0.0, 0.0), (0, &[]), (0, &[4]), false);
        close(negative.quantile(0.5), -std::f64::consts::SQRT_2);
        close(negative.quantile(0.0), -2.0);
    }

    #[test]
    fn histograms_of_other_schemas_are_added_at_the_coarser_one() {
        let fine = Native::of_point((1, 4.0, 5.0), (0.0, 0.001), (0, &[1, 3]), (0, &[]), false);
        let sum = example().plus(&fine, 1.0);
        assert_eq!((sum.schema, sum.count, sum.sum), (0, 17.0, 35.0));
        assert_eq!(sum.positive.trimmed(), Buckets::new(0, vec![2.0, 8.0, 6.0]));
        let nothing = example().plus(&example(), -1.0);
        assert!(nothing.positive.is_empty() && nothing.count == 0.0);
        assert!(Native::of_point((20, 1.0, 1.0), (0.0, 0.0), (0, &[1]), (0, &[]), false).schema == FINEST);
    }

    #[test]
    fn the_wider_zero_bucket_takes_in_what_lies_in_it() {
        let mut histogram = example();
        histogram.with_zero_threshold(0.7);
        // The threshold lies in a bucket that holds something: it moves to its end.
        assert_eq!((histogram.zero_threshold, histogram.zero_count), (1.0, 3.0));
        let wide = Native::of_point((0, 5.0, 0.0), (5.0, 1.0), (0, &[]), (0, &[]), false);
        let sum = example().plus(&wide, 1.0);
        assert_eq!((sum.zero_threshold, sum.zero_count, sum.count), (1.0, 8.0, 18.0));
    }

    #[test]
    fn what_falls_began_anew() {
        let (before, mut now) = (example(), example());
        assert!(!now.has_reset_since(&before));
        now.positive.counts[1] -= 1.0;
        now.count += 5.0;
        assert!(now.has_reset_since(&before), "a bucket has fallen");
        let coarse = example().at_schema(-1);
        assert!(!coarse.has_reset_since(&before), "coarser buckets hold the same");
        assert!(before.has_reset_since(&coarse), "finer ones cannot be of the same series");
    }

    #[test]
    fn it_is_written_as_prometheus_does() {
        assert_eq!(
            example().json(),
            json!({ "count": "13", "sum": "30", "buckets": [
                [3, "-0.001", "0.001", "1"], [0, "0.5", "1", "2"], [0, "1", "2", "4"], [0, "2", "4", "6"],
            ] })
        );
        assert_eq!(example().text(), "{count:13, sum:30, [-0.001,0.001]:1, (0.5,1]:2, (1,2]:4, (2,4]:6}");
    }
}
