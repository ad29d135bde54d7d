//! Other readers open what the store wrote, while the server runs: pyarrow and DuckDB the part files, DuckDB the catalog as a
//! lake. What they see is what the server's own SQL answers.

mod harness;

use harness::{Server, logs, tool};
use serde_json::{Value as Json, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

const TIME: u64 = 1_700_000_000_000_000_000;

/// The same question to the server and to DuckDB; the second text is given where their dialects differ.
const QUESTIONS: &[(&str, Option<&str>)] = &[
    ("SELECT count(*), sum(severity_number), min(body), max(body) FROM logs", None),
    ("SELECT service_name, count(*) FROM logs GROUP BY 1 ORDER BY 1", None),
    ("SELECT body FROM logs WHERE severity_number >= 17 ORDER BY body LIMIT 7", None),
    (
        "SELECT count(*) FROM logs WHERE attr(attributes, 'parity') = 'odd'",
        Some("SELECT count(*) FROM logs WHERE attributes['parity'] = 'odd'"),
    ),
    ("SELECT count(*), sum(duration_ns), min(duration_ns), max(duration_ns), count(parent_span_id) FROM spans", None),
    ("SELECT name, kind, status_code, count(*), sum(duration_ns) FROM spans GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", None),
    (
        "SELECT DISTINCT trace_id FROM spans ORDER BY 1",
        Some("SELECT DISTINCT lower(hex(trace_id)) FROM spans ORDER BY 1"),
    ),
    ("SELECT count(*), max(events) FROM spans WHERE events IS NOT NULL", None),
    (
        "SELECT metric_name, metric_type, count(*), sum(value_int), sum(value_double) FROM metric_points GROUP BY 1, 2 ORDER BY 1",
        None,
    ),
    (
        "SELECT sum(\"count\"), sum(\"sum\"), max(\"max\"), sum(bucket_counts[2]), min(explicit_bounds[1]) FROM metric_points",
        None,
    ),
    ("SELECT count(DISTINCT series_id), min(attributes), max(attributes) FROM metric_points", None),
];

fn log_request(part: u64) -> Json {
    let records: Vec<_> = (part * 100..part * 100 + 100)
        .map(|number| {
            let parity = if number % 2 == 0 { "even" } else { "odd" };
            (format!("line {number:03} 결제 'quoted'"), vec![("parity", parity.to_owned())])
        })
        .collect();
    let mut request = logs(if part == 0 { "first" } else { "second" }, TIME + part * 1000, &records);
    for number in 0..10 {
        request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][number * 9]["severityNumber"] = json!(17);
    }
    request
}

fn span_request(part: u64) -> Json {
    let spans: Vec<Json> = (part * 100..part * 100 + 100)
        .map(|number| {
            let start = TIME + number * 1_000_000;
            let mut span = json!({
                "traceId": format!("{:032x}", number / 10 + 1), "spanId": format!("{:016x}", number + 1),
                "name": format!("work {}", number % 7), "kind": number % 6,
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + number * 977).to_string(),
                "status": { "code": number % 3 },
            });
            if number % 10 > 0 {
                span["parentSpanId"] = json!(format!("{:016x}", number / 10 * 10 + 1));
            }
            if number % 4 == 0 {
                span["events"] = json!([{ "name": format!("event {number:03}"), "timeUnixNano": start.to_string() }]);
            }
            span
        })
        .collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

fn metric_request(part: u64) -> Json {
    let time = |number: u64| (TIME + part * 1_000_000_000 + number).to_string();
    let pod = |number: u64| json!([{ "key": "pod", "value": { "stringValue": format!("pod-{number}") } }]);
    let points = |value: fn(u64) -> (&'static str, Json)| -> Vec<Json> {
        (0..20)
            .map(|number| {
                let (name, value) = value(number);
                json!({ "timeUnixNano": time(number), "attributes": pod(number % 5), name: value })
            })
            .collect()
    };
    let buckets: Vec<Json> = (0..10_u64)
        .map(|number| {
            json!({
                "timeUnixNano": time(number), "attributes": pod(number), "count": "6", "sum": 20.5 + number as f64, "max": number,
                "bucketCounts": ["1", "2", "3"], "explicitBounds": [5.0, 10.0],
            })
        })
        .collect();
    let metrics = json!([
        { "name": "whole", "gauge": { "dataPoints": points(|number| ("asInt", json!(number.to_string()))) } },
        { "name": "broken", "gauge": { "dataPoints": points(|number| ("asDouble", json!(number as f64 / 4.0))) } },
        { "name": "times", "histogram": { "aggregationTemporality": 2, "dataPoints": buckets } },
    ]);
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": metrics }] }] })
}

/// Runs `tests/python/read_parts.py` over a data folder.
fn read_by_others(python: &std::path::Path, server: &Server, questions: &Json) -> Json {
    let mut child = Command::new(python)
        .arg("tests/python/read_parts.py")
        .arg(&server.data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    child.stdin.take().expect("stdin").write_all(questions.to_string().as_bytes()).expect("questions");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the readers failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_catalog_are_read_by_duckdb_and_pyarrow() {
    let Some(python) = tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for part in 0..3 {
        for (signal, request) in
            [("logs", log_request(part)), ("traces", span_request(part)), ("metrics", metric_request(part))]
        {
            assert_eq!(server.export(signal, &request).await, (200, json!({})));
        }
        server.flush().await;
    }
    let of_duckdb: Vec<&str> = QUESTIONS.iter().map(|(server, other)| other.unwrap_or(server)).collect();
    // The server goes on running while others read.
    let seen = read_by_others(&python, &server, &json!(of_duckdb));
    for (table, rows) in [("logs", 300), ("spans", 300), ("metric_points", 150)] {
        let expected = json!({ "files": 3, "pyarrow_rows": rows, "duckdb_rows": rows });
        assert_eq!(seen["files"][table], expected, "{table}");
    }
    for ((question, _), answer) in QUESTIONS.iter().zip(seen["lake"].as_array().expect("answers")) {
        let own = json!(server.sql(question, 100).await);
        assert_eq!(&own, answer, "{question}");
        assert_ne!(own, json!([]), "{question} finds something");
    }
    assert_eq!(server.count("logs", "parity:odd").await, 150);
    assert_eq!(server.count("logs", "level>=error").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn duckdb_counts_every_row_once_while_parts_are_sealed_and_merged() {
    let Some(python) = tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut watcher = Command::new(python)
        .arg("tests/python/watch_lake.py")
        .arg(&server.data_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python runs");
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let mut part = 0;
    // Each part has 100 rows, 10 of severity 17 and 90 of 9.
    while server.get("/api/v1/status", &[]).await["merged_parts"].as_u64() < Some(24) {
        assert!(std::time::Instant::now() < deadline, "parts are not merged");
        assert_eq!(server.export("logs", &log_request(part)).await.0, 200);
        server.flush().await;
        part += 1;
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
    }
    drop(watcher.stdin.take());
    let output = watcher.wait_with_output().expect("python ends");
    assert!(output.status.success(), "DuckDB failed");
    let looks: Vec<[u64; 3]> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(looks.len() > 3, "only {} looks", looks.len());
    for [rows, distinct, severities] in &looks {
        assert_eq!((rows % 100, rows), (0, distinct), "whole parts, each row once");
        assert_eq!(*severities, rows / 100 * (10 * 17 + 90 * 9));
    }
    assert!(looks.is_sorted(), "rows come and do not go: {looks:?}");
    assert_eq!(looks.last().expect("a look")[0], part * 100);
    assert_eq!(server.count("logs", "").await, part * 100);
}
