//! The collector: takes telemetry over its protocols and gives it to the store.
//!
//! In come OTLP requests over gRPC and HTTP (protobuf and JSON; plain, gzip, zstd), and what senders of Prometheus, Loki, Zipkin and
//! Elasticsearch write. Each becomes one Arrow batch, decoded
//! from the wire straight into columns, correlated, and appended to the store; the sender is answered when the batch is
//! durable, or told by its protocol's own means to try again. The collector never reads what is stored and never knows a
//! query.

mod admit;
mod collector;
mod columns;
mod correlate;
mod export;
mod grpc;
mod http;
mod intake;
mod json;
mod otlp;
mod receive;
mod receivers;
mod wire;
mod write;

pub use collector::{Collector, CollectorConfig, CollectorError, CollectorHandle};
pub use correlate::{Correlation, CorrelationConfig};
pub use intake::{IntakeReport, ProtocolIntake};
pub use otlp::{DecodeError, Decoded, decode, decode_json};
