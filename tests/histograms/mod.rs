//! Native histograms as promqltest writes them, `{{schema:0 count:4 sum:5 buckets:[1 2 1]}}`: sent by remote write, and compared with what the HTTP
//! API answers.

use super::almost;
use super::prompb::{Histogram, Span};
use serde_json::Value as Json;

/// A histogram as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Literal {
    schema: i32,
    count: f64,
    sum: f64,
    zero_count: f64,
    zero_width: f64,
    offset: i32,
    buckets: Vec<f64>,
    negative_offset: i32,
    negative: Vec<f64>,
    is_gauge: bool,
}

impl Literal {
    /// Reads what stands between the braces.
    pub(crate) fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, behind) = rest.split_once(':').unwrap_or_else(|| panic!("histogram {text}"));
            let (value, behind) = match behind.strip_prefix('[') {
                Some(list) => list.split_once(']').unwrap_or_else(|| panic!("histogram {text}")),
                None => behind.split_once(' ').unwrap_or((behind, "")),
            };
            let number = || value.parse::<f64>().unwrap_or_else(|_| panic!("{key} of {text}"));
            let list = || value.split_whitespace().map(|one| one.parse().expect("a number")).collect();
            match key.trim() {
                "schema" => found.schema = number() as i32,
                "count" => found.count = number(),
                "sum" => found.sum = number(),
                "z_bucket" => found.zero_count = number(),
                "z_bucket_w" => found.zero_width = number(),
                "offset" => found.offset = number() as i32,
                "buckets" => found.buckets = list(),
                "n_offset" => found.negative_offset = number() as i32,
                "n_buckets" => found.negative = list(),
                "counter_reset_hint" => found.is_gauge = value == "gauge",
                other => panic!("{other} of a histogram is not understood"),
            }
            rest = behind.trim_start();
        }
        found
    }

    /// This one and another one so many times; both have their buckets at the same places.
    pub(crate) fn plus(&self, other: &Self, times: f64) -> Self {
        assert_eq!(
            (self.schema, self.offset, self.negative_offset),
            (other.schema, other.offset, other.negative_offset)
        );
        let mut sum = self.clone();
        sum.count += other.count * times;
        sum.sum += other.sum * times;
        sum.zero_count += other.zero_count * times;
        for (into, more) in [(&mut sum.buckets, &other.buckets), (&mut sum.negative, &other.negative)] {
            into.resize(into.len().max(more.len()), 0.0);
            into.iter_mut().zip(more).for_each(|(into, more)| *into += more * times);
        }
        sum
    }

    /// As it is sent.
    pub(crate) fn sent(&self, timestamp: i64) -> Histogram {
        let side = |offset: i32, counts: &[f64]| {
            let spans = if counts.is_empty() { Vec::new() } else { vec![Span { offset, length: counts.len() as u32 }] };
            let mut before = 0;
            let delta = |count: &f64| {
                let delta = *count as i64 - before;
                before = *count as i64;
                delta
            };
            (spans, counts.iter().map(delta).collect())
        };
        let (positive_spans, positive_deltas) = side(self.offset, &self.buckets);
        let (negative_spans, negative_deltas) = side(self.negative_offset, &self.negative);
        Histogram {
            count: self.count as u64,
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.zero_width,
            zero_count: self.zero_count as u64,
            negative_spans,
            negative_deltas,
            positive_spans,
            positive_deltas,
            reset_hint: if self.is_gauge { 3 } else { 0 },
            timestamp,
        }
    }

    /// Lower bound, upper bound and count of each bucket that holds something, from the lowest.
    fn shown(&self) -> Vec<[f64; 3]> {
        let bound = |index: i32| (f64::from(index) * f64::from(-self.schema).exp2()).exp2();
        let each = |offset: i32, counts: &[f64]| -> Vec<(i32, f64)> {
            let numbered = counts.iter().enumerate().map(|(place, count)| (offset + place as i32, *count));
            numbered.filter(|(_, count)| *count != 0.0).collect()
        };
        let mut all: Vec<[f64; 3]> = each(self.negative_offset, &self.negative)
            .into_iter()
            .rev()
            .map(|(index, count)| [-bound(index), -bound(index - 1), count])
            .collect();
        if self.zero_count != 0.0 {
            all.push([-self.zero_width, self.zero_width, self.zero_count]);
        }
        let positive = each(self.offset, &self.buckets).into_iter();
        all.extend(positive.map(|(index, count)| [bound(index - 1), bound(index), count]));
        all
    }

    /// Whether the API's answer is this histogram.
    pub(crate) fn is(&self, answer: &Json) -> bool {
        let number =
            |value: &Json| value.as_str().expect("a text").replace("Inf", "inf").parse::<f64>().expect("a number");
        let found: Vec<[f64; 3]> = answer["buckets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|bucket| [number(&bucket[1]), number(&bucket[2]), number(&bucket[3])])
            .collect();
        let wanted = self.shown();
        almost(self.count, number(&answer["count"]))
            && almost(self.sum, number(&answer["sum"]))
            && wanted.len() == found.len()
            && wanted.iter().flatten().zip(found.iter().flatten()).all(|(wanted, found)| almost(*wanted, *found))
    }
}
