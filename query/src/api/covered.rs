//! What an answer covers, in its headers: for bodies that have no place for it.

use crate::Coverage;
use axum::http::HeaderValue;
use axum::response::Response;

/// Says in `x-mangru-complete` whether nothing was left out, and in `x-mangru-limit-hit` by what something was.
pub(super) fn covered(mut response: Response, coverage: &Coverage) -> Response {
    let complete = if coverage.complete { "true" } else { "false" };
    response.headers_mut().insert("x-mangru-complete", HeaderValue::from_static(complete));
    if let Some(limit) = coverage.limit_hit.as_deref().and_then(|limit| HeaderValue::from_str(limit).ok()) {
        response.headers_mut().insert("x-mangru-limit-hit", limit);
    }
    response
}
