//! `/healthz`, `/readyz`, `/metrics`.

use crate::figures::{figures, text};
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use mangru_query::QueryService;
use serde_json::Value as Json;
use std::sync::Arc;

type Intake = dyn Fn() -> Json + Send + Sync;

/// The routes. The process answers only when all stages run, so alive is ready.
pub(crate) fn router(query: Arc<QueryService>, intake: Arc<Intake>) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(|| async { "ready\n" })).route(
        "/metrics",
        get(move || {
            let text = text(&figures(&query, &intake()));
            async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response() }
        }),
    )
}
