//! Where nodes and edges of a map lead: to a service's page, and to the calls themselves.

use crate::params::encoded;
use crate::parts::field_term;
use crate::request::PageRequest;
use mangru_query::{CallKind, MapEdge, MapNode, NodeKind, ServiceCalls};

/// The address of a service's page.
pub(crate) fn service_page(request: &PageRequest, name: &str) -> String {
    // Browsers take these for steps up and down, however they are written.
    if matches!(name, "." | "..") {
        return request.time.params().with("name", name).on("/services");
    }
    request.there(&format!("/services/{}", encoded(name)))
}

/// A search for the spans of a service.
fn of_service(node: &MapNode) -> String {
    let name = field_term("service.name", &node.name);
    match &node.namespace {
        Some(namespace) => format!("{name} {}", field_term("service.namespace", namespace)),
        None => name,
    }
}

/// A search for the calls that lead to a node that sends no spans, by what names it.
fn to_unseen(node: &MapNode) -> String {
    match node.kind {
        NodeKind::Database => {
            let system = node.system.as_deref().unwrap_or_default();
            let named = (node.name != system).then(|| {
                format!(" ({} OR {})", field_term("db.namespace", &node.name), field_term("server.address", &node.name))
            });
            format!("{}{}", field_term("db.system.name", system), named.unwrap_or_default())
        }
        NodeKind::Queue => {
            let system = node
                .system
                .as_deref()
                .filter(|system| !system.is_empty())
                .map(|system| field_term("messaging.system", system));
            let named = (node.system.as_deref() != Some(node.name.as_str()))
                .then(|| field_term("messaging.destination.name", &node.name));
            [system, named].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        NodeKind::External => format!(
            "({} OR {} OR {})",
            field_term("peer.service", &node.name),
            field_term("server.address", &node.name),
            field_term("rpc.service", &node.name)
        ),
        NodeKind::Service | NodeKind::Outside => String::new(),
    }
}

/// A search over traces for the calls of an edge.
pub(crate) fn calls(map: &[&MapNode], edge: &MapEdge, more: &str) -> Option<String> {
    let node = |id: &str| map.iter().find(|node| node.id == id).copied();
    let (from, to) = (node(&edge.from)?, node(&edge.to)?);
    let more = if more.is_empty() { String::new() } else { format!(" {more}") };
    let set = |node: &MapNode, more: &str| format!("{{{}{more}}}", of_service(node));
    Some(match (from.kind, to.kind) {
        (NodeKind::Outside, NodeKind::Service) => {
            format!("{} kind:(server OR consumer) -parent_span_id:*{more}", of_service(to))
        }
        // A message's consumer may be linked to the producer instead of being its child.
        (NodeKind::Service, NodeKind::Service) if edge.kind == CallKind::Messaging => {
            format!("{} & {}", set(from, " kind:producer"), set(to, &more))
        }
        (NodeKind::Service, NodeKind::Service) => format!("{} > {}", set(from, ""), set(to, &more)),
        (NodeKind::Service, _) => format!("{} kind:(client OR producer) {}{more}", of_service(from), to_unseen(to)),
        _ => return None,
    })
}

/// A search over traces for the calls of an edge that failed, on either side of the call.
pub(crate) fn failing(map: &[&MapNode], edge: &MapEdge, more: &str) -> Option<String> {
    let at_callee = calls(map, edge, &format!("{more} status:error"))?;
    let node = |id: &str| map.iter().find(|node| node.id == id).copied();
    let (from, to) = (node(&edge.from)?, node(&edge.to)?);
    if from.kind != NodeKind::Service || to.kind != NodeKind::Service {
        return Some(at_callee);
    }
    let (sender, relation) =
        if edge.kind == CallKind::Messaging { ("kind:producer", "&") } else { ("kind:(client OR producer)", ">") };
    let more = if more.is_empty() { String::new() } else { format!(" {more}") };
    let at_caller = format!("{{{} {sender} status:error}} {relation} {{{}{more}}}", of_service(from), of_service(to));
    Some(format!("{at_caller} || {at_callee}"))
}

/// Where a node leads: a service to its page, others to the calls that lead there.
pub(crate) fn node(request: &PageRequest, node: &MapNode) -> String {
    match node.kind {
        NodeKind::Service => service_page(request, &node.name),
        NodeKind::Outside => request.search("/traces", "kind:(server OR consumer) -parent_span_id:*"),
        _ => request.search("/traces", &format!("kind:(client OR producer) {}", to_unseen(node))),
    }
}

/// Where an edge leads: to the traces with its calls.
pub(crate) fn edge(request: &PageRequest, nodes: &[&MapNode], edge: &MapEdge, more: &str) -> String {
    calls(nodes, edge, more).map_or_else(|| request.there("/traces"), |query| request.search("/traces", &query))
}

/// Where the errors of an edge lead: to the traces with its calls that failed.
pub(crate) fn failing_edge(request: &PageRequest, nodes: &[&MapNode], edge: &MapEdge, more: &str) -> String {
    failing(nodes, edge, more).map_or_else(|| request.there("/traces"), |query| request.search("/traces", &query))
}

/// The part of a map right around a service: who calls it, and what it calls.
pub(crate) fn neighbours<'a>(map: &'a ServiceCalls, service: &str) -> (Vec<&'a MapEdge>, Vec<&'a MapEdge>) {
    let is_it =
        |id: &str| map.nodes.iter().any(|node| node.id == id && node.kind == NodeKind::Service && node.name == service);
    let mut upstream: Vec<&MapEdge> = map.edges.iter().filter(|edge| is_it(&edge.to)).collect();
    let mut downstream: Vec<&MapEdge> = map.edges.iter().filter(|edge| is_it(&edge.from)).collect();
    for edges in [&mut upstream, &mut downstream] {
        edges.sort_by_key(|edge| std::cmp::Reverse(edge.figures.calls));
    }
    (upstream, downstream)
}

/// The page's own search, when it may stand beside an edge's: it narrows the callee.
pub(crate) fn own_search(request: &PageRequest) -> String {
    let query = request.query();
    if query.contains(" OR ") { format!("({query})") } else { query.to_owned() }
}
