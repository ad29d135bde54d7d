//! The description of the API, made from the handlers.

use axum::Json;
use utoipa::OpenApi;

/// Mangru's own API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Mangru",
        description = "Searches, counts, comparisons, traces, services and their map, stories, SQL and live tail."
    ),
    paths(
        super::rows::logs,
        super::rows::count_logs,
        super::rows::spans,
        super::rows::count_spans,
        super::analytics::patterns,
        super::analytics::log_stats,
        super::analytics::span_stats,
        super::analytics::context,
        super::analytics::heat,
        super::analytics::exceptions,
        super::analytics::explain,
        super::compare::logs,
        super::compare::spans,
        super::map::map,
        super::rows::traces,
        super::rows::trace,
        super::rows::outline,
        super::rows::services,
        super::rows::operations,
        super::rows::story,
        super::rows::fields,
        super::rows::field_values,
        super::sql::sql,
        super::admin::status,
        super::admin::flush,
        super::admin::retention,
        super::admin::delete,
        super::tail::tail,
        super::export::export,
    )
)]
struct Description;

/// `GET /api/v1/openapi.json`.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
