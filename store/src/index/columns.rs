//! What the index of each signal holds.
//!
//! Five tantivy fields of bytes, one document per row, nothing stored, no positions:
//!
//! | field | term |
//! |---|---|
//! | `word` | a word of the body (logs), of name and status message (spans) |
//! | `attribute` | key, a zero byte, the text form of the value |
//! | `column` | one byte: the number of the column in [`indexed_columns`]; the text of the value |
//! | `trace` | the 16 bytes of the trace id |
//! | `resource` | 4 bytes, big endian: the number of the row's resource in the file `resources` |

use crate::Signal;

/// Values are cut to this many bytes in terms; rows found by a cut term must be looked at again.
pub(crate) const MAX_VALUE_BYTES: usize = 256;

/// Columns whose values are terms, in the order of their numbers. Only ever append: the number is in the files.
pub(crate) const fn indexed_columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &["service_name", "severity_number", "event_name", "scope_name", "correlation_id"],
        Signal::Spans => &["service_name", "name", "kind", "status_code", "scope_name", "correlation_id"],
        Signal::MetricPoints => &["metric_name", "service_name"],
    }
}

/// The value's part that stands in terms, and whether that is all of it.
pub(crate) fn cut_value(value: &str) -> (&str, bool) {
    if value.len() <= MAX_VALUE_BYTES {
        return (value, true);
    }
    let mut end = MAX_VALUE_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    (&value[..end], false)
}

/// The fields of the tantivy schema, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) word: tantivy::schema::Field,
    pub(crate) attribute: tantivy::schema::Field,
    pub(crate) column: tantivy::schema::Field,
    pub(crate) trace: tantivy::schema::Field,
    pub(crate) resource: tantivy::schema::Field,
}

/// The tantivy schema of every index.
pub(crate) fn schema() -> (tantivy::schema::Schema, Fields) {
    let mut builder = tantivy::schema::Schema::builder();
    let options = || tantivy::schema::BytesOptions::default().set_indexed();
    let fields = Fields {
        word: builder.add_bytes_field("word", options()),
        attribute: builder.add_bytes_field("attribute", options()),
        column: builder.add_bytes_field("column", options()),
        trace: builder.add_bytes_field("trace", options()),
        resource: builder.add_bytes_field("resource", options()),
    };
    (builder.build(), fields)
}
