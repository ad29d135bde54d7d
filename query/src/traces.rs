//! Traces: found by their spans, summed up, and whole.

mod find;
mod outline;
mod structure;
mod sums;
mod whole;

pub use outline::{Outline, OutlineRequest, OutlineRow};

use crate::language::{Expr, FieldRef, Matcher};
use crate::logs::{self, LogRow, any_time};
use crate::request::Unreadable;
use crate::scan::{self, Control, Counting, Cursor, Held};
use crate::spans::{self, SpanRow};
use crate::{Coverage, Page, QueryError, QueryService};
use find::Found;
pub(crate) use find::places_by_row;
use hashbrown::HashSet;
use mangru_store::{Signal, TimeRange, TraceId};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
pub(crate) use structure::{Relation, Structure};
pub(crate) use whole::Whole;
use whole::{MAX_SPANS, WholeRequest};

/// Spans of one trace that are shown at most, where each takes a few KiB.
const MAX_TRACE_SPANS: usize = 100_000;
/// What a [`SpanRow`] takes beside its columns, about.
const SPAN_ROW_BYTES: usize = 2 << 10;
/// Logs of one trace that are shown at most.
const MAX_TRACE_LOGS: usize = 1_000;
/// Matching spans that are looked at to find traces.
const MAX_MATCHED_SPANS: usize = 10_000;

/// How traces are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceOrder {
    /// The newest matching span first.
    #[default]
    Newest,
    /// The longest first, among the newest matches.
    Slowest,
    /// Most errors first, among the newest matches.
    MostErrors,
}

/// A request for traces.
#[derive(Clone, Debug)]
pub struct TracesRequest {
    /// A search over spans; a trace is found when any of its spans matches. Searches in braces with `>>`, `>`, `<<`, `<`, `~`
    /// or `&` between find traces by how their spans stand to each other.
    pub query: String,
    /// When the matching span started.
    pub range: TimeRange,
    /// How many traces at most.
    pub limit: usize,
    /// Their order.
    pub order: TraceOrder,
    /// Where the page before ended, as that page said.
    pub cursor: Option<String>,
}

/// A trace in one line.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TraceSummary {
    /// The trace, in hex.
    pub trace_id: String,
    /// When its first span started, nanoseconds since the Unix epoch.
    pub start_unix_nano: String,
    /// From its first start to its last end.
    pub duration_ns: i64,
    /// The root span's service; that of the earliest span when the root is missing.
    pub root_service: String,
    /// The root span's name; that of the earliest span when the root is missing.
    pub root_name: String,
    /// Whether no span without parent was received.
    pub root_is_missing: bool,
    /// Its spans.
    pub spans: u64,
    /// Its spans with the status error.
    pub errors: u64,
    /// Its spans that match the search.
    pub matched_spans: u64,
    /// Its services, those with the most spans first.
    pub services: Vec<ServiceShare>,
}

/// A service's part of a trace.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceShare {
    /// `service.name`.
    pub name: String,
    /// Its spans in the trace.
    pub spans: u64,
    /// The durations of these spans added up.
    pub duration_ns: i64,
}

/// A whole trace.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Trace {
    /// The trace, in hex.
    pub trace_id: String,
    /// Its spans by start.
    pub spans: Vec<SpanRow>,
    /// Its logs by time; 1,000 at most.
    pub logs: Vec<LogRow>,
    /// How many logs it has.
    pub logs_matched: u64,
    /// What was looked at.
    pub coverage: Coverage,
}

/// A whole trace with the memory that it takes, which is free again when this is dropped.
pub struct HeldTrace {
    trace: Trace,
    _held: Held,
}

impl std::ops::Deref for HeldTrace {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

/// Where a page starts.
#[derive(Clone, Copy)]
enum Start {
    /// At the newest.
    Newest,
    /// Behind this place.
    Place(Cursor),
    /// After so many, in an order that is not time's.
    After(usize),
}

impl Start {
    fn read(request: &TracesRequest) -> Result<Self, QueryError> {
        let cursor = request.cursor.as_deref();
        if request.order == TraceOrder::Newest {
            return Ok(cursor.map(str::parse).transpose()?.map_or(Self::Newest, Self::Place));
        }
        let Some(cursor) = cursor else { return Ok(Self::After(0)) };
        let shown = cursor.strip_prefix("after-").and_then(|shown| shown.parse().ok());
        shown
            .map(Self::After)
            .ok_or_else(|| QueryError::invalid("cursor", "cursor is not one that an earlier answer gave"))
    }
}

/// Rows of a trace.
pub(crate) fn of_trace(id: &str) -> Expr {
    Expr::Field(FieldRef::Id("trace_id"), Matcher::exactly(id))
}

/// Rows of any of these traces.
pub(crate) fn of_traces(ids: &[String]) -> Expr {
    Expr::Traces(Arc::new(ids.iter().filter_map(|id| TraceId::from_hex(id)).map(|id| id.0).collect()))
}

/// Whether spans of a kind are calls to somewhere else: client and producer spans. Their id may be that of the span called, too.
const fn is_outgoing(kind: i64) -> bool {
    matches!(kind, 3 | 4)
}

impl QueryService {
    /// Traces with a span that matches.
    pub async fn traces(&self, request: &TracesRequest) -> Result<Page<TraceSummary>, QueryError> {
        self.traces_by(&Structure::parse(&request.query)?, request).await
    }

    /// Traces whose spans stand so to each other; the request's own query is not read.
    pub(crate) async fn traces_by(
        &self,
        structure: &Structure,
        request: &TracesRequest,
    ) -> Result<Page<TraceSummary>, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let start = Start::read(request)?;
        let _turn = self.turn().await?;
        let before = if let Start::Place(place) = start { Some(place) } else { None };
        let (control, _guard) = self.control();
        let mut unreadable = Unreadable::default();
        let found = self.found_traces(structure, request, limit, before, &mut unreadable, &control).await?;
        let (mut summaries, gone) = self.summaries(&found, &mut unreadable, &control).await?;
        let Found { order, places, found, all_spans_seen, mut coverage, .. } = found;
        let mut cursor = None;
        match request.order {
            TraceOrder::Newest => {
                let more = order.len() > limit || !all_spans_seen;
                cursor = places.get(limit - 1).filter(|_| more || found > limit).map(ToString::to_string);
                if !all_spans_seen && found >= limit {
                    // The spans were cut because there were traces enough.
                    coverage.limit_hit = coverage.limit_hit.filter(|limit| !limit.starts_with("limit of"));
                }
            }
            TraceOrder::Slowest => summaries.sort_by_key(|trace| std::cmp::Reverse(trace.duration_ns)),
            TraceOrder::MostErrors => summaries.sort_by_key(|trace| std::cmp::Reverse(trace.errors)),
        }
        if request.order != TraceOrder::Newest && (order.len() < found || !all_spans_seen) {
            let why = coverage.limit_hit.take().map_or_else(String::new, |limit| format!(" ({limit})"));
            coverage.cut(format!("chosen among the newest {} traces only{why}", order.len()));
        }
        if let Start::After(shown) = start {
            summaries.drain(..shown.min(summaries.len()));
            cursor = (summaries.len() > limit).then(|| format!("after-{}", shown + limit));
        }
        summaries.truncate(limit);
        coverage.matched = found as u64;
        coverage.matched_is_exact = all_spans_seen && before.is_none();
        if found > limit || (!all_spans_seen && found >= limit) {
            coverage.cut(format!("limit of {limit} traces"));
        }
        if gone > 0 {
            coverage.cut(format!("the spans of {gone} traces could not be read any more"));
        }
        coverage.unreadable(unreadable.parts());
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Page { rows: summaries, coverage, cursor })
    }

    /// A whole trace, whenever it was.
    ///
    /// # Errors
    /// Beside those of all queries: nothing of it was found, and there are parts that could not be read.
    pub async fn trace(&self, id: TraceId) -> Result<Option<HeldTrace>, QueryError> {
        let trace_id = id.to_string();
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let columns = spans::columns();
        let request = WholeRequest { id, columns, limit: MAX_TRACE_SPANS, span_bytes: SPAN_ROW_BYTES };
        let (whole, of_logs) = tokio::try_join!(self.whole(&request, &control), self.logs_of(&trace_id, &control))?;
        let Whole { spans, mut coverage, held } = whole;
        let mut spans = spans::rows(&spans);
        spans.reverse();
        let (logs, found) = of_logs;
        if !found.unreadable_parts.is_empty() {
            if spans.is_empty() && logs.is_empty() {
                let parts = crate::request::unreadable(&found.unreadable_parts);
                return Err(QueryError::internal(format!("whether there is a trace {id} is not known: {parts}")));
            }
            let of_spans = coverage.limit_hit.take().map_or_else(String::new, |limit| format!("{limit}; "));
            coverage.unreadable(&found.unreadable_parts);
            coverage.limit_hit = coverage.limit_hit.map(|of_logs| format!("{of_spans}{of_logs}"));
        }
        if spans.is_empty() && logs.is_empty() {
            return Ok(None);
        }
        let trace = Trace { trace_id, spans, logs, logs_matched: found.matched, coverage };
        Ok(Some(HeldTrace { trace, _held: held }))
    }

    /// The newest logs of a trace by time, and the scan that found them.
    async fn logs_of(&self, trace_id: &str, control: &Control) -> Result<(Vec<LogRow>, scan::Newest), QueryError> {
        let scan = any_time(Signal::Logs, of_trace(trace_id), logs::columns());
        let found = scan::newest(self.store(), &scan, MAX_TRACE_LOGS, None, Counting::All, control).await?;
        let mut logs = logs::rows(&found.rows, &found.cursors);
        logs.reverse();
        Ok((logs, found))
    }

    /// The rows of traces' spans, for giving them out as they came in: with all columns, their memory held. Traces of which no
    /// span is there are left out.
    ///
    /// # Errors
    /// Beside those of all queries: no span of one was found, and there are parts that could not be read; or they take more
    /// memory together than a query may.
    pub(crate) async fn trace_batches(&self, ids: &[TraceId]) -> Result<(Vec<Whole>, Coverage), QueryError> {
        let schema = Signal::Spans.schema();
        let mut seen = HashSet::new();
        let columns: Vec<&'static str> = spans::columns()
            .into_iter()
            .chain(OTLP_COLUMNS.iter().copied())
            .filter(|name| schema.index_of(name).is_ok() && seen.insert(*name))
            .collect();
        self.wholes(ids, &columns, MAX_SPANS).await
    }

    /// The same for giving out [`SpanRow`]s, one after the other.
    pub(crate) async fn trace_rows(&self, ids: &[TraceId]) -> Result<(Vec<Whole>, Coverage), QueryError> {
        self.wholes(ids, &spans::columns(), MAX_TRACE_SPANS).await
    }

    async fn wholes(
        &self,
        ids: &[TraceId],
        columns: &[&'static str],
        limit: usize,
    ) -> Result<(Vec<Whole>, Coverage), QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut wholes = Vec::new();
        for id in ids {
            let request = WholeRequest { id: *id, columns: columns.to_vec(), limit, span_bytes: 0 };
            let whole = self.whole(&request, &control).await?;
            coverage.add(&whole.coverage);
            if whole.spans.num_rows() > 0 {
                wholes.push(whole);
            }
        }
        Ok((wholes, coverage))
    }
}

/// What OTLP has beside the columns of a [`SpanRow`].
const OTLP_COLUMNS: &[&str] = &[
    "original_time_unix_nano",
    "dropped_attributes_count",
    "dropped_events_count",
    "dropped_links_count",
    "resource_dropped_attributes_count",
    "resource_schema_url",
    "scope_version",
    "scope_attributes",
    "scope_dropped_attributes_count",
    "scope_schema_url",
];
