//! The HTTP APIs: our own under `/api/v1`, and those that existing tools speak.

mod admin;
mod analytics;
mod compare;
mod covered;
mod elastic;
mod error;
mod export;
mod jaeger;
mod loki;
mod map;
mod openapi;
mod parameters;
mod pieces;
mod prometheus;
mod rows;
mod slow;
mod sql;
mod tail;
mod tempo;
mod zipkin;

use crate::QueryService;
use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;

/// All routes of the query service. They hold neither pages nor health checks.
pub fn router(service: Arc<QueryService>) -> Router {
    Router::new()
        .route("/api/v1/logs", get(rows::logs))
        .route("/api/v1/logs/count", get(rows::count_logs))
        .route("/api/v1/spans", get(rows::spans))
        .route("/api/v1/spans/count", get(rows::count_spans))
        .route("/api/v1/logs/patterns", get(analytics::patterns))
        .route("/api/v1/logs/stats", get(analytics::log_stats))
        .route("/api/v1/spans/stats", get(analytics::span_stats))
        .route("/api/v1/logs/context", get(analytics::context))
        .route("/api/v1/logs/compare", get(compare::logs))
        .route("/api/v1/spans/compare", get(compare::spans))
        .route("/api/v1/spans/heat", get(analytics::heat))
        .route("/api/v1/exceptions", get(analytics::exceptions))
        .route("/api/v1/map", get(map::map))
        .route("/api/v1/traces", get(rows::traces))
        .route("/api/v1/traces/{id}", get(rows::trace))
        .route("/api/v1/traces/{id}/outline", get(rows::outline))
        .route("/api/v1/services", get(rows::services))
        .route("/api/v1/operations", get(rows::operations))
        .route("/api/v1/story/{*id}", get(rows::story))
        .route("/api/v1/fields", get(rows::fields))
        .route("/api/v1/fields/{name}/values", get(rows::field_values))
        .route("/api/v1/explain", get(analytics::explain))
        .route("/api/v1/sql", post(sql::sql))
        .route("/api/v1/tail", get(tail::tail))
        .route("/api/v1/status", get(admin::status))
        .route("/api/v1/admin/flush", post(admin::flush))
        .route("/api/v1/admin/retention", get(admin::retention))
        .route("/api/v1/admin/delete", post(admin::delete))
        .route("/api/v1/export", get(export::export))
        .route("/api/v1/openapi.json", get(openapi::document))
        .merge(jaeger::router())
        .merge(elastic::router())
        .merge(loki::router())
        .merge(prometheus::router())
        .merge(tempo::router())
        .merge(zipkin::router())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&service), slow::log))
        .with_state(service)
}
