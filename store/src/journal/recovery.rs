//! Reading the journal at start: exactly the batches that no part covers.

use super::frame::StoredFrame;
use super::segment::Closed;
use super::{Position, Segments, codec};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::path::Path;

/// What a journal folder held.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// Batches beyond the sealed positions, in the order of their positions.
    pub(crate) batches: Vec<(Position, Signal, RecordBatch)>,
    /// The segments, none of them open.
    pub(crate) segments: BTreeMap<u64, Closed>,
    /// The highest position found.
    pub(crate) last: Position,
    /// Bytes at the ends of segments that were no whole frame: writes that a crash cut, never acknowledged.
    pub(crate) cut_bytes: u64,
}

/// Reads every segment of the folder and keeps what lies beyond `sealed`.
///
/// A segment is read up to its first frame that is not whole; what follows was never acknowledged, because a frame is
/// acknowledged only after it and all before it are durable.
pub(crate) fn recover(folder: &Path, sealed: [Position; 3]) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered { last: sealed.into_iter().max().unwrap_or_default(), ..Recovered::default() };
    for (number, path) in Segments::list(folder)? {
        let bytes = std::fs::read(&path).map_err(|source| StoreError::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        })?;
        let mut newest = [Position(0); 3];
        let (schemas, mut at) = match Segments::read_head(&bytes) {
            Ok(head) => head,
            Err(reason) => {
                // The crash came between making the file and writing its head: nothing in it was acknowledged.
                tracing::warn!(path = %path.display(), reason, "journal segment has no head");
                recovered.cut_bytes += bytes.len() as u64;
                recovered.segments.insert(number, Closed { bytes: bytes.len() as u64, newest });
                continue;
            }
        };
        while at < bytes.len() {
            let (frame, length) = match StoredFrame::read(&bytes[at..]) {
                Ok(found) => found,
                Err(reason) => {
                    let cut = (bytes.len() - at) as u64;
                    tracing::warn!(path = %path.display(), at, cut, reason, "journal segment ends early");
                    recovered.cut_bytes += cut;
                    break;
                }
            };
            let signal = frame.signal as usize;
            newest[signal] = newest[signal].max(frame.position);
            recovered.last = recovered.last.max(frame.position);
            if frame.position > sealed[signal] {
                let corrupt = |reason: String| StoreError::Corrupt { path: path.display().to_string(), reason };
                let raw = frame.raw().map_err(corrupt)?;
                let batch = codec::decode(frame.signal, schemas[signal], &raw).map_err(corrupt)?;
                if batch.num_rows() != frame.rows as usize {
                    return Err(corrupt(format!("frame {} has another number of rows", frame.position.0)));
                }
                recovered.batches.push((frame.position, frame.signal, batch));
            }
            at += length;
        }
        recovered.segments.insert(number, Closed { bytes: bytes.len() as u64, newest });
    }
    recovered.batches.sort_by_key(|(position, _, _)| *position);
    Ok(recovered)
}
