//! PromQL beside a real Prometheus: the same random series, many queries, equal answers.

mod harness;

use harness::{Prometheus, Server, client, tool};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The first sample, in milliseconds: no sample falls on the edge of a window of whole seconds, where versions of Prometheus differ.
const START: i64 = 1_700_000_000_137;
const SAMPLES: i64 = 120;
const EVERY: i64 = 15_000;

/// A series: its metric, type, labels and samples.
struct Series {
    metric: &'static str,
    is_counter: bool,
    labels: Vec<(&'static str, String)>,
    samples: Vec<(i64, f64)>,
}

/// Gauges, counters that start anew now and then, and the buckets of a histogram; some with gaps.
fn random_series(seed: u64) -> Vec<Series> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for (metric, is_counter) in
        [("temperature", false), ("load", false), ("requests_total", true), ("errors_total", true)]
    {
        for zone in ["a", "b"] {
            for pod in 0..4 {
                let has_gaps = pod == 3;
                let mut value: f64 = random.random_range(5_000.0..9_000.0);
                let mut samples = Vec::new();
                for number in 0..SAMPLES {
                    if is_counter {
                        value += random.random_range(0.0..50.0_f64);
                        if random.random_range(0..60) == 0 {
                            value = random.random_range(5_000.0..6_000.0);
                        }
                    } else {
                        value = random.random_range(-50.0..50.0);
                    }
                    if !(has_gaps && (30..70).contains(&number)) {
                        samples.push((START + number * EVERY, value));
                    }
                }
                let labels = vec![("zone", zone.to_owned()), ("pod", format!("p{pod}"))];
                all.push(Series { metric, is_counter, labels, samples });
            }
        }
    }
    for zone in ["a", "b"] {
        for pod in 0..2 {
            let mut counts = [0.0_f64; 5];
            let mut series: Vec<Vec<(i64, f64)>> = vec![Vec::new(); 5];
            for number in 0..SAMPLES {
                let mut below = 0.0;
                for (place, count) in counts.iter_mut().enumerate() {
                    below += random.random_range(0.0..9.0_f64).floor();
                    *count += below;
                    series[place].push((START + number * EVERY, *count));
                }
            }
            for (samples, le) in series.into_iter().zip(["0.1", "0.5", "1", "5", "+Inf"]) {
                let labels = vec![("zone", zone.to_owned()), ("pod", format!("p{pod}")), ("le", le.to_owned())];
                all.push(Series { metric: "latency_bucket", is_counter: true, labels, samples });
            }
        }
    }
    all
}

/// The series as `OpenMetrics` text, for `promtool`.
fn open_metrics(all: &[Series]) -> String {
    let mut out = String::new();
    let mut metrics: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in all {
        metrics.entry(series.metric).or_default().push(series);
    }
    for (metric, series) in metrics {
        let _ = writeln!(out, "# TYPE {metric} unknown");
        for one in series {
            let labels: Vec<String> = one.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            for (time, value) in &one.samples {
                let time = *time as f64 / 1000.0;
                let _ = writeln!(out, "{metric}{{{},job=\"t\",service_name=\"t\"}} {value} {time}", labels.join(","));
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

/// The series as OTLP. The buckets come as a counter of their own, since what matters here is what is made of them.
fn otlp(all: &[Series]) -> Json {
    let metric = |series: &Series| {
        let attributes: Vec<Json> = series
            .labels
            .iter()
            .map(|(name, value)| json!({ "key": name, "value": { "stringValue": value } }))
            .collect();
        let points: Vec<Json> = series
            .samples
            .iter()
            .map(|(time, value)| {
                json!({ "timeUnixNano": (time * 1_000_000).to_string(), "asDouble": value, "attributes": attributes })
            })
            .collect();
        let is_named_total = series.metric.ends_with("_total");
        if series.is_counter && is_named_total {
            let sum = json!({ "dataPoints": points, "aggregationTemporality": 2, "isMonotonic": true });
            json!({ "name": series.metric.trim_end_matches("_total"), "sum": sum })
        } else {
            json!({ "name": series.metric, "gauge": { "dataPoints": points } })
        }
    };
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "t" } }] },
        "scopeMetrics": [{ "metrics": all.iter().map(metric).collect::<Vec<_>>() }],
    }] })
}

async fn prometheus(programs: &Path, folder: &Path, all: &[Series]) -> Prometheus {
    let (text, data) = (folder.join("metrics.txt"), folder.join("data"));
    std::fs::write(&text, open_metrics(all)).expect("written");
    let output = Command::new(programs.join("promtool"))
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, &data])
        .output()
        .expect("promtool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Prometheus::start(programs, folder, "").await
}

/// A random expression that gives an instant vector.
fn vector(random: &mut StdRng, depth: u32) -> String {
    let pick = |random: &mut StdRng, all: &[&str]| all[random.random_range(0..all.len())].to_owned();
    let gauge = |random: &mut StdRng| {
        let name = pick(random, &["temperature", "load"]);
        let labels = pick(random, &["", "{zone=\"a\"}", "{pod=~\"p[01]\"}", "{pod!=\"p2\",zone!~\"b|c\"}"]);
        let offset = pick(random, &["", "", "", " offset 2m", " @ 1700000900", " @ end() offset 1m"]);
        format!("{name}{labels}{offset}")
    };
    let counter = |random: &mut StdRng| {
        let name = pick(random, &["requests_total", "errors_total"]);
        let labels = pick(random, &["", "{zone=\"b\"}", "{pod=~\"p.\"}"]);
        let range = pick(random, &["45s", "1m", "5m", "17m"]);
        let offset = pick(random, &["", "", " offset 3m"]);
        format!("{name}{labels}[{range}]{offset}")
    };
    if depth == 0 {
        return match random.random_range(0..4) {
            0 => gauge(random),
            1 => format!("{}({})", pick(random, &["rate", "increase", "irate", "changes", "resets"]), counter(random)),
            2 => {
                let function =
                    pick(random, &["avg", "sum", "count", "min", "max", "last", "present", "stddev", "stdvar"]);
                format!(
                    "{function}_over_time({}[{}])",
                    pick(random, &["load", "temperature{zone=\"a\"}"]),
                    pick(random, &["1m", "4m", "20m"])
                )
            }
            _ => {
                let function = pick(random, &["delta", "idelta", "deriv"]);
                format!("{function}({}[{}])", pick(random, &["load", "temperature"]), pick(random, &["2m", "6m"]))
            }
        };
    }
    let inner = vector(random, depth - 1);
    match random.random_range(0..14) {
        0 => {
            let function = pick(random, &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            let by = pick(random, &["", "by (zone) ", "without (pod) ", "by (pod, nothing) "]);
            format!("{function} {by}({inner})")
        }
        // Which of equal values are on top is open.
        1 => format!("topk by (zone) ({}, {})", random.random_range(0..3), gauge(random)),
        2 => format!("quantile by (pod) ({}, {inner})", pick(random, &["0.5", "0.9", "0"])),
        3 => {
            let operator = pick(random, &["+", "-", "*", "/", "%", "^", ">", "<=", "== bool", "!=", "> bool", "atan2"]);
            format!("({inner}) {operator} {}", pick(random, &["2", "0.5", "-3", "10"]))
        }
        4 => {
            let operator = pick(random, &["+", "-", "*", "/", ">", "and", "or", "unless"]);
            let matching = pick(random, &["", "on (zone, pod, job, service_name) ", "ignoring (nothing) "]);
            let other = vector(random, 0);
            format!("({inner}) {operator} {matching}({other})")
        }
        5 => {
            let other = vector(random, 0);
            format!("({inner}) / on (zone) group_left sum by (zone) ({other})")
        }
        6 => {
            let function = pick(random, &["abs", "ceil", "floor", "sgn", "exp", "sqrt", "ln", "atan", "deg"]);
            format!("{function}({inner})")
        }
        7 => format!("clamp({inner}, -5, {})", random.random_range(-10..30)),
        8 => format!("round({inner}, {})", pick(random, &["1", "0.25", "10"])),
        9 => format!("label_replace({inner}, \"to\", \"$1-x\", \"pod\", \"p(.)\")"),
        10 => format!("label_join({inner}, \"to\", \"/\", \"zone\", \"pod\")"),
        11 => {
            let function = pick(random, &["max", "avg", "sum", "quantile", "count"]);
            let parameter = if function == "quantile" { "0.7, " } else { "" };
            format!("{function}_over_time({parameter}({inner})[247s:{}])", pick(random, &["30s", "50s", "1m"]))
        }
        12 => format!("-({inner})"),
        _ => pick(
            random,
            &[
                "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[3m])))",
                "histogram_quantile(0.5, latency_bucket)",
                "absent(temperature{zone=\"nowhere\"})",
                "absent_over_time(load{pod=\"p3\"}[2m])",
                "vector(time()) + scalar(max(load))",
                "hour(vector(time())) + on () minute() * on () day_of_week()",
                "predict_linear(temperature[5m], 600)",
                "quantile(2, load) or quantile by (zone) (-1, load)",
                "count_values(\"value\", round(load, 25))",
                "timestamp(load) - on (zone, pod) timestamp(temperature)",
                "bottomk(2, load) or sum without (zone) (load)",
                "scalar(sum(load)) * time()",
            ],
        ),
    }
}

async fn ask(client: &reqwest::Client, base: &str, path: &str, parameters: &[(&str, &str)]) -> Json {
    let response = client.post(format!("{base}{path}")).form(parameters).send().await.expect("an answer");
    response.json().await.expect("JSON")
}

/// Series by their labels, and samples by their times.
fn points(answer: &Json) -> BTreeMap<String, BTreeMap<i64, f64>> {
    let mut all = BTreeMap::new();
    let number = |value: &Json| match value.as_str().unwrap_or_default() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().expect("a number"),
    };
    let time = |value: &Json| (value.as_f64().expect("a time") * 1000.0).round() as i64;
    let result = &answer["data"]["result"];
    if answer["data"]["resultType"] == "scalar" {
        return BTreeMap::from([(String::new(), BTreeMap::from([(time(&result[0]), number(&result[1]))]))]);
    }
    for series in result.as_array().expect("series") {
        let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone()).expect("labels");
        let single = [series["value"].clone()];
        let values = series["values"].as_array().map_or(&single[..], Vec::as_slice);
        let values = values.iter().map(|pair| (time(&pair[0]), number(&pair[1]))).collect();
        all.insert(format!("{labels:?}"), values);
    }
    all
}

/// Equal within rounding; of differences of large numbers what matters is their size.
#[allow(clippy::float_cmp)] // infinities are equal to themselves
fn is_near(left: f64, right: f64) -> bool {
    left == right
        || (left.is_nan() && right.is_nan())
        || (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1e-3)
}

fn differs(ours: &Json, theirs: &Json) -> Option<String> {
    if ours["status"] != theirs["status"] {
        return Some(format!("ours {ours}\ntheirs {theirs}"));
    }
    if ours["status"] != "success" {
        return None;
    }
    let (ours, theirs) = (points(ours), points(theirs));
    if let Some(key) = ours.keys().find(|key| !theirs.contains_key(*key)) {
        return Some(format!("only ours has {key}; theirs {:?}", theirs.keys()));
    }
    for (key, expected) in &theirs {
        let Some(found) = ours.get(key) else { return Some(format!("only theirs has {key}; ours {:?}", ours.keys())) };
        if found.keys().ne(expected.keys()) {
            return Some(format!("{key} has other times: {found:?}, {expected:?}"));
        }
        for (time, expected) in expected {
            if !is_near(found[time], *expected) {
                return Some(format!("{key} at {time}: {}, {expected}", found[time]));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_are_answered_as_prometheus_answers_them() {
    let Some(programs) = tool("MANGRU_TEST_PROMETHEUS") else { return };
    let seed: u64 = std::env::var("MANGRU_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    let queries: usize =
        std::env::var("MANGRU_TEST_QUERIES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000);
    let all = random_series(seed);
    let (folder, data) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let theirs = prometheus(&programs, folder.path(), &all).await;
    let server = Server::start(data.path(), &[]);
    let (status, answer) = server.export("metrics", &otlp(&all)).await;
    assert_eq!((status, &answer["partialSuccess"]), (200, &Json::Null));

    let client = client();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut values, mut refused, mut wrong) = (0, 0, Vec::new());
    for number in 0..queries {
        if number == queries / 2 {
            server.flush().await;
        }
        let depth = random.random_range(0..4);
        let query = vector(&mut random, depth);
        let (start, end) = ("1700000300".to_owned(), (1_700_000_300 + 5 * random.random_range(1..300)).to_string());
        let step = ["15", "60s", "100"][random.random_range(0..3)];
        let is_range = random.random_range(0..3) > 0;
        let (path, parameters) = if is_range {
            ("/api/v1/query_range", vec![("query", query.as_str()), ("start", &start), ("end", &end), ("step", step)])
        } else {
            ("/api/v1/query", vec![("query", query.as_str()), ("time", &end)])
        };
        let (ours, expected) =
            tokio::join!(ask(&client, &server.ui, path, &parameters), ask(&client, &theirs.address, path, &parameters));
        refused += usize::from(expected["status"] != "success");
        values += expected["data"]["result"].as_array().map_or(0, Vec::len);
        if let Some(difference) = differs(&ours, &expected) {
            wrong.push(format!("{query} from {start} to {end} by {step} ({path}): {difference}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {queries} differ, among them\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n\n")
    );
    assert!(values > queries, "the queries find too little: {values} series");
    assert!(refused < queries / 4, "too many queries are refused: {refused}");
}
