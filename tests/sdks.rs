//! The real OpenTelemetry SDKs export, and what they sent is read back field by field.

mod harness;

use harness::{ALL_TIME_END, Server, tool};
use serde_json::{Value as Json, json};
use std::process::Command;

fn run(command: &mut Command) -> Json {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the exporter prints what it sent")
}

/// Compares every member that the sender told of.
fn same(sent: &Json, row: &Json) {
    for (name, value) in sent.as_object().expect("object") {
        if name == "attributes" {
            for (key, value) in value.as_object().expect("object") {
                assert_eq!(&row["attributes"][key], value, "attribute {key} of {row}");
            }
        } else {
            assert_eq!(&row[name], value, "{name} of {row}");
        }
    }
}

async fn read_back(server: &Server, sent: &Json) {
    let service = sent["service"].as_str().expect("service");
    let query = format!("service:{service}");
    let parameters = [("query", query.as_str()), ("start", "0"), ("end", ALL_TIME_END)];
    let logs = server.get("/api/v1/logs", &parameters).await;
    let spans = server.get("/api/v1/spans", &parameters).await;
    for (kind, rows, key) in [("logs", &logs, "time_unix_nano"), ("spans", &spans, "span_id")] {
        let rows = rows["rows"].as_array().expect("rows");
        let expected = sent[kind].as_array().expect("sent");
        assert_eq!(rows.len(), expected.len(), "{kind} of {service}: {rows:?}");
        for sent in expected {
            let row =
                rows.iter().find(|row| row[key] == sent[key]).unwrap_or_else(|| panic!("{sent} is not among {rows:?}"));
            same(sent, row);
            assert_eq!(row["service_name"], service);
            assert_eq!(row["resource_attributes"]["answer"], 42);
        }
    }
    let child = spans["rows"].as_array().expect("rows").iter().find(|row| row["name"] == "child").expect("child");
    assert!(!child["events"].as_array().expect("events").is_empty());
    let trace = server.get(&format!("/api/v1/traces/{}", child["trace_id"].as_str().expect("id")), &[]).await;
    let names: Vec<&Json> = trace["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .expect("spans")
        .iter()
        .map(|span| &span["name"])
        .collect();
    assert_eq!(names.len(), 2, "{trace}");
    assert_eq!(
        trace["resourceSpans"][0]["scopeSpans"][0]["scope"],
        json!({ "name": "scope-of-tests", "version": "0.9" })
    );
    let story = server.get(&format!("/api/v1/story/{}", child["span_id"].as_str().expect("id")), &[]).await;
    assert!(story["entries"].as_array().expect("entries").len() >= 3, "the span, its parent and its log: {story}");
}

async fn metric(server: &Server, service: &str, expression: &str, name: &str) -> Json {
    let sql =
        format!("SELECT {expression} FROM metric_points WHERE service_name = '{service}' AND metric_name = '{name}'");
    let request =
        reqwest::Client::new().post(format!("{}/api/v1/sql", server.ui)).body(json!({ "sql": sql }).to_string());
    let answer: Json = request.send().await.expect("answer").json().await.expect("JSON");
    answer["rows"][0][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_python_sdk_sends_is_read_back() {
    let Some(python) = tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for (protocol, address) in [("grpc", &server.grpc), ("http", &server.http)] {
        let sent = run(Command::new(&python).args(["tests/python/export.py", protocol, address]));
        for _ in 0..2 {
            read_back(&server, &sent).await;
            let service = sent["service"].as_str().expect("service");
            assert_eq!(metric(&server, service, "value_int", "orders").await, 5);
            assert_eq!(metric(&server, service, "value_int", "open").await, -3);
            assert_eq!(metric(&server, service, "value_double", "temperature").await, 21.5);
            assert_eq!(metric(&server, service, "\"sum\"", "latency").await, 12.5);
            assert_eq!(metric(&server, service, "\"count\"", "latency").await, 1);
            server.flush().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_sdk_sends_as_json_is_read_back() {
    let Some(modules) = tool("MANGRU_TEST_NODE_MODULES") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let sent = run(Command::new("node").arg("tests/node/export.mjs").arg(&modules).arg(&server.http));
    for _ in 0..2 {
        read_back(&server, &sent).await;
        let value =
            metric(&server, "node-json", "coalesce(CAST(value_int AS DOUBLE), value_double)", "node.orders").await;
        assert_eq!(value, 4.0);
        server.flush().await;
    }
}
