//! Sealing: hot batches in, one part file out.

mod order;

use crate::part::{PartWriter, WrittenPart};
use crate::{Signal, StoreError};
use arrow::array::AsArray as _;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;

/// Rows that are gathered and written at a time; bounds the memory beyond the hot batches themselves. Twice as many touch a sixth more memory
/// in all, half as many make parts a little larger.
const CHUNK_ROWS: usize = 4096;

/// A part file that is not yet stored anywhere.
pub(crate) struct Sealed {
    pub(crate) written: WrittenPart,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
}

/// Sorts the rows of the batches as the signal's parts are sorted, and writes part and index in one pass.
///
/// CPU-bound: seconds for a full part.
pub(crate) fn seal(signal: Signal, batches: &[RecordBatch]) -> Result<Sealed, StoreError> {
    let order = order::order(signal, batches)?;
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    let mut writer = PartWriter::new(signal, order.len())?;
    for rows in order.chunks(CHUNK_ROWS) {
        writer.write(&interleave_record_batch(&sources, rows)?)?;
    }
    let mut min_time = i64::MAX;
    let mut max_time = i64::MIN;
    for batch in batches {
        if let Some(times) = batch.column_by_name("time") {
            for time in times.as_primitive::<TimestampNanosecondType>().values() {
                min_time = min_time.min(*time);
                max_time = max_time.max(*time);
            }
        }
    }
    Ok(Sealed { written: writer.finish()?, min_time, max_time })
}
