//! Rows that a search found, as alerts need them.

use crate::machine::{Evidence, Labels};
use mangru_query::{LogRow, SpanRow};
use mangru_store::{PROMOTED, PROMOTED_RESOURCE};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The longest text of one piece of evidence, in characters.
const MAX_TEXT: usize = 500;

/// Short forms of the search language, and the fields that they stand for.
const SHORT: [(&str, &str); 26] = [
    ("service", "service.name"),
    ("host", "host.name"),
    ("pod", "k8s.pod.name"),
    ("namespace", "k8s.namespace.name"),
    ("version", "service.version"),
    ("env", "deployment.environment.name"),
    ("environment", "deployment.environment.name"),
    ("logger", "scope_name"),
    ("route", "http.route"),
    ("method", "http.request.method"),
    ("level", "severity"),
    ("severity_text", "severity"),
    ("severity_number", "severity"),
    ("trace", "trace_id"),
    ("trace.id", "trace_id"),
    ("traceId", "trace_id"),
    ("span", "span_id"),
    ("span.id", "span_id"),
    ("spanId", "span_id"),
    ("correlation", "correlation_id"),
    ("operation", "name"),
    ("parent", "parent_span_id"),
    ("status_code", "status"),
    ("status.code", "status"),
    ("status.message", "status_message"),
    ("event", "event.name"),
];

#[derive(Default)]
pub(super) struct FoundRows {
    pub(super) rows: Vec<FoundRow>,
    pub(super) more: bool,
}

/// A row as an alert needs it.
pub(super) struct FoundRow {
    pub(super) evidence: Evidence,
    /// When it was over, in nanoseconds.
    pub(super) ended_ns: i64,
    id: String,
    fields: BTreeMap<String, String>,
}

fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn clipped(text: &str) -> String {
    let line: String = text.chars().take(MAX_TEXT).collect();
    if line.len() < text.len() { line + "…" } else { line }
}

/// The group of a severity's number, as searches name it; else the sender's own word.
fn level(number: i32, text: &str) -> &str {
    match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => text,
    }
}

/// Attributes by name; those of the record go before those of the resource.
fn attributes<'a>(all: impl Iterator<Item = (&'a String, &'a Json)>) -> BTreeMap<String, String> {
    all.map(|(key, value)| (key.clone(), plain(value))).collect()
}

impl FoundRow {
    pub(super) fn of_log(row: &LogRow) -> Self {
        let mut fields = attributes(row.resource_attributes.iter().chain(&row.attributes));
        if let Some(status) = fields.get("http.response.status_code").cloned() {
            fields.insert("status".to_owned(), status);
        }
        let severity = level(row.severity_number, &row.severity_text);
        let body = plain(&row.body);
        for (key, value) in [
            ("service.name", row.service_name.as_str()),
            ("severity", severity),
            ("trace_id", &row.trace_id),
            ("span_id", &row.span_id),
            ("correlation_id", &row.correlation_id),
            ("event.name", &row.event_name),
            ("event_name", &row.event_name),
            ("scope_name", &row.scope_name),
            ("body", &body),
            ("message", &body),
            ("msg", &body),
        ] {
            fields.insert(key.to_owned(), value.to_owned());
        }
        let time_ns = row.time_unix_nano.parse().unwrap_or_default();
        let evidence = Evidence {
            time_ns,
            service: row.service_name.clone(),
            text: clipped(&body),
            trace_id: row.trace_id.clone(),
        };
        let id = format!("{};{};{};{}", row.time_unix_nano, row.service_name, row.span_id, row.body);
        Self { evidence, ended_ns: time_ns, id, fields }
    }

    pub(super) fn of_span(row: &SpanRow) -> Self {
        let mut fields = attributes(row.resource_attributes.iter().chain(&row.attributes));
        for event in row.events.iter().rev() {
            fields.insert("event.name".to_owned(), plain(&event["name"]));
            for (key, value) in event["attributes"].as_object().into_iter().flatten() {
                fields.insert(format!("event.{key}"), plain(value));
                fields.insert(format!("event.attributes.{key}"), plain(value));
            }
        }
        let status = match row.status_code {
            1 => "ok",
            2 => "error",
            _ => "unset",
        };
        for (key, value) in [
            ("service.name", row.service_name.as_str()),
            ("name", &row.name),
            ("trace_id", &row.trace_id),
            ("span_id", &row.span_id),
            ("parent_span_id", &row.parent_span_id),
            ("correlation_id", &row.correlation_id),
            ("scope_name", &row.scope_name),
            ("kind", &row.kind_text),
            ("status", status),
            ("status_message", &row.status_message),
        ] {
            fields.insert(key.to_owned(), value.to_owned());
        }
        let failed = if row.status_code == 2 { format!(" failed {}", row.status_message) } else { String::new() };
        let millis = row.duration_ns as f64 / 1e6;
        let time_ns: i64 = row.time_unix_nano.parse().unwrap_or_default();
        let evidence = Evidence {
            time_ns,
            service: row.service_name.clone(),
            text: clipped(format!("{} {millis:.1} ms{failed}", row.name).trim_end()),
            trace_id: row.trace_id.clone(),
        };
        let ended_ns = time_ns.saturating_add(row.duration_ns.max(0));
        Self { evidence, ended_ns, id: format!("{};{}", row.trace_id, row.span_id), fields }
    }

    /// What tells this row from all others: its service, its trace, and a number made of all it says.
    pub(super) fn own_labels(&self) -> Labels {
        let hash = xxhash_rust::xxh3::xxh3_64(self.id.as_bytes());
        let mut labels = Labels::from([("match".to_owned(), format!("{hash:016x}"))]);
        for (label, value) in [("service_name", &self.evidence.service), ("trace_id", &self.evidence.trace_id)] {
            if !value.is_empty() {
                labels.insert(label.to_owned(), value.clone());
            }
        }
        labels
    }

    /// The value of a field by the names that the search language has for it.
    pub(super) fn field(&self, name: &str) -> String {
        let of_attribute = name.strip_prefix("resource.").or_else(|| name.strip_prefix("attributes."));
        let short = || SHORT.iter().find(|(short, _)| *short == name).map(|(_, field)| *field);
        let promoted = || {
            let mut all = PROMOTED.iter().chain(PROMOTED_RESOURCE);
            all.find(|promoted| promoted.column == name).map(|promoted| promoted.key)
        };
        let key = of_attribute.or_else(short).or_else(promoted).unwrap_or(name);
        self.fields.get(key).cloned().unwrap_or_default()
    }
}
