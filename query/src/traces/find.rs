//! Which traces a search finds, and how many of their spans match.

use super::structure::{Spans, Structure};
use super::{MAX_MATCHED_SPANS, TraceOrder, TracesRequest, is_outgoing, of_traces};
use crate::cells::Cells;
use crate::logs::any_time;
use crate::request::Unreadable;
use crate::scan::{self, Control, Counting, Cursor, ScanRequest};
use crate::{Coverage, ErrorCode, QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use hashbrown::{HashMap, HashSet};
use mangru_store::{Signal, TimeRange, TraceId};
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

/// Where a span stands: its trace, its own id, and whether it is a call to somewhere else, as client and server may share an id.
pub(crate) type Place = ([u8; 16], [u8; 8], bool);

impl QueryService {
    /// The traces that a search finds, at least as many as asked for when there are; with `before` those whose newest
    /// matching span lies behind it.
    pub(super) async fn found_traces(
        &self,
        structure: &Structure,
        request: &TracesRequest,
        limit: usize,
        before: Option<Cursor>,
        unreadable: &mut Unreadable,
        control: &Control,
    ) -> Result<Found, QueryError> {
        let started = Instant::now();
        let scan = ScanRequest {
            signal: Signal::Spans,
            filter: structure.last(),
            range: request.range,
            columns: vec!["time", "trace_id"],
        };
        if structure.single().is_none() || before.is_some() {
            let steps = Steps { structure, scan, control };
            return self.found_by_steps(&steps, request.order, limit, before, unreadable).await;
        }
        // Other orders than by time choose among all found; those are bounded by the spans looked at.
        let mut spans = if request.order == TraceOrder::Newest { limit * 8 } else { MAX_MATCHED_SPANS };
        let (met, page) = loop {
            spans = spans.min(MAX_MATCHED_SPANS);
            let page = scan::newest(self.store(), &scan, spans, None, Counting::Page, control).await?;
            let met = met(&page.rows, &page.cursors);
            if !page.more || met.len() >= limit || spans == MAX_MATCHED_SPANS {
                break (met, page);
            }
            spans *= 8;
        };
        unreadable.add(&page.unreadable_parts);
        let mut coverage = Coverage { complete: true, rows_in_range: page.rows_in_range, ..Coverage::default() };
        if page.more {
            coverage.cut(format!("limit of {spans} spans that match"));
        }
        let found = met.len();
        let wanted = if request.order == TraceOrder::Newest { limit } else { limit.max(MAX_CHOICE) };
        let (order, places): (Vec<String>, Vec<Cursor>) = met.into_iter().take(wanted).unzip();
        let matched = self.matched_spans(&scan, &order, unreadable, control).await?;
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Found { order, places, matched, found, all_spans_seen: !page.more, coverage })
    }

    /// How many spans of each of these traces match.
    async fn matched_spans(
        &self,
        scan: &ScanRequest,
        ids: &[String],
        unreadable: &mut Unreadable,
        control: &Control,
    ) -> Result<HashMap<String, u64>, QueryError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let filter = scan.filter.clone().and(of_traces(ids));
        let scan = ScanRequest { filter, columns: vec!["trace_id"], ..scan.clone() };
        let each = |counts: &mut HashMap<[u8; 16], u64>, batch: &RecordBatch| {
            trace_ids(batch).for_each(|(_, trace)| *counts.entry(trace).or_default() += 1);
            Ok(())
        };
        let (pieces, coverage) = scan::for_each(self.store(), &scan, control, HashMap::new, each).await?;
        unreadable.add(&coverage.unreadable_parts);
        let mut matched: HashMap<String, u64> = HashMap::new();
        for (trace, count) in pieces.into_iter().flatten() {
            *matched.entry(TraceId(trace).to_string()).or_default() += count;
        }
        Ok(matched)
    }

    /// Goes from the newest spans of the last set to the older ones, and looks at the traces that they belong to.
    async fn found_by_steps(
        &self,
        steps: &Steps<'_>,
        order: TraceOrder,
        limit: usize,
        start: Option<Cursor>,
        unreadable: &mut Unreadable,
    ) -> Result<Found, QueryError> {
        let started = Instant::now();
        let Steps { structure, scan, control } = steps;
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
            let page = scan::newest(self.store(), scan, STEP_SPANS, before, Counting::Page, control).await?;
            if before == start {
                coverage.rows_in_range = page.rows_in_range;
            }
            unreadable.add(&page.unreadable_parts);
            spans += page.rows.num_rows();
            let met = met(&page.rows, &page.cursors);
            let mut ids: Vec<String> = met.iter().map(|(id, _)| id.clone()).collect();
            ids.retain(|id| seen_traces.insert(id.clone()));
            if let Some(start) = start {
                let earlier = self.met_up_to(steps, &ids, start, unreadable).await?;
                ids.retain(|id| !earlier.contains(id));
            }
            let counted = if structure.single().is_some() {
                let counts = self.matched_spans(scan, &ids, unreadable, control).await?;
                ids.into_iter()
                    .map(|id| (counts.get(&id).copied().unwrap_or_default(), id))
                    .map(|(n, id)| (id, n))
                    .collect()
            } else {
                self.with_structure(steps, ids, &mut coverage, unreadable).await?
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
        steps: &Steps<'_>,
        ids: &[String],
        place: Cursor,
        unreadable: &mut Unreadable,
    ) -> Result<HashSet<String>, QueryError> {
        let filter = steps.scan.filter.clone().and(of_traces(ids));
        let mut range = steps.scan.range;
        range.start = range.start.max(place.time);
        let mut columns = scan::identity_columns(Signal::Spans).to_vec();
        columns.push("time");
        let scan = ScanRequest { signal: Signal::Spans, filter, range, columns };
        let each = move |met: &mut HashSet<[u8; 16]>, batch: &RecordBatch| {
            let hashes = scan::hashes(Signal::Spans, batch)?;
            let times = batch
                .column_by_name("time")
                .and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>())
                .ok_or_else(|| QueryError::internal("column time was not read"))?;
            // Rows with the hash of the place are of the same trace, whatever their number is.
            let is_met = |row: usize| (times.value(row), hashes[row]) >= (place.time, place.hash);
            met.extend(trace_ids(batch).filter(|(row, _)| is_met(*row)).map(|(_, trace)| trace));
            Ok(())
        };
        let (pieces, coverage) = scan::for_each(self.store(), &scan, steps.control, HashSet::new, each).await?;
        unreadable.add(&coverage.unreadable_parts);
        Ok(pieces.into_iter().flatten().map(|trace| TraceId(trace).to_string()).collect())
    }

    /// Of these traces those with spans that the structure finds, and how many.
    async fn with_structure(
        &self,
        steps: &Steps<'_>,
        ids: Vec<String>,
        coverage: &mut Coverage,
        unreadable: &mut Unreadable,
    ) -> Result<Vec<(String, u64)>, QueryError> {
        let found = self.places_by_structure(steps, ids, coverage, unreadable).await?;
        Ok(found.into_iter().map(|(id, places)| (id, places.len() as u64)).collect())
    }

    /// The spans of these traces that the structure finds: those of its last set, of the range.
    ///
    /// # Errors
    /// Beside those of all queries: parts that could not be read, more spans than can be looked at together.
    pub(crate) async fn spans_by_structure(
        &self,
        structure: &Structure,
        range: TimeRange,
        ids: Vec<String>,
    ) -> Result<HashSet<Place>, QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan =
            ScanRequest { signal: Signal::Spans, filter: structure.last(), range, columns: vec!["time", "trace_id"] };
        let steps = Steps { structure, scan, control: &control };
        let (mut coverage, mut unreadable) =
            (Coverage { complete: true, ..Coverage::default() }, Unreadable::default());
        let found = self.places_by_structure(&steps, ids, &mut coverage, &mut unreadable).await?;
        coverage.unreadable(unreadable.parts());
        match coverage.limit_hit {
            Some(limit) => Err(QueryError::new(ErrorCode::ResourceExhausted, format!("the spans were cut: {limit}"))),
            None => Ok(found.into_iter().flat_map(|(_, places)| places).collect()),
        }
    }

    /// Of these traces those with spans that any of the structures finds, and these spans, each once.
    async fn places_by_structure(
        &self,
        steps: &Steps<'_>,
        ids: Vec<String>,
        coverage: &mut Coverage,
        unreadable: &mut Unreadable,
    ) -> Result<Vec<(String, Vec<Place>)>, QueryError> {
        if steps.structure.or.is_empty() {
            return self.places_by_one(steps, steps.structure, ids, coverage, unreadable).await;
        }
        let mut found: HashMap<String, HashSet<Place>> = HashMap::new();
        for structure in steps.structure.any() {
            for (id, places) in self.places_by_one(steps, structure, ids.clone(), coverage, unreadable).await? {
                found.entry(id).or_default().extend(places);
            }
        }
        let places = |id: String| found.remove(&id).map(|places| (id, places.into_iter().collect()));
        Ok(ids.into_iter().filter_map(places).collect())
    }

    async fn places_by_one(
        &self,
        steps: &Steps<'_>,
        structure: &Structure,
        mut ids: Vec<String>,
        coverage: &mut Coverage,
        unreadable: &mut Unreadable,
    ) -> Result<Vec<(String, Vec<Place>)>, QueryError> {
        let Steps { scan: last, control, .. } = steps;
        let mut sets: HashMap<Place, u8> = HashMap::new();
        let count = structure.then.len() + 1;
        // The last set is asked for first: it alone is bound to the range.
        for (number, expr) in structure.sets().enumerate().collect::<Vec<_>>().into_iter().rev() {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let columns = vec!["trace_id", "span_id", "kind"];
            let mut scan = any_time(Signal::Spans, expr.clone().and(of_traces(&ids)), columns);
            if number + 1 == count {
                scan.range = last.range;
            }
            let batch = self.spans_of(&scan, coverage, unreadable, control).await?;
            let mut with_set = HashSet::new();
            for (place, _) in places(&batch) {
                with_set.insert(place.0);
                *sets.entry(place).or_default() |= 1 << number;
            }
            let found: HashSet<String> = with_set.into_iter().map(|id| TraceId(id).to_string()).collect();
            ids.retain(|id| found.contains(id));
            control.check()?;
        }
        let columns = vec!["trace_id", "span_id", "parent_span_id", "kind"];
        let scan = any_time(Signal::Spans, of_traces(&ids), columns);
        let batch = self.spans_of(&scan, coverage, unreadable, control).await?;
        let mut traces: HashMap<[u8; 16], (Spans, Vec<Place>)> = HashMap::new();
        // A span that was sent twice is one.
        let mut known = HashSet::new();
        for (place, parent) in places(&batch).filter(|row| known.insert(*row)) {
            let (trace, span, _) = place;
            let (spans, of_trace) = traces.entry(trace).or_default();
            of_trace.push(place);
            spans.ids.push(span);
            spans.parents.push(parent);
            spans.sets.push(sets.get(&place).copied().unwrap_or_default());
        }
        let mut found = Vec::new();
        for id in ids {
            let Some((spans, of_trace)) = TraceId::from_hex(&id).and_then(|id| traces.remove(&id.0)) else { continue };
            let left = spans.matching(&structure.then, control)?;
            let left: Vec<Place> =
                of_trace.into_iter().zip(left).filter_map(|(place, left)| left.then_some(place)).collect();
            if !left.is_empty() {
                found.push((id, left));
            }
        }
        Ok(found)
    }

    async fn spans_of(
        &self,
        scan: &ScanRequest,
        coverage: &mut Coverage,
        unreadable: &mut Unreadable,
        control: &Control,
    ) -> Result<RecordBatch, QueryError> {
        let page = scan::newest(self.store(), scan, MAX_STEP_ROWS, None, Counting::Page, control).await?;
        unreadable.add(&page.unreadable_parts);
        if page.more {
            coverage.cut(format!("limit of {MAX_STEP_ROWS} spans of traces that are looked at together"));
        }
        Ok(page.rows)
    }
}

/// What a search that goes step by step looks for.
struct Steps<'a> {
    structure: &'a Structure,
    /// The spans of the last set.
    scan: ScanRequest,
    control: &'a Control,
}

/// The traces of these rows, each once, in their order, with the place of its first row.
fn met(batch: &RecordBatch, cursors: &[Cursor]) -> Vec<(String, Cursor)> {
    let cells = Cells::new(batch);
    let mut seen = HashSet::new();
    let rows = cursors.iter().take(batch.num_rows()).enumerate();
    rows.map(|(row, place)| (cells.id("trace_id", row), *place))
        .filter(|(id, _)| TraceId::from_hex(id).is_some() && seen.insert(id.clone()))
        .collect()
}

/// Spans that are read in one step.
const MAX_STEP_ROWS: usize = 1_000_000;

/// The rows that belong to a trace, with its id.
pub(super) fn trace_ids(batch: &RecordBatch) -> impl Iterator<Item = (usize, [u8; 16])> + '_ {
    let traces = batch.column_by_name("trace_id").and_then(|column| column.as_fixed_size_binary_opt());
    (0..batch.num_rows()).filter_map(move |row| {
        let traces = traces.filter(|traces| traces.is_valid(row))?;
        Some((row, traces.value(row).try_into().ok()?))
    })
}

/// Each span's place, for those that have one.
pub(crate) fn places_by_row(batch: &RecordBatch) -> HashMap<usize, Place> {
    let cells = Cells::new(batch);
    let spans = batch.column_by_name("span_id").and_then(|column| column.as_fixed_size_binary_opt());
    let place = |(row, trace)| {
        let span = spans.filter(|spans| spans.is_valid(row))?.value(row).try_into().ok()?;
        Some((row, (trace, span, cells.integer("kind", row).is_some_and(is_outgoing))))
    };
    trace_ids(batch).filter_map(place).collect()
}

/// Each span's place, and its parent when that column was read.
fn places(batch: &RecordBatch) -> impl Iterator<Item = (Place, Option<[u8; 8]>)> + '_ {
    let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt());
    let (spans, parents) = (column("span_id"), column("parent_span_id"));
    let cells = Cells::new(batch);
    trace_ids(batch).filter_map(move |(row, trace)| {
        let id = |ids: Option<&FixedSizeBinaryArray>| -> Option<[u8; 8]> {
            ids.filter(|ids| ids.is_valid(row)).and_then(|ids| ids.value(row).try_into().ok())
        };
        let is_outgoing = cells.integer("kind", row).is_some_and(is_outgoing);
        Some(((trace, id(spans)?, is_outgoing), id(parents)))
    })
}
