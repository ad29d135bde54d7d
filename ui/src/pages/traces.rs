//! Traces: search, durations over time, what stands out in a part of them, and the list of what was found.

pub(crate) mod charts;
mod different;
mod list;

use crate::answers::round_step;
use crate::chart::scatter::Region;
use crate::context::UiContext;
use crate::format;
use crate::pages::first_steps;
use crate::parts::{self, hidden_inputs, narrowed};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::tr;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{
    CompareRequest, Comparison, Heat, HeatRequest, Page, QueryError, Stats, StatsRequest, TraceOrder, TraceSummary,
    TracesRequest, parse_duration, parse_time,
};
use mangru_store::{Signal, TimeRange};
use std::sync::Arc;

const TRACES_PER_PAGE: usize = 50;
/// Columns of the picture of durations.
const COLUMNS: usize = 120;
/// Up to so many spans each is a point of its own.
const MAX_POINTS: usize = 1_200;
/// Buckets of the figures over time.
const BUCKETS: i64 = 60;

/// The orders of the list, by the name in the address.
fn orders() -> [(&'static str, &'static str); 3] {
    [("newest", tr("Newest")), ("slowest", tr("Slowest")), ("errors", tr("Most errors"))]
}

/// Searches with what they find.
fn examples() -> [(&'static str, &'static str); 10] {
    [
        ("service:checkout status:error", tr("failing spans of a service")),
        ("duration>250ms", tr("slow spans; ns, us, ms, s, m, h")),
        ("name:\"GET /cart\"", tr("an operation by its exact name")),
        ("kind:server", tr("server, client, producer, consumer, internal")),
        ("http.response.status_code:5*", tr("any attribute, with a wildcard")),
        ("-http.route:/health", tr("without; also NOT")),
        ("db.system.name:postgresql duration>100ms", tr("slow calls of a database")),
        ("event.name:exception", tr("spans with such an event")),
        ("{service:web} >> {service:payment status:error}", tr("structure: the second somewhere below the first")),
        ("{service:checkout} > {kind:client duration>1s}", tr("right below; also <, <<, ~ (siblings), & (same trace)")),
    ]
}

/// What the screen shows.
pub(crate) struct Traces {
    /// A page of traces.
    pub(crate) found: Result<Page<TraceSummary>, QueryError>,
    /// The matching spans by start and duration; none when a structure is searched.
    pub(crate) heat: Option<Result<Heat, QueryError>>,
    /// Figures of the matching spans over time.
    pub(crate) stats: Option<Result<Stats, QueryError>>,
    /// What is different about a part of the spans.
    pub(crate) comparison: Option<Result<Comparison, QueryError>>,
}

/// What is asked, as the address says it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The search, narrowed to roots when they alone are wanted.
    pub(super) query: String,
    /// Whether spans are looked for by how they stand to each other.
    pub(super) is_structure: bool,
    /// Whether roots alone are wanted.
    pub(super) roots_only: bool,
    /// The part of the picture that was chosen.
    pub(super) region: Option<Region>,
    /// What is compared with the rest.
    pub(super) part: Option<ComparedPart>,
}

/// The spans that are compared with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComparedPart {
    /// Those of the chosen region.
    Region,
    /// Those with errors.
    Errors,
    /// Those slower than 95 of 100.
    Slow,
}

impl Asked {
    pub(super) fn read(request: &PageRequest) -> Self {
        let own = request.query();
        let is_structure = own.starts_with('{');
        let roots_only = !is_structure
            && match request.params.get("spans") {
                Some("root") => true,
                Some(_) => false,
                None => own.is_empty(),
            };
        let query = if roots_only { narrowed(own, "-parent_span_id:*") } else { own.to_owned() };
        let region = region(request).filter(|_| !is_structure);
        let part = match request.params.get("compare") {
            Some("errors") => Some(ComparedPart::Errors),
            Some("slow") => Some(ComparedPart::Slow),
            _ => region.map(|_| ComparedPart::Region),
        };
        Self { query, is_structure, roots_only, region, part: part.filter(|_| !is_structure) }
    }

    /// The request that compares the part with the other spans; `slow_ns` is the duration from which a span is slow.
    fn comparison(&self, request: &PageRequest, slow_ns: Option<i64>) -> Option<CompareRequest> {
        let term = match self.part? {
            ComparedPart::Region => {
                let region = self.region?;
                format!("duration>={}ns duration<={}ns", region.min_ns.max(0), region.max_ns)
            }
            ComparedPart::Errors => "status:error".to_owned(),
            ComparedPart::Slow => format!("duration>={}ns", slow_ns?),
        };
        Some(CompareRequest {
            signal: Signal::Spans,
            selection: narrowed(&self.query, &term),
            baseline: Some(self.query.clone()).filter(|query| !query.is_empty()),
            range: request.time.range,
            selection_range: self.region.filter(|_| self.part == Some(ComparedPart::Region)).map(|region| region.time),
            max_fields: 18,
            max_values: 4,
        })
    }
}

/// The region in the address: all four sides, or as many as are there.
fn region(request: &PageRequest) -> Option<Region> {
    let text = |name: &str| request.params.get(name).map(str::trim);
    let sides = ["r_start", "r_end", "r_min", "r_max"];
    sides.iter().any(|side| text(side).is_some()).then_some(())?;
    let time = |name: &str| text(name).and_then(|text| parse_time(text, request.now));
    let duration = |name: &str| text(name).and_then(parse_duration);
    let range = request.time.range;
    let start = time("r_start").unwrap_or(range.start).clamp(range.start, range.end);
    let end = time("r_end").unwrap_or(range.end).clamp(start, range.end);
    Some(Region {
        time: TimeRange { start, end },
        min_ns: duration("r_min").unwrap_or(0),
        max_ns: duration("r_max").unwrap_or(86_400_000_000_000),
    })
}

/// Answers `/traces`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    if let Some(first_steps) = first_steps(&context, &request, || tr("Traces")) {
        return first_steps;
    }
    let asked = Asked::read(&request);
    let order = match request.params.get("order") {
        Some("slowest") => TraceOrder::Slowest,
        Some("errors") => TraceOrder::MostErrors,
        _ => TraceOrder::Newest,
    };
    let range = request.time.range;
    let search = TracesRequest {
        query: asked.query.clone(),
        range,
        limit: TRACES_PER_PAGE,
        order,
        cursor: request.params.get("cursor").map(str::to_owned),
    };
    let heat = HeatRequest { query: asked.query.clone(), range, columns: COLUMNS, max_points: MAX_POINTS };
    let figures = StatsRequest {
        query: asked.query.clone(),
        range,
        field: "duration".to_owned(),
        extract: None,
        by: None,
        step: Some(round_step(request.time.length(), BUCKETS)),
        top: 1,
    };
    let query = &context.query;
    let (found, heat, stats) = futures::join!(
        query.traces(&search),
        async { if asked.is_structure { None } else { Some(query.heat(&heat).await) } },
        async { if asked.is_structure { None } else { Some(query.stats(Signal::Spans, &figures).await) } },
    );
    let slow = stats.as_ref().and_then(|stats| stats.as_ref().ok()?.series.first()?.total.p95).map(|p95| p95 as i64);
    let comparison = match asked.comparison(&request, slow) {
        Some(comparison) => Some(query.compare(&comparison).await),
        None => None,
    };
    let traces = Traces { found, heat, stats, comparison };
    page(&request, || screen(&request, &traces))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, traces: &Traces) -> Screen {
    let asked = Asked::read(request);
    let results = match &traces.found {
        Err(error) => parts::error(&asked.query, error),
        Ok(found) => view! {
            {charts::charts(request, &asked, traces)}
            {different::panel(request, &asked, traces.comparison.as_ref())}
            {list::results(request, &asked, found)}
        }
        .into_any(),
    };
    let content = view! { <h1 class="unseen">{tr("Traces")}</h1>{search_bar(request, &asked)}{results} }.into_any();
    let title = match request.query() {
        "" => tr("Traces").to_owned(),
        query => format!("{}: {}", tr("Traces"), format::clipped(query, 60)),
    };
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

/// The parameters without what belongs to one result alone.
pub(super) fn carried(request: &PageRequest) -> crate::params::Params {
    ["cursor", "page", "r_start", "r_end", "r_min", "r_max", "compare"]
        .iter()
        .fold(request.params.clone(), |params, name| params.without(name))
}

fn search_bar(request: &PageRequest, asked: &Asked) -> AnyView {
    let carried = carried(request);
    let help: Vec<_> = examples()
        .into_iter()
        .map(|(example, meaning)| {
            view! { <dt><a href=request.search("/traces", example)><code>{example}</code></a></dt><dd>{meaning}</dd> }
        })
        .collect();
    let scopes: Vec<_> = [("root", tr("Root spans"), asked.roots_only), ("any", tr("Any span"), !asked.roots_only)]
        .into_iter()
        .map(|(name, words, is_chosen)| {
            let current = is_chosen.then_some("true");
            view! { <li><a href=request.here(&carried.with("spans", name)) aria-current=current>{words}</a></li> }
        })
        .collect();
    let scope = (!asked.is_structure)
        .then(|| view! { <ul class="choices" aria-label=tr("Which spans must match")>{scopes}</ul> });
    view! {
        <div class="search">
            <form action="/traces" method="get" role="search" aria-label=tr("Search traces")>
                {hidden_inputs(&carried.without("q"))}
                <input type="search" name="q" value=request.query().to_owned() class="query mono" placeholder="service:checkout status:error duration>250ms"
                    aria-label=tr("Search traces by any of their spans") autocomplete="off" spellcheck="false" maxlength="8192" />
                <button class="primary">{tr("Search")}</button>
            </form>
            <div class="search-more">
                {scope}
                <details class="menu">
                    <summary>{tr("Syntax")}</summary>
                    <div class="menu-body wide"><dl class="help">{help}</dl></div>
                </details>
            </div>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_763_678_000_000_000_000;

    fn asked(query: &str) -> Asked {
        Asked::read(&PageRequest::new("/traces", query, "", NOW))
    }

    #[test]
    fn roots_are_looked_for_until_something_is_searched() {
        assert_eq!(asked("").query, "-parent_span_id:*");
        assert_eq!(asked("q=status:error").query, "status:error");
        assert_eq!(asked("q=status:error&spans=root").query, "status:error -parent_span_id:*");
        assert_eq!(asked("spans=any").query, "");
        let structure = asked("q=%7Bservice:a%7D+%3E+%7Bservice:b%7D&spans=root&compare=errors&r_min=1ms");
        assert!(structure.is_structure && structure.part.is_none() && structure.region.is_none());
        assert_eq!(structure.query, "{service:a} > {service:b}");
    }

    #[test]
    fn a_region_lies_within_the_range() {
        let asked = asked("r_start=1000000000000000000&r_min=250ms&r_max=2s");
        let region = asked.region.expect("a region");
        assert_eq!(region.time, TimeRange { start: NOW - 900_000_000_000, end: NOW });
        assert_eq!((region.min_ns, region.max_ns), (250_000_000, 2_000_000_000));
        assert_eq!(asked.part, Some(ComparedPart::Region));
    }
}
