//! Where part files live: any object store, a local folder by default.

use crate::StoreError;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Part files by path. What [`Objects::put`] wrote is durable when it returns.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Set where the objects are files of this machine: they are then mapped, not copied.
    local_root: Option<PathBuf>,
}

impl Objects {
    /// Objects as files in a local folder, made when missing.
    pub(crate) fn local(root: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(|source| StoreError::Io {
            action: "create",
            path: root.display().to_string(),
            source,
        })?;
        let store = Arc::new(LocalFileSystem::new_with_prefix(root)?);
        Ok(Self { store, local_root: Some(root.to_path_buf()) })
    }

    /// Writes an object as a whole and makes it durable.
    pub(crate) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put(&ObjectPath::from(path), PutPayload::from_bytes(bytes)).await?;
        if let Some(root) = &self.local_root {
            // The local store renames a finished file into place but leaves its pages and names to the kernel.
            let root = root.clone();
            let file = root.join(path);
            tokio::task::spawn_blocking(move || sync_file_and_folders(&file, &root))
                .await
                .map_err(|_| StoreError::Closing)??;
        }
        Ok(())
    }

    /// Makes a durable file of this machine an object; the file is gone afterwards.
    pub(crate) async fn put_file(&self, path: &str, file: &Path) -> Result<(), StoreError> {
        if let Some(root) = &self.local_root {
            let (root, from, to) = (root.clone(), file.to_path_buf(), root.join(path));
            return tokio::task::spawn_blocking(move || {
                let failed = |action| {
                    let path = from.display().to_string();
                    move |source| StoreError::Io { action, path, source }
                };
                if let Some(folder) = to.parent() {
                    std::fs::create_dir_all(folder).map_err(failed("make room for"))?;
                }
                std::fs::rename(&from, &to).map_err(failed("move"))?;
                sync_file_and_folders(&to, &root)
            })
            .await
            .map_err(|_| StoreError::Closing)?;
        }
        let bytes = map(file)?;
        self.store.put(&ObjectPath::from(path), PutPayload::from_bytes(bytes)).await?;
        std::fs::remove_file(file).map_err(|source| StoreError::Io {
            action: "remove",
            path: file.display().to_string(),
            source,
        })
    }

    /// The object as a file, where it is one of this machine.
    pub(crate) fn file(&self, path: &str) -> Option<File> {
        File::open(self.local_root.as_ref()?.join(path)).ok()
    }

    /// The whole object: mapped where it is local, read otherwise.
    pub(crate) async fn open(&self, path: &str) -> Result<Bytes, StoreError> {
        match &self.local_root {
            Some(root) => map(&root.join(path)),
            None => Ok(self.store.get(&ObjectPath::from(path)).await?.bytes().await?),
        }
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), StoreError> {
        match self.store.delete(&ObjectPath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The paths of all objects.
    pub(crate) async fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.store.list(None).map_ok(|object| object.location.to_string()).try_collect().await?)
    }
}

fn sync_file_and_folders(file: &Path, root: &Path) -> Result<(), StoreError> {
    let sync = |path: &Path| {
        File::open(path).and_then(|file| file.sync_all()).map_err(|source| StoreError::Io {
            action: "sync",
            path: path.display().to_string(),
            source,
        })
    };
    sync(file)?;
    let mut folder = file.parent();
    while let Some(path) = folder {
        sync(path)?;
        if path == root {
            break;
        }
        folder = path.parent();
    }
    Ok(())
}

/// Maps a file that is never changed after it was made.
#[allow(unsafe_code)] // the one place: a memory map is what makes local parts free to read
fn map(path: &Path) -> Result<Bytes, StoreError> {
    let failed = |source| StoreError::Io { action: "open", path: path.display().to_string(), source };
    let file = File::open(path).map_err(failed)?;
    // SAFETY: part files are written under another name, renamed into place once and never written or truncated
    // again; removing the name of a mapped file leaves the mapping whole.
    let mapped = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
    Ok(Bytes::from_owner(mapped))
}
