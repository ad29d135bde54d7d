//! What logs and spans say together: patterns, figures, and what stands around a row.

use super::error::{ApiError, Parameters};
use super::rows::{signal, step};
use crate::{
    Context, ContextRequest, Exceptions, ExceptionsRequest, Explanation, Heat, HeatRequest, Patterns, PatternsRequest,
    QueryError, QueryService, SameSource, Stats, StatsRequest, now_ns, parse_range, parse_time,
};
use axum::Json;
use axum::extract::State;
use mangru_store::Signal;
use serde::Deserialize;
use std::sync::Arc;

type Service = State<Arc<QueryService>>;

/// Parameters of a search for patterns.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct PatternsParameters {
    /// A search over logs; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// How many patterns, those of the most rows; 50 by default.
    limit: Option<usize>,
    /// Buckets of the trend; 30 by default.
    buckets: Option<usize>,
    /// Patterns without a row of the range before this time are marked as new, and come first. Written like `start`.
    new_since: Option<String>,
}

/// The templates that logs are written by, with how often, since when, and their trend.
#[utoipa::path(get, path = "/api/v1/logs/patterns", params(PatternsParameters), responses((status = 200, body = Patterns)))]
pub(super) async fn patterns(
    State(service): Service,
    Parameters(parameters): Parameters<PatternsParameters>,
) -> Result<Json<Patterns>, ApiError> {
    let new_since = parameters
        .new_since
        .as_deref()
        .filter(|since| !since.is_empty())
        .map(|since| {
            parse_time(since, now_ns())
                .ok_or_else(|| QueryError::invalid("new_since", format!("`{since}` is not a time such as -15m")))
        })
        .transpose()?;
    let request = PatternsRequest {
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        limit: parameters.limit.unwrap_or(50),
        buckets: parameters.buckets.unwrap_or(30),
        new_since,
    };
    Ok(Json(service.patterns(&request).await?))
}

/// Parameters of figures.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct StatsParameters {
    /// The search; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// The field that holds the number; `duration` of spans and `body` of logs by default.
    field: Option<String>,
    /// An expression whose first group is the number in the field's text, such as `took (\d+)ms`.
    extract: Option<String>,
    /// The field to tell rows apart by.
    by: Option<String>,
    /// The width of a bucket, such as `30s`; one bucket without it.
    step: Option<String>,
    /// How many groups; 10 by default.
    limit: Option<usize>,
}

impl StatsParameters {
    fn request(self, default_field: &str) -> Result<StatsRequest, QueryError> {
        Ok(StatsRequest {
            range: parse_range(self.start.as_deref(), self.end.as_deref())?,
            step: step(self.step.as_deref())?,
            query: self.query,
            field: self.field.filter(|field| !field.is_empty()).unwrap_or_else(|| default_field.to_owned()),
            extract: self.extract,
            by: self.by,
            top: self.limit.unwrap_or(10),
        })
    }
}

/// Rows, errors and percentiles of a number that logs carry, over time and by a field.
#[utoipa::path(get, path = "/api/v1/logs/stats", params(StatsParameters), responses((status = 200, body = Stats)))]
pub(super) async fn log_stats(
    State(service): Service,
    Parameters(parameters): Parameters<StatsParameters>,
) -> Result<Json<Stats>, ApiError> {
    Ok(Json(service.stats(Signal::Logs, &parameters.request("body")?).await?))
}

/// Rate, errors and percentiles of the duration, or of another number, of the spans that a search finds.
#[utoipa::path(get, path = "/api/v1/spans/stats", params(StatsParameters), responses((status = 200, body = Stats)))]
pub(super) async fn span_stats(
    State(service): Service,
    Parameters(parameters): Parameters<StatsParameters>,
) -> Result<Json<Stats>, ApiError> {
    Ok(Json(service.stats(Signal::Spans, &parameters.request("duration")?).await?))
}

/// Parameters of a context.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ContextParameters {
    /// The row's place, which searches give as `row`.
    row: String,
    /// Rows before it; 10 by default.
    before: Option<usize>,
    /// Rows after it; 10 by default.
    after: Option<usize>,
    /// Which rows: `instance` (default; the same service, pod, container and host), `service`, `trace` or `all`.
    same: Option<String>,
}

/// The rows before and after one of the same source.
#[utoipa::path(get, path = "/api/v1/logs/context", params(ContextParameters), responses((status = 200, body = Context), (status = 404)))]
pub(super) async fn context(
    State(service): Service,
    Parameters(parameters): Parameters<ContextParameters>,
) -> Result<Json<Context>, ApiError> {
    let same = match parameters.same.as_deref().unwrap_or_default() {
        "" | "instance" => SameSource::Instance,
        "service" => SameSource::Service,
        "trace" => SameSource::Trace,
        "all" => SameSource::All,
        other => {
            let message = format!("`{other}` is not instance, service, trace or all");
            return Err(QueryError::invalid("same", message).into());
        }
    };
    let request = ContextRequest {
        row: parameters.row,
        before: parameters.before.unwrap_or(10),
        after: parameters.after.unwrap_or(10),
        same,
    };
    Ok(Json(service.context(&request).await?))
}

/// A search to explain.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainParameters {
    /// The search; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// `logs` (default), `spans` or `metric_points`.
    signal: Option<String>,
}

/// What a search would read, part by part, and what spares it the rest.
#[utoipa::path(get, path = "/api/v1/explain", params(ExplainParameters), responses((status = 200, body = Explanation)))]
pub(super) async fn explain(
    State(service): Service,
    Parameters(parameters): Parameters<ExplainParameters>,
) -> Result<Json<Explanation>, ApiError> {
    let range = parse_range(parameters.start.as_deref(), parameters.end.as_deref())?;
    Ok(Json(service.explain(signal(parameters.signal.as_deref())?, &parameters.query, range).await?))
}

/// Parameters of durations over time.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct HeatParameters {
    /// A search over spans; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// Columns that the range is cut into; 60 by default.
    columns: Option<usize>,
    /// Spans are named one by one when there are no more than so many; 0 by default, 5,000 at most.
    points: usize,
}

/// How many spans started when and took how long, with an example for each cell.
#[utoipa::path(get, path = "/api/v1/spans/heat", params(HeatParameters), responses((status = 200, body = Heat)))]
pub(super) async fn heat(
    State(service): Service,
    Parameters(parameters): Parameters<HeatParameters>,
) -> Result<Json<Heat>, ApiError> {
    let request = HeatRequest {
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        columns: parameters.columns.unwrap_or(60),
        max_points: parameters.points,
    };
    Ok(Json(service.heat(&request).await?))
}

/// Parameters of a search for exceptions.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ExceptionsParameters {
    /// A search that is understood over spans and logs alike, such as `service:checkout`; empty matches all.
    query: String,
    /// Unix nanoseconds, RFC 3339, or relative such as `-15m`; one hour before the end by default.
    start: Option<String>,
    /// Like `start`; now by default.
    end: Option<String>,
    /// How many groups, those thrown most often; 50 by default.
    limit: Option<usize>,
    /// Buckets of the trend; 30 by default.
    buckets: Option<usize>,
}

/// Exceptions of spans and logs in groups of one type and place.
#[utoipa::path(get, path = "/api/v1/exceptions", params(ExceptionsParameters), responses((status = 200, body = Exceptions)))]
pub(super) async fn exceptions(
    State(service): Service,
    Parameters(parameters): Parameters<ExceptionsParameters>,
) -> Result<Json<Exceptions>, ApiError> {
    let request = ExceptionsRequest {
        range: parse_range(parameters.start.as_deref(), parameters.end.as_deref())?,
        query: parameters.query,
        limit: parameters.limit.unwrap_or(50),
        buckets: parameters.buckets.unwrap_or(30),
    };
    Ok(Json(service.exceptions(&request).await?))
}
