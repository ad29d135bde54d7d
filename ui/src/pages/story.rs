//! Story: everything that carries an id, across logs, spans and exemplars, on one time line.

use crate::clock::{Show, row_time};
use crate::context::UiContext;
use crate::format;
use crate::nouns::counted;
use crate::palette::Severity;
use crate::params::Params;
use crate::parts::{self, plain};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf, trv};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leptos::prelude::*;
use mangru_query::{LogRow, QueryError, SpanRow, Story, StoryEntry, StoryItem};
use std::sync::Arc;

const ENTRIES: usize = 2000;
const ID_CHARS: usize = 512;

/// Answers `/story?id=`: the box for ids leads here, and on to the story's own address.
pub(crate) async fn find(request: PageRequest) -> Response {
    let id: String = request.params.get("id").unwrap_or("").trim().chars().take(ID_CHARS).collect();
    let address = if id.is_empty() { "/".to_owned() } else { parts::story_link(&request, &id) };
    // What is percent-encoded is always a valid header.
    let location = HeaderValue::from_str(&address).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Answers `/story/{id}`.
pub(crate) async fn handle(
    State(context): State<Arc<UiContext>>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Response {
    let id: String = id.trim().chars().take(ID_CHARS).collect();
    let story = context.query.story(&id, ENTRIES).await;
    page(&request, || screen(&request, &id, &story))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, id: &str, story: &Result<Story, QueryError>) -> Screen {
    let body = match story {
        Err(error) => parts::error("", error),
        Ok(story) if story.entries.is_empty() => view! {
            <p class="empty">{tr("No log line, span or exemplar carries this id. Ids are looked for as trace id, span id, correlation id, the value of any attribute, and as words of a log line.")}</p>
            <p class="covers">{trf("{0} looked at, {1} ms", &[&counted(story.coverage.rows_in_range, "row"), &format!("{:.0}", story.coverage.elapsed_ms)])}{parts::incomplete(&story.coverage)}</p>
        }
        .into_any(),
        Ok(story) => told(request, story),
    };
    let copied = id.to_owned();
    let content = view! {
        <h1>{trv("Story of {0}", [view! { <span class="mono">{id.to_owned()}</span> }.into_any()])}" "<button type="button" class="needs-script link" data-copy=copied>{tr("copy")}</button></h1>
        {body}
        <p class="quiet">{tr("Not looked at: values inside lists and objects, span links, attributes of scopes and of metric points, and exemplars of other traces.")}</p>
    }
    .into_any();
    Screen { title: trf("Story of {0}", &[&format::clipped(id, 60)]), has_time: false, status: StatusCode::OK, content }
}

fn time_of(entry: &StoryEntry) -> i64 {
    entry.time_unix_nano.parse().unwrap_or(0)
}

fn told(request: &PageRequest, story: &Story) -> AnyView {
    let start = story.entries.first().map_or(0, time_of);
    let end = story.entries.iter().map(end_of).max().unwrap_or(start);
    let total = (end - start).max(1);
    let traces: Vec<_> = story
        .trace_ids
        .iter()
        .map(|id| view! { <li><a class="mono" href=request.there(&format!("/traces/{id}"))>{id.clone()}</a></li> })
        .collect();
    let services: Vec<_> = story.services.iter().map(|name| view! { <li>{parts::service(name)}</li> }).collect();
    let rows: Vec<_> = story.entries.iter().map(|entry| row(request, entry, start, total)).collect();
    let traces =
        (!traces.is_empty()).then(|| view! { <div><span>{tr("Traces")}</span><ul class="choices">{traces}</ul></div> });
    view! {
        <p><strong>{format::duration(end - start)}</strong>" "{trv("from {0}", [crate::clock::time_view(start, Show::Full)])}</p>
        <div class="story-head">{traces}<div><span>{tr("Services")}</span><ul class="choices">{services}</ul></div></div>
        {parts::coverage(story.entries.len(), "matching row", &story.coverage)}
        <div class="table-wrap">
            <table class="story dense">
                <thead><tr>
                    <th scope="col">{tr("Time")}</th><th scope="col" class="num">{tr("After")}</th><th scope="col">{tr("What")}</th>
                    <th scope="col">{tr("Service")}</th><th scope="col">{tr("When")}</th><th scope="col">{tr("Message")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn end_of(entry: &StoryEntry) -> i64 {
    match &entry.item {
        StoryItem::Span(span) => time_of(entry).saturating_add(span.duration_ns.max(0)),
        _ => time_of(entry),
    }
}

fn row(request: &PageRequest, entry: &StoryEntry, start: i64, total: i64) -> AnyView {
    let after = time_of(entry) - start;
    let x = after as f64 / total as f64 * 200.0;
    let width = ((end_of(entry) - time_of(entry)) as f64 / total as f64 * 200.0).max(2.0);
    let (kind, class, service, address, message) = match &entry.item {
        StoryItem::Log(log) => {
            let severity = Severity::of_level(&log.level);
            (severity.mark(), severity.class(), log.service_name.clone(), log_address(log), plain(&log.body))
        }
        StoryItem::Span(span) => {
            let (kind, class) =
                if span.status_code == 2 { (tr("✖ span"), "sev-error") } else { (tr("span"), "what-span") };
            let message = format!("{} · {}", span.name, format::duration(span.duration_ns));
            (kind, class.to_owned(), span.service_name.clone(), span_address(request, span), message)
        }
        StoryItem::Exemplar(exemplar) => {
            let address = if exemplar.trace_id.is_empty() {
                String::new()
            } else {
                trace_address(request, &exemplar.trace_id, &exemplar.span_id)
            };
            let message = format!("{} = {}", exemplar.metric_name, plain(&exemplar.value));
            let service_name = &exemplar.service_name;
            (tr("exemplar"), "what-exemplar".to_owned(), service_name.clone(), address, message)
        }
    };
    let mark = format!("mark {class}");
    let bar = format!("piece {}", crate::palette::service_class(&service));
    let message = format::clipped(&message, 1000);
    let message = if address.is_empty() {
        view! { <span>{message}</span> }.into_any()
    } else {
        view! { <a href=address data-row="">{message}</a> }.into_any()
    };
    view! {
        <tr class=class>
            <td class="time">{row_time(&entry.time_unix_nano, Show::Row)}</td>
            <td class="num">{format!("+{}", format::duration(after))}</td>
            <td><span class=mark>{kind}</span></td>
            <td>{parts::service(&service)}</td>
            <td><svg class="when" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">
                <rect class=bar x=format!("{:.1}", x.min(198.0)) y="1" width=format!("{width:.1}") height="8"></rect>
            </svg></td>
            <td class="body">{message}</td>
        </tr>
    }
    .into_any()
}

fn trace_address(request: &PageRequest, trace_id: &str, span_id: &str) -> String {
    let time = request.time.params();
    let params = if span_id.is_empty() { time } else { time.with("span", span_id) };
    params.on(&format!("/traces/{trace_id}"))
}

fn span_address(request: &PageRequest, span: &SpanRow) -> String {
    trace_address(request, &span.trace_id, &span.span_id)
}

/// A log line leads to itself among its neighbours.
fn log_address(log: &LogRow) -> String {
    let Ok(time) = log.time_unix_nano.parse::<i64>() else { return String::new() };
    Params::default()
        .with("q", &parts::field_term("service.name", &log.service_name))
        .with("start", &crate::clock::rfc3339(time.saturating_sub(5_000_000_000)))
        .with("end", &crate::clock::rfc3339(time.saturating_add(5_000_000_000)))
        .with("row", &log.row)
        .with("at", &log.time_unix_nano)
        .on("/logs")
        + "#row"
}
