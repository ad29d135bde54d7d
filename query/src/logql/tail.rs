//! Lines from the moment of their acknowledgement.

use super::lines::{Entry, entries};
use super::{LineQuery, Stage, select};
use crate::language::Expr;
use crate::{QueryError, QueryService};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use mangru_store::Signal;
use tokio::sync::broadcast;

/// Lines of one message; the others of a batch are counted as dropped.
const MAX_LINES: usize = 1_000;

/// A running tail.
pub(crate) struct LinesTail {
    filter: Expr,
    stages: Vec<Stage>,
    batches: broadcast::Receiver<RecordBatch>,
}

/// Lines that came, or how many batches or lines were left out because the reader is slow.
pub(crate) enum Tailed {
    Lines(Vec<Entry>),
    Dropped(u64),
}

impl LinesTail {
    /// What comes next; `None` when the store is closed. It can be dropped at any time without loss.
    pub(crate) async fn next(&mut self) -> Option<Tailed> {
        loop {
            match self.batches.recv().await {
                Ok(batch) => match self.take(&batch) {
                    Ok(lines) if lines.is_empty() => {}
                    Ok(lines) if lines.len() > MAX_LINES => return Some(Tailed::Dropped(lines.len() as u64)),
                    Ok(lines) => return Some(Tailed::Lines(lines)),
                    Err(error) => {
                        tracing::error!(%error, "tail could not filter a batch");
                        return Some(Tailed::Dropped(batch.num_rows() as u64));
                    }
                },
                Err(broadcast::error::RecvError::Lagged(batches)) => return Some(Tailed::Dropped(batches)),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    fn take(&self, batch: &RecordBatch) -> Result<Vec<Entry>, QueryError> {
        let keep = self.filter.matches(Signal::Logs, batch)?;
        entries(&filter_record_batch(batch, &keep)?, &self.stages)
    }
}

impl QueryService {
    /// Follows the lines that pass from now on.
    pub(crate) fn logql_tail(&self, query: &LineQuery, tenants: &[String]) -> Result<LinesTail, QueryError> {
        let (filter, stages) = select::plan(query, tenants)?;
        Ok(LinesTail { filter, stages, batches: self.store().subscribe(Signal::Logs) })
    }
}
