//! Prometheus remote write: what was written is kept durably and given back under the same names and labels, and random queries over it
//! are answered as a real Prometheus answers them to which the same bytes were written.

mod harness;
mod prompb;

use harness::{Prometheus, Server, client, tool};
use prompb::{Histogram, Span, one, two};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const STALE: u64 = 0x7ff0_0000_0000_0002;

fn labels(pairs: &[(&str, &str)]) -> Vec<one::Label> {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs.into_iter().map(|(name, value)| one::Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn series(pairs: &[(&str, &str)], samples: &[(i64, f64)]) -> one::TimeSeries {
    one::TimeSeries {
        labels: labels(pairs),
        samples: samples
            .iter()
            .map(|(timestamp, value)| one::Sample { value: *value, timestamp: *timestamp })
            .collect(),
        ..one::TimeSeries::default()
    }
}

fn histogram(timestamp: i64) -> Histogram {
    Histogram {
        count: 21,
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        reset_hint: 0,
        zero_count: 2,
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_deltas: vec![4],
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
        positive_deltas: vec![5, 2, -4],
        timestamp,
    }
}

const ONE: &str = "application/x-protobuf";
const TWO: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Writes as Prometheus does.
async fn write(address: &str, kind: &str, message: &[u8]) -> reqwest::Response {
    let packed = snap::raw::Encoder::new().compress_vec(message).expect("packed");
    let version = if kind == TWO { "2.0.0" } else { "0.1.0" };
    client()
        .post(format!("{address}/api/v1/write"))
        .header("content-type", kind)
        .header("content-encoding", "snappy")
        .header("x-prometheus-remote-write-version", version)
        .header("user-agent", "Prometheus/3.5.0")
        .body(packed)
        .send()
        .await
        .expect("an answer")
}

async fn query(address: &str, path: &str, parameters: &[(&str, &str)]) -> Json {
    let response = client().post(format!("{address}{path}")).form(parameters).send().await.expect("an answer");
    response.json().await.expect("JSON")
}

/// Labels and value of an instant query's series.
async fn instant(server: &Server, expression: &str, time: &str) -> Vec<(Json, String)> {
    let answer = query(&server.ui, "/api/v1/query", &[("query", expression), ("time", time)]).await;
    assert_eq!(answer["status"], "success", "{expression}: {answer}");
    let all = answer["data"]["result"].as_array().expect("series");
    all.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap_or_default().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_labels_come_back_as_they_were_written_at_any_time() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let own = [
        ("__name__", "http_requests__total_bytes"),
        ("job", "team/web"),
        ("instance", "10.0.0.1:9100"),
        ("service_name", "other"),
        ("otel_scope_name", "x"),
        ("http.route", "/a b"),
        ("le", "0.50"),
        ("zone", "서울"),
    ];
    let request = one::WriteRequest {
        timeseries: vec![
            series(&own, &[(0, 1.0), (15_000, 2.0), (30_000, f64::from_bits(STALE))]),
            // Out of order, and before 1970.
            series(&own, &[(7_000, 1.5), (-60_000, 0.5)]),
            series(&[("__name__", "가.나"), ("job", "j")], &[(1_000, f64::NAN), (2_000, f64::INFINITY)]),
        ],
        metadata: vec![one::Metadata {
            kind: 1,
            family: "http_requests__total_bytes".to_owned(),
            help: "Bytes of requests.".to_owned(),
            unit: "bytes".to_owned(),
        }],
    };
    for address in [server.ui.clone(), format!("http://{}", server.http)] {
        let answer = write(&address, ONE, &request.encode_to_vec()).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["x-prometheus-remote-write-samples-written"], "7");
    }
    let expected: BTreeMap<&str, &str> = own.into_iter().collect();
    for _ in 0..2 {
        for (time, value) in [("0", "1"), ("7", "1.5"), ("16", "2"), ("-59", "0.5")] {
            let found = instant(&server, "http_requests__total_bytes", time).await;
            assert_eq!(found, [(json!(expected), value.to_owned())], "at {time}");
        }
        assert!(instant(&server, "http_requests__total_bytes", "31").await.is_empty(), "the series ended");
        assert_eq!(instant(&server, "{\"가.나\",job=\"j\"}", "3").await[0].1, "+Inf");
        let names = server.get("/api/v1/label/__name__/values", &[("start", "-100"), ("end", "100")]).await;
        assert_eq!(names["data"], json!(["http_requests__total_bytes", "가.나"]));
        let metadata: Json = server.get("/api/v1/metadata", &[]).await;
        assert_eq!(
            metadata["data"]["http_requests__total_bytes"],
            json!([{ "type": "counter", "help": "Bytes of requests.", "unit": "bytes" }])
        );
        server.flush().await;
    }
    assert_eq!(
        server
            .sql(
                "SELECT DISTINCT service_name FROM metric_points WHERE metric_name LIKE 'http%' AND value_double > 0",
                10
            )
            .await,
        [[json!("web")]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn histograms_and_exemplars_of_both_versions_are_kept_and_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let name = labels(&[("__name__", "latency"), ("job", "web")]);
    let exemplar = one::Exemplar {
        labels: labels(&[("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"), ("user", "u1")]),
        value: 0.7,
        timestamp: 61_000,
    };
    let request = one::WriteRequest {
        timeseries: vec![
            one::TimeSeries { labels: name.clone(), histograms: vec![histogram(60_000)], ..one::TimeSeries::default() },
            // As Prometheus sends them: in a series of their own.
            one::TimeSeries { labels: name, exemplars: vec![exemplar], ..one::TimeSeries::default() },
        ],
        metadata: Vec::new(),
    };
    let answer = write(&server.ui, ONE, &request.encode_to_vec()).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["x-prometheus-remote-write-histograms-written"], "1");
    let symbols =
        ["", "__name__", "latency", "job", "web", "trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", "How long."];
    let request = two::Request {
        symbols: symbols.map(str::to_owned).to_vec(),
        timeseries: vec![two::TimeSeries {
            labels_refs: vec![1, 2, 3, 4],
            histograms: vec![histogram(120_000)],
            exemplars: vec![two::Exemplar { labels_refs: vec![5, 6], value: 0.9, timestamp: 120_000 }],
            metadata: Some(two::Metadata { kind: 3, help_ref: 7, unit_ref: 0 }),
            ..two::TimeSeries::default()
        }],
    };
    let answer = write(&server.ui, TWO, &request.encode_to_vec()).await;
    assert_eq!(answer.status(), 204);
    for (kind, count) in [("samples", "0"), ("histograms", "1"), ("exemplars", "1")] {
        assert_eq!(answer.headers()[&format!("x-prometheus-remote-write-{kind}-written")], count, "{kind}");
    }
    for _ in 0..2 {
        let rows = server
            .sql(
                "SELECT metric_type, scale, zero_count, zero_threshold, positive_offset, array_to_string(positive_bucket_counts, ','), \
                 negative_offset, array_to_string(negative_bucket_counts, ','), \"count\", \"sum\", aggregation_temporality \
                 FROM metric_points WHERE metric_name = 'latency' AND \"count\" > 0",
                10,
            )
            .await;
        let expected = json!(["exponential_histogram", 1, 2, 0.001, -1, "5,7,0,3", -1, "4", 21, 18.4, 2]);
        assert_eq!(json!(rows), json!([expected, expected]));
        let exemplars = server
            .sql("SELECT count(*) FROM metric_points WHERE exemplars LIKE '%4bf92f3577b34da6a3ce929d0e0e4736%'", 10)
            .await;
        assert_eq!(json!(exemplars), json!([[2]]));
        let metadata: Json = server.get("/api/v1/metadata", &[]).await;
        assert_eq!(metadata["data"]["latency"][0]["type"], "histogram");
        let story = server.get("/api/v1/story/4bf92f3577b34da6a3ce929d0e0e4736", &[]).await;
        assert_eq!(story["entries"].as_array().map(Vec::len), Some(2), "{story}");
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_by_name_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let request = one::WriteRequest {
        timeseries: vec![
            series(&[("__name__", "good")], &[(1_000, 1.0)]),
            series(&[("job", "nameless")], &[(1_000, 1.0)]),
            one::TimeSeries {
                labels: [labels(&[("__name__", "twice")]), labels(&[("a", "1")]), labels(&[("a", "2")])].concat(),
                samples: vec![one::Sample { value: 1.0, timestamp: 1 }],
                ..one::TimeSeries::default()
            },
            one::TimeSeries {
                labels: labels(&[("__name__", "bad_histogram")]),
                histograms: vec![Histogram { positive_deltas: vec![1], ..histogram(1) }],
                ..one::TimeSeries::default()
            },
        ],
        metadata: Vec::new(),
    };
    let answer = write(&server.ui, ONE, &request.encode_to_vec()).await;
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["x-prometheus-remote-write-samples-written"], "1");
    let said = answer.text().await.expect("text");
    for part in
        ["timeseries[1]: labels: __name__", "timeseries[2]: labels: a stands twice", "timeseries[3]: bad_histogram"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(instant(&server, "good", "2").await.len(), 1, "the good series was kept");
    let references = two::Request {
        symbols: vec![String::new(), "__name__".to_owned()],
        timeseries: vec![two::TimeSeries { labels_refs: vec![1, 9], ..two::TimeSeries::default() }],
    };
    for (kind, encoding, body, status) in [
        (ONE, "snappy", vec![0xff; 40], 400),
        (ONE, "gzip", Vec::new(), 415),
        ("application/json", "snappy", Vec::new(), 415),
        ("application/x-protobuf;proto=other", "snappy", Vec::new(), 415),
        (TWO, "snappy", snap::raw::Encoder::new().compress_vec(&references.encode_to_vec()).expect("packed"), 400),
        // A bomb: it says that it is a gigabyte long.
        (ONE, "snappy", vec![0x80, 0x80, 0x80, 0x80, 0x04, 0x00], 413),
    ] {
        let request = client().post(format!("{}/api/v1/write", server.ui)).header("content-type", kind);
        let answer = request.header("content-encoding", encoding).body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{kind} {encoding}");
        assert!(answer.text().await.is_ok_and(|text| text.len() > 10), "{kind} {encoding}: no reason");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for number in 0..20 {
        let request = one::WriteRequest {
            timeseries: vec![series(&[("__name__", "kept"), ("number", &number.to_string())], &[(5_000, 1.0)])],
            metadata: Vec::new(),
        };
        assert_eq!(write(&server.ui, ONE, &request.encode_to_vec()).await.status(), 204);
    }
    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(instant(&server, "count(kept)", "6").await[0].1, "20");
}

const SAMPLES: i64 = 120;
const EVERY: i64 = 15_000;

/// Gauges and counters with odd names and labels, gaps, resets and ends.
fn random_request(random: &mut StdRng, first: i64) -> one::WriteRequest {
    let mut timeseries = Vec::new();
    for metric in ["node__load", "a:b:ratio", "requests", "http_total_bytes", "_private"] {
        for job in ["web", "team/db"] {
            for pod in 0..3 {
                let mut value = random.random_range(1_000.0..2_000.0_f64);
                let mut samples = Vec::new();
                for number in 0..SAMPLES {
                    let time = first + number * EVERY;
                    let is_gap = pod == 2 && (30..70).contains(&number);
                    match random.random_range(0..80) {
                        0 => samples.push((time, f64::from_bits(STALE))),
                        _ if is_gap => {}
                        1 => {
                            value = 0.0;
                            samples.push((time, value));
                        }
                        _ => {
                            value += random.random_range(0.0..30.0_f64).round();
                            samples.push((time, value));
                        }
                    }
                }
                let pod = format!("p{pod}");
                let pairs = [("__name__", metric), ("job", job), ("pod", &pod), ("service_name", "x"), ("le", "0.50")];
                timeseries.push(series(&pairs, &samples));
            }
        }
    }
    one::WriteRequest { timeseries, metadata: Vec::new() }
}

fn expression(random: &mut StdRng, depth: u32) -> String {
    let pick = |random: &mut StdRng, all: &[&str]| all[random.random_range(0..all.len())].to_owned();
    let name = pick(random, &["node__load", "a:b:ratio", "requests", "http_total_bytes", "_private"]);
    let labels = pick(random, &["", "{job=\"team/db\"}", "{pod=~\"p[01]\"}", "{le!=\"0.5\",service_name=\"x\"}"]);
    if depth == 0 {
        let range = pick(random, &["45s", "1m", "5m", "17m"]);
        let offset = pick(random, &["", "", " offset 3m"]);
        return match random.random_range(0..4) {
            0 => format!("{name}{labels}{offset}"),
            1 => {
                let function = pick(random, &["rate", "increase", "irate", "changes", "resets", "delta"]);
                format!("{function}({name}{labels}[{range}]{offset})")
            }
            2 => {
                let function = pick(random, &["avg", "sum", "count", "min", "max", "last", "stddev"]);
                format!("{function}_over_time({name}{labels}[{range}]{offset})")
            }
            _ => format!("{{__name__=~\"{}\",pod=\"p1\"}}", pick(random, &["_.*", "a:.*|req.*", ".*_total_.*"])),
        };
    }
    let inner = expression(random, depth - 1);
    match random.random_range(0..6) {
        0 => format!("sum by (job) ({inner})"),
        1 => format!("max without (pod, le) ({inner})"),
        2 => format!("({inner}) * 2"),
        3 => format!("label_replace({inner}, \"to\", \"$1\", \"job\", \"(.).*\")"),
        4 => format!("count({inner})"),
        _ => format!("avg_over_time(({inner})[3m1s500ms:30s])"),
    }
}

/// Series by their labels, and samples by their times in milliseconds.
fn points(answer: &Json) -> BTreeMap<String, BTreeMap<i64, f64>> {
    let number = |value: &Json| match value.as_str().unwrap_or_default() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().expect("a number"),
    };
    let all = answer["data"]["result"].as_array().expect("series");
    all.iter()
        .map(|series| {
            let labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone()).expect("labels");
            let single = [series["value"].clone()];
            let values = series["values"].as_array().map_or(&single[..], Vec::as_slice);
            let time = |pair: &Json| (pair[0].as_f64().expect("a time") * 1000.0).round() as i64;
            (format!("{labels:?}"), values.iter().map(|pair| (time(pair), number(&pair[1]))).collect())
        })
        .collect()
}

/// Equal within rounding.
#[allow(clippy::float_cmp)] // infinities are equal to themselves
fn is_same(left: &BTreeMap<i64, f64>, right: &BTreeMap<i64, f64>) -> bool {
    let near =
        |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3);
    left.len() == right.len() && left.iter().zip(right).all(|((t, a), (u, b))| t == u && near(*a, *b))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_writes_are_answered_as_prometheus_answers_them() {
    let Some(programs) = tool("MANGRU_TEST_PROMETHEUS") else { return };
    // In 1970, and in our days; no sample on the edge of a window of whole seconds, where versions of Prometheus differ.
    for first in [137, 1_700_000_000_137] {
        let (folder, data) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let theirs = Prometheus::start(&programs, folder.path(), "").await;
        let server = Server::start(data.path(), &[]);
        let mut random = StdRng::seed_from_u64(first as u64);
        let request = random_request(&mut random, first).encode_to_vec();
        assert_eq!(write(&theirs.address, ONE, &request).await.status(), 204);
        assert_eq!(write(&server.ui, ONE, &request).await.status(), 204);
        let (mut wrong, mut values) = (Vec::new(), 0);
        for number in 0..400 {
            if number == 200 {
                server.flush().await;
            }
            let depth = random.random_range(0..3);
            let expression = expression(&mut random, depth);
            let start = first / 1000 + random.random_range(100..900);
            let end = (start + random.random_range(1..900)).to_string();
            let start = start.to_string();
            let range = [("query", expression.as_str()), ("start", &start), ("end", &end), ("step", "47")];
            let moment = [("query", expression.as_str()), ("time", &end)];
            let (path, parameters) = if random.random_range(0..2) == 0 {
                ("/api/v1/query_range", &range[..])
            } else {
                ("/api/v1/query", &moment[..])
            };
            let (ours, expected) =
                tokio::join!(query(&server.ui, path, parameters), query(&theirs.address, path, parameters));
            let is_equal = ours["status"] == expected["status"]
                && (ours["status"] != "success" || {
                    let (ours, expected) = (points(&ours), points(&expected));
                    values += expected.len();
                    ours.len() == expected.len()
                        && ours.iter().zip(&expected).all(|((a, x), (b, y))| a == b && is_same(x, y))
                });
            if !is_equal {
                wrong.push(format!("{expression} from {start} to {end} ({path}):\nours {ours}\ntheirs {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{} differ, among them\n{}", wrong.len(), wrong[..wrong.len().min(4)].join("\n\n"));
        assert!(values > 500, "the queries find too little: {values}");
    }
}

/// Native histograms that grow, and begin anew now and then.
fn random_histograms(random: &mut StdRng, first: i64) -> one::WriteRequest {
    let mut timeseries = Vec::new();
    for (pod, schema) in [("p0", 0), ("p1", 1), ("p2", 1)] {
        let mut counts = [1_000_u64; 4];
        let mut sum = 5_000.0;
        let mut histograms = Vec::new();
        for number in 0..SAMPLES {
            let is_gap = pod == "p2" && (30..70).contains(&number);
            if random.random_range(0..40) == 0 {
                (counts, sum) = ([100; 4], 400.0);
            }
            for count in &mut counts {
                *count += random.random_range(0..9_u64);
            }
            sum += f64::from(random.random_range(0..50_u32));
            if is_gap {
                continue;
            }
            let [zero, a, b, c] = counts;
            let deltas = vec![a as i64, b as i64 - a as i64, c as i64 - b as i64];
            histograms.push(Histogram {
                count: counts.iter().sum(),
                sum,
                schema,
                zero_threshold: 0.001,
                zero_count: zero,
                positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
                positive_deltas: deltas,
                timestamp: first + number * EVERY,
                ..Histogram::default()
            });
        }
        let labels = labels(&[("__name__", "took"), ("job", "web"), ("pod", pod)]);
        timeseries.push(one::TimeSeries { labels, histograms, ..one::TimeSeries::default() });
    }
    one::WriteRequest { timeseries, metadata: Vec::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn native_histograms_are_answered_as_prometheus_answers_them() {
    let Some(programs) = tool("MANGRU_TEST_PROMETHEUS") else { return };
    let (folder, data) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let theirs = Prometheus::start(&programs, folder.path(), "").await;
    let server = Server::start(data.path(), &[]);
    let mut random = StdRng::seed_from_u64(3);
    let first = 1_700_000_000_137;
    let request = random_histograms(&mut random, first).encode_to_vec();
    assert_eq!(write(&theirs.address, ONE, &request).await.status(), 204);
    assert_eq!(write(&server.ui, ONE, &request).await.status(), 204);
    let (mut wrong, mut found) = (Vec::new(), 0);
    for number in 0..120 {
        if number == 60 {
            server.flush().await;
        }
        let range = ["61s", "2m", "5m"][random.random_range(0..3)];
        let of = ["rate", "increase"][random.random_range(0..2)];
        let expression = match random.random_range(0..6) {
            0 => format!("histogram_count({of}(took[{range}]))"),
            1 => format!("histogram_sum({of}(took[{range}]))"),
            2 => format!("histogram_sum(sum({of}(took[{range}])))"),
            3 => "histogram_count(sum by (job) (took))".to_owned(),
            4 => format!("histogram_fraction(0, 2, {of}(took[{range}]))"),
            _ => "histogram_fraction(-Inf, 1, sum(took))".to_owned(),
        };
        let start = first / 1000 + random.random_range(200..900);
        let (start, end) = (start.to_string(), (start + 600).to_string());
        let asked = [("query", expression.as_str()), ("start", &start), ("end", &end), ("step", "47")];
        let path = "/api/v1/query_range";
        let (ours, expected) = tokio::join!(query(&server.ui, path, &asked), query(&theirs.address, path, &asked));
        let (a, b) = (points(&ours), points(&expected));
        found += b.len();
        if a.len() != b.len() || !a.iter().zip(&b).all(|((a, x), (b, y))| a == b && is_same(x, y)) {
            wrong.push(format!("{expression} from {start}:\nours {ours}\ntheirs {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ, among them\n{}", wrong.len(), wrong[..wrong.len().min(3)].join("\n\n"));
    assert!(found > 100, "the queries find too little: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_writes_what_it_scrapes() {
    let Some(programs) = tool("MANGRU_TEST_PROMETHEUS") else { return };
    let (folder, data) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let server = Server::start(data.path(), &[]);
    let config = format!(
        "global: {{ scrape_interval: 1s, external_labels: {{ cluster: one }} }}\n\
         scrape_configs: [{{ job_name: team/self, static_configs: [{{ targets: [OWN_ADDRESS] }}] }}]\n\
         remote_write:\n\
         - url: http://{}/api/v1/write\n  \
           metadata_config: {{ send_interval: 1s }}\n  \
           queue_config: {{ batch_send_deadline: 200ms }}\n",
        server.http
    );
    let theirs = Prometheus::start(&programs, folder.path(), &config).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    let wanted =
        "count(count_over_time(prometheus_build_info[1m]) > 3) and on () go_gc_duration_seconds{quantile=\"0.5\"}";
    loop {
        let found = query(&server.ui, "/api/v1/query", &[("query", wanted)]).await;
        let metadata = server.get("/api/v1/metadata", &[]).await;
        let has_metadata = metadata["data"]["go_gc_duration_seconds"][0]["type"] == "summary";
        if found["data"]["result"].as_array().is_some_and(|found| !found.is_empty()) && has_metadata {
            break;
        }
        assert!(Instant::now() < deadline, "{found} {metadata}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Every series that Prometheus has is here under the same labels, and the label that it adds for others.
    let series = async |address: &str| {
        let answer = query(address, "/api/v1/series", &[("match[]", "{job=\"team/self\"}")]).await;
        let all = answer["data"].as_array().expect("series").clone();
        all.into_iter()
            .map(|labels| {
                let mut labels: BTreeMap<String, String> = serde_json::from_value(labels).expect("labels");
                let cluster = labels.remove("cluster");
                (format!("{labels:?}"), cluster)
            })
            .collect::<BTreeMap<_, _>>()
    };
    let (mine, own) = (series(&server.ui).await, series(&theirs.address).await);
    let missing: Vec<&String> = own.keys().filter(|labels| !mine.contains_key(*labels)).collect();
    assert!(own.len() > 300 && missing.len() < own.len() / 50, "of {} are missing {missing:?}", own.len());
    assert!(mine.values().all(|cluster| cluster.as_deref() == Some("one")));
}
