//! Native histograms: from Prometheus' spans of buckets to those of OpenTelemetry.
//!
//! Bucket `i` of Prometheus ends at `base^i`, bucket `j` of OpenTelemetry begins at `base^j`: `j = i - 1`, and `scale` is `schema`.

use super::NO_RECORDED_VALUE;
use crate::otlp::metrics::Point;
use crate::wire::{Fields, Wire, WireError};
use mangru_store::value::STALE_BITS;

/// The schema of histograms with bounds of their own.
const CUSTOM: i32 = -53;
/// Buckets from the first to the last; gaps between spans are filled.
const MAX_BUCKETS: usize = 65_536;
/// The reset hint of gauges.
const GAUGE_HINT: u64 = 3;

/// A number of observations: whole ones of most histograms, or a float.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Whole(u64),
    Float(f64),
}

impl Count {
    /// The number as it is kept, which is whole.
    fn whole(self, what: &str) -> Result<u64, String> {
        match self {
            Self::Whole(count) => Ok(count),
            Self::Float(count) if count.fract() == 0.0 && (0.0..1.8e19).contains(&count) => Ok(count as u64),
            Self::Float(count) => Err(format!("histogram: {what} is {count}, and only whole numbers are kept")),
        }
    }
}

/// Buckets of one sign.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    floats: Vec<f64>,
}

/// A native histogram as it came.
#[derive(Debug)]
pub(super) struct Histogram {
    count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: Count,
    negative: Side,
    positive: Side,
    reset_hint: u64,
    time: i64,
    bounds: Vec<f64>,
}

fn span(message: &[u8]) -> Result<(i32, u32), WireError> {
    let (mut offset, mut length) = (0, 0);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => offset = value.sint32()?,
            2 => length = value.varint()? as u32,
            _ => {}
        }
    }
    Ok((offset, length))
}

const fn zigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

impl Side {
    fn take(&mut self, field: u32, value: Wire<'_>) -> Result<(), WireError> {
        match field {
            0 => self.spans.push(span(value.message()?)?),
            1 => value.each_varint(|raw| self.deltas.push(zigzag(raw)))?,
            _ => value.each_fixed64(|bits| self.floats.push(f64::from_bits(bits)))?,
        }
        Ok(())
    }

    /// The first bucket's index and the counts from it on, gaps filled; `None` without buckets.
    fn counts(&self, name: &str) -> Result<Option<(i32, Vec<u64>)>, String> {
        let wrong = |why: &str| format!("histogram: {name}: {why}");
        let mut each = Vec::new();
        let mut count = 0_i64;
        for delta in &self.deltas {
            count = count.checked_add(*delta).ok_or_else(|| wrong("a count is out of range"))?;
            each.push(u64::try_from(count).map_err(|_| wrong("a count is negative"))?);
        }
        for count in &self.floats {
            each.push(Count::Float(*count).whole(name)?);
        }
        let mut each = each.into_iter();
        let (mut first, mut next, mut counts) = (None, 0_i32, Vec::new());
        for (offset, length) in &self.spans {
            next = next.checked_add(*offset).ok_or_else(|| wrong("an offset is out of range"))?;
            if first.is_some() {
                let gap = usize::try_from(*offset).map_err(|_| wrong("a span lies before the one before it"))?;
                if counts.len() + gap > MAX_BUCKETS {
                    return Err(wrong("its buckets reach over more than 65536"));
                }
                counts.resize(counts.len() + gap, 0);
            } else {
                first = Some(next);
            }
            if counts.len() + *length as usize > MAX_BUCKETS {
                return Err(wrong("its buckets reach over more than 65536"));
            }
            for _ in 0..*length {
                counts.push(each.next().ok_or_else(|| wrong("there are fewer counts than its spans hold"))?);
            }
            next = next.checked_add(*length as i32).ok_or_else(|| wrong("an offset is out of range"))?;
        }
        if each.next().is_some() {
            return Err(wrong("there are more counts than its spans hold"));
        }
        Ok(first.map(|first| (first, counts)))
    }
}

impl Histogram {
    /// Reads the message, which is the same in both versions of the protocol.
    pub(super) fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut found = Self {
            count: Count::Whole(0),
            sum: 0.0,
            schema: 0,
            zero_threshold: 0.0,
            zero_count: Count::Whole(0),
            negative: Side::default(),
            positive: Side::default(),
            reset_hint: 0,
            time: 0,
            bounds: Vec::new(),
        };
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => found.count = Count::Whole(value.varint()?),
                2 => found.count = Count::Float(value.double()?),
                3 => found.sum = value.double()?,
                4 => found.schema = value.sint32()?,
                5 => found.zero_threshold = value.double()?,
                6 => found.zero_count = Count::Whole(value.varint()?),
                7 => found.zero_count = Count::Float(value.double()?),
                8..=10 => found.negative.take(field - 8, value)?,
                11..=13 => found.positive.take(field - 11, value)?,
                14 => found.reset_hint = value.varint()?,
                15 => found.time = value.varint()? as i64,
                16 => value.each_fixed64(|bits| found.bounds.push(f64::from_bits(bits)))?,
                _ => {}
            }
        }
        Ok(found)
    }

    /// The point, and the name of its metric's type.
    pub(super) fn point(&self, start: i64) -> Result<(&'static str, Point), String> {
        let mut point = Point { is_gauge: self.reset_hint == GAUGE_HINT, ..super::point(self.time, start) };
        if self.sum.to_bits() == STALE_BITS {
            point.flags = NO_RECORDED_VALUE;
            (point.count, point.scale, point.zero_count) = (Some(0), Some(self.schema.max(-4)), Some(0));
            return Ok(("exponential_histogram", point));
        }
        point.count = Some(self.count.whole("count")?);
        point.sum = Some(self.sum);
        let positive = self.positive.counts("positive buckets")?;
        if self.schema == CUSTOM {
            let mut counts = vec![0; self.bounds.len() + 1];
            if let Some((first, found)) = positive {
                for (place, count) in found.into_iter().enumerate() {
                    let place = usize::try_from(i64::from(first) + place as i64).ok();
                    let bucket = place.and_then(|place| counts.get_mut(place));
                    *bucket.ok_or("histogram: a bucket lies beyond custom_values")? = count;
                }
            }
            point.bucket_counts = Some(counts);
            point.explicit_bounds = Some(self.bounds.clone());
            return Ok(("histogram", point));
        }
        if !(-4..=8).contains(&self.schema) {
            return Err(format!("histogram: schema {} is not one of -4 to 8 or {CUSTOM}", self.schema));
        }
        let shifted = |side: Option<(i32, Vec<u64>)>| side.map(|(first, counts)| (first.saturating_sub(1), counts));
        point.scale = Some(self.schema);
        point.zero_count = Some(self.zero_count.whole("zero_count")?);
        point.zero_threshold = Some(self.zero_threshold);
        point.positive = shifted(positive);
        point.negative = shifted(self.negative.counts("negative buckets")?);
        Ok(("exponential_histogram", point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_one_run_of_buckets() {
        let side = Side { spans: vec![(-2, 2), (3, 1)], deltas: vec![5, -2, 4], floats: Vec::new() };
        assert_eq!(side.counts("x"), Ok(Some((-2, vec![5, 3, 0, 0, 0, 7]))));
        let floats = Side { spans: vec![(1, 1)], deltas: Vec::new(), floats: vec![2.0] };
        assert_eq!(floats.counts("x"), Ok(Some((1, vec![2]))));
        let wrong = [
            Side { spans: vec![(0, 1)], deltas: vec![-1], floats: Vec::new() },
            Side { spans: vec![(0, 2)], deltas: vec![1], floats: Vec::new() },
            Side { spans: vec![(0, 1)], deltas: vec![1, 1], floats: Vec::new() },
            Side { spans: vec![(0, 1), (-2, 1)], deltas: vec![1, 1], floats: Vec::new() },
            Side { spans: vec![(0, u32::MAX)], deltas: vec![1], floats: Vec::new() },
            Side { spans: vec![(0, 1)], deltas: Vec::new(), floats: vec![0.5] },
            Side { spans: vec![(0, 1), (i32::MAX, 1)], deltas: vec![1, 1], floats: Vec::new() },
        ];
        for side in wrong {
            side.counts("x").expect_err(&format!("{side:?}"));
        }
    }
}
