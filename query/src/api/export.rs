//! All rows that match, as a download.

use super::error::{ApiError, Parameters};
use super::rows::signal;
use crate::{ExportFormat, ExportRequest, QueryError, QueryService, parse_range};
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use mangru_store::TimeRange;
use serde::Deserialize;
use std::sync::Arc;

/// What to export.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportParameters {
    /// `logs`, `spans` or `metric_points`; logs by default.
    signal: Option<String>,
    /// A search; all rows without it.
    query: String,
    /// From when; the beginning by default.
    start: Option<String>,
    /// Until when; for ever by default.
    end: Option<String>,
    /// `otlp`, `ndjson` or `parquet`; ndjson by default.
    format: Option<String>,
}

/// Exports all rows that match. A download that breaks off is not whole: a part could not be read.
#[utoipa::path(get, path = "/api/v1/export", params(ExportParameters), responses((status = 200, description = "OTLP JSON or rows by line, or Parquet")))]
pub(super) async fn export(
    State(service): State<Arc<QueryService>>,
    Parameters(parameters): Parameters<ExportParameters>,
) -> Result<Response, ApiError> {
    let (format, kind) = match parameters.format.as_deref().unwrap_or("ndjson") {
        "otlp" => (ExportFormat::Otlp, "application/x-ndjson"),
        "ndjson" => (ExportFormat::Ndjson, "application/x-ndjson"),
        "parquet" => (ExportFormat::Parquet, "application/vnd.apache.parquet"),
        other => {
            let message = format!("`{other}` is not otlp, ndjson or parquet");
            return Err(QueryError::invalid("format", message).into());
        }
    };
    let range = match (&parameters.start, &parameters.end) {
        (None, None) => TimeRange::ALL,
        (start, end) => parse_range(Some(start.as_deref().unwrap_or("0")), end.as_deref())?,
    };
    let request =
        ExportRequest { signal: signal(parameters.signal.as_deref())?, query: parameters.query, range, format };
    let body = Body::from_stream(service.export(&request)?);
    Ok(([(header::CONTENT_TYPE, kind)], body).into_response())
}
