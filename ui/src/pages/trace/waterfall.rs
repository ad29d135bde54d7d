//! The waterfall as the server draws it, and the table of spans; the island takes the waterfall's place when it wakes.

use super::ROWS_PER_PAGE;
use super::layout::{Layout, Placed, start_of};
use crate::clock::{Show, row_time};
use crate::format;
use crate::islands::waterfall::{Row, TraceWaterfall, flags, time_labels};
use crate::nouns::counted;
use crate::palette::{service_class, service_colour};
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{SpanRow, Trace};
use std::collections::HashMap;

/// The rows in view of a page without scripts, and the links to those before and after.
struct Window {
    first: usize,
    last: usize,
}

fn window(request: &PageRequest, count: usize) -> Window {
    let first = request.params.get("from").and_then(|from| from.parse().ok()).unwrap_or(0_usize).min(count);
    Window { first, last: (first + ROWS_PER_PAGE).min(count) }
}

fn paging(request: &PageRequest, window: &Window, count: usize) -> AnyView {
    if window.first == 0 && window.last == count {
        return ().into_any();
    }
    let to = |from: usize| request.here(&request.params.with("from", &from.to_string()));
    let before = (window.first > 0)
        .then(|| view! { <a href=to(window.first.saturating_sub(ROWS_PER_PAGE))>{tr("⟨ Spans before")}</a> });
    let after = (window.last < count).then(|| view! { <a href=to(window.last)>{tr("Spans after ⟩")}</a> });
    let shown = format!("{}–{}", window.first + 1, window.last);
    let text = trf("{0} of {1}", &[&shown, &counted(count as u64, "span")]);
    view! { <nav class="paging" aria-label=tr("Pages of spans")>{before}<span>{text}</span>{after}</nav> }.into_any()
}

/// The address of a span of this page, without its id.
fn span_base(request: &PageRequest) -> String {
    let params = request.params.without("span");
    let address = request.here(&params);
    format!("{address}{}span=", if address.contains('?') { '&' } else { '?' })
}

/// What the waterfall says, in the order it expects; how many of the spans are shown it puts in itself.
fn island_words(spans: usize) -> Vec<String> {
    vec![
        tr("Spans; arrow keys move, left and right collapse and expand, Enter opens").to_owned(),
        tr("Search in trace").to_owned(),
        trf("{0} of {1} shown", &["{0}", &counted(spans as u64, "span")]),
        tr("Expand all").to_owned(),
        tr("Collapse all").to_owned(),
        tr("Whole time").to_owned(),
        tr("Drag to zoom").to_owned(),
        tr("Children").to_owned(),
    ]
}

/// The waterfall: an island whose children are the rows for those without scripts.
pub(super) fn waterfall(request: &PageRequest, trace: &Trace, layout: &Layout) -> AnyView {
    let mut names = Words::default();
    let mut services = Words::default();
    let rows: Vec<Row> = layout
        .order
        .iter()
        .map(|placed| {
            let span = &trace.spans[placed.span];
            Row {
                id: span.span_id.clone(),
                depth: placed.depth,
                name: names.number(&span.name),
                service: services.number(&span.service_name),
                offset_ns: start_of(span).saturating_sub(layout.start_ns),
                duration_ns: span.duration_ns.max(0),
                flags: placed.flags,
            }
        })
        .collect();
    let window = window(request, rows.len());
    let base = span_base(request);
    let selected = request.params.get("span").unwrap_or("").to_owned();
    let total = layout.total_ns.max(1);
    let lines: Vec<_> = rows[window.first..window.last]
        .iter()
        .map(|row| {
            line(row, &names.list[row.name as usize], &services.list[row.service as usize], total, &base, &selected)
        })
        .collect();
    let colours = services.list.iter().map(|name| service_colour(name)).collect();
    let marks = time_labels(0.0, total as f64);
    let pages = paging(request, &window, rows.len());
    view! {
        <section aria-label=tr("Waterfall")>
            <TraceWaterfall rows names=names.list services=services.list colours total_ns=total base selected words=island_words(trace.spans.len())>
                <div class="wf-scale" aria-hidden="true"><span class="wf-name"></span><svg class="wf-axis">{marks}</svg></div>
                <div class="wf-static">{lines}</div>
                {pages}
            </TraceWaterfall>
            <p class="quiet">{tr("✖ error  ⁇ parent missing  ⇄ starts before its parent  ↦ ends after it  • events  ⇢ links  ≡ logs; the line below a bar marks the critical path")}</p>
        </section>
    }
    .into_any()
}

/// Words numbered in the order of their first use.
#[derive(Default)]
struct Words {
    list: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Words {
    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }
}

fn line(row: &Row, name: &str, service: &str, total: i64, base: &str, selected: &str) -> AnyView {
    let is_selected = row.id == selected;
    let class = format!("wf-row d{}{}", row.depth.min(24), if is_selected { " is-selected" } else { "" });
    let bar = format!("wf-bar-shape {}{}", service_class(service), if row.has(flags::ERROR) { " error" } else { "" });
    let x = format!("{:.1}", row.offset_ns as f64 / total as f64 * 1000.0);
    let width = format!("{:.1}", (row.duration_ns as f64 / total as f64 * 1000.0).max(2.0));
    let critical = row
        .has(flags::CRITICAL)
        .then(|| view! { <rect class="critical" x=x.clone() y="18" width=width.clone() height="2"></rect> });
    view! {
        <div class=class>
            <span class="wf-name">
                <span class="toggle"></span>
                <a href=format!("{base}{}", row.id) aria-current=is_selected.then_some("true")>{row.marks()}{parts::service(service)}" "{name.to_owned()}</a>
            </span>
            <svg class="wf-track" viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true">
                <rect class=bar x=x.clone() y="5" width=width.clone() height="12"></rect>
                {critical}
            </svg>
            <span class="wf-time num">{format::duration(row.duration_ns)}</span>
        </div>
    }
    .into_any()
}

/// The spans as a table.
pub(super) fn table(request: &PageRequest, trace: &Trace, layout: &Layout) -> AnyView {
    let window = window(request, layout.order.len());
    let base = span_base(request);
    let rows: Vec<_> = layout.order[window.first..window.last]
        .iter()
        .map(|placed| table_row(&trace.spans[placed.span], placed, layout.start_ns, &base))
        .collect();
    view! {
        <div class="table-wrap">
            <table class="dense">
                <thead><tr>
                    <th scope="col">{tr("Start")}</th><th scope="col" class="num">{tr("After")}</th><th scope="col">{tr("Service")}</th><th scope="col">{tr("Span")}</th>
                    <th scope="col">{tr("Kind")}</th><th scope="col" class="num">{tr("Duration")}</th><th scope="col">{tr("Status")}</th><th scope="col">{tr("Span id")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {paging(request, &window, layout.order.len())}
    }
    .into_any()
}

fn table_row(span: &SpanRow, placed: &Placed, start_ns: i64, base: &str) -> AnyView {
    let status = super::panel::status_text(span);
    let class = if placed.flags & flags::ERROR != 0 { "bad" } else { "" };
    view! {
        <tr>
            <td class="time">{row_time(&span.time_unix_nano, Show::Row)}</td>
            <td class="num">{format::duration(start_of(span).saturating_sub(start_ns))}</td>
            <td>{parts::service(&span.service_name)}</td>
            <th scope="row"><a href=format!("{base}{}", span.span_id) data-row="">{span.name.clone()}</a></th>
            <td>{span.kind_text.clone()}</td>
            <td class="num">{format::duration(span.duration_ns)}</td>
            <td class=class>{status}</td>
            <td class="mono">{span.span_id.clone()}</td>
        </tr>
    }
    .into_any()
}
