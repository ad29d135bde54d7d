//! Tempo's API below `/tempo`, as Grafana's data source calls it (<https://grafana.com/docs/tempo/latest/api_docs/>).
//!
//! Times are seconds, or nanoseconds when they are long. Whole traces are given as protobuf to those who accept it.

mod search;

use super::covered::covered;
use super::error::status_of;
use super::parameters::one;
use super::pieces;
use crate::language::{Expr, FieldRef, Matcher};
use crate::request::usual_step;
use crate::traceql::{self, MetricsRequest, Sampled};
use crate::traces::Whole;
use crate::{
    Coverage, ErrorCode, FieldValuesRequest, QueryError, QueryService, otlp_json, otlp_protobuf, parse_duration,
    parse_range,
};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::{Signal, TimeRange, TraceId};
use serde_json::{Value, json};
use std::sync::Arc;

type Service = State<Arc<QueryService>>;
type Pairs = Query<Vec<(String, String)>>;

pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/tempo/api/echo", get(|| async { "echo" }))
        .route("/tempo/ready", get(|| async { "ready" }))
        .route("/tempo/api/status/buildinfo", get(build_info))
        .route("/tempo/api/traces/{id}", get(trace))
        .route("/tempo/api/v2/traces/{id}", get(trace_two))
        .route("/tempo/api/search", get(search::search))
        .route("/tempo/api/search/tags", get(tags))
        .route("/tempo/api/v2/search/tags", get(tags_two))
        .route("/tempo/api/search/tag/{name}/values", get(tag_values))
        .route("/tempo/api/v2/search/tag/{name}/values", get(tag_values_two))
        .route("/tempo/api/metrics/query_range", get(metrics_range))
        .route("/tempo/api/metrics/query", get(metrics))
}

/// An error as Tempo answers it: its text.
struct Fault(QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = status_of(&error);
        let place = error.field.map(|field| format!("invalid {field}: ")).unwrap_or_default();
        (status, format!("{place}{}", error.message)).into_response()
    }
}

fn range(pairs: &[(String, String)]) -> Result<TimeRange, QueryError> {
    parse_range(one(pairs, "start"), one(pairs, "end"))
}

fn number(pairs: &[(String, String)], name: &'static str, usual: usize) -> Result<usize, QueryError> {
    one(pairs, name).map_or(Ok(usual), |text| {
        let parsed = text.parse().ok().filter(|number| *number > 0);
        parsed.ok_or_else(|| QueryError::invalid(name, format!("`{text}` is not a positive number")))
    })
}

async fn build_info() -> Json<Value> {
    Json(json!({
        "version": "2.7.0", "revision": env!("CARGO_PKG_VERSION"), "branch": "mangru", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }))
}

/// A trace, and what of it was looked at.
async fn found(service: &QueryService, id: &str) -> Result<(Vec<Whole>, Coverage), QueryError> {
    let trace_id = TraceId::from_short_hex(id);
    let trace_id =
        trace_id.ok_or_else(|| QueryError::invalid("traceID", format!("`{id}` is not a trace id in hex")))?;
    let (traces, coverage) = service.trace_batches(&[trace_id]).await?;
    if traces.is_empty() {
        return Err(QueryError::new(ErrorCode::NotFound, "trace not found"));
    }
    Ok((traces, coverage))
}

fn accepts_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/protobuf") || accept.contains("application/x-protobuf")
}

const PROTOBUF: &str = "application/protobuf";

async fn trace(State(service): Service, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let (traces, coverage) = found(&service, &id).await?;
    let response = if accepts_protobuf(&headers) {
        // Messages behind each other are one with the spans of all.
        pieces::written(otlp_json::messages(traces).map(|spans| otlp_protobuf::traces(&spans).0), PROTOBUF)
    } else {
        pieces::json("{\"batches\":[", otlp_json::resource_spans(traces), "]}")
    };
    Ok(covered(response, &coverage))
}

async fn trace_two(State(service): Service, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Fault> {
    let (traces, coverage) = found(&service, &id).await?;
    let why = coverage.limit_hit.as_deref().unwrap_or_default();
    let response = if accepts_protobuf(&headers) {
        // `TraceByIDResponse` has the trace in its first field, the status (1 is partial) in the third, its reason in the fourth.
        // A field that stands several times is one message of all its parts.
        let part = |spans: Value| {
            let mut message = otlp_protobuf::Message::default();
            message.bytes(1, &otlp_protobuf::traces(&spans).0);
            message.0
        };
        let mut last = otlp_protobuf::Message::default();
        if !coverage.complete {
            last.number(3, 1);
            last.bytes(4, why.as_bytes());
        }
        pieces::written(otlp_json::messages(traces).map(part).chain(std::iter::once(last.0)), PROTOBUF)
    } else {
        let status = if coverage.complete { "COMPLETE" } else { "PARTIAL" };
        let behind = format!("]}},\"metrics\":{{}},\"status\":\"{status}\",\"message\":{}}}", Value::from(why));
        pieces::json("{\"trace\":{\"resourceSpans\":[", otlp_json::resource_spans(traces), behind)
    };
    Ok(covered(response, &coverage))
}

/// Fields that every span has.
const INTRINSICS: [&str; 10] = [
    "duration",
    "kind",
    "name",
    "status",
    "statusMessage",
    "event:name",
    "nestedSetParent",
    "rootName",
    "rootServiceName",
    "traceDuration",
];

/// The attributes of spans and of resources.
async fn keys(service: &QueryService, pairs: &[(String, String)]) -> Result<(Vec<String>, Vec<String>), QueryError> {
    let (fields, _) = service.fields(Signal::Spans, range(pairs)?).await?;
    let (mut own, mut resources) = (Vec::new(), Vec::new());
    for field in fields {
        match field.kind.as_str() {
            "attribute" => own.push(field.name),
            "resource" => {
                resources.push(field.name.strip_prefix("resource.").unwrap_or(&field.name).to_owned());
            }
            _ => {}
        }
    }
    own.sort_unstable();
    resources.sort_unstable();
    Ok((own, resources))
}

async fn tags(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let (mut names, resources) = keys(&service, &pairs).await?;
    names.extend(resources);
    names.sort_unstable();
    names.dedup();
    Ok(Json(json!({ "tagNames": names })))
}

async fn tags_two(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let (own, resources) = keys(&service, &pairs).await?;
    let scope = one(&pairs, "scope").unwrap_or_default();
    let all = [("span", json!(own)), ("resource", json!(resources)), ("intrinsic", json!(INTRINSICS))];
    let scopes: Vec<Value> = all
        .into_iter()
        .filter(|(name, _)| matches!(scope, "" | "none") || *name == scope)
        .map(|(name, tags)| json!({ "name": name, "tags": tags }))
        .collect();
    Ok(Json(json!({ "scopes": scopes })))
}

/// The values of a field among the spans of a query, those with the most spans.
async fn values(service: &QueryService, name: &str, pairs: &[(String, String)]) -> Result<Vec<String>, QueryError> {
    let own = name.trim_start_matches("span:");
    match own {
        "status" => return Ok(["error", "ok", "unset"].map(str::to_owned).to_vec()),
        "kind" => return Ok(crate::language::KINDS.iter().map(|kind| (*kind).to_owned()).collect()),
        "duration" | "nestedSetParent" | "traceDuration" | "trace:duration" => return Ok(Vec::new()),
        _ => {}
    }
    let attribute = |prefix: &str| own.strip_prefix(prefix).map(|key| key.trim_matches('"').to_owned());
    let is_of_root = matches!(own, "rootName" | "trace:rootName" | "rootServiceName" | "trace:rootService");
    let field = match (attribute("."), attribute("span."), attribute("resource.")) {
        _ if is_of_root => {
            if own.ends_with("Name") && !own.ends_with("ServiceName") { "name" } else { "service.name" }.to_owned()
        }
        (Some(key), _, _) => key,
        (_, Some(key), _) => format!("attributes.{key}"),
        (_, _, Some(key)) if key == "service.name" => key,
        (_, _, Some(key)) => format!("resource.{key}"),
        _ if own == "statusMessage" => "status_message".to_owned(),
        _ if own == "event:name" => "event.name".to_owned(),
        _ => own.to_owned(),
    };
    let limit = number(pairs, "limit", 1_000)?.min(service.settings().max_limit);
    let request = FieldValuesRequest {
        signal: Signal::Spans,
        name: field,
        query: String::new(),
        prefix: String::new(),
        range: range(pairs)?,
        limit,
    };
    let filter = match one(pairs, "q") {
        None => Expr::All,
        // Spans that stand in a relation to others are asked for by the last set alone: more values, none too few.
        Some(text) => traceql::parse(text)?.structure.last().clone(),
    };
    let filter = if is_of_root {
        filter.and(Expr::Not(Box::new(Expr::Field(FieldRef::Id("parent_span_id"), Matcher::Exists))))
    } else {
        filter
    };
    let (values, _) = service.field_values_of(filter, &request).await?;
    let mut values: Vec<String> = values.into_iter().map(|value| value.value).collect();
    values.sort_unstable();
    Ok(values)
}

async fn tag_values(
    State(service): Service,
    Path(name): Path<String>,
    Query(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    Ok(Json(json!({ "tagValues": values(&service, &name, &pairs).await? })))
}

async fn tag_values_two(
    State(service): Service,
    Path(name): Path<String>,
    Query(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let is_keyword = matches!(name.trim_start_matches("span:"), "status" | "kind");
    let found = values(&service, &name, &pairs).await?;
    let kind = |value: &str| match value {
        _ if is_keyword => "keyword",
        "true" | "false" => "bool",
        value if value.parse::<i64>().is_ok() => "int",
        value if value.parse::<f64>().is_ok() => "float",
        _ => "string",
    };
    let all: Vec<Value> = found.iter().map(|value| json!({ "type": kind(value), "value": value })).collect();
    Ok(Json(json!({ "tagValues": all })))
}

fn labels(series: &Sampled) -> (Vec<Value>, String) {
    let mut list = Vec::new();
    let mut texts = Vec::new();
    for (name, value) in &series.labels {
        let value = value.as_deref().unwrap_or("nil");
        let any = match value.parse::<f64>() {
            Ok(number) if matches!(name.as_str(), "p" | "__bucket") => json!({ "doubleValue": number }),
            _ => json!({ "stringValue": value }),
        };
        list.push(json!({ "key": name, "value": any }));
        texts.push(format!("{}={value:?}", name.replace(['.', '"', ':'], "_").trim_start_matches('_')));
    }
    (list, format!("{{{}}}", texts.join(", ")))
}

async fn metrics_range(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let range = range(&pairs)?;
    let query = traceql::parse(one(&pairs, "q").or_else(|| one(&pairs, "query")).unwrap_or_default())?;
    let step = match one(&pairs, "step") {
        None => usual_step(range),
        Some(text) => parse_duration(text)
            .filter(|step| *step > 0)
            .ok_or_else(|| QueryError::invalid("step", format!("`{text}` is not a duration")))?,
    };
    let series = service.traceql_metrics(&MetricsRequest { query, range, step: Some(step) }).await?;
    let all: Vec<Value> = series
        .iter()
        .map(|series| {
            let (labels, text) = labels(series);
            let samples = series.samples.iter();
            let samples: Vec<Value> =
                samples.map(|(time, value)| json!({ "timestampMs": time.to_string(), "value": value })).collect();
            json!({ "labels": labels, "samples": samples, "promLabels": text, "exemplars": [] })
        })
        .collect();
    Ok(Json(json!({ "series": all, "metrics": { "completedJobs": 1, "totalJobs": 1 } })))
}

async fn metrics(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let range = range(&pairs)?;
    let query = traceql::parse(one(&pairs, "q").or_else(|| one(&pairs, "query")).unwrap_or_default())?;
    let series = service.traceql_metrics(&MetricsRequest { query, range, step: None }).await?;
    let all: Vec<Value> = series
        .iter()
        .filter_map(|series| {
            let (labels, text) = labels(series);
            let (_, value) = series.samples.first()?;
            Some(json!({ "labels": labels, "value": value, "promLabels": text }))
        })
        .collect();
    Ok(Json(json!({ "series": all, "metrics": { "completedJobs": 1, "totalJobs": 1 } })))
}
