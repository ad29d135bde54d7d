//! When a query ends early: its time is over, its caller went away, its memory is at its limit.

use super::fairness::{Age, Fairness};
use crate::{ErrorCode, QueryError};
use arrow::record_batch::RecordBatch;
use mangru_store::{MemoryBudget, MemoryPermit, PartReader};
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A query's deadline, the sign that its caller went away, and the memory that it may take. Looked at between batches.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    deadline: Option<Instant>,
    limit: Duration,
    cancel: CancellationToken,
    memory: MemoryBudget,
    age: Age,
}

impl Control {
    /// A control that ends after `limit`, and when the guard is dropped: keep the guard in the future that waits.
    pub(crate) fn new(limit: Duration, memory: MemoryBudget, fairness: &Fairness) -> (Self, DropGuard) {
        let cancel = CancellationToken::new();
        let deadline = Some(Instant::now() + limit);
        let control = Self { deadline, limit, cancel: cancel.clone(), memory, age: fairness.begin() };
        (control, cancel.drop_guard())
    }

    /// A control without a deadline.
    pub(crate) fn unlimited(memory: MemoryBudget, fairness: &Fairness) -> (Self, DropGuard) {
        let cancel = CancellationToken::new();
        let age = fairness.begin();
        let control = Self { deadline: None, limit: Duration::MAX, cancel: cancel.clone(), memory, age };
        (control, cancel.drop_guard())
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::new(ErrorCode::Cancelled, "the caller went away"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let message = format!("query took longer than its deadline of {} ms", self.limit.as_millis());
            return Err(QueryError::new(ErrorCode::DeadlineExceeded, message));
        }
        Ok(())
    }

    /// Lets young queries pass when this one is old; blocks.
    pub(crate) fn make_way(&self) {
        self.age.make_way();
    }

    /// Memory that is taken, none yet, until it is dropped.
    pub(crate) fn held(&self) -> Held {
        Held { permit: self.memory.reserve_anyway(0), memory: self.memory.clone() }
    }

    /// The batches of a reader, each looked at as [`Self::check`] does and within the memory.
    pub(crate) fn batches(&self, reader: PartReader) -> Batches {
        Batches { reader, control: self.clone(), held: self.held() }
    }

    /// The budget of the query.
    pub(crate) const fn memory(&self) -> &MemoryBudget {
        &self.memory
    }
}

/// Memory that a query has taken.
#[derive(Debug)]
pub(crate) struct Held {
    permit: MemoryPermit,
    memory: MemoryBudget,
}

impl Held {
    /// How many bytes it holds.
    pub(crate) const fn bytes(&self) -> usize {
        self.permit.bytes()
    }

    /// Takes more until it holds so many bytes.
    ///
    /// # Errors
    /// [`ErrorCode::ResourceExhausted`] when the query, or all queries together, would take more than they may.
    pub(crate) fn cover(&mut self, bytes: usize) -> Result<(), QueryError> {
        let more = bytes.saturating_sub(self.permit.bytes());
        if more == 0 || self.permit.try_grow(more) {
            return Ok(());
        }
        Err(exhausted(&self.memory))
    }
}

/// What a query is told that needs too much.
pub(crate) fn exhausted(memory: &MemoryBudget) -> QueryError {
    let mib = memory.max_bytes() >> 20;
    let message = format!(
        "the query needs more memory than is free for it: one query may take {mib} MiB, all together what \
         store.memory_mib leaves them; take a shorter time range or fewer fields, or try again later"
    );
    QueryError::new(ErrorCode::ResourceExhausted, message)
}

/// Decoding takes pages and dictionaries besides the batch.
const DECODING_FACTOR: usize = 2;

/// The batches of a reader; blocks.
pub(crate) struct Batches {
    reader: PartReader,
    control: Control,
    held: Held,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let read = || {
            self.control.check()?;
            self.control.make_way();
            let batch = batch?;
            self.held.cover(batch.get_array_memory_size().saturating_mul(DECODING_FACTOR))?;
            Ok(batch)
        };
        Some(read())
    }
}

/// Runs work that blocks or computes away from the I/O threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(QueryError::internal(format!("query work stopped: {error}"))),
    }
}
