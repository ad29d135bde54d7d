//! One log record in detail: every field with what can be done with it, its trace, the lines around it, its JSON.

use super::{AROUND_MOST, OpenRow, around_lines, rows};
use crate::clock::{Show, rfc3339, row_time};
use crate::palette::Severity;
use crate::params::{Params, encoded};
use crate::parts::{self, field_term, narrowed, plain};
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Context, LogRow, QueryError};

/// The panel below the rows.
pub(super) fn panel(request: &PageRequest, open: &OpenRow) -> AnyView {
    let close = request.here(&request.params.without("row").without("at"));
    // The row that was open is where reading goes on.
    let close = match &open.row {
        Some(row) => format!("{close}#closed-{}", encoded(&row.row)),
        None => close,
    };
    let content = match &open.row {
        None => view! { <p>{tr("This row is no longer here: it may be older than what is kept.")}</p> }.into_any(),
        Some(row) => view! {
            <pre class="whole-body">{whole_body(row)}</pre>
            {hand_overs(request, row)}
            {fields(request, row)}
            {open.around.as_ref().map(|around| surrounding(request, around))}
            {json(row)}
        }
        .into_any(),
    };
    view! {
        <section class="panel" id="row" aria-label=tr("Log record")>
            <div class="panel-head"><h2>{tr("Log record")}</h2><a href=close data-close="" aria-label=tr("Close")>{tr("× close")}</a></div>
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
        let time = request.time.params();
        let params = if row.span_id.is_empty() { time } else { time.with("span", &row.span_id) };
        view! { <a class="button" href=params.on(&format!("/traces/{}", row.trace_id))>{tr("Its trace, at this span")}</a> }
    });
    let story = (!row.correlation_id.is_empty())
        .then(|| view! { <a class="button" href=parts::story_link(request, &row.correlation_id)>{trf("Story of {0}", &[&row.correlation_id])}</a> });
    let service = request.search("/traces", &field_term("service.name", &row.service_name));
    view! { <p class="hand-overs">{trace}" "{story}" "<a class="button" href=service>{trf("Traces of {0}", &[&row.service_name])}</a></p> }.into_any()
}

fn fields(request: &PageRequest, row: &LogRow) -> AnyView {
    let severity = Severity::of_level(&row.level);
    let mut rows = vec![
        view! { <tr><th scope="row">{tr("time")}</th><td>{row_time(&row.time_unix_nano, Show::Full)}</td><td></td></tr> }
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
    let mut attributes: Vec<_> = row.attributes.iter().collect();
    attributes.sort_unstable_by_key(|(key, _)| *key);
    rows.extend(
        attributes.into_iter().map(|(key, value)| pair(request, key, &format!("attributes.{key}"), &plain(value))),
    );
    let mut resource: Vec<_> = row.resource_attributes.iter().filter(|(key, _)| *key != "service.name").collect();
    resource.sort_unstable_by_key(|(key, _)| *key);
    rows.extend(resource.into_iter().map(|(key, value)| {
        let key = format!("resource.{key}");
        pair(request, &key, &key, &plain(value))
    }));
    view! {
        <div class="table-wrap">
            <table class="fields dense">
                <thead><tr><th scope="col">{tr("Field")}</th><th scope="col">{tr("Value")}</th><th scope="col">{tr("Do")}</th></tr></thead>
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
                <a href=include aria-label=trf("Include {0}", &[&term])>{tr("include")}</a>" "
                <a href=exclude aria-label=trf("Exclude {0}", &[&term])>{tr("exclude")}</a>" "
                <a href=column aria-label=trf("Add column {0}", &[name])>{tr("column")}</a>" "
                <button type="button" class="needs-script link" data-copy=value.to_owned() aria-label=trf("Copy {0}", &[name])>{tr("copy")}</button>
            </td>
        </tr>
    }
    .into_any()
}

/// The lines before and after, as they were written: the oldest first.
fn surrounding(request: &PageRequest, around: &Result<Context, QueryError>) -> AnyView {
    let around = match around {
        Err(error) => return parts::error("", error),
        Ok(around) => around,
    };
    if around.before.is_empty() && around.after.is_empty() {
        return view! { <h3>{tr("Around it")}</h3><p class="quiet">{tr("The same instance wrote nothing else.")}</p> }
            .into_any();
    }
    let line = |line: &LogRow, is_this: bool| {
        let severity = Severity::of_level(&line.level);
        let class = format!("log-line {}{}", severity.class(), if is_this { " is-open" } else { "" });
        let address =
            format!("{}#row", request.here(&request.params.with("row", &line.row).with("at", &line.time_unix_nano)));
        view! {
            <li class=class aria-current=is_this.then_some("true")>
                <a class="time" href=address>{row_time(&line.time_unix_nano, Show::Row)}</a>
                <span class="mark">{severity.mark()}</span>
                <span class="body clip-4">{rows::body(line, &[])}</span>
            </li>
        }
    };
    let mut items: Vec<_> = around.before.iter().map(|row| line(row, false)).collect();
    items.push(line(&around.row, true));
    items.extend(around.after.iter().map(|row| line(row, false)));
    let lines = around_lines(request);
    let more = ((around.more_before || around.more_after) && lines < AROUND_MOST).then(|| {
        let address =
            format!("{}#row", request.here(&request.params.with("around", &(lines * 4).min(AROUND_MOST).to_string())));
        view! { <a href=address>{tr("more lines")}</a> }
    });
    let moment = |row: Option<&LogRow>| row.and_then(|row| row.time_unix_nano.parse::<i64>().ok());
    let first = moment(around.before.first().or(Some(&around.row)));
    let last = moment(around.after.last().or(Some(&around.row)));
    let all = first.zip(last).map(|(first, last)| {
        let params = Params::default()
            .with("q", &around.query)
            .with("start", &rfc3339(first))
            .with("end", &rfc3339(last.saturating_add(1)))
            .with("row", &around.row.row)
            .with("at", &around.row.time_unix_nano);
        view! { <a href=params.on("/logs")>{tr("all of these as a search")}</a> }
    });
    let head = trf(
        "Around it, of the same instance ({0} before, {1} after)",
        &[&around.before.len().to_string(), &around.after.len().to_string()],
    );
    view! { <h3>{head}</h3><ol class="log-lines">{items}</ol><p class="covers">{more}" "{all}</p> }.into_any()
}

fn json(row: &LogRow) -> AnyView {
    let text = serde_json::to_string_pretty(row).unwrap_or_default();
    view! { <details class="json"><summary>"JSON"</summary>{parts::copyable(&text)}</details> }.into_any()
}
