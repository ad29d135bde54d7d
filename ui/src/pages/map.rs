//! The service map: who calls whom, how often, how fast and how well, over any time and for any search.

pub(crate) mod links;
mod picture;
pub(crate) mod table;

use crate::context::UiContext;
use crate::format;
use crate::nouns::counted;
use crate::pages::first_steps;
use crate::parts::{self, code, hidden_inputs};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf, trv};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{MapEdge, MapNode, MapRequest, QueryError, ServiceMap};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Nodes that a picture shows at most, those with the most calls.
const MAX_DRAWN: usize = 150;
/// The numbers of hops that can be chosen around a node.
const HOPS: [usize; 3] = [1, 2, 3];
/// Characters of a name in a list of nodes.
const NAME_CHARS: usize = 80;

/// Answers `/map`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    if let Some(first_steps) = first_steps(&context, &request, || tr("Service map")) {
        return first_steps;
    }
    let search =
        MapRequest { query: request.query().to_owned(), range: request.time.range, max_spans: MapRequest::MAX_SPANS };
    let map = context.query.map(&search).await;
    page(&request, || screen(&request, &map))
}

/// The picture of a whole map, for screens that hold one.
pub(crate) fn drawn(request: &PageRequest, map: &ServiceMap) -> AnyView {
    picture::picture(request, &Part::of(map, None, 0))
}

/// The part of a map that is looked at.
pub(super) struct Part<'a> {
    /// Its nodes, by id.
    pub(super) nodes: Vec<&'a MapNode>,
    /// The edges between them.
    pub(super) edges: Vec<&'a MapEdge>,
    /// The node in its middle.
    pub(super) focus: Option<&'a str>,
    /// Nodes that were left out because a picture has no room for them.
    pub(super) left_out: usize,
}

impl<'a> Part<'a> {
    /// All of a map, or what is so many hops around a node.
    pub(super) fn of(map: &'a ServiceMap, focus: Option<&'a str>, hops: usize) -> Self {
        // An id, or a name that a person would write.
        let node = focus.and_then(|focus| {
            let by = |is_it: &dyn Fn(&MapNode) -> bool| map.nodes.iter().find(|node| is_it(node));
            by(&|node| node.id == focus).or_else(|| by(&|node| node.name == focus))
        });
        let focus = node.map(|node| node.id.as_str());
        let near = focus.map(|focus| around(map, focus, hops));
        let mut nodes: Vec<&MapNode> =
            map.nodes.iter().filter(|node| near.as_ref().is_none_or(|near| near.contains(node.id.as_str()))).collect();
        let left_out = nodes.len().saturating_sub(MAX_DRAWN);
        if left_out > 0 {
            nodes.sort_by_key(|node| std::cmp::Reverse(node.figures.calls));
            nodes.truncate(MAX_DRAWN);
            nodes.sort_by(|one, other| one.id.cmp(&other.id));
        }
        let shown: BTreeSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
        let edges = map
            .edges
            .iter()
            .filter(|edge| shown.contains(edge.from.as_str()) && shown.contains(edge.to.as_str()))
            .collect();
        Self { nodes, edges, focus, left_out }
    }
}

/// The nodes that are at most so many calls away, up or down.
fn around<'a>(map: &'a ServiceMap, focus: &'a str, hops: usize) -> BTreeSet<&'a str> {
    let mut near: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for edge in &map.edges {
        near.entry(&edge.from).or_default().push(&edge.to);
        near.entry(&edge.to).or_default().push(&edge.from);
    }
    let mut found = BTreeSet::from([focus]);
    let mut open = VecDeque::from([(focus, 0)]);
    while let Some((node, distance)) = open.pop_front() {
        for next in near.get(node).into_iter().flatten().filter(|_| distance < hops) {
            // `outside` calls everything: it leads to no neighbours.
            if found.insert(*next) && *next != "outside" {
                open.push_back((*next, distance + 1));
            }
        }
    }
    found
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, map: &Result<ServiceMap, QueryError>) -> Screen {
    let content = match map {
        Err(error) => parts::error(request.query(), error),
        Ok(map) if map.nodes.is_empty() => empty(request, map),
        Ok(map) => {
            let hops = request
                .params
                .get("hops")
                .and_then(|hops| hops.parse().ok())
                .filter(|hops| HOPS.contains(hops))
                .unwrap_or(1);
            let part = Part::of(map, request.params.get("focus"), hops);
            let left_out = (part.left_out > 0).then(|| {
                view! { <p class="warning">{trf("⚠ The picture shows the {0} nodes with the most calls; {1} others are in the table. Search or focus to see them.", &[&MAX_DRAWN.to_string(), &part.left_out.to_string()])}</p> }
            });
            view! {
                {focus_bar(request, map, &part, hops)}
                {picture::picture(request, &part)}
                {left_out}
                {says(map)}
                {table::tables(request, map, &part)}
            }
            .into_any()
        }
    };
    let content = view! { <h1 class="unseen">{tr("Service map")}</h1>{search_bar(request)}{content} }.into_any();
    Screen { title: tr("Service map").to_owned(), has_time: true, status: StatusCode::OK, content }
}

fn search_bar(request: &PageRequest) -> AnyView {
    let examples = [
        ("deployment.environment.name:production", tr("one environment")),
        ("http.route:/checkout", tr("calls of one route")),
        ("version:1.9.4", tr("calls to one version")),
        ("status:error", tr("failing calls alone")),
        ("-kind:internal duration>100ms", tr("slow calls")),
    ];
    let help: Vec<_> = examples
        .iter()
        .map(|(example, meaning)| {
            view! { <dt><a href=request.here(&request.params.with("q", example))><code>{*example}</code></a></dt><dd>{*meaning}</dd> }
        })
        .collect();
    view! {
        <div class="search">
            <form action="/map" method="get" role="search" aria-label=tr("Search calls")>
                {hidden_inputs(&request.params.without("q"))}
                <input type="search" name="q" value=request.query().to_owned() class="query mono" placeholder=tr("All calls. Narrow with http.route:/checkout, version:1.9.4, status:error …")
                    aria-label=tr("Search the called spans") autocomplete="off" spellcheck="false" maxlength="8192" />
                <button class="primary">{tr("Search")}</button>
            </form>
            <div class="search-more">
                <details class="menu"><summary>{tr("Examples")}</summary><div class="menu-body wide"><dl class="help">{help}</dl></div></details>
            </div>
        </div>
    }
    .into_any()
}

fn focus_bar(request: &PageRequest, map: &ServiceMap, part: &Part<'_>, hops: usize) -> AnyView {
    let options: Vec<_> = map
        .nodes
        .iter()
        .map(|node| {
            let words = if node.kind == mangru_query::NodeKind::Service {
                node.name.clone()
            } else {
                format!("{} ({})", node.name, picture::sign(node.kind).words())
            };
            let words = format::clipped(&words, NAME_CHARS);
            view! { <option value=node.id.clone() selected=part.focus == Some(node.id.as_str())>{words}</option> }
        })
        .collect();
    let around = part.focus.map(|_| {
        let links: Vec<_> = HOPS
            .iter()
            .map(|number| {
                let current = (*number == hops).then_some("true");
                let address = request.here(&request.params.with("hops", &number.to_string()));
                view! { <li><a href=address aria-current=current>{counted(*number as u64, "hop")}</a></li> }
            })
            .collect();
        let whole = request.here(&request.params.without("focus").without("hops"));
        view! { <ul class="choices" aria-label=tr("Hops")>{links}<li><a href=whole data-close="">{tr("× whole map")}</a></li></ul> }
    });
    view! {
        <div class="map-bar">
            <form method="get" action="/map" class="inline">
                {hidden_inputs(&request.params.without("focus"))}
                <label for="map-focus">{tr("Focus on")}</label>
                <select id="map-focus" name="focus"><option value="">{tr("the whole map")}</option>{options}</select>
                <button>{tr("Show")}</button>
            </form>
            {around}
            <ul class="map-legend" aria-label=tr("Legend")>
                <li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="legend-line" d="M0 4H30" stroke-width="1.5"></path></svg>{tr("few")}</li>
                <li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="legend-line" d="M0 4H30" stroke-width="6"></path></svg>{tr("many calls")}</li>
                <li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="legend-line err-1" d="M0 4H30" stroke-width="3"></path></svg>{tr("errors")}</li>
                <li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="legend-line err-2" d="M0 4H30" stroke-width="3"></path></svg>{tr("✖ from 1 %")}</li>
                <li><svg viewBox="0 0 30 8" aria-hidden="true"><path class="legend-line err-3" d="M0 4H30" stroke-width="3"></path></svg>{tr("✖ from 5 %")}</li>
            </ul>
        </div>
    }
    .into_any()
}

/// What the map rests on.
fn says(map: &ServiceMap) -> AnyView {
    let mut spans = counted(map.spans, "span");
    if map.missing_parents > 0 {
        spans = trf("{0} ({1} whose caller is not here)", &[&spans, &format::count(map.missing_parents)]);
    }
    let text = trf(
        "{0} and {1} from {2}, {3} in range, {4} ms. Every span counts, nothing is sampled.",
        &[
            &counted(map.nodes.len() as u64, "node"),
            &counted(map.edges.len() as u64, "edge"),
            &spans,
            &counted(map.coverage.rows_in_range, "span"),
            &format!("{:.0}", map.coverage.elapsed_ms),
        ],
    );
    view! { <p class="covers">{text}{parts::incomplete(&map.coverage)}</p> }.into_any()
}

fn empty(request: &PageRequest, map: &ServiceMap) -> AnyView {
    let wider = request.here(&request.params.without("end").with("start", "-24h"));
    let all = (!request.query().is_empty()).then(|| {
        view! { " · "<a href=request.here(&request.params.without("q"))>{tr("All calls")}</a> }
    });
    view! {
        {says(map)}
        <div class="empty">
            <p>{if request.query().is_empty() { tr("No call in this range.") } else { tr("No call in this range matches.") }}" "<a href=wider>{tr("Look at the last 24 hours")}</a>{all}</p>
            <p class="quiet">{trv("The map is joined from spans: a client's span and the server's span below it make a call. Services need to pass the W3C header {0} on; OpenTelemetry's SDKs do that. Databases, queues and hosts come from {1}, {2} and {3} of client spans.",
                [code("traceparent"), code("db.system.name"), code("messaging.system"), code("server.address")])}</p>
        </div>
    }
    .into_any()
}
