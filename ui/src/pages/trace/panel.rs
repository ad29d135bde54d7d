//! One span in detail: where it stands, its attributes, events with stack traces, links, and its logs in place.

use super::layout::{Layout, start_of};
use crate::clock::{Show, row_time};
use crate::format;
use crate::palette::Severity;
use crate::params::Params;
use crate::parts::{self, field_term, plain};
use crate::request::PageRequest;
use crate::text::{tr, trf, trv};
use leptos::prelude::*;
use mangru_query::{LogRow, SpanRow, Trace};
use serde_json::{Map, Value};

const LOGS_SHOWN: usize = 200;

/// The status of a span, with its mark and message.
pub(super) fn status_text(span: &SpanRow) -> String {
    let status = match span.status_code {
        0 => tr("unset"),
        1 => tr("ok"),
        2 => tr("✖ error"),
        _ => tr("unknown"),
    };
    if span.status_message.is_empty() { status.to_owned() } else { format!("{status}: {}", span.status_message) }
}

/// The panel of a span.
pub(super) fn panel(request: &PageRequest, trace: &Trace, layout: &Layout, index: usize) -> AnyView {
    let span = &trace.spans[index];
    let close = request.here(&request.params.without("span"));
    let after = start_of(span).saturating_sub(layout.start_ns);
    let status_class = if span.status_code == 2 { "bad" } else { "" };
    let own = format!("{} {}", field_term("service.name", &span.service_name), field_term("name", &span.name));
    let alike = request.search("/traces", &own);
    view! {
        <section class="panel" id="span" aria-label=tr("Span")>
            <div class="panel-head">
                <h2>{parts::service(&span.service_name)}" "{span.name.clone()}</h2>
                <a href=close data-close="" aria-label=tr("Close")>{tr("× close")}</a>
            </div>
            <p>
                <strong>{format::duration(span.duration_ns)}</strong>" · "{trv("starts at {0} ({1})", [format::duration(after).into_any(), row_time(&span.time_unix_nano, Show::Full)])}" · "
                {span.kind_text.clone()}" · "<span class=status_class>{status_text(span)}</span>
            </p>
            {relatives(request, trace, span)}
            <p class="hand-overs">
                <a class="button" href=alike>{tr("Traces with this operation")}</a>" "
                {(!span.correlation_id.is_empty()).then(|| view! { <a class="button" href=parts::story_link(request, &span.correlation_id)>{trf("Story of {0}", &[&span.correlation_id])}</a> })}
            </p>
            {events(span)}
            {attributes(tr("Attributes"), "", &span.attributes, request)}
            {logs(trace, span)}
            {links(request, span)}
            {attributes(tr("Resource"), "resource.", &span.resource_attributes, request)}
            <dl class="facts">
                <dt>{tr("Span id")}</dt><dd class="mono">{span.span_id.clone()}</dd>
                {(!span.parent_span_id.is_empty()).then(|| view! { <dt>{tr("Parent")}</dt><dd class="mono">{span.parent_span_id.clone()}</dd> })}
                {(!span.scope_name.is_empty()).then(|| view! { <dt>{tr("Scope")}</dt><dd class="mono">{span.scope_name.clone()}</dd> })}
                {(!span.trace_state.is_empty()).then(|| view! { <dt>{tr("Trace state")}</dt><dd class="mono">{span.trace_state.clone()}</dd> })}
            </dl>
            <details class="json"><summary>"JSON"</summary>{parts::copyable(&serde_json::to_string_pretty(span).unwrap_or_default())}</details>
        </section>
    }
    .into_any()
}

fn relatives(request: &PageRequest, trace: &Trace, span: &SpanRow) -> AnyView {
    let to = |other: &SpanRow| {
        let address = format!("{}#span", request.here(&request.params.with("span", &other.span_id)));
        view! { <a href=address>{format!("{}: {}", other.service_name, other.name)}</a> }
    };
    let parent =
        trace.spans.iter().find(|other| !span.parent_span_id.is_empty() && other.span_id == span.parent_span_id);
    let parent = match parent {
        Some(parent) => view! { <span>{trv("Parent: {0}", [to(parent).into_any()])}</span> }.into_any(),
        None if span.parent_span_id.is_empty() => view! { <span>{tr("A root: no parent")}</span> }.into_any(),
        None => view! { <span class="warning">{tr("⁇ Its parent is not here")}</span> }.into_any(),
    };
    let children: Vec<_> = trace.spans.iter().filter(|other| other.parent_span_id == span.span_id).collect();
    let total = children.len();
    let shown: Vec<_> = children.into_iter().take(8).map(|child| view! { " "{to(child)} }).collect();
    let more = (total > 8).then(|| format!(" {}", trf("and {0} more", &[&(total - 8).to_string()])));
    view! { <p class="quiet">{parent}{(total > 0).then(|| view! { " · "{tr("Children")}":"{shown}{more} })}</p> }
        .into_any()
}

fn attributes(title: &'static str, prefix: &str, attributes: &Map<String, Value>, request: &PageRequest) -> AnyView {
    if attributes.is_empty() {
        return ().into_any();
    }
    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let rows: Vec<_> = sorted
        .into_iter()
        .map(|(key, value)| {
            let text = plain(value);
            let search = request.search("/traces", &field_term(&format!("{prefix}{key}"), &text));
            view! {
                <tr>
                    <th scope="row">{key.clone()}</th>
                    <td class="mono value">{text}</td>
                    <td class="do"><a href=search aria-label=trf("Find traces with this {0}", &[key])>{tr("find")}</a></td>
                </tr>
            }
        })
        .collect();
    view! {
        <div>
            <h3>{title}</h3>
            <div class="table-wrap"><table class="fields dense">
                <thead><tr><th scope="col">{tr("Field")}</th><th scope="col">{tr("Value")}</th><th scope="col">{tr("Do")}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table></div>
        </div>
    }
    .into_any()
}

/// A member of an event or a link, whatever case its key is in.
fn member<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(name))
}

fn events(span: &SpanRow) -> AnyView {
    if span.events.is_empty() {
        return ().into_any();
    }
    let items: Vec<_> = span
        .events
        .iter()
        .map(|event| {
            let name = member(event, &["name"]).map(plain).unwrap_or_default();
            let after = member(event, &["time_unix_nano", "timeUnixNano", "time"])
                .and_then(|time| plain(time).parse::<i64>().ok())
                .map(|time| trf("at {0}", &[&format::duration(time.saturating_sub(start_of(span)))]));
            let attributes = member(event, &["attributes"]).and_then(Value::as_object);
            let stack = attributes.and_then(|map| map.get("exception.stacktrace")).map(plain);
            let rest: Vec<_> = attributes
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != "exception.stacktrace")
                .map(|(key, value)| view! { <dt>{key.clone()}</dt><dd class="mono">{plain(value)}</dd> })
                .collect();
            let class = if name == "exception" { "event bad" } else { "event" };
            view! {
                <li class=class>
                    <strong>{name}</strong>" "<span class="quiet">{after}</span>
                    <dl class="facts">{rest}</dl>
                    {stack.map(|stack| view! { <pre class="stack" tabindex="0">{stack}</pre> })}
                </li>
            }
        })
        .collect();
    view! { <h3>{tr("Events")}</h3><ol class="events">{items}</ol> }.into_any()
}

fn links(request: &PageRequest, span: &SpanRow) -> AnyView {
    if span.links.is_empty() {
        return ().into_any();
    }
    let items: Vec<_> = span
        .links
        .iter()
        .map(|link| {
            let text = |names: &[&str]| member(link, names).map(plain).unwrap_or_default();
            let (trace_id, span_id) = (text(&["trace_id", "traceId"]), text(&["span_id", "spanId"]));
            let is_id = trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
            let shown = format!("{trace_id} · {span_id}");
            if is_id {
                let address = request.time.params().with("span", &span_id).on(&format!("/traces/{trace_id}"));
                view! { <li><a class="mono" href=address>{shown}</a></li> }.into_any()
            } else {
                view! { <li class="mono">{shown}</li> }.into_any()
            }
        })
        .collect();
    view! { <h3>{tr("Links")}</h3><ul>{items}</ul> }.into_any()
}

fn logs(trace: &Trace, span: &SpanRow) -> AnyView {
    let of_span: Vec<&LogRow> = trace.logs.iter().filter(|log| log.span_id == span.span_id).collect();
    if of_span.is_empty() {
        return ().into_any();
    }
    let total = of_span.len();
    let lines: Vec<_> = of_span.into_iter().take(LOGS_SHOWN).map(|log| log_line(log, &span.service_name)).collect();
    let all = Params::default()
        .with("q", &format!("span_id:{}", span.span_id))
        .with("start", &crate::clock::rfc3339(start_of(span).saturating_sub(60_000_000_000)))
        .with(
            "end",
            &crate::clock::rfc3339(
                start_of(span).saturating_add(span.duration_ns.max(0)).saturating_add(60_000_000_000),
            ),
        )
        .on("/logs");
    let head = format!("{} ({})", tr("Logs"), format::count(total as u64));
    let cut = (total > LOGS_SHOWN).then(|| format!("{} · ", trf("the first {0}", &[&LOGS_SHOWN.to_string()])));
    view! { <h3>{head}</h3><p class="quiet">{cut}<a href=all>{tr("in Logs")}</a></p><ol class="log-lines">{lines}</ol> }
        .into_any()
}

/// A log record in a few lines, with its service where that is another one; its time leads to it among the others.
pub(super) fn log_line(log: &LogRow, of: &str) -> AnyView {
    let severity = Severity::of_level(&log.level);
    let class = format!("log-line {}", severity.class());
    let at = log.time_unix_nano.parse::<i64>().unwrap_or_default();
    let around = |ns: i64| crate::clock::rfc3339(at.saturating_add(ns));
    let address = Params::default()
        .with("q", &field_term("trace_id", &log.trace_id))
        .with("start", &around(-60_000_000_000))
        .with("end", &around(60_000_000_000))
        .with("row", &log.row)
        .with("at", &log.time_unix_nano)
        .on("/logs");
    let service = (log.service_name != of).then(|| parts::service(&log.service_name));
    view! {
        <li class=class>
            <a class="time" href=format!("{address}#row")>{row_time(&log.time_unix_nano, Show::Row)}</a>
            <span class="mark">{severity.mark()}</span>
            {service}
            <span class="body clip-4">{format::clipped(&plain(&log.body), 2_000)}</span>
        </li>
    }
    .into_any()
}
