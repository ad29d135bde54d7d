//! A person's way through the screens, in a real browser.

mod harness;

use harness::{Server, tool};
use serde_json::{Value as Json, json};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A rule that fires as long as the test runs.
const RULES: &str = "
groups:
- name: shop
  interval: 1s
  query_offset: 0s
  rules:
  - alert: CardDeclined
    logs: '\"card declined\"'
    count: '> 2'
    window: 15m
    by: [service.name]
    labels: {severity: page}
    annotations: {summary: '{{ $value }} cards were declined'}
";

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Two services, a trace that fails, logs that belong to it, hostile text, a metric.
async fn fill(server: &Server) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let at = |seconds_ago: u64| (now - seconds_ago * 1_000_000_000).to_string();
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>";
    let span = |id: &str, parent: &str, name: &str, kind: u8, from: u64, to: u64, error: bool| {
        json!({
            "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": name, "kind": kind,
            "startTimeUnixNano": (now - 60_000_000_000 + from * 1_000_000).to_string(),
            "endTimeUnixNano": (now - 60_000_000_000 + to * 1_000_000).to_string(),
            "status": { "code": if error { 2 } else { 0 } },
            "attributes": [text("http.route", "/pay"), text("hostile", hostile)],
            "events": [{ "timeUnixNano": (now - 60_000_000_000 + to * 1_000_000).to_string(), "name": "exception",
                "attributes": [text("exception.type", "CardDeclined"), text("exception.stacktrace", "at pay.rs:1\nat main.rs:2")] }],
        })
    };
    let resource =
        |service: &str| json!({ "attributes": [text("service.name", service), text("host.name", "node-1")] });
    let spans = json!({ "resourceSpans": [
        { "resource": resource("front"), "scopeSpans": [{ "spans": [span("00f067aa0ba902b1", "", "POST /pay", 2, 0, 250, true)] }] },
        { "resource": resource("payment"), "scopeSpans": [{ "spans": [
            span("00f067aa0ba902b2", "00f067aa0ba902b1", "Charge", 2, 20, 230, true),
            span("00f067aa0ba902b3", "00f067aa0ba902b2", "SELECT cards", 3, 40, 90, false),
        ] }] },
    ] });
    let records: Vec<Json> = (0..400_u64)
        .map(|number| {
            let failed = number % 40 == 0;
            let body =
                if failed { "card declined for ORD-77".to_owned() } else { format!("request {number} {hostile}") };
            json!({
                "timeUnixNano": at(number * 2), "severityNumber": if failed { 17 } else { 9 },
                "body": { "stringValue": body }, "traceId": if failed { TRACE } else { "" },
                "spanId": if failed { "00f067aa0ba902b2" } else { "" },
                "attributes": [text("order.id", if failed { "ORD-77" } else { "ORD-1" })],
            })
        })
        .collect();
    let logs =
        json!({ "resourceLogs": [{ "resource": resource("payment"), "scopeLogs": [{ "logRecords": records }] }] });
    let points: Vec<Json> =
        (0..20_u64).map(|number| json!({ "timeUnixNano": at(number * 15), "asInt": number.to_string() })).collect();
    let metrics = json!({ "resourceMetrics": [{ "resource": resource("payment"), "scopeMetrics": [{ "metrics": [
        { "name": "queue.depth", "unit": "1", "description": "Messages that wait.", "gauge": { "dataPoints": points } },
    ] }] }] });
    for (signal, body) in [("traces", spans), ("logs", logs), ("metrics", metrics)] {
        assert_eq!(server.export(signal, &body).await.0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_walks_through_the_screens() {
    let (Some(modules), Some(chromium)) = (tool("MANGRU_TEST_NODE_MODULES"), tool("MANGRU_TEST_CHROMIUM")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let rules = folder.path().join("alerts/rules");
    std::fs::create_dir_all(&rules).expect("folder");
    std::fs::write(rules.join("shop.yml"), RULES).expect("written");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while server.get("/api/v2/alerts", &[]).await[0].is_null() {
        assert!(std::time::Instant::now() < deadline, "no alert fires");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let shots = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    let output = Command::new("node")
        .arg("tests/node/browser.mjs")
        .args([&modules, &chromium])
        .arg(&server.ui)
        .arg(&shots)
        .arg(TRACE)
        .arg(&server.http)
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}screenshots are in {}", shots.display());
}
