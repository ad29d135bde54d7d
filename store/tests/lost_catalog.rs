//! What becomes of parts when the catalog is lost, or older than they are: nothing is deleted, and it is said.

mod rows;

use mangru_store::{Signal, Store, StoreConfig, StoreError};
use rows::{Log, logs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    }
}

async fn open(folder: &Path) -> Arc<Store> {
    Store::open(config(folder)).await.expect("open")
}

/// Appends a hundred logs and seals them.
async fn sealed(store: &Store, number: i64) {
    let rows: Vec<Log> =
        (0..100).map(|row| Log { time: number * 1000 + row, body: format!("row {row}"), ..Log::default() }).collect();
    store.append(logs(&rows)).await.expect("append");
    store.flush().await.expect("flush");
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found
}

fn remove_catalog(folder: &Path) {
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_lost_or_empty_refuses_the_start_and_no_part_is_deleted() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).await;
    for number in 0..3 {
        sealed(&store, number).await;
    }
    store.close().await.expect("close");
    drop(store);
    let catalog = std::fs::read(folder.path().join("catalog.db")).expect("the catalog");
    assert_eq!(parquet_files(folder.path()).len(), 3);
    for is_empty in [false, true] {
        remove_catalog(folder.path());
        if is_empty {
            std::fs::write(folder.path().join("catalog.db"), "").expect("written");
        }
        let error = Store::open(config(folder.path())).await.err().expect("the catalog is lost");
        assert!(matches!(&error, StoreError::Corrupt { path, .. } if path == "catalog.db"), "{error}");
        assert!(error.to_string().contains("there are 3"), "{error}");
        assert_eq!(parquet_files(folder.path()).len(), 3, "nothing is deleted");
    }
    remove_catalog(folder.path());
    std::fs::write(folder.path().join("catalog.db"), catalog).expect("put back");
    let store = open(folder.path()).await;
    let rows: u32 = store.snapshot(Signal::Logs).parts.iter().map(|part| part.rows()).sum();
    assert_eq!((rows, store.status().unknown_parts), (300, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_an_older_catalog_does_not_know_are_set_aside_and_counted() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).await;
    sealed(&store, 0).await;
    store.close().await.expect("close");
    drop(store);
    let older = std::fs::read(folder.path().join("catalog.db")).expect("the catalog");
    let store = open(folder.path()).await;
    sealed(&store, 1).await;
    store.close().await.expect("close");
    drop(store);
    remove_catalog(folder.path());
    std::fs::write(folder.path().join("catalog.db"), older).expect("the older one");
    // What is no whole part is removed, as after a crash.
    let unfinished = folder.path().join("objects/unfinished.parquet");
    std::fs::write(&unfinished, "PAR1 and no end").expect("written");
    for _ in 0..2 {
        let store = open(folder.path()).await;
        assert_eq!(store.status().unknown_parts, 1);
        assert_eq!(parquet_files(&folder.path().join("unknown-parts")).len(), 1);
        assert_eq!(store.snapshot(Signal::Logs).parts.len(), 1);
        assert!(!unfinished.exists());
        store.close().await.expect("close");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_a_crash_left_before_it_was_published_is_removed() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).await;
    sealed(&store, 0).await;
    store.close().await.expect("close");
    drop(store);
    let pending = folder.path().join("pending");
    assert_eq!(std::fs::read_dir(&pending).expect("there").count(), 0, "nothing is pending that is published");
    let published = parquet_files(&folder.path().join("objects")).remove(0);
    let left = published.with_file_name("01KAAAAAAAAAAAAAAAAAAAAAAA.parquet");
    std::fs::copy(&published, &left).expect("copied");
    for part in [&published, &left] {
        std::fs::write(pending.join(part.file_name().expect("a name")), "").expect("marked");
    }
    let store = open(folder.path()).await;
    assert!(!left.exists(), "its rows are elsewhere");
    assert_eq!(store.status().unknown_parts, 0);
    let rows: u32 = store.snapshot(Signal::Logs).parts.iter().map(|part| part.rows()).sum();
    assert_eq!(rows, 100, "what the catalog knows stays, whatever is pending");
    assert_eq!(std::fs::read_dir(&pending).expect("there").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_whose_file_is_gone_is_damaged_and_the_others_are_looked_at_all_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).await;
    for number in 0..3 {
        sealed(&store, number).await;
    }
    let mut files = parquet_files(folder.path());
    files.sort();
    std::fs::remove_file(&files[0]).expect("removed");
    let mut bytes = std::fs::read(&files[2]).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::remove_file(&files[2]).expect("removed");
    std::fs::write(&files[2], bytes).expect("written");
    let damaged = store.verify().await.expect("verified");
    assert_eq!(damaged.len(), 2, "{damaged:?}");
    assert_eq!(store.status().damaged_parts.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_not_acknowledged_once_the_journal_was_removed() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path()).await;
    let row = || logs(&[Log { time: 1, body: "row".to_owned(), ..Log::default() }]);
    store.append(row()).await.expect("append");
    std::fs::remove_dir_all(folder.path().join("journal")).expect("removed");
    for _ in 0..2 {
        let error = store.append(row()).await.expect_err("nothing keeps the row");
        assert!(error.is_retryable(), "{error}");
    }
    std::fs::create_dir(folder.path().join("journal")).expect("made again");
    store.append(row()).await.expect("there is a journal again");
}
