//! The ways in beside OTLP, with requests as their clients send them: what was acknowledged is found, what is wrong is refused by name.

mod harness;

use harness::{Server, client};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};
use std::io::Write as _;

const TIME: &str = "1700000000000000001";

async fn send(url: String, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, String) {
    let mut request = client().post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

const ALL: [(&str, &str); 2] = [("start", "0"), ("end", harness::ALL_TIME_END)];

async fn logs(server: &Server, query: &str) -> Vec<Json> {
    let parameters = [("query", query), ALL[0], ALL[1]];
    server.get("/api/v1/logs", &parameters).await["rows"].as_array().expect("rows").clone()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

/// What Promtail sends (`logproto.PushRequest`).
mod promtail {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct PushRequest {
        #[prost(message, repeated, tag = "1")]
        pub(crate) streams: Vec<Stream>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Stream {
        #[prost(string, tag = "1")]
        pub(crate) labels: String,
        #[prost(message, repeated, tag = "2")]
        pub(crate) entries: Vec<Entry>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Entry {
        #[prost(message, optional, tag = "1")]
        pub(crate) time: Option<Time>,
        #[prost(string, tag = "2")]
        pub(crate) line: String,
        #[prost(message, repeated, tag = "3")]
        pub(crate) metadata: Vec<Pair>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Time {
        #[prost(int64, tag = "1")]
        pub(crate) seconds: i64,
        #[prost(int32, tag = "2")]
        pub(crate) nanos: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Pair {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
        #[prost(string, tag = "2")]
        pub(crate) value: String,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_pushed_to_loki_are_logs_with_labels_and_metadata() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let pushed = json!({ "streams": [{
        "stream": { "app": "checkout", "level": "warn", "env": "prod" },
        "values": [
            [TIME, "payment refused 결제 실패", { "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "user": "u7" }],
            ["1700000000000000002", "level=error msg=second"],
        ],
    }] });
    let url = format!("{}/loki/api/v1/push", server.ui);
    let json_type = ("content-type", "application/json");
    assert_eq!(send(url.clone(), &[json_type], pushed.to_string()).await, (204, String::new()));
    let packed = gzip(pushed.to_string().as_bytes());
    let headers = [json_type, ("content-encoding", "gzip"), ("x-scope-orgid", "tenant-a")];
    assert_eq!(send(format!("http://{}/loki/api/v1/push", server.http), &headers, packed).await.0, 204);
    let request = promtail::PushRequest {
        streams: vec![promtail::Stream {
            labels: r#"{filename="/var/log/a \"b\".log", job="varlogs", service_name="syslog"}"#.to_owned(),
            entries: vec![promtail::Entry {
                time: Some(promtail::Time { seconds: 1_700_000_000, nanos: 5 }),
                line: "from promtail".to_owned(),
                metadata: vec![promtail::Pair { name: "pod".to_owned(), value: "p-1".to_owned() }],
            }],
        }],
    };
    let packed = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("packed");
    // Promtail does not say that its body is packed.
    let protobuf = [("content-type", "application/x-protobuf"), ("user-agent", "promtail/2.9.0")];
    assert_eq!(send(url.clone(), &protobuf, packed).await, (204, String::new()));

    for _ in 0..2 {
        let found = logs(&server, "결제 실패 service:checkout").await;
        assert_eq!(found.len(), 2);
        let row = found.iter().find(|row| row["resource_attributes"]["loki.tenant"].is_null()).expect("without tenant");
        assert_eq!(row["time_unix_nano"], TIME);
        assert_eq!((&row["severity_number"], &row["severity_text"]), (&json!(13), &json!("warn")));
        assert_eq!(row["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(row["attributes"]["user"], "u7");
        assert_eq!(row["resource_attributes"]["env"], "prod");
        let row = &logs(&server, "service:syslog").await[0];
        assert_eq!((&row["body"], &row["time_unix_nano"]), (&json!("from promtail"), &json!("1700000000000000005")));
        assert_eq!(row["resource_attributes"]["filename"], "/var/log/a \"b\".log");
        assert_eq!(row["attributes"]["pod"], "p-1");
        server.flush().await;
    }

    for (body, named) in [
        ("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"soon\",\"x\"]]}]}", "streams[0].values[0][0]"),
        ("{\"streams\":[{\"stream\":{},\"values\":[[\"1\",\"x\"]]}]}", "streams[0]"),
        ("{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[1,\"x\"]]}]}", "PushRequest"),
        ("{\"streams\":", "PushRequest"),
    ] {
        let (status, said) = send(url.clone(), &[json_type], body).await;
        assert_eq!(status, 400, "{body}: {said}");
        assert!(said.contains(named), "{body}: {said}");
    }
    assert_eq!(send(url.clone(), &[("content-type", "text/csv")], "a").await.0, 415);
    assert_eq!(send(url, &protobuf, "not snappy").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_zipkin_are_spans() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    // As in Zipkin's own examples, with a shared span and ids of 64 bits.
    let spans = json!([
        {
            "traceId": "5982fe77008310cc80f1da5e10147517", "name": "get /", "id": "bd7a977555f6b982", "kind": "CLIENT",
            "timestamp": 1_700_000_000_000_001_i64, "duration": 207_000,
            "localEndpoint": { "serviceName": "frontend", "ipv4": "127.0.0.1" },
            "remoteEndpoint": { "serviceName": "backend", "ipv4": "192.168.99.101", "port": 9000 },
            "annotations": [{ "timestamp": 1_700_000_000_000_100_i64, "value": "ws" }],
            "tags": { "http.path": "/api", "error": "boom" },
        },
        {
            "traceId": "5982fe77008310cc80f1da5e10147517", "name": "get /", "id": "bd7a977555f6b982", "kind": "SERVER",
            "timestamp": 1_700_000_000_010_000_i64, "duration": 100_000, "shared": true,
            "localEndpoint": { "serviceName": "backend" },
        },
        { "traceId": "48485a3953bb6124", "id": "1", "parentId": "2", "name": "old", "timestamp": 1_700_000_000_000_000_i64 },
    ]);
    let url = format!("{}/api/v2/spans", server.ui);
    let json_type = ("content-type", "application/json");
    assert_eq!(send(url.clone(), &[json_type], spans.to_string()).await, (202, String::new()));
    for _ in 0..2 {
        let found = server.get("/api/v1/spans", &[("query", "service:frontend"), ALL[0], ALL[1]]).await;
        let span = &found["rows"][0];
        assert_eq!(span["time_unix_nano"], "1700000000000001000");
        assert_eq!(span["duration_ns"], 207_000_000);
        assert_eq!((&span["kind_text"], &span["status_code"]), (&json!("client"), &json!(2)));
        assert_eq!(span["status_message"], "boom");
        assert_eq!(span["attributes"]["peer.service"], "backend");
        assert_eq!(span["attributes"]["network.peer.port"], 9000);
        assert_eq!(span["events"][0]["name"], "ws");
        let found = server
            .get("/api/v1/spans", &[("query", "trace_id:000000000000000048485a3953bb6124"), ALL[0], ALL[1]])
            .await;
        assert_eq!(found["rows"][0]["span_id"], "0000000000000001");
        assert_eq!(found["rows"][0]["parent_span_id"], "0000000000000002");
        server.flush().await;
    }
    let (status, said) =
        send(url.clone(), &[json_type], r#"[{"traceId":"1","id":"1"},{"traceId":"1","id":"zz"}]"#).await;
    assert_eq!(status, 400);
    assert!(said.contains("spans[1].id"), "{said}");
    assert_eq!(send(url, &[("content-type", "application/x-thrift")], "a").await.0, 415);
    assert_eq!(server.count("spans", "").await, 3, "nothing of what was refused was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_bulk_requests_are_logs_and_are_answered_one_by_one() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    // What Filebeat asks before its first request.
    for (path, member) in [("/", "version"), ("/_license", "license"), ("/_index_template/filebeat", "filebeat")] {
        let answer = client().get(format!("http://{}{path}", server.http)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["x-elastic-product"], "Elasticsearch", "{path}");
        assert!(!answer.json::<Json>().await.expect("JSON")[member].is_null(), "{path}");
    }
    let body = [
        json!({ "create": { "_index": "logs-a" } }),
        json!({
            "@timestamp": "2023-11-14T22:13:20.000000001Z", "message": "user login failed",
            "log": { "level": "error" }, "service": { "name": "auth" }, "host": { "name": "h1" },
            "trace": { "id": "4bf92f3577b34da6a3ce929d0e0e4736" }, "http": { "response": { "status_code": 401 } }, "tags": ["a", "b"],
        }),
        json!({ "index": { "_id": "7" } }),
        json!({ "@timestamp": 1_700_000_000_500_i64, "msg": "second", "level": "info", "service": "auth" }),
        json!({ "index": { "_index": "logs-a" } }),
        json!({ "@timestamp": "soon", "message": "third" }),
        json!({ "delete": { "_index": "logs-a", "_id": "7" } }),
        json!({ "update": { "_index": "logs-a", "_id": "7" } }),
        json!({ "doc": {} }),
    ];
    let lines: Vec<String> = body.iter().map(|line| format!("{line}\n")).collect();
    let lines = lines.concat();
    let kind = ("content-type", "application/vnd.elasticsearch+x-ndjson;compatible-with=8");
    let packed = gzip(lines.as_bytes());
    let (status, said) =
        send(format!("{}/elastic/logs-b/_bulk", server.ui), &[kind, ("content-encoding", "gzip")], packed).await;
    assert_eq!(status, 200, "{said}");
    let said: Json = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["errors"], true);
    let of = |number: usize, action: &str, member: &str| said["items"][number][action][member].clone();
    assert_eq!((of(0, "create", "status"), of(0, "create", "_index")), (json!(201), json!("logs-a")));
    assert_eq!(
        (of(1, "index", "status"), of(1, "index", "_index"), of(1, "index", "_id")),
        (json!(201), json!("logs-b"), json!("7"))
    );
    assert_eq!(of(2, "index", "status"), 400);
    assert!(of(2, "index", "error")["reason"].as_str().is_some_and(|reason| reason.contains("[@timestamp]")));
    assert_eq!((of(3, "delete", "status"), of(4, "update", "status")), (json!(400), json!(400)));
    for _ in 0..2 {
        assert_eq!(server.count("logs", "").await, 2);
        let row = &logs(&server, "\"login failed\" service:auth level:error").await[0];
        assert_eq!(row["time_unix_nano"], TIME);
        assert_eq!(row["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(row["attributes"]["http.response.status_code"], 401);
        assert_eq!(row["attributes"]["tags"], json!(["a", "b"]));
        assert_eq!(row["resource_attributes"]["host.name"], "h1");
        assert_eq!(row["resource_attributes"]["elasticsearch.index"], "logs-a");
        let row = &logs(&server, "second service:auth level:info").await[0];
        assert_eq!(row["attributes"]["elasticsearch.id"], "7");
        server.flush().await;
    }
    let url = format!("http://{}/_bulk", server.http);
    for (body, named) in [
        ("", "request body is required"),
        ("{\"index\":{\"_index\":\"a\"}}\n", "document"),
        ("{\"put\":{}}\n{}\n", "line [1]"),
    ] {
        let (status, said) = send(url.clone(), &[("content-type", "application/x-ndjson")], body).await;
        assert_eq!(status, 400, "{body}: {said}");
        assert!(said.contains(named), "{body}: {said}");
    }
    let (status, said) = send(
        format!("http://{}/logs-c/_doc", server.http),
        &[("content-type", "application/json")],
        "{\n\"message\":\"one\"}",
    )
    .await;
    assert_eq!(status, 201, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_are_logs_and_wrong_ones_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let lines = "{\"when\":\"2023-11-14T22:13:20.000000001Z\",\"text\":\"a line\",\"sev\":\"WARN\",\"n\":1.5}\n\nnot json\n[1]\n\
                 {\"when\":true,\"text\":\"b\"}\n";
    let url =
        format!("{}/api/v1/ingest/ndjson?time_field=when&message_field=text&level_field=sev&service=batch", server.ui);
    let (status, said) = send(url, &[("content-type", "application/x-ndjson")], lines).await;
    let said: Json = serde_json::from_str(&said).expect("JSON");
    assert_eq!((status, &said["accepted"], &said["rejected"]), (200, &json!(1), &json!(3)), "{said}");
    let numbers: Vec<&Json> = said["errors"].as_array().expect("errors").iter().map(|error| &error["line"]).collect();
    assert_eq!(numbers, [3, 4, 5]);
    let row = &logs(&server, "service:batch").await[0];
    assert_eq!(
        (&row["time_unix_nano"], &row["body"], &row["severity_number"]),
        (&json!(TIME), &json!("a line"), &json!(13))
    );
    assert_eq!(row["attributes"]["n"], 1.5);
    let url = format!("{}/api/v1/ingest/ndjson", server.ui);
    assert_eq!(send(url.clone(), &[], "nothing\n").await.0, 400);
    assert_eq!(send(format!("{url}?time=x"), &[], "{}").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_strangers_send_is_refused_and_the_next_request_works() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut random = StdRng::seed_from_u64(7);
    let good = json!({ "streams": [{ "stream": { "app": "a" }, "values": [[TIME, "fine"]] }] }).to_string();
    let protobuf = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    for number in 0..300 {
        let length = random.random_range(0..200);
        let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        let packed = snap::raw::Encoder::new().compress_vec(&bytes).expect("packed");
        // Text that begins well and is cut or changed somewhere.
        let mut text = good.clone().into_bytes();
        let place = random.random_range(0..text.len());
        if number % 2 == 0 {
            text.truncate(place);
        } else {
            text[place] = random.random();
        }
        for (path, headers, body) in [
            ("/api/v1/write", &protobuf[..], packed.clone()),
            ("/loki/api/v1/push", &protobuf[..], packed),
            ("/loki/api/v1/push", &[("content-type", "application/json")], text.clone()),
            ("/api/v2/spans", &[("content-type", "application/json")], text.clone()),
            ("/_bulk", &[("content-type", "application/x-ndjson")], text.clone()),
            ("/api/v1/ingest/ndjson", &[], bytes.clone()),
        ] {
            let (status, said) = send(format!("http://{}{path}", server.http), headers, body).await;
            assert!(status < 500, "{path}: {status} {said}");
        }
    }
    let (status, _) =
        send(format!("{}/loki/api/v1/push", server.ui), &[("content-type", "application/json")], good).await;
    assert_eq!(status, 204);
}
