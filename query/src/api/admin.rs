//! What those who run the store ask of it.

use super::error::ApiError;
use super::rows::signal;
use crate::{DeleteRequest, Deleted, ErrorCode, QueryError, QueryService, parse_range};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use mangru_store::TimeRange;
use serde::Deserialize;
use std::sync::Arc;

type Service = State<Arc<QueryService>>;

/// Figures of the store.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, description = "tables, journal, memory")))]
pub(super) async fn status(State(service): Service) -> Response {
    Json(service.store().status()).into_response()
}

/// Seals what is hot and answers when it is published.
#[utoipa::path(post, path = "/api/v1/admin/flush", responses((status = 200, description = "all hot rows are in parts")))]
pub(super) async fn flush(State(service): Service) -> Result<Response, ApiError> {
    service.store().flush().await.map_err(QueryError::from)?;
    Ok(Json(serde_json::json!({ "flushed": true })).into_response())
}

/// The parts that retention takes away when it looks next.
#[utoipa::path(get, path = "/api/v1/admin/retention", responses((status = 200, description = "parts with the reason")))]
pub(super) async fn retention(State(service): Service) -> Response {
    Json(serde_json::json!({ "expired": service.store().expired() })).into_response()
}

/// What to delete.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteBody {
    /// `logs`, `spans` or `metric_points`; logs by default.
    signal: Option<String>,
    /// A search; `*` is all.
    query: String,
    /// From when; the beginning by default.
    start: Option<String>,
    /// Until when; for ever by default.
    end: Option<String>,
    /// Only count; true by default.
    dry_run: Option<bool>,
}

/// Deletes the rows that a search finds, or counts them.
#[utoipa::path(post, path = "/api/v1/admin/delete", request_body = DeleteBody, responses((status = 200, body = Deleted)))]
pub(super) async fn delete(
    State(service): Service,
    headers: HeaderMap,
    body: String,
) -> Result<Json<Deleted>, ApiError> {
    // A page of another origin can post text, but not JSON, without being asked whether it may.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return Err(QueryError::new(ErrorCode::InvalidArgument, "the content type is not application/json").into());
    }
    let body: DeleteBody = serde_json::from_str(&body)
        .map_err(|error| QueryError::invalid("body", format!("body is not what to delete: {error}")))?;
    let range = match (&body.start, &body.end) {
        (None, None) => TimeRange::ALL,
        _ => parse_range(Some(body.start.as_deref().unwrap_or("0")), body.end.as_deref())?,
    };
    let request = DeleteRequest {
        signal: signal(body.signal.as_deref())?,
        query: body.query,
        range,
        dry_run: body.dry_run.unwrap_or(true),
    };
    Ok(Json(service.delete(&request).await?))
}
