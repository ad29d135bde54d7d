//! OTLP messages (`opentelemetry-proto` 1.x) walked straight into columns.

mod logs;
pub(crate) mod metrics;
mod spans;
pub(crate) mod value;

use crate::correlate::Correlation;
use crate::wire::WireError;
use mangru_store::{Signal, SignalBatch};
use std::collections::BTreeMap;

/// A request that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the message expected.
    #[error("request is not a valid OTLP message: {0}")]
    Wire(#[from] WireError),
    /// The text is not the JSON form of the message expected.
    #[error("request is not valid OTLP JSON: {0}")]
    Json(String),
    /// The request is not what its protocol, another than OTLP, expects.
    #[error("{0}")]
    Request(String),
    /// The columns could not be built: our fault.
    #[error("cannot build columns: {0}")]
    Columns(String),
}

/// A decoded request.
#[derive(Debug)]
pub struct Decoded {
    /// The rows.
    pub batch: SignalBatch,
    /// Rows that were refused, and why.
    pub rejected: u64,
    /// What the sender should know of refused rows.
    pub message: String,
    /// Rows that were kept though something was wrong, by what was wrong.
    pub warnings: BTreeMap<&'static str, u64>,
    /// Rows by `service.name`.
    pub services: BTreeMap<String, u64>,
}

/// Decodes the protobuf form of an export request. `arrival` is the time now, nanoseconds since the Unix epoch.
///
/// # Errors
/// When the bytes are no such message; nothing of it is kept then.
pub fn decode(signal: Signal, message: &[u8], arrival: u64, correlation: &Correlation) -> Result<Decoded, DecodeError> {
    match signal {
        Signal::Logs => logs::decode(message, arrival, correlation),
        Signal::Spans => spans::decode(message, arrival, correlation),
        Signal::MetricPoints => metrics::decode(message, arrival),
    }
}

/// Decodes the JSON form of an export request, by way of the protobuf form, so that both give equal rows.
///
/// # Errors
/// When the text is no such message; nothing of it is kept then.
pub fn decode_json(
    signal: Signal,
    text: &[u8],
    arrival: u64,
    correlation: &Correlation,
) -> Result<Decoded, DecodeError> {
    decode(signal, &crate::json::to_protobuf(signal, text)?, arrival, correlation)
}

/// The most records in one request. An empty record takes two bytes on the wire and some hundred as a row.
const MAX_RECORDS: usize = 1 << 18;

/// Whether another record may be taken.
pub(crate) const fn check_room(rows: usize) -> Result<(), WireError> {
    if rows < MAX_RECORDS { Ok(()) } else { Err(WireError("a request holds more than 262144 records")) }
}

/// The effective time of a row, and the sender's own where it differs.
pub(crate) fn effective(own: u64, fallback: u64) -> (i64, Option<u64>) {
    let chosen = if own == 0 { fallback } else { own };
    let time = i64::try_from(chosen).unwrap_or(i64::MAX);
    (time, (time as u64 != own).then_some(own))
}
