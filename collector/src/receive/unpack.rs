//! Decompression within a limit and within the room that is there.

use super::Fault;
use crate::admit::Room;
use bytes::Bytes;
use std::io::Read;

/// How much is unpacked between two looks at the room.
const STEP_BYTES: u64 = 256 * 1024;
/// zstd frames that ask for a longer window than 128 MiB are bombs.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Unpacks a body of at most this many bytes.
pub(super) fn unpack(packed: &[u8], encoding: &str, max_bytes: usize, room: &mut Room) -> Result<Bytes, Fault> {
    let failed = |error: std::io::Error| Fault::Undecodable { encoding: encoding.to_owned(), error };
    if encoding == "snappy" {
        return unpack_snappy(packed, max_bytes, room, failed);
    }
    let mut reader: Box<dyn Read> = match encoding {
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        "deflate" => Box::new(flate2::read::ZlibDecoder::new(packed)),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::new(packed).map_err(failed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(failed)?;
            Box::new(decoder)
        }
        other => return Err(Fault::Encoding(other.to_owned())),
    };
    let mut out = Vec::new();
    loop {
        let read = reader.by_ref().take(STEP_BYTES).read_to_end(&mut out).map_err(failed)?;
        if out.len() > max_bytes {
            return Err(Fault::TooLarge(max_bytes));
        }
        if read == 0 {
            return Ok(out.into());
        }
        if !room.hold(out.len()) {
            return Err(Fault::NoRoom);
        }
    }
}

/// Unpacks one block of snappy, which says its length first.
fn unpack_snappy(
    packed: &[u8],
    max_bytes: usize,
    room: &mut Room,
    failed: impl Fn(std::io::Error) -> Fault,
) -> Result<Bytes, Fault> {
    let length = snap::raw::decompress_len(packed).map_err(|error| failed(error.into()))?;
    if length > max_bytes {
        return Err(Fault::TooLarge(max_bytes));
    }
    if !room.hold(length) {
        return Err(Fault::NoRoom);
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| failed(error.into()))?;
    Ok(unpacked.into())
}
