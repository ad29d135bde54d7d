//! Rows as OTLP JSON (`LogsData`, `TracesData`, `MetricsData`), as they came in: ids in hex, 64-bit numbers as text, enums
//! as numbers. Attributes that have columns of their own stand behind the others.

mod metrics;
mod pieces;

pub(crate) use pieces::{messages, resource_spans};

use crate::cells::Cells;
use arrow::record_batch::RecordBatch;
use base64::Engine as _;
use mangru_store::nested::{self, Link, SpanEvent};
use mangru_store::value::AnyValue;
use mangru_store::{Signal, lifted};
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

/// The rows of a batch by resource and scope, each in the order it stands; and the objects of these.
fn groups(cells: &Cells<'_>, rows: impl Iterator<Item = usize>) -> Vec<Group<Group<usize>>> {
    let mut resources: Vec<Group<Group<usize>>> = Vec::new();
    let text = |name: &str, row: usize| cells.text(name, row).unwrap_or_default().to_owned();
    let number = |name: &str, row: usize| cells.integer(name, row).unwrap_or_default();
    for row in rows {
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
        scopes[place].2.push(row);
    }
    resources
}

/// Groups as OTLP names them: the members of scopes, scopes and resources.
fn named(
    groups: Vec<Group<Group<usize>>>,
    [resources_name, scopes_name, items_name]: [&str; 3],
    items: impl Fn(Vec<usize>) -> Vec<Json>,
) -> Json {
    let resources: Vec<Json> = groups
        .into_iter()
        .map(|(_, mut resource, scopes)| {
            let scopes: Vec<Json> = scopes
                .into_iter()
                .map(|(_, mut scope, rows)| {
                    scope.insert(items_name.to_owned(), Json::Array(items(rows)));
                    Json::Object(scope)
                })
                .collect();
            resource.insert(scopes_name.to_owned(), Json::Array(scopes));
            Json::Object(resource)
        })
        .collect();
    json!({ resources_name: resources })
}

/// Rows of a signal's table, in their order, as a message that can be sent again.
pub(crate) fn message(signal: Signal, batch: &RecordBatch) -> Json {
    let rows = 0..batch.num_rows();
    match signal {
        Signal::Logs => {
            let cells = Cells::new(batch);
            let log = |rows: Vec<usize>| rows.into_iter().map(|row| log(&cells, row)).collect();
            named(groups(&cells, rows), ["resourceLogs", "scopeLogs", "logRecords"], log)
        }
        Signal::Spans => spans(batch, rows),
        Signal::MetricPoints => {
            let cells = Cells::new(batch);
            let metrics = |rows: Vec<usize>| metrics::metrics(&cells, &rows);
            named(groups(&cells, rows), ["resourceMetrics", "scopeMetrics", "metrics"], metrics)
        }
    }
}

fn spans(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Json {
    let cells = Cells::new(batch);
    let span = |rows: Vec<usize>| rows.into_iter().map(|row| span(&cells, row)).collect();
    named(groups(&cells, rows), ["resourceSpans", "scopeSpans", "spans"], span)
}

/// The time that the sender gave.
fn own_time(cells: &Cells<'_>, row: usize) -> u64 {
    cells
        .unsigned("original_time_unix_nano", row)
        .unwrap_or_else(|| cells.integer("time", row).unwrap_or_default() as u64)
}

fn log(cells: &Cells<'_>, row: usize) -> Json {
    let text = |name: &str| cells.text(name, row).unwrap_or_default().to_owned();
    let number = |name: &str| cells.integer(name, row).unwrap_or_default();
    // What was lifted from elsewhere was not in the record.
    let lifted = cells.text("lifted", row).unwrap_or_default();
    let own = |letter: char, value: Json| if lifted.contains(letter) { Json::Null } else { value };
    let mut log = Map::new();
    let time = own_time(cells, row);
    if time != 0 {
        log.insert("timeUnixNano".to_owned(), time.to_string().into());
    }
    if let Some(delay) = cells.integer("observed_delay_ns", row) {
        let observed = number("time").wrapping_add(delay).cast_unsigned();
        log.insert("observedTimeUnixNano".to_owned(), observed.to_string().into());
    }
    set(&mut log, "severityNumber", own(lifted::SEVERITY, number("severity_number").into()));
    set(&mut log, "severityText", text("severity_text").into());
    if cells.text("body", row).is_some() {
        log.insert("body".to_owned(), any_value(&cells.body(row)));
    }
    set(&mut log, "attributes", Json::Array(attributes(&cells.attributes(row))));
    set(&mut log, "droppedAttributesCount", number("dropped_attributes_count").into());
    set(&mut log, "flags", number("flags").into());
    set(&mut log, "traceId", own(lifted::TRACE_ID, cells.id("trace_id", row).into()));
    set(&mut log, "spanId", own(lifted::SPAN_ID, cells.id("span_id", row).into()));
    set(&mut log, "eventName", text("event_name").into());
    Json::Object(log)
}

fn span(cells: &Cells<'_>, row: usize) -> Json {
    let text = |name: &str| cells.text(name, row).unwrap_or_default().to_owned();
    let number = |name: &str| cells.integer(name, row).unwrap_or_default();
    let start = own_time(cells, row);
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
    let events: Vec<SpanEvent> = nested::read(stored);
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
    let links: Vec<Link> = nested::read(stored);
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
