//! Traces as OTLP protobuf, from their JSON form: what Grafana reads of Tempo's API.

use base64::Engine as _;
use serde_json::Value as Json;

/// A message that is being written.
#[derive(Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    /// Bytes, text or an embedded message.
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A whole number, or one of an enumeration.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Text that is there.
    fn text(&mut self, field: u32, object: &Json, name: &str) {
        if let Some(text) = object[name].as_str().filter(|text| !text.is_empty()) {
            self.bytes(field, text.as_bytes());
        }
    }

    /// An id in hex.
    fn id(&mut self, field: u32, object: &Json, name: &str) {
        let Some(hex) = object[name].as_str() else { return };
        let byte = |place: usize| hex.get(place..place + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            self.bytes(field, &bytes);
        }
    }

    fn whole(&mut self, field: u32, object: &Json, name: &str) {
        if let Some(number) = object[name].as_u64().filter(|number| *number != 0) {
            self.number(field, number);
        }
    }

    fn time(&mut self, field: u32, object: &Json, name: &str) {
        if let Some(time) = object[name].as_str().and_then(|text| text.parse().ok()) {
            self.fixed64(field, time);
        }
    }

    /// Every item of a list as an embedded message.
    fn each(&mut self, field: u32, object: &Json, name: &str, write: impl Fn(&Json) -> Self) {
        for item in object[name].as_array().into_iter().flatten() {
            let item = write(item);
            self.bytes(field, &item.0);
        }
    }
}

fn any_value(value: &Json) -> Message {
    let mut any = Message::default();
    let Some((kind, value)) = value.as_object().and_then(|members| members.iter().next()) else { return any };
    match (kind.as_str(), value) {
        ("stringValue", Json::String(text)) => any.bytes(1, text.as_bytes()),
        ("boolValue", Json::Bool(flag)) => any.number(2, u64::from(*flag)),
        ("intValue", value) => {
            let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
            any.number(3, number.unwrap_or_default() as u64);
        }
        ("doubleValue", value) => {
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            any.fixed64(4, number.unwrap_or(f64::NAN).to_bits());
        }
        ("arrayValue", list) => {
            let mut values = Message::default();
            values.each(1, list, "values", any_value);
            any.bytes(5, &values.0);
        }
        ("kvlistValue", list) => {
            let mut values = Message::default();
            values.each(1, list, "values", key_value);
            any.bytes(6, &values.0);
        }
        ("bytesValue", Json::String(text)) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            any.bytes(7, &bytes);
        }
        _ => {}
    }
    any
}

fn key_value(entry: &Json) -> Message {
    let mut message = Message::default();
    message.text(1, entry, "key");
    message.bytes(2, &any_value(&entry["value"]).0);
    message
}

fn event(event: &Json) -> Message {
    let mut message = Message::default();
    message.time(1, event, "timeUnixNano");
    message.text(2, event, "name");
    message.each(3, event, "attributes", key_value);
    message.whole(4, event, "droppedAttributesCount");
    message
}

fn link(link: &Json) -> Message {
    let mut message = Message::default();
    message.id(1, link, "traceId");
    message.id(2, link, "spanId");
    message.text(3, link, "traceState");
    message.each(4, link, "attributes", key_value);
    message.whole(5, link, "droppedAttributesCount");
    if let Some(flags) = link["flags"].as_u64() {
        message.fixed32(6, flags as u32);
    }
    message
}

fn span(span: &Json) -> Message {
    let mut message = Message::default();
    message.id(1, span, "traceId");
    message.id(2, span, "spanId");
    message.text(3, span, "traceState");
    message.id(4, span, "parentSpanId");
    message.text(5, span, "name");
    message.whole(6, span, "kind");
    message.time(7, span, "startTimeUnixNano");
    message.time(8, span, "endTimeUnixNano");
    message.each(9, span, "attributes", key_value);
    message.whole(10, span, "droppedAttributesCount");
    message.each(11, span, "events", event);
    message.whole(12, span, "droppedEventsCount");
    message.each(13, span, "links", link);
    message.whole(14, span, "droppedLinksCount");
    let mut status = Message::default();
    status.text(2, &span["status"], "message");
    status.whole(3, &span["status"], "code");
    message.bytes(15, &status.0);
    if let Some(flags) = span["flags"].as_u64() {
        message.fixed32(16, flags as u32);
    }
    message
}

fn scope_spans(scope: &Json) -> Message {
    let mut message = Message::default();
    let mut own = Message::default();
    own.text(1, &scope["scope"], "name");
    own.text(2, &scope["scope"], "version");
    own.each(3, &scope["scope"], "attributes", key_value);
    own.whole(4, &scope["scope"], "droppedAttributesCount");
    message.bytes(1, &own.0);
    message.each(2, scope, "spans", span);
    message.text(3, scope, "schemaUrl");
    message
}

fn resource_spans(resource: &Json) -> Message {
    let mut message = Message::default();
    let mut own = Message::default();
    own.each(1, &resource["resource"], "attributes", key_value);
    own.whole(2, &resource["resource"], "droppedAttributesCount");
    message.bytes(1, &own.0);
    message.each(2, resource, "scopeSpans", scope_spans);
    message.text(3, resource, "schemaUrl");
    message
}

/// `TracesData` of its JSON form.
pub(crate) fn traces(data: &Json) -> Message {
    let mut message = Message::default();
    message.each(1, data, "resourceSpans", resource_spans);
    message
}
