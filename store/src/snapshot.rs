//! A consistent view of one table.

use crate::{Part, Signal};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// Hot batches and parts that together hold every acknowledged row of a signal exactly once.
#[derive(Clone)]
pub struct Snapshot {
    /// The signal.
    pub signal: Signal,
    /// Batches not yet sealed, in the order of their acknowledgement; rows are not sorted by time.
    pub hot: Vec<RecordBatch>,
    /// Published parts, those with the latest rows first.
    pub parts: Vec<Arc<Part>>,
}
