//! One batch in a segment file.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic `MJF1` |
//! | 4 | CRC-32C of all that follows in the frame |
//! | 4 | length of the payload |
//! | 4 | length of the payload before compression |
//! | 8 | position |
//! | 4 | number of rows |
//! | 1 | signal number |
//! | 1 | compression: 0 none, 1 zstd |
//! | 1 | 1 in the first frame of a group commit, else 0: what stands before it was durable when it was written |
//! | 1 | zero |
//! | … | payload: Arrow IPC messages ([`super::codec`]) |
//!
//! Numbers are little endian.

use super::scratch::Scratch;
use super::{Position, codec};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;

/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 32;
/// No frame is longer: a length beyond it is damage, not data.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1 << 30;
/// What every frame starts with.
pub(crate) const MAGIC: &[u8; 4] = b"MJF1";
/// Payloads shorter than this are not compressed.
const MIN_COMPRESSED: usize = 512;

/// A frame whose position is not yet known: compressed away from the writer thread.
#[derive(Debug)]
pub(crate) struct Frame {
    signal: Signal,
    rows: u32,
    raw_len: u32,
    compressed: bool,
    payload: Vec<u8>,
}

/// A frame as it was read from a segment.
pub(crate) struct StoredFrame<'a> {
    pub(crate) position: Position,
    pub(crate) signal: Signal,
    pub(crate) rows: u32,
    pub(crate) starts_group: bool,
    raw_len: usize,
    compressed: bool,
    payload: &'a [u8],
}

impl Frame {
    /// Encodes a batch.
    pub(crate) fn of(signal: Signal, rows: &RecordBatch) -> Result<Self, StoreError> {
        let mut scratch = Scratch::take();
        codec::encode(rows, &mut scratch.raw)?;
        let frame = Self::new(signal, rows.num_rows(), &mut scratch);
        scratch.give_back();
        Ok(frame)
    }

    /// Compresses the encoded batch when that makes it shorter.
    fn new(signal: Signal, rows: usize, scratch: &mut Scratch) -> Self {
        let raw_len = scratch.raw.len();
        let packed = if raw_len >= MIN_COMPRESSED { scratch.packed().map(<[u8]>::to_vec) } else { None };
        let compressed = packed.is_some();
        let payload = packed.unwrap_or_else(|| scratch.raw.clone());
        Self { signal, rows: rows as u32, raw_len: raw_len as u32, compressed, payload }
    }

    /// Bytes it takes in a segment.
    pub(crate) fn len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Appends the frame's bytes.
    pub(crate) fn write(&self, position: Position, starts_group: bool, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.extend_from_slice(&position.0.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&[self.signal as u8, u8::from(self.compressed), u8::from(starts_group), 0]);
        out.extend_from_slice(&self.payload);
        let checksum = crc32c::crc32c(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The length of a frame's payload, by its header; the reason when it is none.
pub(crate) fn payload_length(header: &[u8]) -> Result<usize, &'static str> {
    let header = header.get(..HEADER_BYTES).ok_or("frame header is cut off")?;
    if &header[..4] != MAGIC {
        return Err("frame does not start with its magic");
    }
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if length > MAX_PAYLOAD_BYTES { Err("frame length is absurd") } else { Ok(length) }
}

impl<'a> StoredFrame<'a> {
    /// Reads the frame at the start of the bytes and gives it with its length; the reason when there is none.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, usize), &'static str> {
        let length = HEADER_BYTES + payload_length(bytes)?;
        let header = &bytes[..HEADER_BYTES];
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let whole = bytes.get(..length).ok_or("frame payload is cut off")?;
        if crc32c::crc32c(&whole[8..]) != number(4) {
            return Err("frame checksum differs");
        }
        let signal = Signal::from_number(header[28]).ok_or("frame has an unknown signal")?;
        let frame = Self {
            position: Position(u64::from(number(16)) | u64::from(number(20)) << 32),
            signal,
            rows: number(24),
            starts_group: header[30] == 1,
            raw_len: number(12) as usize,
            compressed: header[29] == 1,
            payload: &whole[HEADER_BYTES..],
        };
        Ok((frame, length))
    }

    /// The payload before compression.
    pub(crate) fn raw(&self) -> Result<std::borrow::Cow<'a, [u8]>, String> {
        if !self.compressed {
            return Ok(self.payload.into());
        }
        if self.raw_len > MAX_PAYLOAD_BYTES {
            return Err("frame length before compression is absurd".to_owned());
        }
        zstd::bulk::decompress(self.payload, self.raw_len).map(Into::into).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_any_flipped_byte_is_noticed() {
        let raw = b"some bytes that repeat, repeat, repeat, repeat".repeat(20);
        let mut bytes = Vec::new();
        let mut scratch = Scratch::take();
        scratch.raw.clone_from(&raw);
        Frame::new(Signal::Spans, 7, &mut scratch).write(Position(u64::MAX - 1), true, &mut bytes);
        let (frame, length) = StoredFrame::read(&bytes).expect("frame");
        assert_eq!(length, bytes.len());
        assert_eq!((frame.position, frame.signal, frame.rows), (Position(u64::MAX - 1), Signal::Spans, 7));
        assert!(frame.starts_group);
        assert_eq!(frame.raw().expect("payload").as_ref(), raw.as_slice());
        for index in 0..bytes.len() {
            bytes[index] ^= 0x40;
            assert!(StoredFrame::read(&bytes).is_err(), "flip at {index} went unnoticed");
            bytes[index] ^= 0x40;
        }
        assert!(StoredFrame::read(&bytes[..bytes.len() - 1]).is_err());
    }
}
