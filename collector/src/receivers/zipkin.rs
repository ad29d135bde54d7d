//! Zipkin v2 JSON (<https://zipkin.io/zipkin-api/#/default/post_spans>).
//!
//! A span's local service is `service.name`, its remote one `peer.service`; tags are attributes, annotations are events. The server's
//! half of a shared span keeps the id that it shares and is marked by the attribute `zipkin.shared`.

use crate::correlate::Correlation;
use crate::otlp::{self, DecodeError, Decoded, check_room};
use crate::write::{Message, Request};
use mangru_store::{Signal, SpanId, TraceId};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    id: String,
    parent_id: Option<String>,
    name: Option<String>,
    kind: Option<String>,
    timestamp: Option<f64>,
    duration: Option<f64>,
    local_endpoint: Option<Endpoint>,
    remote_endpoint: Option<Endpoint>,
    annotations: Option<Vec<Annotation>>,
    tags: Option<BTreeMap<String, String>>,
    shared: Option<bool>,
    debug: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    service_name: Option<String>,
    ipv4: Option<String>,
    ipv6: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Annotation {
    timestamp: f64,
    value: String,
}

/// Decodes a list of spans; one that is wrong refuses all, as Zipkin does.
pub(super) fn decode(text: &[u8], arrival: u64, correlation: &Correlation) -> Result<Decoded, DecodeError> {
    let spans: Vec<Span> = serde_json::from_slice(text)
        .map_err(|error| DecodeError::Request(format!("cannot read a list of Zipkin spans: {error}")))?;
    let mut request = Request::new("");
    for (number, span) in spans.iter().enumerate() {
        check_room(request.records)?;
        let record = record(span).map_err(|why| DecodeError::Request(format!("spans[{number}].{why}")))?;
        request.add(&resource(span.local_endpoint.as_ref()), &record);
    }
    otlp::decode(Signal::Spans, &request.finish(), arrival, correlation)
}

fn resource(local: Option<&Endpoint>) -> Message {
    let mut resource = Message::default();
    if let Some(service) = local.and_then(|local| local.service_name.as_deref()).filter(|name| !name.is_empty()) {
        resource.attribute(1, "service.name", service);
    }
    resource
}

/// Microseconds as nanoseconds.
fn nanoseconds(microseconds: f64) -> u64 {
    // Whole microseconds, so that no rounding of doubles remains.
    if microseconds >= 0.0 { (microseconds.round() as u64).saturating_mul(1000) } else { 0 }
}

fn span_id(name: &str, text: &str) -> Result<SpanId, String> {
    SpanId::from_short_hex(text)
        .ok_or_else(|| format!("{name}: `{text}` is not an id of 16 hex digits that are not all zero"))
}

fn trace_id(text: &str) -> Result<TraceId, String> {
    TraceId::from_short_hex(text)
        .ok_or_else(|| format!("traceId: `{text}` is not an id of 16 or 32 hex digits that are not all zero"))
}

fn record(span: &Span) -> Result<Message, String> {
    let mut record = Message::default();
    record.bytes(1, &trace_id(&span.trace_id)?.0);
    record.bytes(2, &span_id("id", &span.id)?.0);
    if let Some(parent) = span.parent_id.as_deref().filter(|parent| !parent.is_empty()) {
        record.bytes(4, &span_id("parentId", parent)?.0);
    }
    record.text(5, span.name.as_deref().unwrap_or_default());
    let kind = match span.kind.as_deref() {
        None => 1,
        Some("SERVER") => 2,
        Some("CLIENT") => 3,
        Some("PRODUCER") => 4,
        Some("CONSUMER") => 5,
        Some(other) => return Err(format!("kind: `{other}` is not CLIENT, SERVER, PRODUCER or CONSUMER")),
    };
    record.varint(6, kind);
    let start = span.timestamp.map(nanoseconds).unwrap_or_default();
    record.fixed64(7, start);
    record.fixed64(8, start.saturating_add(span.duration.map(nanoseconds).unwrap_or_default()));
    attributes(span, &mut record);
    for annotation in span.annotations.iter().flatten() {
        let mut event = Message::default();
        event.fixed64(1, nanoseconds(annotation.timestamp));
        event.text(2, &annotation.value);
        record.message(11, &event);
    }
    if let Some(status) = status(span.tags.as_ref()) {
        record.message(15, &status);
    }
    Ok(record)
}

fn attributes(span: &Span, record: &mut Message) {
    for (key, value) in span.tags.iter().flatten() {
        record.attribute(9, key, value);
    }
    for (side, endpoint) in [("local", &span.local_endpoint), ("peer", &span.remote_endpoint)] {
        let Some(endpoint) = endpoint else { continue };
        if let Some(address) = endpoint.ipv4.as_deref().or(endpoint.ipv6.as_deref()) {
            record.attribute(9, &format!("network.{side}.address"), address);
        }
        if let Some(port) = endpoint.port.filter(|port| *port > 0) {
            // A whole number always fits a value.
            let _ = record.json_attribute(9, &format!("network.{side}.port"), &port.into());
        }
    }
    let remote = span.remote_endpoint.as_ref().and_then(|remote| remote.service_name.as_deref());
    if let Some(service) = remote.filter(|name| !name.is_empty()) {
        record.attribute(9, "peer.service", service);
    }
    for (name, flag) in [("zipkin.shared", span.shared), ("zipkin.debug", span.debug)] {
        if flag == Some(true) {
            // A truth value always fits.
            let _ = record.json_attribute(9, name, &true.into());
        }
    }
}

/// A tag `error`, whatever its value, says that the span failed.
fn status(tags: Option<&BTreeMap<String, String>>) -> Option<Message> {
    let error = tags?.get("error")?;
    let mut status = Message::default();
    if !matches!(error.as_str(), "true" | "false") {
        status.text(2, error);
    }
    status.varint(3, if error == "false" { 0 } else { 2 });
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CorrelationConfig;

    #[test]
    fn a_span_that_is_wrong_is_named_with_its_field() {
        let correlation = Correlation::new(CorrelationConfig::default());
        let good = r#"{"traceId":"48485a3953bb6124","id":"1","kind":"CLIENT","timestamp":1472470996199000,"duration":207000,
            "localEndpoint":{"serviceName":"frontend","port":80},"tags":{"error":"boom"},"annotations":[{"timestamp":1,"value":"ws"}]}"#;
        let decoded = decode(format!("[{good}]").as_bytes(), 1, &correlation).expect("fine");
        assert_eq!(decoded.batch.rows().num_rows(), 1);
        for (wrong, named) in [
            ("{}", "not a list"),
            ("[{\"id\":\"1\"}]", "traceId"),
            ("[{\"traceId\":\"0\",\"id\":\"1\"}]", "spans[0].traceId"),
            ("[{\"traceId\":\"1\",\"id\":\"x\"}]", "spans[0].id"),
            ("[{\"traceId\":\"1\",\"id\":\"1\",\"parentId\":\"12345678901234567\"}]", "spans[0].parentId"),
            ("[{\"traceId\":\"1\",\"id\":\"1\",\"kind\":\"other\"}]", "spans[0].kind"),
        ] {
            let error = decode(wrong.as_bytes(), 1, &correlation).expect_err(wrong).to_string();
            assert!(error.contains(named) || named == "not a list", "{wrong}: {error}");
        }
    }
}
