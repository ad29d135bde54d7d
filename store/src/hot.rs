//! Hot batches: acknowledged rows in memory, searchable at once, not yet in a part.

use crate::{MemoryBudget, MemoryPermit, Part, PartId, Position, Signal, Snapshot, StoreError};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::time::Instant;

/// Small neighbours are merged up to this many rows, so that a query does not meet thousands of tiny batches. Each merge copies
/// all rows, so requests of a usual size are merged once at most.
const MERGED_ROWS: usize = 2048;

/// Everything a query may see of one signal. Changes happen under one lock, so a snapshot is exact.
#[derive(Default)]
pub(crate) struct Table {
    hot: Vec<HotBatch>,
    sealing: Vec<HotBatch>,
    parts: Vec<Arc<Part>>,
    newest: Position,
    oldest_since: Option<Instant>,
    appended_rows: u64,
}

struct HotBatch {
    rows: RecordBatch,
    bytes: usize,
    _permit: MemoryPermit,
}

/// Hot batches taken out to be sealed, and the last journal position among them.
pub(crate) struct Frozen {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) newest: Position,
}

/// How much is hot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HotFigures {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) since: Option<Instant>,
    pub(crate) appended_rows: u64,
}

impl Table {
    /// A table with these published parts.
    pub(crate) fn new(parts: Vec<Arc<Part>>, sealed: Position) -> Self {
        let mut table = Self { parts, newest: sealed, ..Self::default() };
        table.sort_parts();
        table
    }

    /// Makes durable rows visible.
    pub(crate) fn push(&mut self, position: Position, rows: RecordBatch, budget: &MemoryBudget) {
        self.newest = position;
        self.appended_rows += rows.num_rows() as u64;
        if rows.num_rows() == 0 {
            return;
        }
        self.oldest_since.get_or_insert_with(Instant::now);
        let bytes = rows.get_array_memory_size();
        self.hot.push(HotBatch { rows, bytes, _permit: budget.reserve_anyway(bytes) });
        while let [.., before, last] = self.hot.as_slice() {
            let (rows_before, rows_last) = (before.rows.num_rows(), last.rows.num_rows());
            if rows_before > rows_last * 2 || rows_before + rows_last > MERGED_ROWS {
                break;
            }
            let schema = last.rows.schema();
            let Ok(merged) = concat_batches(&schema, [&before.rows, &last.rows]) else { break };
            let bytes = merged.get_array_memory_size();
            self.hot.truncate(self.hot.len() - 2);
            self.hot.push(HotBatch { rows: merged, bytes, _permit: budget.reserve_anyway(bytes) });
        }
    }

    /// Takes all hot batches for sealing; they stay visible until [`Self::publish`]. `None` when there is nothing, or
    /// when the batches frozen before are not yet published.
    pub(crate) fn freeze(&mut self) -> Option<Frozen> {
        if !self.sealing.is_empty() || self.hot.is_empty() {
            return None;
        }
        self.sealing = std::mem::take(&mut self.hot);
        self.oldest_since = None;
        Some(Frozen { batches: self.sealing.iter().map(|batch| batch.rows.clone()).collect(), newest: self.newest })
    }

    /// Replaces the frozen batches by the part that holds their rows.
    pub(crate) fn publish(&mut self, part: Arc<Part>) {
        self.sealing.clear();
        self.parts.push(part);
        self.sort_parts();
    }

    /// Puts a part, or none, in the place of others and gives these.
    pub(crate) fn replace(&mut self, gone: &[PartId], made: Option<Arc<Part>>) -> Vec<Arc<Part>> {
        let (retired, mut parts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.parts).into_iter().partition(|part| gone.contains(&part.id()));
        parts.extend(made);
        self.parts = parts;
        self.sort_parts();
        retired
    }

    /// Gives frozen batches back after a seal that failed.
    pub(crate) fn thaw(&mut self) {
        let mut batches = std::mem::take(&mut self.sealing);
        batches.append(&mut self.hot);
        self.hot = batches;
        if !self.hot.is_empty() {
            self.oldest_since.get_or_insert_with(Instant::now);
        }
    }

    fn sort_parts(&mut self) {
        self.parts.sort_by_key(|part| std::cmp::Reverse((part.max_time(), part.id())));
    }

    /// What a query sees now.
    pub(crate) fn snapshot(&self, signal: Signal) -> Snapshot {
        Snapshot {
            signal,
            hot: self.sealing.iter().chain(&self.hot).map(|batch| batch.rows.clone()).collect(),
            parts: self.parts.clone(),
        }
    }

    /// How much is hot, batches that are being sealed included.
    pub(crate) fn figures(&self) -> HotFigures {
        let mut figures =
            HotFigures { since: self.oldest_since, appended_rows: self.appended_rows, ..HotFigures::default() };
        for batch in self.sealing.iter().chain(&self.hot) {
            figures.rows += batch.rows.num_rows();
            figures.bytes += batch.bytes;
        }
        figures
    }

    /// Rows and bytes that [`Self::freeze`] would take.
    pub(crate) fn sealable(&self) -> (usize, usize) {
        self.hot.iter().fold((0, 0), |(rows, bytes), batch| (rows + batch.rows.num_rows(), bytes + batch.bytes))
    }

    /// The published parts, those with the latest rows first.
    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }
}

/// Batches with the rows of many small ones, in the same order: what arrived together is kept together.
pub(crate) fn join_small(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, StoreError> {
    let mut joined = Vec::new();
    let mut small: Vec<RecordBatch> = Vec::new();
    let mut small_rows = 0;
    let flush = |small: &mut Vec<RecordBatch>, joined: &mut Vec<RecordBatch>| -> Result<(), StoreError> {
        match small.as_slice() {
            [] => {}
            [one] => joined.push(one.clone()),
            several => joined.push(concat_batches(&several[0].schema(), several)?),
        }
        small.clear();
        Ok(())
    };
    for batch in batches {
        if small_rows + batch.num_rows() > MERGED_ROWS {
            flush(&mut small, &mut joined)?;
            small_rows = 0;
        }
        small_rows += batch.num_rows();
        small.push(batch);
    }
    flush(&mut small, &mut joined)?;
    Ok(joined)
}
