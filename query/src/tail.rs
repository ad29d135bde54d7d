//! Live tail: rows from the moment of their acknowledgement.

use crate::language::{self, Expr};
use crate::logs::{self, LogRow};
use crate::{QueryError, QueryService};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use mangru_store::{Signal, TailReader, Tailed};
use serde::Serialize;
use std::collections::VecDeque;

/// Rows that are made ready to be sent at the same time.
const ROWS_AT_ONCE: usize = 500;

/// What a tail gives.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TailEvent {
    /// A row that matches.
    Row(Box<LogRow>),
    /// So many rows were left out because the reader is slow: rows of which nobody looked whether they match.
    Dropped(u64),
}

/// A running tail.
pub struct Tail {
    filter: Expr,
    rows: TailReader,
    /// Rows that match, in batches whose first ones have been sent.
    matching: Option<RecordBatch>,
    waiting: VecDeque<TailEvent>,
}

impl Tail {
    /// The next event; `None` when the store is closed. It can be dropped at any time without loss.
    pub async fn next(&mut self) -> Option<TailEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if let Some(matching) = self.matching.take() {
                self.make_ready(&matching);
                continue;
            }
            match self.rows.next().await? {
                Tailed::Rows(batch) => self.take(&batch),
                Tailed::Lost(rows) => return Some(TailEvent::Dropped(rows)),
            }
        }
    }

    fn take(&mut self, batch: &RecordBatch) {
        let matching = self.filter.matches(Signal::Logs, batch).and_then(|keep| Ok(filter_record_batch(batch, &keep)?));
        match matching {
            Ok(matching) => self.matching = Some(matching).filter(|matching| matching.num_rows() > 0),
            Err(error) => {
                tracing::error!(%error, "tail could not filter a batch");
                self.waiting.push_back(TailEvent::Dropped(batch.num_rows() as u64));
            }
        }
    }
}

impl Tail {
    /// Takes the first of the rows that match; the rest waits until these are sent.
    fn make_ready(&mut self, matching: &RecordBatch) {
        let rows = matching.num_rows();
        let now = rows.min(ROWS_AT_ONCE);
        let ready = logs::rows(&matching.slice(0, now), &[]);
        self.waiting.extend(ready.into_iter().map(|row| TailEvent::Row(Box::new(row))));
        self.matching = (now < rows).then(|| matching.slice(now, rows - now));
    }
}

impl QueryService {
    /// Follows the logs that match from now on.
    pub fn tail(&self, query: &str) -> Result<Tail, QueryError> {
        Ok(Tail {
            filter: language::parse(query, Signal::Logs)?,
            rows: self.store().subscribe(Signal::Logs),
            matching: None,
            waiting: VecDeque::new(),
        })
    }
}
