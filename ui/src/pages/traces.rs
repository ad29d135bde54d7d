//! Traces: search, durations over time, and the list of what was found.

use crate::chart::scatter::{Point, scatter};
use crate::clock::{Show, row_time};
use crate::context::UiContext;
use crate::format;
use crate::palette::service_class;
use crate::params::Params;
use crate::parts::{self, hidden_inputs};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{Page, QueryError, TraceOrder, TraceSummary, TracesRequest};
use std::sync::Arc;

const TRACES_PER_PAGE: usize = 100;
const ORDERS: [(&str, &str); 3] = [("newest", "Newest"), ("slowest", "Slowest"), ("errors", "Most errors")];
const HELP: [(&str, &str); 8] = [
    ("service:checkout status:error", "failing spans of a service"),
    ("duration>250ms", "slow spans; ns, us, ms, s, m, h"),
    ("name:\"GET /cart\"", "an operation by its exact name"),
    ("kind:server", "server, client, producer, consumer, internal"),
    ("http.response.status_code:5*", "any attribute, with a wildcard"),
    ("-http.route:/health", "without; also NOT"),
    ("db.system.name:postgresql duration>100ms", "slow calls of a database"),
    ("event.name:exception", "spans with such an event"),
];

/// Answers `/traces`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let order = match request.params.get("order") {
        Some("slowest") => TraceOrder::Slowest,
        Some("errors") => TraceOrder::MostErrors,
        _ => TraceOrder::Newest,
    };
    let search =
        TracesRequest { query: request.query().to_owned(), range: request.time.range, limit: TRACES_PER_PAGE, order };
    let found = context.query.traces(&search).await;
    page(&request, || screen(&request, &found))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, found: &Result<Page<TraceSummary>, QueryError>) -> Screen {
    let results = match found {
        Err(error) => parts::error(request.query(), error),
        Ok(found) => results(request, found),
    };
    let content = view! { <h1 class="unseen">"Traces"</h1>{search_bar(request)}{results} }.into_any();
    let title = match request.query() {
        "" => "Traces".to_owned(),
        query => format!("Traces: {}", format::clipped(query, 60)),
    };
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

fn search_bar(request: &PageRequest) -> AnyView {
    let carried = request.params.without("q").without("cursor");
    let help: Vec<_> = HELP
        .iter()
        .map(|(example, meaning)| {
            view! { <dt><a href=request.search("/traces", example)><code>{*example}</code></a></dt><dd>{*meaning}</dd> }
        })
        .collect();
    let chosen = request.params.get("order").unwrap_or("newest");
    let orders: Vec<_> = ORDERS
        .iter()
        .map(|(order, words)| {
            let current = (*order == chosen).then_some("true");
            view! { <li><a href=request.here(&request.params.without("cursor").with("order", order)) aria-current=current>{*words}</a></li> }
        })
        .collect();
    view! {
        <div class="search">
            <form action="/traces" method="get" role="search" aria-label="Search traces">
                {hidden_inputs(&carried)}
                <input type="search" name="q" value=request.query().to_owned() class="query mono" placeholder="service:checkout status:error duration>250ms"
                    aria-label="Search traces by any of their spans" autocomplete="off" spellcheck="false" maxlength="8192" />
                <button class="primary">"Search"</button>
            </form>
            <div class="search-more">
                <ul class="choices" aria-label="Order">{orders}</ul>
                <details class="menu">
                    <summary>"Syntax"</summary>
                    <div class="menu-body wide"><dl class="help">{help}</dl></div>
                </details>
            </div>
        </div>
    }
    .into_any()
}

fn results(request: &PageRequest, found: &Page<TraceSummary>) -> AnyView {
    if found.rows.is_empty() {
        let wider = request.here(&request.params.without("end").without("cursor").with("start", "-24h"));
        return view! {
            {parts::coverage(0, "matching trace", &found.coverage)}
            <p class="empty">"No trace matches in this range. "<a href=wider>"Search the last 24 hours"</a></p>
        }
        .into_any();
    }
    let points: Vec<_> = found.rows.iter().filter_map(point).collect();
    let rows: Vec<_> = found.rows.iter().map(line).collect();
    // The list is cut, not paged: a narrower range or search shows the rest.
    let more = (found.rows.len() >= TRACES_PER_PAGE).then(|| {
        view! { <p class="quiet">{format!("{TRACES_PER_PAGE} traces are shown; narrow the search or the time range to see others.")}</p> }
    });
    let count = format!(
        "{} of {}{} that match, {} in range, {:.0} ms",
        format::count(found.rows.len() as u64),
        if found.coverage.matched_is_exact { "" } else { "at least " },
        format::counted(found.coverage.matched, "trace"),
        format::counted(found.coverage.rows_in_range, "span"),
        found.coverage.elapsed_ms
    );
    view! {
        {scatter(&points, request.time.range)}
        <p class="covers">{count}{parts::incomplete(&found.coverage)}</p>
        <div class="table-wrap">
            <table class="traces dense">
                <thead><tr>
                    <th scope="col">"Start"</th><th scope="col">"Trace"</th><th scope="col" class="num">"Duration"</th>
                    <th scope="col">"Services"</th><th scope="col" class="num">"Spans"</th><th scope="col" class="num">"Errors"</th>
                    <th scope="col" class="num">"Matching"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        {more}
    }
    .into_any()
}

fn address(trace: &TraceSummary) -> String {
    Params::default().on(&format!("/traces/{}", trace.trace_id))
}

fn point(trace: &TraceSummary) -> Option<Point> {
    Some(Point {
        time_ns: trace.start_unix_nano.parse().ok()?,
        duration_ns: trace.duration_ns,
        is_error: trace.errors > 0,
        href: address(trace),
        label: format!("{}: {}", trace.root_service, trace.root_name),
    })
}

fn line(trace: &TraceSummary) -> AnyView {
    let missing = trace.root_is_missing.then(|| view! { <span class="quiet" title="The root span has not come in; the earliest span stands for it">" (root missing)"</span> });
    let error_class = if trace.errors > 0 { "num bad" } else { "num" };
    let errors = if trace.errors > 0 { format!("✖ {}", format::count(trace.errors)) } else { "0".to_owned() };
    view! {
        <tr>
            <td class="time">{row_time(&trace.start_unix_nano, Show::Row)}</td>
            <th scope="row"><a href=address(trace) data-row="">{parts::service(&trace.root_service)}" "{trace.root_name.clone()}</a>{missing}</th>
            <td class="num">{format::duration(trace.duration_ns)}</td>
            <td>{mix(trace)}</td>
            <td class="num">{format::count(trace.spans)}</td>
            <td class=error_class>{errors}</td>
            <td class="num">{format::count(trace.matched_spans)}</td>
        </tr>
    }
    .into_any()
}

/// How the trace's time divides among its services, as one bar with the names as its text.
fn mix(trace: &TraceSummary) -> AnyView {
    let total = trace.services.iter().map(|share| share.duration_ns.max(0) as f64).sum::<f64>().max(1.0);
    let mut x = 0.0;
    let pieces: Vec<_> = trace
        .services
        .iter()
        .map(|share| {
            let width = share.duration_ns.max(0) as f64 / total * 160.0;
            let class = format!("piece {}", service_class(&share.name));
            let at = format!("{x:.1}");
            x += width;
            view! { <rect class=class x=at y="0" width=format!("{:.1}", width.max(0.5)) height="10"></rect> }
        })
        .collect();
    let names: Vec<String> = trace
        .services
        .iter()
        .map(|share| {
            format!(
                "{} {} in {}",
                share.name,
                format::duration(share.duration_ns),
                format::counted(share.spans, "span")
            )
        })
        .collect();
    let shown = trace.services.iter().take(2).map(|share| share.name.as_str()).collect::<Vec<_>>().join(", ");
    let more = trace.services.len().saturating_sub(2);
    let shown = if more > 0 { format!("{} and {more} more", format::clipped(&shown, 40)) } else { shown };
    view! {
        <svg class="mix" viewBox="0 0 160 10" preserveAspectRatio="none" role="img" aria-label=names.join("; ")>{pieces}</svg>
        <span class="quiet mix-names">{shown}</span>
    }
    .into_any()
}
