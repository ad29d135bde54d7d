//! The store as a whole: opening, appending, sealing, closing.

mod compactor;
#[cfg(test)]
mod model;
mod mover;
mod recovery;
mod sealer;

use crate::catalog::Catalog;
use crate::files::{Files, LocalFiles, files_below};
use crate::hot::{Table, join_small};
use crate::journal::{self, Entry, Frame, JournalWriter, Position, Segments};
use crate::objects::{Objects, Remote};
use crate::part::{OpenParts, Part, PartId};
use crate::tails::{Tail, TailReader};
use crate::{Memory, MemoryBudget, Signal, SignalBatch, Snapshot, StoreConfig, StoreError, StoreStatus, TableStatus};
use arrow::record_batch::RecordBatch;
use futures::StreamExt as _;
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// Parts whose footer and index stay open.
const OPEN_PARTS: u64 = 512;
/// Parts of each signal that are opened at the start.
const OPENED_AT_START: usize = 128;
/// Parts that are opened at the same time then.
const OPENED_AT_ONCE: usize = 4;
/// Batches of more rows than this are encoded on a thread for blocking work.
const INLINE_ROWS: usize = 128;
/// The folder of part files that the catalog does not know.
const ASIDE: &str = "unknown-parts";

/// Journal, hot tables, parts and catalog of one data folder.
pub struct Store {
    config: StoreConfig,
    files: Arc<dyn Files>,
    memory: Memory,
    tables: Arc<[RwLock<Table>; 3]>,
    tails: Arc<[Tail; 3]>,
    segments: Arc<Mutex<Segments>>,
    writer: Mutex<Option<JournalWriter>>,
    writer_thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    journal_held_bytes: Arc<AtomicU64>,
    catalog: Catalog,
    objects: Objects,
    open_parts: OpenParts,
    sealed: Mutex<[Position; 3]>,
    /// One seal at a time: sealing takes a core and the memory of a part.
    sealing: tokio::sync::Mutex<()>,
    /// One merge at a time; whoever takes parts away holds it.
    merging: tokio::sync::Mutex<()>,
    retired: compactor::Retired,
    moves: mover::Moves,
    /// Parts that were written, or compared with their checksum, since the start.
    verified: Mutex<std::collections::HashSet<PartId>>,
    seal_wanted: Notify,
    disk_is_full: AtomicBool,
    appended_rows: AtomicU64,
    failed_seals: AtomicU64,
    merged_parts: AtomicU64,
    failed_merges: AtomicU64,
    expired_parts: AtomicU64,
    expired_rows: AtomicU64,
    recovery: Mutex<recovery::Recovery>,
    /// Files that were found at start and that the catalog does not know.
    unknown_parts: u64,
    stop: CancellationToken,
    background: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    _lock: std::fs::File,
}

impl Store {
    /// Opens the data folder, replays what the journal holds beyond the parts, and starts journaling and sealing.
    ///
    /// # Errors
    /// When the folder cannot be used, is in use by another process, or holds damaged files.
    pub async fn open(config: StoreConfig) -> Result<Arc<Self>, StoreError> {
        Self::open_on(Arc::new(LocalFiles), config).await
    }

    /// The same on another file system.
    pub(crate) async fn open_on(files: Arc<dyn Files>, config: StoreConfig) -> Result<Arc<Self>, StoreError> {
        let root = config.data_dir.clone();
        let journal_dir = root.join("journal");
        let objects_dir = root.join("objects");
        make_folders(files.as_ref(), &root, &[&journal_dir, &objects_dir])?;
        let lock = lock_folder(&root)?;
        clear_scratch(&root.join(compactor::SCRATCH))?;
        let remote = config.objects.as_ref().map(|objects| Remote::open(objects, &root.join("cache"))).transpose()?;
        let remote_url = remote.as_ref().map(|remote| remote.url().to_owned());
        let objects = Objects::new(Arc::clone(&files), &objects_dir, remote.map(Arc::new));
        let catalog_file = root.join("catalog.db");
        if !std::fs::metadata(&catalog_file).is_ok_and(|file| file.len() > 0) {
            Catalog::refuse_new(objects.unknown(&HashSet::new())?.len())?;
        }
        let catalog = Catalog::open(&catalog_file, &objects_dir, remote_url.as_deref()).await?;
        let contents = catalog.contents().await?;
        // What was written but not published before a crash is still in the journal.
        let known = contents.parts.iter().map(|part| part.path.as_str()).collect();
        let aside = root.join(ASIDE);
        objects.keep_only(&known, &contents.gone_local.iter().map(String::as_str).collect(), &aside)?;
        let unknown_parts = files_below(files.as_ref(), &aside).map_or(0, |files| files.len() as u64);
        catalog.forget_local().await?;

        let open_parts = OpenParts::new(OPEN_PARTS);
        let part = |record| Arc::new(Part::new(record, objects.clone(), open_parts.clone()));
        let mut by_signal: [Vec<Arc<Part>>; 3] = Default::default();
        for record in contents.parts {
            by_signal[record.signal as usize].push(part(record));
        }
        let retired = compactor::Retired::default();
        retired.add(contents.gone_remote.into_iter().map(part).collect());
        let sealed = contents.sealed;
        let mut tables = by_signal.into_iter().zip(sealed).map(|(parts, sealed)| Table::new(parts, sealed));
        let mut next_table = || RwLock::new(tables.next().unwrap_or_default());
        let tables = Arc::new([next_table(), next_table(), next_table()]);
        let store = Arc::new(Self {
            memory: config.memory(),
            segments: Arc::new(Mutex::new(Segments::new(Arc::clone(&files), journal_dir))),
            config,
            files,
            tables,
            tails: Arc::default(),
            writer: Mutex::new(None),
            writer_thread: Mutex::new(None),
            journal_held_bytes: Arc::new(AtomicU64::new(0)),
            catalog,
            objects,
            open_parts,
            sealed: Mutex::new(sealed),
            sealing: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            retired,
            moves: mover::Moves::new(contents.uploads),
            verified: Mutex::default(),
            seal_wanted: Notify::new(),
            disk_is_full: AtomicBool::new(false),
            appended_rows: AtomicU64::new(0),
            failed_seals: AtomicU64::new(0),
            merged_parts: AtomicU64::new(0),
            failed_merges: AtomicU64::new(0),
            expired_parts: AtomicU64::new(0),
            expired_rows: AtomicU64::new(0),
            recovery: Mutex::default(),
            unknown_parts,
            stop: CancellationToken::new(),
            background: Mutex::new(Vec::new()),
            _lock: lock,
        });
        let last = store.recover().await?;
        let on_durable = on_durable(&store.tables, &store.tails, &store.memory.ingest, &store.journal_held_bytes);
        let (writer, thread) = JournalWriter::start(Arc::clone(&store.segments), last, on_durable)?;
        *store.writer.lock() = Some(writer);
        *store.writer_thread.lock() = Some(thread);
        let mut background = vec![
            tokio::spawn(sealer::run(Arc::downgrade(&store), store.stop.clone())),
            tokio::spawn(compactor::run(Arc::downgrade(&store), store.stop.clone())),
        ];
        if store.config.objects.is_some() {
            background.push(tokio::spawn(mover::run(Arc::downgrade(&store), store.stop.clone())));
        }
        background.push(tokio::spawn(open_newest(store.tables.clone())));
        *store.background.lock() = background;
        Ok(store)
    }

    /// Appends a batch; it is durable, and visible to every later snapshot, when this returns.
    ///
    /// Concurrent calls share one `fdatasync` (group commit). A caller that goes away while it waits leaves it open
    /// whether the batch was kept.
    ///
    /// # Errors
    /// Retryable ones ([`StoreError::is_retryable`]) when journal, memory or disk is full or a write failed: nothing of
    /// the batch is kept then.
    pub async fn append(&self, batch: SignalBatch) -> Result<Position, StoreError> {
        let signal = batch.signal();
        let rows = batch.into_rows();
        if rows.num_rows() == 0 {
            return Ok(Position(0));
        }
        self.admit(&rows)?;
        let appended = rows.num_rows() as u64;
        let writer = self.writer.lock().clone().ok_or(StoreError::Closing)?;
        let frame = if rows.num_rows() > INLINE_ROWS {
            let rows = rows.clone();
            tokio::task::spawn_blocking(move || frame(signal, &rows)).await.map_err(|_| StoreError::Closing)??
        } else {
            frame(signal, &rows)?
        };
        let (done, durable) = oneshot::channel();
        writer.send(Entry { signal, rows, frame, done }).await?;
        let position = durable.await.map_err(|_| StoreError::Closing)??;
        self.appended_rows.fetch_add(appended, Ordering::Relaxed);
        let (hot_rows, hot_bytes) = self.tables[signal as usize].read().sealable();
        if hot_rows >= self.config.seal_rows || hot_bytes >= self.config.seal_bytes {
            self.seal_wanted.notify_one();
        }
        Ok(position)
    }

    fn admit(&self, rows: &RecordBatch) -> Result<(), StoreError> {
        let held_bytes = self.journal_held_bytes.load(Ordering::Relaxed);
        if held_bytes > self.config.journal_max_bytes {
            self.seal_wanted.notify_one();
            return Err(StoreError::JournalFull { held_bytes, max_bytes: self.config.journal_max_bytes });
        }
        let ingest = &self.memory.ingest;
        let used_bytes = ingest.used_bytes();
        if used_bytes.saturating_add(rows.get_array_memory_size()) > ingest.max_bytes() {
            self.seal_wanted.notify_one();
            return Err(StoreError::MemoryFull { used_bytes, max_bytes: ingest.max_bytes() });
        }
        if self.disk_is_full.load(Ordering::Relaxed) {
            let free_bytes = self.free_disk_bytes();
            return Err(StoreError::DiskFull { free_bytes, reserve_bytes: self.config.disk_reserve_bytes });
        }
        Ok(())
    }

    fn free_disk_bytes(&self) -> u64 {
        // A disk that cannot be asked is not called full: the write itself will tell.
        self.files.free_bytes(&self.config.data_dir).unwrap_or(u64::MAX)
    }

    /// What a query sees: every acknowledged row of the signal exactly once.
    pub fn snapshot(&self, signal: Signal) -> Snapshot {
        self.tables[signal as usize].read().snapshot(signal)
    }

    /// New rows from the moment of their acknowledgement. A reader that lags loses the oldest and is told how many.
    pub fn subscribe(&self, signal: Signal) -> TailReader {
        self.tails[signal as usize].watch()
    }

    /// The budget of the whole process.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Rows appended since the start.
    pub fn appended_rows(&self) -> u64 {
        self.appended_rows.load(Ordering::Relaxed)
    }

    /// Seals all that is hot now and returns when it is published.
    pub async fn flush(&self) -> Result<(), StoreError> {
        for signal in Signal::ALL {
            self.seal(signal).await?;
        }
        Ok(())
    }

    /// Merges all parts that should be merged and returns when that is done.
    pub async fn compact_all(&self) -> Result<(), StoreError> {
        for signal in Signal::ALL {
            while self.compact(signal).await? {}
        }
        Ok(())
    }

    /// The paths of parts whose checksum is wrong.
    fn damaged_parts(&self) -> Vec<String> {
        let damaged = |signal: Signal| {
            let table = self.tables[signal as usize].read();
            let damaged = table.parts().iter().filter(|part| part.is_damaged());
            damaged.map(|part| part.path().to_owned()).collect::<Vec<_>>()
        };
        Signal::ALL.into_iter().flat_map(damaged).collect()
    }

    /// Figures for people.
    pub fn status(&self) -> StoreStatus {
        let tables = Signal::ALL
            .into_iter()
            .map(|signal| {
                let table = self.tables[signal as usize].read();
                let hot = table.figures();
                let parts = table.parts();
                TableStatus {
                    signal,
                    parts: parts.len(),
                    part_rows: parts.iter().map(|part| u64::from(part.rows())).sum(),
                    part_bytes: parts.iter().map(|part| part.bytes()).sum(),
                    index_bytes: parts.iter().map(|part| part.index_bytes()).sum(),
                    hot_rows: hot.rows as u64,
                    hot_bytes: hot.bytes as u64,
                    appended_rows: hot.appended_rows,
                    min_time: parts.iter().map(|part| part.min_time()).min(),
                    max_time: parts.iter().map(|part| part.max_time()).max(),
                }
            })
            .collect();
        let (journal_bytes, journal_segments) = self.segments.lock().held();
        let recovery = *self.recovery.lock();
        StoreStatus {
            tables,
            journal_bytes,
            journal_segments,
            journal_max_bytes: self.config.journal_max_bytes,
            memory_used_bytes: self.memory.all.used_bytes(),
            memory_max_bytes: self.memory.all.max_bytes(),
            ingest_used_bytes: self.memory.ingest.used_bytes(),
            ingest_max_bytes: self.memory.ingest.max_bytes(),
            query_used_bytes: self.memory.queries.used_bytes(),
            query_max_bytes: self.memory.queries.max_bytes(),
            commits: self.writer.lock().as_ref().map_or(0, JournalWriter::commits),
            failed_seals: self.failed_seals.load(Ordering::Relaxed),
            merged_parts: self.merged_parts.load(Ordering::Relaxed),
            failed_merges: self.failed_merges.load(Ordering::Relaxed),
            retired_parts: self.retired.len(),
            damaged_parts: self.damaged_parts(),
            unknown_parts: self.unknown_parts,
            expired_parts: self.expired_parts.load(Ordering::Relaxed),
            expired_rows: self.expired_rows.load(Ordering::Relaxed),
            retention: self.config.retention.to_vec(),
            recovered_cut_bytes: recovery.cut_bytes,
            recovered_damaged_bytes: recovery.damaged_bytes,
            recovered_rows: recovery.rows,
            objects: self.objects_status(),
        }
    }

    /// Stops in order: no new appends, the group commit drained, a running seal finished, the catalog closed.
    ///
    /// What is hot stays in the journal and is replayed at the next start.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.stop.cancel();
        drop(self.writer.lock().take());
        let background = std::mem::take(&mut *self.background.lock());
        for task in background {
            let _ = task.await;
        }
        let thread = self.writer_thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Err(error) = self.segments.lock().finish() {
            tracing::error!(%error, "rows that were refused may come back at the next start");
        }
        self.catalog.close().await;
        Ok(())
    }
}

fn frame(signal: Signal, rows: &RecordBatch) -> Result<Frame, StoreError> {
    Frame::of(signal, rows)
}

/// Makes durable batches visible: hot first, then to those who watch the tail.
fn on_durable(
    tables: &Arc<[RwLock<Table>; 3]>,
    tails: &Arc<[Tail; 3]>,
    memory: &MemoryBudget,
    journal_held_bytes: &Arc<AtomicU64>,
) -> Arc<journal::OnDurable> {
    let (tables, tails, memory) = (Arc::clone(tables), Arc::clone(tails), memory.clone());
    let held = Arc::clone(journal_held_bytes);
    Arc::new(move |durable, held_bytes| {
        held.store(held_bytes, Ordering::Relaxed);
        let mut groups: [(Position, Vec<RecordBatch>); 3] = Default::default();
        for (position, signal, rows) in durable {
            let group = &mut groups[signal as usize];
            group.0 = position;
            group.1.push(rows);
        }
        for (signal, (position, batches)) in groups.into_iter().enumerate() {
            // Rows that cannot be joined are kept as they came.
            let joined = join_small(batches.clone()).unwrap_or(batches);
            let mut table = tables[signal].write();
            for rows in &joined {
                table.push(position, rows.clone(), &memory);
            }
            drop(table);
            for rows in joined {
                tails[signal].send(rows);
            }
        }
    })
}

/// Opens the newest local parts of each signal, so that the first search need not.
async fn open_newest(tables: Arc<[RwLock<Table>; 3]>) {
    for table in tables.iter() {
        let newest = table
            .read()
            .parts()
            .iter()
            .filter(|part| !part.is_remote())
            .take(OPENED_AT_START)
            .cloned()
            .collect::<Vec<_>>();
        // What is wrong with a part is told when it is read.
        let opening = newest.into_iter().map(|part| async move { part.index().await.map(drop) });
        futures::stream::iter(opening).buffer_unordered(OPENED_AT_ONCE).for_each(|_| std::future::ready(())).await;
    }
}

/// Makes the data folder and those in it, and makes their names durable: what is in a folder that a crash takes away is
/// gone with it.
fn make_folders(files: &dyn Files, root: &Path, below: &[&Path]) -> Result<(), StoreError> {
    let failed = |action, path: &Path| {
        let path = path.display().to_string();
        move |source| StoreError::Io { action, path, source }
    };
    let root = &std::path::absolute(root).map_err(failed("find", root))?;
    for folder in [&[root.as_path()], below].concat() {
        files.create_folder(folder).map_err(failed("create", folder))?;
    }
    for folder in root.ancestors() {
        match files.sync_folder(folder) {
            // A folder that we may not read was not made by us.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied && folder != root => {}
            synced => synced.map_err(failed("sync", folder))?,
        }
    }
    Ok(())
}

/// Keeps a second process out of the folder for as long as the file is open.
fn lock_folder(root: &Path) -> Result<std::fs::File, StoreError> {
    let path = root.join("lock");
    let failed = |source| StoreError::Io { action: "lock", path: path.display().to_string(), source };
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    file.try_lock().map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// Removes what a crash left of parts that were being written.
fn clear_scratch(path: &Path) -> Result<(), StoreError> {
    let cleared = match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(path),
    };
    cleared.map_err(|source| StoreError::Io { action: "clear", path: path.display().to_string(), source })
}
