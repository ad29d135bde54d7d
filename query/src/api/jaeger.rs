//! Jaeger's query API: what its own UI and Grafana's data source call, and version 3 of it.
//!
//! Envelope `{"data","total","limit","offset","errors"}`, times in microseconds.

mod three;

use super::covered::covered;
use super::error::status;
use super::parameters::one;
use super::pieces::{self, Form};
use crate::language::quoted;
use crate::traces::Whole;
use crate::{Coverage, MapRequest, NodeKind, QueryError, QueryService, SpanRow, TraceOrder, TracesRequest, now_ns};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hashbrown::HashMap;
use mangru_store::{TimeRange, TraceId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// How far back services and operations are looked for.
const NAMES_LOOKBACK_NS: i64 = 7 * 86_400_000_000_000;

/// Traces of one answer.
const MAX_TRACES: usize = 1_500;

/// Jaeger's routes.
pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operations_of))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(traces))
        .route("/api/traces/{id}", get(trace))
        .route("/api/dependencies", get(dependencies))
        .merge(three::router())
}

fn answer(data: &[Value]) -> Response {
    let total = data.len();
    Json(json!({ "data": data, "total": total, "limit": 0, "offset": 0, "errors": null })).into_response()
}

struct JaegerError(QueryError);

impl From<QueryError> for JaegerError {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for JaegerError {
    fn into_response(self) -> Response {
        let code = self.0.code.http_status();
        let errors = json!([{ "code": code, "msg": self.0.message }]);
        (status(self.0.code), Json(json!({ "data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors })))
            .into_response()
    }
}

pub(super) fn recent() -> TimeRange {
    let now = now_ns();
    TimeRange { start: now - NAMES_LOOKBACK_NS, end: now + 1 }
}

async fn services(State(service): State<Arc<QueryService>>) -> Result<Response, JaegerError> {
    let names: Vec<Value> = service.service_names(recent()).await?.into_iter().map(Value::from).collect();
    Ok(answer(&names))
}

/// The names of a service's operations, each once.
pub(super) async fn operation_names(service: &QueryService, name: &str) -> Result<Vec<String>, QueryError> {
    let (operations, _) = service.operations(name, recent()).await?;
    let mut names: Vec<String> = operations.into_iter().map(|operation| operation.name).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

async fn operations_of(
    State(service): State<Arc<QueryService>>,
    Path(name): Path<String>,
) -> Result<Response, JaegerError> {
    let names: Vec<Value> = operation_names(&service, &name).await?.into_iter().map(Value::from).collect();
    Ok(answer(&names))
}

#[derive(Deserialize)]
struct OperationsParameters {
    service: String,
    #[serde(rename = "spanKind", default)]
    span_kind: String,
}

async fn operations(
    State(service): State<Arc<QueryService>>,
    Query(parameters): Query<OperationsParameters>,
) -> Result<Response, JaegerError> {
    let (operations, _) = service.operations(&parameters.service, recent()).await?;
    let data: Vec<Value> = operations
        .into_iter()
        .map(|operation| (operation.name, kind_name(operation.kind)))
        .filter(|(_, kind)| parameters.span_kind.is_empty() || *kind == parameters.span_kind)
        .map(|(name, kind)| json!({ "name": name, "spanKind": kind }))
        .collect();
    Ok(answer(&data))
}

pub(super) fn kind_name(kind: i32) -> &'static str {
    usize::try_from(kind)
        .ok()
        .filter(|kind| *kind > 0)
        .and_then(|kind| crate::language::KINDS.get(kind))
        .copied()
        .unwrap_or("")
}

/// A question for traces.
#[derive(Default)]
struct TracesParameters {
    service: String,
    operation: String,
    /// Keys and values.
    tags: Map<String, Value>,
    min_duration: Option<String>,
    max_duration: Option<String>,
    limit: Option<usize>,
    /// Microseconds.
    start: Option<i64>,
    end: Option<i64>,
    trace_ids: Vec<String>,
}

/// Tags as an object in JSON.
fn tags_of_json(text: &str) -> Result<Map<String, Value>, QueryError> {
    serde_json::from_str(text)
        .map_err(|error| QueryError::invalid("tags", format!("tags are not a JSON object: {error}")))
}

impl TracesParameters {
    /// Reads the parameters of version 1: `tag=key:value` and `tags={…}` may stand several times, as `traceID` may.
    fn read(pairs: &[(String, String)]) -> Result<Self, QueryError> {
        let text = |name: &str| one(pairs, name).map(str::to_owned);
        let all = |wanted: &'static str| {
            pairs
                .iter()
                .filter(move |(name, value)| name == wanted && !value.is_empty())
                .map(|(_, value)| value.as_str())
        };
        let number = |name: &'static str| {
            let wrong = |text: &str| QueryError::invalid(name, format!("`{text}` is not a whole number"));
            one(pairs, name).map(|text| text.parse::<i64>().map_err(|_| wrong(text))).transpose()
        };
        let mut tags = Map::new();
        for tag in all("tag") {
            let wrong = || QueryError::invalid("tag", format!("`{tag}` is not key:value"));
            let (key, value) = tag.split_once(':').ok_or_else(wrong)?;
            tags.insert(key.to_owned(), value.into());
        }
        for object in all("tags") {
            tags.extend(tags_of_json(object)?);
        }
        let limit = number("limit")?.map(|limit| usize::try_from(limit).unwrap_or_default());
        Ok(Self {
            service: text("service").unwrap_or_default(),
            operation: text("operation").unwrap_or_default(),
            tags,
            min_duration: text("minDuration"),
            max_duration: text("maxDuration"),
            limit,
            start: number("start")?,
            end: number("end")?,
            trace_ids: all("traceID").map(str::to_owned).collect(),
        })
    }

    /// The same question in the search language.
    fn query(&self, whose: &[&str]) -> Result<String, QueryError> {
        let mut terms = Vec::new();
        if !self.service.is_empty() {
            terms.push(format!("service.name:{}", quoted(&self.service)));
        }
        if !self.operation.is_empty() {
            terms.push(format!("name:{}", quoted(&self.operation)));
        }
        for (limit, operator, name) in
            [(&self.min_duration, ">=", "minDuration"), (&self.max_duration, "<=", "maxDuration")]
        {
            if let Some(limit) = limit.as_deref().filter(|limit| !limit.is_empty()) {
                if crate::parse_duration(limit).is_none() {
                    return Err(QueryError::invalid(
                        name,
                        format!("`{limit}` is not a duration such as 1.2s or 100ms"),
                    ));
                }
                terms.push(format!("duration{operator}{limit}"));
            }
        }
        for (key, value) in &self.tags {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            terms.push(match (key.as_str(), value.as_str()) {
                ("error", "true") => "status:error".to_owned(),
                ("error", "false") => "-status:error".to_owned(),
                ("span.kind", kind) => format!("kind:{}", quoted(kind)),
                ("otel.status_code", status) => format!("status:{}", quoted(&status.to_lowercase())),
                ("otel.status_description", text) => format!("status_message:{}", quoted(text)),
                ("otel.scope.name" | "otel.library.name", name) => format!("scope.name:{}", quoted(name)),
                ("otel.scope.version" | "otel.library.version", version) => {
                    format!("scope.version:{}", quoted(version))
                }
                ("event", name) => format!("(event.name:{} OR attributes.event:{})", quoted(name), quoted(name)),
                _ => {
                    let of = |whose: &str| format!("{}:{}", quoted(&format!("{whose}.{key}")), quoted(&value));
                    format!("({})", whose.iter().map(|whose| of(whose)).collect::<Vec<_>>().join(" OR "))
                }
            });
        }
        Ok(terms.join(" "))
    }
}

/// Whose attributes a tag may be: those that are indexed, and all.
const INDEXED: &[&str] = &["attributes", "resource.attributes", "event.attributes"];
const ALL: &[&str] = &["attributes", "resource.attributes", "event.attributes", "scope.attributes", "link.attributes"];

/// The traces that are asked for. Attributes of scopes and links are not indexed, and looked at when the others give too few.
async fn found(service: &QueryService, parameters: &TracesParameters) -> Result<Vec<TraceId>, QueryError> {
    let end = parameters.end.map_or_else(|| now_ns() + 1, |end| end.saturating_mul(1000).saturating_add(999));
    let start = parameters.start.map_or(end - 3_600_000_000_000, |start| start.saturating_mul(1000));
    let limit = parameters.limit.unwrap_or(20).clamp(1, MAX_TRACES);
    let mut ids: Vec<TraceId> = Vec::new();
    for whose in [INDEXED, ALL] {
        let request = TracesRequest {
            query: parameters.query(whose)?,
            range: TimeRange { start, end: end.max(start) },
            limit,
            order: TraceOrder::Newest,
            cursor: None,
        };
        for summary in service.traces(&request).await?.rows {
            ids.extend(TraceId::from_hex(&summary.trace_id).filter(|id| !ids.contains(id)));
        }
        if ids.len() >= limit || parameters.tags.is_empty() {
            break;
        }
    }
    ids.truncate(limit);
    Ok(ids)
}

async fn traces(
    State(service): State<Arc<QueryService>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, JaegerError> {
    let parameters = TracesParameters::read(&pairs)?;
    let ids = if parameters.trace_ids.is_empty() {
        found(&service, &parameters).await?
    } else {
        let ids = parameters.trace_ids.iter().map(|id| trace_id("traceID", id)).collect::<Result<Vec<_>, _>>()?;
        if ids.len() > MAX_TRACES {
            let message = format!("{} traces are asked for, allowed are {MAX_TRACES}", ids.len());
            return Err(QueryError::invalid("traceID", message).into());
        }
        ids
    };
    let (traces, coverage) = service.trace_rows(&ids).await?;
    if traces.is_empty() && !parameters.trace_ids.is_empty() {
        return Err(QueryError::new(crate::ErrorCode::NotFound, "trace not found").into());
    }
    Ok(given(traces, &coverage))
}

/// Traces, written piece by piece.
fn given(traces: Vec<Whole>, coverage: &Coverage) -> Response {
    let behind = format!("],\"total\":{},\"limit\":0,\"offset\":0,\"errors\":null}}", traces.len());
    covered(pieces::json("{\"data\":[", pieces::traces(traces, Processes::default()), behind), coverage)
}

#[derive(Deserialize)]
struct DependenciesParameters {
    /// Milliseconds.
    #[serde(rename = "endTs")]
    end: Option<i64>,
    /// Milliseconds; a day without it.
    lookback: Option<i64>,
}

/// Calls between nodes that are not from outside, by the names of both: parent, child, calls, errors.
pub(super) async fn calls(
    service: &QueryService,
    end_ms: Option<i64>,
    lookback_ms: Option<i64>,
) -> Result<Vec<(String, String, u64, u64)>, QueryError> {
    const DAY_MS: i64 = 86_400_000;
    let end = end_ms.map_or_else(|| now_ns() + 1, |end| end.saturating_add(1).saturating_mul(1_000_000));
    let start = end.saturating_sub(lookback_ms.unwrap_or(DAY_MS).saturating_mul(1_000_000));
    let request = MapRequest {
        query: String::new(),
        range: TimeRange { start: start.min(end), end },
        max_spans: MapRequest::MAX_SPANS,
    };
    let map = service.map(&request).await?;
    let name = |id: &str| {
        let node = map.nodes.iter().find(|node| node.id == *id && node.kind != NodeKind::Outside);
        node.map(|node| node.name.clone())
    };
    let mut all: std::collections::BTreeMap<(String, String), (u64, u64)> = std::collections::BTreeMap::new();
    for edge in &map.edges {
        if let (Some(parent), Some(child)) = (name(&edge.from), name(&edge.to)) {
            let sums = all.entry((parent, child)).or_default();
            sums.0 += edge.figures.calls;
            sums.1 += edge.figures.errors;
        }
    }
    Ok(all.into_iter().map(|((parent, child), (calls, errors))| (parent, child, calls, errors)).collect())
}

async fn dependencies(
    State(service): State<Arc<QueryService>>,
    Query(parameters): Query<DependenciesParameters>,
) -> Result<Response, JaegerError> {
    let calls = calls(&service, parameters.end, parameters.lookback).await?;
    let data: Vec<Value> = calls
        .into_iter()
        .map(|(parent, child, calls, _)| json!({ "parent": parent, "child": child, "callCount": calls }))
        .collect();
    Ok(answer(&data))
}

async fn trace(State(service): State<Arc<QueryService>>, Path(id): Path<String>) -> Result<Response, JaegerError> {
    one_trace(&service, &id).await
}

/// Reads an id; one of 64 bits is filled up with zeros.
fn trace_id(name: &'static str, id: &str) -> Result<TraceId, QueryError> {
    TraceId::from_short_hex(id).ok_or_else(|| QueryError::invalid(name, format!("`{id}` is not a trace id")))
}

async fn one_trace(service: &Arc<QueryService>, id: &str) -> Result<Response, JaegerError> {
    let (traces, coverage) = service.trace_rows(&[trace_id("id", id)?]).await?;
    if traces.is_empty() {
        return Err(QueryError::new(crate::ErrorCode::NotFound, "trace not found").into());
    }
    Ok(given(traces, &coverage))
}

fn tag(key: &str, value: &Value) -> Value {
    let (kind, value) = match value {
        Value::Bool(_) => ("bool", value.clone()),
        Value::Number(number) if number.is_f64() => ("float64", value.clone()),
        Value::Number(_) => ("int64", value.clone()),
        Value::String(_) => ("string", value.clone()),
        other => ("string", Value::from(other.to_string())),
    };
    json!({ "key": key, "type": kind, "value": value })
}

fn tags(attributes: &Map<String, Value>) -> Vec<Value> {
    attributes.iter().map(|(key, value)| tag(key, value)).collect()
}

/// Nanoseconds as text, in microseconds.
pub(super) fn microseconds(nanoseconds: &str) -> i64 {
    nanoseconds.parse::<i64>().unwrap_or_default() / 1000
}

/// The processes of the trace that is being written, by their numbers, and the numbers by what they say.
#[derive(Default)]
struct Processes {
    all: Map<String, Value>,
    names: HashMap<String, String>,
}

impl Form for Processes {
    fn open(&mut self, trace_id: &str) -> String {
        *self = Self::default();
        format!("{{\"traceID\":{},\"spans\":[", Value::from(trace_id))
    }

    fn span(&mut self, trace_id: &str, span: &SpanRow) -> Value {
        let key = format!("{}{}", span.service_name, Value::Object(span.resource_attributes.clone()));
        let next = format!("p{}", self.names.len() + 1);
        let process = self.names.entry(key).or_insert_with(|| {
            let mut attributes = span.resource_attributes.clone();
            attributes.remove("service.name");
            self.all.insert(next.clone(), json!({ "serviceName": span.service_name, "tags": tags(&attributes) }));
            next
        });
        jaeger_span(trace_id, span, process)
    }

    fn close(&mut self) -> String {
        format!("],\"processes\":{},\"warnings\":null}}", Value::Object(std::mem::take(&mut self.all)))
    }
}

fn jaeger_span(trace_id: &str, span: &SpanRow, process: &str) -> Value {
    let mut references = Vec::new();
    if !span.parent_span_id.is_empty() {
        references.push(json!({ "refType": "CHILD_OF", "traceID": trace_id, "spanID": span.parent_span_id }));
    }
    for link in &span.links {
        references.push(json!({ "refType": "FOLLOWS_FROM", "traceID": link["trace_id"], "spanID": link["span_id"] }));
    }
    let mut span_tags = tags(&span.attributes);
    if !kind_name(span.kind).is_empty() {
        span_tags.push(tag("span.kind", &Value::from(kind_name(span.kind))));
    }
    if !span.scope_name.is_empty() {
        span_tags.push(tag("otel.scope.name", &Value::from(span.scope_name.as_str())));
    }
    match span.status_code {
        1 => span_tags.push(tag("otel.status_code", &Value::from("OK"))),
        2 => {
            span_tags.push(tag("otel.status_code", &Value::from("ERROR")));
            span_tags.push(tag("error", &Value::from(true)));
        }
        _ => {}
    }
    if !span.status_message.is_empty() {
        span_tags.push(tag("otel.status_description", &Value::from(span.status_message.as_str())));
    }
    if !span.trace_state.is_empty() {
        span_tags.push(tag("w3c.tracestate", &Value::from(span.trace_state.as_str())));
    }
    let logs: Vec<Value> = span
        .events
        .iter()
        .map(|event| {
            let mut fields = vec![tag("event", &event["name"])];
            if let Some(attributes) = event["attributes"].as_object() {
                fields.extend(tags(attributes));
            }
            let time = event["time_unix_nano"].as_str().map_or(0, microseconds);
            json!({ "timestamp": time, "fields": fields })
        })
        .collect();
    json!({
        "traceID": trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": references,
        "startTime": microseconds(&span.time_unix_nano),
        "duration": span.duration_ns.max(0) / 1000,
        "tags": span_tags,
        "logs": logs,
        "processID": process,
        "flags": span.flags & 1,
        "warnings": null,
    })
}
