//! Doors for `benches/`: single steps of the way in, which are private otherwise.

use crate::index::IndexBuilder;
use crate::journal::Frame;
use crate::{SignalBatch, seal as sealing};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

/// The bytes of a batch in the journal.
pub fn journal_frame(batch: &SignalBatch) -> usize {
    Frame::of(batch.signal(), batch.rows()).map_or(0, |frame| frame.len())
}

/// Parquet without an index, rows as they came.
pub struct ParquetOnly;

impl ParquetOnly {
    /// Writes the batches and gives the size of the file; zero when that fails.
    pub fn write(batches: &[SignalBatch]) -> usize {
        let write = || -> Result<usize, crate::StoreError> {
            let Some(first) = batches.first() else { return Ok(0) };
            let properties = crate::part::properties(first.signal())?;
            let mut writer = ArrowWriter::try_new(Vec::new(), first.signal().schema(), Some(properties))?;
            for batch in batches {
                writer.write(batch.rows())?;
            }
            Ok(writer.into_inner()?.len())
        };
        write().unwrap_or(0)
    }
}

/// The index without Parquet, rows as they came.
pub struct IndexOnly;

impl IndexOnly {
    /// Builds the index and gives its size; zero when that fails.
    pub fn build(batches: &[SignalBatch]) -> usize {
        let build = || -> Result<usize, crate::StoreError> {
            let Some(first) = batches.first() else { return Ok(0) };
            let mut builder = IndexBuilder::new(first.signal())?;
            for batch in batches {
                builder.add(batch.rows())?;
            }
            Ok(builder.finish(0, &mut std::io::sink())?.length as usize)
        };
        build().unwrap_or(0)
    }
}

/// The whole seal; gives the size of the part, zero when that fails.
pub fn seal(batches: &[SignalBatch]) -> usize {
    let Some(first) = batches.first() else { return 0 };
    let rows: Vec<RecordBatch> = batches.iter().map(|batch| batch.rows().clone()).collect();
    sealing::seal(first.signal(), &rows).map_or(0, |sealed| sealed.written.bytes.len())
}
