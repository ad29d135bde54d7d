//! The rows of a page of results.

use super::{OpenRow, detail};
use crate::clock::{Show, row_time};
use crate::format;
use crate::highlight;
use crate::palette::Severity;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{LogRow, Page};

const BODY_CHARS: usize = 2000;

/// The chosen columns besides time, severity, service and body.
fn columns(request: &PageRequest) -> Vec<String> {
    request.params.all("col").map(str::to_owned).collect()
}

/// The value of a field of a row, as text.
pub(crate) fn field(row: &LogRow, name: &str) -> String {
    match name {
        "trace_id" => row.trace_id.clone(),
        "span_id" => row.span_id.clone(),
        "correlation_id" => row.correlation_id.clone(),
        "scope.name" => row.scope_name.clone(),
        "event.name" => row.event_name.clone(),
        "severity_number" => row.severity_number.to_string(),
        "level" => Severity::of(row.severity_number).word().to_owned(),
        "severity_text" => row.severity_text.clone(),
        _ => {
            let resource_name = name.strip_prefix("resource.").unwrap_or(name);
            row.attributes
                .get(name)
                .or_else(|| row.resource_attributes.get(resource_name))
                .map(parts::plain)
                .unwrap_or_default()
        }
    }
}

/// The table of rows, what it covers, and the way to the next page.
pub(super) fn results(request: &PageRequest, page: &Page<LogRow>, open: Option<&OpenRow>) -> AnyView {
    let columns = columns(request);
    let terms = highlight::terms(request.query());
    let open_row = open.and_then(|open| open.row.as_ref()).map(|row| row.row.as_str());
    let is_on_page = page.rows.iter().any(|row| open_row == Some(row.row.as_str()));
    let apart = open.filter(|_| !is_on_page).map(|open| detail::panel(request, open));
    if page.rows.is_empty() {
        let wider = request.here(&request.params.without("end").without("cursor").with("start", "-24h"));
        return view! {
            {apart}
            {parts::coverage(0, "matching row", &page.coverage)}
            <p class="empty">{tr("Nothing matches in this range.")}" "<a href=wider>{tr("Search the last 24 hours")}</a>" · "<a href=request.here(&request.params.without("q").without("cursor"))>{tr("Drop the search")}</a></p>
        }
        .into_any();
    }
    let heads: Vec<_> = columns
        .iter()
        .map(|name| {
            let remove = request.here(&request.params.without_value("col", name));
            view! { <th scope="col">{name.clone()}" "<a class="remove" href=remove aria-label=trf("Remove column {0}", &[name])>"×"</a></th> }
        })
        .collect();
    // The size of a page cuts nothing: the rest is a link away.
    let mut covered = page.coverage.clone();
    let is_page_full = covered.limit_hit.as_deref() == Some(format!("limit of {} rows", page.rows.len()).as_str());
    covered.complete |= page.cursor.is_some() && is_page_full;
    let width = (columns.len() + 4).to_string();
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|row| {
            let is_open = open_row == Some(row.row.as_str());
            let below = open.filter(|_| is_open).map(|open| {
                view! { <tr class="detail"><td colspan=width.clone()>{detail::panel(request, open)}</td></tr> }
            });
            view! { {line(request, row, &columns, &terms, is_open)}{below} }
        })
        .collect();
    let newest = request.params.get("cursor").map(|_| {
        view! { <a href=request.here(&request.params.without("cursor").without("row").without("at"))>{tr("⟨ Newest")}</a> }
    });
    let older = page.cursor.as_ref().map(|cursor| {
        let mut params = request.params.without("row").without("at").with("cursor", cursor);
        if request.time.is_relative() {
            // The pages of one result share one range.
            params = params
                .with("start", &crate::clock::rfc3339(request.time.range.start))
                .with("end", &crate::clock::rfc3339(request.time.range.end));
        }
        view! { <a rel="next" href=request.here(&params)>{tr("Older ⟩")}</a> }
    });
    let end =
        page.cursor.is_none().then(|| view! { <span class="quiet">{tr("the oldest match in range is above")}</span> });
    view! {
        {apart}
        {parts::coverage(page.rows.len(), "matching row", &covered)}
        <div class="table-wrap">
            <table class="logs dense">
                <thead><tr><th scope="col">{tr("Time")}</th><th scope="col"><abbr title=tr("Severity")>{tr("Sev")}</abbr></th><th scope="col">{tr("Service")}</th>{heads}<th scope="col">{tr("Message")}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        <nav class="paging" aria-label=tr("Pages of the result")>{newest}{older}{end}</nav>
    }
    .into_any()
}

fn line(request: &PageRequest, row: &LogRow, columns: &[String], terms: &[String], is_open: bool) -> AnyView {
    let severity = Severity::of_level(&row.level);
    let address =
        format!("{}#row", request.here(&request.params.with("row", &row.row).with("at", &row.time_unix_nano)));
    let cells: Vec<_> =
        columns.iter().map(|name| view! { <td class="mono">{format::clipped(&field(row, name), 200)}</td> }).collect();
    let class = format!("{}{}", severity.class(), if is_open { " is-open" } else { "" });
    let mark = format!("mark {}", severity.class());
    let severity_name =
        if row.severity_text.is_empty() { severity.word().to_owned() } else { row.severity_text.clone() };
    view! {
        <tr class=class aria-current=is_open.then_some("true")>
            <td class="time"><a href=address data-row="">{row_time(&row.time_unix_nano, Show::Row)}</a></td>
            <td><span class=mark title=severity_name>{severity.mark()}</span></td>
            <td>{parts::service(&row.service_name)}</td>
            {cells}
            <td class="body"><div class="clip">{body(row, terms)}</div></td>
        </tr>
    }
    .into_any()
}

/// The text of a row with the searched words marked.
pub(super) fn body(row: &LogRow, terms: &[String]) -> AnyView {
    let mut text = parts::plain(&row.body);
    if text.is_empty() && !row.event_name.is_empty() {
        text.clone_from(&row.event_name);
    }
    let text = format::clipped(&text, BODY_CHARS);
    let pieces: Vec<_> = highlight::pieces(&text, terms)
        .into_iter()
        .map(|(piece, is_term)| {
            let piece = piece.to_owned();
            if is_term { view! { <mark>{piece}</mark> }.into_any() } else { piece.into_any() }
        })
        .collect();
    pieces.into_any()
}
