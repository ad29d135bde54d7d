//! Receiving bodies: bounded one by one, before and after decompression, and together from their first byte on. What comes
//! in at the same time is counted by the length that it states, so that those that were let in have room to arrive.

mod kept;
mod unpack;

use crate::admit::{Door, Room};
use axum::body::Body;
use axum::http::{HeaderMap, Version, header};
use bytes::{Buf as _, Bytes, BytesMut};
use futures::StreamExt as _;
use std::time::Duration;

/// How long a body may take to arrive.
const WITHIN: Duration = Duration::from_mins(1);
/// How long the rest of a refused body is read, so that an HTTP/1.1 client comes to read the answer.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// What stands before each gRPC message: whether it is compressed, and its length.
const GRPC_PREFIX_BYTES: usize = 5;

/// A body that was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("too many requests are in flight or memory is at its limit")]
    NoRoom,
    #[error("body is longer than {0} bytes, before or after decompression")]
    TooLarge(usize),
    #[error("body was cut off: {0}")]
    CutOff(String),
    #[error("body did not arrive within {} s", WITHIN.as_secs())]
    TooSlow,
    #[error("encoding `{0}` is not gzip, deflate, zstd, snappy or identity")]
    Encoding(String),
    #[error("body is not {encoding}: {error}")]
    Undecodable { encoding: String, error: std::io::Error },
    #[error("body is not one gRPC message: {0}")]
    Framing(&'static str),
    #[error("{0}")]
    Internal(String),
}

impl Fault {
    /// The name of its counter.
    pub(crate) const fn why(&self) -> &'static str {
        match self {
            Self::NoRoom => "overloaded",
            Self::TooLarge(_) => "too_large",
            Self::CutOff(_) => "cut_off",
            Self::TooSlow => "too_slow",
            Self::Encoding(_) => "unsupported_encoding",
            Self::Undecodable { .. } | Self::Framing(_) => "undecodable",
            Self::Internal(_) => "internal",
        }
    }
}

/// The value of a header in lower case, empty when there is none.
fn lowercase(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_ascii_lowercase()
}

/// Receives the body of an HTTP request, unpacked as its `content-encoding` says.
pub(crate) async fn http(
    version: Version,
    headers: &HeaderMap,
    body: Body,
    door: &Door,
    max_bytes: usize,
) -> Result<(Bytes, Room), Fault> {
    let encoding = lowercase(headers, header::CONTENT_ENCODING.as_str());
    packed_so(encoding, version, headers, body, door, max_bytes).await
}

/// Receives the body of an HTTP request of a protocol that says itself how bodies are packed, whatever the headers say.
pub(crate) async fn packed_so(
    encoding: String,
    version: Version,
    headers: &HeaderMap,
    body: Body,
    door: &Door,
    max_bytes: usize,
) -> Result<(Bytes, Room), Fault> {
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > max_bytes) {
        return Err(Fault::TooLarge(max_bytes));
    }
    let mut pieces = Pieces { body, whole: kept::take(), max_bytes };
    let mut room = match pieces.enter(door, stated.unwrap_or_default()) {
        Ok(room) => room,
        Err(fault) => return Err(pieces.drained(version, fault).await),
    };
    if let Err(fault) = pieces.take(stated.unwrap_or_default(), &mut room).await {
        return Err(pieces.drained(version, fault).await);
    }
    unpacked(kept::frozen(pieces.whole), encoding, max_bytes, room).await
}

/// Receives the one message of a unary gRPC call, unpacked as its `grpc-encoding` says.
pub(crate) async fn grpc(
    headers: &HeaderMap,
    body: Body,
    door: &Door,
    max_bytes: usize,
) -> Result<(Bytes, Room), Fault> {
    let mut pieces = Pieces { body, whole: kept::take(), max_bytes: max_bytes.saturating_add(GRPC_PREFIX_BYTES) };
    let mut room = pieces.enter(door, 0)?;
    let is_cut = || Fault::CutOff("it ends before its message does".to_owned());
    while pieces.whole.len() < GRPC_PREFIX_BYTES {
        if !pieces.next(&mut room).await? {
            return Err(is_cut());
        }
    }
    let is_packed = match pieces.whole.get_u8() {
        0 => false,
        1 => true,
        _ => return Err(Fault::Framing("its first byte is neither 0 nor 1")),
    };
    let length = pieces.whole.get_u32() as usize;
    if length > max_bytes {
        return Err(Fault::TooLarge(max_bytes));
    }
    pieces.take(length, &mut room).await?;
    let message = kept::frozen(pieces.whole);
    if message.len() < length {
        return Err(is_cut());
    }
    if message.len() > length {
        return Err(Fault::Framing("there is more behind its message"));
    }
    let encoding = lowercase(headers, "grpc-encoding");
    if is_packed && matches!(encoding.as_str(), "" | "identity") {
        return Err(Fault::Framing("its message is marked as compressed, and `grpc-encoding` does not say how"));
    }
    unpacked(message, if is_packed { encoding } else { String::new() }, max_bytes, room).await
}

async fn unpacked(packed: Bytes, encoding: String, max_bytes: usize, mut room: Room) -> Result<(Bytes, Room), Fault> {
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok((packed, room));
    }
    let unpack = move || Ok((unpack::unpack(&packed, &encoding, max_bytes, &mut room)?, room));
    tokio::task::spawn_blocking(unpack).await.unwrap_or_else(|error| Err(Fault::Internal(error.to_string())))
}

/// A body that is arriving.
struct Pieces {
    body: Body,
    whole: BytesMut,
    max_bytes: usize,
}

impl Pieces {
    /// Room for a body of this many bytes.
    fn enter(&self, door: &Door, bytes: usize) -> Result<Room, Fault> {
        let mut room = door.enter().ok_or(Fault::NoRoom)?;
        if room.hold(bytes.min(self.max_bytes)) { Ok(room) } else { Err(Fault::NoRoom) }
    }

    /// Takes all that comes, `expected` bytes or more, up to the limit.
    async fn take(&mut self, expected: usize, room: &mut Room) -> Result<(), Fault> {
        if !room.hold(expected) {
            return Err(Fault::NoRoom);
        }
        self.whole.reserve(expected.saturating_sub(self.whole.len()));
        while self.next(room).await? {}
        Ok(())
    }

    /// Takes the next piece; `false` when there is none.
    async fn next(&mut self, room: &mut Room) -> Result<bool, Fault> {
        use http_body_util::BodyExt as _;
        let Some(frame) =
            tokio::time::timeout_at(room.until(WITHIN), self.body.frame()).await.map_err(|_| Fault::TooSlow)?
        else {
            return Ok(false);
        };
        let frame = frame.map_err(|error| Fault::CutOff(error.to_string()))?;
        let Ok(piece) = frame.into_data() else { return Ok(true) };
        let length = self.whole.len() + piece.len();
        if length > self.max_bytes {
            return Err(Fault::TooLarge(self.max_bytes));
        }
        if !room.hold(length) {
            return Err(Fault::NoRoom);
        }
        self.whole.extend_from_slice(&piece);
        Ok(true)
    }

    /// Reads what else comes and forgets it: a client of HTTP/1.1 sends all before it reads the answer.
    async fn drained(self, version: Version, fault: Fault) -> Fault {
        if version <= Version::HTTP_11 && matches!(fault, Fault::NoRoom) {
            let mut pieces = self.body.into_data_stream();
            let drain = async { while let Some(Ok(_)) = pieces.next().await {} };
            let _ = tokio::time::timeout(DRAIN_WITHIN, drain).await;
        }
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangru_store::MemoryBudget;
    use std::io::Write as _;

    fn door(max_requests: usize, max_in_flight_bytes: usize) -> Door {
        Door::new(MemoryBudget::new(1 << 30), max_requests, max_in_flight_bytes)
    }

    /// A gRPC message with its prefix, in pieces.
    fn framed(flag: u8, length: u32, message: &[u8], piece: usize) -> Body {
        let whole: Vec<u8> = [&[flag][..], &length.to_be_bytes(), message].concat();
        let pieces: Vec<_> = whole.chunks(piece).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        Body::from_stream(futures::stream::iter(pieces))
    }

    fn encoded(name: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static("grpc-encoding"), name.parse().expect("a value"))])
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("packed")
    }

    #[tokio::test]
    async fn one_grpc_message_is_read_however_it_is_cut() {
        for piece in [1, 3, 5, 6, 100] {
            let (message, _room) =
                grpc(&HeaderMap::new(), framed(0, 7, b"message", piece), &door(1, 100), 7).await.expect("received");
            assert_eq!(message, "message", "in pieces of {piece}");
        }
        let refused = [
            (framed(0, 8, b"message", 4), "cut_off"),
            (framed(0, 6, b"message", 4), "undecodable"),
            (framed(2, 7, b"message", 4), "undecodable"),
            (framed(1, 7, b"message", 4), "undecodable"),
            (framed(0, 9, b"message", 4), "too_large"),
            (Body::empty(), "cut_off"),
        ];
        for (body, why) in refused {
            let fault = grpc(&HeaderMap::new(), body, &door(1, 100), 8).await.expect_err("refused");
            assert_eq!(fault.why(), why, "{fault}");
        }
        let fault = grpc(&encoded("br"), framed(1, 7, b"message", 4), &door(1, 100), 8).await.expect_err("refused");
        assert_eq!(fault.why(), "unsupported_encoding");
    }

    #[tokio::test]
    async fn a_message_is_unpacked_within_its_limit_and_the_room() {
        let packed = gzip(&vec![0; 1_000_000]);
        let body = || framed(1, packed.len() as u32, &packed, 1000);
        let (message, _room) = grpc(&encoded("gzip"), body(), &door(1, 1_000_000), 1_000_000).await.expect("received");
        assert_eq!(message.len(), 1_000_000);
        let too_large = grpc(&encoded("gzip"), body(), &door(1, 2_000_000), 999_999).await.expect_err("refused");
        assert_eq!(too_large.why(), "too_large");
        let no_room = grpc(&encoded("gzip"), body(), &door(1, 999_999), 1_000_000).await.expect_err("refused");
        assert_eq!(no_room.why(), "overloaded");
    }

    #[tokio::test]
    async fn what_is_let_in_has_room_to_arrive_and_the_rest_is_refused_at_once() {
        let door = door(10, 13);
        let (_message, room) =
            grpc(&HeaderMap::new(), framed(0, 7, b"message", 100), &door, 8).await.expect("the first is received");
        // It states more than there is room for, and need not arrive to be refused.
        let never = futures::stream::once(async { Ok::<_, std::io::Error>(vec![0, 0, 0, 0, 8]) })
            .chain(futures::stream::pending());
        let fault = grpc(&HeaderMap::new(), Body::from_stream(never), &door, 8).await.expect_err("refused");
        assert_eq!(fault.why(), "overloaded");
        let stated = HeaderMap::from_iter([(header::CONTENT_LENGTH, "8".parse().expect("a value"))]);
        let fault = http(Version::HTTP_11, &stated, Body::from("12345678"), &door, 8).await.expect_err("refused");
        assert_eq!(fault.why(), "overloaded");
        drop(room);
        let (body, _room) =
            http(Version::HTTP_11, &stated, Body::from("12345678"), &door, 8).await.expect("there is room again");
        assert_eq!(body, "12345678");
    }

    #[tokio::test]
    async fn there_are_only_so_many_requests_at_a_time() {
        let door = door(1, 100);
        let first = door.enter().expect("the first");
        assert!(door.enter().is_none());
        drop(first);
        assert!(door.enter().is_some());
    }
}
