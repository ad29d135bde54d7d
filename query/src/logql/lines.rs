//! Lines: the newest that pass, or the oldest.

use super::select::{self, KnownStreams, Wanted};
use super::{Label, LineQuery, Stage};
use crate::scan::{self, Control, Counting, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::record_batch::RecordBatch;
use mangru_store::{Signal, TimeRange};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

/// Rows that are looked at in one go when stages may drop most of them.
const PAGE_ROWS: usize = 4_096;

/// A question for lines.
#[derive(Clone, Debug)]
pub(crate) struct LinesRequest {
    /// Which, and what is done with them.
    pub(crate) query: LineQuery,
    /// When they happened.
    pub(crate) range: TimeRange,
    /// How many at most.
    pub(crate) limit: usize,
    /// Whether the oldest come first.
    pub(crate) is_forward: bool,
    /// Whose they are; of all when none is named.
    pub(crate) tenants: Vec<String>,
}

/// A line that passed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Nanoseconds since the Unix epoch.
    pub(crate) time: i64,
    /// The line as the stages left it.
    pub(crate) line: String,
    /// Its labels by name.
    pub(crate) labels: Vec<Label>,
}

/// The lines of a batch that pass the stages.
pub(super) fn entries(batch: &RecordBatch, stages: &[Stage]) -> Result<Vec<Entry>, QueryError> {
    let mut found = Vec::new();
    select::each_line(batch, stages, Wanted::ALL, &mut KnownStreams::default(), |line| {
        found.push(Entry { time: line.time, line: line.text.into_owned(), labels: line.labels.finish() });
        Ok(())
    })?;
    Ok(found)
}

/// The oldest lines so far, the latest of them on top, and their memory.
struct Oldest {
    entries: BinaryHeap<Entry>,
    bytes: usize,
    held: Held,
}

impl Oldest {
    fn add(&mut self, batch: &RecordBatch, stages: &[Stage], limit: usize) -> Result<(), QueryError> {
        for entry in entries(batch, stages)? {
            if self.entries.len() >= limit && self.entries.peek().is_some_and(|latest| *latest <= entry) {
                continue;
            }
            self.bytes += size(&entry);
            self.entries.push(entry);
            if self.entries.len() > limit
                && let Some(latest) = self.entries.pop()
            {
                self.bytes -= size(&latest);
            }
        }
        self.held.cover(self.bytes)
    }
}

fn size(entry: &Entry) -> usize {
    64 + entry.line.len() + entry.labels.iter().map(|label| 64 + label.name.len() + label.value.len()).sum::<usize>()
}

impl QueryService {
    /// How many rows the scan of a query finds, before stages that look at each line.
    pub(crate) async fn logql_count(&self, request: &LinesRequest) -> Result<u64, QueryError> {
        let (filter, _) = select::plan(&request.query, &request.tenants)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        Ok(scan::count(self.store(), Signal::Logs, &filter, request.range, &control).await?.matched)
    }

    /// Lines that pass, in the order that was asked for.
    pub(crate) async fn logql_lines(&self, request: &LinesRequest) -> Result<(Vec<Entry>, Coverage), QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let (filter, stages) = select::plan(&request.query, &request.tenants)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal: Signal::Logs, filter, range: request.range, columns: Wanted::ALL.columns() };
        if request.is_forward {
            self.oldest(scan, stages, limit, &control, started).await
        } else {
            self.newest(scan, stages, limit, &control, started).await
        }
    }

    async fn newest(
        &self,
        scan: ScanRequest,
        stages: Vec<Stage>,
        limit: usize,
        control: &Control,
        started: Instant,
    ) -> Result<(Vec<Entry>, Coverage), QueryError> {
        let mut coverage = Coverage { matched_is_exact: false, complete: true, ..Coverage::default() };
        let mut all = Vec::new();
        let (mut before, mut held, mut bytes) = (None, control.held(), 0);
        let page = if stages.is_empty() { limit } else { limit.max(PAGE_ROWS) };
        let stages = Arc::new(stages);
        loop {
            let found = scan::newest(self.store(), &scan, page, before, Counting::Page, control).await?;
            coverage.rows_in_range = found.rows_in_range;
            coverage.matched += found.cursors.len() as u64;
            coverage.unreadable(&found.unreadable_parts);
            let (rows, stages) = (found.rows, Arc::clone(&stages));
            let passed = scan::blocking(move || entries(&rows, &stages)).await?;
            bytes += passed.iter().map(size).sum::<usize>();
            held.cover(bytes)?;
            all.extend(passed);
            before = found.cursors.last().copied();
            if all.len() >= limit || !found.more {
                if all.len() > limit || (found.more && all.len() == limit) {
                    coverage.cut(format!("limit of {limit} lines"));
                }
                all.truncate(limit);
                coverage.elapsed_ms = crate::request::elapsed_ms(started);
                return Ok((all, coverage));
            }
        }
    }

    async fn oldest(
        &self,
        scan: ScanRequest,
        stages: Vec<Stage>,
        limit: usize,
        control: &Control,
        started: Instant,
    ) -> Result<(Vec<Entry>, Coverage), QueryError> {
        let (nothing, stages) = (control.clone(), Arc::new(stages));
        let init = move || Oldest { entries: BinaryHeap::new(), bytes: 0, held: nothing.held() };
        let each = move |oldest: &mut Oldest, batch: &RecordBatch| oldest.add(batch, &stages, limit);
        let (states, scanned) = scan::for_each(self.store(), &scan, control, init, each).await?;
        let mut coverage = Coverage::of_scan(&scanned, started);
        let mut all: Vec<Entry> = states.into_iter().flat_map(|state| state.entries.into_vec()).collect();
        all.sort();
        if all.len() > limit {
            coverage.cut(format!("limit of {limit} lines"));
            all.truncate(limit);
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok((all, coverage))
    }
}
