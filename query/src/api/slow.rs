//! The log of slow queries.

use crate::QueryService;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of what was asked that are logged.
const MAX_LOGGED: usize = 2_000;

/// Logs a request whose answer took long to make, with what it asked. Downloads and tails count until they begin.
pub(super) async fn log(State(service): State<Arc<QueryService>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let asked = request.uri().clone();
    let response = next.run(request).await;
    let took = started.elapsed();
    // A statement of SQL is logged where it is run.
    if took >= service.settings().slow && asked.path() != "/api/v1/sql" {
        let query = asked.query().unwrap_or_default();
        let query = &query[..query.floor_char_boundary(MAX_LOGGED)];
        let milliseconds = took.as_millis() as u64;
        tracing::warn!(path = asked.path(), query, status = response.status().as_u16(), milliseconds, "slow query");
    }
    response
}
