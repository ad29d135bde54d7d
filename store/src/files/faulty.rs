//! A file system for tests that fails when it is told to, and loses at a crash what was not made durable.
//!
//! It works on real files and remembers, beside them, what a disk would be sure to hold. A crash takes away a random part
//! of the rest: names that no [`Files::sync_folder`] made durable, bytes that no [`NewFile::sync`] did. After a sync that
//! failed, later ones of the same file make nothing durable, as kernels do that forget which pages were dirty. Bytes that
//! were cut off may come back unless the cut was made durable.

use super::{Entry, Files, LocalFiles, NewFile, RandomRead};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file system; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct FaultyFiles(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    /// A folder beside the files, for those that were removed but may come back.
    graves: PathBuf,
    random: StdRng,
    /// One call in so many fails.
    fails_one_in: Option<u32>,
    /// After the crash, before the files are looked at again: nothing works.
    is_dead: bool,
    next_id: u64,
    ids: HashMap<PathBuf, u64>,
    contents: HashMap<u64, Content>,
    /// Changes of names that are not yet durable, in their order.
    names: Vec<Change>,
    /// Calls that failed because they were to.
    faults: u64,
}

/// What is known of a file that was written.
#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Contents before cuts that are not durable.
    before_cuts: Vec<Vec<u8>>,
    /// A sync failed: nothing of the file can become durable any more.
    is_poisoned: bool,
}

#[derive(Debug)]
enum Change {
    Made(PathBuf),
    MadeFolder(PathBuf),
    Renamed { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf, grave: PathBuf },
}

impl Change {
    /// The folders in which the change is.
    fn is_in(&self, folder: &Path) -> bool {
        match self {
            Self::Made(path) | Self::MadeFolder(path) | Self::Removed { path, .. } => path.parent() == Some(folder),
            Self::Renamed { to, .. } => to.parent() == Some(folder),
        }
    }
}

impl Disk {
    fn check(&mut self) -> io::Result<()> {
        if self.is_dead {
            return Err(io::Error::other("the machine is gone"));
        }
        let fails = self.fails_one_in.is_some_and(|one_in| self.random.random_range(0..one_in) == 0);
        if !fails {
            return Ok(());
        }
        self.faults += 1;
        let kind = if self.random.random() { io::ErrorKind::StorageFull } else { io::ErrorKind::Other };
        Err(io::Error::new(kind, "a fault was injected"))
    }

    /// What the disk holds of a file after a crash.
    fn survivor(&mut self, content: &Content) -> Vec<u8> {
        let choices = content.before_cuts.len() + 1;
        let whole = match self.random.random_range(0..choices) {
            0 => &content.current,
            cut => &content.before_cuts[cut - 1],
        };
        let sure = content.durable.len().min(whole.len());
        let mut bytes = whole[..self.random.random_range(sure..=whole.len())].to_vec();
        // A page that was never written holds zeros though the length is beyond it.
        if bytes.len() > sure && self.random.random() {
            let hole = self.random.random_range(sure..bytes.len());
            let end = bytes.len().min(hole + 4096);
            bytes[hole..end].fill(0);
        }
        bytes
    }
}

impl FaultyFiles {
    /// A file system without faults yet; `graves` is an empty folder on the same disk, outside the files.
    pub(crate) fn new(graves: PathBuf, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            graves,
            random: StdRng::seed_from_u64(seed),
            fails_one_in: None,
            is_dead: false,
            next_id: 0,
            ids: HashMap::new(),
            contents: HashMap::new(),
            names: Vec::new(),
            faults: 0,
        })))
    }

    /// Lets one call in so many fail, or none.
    pub(crate) fn fail(&self, one_in: Option<u32>) {
        self.0.lock().fails_one_in = one_in;
    }

    /// From now on nothing works, until [`Self::crash`].
    pub(crate) fn die(&self) {
        self.0.lock().is_dead = true;
    }

    /// Leaves the files as a machine that lost its power may find them, and works again without faults.
    pub(crate) fn crash(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        for change in std::mem::take(&mut disk.names).into_iter().rev() {
            if disk.random.random() {
                continue;
            }
            match change {
                Change::Made(path) => {
                    disk.ids.remove(&path);
                    LocalFiles.remove(&path)?;
                }
                Change::MadeFolder(path) => {
                    disk.ids.retain(|file, _| !file.starts_with(&path));
                    if path.exists() {
                        std::fs::remove_dir_all(&path)?;
                    }
                }
                Change::Renamed { from, to } if to.exists() => {
                    let id = disk.ids.remove(&to);
                    // A folder for scratch may be gone, and the file with it.
                    if from.parent().is_some_and(Path::exists) {
                        std::fs::rename(&to, &from)?;
                        disk.ids.extend(id.map(|id| (from, id)));
                    } else {
                        std::fs::remove_file(&to)?;
                    }
                }
                Change::Removed { path, grave } if !path.exists() && path.parent().is_some_and(Path::exists) => {
                    std::fs::rename(&grave, &path)?;
                }
                Change::Renamed { .. } | Change::Removed { .. } => {}
            }
        }
        let contents = std::mem::take(&mut disk.contents);
        for (path, id) in std::mem::take(&mut disk.ids) {
            if let Some(content) = contents.get(&id).filter(|_| path.exists()) {
                let survivor = disk.survivor(content);
                std::fs::write(&path, survivor)?;
            }
        }
        disk.fails_one_in = None;
        disk.is_dead = false;
        Ok(())
    }

    /// Calls that failed because they were to.
    pub(crate) fn faults(&self) -> u64 {
        self.0.lock().faults
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: Arc<Mutex<Disk>>,
    file: Box<dyn NewFile>,
    id: u64,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.disk.lock();
        let checked = disk.check();
        // A write that fails may have written some.
        let written = match &checked {
            Ok(()) => bytes.len(),
            Err(_) if disk.is_dead => 0,
            Err(_) => disk.random.random_range(0..=bytes.len()),
        };
        self.file.write_all(&bytes[..written])?;
        if let Some(content) = disk.contents.get_mut(&self.id) {
            content.current.extend_from_slice(&bytes[..written]);
        }
        checked.map(|()| written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        let checked = disk.check();
        if let Some(content) = disk.contents.get_mut(&self.id) {
            if checked.is_err() {
                content.is_poisoned = true;
            } else if !content.is_poisoned {
                content.durable.clone_from(&content.current);
                content.before_cuts.clear();
            }
        }
        checked
    }

    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.check()?;
        self.file.cut(length)?;
        if let Some(content) = disk.contents.get_mut(&self.id) {
            content.before_cuts.push(content.current.clone());
            content.current.truncate(length as usize);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyRead {
    disk: Arc<Mutex<Disk>>,
    file: Arc<dyn RandomRead>,
}

impl RandomRead for FaultyRead {
    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read(&self, range: std::ops::Range<u64>) -> io::Result<Bytes> {
        self.disk.lock().check()?;
        self.file.read(range)
    }
}

impl Files for FaultyFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut disk = self.0.lock();
        disk.check()?;
        let file = LocalFiles.create(path)?;
        let id = disk.next_id;
        disk.next_id += 1;
        disk.ids.insert(path.to_path_buf(), id);
        disk.contents.insert(id, Content::default());
        disk.names.push(Change::Made(path.to_path_buf()));
        Ok(Box::new(FaultyFile { disk: Arc::clone(&self.0), file, id }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomRead>> {
        self.0.lock().check()?;
        Ok(Arc::new(FaultyRead { disk: Arc::clone(&self.0), file: LocalFiles.open(path)? }))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.0.lock().check()?;
        LocalFiles.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.check()?;
        LocalFiles.rename(from, to)?;
        if let Some(id) = disk.ids.remove(from) {
            disk.ids.insert(to.to_path_buf(), id);
        }
        disk.names.push(Change::Renamed { from: from.to_path_buf(), to: to.to_path_buf() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.check()?;
        let grave = disk.graves.join(disk.next_id.to_string());
        disk.next_id += 1;
        if !path.exists() {
            return Ok(());
        }
        std::fs::rename(path, &grave)?;
        disk.ids.remove(path);
        disk.names.push(Change::Removed { path: path.to_path_buf(), grave });
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.check()?;
        let made: Vec<PathBuf> =
            path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_path_buf).collect();
        LocalFiles.create_folder(path)?;
        disk.names.extend(made.into_iter().rev().map(Change::MadeFolder));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.check()?;
        LocalFiles.sync_folder(path)?;
        disk.names.retain(|change| !change.is_in(path));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.0.lock().check()?;
        LocalFiles.list(folder)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        self.0.lock().check()?;
        LocalFiles.free_bytes(folder)
    }
}
