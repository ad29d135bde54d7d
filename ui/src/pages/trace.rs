//! One trace: its waterfall, its spans as a table or JSON, and one span in detail.

mod calls;
mod flame;
mod layout;
mod panel;
mod waterfall;

use crate::clock::{Show, time_view};
use crate::context::UiContext;
use crate::format;
use crate::nouns::counted;
use crate::pages::map;
use crate::palette::service_class;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use layout::Layout;
use leptos::prelude::*;
use mangru_query::{QueryError, SpanRow, Trace};
use mangru_store::TraceId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many rows of the table and the static waterfall a page holds.
const ROWS_PER_PAGE: usize = 500;

/// Answers `/traces/{id}`.
pub(crate) async fn handle(
    State(context): State<Arc<UiContext>>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Response {
    let Some(trace_id) = TraceId::from_hex(id.trim()) else {
        return page(&request, || super::not_found(tr("A trace id is 32 hex digits, not all zero.")));
    };
    match context.query.trace(trace_id).await {
        Ok(Some(trace)) => page(&request, || screen(&request, &trace)),
        Ok(None) => page(&request, || missing(&request, &trace_id.to_string())),
        Err(error) => page(&request, || failed(&error)),
    }
}

fn missing(request: &PageRequest, id: &str) -> Screen {
    let story = parts::story_link(request, id);
    Screen {
        title: tr("Trace not found").to_owned(),
        has_time: false,
        status: StatusCode::NOT_FOUND,
        content: view! {
            <h1>{tr("No span of this trace is here")}</h1>
            <p class="mono">{id.to_owned()}</p>
            <p>{tr("It may not have come in yet, been sampled away by its sender, or be older than what is kept.")}" "
                <a href=story>{tr("Look for the id in logs and everywhere else")}</a></p>
        }
        .into_any(),
    }
}

fn failed(error: &QueryError) -> Screen {
    Screen {
        title: tr("Trace").to_owned(),
        has_time: false,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        content: view! { <h1>{tr("Trace")}</h1>{parts::error("", error)} }.into_any(),
    }
}

/// A trace from one of its sides, for screens that hold a picture of one.
pub(crate) fn side(request: &PageRequest, trace: &Trace, name: &str) -> AnyView {
    side_of(request, trace, &Layout::of(trace), name)
}

fn side_of(request: &PageRequest, trace: &Trace, layout: &Layout, name: &str) -> AnyView {
    match name {
        "flame" => flame::flame(request, trace, layout),
        "calls" => calls::calls(request, trace, layout),
        "table" => waterfall::table(request, trace, layout),
        "json" => json(trace),
        _ => waterfall::waterfall(request, trace, layout),
    }
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, trace: &Trace) -> Screen {
    let layout = Layout::of(trace);
    let root = layout.order.first().map(|placed| &trace.spans[placed.span]);
    let name = root.map_or_else(String::new, |root| format!("{}: {}", root.service_name, root.name));
    let chosen = request.params.get("view").unwrap_or("waterfall");
    let body = side_of(request, trace, &layout, chosen);
    let open = request.params.get("span").and_then(|id| trace.spans.iter().position(|span| span.span_id == id));
    let content = view! {
        {head(request, trace, &layout, &name)}
        {views(request, chosen)}
        <div class=if open.is_some() { "trace-body has-panel" } else { "trace-body" }>
            <div class="trace-view">{body}</div>
            {open.map(|span| panel::panel(request, trace, &layout, span))}
        </div>
        {loose_logs(trace)}
    }
    .into_any();
    let title = trf("Trace {0}", &[&format::clipped(&name, 80)]);
    Screen { title, has_time: false, status: StatusCode::OK, content }
}

fn head(request: &PageRequest, trace: &Trace, layout: &Layout, name: &str) -> AnyView {
    let errors = trace.spans.iter().filter(|span| span.status_code == 2).count();
    let mut services: BTreeMap<&str, usize> = BTreeMap::new();
    for span in &trace.spans {
        *services.entry(&span.service_name).or_default() += 1;
    }
    let logs = request.search("/logs", &format!("trace_id:{}", trace.trace_id));
    // The logs of a trace lie around its time, not in the range of the screen before.
    let logs = crate::params::Params::parse(logs.split_once('?').map_or("", |(_, query)| query))
        .with("start", &crate::clock::rfc3339(layout.start_ns.saturating_sub(60_000_000_000)))
        .with(
            "end",
            &crate::clock::rfc3339(layout.start_ns.saturating_add(layout.total_ns).saturating_add(60_000_000_000)),
        )
        .on("/logs");
    let warnings: Vec<_> = layout.warnings().into_iter().map(|text| view! { <li>{text}</li> }).collect();
    let has_warnings = !warnings.is_empty();
    let error_count = first_cause(trace).map(|span| {
        let address = format!("{}#span", request.here(&request.params.with("span", &span.span_id)));
        let words = format!("✖ {}", counted(errors as u64, "error"));
        view! { <a href=address class="bad" title=tr("To the first span with an error that has none below it")>{words}</a>" · " }
    });
    view! {
        <div class="trace-head">
            <h1>{name.to_owned()}</h1>
            <p>
                <strong>{format::duration(layout.total_ns)}</strong>" · "{time_view(layout.start_ns, Show::Full)}" · "
                {counted(trace.spans.len() as u64, "span")}" · "{error_count}
                <a href=logs>{counted(trace.logs_matched, "log line")}</a>" · "
                <a href=parts::story_link(request, &trace.trace_id)>{tr("story")}</a>" · "
                <span class="mono">{trace.trace_id.clone()}</span>" "
                <button type="button" class="needs-script link" data-copy=trace.trace_id.clone()>{tr("copy")}</button>
            </p>
            {where_time_went(request, layout, &services)}
            {has_warnings.then(|| view! { <ul class="warnings" aria-label=tr("About this trace")>{warnings}</ul> })}
            {parts::incomplete(&trace.coverage)}
        </div>
    }
    .into_any()
}

/// The span where things began to go wrong: the earliest with an error that no span below it has.
fn first_cause(trace: &Trace) -> Option<&SpanRow> {
    let is_error = |span: &&SpanRow| span.status_code == 2;
    let parents: std::collections::HashSet<&str> =
        trace.spans.iter().filter(is_error).map(|span| span.parent_span_id.as_str()).collect();
    trace.spans.iter().filter(is_error).find(|span| !parents.contains(span.span_id.as_str()))
}

/// What the trace waited for, by service: a bar and the names with their spans and times, which lead to the services.
fn where_time_went(request: &PageRequest, layout: &Layout, services: &BTreeMap<&str, usize>) -> AnyView {
    let whole = layout.waited.iter().map(|(_, ns)| *ns).sum::<i64>().max(1) as f64;
    let mut x = 0.0;
    let pieces: Vec<_> = layout
        .waited
        .iter()
        .map(|(name, ns)| {
            let share = *ns as f64 / whole * 100.0;
            let class = format!("piece {}", service_class(name));
            let at = format!("{x:.2}%");
            x += share;
            let title = format!("{name} {}", format::duration(*ns));
            view! { <rect class=class x=at y="0" height="8" width=format!("{share:.2}%")><title>{title}</title></rect> }
        })
        .collect();
    let waited = |name: &str| layout.waited.iter().find(|(service, _)| service == name).map_or(0, |(_, ns)| *ns);
    let mut names: Vec<(&str, usize, i64)> =
        services.iter().map(|(name, spans)| (*name, *spans, waited(name))).collect();
    names.sort_by_key(|(_, _, ns)| std::cmp::Reverse(*ns));
    let legend: Vec<_> = names
        .into_iter()
        .map(|(name, spans, ns)| {
            let class = format!("swatch {}", service_class(name));
            let spans = counted(spans as u64, "span");
            let time = if ns > 0 {
                format!("{} ({})", format::duration(ns), format::percent(ns as f64 / whole))
            } else {
                tr("not waited for").to_owned()
            };
            view! { <li><span class=class></span><a href=map::links::service_page(request, name)>{name.to_owned()}</a>" "<b>{time}</b>" "<span class="quiet">{spans}</span></li> }
        })
        .collect();
    view! {
        <div class="waited">
            <svg class="waited-bar" role="img" aria-label=tr("What the trace waited for, by service")>{pieces}</svg>
            <ul class="legend" aria-label=tr("What the trace waited for, by service")>{legend}</ul>
        </div>
    }
    .into_any()
}

fn views(request: &PageRequest, chosen: &str) -> AnyView {
    let all = [
        ("waterfall", tr("Waterfall")),
        ("flame", tr("Flame graph")),
        ("calls", tr("Service graph")),
        ("table", tr("Table")),
        ("json", "JSON"),
    ];
    let links: Vec<_> = all
        .into_iter()
        .map(|(view, words)| {
            let current = (view == chosen).then_some("true");
            let address = request.here(&request.params.without("from").without("frame").with("view", view));
            view! { <li><a href=address aria-current=current>{words}</a></li> }
        })
        .collect();
    view! { <ul class="choices views" aria-label=tr("Views")>{links}</ul> }.into_any()
}

fn json(trace: &Trace) -> AnyView {
    let shown =
        serde_json::to_string_pretty(&trace.spans.iter().take(ROWS_PER_PAGE).collect::<Vec<_>>()).unwrap_or_default();
    let whole = format!("/api/v1/traces/{}", trace.trace_id);
    let first = ROWS_PER_PAGE.to_string();
    let cut = (trace.spans.len() > ROWS_PER_PAGE).then(|| {
        let all = format::count(trace.spans.len() as u64);
        view! { {trf("The first {0} of {1} spans.", &[&first, &all])}" " }
    });
    view! { <p class="quiet">{cut}<a href=whole>{tr("The whole trace as OTLP JSON")}</a></p>{parts::copyable(&shown)} }
        .into_any()
}

/// Log records of the trace that name no span of it.
fn loose_logs(trace: &Trace) -> AnyView {
    let loose: Vec<_> = trace
        .logs
        .iter()
        .filter(|log| !trace.spans.iter().any(|span| span.span_id == log.span_id))
        .take(100)
        .map(|log| panel::log_line(log, ""))
        .collect();
    if loose.is_empty() {
        return ().into_any();
    }
    view! { <section><h2>{tr("Logs of the trace outside its spans")}</h2><ol class="log-lines">{loose}</ol></section> }
        .into_any()
}
