//! The load: what twenty services on three pods each would export.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message as _;

const SERVICES: [&str; 20] = [
    "frontend",
    "gateway",
    "checkout",
    "cart",
    "catalog",
    "payment",
    "inventory",
    "shipping",
    "email",
    "recommendation",
    "user",
    "search",
    "pricing",
    "fraud",
    "orders",
    "invoices",
    "reviews",
    "media",
    "notifications",
    "ledger",
];
const PODS: usize = 3;

/// A small generator of numbers that look random and are the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(value as i64))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Eighteen attributes of a pod.
fn resource(service: usize, pod: usize) -> Resource {
    let name = SERVICES[service];
    let id = service * PODS + pod;
    let attributes = vec![
        text("service.name", name),
        text("service.namespace", "shop"),
        text("service.version", format!("{}.{}.{}", 1 + service % 4, service % 10, pod)),
        text("service.instance.id", format!("{name}-{id:08x}-{pod}")),
        text("deployment.environment.name", "production"),
        text("host.name", format!("node-{:03}", id % 12)),
        text("host.arch", "amd64"),
        text("os.type", "linux"),
        text("k8s.cluster.name", "eu-central"),
        text("k8s.namespace.name", "shop"),
        text("k8s.deployment.name", name),
        text("k8s.pod.name", format!("{name}-7d9f8b6c5-{id:05x}")),
        text("k8s.pod.uid", format!("7f3c9a52-1b1e-4c1d-9d5c-{id:012x}")),
        text("k8s.container.name", name),
        text("k8s.node.name", format!("node-{:03}", id % 12)),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.language", ["java", "go", "python", "nodejs"][service % 4]),
        text("telemetry.sdk.version", "1.40.0"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), version: "1.0.0".to_owned(), ..InstrumentationScope::default() }
}

/// Logs of one pod: ten shapes of message, 6 to 10 attributes, trace ids on six of ten.
pub(super) fn logs(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 1);
    let pod = number as usize % (SERVICES.len() * PODS);
    let records = (0..count)
        .map(|index| {
            let time = start + index as u64 * 50_000 + random.below(40_000);
            let (severity, body, mut attributes) = shape(&mut random);
            attributes.extend([
                text("thread.name", format!("http-nio-8080-exec-{}", random.below(32))),
                text("code.function.name", format!("com.shop.handler.Handler{}.handle", random.below(24))),
                text("log.logger", format!("com.shop.service.Service{}", random.below(16))),
            ]);
            let traced = random.below(10) < 6;
            let trace = ((number << 20) | (index as u64 / 8)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: time + 1_000_000,
                severity_number: severity,
                severity_text: ["INFO", "WARN", "ERROR"][(severity as usize - 9) / 4].to_owned(),
                body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
                attributes,
                trace_id: if traced { id16(trace) } else { Vec::new() },
                span_id: if traced { random.next().to_be_bytes().to_vec() } else { Vec::new() },
                flags: u32::from(traced),
                ..LogRecord::default()
            }
        })
        .collect();
    let scope_logs =
        vec![ScopeLogs { scope: Some(scope("com.shop.logging")), log_records: records, ..ScopeLogs::default() }];
    let resource = Some(resource(pod / PODS, pod % PODS));
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    };
    request.encode_to_vec()
}

fn id16(seed: u64) -> Vec<u8> {
    let high = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    [high.to_be_bytes(), seed.to_be_bytes()].concat()
}

fn shape(random: &mut Random) -> (i32, String, Vec<KeyValue>) {
    let user = random.below(50_000);
    let order = random.below(2_000_000);
    match random.below(100) {
        0..30 => {
            let route = ["/api/products/{id}", "/api/cart", "/api/orders", "/api/users/{id}", "/health"]
                [random.below(5) as usize];
            let status = [200, 200, 200, 200, 201, 304, 404, 500][random.below(8) as usize];
            let millis = random.below(400);
            let body = format!(
                "GET {route} HTTP/1.1 {status} {millis}ms {} bytes 10.0.{}.{}",
                random.below(90_000),
                user % 250,
                order % 250
            );
            let attributes = vec![
                text("http.request.method", "GET"),
                text("http.route", route),
                int("http.response.status_code", status),
                int("http.response.body.size", random.below(90_000)),
                text("client.address", format!("10.0.{}.{}", user % 250, order % 250)),
                text("user.id", format!("u-{user}")),
            ];
            (9, body, attributes)
        }
        30..45 => {
            let millis = random.below(900);
            let body = format!(
                "query took {millis} ms: SELECT id, status, total FROM orders WHERE customer_id = {user} ORDER BY created_at DESC LIMIT 20"
            );
            let attributes = vec![
                text("db.system.name", "postgresql"),
                text("db.namespace", "orders"),
                text("db.operation.name", "SELECT"),
                int("db.response.returned_rows", random.below(21)),
            ];
            (if millis > 700 { 13 } else { 9 }, body, attributes)
        }
        45..57 => {
            let hit = random.below(4) > 0;
            let body = format!("cache {} for key session:{:016x}", if hit { "hit" } else { "miss" }, random.next());
            (
                9,
                body,
                vec![
                    text("db.system.name", "redis"),
                    attribute("cache.hit", Value::BoolValue(hit)),
                    int("cache.ttl", random.below(3600)),
                ],
            )
        }
        57..70 => {
            let body = format!(
                "order ORD-{order:07} placed by customer {user}: {} items, total {}.{:02} EUR",
                1 + random.below(9),
                random.below(900),
                random.below(100)
            );
            let attributes = vec![
                text("order.id", format!("ORD-{order:07}")),
                text("customer.id", format!("c-{user}")),
                attribute("order.total", Value::DoubleValue(random.below(90_000) as f64 / 100.0)),
                text("currency", "EUR"),
            ];
            (9, body, attributes)
        }
        70..78 => {
            let offset = random.below(10_000_000);
            let body = format!("consumed message from topic orders partition {} offset {offset}", random.below(12));
            let attributes = vec![
                text("messaging.system", "kafka"),
                text("messaging.destination.name", "orders"),
                int("messaging.kafka.offset", offset),
                text("messaging.consumer.group.name", "billing"),
            ];
            (9, body, attributes)
        }
        78..85 => {
            let body = format!("rpc shop.Inventory/Reserve finished in {} us with status OK", random.below(90_000));
            (
                9,
                body,
                vec![
                    text("rpc.system", "grpc"),
                    text("rpc.service", "shop.Inventory"),
                    text("rpc.method", "Reserve"),
                    int("rpc.grpc.status_code", 0),
                ],
            )
        }
        85..90 => {
            let body = format!(
                "session {:016x} of user u-{user} {}",
                random.next(),
                if random.below(2) == 0 { "started" } else { "expired" }
            );
            (
                9,
                body,
                vec![
                    text("session.id", format!("{:016x}", random.next())),
                    text("user.id", format!("u-{user}")),
                    text("client.address", format!("192.168.{}.{}", user % 250, order % 250)),
                ],
            )
        }
        90..95 => {
            let attempt = 1 + random.below(5);
            let body = format!(
                "retry {attempt} of 5 for upstream payment-{} after connection refused, next in {} ms",
                random.below(9),
                attempt * 100
            );
            (
                13,
                body,
                vec![
                    text("peer.service", "payment"),
                    int("retry.attempt", attempt),
                    text("error.type", "connection_refused"),
                ],
            )
        }
        95..98 => {
            let kind = [
                "java.lang.NullPointerException",
                "java.net.SocketTimeoutException",
                "java.lang.IllegalStateException",
            ][random.below(3) as usize];
            let line = random.below(400);
            let body = format!(
                "{kind}: cannot process order ORD-{order:07}\n\tat com.shop.orders.OrderService.process(OrderService.java:{line})\n\tat com.shop.orders.OrderController.post(OrderController.java:{})\n\tat jdk.internal.reflect.Method.invoke(Method.java:580)\n\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)\n\tat java.lang.Thread.run(Thread.java:1583)",
                line / 2
            );
            (
                17,
                body,
                vec![
                    text("exception.type", kind),
                    text("exception.message", format!("cannot process order ORD-{order:07}")),
                    text("order.id", format!("ORD-{order:07}")),
                ],
            )
        }
        _ => {
            let body = format!(
                "GC pause (G1 Evacuation Pause) {}M->{}M(4096M) {}.{:03}ms",
                random.below(4000),
                random.below(2000),
                random.below(90),
                random.below(1000)
            );
            (
                9,
                body,
                vec![
                    text("jvm.gc.name", "G1 Young Generation"),
                    text("jvm.gc.action", "end of minor GC"),
                    int("jvm.gc.cause", random.below(3)),
                ],
            )
        }
    }
}

/// Spans of whole traces over a fixed graph of calls: 7 to 39 spans each, grouped by service.
pub(super) fn spans(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 7);
    let mut by_service: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
    let mut made = 0;
    while made < count {
        let size = (7 + random.below(33)).min((count - made) as u64) as usize;
        let trace = id16(random.next());
        let begin = start + made as u64 * 30_000;
        let mut ids: Vec<Vec<u8>> = Vec::with_capacity(size);
        for index in 0..size {
            let parent = (index > 0).then(|| (index - 1) / 2);
            let service = (index * 7 + index / 3) % SERVICES.len();
            let id = random.next().to_be_bytes().to_vec();
            let from = begin + index as u64 * 400_000 + random.below(90_000);
            let duration = 500_000 + random.below(40_000_000) / (index as u64 + 1);
            let failed = random.below(50) == 0;
            let (name, attributes) = operation(&mut random, index);
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

/// Metric points of one pod after the other: 46 series each of gauges, sums, histograms and exponential histograms.
pub(super) fn metrics(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 13);
    let mut resource_metrics = Vec::new();
    let mut made = 0;
    let mut pod = number as usize * count / 46;
    while made < count {
        // A pod tells all its series at one moment, every ten seconds.
        let round = pod / (SERVICES.len() * PODS);
        let time = start + round as u64 * 10_000_000_000;
        let wanted = (count - made).min(46);
        let metrics = (0..wanted).map(|series| metric(series, time, start, round as u64, &mut random)).collect();
        let place = pod % (SERVICES.len() * PODS);
        resource_metrics.push(ResourceMetrics {
            resource: Some(resource(place / PODS, place % PODS)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope("com.shop.metrics")),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        });
        made += wanted;
        pod += 1;
    }
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn metric(series: usize, time: u64, start: u64, round: u64, random: &mut Random) -> Metric {
    let attributes = vec![
        text("http.route", format!("/api/route-{}", series % 6)),
        text("http.request.method", ["GET", "POST"][series % 2]),
    ];
    let (name, unit, data) = match series {
        0..16 => {
            let value = number_data_point::Value::AsDouble(random.below(10_000) as f64 / 100.0);
            let point =
                NumberDataPoint { attributes, time_unix_nano: time, value: Some(value), ..NumberDataPoint::default() };
            (format!("process.gauge_{}", series / 2), "By", Data::Gauge(Gauge { data_points: vec![point] }))
        }
        16..34 => {
            let value = number_data_point::Value::AsInt((round * 60 + random.below(60)) as i64);
            let point = NumberDataPoint {
                attributes,
                time_unix_nano: time,
                start_time_unix_nano: start,
                value: Some(value),
                ..NumberDataPoint::default()
            };
            let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
            (format!("http.server.requests_{}", series / 2), "{request}", Data::Sum(sum))
        }
        34..42 => {
            let counts: Vec<u64> = (0..11).map(|bucket| round * 3 + random.below(20) / (bucket + 1)).collect();
            let point = HistogramDataPoint {
                attributes,
                time_unix_nano: time,
                start_time_unix_nano: start,
                count: counts.iter().sum(),
                sum: Some(random.below(100_000) as f64 / 1000.0),
                bucket_counts: counts,
                explicit_bounds: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
                ..HistogramDataPoint::default()
            };
            let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
            (format!("http.server.duration_{}", series / 2), "s", Data::Histogram(histogram))
        }
        _ => {
            let counts: Vec<u64> = (0..24).map(|_| random.below(9)).collect();
            let point = ExponentialHistogramDataPoint {
                attributes,
                time_unix_nano: time,
                start_time_unix_nano: start,
                count: counts.iter().sum(),
                sum: Some(random.below(100_000) as f64 / 1000.0),
                scale: 4,
                positive: Some(Buckets { offset: -20, bucket_counts: counts }),
                ..ExponentialHistogramDataPoint::default()
            };
            let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
            (format!("rpc.client.duration_{}", series / 2), "s", Data::ExponentialHistogram(histogram))
        }
    };
    Metric {
        name,
        unit: unit.to_owned(),
        description: "A measurement of the load.".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const EVENTS: usize = 1000;

    fn bytes_per_event(make: fn(u64, usize, u64) -> Vec<u8>) -> usize {
        (0..60).map(|number| make(number, EVENTS, 1_700_000_000_000_000_000).len()).sum::<usize>() / (60 * EVENTS)
    }

    #[test]
    fn events_are_as_long_as_the_load_says() {
        for (name, make, wanted) in
            [("logs", logs as fn(u64, usize, u64) -> Vec<u8>, 414), ("spans", spans, 357), ("metrics", metrics, 162)]
        {
            let bytes = bytes_per_event(make);
            println!("{name}: {bytes} bytes per event");
            assert!(bytes.abs_diff(wanted) * 10 <= wanted, "{name}: {bytes} bytes per event, wanted about {wanted}");
        }
    }

    #[test]
    fn six_of_ten_logs_carry_a_trace_and_all_six_to_ten_attributes() {
        let message = logs(3, EVENTS, 1);
        let request = ExportLogsServiceRequest::decode(&*message).expect("protobuf");
        let resource = request.resource_logs[0].resource.as_ref().expect("resource");
        assert_eq!(resource.attributes.len(), 18);
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        assert_eq!(records.len(), EVENTS);
        assert!(records.iter().all(|record| (6..=10).contains(&record.attributes.len())));
        let traced = records.iter().filter(|record| !record.trace_id.is_empty()).count();
        assert!((550..650).contains(&traced), "{traced}");
    }

    #[test]
    fn traces_are_whole_and_have_7_to_39_spans() {
        let message = spans(3, EVENTS, 1);
        let request = ExportTraceServiceRequest::decode(&*message).expect("protobuf");
        let mut traces: HashMap<Vec<u8>, Vec<Span>> = HashMap::new();
        for scope_spans in request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans) {
            for span in scope_spans.spans {
                traces.entry(span.trace_id.clone()).or_default().push(span);
            }
        }
        assert_eq!(traces.values().map(Vec::len).sum::<usize>(), EVENTS);
        for spans in traces.values() {
            assert!((7..=39).contains(&spans.len()), "{}", spans.len());
            assert_eq!(spans.iter().filter(|span| span.parent_span_id.is_empty()).count(), 1);
        }
    }

    #[test]
    fn a_pod_tells_46_series_of_four_kinds() {
        let message = metrics(0, EVENTS, 1);
        let request = ExportMetricsServiceRequest::decode(&*message).expect("protobuf");
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        assert_eq!(metrics.len(), 46);
        let kinds = |wanted: fn(&Data) -> bool| metrics.iter().filter_map(|metric| metric.data.as_ref()).any(wanted);
        assert!(kinds(|data| matches!(data, Data::Gauge(_))) && kinds(|data| matches!(data, Data::Sum(_))));
        assert!(kinds(|data| matches!(data, Data::Histogram(_))));
        assert!(kinds(|data| matches!(data, Data::ExponentialHistogram(_))));
    }
}
