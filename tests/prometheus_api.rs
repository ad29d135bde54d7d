//! The parts of Prometheus' HTTP API beside queries for values: exemplars, trees of expressions, what is told of the server.

mod harness;
mod prompb;

use harness::{Server, client};
use prompb::one;
use prost::Message as _;
use serde_json::{Value as Json, json};

const T: i64 = 1_700_000_000;

/// Labels, value and time of each exemplar.
type Exemplars = Vec<(Json, Json, Json)>;

async fn fill(server: &Server) {
    let nanos = |second: i64| ((T + second) * 1_000_000_000).to_string();
    let exemplar = |second: i64, value: f64, trace: &str| {
        json!({
            "timeUnixNano": nanos(second), "asDouble": value, "traceId": trace, "spanId": "00000000000000aa",
            "filteredAttributes": [{ "key": "user", "value": { "stringValue": "u1" } }],
        })
    };
    let (first, second) = ("0000000000000000000000000000000a", "0000000000000000000000000000000b");
    let histogram = |at: i64, count: u64, exemplars: Vec<Json>| {
        json!({
            "timeUnixNano": nanos(at), "count": count.to_string(), "sum": 1.0, "explicitBounds": [0.1, 1.0],
            "bucketCounts": [count.to_string(), "0", "0"], "exemplars": exemplars,
        })
    };
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "web" } }] },
        "scopeMetrics": [{ "metrics": [
            { "name": "took", "unit": "s", "histogram": { "aggregationTemporality": 2, "dataPoints": [
                histogram(0, 1, vec![exemplar(0, 0.05, first)]),
                // The same exemplar again, and another one.
                histogram(60, 3, vec![exemplar(0, 0.05, first), exemplar(50, 7.0, second)]),
            ] } },
            { "name": "requests", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
                { "timeUnixNano": nanos(0), "asInt": "1" },
                { "timeUnixNano": nanos(60), "asInt": "4", "exemplars": [exemplar(55, 1.0, second)] },
            ] } },
        ] }],
    }] });
    assert_eq!(server.export("metrics", &body).await.0, 200);
    let series = |labels: &[(&str, &str)]| {
        labels.iter().map(|(name, value)| one::Label { name: (*name).to_owned(), value: (*value).to_owned() }).collect()
    };
    let written = one::WriteRequest {
        timeseries: vec![one::TimeSeries {
            labels: series(&[("__name__", "requests_total"), ("job", "other")]),
            samples: vec![one::Sample { value: 1.0, timestamp: T * 1000 }],
            exemplars: vec![one::Exemplar {
                labels: series(&[("trace_id", "abc")]),
                value: 2.0,
                timestamp: T * 1000 + 500,
            }],
            ..one::TimeSeries::default()
        }],
        ..one::WriteRequest::default()
    };
    let packed = snap::raw::Encoder::new().compress_vec(&written.encode_to_vec()).expect("packed");
    let request = client().post(format!("{}/api/v1/write", server.ui)).header("content-encoding", "snappy");
    let answer = request.header("content-type", "application/x-protobuf").body(packed).send().await.expect("an answer");
    assert_eq!(answer.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_belong_to_the_series_and_buckets_that_they_were_counted_in() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let (start, end) = ((T - 10).to_string(), (T + 100).to_string());
    for _ in 0..2 {
        let of = async |query: &str| {
            let asked = [("query", query), ("start", &start), ("end", &end)];
            let answer = server.get("/api/v1/query_exemplars", &asked).await;
            let mut all: Vec<(String, Exemplars)> = Vec::new();
            for series in answer["data"].as_array().expect("series") {
                let labels = &series["seriesLabels"];
                let text = |name: &str| labels[name].as_str().unwrap_or_default();
                let exemplars = series["exemplars"].as_array().expect("exemplars").iter();
                let exemplars =
                    exemplars.map(|one| (one["labels"].clone(), one["value"].clone(), one["timestamp"].clone()));
                all.push((format!("{}{}{}", text("__name__"), text("le"), text("job")), exemplars.collect()));
            }
            all
        };
        let labels =
            |trace: &str| json!({ "trace_id": format!("{trace:0>32}"), "span_id": "00000000000000aa", "user": "u1" });
        let buckets = of("histogram_quantile(0.9, rate(took_seconds_bucket[5m]))").await;
        assert_eq!(
            buckets,
            [
                ("took_seconds_bucket+Infweb".to_owned(), vec![(labels("b"), json!("7"), json!(T + 50))]),
                ("took_seconds_bucket0.1web".to_owned(), vec![(labels("a"), json!("0.05"), json!(T))]),
            ]
        );
        let counters = of("rate(requests_total[5m]) + requests_total{job=\"nobody\"}").await;
        assert_eq!(
            counters,
            [
                (
                    "requests_totalother".to_owned(),
                    vec![(json!({ "trace_id": "abc" }), json!("2"), json!(T as f64 + 0.5))]
                ),
                ("requests_totalweb".to_owned(), vec![(labels("b"), json!("1"), json!(T + 55))]),
            ]
        );
        assert!(of("took_seconds_bucket{le=\"1\"}").await.is_empty());
        assert!(of("1 + 1").await.is_empty());
        server.flush().await;
    }
    let (status, answer) = server.get_status("/api/v1/query_exemplars", &[("query", "rate(")]).await;
    assert_eq!((status, &answer["errorType"]), (400, &json!("bad_data")));
    let reversed = [("query", "a"), ("start", end.as_str()), ("end", &start)];
    assert_eq!(server.get_status("/api/v1/query_exemplars", &reversed).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_tells_of_itself_as_prometheus_does() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(client().get(format!("{}{path}", server.ui)).send().await.expect("an answer").status(), 200);
    }
    let data = async |path: &str, parameters: &[(&str, &str)]| {
        let answer = server.get(path, parameters).await;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    };
    assert_eq!(data("/api/v1/status/buildinfo", &[]).await["version"], "3.5.0");
    assert_eq!(data("/api/v1/status/flags", &[]).await["query.lookback-delta"], "5m");
    assert!(data("/api/v1/status/config", &[]).await["yaml"].as_str().is_some_and(|yaml| yaml.starts_with("global:")));
    let runtime = data("/api/v1/status/runtimeinfo", &[]).await;
    assert_eq!((&runtime["corruptionCount"], &runtime["reloadConfigSuccess"]), (&json!(0), &json!(true)));
    assert_eq!(data("/api/v1/targets", &[]).await["activeTargets"], json!([]));
    assert_eq!(data("/api/v1/targets/metadata", &[]).await, json!([]));
    assert_eq!(data("/api/v1/alertmanagers", &[]).await["activeAlertmanagers"], json!([]));
    assert!(data("/api/v1/status/tsdb", &[("limit", "3")]).await["headStats"]["numSeries"].is_u64());
    let tree = data("/api/v1/parse_query", &[("query", "sum by (a) (rate(x[5m]))")]).await;
    assert_eq!((&tree["type"], &tree["expr"]["type"]), (&json!("aggregation"), &json!("call")), "{tree}");
    assert_eq!(data("/api/v1/format_query", &[("query", "sum by(a)(x)")]).await, "sum by (a) (x)");

    // Limits, timeouts and figures of a query.
    let at = T.to_string();
    let asked = [("query", "took_seconds_bucket"), ("time", &at), ("limit", "2"), ("stats", "all"), ("timeout", "30s")];
    let answer = server.get("/api/v1/query", &asked).await;
    assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["warnings"], json!(["results truncated due to limit"]));
    assert!(answer["data"]["stats"]["samples"]["totalQueryableSamples"].is_u64());
    assert_eq!(server.get_status("/api/v1/query", &[("query", "1"), ("timeout", "soon")]).await.0, 400);
    let range = [("start", at.as_str()), ("end", &at), ("limit", "1")];
    let names = server.get("/api/v1/labels", &range).await;
    assert_eq!(
        (names["data"].as_array().map(Vec::len), &names["warnings"][0]),
        (Some(1), &json!("results truncated due to limit"))
    );
    // What is odd about a question is told beside its answer.
    let answer = server
        .get(
            "/api/v1/query",
            &[("query", "rate(took_seconds_sum[5m]) and quantile(2, took_seconds_count)"), ("time", &at)],
        )
        .await;
    assert!(
        answer["warnings"][0].as_str().is_some_and(|text| text.starts_with("PromQL warning: quantile")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn target_info_tells_what_a_resource_says_to_every_series_of_its_target() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[("MANGRU_QUERY_PROMQL_EXPERIMENTAL_FUNCTIONS", "true")]);
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let resource = |instance: &str, host: &str| {
        let points: Vec<Json> = (0..3)
            .map(|n| json!({ "timeUnixNano": ((T + 60 * n) * 1_000_000_000).to_string(), "asDouble": n }))
            .collect();
        json!({
            "resource": { "attributes": [
                text("service.name", "cart"), text("service.namespace", "shop"), text("service.instance.id", instance),
                text("host.name", host), text("k8s.pod.labels.app", "a"), text("k8s.pod.labels_app", "b"),
            ] },
            "scopeMetrics": [{ "metrics": [{ "name": "load", "gauge": { "dataPoints": points } }] }],
        })
    };
    let nameless = json!({
        "resource": { "attributes": [text("host.name", "z")] },
        "scopeMetrics": [{ "metrics": [{ "name": "load", "gauge": { "dataPoints": [
            { "timeUnixNano": (T * 1_000_000_000).to_string(), "asDouble": 1.0 },
        ] } }] }],
    });
    let body = json!({ "resourceMetrics": [resource("i-1", "h1"), resource("i-2", "h2"), nameless] });
    assert_eq!(server.export("metrics", &body).await.0, 200);
    let at = async |query: &str, second: i64| {
        let time = (T + second).to_string();
        let answer = server.get("/api/v1/query", &[("query", query), ("time", &time)]).await;
        let mut all: Vec<(String, Json)> = answer["data"]["result"]
            .as_array()
            .unwrap_or_else(|| panic!("{query}: {answer}"))
            .iter()
            .map(|series| (series["metric"].to_string(), series["value"][1].clone()))
            .collect();
        all.sort_by(|left, right| left.0.cmp(&right.0));
        all
    };
    let info = |instance: &str, host: &str| {
        let labels = json!({
            "__name__": "target_info", "host_name": host, "instance": instance, "job": "shop/cart", "k8s_pod_labels_app": "a;b",
        });
        (labels.to_string(), json!("1"))
    };
    for _ in 0..2 {
        assert_eq!(at("target_info", 120).await, [info("i-1", "h1"), info("i-2", "h2")]);
        assert_eq!(at(r#"target_info{host_name="h2"}"#, 120).await, [info("i-2", "h2")]);
        assert_eq!(at("target_info", 120 + 299).await.len(), 2, "within the lookback");
        assert_eq!(at("target_info", 120 + 300).await, [], "and not behind it");
        let joined = "sum by (host_name) (load * on (job, instance) group_left (host_name) target_info)";
        let both = |value: &str| ["h1", "h2"].map(|host| (json!({ "host_name": host }).to_string(), json!(value)));
        assert_eq!(at(joined, 120).await, both("2"));
        assert_eq!(at(r#"sum by (host_name) (info(load, {host_name=~".+"}))"#, 120).await, both("2"));
        let selected = at(r#"{job="shop/cart", __name__=~".+"}"#, 120).await;
        assert_eq!(selected.len(), 4, "two of the metric, two of the targets: {selected:?}");
        let (start, end) = ((T - 10).to_string(), (T + 200).to_string());
        let names = server.get("/api/v1/label/__name__/values", &[("start", &start), ("end", &end)]).await;
        assert_eq!(names["data"], json!(["load", "target_info"]));
        server.flush().await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_opentelemetry_can_be_asked_for_with_their_dots() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let time = (T * 1_000_000_000).to_string();
    let histogram = |route: &str, count: u64| {
        json!({
            "timeUnixNano": time, "count": count.to_string(), "sum": 1.5, "explicitBounds": [0.1],
            "bucketCounts": [count.to_string(), "0"], "attributes": [text("http.route", route)],
        })
    };
    let body = json!({ "resourceMetrics": [{
        "resource": { "attributes": [text("service.name", "web")] },
        "scopeMetrics": [{ "metrics": [
            { "name": "http.server.request.duration", "unit": "s", "histogram": {
                "aggregationTemporality": 2, "dataPoints": [histogram("/cart", 3), histogram("/pay", 4)],
            } },
            { "name": "http.server.requests", "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
                { "timeUnixNano": time, "asInt": "7" },
            ] } },
        ] }],
    }] });
    assert_eq!(server.export("metrics", &body).await.0, 200);
    let at = async |query: &str| {
        let time = T.to_string();
        let answer = server.get("/api/v1/query", &[("query", query), ("time", &time)]).await;
        let found = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone();
        let mut all: Vec<(Json, Json)> =
            found.into_iter().map(|series| (series["metric"].clone(), series["value"][1].clone())).collect();
        all.sort_by_key(|(labels, _)| labels.to_string());
        all
    };
    for _ in 0..2 {
        let requests = json!({ "__name__": "http.server.requests", "job": "web", "service.name": "web" });
        assert_eq!(at(r#"{"http.server.requests"}"#).await, [(requests, json!("7"))]);
        let translated = json!({ "__name__": "http_server_requests_total", "job": "web", "service_name": "web" });
        assert_eq!(at("http_server_requests_total").await, [(translated, json!("7"))]);
        let of_route =
            at(r#"sum by ("http.route") ({"http.server.request.duration_count", "http.route"=~"/.*"})"#).await;
        let route = |route: &str, count: &str| (json!({ "http.route": route }), json!(count));
        assert_eq!(of_route, [route("/cart", "3"), route("/pay", "4")]);
        let bucket = at(r#"{"http.server.request.duration_bucket", "http.route"="/pay", le="0.1"}"#).await;
        assert_eq!(bucket.len(), 1, "{bucket:?}");
        let both = at(r#"{"http.server.requests"} * 0 + on (job) http_server_requests_total"#).await;
        assert_eq!(both, [(json!({ "job": "web" }), json!("7"))], "both names in one question");
        assert_eq!(at(r#"{"http.server"}"#).await, []);
        server.flush().await;
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_calls_experimental_needs_the_setting() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for query in ["sum(mad_over_time(up[5m]))", "limitk(2, up)", "-info(up)", "sort_by_label(up, \"a\")"] {
        let (status, answer) = server.get_status("/api/v1/query", &[("query", query)]).await;
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains("query.promql_experimental_functions"), "{query}: {status} {answer}");
    }
    server.stop();
}
