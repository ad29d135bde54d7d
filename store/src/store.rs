//! The store as a whole: opening, appending, sealing, closing.

mod compactor;
mod sealer;

use crate::catalog::Catalog;
use crate::hot::{Table, join_small};
use crate::journal::{self, Entry, Frame, JournalWriter, Position, Segments};
use crate::objects::Objects;
use crate::part::{OpenParts, Part, PartId};
use crate::{MemoryBudget, Signal, SignalBatch, Snapshot, StoreConfig, StoreError, StoreStatus, TableStatus};
use arrow::record_batch::RecordBatch;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, broadcast, oneshot};
use tokio_util::sync::CancellationToken;

/// Batches that a slow subscriber may lag behind before it loses the oldest.
const TAIL_BATCHES: usize = 256;
/// Parts whose footer and index stay open.
const OPEN_PARTS: u64 = 512;
/// Batches of more rows than this are encoded on a thread for blocking work.
const INLINE_ROWS: usize = 128;

/// Journal, hot tables, parts and catalog of one data folder.
pub struct Store {
    config: StoreConfig,
    memory: MemoryBudget,
    tables: Arc<[RwLock<Table>; 3]>,
    tails: Arc<[broadcast::Sender<RecordBatch>; 3]>,
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
    recovered_cut_bytes: u64,
    recovered_rows: u64,
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
        let root = config.data_dir.clone();
        let journal_dir = root.join("journal");
        std::fs::create_dir_all(&journal_dir).map_err(|source| StoreError::Io {
            action: "create",
            path: journal_dir.display().to_string(),
            source,
        })?;
        let lock = lock_folder(&root)?;
        let objects_dir = root.join("objects");
        let catalog = Catalog::open(&root.join("catalog.db"), &objects_dir).await?;
        let contents = catalog.contents().await?;
        let objects = Objects::local(&objects_dir)?;
        remove_orphans(&objects, &contents.parts).await?;
        catalog.forget_all().await?;
        remove_scratch(&root.join(compactor::SCRATCH))?;

        let sealed = contents.sealed;
        let folder = journal_dir.clone();
        let recovered = tokio::task::spawn_blocking(move || journal::recover(&folder, sealed))
            .await
            .map_err(|_| StoreError::Closing)??;

        let memory = MemoryBudget::new(config.memory_max_bytes);
        let open_parts = OpenParts::new(OPEN_PARTS);
        let mut by_signal: [Vec<Arc<Part>>; 3] = Default::default();
        for record in contents.parts {
            let signal = record.signal as usize;
            by_signal[signal].push(Arc::new(Part::new(record, objects.clone(), open_parts.clone())));
        }
        let mut tables = by_signal.into_iter().zip(sealed).map(|(parts, sealed)| Table::new(parts, sealed));
        let mut next_table = || RwLock::new(tables.next().unwrap_or_default());
        let tables = Arc::new([next_table(), next_table(), next_table()]);
        let mut recovered_rows = 0;
        for (position, signal, rows) in recovered.batches {
            recovered_rows += rows.num_rows() as u64;
            tables[signal as usize].write().push(position, rows, &memory);
        }

        let mut segments = Segments::new(journal_dir, recovered.segments);
        segments.remove_covered(sealed)?;
        let journal_held_bytes = Arc::new(AtomicU64::new(segments.held().0));
        let segments = Arc::new(Mutex::new(segments));
        let tails = Arc::new(std::array::from_fn(|_| broadcast::channel(TAIL_BATCHES).0));
        let on_durable = on_durable(&tables, &tails, &memory, &journal_held_bytes);
        let (writer, thread) = JournalWriter::start(Arc::clone(&segments), recovered.last, on_durable)?;
        let store = Arc::new(Self {
            config,
            memory,
            tables,
            tails,
            segments,
            writer: Mutex::new(Some(writer)),
            writer_thread: Mutex::new(Some(thread)),
            journal_held_bytes,
            catalog,
            objects,
            open_parts,
            sealed: Mutex::new(sealed),
            sealing: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            retired: compactor::Retired::default(),
            verified: Mutex::default(),
            seal_wanted: Notify::new(),
            disk_is_full: AtomicBool::new(false),
            appended_rows: AtomicU64::new(0),
            failed_seals: AtomicU64::new(0),
            merged_parts: AtomicU64::new(0),
            failed_merges: AtomicU64::new(0),
            expired_parts: AtomicU64::new(0),
            expired_rows: AtomicU64::new(0),
            recovered_cut_bytes: recovered.cut_bytes,
            recovered_rows,
            stop: CancellationToken::new(),
            background: Mutex::new(Vec::new()),
            _lock: lock,
        });
        let sealer = tokio::spawn(sealer::run(Arc::downgrade(&store), store.stop.clone()));
        let compactor = tokio::spawn(compactor::run(Arc::downgrade(&store), store.stop.clone()));
        *store.background.lock() = vec![sealer, compactor];
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
        let used_bytes = self.memory.used_bytes();
        if used_bytes.saturating_add(rows.get_array_memory_size()) > self.memory.max_bytes() {
            self.seal_wanted.notify_one();
            return Err(StoreError::MemoryFull { used_bytes, max_bytes: self.memory.max_bytes() });
        }
        if self.disk_is_full.load(Ordering::Relaxed) {
            let free_bytes = self.free_disk_bytes();
            return Err(StoreError::DiskFull { free_bytes, reserve_bytes: self.config.disk_reserve_bytes });
        }
        Ok(())
    }

    fn free_disk_bytes(&self) -> u64 {
        // A disk that cannot be asked is not called full: the write itself will tell.
        fs4::available_space(&self.config.data_dir).unwrap_or(u64::MAX)
    }

    /// What a query sees: every acknowledged row of the signal exactly once.
    pub fn snapshot(&self, signal: Signal) -> Snapshot {
        self.tables[signal as usize].read().snapshot(signal)
    }

    /// New batches from the moment of their acknowledgement. A receiver that lags loses the oldest and is told.
    pub fn subscribe(&self, signal: Signal) -> broadcast::Receiver<RecordBatch> {
        self.tails[signal as usize].subscribe()
    }

    /// The budget that requests and hot batches share.
    pub const fn memory(&self) -> &MemoryBudget {
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
        StoreStatus {
            tables,
            journal_bytes,
            journal_segments,
            journal_max_bytes: self.config.journal_max_bytes,
            memory_used_bytes: self.memory.used_bytes(),
            memory_max_bytes: self.memory.max_bytes(),
            commits: self.writer.lock().as_ref().map_or(0, JournalWriter::commits),
            failed_seals: self.failed_seals.load(Ordering::Relaxed),
            merged_parts: self.merged_parts.load(Ordering::Relaxed),
            failed_merges: self.failed_merges.load(Ordering::Relaxed),
            retired_parts: self.retired.len(),
            damaged_parts: self.damaged_parts(),
            expired_parts: self.expired_parts.load(Ordering::Relaxed),
            expired_rows: self.expired_rows.load(Ordering::Relaxed),
            retention: self.config.retention.to_vec(),
            recovered_cut_bytes: self.recovered_cut_bytes,
            recovered_rows: self.recovered_rows,
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
        self.catalog.close().await;
        Ok(())
    }
}

fn frame(signal: Signal, rows: &RecordBatch) -> Result<Frame, StoreError> {
    Ok(Frame::new(signal, rows.num_rows(), journal::encode(rows)?))
}

/// Makes durable batches visible: hot first, then to those who watch the tail.
fn on_durable(
    tables: &Arc<[RwLock<Table>; 3]>,
    tails: &Arc<[broadcast::Sender<RecordBatch>; 3]>,
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
                // Nobody may be watching.
                let _ = tails[signal].send(rows);
            }
        }
    })
}

/// Keeps a second process out of the folder for as long as the file is open.
fn lock_folder(root: &std::path::Path) -> Result<std::fs::File, StoreError> {
    let path = root.join("lock");
    let failed = |source| StoreError::Io { action: "lock", path: path.display().to_string(), source };
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    file.try_lock().map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// Removes part files that were written but not published before a crash: their rows are still in the journal.
async fn remove_orphans(objects: &Objects, parts: &[crate::part::PartRecord]) -> Result<(), StoreError> {
    let known: std::collections::HashSet<&str> = parts.iter().map(|part| part.path.as_str()).collect();
    for path in objects.list().await? {
        if !known.contains(path.as_str()) {
            tracing::info!(path, "removing a part file that was never published");
            objects.delete(&path).await?;
        }
    }
    Ok(())
}

/// Removes what a crash left of merges.
fn remove_scratch(path: &std::path::Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Io { action: "remove", path: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}
