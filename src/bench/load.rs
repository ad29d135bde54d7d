//! The load: what twenty services on three pods each would export.

mod logs;
mod metrics;
mod spans;

use logs::logs;
use metrics::metrics;
use spans::spans;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;

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
/// Series of a pod.
const SERIES: usize = 46;
/// Nanoseconds from one request of logs or spans to the next: a million events in requests of a thousand are an hour.
const STEP: u64 = 3_600_000_000;
/// Nanoseconds after which a pod tells its series again.
const ROUND: u64 = 10_000_000_000;

/// What is sent of a signal.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) table: &'static str,
    /// The gRPC method.
    pub(super) method: &'static str,
    /// Makes a request of its number, with so many events, in a load that begins at this time.
    pub(super) make: fn(u64, usize, u64) -> Vec<u8>,
    /// Nanoseconds of time that an event stands for, in requests of a thousand.
    ns_per_event: u64,
}

/// The three signals.
pub(super) const LOADS: [Load; 3] = [
    Load {
        name: "logs",
        table: "logs",
        method: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        make: logs,
        ns_per_event: STEP / 1000,
    },
    Load {
        name: "spans",
        table: "spans",
        method: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        make: spans,
        ns_per_event: STEP / 1000,
    },
    Load {
        name: "metrics",
        table: "metric_points",
        method: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        make: metrics,
        ns_per_event: ROUND / (SERVICES.len() * PODS * SERIES) as u64,
    },
];

impl Load {
    /// When a load of so many events has to begin to end now.
    pub(super) const fn start(&self, now: u64, events: u64) -> u64 {
        // The last requests reach beyond their own step.
        now.saturating_sub(self.ns_per_event * events + (SERVICES.len() * PODS) as u64 * STEP)
    }
}

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

fn id16(seed: u64) -> Vec<u8> {
    let high = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    [high.to_be_bytes(), seed.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message as _;
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
        let (mut gauges, mut sums, mut histograms, mut exponential) = (0, 0, 0, 0);
        for data in metrics.iter().filter_map(|metric| metric.data.as_ref()) {
            match data {
                Data::Gauge(gauge) => gauges += gauge.data_points.len(),
                Data::Sum(sum) => sums += sum.data_points.len(),
                Data::Histogram(histogram) => histograms += histogram.data_points.len(),
                Data::ExponentialHistogram(histogram) => exponential += histogram.data_points.len(),
                Data::Summary(_) => panic!("a summary is none of the four"),
            }
        }
        assert_eq!((gauges, sums, histograms, exponential), (16, 18, 8, 4));
    }
}
