//! Durations over time, exceptions in groups and pages of traces, hot and sealed, against counting by hand.

mod calls;

use calls::{SECOND, START, Span, batch, span_id, store, trace_id};
use mangru_query::{
    CompareRequest, ExceptionsRequest, Heat, HeatRequest, QueryService, QuerySettings, TraceOrder, TracesRequest,
};
use mangru_store::{Signal, TimeRange, TraceId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::sync::Arc;

const RANGE: TimeRange = TimeRange { start: START, end: START + 100 * SECOND };

fn some_spans(seed: u64, traces: u32) -> Vec<Span> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut all = Vec::new();
    for trace in 0..traces {
        // Several traces start at the same time.
        let start = START + i64::from(trace / 3) * SECOND;
        for id in 0..random.random_range(1..5_u8) {
            all.push(Span {
                time: start + i64::from(id) * random.random_range(0..3_i64) * SECOND,
                duration: 10_i64.pow(random.random_range(2..9)) * random.random_range(1..9_i64),
                trace,
                id,
                parent: (id > 0).then_some(0),
                service: format!("s{}", random.random_range(0..2)),
                is_error: random.random_range(0..5) == 0,
                ..Span::default()
            });
        }
    }
    all
}

async fn serve(folder: &std::path::Path, spans: &[Span]) -> Arc<QueryService> {
    let store = store(folder).await;
    for (place, chunk) in spans.chunks(60).enumerate() {
        store.append(batch(chunk)).await.expect("append");
        if place % 3 != 2 {
            store.flush().await.expect("flush");
        }
    }
    QueryService::new(store, QuerySettings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_span_is_counted_in_its_cell() {
    let folder = tempfile::tempdir().expect("folder");
    let all = some_spans(3, 250);
    let service = serve(folder.path(), &all).await;
    let request = HeatRequest { query: "service:s1".to_owned(), range: RANGE, columns: 20, max_points: 1_000 };
    let heat = service.heat(&request).await.expect("cells");
    let mine = || all.iter().filter(|span| span.service == "s1" && RANGE.contains(span.time));
    let mut expected: BTreeMap<(usize, i32), (u64, u64, i64)> = BTreeMap::new();
    for span in mine() {
        let column = ((span.time - START) / (5 * SECOND)) as usize;
        let cell = expected.entry((column, Heat::row(span.duration))).or_default();
        *cell = (cell.0 + 1, cell.1 + u64::from(span.is_error), cell.2.max(span.duration));
    }
    let found: BTreeMap<(usize, i32), (u64, u64, i64)> = heat
        .cells
        .iter()
        .map(|cell| ((cell.column, cell.row), (cell.count, cell.errors, cell.slowest.duration_ns)))
        .collect();
    assert_eq!(found, expected);
    assert!(heat.cells.iter().all(|cell| (cell.errors > 0) == cell.failed.is_some()));
    assert_eq!(heat.points.as_ref().map(Vec::len), Some(mine().count()), "few enough to be named");
    let few = service.heat(&HeatRequest { max_points: 10, ..request.clone() }).await.expect("cells");
    assert!(few.points.is_none(), "too many to be named");
    assert_eq!(few.cells.len(), heat.cells.len());
    let error = service.heat(&HeatRequest { columns: 0, ..request }).await.expect_err("no columns");
    assert!(error.message.contains("columns is 0, allowed are 1 to 500"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_traces_hold_each_trace_once() {
    let folder = tempfile::tempdir().expect("folder");
    let all = some_spans(5, 250);
    let service = serve(folder.path(), &all).await;
    for query in ["", "status:error", "{service:s0} & {status:error}"] {
        for order in [TraceOrder::Newest, TraceOrder::Slowest, TraceOrder::MostErrors] {
            let ask = |limit: usize, cursor: Option<String>| TracesRequest {
                query: query.to_owned(),
                range: TimeRange { start: START, end: START + 1_000 * SECOND },
                limit,
                order,
                cursor,
            };
            let whole = service.traces(&ask(1_000, None)).await.expect("all traces");
            assert!(whole.cursor.is_none(), "{query} {order:?}: nothing is behind the last");
            let whole: Vec<(String, u64)> =
                whole.rows.into_iter().map(|trace| (trace.trace_id, trace.matched_spans)).collect();
            assert!(whole.len() > 20, "{query}");
            let (mut paged, mut cursor) = (Vec::new(), None);
            loop {
                let page = service.traces(&ask(7, cursor)).await.expect("a page");
                assert!(page.rows.len() <= 7);
                paged.extend(page.rows.into_iter().map(|trace| (trace.trace_id, trace.matched_spans)));
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
                assert!(paged.len() <= whole.len(), "{query} {order:?} goes on for ever");
            }
            assert_eq!(paged, whole, "{query} {order:?}");
        }
    }
    let bad = TracesRequest {
        query: String::new(),
        range: RANGE,
        limit: 7,
        order: TraceOrder::Slowest,
        cursor: Some("nonsense".to_owned()),
    };
    assert!(service.traces(&bad).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_can_be_bound_to_a_time() {
    let folder = tempfile::tempdir().expect("folder");
    let mut all = some_spans(9, 250);
    let late = TimeRange { start: START + 50 * SECOND, end: START + 60 * SECOND };
    for span in &mut all {
        span.service = if late.contains(span.time) { "slow" } else { "other" }.to_owned();
    }
    let service = serve(folder.path(), &all).await;
    let request = CompareRequest {
        signal: Signal::Spans,
        selection: String::new(),
        baseline: None,
        range: RANGE,
        selection_range: Some(late),
        max_fields: 5,
        max_values: 5,
    };
    let found = service.compare(&request).await.expect("a comparison");
    let selected = all.iter().filter(|span| late.contains(span.time)).count() as u64;
    let others = all.iter().filter(|span| RANGE.contains(span.time)).count() as u64 - selected;
    assert_eq!((found.selection_rows, found.baseline_rows), (selected, others));
    let service_field =
        found.fields.iter().find(|field| field.name.contains("service")).expect("the service stands out");
    assert_eq!(service_field.values[0].value, "slow");
    assert!((service_field.values[0].selection_share - 1.0).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_are_grouped_by_type_and_place() {
    let folder = tempfile::tempdir().expect("folder");
    let event = |kind: &str, message: &str, place: &str| {
        format!(
            r#"[{{"time_unix_nano":"1","name":"exception","attributes":{{"exception.type":"{kind}","exception.message":"{message}","exception.stacktrace":"{kind}\n  at {place}"}}}}]"#
        )
    };
    let span = |n: u32, events: String| Span {
        time: START + i64::from(n) * SECOND,
        trace: n,
        id: 1,
        service: "shop".to_owned(),
        events: Some(events),
        ..Span::default()
    };
    let mut all: Vec<Span> =
        (0..30).map(|n| span(n, event("Declined", &format!("card {n}"), "Card.charge:1"))).collect();
    all.extend((30..40).map(|n| span(n, event("Declined", "card", "Card.refund:9"))));
    all.push(span(50, "[]".to_owned()));
    let service = serve(folder.path(), &all).await;
    let request = ExceptionsRequest { query: "service:shop".to_owned(), range: RANGE, limit: 10, buckets: 10 };
    let found = service.exceptions(&request).await.expect("groups");
    let groups: Vec<(&str, &str, u64)> =
        found.groups.iter().map(|group| (group.kind.as_str(), group.place.as_str(), group.count)).collect();
    assert_eq!(groups, [("Declined", "Card.charge:1", 30), ("Declined", "Card.refund:9", 10)]);
    let first = &found.groups[0];
    assert_eq!(first.message, "card 29", "the newest");
    assert_eq!(first.trace_id, TraceId(trace_id(29)).to_string());
    assert_eq!(first.span_id, mangru_store::SpanId(span_id(1)).to_string());
    assert_eq!(first.counts.iter().sum::<u64>(), 30);
    let nothing = ExceptionsRequest { query: "service:other".to_owned(), ..request };
    assert!(service.exceptions(&nothing).await.expect("an answer").groups.is_empty());
}
