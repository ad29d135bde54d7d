//! Places in an answer that is sorted newest first.

use crate::QueryError;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use mangru_store::{PROMOTED, Signal};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use xxhash_rust::xxh3::Xxh3;

/// The place of a row: its time, then a hash of what it says, then its number among rows that say the same.
///
/// It does not depend on where the row is kept, so pages neither repeat nor leave out rows while parts are sealed
/// between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub(crate) time: i64,
    pub(crate) hash: u64,
    pub(crate) ordinal: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}-{}", self.time, self.hash, self.ordinal)
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let parse = || {
            let mut pieces = text.rsplitn(3, '-');
            let ordinal = pieces.next()?.parse().ok()?;
            let hash = u64::from_str_radix(pieces.next()?, 16).ok()?;
            let time = pieces.next()?.parse().ok()?;
            Some(Self { time, hash, ordinal })
        };
        parse().ok_or_else(|| QueryError::invalid("cursor", "cursor is not one that an earlier answer gave"))
    }
}

/// Those of logs: all that a row shows, so that rows with the same hash look the same.
static LOG_IDENTITY: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut columns = vec![
        "service_name",
        "body",
        "trace_id",
        "span_id",
        "attributes",
        "resource_attributes",
        "severity_number",
        "severity_text",
        "correlation_id",
        "scope_name",
        "event_name",
    ];
    columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
    columns
});

/// The columns that tell rows of one time apart.
pub(crate) fn identity_columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &LOG_IDENTITY,
        Signal::Spans => &["trace_id", "span_id", "name", "kind", "duration_ns"],
        Signal::MetricPoints => &["series_id", "value_int", "value_double", "count"],
    }
}

/// A hash per row over the identity columns.
pub(crate) fn hashes(signal: Signal, batch: &RecordBatch) -> Result<Vec<u64>, QueryError> {
    let mut hashers: Vec<Xxh3> = (0..batch.num_rows()).map(|_| Xxh3::new()).collect();
    for name in identity_columns(signal) {
        let column =
            batch.column_by_name(name).ok_or_else(|| QueryError::internal(format!("column {name} was not read")))?;
        for (row, hasher) in hashers.iter_mut().enumerate() {
            if column.is_null(row) {
                hasher.update(&[0]);
                continue;
            }
            hasher.update(&[1]);
            if let Some(text) = column.as_string_opt::<i32>() {
                hasher.update(text.value(row).as_bytes());
            } else if let Some(ids) = column.as_fixed_size_binary_opt() {
                hasher.update(ids.value(row));
            } else if let Some(dictionary) = column.as_dictionary_opt::<arrow::datatypes::Int32Type>() {
                let values = dictionary.values().as_string::<i32>();
                hasher.update(values.value(dictionary.keys().value(row) as usize).as_bytes());
            } else if let Some(map) = column.as_map_opt() {
                let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
                for entry in map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize {
                    hasher.update(keys.value(entry).as_bytes());
                    hasher.update(&[2]);
                    if values.is_valid(entry) {
                        hasher.update(values.value(entry).as_bytes());
                    }
                    hasher.update(&[3]);
                }
            } else if let Some(number) = column.as_primitive_opt::<arrow::datatypes::UInt64Type>() {
                hasher.update(&number.value(row).to_le_bytes());
            } else if let Some(number) = column.as_primitive_opt::<arrow::datatypes::Int32Type>() {
                hasher.update(&number.value(row).to_le_bytes());
            } else if let Some(number) = column.as_primitive_opt::<arrow::datatypes::Int64Type>() {
                hasher.update(&number.value(row).to_le_bytes());
            } else if let Some(number) = column.as_primitive_opt::<arrow::datatypes::Float64Type>() {
                hasher.update(&number.value(row).to_bits().to_le_bytes());
            }
        }
    }
    Ok(hashers.into_iter().map(|hasher| hasher.digest()).collect())
}
