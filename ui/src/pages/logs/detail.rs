//! One log record in detail: every field with what can be done with it, its trace, the lines around it, its JSON.

use super::{OpenRow, SURROUNDING_NS, rows, same_source};
use crate::clock::{Show, rfc3339, row_time};
use crate::palette::Severity;
use crate::params::Params;
use crate::parts::{self, field_term, narrowed, plain};
use crate::request::PageRequest;
use leptos::prelude::*;
use mangru_query::LogRow;

/// The panel below the rows.
pub(super) fn panel(request: &PageRequest, open: &OpenRow) -> AnyView {
    let close = request.here(&request.params.without("row").without("at"));
    let content = match &open.row {
        None => view! { <p>"This row is no longer here: it may be older than what is kept."</p> }.into_any(),
        Some(row) => view! {
            <pre class="whole-body">{whole_body(row)}</pre>
            {hand_overs(request, row)}
            {fields(request, row)}
            {surrounding(row, &open.surrounding)}
            {json(row)}
        }
        .into_any(),
    };
    view! {
        <section class="panel" id="row" aria-label="Log record">
            <div class="panel-head"><h2>"Log record"</h2><a href=close data-close="" aria-label="Close">"× close"</a></div>
            {content}
        </section>
    }
    .into_any()
}

fn whole_body(row: &LogRow) -> String {
    match &row.body {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => String::new(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

fn hand_overs(request: &PageRequest, row: &LogRow) -> AnyView {
    let trace = (!row.trace_id.is_empty()).then(|| {
        let params =
            if row.span_id.is_empty() { Params::default() } else { Params::default().with("span", &row.span_id) };
        view! { <a class="button" href=params.on(&format!("/traces/{}", row.trace_id))>"Its trace, at this span"</a> }
    });
    let story = (!row.correlation_id.is_empty())
        .then(|| view! { <a class="button" href=parts::story_link(&row.correlation_id)>{format!("Story of {}", row.correlation_id)}</a> });
    let around = row.time_unix_nano.parse::<i64>().ok().map(|time| {
        let params = Params::default()
            .with("q", &same_source(row))
            .with("start", &rfc3339(time.saturating_sub(SURROUNDING_NS)))
            .with("end", &rfc3339(time.saturating_add(SURROUNDING_NS)))
            .with("row", &row.row)
            .with("at", &row.time_unix_nano);
        view! { <a class="button" href=params.on("/logs")>"Lines around it"</a> }
    });
    let service = request.search("/traces", &field_term("service.name", &row.service_name));
    view! { <p class="hand-overs">{trace}" "{story}" "{around}" "<a class="button" href=service>{format!("Traces of {}", row.service_name)}</a></p> }.into_any()
}

fn fields(request: &PageRequest, row: &LogRow) -> AnyView {
    let severity = Severity::of(row.severity_number);
    let mut rows = vec![
        view! { <tr><th scope="row">"time"</th><td>{row_time(&row.time_unix_nano, Show::Full)}</td><td></td></tr> }
            .into_any(),
        pair(request, "severity_number", "severity_number", &row.severity_number.to_string()),
        pair(request, "severity_text", "severity_text", &row.severity_text),
        pair(request, "level", "level", severity.word()),
        pair(request, "service.name", "service.name", &row.service_name),
        pair(request, "event.name", "event.name", &row.event_name),
        pair(request, "trace_id", "trace_id", &row.trace_id),
        pair(request, "span_id", "span_id", &row.span_id),
        pair(request, "correlation_id", "correlation_id", &row.correlation_id),
        pair(request, "scope.name", "scope.name", &row.scope_name),
    ];
    rows.extend(
        row.attributes.iter().map(|(key, value)| pair(request, key, &format!("attributes.{key}"), &plain(value))),
    );
    rows.extend(
        row.resource_attributes
            .iter()
            .filter(|(key, _)| *key != "service.name")
            .map(|(key, value)| pair(request, &format!("resource.{key}"), &format!("resource.{key}"), &plain(value))),
    );
    view! {
        <div class="table-wrap">
            <table class="fields dense">
                <thead><tr><th scope="col">"Field"</th><th scope="col">"Value"</th><th scope="col">"Do"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// A field with its value, and links that search for it, exclude it, or make it a column.
fn pair(request: &PageRequest, name: &str, search_name: &str, value: &str) -> AnyView {
    if value.is_empty() {
        return ().into_any();
    }
    let params = request.params.without("cursor").without("row").without("at");
    let term = field_term(search_name, value);
    let include = request.here(&params.with("q", &narrowed(request.query(), &term)));
    let exclude = request.here(&params.with("q", &narrowed(request.query(), &format!("-{term}"))));
    let column = request.here(&request.params.without_value("col", name).and("col", name));
    view! {
        <tr>
            <th scope="row">{name.to_owned()}</th>
            <td class="mono value">{value.to_owned()}</td>
            <td class="do">
                <a href=include aria-label=format!("Include {term}")>"include"</a>" "
                <a href=exclude aria-label=format!("Exclude {term}")>"exclude"</a>" "
                <a href=column aria-label=format!("Add column {name}")>"column"</a>" "
                <button type="button" class="needs-script link" data-copy=value.to_owned() aria-label=format!("Copy {name}")>"copy"</button>
            </td>
        </tr>
    }
    .into_any()
}

fn surrounding(row: &LogRow, lines: &[LogRow]) -> AnyView {
    if lines.len() < 2 {
        return ().into_any();
    }
    let items: Vec<_> = lines
        .iter()
        .map(|line| {
            let severity = Severity::of(line.severity_number);
            let is_this = line.row == row.row;
            let class = format!("log-line {}{}", severity.class(), if is_this { " is-open" } else { "" });
            view! {
                <li class=class aria-current=is_this.then_some("true")>
                    <span class="time">{row_time(&line.time_unix_nano, Show::Row)}</span>
                    <span class="mark">{severity.mark()}</span>
                    <span class="body">{rows::body(line, &[])}</span>
                </li>
            }
        })
        .collect();
    view! { <h3>"Around it, of the same instance (5 s each way)"</h3><ol class="log-lines">{items}</ol> }.into_any()
}

fn json(row: &LogRow) -> AnyView {
    let text = serde_json::to_string_pretty(row).unwrap_or_default();
    view! { <details class="json"><summary>"JSON"</summary>{parts::copyable(&text)}</details> }.into_any()
}
