//! Reading the journal at start: exactly the batches that no part covers.

use super::frame::{HEADER_BYTES, MAGIC, StoredFrame, payload_length};
use super::segment::{self, Closed, Head};
use super::{Position, Segments, codec};
use crate::files::{Files, RandomRead};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are looked through at a time for the next whole frame.
const SEARCHED_BYTES: u64 = 1 << 20;

/// What a journal folder held.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// The segments, none of them open.
    pub(crate) segments: BTreeMap<u64, Closed>,
    /// The highest position found.
    pub(crate) last: Position,
    /// Bytes at the ends of segments that were no whole frame: writes that a crash cut, never acknowledged.
    pub(crate) cut_bytes: u64,
    /// Bytes that could not be read though whole frames follow: rows may be missing.
    pub(crate) damaged_bytes: u64,
}

/// Reads the segments of a folder frame by frame, in the order of their positions.
///
/// A segment is read up to where its frames end. What follows was never acknowledged, because a frame is acknowledged
/// only after it and all before it are durable. Bytes that are no frame while frames follow are damage: they are
/// counted, and the segment is kept.
#[derive(Debug)]
pub(crate) struct Replay {
    files: Arc<dyn Files>,
    sealed: [Position; 3],
    waiting: VecDeque<Segment>,
    current: Option<Reading>,
    recovered: Recovered,
}

/// A segment that will be read.
#[derive(Debug)]
struct Segment {
    number: u64,
    path: PathBuf,
    head: Head,
    /// Bytes that count, where the next segment says so.
    valid: Option<u64>,
}

/// The segment that is being read.
#[derive(Debug)]
struct Reading {
    segment: Segment,
    file: Arc<dyn RandomRead>,
    at: u64,
    end: u64,
    closed: Closed,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

impl Replay {
    /// Looks at the heads of all segments. Batches up to the sealed positions will be left out.
    ///
    /// # Errors
    /// When a file cannot be read, or a head is damaged and frames may follow it.
    pub(crate) fn open(files: Arc<dyn Files>, folder: &Path, sealed: [Position; 3]) -> Result<Self, StoreError> {
        let last = sealed.into_iter().max().unwrap_or_default();
        let mut recovered = Recovered { last, ..Recovered::default() };
        let mut waiting: VecDeque<Segment> = VecDeque::new();
        let head_bytes = segment::written_head_bytes()?;
        for (number, path) in Segments::list(files.as_ref(), folder)? {
            let file = files.open(&path).map_err(failed("open", &path))?;
            match read_head(file.as_ref(), head_bytes).map_err(failed("read", &path))? {
                Ok(head) => {
                    let valid = head.before;
                    for earlier in &mut waiting {
                        earlier.valid = valid
                            .filter(|(number, _)| *number == earlier.number)
                            .map(|(_, bytes)| bytes)
                            .or(earlier.valid);
                    }
                    waiting.push_back(Segment { number, path, head, valid: None });
                }
                Err(NoHead::Torn) => {
                    // The crash came between making the file and writing its head: nothing in it was acknowledged.
                    tracing::warn!(path = %path.display(), "journal segment has no head");
                    recovered.cut_bytes += file.len();
                    let closed = Closed { bytes: file.len(), newest: [Position(0); 3], is_damaged: false };
                    recovered.segments.insert(number, closed);
                }
                Err(NoHead::Damaged(reason)) => {
                    let reason = format!("{reason}; move the file away to start without its rows");
                    return Err(StoreError::Corrupt { path: path.display().to_string(), reason });
                }
            }
        }
        Ok(Self { files, sealed, waiting, current: None, recovered })
    }

    /// The next batch beyond the sealed positions; `None` when there is no more.
    pub(crate) fn next(&mut self) -> Result<Option<(Position, Signal, RecordBatch)>, StoreError> {
        loop {
            if self.current.is_none() {
                let Some(segment) = self.waiting.pop_front() else { return Ok(None) };
                self.current = Some(Reading::open(self.files.as_ref(), segment)?);
            }
            let Some(reading) = self.current.as_mut() else { return Ok(None) };
            let Some(bytes) = reading.next_frame(&mut self.recovered)? else {
                if let Some(done) = self.current.take() {
                    self.recovered.segments.insert(done.segment.number, done.closed);
                }
                continue;
            };
            let path = &reading.segment.path;
            let corrupt = |reason: String| StoreError::Corrupt { path: path.display().to_string(), reason };
            let (frame, _) = StoredFrame::read(&bytes).map_err(|reason| corrupt(reason.to_owned()))?;
            let signal = frame.signal as usize;
            reading.closed.newest[signal] = reading.closed.newest[signal].max(frame.position);
            self.recovered.last = self.recovered.last.max(frame.position);
            if frame.position <= self.sealed[signal] {
                continue;
            }
            let raw = frame.raw().map_err(corrupt)?;
            let batch = codec::decode(frame.signal, &reading.segment.head.schemas[signal], &raw).map_err(corrupt)?;
            if batch.num_rows() != frame.rows as usize {
                return Err(corrupt(format!("frame {} has another number of rows", frame.position.0)));
            }
            return Ok(Some((frame.position, frame.signal, batch)));
        }
    }

    /// What was found, after [`Self::next`] gave its last batch.
    pub(crate) fn finish(self) -> Recovered {
        self.recovered
    }
}

enum NoHead {
    Torn,
    Damaged(&'static str),
}

/// The head of a segment, or why there is none. Heads have `head_bytes`.
fn read_head(file: &dyn RandomRead, head_bytes: u64) -> std::io::Result<Result<Head, NoHead>> {
    let first = file.read(0..file.len().min(HEADER_BYTES as u64))?;
    // Frames are written after the head is durable, so a file that ends within the head holds none, whatever a crash left of
    // the head.
    let Some(length) = segment::head_length(&first) else {
        let damaged = file.len() > head_bytes && !first.iter().all(|byte| *byte == 0);
        return Ok(Err(if damaged { NoHead::Damaged("segment does not start with its magic") } else { NoHead::Torn }));
    };
    if file.len() < length as u64 {
        return Ok(Err(NoHead::Torn));
    }
    let read = segment::read_head(&file.read(0..length as u64)?);
    Ok(read.map_err(|reason| if file.len() == length as u64 { NoHead::Torn } else { NoHead::Damaged(reason) }))
}

impl Reading {
    fn open(files: &dyn Files, segment: Segment) -> Result<Self, StoreError> {
        let file = files.open(&segment.path).map_err(failed("open", &segment.path))?;
        let end = segment.valid.map_or(file.len(), |valid| valid.min(file.len()));
        let closed = Closed { bytes: end, newest: [Position(0); 3], is_damaged: false };
        Ok(Self { at: segment.head.length, segment, file, end, closed })
    }

    fn read(&self, range: std::ops::Range<u64>) -> Result<Bytes, StoreError> {
        self.file.read(range).map_err(failed("read", &self.segment.path))
    }

    /// The bytes of the frame that stands at a place, or why there is none.
    fn frame_at(&self, at: u64) -> Result<Result<Bytes, &'static str>, StoreError> {
        if self.end - at < HEADER_BYTES as u64 {
            return Ok(Err("frame header is cut off"));
        }
        let payload = match payload_length(&self.read(at..at + HEADER_BYTES as u64)?) {
            Ok(payload) => payload as u64,
            Err(reason) => return Ok(Err(reason)),
        };
        let end = at + HEADER_BYTES as u64 + payload;
        if end > self.end {
            return Ok(Err("frame payload is cut off"));
        }
        let bytes = self.read(at..end)?;
        Ok(StoredFrame::read(&bytes).map(|_| ()).map(|()| bytes))
    }

    /// The bytes of the next whole frame; `None` at the end of the segment.
    fn next_frame(&mut self, recovered: &mut Recovered) -> Result<Option<Bytes>, StoreError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let reason = match self.frame_at(self.at)? {
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            Err(reason) => reason,
        };
        let path = self.segment.path.display();
        let found = self.search(self.at + 1)?;
        let found = if self.segment.valid.is_some() { found } else { self.if_durable(found)? };
        let Some((found, bytes)) = found else {
            let cut = self.end - self.at;
            tracing::warn!(%path, at = self.at, cut, reason, "journal segment ends early");
            if self.segment.valid.is_some() {
                // The next segment says that all of this was written well.
                recovered.damaged_bytes += cut;
                self.closed.is_damaged = true;
            } else {
                recovered.cut_bytes += cut;
                self.closed.bytes = self.at;
            }
            self.at = self.end;
            return Ok(None);
        };
        let lost = found - self.at;
        tracing::error!(%path, at = self.at, lost, reason, "journal segment is damaged: rows may be missing");
        recovered.damaged_bytes += lost;
        self.closed.is_damaged = true;
        self.at = found + bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Frames behind a place that holds none were durable only if a group commit began behind that place: else all of it
    /// is the one group that a crash cut.
    fn if_durable(&self, found: Option<(u64, Bytes)>) -> Result<Option<(u64, Bytes)>, StoreError> {
        let mut next = found.clone();
        while let Some((at, bytes)) = next {
            if StoredFrame::read(&bytes).is_ok_and(|(frame, _)| frame.starts_group) {
                return Ok(found);
            }
            next = self.search(at + bytes.len() as u64)?;
        }
        Ok(None)
    }

    /// The first whole frame at a place or behind it.
    fn search(&self, mut from: u64) -> Result<Option<(u64, Bytes)>, StoreError> {
        while from < self.end {
            let piece = self.read(from..self.end.min(from + SEARCHED_BYTES + MAGIC.len() as u64))?;
            for (place, start) in piece.windows(MAGIC.len()).enumerate() {
                if start == MAGIC
                    && let Ok(bytes) = self.frame_at(from + place as u64)?
                {
                    return Ok(Some((from + place as u64, bytes)));
                }
            }
            from += SEARCHED_BYTES;
        }
        Ok(None)
    }
}
