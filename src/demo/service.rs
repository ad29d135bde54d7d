//! One service of the shop with SDK providers of its own.

use opentelemetry::KeyValue;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchLogProcessor, SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider};
use std::time::{Duration, SystemTime};

/// How long finished spans and logs wait to be sent together.
const SEND_DELAY: Duration = Duration::from_millis(400);
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(2);

/// What a service is.
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) language: &'static str,
    pub(super) pods: u32,
}

/// A service that traces, measures and logs.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) tracer: SdkTracer,
    logger: SdkLogger,
    pub(super) http_duration: Histogram<f64>,
    pub(super) rpc_duration: Histogram<f64>,
    pub(super) message_duration: Histogram<f64>,
    pub(super) orders: Counter<u64>,
    pub(super) queue_depth: Gauge<u64>,
    pub(super) breaker: Gauge<u64>,
    spans: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

impl Service {
    pub(super) fn start(description: &Description, endpoint: &str) -> anyhow::Result<Self> {
        let pod = format!("{}-{:x}-{}", description.name, 0x7f3a_u32 + description.pods * 911, description.pods);
        let resource = Resource::builder()
            .with_service_name(description.name)
            .with_attributes([
                KeyValue::new("service.namespace", "shop"),
                KeyValue::new("service.version", description.version),
                KeyValue::new("service.instance.id", pod.clone()),
                KeyValue::new("deployment.environment.name", "demo"),
                KeyValue::new("host.name", format!("node-{}", description.pods % 3 + 1)),
                KeyValue::new("k8s.namespace.name", "shop"),
                KeyValue::new("k8s.pod.name", pod),
                KeyValue::new("process.runtime.name", description.language),
            ])
            .build();
        let spans = BatchSpanProcessor::builder(SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?)
            .with_batch_config(
                opentelemetry_sdk::trace::BatchConfigBuilder::default().with_scheduled_delay(SEND_DELAY).build(),
            )
            .build();
        let logs = BatchLogProcessor::builder(LogExporter::builder().with_tonic().with_endpoint(endpoint).build()?)
            .with_batch_config(
                opentelemetry_sdk::logs::BatchConfigBuilder::default().with_scheduled_delay(SEND_DELAY).build(),
            )
            .build();
        let reader = PeriodicReader::builder(MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?)
            .with_interval(METRICS_EVERY)
            .build();
        let spans = SdkTracerProvider::builder().with_resource(resource.clone()).with_span_processor(spans).build();
        let logs = SdkLoggerProvider::builder().with_resource(resource.clone()).with_log_processor(logs).build();
        let metrics = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
        let meter = metrics.meter("shop");
        Ok(Self {
            name: description.name,
            tracer: spans.tracer("shop"),
            logger: logs.logger("shop"),
            http_duration: durations(&meter, "http.server.request.duration", "Duration of HTTP requests answered."),
            rpc_duration: durations(&meter, "rpc.server.call.duration", "Duration of remote procedure calls answered."),
            message_duration: durations(&meter, "messaging.process.duration", "Duration of messages worked on."),
            orders: meter.u64_counter("shop.orders").with_unit("{order}").with_description("Orders placed.").build(),
            queue_depth: meter
                .u64_gauge("messaging.queue.depth")
                .with_unit("{message}")
                .with_description("Messages that wait.")
                .build(),
            breaker: meter
                .u64_gauge("circuit_breaker.state")
                .with_description("0 closed, 1 half open, 2 open.")
                .build(),
            spans,
            logs,
            metrics,
        })
    }

    /// Logs within the current context, so that the record carries trace and span.
    pub(super) fn log(
        &self,
        time: SystemTime,
        severity: Severity,
        body: String,
        attributes: Vec<(&'static str, AnyValue)>,
    ) {
        let mut record = self.logger.create_log_record();
        record.set_timestamp(time);
        record.set_observed_timestamp(SystemTime::now());
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(body.into());
        record.add_attributes(attributes);
        self.logger.emit(record);
    }

    /// Sends what waits and stops.
    pub(super) fn close(&self) {
        // A collector that is already gone is no reason to fail at the end of a demo.
        let _ = self.spans.shutdown_with_timeout(Duration::from_millis(300));
        let _ = self.logs.shutdown_with_timeout(Duration::from_millis(300));
        let _ = self.metrics.shutdown_with_timeout(Duration::from_millis(300));
    }
}

/// A histogram of seconds with the bounds that the semantic conventions advise.
fn durations(meter: &Meter, name: &'static str, description: &'static str) -> Histogram<f64> {
    let bounds = vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    meter.f64_histogram(name).with_unit("s").with_description(description).with_boundaries(bounds).build()
}
