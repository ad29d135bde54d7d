//! Small batches made by hand.
#![allow(dead_code)] // each test binary uses its own part of this

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Int32Array, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder,
    StringDictionaryBuilder, TimestampNanosecondArray, UInt64Array, new_null_array,
};
use arrow::datatypes::Int32Type;
use mangru_store::{Signal, SignalBatch, attribute_entry_fields};
use std::collections::HashMap;
use std::sync::Arc;

/// A log row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) time: i64,
    pub(crate) service: String,
    pub(crate) severity: i32,
    pub(crate) severity_text: Option<&'static str>,
    /// `http.route`, which has a column of its own.
    pub(crate) route: Option<&'static str>,
    pub(crate) body: String,
    pub(crate) trace_id: Option<[u8; 16]>,
    pub(crate) span_id: Option<[u8; 8]>,
    pub(crate) attributes: Vec<(String, String)>,
}

/// A span row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) time: i64,
    pub(crate) duration_ns: i64,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) events: Option<String>,
}

/// A gauge point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Point {
    pub(crate) time: i64,
    pub(crate) name: String,
    pub(crate) series_id: u64,
    pub(crate) value: i64,
}

pub(crate) fn dictionary<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    builder.extend(values);
    Arc::new(builder.finish())
}

fn times(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn ids<const N: usize>(values: impl Iterator<Item = Option<[u8; N]>>) -> ArrayRef {
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, N as i32).expect("ids of one size"))
}

fn maps<'a>(rows: impl Iterator<Item = &'a [(String, String)]>) -> ArrayRef {
    let names =
        arrow::array::MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(attribute_entry_fields()[0].clone())
        .with_values_field(attribute_entry_fields()[1].clone());
    for row in rows {
        for (key, value) in row {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("keys and values fit");
    }
    Arc::new(builder.finish())
}

fn batch(signal: Signal, rows: usize, mut columns: HashMap<&str, ArrayRef>) -> SignalBatch {
    let schema = signal.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| columns.remove(field.name().as_str()).unwrap_or_else(|| new_null_array(field.data_type(), rows)))
        .collect();
    SignalBatch::new(signal, RecordBatch::try_new(schema, columns).expect("columns fit")).expect("schema fits")
}

fn resources<'a>(services: impl Iterator<Item = &'a str>) -> ArrayRef {
    let texts: Vec<String> =
        services.map(|name| format!("{{\"service.name\":\"{name}\",\"site\":\"at {name}\"}}")).collect();
    dictionary(texts.iter().map(|text| Some(text.as_str())))
}

pub(crate) fn logs(rows: &[Log]) -> SignalBatch {
    let columns = HashMap::from([
        ("time", times(rows.iter().map(|row| row.time))),
        ("severity_number", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.severity))) as ArrayRef),
        ("severity_text", dictionary(rows.iter().map(|row| row.severity_text))),
        ("http_route", dictionary(rows.iter().map(|row| row.route))),
        ("body", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.body)))),
        ("trace_id", ids(rows.iter().map(|row| row.trace_id))),
        ("span_id", ids(rows.iter().map(|row| row.span_id))),
        ("service_name", dictionary(rows.iter().map(|row| Some(row.service.as_str())))),
        ("attributes", maps(rows.iter().map(|row| row.attributes.as_slice()))),
        ("resource_attributes", resources(rows.iter().map(|row| row.service.as_str()))),
    ]);
    batch(Signal::Logs, rows.len(), columns)
}

pub(crate) fn spans(rows: &[Span]) -> SignalBatch {
    let columns = HashMap::from([
        ("time", times(rows.iter().map(|row| row.time))),
        ("duration_ns", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.duration_ns))) as ArrayRef),
        ("trace_id", ids(rows.iter().map(|row| Some(row.trace_id)))),
        ("span_id", ids(rows.iter().map(|row| Some(row.span_id)))),
        ("parent_span_id", ids(rows.iter().map(|row| row.parent))),
        ("name", dictionary(rows.iter().map(|row| Some(row.name.as_str())))),
        ("kind", Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 2)))),
        ("status_code", Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0)))),
        ("events", Arc::new(rows.iter().map(|row| row.events.as_deref()).collect::<StringArray>())),
        ("service_name", dictionary(rows.iter().map(|row| Some(row.service.as_str())))),
        ("attributes", maps(rows.iter().map(|_| [].as_slice()))),
        ("resource_attributes", resources(rows.iter().map(|row| row.service.as_str()))),
    ]);
    batch(Signal::Spans, rows.len(), columns)
}

pub(crate) fn points(rows: &[Point]) -> SignalBatch {
    let columns = HashMap::from([
        ("time", times(rows.iter().map(|row| row.time))),
        ("metric_name", dictionary(rows.iter().map(|row| Some(row.name.as_str())))),
        ("metric_type", dictionary(rows.iter().map(|_| Some("gauge")))),
        ("series_id", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.series_id))) as ArrayRef),
        ("attributes", dictionary(rows.iter().map(|_| Some("{}")))),
        ("value_int", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.value)))),
        ("resource_attributes", resources(rows.iter().map(|_| "meter"))),
    ]);
    batch(Signal::MetricPoints, rows.len(), columns)
}
