//! Made-up answers for the map, a service and the search for traces.

use super::{HOSTILE, NOW, SECOND, TRACE, coverage, log};
use crate::pages::alerts::elsewhere::AlertHistory;
use crate::pages::gallery::calls::{edge, node};
use crate::pages::{map, service, traces};
use crate::request::PageRequest;
use crate::shell::Screen;
use mangru_alerts::AlertView;
use mangru_alerts::machine::{Alert, State, Transition};
use mangru_query::{
    CallKind, ComparedField, ComparedKind, ComparedValue, Comparison, ExceptionGroup, Exceptions, Figures, Heat,
    HeatCell, HeatPoint, NodeKind, Operation, Page, QueryError, ServiceMap, SqlColumn, SqlResult, Stats, StatsSeries,
    TraceSummary,
};
use serde_json::json;

/// A shop that calls a database, a queue and a host, with a name that would do harm.
pub(super) fn service_calls() -> mangru_query::ServiceCalls {
    let mangru_query::ServiceMap { nodes, edges, coverage, .. } = service_map();
    mangru_query::ServiceCalls { nodes, edges, coverage }
}

fn service_map() -> ServiceMap {
    let mut map = ServiceMap {
        nodes: vec![
            node("database:cards", NodeKind::Database, "cards", Some("postgresql")),
            node("external:bank", NodeKind::External, "bank.example", None),
            node("outside", NodeKind::Outside, "outside", None),
            node("queue:orders", NodeKind::Queue, "orders", Some("kafka")),
            node("service:checkout", NodeKind::Service, "checkout", None),
            node("service:frontend", NodeKind::Service, "frontend", None),
            node("service:hostile", NodeKind::Service, HOSTILE, None),
            node("service:payment", NodeKind::Service, "payment", None),
        ],
        edges: vec![
            edge("outside", "service:frontend", CallKind::Http, 9_000, 0),
            edge("service:checkout", "queue:orders", CallKind::Messaging, 800, 0),
            edge("service:checkout", "service:payment", CallKind::Rpc, 4_000, 700),
            edge("service:frontend", "service:checkout", CallKind::Http, 8_000, 20),
            edge("service:frontend", "service:hostile", CallKind::Http, 10, 1),
            edge("service:hostile", "service:frontend", CallKind::Http, 3, 0),
            edge("service:payment", "database:cards", CallKind::Db, 4_000, 0),
            edge("service:payment", "external:bank", CallKind::Http, 3_900, 650),
        ],
        spans: 61_000,
        missing_parents: 12,
        margin_ns: 300 * SECOND,
        coverage: coverage(61_000),
    };
    let figures = map.nodes.iter_mut().map(|node| &mut node.figures);
    for figures in figures.chain(map.edges.iter_mut().map(|edge| &mut edge.figures)) {
        // A percentile that is not known.
        figures.p99_ns = None;
    }
    map
}

/// The map.
pub(super) fn map_screen(request: &PageRequest) -> Screen {
    map::screen(request, &Ok(service_map()))
}

fn point(n: i64, is_error: bool) -> HeatPoint {
    HeatPoint {
        time_unix_nano: (NOW - n * 20 * SECOND).to_string(),
        duration_ns: (n % 9 + 1) * 30_000_000,
        is_error,
        trace_id: TRACE.to_owned(),
        span_id: format!("{:016x}", n + 1),
        service_name: "checkout".to_owned(),
        name: if n == 4 { HOSTILE.to_owned() } else { "POST /checkout".to_owned() },
    }
}

fn heat(with_points: bool) -> Heat {
    let points: Vec<HeatPoint> = (0..40).map(|n| point(n, n % 8 == 0)).collect();
    let cells = points
        .iter()
        .enumerate()
        .map(|(n, point)| HeatCell {
            column: 59 - n,
            row: Heat::row(point.duration_ns),
            count: n as u64 * 3 + 1,
            errors: u64::from(point.is_error),
            slowest: point.clone(),
            failed: point.is_error.then(|| point.clone()),
        })
        .collect();
    Heat {
        start: NOW - 900 * SECOND,
        step_ns: 15 * SECOND,
        columns: 60,
        cells,
        points: with_points.then_some(points),
        coverage: coverage(40),
    }
}

fn some_figures(n: u64) -> Figures {
    let rows = 40 + n * 7 % 30;
    Figures {
        rows,
        rows_per_second: rows as f64 / 15.0,
        errors: n % 5,
        count: rows,
        p50: (n != 9).then_some(20e6),
        p95: (n != 9).then_some(90e6 + n as f64 * 1e6),
        p99: (n != 9).then_some(210e6),
        ..Figures::default()
    }
}

fn stats(keys: &[Option<&str>]) -> Stats {
    let series = keys
        .iter()
        .enumerate()
        .map(|(number, key)| StatsSeries {
            key: key.map(str::to_owned),
            total: some_figures(3),
            // Of several groups the later began in the middle.
            buckets: (0..60).map(|n| if number > 0 && n < 30 { Figures::default() } else { some_figures(n) }).collect(),
        })
        .collect();
    Stats { start: NOW - 900 * SECOND, step_ns: 15 * SECOND, series, relative_error: 0.005, coverage: coverage(2_000) }
}

/// A service's page; a name that would do harm.
pub(super) fn service_screen(request: &PageRequest, name: &str) -> Screen {
    let column = |name: &str| SqlColumn { name: name.to_owned(), r#type: "Utf8".to_owned() };
    let exceptions = Exceptions {
        start: NOW - 900 * SECOND,
        step_ns: 30 * SECOND,
        groups: vec![ExceptionGroup {
            kind: "shop.PaymentError".to_owned(),
            place: "shop.Payment.charge(Payment.java:210)".to_owned(),
            count: 41,
            first_unix_nano: (NOW - 800 * SECOND).to_string(),
            last_unix_nano: (NOW - SECOND).to_string(),
            services: vec![name.to_owned()],
            counts: (0..30).map(|n| n % 4).collect(),
            message: HOSTILE.to_owned(),
            stack_trace: format!("shop.PaymentError: {HOSTILE}\n    at shop.Payment.charge(Payment.java:210)"),
            trace_id: TRACE.to_owned(),
            span_id: format!("{:016x}", 5),
        }],
        ungrouped: 0,
        coverage: coverage(41),
    };
    let operation = |operation: &str, kind: i32, errors: u64| Operation {
        name: operation.to_owned(),
        kind,
        requests: 4_000,
        errors,
        p50_ns: 12_000_000,
        p95_ns: 240_000_000,
        p99_ns: 1_200_000_000,
    };
    let metrics = SqlResult {
        columns: ["metric_name", "metric_type", "metric_unit", "metric_description", "series"].map(column).to_vec(),
        rows: vec![vec![json!("queue.depth"), json!("gauge"), json!("1"), json!(HOSTILE), json!(4)]],
        coverage: coverage(1),
    };
    let data = service::Service {
        name: name.to_owned(),
        requests: crate::parts::field_term("service.name", name),
        stats: Ok(stats(&[None])),
        before: Ok(stats(&[None])),
        heat: Ok(heat(false)),
        operations: Ok((vec![operation("Charge", 2, 7), operation(HOSTILE, 3, 0)], coverage(2))),
        calls: Ok(service_calls()),
        exceptions: Ok(exceptions),
        error_logs: Ok(Page { rows: vec![log(1, 17, name, HOSTILE)], coverage: coverage(1), cursor: None }),
        instances: ("resource.service.instance.id", Ok(stats(&[Some("pod-1"), Some(HOSTILE)]))),
        versions: Ok(stats(&[Some("1.4.2"), Some("1.5.0")])),
        metrics: Ok(metrics),
        firing: vec![firing(name)],
        alerts: AlertHistory {
            transitions: vec![Transition {
                time_ms: (NOW - 300 * SECOND) / 1_000_000,
                rule: "shop-declined".to_owned(),
                name: HOSTILE.to_owned(),
                from: State::Pending,
                to: State::Firing,
                labels: [("service_name".to_owned(), name.to_owned())].into(),
                value: 7.0,
            }],
            ..AlertHistory::default()
        },
    };
    service::screen(request, &data)
}

/// An alert of a service whose words would do harm.
fn firing(service: &str) -> AlertView {
    AlertView {
        fingerprint: 7,
        rule: "shop-declined".to_owned(),
        alert: Alert {
            labels: [("alertname", HOSTILE), ("service_name", service)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            annotations: [("summary".to_owned(), HOSTILE.to_owned())].into(),
            value: 7.0,
            state: State::Firing,
            active_at_ms: NOW / 1_000_000 - 60_000,
            fired_at_ms: None,
            resolved_at_ms: None,
            kept_since_ms: None,
            evidence: Vec::new(),
        },
        receivers: Vec::new(),
        muted: None,
        url: String::new(),
        posted: None,
    }
}

/// What is different about some spans.
fn comparison() -> Comparison {
    let value = |text: &str, selection: f64, baseline: f64| ComparedValue {
        value: text.to_owned(),
        is_cut: false,
        selection_rows: 40,
        selection_share: selection,
        baseline_rows: 60,
        baseline_share: baseline,
        difference: selection - baseline,
        g: 99.0,
    };
    let field = |name: &str, kind: ComparedKind, values: Vec<ComparedValue>| ComparedField {
        name: name.to_owned(),
        kind,
        is_queried: false,
        values_found: 5,
        values,
    };
    Comparison {
        selection_rows: 40,
        baseline_rows: 2_000,
        fields: vec![
            field("resource.service.version", ComparedKind::Resource, vec![value("1.5.0", 1.0, 0.03)]),
            field(HOSTILE, ComparedKind::Attribute, vec![value(HOSTILE, 0.8, 0.1)]),
        ],
        values_tested: 412,
        left_out: vec!["order.id".to_owned()],
        coverage: coverage(40),
    }
}

/// The search for traces with its pictures.
pub(super) fn traces_screen(request: &PageRequest, found: Result<Page<TraceSummary>, QueryError>) -> Screen {
    let has_part = request.params.get("compare").is_some();
    let data = traces::Traces {
        found,
        heat: Some(Ok(heat(!has_part))),
        stats: Some(Ok(stats(&[None]))),
        comparison: has_part.then(|| Ok(comparison())),
    };
    traces::screen(request, &data)
}
