//! An index as one run of bytes inside a part file, and a part's run of bytes as an index again.
//!
//! The files of the index stand behind each other; the Parquet footer's metadata names them: key `mangru.index`, value
//! the JSON of [`Embedded`]. tantivy reads them through [`EmbeddedDirectory`], which copies only the ranges asked for.

use super::filters::{self, Filters};
use super::keys::KeyRows;
use crate::StoreError;
use crate::objects::Blob;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, RamDirectory, WatchCallback, WatchHandle, WritePtr,
};
use tantivy::indexer::SingleSegmentIndexWriter;
use tantivy::{Index, TantivyDocument};

/// The key in the Parquet footer's metadata.
pub(crate) const METADATA_KEY: &str = "mangru.index";
/// The version this code writes; it reads the same.
pub(crate) const VERSION: u32 = 4;
/// The file, beside tantivy's own, with the distinct resources: a JSON array of text, in zstd.
const RESOURCES: &str = "resources";

/// The file with the attributes' keys: a JSON array of [`KeyRows`], in zstd.
const KEYS: &str = "attribute_keys";
/// The files, beside tantivy's own, with the [`super::filters`].
const FILTERS: [&str; filters::FILES] = ["filters", "second_filters"];

/// What an index holds beside tantivy's files.
pub(crate) struct Ours<'a> {
    /// The distinct resources.
    pub(crate) resources: &'a [String],
    /// The keys of the rows' attributes.
    pub(crate) keys: &'a [KeyRows],
    /// Writes one of the files of filters.
    pub(crate) filters: &'a dyn Fn(usize, &mut dyn io::Write) -> io::Result<()>,
}

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

/// Where the files of a finished index are, below tantivy's own view of them, which hides the checksums.
pub(crate) enum Finished<'a> {
    Memory(&'a RamDirectory),
    Folder(&'a Path),
}

impl Finished<'_> {
    fn exists(&self, name: &Path) -> bool {
        match self {
            Self::Memory(directory) => directory.exists(name).unwrap_or(false),
            Self::Folder(folder) => folder.join(name).exists(),
        }
    }

    fn copy(&self, name: &Path, out: &mut dyn io::Write) -> io::Result<()> {
        match self {
            Self::Memory(directory) => {
                let content = directory.get_file_handle(name).map_err(io::Error::other)?;
                out.write_all(&content.read_bytes(0..content.len())?)
            }
            Self::Folder(folder) => io::copy(&mut std::fs::File::open(folder.join(name))?, out).map(|_| ()),
        }
    }
}

/// Writes the files of an index behind each other and describes them.
struct Embedder<'a> {
    out: &'a mut dyn io::Write,
    embedded: Embedded,
}

impl Embedder<'_> {
    fn file(&mut self, name: &str, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
        let offset = self.embedded.length;
        write(self)?;
        let length = self.embedded.length - offset;
        self.embedded.files.push(EmbeddedFile { name: name.to_owned(), offset, length });
        Ok(())
    }
}

impl io::Write for Embedder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.embedded.length += bytes.len() as u64;
        self.embedded.crc32c = crc32c::crc32c_append(self.embedded.crc32c, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes the files of a finished index behind each other, with ours that belong to it. The offset is where in the part
/// file that is.
pub(crate) fn write(
    index: &Index,
    finished: &Finished<'_>,
    ours: &Ours<'_>,
    offset: u64,
    out: &mut dyn io::Write,
) -> Result<Embedded, StoreError> {
    let mut names: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
    names.push(PathBuf::from("meta.json"));
    names.retain(|name| finished.exists(name));
    names.sort_unstable();
    names.dedup();
    let embedded = Embedded { version: VERSION, offset, length: 0, crc32c: 0, files: Vec::new() };
    let mut embedder = Embedder { out, embedded };
    let write = || {
        for name in names {
            let is_store = name.extension().is_some_and(|extension| extension == "store");
            embedder.file(&name.to_string_lossy(), |out| {
                if is_store { out.write_all(&NO_DOCUMENTS) } else { finished.copy(&name, out) }
            })?;
        }
        for (name, text) in [(RESOURCES, serde_json::to_vec(ours.resources)?), (KEYS, serde_json::to_vec(ours.keys)?)] {
            let packed = zstd::bulk::compress(&text, 3)?;
            embedder.file(name, |out| out.write_all(&packed))?;
        }
        for (number, name) in FILTERS.into_iter().enumerate() {
            embedder.file(name, |out| (ours.filters)(number, out))?;
        }
        Ok(())
    };
    write().map_err(|source| StoreError::Io { action: "write", path: "index being built".to_owned(), source })?;
    Ok(embedder.embedded)
}

/// A read-only tantivy directory over the bytes of an embedded index.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedDirectory {
    files: Arc<HashMap<PathBuf, Blob>>,
}

impl EmbeddedDirectory {
    /// The directory over the index's bytes; the reason when they do not fit the description.
    pub(crate) fn new(bytes: &Blob, embedded: &Embedded) -> Result<Self, &'static str> {
        let mut files = HashMap::new();
        for file in &embedded.files {
            let content = bytes.slice(file.offset, file.length).ok_or("index file lies outside the index")?;
            files.insert(PathBuf::from(&file.name), content);
        }
        Ok(Self { files: Arc::new(files) })
    }

    /// The distinct resources.
    pub(crate) fn resources(&self) -> Result<Vec<String>, String> {
        self.packed(RESOURCES)
    }

    /// The keys of the rows' attributes.
    pub(crate) fn keys(&self) -> Result<Vec<KeyRows>, String> {
        self.packed(KEYS)
    }

    fn packed<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let packed = self.content(name)?.read_all().map_err(|error| error.to_string())?;
        let text = zstd::stream::decode_all(packed.as_ref()).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    }

    /// The filters.
    pub(crate) fn filters(&self) -> Result<Filters, String> {
        let [first, second] = FILTERS.map(|name| self.content(name));
        Filters::open(first?, second?).map_err(|error| error.to_string())
    }

    fn content(&self, name: &str) -> Result<Blob, String> {
        self.files.get(Path::new(name)).cloned().ok_or_else(|| format!("index has no file {name}"))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the index inside a part is read only")
}

impl Directory for EmbeddedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match self.files.get(path) {
            Some(bytes) => Ok(Arc::new(bytes.clone())),
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
            Some(bytes) => bytes
                .read_all()
                .map(Vec::from)
                .map_err(|error| OpenReadError::IoError { io_error: Arc::new(error), filepath: path.to_path_buf() }),
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
