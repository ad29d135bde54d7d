//! The messages of OTLP: names, numbers and kinds of their fields (opentelemetry-proto 1.9).

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) json: &'static str,
    pub(super) proto: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// How a field's value stands in JSON and on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    /// Bytes of an id, in hex.
    Hex,
    /// Other bytes.
    Base64,
    Bool,
    Signed,
    Unsigned,
    Unsigned32,
    Zigzag,
    Fixed32,
    Fixed64,
    SignedFixed64,
    Double,
    Enum(&'static [(&'static str, i32)]),
    Message(&'static Message),
}

const fn one(json: &'static str, proto: &'static str, number: u32, kind: Kind) -> Field {
    Field { json, proto, number, kind, repeated: false }
}

const fn many(json: &'static str, proto: &'static str, number: u32, kind: Kind) -> Field {
    Field { json, proto, number, kind, repeated: true }
}

use Kind::{
    Base64, Bool, Double, Enum, Fixed32, Fixed64, Hex, Signed, SignedFixed64, Text, Unsigned, Unsigned32, Zigzag,
};

const fn message(message: &'static Message) -> Kind {
    Kind::Message(message)
}

const ATTRIBUTES: &str = "attributes";
const DROPPED: (&str, &str) = ("droppedAttributesCount", "dropped_attributes_count");
const SCHEMA_URL: (&str, &str) = ("schemaUrl", "schema_url");

static ANY_VALUE: Message = Message {
    fields: &[
        one("stringValue", "string_value", 1, Text),
        one("boolValue", "bool_value", 2, Bool),
        one("intValue", "int_value", 3, Signed),
        one("doubleValue", "double_value", 4, Double),
        one("arrayValue", "array_value", 5, message(&ARRAY_VALUE)),
        one("kvlistValue", "kvlist_value", 6, message(&KEY_VALUE_LIST)),
        one("bytesValue", "bytes_value", 7, Base64),
    ],
};
static ARRAY_VALUE: Message = Message { fields: &[many("values", "values", 1, message(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message = Message { fields: &[many("values", "values", 1, message(&KEY_VALUE))] };
static KEY_VALUE: Message =
    Message { fields: &[one("key", "key", 1, Text), one("value", "value", 2, message(&ANY_VALUE))] };

static RESOURCE: Message = Message {
    fields: &[many(ATTRIBUTES, ATTRIBUTES, 1, message(&KEY_VALUE)), one(DROPPED.0, DROPPED.1, 2, Unsigned32)],
};
static SCOPE: Message = Message {
    fields: &[
        one("name", "name", 1, Text),
        one("version", "version", 2, Text),
        many(ATTRIBUTES, ATTRIBUTES, 3, message(&KEY_VALUE)),
        one(DROPPED.0, DROPPED.1, 4, Unsigned32),
    ],
};

/// `ExportLogsServiceRequest`.
pub(super) static EXPORT_LOGS: Message =
    Message { fields: &[many("resourceLogs", "resource_logs", 1, message(&RESOURCE_LOGS))] };
static RESOURCE_LOGS: Message = Message {
    fields: &[
        one("resource", "resource", 1, message(&RESOURCE)),
        many("scopeLogs", "scope_logs", 2, message(&SCOPE_LOGS)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static SCOPE_LOGS: Message = Message {
    fields: &[
        one("scope", "scope", 1, message(&SCOPE)),
        many("logRecords", "log_records", 2, message(&LOG_RECORD)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static LOG_RECORD: Message = Message {
    fields: &[
        one("timeUnixNano", "time_unix_nano", 1, Fixed64),
        one("observedTimeUnixNano", "observed_time_unix_nano", 11, Fixed64),
        one("severityNumber", "severity_number", 2, Enum(SEVERITIES)),
        one("severityText", "severity_text", 3, Text),
        one("body", "body", 5, message(&ANY_VALUE)),
        many(ATTRIBUTES, ATTRIBUTES, 6, message(&KEY_VALUE)),
        one(DROPPED.0, DROPPED.1, 7, Unsigned32),
        one("flags", "flags", 8, Fixed32),
        one("traceId", "trace_id", 9, Hex),
        one("spanId", "span_id", 10, Hex),
        one("eventName", "event_name", 12, Text),
    ],
};

/// `ExportTraceServiceRequest`.
pub(super) static EXPORT_SPANS: Message =
    Message { fields: &[many("resourceSpans", "resource_spans", 1, message(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Message = Message {
    fields: &[
        one("resource", "resource", 1, message(&RESOURCE)),
        many("scopeSpans", "scope_spans", 2, message(&SCOPE_SPANS)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static SCOPE_SPANS: Message = Message {
    fields: &[
        one("scope", "scope", 1, message(&SCOPE)),
        many("spans", "spans", 2, message(&SPAN)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static SPAN: Message = Message {
    fields: &[
        one("traceId", "trace_id", 1, Hex),
        one("spanId", "span_id", 2, Hex),
        one("traceState", "trace_state", 3, Text),
        one("parentSpanId", "parent_span_id", 4, Hex),
        one("flags", "flags", 16, Fixed32),
        one("name", "name", 5, Text),
        one("kind", "kind", 6, Enum(SPAN_KINDS)),
        one("startTimeUnixNano", "start_time_unix_nano", 7, Fixed64),
        one("endTimeUnixNano", "end_time_unix_nano", 8, Fixed64),
        many(ATTRIBUTES, ATTRIBUTES, 9, message(&KEY_VALUE)),
        one(DROPPED.0, DROPPED.1, 10, Unsigned32),
        many("events", "events", 11, message(&EVENT)),
        one("droppedEventsCount", "dropped_events_count", 12, Unsigned32),
        many("links", "links", 13, message(&LINK)),
        one("droppedLinksCount", "dropped_links_count", 14, Unsigned32),
        one("status", "status", 15, message(&STATUS)),
    ],
};
static EVENT: Message = Message {
    fields: &[
        one("timeUnixNano", "time_unix_nano", 1, Fixed64),
        one("name", "name", 2, Text),
        many(ATTRIBUTES, ATTRIBUTES, 3, message(&KEY_VALUE)),
        one(DROPPED.0, DROPPED.1, 4, Unsigned32),
    ],
};
static LINK: Message = Message {
    fields: &[
        one("traceId", "trace_id", 1, Hex),
        one("spanId", "span_id", 2, Hex),
        one("traceState", "trace_state", 3, Text),
        many(ATTRIBUTES, ATTRIBUTES, 4, message(&KEY_VALUE)),
        one(DROPPED.0, DROPPED.1, 5, Unsigned32),
        one("flags", "flags", 6, Fixed32),
    ],
};
static STATUS: Message =
    Message { fields: &[one("message", "message", 2, Text), one("code", "code", 3, Enum(STATUS_CODES))] };

/// `ExportMetricsServiceRequest`.
pub(super) static EXPORT_METRICS: Message =
    Message { fields: &[many("resourceMetrics", "resource_metrics", 1, message(&RESOURCE_METRICS))] };
static RESOURCE_METRICS: Message = Message {
    fields: &[
        one("resource", "resource", 1, message(&RESOURCE)),
        many("scopeMetrics", "scope_metrics", 2, message(&SCOPE_METRICS)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static SCOPE_METRICS: Message = Message {
    fields: &[
        one("scope", "scope", 1, message(&SCOPE)),
        many("metrics", "metrics", 2, message(&METRIC)),
        one(SCHEMA_URL.0, SCHEMA_URL.1, 3, Text),
    ],
};
static METRIC: Message = Message {
    fields: &[
        one("name", "name", 1, Text),
        one("description", "description", 2, Text),
        one("unit", "unit", 3, Text),
        one("gauge", "gauge", 5, message(&GAUGE)),
        one("sum", "sum", 7, message(&SUM)),
        one("histogram", "histogram", 9, message(&HISTOGRAM)),
        one("exponentialHistogram", "exponential_histogram", 10, message(&EXPONENTIAL_HISTOGRAM)),
        one("summary", "summary", 11, message(&SUMMARY)),
        many("metadata", "metadata", 12, message(&KEY_VALUE)),
    ],
};
static GAUGE: Message = Message { fields: &[many("dataPoints", "data_points", 1, message(&NUMBER_POINT))] };
static SUM: Message = Message {
    fields: &[
        many("dataPoints", "data_points", 1, message(&NUMBER_POINT)),
        one("aggregationTemporality", "aggregation_temporality", 2, Enum(TEMPORALITIES)),
        one("isMonotonic", "is_monotonic", 3, Bool),
    ],
};
static HISTOGRAM: Message = Message {
    fields: &[
        many("dataPoints", "data_points", 1, message(&HISTOGRAM_POINT)),
        one("aggregationTemporality", "aggregation_temporality", 2, Enum(TEMPORALITIES)),
    ],
};
static EXPONENTIAL_HISTOGRAM: Message = Message {
    fields: &[
        many("dataPoints", "data_points", 1, message(&EXPONENTIAL_POINT)),
        one("aggregationTemporality", "aggregation_temporality", 2, Enum(TEMPORALITIES)),
    ],
};
static SUMMARY: Message = Message { fields: &[many("dataPoints", "data_points", 1, message(&SUMMARY_POINT))] };
static NUMBER_POINT: Message = Message {
    fields: &[
        many(ATTRIBUTES, ATTRIBUTES, 7, message(&KEY_VALUE)),
        one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
        one("timeUnixNano", "time_unix_nano", 3, Fixed64),
        one("asDouble", "as_double", 4, Double),
        one("asInt", "as_int", 6, SignedFixed64),
        many("exemplars", "exemplars", 5, message(&EXEMPLAR)),
        one("flags", "flags", 8, Unsigned32),
    ],
};
static HISTOGRAM_POINT: Message = Message {
    fields: &[
        many(ATTRIBUTES, ATTRIBUTES, 9, message(&KEY_VALUE)),
        one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
        one("timeUnixNano", "time_unix_nano", 3, Fixed64),
        one("count", "count", 4, Fixed64),
        one("sum", "sum", 5, Double),
        many("bucketCounts", "bucket_counts", 6, Fixed64),
        many("explicitBounds", "explicit_bounds", 7, Double),
        many("exemplars", "exemplars", 8, message(&EXEMPLAR)),
        one("flags", "flags", 10, Unsigned32),
        one("min", "min", 11, Double),
        one("max", "max", 12, Double),
    ],
};
static EXPONENTIAL_POINT: Message = Message {
    fields: &[
        many(ATTRIBUTES, ATTRIBUTES, 1, message(&KEY_VALUE)),
        one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
        one("timeUnixNano", "time_unix_nano", 3, Fixed64),
        one("count", "count", 4, Fixed64),
        one("sum", "sum", 5, Double),
        one("scale", "scale", 6, Zigzag),
        one("zeroCount", "zero_count", 7, Fixed64),
        one("positive", "positive", 8, message(&BUCKETS)),
        one("negative", "negative", 9, message(&BUCKETS)),
        one("flags", "flags", 10, Unsigned32),
        many("exemplars", "exemplars", 11, message(&EXEMPLAR)),
        one("min", "min", 12, Double),
        one("max", "max", 13, Double),
        one("zeroThreshold", "zero_threshold", 14, Double),
    ],
};
static BUCKETS: Message =
    Message { fields: &[one("offset", "offset", 1, Zigzag), many("bucketCounts", "bucket_counts", 2, Unsigned)] };
static SUMMARY_POINT: Message = Message {
    fields: &[
        many(ATTRIBUTES, ATTRIBUTES, 7, message(&KEY_VALUE)),
        one("startTimeUnixNano", "start_time_unix_nano", 2, Fixed64),
        one("timeUnixNano", "time_unix_nano", 3, Fixed64),
        one("count", "count", 4, Fixed64),
        one("sum", "sum", 5, Double),
        many("quantileValues", "quantile_values", 6, message(&VALUE_AT_QUANTILE)),
        one("flags", "flags", 8, Unsigned32),
    ],
};
static VALUE_AT_QUANTILE: Message =
    Message { fields: &[one("quantile", "quantile", 1, Double), one("value", "value", 2, Double)] };
static EXEMPLAR: Message = Message {
    fields: &[
        many("filteredAttributes", "filtered_attributes", 7, message(&KEY_VALUE)),
        one("timeUnixNano", "time_unix_nano", 2, Fixed64),
        one("asDouble", "as_double", 3, Double),
        one("asInt", "as_int", 6, SignedFixed64),
        one("spanId", "span_id", 4, Hex),
        one("traceId", "trace_id", 5, Hex),
    ],
};

const SEVERITIES: &[(&str, i32)] = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];
const SPAN_KINDS: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];
const STATUS_CODES: &[(&str, i32)] = &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];
const TEMPORALITIES: &[(&str, i32)] = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];
