//! Ids that correlate records: found in attributes, captured headers and bodies.
//!
//! A record's own `trace_id`, `span_id` and severity always win. Where it has none, those of well-known attributes and of
//! JSON or logfmt bodies stand in (column `lifted` says so). The first correlation id by the configured order of keys is kept
//! in `correlation_id`, in its normal form.

use crate::otlp::value::Attribute;
use base64::Engine as _;
use hashbrown::HashMap;
use mangru_store::{SpanId, TraceId, id::normal_correlation_id};
use regex::Regex;

/// Bodies longer than this are not looked into.
const MAX_BODY_BYTES: usize = 16 << 10;
/// Longer values are no ids.
const MAX_ID_BYTES: usize = 256;

/// Which keys carry correlation ids.
#[derive(Clone, Debug)]
pub struct CorrelationConfig {
    /// Attribute and body keys, the most telling first. A key that ends with `*` stands for all that start so.
    pub keys: Vec<String>,
    /// A regular expression with one group that lifts a correlation id out of bodies.
    pub body_pattern: Option<Regex>,
    /// Whether bodies of JSON and logfmt are looked into for ids and severity.
    pub look_into_bodies: bool,
}

impl Default for CorrelationConfig {
    fn default() -> Self {
        let keys = [
            "correlation_id",
            "correlationId",
            "correlation.id",
            "http.request.header.x-correlation-id",
            "x-correlation-id",
            "request_id",
            "requestId",
            "request.id",
            "req_id",
            "x_request_id",
            "http.request.header.x-request-id",
            "x-request-id",
            "http.request.header.request-id",
            "request-id",
            "messaging.message.conversation_id",
            "messaging.message.id",
            "session.id",
            "baggage.*",
        ];
        Self { keys: keys.map(str::to_owned).to_vec(), body_pattern: None, look_into_bodies: true }
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Trace,
    Span,
    Severity,
    /// A header that carries trace and span at once, by its format.
    Header(Header),
    /// A correlation id, the smaller the better.
    Correlation(usize),
}

#[derive(Clone, Copy, Debug)]
enum Header {
    Traceparent,
    B3,
    Uber,
    Amazon,
    Google,
    Sentry,
    Datadog,
}

/// What the key names of ids stand for; headers also come as captured attributes of requests.
const ROLES: &[(&str, Role)] = &[
    ("trace_id", Role::Trace),
    ("traceId", Role::Trace),
    ("trace.id", Role::Trace),
    ("TraceId", Role::Trace),
    ("traceid", Role::Trace),
    ("otelTraceID", Role::Trace),
    ("dd.trace_id", Role::Header(Header::Datadog)),
    ("x-b3-traceid", Role::Trace),
    ("x-datadog-trace-id", Role::Header(Header::Datadog)),
    ("span_id", Role::Span),
    ("spanId", Role::Span),
    ("span.id", Role::Span),
    ("SpanId", Role::Span),
    ("otelSpanID", Role::Span),
    ("x-b3-spanid", Role::Span),
    ("level", Role::Severity),
    ("severity", Role::Severity),
    ("log.level", Role::Severity),
    ("loglevel", Role::Severity),
    ("lvl", Role::Severity),
    ("traceparent", Role::Header(Header::Traceparent)),
    ("b3", Role::Header(Header::B3)),
    ("uber-trace-id", Role::Header(Header::Uber)),
    ("x-amzn-trace-id", Role::Header(Header::Amazon)),
    ("x-cloud-trace-context", Role::Header(Header::Google)),
    ("sentry-trace", Role::Header(Header::Sentry)),
];

/// What was found for one record.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) severity: Option<i32>,
    correlation: Option<(usize, String)>,
}

impl Found {
    /// The best correlation id.
    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.correlation.as_ref().map(|(_, id)| id.as_str())
    }

    fn correlate(&mut self, rank: usize, text: &str) {
        if text.is_empty()
            || text.len() > MAX_ID_BYTES
            || self.correlation.as_ref().is_some_and(|(best, _)| *best <= rank)
        {
            return;
        }
        self.correlation = Some((rank, normal_correlation_id(text)));
    }
}

/// The configured keys, ready to look with.
#[derive(Debug)]
pub struct Correlation {
    roles: HashMap<String, Role>,
    prefixes: Vec<(String, usize)>,
    /// By the length of a key: whether any key of that length has a role. Most keys have none and cost one look here.
    lengths: [bool; 64],
    config: CorrelationConfig,
}

impl Correlation {
    /// Prepares a configuration.
    pub fn new(config: CorrelationConfig) -> Self {
        let mut roles: HashMap<String, Role> = HashMap::new();
        let mut prefixes = Vec::new();
        for (rank, key) in config.keys.iter().enumerate() {
            match key.strip_suffix('*') {
                Some(prefix) => prefixes.push((prefix.to_owned(), rank)),
                None => {
                    roles.entry(key.clone()).or_insert(Role::Correlation(rank));
                }
            }
        }
        for (key, role) in ROLES {
            roles.entry((*key).to_owned()).or_insert(*role);
            roles.entry(format!("http.request.header.{key}")).or_insert(*role);
        }
        let mut lengths = [false; 64];
        for key in roles.keys() {
            lengths[key.len().min(63)] = true;
        }
        Self { roles, prefixes, lengths, config }
    }

    /// Looks at an attribute of a record.
    #[inline]
    pub(crate) fn look(&self, attribute: &Attribute<'_>, found: &mut Found) {
        let key = attribute.key;
        if self.lengths[key.len().min(63)]
            && let Some(role) = self.roles.get(key)
        {
            match (attribute.string, attribute.int) {
                (Some(text), _) => Self::take(*role, text, found),
                (None, Some(number)) => Self::take(*role, &number.to_string(), found),
                _ => {
                    if let Some(text) = header_list(attribute.value) {
                        Self::take(*role, &text, found);
                    }
                }
            }
            return;
        }
        for (prefix, rank) in &self.prefixes {
            if key.starts_with(prefix.as_str())
                && let Some(text) = attribute.string
            {
                found.correlate(*rank, text);
            }
        }
    }

    /// Looks into a body of JSON or logfmt, and for the configured pattern.
    pub(crate) fn look_into_body(&self, body: &str, found: &mut Found) {
        if body.len() > MAX_BODY_BYTES {
            return;
        }
        if let Some(pattern) = &self.config.body_pattern
            && let Some(id) = pattern.captures(body).and_then(|captures| captures.get(1))
        {
            found.correlate(self.config.keys.len(), id.as_str());
        }
        if !self.config.look_into_bodies {
            return;
        }
        if body.starts_with('{') && body.ends_with('}') {
            if let Ok(members) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body) {
                for (key, value) in &members {
                    if let Some(role) = self.roles.get(key) {
                        match value {
                            serde_json::Value::String(text) => Self::take(*role, text, found),
                            serde_json::Value::Number(number) => Self::take(*role, &number.to_string(), found),
                            _ => {}
                        }
                    }
                }
            }
        } else if body.contains('=') {
            for (key, value) in logfmt(body) {
                if self.lengths[key.len().min(63)]
                    && let Some(role) = self.roles.get(key)
                {
                    Self::take(*role, value, found);
                }
            }
        }
    }

    fn take(role: Role, text: &str, found: &mut Found) {
        match role {
            Role::Trace => found.trace_id = found.trace_id.or_else(|| trace(text)),
            Role::Span => found.span_id = found.span_id.or_else(|| span(text)),
            Role::Severity => found.severity = found.severity.or_else(|| severity(text)),
            Role::Correlation(rank) => found.correlate(rank, text),
            Role::Header(header) => {
                let (trace_id, span_id) = header.read(text);
                found.trace_id = found.trace_id.or(trace_id);
                found.span_id = found.span_id.or(span_id);
            }
        }
    }
}

/// The first text of an array: captured headers are lists.
fn header_list(value: &[u8]) -> Option<String> {
    match crate::otlp::value::any_value(value).ok()? {
        mangru_store::value::AnyValue::Array(items) => items.into_iter().find_map(|item| match item {
            mangru_store::value::AnyValue::String(text) => Some(text),
            _ => None,
        }),
        _ => None,
    }
}

/// Pairs `key=value` and `key="quoted value"` of a line.
fn logfmt(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let equals = rest.find('=')?;
        let key = rest[..equals].rsplit(char::is_whitespace).next().unwrap_or_default();
        let after = &rest[equals + 1..];
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        rest = next;
        Some((key, value))
    })
}

/// A trace id as hex in any case, with a UUID's dashes, of 64 bits, or as base64.
fn trace(text: &str) -> Option<TraceId> {
    let normal = normal_correlation_id(text);
    if let Some(id) = TraceId::from_hex(&normal) {
        return Some(id);
    }
    if (1..=16).contains(&normal.len()) && normal.bytes().all(|byte| byte.is_ascii_hexdigit()) && normal.len() >= 8 {
        return TraceId::from_short_hex(&normal);
    }
    if normal.len() == 24 {
        return base64::engine::general_purpose::STANDARD
            .decode(&normal)
            .ok()
            .and_then(|bytes| TraceId::from_bytes(&bytes));
    }
    decimal(&normal).and_then(|id| TraceId::from_bytes(&u128::from(id).to_be_bytes()))
}

fn span(text: &str) -> Option<SpanId> {
    let text = text.trim();
    SpanId::from_hex(text).or_else(|| decimal(text).and_then(|id| SpanId::from_bytes(&id.to_be_bytes())))
}

/// Datadog's 64-bit ids, in decimal with more digits than hex ids have.
fn decimal(text: &str) -> Option<u64> {
    (text.len() >= 17 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The number of a severity's name.
pub(crate) fn severity(text: &str) -> Option<i32> {
    Some(match text.trim().to_ascii_lowercase().as_str() {
        "trace" => 1,
        "debug" | "fine" => 5,
        "info" | "information" => 9,
        "notice" => 10,
        "warn" | "warning" => 13,
        "error" | "err" | "severe" => 17,
        "fatal" | "critical" | "crit" | "emergency" | "panic" => 21,
        _ => return None,
    })
}

impl Header {
    fn read(self, text: &str) -> (Option<TraceId>, Option<SpanId>) {
        let text = text.trim();
        match self {
            // 00-<trace>-<span>-<flags>
            Self::Traceparent => {
                let mut pieces = text.split('-').skip(1);
                (pieces.next().and_then(TraceId::from_hex), pieces.next().and_then(span))
            }
            // <trace>-<span>[-<sampled>[-<parent>]]
            Self::B3 | Self::Sentry => {
                let mut pieces = text.split('-');
                (pieces.next().and_then(trace), pieces.next().and_then(span))
            }
            // <trace>:<span>:<parent>:<flags>, leading zeroes left out
            Self::Uber => {
                let mut pieces = text.split(':');
                let padded = |piece: &str, width: usize| format!("{piece:0>width$}");
                (
                    pieces.next().and_then(|piece| TraceId::from_hex(&padded(piece, 32))),
                    pieces.next().and_then(|piece| SpanId::from_hex(&padded(piece, 16))),
                )
            }
            // Root=1-<8 hex>-<24 hex>;Parent=<span>;Sampled=1
            Self::Amazon => {
                let part = |name: &str| text.split(';').find_map(|piece| piece.trim().strip_prefix(name));
                let root = part("Root=1-").and_then(|root| TraceId::from_hex(&root.replace('-', "")));
                (root, part("Parent=").and_then(SpanId::from_hex))
            }
            // <trace>/<span in decimal>;o=1
            Self::Google => {
                let (id, rest) = text.split_once('/').unwrap_or((text, ""));
                let span = rest.split(';').next().and_then(|digits| digits.parse::<u64>().ok());
                (TraceId::from_hex(id), span.and_then(|id| SpanId::from_bytes(&id.to_be_bytes())))
            }
            Self::Datadog => {
                let by_number =
                    text.parse::<u64>().ok().and_then(|id| TraceId::from_bytes(&u128::from(id).to_be_bytes()));
                (by_number.or_else(|| trace(text)), None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_body(body: &str) -> Found {
        let mut found = Found::default();
        Correlation::new(CorrelationConfig::default()).look_into_body(body, &mut found);
        found
    }

    #[test]
    fn ids_and_levels_are_lifted_out_of_json_and_logfmt() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let found = in_body(&format!(r#"{{"level":"warn","traceId":"{}","request_id":"R-1"}}"#, id.to_uppercase()));
        assert_eq!(found.trace_id.expect("trace").to_string(), id);
        assert_eq!((found.severity, found.correlation_id()), (Some(13), Some("R-1")));
        let found = in_body(&format!("ts=1 level=error msg=\"a b\" trace_id={id} span_id=00f067aa0ba902b7"));
        assert_eq!(found.trace_id.expect("trace").to_string(), id);
        assert_eq!(found.span_id.expect("span").to_string(), "00f067aa0ba902b7");
        assert_eq!(found.severity, Some(17));
    }

    #[test]
    fn every_header_format_gives_its_trace() {
        let id = "463ac35c9f6413ad48485a3953bb6124";
        for (header, text) in [
            (Header::Traceparent, format!("00-{id}-00f067aa0ba902b7-01")),
            (Header::B3, format!("{id}-00f067aa0ba902b7-1")),
            (Header::Uber, format!("{id}:f067aa0ba902b7:0:1")),
            (Header::Amazon, "Root=1-463ac35c-9f6413ad48485a3953bb6124;Parent=00f067aa0ba902b7;Sampled=1".to_owned()),
            (Header::Google, format!("{id}/67667974448284343;o=1")),
            (Header::Sentry, format!("{id}-00f067aa0ba902b7-1")),
        ] {
            let (trace, span) = header.read(&text);
            assert_eq!(trace.map(|id| id.to_string()).as_deref(), Some(id), "{header:?}");
            assert_eq!(span.map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"), "{header:?}");
        }
        let (trace, _) = Header::Datadog.read("5208512171318403364");
        assert_eq!(trace.expect("trace").to_string(), "000000000000000048485a3953bb6124");
    }
}
