//! Searching spans.

use crate::cells::{Cells, plain};
use crate::language::KINDS;
use crate::{Page, QueryError, QueryService, RowsRequest};
use arrow::record_batch::RecordBatch;
use mangru_store::nested::{self, Link, SpanEvent};
use mangru_store::{PROMOTED, Signal};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

/// One span. Ids and texts that it has not are empty.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SpanRow {
    /// When it started, nanoseconds since the Unix epoch.
    pub time_unix_nano: String,
    /// When it ended, nanoseconds since the Unix epoch.
    pub end_time_unix_nano: String,
    /// End minus start, in nanoseconds; negative when the sender's clock went back.
    pub duration_ns: i64,
    /// The trace, in hex.
    pub trace_id: String,
    /// The span, in hex.
    pub span_id: String,
    /// The parent span, in hex; empty for a root.
    pub parent_span_id: String,
    /// The operation.
    pub name: String,
    /// OpenTelemetry's number of the kind.
    pub kind: i32,
    /// The kind's name: `server`, `client`, `producer`, `consumer`, `internal` or `unspecified`.
    pub kind_text: String,
    /// 0 unset, 1 ok, 2 error.
    pub status_code: i32,
    /// What the sender says of the status.
    pub status_message: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// The instrumentation scope's name.
    pub scope_name: String,
    /// The span's attributes.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Json>,
    /// The resource's attributes.
    #[schema(value_type = Object)]
    pub resource_attributes: Map<String, Json>,
    /// What happened during the span: objects with `time_unix_nano`, `name` and `attributes`.
    #[schema(value_type = Vec<Object>)]
    pub events: Vec<Json>,
    /// Other spans it is linked to: objects with `trace_id`, `span_id` and `attributes`.
    #[schema(value_type = Vec<Object>)]
    pub links: Vec<Json>,
    /// The id that correlates it with other records.
    pub correlation_id: String,
    /// The W3C trace state.
    pub trace_state: String,
    /// W3C trace flags and OTLP's bits beside them.
    pub flags: u32,
}

/// The columns that make a [`SpanRow`].
pub(crate) fn columns() -> Vec<&'static str> {
    let mut columns = vec![
        "time",
        "duration_ns",
        "trace_id",
        "span_id",
        "parent_span_id",
        "name",
        "kind",
        "status_code",
        "status_message",
        "service_name",
        "scope_name",
        "attributes",
        "attribute_types",
        "resource_attributes",
        "events",
        "links",
        "correlation_id",
        "trace_state",
        "flags",
    ];
    columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
    columns
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<SpanRow> {
    let cells = Cells::new(batch);
    let text = |name: &str, row: usize| cells.text(name, row).unwrap_or_default().to_owned();
    (0..batch.num_rows())
        .map(|row| {
            let start = cells.integer("time", row).unwrap_or_default();
            let duration_ns = cells.integer("duration_ns", row).unwrap_or_default();
            let kind = cells.integer("kind", row).unwrap_or_default();
            SpanRow {
                time_unix_nano: start.to_string(),
                end_time_unix_nano: start.wrapping_add(duration_ns).to_string(),
                duration_ns,
                trace_id: cells.id("trace_id", row),
                span_id: cells.id("span_id", row),
                parent_span_id: cells.id("parent_span_id", row),
                name: text("name", row),
                kind: kind as i32,
                kind_text: usize::try_from(kind)
                    .ok()
                    .and_then(|kind| KINDS.get(kind))
                    .map_or_else(|| kind.to_string(), |name| (*name).to_owned()),
                status_code: cells.integer("status_code", row).unwrap_or_default() as i32,
                status_message: text("status_message", row),
                service_name: text("service_name", row),
                scope_name: text("scope_name", row),
                attributes: plain(&cells.attributes(row)),
                resource_attributes: plain(&cells.object("resource_attributes", row)),
                events: events(cells.text("events", row)),
                links: links(cells.text("links", row)),
                correlation_id: text("correlation_id", row),
                trace_state: text("trace_state", row),
                flags: cells.integer("flags", row).unwrap_or_default() as u32,
            }
        })
        .collect()
}

fn events(stored: Option<&str>) -> Vec<Json> {
    let events: Vec<SpanEvent> = nested::read(stored);
    events
        .into_iter()
        .map(|event| {
            json!({
                "time_unix_nano": event.time_unix_nano,
                "name": event.name,
                "attributes": plain(&event.attributes),
            })
        })
        .collect()
}

fn links(stored: Option<&str>) -> Vec<Json> {
    let links: Vec<Link> = nested::read(stored);
    links
        .into_iter()
        .map(|link| {
            json!({
                "trace_id": link.trace_id,
                "span_id": link.span_id,
                "trace_state": link.trace_state,
                "attributes": plain(&link.attributes),
            })
        })
        .collect()
}

impl QueryService {
    /// Spans that match, newest start first.
    pub async fn spans(&self, request: &RowsRequest) -> Result<Page<SpanRow>, QueryError> {
        let page = self.page(Signal::Spans, request, columns()).await?;
        Ok(Page { rows: rows(&page.batch), coverage: page.coverage, cursor: page.cursor })
    }
}
