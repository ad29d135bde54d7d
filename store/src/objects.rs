//! Where part files live: on this machine, or in an object store.
//!
//! Parts are made on this machine. The mover ([`crate::store`]) puts older ones into the object store, where one is
//! configured. A part's record says where it is; readers get its bytes as a [`Blob`] either way.

mod blob;
mod cache;
mod remote;

pub(crate) use blob::Blob;
pub(crate) use remote::Remote;

use crate::StoreError;
use crate::files::{Files, files_below};
use crate::part::{PartRecord, Place};
use bytes::Bytes;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a file that are looked at at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// Part files by path. What was put is durable when the call returns.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    files: Arc<dyn Files>,
    root: PathBuf,
    /// Has a file of the name of each part that has come to its place and is not yet in the catalog.
    pending: PathBuf,
    remote: Option<Arc<Remote>>,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

/// Runs what reads and writes files where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closing)?
}

impl Objects {
    /// Part files below a local folder and in the object store.
    pub(crate) fn new(files: Arc<dyn Files>, root: &Path, remote: Option<Arc<Remote>>) -> Self {
        Self { files, root: root.to_path_buf(), pending: root.with_file_name("pending"), remote }
    }

    /// The object store, where one is configured.
    pub(crate) const fn remote(&self) -> Option<&Arc<Remote>> {
        self.remote.as_ref()
    }

    fn remote_of(&self, record: &PartRecord) -> Result<&Arc<Remote>, StoreError> {
        let reason = "it is in an object store, and none is configured".to_owned();
        self.remote.as_ref().ok_or_else(|| StoreError::Corrupt { path: record.path.clone(), reason })
    }

    /// Writes a local object as a whole; `scratch` is a name for it until it is whole.
    pub(crate) async fn put(&self, path: &str, bytes: Bytes, scratch: &Path) -> Result<(), StoreError> {
        let put = self.put_by_way_of(path, bytes, scratch).await;
        if put.is_err() {
            // What cannot be removed now is at the next start.
            let _ = self.files.remove(scratch);
        }
        put
    }

    async fn put_by_way_of(&self, path: &str, bytes: Bytes, scratch: &Path) -> Result<(), StoreError> {
        let (files, from) = (Arc::clone(&self.files), scratch.to_path_buf());
        blocking(move || {
            let mut file = files.create(&from).map_err(failed("create", &from))?;
            let written = std::io::Write::write_all(&mut file, &bytes).and_then(|()| file.sync());
            written.map_err(failed("write", &from))
        })
        .await?;
        self.adopt(path, scratch).await
    }

    /// Makes a durable file of this machine a local object; the file has no other name afterwards. Until [`Self::published`] it counts as one
    /// that a crash left.
    pub(crate) async fn adopt(&self, path: &str, file: &Path) -> Result<(), StoreError> {
        let (files, root, from, to) =
            (Arc::clone(&self.files), self.root.clone(), file.to_path_buf(), self.root.join(path));
        let (folder, mark) = (self.pending.clone(), self.mark(path));
        blocking(move || {
            files.create_folder(&folder).map_err(failed("make", &folder))?;
            let marked = files.create(&mark).and_then(|mut mark| mark.sync());
            marked.and_then(|()| files.sync_folder(&folder)).map_err(failed("write", &mark))?;
            if let Some(folder) = to.parent() {
                files.create_folder(folder).map_err(failed("make room for", &to))?;
            }
            files.rename(&from, &to).map_err(failed("move", &from))?;
            let mut folder = to.parent();
            while let Some(path) = folder {
                files.sync_folder(path).map_err(failed("sync", path))?;
                if path == root {
                    break;
                }
                folder = path.parent();
            }
            Ok(())
        })
        .await
    }

    /// Says that the catalog knows the part at this path.
    pub(crate) fn published(&self, path: &str) {
        // What cannot be removed says nothing of a part that the catalog knows, and is removed at the next start.
        let _ = self.files.remove(&self.mark(path));
    }

    fn mark(&self, path: &str) -> PathBuf {
        self.pending.join(path.rsplit('/').next().unwrap_or(path))
    }

    /// The file names of parts that were not published when the process ended.
    fn marked(&self) -> Result<Vec<PathBuf>, StoreError> {
        match files_below(self.files.as_ref(), &self.pending) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(failed("list", &self.pending)),
        }
    }

    /// Puts a copy of a local part into the object store, under the new record's path.
    pub(crate) async fn upload(&self, from: &PartRecord, to: &PartRecord) -> Result<(), StoreError> {
        let remote = self.remote_of(to)?;
        let path = self.root.join(&from.path);
        let source = self.files.open(&path).map_err(failed("open", &path))?;
        remote.put(&to.path, source).await
    }

    /// A part's bytes for queries: mapped where the part is local (reading its pages instead makes a warm search take twice as
    /// long), read through the cache of blocks otherwise.
    pub(crate) fn open(&self, record: &PartRecord) -> Result<Blob, StoreError> {
        match record.place {
            Place::Local => {
                let path = self.root.join(&record.path);
                Ok(Blob::memory(self.files.map(&path).map_err(failed("open", &path))?))
            }
            Place::Remote => {
                let object = self.remote_of(record)?.object(record.id, &record.path, record.bytes);
                Ok(Blob::elsewhere(Arc::new(object)))
            }
        }
    }

    /// A part's bytes to be copied as a whole: read from the file, so that they take no memory. A remote part is fetched
    /// to `scratch` first.
    pub(crate) async fn open_to_copy(&self, record: &PartRecord, scratch: &Path) -> Result<Blob, StoreError> {
        let path = match record.place {
            Place::Local => self.root.join(&record.path),
            Place::Remote => {
                let mut file = self.files.create(scratch).map_err(failed("create", scratch))?;
                let mut crc32c = 0;
                self.remote_of(record)?
                    .for_each_piece(&record.path, |piece| {
                        crc32c = crc32c::crc32c_append(crc32c, &piece);
                        std::io::Write::write_all(&mut file, &piece).map_err(failed("write", scratch))
                    })
                    .await?;
                if crc32c != record.crc32c {
                    let reason = "the object store gave bytes whose checksum is wrong".to_owned();
                    return Err(StoreError::Corrupt { path: record.path.clone(), reason });
                }
                scratch.to_path_buf()
            }
        };
        Ok(Blob::elsewhere(self.files.open(&path).map_err(failed("open", &path))?))
    }

    /// Length and CRC-32C of a part's file as it can be read now.
    pub(crate) async fn checksum(&self, record: &PartRecord) -> Result<(u64, u32), StoreError> {
        match record.place {
            Place::Local => {
                let (files, path) = (Arc::clone(&self.files), self.root.join(&record.path));
                blocking(move || checksum(files.as_ref(), &path)).await
            }
            Place::Remote => {
                let (mut length, mut crc32c) = (0, 0);
                self.remote_of(record)?
                    .for_each_piece(&record.path, |piece| {
                        length += piece.len() as u64;
                        crc32c = crc32c::crc32c_append(crc32c, &piece);
                        Ok(())
                    })
                    .await?;
                Ok((length, crc32c))
            }
        }
    }

    /// Removes a part's file; one that is not there is no error.
    pub(crate) async fn delete(&self, record: &PartRecord) -> Result<(), StoreError> {
        match record.place {
            Place::Local => {
                let path = self.root.join(&record.path);
                self.files.remove(&path).map_err(failed("remove", &path))
            }
            Place::Remote => {
                let remote = self.remote_of(record)?;
                remote.forget(record.id);
                remote.delete(&record.path).await
            }
        }
    }

    /// The local files that are whole parts and none of these paths.
    pub(crate) fn unknown(&self, known: &HashSet<&str>) -> Result<Vec<PathBuf>, StoreError> {
        let mut unknown = Vec::new();
        for path in files_below(self.files.as_ref(), &self.root).map_err(failed("list", &self.root))? {
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if !name.is_some_and(|name| known.contains(name)) && self.is_whole(&path) {
                unknown.push(path);
            }
        }
        Ok(unknown)
    }

    /// Whether a file begins and ends as a Parquet file does.
    fn is_whole(&self, path: &Path) -> bool {
        let ends = || {
            let file = self.files.open(path)?;
            let length = file.len();
            if length < 12 {
                return Ok(false);
            }
            Ok::<_, std::io::Error>(file.read(0..4)? == "PAR1" && file.read(length - 4..length)? == "PAR1")
        };
        // What cannot be read is not thrown away either.
        path.extension().is_some_and(|extension| extension == "parquet") && ends().unwrap_or(true)
    }

    /// Removes all local files that are neither of these paths nor whole parts, and parts that a crash left before they were published: their rows are
    /// in the journal, or in the parts that they were made of. Other whole parts are moved to another folder: a catalog that is older than they are
    /// does not know them.
    pub(crate) fn keep_only(
        &self,
        known: &HashSet<&str>,
        gone: &HashSet<&str>,
        aside: &Path,
    ) -> Result<(), StoreError> {
        let marks = self.marked()?;
        for path in files_below(self.files.as_ref(), &self.root).map_err(failed("list", &self.root))? {
            let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str).map(str::to_owned);
            let is_marked = marks.iter().any(|mark| mark.file_name() == path.file_name());
            let is_in = |names: &HashSet<&str>| name.as_deref().is_some_and(|name| names.contains(name));
            if is_in(known) {
                continue;
            }
            if is_in(gone) || is_marked || !self.is_whole(&path) {
                tracing::debug!(path = %path.display(), "removing a file that is no part, or none any more");
                self.files.remove(&path).map_err(failed("remove", &path))?;
                continue;
            }
            let to = aside.join(name.as_deref().unwrap_or_default().replace('/', "_"));
            tracing::warn!(path = %path.display(), to = %to.display(), "setting aside a part that the catalog does not know");
            self.files.create_folder(aside).map_err(failed("make", aside))?;
            self.files.rename(&path, &to).map_err(failed("move", &path))?;
            self.files.sync_folder(aside).map_err(failed("sync", aside))?;
        }
        marks.iter().try_for_each(|mark| self.files.remove(mark).map_err(failed("remove", mark)))
    }
}

/// Length and CRC-32C of a file.
pub(crate) fn checksum(files: &dyn Files, path: &Path) -> Result<(u64, u32), StoreError> {
    let file = files.open(path).map_err(failed("open", path))?;
    let (mut at, mut crc32c) = (0, 0);
    while at < file.len() {
        let end = file.len().min(at + PIECE_BYTES);
        let piece = file.read(at..end).map_err(failed("read", path))?;
        crc32c = crc32c::crc32c_append(crc32c, &piece);
        at = end;
    }
    Ok((at, crc32c))
}
