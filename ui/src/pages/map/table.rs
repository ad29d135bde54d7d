//! The map as tables: calls and nodes with all their figures.

use super::{Part, links, picture};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::tr;
use leptos::prelude::*;
use mangru_query::{CallFigures, CallKind, MapEdge, MapNode, NodeKind, ServiceMap};

/// The kind of a call in words.
pub(crate) fn kind_words(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Internal => tr("internal"),
        CallKind::Http => "HTTP",
        CallKind::Rpc => "RPC",
        CallKind::Db => tr("database"),
        CallKind::Messaging => tr("messaging"),
    }
}

/// A node's name: a service in its colour, others with what they are.
pub(crate) fn name(node: &MapNode) -> AnyView {
    if node.kind == NodeKind::Service {
        return parts::service(&node.name);
    }
    let sign = picture::sign(node.kind).words();
    let words = node
        .system
        .as_ref()
        .filter(|system| **system != node.name)
        .map_or_else(|| sign.to_owned(), |system| format!("{system} {sign}"));
    let title = parts::whole_if_clipped(&node.name);
    view! { <span title=title>{format::clipped(&node.name, parts::NAME_CHARS)}" "<span class="quiet">{words}</span></span> }.into_any()
}

/// Cells of rate, errors and percentiles; the rate leads to the calls, the errors to those that failed.
pub(crate) fn figure_cells(figures: &CallFigures, all: String, failing: String) -> AnyView {
    view! {
        <td class="num"><a href=all>{format::short(figures.calls_per_second)}</a></td>
        {parts::error_cell(figures.errors, figures.error_ratio, failing)}
        <td class="num">{format::duration_or_dash(figures.p50_ns)}</td>
        <td class="num">{format::duration_or_dash(figures.p95_ns)}</td>
        <td class="num">{format::duration_or_dash(figures.p99_ns)}</td>
    }
    .into_any()
}

/// The tables, behind a disclosure.
pub(super) fn tables(request: &PageRequest, map: &ServiceMap, part: &Part<'_>) -> AnyView {
    let all: Vec<&MapNode> = map.nodes.iter().collect();
    let more = links::own_search(request);
    let mut edges: Vec<&MapEdge> = if part.left_out > 0 { map.edges.iter().collect() } else { part.edges.clone() };
    edges.sort_by(|one, other| {
        other.figures.errors.cmp(&one.figures.errors).then(other.figures.calls.cmp(&one.figures.calls))
    });
    let find = |id: &str| all.iter().find(|node| node.id == id).copied();
    let calls: Vec<_> = edges
        .iter()
        .filter_map(|edge| {
            let (from, to) = (find(&edge.from)?, find(&edge.to)?);
            let href = links::edge(request, &all, edge, &more);
            let failing = links::failing_edge(request, &all, edge, &more);
            Some(view! {
                <tr>
                    <th scope="row"><a href=href.clone() data-row="">{name(from)}" → "{name(to)}</a></th>
                    <td>{kind_words(edge.kind)}</td>
                    {figure_cells(&edge.figures, href, failing)}
                </tr>
            })
        })
        .collect();
    let mut nodes: Vec<&MapNode> = if part.left_out > 0 { all.clone() } else { part.nodes.clone() };
    nodes.sort_by(|one, other| {
        other.figures.errors.cmp(&one.figures.errors).then(other.figures.calls.cmp(&one.figures.calls))
    });
    let rows: Vec<_> = nodes
        .iter()
        .map(|node| {
            let href = links::node(request, node);
            let traces = match node.kind {
                NodeKind::Service => request.search("/traces", &parts::field_term("service.name", &node.name)),
                _ => href.clone(),
            };
            let failing = match node.kind {
                NodeKind::Service => request
                    .search("/traces", &format!("{} status:error", parts::field_term("service.name", &node.name))),
                _ => href.clone(),
            };
            let focus = request.here(&request.params.with("focus", &node.id));
            view! {
                <tr>
                    <th scope="row"><a href=href data-row="">{name(node)}</a></th>
                    <td>{picture::sign(node.kind).words()}</td>
                    {figure_cells(&node.figures, traces, failing)}
                    <td><a href=focus>{tr("focus")}</a></td>
                </tr>
            }
        })
        .collect();
    let heads = || {
        view! {
            <th scope="col" class="num">{tr("Calls/s")}</th><th scope="col" class="num">{tr("Errors")}</th>
            <th scope="col" class="num">"p50"</th><th scope="col" class="num">"p95"</th><th scope="col" class="num">"p99"</th>
        }
    };
    view! {
        <details class="map-tables">
            <summary>{tr("Calls and nodes as tables")}</summary>
            <h2>{tr("Calls")}</h2>
            <div class="table-wrap"><table class="dense">
                <thead><tr><th scope="col">{tr("From → to")}</th><th scope="col">{tr("Kind")}</th>{heads()}</tr></thead>
                <tbody>{calls}</tbody>
            </table></div>
            <h2>{tr("Nodes")}</h2>
            <div class="table-wrap"><table class="dense">
                <thead><tr><th scope="col">{tr("Node")}</th><th scope="col">{tr("Kind")}</th>{heads()}<th scope="col">{tr("Go to")}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table></div>
        </details>
    }
    .into_any()
}
