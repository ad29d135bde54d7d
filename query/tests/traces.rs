//! Traces by their structure and as outlines, over a real store, hot and sealed, against looking at every span.

mod calls;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use calls::{CLIENT, INTERNAL, SECOND, SERVER, START, Span, batch, span_id, store, trace_id};
use futures::StreamExt as _;
use mangru_query::{OutlineRequest, QueryService, QuerySettings, TraceOrder, TracesRequest, router};
use mangru_store::{SpanId, TimeRange, TraceId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tower::ServiceExt as _;

fn random_traces(seed: u64, traces: u32) -> Vec<Span> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for trace in 0..traces {
        let start = START + i64::from(trace) * SECOND;
        for id in 0..random.random_range(1..12_u8) {
            all.push(Span {
                time: start + i64::from(id) * 1000,
                duration: random.random_range(0..100_000),
                trace,
                id,
                parent: (id > 0).then(|| random.random_range(0..id)),
                service: format!("s{}", random.random_range(0..3)),
                kind: [CLIENT, SERVER][random.random_range(0..2)],
                is_error: random.random_range(0..4) == 0,
                ..Span::default()
            });
        }
    }
    all
}

fn is_s0(span: &Span) -> bool {
    span.service == "s0"
}

fn is_error(span: &Span) -> bool {
    span.is_error
}

fn is_server(span: &Span) -> bool {
    span.kind == SERVER
}

type Test = fn(&Span) -> bool;

/// Whether a span stands to another as an operator says.
fn stands(spans: &[&Span], operator: &str, span: &Span, other: &Span) -> bool {
    let parent = |span: &Span| spans.iter().find(|up| Some(up.id) == span.parent).copied();
    let is_above = |up: &Span, down: &Span| {
        let mut at = parent(down);
        while let Some(span) = at {
            if span.id == up.id {
                return true;
            }
            at = parent(span);
        }
        false
    };
    match operator {
        ">>" => is_above(other, span),
        ">" => span.parent == Some(other.id),
        "<<" => is_above(span, other),
        "<" => other.parent == Some(span.id),
        "~" => span.id != other.id && span.parent.is_some() && span.parent == other.parent,
        "&" => true,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn structures_find_what_looking_at_every_pair_finds() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let all = random_traces(1, 120);
    for (place, chunk) in all.chunks(100).enumerate() {
        store.append(batch(chunk)).await.expect("append");
        if place % 3 != 2 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(store, QuerySettings::default());
    let sets: [(&str, Test); 3] = [("service:s0", is_s0), ("status:error", is_error), ("kind:server", is_server)];
    let mut found_any = 0;
    for operator in [">>", ">", "<<", "<", "~", "&"] {
        for ((first, is_first), (second, is_second)) in sets.into_iter().flat_map(|set| sets.map(|other| (set, other)))
        {
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for trace in 0..120 {
                let spans: Vec<&Span> = all.iter().filter(|span| span.trace == trace).collect();
                let matching = spans
                    .iter()
                    .filter(|span| {
                        is_second(span)
                            && spans.iter().any(|other| is_first(other) && stands(&spans, operator, span, other))
                    })
                    .count();
                if matching > 0 {
                    expected.insert(TraceId(trace_id(trace)).to_string(), matching as u64);
                }
            }
            let request = TracesRequest {
                query: format!("{{{first}}} {operator} {{{second}}}"),
                range: TimeRange { start: START, end: START + 200 * SECOND },
                limit: 1_000,
                order: TraceOrder::Newest,
                cursor: None,
            };
            let page = service.traces(&request).await.unwrap_or_else(|error| panic!("{}: {error}", request.query));
            assert!(page.coverage.complete, "{}: {:?}", request.query, page.coverage);
            let found: BTreeMap<String, u64> =
                page.rows.into_iter().map(|trace| (trace.trace_id, trace.matched_spans)).collect();
            assert_eq!(found, expected, "{}", request.query);
            found_any += found.len();
        }
    }
    assert!(found_any > 500, "the traces are too simple: {found_any}");

    let request = TracesRequest {
        query: "{service:s0} >> {status:error}".to_owned(),
        range: TimeRange::ALL,
        limit: 3,
        order: TraceOrder::Newest,
        cursor: None,
    };
    let page = service.traces(&request).await.expect("traces");
    assert_eq!(page.rows.len(), 3);
    assert!(!page.coverage.complete, "there are more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outline_gives_every_span_once_by_windows() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    // More spans than there are ids in one byte come from more traces: one trace of 200 spans, a chain with branches.
    let all: Vec<Span> = (0..200_u8)
        .map(|id| Span {
            time: START + i64::from(id) * 10,
            duration: 10_000 - i64::from(id) * 20,
            trace: 7,
            id,
            parent: if id == 150 { Some(250) } else { (id > 0).then(|| (id - 1).saturating_sub(id % 3)) },
            service: format!("s{}", id % 4),
            kind: SERVER,
            is_error: id % 10 == 0,
            ..Span::default()
        })
        .collect();
    store.append(batch(&all)).await.expect("append");
    let service = QueryService::new(store.clone(), QuerySettings::default());
    for _ in ["hot", "sealed"] {
        let mut rows = Vec::new();
        while rows.len() < 200 {
            let request = OutlineRequest { id: TraceId(trace_id(7)), offset: rows.len(), limit: 37 };
            let outline = service.outline(request).await.expect("an answer").expect("a trace");
            assert_eq!((outline.spans, outline.errors, outline.duration_ns), (200, 20, 10_000));
            assert_eq!(outline.services.iter().map(|service| service.spans).sum::<usize>(), 200);
            assert_eq!(outline.coverage.complete, rows.len() + 37 >= 200, "a window says that it is one");
            rows.extend(outline.rows);
        }
        let mut ids: Vec<String> = rows.iter().map(|row| row.span_id.clone()).collect();
        ids.sort_unstable();
        let mut expected: Vec<String> =
            all.iter().map(|span| mangru_store::SpanId(span_id(span.id)).to_string()).collect();
        expected.sort_unstable();
        assert_eq!(ids, expected);
        for (place, row) in rows.iter().enumerate() {
            // Behind a span come those below it.
            let below = rows[place + 1..].iter().take_while(|below| below.depth > row.depth).count();
            assert_eq!(below, row.descendants);
            assert_eq!(row.parent_is_missing, row.span_id == mangru_store::SpanId(span_id(150)).to_string());
        }
        // The root covers everything, so the whole time is shared out.
        assert_eq!(rows.iter().map(|row| row.critical_ns).sum::<i64>(), 10_000);
        store.flush().await.expect("flush");
    }
    let nobody = OutlineRequest { id: TraceId([9; 16]), offset: 0, limit: 10 };
    assert!(service.outline(nobody).await.expect("an answer").is_none());
}

/// Asks a path of the API.
async fn get(service: &Arc<QueryService>, path: &str) -> (StatusCode, HeaderMap, Json) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router(Arc::clone(service)).oneshot(request).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 28).await.expect("a whole body");
    // Some APIs say in plain text what went wrong.
    let json = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
    (status, headers, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_sum_up_every_span_of_every_trace() {
    const TRACES: u32 = 700;
    const SPANS: u8 = 160;
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    // The oldest is the longest and the one with errors: it must not be lost behind the spans of the newer ones.
    let of_trace = |trace: u32| {
        (0..SPANS).map(move |id| Span {
            time: START + i64::from(trace) * SECOND + i64::from(id) * 1_000,
            duration: match (trace, id) {
                (0, 0) => 10 * SECOND,
                (_, 0) => 1_000_000 + i64::from(trace),
                _ => 100,
            },
            trace,
            id,
            parent: (id > 0).then_some(0),
            service: format!("s{}", id % 3),
            kind: if id == 0 { SERVER } else { INTERNAL },
            is_error: trace == 0,
            ..Span::default()
        })
    };
    for first in (0..TRACES).step_by(100) {
        let chunk: Vec<Span> = (first..first + 100).flat_map(of_trace).collect();
        store.append(batch(&chunk)).await.expect("append");
        if first != 300 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(store, QuerySettings::default());
    let structure = "{kind:internal} < {kind:server}";
    let orders = [TraceOrder::Newest, TraceOrder::Slowest, TraceOrder::MostErrors];
    for (query, orders) in [("kind:server", &orders[..]), (structure, &orders[..1])] {
        for order in orders.iter().copied() {
            let request =
                TracesRequest { query: query.to_owned(), range: TimeRange::ALL, limit: 1_000, order, cursor: None };
            let page = service.traces(&request).await.expect("traces");
            let what = format!("{query} {order:?}: {:?}", page.coverage);
            assert_eq!((page.rows.len(), page.coverage.matched), (TRACES as usize, u64::from(TRACES)), "{what}");
            assert!(page.coverage.complete, "{what}");
            for trace in &page.rows {
                assert_eq!((trace.spans, trace.matched_spans), (u64::from(SPANS), 1), "{what}");
                let services: Vec<(&str, u64)> =
                    trace.services.iter().map(|service| (service.name.as_str(), service.spans)).collect();
                assert_eq!(services, [("s0", 54), ("s1", 53), ("s2", 53)], "{what}");
                assert_eq!((trace.root_service.as_str(), trace.root_is_missing), ("s0", false), "{what}");
            }
            let place = if order == TraceOrder::Newest { TRACES as usize - 1 } else { 0 };
            let oldest = &page.rows[place];
            assert_eq!(oldest.trace_id, TraceId(trace_id(0)).to_string(), "{what}");
            assert_eq!((oldest.duration_ns, oldest.errors), (10 * SECOND, u64::from(SPANS)), "{what}");
        }
    }
}

/// What an order that is not time's chose among is told when it is not all.
#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_of_some_are_told_to_be_of_some() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let span = |trace: u32| Span { time: START + i64::from(trace), duration: 1, trace, ..Span::default() };
    store.append(batch(&(0..1_100).map(span).collect::<Vec<_>>())).await.expect("append");
    let service = QueryService::new(store, QuerySettings::default());
    let request = TracesRequest {
        query: String::new(),
        range: TimeRange::ALL,
        limit: 10,
        order: TraceOrder::Slowest,
        cursor: None,
    };
    let coverage = service.traces(&request).await.expect("traces").coverage;
    assert!(!coverage.complete && coverage.matched == 1_100, "{coverage:?}");
    assert_eq!(coverage.limit_hit.as_deref(), Some("chosen among the newest 1000 traces only"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_very_many_spans_is_given_whole_or_from_its_start() {
    const SPANS: u32 = 120_001;
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    // Ids of one byte come again, with another parent each time.
    let span = |number: u32| Span {
        time: START + i64::from(number) * 1_000,
        duration: 500,
        trace: 5,
        id: (number % 250) as u8,
        parent: (number > 0).then_some((number / 250 % 250) as u8),
        service: "many".to_owned(),
        kind: if number < 62_500 { INTERNAL } else { CLIENT },
        ..Span::default()
    };
    for first in (0..SPANS).step_by(20_000) {
        let chunk: Vec<Span> = (first..(first + 20_000).min(SPANS)).map(span).collect();
        store.append(batch(&chunk)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let path = format!("/api/v1/traces/{}", TraceId(trace_id(5)));
    let starts = |trace: &Json| -> Vec<i64> {
        let resources = trace["resourceSpans"].as_array().expect("resources").iter();
        let scopes = resources.flat_map(|resource| resource["scopeSpans"].as_array().expect("scopes"));
        let spans = scopes.flat_map(|scope| scope["spans"].as_array().expect("spans"));
        let mut starts: Vec<i64> =
            spans.map(|span| span["startTimeUnixNano"].as_str().expect("a time").parse().expect("a number")).collect();
        starts.sort_unstable();
        starts
    };

    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let (status, headers, trace) = get(&service, &path).await;
    assert_eq!((status, &headers["x-mangru-complete"]), (StatusCode::OK, &"true".parse().expect("a value")));
    let expected: Vec<i64> = (0..SPANS).map(|number| START + i64::from(number) * 1_000).collect();
    assert_eq!(starts(&trace), expected);
    let outline = OutlineRequest { id: TraceId(trace_id(5)), offset: 0, limit: 10 };
    let outline = service.outline(outline).await.expect("an answer").expect("a trace");
    assert_eq!(outline.start_unix_nano, START.to_string());
    assert!(outline.spans > 100_000, "{}", outline.spans);

    let settings = QuerySettings { memory_max_bytes: 10 << 20, ..QuerySettings::default() };
    let service = QueryService::new(store, settings);
    let (status, headers, trace) = get(&service, &path).await;
    assert_eq!(status, StatusCode::OK, "{trace}");
    let given = starts(&trace);
    assert!(given.len() > 1_000 && given.len() < expected.len(), "{}", given.len());
    assert_eq!(given, expected[..given.len()], "the earliest, and all of them");
    let limit = format!("limit of {} spans: the earliest of {SPANS}", given.len());
    assert_eq!(headers["x-mangru-complete"], "false");
    assert_eq!(headers["x-mangru-limit-hit"], limit);
    let (_, headers, _) = get(&service, &format!("/tempo/api/v2/traces/{}", TraceId(trace_id(5)))).await;
    assert_eq!(headers["x-mangru-limit-hit"], limit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_trace_is_written_span_by_span_and_its_memory_is_held_until_then() {
    const SPANS: u32 = 20_000;
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let span = |number: u32| Span {
        time: START + i64::from(number) * 1_000,
        trace: 5,
        id: (number % 250) as u8,
        service: format!("s{}", number % 3),
        attributes: vec![("number".to_owned(), number.to_string())],
        ..Span::default()
    };
    store.append(batch(&(0..SPANS).map(span).collect::<Vec<_>>())).await.expect("append");
    store.flush().await.expect("flush");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let id = TraceId(trace_id(5)).to_string();
    let paths = [
        format!("/api/v1/traces/{id}"),
        format!("/api/traces/{id}"),
        format!("/api/v3/traces/{id}"),
        format!("/api/v2/trace/{id}"),
        format!("/tempo/api/traces/{id}"),
    ];
    for path in paths {
        let request = Request::get(&path).body(Body::empty()).expect("a request");
        let response = router(Arc::clone(&service)).oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let held = store.memory().queries.used_bytes();
        assert!(held > SPANS as usize * 50, "{path}: {held} bytes are held while nothing was written");
        let mut pieces = response.into_body().into_data_stream();
        let (mut whole, mut used) = (Vec::new(), Vec::new());
        while let Some(piece) = pieces.next().await {
            let piece = piece.expect("a piece");
            assert!(piece.len() < 256 << 10, "{path}: a piece of {} bytes", piece.len());
            used.push(store.memory().queries.used_bytes());
            whole.extend_from_slice(&piece);
        }
        // Behind the last span nothing is held for it.
        let kept = used.iter().take_while(|used| **used == held).count();
        assert!(kept > 100 && kept + 2 >= used.len(), "{path}: held for {kept} of {} pieces", used.len());
        drop(pieces);
        assert_eq!(store.memory().queries.used_bytes(), 0, "{path}");
        let _: Json = serde_json::from_slice(&whole).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = String::from_utf8(whole).expect("text");
        let numbers: Vec<usize> =
            (0..SPANS).step_by(777).map(|number| text.matches(&format!("\"{number}\"")).count()).collect();
        assert!(numbers.iter().all(|count| *count > 0), "{path}: spans are missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tempo_shows_the_spans_that_a_structure_finds() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let all = random_traces(3, 60);
    for chunk in all.chunks(150) {
        store.append(batch(chunk)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let service = QueryService::new(store, QuerySettings::default());
    let mut shown = 0;
    for (operator, ours) in [(">>", ">>"), (">", ">"), ("<<", "<<"), ("%26%26", "&")] {
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for trace in 0..60 {
            let spans: Vec<&Span> = all.iter().filter(|span| span.trace == trace).collect();
            let found = spans.iter().filter(|span| {
                is_error(span) && spans.iter().any(|other| is_s0(other) && stands(&spans, ours, span, other))
            });
            let mut ids: Vec<String> = found.map(|span| SpanId(span_id(span.id)).to_string()).collect();
            ids.sort_unstable();
            if !ids.is_empty() {
                expected.insert(TraceId(trace_id(trace)).to_string(), ids);
            }
        }
        let operator = operator.replace('>', "%3E").replace('<', "%3C");
        let path = format!(
            "/tempo/api/search?q=%7Bresource.service.name%3D%22s0%22%7D{operator}%7Bstatus%3Derror%7D&spss=100&limit=100\
             &start={}&end={}",
            START / SECOND,
            START / SECOND + 200
        );
        let (status, _, answer) = get(&service, &path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for trace in answer["traces"].as_array().expect("traces") {
            let spans = trace["spanSets"][0]["spans"].as_array().expect("spans").iter();
            let mut ids: Vec<String> = spans.map(|span| span["spanID"].as_str().expect("an id").to_owned()).collect();
            ids.sort_unstable();
            found.insert(trace["traceID"].as_str().expect("an id").to_owned(), ids);
        }
        shown += found.values().map(Vec::len).sum::<usize>();
        assert_eq!(found, expected, "{ours}");
    }
    assert!(shown > 100, "the traces are too simple: {shown}");
}

fn part_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let files = entries.flat_map(|path| if path.is_dir() { part_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_in_a_part_that_cannot_be_read_is_not_told_to_be_missing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let span = |trace: u32| Span { time: START, duration: 5, trace, kind: SERVER, ..Span::default() };
    store.append(batch(&[span(1)])).await.expect("append");
    store.flush().await.expect("flush");
    let [victim]: [PathBuf; 1] = part_files(folder.path()).try_into().expect("one part");
    store.append(batch(&[span(2)])).await.expect("append");
    store.flush().await.expect("flush");
    let mut bytes = std::fs::read(&victim).expect("part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::remove_file(&victim).expect("removed");
    std::fs::write(&victim, bytes).expect("written");
    assert_eq!(store.verify().await.expect("verified").len(), 1);

    let name = victim.file_name().expect("a name").to_string_lossy().into_owned();
    let service = QueryService::new(store, QuerySettings::default());
    let lost = TraceId(trace_id(1));
    for path in [
        format!("/api/v1/traces/{lost}"),
        format!("/api/v1/traces/{lost}/outline"),
        format!("/tempo/api/traces/{lost}"),
        format!("/api/traces/{lost}"),
        format!("/api/v3/traces/{lost}"),
        format!("/zipkin/api/v2/trace/{lost}"),
    ] {
        let (status, _, error) = get(&service, &path).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path}: {error}");
        assert!(error.to_string().contains(&name), "{path} names the part: {error}");
    }
    // What is there is given, and that it may not be all is told.
    let there = TraceId(trace_id(2));
    let (status, headers, _) = get(&service, &format!("/api/v1/traces/{there}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["x-mangru-complete"], "false");
    assert!(headers["x-mangru-limit-hit"].to_str().expect("text").contains(&name));
    let (_, _, outline) = get(&service, &format!("/api/v1/traces/{there}/outline")).await;
    assert_eq!((&outline["spans"], &outline["complete"]), (&Json::from(1), &Json::from(false)), "{outline}");
    for query in ["", "%7Bkind:server%7D%20%26%20%7Bkind:server%7D"] {
        let (_, _, list) = get(&service, &format!("/api/v1/traces?start=1600000000&query={query}")).await;
        assert_eq!((list["rows"].as_array().map(Vec::len), &list["complete"]), (Some(1), &Json::from(false)), "{list}");
        assert!(list["limit_hit"].as_str().expect("why").contains(&name), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_was_sent_twice_is_one_span() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let span = |id: u8, parent: Option<u8>, kind: i32| Span {
        time: START + i64::from(id),
        duration: 100,
        trace: 3,
        id,
        parent,
        service: "dup".to_owned(),
        kind,
        ..Span::default()
    };
    // A root with a call, and the span called, which has the id of the call.
    let all = [span(0, None, INTERNAL), span(1, Some(0), CLIENT), span(1, Some(0), SERVER)];
    // The copy that came later ended later.
    let again = Span { duration: 200, ..all[1].clone() };
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    store.append(batch(&all)).await.expect("append");
    store.flush().await.expect("flush");
    store.append(batch(&[all[0].clone(), again, all[2].clone()])).await.expect("append");
    for _ in ["hot and sealed", "sealed"] {
        let ask = async |query: &str| {
            let request = TracesRequest {
                query: query.to_owned(),
                range: TimeRange::ALL,
                limit: 10,
                order: TraceOrder::Newest,
                cursor: None,
            };
            let page = service.traces(&request).await.expect("traces");
            page.rows.iter().map(|trace| trace.matched_spans).collect::<Vec<_>>()
        };
        assert!(ask("{kind:client} ~ {kind:client}").await.is_empty(), "no span is its own sibling");
        assert!(ask("{kind:internal} > {kind:internal}").await.is_empty());
        assert_eq!(ask("{kind:internal} > {kind:client}").await, [1]);
        let request = OutlineRequest { id: TraceId(trace_id(3)), offset: 0, limit: 10 };
        let outline = service.outline(request).await.expect("an answer").expect("a trace");
        let rows: Vec<(&str, usize, i64)> =
            outline.rows.iter().map(|row| (row.kind_text.as_str(), row.depth, row.duration_ns)).collect();
        assert_eq!(outline.spans, 3);
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!(rows[0], ("internal", 0, 100));
        assert!(
            rows.contains(&("client", 1, 200)) || rows.contains(&("client", 2, 200)),
            "the longest stays: {rows:?}"
        );
        store.flush().await.expect("flush");
    }
}
