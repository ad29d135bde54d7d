//! The store with an object store behind it: a real S3 server on loopback, which also fails.

mod rows;
mod s3_server;

use arrow::array::AsArray as _;
use hyper::Method;
use mangru_store::{ObjectsConfig, Retention, Signal, Store, StoreConfig, StoreError};
use roaring::RoaringBitmap;
use rows::{Log, logs};
use s3_server::Server;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CACHE_BYTES: u64 = 4 << 20;

fn config(folder: &Path, server: &Server) -> StoreConfig {
    StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        retired_grace: Duration::ZERO,
        objects: Some(ObjectsConfig {
            url: s3_server::URL.to_owned(),
            endpoint: Some(server.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            credentials: Some((s3_server::KEY.0.to_owned(), s3_server::KEY.1.to_owned())),
            local: Retention { max_age: Some(Duration::from_hours(1)), max_bytes: None },
            cache_max_bytes: CACHE_BYTES,
        }),
        ..StoreConfig::default()
    }
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

/// A log so many hours old.
fn log(number: i64, hours: i64) -> Log {
    Log {
        time: now_ns() - hours * 3_600_000_000_000 + number,
        service: format!("service-{}", number % 3),
        severity: 9,
        body: format!("request {number} {}", if number % 100 == 0 { "failed" } else { "passed" }),
        attributes: vec![("request.id".to_owned(), format!("req-{number}"))],
        ..Log::default()
    }
}

async fn sealed(store: &Store, numbers: std::ops::Range<i64>, hours: i64) {
    let rows: Vec<Log> = numbers.map(|number| log(number, hours)).collect();
    store.append(logs(&rows)).await.expect("append");
    store.flush().await.expect("flush");
}

/// How often each body is there; reading happens where blocking is allowed.
async fn bodies(store: &Store) -> Result<BTreeMap<String, usize>, StoreError> {
    let mut found = BTreeMap::new();
    for part in store.snapshot(Signal::Logs).parts {
        let reader = part.read(&["body"], None).await?;
        let read = tokio::task::spawn_blocking(move || reader.collect::<Result<Vec<_>, _>>());
        for batch in read.await.expect("reads")? {
            for body in batch.column(0).as_string::<i32>().iter().flatten() {
                *found.entry(body.to_owned()).or_insert(0) += 1;
            }
        }
    }
    Ok(found)
}

fn expected(numbers: std::ops::Range<i64>) -> BTreeMap<String, usize> {
    numbers.map(|number| (log(number, 0).body, 1)).collect()
}

fn local_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Waits for what the background does.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not come to be that {what}");
}

/// Parts, remote parts.
fn counts(store: &Store) -> (usize, usize) {
    let parts = store.snapshot(Signal::Logs).parts;
    (parts.len(), parts.iter().filter(|part| part.is_remote()).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn older_parts_move_to_the_object_store_and_are_read_and_found_as_before() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    let store = Store::open(config(folder.path(), &server)).await.expect("open");
    sealed(&store, 0..1000, 30).await;
    sealed(&store, 1000..2000, 20).await;
    sealed(&store, 2000..3000, 0).await;
    store.move_all().await.expect("moves");
    assert_eq!(counts(&store), (3, 2), "the recent part stays");
    assert_eq!(server.objects().len(), 2);
    let folder_path = folder.path().to_path_buf();
    until("local files of moved parts are gone", || local_files(&folder_path).len() == 1).await;
    assert_eq!(bodies(&store).await.expect("reads"), expected(0..3000));

    // The index of a remote part answers, and only what is needed is fetched.
    let part = store.snapshot(Signal::Logs).parts.into_iter().find(|part| part.is_remote()).expect("a remote part");
    let index = part.index().await.expect("opens").expect("has an index");
    assert_eq!(index.words(&["failed"]).expect("word").rows.len(), 10);
    let candidates = index.attribute("request.id", "req-1500").expect("attribute").rows;
    let other = index.attribute("request.id", "req-no").expect("attribute").rows;
    assert_eq!((candidates.is_empty(), other.is_empty()), (false, true));
    assert_eq!(store.status().objects.expect("status").parts, 2);
    assert_eq!(store.verify().await.expect("verify"), Vec::<String>::new());
    store.close().await.expect("close");
    drop((part, index, store));

    // After a restart nothing is fetched that the local disk still has.
    let store = Store::open(config(folder.path(), &server)).await.expect("open again");
    let before = server.faults.requests.load(Ordering::Relaxed);
    assert_eq!(bodies(&store).await.expect("reads"), expected(0..3000));
    assert_eq!(server.faults.requests.load(Ordering::Relaxed), before, "all comes from the cache");
    store.close().await.expect("close");
    drop(store);

    // Without the object store the parts cannot be read, and that is said at once.
    let without = StoreConfig { objects: None, ..config(folder.path(), &server) };
    let refused = Store::open(without).await.err().expect("refuses").to_string();
    assert!(refused.contains("objects.url") && refused.contains("2 parts are in s3://lake/telemetry"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_rows_of_a_large_remote_part_cost_a_few_blocks_and_the_cache_stays_bounded() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    let mut config = config(folder.path(), &server);
    config.objects.as_mut().expect("objects").cache_max_bytes = 2 << 20;
    // All in one part.
    (config.seal_bytes, config.ingest_max_bytes, config.memory_max_bytes) = (100 << 20, 150 << 20, 1 << 30);
    let store = Store::open(config).await.expect("open");
    // Bodies that no compression makes smaller: more than one piece of an upload.
    let rows: Vec<Log> = (0..34_000_i64)
        .map(|number| {
            let noise =
                (0..34).map(|word| format!("{:016x}", rand_of(number * 34 + word))).collect::<Vec<_>>().concat();
            Log { body: noise, ..log(number, 30) }
        })
        .collect();
    for rows in rows.chunks(5000) {
        store.append(logs(rows)).await.expect("append");
    }
    store.flush().await.expect("flush");
    store.move_all().await.expect("moves");
    let part = store.snapshot(Signal::Logs).parts[0].clone();
    assert!(part.is_remote() && part.bytes() > 8 << 20, "{} bytes", part.bytes());
    let sent = server.faults.sent_bytes.load(Ordering::Relaxed);
    let wanted: RoaringBitmap = [7, 20_000, 29_999].into_iter().collect();
    let reader = part.read(&["body"], Some(&wanted)).await.expect("opens");
    let read = tokio::task::spawn_blocking(move || reader.collect::<Result<Vec<_>, _>>()).await.expect("runs");
    let found: Vec<String> = read
        .expect("reads")
        .iter()
        .flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let meant: Vec<String> = wanted.iter().map(|row| rows[row as usize].body.clone()).collect();
    assert_eq!(found, meant);
    let fetched = server.faults.sent_bytes.load(Ordering::Relaxed) - sent;
    assert!(fetched < part.bytes() / 2, "{fetched} bytes of {} for three rows", part.bytes());
    assert_eq!(bodies(&store).await.expect("reads").len(), 34_000);
    let status = store.status().objects.expect("status");
    assert!(status.cached_bytes <= 2 << 20, "{} bytes are cached", status.cached_bytes);
}

/// Numbers that look like noise (SplitMix64).
fn rand_of(number: i64) -> u64 {
    let mut z = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_parts_are_merged_and_rows_removed_and_no_file_is_left_behind() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    let store = Store::open(config(folder.path(), &server)).await.expect("open");
    for piece in 0..9 {
        sealed(&store, piece * 100..(piece + 1) * 100, 50).await;
        store.move_all().await.expect("moves");
    }
    store.compact_all().await.expect("merges");
    store.move_all().await.expect("moves");
    assert!(counts(&store).0 <= 2 && counts(&store).0 == counts(&store).1, "{:?}", counts(&store));
    assert_eq!(bodies(&store).await.expect("reads"), expected(0..900));
    let removed = store
        .remove_rows(
            Signal::Logs,
            |part| async move { Ok::<RoaringBitmap, StoreError>((0..part.rows() / 2).collect()) },
        )
        .await
        .expect("removes");
    assert!(removed > 400);
    store.move_all().await.expect("moves");
    assert_eq!(bodies(&store).await.expect("reads").len() as u64, 900 - removed);
    let parts = counts(&store).0;
    until("objects of parts that are gone are gone", || server.objects().len() == parts).await;
    until("so are local files", || local_files(folder.path()).is_empty()).await;
    assert!(server.root().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_now_and_then_change_nothing() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    server.faults.one_in.store(3, Ordering::Relaxed);
    let mut config = config(folder.path(), &server);
    // So small that nearly every read goes to the server.
    config.objects.as_mut().expect("objects").cache_max_bytes = 600 << 10;
    let store = Store::open(config).await.expect("open");
    for piece in 0..4 {
        sealed(&store, piece * 500..(piece + 1) * 500, 30).await;
    }
    let mut moved = store.move_all().await;
    for _ in 0..10 {
        if moved.is_ok() {
            break;
        }
        moved = store.move_all().await;
    }
    moved.expect("moves in the end");
    assert_eq!(counts(&store), (4, 4));
    for _ in 0..3 {
        assert_eq!(bodies(&store).await.expect("reads"), expected(0..2000));
    }
    let objects = || server.objects().len() == 4;
    until("nothing but the parts is there", objects).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_object_store_is_down_rows_come_in_and_its_parts_are_told_as_unreadable() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    let store = Store::open(config(folder.path(), &server)).await.expect("open");
    sealed(&store, 0..100, 30).await;
    store.move_all().await.expect("moves");
    server.faults.is_down.store(true, Ordering::Relaxed);
    sealed(&store, 100..200, 30).await;
    let failed = store.move_all().await.expect_err("cannot move");
    assert!(matches!(failed, StoreError::Objects(_)), "{failed}");
    assert_eq!(counts(&store), (2, 1), "the new part stays here");
    let [remote, local] = [true, false].map(|is_remote| {
        let parts = store.snapshot(Signal::Logs).parts;
        parts.into_iter().find(|part| part.is_remote() == is_remote).expect("a part")
    });
    assert!(remote.read(&["body"], None).await.is_err());
    assert!(local.read(&["body"], None).await.is_ok());
    until("status tells", || store.status().objects.is_some_and(|objects| objects.last_error.is_some())).await;

    // A restart needs no object store.
    store.close().await.expect("close");
    drop((remote, local, store));
    let store = Store::open(config(folder.path(), &server)).await.expect("open again");
    assert_eq!(counts(&store), (2, 1));
    server.faults.is_down.store(false, Ordering::Relaxed);
    until("parts are moved again", || counts(&store) == (2, 2)).await;
    assert_eq!(bodies(&store).await.expect("reads"), expected(0..200));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_not_published_is_removed_after_a_restart() {
    let (folder, server) = (tempfile::tempdir().expect("folder"), Server::start().await);
    let store = Store::open(config(folder.path(), &server)).await.expect("open");
    // The object is written, but what follows is refused.
    *server.faults.refused.lock() = Some(Method::HEAD);
    sealed(&store, 0..100, 30).await;
    until("the object is there", || !server.objects().is_empty()).await;
    *server.faults.refused.lock() = Some(Method::DELETE);
    store.close().await.expect("close");
    drop(store);
    let left = server.objects();
    *server.faults.refused.lock() = None;
    let store = Arc::new(Store::open(config(folder.path(), &server)).await.expect("open again"));
    until("the part is moved", || counts(&store) == (1, 1)).await;
    until("what was left is gone", || server.objects().len() == 1 && !left.contains(&server.objects()[0])).await;
    assert_eq!(bodies(&store).await.expect("reads"), expected(0..100));
}
