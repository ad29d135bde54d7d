//! The log of slow queries.

use crate::QueryService;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of what was asked that are logged.
const MAX_LOGGED: usize = 2_000;
/// The longest body of a question, as the handlers take it.
const MAX_BODY_BYTES: usize = 2 << 20;

/// Logs a request whose answer took long to make, with what it asked in its address and its body; with the status 499 when the client went
/// away before. Downloads and tails count until they begin.
pub(super) async fn log(State(service): State<Arc<QueryService>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let asked = request.uri().clone();
    let (request, body) = match with_body(request).await {
        Ok(read) => read,
        Err(status) => return (status, "the body of the request is too long or was cut off").into_response(),
    };
    let mut asked = Asked { service, asked, body, started, status: CLIENT_GONE };
    let response = next.run(request).await;
    asked.status = response.status().as_u16();
    response
}

/// The status of a request whose client went away before there was an answer.
const CLIENT_GONE: u16 = 499;

/// A request that is noted when it ends, also when its client goes away.
struct Asked {
    service: Arc<QueryService>,
    asked: Uri,
    body: Bytes,
    started: Instant,
    status: u16,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(MAX_LOGGED)]);
        let query = self.asked.query().unwrap_or_default();
        self.service.note_slow(self.asked.path(), query, &body, self.status, self.started.elapsed());
    }
}

/// The request with its body read, where it has one.
async fn with_body(request: Request) -> Result<(Request, Bytes), StatusCode> {
    if request.method() == Method::GET {
        return Ok((request, Bytes::new()));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok((Request::from_parts(parts, Body::from(body.clone())), body))
}
