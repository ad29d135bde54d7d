//! Merging parts in the background, and removing the files of parts that are gone.

use super::{Store, sealer};
use crate::part::{Indexing, MergeSource, Part, PartId, PartRecord, Place, merge};
use crate::{Expired, Memory, Signal, StoreError, compaction, retention};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// How often parts are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Parts that are gone from the table, until their files are.
#[derive(Debug, Default)]
pub(super) struct Retired(Mutex<Vec<(Instant, Arc<Part>)>>);

impl Retired {
    /// Takes parts that no later snapshot has.
    pub(super) fn add(&self, parts: Vec<Arc<Part>>) {
        let now = Instant::now();
        self.0.lock().extend(parts.into_iter().map(|part| (now, part)));
    }

    /// Parts that no query of ours reads any more, and that others had time to finish with.
    pub(super) fn due(&self, grace: Duration, place: Place) -> Vec<Arc<Part>> {
        let mut parts = self.0.lock();
        let is_due = |(since, part): &(Instant, Arc<Part>)| {
            part.record().place == place && since.elapsed() >= grace && Arc::strong_count(part) == 1
        };
        let (due, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut *parts).into_iter().partition(is_due);
        *parts = kept;
        due.into_iter().map(|(_, part)| part).collect()
    }

    /// How many parts wait.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Merges what should be merged until it is stopped or the store is gone.
pub(super) async fn run(store: Weak<Store>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let Some(store) = store.upgrade() else { return };
        let work = async {
            store.remove_retired().await?;
            store.verify_next().await?;
            for signal in Signal::ALL {
                store.expire(signal).await?;
                while !stop.is_cancelled() && store.compact(signal).await? {}
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = work.await {
            store.failed_merges.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "merging parts failed, will be tried again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(10)) => {}
            }
        }
    }
}

pub(super) fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Store {
    /// Merges some parts of a signal, if any should be; `false` when all is well.
    pub(super) async fn compact(&self, signal: Signal) -> Result<bool, StoreError> {
        let _one_at_a_time = self.merging.lock().await;
        let parts = self.parts(signal);
        let can_be_read = |part: &&Arc<Part>| !part.is_damaged() && (!part.is_remote() || self.remote_is_well());
        let sound = parts.iter().filter(can_be_read).map(|part| part.record());
        let Some(chosen) = compaction::choose(sound, now_ns()) else {
            return Ok(false);
        };
        // Later, when sealing has given back what it takes.
        let Some(_memory) = self.memory.upkeep.try_reserve(Memory::merge_needs()) else { return Ok(false) };
        let sources: Vec<(Arc<Part>, Option<RoaringBitmap>)> = chosen
            .iter()
            .filter_map(|id| parts.iter().find(|part| part.id() == *id))
            .map(|part| (Arc::clone(part), None))
            .collect();
        self.replace(signal, sources, Indexing::Merged).await?;
        Ok(true)
    }

    /// Compares one part, that was there before this start, with its checksum.
    async fn verify_next(&self) -> Result<(), StoreError> {
        // Remote parts are not fetched for that.
        let is_new = |part: &&Arc<Part>| !part.is_remote() && !self.verified.lock().contains(&part.id());
        let next = Signal::ALL
            .into_iter()
            .find_map(|signal| self.tables[signal as usize].read().parts().iter().find(is_new).cloned());
        let Some(part) = next else { return Ok(()) };
        self.verified.lock().insert(part.id());
        match part.verify().await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(path = part.path(), rows = part.rows(), "a part is damaged: its rows are out of reach");
            }
            Err(error) => tracing::error!(path = part.path(), %error, "a part could not be compared with its checksum"),
        }
        Ok(())
    }

    /// Compares all parts with their checksums and gives the paths of those that are damaged.
    pub async fn verify(&self) -> Result<Vec<String>, StoreError> {
        let mut damaged = Vec::new();
        for signal in Signal::ALL {
            let parts = self.parts(signal);
            for part in parts {
                self.verified.lock().insert(part.id());
                let sound = part.verify().await.unwrap_or_else(|error| {
                    tracing::error!(path = part.path(), %error, "a part could not be compared with its checksum");
                    false
                });
                if !sound {
                    damaged.push(part.path().to_owned());
                }
            }
        }
        Ok(damaged)
    }

    /// Makes the indexes of all parts anew from their rows and gives how many that were. Damaged parts stay as they are.
    ///
    /// # Errors
    /// When parts could not be read or written; those that could are done all the same.
    pub async fn reindex(&self) -> Result<u64, StoreError> {
        let _one_at_a_time = self.merging.lock().await;
        let (mut count, mut failed) = (0, Vec::new());
        for signal in Signal::ALL {
            let parts = self.parts(signal);
            for part in parts.into_iter().filter(|part| !part.is_damaged()) {
                let path = part.path().to_owned();
                match self.replace(signal, vec![(part, None)], Indexing::Anew).await {
                    Ok(()) => count += 1,
                    Err(error) => failed.push((path, error)),
                }
            }
        }
        self.remove_retired().await?;
        let Some((path, error)) = failed.first() else { return Ok(count) };
        let reason = format!("{} parts could not be indexed anew, {count} were; of the first: {error}", failed.len());
        Err(StoreError::Corrupt { path: path.clone(), reason })
    }

    /// The parts that retention takes away when it looks next.
    pub fn expired(&self) -> Vec<Expired> {
        let now = now_ns();
        let mut expired = Vec::new();
        for signal in Signal::ALL {
            let parts = self.parts(signal);
            let due =
                retention::due(parts.iter().map(|part| part.record()), self.config.retention[signal as usize], now);
            for (id, reason) in due {
                expired.extend(parts.iter().filter(|part| part.id() == id).map(|part| Expired {
                    signal,
                    path: part.path().to_owned(),
                    rows: part.rows(),
                    bytes: part.bytes(),
                    min_time: part.min_time(),
                    max_time: part.max_time(),
                    reason,
                }));
            }
        }
        expired
    }

    /// Takes away what retention does not keep.
    async fn expire(&self, signal: Signal) -> Result<(), StoreError> {
        let _one_at_a_time = self.merging.lock().await;
        let parts = self.parts(signal);
        let due =
            retention::due(parts.iter().map(|part| part.record()), self.config.retention[signal as usize], now_ns());
        if due.is_empty() {
            return Ok(());
        }
        let gone: Vec<PartId> = due.into_iter().map(|(id, _)| id).collect();
        tracing::info!(table = signal.table(), parts = gone.len(), "retention takes parts away");
        let rows = self.swap(signal, &gone, None).await?;
        self.expired_parts.fetch_add(gone.len() as u64, Ordering::Relaxed);
        self.expired_rows.fetch_add(rows, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a part, or none, in the place of others, in the catalog and for readers, and gives how many rows the others
    /// have. Their files go when nobody reads them any more.
    pub(super) async fn swap(
        &self,
        signal: Signal,
        gone: &[PartId],
        made: Option<PartRecord>,
    ) -> Result<u64, StoreError> {
        self.catalog.replace(signal, gone, made.as_ref()).await?;
        if let Some(made) = &made {
            self.objects.published(&made.path);
        }
        let made = made.map(|record| {
            self.verified.lock().insert(record.id);
            Arc::new(Part::new(record, self.objects.clone(), self.open_parts.clone()))
        });
        let retired = self.tables[signal as usize].write().replace(gone, made);
        let rows = retired.iter().map(|part| u64::from(part.rows())).sum();
        for part in &retired {
            self.open_parts.invalidate(&part.id());
        }
        self.retired.add(retired);
        Ok(rows)
    }

    pub(super) fn parts(&self, signal: Signal) -> Vec<Arc<Part>> {
        self.tables[signal as usize].read().parts().to_vec()
    }

    /// Removes the rows that `find` gives for each part, and gives how many that were. Parts are written anew without
    /// them; what is hot is not looked at, so that callers flush before.
    ///
    /// # Errors
    /// Those of `find`, and of reading and writing parts; parts before the one that failed are without their rows.
    pub async fn remove_rows<F, E>(&self, signal: Signal, mut find: impl FnMut(Arc<Part>) -> F) -> Result<u64, E>
    where
        F: Future<Output = Result<RoaringBitmap, E>>,
        E: From<StoreError>,
    {
        let _one_at_a_time = self.merging.lock().await;
        let parts = self.parts(signal);
        let mut removed_rows = 0;
        for part in parts {
            let removed = find(Arc::clone(&part)).await?;
            if !removed.is_empty() {
                removed_rows += removed.len();
                self.replace(signal, vec![(part, Some(removed))], Indexing::Merged).await?;
            }
        }
        Ok(removed_rows)
    }

    /// Puts one part in the place of others: their rows behind each other, less the removed ones. Readers see either
    /// the old parts or the new one. The caller holds `merging`.
    pub(super) async fn replace(
        &self,
        signal: Signal,
        sources: Vec<(Arc<Part>, Option<RoaringBitmap>)>,
        indexing: Indexing,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        let id = PartId(ulid::Ulid::generate());
        let scratch = Scratch::new(self.config.data_dir.join(SCRATCH).join(id.to_string()))?;
        let mut opened: Vec<MergeSource> = Vec::with_capacity(sources.len());
        for (part, removed) in &sources {
            let all_gone = removed.as_ref().is_some_and(|removed| removed.len() == u64::from(part.rows()));
            if !all_gone {
                let fetched = scratch.0.join(format!("source-{}", opened.len()));
                opened.push(part.merge_source(removed.clone(), &fetched).await?);
            }
        }
        let gone: Vec<PartId> = sources.iter().map(|(part, _)| part.id()).collect();
        let record = if opened.is_empty() {
            None
        } else {
            Some(self.write_merged(id, signal, opened, &scratch, indexing).await?)
        };
        drop(scratch);
        let rows = record.as_ref().map_or(0, |record| record.rows);
        self.swap(signal, &gone, record).await?;
        self.merged_parts.fetch_add(gone.len() as u64, Ordering::Relaxed);
        let elapsed_ms = started.elapsed().as_millis() as u64;
        tracing::debug!(table = signal.table(), parts = gone.len(), rows, elapsed_ms, "merged");
        Ok(())
    }

    async fn write_merged(
        &self,
        id: PartId,
        signal: Signal,
        sources: Vec<MergeSource>,
        scratch: &Scratch,
        indexing: Indexing,
    ) -> Result<PartRecord, StoreError> {
        let min_time = sources.iter().map(|source| source.record.min_time).min().unwrap_or_default();
        let max_time = sources.iter().map(|source| source.record.max_time).max().unwrap_or_default();
        let file = scratch.0.join("part.parquet");
        let merged = {
            let (files, file, index) = (Arc::clone(&self.files), file.clone(), scratch.0.join("index"));
            tokio::task::spawn_blocking(move || {
                std::fs::create_dir(&index).map_err(|source| StoreError::Io {
                    action: "create",
                    path: index.display().to_string(),
                    source,
                })?;
                merge(files.as_ref(), signal, &sources, &file, &index, indexing)
            })
            .await
            .map_err(|error| StoreError::Corrupt { path: signal.table().to_owned(), reason: error.to_string() })??
        };
        let record = PartRecord {
            id,
            signal,
            path: sealer::path(signal, min_time, id),
            place: Place::Local,
            rows: u32::try_from(merged.rows)
                .map_err(|error| StoreError::Corrupt { path: signal.table().to_owned(), reason: error.to_string() })?,
            bytes: merged.bytes,
            index_bytes: merged.index_bytes,
            footer_bytes: merged.footer_bytes,
            min_time,
            max_time,
            crc32c: merged.crc32c,
        };
        self.objects.adopt(&record.path, &file).await?;
        Ok(record)
    }

    /// Removes the files of parts that are gone.
    pub(super) async fn remove_retired(&self) -> Result<(), StoreError> {
        for part in self.retired.due(self.config.retired_grace, Place::Local) {
            // A query may have opened it again meanwhile.
            self.open_parts.invalidate(&part.id());
            if let Err(error) = self.remove_file(&part).await {
                self.retired.add(vec![part]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Removes the file of a part that is gone.
    pub(super) async fn remove_file(&self, part: &Part) -> Result<(), StoreError> {
        self.objects.delete(part.record()).await?;
        self.catalog.forget(part.id()).await
    }
}

/// The folder, in the data folder, of files that are not yet parts.
pub(super) const SCRATCH: &str = "scratch";

/// A folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&path).map_err(|source| StoreError::Io {
            action: "create",
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "cannot remove a scratch folder");
        }
    }
}
