//! The map as a picture.

use super::{Part, links};
use crate::format;
use crate::graph::draw::{DrawnEdge, DrawnNode, Sign, graph};
use crate::nouns::counted;
use crate::palette::service_class;
use crate::request::PageRequest;
use crate::text::trf;
use leptos::prelude::*;
use mangru_query::{CallFigures, MapEdge, MapNode, NodeKind};
use std::collections::BTreeMap;

/// The sign of a kind of node.
pub(crate) const fn sign(kind: NodeKind) -> Sign {
    match kind {
        NodeKind::Service => Sign::Service,
        NodeKind::Database => Sign::Database,
        NodeKind::Queue => Sign::Queue,
        NodeKind::External => Sign::External,
        NodeKind::Outside => Sign::Outside,
    }
}

fn spoken(figures: &CallFigures) -> String {
    let duration = format::duration_or_dash;
    let calls = trf(
        "{0} at {1}/s, {2} ({3})",
        &[
            &counted(figures.calls, "call"),
            &format::short(figures.calls_per_second),
            &counted(figures.errors, "error"),
            &format::percent(figures.error_ratio),
        ],
    );
    format!(
        "{calls}, p50 {}, p95 {}, p99 {}",
        duration(figures.p50_ns),
        duration(figures.p95_ns),
        duration(figures.p99_ns)
    )
}

/// Rate, errors when there are any, and the 95th percentile.
fn in_short(figures: &CallFigures) -> String {
    let errors =
        if figures.errors > 0 { format!(" ✖ {}", format::percent(figures.error_ratio)) } else { String::new() };
    format!("{}/s{errors} · {}", format::short(figures.calls_per_second), format::duration_or_dash(figures.p95_ns))
}

fn drawn_node(request: &PageRequest, node: &MapNode, focus: Option<&str>) -> DrawnNode {
    let sign = sign(node.kind);
    let named = match (&node.namespace, &node.system) {
        (Some(namespace), _) => trf("{0} of the namespace {1}", &[&node.name, namespace]),
        (None, Some(system)) if *system != node.name => format!("{} ({system})", node.name),
        _ => node.name.clone(),
    };
    let is_focus = focus == Some(node.id.as_str());
    DrawnNode {
        name: if node.kind == NodeKind::Service || node.system.as_deref() == Some(node.name.as_str()) {
            node.name.clone()
        } else {
            node.system.as_ref().map_or_else(|| node.name.clone(), |system| format!("{system} {}", node.name))
        },
        sign,
        class: if node.kind == NodeKind::Service { service_class(&node.name) } else { String::new() },
        figures: in_short(&node.figures),
        error_ratio: node.figures.error_ratio,
        title: format!("{} {named}: {}", sign.words(), spoken(&node.figures)),
        href: links::node(request, node),
        focus_href: (!is_focus && node.kind != NodeKind::Outside)
            .then(|| request.here(&request.params.with("focus", &node.id))),
        is_focus,
    }
}

fn drawn_edge(
    request: &PageRequest,
    part: &Part<'_>,
    places: &BTreeMap<&str, usize>,
    edge: &MapEdge,
    most: u64,
) -> Option<DrawnEdge> {
    let (from, to) = (*places.get(edge.from.as_str())?, *places.get(edge.to.as_str())?);
    let figures = &edge.figures;
    let errors =
        if figures.errors > 0 { format!("✖ {}", format::percent(figures.error_ratio)) } else { String::new() };
    let kind = super::table::kind_words(edge.kind);
    Some(DrawnEdge {
        from,
        to,
        weight: (figures.calls as f64).ln_1p() / (most as f64).ln_1p().max(0.1),
        error_ratio: figures.error_ratio,
        label: (
            format!("{}/s · {}", format::short(figures.calls_per_second), format::duration_or_dash(figures.p95_ns)),
            errors,
        ),
        title: trf("{0} to {1}, {2}: {3}", &[&part.nodes[from].name, &part.nodes[to].name, kind, &spoken(figures)]),
        href: links::edge(request, &part.nodes, edge, &links::own_search(request)),
    })
}

/// The picture of a part of the map.
pub(super) fn picture(request: &PageRequest, part: &Part<'_>) -> AnyView {
    let places: BTreeMap<&str, usize> =
        part.nodes.iter().enumerate().map(|(place, node)| (node.id.as_str(), place)).collect();
    let most = part.edges.iter().map(|edge| edge.figures.calls).max().unwrap_or(1);
    let nodes: Vec<DrawnNode> = part.nodes.iter().map(|node| drawn_node(request, node, part.focus)).collect();
    let edges: Vec<DrawnEdge> =
        part.edges.iter().filter_map(|edge| drawn_edge(request, part, &places, edge, most)).collect();
    let failing = part.edges.iter().filter(|edge| edge.figures.errors > 0).count();
    let summary = trf(
        "{0} and {1} between them, {2} with errors; the tables below say the same",
        &[
            &counted(nodes.len() as u64, "node"),
            &counted(edges.len() as u64, "kind of call"),
            &format::count(failing as u64),
        ],
    );
    graph(&nodes, &edges, summary)
}
