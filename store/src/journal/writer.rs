//! The journal's one writer: group commit.

use super::{Frame, Position, Segments};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Batches that wait for the writer; when the queue is full, appends wait in turn.
const QUEUE: usize = 256;
/// One commit takes at most this many bytes, so that an `fdatasync` stays short.
const MAX_COMMIT_BYTES: usize = 8 << 20;
/// The writer keeps this much memory between commits.
const KEPT_BYTES: usize = 1 << 20;
/// A segment file is closed when it is this long.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A batch on its way into the journal.
pub(crate) struct Entry {
    /// The signal of the rows.
    pub(crate) signal: Signal,
    /// The rows, handed on when they are durable.
    pub(crate) rows: RecordBatch,
    /// The rows' bytes in the journal.
    pub(crate) frame: Frame,
    /// Told the position when the entry is durable and visible.
    pub(crate) done: oneshot::Sender<Result<Position, StoreError>>,
}

/// What the writer does with entries that are durable, before it acknowledges them.
///
/// The second argument is how many bytes all segments take now.
pub(crate) type OnDurable = dyn Fn(Vec<(Position, Signal, RecordBatch)>, u64) + Send + Sync;

/// The way to the writer thread.
#[derive(Clone)]
pub(crate) struct JournalWriter {
    queue: mpsc::Sender<Entry>,
    commits: Arc<AtomicU64>,
}

impl JournalWriter {
    /// Starts the writer thread. It ends when every [`JournalWriter`] is dropped and the queue is empty.
    pub(crate) fn start(
        segments: Arc<parking_lot::Mutex<Segments>>,
        last: Position,
        on_durable: Arc<OnDurable>,
    ) -> Result<(Self, std::thread::JoinHandle<()>), StoreError> {
        let (queue, mut entries) = mpsc::channel::<Entry>(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || {
                let mut next = last.0 + 1;
                let mut buffer = Vec::new();
                while let Some(first) = entries.blocking_recv() {
                    let mut group = vec![first];
                    let mut bytes = group[0].frame.len();
                    while bytes < MAX_COMMIT_BYTES
                        && let Ok(entry) = entries.try_recv()
                    {
                        bytes += entry.frame.len();
                        group.push(entry);
                    }
                    commit(&segments, group, &mut buffer, &mut next, on_durable.as_ref());
                    buffer.clear();
                    buffer.shrink_to(KEPT_BYTES);
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
            .map_err(|source| StoreError::Io { action: "start", path: "journal writer thread".to_owned(), source })?;
        Ok((Self { queue, commits }, thread))
    }

    /// Hands an entry to the writer; waits while the queue is full.
    pub(crate) async fn send(&self, entry: Entry) -> Result<(), StoreError> {
        self.queue.send(entry).await.map_err(|_| StoreError::Closing)
    }

    /// Group commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// Makes one group durable, then visible, then acknowledged.
fn commit(
    segments: &parking_lot::Mutex<Segments>,
    group: Vec<Entry>,
    buffer: &mut Vec<u8>,
    next: &mut u64,
    on_durable: &OnDurable,
) {
    let mut newest = [Position(0); 3];
    let first = *next;
    for (entry, number) in group.iter().zip(first..) {
        let position = Position(number);
        entry.frame.write(position, number == first, buffer);
        newest[entry.signal as usize] = position;
        *next = number + 1;
    }
    let written = {
        let mut segments = segments.lock();
        segments.append(buffer, newest, SEGMENT_BYTES).map(|()| segments.held().0)
    };
    let held_bytes = match written {
        Ok(held_bytes) => held_bytes,
        Err(error) => {
            tracing::error!(%error, entries = group.len(), "journal write failed");
            let reason = error.to_string();
            for entry in group {
                let _ = entry.done.send(Err(StoreError::JournalWrite(reason.clone())));
            }
            return;
        }
    };
    let mut durable = Vec::with_capacity(group.len());
    let mut waiting = Vec::with_capacity(group.len());
    for (entry, number) in group.into_iter().zip(first..) {
        durable.push((Position(number), entry.signal, entry.rows));
        waiting.push((Position(number), entry.done));
    }
    on_durable(durable, held_bytes);
    for (position, done) in waiting {
        // A sender that went away does not need the answer.
        let _ = done.send(Ok(position));
    }
}
