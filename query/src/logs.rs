//! Searching logs.

use crate::cells::{Cells, plain};
use crate::language::{severity, severity_name};
use crate::scan::{self, Counting, Cursor, ScanRequest};
use crate::{Coverage, Page, QueryError, QueryService, RowsRequest};
use arrow::record_batch::RecordBatch;
use mangru_store::{PROMOTED, Signal, TimeRange};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::time::Instant;

/// One log record. Ids and texts that it has not are empty.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LogRow {
    /// When it happened, nanoseconds since the Unix epoch.
    pub time_unix_nano: String,
    /// When it was observed, nanoseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_time_unix_nano: Option<String>,
    /// OpenTelemetry's severity number, 0 when unset.
    pub severity_number: i32,
    /// The severity in the sender's words.
    pub severity_text: String,
    /// The name of its severity by the number, else by the text: `trace`, `debug`, `info`, `warn`, `error` or `fatal`; empty when it has none.
    pub level: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub body: Json,
    /// The record's attributes.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Json>,
    /// The resource's attributes.
    #[schema(value_type = Object)]
    pub resource_attributes: Map<String, Json>,
    /// The trace it belongs to, in hex.
    pub trace_id: String,
    /// The span it belongs to, in hex.
    pub span_id: String,
    /// The id that correlates it with other records.
    pub correlation_id: String,
    /// The instrumentation scope's name.
    pub scope_name: String,
    /// The event's name.
    pub event_name: String,
    /// The row's place in a search, newest first.
    pub row: String,
}

/// The columns that make a [`LogRow`].
pub(crate) fn columns() -> Vec<&'static str> {
    let mut columns = vec![
        "time",
        "observed_delay_ns",
        "severity_number",
        "severity_text",
        "service_name",
        "body",
        "body_type",
        "attributes",
        "attribute_types",
        "resource_attributes",
        "trace_id",
        "span_id",
        "correlation_id",
        "scope_name",
        "event_name",
    ];
    columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
    columns
}

/// The name of a row's severity.
fn level(cells: &Cells<'_>, row: usize) -> &'static str {
    let number = cells.integer("severity_number", row).unwrap_or_default() as i32;
    severity_name(severity(number, cells.text("severity_text", row))).unwrap_or_default()
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch, cursors: &[Cursor]) -> Vec<LogRow> {
    let cells = Cells::new(batch);
    let text = |name: &str, row: usize| cells.text(name, row).unwrap_or_default().to_owned();
    (0..batch.num_rows())
        .map(|row| LogRow {
            time_unix_nano: cells.integer("time", row).unwrap_or_default().to_string(),
            observed_time_unix_nano: cells.integer("observed_delay_ns", row).map(|delay| {
                let time = cells.integer("time", row).unwrap_or_default();
                time.wrapping_add(delay).cast_unsigned().to_string()
            }),
            severity_number: cells.integer("severity_number", row).unwrap_or_default() as i32,
            severity_text: text("severity_text", row),
            level: level(&cells, row).to_owned(),
            service_name: text("service_name", row),
            body: cells.body(row).plain_json(),
            attributes: plain(&cells.attributes(row)),
            resource_attributes: plain(&cells.object("resource_attributes", row)),
            trace_id: cells.id("trace_id", row),
            span_id: cells.id("span_id", row),
            correlation_id: text("correlation_id", row),
            scope_name: text("scope_name", row),
            event_name: text("event_name", row),
            row: cursors.get(row).map(ToString::to_string).unwrap_or_default(),
        })
        .collect()
}

/// A page of the newest rows of a signal as batches.
pub(crate) struct RawPage {
    pub(crate) batch: RecordBatch,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) coverage: Coverage,
    pub(crate) cursor: Option<String>,
}

impl QueryService {
    /// Logs that match, newest first.
    pub async fn logs(&self, request: &RowsRequest) -> Result<Page<LogRow>, QueryError> {
        let page = self.page(Signal::Logs, request, columns()).await?;
        Ok(Page { rows: rows(&page.batch, &page.cursors), coverage: page.coverage, cursor: page.cursor })
    }

    /// A page of the newest rows that match.
    pub(crate) async fn page(
        &self,
        signal: Signal,
        request: &RowsRequest,
        columns: Vec<&'static str>,
    ) -> Result<RawPage, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let before = request.cursor.as_deref().map(str::parse).transpose()?;
        let filter = crate::language::parse(&request.query, signal)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal, filter, range: request.range, columns };
        let found = scan::newest(self.store(), &scan, limit, before, Counting::All, &control).await?;
        let mut coverage = Coverage {
            matched: found.matched,
            matched_is_exact: found.matched_is_exact,
            complete: true,
            limit_hit: None,
            rows_in_range: found.rows_in_range,
            elapsed_ms: crate::request::elapsed_ms(started),
        };
        coverage.unreadable(&found.unreadable_parts);
        if found.more {
            coverage.cut(format!("limit of {limit} rows"));
        }
        let cursor = found.cursors.last().filter(|_| found.more).map(ToString::to_string);
        Ok(RawPage { batch: found.rows, cursors: found.cursors, coverage, cursor })
    }

    /// All rows of these columns that match a tree, at most `limit`, the newest first.
    pub(crate) async fn all_rows(
        &self,
        scan: &ScanRequest,
        limit: usize,
        counting: Counting,
    ) -> Result<(RecordBatch, Vec<Cursor>, Coverage), QueryError> {
        let started = Instant::now();
        let (control, _guard) = self.control();
        let found = scan::newest(self.store(), scan, limit, None, counting, &control).await?;
        let mut coverage = Coverage {
            matched: found.matched,
            matched_is_exact: found.matched_is_exact,
            complete: true,
            limit_hit: None,
            rows_in_range: found.rows_in_range,
            elapsed_ms: crate::request::elapsed_ms(started),
        };
        coverage.unreadable(&found.unreadable_parts);
        if found.more {
            coverage.cut(format!("limit of {limit} rows"));
        }
        Ok((found.rows, found.cursors, coverage))
    }
}

/// A scan over all of time.
pub(crate) fn any_time(signal: Signal, filter: crate::language::Expr, columns: Vec<&'static str>) -> ScanRequest {
    ScanRequest { signal, filter, range: TimeRange::ALL, columns }
}
