//! The tables: one Arrow schema per signal, the same in the journal, in hot batches and in parts.
//!
//! Names are OpenTelemetry's. A row holds all that came in over OTLP, so that it can be given out over OTLP again:
//!
//! - `time` is the row's effective time (a log's time, else its observed time, else its arrival; a span's start; a
//!   point's time). Where the sender's own value differs from it, that value stands in `original_time_unix_nano`.
//! - `resource_attributes` and `scope_attributes` are JSON objects in [`crate::value`]'s typed form, one dictionary
//!   entry per distinct resource or scope.
//! - `attributes` of logs and spans is a map of text to text; `attribute_types` holds one letter per entry of it, in
//!   the same order ([`crate::value::Kind::letter`]), which makes the text typed again.
//! - Well-known attributes are columns of their own ([`PROMOTED`]) and then not in the map, provided that they came
//!   with the column's type; otherwise they stay in the map.

use crate::Signal;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};

/// The type of a column that a well-known attribute is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotedType {
    /// A string attribute, as dictionary-encoded text.
    Text,
    /// An integer attribute, as a 64-bit integer.
    Integer,
}

/// A well-known attribute and its column.
#[derive(Clone, Copy, Debug)]
pub struct Promoted {
    /// The attribute's key by the semantic conventions.
    pub key: &'static str,
    /// The column's name.
    pub column: &'static str,
    /// The type an attribute must have to be kept there.
    pub kind: PromotedType,
}

const fn text(key: &'static str, column: &'static str) -> Promoted {
    Promoted { key, column, kind: PromotedType::Text }
}

/// Record attributes of logs and spans that are columns of their own, by OpenTelemetry's semantic conventions 1.38.
pub const PROMOTED: &[Promoted] = &[
    text("http.request.method", "http_request_method"),
    Promoted { key: "http.response.status_code", column: "http_response_status_code", kind: PromotedType::Integer },
    text("http.route", "http_route"),
    text("rpc.service", "rpc_service"),
    text("rpc.method", "rpc_method"),
    text("db.system.name", "db_system_name"),
    text("db.namespace", "db_namespace"),
    text("messaging.system", "messaging_system"),
    text("messaging.destination.name", "messaging_destination_name"),
    text("server.address", "server_address"),
    text("peer.service", "peer_service"),
    text("exception.type", "exception_type"),
];

/// The service of records whose resource has no `service.name`.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// Resource attributes that are repeated as columns of all tables, for pruning and for readers of SQL.
///
/// They are copies: `resource_attributes` holds them too. What is different for every process (its instance id, its pod)
/// is not repeated: where processes' records lie among each other, each such column costs as much as the resource.
pub const PROMOTED_RESOURCE: &[Promoted] = &[
    text("service.name", "service_name"),
    text("service.namespace", "service_namespace"),
    text("deployment.environment.name", "deployment_environment_name"),
    text("k8s.namespace.name", "k8s_namespace_name"),
];

/// Letters in the column `lifted`: what was not in the record's own fields but found in its attributes or body.
pub mod lifted {
    /// `trace_id` was lifted.
    pub const TRACE_ID: char = 't';
    /// `span_id` was lifted.
    pub const SPAN_ID: char = 's';
    /// `severity_number` was lifted.
    pub const SEVERITY: char = 'v';
}

/// The type of low-cardinality text: `Dictionary(Int32, Utf8)`.
pub fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The type of `time`: nanoseconds since the Unix epoch, UTC.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The type of `attributes`: a map of text to text with Parquet's names for its parts.
pub fn attribute_map() -> DataType {
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(attribute_entry_fields()), false)), false)
}

/// The fields of one entry of [`attribute_map`].
pub fn attribute_entry_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)])
}

/// The type of a list of `item`.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", item, true)))
}

fn required(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

fn optional(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn resource_and_scope(fields: &mut Vec<Field>) {
    for promoted in PROMOTED_RESOURCE {
        fields.push(optional(promoted.column, dictionary()));
    }
    fields.extend([
        required("resource_attributes", dictionary()),
        optional("resource_dropped_attributes_count", DataType::UInt32),
        optional("resource_schema_url", dictionary()),
        optional("scope_name", dictionary()),
        optional("scope_version", dictionary()),
        optional("scope_attributes", dictionary()),
        optional("scope_dropped_attributes_count", DataType::UInt32),
        optional("scope_schema_url", dictionary()),
    ]);
}

fn record_attributes(fields: &mut Vec<Field>) {
    for promoted in PROMOTED {
        let kind = match promoted.kind {
            PromotedType::Text => dictionary(),
            PromotedType::Integer => DataType::Int64,
        };
        fields.push(optional(promoted.column, kind));
    }
    fields.extend([
        required("attributes", attribute_map()),
        optional("attribute_types", dictionary()),
        optional("dropped_attributes_count", DataType::UInt32),
    ]);
}

static LOGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        required("time", timestamp()),
        optional("original_time_unix_nano", DataType::UInt64),
        // Observed time minus `time`, in wrapping 64-bit arithmetic: it hardly changes, where the time itself does.
        optional("observed_delay_ns", DataType::Int64),
        required("severity_number", DataType::Int32),
        optional("severity_text", dictionary()),
        // Text bodies as they are; any other value as JSON in the typed form, with its letter in `body_type`.
        optional("body", DataType::Utf8),
        optional("body_type", dictionary()),
        optional("event_name", dictionary()),
        optional("trace_id", DataType::FixedSizeBinary(16)),
        optional("span_id", DataType::FixedSizeBinary(8)),
        optional("flags", DataType::UInt32),
        optional("correlation_id", DataType::Utf8),
        optional("lifted", dictionary()),
    ];
    record_attributes(&mut fields);
    resource_and_scope(&mut fields);
    Arc::new(Schema::new(fields))
});

static SPANS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        required("time", timestamp()),
        optional("original_time_unix_nano", DataType::UInt64),
        // End minus start, in wrapping 64-bit arithmetic: negative where the end lies before the start.
        required("duration_ns", DataType::Int64),
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        optional("parent_span_id", DataType::FixedSizeBinary(8)),
        required("name", dictionary()),
        required("kind", DataType::Int32),
        required("status_code", DataType::Int32),
        optional("status_message", DataType::Utf8),
        optional("trace_state", DataType::Utf8),
        optional("flags", DataType::UInt32),
        // JSON arrays of objects: see `crate::nested`.
        optional("events", DataType::Utf8),
        optional("dropped_events_count", DataType::UInt32),
        optional("links", DataType::Utf8),
        optional("dropped_links_count", DataType::UInt32),
        optional("correlation_id", DataType::Utf8),
    ];
    record_attributes(&mut fields);
    resource_and_scope(&mut fields);
    Arc::new(Schema::new(fields))
});

static METRIC_POINTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        required("time", timestamp()),
        optional("original_time_unix_nano", DataType::UInt64),
        optional("start_time_unix_nano", DataType::UInt64),
        required("metric_name", dictionary()),
        optional("metric_description", dictionary()),
        optional("metric_unit", dictionary()),
        optional("metric_metadata", dictionary()),
        // `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
        required("metric_type", dictionary()),
        optional("aggregation_temporality", DataType::Int32),
        optional("is_monotonic", DataType::Boolean),
        // xxh3 of name, type, unit, resource, scope and attributes: equal for the points of one series.
        required("series_id", DataType::UInt64),
        // The point's own attributes as a JSON object in the typed form.
        required("attributes", dictionary()),
        optional("flags", DataType::UInt32),
        optional("value_int", DataType::Int64),
        optional("value_double", DataType::Float64),
        optional("count", DataType::UInt64),
        optional("sum", DataType::Float64),
        optional("min", DataType::Float64),
        optional("max", DataType::Float64),
        optional("bucket_counts", list_of(DataType::UInt64)),
        optional("explicit_bounds", list_of(DataType::Float64)),
        optional("scale", DataType::Int32),
        optional("zero_count", DataType::UInt64),
        optional("zero_threshold", DataType::Float64),
        optional("positive_offset", DataType::Int32),
        optional("positive_bucket_counts", list_of(DataType::UInt64)),
        optional("negative_offset", DataType::Int32),
        optional("negative_bucket_counts", list_of(DataType::UInt64)),
        optional("quantiles", list_of(DataType::Float64)),
        optional("quantile_values", list_of(DataType::Float64)),
        // A JSON array of objects: see `crate::nested`.
        optional("exemplars", DataType::Utf8),
    ];
    resource_and_scope(&mut fields);
    Arc::new(Schema::new(fields))
});

/// The Arrow schema of a signal's table.
pub fn schema(signal: Signal) -> SchemaRef {
    match signal {
        Signal::Logs => LOGS.clone(),
        Signal::Spans => SPANS.clone(),
        Signal::MetricPoints => METRIC_POINTS.clone(),
    }
}
