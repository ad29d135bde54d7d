//! Moving parts into the object store, and removing there what is gone.

use super::{Store, sealer};
use crate::part::{Part, PartId, PartRecord, Place};
use crate::{ObjectsStatus, Signal, StoreError, retention};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often parts are looked at.
const TICK: Duration = Duration::from_secs(1);
/// After a failure, the next try is so much later.
const PAUSE: Duration = Duration::from_secs(10);

/// What the mover has done.
#[derive(Debug, Default)]
pub(super) struct Moves {
    moved_parts: AtomicU64,
    failed_moves: AtomicU64,
    last_error: Mutex<Option<String>>,
    /// Paths in the object store at which an earlier process may have left a file that is no part.
    leftovers: Mutex<Vec<String>>,
}

impl Moves {
    /// With what an earlier process may have left.
    pub(super) fn new(leftovers: Vec<String>) -> Self {
        Self { leftovers: Mutex::new(leftovers), ..Self::default() }
    }
}

/// Moves what should be moved until it is stopped or the store is gone.
pub(super) async fn run(store: Weak<Store>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let Some(store) = store.upgrade() else { return };
        let work = async {
            store.remove_leftovers().await?;
            store.remove_gone().await?;
            for signal in Signal::ALL {
                while !stop.is_cancelled() && store.move_one(signal).await? {}
            }
            Ok::<_, StoreError>(())
        };
        let failed = tokio::select! {
            () = stop.cancelled() => return,
            done = work => done.err(),
        };
        *store.moves.last_error.lock() = failed.as_ref().map(ToString::to_string);
        if let Some(error) = failed {
            store.moves.failed_moves.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the object store failed, will be tried again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

impl Store {
    /// Removes what a crash left in the object store.
    async fn remove_leftovers(&self) -> Result<(), StoreError> {
        let Some(remote) = self.objects.remote() else { return Ok(()) };
        loop {
            let next = self.moves.leftovers.lock().last().cloned();
            let Some(path) = next else { return Ok(()) };
            remote.delete(&path).await?;
            self.catalog.end_upload(&path).await?;
            self.moves.leftovers.lock().pop();
        }
    }

    /// Removes files of parts that are gone from the object store.
    async fn remove_gone(&self) -> Result<(), StoreError> {
        for part in self.retired.due(self.config.retired_grace, Place::Remote) {
            self.open_parts.invalidate(&part.id());
            if let Err(error) = self.remove_file(&part).await {
                self.retired.add(vec![part]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Moves the oldest part of a signal that should not stay on this machine; `false` when there is none.
    async fn move_one(&self, signal: Signal) -> Result<bool, StoreError> {
        let Some(config) = &self.config.objects else { return Ok(false) };
        let parts = self.parts(signal);
        let local = parts.iter().filter(|part| !part.is_remote() && !part.is_damaged());
        let due = retention::due(local.map(|part| part.record()), config.local, super::compactor::now_ns());
        let Some(part) = due.last().and_then(|(id, _)| parts.iter().find(|part| part.id() == *id)) else {
            return Ok(false);
        };
        self.move_part(part).await?;
        Ok(true)
    }

    /// Puts a copy of a part into the object store and lets it take the part's place.
    async fn move_part(&self, part: &Arc<Part>) -> Result<(), StoreError> {
        let id = PartId(ulid::Ulid::generate());
        let path = sealer::path(part.signal(), part.min_time(), id);
        let moved = PartRecord { id, path, place: Place::Remote, ..part.record().clone() };
        self.catalog.begin_upload(&moved.path).await?;
        let uploaded = self.objects.upload(part.record(), &moved).await;
        let _nobody_else = self.merging.lock().await;
        // It may have been merged, or deleted, while it was on its way.
        let is_there = self.parts(part.signal()).iter().any(|other| other.id() == part.id());
        if uploaded.is_err() || !is_there {
            self.moves.leftovers.lock().push(moved.path);
            return uploaded;
        }
        tracing::debug!(part = %part.id(), path = moved.path, bytes = moved.bytes, "moved into the object store");
        self.swap(part.signal(), &[part.id()], Some(moved)).await?;
        self.moves.moved_parts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the object store answered when it was asked last.
    pub(super) fn remote_is_well(&self) -> bool {
        self.moves.last_error.lock().is_none()
    }

    /// Moves all parts that should not stay on this machine and returns when that is done.
    ///
    /// # Errors
    /// Those of the object store; parts before the one that failed are moved.
    pub async fn move_all(&self) -> Result<(), StoreError> {
        self.remove_leftovers().await?;
        for signal in Signal::ALL {
            while self.move_one(signal).await? {}
        }
        Ok(())
    }

    /// Figures of the object store, where there is one.
    pub(super) fn objects_status(&self) -> Option<ObjectsStatus> {
        let remote = self.objects.remote()?;
        let parts = Signal::ALL.into_iter().flat_map(|signal| self.parts(signal)).filter(|part| part.is_remote());
        let (parts, bytes) = parts.fold((0, 0), |(parts, bytes), part| (parts + 1, bytes + part.bytes()));
        let cache = remote.cache();
        let (cache_hits, cache_misses) = cache.reads();
        Some(ObjectsStatus {
            url: remote.url().to_owned(),
            parts,
            bytes,
            moved_parts: self.moves.moved_parts.load(Ordering::Relaxed),
            failed_moves: self.moves.failed_moves.load(Ordering::Relaxed),
            last_error: self.moves.last_error.lock().clone(),
            cached_bytes: cache.held_bytes(),
            cache_max_bytes: cache.max_bytes(),
            cache_hits,
            cache_misses,
        })
    }
}
