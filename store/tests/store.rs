//! The store through its public door: what is acknowledged is there once, hot, sealed and after a restart.

mod rows;

use arrow::array::AsArray as _;
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use mangru_store::{Part, Signal, Store, StoreConfig, StoreError, TimeRange, TraceId};
use roaring::RoaringBitmap;
use rows::{Log, Point, Span, logs, points, spans};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig { data_dir: folder.to_path_buf(), seal_age: Duration::from_hours(1), ..StoreConfig::default() }
}

fn log(number: i64) -> Log {
    Log {
        time: 1_700_000_000_000_000_000 + number * 1_000_000,
        service: format!("service-{}", number % 3),
        severity: if number % 10 == 0 { 17 } else { 9 },
        body: format!("request {number} took {} ms 결제 실패", number % 7),
        trace_id: (number % 2 == 0).then_some(trace(number / 10)),
        span_id: Some((number as u64 + 1).to_be_bytes()),
        attributes: vec![
            ("request.id".to_owned(), format!("req-{number}")),
            ("user.tier".to_owned(), ["free", "gold"][(number % 2) as usize].to_owned()),
        ],
        ..Log::default()
    }
}

fn trace(number: i64) -> [u8; 16] {
    (number as u128 + 7).to_be_bytes()
}

async fn read(part: &Part, columns: &[&str], rows: Option<&RoaringBitmap>) -> Vec<arrow::array::RecordBatch> {
    part.read(columns, rows).await.expect("part opens").collect::<Result<_, _>>().expect("part reads")
}

/// How often each body is visible, in parts and hot batches together.
async fn bodies(store: &Store) -> BTreeMap<String, usize> {
    let snapshot = store.snapshot(Signal::Logs);
    let mut batches = Vec::new();
    for batch in &snapshot.hot {
        batches.push(batch.project(&[batch.schema().index_of("body").expect("body")]).expect("projection"));
    }
    for part in &snapshot.parts {
        batches.extend(read(part, &["body"], None).await);
    }
    let mut found = BTreeMap::new();
    for batch in batches {
        for body in batch.column(0).as_string::<i32>().iter().flatten() {
            *found.entry(body.to_owned()).or_insert(0) += 1;
        }
    }
    found
}

fn expected(numbers: std::ops::Range<i64>) -> BTreeMap<String, usize> {
    numbers.map(|number| (log(number).body, 1)).collect()
}

async fn append(store: &Store, numbers: std::ops::Range<i64>) {
    let rows: Vec<Log> = numbers.map(log).collect();
    store.append(logs(&rows)).await.expect("append");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_are_visible_once_hot_sealed_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    append(&store, 0..300).await;
    append(&store, 300..301).await;
    assert_eq!(bodies(&store).await, expected(0..301));
    store.flush().await.expect("flush");
    assert_eq!(store.snapshot(Signal::Logs).parts.len(), 1);
    assert!(store.snapshot(Signal::Logs).hot.is_empty());
    assert_eq!(bodies(&store).await, expected(0..301));
    append(&store, 301..900).await;
    assert_eq!(bodies(&store).await, expected(0..900));
    // No orderly stop: the folder is taken over as a crash would leave it.
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(config(folder.path())).await.expect("open again");
    assert_eq!(store.status().recovered_rows, 599);
    assert_eq!(bodies(&store).await, expected(0..900));
    append(&store, 900..950).await;
    store.flush().await.expect("flush");
    assert_eq!(bodies(&store).await, expected(0..950));
    assert_eq!(store.status().journal_segments, 0, "covered segments are removed");
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(config(folder.path())).await.expect("open a third time");
    assert_eq!(store.status().recovered_rows, 0);
    assert_eq!(bodies(&store).await, expected(0..950));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_while_sealing_lose_and_repeat_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(StoreConfig { seal_rows: 200, ..config(folder.path()) }).await.expect("open");
    let mut writers = Vec::new();
    for writer in 0..8_i64 {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            for batch in 0..20_i64 {
                let start = writer * 1000 + batch * 10;
                append(&store, start..start + 10).await;
            }
        }));
    }
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let found = bodies(&store).await;
        assert!(found.values().all(|times| *times == 1), "a row is visible twice");
    }
    for writer in writers {
        writer.await.expect("writer");
    }
    let all: BTreeMap<_, _> = (0..8).flat_map(|writer| expected(writer * 1000..writer * 1000 + 200)).collect();
    assert_eq!(bodies(&store).await, all);
    store.flush().await.expect("flush");
    assert_eq!(bodies(&store).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_words_attributes_columns_traces_and_resources() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    append(&store, 0..1000).await;
    store.flush().await.expect("flush");
    let part = store.snapshot(Signal::Logs).parts[0].clone();
    let index = part.index().await.expect("index opens").expect("part has an index");
    // Logs are sorted by time, so row numbers are log numbers here.
    let rows = |numbers: Vec<u32>| numbers.into_iter().collect::<RoaringBitmap>();
    assert_eq!(index.words(&["417"]).expect("word").rows, rows(vec![417]));
    assert_eq!(index.words(&["실패"]).expect("word").rows.len(), 1000);
    assert_eq!(index.words(&["nothing"]).expect("word").rows.len(), 0);
    let prefix = index.words_where("99", &|_| true, 100).expect("walk").expect("within budget");
    assert_eq!(prefix.rows, rows([99].into_iter().chain(990..1000).collect()));
    assert!(index.words_where("", &|_| true, 10).expect("walk").is_none(), "beyond the budget");
    let unique = index.attribute("request.id", "req-12").expect("attribute");
    assert!(unique.rows.contains(12) && !unique.exact, "values that differ from row to row are in the filters");
    assert!(index.attribute("request.id", "req-12345").expect("attribute").rows.is_empty());
    assert_eq!(index.attribute("user.tier", "gold").expect("attribute").rows.len(), 500);
    assert_eq!(index.resource_where(&|json| json.contains("service-1")).expect("resources").rows.len(), 333);
    assert_eq!(index.column("severity_number", "17").expect("column").expect("indexed").rows.len(), 100);
    assert!(index.column("body", "x").expect("column").is_none());
    let id = TraceId::from_bytes(&trace(3)).expect("id");
    assert_eq!(index.trace(id).expect("trace").rows, rows(vec![30, 32, 34, 36, 38]));
    let resources = index.resource_where(&|json| json.contains("service-2")).expect("resources");
    assert_eq!(resources.rows.len(), 333);
    let keys: Vec<(&str, u64)> = index.attribute_keys().collect();
    assert_eq!(keys, [("request.id", 1000), ("user.tier", 1000)]);

    let found = read(&part, &["span_id", "body"], Some(&rows(vec![5, 6, 700]))).await;
    assert_eq!(found[0].num_rows(), 3);
    assert_eq!(found[0].schema().field(0).name(), "span_id");
    assert_eq!(found[0].column(1).as_string::<i32>().value(2), log(700).body);
    let may_hold = part.rows_that_may_hold("span_id", &701_u64.to_be_bytes()).await.expect("filter");
    assert!(may_hold.contains(700));
    assert!(part.rows_that_may_hold("span_id", &[0xff; 8]).await.expect("filter").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_outside_a_time_range_are_left_out() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    let rows: Vec<Log> = (0..10_000).map(log).collect();
    store.append(logs(&rows)).await.expect("append");
    store.flush().await.expect("flush");
    let part = store.snapshot(Signal::Logs).parts[0].clone();
    let range = TimeRange { start: log(5000).time, end: log(5010).time };
    let inside = part.rows_in(range).await.expect("rows");
    assert!((5000..5010).all(|row| inside.contains(row)));
    assert!(inside.len() <= 4096, "{} rows are more than two pages", inside.len());
    assert_eq!(part.rows_in(TimeRange::ALL).await.expect("rows").len(), 10_000);
    assert_eq!(part.rows_in(TimeRange { start: 0, end: 1 }).await.expect("rows").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_trace_and_points_of_a_series_lie_together() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    let span = |number: i64| Span {
        time: number * 10,
        duration_ns: -5,
        trace_id: trace(number % 4),
        span_id: (number as u64 + 1).to_be_bytes(),
        service: "s".to_owned(),
        name: format!("operation {number}"),
        events: (number == 3).then(|| {
            r#"[{"time_unix_nano":"1","name":"exception","attributes":{"exception.type":"Boom"}}]"#.to_owned()
        }),
        ..Span::default()
    };
    store.append(spans(&(0..20).rev().map(span).collect::<Vec<_>>())).await.expect("append");
    let point = |number: i64| Point {
        time: 1000 - number,
        name: ["b", "a"][(number % 2) as usize].to_owned(),
        series_id: (number % 6) as u64,
        value: number,
    };
    store.append(points(&(0..60).map(point).collect::<Vec<_>>())).await.expect("append");
    store.flush().await.expect("flush");
    let part = store.snapshot(Signal::Spans).parts[0].clone();
    let batch = &read(&part, &["trace_id", "time"], None).await[0];
    let ids = batch.column(0).as_fixed_size_binary();
    let changes = (1..20).filter(|row| ids.value(*row) != ids.value(row - 1)).count();
    assert_eq!(changes, 3, "each of four traces is one run");
    let index = part.index().await.expect("opens").expect("index");
    assert_eq!(index.attribute("event.exception.type", "Boom").expect("attribute").rows.len(), 1);
    assert_eq!(index.words(&["operation"]).expect("word").rows.len(), 20);

    let part = store.snapshot(Signal::MetricPoints).parts[0].clone();
    let batch = &read(&part, &["metric_name", "series_id", "time", "value_int"], None).await[0];
    let names = batch.column(0).as_dictionary::<arrow::datatypes::Int32Type>();
    let names: Vec<&str> =
        names.downcast_dict::<arrow::array::StringArray>().expect("text").into_iter().flatten().collect();
    assert!(names.is_sorted());
    let times = batch.column(2).as_primitive::<TimestampNanosecondType>();
    assert!(times.values()[..10].is_sorted(), "the points of one series are in the order of time");
    let sum: i64 = batch.column(3).as_primitive::<Int64Type>().values().iter().sum();
    assert_eq!(sum, (0..60).sum::<i64>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_and_all_before_it_is_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    append(&store, 0..10).await;
    append(&store, 10..20).await;
    store.close().await.expect("close");
    drop(store);
    let segment =
        std::fs::read_dir(folder.path().join("journal")).expect("folder").next().expect("a segment").expect("entry");
    let bytes = std::fs::read(segment.path()).expect("segment");
    std::fs::write(segment.path(), &bytes[..bytes.len() - 7]).expect("cut");
    let store = Store::open(config(folder.path())).await.expect("open again");
    assert_eq!(bodies(&store).await, expected(0..10));
    assert!(store.status().recovered_cut_bytes > 0);
    append(&store, 20..30).await;
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(config(folder.path())).await.expect("open a third time");
    assert_eq!(bodies(&store).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_the_middle_of_the_journal_loses_what_it_hit_and_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for batch in 0..5 {
        append(&store, batch * 10..(batch + 1) * 10).await;
    }
    store.close().await.expect("close");
    drop(store);
    let journal = folder.path().join("journal");
    let names = || {
        let entries = std::fs::read_dir(&journal).expect("folder");
        entries.map(|entry| entry.expect("entry").file_name().into_string().expect("text")).collect::<Vec<_>>()
    };
    let segment = journal.join(names().remove(0));
    let mut bytes = std::fs::read(&segment).expect("segment");
    let frames: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, at)| at == b"MJF1").map(|(at, _)| at).collect();
    assert_eq!(frames.len(), 5);
    bytes[frames[2] + 100] ^= 1;
    std::fs::write(&segment, &bytes).expect("write");

    let store = Store::open(config(folder.path())).await.expect("open again");
    let kept: BTreeMap<_, _> = expected(0..20).into_iter().chain(expected(30..50)).collect();
    assert_eq!(bodies(&store).await, kept);
    let status = store.status();
    assert_eq!(status.recovered_damaged_bytes, (frames[3] - frames[2]) as u64);
    assert_eq!(status.recovered_cut_bytes, 0);
    store.flush().await.expect("flush");
    assert!(names().iter().any(|name| name.ends_with(".journal.damaged")), "the file is kept: {:?}", names());
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(config(folder.path())).await.expect("open a third time");
    assert_eq!(bodies(&store).await, kept);
    assert_eq!(store.status().recovered_damaged_bytes, 0);

    // A head that is damaged says nothing about what follows: that is not passed over.
    append(&store, 50..60).await;
    store.close().await.expect("close");
    drop(store);
    let segment = journal.join(names().into_iter().find(|name| name.ends_with(".journal")).expect("a segment"));
    let mut bytes = std::fs::read(&segment).expect("segment");
    bytes[40] ^= 1;
    std::fs::write(&segment, &bytes).expect("write");
    let refused = Store::open(config(folder.path())).await.err().expect("refuses").to_string();
    assert!(refused.contains(".journal: segment head checksum differs"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_longer_than_memory_is_sealed_while_it_is_replayed() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for batch in 0..40 {
        append(&store, batch * 500..(batch + 1) * 500).await;
    }
    let held = store.memory().ingest.used_bytes();
    store.close().await.expect("close");
    drop(store);
    let small = || StoreConfig { seal_bytes: held / 8, ingest_max_bytes: held / 2, ..config(folder.path()) };
    let store = Store::open(small()).await.expect("open again");
    let status = store.status();
    assert_eq!(status.recovered_rows, 20_000);
    assert!(status.ingest_used_bytes <= held / 2, "{} of {held} bytes are hot", status.ingest_used_bytes);
    assert!(status.tables[0].parts >= 3, "{} parts", status.tables[0].parts);
    assert_eq!(bodies(&store).await, expected(0..20_000));
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(small()).await.expect("open a third time");
    assert!(store.status().recovered_rows < 20_000, "what was sealed is not replayed again");
    assert_eq!(bodies(&store).await, expected(0..20_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_journal_and_full_memory_refuse_retryably_and_keep_what_was_accepted() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(StoreConfig { ingest_max_bytes: 400_000, ..config(folder.path()) }).await.expect("open");
    let mut accepted = 0;
    let refused = loop {
        let rows: Vec<Log> = (accepted..accepted + 100).map(log).collect();
        match store.append(logs(&rows)).await {
            Ok(_) => accepted += 100,
            Err(error) => break error,
        }
        assert!(accepted < 100_000, "memory is never full");
    };
    assert!(matches!(refused, StoreError::MemoryFull { .. }), "{refused}");
    assert!(refused.is_retryable() && refused.retry_after().is_some());
    assert_eq!(bodies(&store).await, expected(0..accepted));
    store.flush().await.expect("flush");
    append(&store, accepted..accepted + 100).await;
    assert_eq!(bodies(&store).await, expected(0..accepted + 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_file_that_was_never_published_is_removed_at_start() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    append(&store, 0..10).await;
    store.flush().await.expect("flush");
    let path = folder.path().join("objects").join(store.snapshot(Signal::Logs).parts[0].path());
    store.close().await.expect("close");
    drop(store);
    let orphan = path.with_file_name("01ARZ3NDEKTSV4RRFFQ69G5FAV.parquet");
    std::fs::copy(&path, &orphan).expect("copy");
    let store = Store::open(config(folder.path())).await.expect("open again");
    assert!(!orphan.exists() && path.exists());
    assert_eq!(bodies(&store).await, expected(0..10));
    assert!(Store::open(config(folder.path())).await.is_err(), "one process a folder");
}

/// Leaves a small store behind for readers of other kinds: run with `--ignored` and `MANGRU_LEAVE_STORE=<folder>`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes files for other programs to look at"]
async fn leave_a_store_for_other_readers() {
    let Some(folder) = std::env::var_os("MANGRU_LEAVE_STORE") else { return };
    let store = Store::open(config(Path::new(&folder))).await.expect("open");
    append(&store, 0..5000).await;
    store.flush().await.expect("flush");
    append(&store, 5000..6000).await;
    store.flush().await.expect("flush");
    store.append(points(&[Point { time: 5, name: "m".to_owned(), series_id: 1, value: 3 }])).await.expect("append");
    store.flush().await.expect("flush");
}
