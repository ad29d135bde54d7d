//! The HTTP APIs: Prometheus' rules and alerts, Alertmanager's API v2, and what is only here: history, notifications, incidents, runs
//! over the past.

mod alertmanager;
mod own;
mod prometheus;

use crate::service::AlertService;
use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::json;
use std::sync::Arc;

/// Requests are no longer than this.
const MAX_BODY: usize = 1 << 20;

/// The routes; the binary merges them with the others on one port.
pub fn router(service: Arc<AlertService>) -> Router {
    Router::new()
        .route("/api/v1/rules", get(prometheus::rules))
        .route("/api/v1/alerts", get(prometheus::alerts))
        .route("/api/v1/alerts/history", get(own::history))
        .route("/api/v1/alerts/notifications", get(own::notifications))
        .route("/api/v1/alerts/incidents", get(own::incidents))
        .route("/api/v1/alerts/draw", get(own::draw))
        .route("/api/v1/alerts/check", post(own::check))
        .route("/api/v1/alerts/backtest", post(own::backtest))
        .route("/api/v2/status", get(alertmanager::status))
        .route("/api/v2/receivers", get(alertmanager::receivers))
        .route("/api/v2/alerts", get(alertmanager::alerts).post(alertmanager::post_alerts))
        .route("/api/v2/alerts/groups", get(alertmanager::groups))
        .route("/api/v2/silences", get(alertmanager::silences).post(alertmanager::set_silence))
        .route("/api/v2/silence/{id}", get(alertmanager::silence).delete(alertmanager::end_silence))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(from_here))
        .with_state(service)
}

/// Refuses changes that a page of another site asks for.
pub async fn from_here(request: Request, next: Next) -> Response {
    let site = request.headers().get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
    if is_foreign && request.method() != Method::GET && request.method() != Method::HEAD {
        let message = "a page of another site may not change anything here";
        return (StatusCode::FORBIDDEN, Json(json!({ "error": { "code": "forbidden", "message": message } })))
            .into_response();
    }
    next.run(request).await
}
