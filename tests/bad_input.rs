//! What strangers send: a clear refusal in the protocol's form, a counter, and the next good request works.

mod harness;

use harness::{ALL_TIME_END, Server, client, logs};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Histogram, HistogramDataPoint, Metric, ResourceMetrics, ScopeMetrics, metric::Data},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use std::io::Write as _;

fn good() -> Json {
    logs("good", 1_700_000_000_000_000_000, &[("a good line".to_owned(), Vec::new())])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_clearly_and_good_ones_still_work() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut accepted = 0;
    let nested = (0..200).fold(json!({ "intValue": 1 }), |inner, _| json!({ "arrayValue": { "values": [inner] } }));
    let with_body = |body: Json| json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "body": body }] }] }] });
    for (what, body) in [
        ("truncated JSON", "{\"resourceLogs\": [".to_owned()),
        ("a wrong type", json!({ "resourceLogs": 5 }).to_string()),
        ("deep nesting", with_body(nested).to_string()),
        (
            "bad hex",
            json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{ "traceId": "xyz" }] }] }] }).to_string(),
        ),
    ] {
        let (status, answer) = server.post("/v1/logs", "application/json", body.into_bytes()).await;
        assert_eq!(status, 400, "{what}: {answer}");
        assert_eq!(answer["code"], 3, "{what}");
        assert!(answer["message"].as_str().is_some_and(|message| message.len() > 10), "{what}: {answer}");
        let (status, answer) = server.export("logs", &good()).await;
        assert_eq!((status, answer), (200, json!({})), "after {what}");
        accepted += 1;
    }
    let random: Vec<u8> = (0..2000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let invalid_text = vec![0x0a, 0x09, 0x12, 0x07, 0x12, 0x05, 0x2a, 0x03, 0x0a, 0x01, 0xff];
    for (what, body) in
        [("random bytes", random), ("invalid UTF-8", invalid_text), ("a cut message", vec![0x0a, 0x7f, 1])]
    {
        for path in ["/v1/logs", "/v1/traces", "/v1/metrics"] {
            let (status, _) = server.post(path, "application/x-protobuf", body.clone()).await;
            assert!(
                status == 400 || (status == 200 && what == "invalid UTF-8" && path != "/v1/logs"),
                "{what} to {path}: {status}"
            );
        }
    }
    let client = client();
    let url = format!("http://{}/v1/logs", server.http);
    let spaces = vec![b' '; 64 << 20];
    for (encoding, bomb) in [("gzip", gzip(&spaces)), ("zstd", zstd::encode_all(spaces.as_slice(), 3).expect("zstd"))] {
        assert!(bomb.len() < 1 << 20, "a bomb is short on the wire");
        let request = client.post(&url).header("content-type", "application/json").header("content-encoding", encoding);
        assert_eq!(request.body(bomb).send().await.expect("answer").status(), 413, "{encoding}");
    }
    let (status, _) = server.post("/v1/logs", "text/plain", b"hello".to_vec()).await;
    assert_eq!(status, 415);
    assert_eq!(client.get(&url).send().await.expect("answer").status(), 405);

    let absurd = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
        { "timeUnixNano": "18446744073709551615", "body": { "doubleValue": "NaN" } },
        { "timeUnixNano": "0", "traceId": "00000000000000000000000000000000", "body": null, "severityNumber": 99 },
    ] }] }] });
    let (status, answer) = server.export("logs", &absurd).await;
    assert_eq!((status, answer), (200, json!({})));
    // The times are ones that a row can hold; the senders' own are kept beside them. The record without a time came now.
    let rows = server
        .sql("SELECT original_time_unix_nano FROM logs WHERE original_time_unix_nano IS NOT NULL ORDER BY 1", 10)
        .await;
    assert_eq!(rows, [[json!(0)], [json!(u64::MAX)]]);
    let parameters = [("query", "-service:good"), ("start", "-5m")];
    let page = server.get("/api/v1/logs", &parameters).await;
    assert_eq!(page["rows"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["rows"][0]["severity_number"], 99);
    assert_eq!(page["rows"][0]["trace_id"], "");
    let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [
        { "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "kept" },
        { "traceId": "00000000000000000000000000000000", "spanId": "00f067aa0ba902b7", "name": "refused" },
    ] }] }] });
    let (status, answer) = server.export("traces", &spans).await;
    assert_eq!(status, 200);
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(server.count("spans", "*").await, 1);
    assert_eq!(server.count("logs", "good line").await, accepted);

    for (path, wanted) in [
        ("/metrics", ["reason=\"undecodable\"", "reason=\"too_large\"", "reason=\"unsupported_content_type\""]),
        ("/status", ["undecodable", "too_large", "invalid_trace_id"]),
    ] {
        let answer = client.get(format!("{}{path}", server.ui)).send().await.expect("answer");
        let text = answer.text().await.expect("text");
        for word in wanted {
            assert!(text.contains(word), "{path} does not tell of {word}:\n{text}");
        }
    }
}

/// Requests of all three signals with everything in them that a decoder has to find its way through.
fn samples() -> [(&'static str, Vec<u8>); 3] {
    let text = |text: &str| AnyValue { value: Some(Value::StringValue(text.to_owned())) };
    let list = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![text("a"), text("결제")] })) };
    let attributes =
        |value: AnyValue| vec![KeyValue { key: "key".to_owned(), value: Some(value), ..KeyValue::default() }];
    let record = LogRecord {
        time_unix_nano: 5,
        severity_number: 9,
        body: Some(text("a body")),
        attributes: attributes(list.clone()),
        trace_id: vec![7; 16],
        span_id: vec![7; 8],
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; 2], ..ScopeLogs::default() }];
    let logs = ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] };
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![8; 8],
        name: "work".to_owned(),
        attributes: attributes(list.clone()),
        events: vec![opentelemetry_proto::tonic::trace::v1::span::Event {
            name: "event".to_owned(),
            attributes: attributes(text("value")),
            ..Default::default()
        }],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 2], ..ScopeSpans::default() }];
    let spans =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    let point = HistogramDataPoint {
        count: 6,
        sum: Some(20.0),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![1.0, 2.0],
        attributes: attributes(list),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![point; 2], aggregation_temporality: 2 };
    let metric = Metric { name: "m".to_owned(), data: Some(Data::Histogram(histogram)), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let metrics = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }],
    };
    [
        ("/v1/logs", logs.encode_to_vec()),
        ("/v1/traces", spans.encode_to_vec()),
        ("/v1/metrics", metrics.encode_to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_messages_are_kept_or_refused_and_never_stop_the_server() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut random = StdRng::seed_from_u64(4317);
    let (mut kept, mut refused) = (0, 0);
    for (path, whole) in samples() {
        assert_eq!(server.post(path, "application/x-protobuf", whole.clone()).await.0, 200, "{path}");
        let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
        let damages = (0..300).map(|_| {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[place] = random.random(),
                    1 => bytes.insert(place, random.random()),
                    _ => drop(bytes.remove(place)),
                }
            }
            bytes
        });
        for bytes in cuts.chain(damages) {
            match server.post(path, "application/x-protobuf", bytes.clone()).await.0 {
                200 => kept += 1,
                400 => refused += 1,
                other => panic!("{path} answers {other} to {bytes:02x?}"),
            }
        }
    }
    assert!(kept > 20 && refused > 200, "{kept} kept, {refused} refused: the damage is of one kind only");
    // What was kept can be sealed, read and shown.
    assert_eq!(server.export("logs", &good()).await, (200, json!({})));
    for _ in 0..2 {
        assert_eq!(server.count("logs", "\"good line\"").await, 1);
        for table in ["logs", "spans"] {
            let parameters = [("start", "0"), ("end", ALL_TIME_END), ("limit", "10000")];
            let page = server.get(&format!("/api/v1/{table}"), &parameters).await;
            assert_eq!(page["complete"], true, "{page}");
        }
        let points = server.sql("SELECT count(*) FROM metric_points", 1).await;
        assert!(points[0][0].as_u64().is_some_and(|points| points >= 2), "{points:?}");
        server.flush().await;
    }
    let status = server.get("/api/v1/status", &[]).await;
    assert_eq!(status["failed_seals"], 0, "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_names_its_fault_and_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for (query, position) in [("level:", 6), ("(a b", 0), ("a OR", 2), ("/[/", 0), ("duration>fast", 9), ("\"open", 0)]
    {
        let table = if query.starts_with("duration") { "spans" } else { "logs" };
        let (status, answer) = server.get_status(&format!("/api/v1/{table}"), &[("query", query)]).await;
        assert_eq!(status, 400, "{query}: {answer}");
        assert_eq!(answer["error"]["position"], position, "{query}: {answer}");
        assert_eq!(answer["error"]["field"], "query");
    }
    let (status, answer) = server.get_status("/api/v1/logs", &[("limit", "0")]).await;
    assert_eq!((status, answer["error"]["field"].as_str()), (400, Some("limit")));
    let (status, answer) = server.get_status("/api/v1/logs", &[("start", "yesterday")]).await;
    assert_eq!((status, answer["error"]["field"].as_str()), (400, Some("start")));
}
