//! Live tail: rows from the moment of their acknowledgement.

use crate::language::{self, Expr};
use crate::logs::{self, LogRow};
use crate::{QueryError, QueryService};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use mangru_store::{Signal, TailReader, Tailed};
use serde::Serialize;
use std::collections::VecDeque;

/// Rows of one batch that are sent at most; the others are counted as dropped.
const MAX_ROWS_PER_BATCH: usize = 500;

/// What a tail gives.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TailEvent {
    /// A row that matches.
    Row(Box<LogRow>),
    /// So many rows were left out because the reader is slow: rows that match beyond the most of a batch, or rows of which nobody looked whether they match.
    Dropped(u64),
}

/// A running tail.
pub struct Tail {
    filter: Expr,
    rows: TailReader,
    waiting: VecDeque<TailEvent>,
}

impl Tail {
    /// The next event; `None` when the store is closed. It can be dropped at any time without loss.
    pub async fn next(&mut self) -> Option<TailEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            match self.rows.next().await? {
                Tailed::Rows(batch) => self.take(&batch),
                Tailed::Lost(rows) => return Some(TailEvent::Dropped(rows)),
            }
        }
    }

    fn take(&mut self, batch: &RecordBatch) {
        let rows =
            self.filter.matches(Signal::Logs, batch).and_then(|keep| Ok(filter_record_batch(batch, &keep)?)).map(
                |matching| {
                    let shown = matching.slice(0, matching.num_rows().min(MAX_ROWS_PER_BATCH));
                    (logs::rows(&shown, &[]), matching.num_rows() - shown.num_rows())
                },
            );
        match rows {
            Ok((rows, left_out)) => {
                self.waiting.extend(rows.into_iter().map(|row| TailEvent::Row(Box::new(row))));
                if left_out > 0 {
                    self.waiting.push_back(TailEvent::Dropped(left_out as u64));
                }
            }
            Err(error) => {
                tracing::error!(%error, "tail could not filter a batch");
                self.waiting.push_back(TailEvent::Dropped(batch.num_rows() as u64));
            }
        }
    }
}

impl QueryService {
    /// Follows the logs that match from now on.
    pub fn tail(&self, query: &str) -> Result<Tail, QueryError> {
        Ok(Tail {
            filter: language::parse(query, Signal::Logs)?,
            rows: self.store().subscribe(Signal::Logs),
            waiting: VecDeque::new(),
        })
    }
}
