//! Pictures of spans and calls in all their states: durations, a graph of calls, the views of a trace.

use super::Exhibit;
use crate::chart::latency::heat_map;
use crate::chart::scatter::{Region, ScatterLinks, scatter};
use crate::pages::{map, trace};
use crate::request::PageRequest;
use mangru_query::{
    CallFigures, CallKind, Coverage, Heat, HeatCell, HeatPoint, MapEdge, MapNode, NodeKind, ServiceMap, SpanRow, Trace,
};
use mangru_store::TimeRange;
use std::collections::BTreeMap;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const COLUMNS: i64 = 60;

/// All of them.
pub(super) fn exhibits(request: &PageRequest) -> Vec<Exhibit> {
    vec![durations(request.time.range), graph(request), traces(request)]
}

fn coverage() -> Coverage {
    Coverage { matched: 0, matched_is_exact: true, complete: true, limit_hit: None, rows_in_range: 0, elapsed_ms: 0.0 }
}

/// Spans whose durations lie around a wave, some of them slow, some failing.
fn points(range: TimeRange, count: i64) -> Vec<HeatPoint> {
    let length = range.end.saturating_sub(range.start);
    (0..count)
        .map(|n| {
            let wave = (n as f64 / count as f64 * 9.0).sin().mul_add(0.3, 1.0);
            let noise = ((n * 7919) % 97) as f64 / 97.0;
            let is_error = n % 23 == 7;
            let slow = if n % 19 == 0 { 9.0 } else { 1.0 };
            HeatPoint {
                time_unix_nano: (range.start + length / count.max(1) * n).to_string(),
                duration_ns: (40e6 * wave * (noise + 0.4) * slow) as i64,
                is_error,
                trace_id: TRACE.to_owned(),
                span_id: format!("{n:016x}"),
                service_name: "checkout".to_owned(),
                name: "POST /checkout".to_owned(),
            }
        })
        .collect()
}

fn heat(range: TimeRange, count: i64, has_points: bool) -> Heat {
    let points = points(range, count);
    let step_ns = (range.end.saturating_sub(range.start) / COLUMNS).max(1);
    let mut cells: BTreeMap<(usize, i32), HeatCell> = BTreeMap::new();
    for point in &points {
        let time: i64 = point.time_unix_nano.parse().unwrap_or(range.start);
        let (column, row) = (((time - range.start) / step_ns) as usize, Heat::row(point.duration_ns));
        let empty = || HeatCell { column, row, count: 0, errors: 0, slowest: point.clone(), failed: None };
        let cell = cells.entry((column, row)).or_insert_with(empty);
        cell.count += 1;
        cell.errors += u64::from(point.is_error);
    }
    Heat {
        start: range.start,
        step_ns,
        columns: COLUMNS as usize,
        cells: cells.into_values().collect(),
        points: has_points.then_some(points),
        coverage: coverage(),
    }
}

fn durations(range: TimeRange) -> Exhibit {
    let links = ScatterLinks {
        point: &|_| "#durations".to_owned(),
        cell: &|_| "#durations".to_owned(),
        base: "/_gallery".to_owned(),
    };
    let length = range.end.saturating_sub(range.start);
    let region = Region {
        time: TimeRange { start: range.start + length / 2, end: range.start + length / 4 * 3 },
        min_ns: 100_000_000,
        max_ns: 600_000_000,
    };
    let to = |_: &HeatCell| "#durations".to_owned();
    Exhibit {
        name: "Durations",
        about: "Spans by start and duration, on a logarithmic scale: one by one while they are few, cells when they are many. Dragging chooses a region.",
        states: vec![
            ("points", scatter(&heat(range, 240, true), range, None, &links)),
            ("many spans, and a region", scatter(&heat(range, 6_000, false), range, Some(region), &links)),
            ("no span", scatter(&heat(range, 0, true), range, None, &links)),
            ("latency", heat_map("Latency of requests", &heat(range, 6_000, false), range, &to)),
            ("latency of nothing", heat_map("Latency of requests", &heat(range, 0, false), range, &to)),
        ],
    }
}

/// Figures of so many calls in a quarter of an hour.
pub(in crate::pages) fn call_figures(calls: u64, errors: u64) -> CallFigures {
    CallFigures {
        calls,
        errors,
        calls_per_second: calls as f64 / 900.0,
        error_ratio: errors as f64 / calls.max(1) as f64,
        p50_ns: Some(12_000_000),
        p95_ns: Some(140_000_000),
        p99_ns: Some(310_000_000),
    }
}

/// A node of a map, with errors when it is of payments.
pub(in crate::pages) fn node(id: &str, kind: NodeKind, name: &str, system: Option<&str>) -> MapNode {
    MapNode {
        id: id.to_owned(),
        kind,
        name: name.to_owned(),
        namespace: None,
        system: system.map(str::to_owned),
        figures: call_figures(9_000, if name == "payment" { 700 } else { 0 }),
    }
}

/// Calls between two nodes.
pub(in crate::pages) fn edge(from: &str, to: &str, kind: CallKind, calls: u64, errors: u64) -> MapEdge {
    MapEdge { from: from.to_owned(), to: to.to_owned(), kind, figures: call_figures(calls, errors) }
}

fn graph(request: &PageRequest) -> Exhibit {
    let map = ServiceMap {
        nodes: vec![
            node("database:cards", NodeKind::Database, "cards", Some("postgresql")),
            node("external:bank", NodeKind::External, "bank.example", None),
            node("outside", NodeKind::Outside, "outside", None),
            node("queue:orders", NodeKind::Queue, "orders", Some("kafka")),
            node("service:checkout", NodeKind::Service, "checkout", None),
            node("service:frontend", NodeKind::Service, "frontend", None),
            node("service:payment", NodeKind::Service, "payment", None),
        ],
        edges: vec![
            edge("outside", "service:frontend", CallKind::Http, 9_000, 0),
            edge("service:frontend", "service:checkout", CallKind::Http, 8_000, 20),
            edge("service:checkout", "queue:orders", CallKind::Messaging, 800, 0),
            edge("service:checkout", "service:payment", CallKind::Rpc, 4_000, 700),
            edge("service:payment", "database:cards", CallKind::Db, 4_000, 0),
            edge("service:payment", "external:bank", CallKind::Http, 3_900, 130),
        ],
        spans: 61_000,
        missing_parents: 0,
        margin_ns: 0,
        coverage: coverage(),
    };
    Exhibit {
        name: "Graph of calls",
        about: "Services, databases, queues and hosts, from left to right; the width of a line is its rate, its colour its errors.",
        states: vec![("a shop", map::drawn(request, &map))],
    }
}

/// A span of the trace, so many milliseconds after a moment; the fifth failed.
pub(in crate::pages) fn span(
    start_ns: i64,
    number: u64,
    parent: u64,
    service: &str,
    name: &str,
    (offset_ms, duration_ms): (i64, i64),
) -> SpanRow {
    let start = start_ns.saturating_add(offset_ms * 1_000_000);
    SpanRow {
        time_unix_nano: start.to_string(),
        end_time_unix_nano: (start + duration_ms * 1_000_000).to_string(),
        duration_ns: duration_ms * 1_000_000,
        trace_id: TRACE.to_owned(),
        span_id: format!("{number:016x}"),
        parent_span_id: if parent == 0 { String::new() } else { format!("{parent:016x}") },
        name: name.to_owned(),
        kind: 2,
        kind_text: "server".to_owned(),
        status_code: if number == 5 { 2 } else { 0 },
        status_message: String::new(),
        service_name: service.to_owned(),
        scope_name: "shop".to_owned(),
        attributes: serde_json::Map::new(),
        resource_attributes: serde_json::Map::new(),
        events: Vec::new(),
        links: Vec::new(),
        correlation_id: String::new(),
        trace_state: String::new(),
        flags: 1,
    }
}

fn traces(request: &PageRequest) -> Exhibit {
    let start = request.time.range.start;
    let span = |number, parent, service, name, time| span(start, number, parent, service, name, time);
    let trace = Trace {
        trace_id: TRACE.to_owned(),
        spans: vec![
            span(1, 0, "frontend", "POST /checkout", (0, 480)),
            span(2, 1, "api-gateway", "POST /api/checkout", (8, 465)),
            span(3, 2, "checkout", "PlaceOrder", (15, 440)),
            span(4, 3, "cart", "GetCart", (18, 22)),
            span(9, 4, "cart", "SELECT cart_items", (20, 15)),
            // Its parent was not sent.
            span(8, 99, "inventory", "Reserve", (45, 12)),
            span(5, 3, "payment", "Charge", (60, 350)),
            span(6, 5, "payment", "POST bank.example", (70, 330)),
            // It ends after its parent.
            span(7, 3, "email", "send confirmation", (430, 120)),
        ],
        logs: Vec::new(),
        logs_matched: 0,
        coverage: coverage(),
    };
    Exhibit {
        name: "Trace",
        about: "One trace from three sides; the fourth is the graph of its calls.",
        states: ["waterfall", "flame", "table"]
            .into_iter()
            .map(|side| (side, trace::side(request, &trace, side)))
            .collect(),
    }
}
