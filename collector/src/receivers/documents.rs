//! JSON documents as log records: which members are the time, the text, the severity and the ids, by their usual names.
//!
//! Objects in objects are taken apart into keys with dots. Members that describe who sent the record are attributes of its
//! resource; all others are attributes of the record.

use crate::correlate::severity;
use crate::write::{Message, any_value};
use serde_json::{Map, Value as Json};

/// Members that are looked at, the most telling first. Names of ECS, and what loggers write.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) time: Vec<String>,
    pub(super) message: Vec<String>,
    pub(super) severity: Vec<String>,
}

impl Default for Fields {
    fn default() -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            time: all(&["@timestamp", "timestamp", "time", "ts"]),
            message: all(&["message", "msg", "log", "body"]),
            severity: all(&["log.level", "level", "severity", "severity_text", "loglevel"]),
        }
    }
}

/// Members whose names start so describe the sender.
const OF_RESOURCE: [&str; 14] = [
    "service.",
    "host.",
    "agent.",
    "cloud.",
    "container.",
    "kubernetes.",
    "k8s.",
    "orchestrator.",
    "data_stream.",
    "os.",
    "telemetry.",
    "deployment.",
    "ecs.",
    "observer.",
];

/// A document in OTLP's form.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) resource: Message,
    pub(super) record: Message,
}

/// Takes members of objects apart into keys with dots; what is not an object is kept.
fn flatten(prefix: &str, members: &Map<String, Json>, out: &mut Vec<(String, Json)>) {
    for (key, value) in members {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Json::Object(inner) if !inner.is_empty() => flatten(&key, inner, out),
            other => out.push((key, other.clone())),
        }
    }
}

/// Takes the first member that has any of these names.
fn take(members: &mut Vec<(String, Json)>, names: &[String]) -> Option<(String, Json)> {
    names.iter().find_map(|name| {
        let place = members.iter().position(|(key, value)| key == name && !value.is_null())?;
        Some(members.remove(place))
    })
}

/// A time: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds by its size.
fn nanoseconds(value: &Json) -> Option<u64> {
    // A fraction has microseconds: doubles of today's times hold no more.
    let of_number = |number: f64| {
        let microseconds = match number.abs() {
            size if size < 1e11 => number * 1e6,
            size if size < 1e14 => number * 1e3,
            size if size < 1e17 => number,
            _ => number / 1e3,
        };
        (number.is_finite() && number >= 0.0).then_some((microseconds.round() as u64).saturating_mul(1_000))
    };
    match value {
        Json::Number(number) => match number.as_u64() {
            // Whole numbers are not rounded.
            Some(whole) => Some(match whole {
                0..100_000_000_000 => whole.saturating_mul(1_000_000_000),
                100_000_000_000..100_000_000_000_000 => whole * 1_000_000,
                100_000_000_000_000..100_000_000_000_000_000 => whole * 1_000,
                _ => whole,
            }),
            None => of_number(number.as_f64()?),
        },
        Json::String(text) => match text.parse::<u64>() {
            Ok(whole) => nanoseconds(&whole.into()),
            Err(_) => match text.parse::<f64>() {
                Ok(number) => of_number(number),
                Err(_) => {
                    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
                    u64::try_from(time.timestamp_nanos_opt()?).ok()
                }
            },
        },
        _ => None,
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it, its member named.
pub(super) fn read(
    members: &Map<String, Json>,
    fields: &Fields,
    resource_attributes: &[(&str, &str)],
) -> Result<Document, String> {
    let mut all = Vec::new();
    flatten("", members, &mut all);
    let mut record = Message::default();
    if let Some((name, value)) = take(&mut all, &fields.time) {
        let time = nanoseconds(&value).ok_or_else(|| {
            format!("failed to parse field [{name}]: {value} is not a date (RFC 3339, or a Unix time)")
        })?;
        record.fixed64(1, time);
    }
    if let Some((_, value)) = take(&mut all, &fields.severity) {
        let name = text(&value);
        let number = value.as_i64().filter(|number| (1..=24).contains(number)).map(|number| number as i32);
        if let Some(number) = number.or_else(|| severity(&name)) {
            record.varint(2, number as u64);
        }
        record.text(3, &name);
    }
    if let Some((_, value)) = take(&mut all, &fields.message) {
        record.message(5, &any_value(&value).map_err(|why| format!("failed to parse field [message]: {why}"))?);
    }
    let mut resource = Message::default();
    for (key, value) in resource_attributes {
        resource.attribute(1, key, value);
    }
    let has_service = |key: &str| key == "service.name";
    if !all.iter().any(|(key, _)| has_service(key)) && !resource_attributes.iter().any(|(key, _)| has_service(key)) {
        // Many loggers write their service as a plain text.
        if let Some(place) = all.iter().position(|(key, value)| key == "service" && value.is_string()) {
            "service.name".clone_into(&mut all[place].0);
        }
    }
    for (key, value) in &all {
        if resource_attributes.iter().any(|(known, _)| known == key) {
            continue;
        }
        let is_of_resource = OF_RESOURCE.iter().any(|prefix| key.starts_with(prefix));
        let (message, field) = if is_of_resource { (&mut resource, 1) } else { (&mut record, 6) };
        message.json_attribute(field, key, value).map_err(|why| format!("failed to parse field [{key}]: {why}"))?;
    }
    Ok(Document { resource, record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_by_their_form() {
        for (value, expected) in [
            (json!("2026-11-20T21:00:00.5Z"), Some(1_795_208_400_500_000_000)),
            (json!("2026-11-20T22:00:00+01:00"), Some(1_795_208_400_000_000_000)),
            (json!(1_795_208_400), Some(1_795_208_400_000_000_000)),
            (json!(1_795_208_400_123_i64), Some(1_795_208_400_123_000_000)),
            (json!("1795208400123456"), Some(1_795_208_400_123_456_000)),
            (json!(1_795_208_400_123_456_789_i64), Some(1_795_208_400_123_456_789)),
            (json!(1_795_208_400.25), Some(1_795_208_400_250_000_000)),
            (json!("yesterday"), None),
            (json!(true), None),
            (json!(-1), None),
        ] {
            assert_eq!(nanoseconds(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_document_that_is_wrong_is_named_with_its_field() {
        let read = |value: Json| read(value.as_object().expect("an object"), &Fields::default(), &[]);
        read(json!({ "@timestamp": "2026-11-20T21:00:00Z", "message": "a", "log": { "level": "warn" } }))
            .expect("fine");
        let error = read(json!({ "@timestamp": "soon" })).expect_err("no time");
        assert!(error.contains("[@timestamp]"), "{error}");
        let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
        let error = read(json!({ "a": { "b": deep } })).expect_err("too deep");
        assert!(error.contains("[a.b]"), "{error}");
    }
}
