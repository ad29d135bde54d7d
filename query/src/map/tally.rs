//! Calls counted by who calls whom, and what a page shows of them.

use super::names::{Names, Peer};
use super::rows::Row;
use super::{CallFigures, CallKind, MapEdge, MapNode, NodeKind};
use crate::services::percentiles;
use hashbrown::{HashMap, HashSet};
use std::fmt::Write as _;

/// Nodes that an answer holds; those with the most calls.
pub(super) const MAX_NODES: usize = 2_000;

/// An end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// Whatever calls from where no span comes.
    Outside,
    /// A service by its number.
    Service(u32),
    /// What a client or producer span names, by its number.
    Peer(u32),
}

/// Durations and errors of calls.
#[derive(Clone, Debug, Default)]
struct Calls {
    durations: Vec<i64>,
    errors: u64,
}

impl Calls {
    fn push(&mut self, duration: i64, is_error: bool) {
        self.durations.push(duration);
        self.errors += u64::from(is_error);
    }

    fn append(&mut self, mut other: Self) {
        self.durations.append(&mut other.durations);
        self.errors += other.errors;
    }

    fn figures(mut self, seconds: f64) -> CallFigures {
        let [p50_ns, p95_ns, p99_ns] = percentiles(&mut self.durations, [50.0, 95.0, 99.0]);
        let calls = self.durations.len() as u64;
        CallFigures {
            calls,
            errors: self.errors,
            calls_per_second: calls as f64 / seconds,
            error_ratio: if calls == 0 { 0.0 } else { self.errors as f64 / calls as f64 },
            p50_ns,
            p95_ns,
            p99_ns,
        }
    }
}

/// The spans of a service that match.
#[derive(Clone, Debug, Default)]
struct Service {
    /// Server and consumer spans.
    entries: Calls,
    others: Calls,
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    edges: HashMap<(Node, Node, CallKind), Calls>,
    services: HashMap<u32, Service>,
    /// Spans that match, each once.
    pub(super) spans: u64,
    /// Spans that match and name a parent that was not found.
    pub(super) missing_parents: u64,
}

impl Tally {
    /// Counts a span for its service.
    pub(super) fn span(&mut self, row: &Row) {
        self.spans += 1;
        let service = self.services.entry(row.service).or_default();
        let calls = if row.is_incoming() { &mut service.entries } else { &mut service.others };
        calls.push(row.duration, row.is_error);
    }

    /// Counts a call with a span on both sides, once.
    pub(super) fn call(&mut self, caller: &Row, callee: &Row) {
        let mut protocol = CallKind::Internal;
        if caller.is_outgoing() {
            protocol = protocol.max(caller.protocol);
        }
        if callee.is_incoming() {
            protocol = protocol.max(callee.protocol);
        }
        let duration = if caller.is_client() && !callee.is_consumer() { caller.duration } else { callee.duration };
        let is_error = callee.is_error || (caller.is_outgoing() && caller.is_error);
        self.add(Node::Service(caller.service), Node::Service(callee.service), protocol, duration, is_error);
    }

    /// Counts a call.
    pub(super) fn add(&mut self, from: Node, to: Node, protocol: CallKind, duration: i64, is_error: bool) {
        self.edges.entry((from, to, protocol)).or_default().push(duration, is_error);
    }

    /// The memory of the durations.
    pub(super) fn bytes(&self) -> usize {
        let services = self.services.values().flat_map(|service| [&service.entries, &service.others]);
        self.edges.values().chain(services).map(|calls| calls.durations.capacity() * size_of::<i64>()).sum()
    }

    /// Forgets all calls but those to a service or from it.
    pub(super) fn keep_service(&mut self, name: &str, names: &Names) {
        let is_it = |node: &Node| matches!(node, Node::Service(number) if names.service(*number).name == name);
        self.edges.retain(|(from, to, _), _| is_it(from) || is_it(to));
        self.services.retain(|number, _| names.service(*number).name == name);
    }

    /// Puts two together.
    pub(super) fn append(&mut self, other: Self) {
        for (ends, calls) in other.edges {
            self.edges.entry(ends).or_default().append(calls);
        }
        for (number, service) in other.services {
            let mine = self.services.entry(number).or_default();
            mine.entries.append(service.entries);
            mine.others.append(service.others);
        }
        self.spans += other.spans;
        self.missing_parents += other.missing_parents;
    }

    /// Nodes and edges in an order that does not change with the figures, and whether there were more nodes than an answer holds.
    pub(super) fn finish(self, names: &Names, seconds: f64) -> (Vec<MapNode>, Vec<MapEdge>, bool) {
        let mut edges: HashMap<(Node, Node, CallKind), Calls> = HashMap::new();
        let mut ends: HashMap<Node, Calls> = HashMap::new();
        for ((from, to, protocol), calls) in self.edges {
            let to = named_service(to, names);
            ends.entry(from).or_default();
            let end = ends.entry(to).or_default();
            if matches!(to, Node::Peer(_)) {
                end.append(calls.clone());
            }
            if from == Node::Outside {
                ends.entry(from).or_default().append(calls.clone());
            }
            edges.entry((from, to, protocol)).or_default().append(calls);
        }
        for (number, service) in self.services {
            let calls = if service.entries.durations.is_empty() { service.others } else { service.entries };
            ends.entry(Node::Service(number)).or_default().append(calls);
        }
        let mut nodes: Vec<(Node, MapNode)> =
            ends.into_iter().map(|(node, calls)| (node, described(node, names, calls.figures(seconds)))).collect();
        let has_more = nodes.len() > MAX_NODES;
        if has_more {
            nodes.sort_by(|(_, left), (_, right)| {
                right.figures.calls.cmp(&left.figures.calls).then_with(|| left.id.cmp(&right.id))
            });
            nodes.truncate(MAX_NODES);
        }
        nodes.sort_by(|(_, left), (_, right)| left.id.cmp(&right.id));
        let kept: HashSet<Node> = nodes.iter().map(|(node, _)| *node).collect();
        let mut edges: Vec<MapEdge> = edges
            .into_iter()
            .filter(|((from, to, _), _)| kept.contains(from) && kept.contains(to))
            .map(|((from, to, kind), calls)| MapEdge {
                from: id(from, names),
                to: id(to, names),
                kind,
                figures: calls.figures(seconds),
            })
            .collect();
        edges.sort_by(|left, right| (&left.from, &left.to, left.kind).cmp(&(&right.from, &right.to, right.kind)));
        (nodes.into_iter().map(|(_, node)| node).collect(), edges, has_more)
    }
}

/// A `peer.service` or `server.address` whose spans are there too, by its name, is that service.
fn named_service(node: Node, names: &Names) -> Node {
    match node {
        Node::Peer(number) => match names.peer(number) {
            Some(Peer::Service(name) | Peer::Host(name)) => names.only_service(name).map_or(node, Node::Service),
            _ => node,
        },
        _ => node,
    }
}

fn described(node: Node, names: &Names, figures: CallFigures) -> MapNode {
    let optional = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (kind, name, namespace, system) = match node {
        Node::Outside => (NodeKind::Outside, "outside", None, None),
        Node::Service(number) => {
            let service = names.service(number);
            (NodeKind::Service, service.name.as_str(), optional(&service.namespace), None)
        }
        Node::Peer(number) => match names.peer(number) {
            Some(Peer::Database { system, name }) => {
                (NodeKind::Database, if name.is_empty() { system } else { name }.as_str(), None, optional(system))
            }
            Some(Peer::Queue { system, destination }) => (
                NodeKind::Queue,
                if destination.is_empty() { system } else { destination }.as_str(),
                None,
                optional(system),
            ),
            Some(Peer::Service(name) | Peer::Host(name) | Peer::Rpc(name)) => {
                (NodeKind::External, name.as_str(), None, None)
            }
            None => (NodeKind::External, "", None, None),
        },
    };
    MapNode { id: id(node, names), kind, name: name.to_owned(), namespace, system, figures }
}

/// What a node is known by from one answer to the next: its kind and names, `/` between them.
fn id(node: Node, names: &Names) -> String {
    let (kind, parts) = match node {
        Node::Outside => return "outside".to_owned(),
        Node::Service(number) => {
            let service = names.service(number);
            ("service", [service.namespace.as_str(), service.name.as_str()])
        }
        Node::Peer(number) => match names.peer(number) {
            Some(Peer::Database { system, name }) => ("database", [system.as_str(), name.as_str()]),
            Some(Peer::Queue { system, destination }) => ("queue", [system.as_str(), destination.as_str()]),
            Some(Peer::Service(name)) => ("external", ["service", name.as_str()]),
            Some(Peer::Host(name)) => ("external", ["host", name.as_str()]),
            Some(Peer::Rpc(name)) => ("external", ["rpc", name.as_str()]),
            None => ("external", ["", ""]),
        },
    };
    let mut id = kind.to_owned();
    for (number, part) in parts.into_iter().enumerate() {
        id.push(if number == 0 { ':' } else { '/' });
        for letter in part.chars() {
            match letter {
                '%' | '/' => {
                    // Writing to text does not fail.
                    let _ = write!(id, "%{:02X}", u32::from(letter));
                }
                _ => id.push(letter),
            }
        }
    }
    id
}
