//! What clients of Prometheus ask of the server itself.
//!
//! Mangru scrapes nothing and knows no other Alertmanager than its own: those lists are empty.

use super::{Fault, Pairs, Said, Service, number, success};
use crate::{QueryService, now_ns};
use axum::extract::{Form, State};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};

/// Names and values that a list of the largest has when nothing is said.
const LARGEST: usize = 10;

/// When this was asked first: hardly later than the process began.
static START: LazyLock<i64> = LazyLock::new(now_ns);

pub(super) fn router() -> Router<Arc<QueryService>> {
    LazyLock::force(&START);
    Router::new()
        .route("/api/v1/status/buildinfo", get(build_info))
        .route("/api/v1/status/config", get(config))
        .route("/api/v1/status/flags", get(flags))
        .route("/api/v1/status/runtimeinfo", get(runtime_info))
        .route("/api/v1/status/tsdb", get(tsdb))
        .route("/api/v1/targets", get(targets))
        .route("/api/v1/targets/metadata", get(|| async { success(json!([]), Said::default()) }))
        .route("/api/v1/scrape_pools", get(|| async { success(json!({ "scrapePools": [] }), Said::default()) }))
        .route("/api/v1/alertmanagers", get(alertmanagers))
        .route("/-/healthy", get(|| async { "Mangru is healthy.\n" }))
        .route("/-/ready", get(|| async { "Mangru is ready.\n" }))
}

fn rfc3339(time: i64) -> String {
    chrono::DateTime::from_timestamp_nanos(time).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// What Grafana asks to know which functions there are: those of this version of Prometheus.
async fn build_info() -> Json<Value> {
    let info = json!({
        "version": "3.5.0", "revision": env!("CARGO_PKG_VERSION"), "branch": "mangru", "buildUser": "", "buildDate": "",
        "goVersion": "",
    });
    success(info, Said::default())
}

/// What of Prometheus' configuration has a meaning here.
async fn config() -> Json<Value> {
    success(json!({ "yaml": "global:\n  evaluation_interval: 1m\n" }), Said::default())
}

async fn flags(State(service): Service) -> Json<Value> {
    let settings = service.settings();
    let flags = json!({
        "query.lookback-delta": "5m",
        "query.max-concurrency": settings.concurrency.to_string(),
        "query.timeout": format!("{}ms", settings.deadline.as_millis()),
        "web.enable-remote-write-receiver": "true",
    });
    success(flags, Said::default())
}

async fn runtime_info(State(service): Service) -> Json<Value> {
    let status = service.store().status();
    let series = status.tables.iter().filter(|table| table.signal == Signal::MetricPoints);
    let info = json!({
        "startTime": rfc3339(*START),
        "serverTime": rfc3339(now_ns()),
        "CWD": std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default(),
        "reloadConfigSuccess": true,
        "lastConfigTime": rfc3339(*START),
        "corruptionCount": status.damaged_parts.len(),
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, NonZero::get),
        "GOMEMLIMIT": service.store().memory().all.max_bytes(),
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": "",
        "hotPoints": series.map(|table| table.hot_rows).sum::<u64>(),
    });
    success(info, Said::default())
}

/// The largest first.
fn largest(counts: BTreeMap<String, u64>, most: usize) -> Value {
    let mut all: Vec<(String, u64)> = counts.into_iter().collect();
    all.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    all.into_iter().take(most).map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// Figures of the series with samples within the last hour.
async fn tsdb(State(service): Service, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let most = number(&pairs, "limit")?.filter(|limit| *limit > 0).unwrap_or(LARGEST);
    let now = now_ns().div_euclid(1_000_000);
    let start = now.saturating_sub(super::RECENT);
    let (series, coverage) = service.promql_series(&[], start, now).await?;
    let (mut metrics, mut pairs_of) = (BTreeMap::new(), BTreeMap::new());
    let mut values: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for labels in &series {
        for (name, value) in labels.iter() {
            *values.entry(name).or_default().entry(value).or_default() += 1;
            *pairs_of.entry(format!("{name}={value}")).or_default() += 1;
            if name == "__name__" {
                *metrics.entry(value.to_owned()).or_default() += 1;
            }
        }
    }
    let counts = values.iter().map(|(name, values)| ((*name).to_owned(), values.len() as u64)).collect();
    let bytes = values
        .iter()
        .map(|(name, values)| ((*name).to_owned(), values.keys().map(|value| value.len() as u64).sum()))
        .collect();
    let label_pairs = pairs_of.len();
    let data = json!({
        "headStats": {
            "numSeries": series.len(), "numLabelPairs": label_pairs, "chunkCount": 0, "minTime": start, "maxTime": now,
        },
        "seriesCountByMetricName": largest(metrics, most),
        "labelValueCountByLabelName": largest(counts, most),
        "memoryInBytesByLabelName": largest(bytes, most),
        "seriesCountByLabelValuePair": largest(pairs_of, most),
    });
    Ok(success(data, Said::of(&coverage)))
}

async fn targets() -> Json<Value> {
    success(json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} }), Said::default())
}

async fn alertmanagers() -> Json<Value> {
    success(json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }), Said::default())
}
