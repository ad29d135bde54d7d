//! The HTTP API of Prometheus, as its clients and Grafana call it
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

use super::parameters::{self, missing, one, required};
use crate::promql::{number_text, parse, parse_selector};
use crate::{ErrorCode, PromQlRequest, PromQlSeries, PromQlValue, QueryError, QueryService, now_ns};
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::TimeRange;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

type Service = State<Arc<QueryService>>;
/// Parameters of the address, or of a form in the body.
type Pairs = Form<Vec<(String, String)>>;

/// How far back metrics are looked for when nothing is said, in milliseconds.
const RECENT: i64 = 3_600_000;

pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/api/v1/query", get(query).post(query))
        .route("/api/v1/query_range", get(query_range).post(query_range))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/labels", get(labels).post(labels))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/metadata", get(metadata))
        .route("/api/v1/format_query", get(format_query).post(format_query))
        .route("/api/v1/status/buildinfo", get(build_info))
}

/// An error as Prometheus answers it.
struct Fault(QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let is_of_evaluation = error.field == Some("query") && !error.message.starts_with("parse error");
        let (status, kind) = match error.code {
            ErrorCode::InvalidArgument if is_of_evaluation => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            ErrorCode::InvalidArgument => (StatusCode::BAD_REQUEST, "bad_data"),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            ErrorCode::DeadlineExceeded => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            ErrorCode::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "canceled"),
            ErrorCode::ResourceExhausted | ErrorCode::Unsupported => (StatusCode::UNPROCESSABLE_ENTITY, "execution"),
            ErrorCode::Internal => {
                tracing::error!(%error, "request failed");
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let field = error.field.map(|field| format!("invalid parameter \"{field}\": ")).filter(|_| kind == "bad_data");
        let message = format!("{}{}", field.unwrap_or_default(), error.message);
        (status, Json(json!({ "status": "error", "errorType": kind, "error": message }))).into_response()
    }
}

#[allow(clippy::needless_pass_by_value)] // callers have made it for this
fn success(data: Value, warning: Option<&str>) -> Json<Value> {
    match warning {
        None => Json(json!({ "status": "success", "data": data })),
        Some(warning) => Json(json!({ "status": "success", "data": data, "warnings": [warning] })),
    }
}

/// A moment in milliseconds.
fn moment(pairs: &[(String, String)], name: &'static str) -> Result<Option<i64>, QueryError> {
    let time = parameters::moment(pairs, name, |text| format!("cannot parse {text:?} to a valid timestamp"))?;
    Ok(time.map(|time| time.div_euclid(1_000_000)))
}

/// A number of seconds, or a duration such as `1h30m`, in milliseconds.
fn duration(pairs: &[(String, String)], name: &'static str) -> Result<Option<i64>, QueryError> {
    let Some(text) = one(pairs, name) else { return Ok(None) };
    let wrong = || QueryError::invalid(name, format!("cannot parse {text:?} to a valid duration"));
    if let Ok(seconds) = text.parse::<f64>() {
        return if seconds.is_finite() { Ok(Some((seconds * 1000.0) as i64)) } else { Err(wrong()) };
    }
    let mut all: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let end = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |length| unit + length);
        let factor = match &rest[unit..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return Err(wrong()),
        };
        let number: i64 = rest[..unit].parse().map_err(|_| wrong())?;
        all = number.checked_mul(factor).and_then(|part| all.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    Ok(Some(all))
}

/// Seconds, whole ones as such.
fn seconds(milliseconds: i64) -> Value {
    if milliseconds % 1000 == 0 { json!(milliseconds / 1000) } else { json!(milliseconds as f64 / 1000.0) }
}

fn sample((time, value): (i64, f64)) -> Value {
    json!([seconds(time), number_text(value)])
}

fn limited(series: Vec<PromQlSeries>, limit: usize) -> Vec<PromQlSeries> {
    let mut series = series;
    if limit > 0 {
        series.truncate(limit);
    }
    series
}

/// The data of an answer, of so many series at most; 0 for all.
pub(super) fn result(value: PromQlValue, limit: usize) -> Value {
    match value {
        PromQlValue::Scalar(time, value) => json!({ "resultType": "scalar", "result": sample((time, value)) }),
        PromQlValue::Text(time, text) => json!({ "resultType": "string", "result": [seconds(time), text] }),
        PromQlValue::Vector(series) => {
            let all = limited(series, limit).into_iter();
            let all: Vec<Value> = all
                .filter_map(|(metric, points)| Some(json!({ "metric": metric, "value": sample(*points.first()?) })))
                .collect();
            json!({ "resultType": "vector", "result": all })
        }
        PromQlValue::Matrix(series) => {
            let all: Vec<Value> = limited(series, limit)
                .into_iter()
                .map(|(metric, points)| {
                    json!({ "metric": metric, "values": points.into_iter().map(sample).collect::<Vec<_>>() })
                })
                .collect();
            json!({ "resultType": "matrix", "result": all })
        }
    }
}

fn limit(pairs: &[(String, String)]) -> Result<usize, QueryError> {
    one(pairs, "limit").map_or(Ok(0), |text| {
        text.parse().map_err(|_| QueryError::invalid("limit", format!("cannot parse {text:?} to a number")))
    })
}

/// Evaluates the query of these parameters.
async fn evaluate(
    service: &QueryService,
    pairs: &[(String, String)],
    (start, end): (i64, i64),
    step: Option<i64>,
) -> Result<Json<Value>, Fault> {
    let query = required(pairs, "query")?.to_owned();
    let request = PromQlRequest { query, start, end, step, lookback: duration(pairs, "lookback_delta")? };
    let limit = limit(pairs)?;
    let answer = service.promql(&request).await?;
    Ok(success(result(answer.value, limit), answer.coverage.limit_hit.as_deref()))
}

async fn query(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let time = moment(&pairs, "time")?.unwrap_or_else(|| now_ns().div_euclid(1_000_000));
    evaluate(&service, &pairs, (time, time), None).await
}

async fn query_range(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let start = moment(&pairs, "start")?.ok_or_else(|| missing("start"))?;
    let end = moment(&pairs, "end")?.ok_or_else(|| missing("end"))?;
    let step = duration(&pairs, "step")?.ok_or_else(|| missing("step"))?;
    evaluate(&service, &pairs, (start, end), Some(step)).await
}

/// The range and the selectors of a question for series or labels.
async fn found(
    service: &QueryService,
    pairs: &[(String, String)],
) -> Result<(Vec<crate::promql::Labels>, Option<String>), QueryError> {
    let end = moment(pairs, "end")?.unwrap_or_else(|| now_ns().div_euclid(1_000_000));
    let start = moment(pairs, "start")?.unwrap_or_else(|| end.saturating_sub(RECENT));
    let selectors = pairs
        .iter()
        .filter(|(name, _)| name == "match[]" || name == "match")
        .map(|(_, text)| parse_selector(text))
        .collect::<Result<Vec<_>, _>>()?;
    let (labels, coverage) = service.promql_series(&selectors, start, end).await?;
    Ok((labels, coverage.limit_hit))
}

fn cut(mut all: Vec<Value>, limit: usize) -> Value {
    if limit > 0 {
        all.truncate(limit);
    }
    Value::Array(all)
}

async fn series(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    if !pairs.iter().any(|(name, _)| name.starts_with("match")) {
        return Err(QueryError::invalid("match[]", "no match[] parameter provided").into());
    }
    let (all, warning) = found(&service, &pairs).await?;
    Ok(success(cut(all.iter().map(crate::promql::Labels::json).collect(), limit(&pairs)?), warning.as_deref()))
}

async fn labels(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let (all, warning) = found(&service, &pairs).await?;
    let names: BTreeSet<&str> = all.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    Ok(success(cut(names.into_iter().map(Value::from).collect(), limit(&pairs)?), warning.as_deref()))
}

async fn label_values(
    State(service): Service,
    Path(name): Path<String>,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let (all, warning) = found(&service, &pairs).await?;
    let name = unescaped(&name);
    let values: BTreeSet<&str> = all.iter().map(|labels| labels.get(&name)).filter(|value| !value.is_empty()).collect();
    Ok(success(cut(values.into_iter().map(Value::from).collect(), limit(&pairs)?), warning.as_deref()))
}

/// A name that was written with `U__` and its other characters as `_hex_`.
fn unescaped(name: &str) -> String {
    let Some(mut rest) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::new();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '_' {
            out.push(c);
        } else if let Some(behind) = rest.strip_prefix('_') {
            out.push('_');
            rest = behind;
        } else if let Some((hex, behind)) = rest.split_once('_')
            && let Some(c) = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
        {
            out.push(c);
            rest = behind;
        } else {
            return name.to_owned();
        }
    }
    out
}

async fn metadata(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let now = now_ns();
    let range = TimeRange { start: now.saturating_sub(RECENT.saturating_mul(1_000_000)), end: now.saturating_add(1) };
    let wanted = one(&pairs, "metric");
    let mut all = service.promql_metadata(range).await?;
    all.retain(|name, _| wanted.is_none_or(|wanted| wanted == name));
    let limit = limit(&pairs)?;
    let all: serde_json::Map<String, Value> = all
        .into_iter()
        .take(if limit > 0 { limit } else { usize::MAX })
        .map(|(name, found)| (name, json!(found)))
        .collect();
    Ok(success(Value::Object(all), None))
}

async fn format_query(Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    Ok(success(Value::from(parse(required(&pairs, "query")?)?.prettify()), None))
}

/// What Grafana asks to know which functions there are: those of this version of Prometheus.
async fn build_info() -> Json<Value> {
    success(
        json!({
            "version": "3.5.0", "revision": env!("CARGO_PKG_VERSION"), "branch": "mangru", "buildUser": "", "buildDate": "",
            "goVersion": "",
        }),
        None,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_names_are_read_as_prometheus_writes_them() {
        let of = |text: &str| duration(&[("step".to_owned(), text.to_owned())], "step");
        assert_eq!(of("15").expect("fine"), Some(15_000));
        assert_eq!(of("0.5").expect("fine"), Some(500));
        assert_eq!(of("1h30m").expect("fine"), Some(5_400_000));
        assert_eq!(of("100ms").expect("fine"), Some(100));
        for wrong in ["5x", "m", "1h30", "inf", "99999999999y"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert_eq!(unescaped("U__http_2e_route"), "http.route");
        assert_eq!(unescaped("U__a__b"), "a_b");
        assert_eq!(unescaped("job"), "job");
    }
}
