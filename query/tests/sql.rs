//! SQL and its functions over a real store, hot and sealed, against looking at every row, in every format.

mod calls;

use arrow::ipc::reader::StreamReader;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use calls::{CLIENT, SECOND, SERVER, START, Span, batch, store, trace_id};
use mangru_query::{QueryService, QuerySettings, SqlRequest, router};
use mangru_store::{Store, TimeRange, TraceId};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

fn spans() -> Vec<Span> {
    (0..240_u8)
        .map(|n| Span {
            time: START + i64::from(n) * SECOND,
            duration: i64::from(n) * 1000,
            trace: u32::from(n / 12),
            id: n % 12,
            parent: (n % 12 > 0).then_some(0),
            service: ["web", "cart", "pay"][usize::from(n % 3)].to_owned(),
            kind: [CLIENT, SERVER][usize::from(n % 2)],
            is_error: n % 7 == 0,
            attributes: vec![("doc".to_owned(), format!(r#"{{"user":{{"id":{n}}},"tags":["a","t{n}"]}}"#))],
            ..Span::default()
        })
        .collect()
}

/// A store with the spans, half of them in parts.
async fn half_sealed(folder: &std::path::Path) -> Arc<Store> {
    let store = store(folder).await;
    for chunk in spans().chunks(60) {
        store.append(batch(chunk)).await.expect("append");
        if chunk[0].id == 0 && chunk[0].trace < 10 {
            store.flush().await.expect("flush");
        }
    }
    store
}

async fn ask(service: &QueryService, sql: &str) -> Vec<Vec<Json>> {
    let request = SqlRequest { sql: sql.to_owned(), range: TimeRange::ALL, limit: 1000 };
    service.sql(&request).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_give_what_looking_at_every_row_gives() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    let all = spans();

    let rows = ask(
        &service,
        "SELECT time_bucket('1m', time) AS at, count(*), rate(count(*), '1m') FROM spans GROUP BY 1 ORDER BY 1",
    )
    .await;
    let mut expected = std::collections::BTreeMap::<i64, u64>::new();
    for span in &all {
        *expected.entry(span.time.div_euclid(60 * SECOND)).or_default() += 1;
    }
    assert_eq!(rows.len(), expected.len());
    for (row, (minute, count)) in rows.iter().zip(&expected) {
        let time = chrono::DateTime::from_timestamp(minute * 60, 0).expect("a time");
        assert_eq!(row[0], json!(format!("{}.000000000Z", time.format("%Y-%m-%dT%H:%M:%S"))));
        assert_eq!(row[1], json!(count));
        assert_eq!(row[2], json!(*count as f64 / 60.0));
    }

    let rows = ask(&service, "SELECT percentile(duration_ns, 0.5), approx_percentile(duration_ns, 0.95), median(duration_ns), approx_distinct(duration_ns), count(DISTINCT service_name) FROM spans").await;
    assert_eq!(rows[0][0].as_f64(), Some(119_500.0), "exact and between the two in the middle");
    let sketched = rows[0][1].as_f64().expect("a number");
    assert!((sketched - 227_000.0).abs() < 5_000.0, "{sketched}");
    let distinct = rows[0][3].as_f64().expect("a number");
    assert!((distinct - 240.0).abs() < 12.0, "{distinct}");
    assert_eq!(rows[0][4], json!(3));

    let id = TraceId(trace_id(4)).to_string();
    let rows = ask(&service, &format!("SELECT count(*), max(duration_ns) FROM trace('{id}')")).await;
    assert_eq!(rows, [[json!(12), json!(59_000)]]);

    let rows = ask(&service, "SELECT count(*) FROM search('spans', 'service:web status:error duration>50us')").await;
    let expected = all.iter().filter(|span| span.service == "web" && span.is_error && span.duration > 50_000).count();
    assert_eq!(rows, [[json!(expected)]]);
    let rows = ask(&service, "SELECT s.service_name, count(*) FROM search('spans', 'status:error') s WHERE s.duration_ns < 100000 GROUP BY 1 ORDER BY 1").await;
    let count =
        |name: &str| all.iter().filter(|span| span.service == name && span.is_error && span.duration < 100_000).count();
    assert_eq!(rows, ["cart", "pay", "web"].map(|name| [json!(name), json!(count(name))]));

    let rows = ask(&service, "SELECT json(attr(attributes, 'doc'), 'user.id'), json(attr(attributes, 'doc'), '$.tags[1]'), json(attr(attributes, 'doc'), 'none') FROM spans WHERE duration_ns = 17000").await;
    assert_eq!(rows, [[json!("17"), json!("t17"), Json::Null]]);

    // Parents joined with their children by id and trace.
    let rows = ask(&service, "SELECT count(*) FROM spans c JOIN spans p ON c.trace_id = p.trace_id AND c.parent_span_id = p.span_id WHERE c.service_name <> p.service_name").await;
    let by_place = |trace: u32, id: u8| all.iter().find(|span| span.trace == trace && span.id == id);
    let expected = all
        .iter()
        .filter(|span| span.parent.and_then(|id| by_place(span.trace, id)).is_some_and(|up| up.service != span.service))
        .count();
    assert_eq!(rows, [[json!(expected)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_statement_is_said() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    let wrong = [
        ("SELECT time_bucket('often', time) FROM spans", "'5m'"),
        ("SELECT time_bucket('5m', service_name) FROM spans", "is not a time"),
        ("SELECT rate(count(*), 60) FROM spans", "'5m'"),
        ("SELECT * FROM trace('xyz')", "32 hex digits"),
        ("SELECT * FROM search('traces', 'x')", "is not logs, spans or metric_points"),
        ("SELECT * FROM search('logs')", "both in quotes"),
        ("SELECT * FROM search('spans', 'status:\"')", "never closed"),
        ("SELECT json(name, 'a..b') FROM spans", "'a.b[0]'"),
        ("DELETE FROM spans", "DML"),
        ("CREATE TABLE t (a int)", "DDL"),
        ("SELECT nothing FROM spans", "nothing"),
    ];
    for (sql, expected) in wrong {
        let request = SqlRequest { sql: sql.to_owned(), range: TimeRange::ALL, limit: 10 };
        let error = service.sql(&request).await.expect_err(sql);
        assert!(error.message.contains(expected), "{sql}: {error}");
        assert_ne!(error.code, mangru_query::ErrorCode::Internal, "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_every_format_and_say_when_they_are_cut() {
    let folder = tempfile::tempdir().expect("folder");
    let router = router(QueryService::new(half_sealed(folder.path()).await, QuerySettings::default()));
    let ask = async |body: Json, accept: &'static str| {
        let request = Request::post("/api/v1/sql")
            .header(header::ACCEPT, accept)
            .body(Body::from(body.to_string()))
            .expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let complete = response.headers().get("x-mangru-complete").map(|value| value == "true");
        let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (bytes, complete)
    };
    let sql = "SELECT 'a \"b\", c' AS text, duration_ns, time FROM spans ORDER BY duration_ns";
    let (csv, complete) = ask(json!({ "sql": sql, "limit": 2, "format": "csv" }), "*/*").await;
    let lines = "text,duration_ns,time\r\n\"a \"\"b\"\", c\",0,2023-11-14T22:13:20.000000000Z\r\n\"a \"\"b\"\", c\",1000,2023-11-14T22:13:21.000000000Z\r\n";
    assert_eq!(std::str::from_utf8(&csv), Ok(lines));
    assert_eq!(complete, Some(false), "a cut result says so");
    let (ndjson, complete) = ask(json!({ "sql": sql, "limit": 1000 }), "application/x-ndjson").await;
    let rows: Vec<Json> = std::str::from_utf8(&ndjson)
        .expect("text")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(rows.len(), 240);
    assert_eq!(rows[3]["duration_ns"], 3000);
    assert_eq!(complete, Some(true));
    let (stream, _) = ask(json!({ "sql": sql }), "text/plain, application/vnd.apache.arrow.stream;q=0.9").await;
    let reader = StreamReader::try_new(std::io::Cursor::new(stream), None).expect("an Arrow stream");
    assert_eq!(reader.schema().field(1).name(), "duration_ns");
    assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), 240);
    let (json, complete) = ask(json!({ "sql": sql }), "*/*").await;
    let result: Json = serde_json::from_slice(&json).expect("JSON");
    assert_eq!((result["rows"].as_array().map(Vec::len), complete), (Some(240), None));
    let (csv, _) = ask(json!({ "sql": "SELECT NULL AS a, '' AS b, 'c' AS c", "format": "csv" }), "*/*").await;
    assert_eq!(std::str::from_utf8(&csv), Ok("a,b,c\r\n,\"\",c\r\n"), "NULL is not an empty text");

    let twice = "SELECT a.time, b.time FROM spans a JOIN spans b ON a.span_id = b.span_id LIMIT 1";
    let request =
        Request::post("/api/v1/sql").body(Body::from(json!({ "sql": twice, "format": "ndjson" }).to_string()));
    let response = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    let error: Json = serde_json::from_slice(&bytes).expect("JSON");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("two columns are called `time`"), "{message}");
    let (csv, _) = ask(json!({ "sql": twice, "format": "csv" }), "*/*").await;
    assert!(csv.starts_with(b"time,time\r\n"), "other formats have both");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_the_same_in_capitals() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    for trace in [2, 18] {
        // One in parts, one hot.
        let id = TraceId(trace_id(trace)).to_string();
        let capitals = id.to_uppercase();
        assert_ne!(id, capitals, "the id has letters");
        let whole = [
            format!("SELECT count(*) FROM spans WHERE trace_id = '{capitals}'"),
            format!("SELECT count(*) FROM spans s WHERE '{capitals}' = s.trace_id AND kind > 0"),
            format!("SELECT count(*) FROM spans WHERE trace_id IN ('{capitals}', 'nothing', 'else', 'at', 'all')"),
            format!("SELECT 240 - count(*) FROM spans WHERE trace_id <> '{capitals}'"),
            format!(
                "SELECT count(*) FROM (SELECT upper(trace_id) AS trace_id FROM spans) WHERE trace_id = '{capitals}'"
            ),
        ];
        for sql in whole {
            assert_eq!(ask(&service, &sql).await, [[json!(12)]], "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_what_is_left_out_and_by_what() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    let range = TimeRange { start: START + 30 * SECOND, end: START + 90 * SECOND };
    let explained = service.explain(mangru_store::Signal::Spans, "service:web", range).await.expect("explained");
    assert_eq!(explained.hot_rows, 120);
    assert_eq!((explained.left_out_parts, explained.parts.len()), (0, 2));
    for part in &explained.parts {
        assert_eq!((part.rows, part.after_index), (60, Some(20)));
    }
    let id = mangru_store::SpanId(calls::span_id(3)).to_string();
    let explained = service
        .explain(mangru_store::Signal::Spans, &format!("span_id:{id} name:nobody"), TimeRange::ALL)
        .await
        .expect("explained");
    assert_eq!(explained.filter, format!("(span_id:\"{id}\" AND name:\"nobody\")"));
    assert_eq!(explained.rows_left, 0, "the index knows that there is no such name");
    let far = TimeRange { start: 0, end: 5 };
    let explained = service.explain(mangru_store::Signal::Spans, "*", far).await.expect("explained");
    assert_eq!((explained.left_out_parts, explained.left_out_rows, explained.parts.len()), (2, 120, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_would_run_for_ever_ends_in_time_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = QuerySettings { deadline: Duration::from_secs(2), ..QuerySettings::default() };
    let service = QueryService::new(half_sealed(folder.path()).await, settings);
    let endless = [
        "SELECT count(*) FROM generate_series(1,200000) a CROSS JOIN generate_series(1,200000) b CROSS JOIN generate_series(1,200000) c",
        "SELECT count(*) FROM spans a CROSS JOIN spans b CROSS JOIN spans c CROSS JOIN spans d CROSS JOIN spans e",
        "SELECT sum(value) FROM generate_series(1, 100000000000)",
    ];
    for sql in endless {
        let request = SqlRequest { sql: sql.to_owned(), range: TimeRange::ALL, limit: 10 };
        let started = Instant::now();
        let other = async {
            // Meanwhile others are answered.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let asked = Instant::now();
            ask(&service, "SELECT count(*) FROM spans").await;
            asked.elapsed()
        };
        let (endless, other) = tokio::join!(service.sql(&request), other);
        let error = endless.expect_err(sql);
        assert_eq!(error.code, mangru_query::ErrorCode::DeadlineExceeded, "{sql}: {error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{sql} took {:?}", started.elapsed());
        assert!(other < Duration::from_secs(10), "{sql} held up another for {other:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_makes_texts_of_any_length() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    let mut doubled = "SELECT name AS b FROM spans".to_owned();
    for _ in 0..60 {
        doubled = format!("SELECT b || b AS b FROM ({doubled})");
    }
    let too_long = [
        "SELECT repeat(name, 100000) FROM spans".to_owned(),
        "SELECT lpad('a', 2147483647, 'b')".to_owned(),
        "SELECT rpad('a', 2147483647, 'b')".to_owned(),
        "SELECT array_repeat(1, 2000000000)".to_owned(),
        "SELECT array_repeat(array_repeat(1, 30000), 30000)".to_owned(),
        "SELECT generate_series(1, 1000000000)".to_owned(),
        "SELECT * FROM unnest(range(0, 100000000))".to_owned(),
        format!("SELECT replace(name, '', '{}') FROM spans", "x".repeat(300)),
        format!("SELECT regexp_replace(name, '', '{}', 'g') FROM spans", "x".repeat(300)),
        doubled,
    ];
    for sql in too_long {
        let request = SqlRequest { sql: sql.clone(), range: TimeRange::ALL, limit: 10 };
        let error = service.sql(&request).await.expect_err(&sql);
        assert_ne!(error.code, mangru_query::ErrorCode::Internal, "{sql}: {error}");
        assert_ne!(error.code, mangru_query::ErrorCode::DeadlineExceeded, "{sql}: {error}");
    }
    // As deep as a statement of this length can nest: it is answered or refused, and the server goes on.
    let sum = format!("SELECT {}1", "1+".repeat(8_000));
    let nested = format!("SELECT {}1{}", "(".repeat(8_000), ")".repeat(8_000));
    for sql in [sum, nested] {
        let _ = service.sql(&SqlRequest { sql, range: TimeRange::ALL, limit: 10 }).await;
    }
    let rows = ask(&service, "SELECT replace('a-b', '-', '+'), regexp_replace('a12b', '[0-9]+', '#')").await;
    assert_eq!(rows, [[json!("a+b"), json!("a#b")]]);
    let too_large = SqlRequest {
        sql: "SELECT regexp_like(name, 'a{1000}{1000}{100}') FROM spans LIMIT 1".to_owned(),
        range: TimeRange::ALL,
        limit: 10,
    };
    let error = service.sql(&too_large).await.expect_err("too large an expression");
    assert_eq!(error.code, mangru_query::ErrorCode::InvalidArgument, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_what_a_scan_leaves_out_and_by_what() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(half_sealed(folder.path()).await, QuerySettings::default());
    let text = async |sql: &str| {
        let rows = ask(&service, sql).await;
        rows.iter().map(|row| row[1].as_str().expect("a plan").to_owned()).collect::<Vec<_>>().join("\n")
    };
    let id = TraceId(trace_id(1)).to_string();
    let sql = format!(
        "SELECT name FROM spans WHERE service_name = 'web' AND trace_id = '{id}' AND time < TIMESTAMP '2023-11-14T22:14:10'"
    );
    let plan = text(&format!("EXPLAIN {sql}")).await;
    for expected in [
        "TableScan: spans, time=[, 2023-11-14T22:14:10Z)",
        "service_name:\"web\"",
        &format!("trace_id:\"{id}\""),
        "hot_rows=120, parts=1 of 2, part_rows=60 of 120",
        "columns=[time, trace_id, name, service_name]",
    ] {
        assert!(plan.contains(expected), "{expected} is not in {plan}");
    }
    let plan = text(&format!("EXPLAIN ANALYZE {sql}")).await;
    // Times of 50 spans of the part, 20 of the service, of them 4 of the trace.
    for expected in ["rows_after_time=", "rows_after_bloom_filters=", "rows_after_index=4", "rows_to_read=4"] {
        assert!(plan.contains(expected), "{expected} is not in {plan}");
    }
}

/// A statement of one step that takes very long: it cannot be stopped within.
fn long_step() -> String {
    let nested = |term: usize| {
        (0..30).fold(format!("s || '{term}'"), |text, _| format!("regexp_replace({text},'(.)(.)','\\2\\1','g')"))
    };
    let terms: Vec<String> = (0..7).map(|term| format!("length({})", nested(term))).collect();
    let sum = terms.join(" + ");
    format!(
        "WITH t AS (SELECT string_agg(CAST(value AS varchar), '') s FROM generate_series(1, 80000)) SELECT {sum} FROM t"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_do_not_come_back_hold_up_no_others() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = QuerySettings { deadline: Duration::from_secs(8), ..QuerySettings::default() };
    let service = QueryService::new(half_sealed(folder.path()).await, settings);
    let running: Vec<_> = (0..3)
        .map(|_| {
            let service = Arc::clone(&service);
            let request = SqlRequest { sql: long_step(), range: TimeRange::ALL, limit: 10 };
            tokio::spawn(async move { service.sql(&request).await.map(|_| ()) })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(&service, "SELECT count(*) FROM spans").await, [[json!(240)]]);
    assert!(running.iter().all(|heavy| !heavy.is_finished()), "the cheap one came last and ended first");
    for heavy in running {
        let error = heavy.await.expect("it ended").expect_err("it takes longer than its deadline");
        assert_eq!(error.code, mangru_query::ErrorCode::DeadlineExceeded, "{error}");
    }
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(service.lost_statements(), 3, "they compute on");
    assert_eq!(ask(&service, "SELECT 1").await, [[json!(1)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_gives_no_rows_ends_at_its_deadline() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = QuerySettings { deadline: Duration::from_secs(2), ..QuerySettings::default() };
    let service = QueryService::new(half_sealed(folder.path()).await, settings);
    let numbers = "WITH a AS (SELECT value, value % 2 AS k FROM generate_series(1, 200000))";
    let none = "length(CAST(l.value AS varchar) || CAST(r.value AS varchar)) > 100";
    for on in ["l.k = r.k AND", ""] {
        let sql = format!("{numbers} SELECT count(*) FROM a l JOIN a r ON {on} {none}");
        let request = SqlRequest { sql: sql.clone(), range: TimeRange::ALL, limit: 10 };
        let error = service.sql(&request).await.expect_err(&sql);
        assert_eq!(error.code, mangru_query::ErrorCode::DeadlineExceeded, "{error}");
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(service.lost_statements(), 0, "they ended between two pieces of pairs");
    // Its condition still holds.
    let few = "SELECT count(*) FROM generate_series(1, 30) l(v) JOIN generate_series(1, 30) r(v) ON l.v % 3 = r.v % 3 AND l.v < r.v";
    assert_eq!(ask(&service, few).await, [[json!(135)]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_look_at_every_pair_are_bounded() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = QuerySettings { deadline: Duration::from_secs(5), ..QuerySettings::default() };
    let service = QueryService::new(half_sealed(folder.path()).await, settings);
    let text = "WITH t AS (SELECT string_agg(CAST(value AS varchar), '') s FROM generate_series(1,80000))";
    let list = "WITH t AS (SELECT array_agg(value) a, array_agg(-value) b FROM generate_series(1,20000))";
    let too_long = [
        (format!("{text} SELECT levenshtein(s, reverse(s)) FROM t"), "levenshtein"),
        (format!("{text} SELECT btrim(s, s) FROM t"), "btrim"),
        (format!("{list} SELECT array_has_all(a, b) FROM t"), "array_has_all"),
        (format!("{list} SELECT list_has_any(a, b) FROM t"), "array_has_any"),
        (format!("{list} SELECT a @> b FROM t"), "array_has_all"),
    ];
    for (sql, name) in too_long {
        let request = SqlRequest { sql: sql.clone(), range: TimeRange::ALL, limit: 10 };
        let error = service.sql(&request).await.expect_err(&sql);
        assert_eq!(error.code, mangru_query::ErrorCode::InvalidArgument, "{sql}: {error}");
        assert!(error.message.contains(name) && error.message.contains("16000000"), "{sql}: {error}");
    }
    let rows = ask(
        &service,
        "SELECT levenshtein('kitten', 'sitting'), array_has_any([1, 2], [2]), [1, 2] @> [3], btrim('xxaxx', 'x')",
    )
    .await;
    assert_eq!(rows, [[json!(3), json!(true), json!(false), json!("a")]]);
    // More pairs in a batch than one step has.
    let many = "WITH t AS (SELECT string_agg(CAST(value AS varchar), '') s FROM generate_series(1,300)) \
                SELECT sum(levenshtein(s, s || CAST(value AS varchar))) FROM t CROSS JOIN generate_series(1,40)";
    assert_eq!(ask(&service, many).await, [[json!(9 + 2 * 31)]]);
    let far_more = "WITH t AS (SELECT string_agg(CAST(value AS varchar), '') s FROM generate_series(1,1000)) \
                    SELECT sum(levenshtein(s, s || CAST(value AS varchar))) FROM t CROSS JOIN generate_series(1,8000)";
    let request = SqlRequest { sql: far_more.to_owned(), range: TimeRange::ALL, limit: 10 };
    let error = service.sql(&request).await.expect_err("it takes longer than its deadline");
    assert_eq!(error.code, mangru_query::ErrorCode::DeadlineExceeded, "{error}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(service.lost_statements(), 0, "it ended between two steps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_memory_is_refused_and_not_written_elsewhere() {
    let folder = tempfile::tempdir().expect("folder");
    let settings = QuerySettings { memory_max_bytes: 8 << 20, ..QuerySettings::default() };
    let service = QueryService::new(half_sealed(folder.path()).await, settings);
    let sql = "SELECT 'a text that takes more memory than there is for it ' || value AS s \
               FROM generate_series(1,300000) ORDER BY s DESC";
    let request = SqlRequest { sql: sql.to_owned(), range: TimeRange::ALL, limit: 10 };
    let error = service.sql(&request).await.expect_err(sql);
    assert_eq!(error.code, mangru_query::ErrorCode::ResourceExhausted, "{error}");
}
