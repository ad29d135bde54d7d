//! Loki's HTTP API, as Grafana and `logcli` call it (<https://grafana.com/docs/loki/latest/reference/loki-http-api/>).
//!
//! A tenant in `X-Scope-OrgID` (or several, with `|` between) sees its own streams; without the header all are seen.

mod detected;
mod tail;

use super::error::status_of;
use super::parameters::{self, one, required};
use super::prometheus;
use crate::logql::{self, Entry, Kind, Label, LineQuery, LinesRequest, MetricRequest, Query, Streams};
use crate::request::usual_step;
use crate::{Coverage, QueryError, QueryService, now_ns, parse_duration};
use axum::extract::{Form, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::TimeRange;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

type Service = State<Arc<QueryService>>;
/// Parameters of the address, or of a form in the body.
type Pairs = Form<Vec<(String, String)>>;

const HOUR: i64 = 3_600_000_000_000;
/// Lines of an answer when nothing is said.
const LIMIT: usize = 100;

pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/loki/api/v1/query", get(query).post(query))
        .route("/loki/api/v1/query_range", get(query_range).post(query_range))
        .route("/loki/api/v1/labels", get(labels).post(labels))
        .route("/loki/api/v1/label", get(labels).post(labels))
        .route("/loki/api/v1/label/{name}/values", get(label_values).post(label_values))
        .route("/loki/api/v1/series", get(series).post(series))
        .route("/loki/api/v1/index/stats", get(index_stats).post(index_stats))
        .route("/loki/api/v1/index/volume", get(detected::volume).post(detected::volume))
        .route("/loki/api/v1/index/volume_range", get(detected::volume_range).post(detected::volume_range))
        .route("/loki/api/v1/detected_labels", get(detected::labels).post(detected::labels))
        .route("/loki/api/v1/detected_fields", get(detected::fields).post(detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", get(detected::field_values).post(detected::field_values))
        .route("/loki/api/v1/tail", get(tail::tail))
        .route("/loki/api/v1/status/buildinfo", get(build_info))
        .route("/loki/api/v1/drilldown-limits", get(limits))
}

/// An error as Loki answers it: its text.
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
        let place = match (error.field, error.position) {
            (Some("query"), Some(position)) => {
                return (
                    status,
                    format!(
                        "parse error at line 1, col {}: {}",
                        position + 1,
                        error.message.trim_start_matches("parse error: ")
                    ),
                )
                    .into_response();
            }
            (Some(field), _) if field != "query" => format!("{field}: "),
            _ => String::new(),
        };
        (status, format!("{place}{}", error.message)).into_response()
    }
}

/// Whose streams are asked for, and how lines are written.
struct Asker {
    tenants: Vec<String>,
    categorizes: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let tenants = text("x-scope-orgid").split('|').map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            tenants: tenants.map(str::to_owned).collect(),
            categorizes: text("x-loki-response-encoding-flags").contains("categorize-labels"),
        })
    }
}

/// A moment in nanoseconds: Unix nanoseconds, Unix seconds with or without fraction, or RFC 3339.
fn moment(pairs: &[(String, String)], name: &'static str) -> Result<Option<i64>, QueryError> {
    parameters::moment(pairs, name, |text| format!("could not parse '{text}' to a timestamp"))
}

/// A number of seconds, or a duration, in nanoseconds.
fn duration(pairs: &[(String, String)], name: &'static str) -> Result<Option<i64>, QueryError> {
    one(pairs, name)
        .map(|text| {
            let parsed = parse_duration(text).filter(|duration| *duration >= 0);
            parsed.ok_or_else(|| QueryError::invalid(name, format!("cannot parse {text:?} to a valid duration")))
        })
        .transpose()
}

/// The range of a question; the last hour, or the last `since`, when nothing is said.
fn range(pairs: &[(String, String)]) -> Result<TimeRange, QueryError> {
    let end = moment(pairs, "end")?.unwrap_or_else(|| now_ns().saturating_add(1));
    let since = duration(pairs, "since")?.unwrap_or(HOUR);
    let start = moment(pairs, "start")?.unwrap_or_else(|| end.saturating_sub(since));
    if start > end {
        return Err(QueryError::invalid("end", "end timestamp must not be before or equal to start time"));
    }
    Ok(TimeRange { start, end })
}

fn number(pairs: &[(String, String)], name: &'static str, usual: usize) -> Result<usize, QueryError> {
    one(pairs, name).map_or(Ok(usual), |text| {
        let parsed = text.parse().ok().filter(|number| *number > 0);
        parsed.ok_or_else(|| QueryError::invalid(name, format!("{text:?} is not a positive number")))
    })
}

fn success(data: &Value) -> Json<Value> {
    Json(json!({ "status": "success", "data": data }))
}

/// Figures of a query, of which Grafana and `logcli` show some.
fn stats(coverage: &Coverage, entries: usize) -> Value {
    let seconds = coverage.elapsed_ms / 1e3;
    let per_second = if seconds > 0.0 { (coverage.rows_in_range as f64 / seconds) as u64 } else { 0 };
    json!({ "summary": {
        "bytesProcessedPerSecond": 0, "linesProcessedPerSecond": per_second, "totalBytesProcessed": 0,
        "totalLinesProcessed": coverage.rows_in_range, "execTime": seconds, "queueTime": 0, "subqueries": 0,
        "totalEntriesReturned": entries, "splits": 0, "shards": 0, "totalPostFilterLines": coverage.matched,
        "totalStructuredMetadataBytesProcessed": 0,
    } })
}

fn object<'a>(labels: impl Iterator<Item = &'a Label>) -> Map<String, Value> {
    labels.map(|label| (label.name.to_string(), Value::from(&*label.value))).collect()
}

/// Lines by their streams, in the order in which they came.
fn streams(entries: &[Entry], categorizes: bool) -> Vec<Value> {
    let mut all: BTreeMap<Vec<&Label>, Vec<Value>> = BTreeMap::new();
    for entry in entries {
        let is_key = |label: &&Label| !categorizes || label.kind == Kind::Stream;
        let key = entry.labels.iter().filter(is_key).collect();
        let value = if categorizes {
            let of = |kind: Kind| object(entry.labels.iter().filter(move |label| label.kind == kind));
            let mut more = Map::new();
            for (name, labels) in [("structuredMetadata", of(Kind::Metadata)), ("parsed", of(Kind::Parsed))] {
                if !labels.is_empty() {
                    more.insert(name.to_owned(), Value::Object(labels));
                }
            }
            json!([entry.time.to_string(), entry.line, more])
        } else {
            json!([entry.time.to_string(), entry.line])
        };
        all.entry(key).or_default().push(value);
    }
    all.into_iter().map(|(labels, values)| json!({ "stream": object(labels.into_iter()), "values": values })).collect()
}

async fn metric(service: &QueryService, request: &MetricRequest) -> Result<Json<Value>, Fault> {
    let answer = service.logql_metric(request).await?;
    let mut data = prometheus::result(answer.value, 0);
    let is_series = matches!(data["resultType"].as_str(), Some("vector" | "matrix"));
    let count = data["result"].as_array().filter(|_| is_series).map_or(1, Vec::len);
    data["stats"] = stats(&answer.coverage, count);
    Ok(warned(success(&data), &answer.coverage))
}

/// Says what an answer is without.
fn warned(mut answer: Json<Value>, coverage: &Coverage) -> Json<Value> {
    if let Some(limit) = coverage.limit_hit.as_deref().filter(|limit| !limit.starts_with("limit of")) {
        answer.0["warnings"] = json!([limit]);
    }
    answer
}

async fn query(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let Query::Metric(query) = logql::parse(required(&pairs, "query")?)? else {
        let message =
            "log queries are not supported as an instant query type, please change your query to a range query type";
        return Err(QueryError::invalid("query", message).into());
    };
    let time = moment(&pairs, "time")?.unwrap_or_else(now_ns);
    metric(&service, &MetricRequest { query, start: time, end: time, step: None, tenants: asker.tenants }).await
}

async fn query_range(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let range = range(&pairs)?;
    match logql::parse(required(&pairs, "query")?)? {
        Query::Metric(query) => {
            let step = duration(&pairs, "step")?.unwrap_or_else(|| usual_step(range));
            let request =
                MetricRequest { query, start: range.start, end: range.end, step: Some(step), tenants: asker.tenants };
            metric(&service, &request).await
        }
        Query::Lines(query) => lines(&service, &pairs, query, range, asker).await,
    }
}

async fn lines(
    service: &QueryService,
    pairs: &[(String, String)],
    query: LineQuery,
    range: TimeRange,
    asker: Asker,
) -> Result<Json<Value>, Fault> {
    let is_forward = match one(pairs, "direction").map(str::to_ascii_lowercase).as_deref() {
        None | Some("backward") => false,
        Some("forward") => true,
        Some(other) => return Err(QueryError::invalid("direction", format!("invalid direction '{other}'")).into()),
    };
    let limit = number(pairs, "limit", LIMIT)?;
    let interval = duration(pairs, "interval")?.unwrap_or_default();
    let request = LinesRequest { query, range, limit, interval, is_forward, tenants: asker.tenants };
    let (entries, coverage) = service.logql_lines(&request).await?;
    let data = json!({
        "resultType": "streams",
        "result": streams(&entries, asker.categorizes),
        "stats": stats(&coverage, entries.len()),
    });
    let mut answer = warned(success(&data), &coverage);
    if asker.categorizes {
        answer.0["data"]["encodingFlags"] = json!(["categorize-labels"]);
    }
    Ok(answer)
}

/// The streams that are asked for, by `match[]`, `match` or `query`.
async fn found(
    service: &QueryService,
    pairs: &[(String, String)],
    tenants: Vec<String>,
) -> Result<Vec<(Vec<Label>, u64)>, QueryError> {
    let selectors = pairs
        .iter()
        .filter(|(name, value)| {
            matches!(name.as_str(), "match[]" | "match" | "query") && !matches!(value.as_str(), "" | "{}")
        })
        .map(|(_, text)| logql::parse_selector(text))
        .collect::<Result<Vec<_>, _>>()?;
    service.logql_streams(&Streams { selectors, range: range(pairs)?, tenants }).await
}

async fn labels(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let found = found(&service, &pairs, asker.tenants).await?;
    let names: BTreeSet<&str> = found.iter().flat_map(|(labels, _)| labels).map(|label| &*label.name).collect();
    Ok(success(&json!(names)))
}

async fn label_values(
    State(service): Service,
    asker: Asker,
    Path(name): Path<String>,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let found = found(&service, &pairs, asker.tenants).await?;
    let labels = found.iter().flat_map(|(labels, _)| labels).filter(|label| *label.name == *name);
    let values: BTreeSet<&str> = labels.map(|label| &*label.value).collect();
    Ok(success(&json!(values)))
}

async fn series(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let found = found(&service, &pairs, asker.tenants).await?;
    let all: Vec<Value> = found.iter().map(|(labels, _)| Value::Object(object(labels.iter()))).collect();
    Ok(success(&json!(all)))
}

async fn index_stats(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let text = required(&pairs, "query")?;
    let matchers = if text == "{}" { Vec::new() } else { logql::parse_selector(text)? };
    let range = range(&pairs)?;
    let streams = service
        .logql_streams(&Streams { selectors: vec![matchers.clone()], range, tenants: asker.tenants.clone() })
        .await?;
    let query = LineQuery::of_streams(matchers);
    let request = LinesRequest { query, range, limit: 1, interval: 0, is_forward: false, tenants: asker.tenants };
    let entries = service.logql_count(&request).await?;
    let status = service.store().status();
    let tables = status.tables.iter().filter(|table| table.signal == mangru_store::Signal::Logs);
    let (parts, rows, bytes) = tables.fold((0, 0, 0), |(parts, rows, bytes), table| {
        (parts + table.parts, rows + table.part_rows + table.hot_rows, bytes + table.part_bytes + table.hot_bytes)
    });
    // How much is read is an estimate, as in Loki.
    let bytes = if rows == 0 { 0 } else { (bytes as f64 / rows as f64 * entries as f64) as u64 };
    Ok(Json(json!({ "streams": streams.len(), "chunks": parts, "bytes": bytes, "entries": entries })))
}

/// What Grafana asks to know what this Loki can do.
async fn build_info() -> Json<Value> {
    Json(json!({
        "version": "3.3.2", "revision": env!("CARGO_PKG_VERSION"), "branch": "mangru", "buildUser": "", "buildDate": "",
        "goVersion": "",
    }))
}

async fn limits(State(service): Service) -> Json<Value> {
    let limit = service.settings().max_limit;
    Json(json!({
        "limits": { "max_entries_limit_per_query": limit, "volume_enabled": true, "discover_service_name": ["service_name"],
            "pattern_persistence_enabled": false, "metric_aggregation_enabled": false },
        "pattern_ingester_enabled": false, "version": "3.3.2",
    }))
}
