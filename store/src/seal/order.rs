//! The order of rows in a part: what is read together lies together.
//!
//! - logs by time;
//! - spans by the start of their trace (its earliest span here), trace id, start: a trace lies together, and traces
//!   stay in the order of time;
//! - metric points by metric name, series, time.

use crate::{Signal, StoreError};
use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::ArrayRef, StoreError> {
    batch.column_by_name(name).ok_or_else(|| StoreError::Corrupt {
        path: "hot batch".to_owned(),
        reason: format!("column {name} is missing"),
    })
}

fn times(batch: &RecordBatch) -> Result<&[i64], StoreError> {
    Ok(column(batch, "time")?.as_primitive::<TimestampNanosecondType>().values())
}

/// Pairs of batch and row, in the order of the part. Equal keys keep their order of arrival.
pub(super) fn order(signal: Signal, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, StoreError> {
    match signal {
        Signal::Logs => sorted(batches, |_, batch| {
            let times = times(batch)?;
            Ok(move |row: usize| times[row])
        }),
        Signal::Spans => {
            let mut starts: HashMap<[u8; 16], i64> = HashMap::new();
            for batch in batches {
                let ids = column(batch, "trace_id")?.as_fixed_size_binary();
                for (row, time) in times(batch)?.iter().enumerate() {
                    let start = starts.entry(trace_id(ids.value(row))).or_insert(*time);
                    *start = (*start).min(*time);
                }
            }
            let starts = &starts;
            sorted(batches, |_, batch| {
                let ids = column(batch, "trace_id")?.as_fixed_size_binary();
                let times = times(batch)?;
                Ok(move |row: usize| {
                    let id = trace_id(ids.value(row));
                    (starts.get(&id).copied().unwrap_or(times[row]), id, times[row])
                })
            })
        }
        Signal::MetricPoints => {
            let ranks = name_ranks(batches)?;
            let ranks = &ranks;
            sorted(batches, |number, batch| {
                let names = column(batch, "metric_name")?.as_dictionary::<Int32Type>().keys();
                let series = column(batch, "series_id")?.as_primitive::<UInt64Type>();
                let times = times(batch)?;
                Ok(move |row: usize| (ranks[number][names.value(row) as usize], series.value(row), times[row]))
            })
        }
    }
}

fn trace_id(bytes: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(bytes);
    id
}

/// For each batch, the rank of each entry of its name dictionary among all names.
fn name_ranks(batches: &[RecordBatch]) -> Result<Vec<Vec<u32>>, StoreError> {
    let mut names: Vec<&str> = Vec::new();
    let mut dictionaries = Vec::new();
    for batch in batches {
        let values = column(batch, "metric_name")?.as_dictionary::<Int32Type>().values().as_string::<i32>();
        names.extend((0..values.len()).map(|index| values.value(index)));
        dictionaries.push(values);
    }
    names.sort_unstable();
    names.dedup();
    Ok(dictionaries
        .into_iter()
        .map(|values| {
            (0..values.len())
                .map(|index| names.binary_search(&values.value(index)).unwrap_or_default() as u32)
                .collect()
        })
        .collect())
}

fn sorted<'a, K: Ord, F: Fn(usize) -> K>(
    batches: &'a [RecordBatch],
    key_of: impl Fn(usize, &'a RecordBatch) -> Result<F, StoreError>,
) -> Result<Vec<(usize, usize)>, StoreError> {
    let total = batches.iter().map(RecordBatch::num_rows).sum();
    let mut keyed: Vec<(K, u32, u32)> = Vec::with_capacity(total);
    for (number, batch) in batches.iter().enumerate() {
        let key = key_of(number, batch)?;
        keyed.extend((0..batch.num_rows()).map(|row| (key(row), number as u32, row as u32)));
    }
    keyed.sort_unstable();
    Ok(keyed.into_iter().map(|(_, batch, row)| (batch as usize, row as usize)).collect())
}
