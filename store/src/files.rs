//! The file system as the store uses it, so that tests can make any call fail and a crash lose what was not yet durable.
//!
//! Journal segments, part files and files on their way to be parts go through [`Files`]. The catalog does not (SQLite does
//! its own input and output), nor do an index's files while they are merged: a crash removes them all.

#[cfg(test)]
pub(crate) mod faulty;

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The calls of a file system that matter for durability. A file's bytes are durable when [`NewFile::sync`] returned,
/// its name when [`Files::sync_folder`] of its folder did; a rename is atomic.
pub(crate) trait Files: std::fmt::Debug + Send + Sync {
    /// Makes a file that is not there yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// Opens a file to be read anywhere, without its pages counting as our memory.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomRead>>;
    /// Maps a file that is never changed after it was made.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// Gives a file another name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder, and those above it, unless they are there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
    /// Bytes that may still be written.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// A name in a folder.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) is_folder: bool,
}

/// A file that is being written, from its start to its end.
pub(crate) trait NewFile: io::Write + Send + std::fmt::Debug {
    /// Makes the bytes written so far durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to this length; what is written next stands behind it.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Whether it still has a name: without one it is gone when it is closed.
    fn has_name(&self) -> io::Result<bool>;
}

/// Bytes that can be read in any order, by several threads at once.
pub(crate) trait RandomRead: std::fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> u64;
    /// Those of a range inside the length.
    fn read(&self, range: std::ops::Range<u64>) -> io::Result<Bytes>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalFiles;

impl Files for LocalFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(OpenOptions::new().create_new(true).append(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomRead>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Arc::new(LocalFile { file, length }))
    }

    #[allow(unsafe_code)] // a memory map is what makes local parts free to read
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        // SAFETY: part files are written under another name, renamed into place once and never written or truncated
        // again; removing the name of a mapped file leaves the mapping whole.
        Ok(Bytes::from_owner(unsafe { memmap2::Mmap::map(&file) }?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            Ok(Entry { path: entry.path(), is_folder: entry.file_type()?.is_dir() })
        };
        std::fs::read_dir(folder)?.map(entry).collect()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        fs4::available_space(folder)
    }
}

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn has_name(&self) -> io::Result<bool> {
        Ok(std::os::unix::fs::MetadataExt::nlink(&self.metadata()?) > 0)
    }
}

#[derive(Debug)]
struct LocalFile {
    file: File,
    length: u64,
}

impl RandomRead for LocalFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: std::ops::Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// All files below a folder.
pub(crate) fn files_below(files: &dyn Files, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in files.list(&folder)? {
            if entry.is_folder {
                folders.push(entry.path);
            } else {
                found.push(entry.path);
            }
        }
    }
    Ok(found)
}
