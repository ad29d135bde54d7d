//! The JSON form of what hangs below a row: a span's events and links, a point's exemplars.
//!
//! Each is a JSON array of objects. Attributes are objects in [`crate::value`]'s typed form; 64-bit times are strings.
//! Absent members have OTLP's default.

use crate::value::{self, AnyValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands `skip_serializing_if` a reference
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Reads what stands in a column; nothing stored, or nothing that can be read, is none.
pub fn read<T: DeserializeOwned>(stored: Option<&str>) -> Vec<T> {
    stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct SpanEvent {
    /// When it happened, in nanoseconds since the Unix epoch, as decimal text.
    pub time_unix_nano: String,
    /// Its name; `exception` for a recorded exception.
    pub name: String,
    /// Its attributes, in order.
    #[serde(default, with = "value::object", skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, AnyValue)>,
    /// How many attributes the sender dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_attributes_count: u32,
}

/// A link from a span to another span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Link {
    /// The other trace, in lower-case hex.
    pub trace_id: String,
    /// The other span, in lower-case hex.
    pub span_id: String,
    /// The W3C trace state.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_state: String,
    /// Its attributes, in order.
    #[serde(default, with = "value::object", skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, AnyValue)>,
    /// How many attributes the sender dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_attributes_count: u32,
    /// W3C trace flags and OTLP's bits beside them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
}

/// An exemplar of a data point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub struct Exemplar {
    /// When it was recorded, in nanoseconds since the Unix epoch, as decimal text.
    pub time_unix_nano: String,
    /// The measured number ([`AnyValue::Int`] or [`AnyValue::Double`]); [`AnyValue::Empty`] when none was sent.
    #[serde(with = "value::single")]
    pub value: AnyValue,
    /// The trace it was recorded in, in lower-case hex, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// The span it was recorded in, in lower-case hex, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub span_id: String,
    /// Attributes that the aggregation dropped from the series.
    #[serde(default, with = "value::object", skip_serializing_if = "Vec::is_empty")]
    pub filtered_attributes: Vec<(String, AnyValue)>,
}
