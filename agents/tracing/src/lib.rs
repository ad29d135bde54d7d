//! Exports what a Rust service says through the `tracing` crate: spans become OTLP spans, events become OTLP log
//! records that carry the trace and span they happened in.
//!
//! ```no_run
//! use tracing_subscriber::layer::SubscriberExt as _;
//! use tracing_subscriber::util::SubscriberInitExt as _;
//!
//! # fn main() -> Result<(), mangru_tracing::StartError> {
//! let telemetry = mangru_tracing::Telemetry::start(&mangru_tracing::Settings::new("checkout"))?;
//! tracing_subscriber::registry().with(telemetry.layer()).init();
//!
//! tracing::info_span!("place order", order.id = 17).in_scope(|| tracing::info!("order placed"));
//!
//! telemetry.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! Export happens on a thread of its own, in batches; a collector that is away never blocks the service. Start it
//! inside a Tokio runtime: the gRPC connection lives there.

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Who is speaking, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `service.name` of the resource.
    pub service_name: String,
    /// `service.version` of the resource, when it has one.
    pub service_version: Option<String>,
    /// Further attributes of the resource.
    pub attributes: Vec<(String, String)>,
    /// The collector's OTLP gRPC address. Default `http://127.0.0.1:4317`.
    pub endpoint: String,
}

impl Settings {
    /// Settings for a service of this name that exports to a collector on the same machine.
    pub fn new(service_name: &str) -> Self {
        Self {
            service_name: service_name.to_owned(),
            service_version: None,
            attributes: Vec::new(),
            endpoint: "http://127.0.0.1:4317".to_owned(),
        }
    }

    fn resource(&self) -> Resource {
        let version = self.service_version.iter().map(|version| KeyValue::new("service.version", version.clone()));
        let others = self.attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        Resource::builder().with_service_name(self.service_name.clone()).with_attributes(version.chain(others)).build()
    }
}

/// The exporters could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot export to {endpoint}: {reason}")]
pub struct StartError {
    endpoint: String,
    reason: String,
}

/// The running export of one service.
#[derive(Debug)]
pub struct Telemetry {
    spans: SdkTracerProvider,
    logs: SdkLoggerProvider,
}

impl Telemetry {
    /// Starts the exporters; nothing is sent yet.
    ///
    /// # Errors
    /// When the endpoint is not a URL.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError {
            endpoint: settings.endpoint.clone(),
            reason: error.to_string(),
        };
        let spans = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .build()
            .map_err(|error| failed(&error))?;
        let logs = LogExporter::builder()
            .with_tonic()
            .with_endpoint(&settings.endpoint)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Self {
            spans: SdkTracerProvider::builder().with_resource(settings.resource()).with_batch_exporter(spans).build(),
            logs: SdkLoggerProvider::builder().with_resource(settings.resource()).with_batch_exporter(logs).build(),
        })
    }

    /// The layer that a subscriber's registry takes.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let spans = tracing_opentelemetry::layer().with_tracer(self.spans.tracer("mangru-tracing"));
        let logs = OpenTelemetryTracingBridge::new(&self.logs);
        spans.and_then(logs)
    }

    /// Sends what waits and stops. What cannot be sent any more is given up.
    pub fn shutdown(&self) {
        // A collector that is gone is no reason for the service to fail at its end.
        let _ = self.spans.shutdown();
        let _ = self.logs.shutdown();
    }
}
