//! Which traces a search finds, and how many of their spans match.

use super::structure::{Spans, Structure};
use super::{MAX_MATCHED_SPANS, MAX_TRACE_SPANS, TraceOrder, TracesRequest, of_traces};
use crate::cells::Cells;
use crate::logs::any_time;
use crate::scan::{self, Counting, Cursor, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use hashbrown::{HashMap, HashSet};
use mangru_store::Signal;
use std::time::Instant;

/// Matching spans that are looked at to find traces by their structure.
const MAX_STRUCTURE_SPANS: usize = 50_000;
/// Matching spans that are looked at in one step.
const STEP_SPANS: usize = 2_000;
/// Traces beside the limit from which the slowest, or those with most errors, are chosen.
const MAX_CHOICE: usize = 1_000;

/// Traces that were found.
pub(super) struct Found {
    /// The traces in the order of their newest matching span.
    pub(super) order: Vec<String>,
    /// Where each of them was met: the place of its newest matching span.
    pub(super) places: Vec<Cursor>,
    /// How many spans of each match.
    pub(super) matched: HashMap<String, u64>,
    /// How many traces were found, those beyond the order included.
    pub(super) found: usize,
    /// Whether all matching spans were looked at.
    pub(super) all_spans_seen: bool,
    pub(super) coverage: Coverage,
}

/// A span's trace and its own id.
type Place = ([u8; 16], [u8; 8]);

impl QueryService {
    /// The traces that a search finds, at least as many as asked for when there are; with `before` those whose newest
    /// matching span lies behind it.
    pub(super) async fn found_traces(
        &self,
        structure: &Structure,
        request: &TracesRequest,
        limit: usize,
        before: Option<Cursor>,
    ) -> Result<Found, QueryError> {
        let scan = ScanRequest {
            signal: Signal::Spans,
            filter: structure.last().clone(),
            range: request.range,
            columns: vec!["time", "trace_id"],
        };
        if !structure.then.is_empty() || before.is_some() {
            return self.found_by_steps(structure, scan, request.order, limit, before).await;
        }
        // Other orders than by time choose among all found; those are bounded by the spans looked at.
        let mut spans = if request.order == TraceOrder::Newest { limit * 8 } else { MAX_MATCHED_SPANS };
        let (met, coverage) = loop {
            spans = spans.min(MAX_MATCHED_SPANS);
            let (batch, cursors, coverage) = self.all_rows(&scan, spans, Counting::Page).await?;
            let met = met(&batch, &cursors);
            if coverage.complete || met.len() >= limit || spans == MAX_MATCHED_SPANS {
                break (met, coverage);
            }
            spans *= 8;
        };
        let found = met.len();
        let wanted = if request.order == TraceOrder::Newest { limit } else { limit.max(MAX_CHOICE) };
        let (order, places): (Vec<String>, Vec<Cursor>) = met.into_iter().take(wanted).unzip();
        let matched = self.matched_spans(&scan, &order).await?;
        Ok(Found { order, places, matched, found, all_spans_seen: coverage.complete, coverage })
    }

    /// How many spans of each of these traces match.
    async fn matched_spans(&self, scan: &ScanRequest, ids: &[String]) -> Result<HashMap<String, u64>, QueryError> {
        let filter = scan.filter.clone().and(of_traces(ids));
        let scan = ScanRequest { filter, columns: vec!["trace_id"], ..scan.clone() };
        let (batch, _, _) = self.all_rows(&scan, MAX_TRACE_SPANS, Counting::Page).await?;
        let cells = Cells::new(&batch);
        let mut matched: HashMap<String, u64> = HashMap::new();
        for row in 0..batch.num_rows() {
            *matched.entry(cells.id("trace_id", row)).or_default() += 1;
        }
        Ok(matched)
    }

    /// Goes from the newest spans of the last set to the older ones, and looks at the traces that they belong to.
    async fn found_by_steps(
        &self,
        structure: &Structure,
        scan: ScanRequest,
        order: TraceOrder,
        limit: usize,
        start: Option<Cursor>,
    ) -> Result<Found, QueryError> {
        let started = Instant::now();
        let (control, _guard) = self.control();
        let wanted = if order == TraceOrder::Newest { limit + 1 } else { limit.max(MAX_CHOICE) };
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let (mut order, mut places, mut matched) = (Vec::new(), Vec::new(), HashMap::new());
        let mut seen_traces: HashSet<String> = HashSet::new();
        let (mut before, mut spans, mut all_spans_seen) = (start, 0, false);
        while order.len() < wanted {
            if spans >= MAX_STRUCTURE_SPANS {
                coverage.cut(format!("limit of {MAX_STRUCTURE_SPANS} spans that match the last set"));
                break;
            }
            let page = scan::newest(self.store(), &scan, STEP_SPANS, before, Counting::Page, &control).await?;
            if before == start {
                coverage.rows_in_range = page.rows_in_range;
                coverage.unreadable(&page.unreadable_parts);
            }
            spans += page.rows.num_rows();
            let met = met(&page.rows, &page.cursors);
            let mut ids: Vec<String> = met.iter().map(|(id, _)| id.clone()).collect();
            ids.retain(|id| !id.is_empty() && seen_traces.insert(id.clone()));
            if let Some(start) = start {
                let earlier = self.met_up_to(&scan, &ids, start).await?;
                ids.retain(|id| !earlier.contains(id));
            }
            let counted = if structure.then.is_empty() {
                let counts = self.matched_spans(&scan, &ids).await?;
                ids.into_iter()
                    .map(|id| (counts.get(&id).copied().unwrap_or_default(), id))
                    .map(|(n, id)| (id, n))
                    .collect()
            } else {
                self.with_structure(structure, &scan, ids, &mut coverage, &control).await?
            };
            let place_of: HashMap<&String, Cursor> = met.iter().map(|(id, place)| (id, *place)).collect();
            for (id, count) in counted {
                places.extend(place_of.get(&id));
                order.push(id.clone());
                matched.insert(id, count);
            }
            before = page.cursors.last().copied();
            if !page.more {
                all_spans_seen = true;
                break;
            }
        }
        let found = order.len();
        order.truncate(wanted);
        places.truncate(wanted);
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Found { order, places, matched, found, all_spans_seen, coverage })
    }

    /// Of these traces those with a matching span at this place or before it: they were on earlier pages.
    async fn met_up_to(
        &self,
        scan: &ScanRequest,
        ids: &[String],
        place: Cursor,
    ) -> Result<HashSet<String>, QueryError> {
        let filter = scan.filter.clone().and(of_traces(ids));
        let mut range = scan.range;
        range.start = range.start.max(place.time);
        let scan = ScanRequest { filter, range, columns: vec!["trace_id"], ..scan.clone() };
        let (batch, cursors, _) = self.all_rows(&scan, MAX_TRACE_SPANS, Counting::Page).await?;
        let cells = Cells::new(&batch);
        Ok(cursors
            .iter()
            .enumerate()
            .filter(|(_, at)| **at >= place)
            .map(|(row, _)| cells.id("trace_id", row))
            .collect())
    }

    /// Of these traces those with spans that the structure finds, and how many.
    async fn with_structure(
        &self,
        structure: &Structure,
        last: &ScanRequest,
        mut ids: Vec<String>,
        coverage: &mut Coverage,
        control: &scan::Control,
    ) -> Result<Vec<(String, u64)>, QueryError> {
        let mut sets: HashMap<Place, u8> = HashMap::new();
        let count = structure.then.len() + 1;
        // The last set is asked for first: it alone is bound to the range.
        for (number, expr) in structure.sets().enumerate().collect::<Vec<_>>().into_iter().rev() {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let mut scan = any_time(Signal::Spans, expr.clone().and(of_traces(&ids)), vec!["trace_id", "span_id"]);
            if number + 1 == count {
                scan.range = last.range;
            }
            let batch = self.spans_of(&scan, coverage).await?;
            let mut with_set = HashSet::new();
            for (trace, span) in places(&batch, "span_id") {
                let Some(span) = span else { continue };
                with_set.insert(trace);
                *sets.entry((trace, span)).or_default() |= 1 << number;
            }
            let found: HashSet<String> = with_set.into_iter().map(|id| mangru_store::TraceId(id).to_string()).collect();
            ids.retain(|id| found.contains(id));
            control.check()?;
        }
        let scan = any_time(Signal::Spans, of_traces(&ids), vec!["trace_id", "span_id", "parent_span_id"]);
        let batch = self.spans_of(&scan, coverage).await?;
        let mut traces: HashMap<[u8; 16], Spans> = HashMap::new();
        for ((trace, span), (_, parent)) in places(&batch, "span_id").zip(places(&batch, "parent_span_id")) {
            let Some(span) = span else { continue };
            let spans = traces.entry(trace).or_default();
            spans.ids.push(span);
            spans.parents.push(parent);
            spans.sets.push(sets.get(&(trace, span)).copied().unwrap_or_default());
        }
        let mut found = Vec::new();
        for id in ids {
            let spans = mangru_store::TraceId::from_hex(&id).and_then(|id| traces.get(&id.0));
            let matching = spans.map_or(Ok(0), |spans| spans.matching(&structure.then, control))?;
            if matching > 0 {
                found.push((id, matching));
            }
        }
        Ok(found)
    }

    async fn spans_of(&self, scan: &ScanRequest, coverage: &mut Coverage) -> Result<RecordBatch, QueryError> {
        let (batch, _, part) = self.all_rows(scan, MAX_STEP_ROWS, Counting::Page).await?;
        if let Some(limit) = part.limit_hit {
            coverage.cut(limit);
        }
        Ok(batch)
    }
}

/// The traces of these rows, each once, in their order, with the place of its first row.
fn met(batch: &RecordBatch, cursors: &[Cursor]) -> Vec<(String, Cursor)> {
    let cells = Cells::new(batch);
    let mut seen = HashSet::new();
    let rows = cursors.iter().take(batch.num_rows()).enumerate();
    rows.map(|(row, place)| (cells.id("trace_id", row), *place)).filter(|(id, _)| seen.insert(id.clone())).collect()
}

/// Spans that are read in one step.
const MAX_STEP_ROWS: usize = 1_000_000;

/// Each row's trace, and another id of it.
fn places<'a>(batch: &'a RecordBatch, name: &str) -> impl Iterator<Item = ([u8; 16], Option<[u8; 8]>)> + 'a {
    let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt());
    let (traces, ids) = (column("trace_id"), column(name));
    (0..batch.num_rows()).filter_map(move |row| {
        let trace = traces.filter(|traces| traces.is_valid(row))?.value(row).try_into().ok()?;
        let id = ids.filter(|ids| ids.is_valid(row)).and_then(|ids| ids.value(row).try_into().ok());
        Some((trace, id))
    })
}
