//! Lines: the newest that pass, or the oldest.

use super::select::{self, KnownStreams, Wanted};
use super::stage::{Labels, Line};
use super::{Label, LineQuery, Stage};
use crate::scan::{self, Control, Counting, Cursor, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use mangru_store::{Signal, TimeRange};
use std::borrow::Cow;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Rows that are looked at in one go when stages may drop most of them.
const PAGE_ROWS: usize = 4_096;
/// Rows that are looked at in one go when lines must be apart from each other.
const FEW_ROWS: usize = 256;

/// A question for lines.
#[derive(Clone, Debug)]
pub(crate) struct LinesRequest {
    /// Which, and what is done with them.
    pub(crate) query: LineQuery,
    /// When they happened.
    pub(crate) range: TimeRange,
    /// How many at most.
    pub(crate) limit: usize,
    /// How far a line is from the one before at least, in nanoseconds; 0 for all lines.
    pub(crate) interval: i64,
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

/// A parser of lines that finds fields by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parser {
    Json,
    Logfmt,
}

impl Entry {
    /// The labels of the line behind a parser; `None` when it cannot read the line.
    pub(crate) fn parsed(&self, parser: Parser) -> Option<Vec<Label>> {
        let stage = match parser {
            Parser::Json => Stage::Json(Vec::new()),
            Parser::Logfmt => Stage::Logfmt { labels: Vec::new(), strict: false, keep_empty: false },
        };
        let labels = Labels::new(&self.labels);
        let mut line = Line { time: self.time, text: Cow::Borrowed(&self.line), labels };
        let is_read = line.passes(&[stage]) && !line.labels.has_error();
        is_read.then(|| line.labels.finish())
    }
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
        // Rows that are later than all lines of a full page are not taken through the stages.
        let latest = self.entries.peek().filter(|_| self.entries.len() >= limit).map(|latest| latest.time);
        let early = match latest {
            None => batch.clone(),
            Some(latest) => {
                let cells = crate::cells::Cells::new(batch);
                let is_early = |row| Some(cells.integer("time", row).is_some_and(|time| time <= latest));
                let keep: BooleanArray = (0..batch.num_rows()).map(is_early).collect();
                filter_record_batch(batch, &keep)?
            }
        };
        for entry in entries(&early, stages)? {
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

/// Whether a time is far enough from the last one; then it is the last one.
fn is_apart(last: &mut Option<i64>, time: i64, interval: i64) -> bool {
    let is_far = last.is_none_or(|last| (time - last).abs() >= interval);
    if is_far {
        *last = Some(time);
    }
    is_far
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
        match (request.is_forward, request.interval) {
            (true, 0) => self.oldest(scan, stages, limit, &control, started).await,
            (true, interval) => self.oldest_apart(scan, stages, (limit, interval), &control, started).await,
            (false, interval) => self.newest(scan, stages, (limit, interval), &control, started).await,
        }
    }

    async fn newest(
        &self,
        scan: ScanRequest,
        stages: Vec<Stage>,
        (limit, interval): (usize, i64),
        control: &Control,
        started: Instant,
    ) -> Result<(Vec<Entry>, Coverage), QueryError> {
        let mut coverage = Coverage { matched_is_exact: false, complete: true, ..Coverage::default() };
        let mut all: Vec<Entry> = Vec::new();
        let (mut before, mut held, mut bytes) = (None, control.held(), 0);
        let page = match (interval, stages.is_empty()) {
            (0, true) => limit,
            (0, false) => limit.max(PAGE_ROWS),
            // What lies too close is passed over between pages.
            (_, true) => FEW_ROWS,
            (_, false) => PAGE_ROWS,
        };
        let stages = Arc::new(stages);
        loop {
            let found = scan::newest(self.store(), &scan, page, before, Counting::Page, control).await?;
            coverage.rows_in_range = found.rows_in_range;
            coverage.matched += found.cursors.len() as u64;
            coverage.unreadable(&found.unreadable_parts);
            let (rows, stages) = (found.rows, Arc::clone(&stages));
            let mut passed = scan::blocking(move || entries(&rows, &stages)).await?;
            if interval > 0 {
                let mut last = all.last().map(|entry| entry.time);
                passed.retain(|entry| is_apart(&mut last, entry.time, interval));
            }
            bytes += passed.iter().map(size).sum::<usize>();
            held.cover(bytes)?;
            all.extend(passed);
            before = found.cursors.last().copied();
            if let Some(last) = all.last().filter(|_| interval > 0) {
                // No row that is later than this is far enough from the last line.
                let time = last.time.saturating_sub(interval);
                let apart = Cursor { time, hash: u64::MAX, ordinal: u32::MAX };
                before = before.map(|before| before.min(apart));
            }
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

    /// The oldest lines that are so far from each other: first their times are found, then the lines themselves.
    async fn oldest_apart(
        &self,
        scan: ScanRequest,
        stages: Vec<Stage>,
        (limit, interval): (usize, i64),
        control: &Control,
        started: Instant,
    ) -> Result<(Vec<Entry>, Coverage), QueryError> {
        let (nothing, of_stages) = (control.clone(), stages.clone());
        let init = move || (Vec::<i64>::new(), nothing.held());
        let each = move |(times, held): &mut (Vec<i64>, Held), batch: &RecordBatch| {
            times.extend(entries(batch, &of_stages)?.into_iter().map(|entry| entry.time));
            held.cover(8 * times.capacity())
        };
        let (states, scanned) = scan::for_each(self.store(), &scan, control, init, each).await?;
        let chosen: HashSet<i64> = scan::blocking(move || {
            let mut times: Vec<i64> = states.into_iter().flat_map(|(times, _)| times).collect();
            times.sort_unstable();
            let mut last = None;
            times.retain(|time| is_apart(&mut last, *time, interval));
            Ok(times.into_iter().take(limit).collect())
        })
        .await?;
        let mut coverage = Coverage::of_scan(&scanned, started);
        let chosen = Arc::new(chosen);
        let each = move |found: &mut BTreeMap<i64, Entry>, batch: &RecordBatch| {
            for entry in entries(batch, &stages)?.into_iter().filter(|entry| chosen.contains(&entry.time)) {
                if found.get(&entry.time).is_none_or(|known| entry < *known) {
                    found.insert(entry.time, entry);
                }
            }
            Ok(())
        };
        let (states, _) = scan::for_each(self.store(), &scan, control, BTreeMap::new, each).await?;
        let mut all: Vec<Entry> = states.into_iter().flat_map(BTreeMap::into_values).collect();
        all.sort();
        all.dedup_by_key(|entry| entry.time);
        if all.len() == limit {
            coverage.cut(format!("limit of {limit} lines"));
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok((all, coverage))
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
