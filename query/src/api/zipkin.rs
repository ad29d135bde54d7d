//! Zipkin's API v2, as its UI, Grafana's data source and its clients call it (<https://zipkin.io/zipkin-api/>).
//!
//! Times and durations are microseconds, ends and lookbacks milliseconds. Spans are written at the same path by other means.

use super::covered::covered;
use super::error::status;
use super::jaeger::{calls, kind_name, microseconds, operation_names, recent};
use super::pieces::{self, Form};
use crate::language::quoted;
use crate::traces::Whole;
use crate::{Coverage, ErrorCode, QueryError, QueryService, SpanRow, TraceOrder, TracesRequest, now_ns};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::{Signal, TimeRange, TraceId};
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Service = State<Arc<QueryService>>;
type Pairs = Query<Vec<(String, String)>>;

/// How far back traces are looked for when nothing is said: fifteen minutes, in milliseconds.
const LOOKBACK_MS: i64 = 900_000;

/// The routes, at the root and where Zipkin's own UI looks for them.
pub(super) fn router() -> Router<Arc<QueryService>> {
    let mut router = Router::new().route("/health", get(health)).route("/zipkin/health", get(health));
    for prefix in ["", "/zipkin"] {
        router = router
            .route(&format!("{prefix}/api/v2/services"), get(services))
            .route(&format!("{prefix}/api/v2/spans"), get(spans))
            .route(&format!("{prefix}/api/v2/remoteServices"), get(remote_services))
            .route(&format!("{prefix}/api/v2/traces"), get(traces))
            .route(&format!("{prefix}/api/v2/trace/{{id}}"), get(trace))
            .route(&format!("{prefix}/api/v2/traceMany"), get(trace_many))
            .route(&format!("{prefix}/api/v2/dependencies"), get(dependencies))
            .route(&format!("{prefix}/api/v2/autocompleteKeys"), get(autocomplete_keys))
            .route(&format!("{prefix}/api/v2/autocompleteValues"), get(autocomplete_values));
    }
    router
}

/// An error as Zipkin answers it: its text.
struct Fault(QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let field = self.0.field.map(|field| format!("{field}: ")).unwrap_or_default();
        (status(self.0.code), format!("{field}{}", self.0.message)).into_response()
    }
}

fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    // `all` is what Zipkin's older UI says for any.
    let found = pairs.iter().find(|(known, value)| known == name && !value.is_empty() && value != "all");
    found.map(|(_, value)| value.as_str())
}

fn number(pairs: &[(String, String)], name: &'static str) -> Result<Option<i64>, QueryError> {
    one(pairs, name)
        .map(|text| {
            let parsed = text.parse().ok().filter(|number| *number >= 0);
            parsed.ok_or_else(|| QueryError::invalid(name, format!("`{text}` is not a number")))
        })
        .transpose()
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "UP", "zipkin": { "status": "UP", "details": {} } }))
}

async fn services(State(service): Service) -> Result<Json<Value>, Fault> {
    Ok(Json(json!(service.service_names(recent()).await?)))
}

async fn spans(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let Some(name) = one(&pairs, "serviceName") else { return Ok(Json(json!([]))) };
    Ok(Json(json!(operation_names(&service, name).await?)))
}

/// The values of a field among the spans of a service.
async fn values(service: &QueryService, field: &str, query: String) -> Result<Vec<String>, QueryError> {
    let request = crate::FieldValuesRequest {
        signal: Signal::Spans,
        name: field.to_owned(),
        query,
        prefix: String::new(),
        range: recent(),
        limit: 1_000.min(service.settings().max_limit),
    };
    let (values, _) = service.field_values(&request).await?;
    let mut values: Vec<String> = values.into_iter().map(|value| value.value).collect();
    values.sort_unstable();
    Ok(values)
}

async fn remote_services(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let Some(name) = one(&pairs, "serviceName") else { return Ok(Json(json!([]))) };
    Ok(Json(json!(values(&service, "attributes.peer.service", format!("service.name:{}", quoted(name))).await?)))
}

/// Keys of attributes are known; values of one are asked for by its name.
async fn autocomplete_keys(State(service): Service) -> Result<Json<Value>, Fault> {
    let (fields, _) = service.fields(Signal::Spans, recent()).await?;
    let keys: Vec<String> =
        fields.into_iter().filter(|field| field.kind == "attribute").map(|field| field.name).collect();
    Ok(Json(json!(keys)))
}

async fn autocomplete_values(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let key = one(&pairs, "key").ok_or_else(|| QueryError::invalid("key", "the parameter is missing"))?;
    Ok(Json(json!(values(&service, &format!("attributes.{key}"), String::new()).await?)))
}

/// The same question in the search language.
fn query(pairs: &[(String, String)]) -> Result<String, QueryError> {
    let mut terms = Vec::new();
    for (name, field) in
        [("serviceName", "service.name"), ("spanName", "name"), ("remoteServiceName", "attributes.peer.service")]
    {
        if let Some(value) = one(pairs, name) {
            terms.push(format!("{field}:{}", quoted(value)));
        }
    }
    for (name, operator) in [("minDuration", ">="), ("maxDuration", "<=")] {
        if let Some(duration) = number(pairs, name)? {
            terms.push(format!("duration{operator}{duration}us"));
        }
    }
    for term in one(pairs, "annotationQuery").unwrap_or_default().split(" and ").map(str::trim) {
        match term.split_once('=') {
            None if term.is_empty() => {}
            None if term == "error" => terms.push("status:error".to_owned()),
            None => {
                let key = quoted(&format!("attributes.{term}"));
                terms.push(format!("(event.name:{} OR {key}:*)", quoted(term)));
            }
            Some((key, value)) => {
                terms.push(format!("{}:{}", quoted(&format!("attributes.{}", key.trim())), quoted(value.trim())));
            }
        }
    }
    Ok(terms.join(" "))
}

async fn traces(State(service): Service, Query(pairs): Pairs) -> Result<Response, Fault> {
    let end =
        number(&pairs, "endTs")?.map_or_else(|| now_ns() + 1, |end| end.saturating_add(1).saturating_mul(1_000_000));
    let lookback = number(&pairs, "lookback")?.unwrap_or(LOOKBACK_MS).saturating_mul(1_000_000);
    let limit = number(&pairs, "limit")?.unwrap_or(10).clamp(1, 1_500);
    let request = TracesRequest {
        query: query(&pairs)?,
        range: TimeRange { start: end.saturating_sub(lookback), end },
        limit: limit as usize,
        order: TraceOrder::Newest,
        cursor: None,
    };
    let found = service.traces(&request).await?.rows;
    let ids: Vec<TraceId> = found.iter().filter_map(|summary| TraceId::from_hex(&summary.trace_id)).collect();
    let (traces, coverage) = service.trace_rows(&ids).await?;
    Ok(lists(traces, &coverage))
}

fn read_id(id: &str) -> Result<TraceId, QueryError> {
    TraceId::from_short_hex(id).ok_or_else(|| QueryError::invalid("traceId", "it should be 16 or 32 hex digits"))
}

/// A trace is a list of its spans.
struct List;

impl Form for List {
    fn open(&mut self, _trace_id: &str) -> String {
        "[".to_owned()
    }

    fn span(&mut self, _trace_id: &str, row: &SpanRow) -> Value {
        span(row)
    }

    fn close(&mut self) -> String {
        "]".to_owned()
    }
}

/// A list of traces, written piece by piece.
fn lists(traces: Vec<Whole>, coverage: &Coverage) -> Response {
    covered(pieces::json("[", pieces::traces(traces, List), "]"), coverage)
}

async fn trace(State(service): Service, Path(id): Path<String>) -> Result<Response, Fault> {
    let (traces, coverage) = service.trace_rows(&[read_id(&id)?]).await?;
    if traces.is_empty() {
        return Err(QueryError::new(ErrorCode::NotFound, format!("trace {id} not found")).into());
    }
    Ok(covered(pieces::json("", pieces::traces(traces, List), ""), &coverage))
}

async fn trace_many(State(service): Service, Query(pairs): Pairs) -> Result<Response, Fault> {
    let ids = one(&pairs, "traceIds").ok_or_else(|| QueryError::invalid("traceIds", "the parameter is missing"))?;
    let ids: Vec<TraceId> = ids.split(',').map(|id| read_id(id.trim())).collect::<Result<_, _>>()?;
    let (traces, coverage) = service.trace_rows(&ids).await?;
    Ok(lists(traces, &coverage))
}

async fn dependencies(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let end = number(&pairs, "endTs")?.ok_or_else(|| QueryError::invalid("endTs", "the parameter is missing"))?;
    let calls = calls(&service, Some(end), number(&pairs, "lookback")?).await?;
    let links: Vec<Value> = calls
        .into_iter()
        .map(|(parent, child, calls, errors)| {
            let mut link = json!({ "parent": parent, "child": child, "callCount": calls });
            if errors > 0 {
                link["errorCount"] = errors.into();
            }
            link
        })
        .collect();
    Ok(Json(json!(links)))
}

/// An id of 64 bits without the zeros before it.
fn short(trace_id: &str) -> &str {
    trace_id.strip_prefix("0000000000000000").unwrap_or(trace_id)
}

fn endpoint(service: Option<&str>, side: &str, attributes: &Map<String, Value>) -> Map<String, Value> {
    let mut endpoint = Map::new();
    if let Some(service) = service {
        endpoint.insert("serviceName".to_owned(), service.into());
    }
    if let Some(address) = attributes.get(&format!("network.{side}.address")).and_then(Value::as_str) {
        let kind = if address.contains(':') { "ipv6" } else { "ipv4" };
        endpoint.insert(kind.to_owned(), address.into());
    }
    if let Some(port) = attributes.get(&format!("network.{side}.port")).and_then(Value::as_i64) {
        endpoint.insert("port".to_owned(), port.into());
    }
    endpoint
}

/// Attributes that stand elsewhere in a span of Zipkin.
const ELSEWHERE: [&str; 7] = [
    "peer.service",
    "network.local.address",
    "network.local.port",
    "network.peer.address",
    "network.peer.port",
    "zipkin.shared",
    "zipkin.debug",
];

fn tags(row: &SpanRow) -> Map<String, Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let own = row.attributes.iter().filter(|(key, _)| !ELSEWHERE.contains(&key.as_str()));
    let mut tags: Map<String, Value> = own.map(|(key, value)| (key.clone(), text(value).into())).collect();
    if row.status_code == 2 && !tags.contains_key("error") {
        let message = if row.status_message.is_empty() { "true" } else { row.status_message.as_str() };
        tags.insert("error".to_owned(), message.into());
    }
    if !row.scope_name.is_empty() {
        tags.insert("otel.scope.name".to_owned(), row.scope_name.as_str().into());
    }
    tags
}

/// A span as Zipkin writes it.
fn span(row: &SpanRow) -> Value {
    let mut span = json!({
        "traceId": short(&row.trace_id),
        "id": row.span_id,
        "name": row.name,
        "timestamp": microseconds(&row.time_unix_nano),
        // A span of no duration was not finished; the shortest is one microsecond.
        "duration": (row.duration_ns.max(0) / 1000).max(i64::from(row.duration_ns > 0)),
        "localEndpoint": endpoint(Some(&row.service_name), "local", &row.attributes),
        "tags": tags(row),
    });
    if !row.parent_span_id.is_empty() {
        span["parentId"] = row.parent_span_id.as_str().into();
    }
    if matches!(row.kind, 2..=5) {
        span["kind"] = kind_name(row.kind).to_uppercase().into();
    }
    if row.duration_ns <= 0
        && let Some(members) = span.as_object_mut()
    {
        members.remove("duration");
    }
    let remote = row.attributes.get("peer.service").and_then(Value::as_str);
    let remote = endpoint(remote, "peer", &row.attributes);
    if !remote.is_empty() {
        span["remoteEndpoint"] = remote.into();
    }
    if !row.events.is_empty() {
        let annotations = row.events.iter().map(|event| {
            let time = event["time_unix_nano"].as_str().map_or(0, microseconds);
            json!({ "timestamp": time, "value": event["name"] })
        });
        span["annotations"] = annotations.collect::<Vec<_>>().into();
    }
    for (name, key) in [("shared", "zipkin.shared"), ("debug", "zipkin.debug")] {
        if row.attributes.get(key) == Some(&Value::Bool(true)) {
            span[name] = true.into();
        }
    }
    span
}
