//! Searches, counts, traces, services, fields, stories, SQL.

use super::covered::covered;
use super::error::{ApiError, Parameters};
use super::pieces;
use crate::{
    CountRequest, Counts, Coverage, ErrorCode, Field, FieldValue, FieldValuesRequest, LogRow, Operation, Outline,
    OutlineRequest, Page, QueryError, QueryService, RowsRequest, ServiceSummary, SpanRow, Story, TraceOrder,
    TraceSummary, TracesRequest, parse_duration, parse_range,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use mangru_store::{Signal, TimeRange, TraceId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

type Service = State<Arc<QueryService>>;

/// Rows when no `limit` is given.
const DEFAULT_LIMIT: usize = 100;

/// Parameters of a search.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParameters {
    /// The search; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// 1 to 10,000; 100 by default.
    limit: Option<usize>,
    /// Where the page before ended.
    cursor: Option<String>,
}

impl SearchParameters {
    fn request(self) -> Result<RowsRequest, QueryError> {
        Ok(RowsRequest {
            range: parse_range(self.start.as_deref(), self.end.as_deref())?,
            query: self.query,
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
            cursor: self.cursor.filter(|cursor| !cursor.is_empty()),
        })
    }
}

/// Searches logs, newest first.
#[utoipa::path(get, path = "/api/v1/logs", params(SearchParameters), responses((status = 200, body = Page<LogRow>)))]
pub(super) async fn logs(
    State(service): Service,
    Parameters(parameters): Parameters<SearchParameters>,
) -> Result<Json<Page<LogRow>>, ApiError> {
    Ok(Json(service.logs(&parameters.request()?).await?))
}

/// Searches spans, newest start first.
#[utoipa::path(get, path = "/api/v1/spans", params(SearchParameters), responses((status = 200, body = Page<SpanRow>)))]
pub(super) async fn spans(
    State(service): Service,
    Parameters(parameters): Parameters<SearchParameters>,
) -> Result<Json<Page<SpanRow>>, ApiError> {
    Ok(Json(service.spans(&parameters.request()?).await?))
}

/// Parameters of a count.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct CountParameters {
    /// The search; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// The field to count by.
    by: Option<String>,
    /// The width of a bucket, such as `30s`; one bucket without it.
    step: Option<String>,
    /// How many groups; 10 by default.
    limit: Option<usize>,
}

impl CountParameters {
    fn request(self) -> Result<CountRequest, QueryError> {
        Ok(CountRequest {
            range: parse_range(self.start.as_deref(), self.end.as_deref())?,
            query: self.query,
            by: self.by.filter(|by| !by.is_empty()),
            step: step(self.step.as_deref())?,
            top: self.limit.unwrap_or(10),
        })
    }
}

/// Reads the width of a bucket.
pub(super) fn step(text: Option<&str>) -> Result<Option<Duration>, QueryError> {
    text.filter(|step| !step.is_empty())
        .map(|step| {
            parse_duration(step)
                .and_then(|step| u64::try_from(step).ok())
                .filter(|step| *step > 0)
                .map(Duration::from_nanos)
                .ok_or_else(|| QueryError::invalid("step", format!("`{step}` is not a duration such as 30s")))
        })
        .transpose()
}

/// Counts logs over time and by a field.
#[utoipa::path(get, path = "/api/v1/logs/count", params(CountParameters), responses((status = 200, body = Counts)))]
pub(super) async fn count_logs(
    State(service): Service,
    Parameters(parameters): Parameters<CountParameters>,
) -> Result<Json<Counts>, ApiError> {
    Ok(Json(service.counts(Signal::Logs, &parameters.request()?).await?))
}

/// Counts spans over time and by a field.
#[utoipa::path(get, path = "/api/v1/spans/count", params(CountParameters), responses((status = 200, body = Counts)))]
pub(super) async fn count_spans(
    State(service): Service,
    Parameters(parameters): Parameters<CountParameters>,
) -> Result<Json<Counts>, ApiError> {
    Ok(Json(service.counts(Signal::Spans, &parameters.request()?).await?))
}

/// Parameters of a search for traces.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct TracesParameters {
    /// A search over spans; a trace is found when any of its spans matches. Searches in braces are put together by how spans
    /// stand to each other: `{service:web} >> {status:error}` (descendant), `>` (child), `<<` (ancestor), `<` (parent),
    /// `~` (sibling), `&` (same trace).
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// 20 by default.
    limit: Option<usize>,
    /// `newest` (default), `slowest` or `errors`.
    order: Option<String>,
    /// The `cursor` of the page before, for the next one.
    cursor: Option<String>,
}

/// Searches traces.
#[utoipa::path(get, path = "/api/v1/traces", params(TracesParameters), responses((status = 200, body = Page<TraceSummary>)))]
pub(super) async fn traces(
    State(service): Service,
    Parameters(parameters): Parameters<TracesParameters>,
) -> Result<Json<Page<TraceSummary>>, ApiError> {
    let order = match parameters.order.as_deref().unwrap_or_default() {
        "" | "newest" => TraceOrder::Newest,
        "slowest" => TraceOrder::Slowest,
        "errors" => TraceOrder::MostErrors,
        other => {
            let message = format!("`{other}` is not newest, slowest or errors");
            return Err(QueryError::invalid("order", message).into());
        }
    };
    let request = TracesRequest {
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        limit: parameters.limit.unwrap_or(20),
        order,
        cursor: parameters.cursor.filter(|cursor| !cursor.is_empty()),
    };
    Ok(Json(service.traces(&request).await?))
}

fn trace_id(text: &str) -> Result<TraceId, QueryError> {
    TraceId::from_short_hex(text)
        .ok_or_else(|| QueryError::invalid("id", format!("`{text}` is not a trace id of 32 hex digits")))
}

/// Gives a whole trace as OTLP JSON: of more than 1,000,000 spans, or more than a query's memory holds, the earliest. The headers
/// `x-mangru-complete` and `x-mangru-limit-hit` say so.
#[utoipa::path(get, path = "/api/v1/traces/{id}", params(("id" = String, Path, description = "32 hex digits")), responses((status = 200, description = "OTLP JSON: `resourceSpans`"), (status = 404), (status = 500, description = "No span was found, and parts could not be read")))]
pub(super) async fn trace(State(service): Service, Path(id): Path<String>) -> Result<Response, ApiError> {
    let (traces, coverage) = service.trace_batches(&[trace_id(&id)?]).await?;
    if traces.is_empty() {
        return Err(QueryError::new(ErrorCode::NotFound, format!("there is no span of trace {id}")).into());
    }
    let spans = crate::otlp_json::resource_spans(traces);
    Ok(covered(pieces::json("{\"resourceSpans\":[", spans, "]}"), &coverage))
}

/// Parameters of an outline.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct OutlineParameters {
    /// Rows before the first one that is given; 0 by default.
    offset: usize,
    /// Rows at most; 1,000 by default.
    limit: Option<usize>,
}

/// A window of a trace as a tree, each span behind its parent, with the critical path.
#[utoipa::path(get, path = "/api/v1/traces/{id}/outline", params(("id" = String, Path, description = "32 hex digits"), OutlineParameters), responses((status = 200, body = Outline), (status = 404), (status = 500, description = "No span was found, and parts could not be read")))]
pub(super) async fn outline(
    State(service): Service,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<OutlineParameters>,
) -> Result<Json<Outline>, ApiError> {
    let limit = parameters.limit.unwrap_or(1000);
    let request = OutlineRequest { id: trace_id(&id)?, offset: parameters.offset, limit };
    let outline = service.outline(request).await?;
    outline
        .map(Json)
        .ok_or_else(|| QueryError::new(ErrorCode::NotFound, format!("there is no span of trace {id}")).into())
}

/// A range of time.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct RangeParameters {
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// The service, where one is asked for.
    service: String,
    /// Buckets of the series; 30 by default.
    buckets: Option<usize>,
    /// `logs` (default), `spans` or `metric_points`.
    signal: Option<String>,
}

impl RangeParameters {
    fn range(&self) -> Result<TimeRange, QueryError> {
        parse_range(self.start.as_deref(), self.end.as_deref())
    }

    fn signal(&self) -> Result<Signal, QueryError> {
        signal(self.signal.as_deref())
    }
}

pub(super) fn signal(name: Option<&str>) -> Result<Signal, QueryError> {
    let name = name.filter(|name| !name.is_empty()).unwrap_or("logs");
    Signal::ALL
        .into_iter()
        .find(|signal| signal.table() == name)
        .ok_or_else(|| QueryError::invalid("signal", format!("`{name}` is not logs, spans or metric_points")))
}

/// Services with what was looked at.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Services {
    services: Vec<ServiceSummary>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// Services with rate, errors and durations.
#[utoipa::path(get, path = "/api/v1/services", params(RangeParameters), responses((status = 200, body = Services)))]
pub(super) async fn services(
    State(service): Service,
    Parameters(parameters): Parameters<RangeParameters>,
) -> Result<Json<Services>, ApiError> {
    let (services, coverage) = service.services(parameters.range()?, parameters.buckets.unwrap_or(30)).await?;
    Ok(Json(Services { services, coverage }))
}

/// Operations with what was looked at.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Operations {
    operations: Vec<Operation>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// Operations of a service.
#[utoipa::path(get, path = "/api/v1/operations", params(RangeParameters), responses((status = 200, body = Operations)))]
pub(super) async fn operations(
    State(service): Service,
    Parameters(parameters): Parameters<RangeParameters>,
) -> Result<Json<Operations>, ApiError> {
    if parameters.service.is_empty() {
        return Err(QueryError::invalid("service", "service is missing").into());
    }
    let (operations, coverage) = service.operations(&parameters.service, parameters.range()?).await?;
    Ok(Json(Operations { operations, coverage }))
}

/// The limit of a story.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct StoryParameters {
    /// Entries of each signal; 500 by default.
    limit: Option<usize>,
}

/// Everything that carries an id, whenever it was.
#[utoipa::path(get, path = "/api/v1/story/{id}", params(("id" = String, Path), StoryParameters), responses((status = 200, body = Story)))]
pub(super) async fn story(
    State(service): Service,
    Path(id): Path<String>,
    Parameters(parameters): Parameters<StoryParameters>,
) -> Result<Json<Story>, ApiError> {
    Ok(Json(service.story(&id, parameters.limit.unwrap_or(500)).await?))
}

/// Fields.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Fields {
    fields: Vec<Field>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// The fields that rows of the range have.
#[utoipa::path(get, path = "/api/v1/fields", params(RangeParameters), responses((status = 200, body = Fields)))]
pub(super) async fn fields(
    State(service): Service,
    Parameters(parameters): Parameters<RangeParameters>,
) -> Result<Json<Fields>, ApiError> {
    let (fields, coverage) = service.fields(parameters.signal()?, parameters.range()?).await?;
    Ok(Json(Fields { fields, coverage }))
}

/// Parameters of a question for values.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ValuesParameters {
    /// Only rows that match; empty matches all.
    query: String,
    /// Only values that start so.
    prefix: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// 20 by default.
    limit: Option<usize>,
    /// `logs` (default), `spans` or `metric_points`.
    signal: Option<String>,
}

/// Values of a field.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Values {
    values: Vec<FieldValue>,
    #[serde(flatten)]
    coverage: Coverage,
}

/// The values of a field with the most rows.
#[utoipa::path(get, path = "/api/v1/fields/{name}/values", params(("name" = String, Path), ValuesParameters), responses((status = 200, body = Values)))]
pub(super) async fn field_values(
    State(service): Service,
    Path(name): Path<String>,
    Parameters(parameters): Parameters<ValuesParameters>,
) -> Result<Json<Values>, ApiError> {
    let request = FieldValuesRequest {
        signal: signal(parameters.signal.as_deref())?,
        name,
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        prefix: parameters.prefix,
        limit: parameters.limit.unwrap_or(20),
    };
    let (values, coverage) = service.field_values(&request).await?;
    Ok(Json(Values { values, coverage }))
}
