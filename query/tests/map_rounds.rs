//! A map of more spans than a query has memory for, against the same map made at once.

mod calls;

use calls::{CLIENT, CONSUMER, PRODUCER, SECOND, SERVER, START, Span, batch, store};
use mangru_query::{MapRequest, QueryService, QuerySettings};
use mangru_store::TimeRange;
use std::sync::Arc;

const TRACES: u32 = 30_000;
/// Less than the spans take while they are joined.
const LITTLE: usize = 9 << 20;

/// A call over the web, and a message whose consumer is linked to a producer of another trace.
fn of_trace(trace: u32) -> [Span; 4] {
    let span = |id: u8, parent: Option<u8>, service: &str, kind: i32, duration: u32| Span {
        time: START + i64::from(trace % 600) * SECOND,
        duration: i64::from(duration),
        trace,
        id,
        parent,
        service: service.to_owned(),
        kind,
        is_error: trace.is_multiple_of(7) && id == 1,
        ..Span::default()
    };
    let mut consumer = span(3, None, &format!("worker{}", trace % 5), CONSUMER, trace % 333);
    // Of some the sender never came.
    consumer.links = vec![((trace + 17) % (TRACES + 1_000), 2)];
    [
        span(0, None, "web", CLIENT, trace),
        span(1, Some(0), &format!("shop{}", trace % 3), SERVER, trace / 2),
        Span {
            promoted: vec![
                ("messaging.system", "kafka".to_owned()),
                ("messaging.destination.name", format!("topic{}", trace % 2)),
            ],
            ..span(2, Some(1), &format!("shop{}", trace % 3), PRODUCER, 5)
        },
        consumer,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_of_more_than_fits_into_the_memory_is_made_in_rounds() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    for traces in (0..TRACES).collect::<Vec<_>>().chunks(1_000) {
        let spans: Vec<Span> = traces.iter().flat_map(|trace| of_trace(*trace)).collect();
        store.append(batch(&spans)).await.expect("append");
    }
    store.flush().await.expect("flush");
    let much = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let settings = QuerySettings { memory_max_bytes: LITTLE, ..QuerySettings::default() };
    let little = QueryService::new(Arc::clone(&store), settings);
    for query in ["", "kind:consumer OR kind:producer", "service:web"] {
        let range = TimeRange { start: START, end: START + 500 * SECOND };
        let request = MapRequest { query: query.to_owned(), range, max_spans: MapRequest::MAX_SPANS };
        let mut maps = Vec::new();
        for service in [&much, &little] {
            let map = service.map(&request).await.unwrap_or_else(|error| panic!("{query}: {error}"));
            assert!(map.coverage.complete && map.spans > 20_000, "{query}: {:?}", map.coverage);
            let mut map = serde_json::to_value(&map).expect("JSON");
            map.as_object_mut().expect("an object").remove("elapsed_ms").expect("the time it took");
            maps.push(map);
        }
        assert_eq!(maps[0], maps[1], "{query}");
    }
    assert_eq!(store.memory().queries.used_bytes(), 0, "all is given back");
}
