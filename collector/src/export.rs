//! One export request, whatever protocol it came over: admit, decode, append, count.

use crate::admit::{Door, Room};
use crate::correlate::Correlation;
use crate::intake::{Counts, Intake, Protocol};
use crate::otlp::{self, DecodeError, Decoded};
use crate::receive::Fault;
use bytes::Bytes;
use mangru_store::{Signal, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Requests longer than this are decoded on a thread for blocking work.
const INLINE_BYTES: usize = 16 << 10;

/// What all receivers share.
#[derive(Clone)]
pub(crate) struct Exporter {
    pub(crate) store: Arc<Store>,
    pub(crate) door: Door,
    pub(crate) correlation: Arc<Correlation>,
    pub(crate) intake: Arc<Intake>,
}

/// A request that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Rows refused alone.
    pub(crate) rejected: u64,
    /// What the sender should know of them.
    pub(crate) message: String,
}

/// A request that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) kind: RefusedKind,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedKind {
    /// The sender's: the same request will never be kept.
    Bad,
    /// Nobody's: the request may be kept after this time.
    Later(Duration),
    /// Ours.
    Broken,
}

impl Exporter {
    /// The refusal of a request for which there is no room now.
    pub(crate) fn overloaded(&self, signal: Signal, protocol: Protocol) -> Refused {
        self.intake.refused(signal, protocol, Fault::NoRoom.why());
        Refused { message: Fault::NoRoom.to_string(), kind: RefusedKind::Later(Duration::from_secs(1)) }
    }

    /// Keeps a request, durably, or says why not.
    pub(crate) async fn export(
        &self,
        signal: Signal,
        protocol: Protocol,
        message: Bytes,
        room: Room,
    ) -> Result<Kept, Refused> {
        let correlation = Arc::clone(&self.correlation);
        let decode = move |message: &[u8]| {
            let decoded = match protocol {
                Protocol::HttpJson => otlp::decode_json(signal, message, now(), &correlation)?,
                _ => otlp::decode(signal, message, now(), &correlation)?,
            };
            Ok((decoded, ()))
        };
        Ok(self.export_as(signal, protocol, message, room, decode).await?.0)
    }

    /// Keeps a request that this decodes, durably, or says why not. What the decoder gives beside the rows is given back.
    pub(crate) async fn export_as<T: Send + 'static>(
        &self,
        signal: Signal,
        protocol: Protocol,
        message: Bytes,
        room: Room,
        decode: impl FnOnce(&[u8]) -> Result<(Decoded, T), DecodeError> + Send + 'static,
    ) -> Result<(Kept, T), Refused> {
        let bytes = message.len();
        let Some(decoding) = room.decoding(bytes).await else { return Err(self.overloaded(signal, protocol)) };
        let decoded = if bytes > INLINE_BYTES {
            tokio::task::spawn_blocking(move || decode(&message))
                .await
                .unwrap_or_else(|error| Err(DecodeError::Columns(error.to_string())))
        } else {
            decode(&message)
        };
        let (decoded, more) = decoded.map_err(|error| {
            let is_ours = matches!(error, DecodeError::Columns(_));
            self.intake.refused(signal, protocol, if is_ours { "internal" } else { "undecodable" });
            let kind = if is_ours { RefusedKind::Broken } else { RefusedKind::Bad };
            Refused { message: error.to_string(), kind }
        })?;
        // From here on the store counts the rows themselves.
        drop(decoding);
        let rows = decoded.batch.rows().num_rows() as u64;
        self.store.append(decoded.batch).await.map_err(|error| {
            self.intake.refused(signal, protocol, reason(&error));
            let kind = error.retry_after().map_or(RefusedKind::Broken, RefusedKind::Later);
            Refused { message: error.to_string(), kind }
        })?;
        drop(room);
        let rejected = decoded.rejected;
        let counts = Counts { rows, rejected, warnings: decoded.warnings, services: decoded.services };
        self.intake.kept(signal, protocol, bytes, counts);
        Ok((Kept { rejected, message: decoded.message }, more))
    }
}

/// Nanoseconds since the Unix epoch, now.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

const fn reason(error: &StoreError) -> &'static str {
    match error {
        StoreError::MemoryFull { .. } => "memory_full",
        StoreError::JournalFull { .. } => "journal_full",
        StoreError::DiskFull { .. } => "disk_full",
        StoreError::JournalWrite(_) => "journal_write_failed",
        StoreError::Closing => "closing",
        _ => "internal",
    }
}

/// The protobuf form of the response: empty for full success, else field 1 with the number of refused rows and a message.
pub(crate) fn response(kept: &Kept) -> Vec<u8> {
    let mut partial = Vec::new();
    if kept.rejected > 0 {
        partial.push(0x08);
        put_varint(kept.rejected, &mut partial);
    }
    if !kept.message.is_empty() {
        partial.push(0x12);
        put_varint(kept.message.len() as u64, &mut partial);
        partial.extend_from_slice(kept.message.as_bytes());
    }
    let mut response = Vec::new();
    if !partial.is_empty() {
        response.push(0x0a);
        put_varint(partial.len() as u64, &mut response);
        response.extend_from_slice(&partial);
    }
    response
}

/// Appends a varint.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
