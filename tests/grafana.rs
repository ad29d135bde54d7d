//! Grafana's provisioning: every data source's health check and every panel's query is answered.

mod harness;

use harness::{Server, client};
use serde_json::{Value as Json, json};

/// What Grafana puts in the place of its variables.
fn filled(query: &str) -> String {
    query.replace("$__rate_interval", "5m").replace("$__auto", "1m")
}

async fn fill(server: &Server) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    let span = |id: &str, parent: &str, kind: u8, code: u8, start: i64| {
        json!({
            "traceId": "5982fe77008310cc80f1da5e10147517", "spanId": id, "parentSpanId": parent, "name": "work", "kind": kind,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 50_000_000).to_string(), "status": { "code": code },
        })
    };
    let of = |service: &str, spans: Vec<Json>| {
        json!({
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
            "scopeSpans": [{ "spans": spans }],
        })
    };
    let start = now - 60_000_000_000;
    let spans = json!({ "resourceSpans": [
        of("web", vec![span("0000000000000001", "", 2, 0, start), span("0000000000000002", "0000000000000001", 3, 0, start + 1_000)]),
        of("db", vec![span("0000000000000003", "0000000000000002", 2, 2, start + 2_000)]),
    ] });
    assert_eq!(server.export("traces", &spans).await.0, 200);
    let mut logs = harness::logs("web", start as u64, &[("it failed".to_owned(), Vec::new())]);
    logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["severityNumber"] = 17.into();
    assert_eq!(server.export("logs", &logs).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboard_has_an_answer() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana");
    let dashboard = std::fs::read_to_string(root.join("dashboards/overview.json")).expect("a dashboard");
    let dashboard: Json = serde_json::from_str(&dashboard).expect("JSON");
    let sources = std::fs::read_to_string(root.join("provisioning/datasources/mangru.yaml")).expect("data sources");
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = &panel["title"];
        let uid = panel["datasource"]["uid"].as_str().expect("a data source");
        assert!(sources.contains(&format!("uid: {uid}")), "{title} is of {uid}, which is not provisioned");
        for target in panel["targets"].as_array().expect("targets") {
            let (path, name, query) = match panel["datasource"]["type"].as_str().unwrap_or_default() {
                "prometheus" => ("/api/v1/query", "query", &target["expr"]),
                "loki" => ("/loki/api/v1/query_range", "query", &target["expr"]),
                "tempo" => ("/tempo/api/search", "q", &target["query"]),
                other => panic!("{title} is of {other}"),
            };
            let query = filled(query.as_str().expect("a query"));
            let answer = server.get(path, &[(name, &query)]).await;
            let found = answer["data"]["result"].as_array().or(answer["traces"].as_array());
            assert!(found.is_some_and(|found| !found.is_empty()), "{title}: {query}: {answer}");
            asked += 1;
        }
    }
    assert!(asked >= 7, "only {asked} queries");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_data_source_is_healthy() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let prometheus = server.get("/api/v1/query", &[("query", "1+1"), ("time", "4")]).await;
    assert_eq!(prometheus["data"]["result"], json!([4, "2"]));
    let loki = server.get("/loki/api/v1/query", &[("query", "vector(1)+vector(1)"), ("time", "4000000000")]).await;
    assert_eq!(loki["data"]["result"], json!([{ "metric": {}, "value": [4_000_000_000_i64, "2"] }]));
    let jaeger = server.get("/api/services", &[]).await;
    assert_eq!(jaeger["data"], json!(["db", "web"]));
    let zipkin = server.get("/api/v2/services", &[]).await;
    assert_eq!(zipkin, json!(["db", "web"]));
    let echo = client().get(format!("{}/tempo/api/echo", server.ui)).send().await.expect("an answer");
    assert_eq!(echo.text().await.expect("text"), "echo");
    let elastic = client().get(format!("{}/elastic/", server.ui)).send().await.expect("an answer");
    assert_eq!(elastic.headers()["x-elastic-product"], "Elasticsearch");
    assert_eq!(elastic.json::<Json>().await.expect("JSON")["version"]["number"], "8.17.0");
    assert_eq!(server.get("/elastic/_cluster/health", &[]).await["status"], "green");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_graph_is_computed_from_spans() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    for _ in 0..2 {
        let of = async |query: &str| {
            let answer = server.get("/api/v1/query", &[("query", query)]).await;
            let mut all: Vec<(Json, String)> = Vec::new();
            for series in answer["data"]["result"].as_array().expect("series") {
                all.push((series["metric"].clone(), series["value"][1].as_str().expect("a number").to_owned()));
            }
            all.sort_by_key(|(labels, _)| labels.to_string());
            all
        };
        let graph = of("sum by (client, server) (traces_service_graph_request_total)").await;
        let expected = [
            (json!({ "client": "user", "server": "web" }), "1".to_owned()),
            (json!({ "client": "web", "server": "db" }), "1".to_owned()),
        ];
        assert_eq!(graph, expected);
        let failed = of("sum by (server) (traces_service_graph_request_failed_total)").await;
        assert_eq!(failed[0], (json!({ "server": "db" }), "1".to_owned()));
        let buckets = of("traces_service_graph_request_server_seconds_bucket{server=\"db\",le=\"0.1\"}").await;
        assert_eq!(buckets[0].1, "1", "50 ms are less than 100");
        let calls = of("sum by (service, span_kind) (increase(traces_spanmetrics_calls_total[10m]))").await;
        assert_eq!(calls.len(), 3, "{calls:?}");
        assert!(of("traces_service_graph_request_total{client=\"nobody\"}").await.is_empty());
        server.flush().await;
    }
}
