//! Loki's push API: streams of lines, as JSON or as snappy-compressed protobuf
//! (<https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>).
//!
//! Labels of a stream are attributes of its resource, and the label `service_name` is `service.name`; structured metadata are
//! attributes of the record.

use crate::correlate::Correlation;
use crate::otlp::{self, DecodeError, Decoded, check_room};
use crate::wire::{Fields, WireError};
use crate::write::{Message, Request};
use mangru_store::{LOKI_TENANT, Signal};
use serde::Deserialize;
use serde::de::{Error as _, SeqAccess, Visitor};
use std::collections::BTreeMap;

/// Labels that name the service of a stream when it has no `service_name`, the most telling first; as Loki takes them.
const NAMES_OF_SERVICES: [&str; 12] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
];
/// Labels and metadata that hold a line's severity.
const LEVELS: [&str; 5] = ["detected_level", "level", "severity", "lvl", "log_level"];
/// The most labels a stream may have.
const MAX_LABELS: usize = 128;

fn refused(message: impl std::fmt::Display) -> DecodeError {
    DecodeError::Request(message.to_string())
}

/// Decodes a push request in JSON.
pub(super) fn decode_json(
    text: &[u8],
    tenant: &str,
    arrival: u64,
    correlation: &Correlation,
) -> Result<Decoded, DecodeError> {
    let mut request = Request::new("");
    let pushed: Pushed =
        serde_json::from_slice(text).map_err(|error| refused(format!("loghttp.PushRequest: {error}")))?;
    for (number, stream) in pushed.streams.into_iter().enumerate() {
        let labels: Vec<(String, String)> = stream.stream.into_iter().collect();
        let (resource, level) =
            resource(&labels, tenant).map_err(|why| refused(format!("streams[{number}]: {why}")))?;
        for (place, entry) in stream.values.into_iter().enumerate() {
            check_room(request.records)?;
            let time: i64 = entry.0.parse().map_err(|_| {
                refused(format!("streams[{number}].values[{place}][0]: `{}` is not a time in nanoseconds", entry.0))
            })?;
            let metadata = entry.2.unwrap_or_default();
            let metadata = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            request.add(&resource, &record(time, &entry.1, metadata, level.as_deref()));
        }
    }
    finish(request, arrival, correlation)
}

/// Decodes a push request in protobuf, unpacked.
pub(super) fn decode_protobuf(
    message: &[u8],
    tenant: &str,
    arrival: u64,
    correlation: &Correlation,
) -> Result<Decoded, DecodeError> {
    let wrong = |error: WireError| refused(format!("logproto.PushRequest: {error}"));
    let mut request = Request::new("");
    let mut fields = Fields::new(message);
    let mut number = 0;
    while let Some((field, value)) = fields.next().map_err(wrong)? {
        if field == 1 {
            let stream = value.message().map_err(wrong)?;
            add_stream(stream, number, tenant, &mut request)?;
            number += 1;
        }
    }
    finish(request, arrival, correlation)
}

fn add_stream(stream: &[u8], number: usize, tenant: &str, request: &mut Request) -> Result<(), DecodeError> {
    let wrong = |error: WireError| refused(format!("logproto.PushRequest: streams[{number}]: {error}"));
    let mut labels = "";
    let mut fields = Fields::new(stream);
    while let Some((field, value)) = fields.next().map_err(wrong)? {
        if field == 1 {
            labels = value.text().map_err(wrong)?;
        }
    }
    let labels = read_labels(labels).map_err(|why| refused(format!("streams[{number}]: labels `{labels}`: {why}")))?;
    let (resource, level) = resource(&labels, tenant).map_err(|why| refused(format!("streams[{number}]: {why}")))?;
    let mut fields = Fields::new(stream);
    while let Some((field, value)) = fields.next().map_err(wrong)? {
        if field != 2 {
            continue;
        }
        check_room(request.records)?;
        let (time, line, metadata) = entry(value.message().map_err(wrong)?).map_err(wrong)?;
        request.add(&resource, &record(time, line, metadata.into_iter(), level.as_deref()));
    }
    Ok(())
}

type Entry<'a> = (i64, &'a str, Vec<(&'a str, &'a str)>);

fn entry(message: &[u8]) -> Result<Entry<'_>, WireError> {
    let (mut seconds, mut nanos, mut line, mut metadata) = (0_i64, 0_i64, "", Vec::new());
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => {
                let mut time = Fields::new(value.message()?);
                while let Some((field, value)) = time.next()? {
                    match field {
                        1 => seconds = value.varint()? as i64,
                        2 => nanos = i64::from(value.int32()?),
                        _ => {}
                    }
                }
            }
            2 => line = value.text()?,
            3 => {
                let (mut name, mut text) = ("", "");
                let mut pair = Fields::new(value.message()?);
                while let Some((field, value)) = pair.next()? {
                    match field {
                        1 => name = value.text()?,
                        2 => text = value.text()?,
                        _ => {}
                    }
                }
                metadata.push((name, text));
            }
            _ => {}
        }
    }
    Ok((seconds.saturating_mul(1_000_000_000).saturating_add(nanos), line, metadata))
}

fn finish(request: Request, arrival: u64, correlation: &Correlation) -> Result<Decoded, DecodeError> {
    otlp::decode(Signal::Logs, &request.finish(), arrival, correlation)
}

/// The resource of a stream's labels, and its severity when a label tells it.
fn resource(labels: &[(String, String)], tenant: &str) -> Result<(Message, Option<String>), String> {
    if labels.is_empty() {
        return Err("error at least one label pair is required per stream".to_owned());
    }
    if labels.len() > MAX_LABELS {
        return Err(format!("the stream has {} labels, allowed are {MAX_LABELS}", labels.len()));
    }
    let of = |name: &str| labels.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut resource = Message::default();
    if let Some(service) = of("service_name").or_else(|| NAMES_OF_SERVICES.iter().find_map(|name| of(name))) {
        resource.attribute(1, "service.name", service);
    }
    for (name, value) in labels.iter().filter(|(name, value)| name != "service_name" && !value.is_empty()) {
        resource.attribute(1, name, value);
    }
    if !tenant.is_empty() {
        resource.attribute(1, LOKI_TENANT, tenant);
    }
    Ok((resource, LEVELS.iter().find_map(|name| of(name)).map(str::to_owned)))
}

fn record<'a>(
    time: i64,
    line: &str,
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
    level: Option<&str>,
) -> Message {
    let mut record = Message::default();
    record.fixed64(1, u64::try_from(time).unwrap_or_default());
    let mut level = level.map(str::to_owned);
    let mut attributes = Message::default();
    for (name, value) in metadata {
        if LEVELS.contains(&name) {
            level = Some(value.to_owned());
        }
        attributes.attribute(6, name, value);
    }
    if let Some(level) = level {
        if let Some(number) = crate::correlate::severity(&level) {
            record.varint(2, number as u64);
        }
        record.text(3, &level);
    }
    let mut body = Message::default();
    body.bytes(1, line.as_bytes());
    record.message(5, &body);
    record.0.extend_from_slice(&attributes.0);
    record
}

#[derive(Deserialize)]
struct Pushed {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    values: Vec<Line>,
}

/// A line: its time in nanoseconds, its text, and its structured metadata when it has any.
struct Line(String, String, Option<BTreeMap<String, String>>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a line: [\"<nanoseconds>\", \"<text>\", {structured metadata}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Line, A::Error> {
        let time = items.next_element()?.ok_or_else(|| A::Error::custom("a line has no time"))?;
        let text = items.next_element()?.ok_or_else(|| A::Error::custom("a line has no text"))?;
        let metadata = items.next_element()?;
        if items.next_element::<serde::de::IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a line has more than time, text and structured metadata"));
        }
        Ok(Line(time, text, metadata))
    }
}

/// Reads `{name="value", …}`, values quoted as in Go.
fn read_labels(text: &str) -> Result<Vec<(String, String)>, String> {
    let inner = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let mut rest = inner.ok_or("they are not in braces")?.trim_start();
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=').ok_or("a label has no value")?;
        let name = name.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("`{name}` is not a label's name"));
        }
        let (value, behind) = read_quoted(behind.trim_start())?;
        labels.push((name.to_owned(), value));
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.is_empty() => {}
            None => return Err("labels are not separated by a comma".to_owned()),
        }
    }
    Ok(labels)
}

/// Reads a text in quotes at the start, and gives what stands behind it.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let unclosed = || "a value is not closed".to_owned();
    if let Some(raw) = text.strip_prefix('`') {
        let (value, behind) = raw.split_once('`').ok_or_else(unclosed)?;
        return Ok((value.to_owned(), behind));
    }
    let inner = text.strip_prefix('"').ok_or("a value is not in quotes")?;
    let mut value = Vec::new();
    let mut characters = inner.char_indices();
    let hex = |digits: Option<&str>| {
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or("an escape is cut off".to_owned())
    };
    while let Some((place, c)) = characters.next() {
        let mut put = |c: char| value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        match c {
            '"' => {
                let value = String::from_utf8(value).map_err(|_| "a value is not UTF-8")?;
                return Ok((value, &inner[place + 1..]));
            }
            '\\' => match characters.next().ok_or_else(unclosed)? {
                (_, 'n') => put('\n'),
                (_, 't') => put('\t'),
                (_, 'r') => put('\r'),
                (_, 'a') => put('\u{7}'),
                (_, 'b') => put('\u{8}'),
                (_, 'f') => put('\u{c}'),
                (_, 'v') => put('\u{b}'),
                (at, 'x') => {
                    value.push(hex(inner.get(at + 1..at + 3))? as u8);
                    characters.nth(1);
                }
                (at, length @ ('u' | 'U')) => {
                    let digits = if length == 'u' { 4 } else { 8 };
                    let code = hex(inner.get(at + 1..at + 1 + digits))?;
                    put(char::from_u32(code).ok_or("an escape is no character")?);
                    characters.nth(digits - 1);
                }
                (_, c @ ('"' | '\\' | '\'')) => put(c),
                (_, c) => return Err(format!("`\\{c}` is not an escape")),
            },
            c => put(c),
        }
    }
    Err(unclosed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_their_escapes() {
        let of = |text: &str| read_labels(text);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of("{}"), Ok(vec![]));
        assert_eq!(of(r#"{a="b", c="d\"\\\n\u00e9\xc3\xa9"}"#), Ok(vec![pair("a", "b"), pair("c", "d\"\\\néé")]));
        assert_eq!(of("{a=`raw \\n`,}"), Ok(vec![pair("a", "raw \\n")]));
        for wrong in ["", "a=\"b\"", "{a}", "{a=b}", "{a=\"b}", "{1a=\"b\"}", "{a=\"b\" c=\"d\"}", r#"{a="\q"}"#] {
            of(wrong).expect_err(wrong);
        }
    }
}
