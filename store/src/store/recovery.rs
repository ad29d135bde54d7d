//! Replaying the journal at start, within the memory that hot rows may take.

use super::Store;
use crate::journal::{Position, Replay};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of rows that are read from the journal at a time.
const PIECE_BYTES: usize = 4 << 20;

/// What the last start found in the journal.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    pub(super) cut_bytes: u64,
    pub(super) damaged_bytes: u64,
    pub(super) rows: u64,
}

type Batches = Vec<(Position, Signal, RecordBatch)>;

/// The next batches of about [`PIECE_BYTES`], and whether there may be more.
fn next_piece(replay: &mut Replay) -> Result<(Batches, bool), StoreError> {
    let mut batches = Vec::new();
    let mut bytes = 0;
    while bytes < PIECE_BYTES {
        let Some(batch) = replay.next()? else { return Ok((batches, false)) };
        bytes += batch.2.get_array_memory_size();
        batches.push(batch);
    }
    Ok((batches, true))
}

impl Store {
    /// Makes hot what the journal holds beyond the parts, and gives the highest position found. What is more than hot
    /// rows may be is sealed meanwhile, as long as that works.
    pub(super) async fn recover(self: &Arc<Self>) -> Result<Position, StoreError> {
        let (files, folder, sealed) =
            (Arc::clone(&self.files), self.config.data_dir.join("journal"), *self.sealed.lock());
        let opened = tokio::task::spawn_blocking(move || Replay::open(files, &folder, sealed)).await;
        let mut replay = opened.map_err(|_| StoreError::Closing)??;
        let mut rows = 0;
        let mut can_seal = true;
        let mut is_more = true;
        while is_more {
            let piece = tokio::task::spawn_blocking(move || next_piece(&mut replay).map(|piece| (piece, replay))).await;
            let ((batches, more), back) = piece.map_err(|_| StoreError::Closing)??;
            (replay, is_more) = (back, more);
            for (position, signal, batch) in batches {
                rows += batch.num_rows() as u64;
                self.tables[signal as usize].write().push(position, batch, &self.memory.ingest);
            }
            for signal in Signal::ALL {
                let (hot_rows, hot_bytes) = self.tables[signal as usize].read().sealable();
                let is_due = hot_rows >= self.config.seal_rows || hot_bytes >= self.config.seal_bytes;
                if can_seal
                    && is_due
                    && let Err(error) = self.seal(signal).await
                {
                    // On a full disk, say. The rows are there and must be found, whatever memory they take; no more come in.
                    tracing::error!(%error, "cannot seal what the journal holds, will be tried again");
                    can_seal = false;
                }
            }
        }
        let recovered = replay.finish();
        let sealed = *self.sealed.lock();
        let mut segments = self.segments.lock();
        segments.adopt(recovered.segments);
        segments.remove_covered(sealed)?;
        self.journal_held_bytes.store(segments.held().0, Ordering::Relaxed);
        drop(segments);
        let (cut_bytes, damaged_bytes) = (recovered.cut_bytes, recovered.damaged_bytes);
        *self.recovery.lock() = Recovery { cut_bytes, damaged_bytes, rows };
        Ok(recovered.last)
    }
}
