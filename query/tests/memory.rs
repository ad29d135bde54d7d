//! A query that needs more memory than it may take ends with an error that says so, and gives back what it took.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{CountRequest, ErrorCode, MapRequest, QueryService, QuerySettings, RowsRequest, SqlRequest};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rows::{Log, Span, logs, spans};
use std::sync::Arc;
use std::time::Duration;

const ROWS: i64 = 20_000;

async fn store(folder: &std::path::Path) -> Arc<Store> {
    let config = StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        seal_bytes: 60 << 20,
        ingest_max_bytes: 100 << 20,
        memory_max_bytes: 400 << 20,
        ..StoreConfig::default()
    };
    let store = Store::open(config).await.expect("open");
    let log = |number: i64| Log {
        time: number,
        service: format!("service-{}", number % 7),
        body: format!("request {number} of {}", "x".repeat(300)),
        ..Log::default()
    };
    store.append(logs(&(0..ROWS).map(log).collect::<Vec<_>>())).await.expect("append");
    let span = |number: i64| Span {
        time: number,
        duration_ns: 5,
        trace_id: u128::from(number.unsigned_abs() / 4 + 1).to_be_bytes(),
        span_id: (number as u64 + 1).to_be_bytes(),
        service: format!("service-{}", number % 7),
        name: "call".to_owned(),
        ..Span::default()
    };
    store.append(spans(&(0..ROWS).map(span).collect::<Vec<_>>())).await.expect("append");
    store.flush().await.expect("flush");
    store
}

/// The code and text of each query's error, `None` for an answer.
async fn errors(store: &Arc<Store>, memory_max_bytes: usize) -> Vec<Option<(ErrorCode, String)>> {
    let settings = QuerySettings { memory_max_bytes, ..QuerySettings::default() };
    let service = QueryService::new(Arc::clone(store), settings);
    let range = TimeRange { start: 0, end: ROWS };
    let rows = RowsRequest { query: String::new(), range, limit: 10_000, cursor: None };
    let count = CountRequest { query: String::new(), range, by: Some("body".to_owned()), step: None, top: 5 };
    let sort = "SELECT body, count(*) FROM logs GROUP BY body ORDER BY body DESC";
    let sql = SqlRequest { sql: sort.to_owned(), range, limit: 10 };
    let map = MapRequest { query: String::new(), range, max_spans: MapRequest::MAX_SPANS };
    vec![
        service.logs(&rows).await.err().map(|error| (error.code, error.message)),
        service.counts(Signal::Logs, &count).await.err().map(|error| (error.code, error.message)),
        service.sql(&sql).await.err().map(|error| (error.code, error.message)),
        service.map(&map).await.err().map(|error| (error.code, error.message)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_beyond_their_memory_end_with_an_error_and_leave_nothing_taken() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    for (number, error) in errors(&store, 64 << 10).await.into_iter().enumerate() {
        let (code, message) = error.unwrap_or_else(|| panic!("64 KiB are not enough for query {number}"));
        assert_eq!(code, ErrorCode::ResourceExhausted, "{message}");
        assert!(message.contains("memory"), "{message}");
    }
    assert_eq!(store.memory().queries.used_bytes(), 0, "all is given back");
    assert_eq!(errors(&store, 128 << 20).await, [None, None, None, None]);
    assert_eq!(store.memory().queries.used_bytes(), 0, "all is given back");
    // What others hold is not there for a query, whatever it may take.
    let others = store.memory().queries.reserve_anyway(store.memory().queries.max_bytes());
    assert!(errors(&store, 128 << 20).await.iter().all(Option::is_some));
    drop(others);
    assert_eq!(errors(&store, 128 << 20).await, [None, None, None, None]);
}
