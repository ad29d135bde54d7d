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
//!
//! Frames ([`super::frame`]) follow without gaps.

use super::{Position, codec};
use crate::{Signal, StoreError};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"MANGRUJ1";
const SUFFIX: &str = ".journal";

/// The segment files of a journal folder, the newest one open for appending.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    active: Option<Active>,
    next_number: u64,
    closed: BTreeMap<u64, Closed>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    file: File,
    bytes: u64,
    newest: [Position; 3],
}

/// A segment that is no longer written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closed {
    pub(crate) bytes: u64,
    /// The highest position per signal; zero where the segment holds none.
    pub(crate) newest: [Position; 3],
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

impl Segments {
    /// Takes over a folder whose segments were recovered.
    pub(crate) fn new(folder: PathBuf, closed: BTreeMap<u64, Closed>) -> Self {
        let next_number = closed.keys().next_back().map_or(1, |last| last + 1);
        Self { folder, active: None, next_number, closed }
    }

    /// The folder's segment files, oldest first.
    pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io("list", folder))? {
            let path = entry.map_err(io("list", folder))?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|digits| digits.parse().ok());
            if let Some(number) = number {
                found.push((number, path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The bytes that every segment starts with.
    fn head() -> Result<Vec<u8>, StoreError> {
        let mut body = Vec::new();
        for signal in Signal::ALL {
            let message = codec::schema_message(&signal.schema())?;
            body.extend_from_slice(&(message.len() as u32).to_le_bytes());
            body.extend_from_slice(&message);
        }
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        head.extend_from_slice(&(body.len() as u32).to_le_bytes());
        head.extend_from_slice(&body);
        Ok(head)
    }

    /// Reads a head and gives the schema messages, by signal, and the head's length.
    pub(crate) fn read_head(bytes: &[u8]) -> Result<([&[u8]; 3], usize), &'static str> {
        let fixed = bytes.get(..16).ok_or("segment head is cut off")?;
        if &fixed[..8] != MAGIC {
            return Err("segment does not start with its magic");
        }
        let number = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let length = number(&fixed[12..]) as usize;
        let mut body = bytes.get(16..16 + length).ok_or("segment head is cut off")?;
        if crc32c::crc32c(body) != number(&fixed[8..]) {
            return Err("segment head checksum differs");
        }
        let mut messages: [&[u8]; 3] = [&[]; 3];
        for message in &mut messages {
            let (size, rest) = body.split_at_checked(4).ok_or("segment head is too short")?;
            let (taken, rest) = rest.split_at_checked(number(size) as usize).ok_or("segment head is too short")?;
            *message = taken;
            body = rest;
        }
        Ok((messages, 16 + length))
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
        let written = active.file.write_all(bytes).and_then(|()| active.file.sync_data());
        if let Err(error) = written {
            let _ = active.file.set_len(active.bytes).and_then(|()| active.file.sync_all());
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
        let mut file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(io("create", &path))?;
        let head = Self::head()?;
        file.write_all(&head).and_then(|()| file.sync_all()).map_err(io("write", &path))?;
        sync_folder(&self.folder)?;
        Ok(Active { number, file, bytes: head.len() as u64, newest: [Position(0); 3] })
    }

    fn close_active(&mut self) {
        if let Some(active) = self.active.take() {
            self.closed.insert(active.number, Closed { bytes: active.bytes, newest: active.newest });
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
        let numbers: Vec<u64> =
            self.closed.iter().filter(|(_, closed)| covered(&closed.newest)).map(|(number, _)| *number).collect();
        for number in numbers {
            let path = self.path(number);
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(io("remove", &path)(error)),
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
