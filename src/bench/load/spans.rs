//! Spans of whole traces.

use super::{PODS, Random, SERVICES, STEP, id16, int, resource, scope, text};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;

/// Spans of whole traces over a fixed graph of calls: 7 to 39 spans each, grouped by service.
pub(super) fn spans(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 7);
    let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
    let mut made = 0;
    while made < count {
        let size = trace_size(&mut random, count - made);
        let trace = id16(random.next());
        let begin = start + number * STEP + made as u64 * STEP / count as u64;
        let mut ids: Vec<Vec<u8>> = Vec::with_capacity(size);
        for index in 0..size {
            let parent = (index > 0).then(|| (index - 1) / 2);
            let service = (index * 7 + index / 3) % SERVICES.len();
            let id = random.next().to_be_bytes().to_vec();
            let from = begin + index as u64 * 400_000 + random.below(90_000);
            let duration = 500_000 + random.below(40_000_000) / (index as u64 + 1);
            let failed = random.below(50) == 0;
            let (name, mut attributes) = operation(&mut random, index);
            attributes.extend([
                text("thread.name", format!("http-nio-8080-exec-{}", random.below(32))),
                text("network.peer.address", format!("10.0.{service}.{}", random.below(PODS as u64))),
            ]);
            by_service[service].push(Span {
                trace_id: trace.clone(),
                span_id: id.clone(),
                parent_span_id: parent.map(|parent| ids[parent].clone()).unwrap_or_default(),
                name,
                kind: if index % 2 == 0 { 2 } else { 3 },
                start_time_unix_nano: from,
                end_time_unix_nano: from + duration,
                attributes,
                events: if failed {
                    vec![span::Event {
                        time_unix_nano: from + duration / 2,
                        name: "exception".to_owned(),
                        attributes: vec![
                            text("exception.type", "java.net.SocketTimeoutException"),
                            text("exception.message", "read timed out"),
                        ],
                        ..span::Event::default()
                    }]
                } else {
                    Vec::new()
                },
                status: failed.then(|| Status { code: 2, message: "read timed out".to_owned() }),
                flags: 257,
                ..Span::default()
            });
            ids.push(id);
        }
        made += size;
    }
    let resource_spans = by_service
        .into_iter()
        .enumerate()
        .filter(|(_, spans)| !spans.is_empty())
        .map(|(service, spans)| ResourceSpans {
            resource: Some(resource(service, number as usize % PODS)),
            scope_spans: vec![ScopeSpans { scope: Some(scope("com.shop.tracing")), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans the next trace has, so that no trace is cut short when only so many are left.
const fn trace_size(random: &mut Random, left: usize) -> usize {
    let size = 7 + random.below(33) as usize;
    if left <= 39 {
        left
    } else if left - size < 7 {
        left - 7
    } else {
        size
    }
}

fn operation(random: &mut Random, index: usize) -> (String, Vec<KeyValue>) {
    match index % 4 {
        0 => {
            let route = ["/api/checkout", "/api/cart", "/api/products/{id}", "/api/search"][random.below(4) as usize];
            let attributes = vec![
                text("http.request.method", "POST"),
                text("http.route", route),
                int("http.response.status_code", if random.below(40) == 0 { 503 } else { 200 }),
                text("url.path", format!("{route}/{}", random.below(100_000))),
                text("server.address", "shop.example"),
                int("server.port", 443),
                text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            ];
            (format!("POST {route}"), attributes)
        }
        1 => (
            "shop.Inventory/Reserve".to_owned(),
            vec![
                text("rpc.system", "grpc"),
                text("rpc.service", "shop.Inventory"),
                text("rpc.method", "Reserve"),
                int("rpc.grpc.status_code", 0),
                text("server.address", "inventory"),
            ],
        ),
        2 => (
            "SELECT orders".to_owned(),
            vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "orders"),
                text("db.operation.name", "SELECT"),
                text("db.query.text", "SELECT id, status FROM orders WHERE customer_id = $1"),
                int("db.response.returned_rows", random.below(50)),
            ],
        ),
        _ => (
            "publish orders".to_owned(),
            vec![
                text("messaging.system", "kafka"),
                text("messaging.destination.name", "orders"),
                text("messaging.operation.type", "send"),
                int("messaging.message.body.size", random.below(4000)),
            ],
        ),
    }
}
