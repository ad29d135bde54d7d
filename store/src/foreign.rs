//! Names under which records that came over other protocols than OTLP keep what OTLP has no place for.

/// The scope of series that Prometheus wrote: their names and labels are given back as they came, not translated.
pub const PROMETHEUS_SCOPE: &str = "mangru/prometheus_remote_write";
/// What a metric's metadata hold of its type in Prometheus, by OpenTelemetry's compatibility specification.
pub const PROMETHEUS_TYPE: &str = "prometheus.type";
/// The resource attribute with the tenant of a stream that was pushed over Loki's API.
pub const LOKI_TENANT: &str = "loki.tenant";
/// The record attribute with the `_id` of a document that came over Elasticsearch's API.
pub const ELASTIC_ID: &str = "elasticsearch.id";
/// The resource attribute with the index of a document that came over Elasticsearch's API.
pub const ELASTIC_INDEX: &str = "elasticsearch.index";
