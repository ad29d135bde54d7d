//! Loki's API with LogQL: requests as Grafana and `logcli` send them, over hot and sealed rows.

mod harness;

use futures::{SinkExt as _, StreamExt as _};
use harness::{Server, client};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

/// When the lines are, in seconds.
const T: i64 = 1_700_000_000;

/// A stream's labels, and its lines with their seconds and their metadata.
type Stream<'a> = (Json, &'a [(i64, &'a str, Json)]);

async fn push(server: &Server, tenant: Option<&str>, streams: &[Stream<'_>]) {
    let streams: Vec<Json> = streams
        .iter()
        .map(|(labels, lines)| {
            let values: Vec<Json> = lines
                .iter()
                .map(|(second, line, metadata)| json!([format!("{}000000000", T + second), line, metadata]))
                .collect();
            json!({ "stream": labels, "values": values })
        })
        .collect();
    let mut request = client().post(format!("{}/loki/api/v1/push", server.ui)).json(&json!({ "streams": streams }));
    if let Some(tenant) = tenant {
        request = request.header("x-scope-orgid", tenant);
    }
    assert_eq!(request.send().await.expect("an answer").status(), 204);
}

async fn fill(server: &Server) {
    let none = || json!({});
    push(
        server,
        None,
        &[
            (
                json!({ "app": "web", "env": "prod" }),
                &[
                    (0, r#"{"level":"info","status":200,"took":"15ms","user":{"id":"u1"}}"#, json!({ "pod": "w-1" })),
                    (10, r#"{"level":"error","status":503,"took":"1.5s","user":{"id":"u2"}}"#, json!({ "pod": "w-2" })),
                    (20, "not json", json!({ "pod": "w-1" })),
                ],
            ),
            (
                json!({ "app": "db", "env": "prod" }),
                &[
                    (5, r#"level=info msg="query done" dur=20ms bytes=1KB"#, none()),
                    (15, r#"level=warn msg="slow query" dur=2s bytes=4KB"#, none()),
                ],
            ),
            (
                json!({ "app": "proxy", "env": "dev" }),
                &[
                    (30, r#"10.0.0.1 - - [now] "GET /a b" 200"#, none()),
                    (31, "192.168.1.7 - - [now] \"POST /c\" \u{1b}[31m500\u{1b}[0m", none()),
                ],
            ),
        ],
    )
    .await;
}

async fn get(server: &Server, path: &str, parameters: &[(&str, &str)], tenant: &str) -> (u16, String) {
    let mut request = client().get(format!("{}{path}", server.ui)).query(parameters);
    if !tenant.is_empty() {
        request = request.header("x-scope-orgid", tenant);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

fn range() -> [(&'static str, &'static str); 2] {
    [("start", "1699999990"), ("end", "1700000060")]
}

/// The lines of a query, those of all streams in one order.
async fn lines(server: &Server, query: &str, direction: &str) -> Vec<String> {
    let [start, end] = range();
    let parameters = [("query", query), start, end, ("direction", direction), ("limit", "1000")];
    let (status, body) = get(server, "/loki/api/v1/query_range", &parameters, "").await;
    assert_eq!(status, 200, "{query}: {body}");
    let body: Json = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["data"]["resultType"], "streams", "{query}");
    let mut all: Vec<(String, String)> = Vec::new();
    for stream in body["data"]["result"].as_array().expect("streams") {
        for value in stream["values"].as_array().expect("values") {
            let text = |place: usize| value[place].as_str().expect("text").to_owned();
            all.push((text(0), text(1)));
        }
    }
    all.sort();
    if direction == "backward" {
        all.reverse();
    }
    all.into_iter().map(|(_, line)| line).collect()
}

/// Labels and value of an instant query's series, by labels.
async fn numbers(server: &Server, query: &str) -> Vec<(String, String)> {
    let (status, body) = get(server, "/loki/api/v1/query", &[("query", query), ("time", "1700000060")], "").await;
    assert_eq!(status, 200, "{query}: {body}");
    let body: Json = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["data"]["resultType"], "vector", "{query}");
    let series = body["data"]["result"].as_array().expect("series").iter();
    let mut all: Vec<(String, String)> = series
        .map(|one| {
            let labels: std::collections::BTreeMap<String, String> =
                serde_json::from_value(one["metric"].clone()).expect("labels");
            let labels: Vec<String> = labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            (labels.join(","), one["value"][1].as_str().expect("a number").to_owned())
        })
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_give_the_lines_that_loki_gives() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let info = r#"{"level":"info","status":200,"took":"15ms","user":{"id":"u1"}}"#;
    let error = r#"{"level":"error","status":503,"took":"1.5s","user":{"id":"u2"}}"#;
    let (done, slow) =
        (r#"level=info msg="query done" dur=20ms bytes=1KB"#, r#"level=warn msg="slow query" dur=2s bytes=4KB"#);
    let (first, second) =
        (r#"10.0.0.1 - - [now] "GET /a b" 200"#, "192.168.1.7 - - [now] \"POST /c\" \u{1b}[31m500\u{1b}[0m");
    let cases: &[(&str, &[&str])] = &[
        (r#"{app="web"}"#, &["not json", error, info]),
        (r#"{service_name="web"}"#, &["not json", error, info]),
        (r#"{app=~"web|db", env!="dev"} |= "query""#, &[slow, done]),
        (r#"{env="prod"} |= "query" != "slow""#, &[done]),
        (r#"{env="prod"} |= "Query""#, &[]),
        (r#"{env="prod"} |~ "(?i)QUERY d.ne""#, &[done]),
        (r#"{env="prod"} |= "done" or "slow""#, &[slow, done]),
        (r#"{env="prod"} != "done" or "slow" !~ "u[12]""#, &["not json"]),
        (r#"{app="proxy"} |= ip("10.0.0.0/8")"#, &[first]),
        (r#"{app="db"} |> "<_>msg=\"slow <_>" "#, &[slow]),
        (r#"{app="web"} | json | status >= 500"#, &["not json", error]),
        (r#"{app="web"} | json | __error__="" | status >= 500"#, &[error]),
        (r#"{app="web"} | json | user_id="u1""#, &[info]),
        (r#"{app="web"} | json who="user.id" | who="u2""#, &[error]),
        (r#"{app="web"} | json | __error__="JSONParserErr""#, &["not json"]),
        (r#"{app="web"} | json | took > 1s and level="error""#, &[error]),
        (r#"{app="web"} | pod="w-2""#, &[error]),
        (r#"{app="db"} | logfmt | dur >= 1s or bytes < 2KB"#, &[slow, done]),
        (r#"{app="db"} | logfmt | level=~"w.*n""#, &[slow]),
        (r#"{app="db"} | logfmt | line_format "{{.msg | ToUpper}} {{.dur}}""#, &["SLOW QUERY 2s", "QUERY DONE 20ms"]),
        (r#"{app="db"} | logfmt | line_format "{{.msg}}" |= "slow""#, &["slow query"]),
        (
            r#"{app="proxy"} | pattern "<ip> - - [<_>] \"<method> <path>\" <_>" | method="POST" | line_format `{{.ip}} {{.path}}`"#,
            &["192.168.1.7 /c"],
        ),
        (r#"{app="proxy"} | regexp "(?P<verb>GET|POST) (?P<path>/\\w+)" | path="/a""#, &[first]),
        (r#"{app="proxy"} | pattern "<addr> <_>" | addr=ip("192.168.0.0/16")"#, &[second]),
        (r#"{app="proxy"} | decolorize |= "\" 500""#, &["192.168.1.7 - - [now] \"POST /c\" 500"]),
        (
            r#"{app="db"} | logfmt | label_format what=msg, both="{{.level}}-{{.what}}" | line_format "{{.both}}""#,
            &["warn-slow query", "info-query done"],
        ),
        (
            r#"{app="db"} | logfmt | drop level, dur | line_format "[{{.level}}{{.dur}}{{.bytes}}]""#,
            &["[4KB]", "[1KB]"],
        ),
        (r#"{app="db"} | logfmt | keep level | line_format "[{{.level}}{{.dur}}]""#, &["[warn]", "[info]"]),
        (r#"{app="gone"}"#, &[]),
    ];
    for sealed in [false, true] {
        for (query, expected) in cases {
            assert_eq!(lines(&server, query, "backward").await, *expected, "{query}, sealed: {sealed}");
            let mut forward = lines(&server, query, "forward").await;
            forward.reverse();
            assert_eq!(forward, *expected, "{query} forward, sealed: {sealed}");
        }
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metric_queries_give_the_numbers_that_loki_gives() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("vector(1)+vector(1)", &[("", "2")]),
        (r#"sum(count_over_time({env="prod"}[2m]))"#, &[("", "5")]),
        (
            r#"sum by (app) (count_over_time({env=~".+"}[2m]))"#,
            &[("app=db", "2"), ("app=proxy", "2"), ("app=web", "3")],
        ),
        (r#"sum by (app) (count_over_time({env=~".+"}[30s]))"#, &[("app=proxy", "1")]),
        (r#"sum by (app) (count_over_time({env="prod"}[30s] offset 40s))"#, &[("app=db", "2"), ("app=web", "3")]),
        (r#"sum(rate({app="web"}[1m]))"#, &[("", "0.03333333333333333")]),
        (r#"sum(bytes_over_time({app="web"} |= "not json" [1m]))"#, &[("", "8")]),
        (
            r#"count_over_time({app="web"} |= "not json" | drop pod, detected_level [1m])"#,
            &[("app=web,env=prod,service_name=web", "1")],
        ),
        (r#"sum by (pod) (count_over_time({app="web"}[2m]))"#, &[("pod=w-1", "2"), ("pod=w-2", "1")]),
        (
            r#"sum by (level) (count_over_time({app="web"} | json | __error__="" [2m]))"#,
            &[("level=error", "1"), ("level=info", "1")],
        ),
        (r#"sum(sum_over_time({app="web"} | json | __error__="" | unwrap status [2m]))"#, &[("", "703")]),
        (r#"max_over_time({app="db"} | logfmt | unwrap duration(dur) [2m]) by (app)"#, &[("app=db", "2")]),
        (r#"avg_over_time({app="db"} | logfmt | unwrap bytes(bytes) [2m]) by ()"#, &[("", "2500")]),
        (r#"quantile_over_time(0.5, {app="db"} | logfmt | unwrap bytes(bytes) [2m]) by (app)"#, &[("app=db", "2500")]),
        (r#"first_over_time({app="db"} | logfmt | unwrap duration(dur) [2m]) by (app)"#, &[("app=db", "0.02")]),
        (r#"topk(1, sum by (app) (count_over_time({env=~".+"}[2m])))"#, &[("app=web", "3")]),
        (
            r#"sum by (app) (count_over_time({env="prod"} |= "query" [2m])) / sum by (app) (count_over_time({env="prod"}[2m]))"#,
            &[("app=db", "1")],
        ),
        (r#"sum(count_over_time({env="prod"}[2m])) > 4"#, &[("", "5")]),
        (r#"sum(count_over_time({env="prod"}[2m])) > 5 or vector(0)"#, &[("", "0")]),
        (r#"sum(count_over_time({env="gone"}[2m]))"#, &[]),
        (r#"absent_over_time({app="gone"}[2m])"#, &[("app=gone", "1")]),
        (
            r#"label_replace(sum by (app) (count_over_time({app="db"}[2m])), "to", "x-$1", "app", "(.*)")"#,
            &[("app=db,to=x-db", "2")],
        ),
        ("2 * sum(count_over_time({app=\"db\"}[2m])) # a comment", &[("", "4")]),
    ];
    for sealed in [false, true] {
        for (query, expected) in cases {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(labels, value)| ((*labels).to_owned(), (*value).to_owned())).collect();
            assert_eq!(numbers(&server, query).await, expected, "{query}, sealed: {sealed}");
        }
        let [start, end] = range();
        let query = r#"sum(count_over_time({env="prod"}[10s]))"#;
        let parameters = [("query", query), start, end, ("step", "10")];
        let (_, body) = get(&server, "/loki/api/v1/query_range", &parameters, "").await;
        let body: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            body["data"]["result"][0]["values"],
            json!([[T, "1"], [T + 10, "2"], [T + 20, "2"]]),
            "a window ends at its step, and is open at its start: {body}"
        );
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_logql_is_told_with_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    for (query, named) in [
        ("{", "unexpected end"),
        ("{app=\"web\"", "unexpected end"),
        ("{app=web}", "text in quotes"),
        ("{app=~\".*\"}", "at least one"),
        ("{app=~\"(\"}", "error parsing regexp"),
        ("{app=\"web\"} | nothing", "a comparison"),
        ("{app=\"web\"} | json |", "unexpected end"),
        ("{app=\"web\"} | line_format \"{{ define `a` }}{{ end }}\"", "not supported"),
        ("{app=\"web\"} | distinct level", "not supported"),
        ("{app=\"web\"} | pattern \"<a><b>\"", "consecutive capture"),
        ("rate({app=\"web\"})", "needs a range"),
        ("sum_over_time({app=\"web\"}[5m])", "without unwrap"),
        ("count_over_time({app=\"web\"} | unwrap a [5m])", "with unwrap"),
        ("nothing({app=\"web\"}[5m])", "unexpected `nothing`"),
        ("rate({app=\"web\"}[5 minutes])", "duration"),
    ] {
        let (status, body) = get(&server, "/loki/api/v1/query_range", &[("query", query)], "").await;
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains(named), "{query}: {body}");
    }
    let (status, body) = get(&server, "/loki/api/v1/query", &[("query", "{app=\"web\"}")], "").await;
    assert_eq!(status, 400, "{body}");
    // A line that cannot be read is not counted silently.
    let query = "sum(count_over_time({app=\"web\"} | json [2m]))";
    let (status, body) = get(&server, "/loki/api/v1/query", &[("query", query), ("time", "1700000060")], "").await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("JSONParserErr"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_series_and_tenants_are_told_apart() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let secret: &[(i64, &str, Json)] = &[(1, "secret", json!({}))];
    push(&server, Some("a"), &[(json!({ "app": "hidden" }), secret)]).await;
    for _ in 0..2 {
        let [start, end] = range();
        let of = async |path: &str, more: &[(&str, &str)], tenant: &str| {
            let parameters = [&[start, end], more].concat();
            let (status, body) = get(&server, path, &parameters, tenant).await;
            assert_eq!(status, 200, "{path}: {body}");
            serde_json::from_str::<Json>(&body).expect("JSON")
        };
        assert_eq!(of("/loki/api/v1/labels", &[], "").await["data"], json!(["app", "env", "service_name"]));
        assert_eq!(of("/loki/api/v1/label/app/values", &[], "").await["data"], json!(["db", "hidden", "proxy", "web"]));
        assert_eq!(
            of("/loki/api/v1/label/app/values", &[("query", "{env=\"prod\"}")], "").await["data"],
            json!(["db", "web"])
        );
        assert_eq!(of("/loki/api/v1/label/app/values", &[], "a").await["data"], json!(["hidden"]));
        assert_eq!(of("/loki/api/v1/label/app/values", &[], "b").await["data"], json!([]));
        let hidden = [("query", "{app=\"hidden\"}")];
        assert_eq!(
            of("/loki/api/v1/query_range", &hidden, "a").await["data"]["result"].as_array().map(Vec::len),
            Some(1)
        );
        assert_eq!(
            of("/loki/api/v1/query_range", &hidden, "b").await["data"]["result"].as_array().map(Vec::len),
            Some(0)
        );
        let series = of("/loki/api/v1/series", &[("match[]", "{env=\"dev\"}")], "").await;
        assert_eq!(series["data"], json!([{ "app": "proxy", "env": "dev", "service_name": "proxy" }]));
        let stats = of("/loki/api/v1/index/stats", &[("query", "{env=\"prod\"}")], "").await;
        assert_eq!((&stats["streams"], &stats["entries"]), (&json!(2), &json!(5)));
        let volume = of("/loki/api/v1/index/volume", &[("query", "{env=~\".+\"}"), ("targetLabels", "app")], "").await;
        assert_eq!(volume["data"]["result"][0]["metric"], json!({ "app": "web" }), "{volume}");
        // By labels, each label's name has the bytes of all streams that have it.
        let asked = [("query", "{env=~\".+\"}"), ("targetLabels", "app,env"), ("aggregateBy", "labels")];
        let volume = of("/loki/api/v1/index/volume", &asked, "").await;
        let result = volume["data"]["result"].as_array().expect("volumes");
        let names: Vec<&Json> = result.iter().map(|series| &series["metric"]).collect();
        assert_eq!(names, [&json!({ "app": "" }), &json!({ "env": "" })], "{volume}");
        assert_eq!(result[0]["value"][1], result[1]["value"][1]);
        let fields = of("/loki/api/v1/detected_fields", &[("query", "{app=\"db\"}")], "").await;
        let dur = fields["fields"].as_array().expect("fields").iter().find(|field| field["label"] == "dur");
        assert_eq!(
            dur.expect("dur"),
            &json!({ "label": "dur", "type": "duration", "cardinality": 2, "parsers": ["logfmt"] })
        );
        server.flush().await;
    }
    // Grafana asks for structured metadata apart from the stream.
    let [start, end] = range();
    let request = client().get(format!("{}/loki/api/v1/query_range", server.ui));
    let request = request.query(&[("query", "{app=\"web\"} | json status=\"status\" | pod=\"w-2\""), start, end]);
    let answer = request.header("x-loki-response-encoding-flags", "categorize-labels").send().await.expect("an answer");
    let answer: Json = answer.json().await.expect("JSON");
    assert_eq!(answer["data"]["encodingFlags"], json!(["categorize-labels"]));
    let stream = &answer["data"]["result"][0];
    assert_eq!(stream["stream"], json!({ "app": "web", "env": "prod", "service_name": "web" }));
    assert_eq!(stream["values"][0][2]["structuredMetadata"]["pod"], "w-2");
    assert_eq!(stream["values"][0][2]["parsed"], json!({ "status": "503" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_gives_what_is_there_and_what_comes() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let address = server.ui.replace("http://", "ws://");
    let url = format!(
        "{address}/loki/api/v1/tail?query=%7Bapp%3D%22db%22%7D%20%7C%20logfmt%20%7C%20level%3D%22warn%22&start={}&limit=10",
        T - 60
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a socket");
    let mut next = async || {
        let message = tokio::time::timeout(std::time::Duration::from_secs(20), socket.next()).await;
        let message = message.expect("in time").expect("a message").expect("no error");
        serde_json::from_str::<Json>(message.to_text().expect("text")).expect("JSON")
    };
    let before = next().await;
    assert_eq!(before["streams"][0]["values"][0][1], r#"level=warn msg="slow query" dur=2s bytes=4KB"#);
    let more: &[(i64, &str, Json)] = &[(50, "level=info msg=no", json!({})), (51, "level=warn msg=yes", json!({}))];
    push(&server, None, &[(json!({ "app": "db", "env": "prod" }), more)]).await;
    let after = next().await;
    assert_eq!(after["streams"][0]["values"], json!([[format!("{}000000000", T + 51), "level=warn msg=yes"]]));
    socket.close(None).await.expect("closed");
    let _ = socket.flush().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_is_more_than_a_bad_request() {
    const PIECES: [&str; 40] = [
        "{app=\"web\"}",
        "{",
        "}",
        "(",
        ")",
        "|",
        "|=",
        "|~",
        "!=",
        "\"a\"",
        "`b`",
        "json",
        "logfmt",
        "pattern \"<a> <b>\"",
        "regexp",
        "unwrap",
        "status",
        ">",
        "5",
        "10ms",
        "[5m]",
        "rate",
        "sum",
        "by",
        "offset",
        "1m",
        "line_format \"{{.a | ToUpper}}\"",
        "label_format a=b",
        "count_over_time",
        "quantile_over_time",
        ",",
        "or",
        "and",
        "-",
        "+",
        "^",
        "drop a",
        "keep",
        "\"{{ if }}\"",
        "가",
    ];
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    fill(&server).await;
    let mut random = StdRng::seed_from_u64(11);
    let mut accepted = 0;
    for number in 0..600 {
        let mut query = String::new();
        if number % 3 == 0 {
            query.push_str("{app=\"web\"} | json ");
        }
        for _ in 0..random.random_range(0..9) {
            query.push_str(PIECES[random.random_range(0..PIECES.len())]);
            query.push(' ');
        }
        for (path, name) in [("/loki/api/v1/query_range", "query"), ("/tempo/api/search", "q")] {
            let (status, body) = get(&server, path, &[(name, &query)], "").await;
            assert!(status == 200 || status == 400, "{query}: {status} {body}");
            accepted += usize::from(status == 200);
        }
    }
    assert!(accepted > 20, "hardly any text was a query: {accepted}");
    for query in
        ["(".repeat(20_000), "-".repeat(20_000), format!("{{a=\"b\"}} | {}", "(".repeat(20_000)), "!".repeat(10_000)]
    {
        for (path, name) in [("/loki/api/v1/query_range", "query"), ("/tempo/api/search", "q")] {
            let query = if name == "q" { format!("{{{query}") } else { query.clone() };
            let request = client().get(format!("{}{path}", server.ui)).query(&[(name, &query)]);
            let status = request.send().await.expect("an answer").status();
            assert!(status.is_client_error(), "{path} {}: {status}", &query[..20]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_thins_lines_before_they_are_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    // A line each second of ten minutes, in two streams.
    for (app, odd) in [("a", 0), ("b", 1)] {
        let lines: Vec<(i64, String)> = (0..300).map(|n| (2 * n + odd, format!("line {}", 2 * n + odd))).collect();
        let lines: Vec<(i64, &str, Json)> =
            lines.iter().map(|(time, line)| (*time, line.as_str(), json!({}))).collect();
        push(&server, None, &[(json!({ "app": app }), &lines)]).await;
    }
    for _ in 0..2 {
        for (direction, expected) in [
            ("forward", (0..10).map(|n| n * 60).collect()),
            ("backward", (0..10).map(|n| 599 - n * 60).collect::<Vec<i64>>()),
        ] {
            for query in ["{app=~\"a|b\"}", "{app=~\"a|b\"} | detected_level != \"error\""] {
                let parameters = [
                    ("query", query),
                    ("start", "1699999990"),
                    ("end", "1700000900"),
                    ("direction", direction),
                    ("limit", "10"),
                    ("interval", "60s"),
                ];
                let (status, body) = get(&server, "/loki/api/v1/query_range", &parameters, "").await;
                assert_eq!(status, 200, "{body}");
                let body: Json = serde_json::from_str(&body).expect("JSON");
                let streams = body["data"]["result"].as_array().expect("streams").iter();
                let values = streams.flat_map(|stream| stream["values"].as_array().expect("values"));
                let mut times: Vec<i64> = values
                    .map(|value| value[0].as_str().expect("a time").parse::<i64>().expect("a time") / 1_000_000_000 - T)
                    .collect();
                times.sort_unstable();
                let mut expected: Vec<i64> = expected.clone();
                expected.sort_unstable();
                assert_eq!(times, expected, "{direction} {query}");
            }
        }
        server.flush().await;
    }
}
