//! An index as one run of bytes inside a part file, and a part's run of bytes as an index again.
//!
//! The files of the index stand behind each other; the Parquet footer's metadata names them: key `mangru.index`, value
//! the JSON of [`Embedded`]. tantivy reads them through [`EmbeddedDirectory`], which copies only the ranges asked for.

use crate::StoreError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, RamDirectory, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::indexer::SingleSegmentIndexWriter;
use tantivy::{HasLen, Index, TantivyDocument};

/// The key in the Parquet footer's metadata.
pub(crate) const METADATA_KEY: &str = "mangru.index";
/// The version this code writes; it reads the same.
pub(crate) const VERSION: u32 = 2;
/// The file, beside tantivy's own, with the distinct resources: a JSON array of text, in zstd.
const RESOURCES: &str = "resources";

/// The file, beside tantivy's own, with the [`super::filters`].
pub(crate) const FILTERS: &str = "filters";

/// Where in a part file the index stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Embedded {
    pub(crate) version: u32,
    /// Offset of the first byte in the part file.
    pub(crate) offset: u64,
    /// Number of bytes.
    pub(crate) length: u64,
    /// CRC-32C of the bytes.
    pub(crate) crc32c: u32,
    pub(crate) files: Vec<EmbeddedFile>,
}

impl Embedded {
    /// Whether it is of the version that this code writes.
    pub(crate) const fn is_current(&self) -> bool {
        self.version == VERSION
    }
}

/// One file of the index, offset counted from the index's first byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EmbeddedFile {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// tantivy's store of documents, of an index without any. Our documents are all empty: their store says nothing, and is
/// not read when indexes are merged.
static NO_DOCUMENTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let store = || -> tantivy::Result<Vec<u8>> {
        let directory = RamDirectory::create();
        let (schema, _) = super::columns::schema();
        let writer: SingleSegmentIndexWriter<TantivyDocument> =
            Index::builder().schema(schema).single_segment_index_writer(directory.clone(), 16 << 20)?;
        let index = writer.finalize()?;
        let is_store = |name: &PathBuf| name.extension().is_some_and(|extension| extension == "store");
        let name = index.directory().list_managed_files().into_iter().find(is_store).unwrap_or_default();
        Ok(directory.open_read(&name)?.read_bytes()?.to_vec())
    };
    // An empty index in memory is always written.
    store().unwrap_or_default()
});

/// Writes the files of a finished index behind each other, as they stand in the directory below tantivy's own view of
/// it, which hides the checksums. The offset is where in the part file that is.
fn embed(
    index: &Index,
    directory: &dyn Directory,
    resources: &[u8],
    filters: &[u8],
    offset: u64,
    out: &mut dyn io::Write,
) -> io::Result<Embedded> {
    let mut names: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
    names.push(PathBuf::from("meta.json"));
    names.retain(|name| directory.exists(name).unwrap_or(false));
    names.sort_unstable();
    names.dedup();
    let mut embedded = Embedded { version: VERSION, offset, length: 0, crc32c: 0, files: Vec::new() };
    let mut push = |name: String, content: &[u8]| {
        let length = content.len() as u64;
        embedded.files.push(EmbeddedFile { name, offset: embedded.length, length });
        embedded.length += length;
        embedded.crc32c = crc32c::crc32c_append(embedded.crc32c, content);
        out.write_all(content)
    };
    for name in names {
        if name.extension().is_some_and(|extension| extension == "store") {
            push(name.to_string_lossy().into_owned(), &NO_DOCUMENTS)?;
            continue;
        }
        let content = directory.get_file_handle(&name).map_err(io::Error::other)?;
        push(name.to_string_lossy().into_owned(), &content.read_bytes(0..content.len())?)?;
    }
    push(RESOURCES.to_owned(), resources)?;
    push(FILTERS.to_owned(), filters)?;
    Ok(embedded)
}

/// The same, with what went wrong as an error of the store.
pub(crate) fn write(
    index: &Index,
    directory: &dyn Directory,
    resources: &[String],
    filters: &[u8],
    offset: u64,
    out: &mut dyn io::Write,
) -> Result<Embedded, StoreError> {
    let failed = |source| StoreError::Io { action: "write", path: "index being built".to_owned(), source };
    let resources = serde_json::to_vec(resources).map_err(|error| failed(error.into()))?;
    let resources = zstd::bulk::compress(&resources, 3).map_err(failed)?;
    embed(index, directory, &resources, filters, offset, out).map_err(failed)
}

/// A read-only tantivy directory over the bytes of an embedded index.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedDirectory {
    files: Arc<HashMap<PathBuf, Bytes>>,
}

impl EmbeddedDirectory {
    /// The directory over the index's bytes; the reason when they do not fit the description.
    pub(crate) fn new(bytes: &Bytes, embedded: &Embedded) -> Result<Self, &'static str> {
        let mut files = HashMap::new();
        for file in &embedded.files {
            let start = usize::try_from(file.offset).map_err(|_| "index file offset is absurd")?;
            let end = file
                .offset
                .checked_add(file.length)
                .and_then(|end| usize::try_from(end).ok())
                .filter(|end| *end <= bytes.len())
                .ok_or("index file lies outside the index")?;
            files.insert(PathBuf::from(&file.name), bytes.slice(start..end));
        }
        Ok(Self { files: Arc::new(files) })
    }

    /// The distinct resources.
    pub(crate) fn resources(&self) -> Result<Vec<String>, String> {
        let packed = self.content(RESOURCES).ok_or("index has no resources")?;
        let text = zstd::stream::decode_all(packed.as_ref()).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    }

    /// The whole content of a file.
    pub(crate) fn content(&self, name: &str) -> Option<Bytes> {
        self.files.get(Path::new(name)).cloned()
    }
}

/// The bytes of one file; reads copy their range.
#[derive(Debug)]
struct Region(Bytes);

impl HasLen for Region {
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl FileHandle for Region {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        self.0
            .get(range)
            .map(|bytes| OwnedBytes::new(bytes.to_vec()))
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "read beyond the end of an index file"))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the index inside a part is read only")
}

impl Directory for EmbeddedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match self.files.get(path) {
            Some(bytes) => Ok(Arc::new(Region(bytes.clone()))),
            None => Err(OpenReadError::FileDoesNotExist(path.to_path_buf())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_path_buf() })
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(OpenReadError::FileDoesNotExist(path.to_path_buf())),
        }
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        // Nobody writes here, so there is nothing to keep apart.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
