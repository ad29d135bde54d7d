//! SQL over HTTP, in several formats.

use super::covered::covered;
use super::error::ApiError;
use crate::sql::{as_arrow, as_csv, as_ndjson};
use crate::{QueryError, QueryService, SqlFormat, SqlRequest, SqlResult, parse_range};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use mangru_store::TimeRange;
use serde::Deserialize;
use std::sync::Arc;

/// A statement of SQL.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlBody {
    /// One statement that reads.
    #[serde(alias = "query")]
    sql: String,
    /// Rows before are not seen.
    start: Option<String>,
    /// Rows after are not seen.
    end: Option<String>,
    /// Rows of the result; 1,000 by default.
    limit: Option<usize>,
    /// `json` (default), `ndjson`, `csv` or `arrow`; else what the header `accept` asks for.
    format: Option<String>,
}

/// Answers SQL. Other formats than JSON say what they cover in the headers `x-mangru-complete` and `x-mangru-limit-hit`.
#[utoipa::path(post, path = "/api/v1/sql", request_body = SqlBody, responses((status = 200, body = SqlResult)))]
pub(super) async fn sql(
    State(service): State<Arc<QueryService>>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, ApiError> {
    let body: SqlBody = serde_json::from_str(&body)
        .map_err(|error| QueryError::invalid("sql", format!("body is not {{\"sql\": \"…\"}}: {error}")))?;
    let range = match (&body.start, &body.end) {
        (None, None) => TimeRange::ALL,
        _ => parse_range(body.start.as_deref(), body.end.as_deref())?,
    };
    let format = format(body.format.as_deref(), &headers)?;
    let request = SqlRequest { sql: body.sql, range, limit: body.limit.unwrap_or(1000) };
    if format == SqlFormat::Json {
        return Ok(Json(service.sql(&request).await?).into_response());
    }
    let result = service.sql_batches(&request).await?;
    let bytes = match format {
        SqlFormat::Arrow => as_arrow(&result)?,
        SqlFormat::Csv => as_csv(&result),
        _ => as_ndjson(&result)?,
    };
    let response = ([(header::CONTENT_TYPE, format.media_type())], bytes).into_response();
    Ok(covered(response, &result.coverage))
}

/// The format that is asked for, by name first, then by media type.
fn format(name: Option<&str>, headers: &HeaderMap) -> Result<SqlFormat, QueryError> {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return SqlFormat::of(name)
            .ok_or_else(|| QueryError::invalid("format", format!("`{name}` is not json, ndjson, csv or arrow")));
    }
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut kinds = accepted.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    Ok(kinds.find_map(SqlFormat::of).unwrap_or(SqlFormat::Json))
}
