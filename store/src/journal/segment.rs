//! Segment files of the journal.
//!
//! `journal/<number>.journal`, number in 20 decimal digits. A segment starts with a head:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic `MANGRUJ1` |
//! | 4 | CRC-32C of the rest of the head |
//! | 4 | length of the rest of the head |
//! | per signal | 4 bytes length, Arrow IPC schema message |
//! | 8 | number of the segment before, 0 when there is none |
//! | 8 | bytes of it that count: what stands behind them was refused, though it could not be cut off |
//!
//! Frames ([`super::frame`]) follow without gaps. Numbers are little endian.

use super::{Position, codec};
use crate::files::{Files, NewFile};
use crate::{Signal, StoreError};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"MANGRUJ1";
const SUFFIX: &str = ".journal";
/// Segments in which something was not readable are not removed but get this behind their names.
const DAMAGED_SUFFIX: &str = ".damaged";
/// Bytes of a head before the part that the checksum covers.
const FIXED_HEAD_BYTES: usize = 16;
/// No head is longer.
const MAX_HEAD_BYTES: usize = 1 << 20;

/// The segment files of a journal folder, the newest one open for appending.
#[derive(Debug)]
pub(crate) struct Segments {
    files: Arc<dyn Files>,
    folder: PathBuf,
    active: Option<Active>,
    next_number: u64,
    closed: BTreeMap<u64, Closed>,
    /// The segment that was closed last, and its bytes that count.
    before: (u64, u64),
    /// Whether bytes that were refused stand at its end.
    is_uncut: bool,
}

#[derive(Debug)]
struct Active {
    number: u64,
    file: Box<dyn NewFile>,
    bytes: u64,
    newest: [Position; 3],
}

/// A segment that is no longer written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) bytes: u64,
    /// The highest position per signal; zero where the segment holds none.
    pub(crate) newest: [Position; 3],
    /// Whether something in it could not be read.
    pub(crate) is_damaged: bool,
}

/// What a segment's head says.
#[derive(Debug)]
pub(crate) struct Head {
    /// The Arrow IPC schema messages, by signal.
    pub(crate) schemas: [Vec<u8>; 3],
    /// Bytes of the head.
    pub(crate) length: u64,
    /// The number of the segment before, and its bytes that count.
    pub(crate) before: Option<(u64, u64)>,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

fn little_endian(bytes: &[u8]) -> usize {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}

/// The bytes that a segment starts with.
fn head(before: (u64, u64)) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::new();
    for signal in Signal::ALL {
        let message = codec::schema_message(&signal.schema())?;
        body.extend_from_slice(&(message.len() as u32).to_le_bytes());
        body.extend_from_slice(&message);
    }
    body.extend_from_slice(&before.0.to_le_bytes());
    body.extend_from_slice(&before.1.to_le_bytes());
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    head.extend_from_slice(&(body.len() as u32).to_le_bytes());
    head.extend_from_slice(&body);
    Ok(head)
}

/// Bytes of the heads that are written now: a file that is no longer holds no frame.
pub(crate) fn written_head_bytes() -> Result<u64, StoreError> {
    Ok(head((0, 0))?.len() as u64)
}

/// Bytes of the whole head, from its first ones; `None` when these are not the start of a head.
pub(crate) fn head_length(first: &[u8]) -> Option<usize> {
    let first = first.get(..FIXED_HEAD_BYTES).filter(|first| &first[..8] == MAGIC)?;
    Some(FIXED_HEAD_BYTES + little_endian(&first[12..])).filter(|length| *length <= MAX_HEAD_BYTES)
}

/// Reads a whole head.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, &'static str> {
    let length = head_length(bytes).ok_or("segment does not start with its magic")?;
    let mut body = bytes.get(FIXED_HEAD_BYTES..length).ok_or("segment head is cut off")?;
    if crc32c::crc32c(body) as usize != little_endian(&bytes[8..]) {
        return Err("segment head checksum differs");
    }
    let mut schemas: [Vec<u8>; 3] = Default::default();
    for schema in &mut schemas {
        let (size, rest) = body.split_at_checked(4).ok_or("segment head is too short")?;
        let (taken, rest) = rest.split_at_checked(little_endian(size)).ok_or("segment head is too short")?;
        *schema = taken.to_vec();
        body = rest;
    }
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
    let before = body.split_at_checked(8).map(|(before, bytes)| (number(before), number(bytes)));
    Ok(Head { schemas, length: length as u64, before: before.filter(|(before, _)| *before > 0) })
}

impl Segments {
    /// A folder whose segments are not known yet: see [`Self::adopt`].
    pub(crate) fn new(files: Arc<dyn Files>, folder: PathBuf) -> Self {
        Self { files, folder, active: None, next_number: 1, closed: BTreeMap::new(), before: (0, 0), is_uncut: false }
    }

    /// Takes over the segments that were recovered.
    pub(crate) fn adopt(&mut self, closed: BTreeMap<u64, Closed>) {
        if let Some((number, last)) = closed.last_key_value() {
            self.next_number = number + 1;
            self.before = (*number, last.bytes);
        }
        self.closed = closed;
    }

    /// The folder's segment files, oldest first.
    pub(crate) fn list(files: &dyn Files, folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let mut found = Vec::new();
        for entry in files.list(folder).map_err(io("list", folder))? {
            let number = entry
                .path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|digits| digits.parse().ok());
            if let Some(number) = number {
                found.push((number, entry.path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Appends bytes to the newest segment, durably, and remembers which positions they hold.
    ///
    /// A failed write is cut off again and the segment closed, so that what was not acknowledged cannot come back.
    pub(crate) fn append(&mut self, bytes: &[u8], newest: [Position; 3], max_bytes: u64) -> Result<(), StoreError> {
        if self.active.as_ref().is_some_and(|active| active.bytes >= max_bytes) {
            self.close_active();
        }
        if self.active.is_none() {
            self.active = Some(self.create()?);
        }
        let Some(active) = self.active.as_mut() else { return Err(StoreError::Closing) };
        let is_kept = |active: &Active| {
            if active.file.has_name()? {
                return Ok(());
            }
            Err(std::io::Error::other("the journal's file was removed"))
        };
        let written = active.file.write_all(bytes).and_then(|()| active.file.sync()).and_then(|()| is_kept(active));
        if let Err(error) = written {
            // Where even that fails, the next segment's head says that these bytes do not count.
            self.is_uncut = active.file.cut(active.bytes).and_then(|()| active.file.sync()).is_err();
            self.close_active();
            return Err(StoreError::JournalWrite(error.to_string()));
        }
        active.bytes += bytes.len() as u64;
        for (mine, new) in active.newest.iter_mut().zip(newest) {
            *mine = (*mine).max(new);
        }
        Ok(())
    }

    fn create(&mut self) -> Result<Active, StoreError> {
        let number = self.next_number;
        self.next_number += 1;
        let path = self.path(number);
        let head = head(self.before)?;
        let created = || {
            let mut file = self.files.create(&path).map_err(io("create", &path))?;
            file.write_all(&head).and_then(|()| file.sync()).map_err(io("write", &path))?;
            self.files.sync_folder(&self.folder).map_err(io("sync", &self.folder))?;
            Ok(file)
        };
        let file = created().inspect_err(|_: &StoreError| {
            // On a full disk every attempt would leave one. It holds nothing yet.
            let _ = self.files.remove(&path);
        })?;
        self.is_uncut = false;
        Ok(Active { number, file, bytes: head.len() as u64, newest: [Position(0); 3] })
    }

    /// Leaves the folder so that nothing that was refused comes back at the next start.
    pub(crate) fn finish(&mut self) -> Result<(), StoreError> {
        if self.is_uncut {
            self.active = Some(self.create()?);
        }
        Ok(())
    }

    fn close_active(&mut self) {
        if let Some(active) = self.active.take() {
            self.before = (active.number, active.bytes);
            let closed = Closed { bytes: active.bytes, newest: active.newest, is_damaged: false };
            self.closed.insert(active.number, closed);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}{SUFFIX}"))
    }

    /// Removes segments whose batches are all covered by parts. The newest segment is closed first when it is covered
    /// as well.
    pub(crate) fn remove_covered(&mut self, sealed: [Position; 3]) -> Result<(), StoreError> {
        let covered = |newest: &[Position; 3]| newest.iter().zip(sealed).all(|(newest, sealed)| *newest <= sealed);
        if self.active.as_ref().is_some_and(|active| active.newest != [Position(0); 3] && covered(&active.newest)) {
            self.close_active();
        }
        let covered = self.closed.iter().filter(|(_, closed)| covered(&closed.newest));
        let numbers: Vec<(u64, bool)> = covered.map(|(number, closed)| (*number, closed.is_damaged)).collect();
        for (number, is_damaged) in numbers {
            let path = self.path(number);
            if is_damaged {
                let mut aside = path.clone().into_os_string();
                aside.push(DAMAGED_SUFFIX);
                self.files.rename(&path, Path::new(&aside)).map_err(io("set aside", &path))?;
            } else {
                self.files.remove(&path).map_err(io("remove", &path))?;
            }
            self.closed.remove(&number);
        }
        Ok(())
    }

    /// Bytes and number of all segments.
    pub(crate) fn held(&self) -> (u64, usize) {
        let closed: u64 = self.closed.values().map(|closed| closed.bytes).sum();
        let active = self.active.as_ref().map_or(0, |active| active.bytes);
        (closed + active, self.closed.len() + usize::from(self.active.is_some()))
    }
}
