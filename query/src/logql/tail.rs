//! Lines from the moment of their acknowledgement.

use super::lines::{Entry, entries};
use super::{LineQuery, Stage, select};
use crate::language::Expr;
use crate::{QueryError, QueryService};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use mangru_store::{Signal, TailReader};

/// Lines of one message; the others of a batch are counted as dropped.
const MAX_LINES: usize = 1_000;

/// A running tail.
pub(crate) struct LinesTail {
    filter: Expr,
    stages: Vec<Stage>,
    rows: TailReader,
}

/// Lines that came, and how many lines were left out because there are too many or the reader is slow.
#[derive(Default)]
pub(crate) struct Tailed {
    pub(crate) lines: Vec<Entry>,
    pub(crate) dropped: u64,
}

impl LinesTail {
    /// What comes next; `None` when the store is closed. It can be dropped at any time without loss.
    pub(crate) async fn next(&mut self) -> Option<Tailed> {
        loop {
            match self.rows.next().await? {
                mangru_store::Tailed::Rows(batch) => match self.take(&batch) {
                    Ok(lines) if lines.is_empty() => {}
                    Ok(lines) => return Some(first(lines)),
                    Err(error) => {
                        tracing::error!(%error, "tail could not filter a batch");
                        return Some(Tailed { dropped: batch.num_rows() as u64, ..Tailed::default() });
                    }
                },
                mangru_store::Tailed::Lost(dropped) => return Some(Tailed { dropped, ..Tailed::default() }),
            }
        }
    }

    fn take(&self, batch: &RecordBatch) -> Result<Vec<Entry>, QueryError> {
        let keep = self.filter.matches(Signal::Logs, batch)?;
        entries(&filter_record_batch(batch, &keep)?, &self.stages)
    }
}

/// As many lines as one message may hold.
fn first(mut lines: Vec<Entry>) -> Tailed {
    let dropped = lines.len().saturating_sub(MAX_LINES) as u64;
    lines.truncate(MAX_LINES);
    Tailed { lines, dropped }
}

impl QueryService {
    /// Follows the lines that pass from now on.
    pub(crate) fn logql_tail(&self, query: &LineQuery, tenants: &[String]) -> Result<LinesTail, QueryError> {
        let (filter, stages) = select::plan(query, tenants)?;
        Ok(LinesTail { filter, stages, rows: self.store().subscribe(Signal::Logs) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_lines_the_first_are_sent_and_the_others_counted() {
        let line = |time: usize| Entry { time: time as i64, line: "a".to_owned(), labels: Vec::new() };
        let sent = first((0..MAX_LINES + 7).map(line).collect());
        assert_eq!((sent.lines.len(), sent.dropped), (MAX_LINES, 7));
        assert_eq!(sent.lines.last().map(|line| line.time), Some(MAX_LINES as i64 - 1));
        assert_eq!(first(vec![line(0)]).dropped, 0);
    }
}
