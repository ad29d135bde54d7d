//! Spans with all that the service map and comparisons look at.
#![allow(dead_code)] // each test binary uses its own part of this

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Int32Array, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray,
    StringBuilder, StringDictionaryBuilder, TimestampNanosecondArray, new_null_array,
};
use arrow::datatypes::Int32Type;
use mangru_store::{
    PROMOTED, PromotedType, Signal, SignalBatch, SpanId, Store, StoreConfig, TraceId, attribute_entry_fields,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const INTERNAL: i32 = 1;
pub(crate) const SERVER: i32 = 2;
pub(crate) const CLIENT: i32 = 3;
pub(crate) const PRODUCER: i32 = 4;
pub(crate) const CONSUMER: i32 = 5;

/// A moment in 2023.
pub(crate) const START: i64 = 1_700_000_000_000_000_000;
pub(crate) const SECOND: i64 = 1_000_000_000;

/// A span row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) time: i64,
    pub(crate) duration: i64,
    pub(crate) trace: u32,
    pub(crate) id: u8,
    pub(crate) parent: Option<u8>,
    pub(crate) service: String,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) kind: i32,
    pub(crate) is_error: bool,
    /// Trace and id of the spans it is linked to.
    pub(crate) links: Vec<(u32, u8)>,
    /// Attributes that have a column.
    pub(crate) promoted: Vec<(&'static str, String)>,
    /// Attributes that have none.
    pub(crate) attributes: Vec<(String, String)>,
    /// Its events as they are stored.
    pub(crate) events: Option<String>,
    /// Attributes of the resource beside its names.
    pub(crate) resource: Vec<(&'static str, String)>,
}

impl Span {
    pub(crate) fn promoted(&self, key: &str) -> Option<&str> {
        self.promoted.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }
}

fn dictionary<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    builder.extend(values);
    Arc::new(builder.finish())
}

fn ids<const N: usize>(values: impl Iterator<Item = Option<[u8; N]>>) -> ArrayRef {
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, N as i32).expect("ids of one size"))
}

/// Numbers become ids that look random, and are never zero.
fn mixed(number: u64) -> [u8; 8] {
    (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
}

pub(crate) fn trace_id(trace: u32) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mixed(u64::from(trace)));
    id[8..].copy_from_slice(&mixed(u64::from(trace) + 7));
    id
}

pub(crate) fn span_id(id: u8) -> [u8; 8] {
    mixed(u64::from(id))
}

fn links(span: &Span) -> Option<String> {
    let link = |(trace, id): &(u32, u8)| {
        format!(r#"{{"trace_id":"{}","span_id":"{}"}}"#, TraceId(trace_id(*trace)), SpanId(span_id(*id)))
    };
    let all: Vec<String> = span.links.iter().map(link).collect();
    (!all.is_empty()).then(|| format!("[{}]", all.join(",")))
}

fn resource(span: &Span) -> String {
    let mut all = vec![("service.name", span.service.clone())];
    all.extend(span.namespace.map(|namespace| ("service.namespace", namespace.to_owned())));
    all.extend(span.resource.iter().cloned());
    let all: Vec<String> = all.iter().map(|(key, value)| format!(r#""{key}":"{value}""#)).collect();
    format!("{{{}}}", all.join(","))
}

fn maps(rows: &[Span]) -> ArrayRef {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_keys_field(attribute_entry_fields()[0].clone())
        .with_values_field(attribute_entry_fields()[1].clone());
    for row in rows {
        for (key, value) in &row.attributes {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("keys and values fit");
    }
    Arc::new(builder.finish())
}

/// The rows as a batch of the table.
pub(crate) fn batch(rows: &[Span]) -> SignalBatch {
    let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time)).with_timezone("UTC");
    let resources: Vec<String> = rows.iter().map(resource).collect();
    let mut columns: HashMap<&str, ArrayRef> = HashMap::from([
        ("time", Arc::new(times) as ArrayRef),
        ("duration_ns", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.duration)))),
        ("trace_id", ids(rows.iter().map(|row| Some(trace_id(row.trace))))),
        ("span_id", ids(rows.iter().map(|row| Some(span_id(row.id))))),
        ("parent_span_id", ids(rows.iter().map(|row| row.parent.map(span_id)))),
        ("name", dictionary(rows.iter().map(|_| Some("work")))),
        ("kind", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.kind)))),
        ("status_code", Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| i32::from(row.is_error) * 2)))),
        ("links", Arc::new(rows.iter().map(links).collect::<StringArray>())),
        ("events", Arc::new(rows.iter().map(|row| row.events.as_deref()).collect::<StringArray>())),
        ("service_name", dictionary(rows.iter().map(|row| Some(row.service.as_str())))),
        ("service_namespace", dictionary(rows.iter().map(|row| row.namespace))),
        ("attributes", maps(rows)),
        ("resource_attributes", dictionary(resources.iter().map(|text| Some(text.as_str())))),
    ]);
    for promoted in PROMOTED {
        let values = rows.iter().map(|row| row.promoted(promoted.key));
        let array: ArrayRef = match promoted.kind {
            PromotedType::Text => dictionary(values),
            PromotedType::Integer => Arc::new(
                values.map(|value| value.map(|value| value.parse().expect("a number"))).collect::<Int64Array>(),
            ),
        };
        columns.insert(promoted.column, array);
    }
    let schema = Signal::Spans.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            columns.remove(field.name().as_str()).unwrap_or_else(|| new_null_array(field.data_type(), rows.len()))
        })
        .collect();
    SignalBatch::new(Signal::Spans, RecordBatch::try_new(schema, columns).expect("columns fit")).expect("schema fits")
}

/// A store that seals only when it is asked to.
pub(crate) async fn store(folder: &Path) -> Arc<Store> {
    let config = StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    Store::open(config).await.expect("open")
}
