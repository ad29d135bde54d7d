//! Exporters in browsers: which pages may send.

use axum::http::{HeaderName, HeaderValue, Method, header};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Headers that OpenTelemetry's browser exporters send.
const HEADERS: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::AUTHORIZATION,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// A layer for these origins; `*` allows all. A `*` at the end of an origin stands for any port.
pub(super) fn layer(origins: &[String], headers: &[String]) -> CorsLayer {
    let allowed: Vec<String> = origins.to_vec();
    let is_allowed = move |origin: &HeaderValue| {
        let Ok(origin) = origin.to_str() else { return false };
        allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(stem) => origin.starts_with(stem),
            None => origin == pattern,
        })
    };
    let more = headers.iter().filter_map(|name| HeaderName::try_from(name.as_str()).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(origin)))
        .allow_methods([Method::POST])
        .allow_headers(HEADERS.into_iter().chain(more).collect::<Vec<_>>())
        .max_age(Duration::from_hours(1))
}
