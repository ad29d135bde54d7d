//! Version 3 of Jaeger's query API: traces as OTLP (<https://www.jaegertracing.io/docs/latest/apis/#query-json-over-http>).

use super::super::covered::covered;
use super::super::error::status;
use super::super::pieces;
use super::{TracesParameters, found, kind_name, recent, tags_of_json, trace_id};
use crate::{ErrorCode, QueryError, QueryService, otlp_json, parse_time};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::TraceId;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/api/v3/services", get(services))
        .route("/api/v3/operations", get(operations))
        .route("/api/v3/traces", get(traces))
        .route("/api/v3/traces/{id}", get(trace))
}

type Service = State<Arc<QueryService>>;
type Pairs = Query<Vec<(String, String)>>;

/// An error as version 3 answers it.
struct Fault(QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let code = self.0.code.http_status();
        let status = status(self.0.code);
        let message = match self.0.field {
            Some(field) => format!("malformed parameter {field}: {}", self.0.message),
            None => self.0.message,
        };
        (status, Json(json!({ "error": { "httpCode": code, "message": message } }))).into_response()
    }
}

/// A parameter by its name, or by its older one in camel case.
fn one<'a>(pairs: &'a [(String, String)], name: &str, old: &str) -> Option<&'a str> {
    let found = pairs.iter().find(|(known, value)| (known == name || known == old) && !value.is_empty());
    found.map(|(_, value)| value.as_str())
}

async fn services(State(service): Service) -> Result<Json<Value>, Fault> {
    Ok(Json(json!({ "services": service.service_names(recent()).await? })))
}

async fn operations(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let name =
        one(&pairs, "service", "service").ok_or_else(|| QueryError::invalid("service", "the parameter is missing"))?;
    let kind = one(&pairs, "span_kind", "spanKind").unwrap_or_default();
    let (found, _) = service.operations(name, recent()).await?;
    let all: Vec<Value> = found
        .into_iter()
        .map(|operation| (operation.name, kind_name(operation.kind)))
        .filter(|(_, of)| kind.is_empty() || *of == kind)
        .map(|(name, kind)| json!({ "name": name, "spanKind": kind }))
        .collect();
    Ok(Json(json!({ "operations": all })))
}

/// Traces in one message, each with its own resources.
async fn message(service: &QueryService, ids: &[TraceId]) -> Result<Response, QueryError> {
    let (traces, coverage) = service.trace_batches(ids).await?;
    if traces.is_empty() {
        return Err(QueryError::new(ErrorCode::NotFound, "No traces found"));
    }
    let spans = otlp_json::resource_spans(traces);
    Ok(covered(pieces::json("{\"result\":{\"resourceSpans\":[", spans, "]}}"), &coverage))
}

async fn traces(State(service): Service, Query(pairs): Pairs) -> Result<Response, Fault> {
    let text = |name: &str, old: &str| one(&pairs, name, old).map(str::to_owned);
    let moment = |name: &'static str, old: &str| {
        let Some(text) = one(&pairs, name, old) else { return Ok(None) };
        let time = parse_time(text, crate::now_ns());
        time.map(|time| Some(time.div_euclid(1000)))
            .ok_or_else(|| QueryError::invalid(name, format!("`{text}` is not a time by RFC 3339")))
    };
    let limit = one(&pairs, "query.search_depth", "query.num_traces").map(|text| {
        text.parse().map_err(|_| QueryError::invalid("query.search_depth", format!("`{text}` is not a number")))
    });
    let parameters = TracesParameters {
        service: text("query.service_name", "query.serviceName").unwrap_or_default(),
        operation: text("query.operation_name", "query.operationName").unwrap_or_default(),
        tags: one(&pairs, "query.attributes", "query.tags").map(tags_of_json).transpose()?.unwrap_or_default(),
        min_duration: text("query.duration_min", "query.durationMin"),
        max_duration: text("query.duration_max", "query.durationMax"),
        limit: limit.transpose()?,
        start: moment("query.start_time_min", "query.startTimeMin")?,
        end: moment("query.start_time_max", "query.startTimeMax")?,
        trace_ids: Vec::new(),
    };
    let ids = found(&service, &parameters).await?;
    Ok(message(&service, &ids).await?)
}

async fn trace(State(service): Service, Path(id): Path<String>) -> Result<Response, Fault> {
    let trace_id = trace_id("trace_id", &id)?;
    Ok(message(&service, &[trace_id]).await?)
}
