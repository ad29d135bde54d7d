//! The HTTP API of Prometheus, as its clients and Grafana call it
//! (<https://prometheus.io/docs/prometheus/latest/querying/api/>).

mod status;

use super::parameters::{self, missing, one, required};
use crate::promql::{number_text, parse, parse_selector};
use crate::{
    Coverage, ErrorCode, PromQlHistograms, PromQlRequest, PromQlSeries, PromQlValue, QueryError, QueryService, now_ns,
};
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::TimeRange;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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
        .route("/api/v1/query_exemplars", get(query_exemplars).post(query_exemplars))
        .route("/api/v1/format_query", get(format_query).post(format_query))
        .route("/api/v1/parse_query", get(parse_query).post(parse_query))
        .merge(status::router())
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

/// What is said beside the data of an answer.
#[derive(Debug, Default)]
struct Said {
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Said {
    /// What an answer is without.
    fn of(coverage: &Coverage) -> Self {
        Self { warnings: coverage.limit_hit.iter().cloned().collect(), infos: Vec::new() }
    }

    /// That a limit of the request cut the answer, when it did.
    fn cut(mut self, is_cut: bool) -> Self {
        if is_cut {
            self.warnings.push("results truncated due to limit".to_owned());
        }
        self
    }
}

fn success(data: Value, said: Said) -> Json<Value> {
    let mut answer = json!({ "status": "success" });
    answer["data"] = data;
    for (name, texts) in [("warnings", said.warnings), ("infos", said.infos)] {
        if !texts.is_empty() {
            answer[name] = texts.into();
        }
    }
    Json(answer)
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
    let found = match text.parse::<f64>() {
        Ok(seconds) => {
            Some(seconds * 1000.0).filter(|length| length.abs() < i64::MAX as f64).map(|length| length as i64)
        }
        Err(_) => crate::parse_duration(text).map(|length| length.div_euclid(1_000_000)),
    };
    found.map(Some).ok_or_else(wrong)
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

fn number(pairs: &[(String, String)], name: &'static str) -> Result<Option<usize>, QueryError> {
    let read =
        |text: &str| text.parse().map_err(|_| QueryError::invalid(name, format!("cannot parse {text:?} to a number")));
    one(pairs, name).map(read).transpose()
}

fn limit(pairs: &[(String, String)]) -> Result<Option<usize>, QueryError> {
    number(pairs, "limit")
}

/// Puts native histograms beside the numbers of an answer, under the same labels where they are.
fn with_histograms(data: &mut Value, histograms: Vec<PromQlHistograms>) {
    let is_vector = data["resultType"] == "vector";
    let Some(all) = data["result"].as_array_mut() else { return };
    for (metric, points) in histograms {
        let mut points = points.into_iter().map(|(time, histogram)| json!([seconds(time), histogram]));
        let (name, value) =
            if is_vector { ("histogram", points.next().unwrap_or_default()) } else { ("histograms", points.collect()) };
        match all.iter_mut().find(|one| one["metric"] == metric) {
            Some(one) => one[name] = value,
            None => all.push(json!({ "metric": metric, name: value })),
        }
    }
}

/// Figures of an evaluation, as far as they are known here.
fn stats(coverage: &Coverage) -> Value {
    let seconds = coverage.elapsed_ms / 1e3;
    json!({
        "timings": {
            "evalTotalTime": seconds, "resultSortTime": 0, "queryPreparationTime": 0, "innerEvalTime": seconds,
            "execQueueTime": 0, "execTotalTime": seconds,
        },
        "samples": { "totalQueryableSamples": coverage.matched, "peakSamples": coverage.matched },
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
    let limit = limit(pairs)?.unwrap_or_default();
    let timeout =
        duration(pairs, "timeout")?.filter(|timeout| *timeout > 0).and_then(|timeout| u64::try_from(timeout).ok());
    let timeout = timeout.map_or(Duration::MAX, Duration::from_millis);
    let answer = tokio::time::timeout(timeout, service.promql(&request))
        .await
        .map_err(|_| QueryError::new(ErrorCode::DeadlineExceeded, "query timed out in expression evaluation"))??;
    let mut data = result(answer.value, 0);
    with_histograms(&mut data, answer.histograms);
    let mut is_cut = false;
    let is_of_series = matches!(data["resultType"].as_str(), Some("vector" | "matrix"));
    if let Some(all) = data["result"].as_array_mut().filter(|all| is_of_series && limit > 0 && all.len() > limit) {
        all.truncate(limit);
        is_cut = true;
    }
    if one(pairs, "stats").is_some() {
        data["stats"] = stats(&answer.coverage);
    }
    let mut said = Said::of(&answer.coverage).cut(is_cut);
    said.warnings.extend(answer.warnings);
    said.infos = answer.infos;
    Ok(success(data, said))
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
) -> Result<(Vec<crate::promql::Labels>, Said), QueryError> {
    let end = moment(pairs, "end")?.unwrap_or_else(|| now_ns().div_euclid(1_000_000));
    let start = moment(pairs, "start")?.unwrap_or_else(|| end.saturating_sub(RECENT));
    let selectors = pairs
        .iter()
        .filter(|(name, _)| name == "match[]" || name == "match")
        .map(|(_, text)| parse_selector(text))
        .collect::<Result<Vec<_>, _>>()?;
    let (labels, coverage) = service.promql_series(&selectors, start, end).await?;
    Ok((labels, Said::of(&coverage)))
}

/// Values, as many as the request allows.
fn listed(mut all: Vec<Value>, pairs: &[(String, String)], said: Said) -> Result<Json<Value>, Fault> {
    let limit = limit(pairs)?.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let is_cut = all.len() > limit;
    all.truncate(limit);
    Ok(success(Value::Array(all), said.cut(is_cut)))
}

async fn series(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    if !pairs.iter().any(|(name, _)| name.starts_with("match")) {
        return Err(QueryError::invalid("match[]", "no match[] parameter provided").into());
    }
    let (all, said) = found(&service, &pairs).await?;
    listed(all.iter().map(crate::promql::Labels::json).collect(), &pairs, said)
}

async fn labels(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let (all, said) = found(&service, &pairs).await?;
    let names: BTreeSet<&str> = all.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    listed(names.into_iter().map(Value::from).collect(), &pairs, said)
}

async fn label_values(
    State(service): Service,
    Path(name): Path<String>,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let (all, said) = found(&service, &pairs).await?;
    let name = unescaped(&name);
    let values: BTreeSet<&str> = all.iter().map(|labels| labels.get(&name)).filter(|value| !value.is_empty()).collect();
    listed(values.into_iter().map(Value::from).collect(), &pairs, said)
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
    let limit = limit(&pairs)?.unwrap_or(usize::MAX);
    let of_metric = number(&pairs, "limit_per_metric")?.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let shown = all.into_iter().take(limit).map(|(name, found)| {
        let found: Vec<_> = found.into_iter().take(of_metric).collect();
        (name, json!(found))
    });
    Ok(success(Value::Object(shown.collect()), Said::default()))
}

async fn query_exemplars(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let query = required(&pairs, "query")?;
    let end = moment(&pairs, "end")?.unwrap_or_else(|| now_ns().div_euclid(1_000_000));
    let start = moment(&pairs, "start")?.unwrap_or_else(|| end.saturating_sub(RECENT));
    if start > end {
        return Err(QueryError::invalid("end", "end timestamp must not be before start time").into());
    }
    let (found, coverage) = service.promql_exemplars(query, (start, end)).await?;
    let all: Vec<Value> = found
        .into_iter()
        .map(|(labels, exemplars)| {
            let exemplars = exemplars.iter().map(|exemplar| {
                json!({
                    "labels": exemplar.labels.json(),
                    "value": number_text(exemplar.value),
                    "timestamp": seconds(exemplar.time),
                })
            });
            json!({ "seriesLabels": labels.json(), "exemplars": exemplars.collect::<Vec<_>>() })
        })
        .collect();
    Ok(success(all.into(), Said::of(&coverage)))
}

async fn format_query(Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    Ok(success(Value::from(parse(required(&pairs, "query")?)?.prettify()), Said::default()))
}

/// The tree of an expression, as Prometheus' own page draws it.
async fn parse_query(Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let tree = parse(required(&pairs, "query")?)?;
    let tree = serde_json::to_value(tree).map_err(QueryError::internal)?;
    Ok(success(tree, Said::default()))
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
