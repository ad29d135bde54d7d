//! When hot batches are sealed, and how a sealed part is published.

use super::Store;
use super::compactor::SCRATCH;
use crate::part::{Part, PartId, PartRecord, Place};
use crate::{Memory, Signal, StoreError, seal};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use chrono::{Datelike as _, Timelike as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often ages and the disk are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Seals what is due until it is stopped or the store is gone.
pub(super) async fn run(store: Weak<Store>, stop: CancellationToken) {
    loop {
        let Some(store) = store.upgrade() else { return };
        tokio::select! {
            () = stop.cancelled() => return,
            () = store.seal_wanted.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
        let free_bytes = store.free_disk_bytes();
        store.disk_is_full.store(free_bytes < store.config.disk_reserve_bytes, Ordering::Relaxed);
        for signal in Signal::ALL {
            if store.is_due(signal)
                && let Err(error) = store.seal(signal).await
            {
                tracing::error!(%error, table = signal.table(), "sealing failed, will be tried again");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
    }
}

impl Store {
    fn is_due(&self, signal: Signal) -> bool {
        let table = self.tables[signal as usize].read();
        let (rows, bytes) = table.sealable();
        let age = table.figures().since.map(|since| since.elapsed());
        drop(table);
        let journal_presses = self.journal_held_bytes.load(Ordering::Relaxed) > self.config.journal_max_bytes / 2;
        let memory_presses = self.memory.ingest.used_bytes() > self.memory.ingest.max_bytes() / 4 * 3
            && bytes > self.config.seal_bytes / 8;
        rows >= self.config.seal_rows
            || bytes >= self.config.seal_bytes
            || age.is_some_and(|age| age >= self.config.seal_age)
            || (rows > 0 && (journal_presses || memory_presses))
    }

    /// Seals a signal's hot rows, if there are any, and publishes the part.
    pub(super) async fn seal(&self, signal: Signal) -> Result<(), StoreError> {
        let _one_at_a_time = self.sealing.lock().await;
        let Some(frozen) = self.tables[signal as usize].write().freeze() else { return Ok(()) };
        let newest = frozen.newest;
        // What is sealed gives its own memory back, so it need not wait for any.
        let bytes = frozen.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let _memory = self.memory.upkeep.reserve_anyway(Memory::seal_needs(bytes));
        let published = async {
            let sealed =
                tokio::task::spawn_blocking(move || seal::seal(signal, &frozen.batches)).await.map_err(|error| {
                    StoreError::Corrupt { path: signal.table().to_owned(), reason: error.to_string() }
                })??;
            let id = PartId(ulid::Ulid::generate());
            let record = PartRecord {
                id,
                signal,
                path: path(signal, sealed.min_time, id),
                place: Place::Local,
                rows: u32::try_from(sealed.written.rows).map_err(|error| StoreError::Corrupt {
                    path: signal.table().to_owned(),
                    reason: error.to_string(),
                })?,
                bytes: sealed.written.bytes.len() as u64,
                index_bytes: sealed.written.index_bytes,
                footer_bytes: sealed.written.footer_bytes,
                min_time: sealed.min_time,
                max_time: sealed.max_time,
                crc32c: sealed.written.crc32c,
            };
            let scratch = self.config.data_dir.join(SCRATCH).join(format!("{id}.parquet"));
            self.objects.put(&record.path, Bytes::from(sealed.written.bytes), &scratch).await?;
            self.catalog.publish(&record, newest).await?;
            self.objects.published(&record.path);
            Ok::<_, StoreError>(record)
        }
        .await;
        let record = match published {
            Ok(record) => record,
            Err(error) => {
                self.failed_seals.fetch_add(1, Ordering::Relaxed);
                self.tables[signal as usize].write().thaw();
                return Err(error);
            }
        };
        tracing::debug!(table = signal.table(), part = %record.id, rows = record.rows, bytes = record.bytes, "sealed");
        self.verified.lock().insert(record.id);
        let part = Arc::new(Part::new(record, self.objects.clone(), self.open_parts.clone()));
        self.tables[signal as usize].write().publish(part);
        let sealed = {
            let mut sealed = self.sealed.lock();
            sealed[signal as usize] = newest;
            *sealed
        };
        let mut segments = self.segments.lock();
        segments.remove_covered(sealed)?;
        self.journal_held_bytes.store(segments.held().0, Ordering::Relaxed);
        Ok(())
    }
}

/// `logs/date=2026-11-20/hour=21/<part>.parquet`, by the part's earliest row.
pub(super) fn path(signal: Signal, min_time: i64, id: PartId) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(min_time);
    format!(
        "{}/date={:04}-{:02}-{:02}/hour={:02}/{id}.parquet",
        signal.table(),
        time.year(),
        time.month(),
        time.day(),
        time.hour()
    )
}
