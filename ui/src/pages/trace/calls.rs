//! Who called whom in a trace: its services, and the databases, queues and hosts that its spans name, as a graph.

use super::layout::Layout;
use crate::format;
use crate::graph::draw::{DrawnEdge, DrawnNode, Sign, graph};
use crate::islands::waterfall::flags;
use crate::nouns::counted;
use crate::pages::map::links::service_page;
use crate::palette::service_class;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{SpanRow, Trace};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A node's name and sign.
type Node = (String, Sign);

/// What is added up for a node or an edge.
#[derive(Clone, Debug, Default)]
struct Sum {
    spans: u64,
    errors: u64,
    self_ns: i64,
    /// The longest call, and its span.
    longest: (i64, String),
}

impl Sum {
    fn add(&mut self, span: &SpanRow, self_ns: i64) {
        self.spans += 1;
        self.errors += u64::from(span.status_code == 2);
        self.self_ns = self.self_ns.saturating_add(self_ns);
        if span.duration_ns >= self.longest.0 {
            self.longest = (span.duration_ns, span.span_id.clone());
        }
    }

    fn error_ratio(&self) -> f64 {
        self.errors as f64 / self.spans.max(1) as f64
    }
}

/// What a client or producer span names as the one it calls.
fn peer(span: &SpanRow) -> Option<Node> {
    let text = |key: &str| span.attributes.get(key).map(parts::plain).filter(|text| !text.is_empty());
    let system = |key: &str, names: [&str; 2]| {
        let system = text(key)?;
        let name = names.into_iter().find_map(text);
        Some(name.map_or_else(|| system.clone(), |name| format!("{system} {name}")))
    };
    if !matches!(span.kind, 3 | 4) {
        return None;
    }
    system("db.system.name", ["db.namespace", "server.address"])
        .map(|name| (name, Sign::Database))
        .or_else(|| {
            system("messaging.system", ["messaging.destination.name", "server.address"]).map(|name| (name, Sign::Queue))
        })
        .or_else(|| {
            ["peer.service", "server.address", "rpc.service"]
                .into_iter()
                .find_map(text)
                .map(|name| (name, Sign::External))
        })
}

/// Nodes and edges of a trace, in the order of their names.
fn sums(trace: &Trace, layout: &Layout) -> (BTreeMap<Node, Sum>, BTreeMap<(Node, Node), Sum>) {
    let by_id: HashMap<&str, &SpanRow> = trace.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
    let service = |span: &SpanRow| (span.service_name.clone(), Sign::Service);
    // Spans with a child in another service have their callee here.
    let answered: HashSet<&str> = trace
        .spans
        .iter()
        .filter(|span| {
            by_id.get(span.parent_span_id.as_str()).is_some_and(|parent| parent.service_name != span.service_name)
        })
        .map(|span| span.parent_span_id.as_str())
        .collect();
    let mut nodes: BTreeMap<Node, Sum> = BTreeMap::new();
    let mut edges: BTreeMap<(Node, Node), Sum> = BTreeMap::new();
    for (placed, self_ns) in layout.order.iter().zip(&layout.self_ns) {
        let span = &trace.spans[placed.span];
        nodes.entry(service(span)).or_default().add(span, *self_ns);
        if placed.flags & flags::PARENT_MISSING == 0
            && let Some(parent) = by_id.get(span.parent_span_id.as_str())
            && parent.service_name != span.service_name
        {
            edges.entry((service(parent), service(span))).or_default().add(span, *self_ns);
        }
        if let Some(peer) = peer(span).filter(|_| !answered.contains(span.span_id.as_str())) {
            nodes.entry(peer.clone()).or_default().add(span, 0);
            edges.entry((service(span), peer)).or_default().add(span, 0);
        }
    }
    (nodes, edges)
}

/// The graph of a trace.
pub(super) fn calls(request: &PageRequest, trace: &Trace, layout: &Layout) -> AnyView {
    let (nodes, edges) = sums(trace, layout);
    let numbers: BTreeMap<&Node, usize> = nodes.keys().enumerate().map(|(number, node)| (node, number)).collect();
    let to_span = |sum: &Sum| format!("{}#span", request.here(&request.params.with("span", &sum.longest.1)));
    let errors = |sum: &Sum| if sum.errors > 0 { format!(" ✖ {}", format::count(sum.errors)) } else { String::new() };
    let drawn: Vec<DrawnNode> = nodes
        .iter()
        .map(|((name, sign), sum)| {
            let is_service = *sign == Sign::Service;
            let own = if is_service {
                format!(" · {}", trf("{0} own", &[&format::duration(sum.self_ns)]))
            } else {
                format!(" · {}", format::duration(sum.longest.0))
            };
            DrawnNode {
                name: name.clone(),
                sign: *sign,
                class: if is_service { service_class(name) } else { String::new() },
                figures: format!(
                    "{}{}{own}",
                    if is_service { counted(sum.spans, "span") } else { counted(sum.spans, "call") },
                    errors(sum)
                ),
                error_ratio: sum.error_ratio(),
                title: trf(
                    "{0} {1}: {2}, {3}, {4} of its own, the longest {5}",
                    &[
                        sign.words(),
                        name,
                        &counted(sum.spans, "span"),
                        &counted(sum.errors, "error"),
                        &format::duration(sum.self_ns),
                        &format::duration(sum.longest.0),
                    ],
                ),
                href: if is_service { service_page(request, name) } else { to_span(sum) },
                focus_href: None,
                is_focus: false,
            }
        })
        .collect();
    let most = edges.values().map(|sum| sum.spans).max().unwrap_or(1);
    let lines: Vec<DrawnEdge> = edges
        .iter()
        .map(|((from, to), sum)| DrawnEdge {
            from: numbers[from],
            to: numbers[to],
            weight: (sum.spans as f64).ln_1p() / (most as f64).ln_1p(),
            error_ratio: sum.error_ratio(),
            label: (
                format!("{}× · {}", format::count(sum.spans), format::duration(sum.longest.0)),
                if sum.errors > 0 { format!("✖ {}", format::count(sum.errors)) } else { String::new() },
            ),
            title: trf(
                "{0} to {1}: {2}, {3}, the longest {4}",
                &[
                    &from.0,
                    &to.0,
                    &counted(sum.spans, "call"),
                    &counted(sum.errors, "error"),
                    &format::duration(sum.longest.0),
                ],
            ),
            href: to_span(sum),
        })
        .collect();
    let summary = trf(
        "{0} and {1} of the trace",
        &[&counted(drawn.len() as u64, "node"), &counted(lines.len() as u64, "connection")],
    );
    let rows: Vec<_> = edges
        .iter()
        .map(|((from, to), sum)| {
            let class = if sum.errors > 0 { "num bad" } else { "num" };
            view! {
                <tr>
                    <th scope="row"><a href=to_span(sum) data-row="">{format!("{} → {}", from.0, to.0)}</a></th>
                    <td>{to.1.words()}</td>
                    <td class="num">{format::count(sum.spans)}</td>
                    <td class=class>{if sum.errors > 0 { format!("✖ {}", format::count(sum.errors)) } else { "0".to_owned() }}</td>
                    <td class="num">{format::duration(sum.longest.0)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <section aria-label=tr("Service graph of the trace")>
            {graph(&drawn, &lines, summary)}
            <p class="quiet">{tr("An edge tells how often and the longest call, to which it leads; a service leads to its page.")}</p>
            <details>
                <summary>{tr("Calls as a table")}</summary>
                <div class="table-wrap"><table class="dense">
                    <thead><tr><th scope="col">{tr("From → to")}</th><th scope="col">{tr("Callee")}</th><th scope="col" class="num">{tr("Calls")}</th><th scope="col" class="num">{tr("Errors")}</th><th scope="col" class="num">{tr("Longest")}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            </details>
        </section>
    }
    .into_any()
}
