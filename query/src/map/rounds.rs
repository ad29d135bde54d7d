//! A map of more spans than there is memory for is joined in rounds: each reads all spans again and keeps those of some sets of traces.

use super::links::{Link, SpanKey};
use super::rows::{Mark, ROW_BYTES, SHARDS, column, shard_of, span_key, trace_key};
use crate::QueryError;
use arrow::array::{AsArray as _, RecordBatch};
use hashbrown::HashSet;
use std::ops::Range;

/// Rounds at most; a round has four sets of traces then.
pub(super) const MOST_ROUNDS: usize = SHARDS / 4;

/// How many rounds a map of so many spans takes when a query may have so many bytes. Four tenths of these are left for what is counted.
pub(super) const fn rounds_for(spans: u64, bytes: usize) -> usize {
    let all = (spans as usize).saturating_mul(ROW_BYTES);
    let rounds = match bytes / 10 * 6 {
        0 => all,
        for_rows => all.div_ceil(for_rows),
    };
    if rounds > MOST_ROUNDS {
        return MOST_ROUNDS;
    }
    if rounds == 0 { 1 } else { rounds }
}

/// The sets of traces that are joined together.
#[derive(Debug)]
pub(super) struct Round {
    shards: Range<usize>,
    /// Spans of other sets that consumers of these sets are linked to.
    linked: HashSet<SpanKey>,
}

impl Round {
    /// One of so many rounds, with the links of all consumers.
    pub(super) fn new(number: usize, of: usize, links: &[Link]) -> Self {
        let mut round = Self { shards: number * SHARDS / of..(number + 1) * SHARDS / of, linked: HashSet::default() };
        if of > 1 {
            let from_here = links.iter().filter(|link| round.holds(link.consumer.0) && !round.holds(link.target.0));
            round.linked = from_here.map(|link| link.target).collect();
        }
        round
    }

    /// The only round there is.
    pub(super) fn whole() -> Self {
        Self::new(0, 1, &[])
    }

    /// Whether it is the only one.
    pub(super) const fn is_whole(&self) -> bool {
        self.shards.start == 0 && self.shards.end == SHARDS
    }

    /// Whether a trace is in one of its sets.
    pub(super) fn holds(&self, trace: [u64; 2]) -> bool {
        self.shards.contains(&shard_of(trace))
    }

    /// Of the links those of its traces.
    pub(super) fn links(&self, links: &[Link]) -> Vec<Link> {
        links.iter().filter(|link| self.holds(link.consumer.0) || self.holds(link.target.0)).copied().collect()
    }

    /// Leaves the rows of other rounds; those that are linked to are taken without being counted.
    pub(super) fn restrict(&self, marks: &mut [Mark], batch: &RecordBatch) -> Result<(), QueryError> {
        if self.is_whole() {
            return Ok(());
        }
        let traces = column(batch, "trace_id")?.as_fixed_size_binary();
        let spans = column(batch, "span_id")?.as_fixed_size_binary();
        for (row, mark) in marks.iter_mut().enumerate() {
            let trace = trace_key(traces.value(row));
            if !self.holds(trace) {
                let is_linked = !self.linked.is_empty() && self.linked.contains(&(trace, span_key(spans.value(row))));
                *mark = if is_linked { Mark::Context } else { Mark::Leave };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_fit_into_the_memory_and_hold_every_trace_once() {
        assert_eq!(rounds_for(0, 0), 1);
        assert_eq!(rounds_for(1_000_000, 1 << 30), 1);
        assert_eq!(rounds_for(50_000_000, 3 << 30), 3);
        assert_eq!(rounds_for(u64::MAX, 1 << 30), MOST_ROUNDS);
        for of in [1, 2, 3, MOST_ROUNDS] {
            for trace in 0..1_000_u64 {
                let trace = [trace.wrapping_mul(0x1234_5678_9ABC_DEF1), trace];
                let held = (0..of).filter(|number| Round::new(*number, of, &[]).holds(trace)).count();
                assert_eq!(held, 1, "{trace:?} in {of} rounds");
            }
        }
    }
}
