//! What came in over OTLP is given out over OTLP again, from memory, from a part, and from a merged part.

mod harness;

use harness::Server;
use serde_json::{Value as Json, json};
use std::process::Command;

/// What `mangru export` prints.
fn export(server: &Server, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mangru"));
    let output = command.arg("export").args(arguments).args(["--server", &server.ui]).output().expect("runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn lines(bytes: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn resource() -> Json {
    json!({
        "attributes": [
            { "key": "service.name", "value": { "stringValue": "shop" } },
            { "key": "process.pid", "value": { "intValue": "42" } },
            { "key": "tags", "value": { "arrayValue": { "values": [{ "stringValue": "a" }, { "doubleValue": 1.5 }, {}] } } },
        ],
        "droppedAttributesCount": 2,
    })
}

fn scope() -> Json {
    json!({ "name": "lib", "version": "1.2", "attributes": [{ "key": "x", "value": { "boolValue": true } }] })
}

/// Attributes of every type, with dots in keys, a key twice and nested values; those with a column of their own first, as
/// they are given out.
fn attributes() -> Json {
    json!([
        { "key": "http.request.method", "value": { "stringValue": "GET" } },
        { "key": "http.response.status_code", "value": { "intValue": "503" } },
        { "key": "text.with.dots", "value": { "stringValue": "결제 \"quoted\"\n\u{1}" } },
        { "key": "empty", "value": { "stringValue": "" } },
        { "key": "nothing", "value": {} },
        { "key": "twice", "value": { "stringValue": "first" } },
        { "key": "twice", "value": { "intValue": "2" } },
        { "key": "big", "value": { "intValue": "-9223372036854775808" } },
        { "key": "double", "value": { "doubleValue": 0.1 } },
        { "key": "whole", "value": { "doubleValue": 3.0 } },
        { "key": "nan", "value": { "doubleValue": "NaN" } },
        { "key": "flag", "value": { "boolValue": false } },
        { "key": "bytes", "value": { "bytesValue": "AAH/" } },
        { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": "1" }, { "stringValue": "1" }] } } },
        { "key": "map", "value": { "kvlistValue": { "values": [
            { "key": "k", "value": { "intValue": "1" } }, { "key": "k", "value": { "bytesValue": "/w==" } },
        ] } } },
    ])
}

fn sent_logs(part: u64) -> Json {
    let time = 1_700_000_000_000_000_000 + part * 1000;
    json!({ "resourceLogs": [{
        "resource": resource(), "schemaUrl": "https://opentelemetry.io/schemas/1.38.0",
        "scopeLogs": [{ "scope": scope(), "schemaUrl": "https://example.com/s", "logRecords": [
            { "timeUnixNano": time.to_string(), "observedTimeUnixNano": (time - 7).to_string(), "severityNumber": 17,
              "severityText": "Error", "body": { "stringValue": format!("part {part}") }, "attributes": attributes(),
              "droppedAttributesCount": 1, "flags": 1, "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
              "spanId": "00f067aa0ba902b7", "eventName": "device.lost" },
            { "timeUnixNano": (time + 1).to_string(), "body": { "kvlistValue": { "values": [
                { "key": "trace_id", "value": { "stringValue": "4bf92f3577b34da6a3ce929d0e0e4737" } } ] } } },
            { "timeUnixNano": "18446744073709551615", "body": {} },
        ] }],
    }] })
}

fn sent_spans(part: u64) -> Json {
    let start = 1_700_000_000_000_000_000 + part * 1000;
    json!({ "resourceSpans": [{ "resource": resource(), "scopeSpans": [{ "scope": scope(), "spans": [{
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": format!("{:016x}", part + 1), "traceState": "a=b",
        "parentSpanId": "00f067aa0ba902b7", "flags": 257, "name": "GET /", "kind": 2,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start - 1).to_string(), "attributes": attributes(),
        "droppedAttributesCount": 3,
        "events": [{ "timeUnixNano": "5", "name": "exception", "attributes": attributes(), "droppedAttributesCount": 1 }],
        "droppedEventsCount": 4,
        "links": [{ "traceId": "4bf92f3577b34da6a3ce929d0e0e4739", "spanId": "00f067aa0ba902b9", "traceState": "c=d",
                    "attributes": attributes(), "droppedAttributesCount": 5, "flags": 1 }],
        "droppedLinksCount": 6, "status": { "message": "broken", "code": 2 },
    }] }] }] })
}

fn sent_metrics(part: u64) -> Json {
    let time = (1_700_000_000_000_000_000 + part * 1000).to_string();
    let common = |mut point: Json| {
        point["attributes"] = json!([{ "key": "pod", "value": { "stringValue": "p" } }]);
        point["startTimeUnixNano"] = json!("1600000000000000000");
        point["timeUnixNano"] = json!(time);
        point
    };
    let exemplars = json!([
        { "filteredAttributes": [{ "key": "user", "value": { "stringValue": "u" } }], "timeUnixNano": "9", "asDouble": 2.5,
          "spanId": "00f067aa0ba902b7", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736" },
        { "timeUnixNano": "10", "asInt": "3" },
    ]);
    // By name, as points stand in a part.
    json!({ "resourceMetrics": [{ "resource": resource(), "scopeMetrics": [{ "scope": scope(), "metrics": [
        { "name": "a.gauge", "description": "d", "unit": "By", "gauge": { "dataPoints": [
            common(json!({ "asDouble": "Infinity", "flags": 1 })) ] },
          "metadata": [{ "key": "m", "value": { "intValue": "1" } }] },
        { "name": "b.sum", "unit": "1", "sum": { "dataPoints": [common(json!({ "asInt": "-5", "exemplars": exemplars }))],
          "aggregationTemporality": 2, "isMonotonic": true } },
        { "name": "c.histogram", "histogram": { "dataPoints": [common(json!({
            "count": "6", "sum": 20.5, "min": 0.5, "max": 9.0, "bucketCounts": ["1", "2", "3"], "explicitBounds": [5.0, 10.0],
            "exemplars": exemplars }))], "aggregationTemporality": 1 } },
        { "name": "d.exponential", "exponentialHistogram": { "dataPoints": [common(json!({
            "count": "7", "sum": 1.5, "scale": -2, "zeroCount": "1", "zeroThreshold": 0.25,
            "positive": { "offset": -3, "bucketCounts": ["1", "0", "2"] }, "negative": { "bucketCounts": ["3"] } }))],
          "aggregationTemporality": 2 } },
        { "name": "e.summary", "summary": { "dataPoints": [common(json!({
            "count": "2", "sum": 3.5, "quantileValues": [{ "quantile": 0.5, "value": 1.0 }, { "quantile": 1.0, "value": 2.5 }] }))] } },
    ] }] }] })
}

/// JSON with members in the order of their names.
fn sorted(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(sorted).collect(),
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            Json::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// A path of OTLP, a table, and what is sent.
type Signal = (&'static str, &'static str, fn(u64) -> Json);

#[tokio::test(flavor = "multi_thread")]
async fn otlp_in_is_otlp_out_hot_sealed_and_merged() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let signals: [Signal; 3] =
        [("logs", "logs", sent_logs), ("traces", "spans", sent_spans), ("metrics", "metric_points", sent_metrics)];
    for part in 0..8 {
        for (path, signal, make) in signals {
            let sent = make(part);
            assert_eq!(server.export(path, &sent).await.0, 200);
            let given = |when: &str| {
                let messages = lines(&export(&server, &["--signal", signal, "--format", "otlp"]));
                let last = messages.last().unwrap_or_else(|| panic!("{signal} {when}: nothing"));
                assert_eq!(sorted(last), sorted(&sent), "{signal} {when}");
            };
            given("hot");
            server.flush().await;
            if part == 0 {
                given("sealed");
            }
        }
    }
    // Eight parts of one size become one by themselves.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while server.get("/api/v1/status", &[]).await["merged_parts"].as_u64() < Some(24) {
        assert!(std::time::Instant::now() < deadline, "parts are not merged");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for (path, signal, make) in signals {
        let messages = lines(&export(&server, &["--signal", signal, "--format", "otlp"]));
        let items = |messages: &[Json]| -> Vec<String> {
            let mut items = Vec::new();
            for message in messages {
                let resources = message.as_object().and_then(|object| object.values().next()).expect("resources");
                for resource in resources.as_array().expect("list") {
                    let scopes = resource.as_object().expect("object").iter().find(|(key, _)| key.starts_with("scope"));
                    for scope in scopes.expect("scopes").1.as_array().expect("list") {
                        let records = scope["logRecords"].as_array().or(scope["spans"].as_array());
                        let metrics = scope["metrics"].as_array().into_iter().flatten().flat_map(|metric| {
                            let data = metric
                                .as_object()
                                .expect("metric")
                                .values()
                                .find(|value| value["dataPoints"].is_array());
                            let points = data.expect("data")["dataPoints"].as_array().expect("points").clone();
                            points.into_iter().map(|point| json!([metric["name"], point]))
                        });
                        items.extend(
                            records.into_iter().flatten().cloned().chain(metrics).map(|item| sorted(&item).to_string()),
                        );
                    }
                }
            }
            items.sort();
            items
        };
        let sent: Vec<Json> = (0..8).map(make).collect();
        assert_eq!(items(&messages), items(&sent), "{path} merged");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_as_lines_and_as_parquet() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for part in 0..3 {
        assert_eq!(server.export("logs", &sent_logs(part)).await.0, 200);
        assert_eq!(server.export("metrics", &sent_metrics(part)).await.0, 200);
        if part < 2 {
            server.flush().await;
        }
    }
    let rows = lines(&export(&server, &["part"]));
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["service_name"] == "shop" && row["attributes"]["flag"] == false), "{rows:?}");
    let points = lines(&export(&server, &["--signal", "metric_points", "--format", "ndjson"]));
    assert_eq!(points.len(), 15);
    assert!(points.iter().all(|point| point["attributes"]["pod"] == "p"), "{points:?}");
    let file = folder.path().join("rows.parquet");
    export(&server, &["--format", "parquet", "--output", file.to_str().expect("path")]);
    let bytes = std::fs::read(&file).expect("file");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes));
    let count: usize =
        reader.expect("Parquet").build().expect("reader").map(|batch| batch.expect("rows").num_rows()).sum();
    assert_eq!(count, 9);
    let (status, body) = server.get_status("/api/v1/export", &[("format", "xml")]).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("format")), "{body}");
}
