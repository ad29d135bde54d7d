//! The APIs of Zipkin, Jaeger and Tempo over the same spans, with requests as their clients send them.

mod harness;

use harness::{Server, client};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value as Json, json};

const TRACE: &str = "5982fe77008310cc80f1da5e10147517";
/// When the first span starts, in seconds; in the last days, for what looks back from now.
fn start() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    now as i64 - 600
}

async fn fill(server: &Server, start: i64) {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let nanos = |millis: i64| (start * 1_000_000_000 + millis * 1_000_000).to_string();
    let spans = json!({ "resourceSpans": [
        {
            "resource": { "attributes": [text("service.name", "shop"), text("host.name", "h1")] },
            "scopeSpans": [{
                "scope": { "name": "http", "version": "1.2", "attributes": [text("flavor", "vanilla")] },
                "spans": [
                    {
                        "traceId": TRACE, "spanId": "0000000000000001", "name": "GET /cart", "kind": 2,
                        "startTimeUnixNano": nanos(0), "endTimeUnixNano": nanos(250),
                        "attributes": [text("http.route", "/cart"), { "key": "http.response.status_code", "value": { "intValue": "503" } }],
                        "events": [{ "timeUnixNano": nanos(5), "name": "retry", "attributes": [text("attempt", "first")] }],
                        "status": { "code": 2, "message": "no answer" },
                    },
                    {
                        "traceId": TRACE, "spanId": "0000000000000002", "parentSpanId": "0000000000000001", "name": "call stock", "kind": 3,
                        "startTimeUnixNano": nanos(10), "endTimeUnixNano": nanos(210), "attributes": [text("peer.service", "stock")],
                        "links": [{ "traceId": "0000000000000000000000000000000a", "spanId": "000000000000000b", "attributes": [text("why", "batch")] }],
                    },
                ],
            }],
        },
        {
            "resource": { "attributes": [text("service.name", "stock")] },
            "scopeSpans": [{ "spans": [{
                "traceId": TRACE, "spanId": "0000000000000003", "parentSpanId": "0000000000000002", "name": "reserve", "kind": 2,
                "startTimeUnixNano": nanos(20), "endTimeUnixNano": nanos(120), "attributes": [{ "key": "cold", "value": { "boolValue": true } }],
            }] }],
        },
        {
            "resource": { "attributes": [text("service.name", "stock")] },
            "scopeSpans": [{ "spans": [{
                "traceId": "000000000000000048485a3953bb6124", "spanId": "0000000000000009", "name": "sweep", "kind": 1,
                "startTimeUnixNano": nanos(1000), "endTimeUnixNano": nanos(1001),
            }] }],
        },
    ] });
    assert_eq!(server.export("traces", &spans).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn zipkin_reads_what_is_there() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let start = start();
    fill(&server, start).await;
    let end = ((start + 60) * 1000).to_string();
    for _ in 0..2 {
        assert_eq!(server.get("/api/v2/services", &[]).await, json!(["shop", "stock"]));
        assert_eq!(
            server.get("/zipkin/api/v2/spans", &[("serviceName", "shop")]).await,
            json!(["GET /cart", "call stock"])
        );
        assert_eq!(server.get("/api/v2/remoteServices", &[("serviceName", "shop")]).await, json!(["stock"]));
        let trace = server.get(&format!("/api/v2/trace/{TRACE}"), &[]).await;
        assert_eq!(
            trace[0],
            json!({
                "traceId": TRACE, "id": "0000000000000001", "name": "GET /cart", "timestamp": start * 1_000_000, "duration": 250_000,
                "localEndpoint": { "serviceName": "shop" },
                "tags": { "http.route": "/cart", "http.response.status_code": "503", "error": "no answer", "otel.scope.name": "http" },
                "kind": "SERVER", "annotations": [{ "timestamp": start * 1_000_000 + 5_000, "value": "retry" }],
            })
        );
        assert_eq!(trace[1]["remoteEndpoint"], json!({ "serviceName": "stock" }));
        assert_eq!(trace[2]["parentId"], "0000000000000002");
        // Ids of 64 bits are found and shown as such.
        let old = server.get("/api/v2/trace/48485a3953bb6124", &[]).await;
        assert_eq!(old[0]["traceId"], "48485a3953bb6124");
        assert_eq!(server.get_status("/api/v2/trace/1234", &[]).await.0, 404);
        assert_eq!(server.get_status("/api/v2/trace/xyz", &[]).await.0, 400);
        let found = async |parameters: &[(&str, &str)]| {
            let parameters = [parameters, &[("endTs", end.as_str()), ("lookback", "3600000")]].concat();
            server.get("/api/v2/traces", &parameters).await.as_array().expect("traces").len()
        };
        assert_eq!(found(&[]).await, 2);
        assert_eq!(
            found(&[("serviceName", "shop"), ("spanName", "get /cart")]).await,
            0,
            "names are as they were sent"
        );
        assert_eq!(found(&[("serviceName", "shop"), ("spanName", "GET /cart")]).await, 1);
        assert_eq!(found(&[("annotationQuery", "error")]).await, 1);
        assert_eq!(found(&[("annotationQuery", "http.route=/cart and retry")]).await, 1);
        assert_eq!(found(&[("annotationQuery", "http.route=/other")]).await, 0);
        assert_eq!(found(&[("minDuration", "250000"), ("maxDuration", "250000")]).await, 1, "both ends are inside");
        assert_eq!(found(&[("minDuration", "250001")]).await, 0);
        let links = server.get("/api/v2/dependencies", &[("endTs", &end), ("lookback", "3600000")]).await;
        assert_eq!(links, json!([{ "parent": "shop", "child": "stock", "callCount": 1 }]));
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jaeger_finds_tags_wherever_they_are_and_speaks_version_three() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let start = start();
    fill(&server, start).await;
    let (first, last) = ((start - 60).to_string() + "000000", (start + 60).to_string() + "000000");
    for _ in 0..2 {
        let found = async |parameters: &[(&str, &str)]| {
            let parameters = [parameters, &[("start", first.as_str()), ("end", &last)]].concat();
            server.get("/api/traces", &parameters).await["data"].as_array().expect("traces").len()
        };
        for (tags, expected) in [
            (r#"{"http.route":"/cart"}"#, 1),
            (r#"{"http.response.status_code":"503"}"#, 1),
            (r#"{"cold":"true"}"#, 1),
            (r#"{"host.name":"h1"}"#, 1),
            (r#"{"attempt":"first"}"#, 1),
            (r#"{"flavor":"vanilla"}"#, 1),
            (r#"{"why":"batch"}"#, 1),
            (r#"{"error":"true"}"#, 1),
            (r#"{"span.kind":"internal"}"#, 1),
            (r#"{"event":"retry"}"#, 1),
            (r#"{"otel.scope.name":"http"}"#, 1),
            (r#"{"why":"other"}"#, 0),
            (r#"{"http.route":"/cart","why":"batch"}"#, 0),
        ] {
            assert_eq!(found(&[("tags", tags)]).await, expected, "{tags}");
        }
        assert_eq!(found(&[("service", "shop"), ("maxDuration", "250ms"), ("minDuration", "250ms")]).await, 1);
        assert_eq!(found(&[("service", "shop"), ("minDuration", "251ms")]).await, 0);
        assert_eq!(server.get_status("/api/traces", &[("tags", "no json")]).await.0, 400);
        assert_eq!(found(&[("tag", "http.route:/cart"), ("tag", "error:true")]).await, 1);
        assert_eq!(found(&[("tag", "http.route:/other")]).await, 0);
        assert_eq!(found(&[("tag", "http.route:/cart"), ("tags", r#"{"why":"batch"}"#)]).await, 0);
        assert_eq!(server.get_status("/api/traces", &[("tag", "nothing")]).await.0, 400);
        assert_eq!(found(&[("traceID", TRACE), ("traceID", "48485a3953bb6124")]).await, 2);
        assert_eq!(found(&[("traceID", TRACE), ("traceID", "1234")]).await, 1);
        assert_eq!(server.get_status("/api/traces", &[("traceID", "1234")]).await.0, 404);
        let trace = server.get(&format!("/api/traces/{TRACE}"), &[]).await;
        let tags = trace["data"][0]["spans"][0]["tags"].as_array().expect("tags");
        assert!(
            tags.contains(&json!({ "key": "http.response.status_code", "type": "int64", "value": 503 })),
            "{tags:?}"
        );
        let end = ((start + 60) * 1000).to_string();
        let dependencies = server.get("/api/dependencies", &[("endTs", &end), ("lookback", "3600000")]).await;
        assert_eq!(dependencies["data"], json!([{ "parent": "shop", "child": "stock", "callCount": 1 }]));

        assert_eq!(server.get("/api/v3/services", &[]).await, json!({ "services": ["shop", "stock"] }));
        let operations = server.get("/api/v3/operations", &[("service", "shop"), ("span_kind", "client")]).await;
        assert_eq!(operations, json!({ "operations": [{ "name": "call stock", "spanKind": "client" }] }));
        let rfc = |second: i64| chrono(second);
        let (low, high) = (rfc(start - 60), rfc(start + 60));
        let range = [("query.start_time_min", low.as_str()), ("query.start_time_max", &high)];
        let asked =
            [&range[..], &[("query.service_name", "shop"), ("query.attributes", r#"{"flavor":"vanilla"}"#)]].concat();
        let traces = server.get("/api/v3/traces", &asked).await;
        let resources = traces["result"]["resourceSpans"].as_array().expect("resources");
        let spans = resources.iter().flat_map(|resource| resource["scopeSpans"].as_array().expect("scopes"));
        assert_eq!(spans.map(|scope| scope["spans"].as_array().map_or(0, Vec::len)).sum::<usize>(), 3, "{traces}");
        let asked = [&range[..], &[("query.service_name", "nobody")]].concat();
        let (status, body) = server.get_status("/api/v3/traces", &asked).await;
        assert_eq!((status, &body["error"]["httpCode"]), (404, &json!(404)));
        assert_eq!(server.get(&format!("/api/v3/traces/{TRACE}"), &[]).await, traces);
        server.flush().await;
    }
}

/// RFC 3339 of a second.
fn chrono(second: i64) -> String {
    let time =
        std::process::Command::new("date").args(["-u", "-d", &format!("@{second}"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(time.expect("date runs").stdout).expect("text").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn tempo_answers_what_grafana_asks() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let start = start();
    fill(&server, start).await;
    let (first, last) = ((start - 60).to_string(), (start + 60).to_string());
    let range = [("start", first.as_str()), ("end", last.as_str())];
    for _ in 0..2 {
        for (query, expected) in [
            ("{}", 2),
            ("{ resource.service.name = \"shop\" }", 1),
            ("{ name = \"reserve\" && kind = server }", 1),
            ("{ .http.response.status_code >= 500 }", 1),
            ("{ span.http.response.status_code = 503 && status = error }", 1),
            ("{ span.http.route =~ \"/c.*\" }", 1),
            ("{ span.http.route =~ \"c.*\" }", 0),
            ("{ span.http.route != \"/cart\" }", 0),
            ("{ duration > 150ms && duration <= 200ms }", 1),
            ("{ span.cold = true }", 1),
            ("{ event.attempt = \"first\" || name = \"sweep\" }", 2),
            ("{ resource.service.name = \"shop\" } >> { name = \"reserve\" }", 1),
            ("{ name = \"reserve\" } >> { name = \"GET /cart\" }", 0),
            ("{ nestedSetParent < 0 }", 2),
            ("{ resource.host.name != nil } | count() > 1", 1),
            ("{ resource.host.name != nil } | count() > 2", 0),
            ("{ rootName = \"GET /cart\" && name = \"reserve\" }", 1),
            ("{ rootServiceName =~ \"sto.*\" }", 1),
            ("{ rootServiceName != \"stock\" }", 1),
            ("{ traceDuration >= 250ms }", 1),
            ("{ traceDuration > 250ms }", 0),
        ] {
            let found = server.get("/tempo/api/search", &[&range[..], &[("q", query), ("limit", "20")]].concat()).await;
            assert_eq!(found["traces"].as_array().map(Vec::len), Some(expected), "{query}: {found}");
        }
        let query = "{ name = \"reserve\" } | select(span.cold, resource.service.name)";
        let found = server.get("/tempo/api/search", &[&range[..], &[("q", query), ("spss", "3")]].concat()).await;
        let trace = &found["traces"][0];
        assert_eq!(
            (&trace["traceID"], &trace["rootServiceName"], &trace["durationMs"]),
            (&json!(TRACE), &json!("shop"), &json!(250))
        );
        let span = &trace["spanSets"][0]["spans"][0];
        assert_eq!(span["spanID"], "0000000000000003");
        assert_eq!(
            span["attributes"],
            json!([{ "key": "cold", "value": { "boolValue": true } }, { "key": "service.name", "value": { "stringValue": "stock" } }])
        );
        let old = server
            .get("/tempo/api/search", &[&range[..], &[("tags", "service.name=shop http.route=/cart")]].concat())
            .await;
        assert_eq!(old["traces"].as_array().map(Vec::len), Some(1));
        // Tags are logfmt, and the durations are those of the whole trace.
        for (name, value, expected) in [
            ("tags", "name=\"GET /cart\"", 1),
            ("tags", "name=\"GET /other\"", 0),
            ("tags", "name=sweep", 1),
            ("minDuration", "240ms", 1),
            ("maxDuration", "200ms", 1),
            ("maxDuration", "900us", 0),
        ] {
            let found = server.get("/tempo/api/search", &[&range[..], &[(name, value)]].concat()).await;
            assert_eq!(found["traces"].as_array().map(Vec::len), Some(expected), "{name} {value}: {found}");
        }
        let narrowed = [&range[..], &[("q", "{ resource.service.name = \"shop\" }")]].concat();
        let names = server.get("/tempo/api/search/tag/name/values", &narrowed).await;
        assert_eq!(names, json!({ "tagValues": ["GET /cart", "call stock"] }));
        let roots = server.get("/tempo/api/search/tag/rootName/values", &range).await;
        assert_eq!(roots, json!({ "tagValues": ["GET /cart", "sweep"] }));
        let tags = server.get("/tempo/api/v2/search/tags", &range).await;
        assert!(tags["scopes"][0]["tags"].as_array().expect("tags").contains(&json!("cold")), "{tags}");
        let values = server.get("/tempo/api/v2/search/tag/resource.service.name/values", &range).await;
        assert_eq!(
            values,
            json!({ "tagValues": [{ "type": "string", "value": "shop" }, { "type": "string", "value": "stock" }] })
        );

        // Grafana reads whole traces as protobuf.
        for (path, is_wrapped) in [("/tempo/api/traces/", false), ("/tempo/api/v2/traces/", true)] {
            let request = client().get(format!("{}{path}{TRACE}", server.ui)).header("accept", "application/protobuf");
            let bytes = request.send().await.expect("an answer").bytes().await.expect("bytes");
            let inner = if is_wrapped {
                assert_eq!(bytes[0], 0x0a);
                let mut rest = &bytes[1..];
                let length = prost::encoding::decode_varint(&mut rest).expect("a length") as usize;
                rest[..length].to_vec()
            } else {
                bytes.to_vec()
            };
            let trace = ExportTraceServiceRequest::decode(&*inner).expect("OTLP");
            let spans: Vec<_> =
                trace.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans).collect();
            assert_eq!(spans.len(), 3);
            assert_eq!(spans[0].name, "GET /cart");
            assert_eq!(spans[0].end_time_unix_nano - spans[0].start_time_unix_nano, 250_000_000);
            assert_eq!(spans[0].status.as_ref().map(|status| status.code), Some(2));
        }
        assert_eq!(server.get_status("/tempo/api/v2/traces/abc", &[]).await.0, 404);

        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tempo_counts_spans_over_time_and_names_what_it_does_not_know() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let start = start();
    fill(&server, start).await;
    let (first, last) = ((start - 60).to_string(), (start + 60).to_string());
    let range = [("start", first.as_str()), ("end", last.as_str())];
    for _ in 0..2 {
        let query = "{} | rate() by (resource.service.name)";
        let step = [("q", query), ("step", "120s")];
        let metrics = server.get("/tempo/api/metrics/query_range", &[&range[..], &step].concat()).await;
        let sum = |series: &Json| {
            series["samples"]
                .as_array()
                .expect("samples")
                .iter()
                .map(|sample| sample["value"].as_f64().expect("a number") * 120.0)
                .sum::<f64>()
        };
        let counts: Vec<(Json, f64)> = metrics["series"]
            .as_array()
            .expect("series")
            .iter()
            .map(|series| (series["labels"][0]["value"]["stringValue"].clone(), sum(series).round()))
            .collect();
        assert_eq!(counts, [(json!("shop"), 2.0), (json!("stock"), 2.0)]);
        // A rate of nothing is 0 at every step, so that its graph does not jump over them.
        let step = [("q", "{} | count_over_time()"), ("step", "10s")];
        let counts = server.get("/tempo/api/metrics/query_range", &[&range[..], &step].concat()).await;
        let samples = counts["series"][0]["samples"].as_array().expect("samples");
        assert!(samples.len() >= 12, "{counts}");
        let sum: f64 = samples.iter().map(|sample| sample["value"].as_f64().expect("a number")).sum();
        assert_eq!(sum.round() as i64, 4);
        let query = "{ resource.service.name = \"shop\" } | max_over_time(duration)";
        let metrics = server.get("/tempo/api/metrics/query", &[&range[..], &[("q", query)]].concat()).await;
        assert_eq!(metrics["series"][0]["value"], 0.25);
        server.flush().await;
    }
    for (query, named) in [
        ("{ childCount > 2 }", "childCount"),
        ("{ span.a = span.b }", "the field `span.b`"),
        ("{ name = ", "a value"),
        ("{} | by(name)", "by()"),
    ] {
        let answer = client().get(format!("{}/tempo/api/search", server.ui)).query(&[("q", query)]).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 400, "{query}");
        let said = answer.text().await.expect("text");
        assert!(said.contains(named), "{query}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tempo_looks_on_until_enough_traces_pass_and_shows_spans_of_each() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let start = start();
    // Three old traces of three spans each, three hundred of one span, and a newest one of 2,500 spans.
    let traces = (0..3).map(|n| (n, 3)).chain((3..303).map(|n| (n, 1))).chain([(303, 2_500)]);
    let spans: Vec<Json> = traces
        .flat_map(|(trace, count)| (0..count).map(move |number| (trace, number)))
        .map(|(trace, number)| {
            let time = start * 1_000_000_000 + trace * 1_000_000 + number;
            json!({
                "traceId": format!("{:032x}", trace + 1), "spanId": format!("{:016x}", number + 1), "name": format!("n{number}"),
                "startTimeUnixNano": time.to_string(), "endTimeUnixNano": (time + 1_000).to_string(), "kind": 1,
            })
        })
        .collect();
    let service = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "many" } }] });
    let body = json!({ "resourceSpans": [{ "resource": service, "scopeSpans": [{ "spans": spans }] }] });
    assert_eq!(server.export("traces", &body).await.0, 200);
    let (first, last) = ((start - 60).to_string(), (start + 60).to_string());
    for _ in 0..2 {
        let found = async |query: &str, limit: &str| {
            let asked = [("q", query), ("limit", limit), ("spss", "2"), ("start", &first), ("end", &last)];
            let answer = server.get("/tempo/api/search", &asked).await;
            let mut all: Vec<(String, Vec<String>)> = Vec::new();
            for trace in answer["traces"].as_array().expect("traces") {
                let spans = trace["spanSets"][0]["spans"].as_array().expect("spans").iter();
                let names = spans.map(|span| span["name"].as_str().expect("a name").to_owned());
                let id = trace["traceID"].as_str().expect("an id").trim_start_matches('0').to_owned();
                all.push((id, names.collect()));
            }
            all
        };
        let earliest = || vec!["n0".to_owned(), "n1".to_owned()];
        let expected: Vec<_> = ["130", "3", "2", "1"].map(|id| (id.to_owned(), earliest())).into();
        assert_eq!(
            found("{} | count() > 2", "5").await,
            expected,
            "old traces are found behind those that do not pass"
        );
        assert_eq!(found("{} | count() > 2", "2").await, expected[..2]);
        let newest = found("{}", "50").await;
        assert_eq!(newest.len(), 50);
        assert!(newest.iter().all(|(_, spans)| !spans.is_empty()), "spans of each trace: {newest:?}");
        assert_eq!(newest[0], ("130".to_owned(), earliest()));
        server.flush().await;
    }
    assert_eq!(server.get_status("/tempo/api/search", &[("q", "{}"), ("spss", "101")]).await.0, 400);
}
