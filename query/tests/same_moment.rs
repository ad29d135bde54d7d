//! Many rows of one moment, of one value each, in one batch: pages, tails and figures that neither lose nor repeat any.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{CountRequest, ErrorCode, QueryService, QuerySettings, RowsRequest, StatsRequest, TailEvent};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rows::{Log, Span, logs, spans};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn store(folder: &Path) -> Arc<Store> {
    let config = StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    Store::open(config).await.expect("open")
}

fn log(time: i64) -> Log {
    Log { time, service: "web".to_owned(), severity: 9, body: "GET / 200".to_owned(), ..Log::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_moment_stay_on_their_pages_while_parts_are_merged() {
    const ROUTES: [&str; 8] = ["/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h"];
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let mut expected = BTreeMap::<(i32, &str), usize>::new();
    // Nothing but severity and route tells them apart, and each comes twice.
    for (part, route) in ROUTES.into_iter().enumerate() {
        let rows: Vec<Log> =
            (0..48).map(|n| Log { severity: (n + part as i32) % 24 + 1, route: Some(route), ..log(7) }).collect();
        for row in &rows {
            *expected.entry((row.severity, route)).or_default() += 1;
        }
        store.append(logs(&rows)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let range = TimeRange { start: 0, end: 100 };
    let mut request = RowsRequest { query: String::new(), range, limit: 25, cursor: None };
    let mut found = BTreeMap::<(i32, &str), usize>::new();
    for number in 0.. {
        let page = service.logs(&request).await.expect("a page");
        for row in &page.rows {
            let route = row.attributes["http.route"].as_str().expect("a route");
            let route = ROUTES.into_iter().find(|known| *known == route).expect("a known route");
            *found.entry((row.severity_number, route)).or_default() += 1;
        }
        request.cursor = page.cursor;
        if request.cursor.is_none() {
            break;
        }
        if number == 3 {
            store.compact_all().await.expect("merges");
            assert_eq!(store.snapshot(Signal::Logs).parts.len(), 1);
        }
    }
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_keeps_up_gets_every_row_of_a_large_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let mut tail = service.tail("200").expect("a tail");
    store.append(logs(&(0..1_730).map(log).collect::<Vec<_>>())).await.expect("append");
    for time in 0..1_730 {
        match tail.next().await.expect("the store is open") {
            TailEvent::Row(row) => assert_eq!(row.time_unix_nano, time.to_string()),
            TailEvent::Dropped(rows) => panic!("{rows} rows were left out at {time}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_many_values_and_moments_end_at_their_memory() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let with_id = |time: i64| Log { attributes: vec![("uid".to_owned(), format!("u{time}"))], ..log(time) };
    store.append(logs(&(0..6_000).map(with_id).collect::<Vec<_>>())).await.expect("append");
    let settings = QuerySettings { memory_max_bytes: 32 << 20, ..QuerySettings::default() };
    let service = QueryService::new(Arc::clone(&store), settings);
    let range = TimeRange { start: 0, end: 6_000 };
    let mut request = StatsRequest {
        query: String::new(),
        range,
        field: "severity_number".to_owned(),
        extract: None,
        by: Some("uid".to_owned()),
        step: Some(Duration::from_nanos(1)),
        top: 10,
    };
    let error = service.stats(Signal::Logs, &request).await.expect_err("36 million tallies");
    assert_eq!(error.code, ErrorCode::ResourceExhausted, "{error}");
    assert_eq!(store.memory().queries.used_bytes(), 0, "all is given back");
    request.step = None;
    assert_eq!(service.stats(Signal::Logs, &request).await.expect("figures").series.len(), 10);
    // Counts by as many values and buckets are those of the rows.
    let much = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let (query, step) = (String::new(), Some(Duration::from_nanos(3)));
    let range = TimeRange { start: 0, end: 3_000 };
    let counts = CountRequest { query, range, by: Some("uid".to_owned()), step, top: 3_000 };
    let counts = much.counts(Signal::Logs, &counts).await.expect("counts");
    assert_eq!((counts.series.len(), counts.buckets), (3_000, 1_000));
    for series in counts.series {
        let number: usize = series.key.expect("an id")[1..].parse().expect("a number");
        assert_eq!((series.total, series.counts[number / 3]), (1, 1), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn severities_that_are_unset_and_durations_to_the_nanosecond_are_found() {
    for is_sealed in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path()).await;
        let mut rows: Vec<Log> = (0..4).map(|time| Log { severity: 0, ..log(time) }).collect();
        rows.push(Log { severity: 0, severity_text: Some("ERROR"), ..log(4) });
        rows.push(Log { severity: 30, ..log(5) });
        rows.push(log(6));
        store.append(logs(&rows)).await.expect("append");
        let durations = [0, 1, 2, 9_007_199_254_740_992, 9_007_199_254_740_993];
        let span = |(number, duration_ns): (usize, i64)| Span {
            time: number as i64,
            duration_ns,
            trace_id: (number as u128 + 1).to_be_bytes(),
            span_id: (number as u64 + 1).to_be_bytes(),
            service: "web".to_owned(),
            name: "GET".to_owned(),
            ..Span::default()
        };
        store.append(spans(&durations.into_iter().enumerate().map(span).collect::<Vec<_>>())).await.expect("append");
        if is_sealed {
            store.flush().await.expect("flush");
        }
        let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
        let questions = [
            (Signal::Logs, "level:unset", 4),
            (Signal::Logs, "severity_number:0", 4),
            (Signal::Logs, "-level:unset", 3),
            (Signal::Logs, "level:fatal", 1),
            (Signal::Logs, "level:error", 1),
            (Signal::Logs, "level<warn", 1),
            (Signal::Spans, "duration>0.5", 4),
            (Signal::Spans, "duration:0.5", 0),
            (Signal::Spans, "duration<0.5", 1),
            (Signal::Spans, "duration:9007199254740993", 1),
            (Signal::Spans, "duration>=9007199254740993ns", 1),
        ];
        for (signal, query, rows) in questions {
            let range = TimeRange { start: 0, end: 100 };
            let request = CountRequest { query: query.to_owned(), range, by: None, step: None, top: 1 };
            let found = service.counts(signal, &request).await.unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(found.coverage.matched, rows, "{query}, sealed: {is_sealed}");
        }
    }
}
