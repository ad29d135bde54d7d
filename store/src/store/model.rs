//! The store against a simple model: random histories of appends, seals, merges, deletions, faults of the disk and
//! crashes, after each of which every acknowledged row must be there once.
//!
//! `MANGRU_TEST_HISTORIES=100000 cargo test -p mangru-store --release model` is the long mode; `MANGRU_TEST_SEED` is the
//! first seed, so that a history that failed can be run alone.

use super::Store;
use crate::files::faulty::FaultyFiles;
use crate::{Part, Signal, StoreConfig, StoreError};
use arrow::array::AsArray as _;
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[path = "../../tests/rows/mod.rs"]
mod rows;

/// How often a store is opened until it must be open: only the first time calls fail.
const MAX_OPENS: usize = 4;
/// Histories of a run that is not told otherwise.
const HISTORIES: u64 = 100;
/// Things that happen in a history.
const STEPS: usize = 30;
const START: i64 = 1_700_000_000_000_000_000;
/// Both kinds of row, so that a seal of one meets a journal that also holds the other.
const SIGNALS: [Signal; 2] = [Signal::Logs, Signal::MetricPoints];

/// What must be true of one signal's rows, each by its number.
#[derive(Debug, Default)]
struct Expected {
    /// Acknowledged and not deleted.
    kept: BTreeSet<i64>,
    /// Refused: not there, but a crash may bring them back where the disk failed too.
    refused: BTreeSet<i64>,
    /// Rows whose deletion failed: there or not.
    unsure: BTreeSet<i64>,
}

struct History {
    folder: tempfile::TempDir,
    disk: FaultyFiles,
    random: StdRng,
    store: Option<Arc<Store>>,
    expected: [Expected; 2],
    next: i64,
    log: Vec<String>,
}

fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: folder.join("data"),
        seal_age: Duration::from_hours(1),
        retired_grace: Duration::ZERO,
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    }
}

/// A file system in memory where there is one: nothing here needs a disk to be slow.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("folder")
}

/// The row's number is what is asked for when rows are read.
fn batch(signal: Signal, numbers: &[i64]) -> crate::SignalBatch {
    match signal {
        Signal::Logs => {
            let log = |number: &i64| rows::Log {
                time: START + number * 1_000_000_000,
                service: format!("service-{}", number % 3),
                body: format!("request {number}"),
                attributes: vec![("request.id".to_owned(), format!("id-{number}"))],
                ..rows::Log::default()
            };
            rows::logs(&numbers.iter().map(log).collect::<Vec<_>>())
        }
        _ => {
            let point = |number: &i64| rows::Point {
                time: START + number * 1_000_000_000,
                name: "requests".to_owned(),
                series_id: *number as u64 % 5,
                value: *number,
            };
            rows::points(&numbers.iter().map(point).collect::<Vec<_>>())
        }
    }
}

fn numbers(batch: &arrow::record_batch::RecordBatch) -> Vec<i64> {
    let times = batch.column_by_name("time").expect("time").as_primitive::<TimestampNanosecondType>();
    let numbers: Vec<i64> = times.values().iter().map(|time| (time - START) / 1_000_000_000).collect();
    if let Some(bodies) = batch.column_by_name("body") {
        let bodies = bodies.as_string::<i32>();
        assert!(numbers.iter().enumerate().all(|(row, number)| bodies.value(row) == format!("request {number}")));
    }
    if let Some(values) = batch.column_by_name("value_int") {
        assert_eq!(values.as_primitive::<Int64Type>().values().to_vec(), numbers);
    }
    numbers
}

async fn part_numbers(part: &Part) -> Result<Vec<i64>, StoreError> {
    let columns: &[&str] = if part.signal() == Signal::Logs { &["time", "body"] } else { &["time", "value_int"] };
    let mut found = Vec::new();
    for batch in part.read(columns, None).await? {
        found.extend(numbers(&batch?));
    }
    Ok(found)
}

impl History {
    fn new(seed: u64) -> Self {
        let folder = folder();
        let graves = folder.path().join("graves");
        std::fs::create_dir(&graves).expect("folder");
        Self {
            disk: FaultyFiles::new(graves, seed ^ 0x5EED),
            random: StdRng::seed_from_u64(seed),
            folder,
            store: None,
            expected: Default::default(),
            next: 0,
            log: Vec::new(),
        }
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("the store is open")
    }

    /// Opens the store; while calls fail it may take several tries, each of which may do a part of the work.
    async fn open(&mut self) {
        for _ in 0..MAX_OPENS {
            match Store::open_on(Arc::new(self.disk.clone()), config(self.folder.path())).await {
                Ok(store) => {
                    self.store = Some(store);
                    return;
                }
                Err(error) => {
                    self.log.push(format!("open: {error}"));
                    if self.random.random_range(0..3) == 0 {
                        self.disk.die();
                        self.disk.crash().expect("the files are there");
                    }
                    self.disk.fail(None);
                }
            }
        }
        panic!("the store does not open, though the disk works");
    }

    async fn append(&mut self) {
        let signal = self.random.random_range(0..SIGNALS.len());
        let count = if self.random.random_range(0..8) == 0 { 300 } else { self.random.random_range(1..20) };
        let numbers: Vec<i64> = (self.next..self.next + count).collect();
        self.next += count;
        let done = self.store().append(batch(SIGNALS[signal], &numbers)).await;
        self.log.push(format!("append {}..{} of {signal}: {done:?}", self.next - count, self.next));
        match done {
            Ok(_) => self.expected[signal].kept.extend(numbers),
            Err(_) => self.expected[signal].refused.extend(numbers),
        }
    }

    /// Appends while rows are sealed and merged.
    async fn append_meanwhile(&mut self) {
        let store = Arc::clone(self.store());
        let upkeep = tokio::spawn(async move {
            let flushed = store.flush().await;
            (flushed, store.compact_all().await)
        });
        for _ in 0..3 {
            self.append().await;
        }
        let done = upkeep.await.expect("upkeep does not panic");
        self.log.push(format!("flush and compact meanwhile: {done:?}"));
    }

    async fn delete(&mut self) {
        let signal = self.random.random_range(0..SIGNALS.len());
        let (modulus, rest) = (self.random.random_range(2..9), self.random.random_range(0..9));
        let is_meant = |number: i64| number % modulus == rest % modulus;
        let find = |part: Arc<Part>| async move {
            let numbers = part_numbers(&part).await?;
            let rows = numbers.iter().enumerate().filter(|(_, number)| is_meant(**number));
            Ok::<RoaringBitmap, StoreError>(rows.map(|(row, _)| row as u32).collect())
        };
        let store = Arc::clone(self.store());
        // What is hot is not looked at.
        let flushed = store.flush().await;
        let done = match &flushed {
            Ok(()) => store.remove_rows(SIGNALS[signal], find).await,
            Err(_) => Ok(0),
        };
        self.log.push(format!("delete {rest} of {modulus} of {signal}: {flushed:?} {done:?}"));
        let expected = &mut self.expected[signal];
        if flushed.is_ok() {
            let (meant, kept): (BTreeSet<i64>, BTreeSet<i64>) =
                std::mem::take(&mut expected.kept).into_iter().partition(|number| is_meant(*number));
            expected.kept = kept;
            if done.is_err() {
                expected.unsure.extend(meant);
            }
        }
    }

    async fn stop(&mut self, crashes: bool) {
        if crashes {
            self.disk.die();
        }
        self.disk.fail(None);
        if let Some(store) = self.store.take() {
            store.close().await.expect("closes");
        }
        if crashes {
            self.disk.crash().expect("the files are there");
        }
        self.log.push(if crashes { "crash" } else { "restart" }.to_owned());
    }

    async fn step(&mut self) {
        let one_in = self.random.random_range(2..40);
        let faults = (self.random.random_range(0..3) == 0).then_some(one_in);
        self.disk.fail(faults);
        match self.random.random_range(0..20) {
            0..=7 => self.append().await,
            8..=12 => {
                let done = self.store().flush().await;
                self.log.push(format!("flush: {done:?}"));
            }
            13 => {
                let done = self.store().compact_all().await;
                self.log.push(format!("compact: {done:?}"));
            }
            14 => self.append_meanwhile().await,
            15 => {
                self.disk.fail(None);
                self.check(false).await;
                self.disk.fail(faults);
                self.delete().await;
                self.disk.fail(None);
                self.check(false).await;
            }
            16 => {
                let done = self.store().reindex().await;
                self.log.push(format!("reindex: {done:?}"));
            }
            17 => {
                self.stop(false).await;
                self.disk.fail(Some(one_in * 4));
                self.open().await;
                self.disk.fail(None);
                self.check(false).await;
            }
            _ => {
                self.stop(true).await;
                self.check_after_restart().await;
            }
        }
        self.disk.fail(None);
        if self.random.random_range(0..3) == 0 {
            self.check(false).await;
        }
    }

    async fn check_after_restart(&mut self) {
        let one_in = self.random.random_range(10..200);
        self.disk.fail(self.random.random::<bool>().then_some(one_in));
        self.open().await;
        self.disk.fail(None);
        assert_eq!(self.store().status().recovered_damaged_bytes, 0, "a crash is no damage");
        self.check(true).await;
    }

    /// Every row that must be there is there once, and none that must not be.
    async fn check(&mut self, after_a_crash: bool) {
        for (place, signal) in SIGNALS.into_iter().enumerate() {
            let snapshot = self.store().snapshot(signal);
            let mut found: BTreeMap<i64, u32> = BTreeMap::new();
            let mut all: Vec<i64> = snapshot.hot.iter().flat_map(numbers).collect();
            for part in &snapshot.parts {
                all.extend(part_numbers(part).await.expect("parts can be read"));
            }
            for number in all {
                *found.entry(number).or_default() += 1;
            }
            let expected = &mut self.expected[place];
            for (number, times) in &found {
                assert_eq!(*times, 1, "row {number} of {signal:?} is there {times} times");
                let may_be = expected.kept.contains(number)
                    || expected.unsure.contains(number)
                    || (after_a_crash && expected.refused.contains(number));
                assert!(may_be, "row {number} of {signal:?} must not be there");
            }
            let lost = expected.kept.iter().find(|number| !found.contains_key(number));
            assert_eq!(lost, None, "an acknowledged row of {signal:?} is lost");
            // What was in doubt is now known.
            let known: Vec<i64> = found.into_keys().collect();
            expected.unsure.clear();
            expected.kept.extend(known);
            if after_a_crash {
                expected.refused.clear();
            }
        }
    }

    /// With a disk that works, all is tidy soon. What could not even be removed is removed at the next start.
    async fn check_tidy(&mut self) {
        self.stop(false).await;
        self.open().await;
        let store = Arc::clone(self.store());
        store.flush().await.expect("flush");
        store.compact_all().await.expect("compact");
        store.remove_retired().await.expect("old files go");
        assert_eq!(store.verify().await.expect("parts can be read"), Vec::<String>::new());
        let status = store.status();
        assert_eq!(status.journal_segments, 0, "all is sealed");
        let parts: usize = status.tables.iter().map(|table| table.parts).sum();
        let data = self.folder.path().join("data");
        let files = crate::files::files_below(&crate::files::LocalFiles, &data.join("objects")).expect("list");
        assert_eq!(files.len(), parts + status.retired_parts, "there are files of parts only: {files:?}");
        let scratch = std::fs::read_dir(data.join(super::compactor::SCRATCH)).expect("list").count();
        assert_eq!(scratch, 0, "nothing is left of what failed");
        drop(store);
        self.check(false).await;
        self.stop(false).await;
    }
}

async fn live(history: &mut History) {
    history.open().await;
    for _ in 0..STEPS {
        history.step().await;
    }
    history.check_tidy().await;
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn acknowledged_rows_survive_every_history_of_faults_and_crashes_once() {
    let histories = number_of("MANGRU_TEST_HISTORIES", HISTORIES);
    let first = number_of("MANGRU_TEST_SEED", 1);
    let next = AtomicU64::new(first);
    let faults = AtomicU64::new(0);
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + histories {
                return;
            }
            let mut history = History::new(seed);
            let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(live(&mut history))));
            faults.fetch_add(history.disk.faults(), Ordering::Relaxed);
            if let Err(panic) = lived {
                // Others need not go on.
                next.store(u64::MAX / 2, Ordering::Relaxed);
                eprintln!("history {seed} failed (MANGRU_TEST_SEED={seed} MANGRU_TEST_HISTORIES=1):");
                eprintln!("{}", history.log.join("\n"));
                std::panic::resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        for thread in running {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    assert!(faults.into_inner() > histories, "calls of the disk did fail");
}
