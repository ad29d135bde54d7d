//! Parts without their indexes give the same answers, and indexes made anew give them too.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{QueryService, QuerySettings, RowsRequest};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use rows::{Log, logs};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const QUERIES: &[&str] = &[
    "",
    "fault",
    "req00417",
    "req00*",
    "\"after 3\"",
    "-fault",
    "body:*eq0041*",
    "request.id:id-7",
    "request.id:*",
    "user.tier:gold",
    "service:service-1 user.tier:free",
    "level:error OR request.id:id-5",
];

fn log(number: i64) -> Log {
    Log {
        time: 1_700_000_000_000_000_000 + number,
        service: format!("service-{}", number % 3),
        severity: if number % 10 == 0 { 17 } else { 9 },
        body: format!(
            "request req{number:05} {} after {} ms",
            if number % 4 == 0 { "fault" } else { "done" },
            number % 7
        ),
        attributes: vec![
            ("request.id".to_owned(), format!("id-{number}")),
            ("user.tier".to_owned(), ["free", "gold"][(number % 2) as usize].to_owned()),
        ],
        ..Log::default()
    }
}

fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        retired_grace: Duration::ZERO,
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    }
}

async fn answers(store: &Arc<Store>) -> Vec<(u64, Vec<String>)> {
    let service = QueryService::new(Arc::clone(store), QuerySettings::default());
    let mut answers = Vec::new();
    for query in QUERIES {
        let request = RowsRequest { query: (*query).to_owned(), range: TimeRange::ALL, limit: 1000, cursor: None };
        let page = service.logs(&request).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(page.coverage.complete, "{query}");
        let times = page.rows.iter().map(|row| row.time_unix_nano.clone()).collect();
        answers.push((page.coverage.matched, times));
    }
    answers
}

fn parts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { parts(&path) } else { vec![path] }).collect()
}

/// Writes a part anew as another program would: its rows, and nothing of its index, or the description of one of an earlier version.
fn strip(path: &Path, is_described: bool) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("part")).expect("footer");
    let schema = Arc::clone(reader.schema());
    let stripped = path.with_extension("stripped");
    let mut writer = ArrowWriter::try_new(File::create(&stripped).expect("file"), schema, None).expect("writer");
    for batch in reader.build().expect("reader") {
        writer.write(&batch.expect("rows")).expect("written");
    }
    if is_described {
        let description = r#"{"version":1,"offset":4,"length":8,"crc32c":0,"files":[]}"#;
        let entry = KeyValue::new("mangru.index".to_owned(), description.to_owned());
        writer.append_key_value_metadata(entry);
    }
    writer.close().expect("closed");
    std::fs::rename(stripped, path).expect("in its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_without_indexes_and_with_new_ones() {
    let folder = tempfile::tempdir().expect("folder");
    let store = Store::open(config(folder.path())).await.expect("open");
    for part in 0..9_i64 {
        store.append(logs(&(part * 100..(part + 1) * 100).map(log).collect::<Vec<_>>())).await.expect("append");
        store.flush().await.expect("flush");
    }
    store.compact_all().await.expect("merged");
    let expected = answers(&store).await;
    assert_eq!((expected[0].0, expected[1].0, expected[2].0), (900, 225, 1));
    store.close().await.expect("close");
    drop(store);
    for _ in 0..2 {
        // A second start removes the files that the first left for their readers.
        let store = Store::open(config(folder.path())).await.expect("open");
        store.close().await.expect("close");
    }
    let files = parts(&folder.path().join("objects"));
    assert_eq!(files.len(), 2);
    for (path, is_described) in files.iter().zip([false, true]) {
        strip(path, is_described);
    }

    let store = Store::open(config(folder.path())).await.expect("open");
    for part in store.snapshot(Signal::Logs).parts {
        assert!(part.index().await.expect("part opens").is_none(), "the index is gone, or of another version");
    }
    assert_eq!(answers(&store).await, expected, "without indexes");
    assert_eq!(store.reindex().await.expect("reindexed"), 2);
    for part in store.snapshot(Signal::Logs).parts {
        assert!(part.index().await.expect("part opens").is_some(), "the index is back");
    }
    assert_eq!(answers(&store).await, expected, "with new indexes");
}
