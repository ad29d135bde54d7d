//! Spans as OTLP JSON (`TracesData`), as they came in: ids in hex, 64-bit numbers as text, enums as numbers.

use crate::cells::Cells;
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use mangru_store::nested::{Link, SpanEvent};
use mangru_store::value::AnyValue;
use serde_json::{Map, Value as Json, json};

/// A value as ProtoJSON's `AnyValue`.
fn any_value(value: &AnyValue) -> Json {
    match value {
        AnyValue::Empty => json!({}),
        AnyValue::String(text) => json!({ "stringValue": text }),
        AnyValue::Bool(flag) => json!({ "boolValue": flag }),
        AnyValue::Int(number) => json!({ "intValue": number.to_string() }),
        AnyValue::Double(number) if number.is_finite() => json!({ "doubleValue": number }),
        AnyValue::Double(_) => json!({ "doubleValue": value.text() }),
        AnyValue::Bytes(bytes) => {
            json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes) })
        }
        AnyValue::Array(items) => {
            json!({ "arrayValue": { "values": items.iter().map(any_value).collect::<Vec<_>>() } })
        }
        AnyValue::KeyValues(entries) => json!({ "kvlistValue": { "values": attributes(entries) } }),
    }
}

fn attributes(entries: &[(String, AnyValue)]) -> Vec<Json> {
    entries.iter().map(|(key, value)| json!({ "key": key, "value": any_value(value) })).collect()
}

/// Sets a member unless it has its default.
fn set(object: &mut Map<String, Json>, name: &str, value: Json) {
    let is_default = match &value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Number(number) => number.as_i64() == Some(0),
        Json::Object(members) => members.is_empty(),
        Json::Bool(flag) => !flag,
    };
    if !is_default {
        object.insert(name.to_owned(), value);
    }
}

/// What tells a group apart, its object without its members, and its members.
type Group<T> = (Vec<String>, Map<String, Json>, Vec<T>);

/// The spans of a batch, grouped by resource and scope.
pub(super) fn resource_spans(batch: &RecordBatch) -> Json {
    let cells = Cells::new(batch);
    let mut resources: Vec<Group<Group<Json>>> = Vec::new();
    let text = |name: &str, row: usize| cells.text(name, row).unwrap_or_default().to_owned();
    let number = |name: &str, row: usize| cells.integer(name, row).unwrap_or_default();
    // Rows come newest first.
    for row in (0..batch.num_rows()).rev() {
        let resource_key = vec![
            text("resource_attributes", row),
            text("resource_schema_url", row),
            number("resource_dropped_attributes_count", row).to_string(),
        ];
        let place = resources.iter().position(|(key, _, _)| *key == resource_key).unwrap_or_else(|| {
            let mut resource = Map::new();
            set(&mut resource, "attributes", Json::Array(attributes(&cells.object("resource_attributes", row))));
            set(&mut resource, "droppedAttributesCount", number("resource_dropped_attributes_count", row).into());
            let mut object = Map::new();
            object.insert("resource".to_owned(), Json::Object(resource));
            set(&mut object, "schemaUrl", text("resource_schema_url", row).into());
            resources.push((resource_key, object, Vec::new()));
            resources.len() - 1
        });
        let scopes = &mut resources[place].2;
        let scope_key = vec![
            text("scope_name", row),
            text("scope_version", row),
            text("scope_attributes", row),
            text("scope_schema_url", row),
            number("scope_dropped_attributes_count", row).to_string(),
        ];
        let place = scopes.iter().position(|(key, _, _)| *key == scope_key).unwrap_or_else(|| {
            let mut scope = Map::new();
            set(&mut scope, "name", text("scope_name", row).into());
            set(&mut scope, "version", text("scope_version", row).into());
            set(&mut scope, "attributes", Json::Array(attributes(&cells.object("scope_attributes", row))));
            set(&mut scope, "droppedAttributesCount", number("scope_dropped_attributes_count", row).into());
            let mut object = Map::new();
            object.insert("scope".to_owned(), Json::Object(scope));
            set(&mut object, "schemaUrl", text("scope_schema_url", row).into());
            scopes.push((scope_key, object, Vec::new()));
            scopes.len() - 1
        });
        scopes[place].2.push(span(&cells, row));
    }
    let resources: Vec<Json> = resources
        .into_iter()
        .map(|(_, mut resource, scopes)| {
            let scopes: Vec<Json> = scopes
                .into_iter()
                .map(|(_, mut scope, spans)| {
                    scope.insert("spans".to_owned(), Json::Array(spans));
                    Json::Object(scope)
                })
                .collect();
            resource.insert("scopeSpans".to_owned(), Json::Array(scopes));
            Json::Object(resource)
        })
        .collect();
    json!({ "resourceSpans": resources })
}

fn span(cells: &Cells<'_>, row: usize) -> Json {
    let text = |name: &str| cells.text(name, row).unwrap_or_default().to_owned();
    let number = |name: &str| cells.integer(name, row).unwrap_or_default();
    let start = cells.unsigned("original_time_unix_nano", row).unwrap_or_else(|| number("time") as u64);
    let end = start.wrapping_add(number("duration_ns") as u64);
    let mut span = Map::new();
    set(&mut span, "traceId", cells.id("trace_id", row).into());
    set(&mut span, "spanId", cells.id("span_id", row).into());
    set(&mut span, "traceState", text("trace_state").into());
    set(&mut span, "parentSpanId", cells.id("parent_span_id", row).into());
    set(&mut span, "flags", number("flags").into());
    set(&mut span, "name", text("name").into());
    set(&mut span, "kind", number("kind").into());
    span.insert("startTimeUnixNano".to_owned(), start.to_string().into());
    span.insert("endTimeUnixNano".to_owned(), end.to_string().into());
    set(&mut span, "attributes", Json::Array(attributes(&cells.attributes(row))));
    set(&mut span, "droppedAttributesCount", number("dropped_attributes_count").into());
    set(&mut span, "events", Json::Array(events(cells.text("events", row))));
    set(&mut span, "droppedEventsCount", number("dropped_events_count").into());
    set(&mut span, "links", Json::Array(links(cells.text("links", row))));
    set(&mut span, "droppedLinksCount", number("dropped_links_count").into());
    let mut status = Map::new();
    set(&mut status, "message", text("status_message").into());
    set(&mut status, "code", number("status_code").into());
    span.insert("status".to_owned(), Json::Object(status));
    Json::Object(span)
}

fn events(stored: Option<&str>) -> Vec<Json> {
    let events: Vec<SpanEvent> = stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    events
        .into_iter()
        .map(|event| {
            let mut object = Map::new();
            set(&mut object, "timeUnixNano", event.time_unix_nano.into());
            set(&mut object, "name", event.name.into());
            set(&mut object, "attributes", Json::Array(attributes(&event.attributes)));
            set(&mut object, "droppedAttributesCount", event.dropped_attributes_count.into());
            Json::Object(object)
        })
        .collect()
}

fn links(stored: Option<&str>) -> Vec<Json> {
    let links: Vec<Link> = stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    links
        .into_iter()
        .map(|link| {
            let mut object = Map::new();
            set(&mut object, "traceId", link.trace_id.into());
            set(&mut object, "spanId", link.span_id.into());
            set(&mut object, "traceState", link.trace_state.into());
            set(&mut object, "attributes", Json::Array(attributes(&link.attributes)));
            set(&mut object, "droppedAttributesCount", link.dropped_attributes_count.into());
            set(&mut object, "flags", link.flags.into());
            Json::Object(object)
        })
        .collect()
}
