//! Merged parts: every row once, found as before, and no file too many.

mod rows;

use arrow::array::AsArray as _;
use mangru_store::{Part, Retention, Signal, Store, StoreConfig, StoreError, TraceId};
use roaring::RoaringBitmap;
use rows::{Log, Point, Span, logs, points, spans};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        retired_grace: Duration::ZERO,
        ..StoreConfig::default()
    }
}

fn log(number: i64) -> Log {
    Log {
        // The parts' times overlap.
        time: 1_700_000_000_000_000_000 + (number % 100) * 1_000_000,
        service: format!("service-{}", number % 3),
        severity: 9,
        body: format!("request req{number:05} took {} ms", number % 7),
        trace_id: Some((number as u128 / 50 + 1).to_be_bytes()),
        span_id: Some((number as u64 + 1).to_be_bytes()),
        attributes: vec![
            ("request.id".to_owned(), format!("id-{number}")),
            ("user.tier".to_owned(), ["free", "gold"][(number % 2) as usize].to_owned()),
        ],
        ..Log::default()
    }
}

async fn bodies(store: &Store) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for part in &store.snapshot(Signal::Logs).parts {
        for batch in part.read(&["body"], None).await.expect("part opens") {
            for body in batch.expect("part reads").column(0).as_string::<i32>().iter().flatten() {
                *found.entry(body.to_owned()).or_insert(0) += 1;
            }
        }
    }
    found
}

fn expected(numbers: impl Iterator<Item = i64>) -> BTreeMap<String, usize> {
    numbers.map(|number| (log(number).body, 1)).collect()
}

async fn sealed(store: &Store, numbers: std::ops::Range<i64>) {
    store.append(logs(&numbers.map(log).collect::<Vec<_>>())).await.expect("append");
    store.flush().await.expect("flush");
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// The bodies of the rows that the index gives.
async fn read(part: &Part, rows: &RoaringBitmap) -> Vec<String> {
    let mut found = Vec::new();
    for batch in part.read(&["body"], Some(rows)).await.expect("part opens") {
        found.extend(batch.expect("part reads").column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_parts_hold_every_row_once_and_are_found_by_the_same_terms() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for part in 0..9 {
        sealed(&store, part * 100..(part + 1) * 100).await;
    }
    store.compact_all().await.expect("merged");
    let parts = store.snapshot(Signal::Logs).parts;
    assert_eq!(parts.len(), 2, "eight parts are one");
    assert_eq!(bodies(&store).await, expected(0..900));

    let part = parts.iter().find(|part| part.rows() == 800).expect("the merged part");
    let index = part.index().await.expect("index opens").expect("part has an index");
    let rare = index.words(&["req00417"]).expect("word");
    assert!(read(part, &rare.rows).await.contains(&log(417).body));
    assert!(rare.rows.len() <= 200, "{} rows for one", rare.rows.len());
    assert!(index.words(&["req00801"]).expect("word").rows.len() <= 200, "a value of another part");
    let unique = index.attribute("request.id", "id-700").expect("attribute");
    assert!(read(part, &unique.rows).await.contains(&log(700).body));
    let gold = index.attribute("user.tier", "gold").expect("attribute");
    assert_eq!((gold.rows.len(), gold.exact), (400, true));
    assert_eq!(index.resource_where(&|json| json.contains("service-1")).expect("resources").rows.len(), 267);
    let trace = index.trace(TraceId(4_u128.to_be_bytes())).expect("trace");
    let of_trace = read(part, &trace.rows).await;
    assert_eq!(of_trace, (150..200).map(|number| log(number).body).collect::<Vec<_>>());
    let keys: Vec<(&str, u64)> = index.attribute_keys().collect();
    assert_eq!(keys, [("request.id", 800), ("user.tier", 800)]);
    assert_eq!(index.resources().expect("resources").iter().map(|(_, rows)| rows).sum::<u64>(), 800);
    assert_eq!(part.row_groups().await.expect("row groups").len(), 8);
    let pages = part.pages().await.expect("pages");
    assert_eq!(pages.len(), 8);
    assert!(pages.iter().all(|(_, min, max)| max - min == 99_000_000));

    // Files of parts that are gone are removed, and a start finds the rest.
    drop(parts);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while files(&folder.path().join("objects")) > 2 {
        assert!(std::time::Instant::now() < deadline, "files of merged parts stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.close().await.expect("close");
    drop(store);
    let store = Store::open(config(folder.path())).await.expect("open again");
    assert_eq!(bodies(&store).await, expected(0..900));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_and_points_are_merged_too() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for part in 0..8_i64 {
        let time = 1_700_000_000_000_000_000 + part;
        let span = |number: i64| Span {
            time: time + number,
            trace_id: (number as u128 + 1).to_be_bytes(),
            span_id: (part as u64 * 100 + number as u64 + 1).to_be_bytes(),
            service: "s".to_owned(),
            name: "work".to_owned(),
            ..Span::default()
        };
        let point = |number: i64| Point {
            time: time + number,
            name: format!("metric.{}", number % 4),
            series_id: number as u64,
            value: number,
        };
        store.append(spans(&(0..50).map(span).collect::<Vec<_>>())).await.expect("append");
        store.append(points(&(0..50).map(point).collect::<Vec<_>>())).await.expect("append");
        store.flush().await.expect("flush");
    }
    store.compact_all().await.expect("merged");
    for signal in [Signal::Spans, Signal::MetricPoints] {
        let parts = store.snapshot(signal).parts;
        assert_eq!((parts.len(), parts[0].rows()), (1, 400), "{signal:?}");
    }
    let part = store.snapshot(Signal::Spans).parts[0].clone();
    let index = part.index().await.expect("index opens").expect("index");
    assert_eq!(index.trace(TraceId(7_u128.to_be_bytes())).expect("trace").rows.len(), 8);
    let held = part.rows_that_may_hold("span_id", &707_u64.to_be_bytes()).await.expect("filters");
    assert!(!held.is_empty() && held.len() < 400, "the bloom filters came along");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_every_row_once_while_parts_are_merged() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for part in 0..40 {
                sealed(&store, part * 10..(part + 1) * 10).await;
                store.compact_all().await.expect("merged");
            }
        }
    });
    while !writer.is_finished() {
        let found = bodies(&store).await;
        assert!(found.values().all(|times| *times == 1), "a row is visible twice");
        assert_eq!(found.len() % 10, 0, "rows of a part are missing");
    }
    writer.await.expect("writer");
    assert_eq!(bodies(&store).await, expected(0..400));
    assert!(store.snapshot(Signal::Logs).parts.len() < 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_of_a_merge_is_removed_at_start() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    sealed(&store, 0..10).await;
    store.close().await.expect("close");
    drop(store);
    let scratch = folder.path().join("scratch/half");
    std::fs::create_dir_all(&scratch).expect("folder");
    std::fs::write(scratch.join("part.parquet"), b"half").expect("file");
    let stray = folder.path().join("objects/logs/date=2026-01-01/hour=00");
    std::fs::create_dir_all(&stray).expect("folder");
    std::fs::write(stray.join("stray.parquet"), b"whole, not published").expect("file");
    let store = Store::open(config(folder.path())).await.expect("open again");
    assert_eq!(files(&folder.path().join("scratch")), 0);
    assert_eq!(files(&folder.path().join("objects")), 1);
    assert_eq!(bodies(&store).await, expected(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_rows_are_gone_and_the_others_are_found_as_before() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for part in 0..8 {
        sealed(&store, part * 100..(part + 1) * 100).await;
    }
    store.compact_all().await.expect("merged");
    sealed(&store, 800..900).await;
    // Some rows of one run, all of another, and nothing of the last part.
    let gone = |number: i64| (100..200).contains(&number) || (300..350).contains(&number);
    let removed = store
        .remove_rows(Signal::Logs, async |part: Arc<Part>| -> Result<RoaringBitmap, StoreError> {
            let mut rows = RoaringBitmap::new();
            let mut row = 0;
            for batch in part.read(&["body"], None).await? {
                for body in batch?.column(0).as_string::<i32>().iter().flatten() {
                    if (0..900).filter(|number| gone(*number)).any(|number| log(number).body == body) {
                        rows.insert(row);
                    }
                    row += 1;
                }
            }
            Ok(rows)
        })
        .await
        .expect("removed");
    assert_eq!(removed, 150);
    assert_eq!(bodies(&store).await, expected((0..900).filter(|number| !gone(*number))));
    let parts = store.snapshot(Signal::Logs).parts;
    let part = parts.iter().find(|part| part.rows() == 650).expect("the part that was written anew");
    let index = part.index().await.expect("index opens").expect("part has an index");
    let gold = index.attribute("user.tier", "gold").expect("attribute");
    assert_eq!((gold.rows.len(), gold.exact), (325, true));
    let kept = index.words(&["req00417"]).expect("word");
    assert!(read(part, &kept.rows).await.contains(&log(417).body));
    let gone_trace = index.trace(TraceId(7_u128.to_be_bytes())).expect("trace");
    assert!(gone_trace.rows.is_empty(), "terms of removed rows have no rows");
    assert_eq!(part.row_groups().await.expect("row groups").len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_takes_whole_parts_and_says_so_before() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for part in 0..3 {
        sealed(&store, part * 10..(part + 1) * 10).await;
    }
    let bytes = store.status().tables[0].part_bytes;
    assert!(store.expired().is_empty());
    store.close().await.expect("close");
    drop(store);
    // Room for two of three parts.
    let mut bounded = config(folder.path());
    bounded.retention[0] = Retention { max_age: None, max_bytes: Some(bytes - 1) };
    let store = Store::open(bounded).await.expect("open again");
    let expired = store.expired();
    assert!(expired.len() == 1 && expired[0].reason == "bytes", "{expired:?}");
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while store.status().expired_rows < 10 || files(&folder.path().join("objects")) > 2 {
        assert!(std::time::Instant::now() < deadline, "retention does nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bodies(&store).await.len(), 20);
}
