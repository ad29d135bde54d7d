//! Traces by their structure and as outlines, over a real store, hot and sealed, against looking at every span.

mod calls;

use calls::{CLIENT, SECOND, SERVER, START, Span, batch, span_id, store, trace_id};
use mangru_query::{OutlineRequest, QueryService, QuerySettings, TraceOrder, TracesRequest};
use mangru_store::{TimeRange, TraceId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;

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
