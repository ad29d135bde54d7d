//! The screens. Each file holds one: what it shows (a plain struct), how it looks, and the handler that asks the query
//! service for it.

pub(crate) mod alerts;
pub(crate) mod dashboards;
pub(crate) mod gallery;
pub(crate) mod logs;
pub(crate) mod map;
pub(crate) mod metrics;
pub(crate) mod overview;
#[cfg(test)]
mod samples;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod story;
pub(crate) mod trace;
pub(crate) mod traces;

use crate::context::UiContext;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use crate::{format, parts};
use axum::Json;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use leptos::prelude::*;
use serde_json::json;

/// What a screen shows while nothing at all has come in: how to send some. None as soon as there is a row of any signal.
pub(crate) fn first_steps(
    context: &UiContext,
    request: &PageRequest,
    title: impl FnOnce() -> &'static str,
) -> Option<Response> {
    context.holds_nothing().then(|| {
        page(request, || {
            let title = title();
            let content = view! { <h1 class="unseen">{title}</h1>{parts::how_to_send(&context.endpoints)} }.into_any();
            Screen { title: title.to_owned(), has_time: true, status: StatusCode::OK, content }
        })
    })
}

/// Answers addresses that lead nowhere: a page for those who read, a line of JSON for programs.
pub(crate) async fn nowhere(request: PageRequest, method: Method, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_read = (method == Method::GET || method == Method::HEAD) && accepted.contains("text/html");
    let path = format::clipped(&request.path, 200);
    if is_read {
        return page(&request, || not_found(&trf("There is nothing at {0}.", &[&path])));
    }
    let message = format!("there is nothing at {path}");
    (StatusCode::NOT_FOUND, Json(json!({ "error": { "code": "not_found", "message": message } }))).into_response()
}

/// The page for an address that leads nowhere.
pub(crate) fn not_found(what: &str) -> Screen {
    Screen {
        title: tr("Not found").to_owned(),
        has_time: false,
        status: StatusCode::NOT_FOUND,
        content: view! {
            <h1>{tr("Not found")}</h1>
            <p>{what.to_owned()}</p>
            <p><a href="/">{tr("Overview")}</a></p>
        }
        .into_any(),
    }
}

/// A page on which every kind of island stands once; the tests look there for the bundle's names.
#[cfg(test)]
pub(crate) fn specimen() -> Screen {
    use crate::islands::assist::Assist;
    use crate::islands::brush::RegionBrush;
    use crate::islands::graph::GraphView;
    use crate::islands::histogram::HistogramZoom;
    use crate::islands::plot::PlotHover;
    use crate::islands::refresh::LiveParts;
    use crate::islands::tail::LiveTail;
    use crate::islands::waterfall::TraceWaterfall;
    let content = view! {
        <HistogramZoom start_ns=0 step_ns=1 buckets=1 labels=Vec::new() counts=Vec::new() base=String::new() nothing=String::new()>"x"</HistogramZoom>
        <LiveTail stream=String::new() words=Vec::new() services=Vec::new() colours=Vec::new() />
        <Assist address=String::new() label="Completions".to_owned() id=String::new()>"x"</Assist>
        <PlotHover start_ns=0 end_ns=1 unit=crate::unit::Unit::None labels=Vec::new() classes=Vec::new() offsets=Vec::new() values=Vec::new() base=String::new()>"x"</PlotHover>
        <RegionBrush from_ns=0 to_ns=1 low_ns=1 high_ns=10 base=String::new()>"x"</RegionBrush>
        <GraphView words=Vec::new()>"x"</GraphView>
        <LiveParts every=10 words=Vec::new() />
        <TraceWaterfall rows=Vec::new() names=Vec::new() services=Vec::new() colours=Vec::new() total_ns=1 base=String::new() selected=String::new() words=Vec::new()>"x"</TraceWaterfall>
    }
    .into_any();
    Screen { title: String::new(), has_time: false, status: StatusCode::OK, content }
}
