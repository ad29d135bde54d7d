//! Pages rendered from hand-made data: hostile data stays data, links lead where they should, nothing is inline.
//!
//! With `MANGRU_UI_SAMPLES=FOLDER` the pages are also written there, to be looked at in a browser.

mod calls;
mod explore;

use super::{gallery, logs, overview, sql, status, story, trace};
use crate::context::Endpoints;
use crate::request::PageRequest;
use crate::shell::{Screen, render};
use explore::{around, dashboard_screen, metrics_screen, patterns, saved};
use mangru_query::{
    CountSeries, Counts, Coverage, ErrorCode, Field, FieldValue, LogRow, Page, PreviousWindow, QueryError,
    ServiceShare, ServiceSummary, SpanRow, SqlColumn, SqlResult, Story, StoryEntry, StoryItem, Trace, TraceSummary,
};
use mangru_store::{Signal, StoreStatus, TableStatus};
use serde_json::{Map, Value, json};

const NOW: i64 = 1_763_678_000_000_000_000;
const SECOND: i64 = 1_000_000_000;
/// Text that would do harm if it were taken for markup, an attribute, an address or a style.
const HOSTILE: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> javascript:alert(3) </style>{{x}} --> ]]>";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn request(path: &str, query: &str) -> PageRequest {
    PageRequest::new(path, query, "theme=light", NOW)
}

fn coverage(matched: u64) -> Coverage {
    Coverage {
        matched,
        matched_is_exact: true,
        complete: true,
        limit_hit: None,
        rows_in_range: 3_200_000,
        elapsed_ms: 41.3,
    }
}

fn map(pairs: &[(&str, Value)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn log(number: i64, severity: i32, service: &str, body: &str) -> LogRow {
    LogRow {
        time_unix_nano: (NOW - number * SECOND / 3).to_string(),
        observed_time_unix_nano: None,
        severity_number: severity,
        severity_text: String::new(),
        level: crate::palette::Severity::of(severity).word().to_owned(),
        service_name: service.to_owned(),
        body: json!(body),
        attributes: map(&[
            ("http.response.status_code", json!(502)),
            ("order.id", json!("O-7731")),
            (HOSTILE, json!(HOSTILE)),
        ]),
        resource_attributes: map(&[("service.instance.id", json!("pod-1")), ("host.name", json!("node-a"))]),
        trace_id: TRACE.to_owned(),
        span_id: format!("{:016x}", 3),
        correlation_id: "order-7731".to_owned(),
        scope_name: "shop".to_owned(),
        event_name: String::new(),
        row: format!("row-{number}"),
    }
}

fn some_logs() -> Vec<LogRow> {
    let bodies = [
        (9, "frontend", "GET /cart 200 in 12 ms"),
        (17, "payment", "connection refused by card-gateway:443 after 3 attempts"),
        (13, "checkout", "retrying payment for order O-7731 (attempt 2 of 3)"),
        (5, "catalog", "cache miss for product 8812, loading from database"),
        (9, "shipping", "결제 실패: 카드사 응답 없음"),
        (
            17,
            "checkout",
            "java.lang.IllegalStateException: no price\n    at shop.Checkout.total(Checkout.java:88)\n    at shop.Checkout.run(Checkout.java:31)",
        ),
        (21, HOSTILE, HOSTILE),
    ];
    (0..40)
        .map(|n| {
            let (severity, service, body) = bodies[n as usize % bodies.len()];
            log(n, severity, service, body)
        })
        .collect()
}

fn counts(keys: &[&str]) -> Counts {
    let series = keys
        .iter()
        .enumerate()
        .map(|(number, key)| {
            let counts: Vec<u64> =
                (0..60).map(|bucket| (bucket * 7 + number as u64 * 13) % (40 / (number as u64 + 1))).collect();
            CountSeries { key: Some((*key).to_owned()), is_other: false, total: counts.iter().sum(), counts }
        })
        .collect();
    Counts { start: NOW - 900 * SECOND, step_ns: 15 * SECOND, buckets: 60, series, coverage: coverage(48_211) }
}

fn span(number: u64, parent: u64, service: &str, name: &str, offset_ms: i64, duration_ms: i64) -> SpanRow {
    let start = NOW - 60 * SECOND + offset_ms * 1_000_000;
    let is_error = number == 5;
    let stack = "shop.PaymentError: card declined\n    at shop.Payment.charge(Payment.java:210)\n    at shop.Payment.run(Payment.java:44)";
    SpanRow {
        status_message: if is_error { HOSTILE.to_owned() } else { String::new() },
        attributes: map(&[("http.route", json!("/cart")), ("db.query.text", json!(HOSTILE))]),
        resource_attributes: map(&[("host.name", json!("node-a")), ("service.version", json!("1.4.2"))]),
        events: if is_error {
            vec![
                json!({ "time_unix_nano": (start + 1_000_000).to_string(), "name": "exception", "attributes": { "exception.type": "shop.PaymentError", "exception.message": HOSTILE, "exception.stacktrace": stack } }),
            ]
        } else {
            Vec::new()
        },
        links: if number == 3 {
            vec![
                json!({ "trace_id": TRACE, "span_id": "00000000000000aa" }),
                json!({ "trace_id": "javascript:alert(1)", "span_id": HOSTILE }),
            ]
        } else {
            Vec::new()
        },
        correlation_id: "order-7731".to_owned(),
        ..gallery::calls::span(NOW - 60 * SECOND, number, parent, service, name, (offset_ms, duration_ms))
    }
}

fn some_trace(extra: u64) -> Trace {
    let mut spans = vec![
        span(1, 0, "frontend", "POST /checkout", 0, 480),
        span(2, 1, "api-gateway", "POST /api/checkout", 8, 465),
        span(3, 2, "checkout", "PlaceOrder", 15, 440),
        span(4, 3, "cart", "GetCart", 18, 22),
        span(5, 3, "payment", "Charge", 60, 350),
        span(6, 5, "payment", HOSTILE, 70, 330),
        span(7, 3, "email", "send confirmation", 430, 120),
        span(8, 99, "inventory", "Reserve", 45, 12),
        span(9, 4, "cart", "SELECT cart_items", 20, 15),
    ];
    spans.extend(
        (0..extra).map(|n| span(100 + n, 3 + n % 3, "recommendation", &format!("batch {n}"), 20 + (n % 400) as i64, 3)),
    );
    Trace {
        trace_id: TRACE.to_owned(),
        spans,
        logs: some_logs().into_iter().take(6).collect(),
        logs_matched: 6,
        coverage: coverage(9),
    }
}

fn summary(name: &str, errors: u64, p95_ms: i64) -> ServiceSummary {
    let wave = |scale: u64| (0..30).map(|n: u64| (n * 7 % 11 + 3) * scale).collect::<Vec<_>>();
    ServiceSummary {
        name: name.to_owned(),
        spans: 40_000,
        requests: 21_000,
        has_entries: true,
        errors,
        requests_per_second: 23.4,
        error_ratio: errors as f64 / 21_000.0,
        p50_ns: Some(p95_ms * 300_000),
        p95_ns: Some(p95_ms * 1_000_000),
        p99_ns: Some(p95_ms * 2_100_000),
        logs: 9_000,
        error_logs: errors * 2,
        versions: vec!["1.4.2".to_owned(), "1.4.3".to_owned()],
        request_counts: wave(20),
        error_counts: wave(u64::from(errors > 0)),
        p95_series_ns: wave(1_000_000).into_iter().map(|ns| ns as i64).collect(),
        error_log_counts: wave(u64::from(errors > 0)),
        previous: Some(PreviousWindow {
            versions: vec!["1.4.1".to_owned()],
            requests: 19_000,
            errors: errors / 2,
            p95_ns: Some(p95_ms * 900_000),
            error_logs: errors,
        }),
    }
}

fn overview_screen(request: &PageRequest, is_empty: bool) -> Screen {
    let services = vec![
        summary("frontend", 12, 180),
        summary("payment", 2_300, 950),
        summary("catalog", 0, 24),
        summary(HOSTILE, 3, 40),
    ];
    let strip = [(Signal::Logs, "a"), (Signal::Spans, "b"), (Signal::MetricPoints, "c")]
        .map(|(signal, key)| (signal, Ok(counts(&[key]))))
        .to_vec();
    let firing = Vec::new();
    let breaker =
        |name: &str, state| overview::breakers::Breaker { service: "payment".to_owned(), name: name.to_owned(), state };
    let breakers = vec![
        breaker("bank", overview::breakers::BreakerState::Open),
        breaker(HOSTILE, overview::breakers::BreakerState::HalfOpen),
    ];
    let services = Ok((services, coverage(4)));
    let data = overview::Overview { services, strip, breakers, is_empty, endpoints: endpoints(), firing };
    overview::screen(request, &data)
}

fn endpoints() -> Endpoints {
    Endpoints {
        otlp_grpc: "127.0.0.1:4317".to_owned(),
        otlp_http: "127.0.0.1:4318".to_owned(),
        http: "127.0.0.1:4319".to_owned(),
    }
}

fn logs_screen(request: &PageRequest) -> Screen {
    let rows = some_logs();
    let value = |text: &str, rows: u64| FieldValue { value: text.to_owned(), rows };
    let facet =
        |name: &str, values: Vec<FieldValue>| logs::Facet { name: name.to_owned(), values: Ok((values, coverage(10))) };
    let data = logs::Logs {
        open: request
            .params
            .get("row")
            .map(|_| logs::OpenRow { row: Some(rows[6].clone()), around: Some(Ok(around(&rows))) }),
        found: if request.params.get("view") == Some("patterns") {
            logs::Found::Patterns(Ok(patterns()))
        } else {
            logs::Found::Rows(Ok(Page { rows, coverage: coverage(48_211), cursor: Some("next page".to_owned()) }))
        },
        saved: saved(),
        counts: Some(Ok(counts(&["info", "debug", "13", "ERROR"]))),
        facets: vec![
            facet("service.name", vec![value("frontend", 20_000), value("checkout", 9_211), value(HOSTILE, 7)]),
            facet("host.name", vec![value("node-a", 40_000), value("node-b", 8_211)]),
        ],
        fields: vec![Field { name: HOSTILE.to_owned(), kind: "attribute".into(), rows: 12 }],
    };
    logs::screen(request, &data)
}

fn traces_screen(request: &PageRequest) -> Screen {
    let share = |name: &str, ms: i64| ServiceShare { name: name.to_owned(), spans: 4, duration_ns: ms * 1_000_000 };
    let rows = (0..60_i64)
        .map(|n| TraceSummary {
            trace_id: format!("{:032x}", n + 1),
            start_unix_nano: (NOW - n * 14 * SECOND).to_string(),
            duration_ns: (n * 37 % 60 + 2) * 9_000_000,
            root_service: "frontend".to_owned(),
            root_name: if n == 3 { HOSTILE.to_owned() } else { "POST /checkout".to_owned() },
            root_is_missing: n == 5,
            spans: 23,
            errors: u64::from(n % 7 == 0),
            matched_spans: 2,
            services: vec![share("frontend", 40), share("checkout", 90), share("payment", 200), share(HOSTILE, 20)],
        })
        .collect();
    calls::traces_screen(request, Ok(Page { rows, coverage: coverage(120), cursor: Some("more".to_owned()) }))
}

fn story_screen(request: &PageRequest) -> Screen {
    let mut entries: Vec<StoryEntry> = some_trace(0)
        .spans
        .into_iter()
        .map(|span| StoryEntry { time_unix_nano: span.time_unix_nano.clone(), item: StoryItem::Span(Box::new(span)) })
        .collect();
    entries.extend(
        some_logs()
            .into_iter()
            .rev()
            .take(5)
            .map(|log| StoryEntry { time_unix_nano: log.time_unix_nano.clone(), item: StoryItem::Log(Box::new(log)) }),
    );
    let story = Story {
        id: HOSTILE.to_owned(),
        entries,
        trace_ids: vec![TRACE.to_owned()],
        services: vec!["frontend".to_owned(), HOSTILE.to_owned()],
        coverage: coverage(14),
        not_looked_at: &[],
    };
    story::screen(request, HOSTILE, &Ok(story))
}

fn table(columns: &[&str], rows: Vec<Vec<Value>>) -> SqlResult {
    let columns =
        columns.iter().map(|name| SqlColumn { name: (*name).to_owned(), r#type: "Utf8".to_owned() }).collect();
    SqlResult { columns, coverage: coverage(rows.len() as u64), rows }
}

fn status_screen(request: &PageRequest) -> Screen {
    let table = |signal| TableStatus {
        signal,
        parts: 12,
        part_rows: 4_000_000,
        part_bytes: 200_000_000,
        index_bytes: 40_000_000,
        hot_rows: 21_000,
        hot_bytes: 9_000_000,
        appended_rows: 4_021_000,
        min_time: Some(NOW - 86_400 * SECOND),
        max_time: Some(NOW),
    };
    let store = StoreStatus {
        tables: Signal::ALL.map(table).to_vec(),
        journal_bytes: 90_000_000,
        journal_segments: 3,
        journal_max_bytes: 1_000_000_000,
        memory_used_bytes: 80_000_000,
        memory_max_bytes: 512_000_000,
        ingest_used_bytes: 60_000_000,
        ingest_max_bytes: 100_000_000,
        query_used_bytes: 4_000_000,
        query_max_bytes: 300_000_000,
        commits: 81_000,
        failed_seals: 0,
        merged_parts: 640,
        failed_merges: 0,
        retired_parts: 3,
        damaged_parts: Vec::new(),
        unknown_parts: 0,
        expired_parts: 12,
        expired_rows: 3_200_000,
        retention: vec![mangru_store::Retention::default(); 3],
        recovered_cut_bytes: 0,
        recovered_damaged_bytes: 0,
        recovered_rows: 21_000,
        objects: Some(mangru_store::ObjectsStatus {
            url: format!("s3://lake/{HOSTILE}"),
            parts: 400,
            bytes: 90_000_000_000,
            moved_parts: 12,
            failed_moves: 1,
            last_error: Some(HOSTILE.to_owned()),
            cached_bytes: 700_000_000,
            cache_max_bytes: 1_073_741_824,
            cache_hits: 90_000,
            cache_misses: 4_000,
        }),
    };
    let intake = json!({
        "intake": [
            { "signal": "logs", "protocol": "grpc", "requests": 4_000, "rows": 4_000_000, "bytes": 1_600_000_000_u64, "refused": { "undecodable": 3, "too_large": 0 } },
            { "signal": "spans", "protocol": "http/json", "requests": 10, "rows": 100, "bytes": 4_000, "refused": {} },
        ],
        "services": { "frontend": 9_000, HOSTILE: 3 },
        "in_flight_bytes": 0,
    });
    let status = status::Status {
        store,
        intake,
        slow: (explore::slow(), 2000),
        endpoints: endpoints(),
        config_text: format!("data_dir: ./mangru-data\nnote: {HOSTILE}\n"),
        version: "0.1.0",
    };
    status::screen(request, &status)
}

/// Every screen by name.
fn pages() -> Vec<(&'static str, String)> {
    let page = |name: &'static str, path: &str, query: &str, make: &dyn Fn(&PageRequest) -> Screen| {
        let request = request(path, query);
        (name, render(&request, || make(&request)).1)
    };
    let hostile = crate::params::encoded(HOSTILE);
    let error = || QueryError {
        code: ErrorCode::InvalidArgument,
        message: format!("expected a value: {HOSTILE}"),
        field: Some("query"),
        position: Some(8),
    };
    vec![
        page("overview", "/", "", &|request| overview_screen(request, false)),
        page("empty", "/", "", &|request| overview_screen(request, true)),
        page("logs", "/logs", &format!("q=refused&facet={hostile}&col=order.id&col={hostile}"), &logs_screen),
        page("log", "/logs", &format!("q={hostile}&row=row-6&at={NOW}"), &logs_screen),
        page("patterns", "/logs", &format!("q={hostile}&view=patterns"), &logs_screen),
        page("live", "/logs", &format!("q={hostile}&live=1"), &|request| logs::live_screen(request, None)),
        page("traces", "/traces", &format!("q={hostile}"), &traces_screen),
        page("different", "/traces", &format!("q={hostile}&compare=errors&cursor=x&page=2"), &traces_screen),
        page("map", "/map", &format!("q={hostile}"), &calls::map_screen),
        page("focus", "/map", "focus=service%3Ahostile&hops=1", &calls::map_screen),
        page("service", "/services/payment", "", &|request| calls::service_screen(request, "payment")),
        page("hostile service", &format!("/services/{hostile}"), "", &|request| {
            calls::service_screen(request, HOSTILE)
        }),
        page("trace", &format!("/traces/{TRACE}"), "", &|request| trace::screen(request, &some_trace(0))),
        page("large", &format!("/traces/{TRACE}"), "", &|request| trace::screen(request, &some_trace(10_000))),
        page("span", &format!("/traces/{TRACE}"), "span=0000000000000005", &|request| {
            trace::screen(request, &some_trace(0))
        }),
        page("linked", &format!("/traces/{TRACE}"), "span=0000000000000003", &|request| {
            trace::screen(request, &some_trace(0))
        }),
        page("spans", &format!("/traces/{TRACE}"), "view=table", &|request| trace::screen(request, &some_trace(0))),
        page("flame", &format!("/traces/{TRACE}"), "view=flame", &|request| trace::screen(request, &some_trace(0))),
        page("frame", &format!("/traces/{TRACE}"), "view=flame&frame=3", &|request| {
            trace::screen(request, &some_trace(0))
        }),
        page("calls", &format!("/traces/{TRACE}"), "view=calls", &|request| trace::screen(request, &some_trace(0))),
        page("json", &format!("/traces/{TRACE}"), "view=json", &|request| trace::screen(request, &some_trace(0))),
        page("story", "/story/x", "", &story_screen),
        page("metrics", "/metrics/explore", &format!("q=queue_depth&q={hostile}&filter={hostile}"), &metrics_screen),
        page("dashboard", "/dashboards/shop", &format!("var-service={hostile}"), &dashboard_screen),
        page("gallery", "/_gallery", &format!("x={hostile}"), &crate::pages::gallery::screen),
        page("heat", "/metrics/explore", &format!("q=queue_depth&view=heat&filter={hostile}"), &metrics_screen),
        page("status", "/status", "", &status_screen),
        page("error", "/traces", "q=service%3A%3E&start=never", &|request| calls::traces_screen(request, Err(error()))),
        page("sql", "/sql", &format!("q={hostile}"), &|request| {
            sql::screen(
                request,
                Some(&Ok(table(&[HOSTILE, "n"], vec![vec![json!(HOSTILE), json!(1)], vec![Value::Null, json!(2)]]))),
            )
        }),
    ]
}

#[test]
fn hostile_data_stays_data_on_every_screen() {
    for (name, html) in pages() {
        assert!(!html.contains("<script>"), "{name} lets a script through");
        assert!(!html.contains("<img"), "{name} lets markup through");
        assert!(!html.to_lowercase().contains("href=\"javascript:"), "{name} lets an address through that runs");
        assert!(
            !html.contains("onerror=alert(2)> javascript") || !html.contains("'><img"),
            "{name} lets an attribute through"
        );
        assert!(
            html.contains("alert(1)")
                || matches!(
                    name,
                    "empty" | "trace" | "live" | "spans" | "large" | "json" | "gallery" | "frame" | "calls"
                ),
            "{name} hides what was sent"
        );
    }
}

#[test]
fn nothing_is_inline() {
    for (name, html) in pages() {
        // Attributes stand before the first `>` of a tag; texts cannot hold a raw `<`.
        for tag in html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let outside_values: String = tag.split('"').step_by(2).collect();
            assert!(!outside_values.contains(" style="), "{name} styles inline: {tag}");
            assert!(!outside_values.contains(" on"), "{name} holds a handler: {tag}");
        }
        assert_eq!(html.matches("<script").count(), 1, "{name} loads one script");
    }
}

#[test]
fn links_hand_over_to_the_next_screen() {
    let page = |wanted: &str| pages().into_iter().find(|(name, _)| *name == wanted).expect("a page of this name").1;
    let logs = page("log");
    assert!(
        logs.contains(&format!("href=\"/traces/{TRACE}?span=0000000000000003\"")),
        "a log line leads to its trace, at its span"
    );
    assert!(logs.contains("href=\"/story/order-7731\""), "a log line leads to its story");
    assert!(page("logs").contains("cursor=next%20page"), "the next page of logs");
    assert!(page("logs").contains("<mark>refused</mark>"), "searched words are marked");
    assert!(
        page("traces").contains("href=\"/traces/00000000000000000000000000000001\""),
        "a result leads to its trace"
    );
    assert!(
        page("span").contains("exception.message") && page("span").contains("Payment.java:210"),
        "events with their stack traces"
    );
    assert!(page("trace").contains("the parent of 1 span is not here"), "a missing parent is told");
    assert!(page("trace").contains("ending after their parents: 1 span"), "what does not fit is told");
    let service = page("service");
    assert!(
        service.contains(&format!("href=\"/traces/{TRACE}?span=0000000000000005\"")),
        "an exception leads to its newest trace"
    );
    assert!(service.contains("version 1.5.0 seen first"), "a version that is new stands on the charts");
    assert!(service.contains("href=\"/services/checkout\""), "a caller leads to its page");
    let map = page("map");
    assert!(map.contains("href=\"/services/payment\""), "a node leads to the service");
    let calls = crate::params::encoded("{service.name:checkout} > {service.name:payment (");
    assert!(map.contains(&format!("href=\"/traces?q={}", &calls[..40])), "an edge leads to its calls");
    assert!(!page("focus").contains(">bank.example<"), "what is far from the focus is not shown");
    assert!(
        page("different").contains("1.5.0") && page("different").contains("Next traces"),
        "what stands out, and the next page"
    );
    assert!(
        page("overview").find(">payment<").expect("payment") < page("overview").find(">catalog<").expect("catalog"),
        "worst first"
    );
    assert!(page("empty").contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317"), "how to send data");
    assert!(page("error").contains("service:&gt;\n        ^</pre>"), "the caret stands below the error");
    assert!(page("error").contains("showing the last 15 minutes"), "a bad range is told");
}

#[test]
fn a_large_trace_stays_bounded_and_every_span_is_placed_once() {
    let (_, html) = pages().into_iter().find(|(name, _)| *name == "large").expect("the large trace");
    assert_eq!(html.matches("class=\"wf-row").count(), 500);
    assert!(html.contains("Spans after"), "the rest is a link away");
    assert!(html.len() < 2_500_000, "{} bytes", html.len());
}

#[test]
fn samples_are_written_where_asked() {
    let Some(folder) = std::env::var_os("MANGRU_UI_SAMPLES") else { return };
    let folder = std::path::Path::new(&folder);
    std::fs::create_dir_all(folder).expect("a folder for samples");
    for (name, html) in pages() {
        std::fs::write(folder.join(format!("{name}.html")), &html).expect("a sample");
        std::fs::write(
            folder.join(format!("{name}-dark.html")),
            html.replace("data-theme=\"light\"", "data-theme=\"dark\""),
        )
        .expect("a sample");
    }
}
