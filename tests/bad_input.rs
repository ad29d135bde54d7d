//! What strangers send: a clear refusal in the protocol's form, a counter, and the next good request works.

mod harness;

use harness::{Server, logs};
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
    let client = reqwest::Client::new();
    let url = format!("http://{}/v1/logs", server.http);
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let request =
        client.post(&url).header("content-type", "application/json").header("content-encoding", "gzip").body(bomb);
    assert_eq!(request.send().await.expect("answer").status(), 413);
    let (status, _) = server.post("/v1/logs", "text/plain", b"hello".to_vec()).await;
    assert_eq!(status, 415);
    assert_eq!(client.get(&url).send().await.expect("answer").status(), 405);

    let absurd = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [
        { "timeUnixNano": "18446744073709551615", "body": { "doubleValue": "NaN" } },
        { "timeUnixNano": "0", "traceId": "00000000000000000000000000000000", "body": null, "severityNumber": 99 },
    ] }] }] });
    let (status, answer) = server.export("logs", &absurd).await;
    assert_eq!((status, answer), (200, json!({})));
    let spans = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [
        { "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "kept" },
        { "traceId": "00000000000000000000000000000000", "spanId": "00f067aa0ba902b7", "name": "refused" },
    ] }] }] });
    let (status, answer) = server.export("traces", &spans).await;
    assert_eq!(status, 200);
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(server.count("spans", "*").await, 1);
    assert_eq!(server.count("logs", "good line").await, accepted);

    let metrics =
        client.get(format!("{}/metrics", server.ui)).send().await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("reason=\"undecodable\"") && metrics.contains("reason=\"too_large\""), "{metrics}");
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
