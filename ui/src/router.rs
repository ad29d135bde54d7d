//! The addresses of the UI, and the headers that every page carries.

use crate::context::UiContext;
use crate::{assets, complete, pages};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use mangru_query::QueryService;
use std::sync::Arc;
use std::time::Instant;

/// Nothing inline runs or styles, nothing comes from elsewhere, nobody frames a page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The pages and `/assets/…`; the binary merges them with the query service's routes on one port.
///
/// It answers every path that none of them knows; none of those it is merged with may set a fallback of its own.
pub fn router(context: UiContext) -> Router {
    Router::new()
        .route("/", get(pages::overview::handle))
        .route("/logs", get(pages::logs::handle))
        .route("/logs/saved.yaml", get(pages::logs::saved::download))
        .route("/complete", get(complete::handle))
        .route("/logs/export", get(pages::logs::export::handle))
        .route("/services", get(pages::service::handle_named))
        .route("/services/{name}", get(pages::service::handle))
        .route("/map", get(pages::map::handle))
        .route("/traces", get(pages::traces::handle))
        .route("/traces/{id}", get(pages::trace::handle))
        .route("/story", get(pages::story::find))
        .route("/story/{*id}", get(pages::story::handle))
        // `/metrics` itself is what Prometheus scrapes.
        .route("/metrics/explore", get(pages::metrics::handle))
        .route("/alerts", get(pages::alerts::handle))
        .route("/alerts/new", get(pages::alerts::create::handle).post(pages::alerts::create::write))
        .route("/alerts/silences", post(pages::alerts::silences::create))
        .route("/alerts/silences/{id}/end", post(pages::alerts::silences::end))
        .route("/alerts/{id}", get(pages::alerts::rule::handle))
        .route("/dashboards", get(pages::dashboards::handle))
        .route("/dashboards/edit", get(pages::dashboards::edit).post(pages::dashboards::edit_posted))
        .route("/dashboards/download", post(pages::dashboards::download))
        .route("/dashboards/import", get(pages::dashboards::import).post(pages::dashboards::import_posted))
        .route("/dashboards/{name}", get(pages::dashboards::show))
        .route("/sql", get(pages::sql::handle))
        .route("/status", get(pages::status::handle))
        .route("/status/fields", get(pages::status::fields::handle))
        .route("/_gallery", get(pages::gallery::handle))
        .route("/settings", get(pages::settings::handle))
        .route("/assets/{version}/{name}", get(assets::serve))
        .fallback(pages::nowhere)
        .layer(middleware::from_fn_with_state(Arc::clone(&context.query), slow))
        .with_state(Arc::new(context))
        .layer(middleware::from_fn(mangru_alerts::from_here))
        .layer(middleware::from_fn(guard))
}

/// Says how long the page took to make, and notes those that took long, as the APIs note their questions.
async fn slow(State(query): State<Arc<QueryService>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let asked = request.uri().clone();
    let mut response = next.run(request).await;
    let took = started.elapsed();
    query.note_slow(asked.path(), asked.query().unwrap_or_default(), "", response.status().as_u16(), took);
    // The browser's own tools show it beside the request.
    if let Ok(words) = HeaderValue::from_str(&format!("page;dur={:.1}", took.as_secs_f64() * 1e3)) {
        response.headers_mut().insert(HeaderName::from_static("server-timing"), words);
    }
    response
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
