//! Reading rows of a part.

use super::PartRecord;
use crate::StoreError;
use crate::objects::Blob;
use arrow::array::RecordBatchReader as _;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Rows per batch, at most.
const BATCH_ROWS: usize = 8192;

/// Decodes rows of a part, batch by batch: synchronous and CPU-bound, to be iterated where blocking is allowed.
///
/// Batches have the signal's types: dictionary columns stay dictionaries.
pub struct PartReader {
    reader: ParquetRecordBatchReader,
    /// For each column asked for, its place in what the reader gives.
    order: Vec<usize>,
    schema: SchemaRef,
    path: String,
}

impl PartReader {
    pub(super) fn new(
        record: &PartRecord,
        bytes: Blob,
        metadata: ArrowReaderMetadata,
        columns: &[&str],
        rows: Option<&RoaringBitmap>,
    ) -> Result<Self, StoreError> {
        let file_schema = Arc::clone(metadata.schema());
        let corrupt = |reason: String| StoreError::Corrupt { path: record.path.clone(), reason };
        let roots = columns
            .iter()
            .map(|name| file_schema.index_of(name).map_err(|_| corrupt(format!("column {name} is missing"))))
            .collect::<Result<Vec<_>, _>>()?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
        let chosen = rows.map(|rows| chosen_groups(&metadata, rows));
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS);
        if let Some((groups, selection)) = chosen {
            builder = builder.with_row_groups(groups).with_row_selection(selection);
        }
        let reader = builder.build()?;
        let given = reader.schema();
        let order = columns
            .iter()
            .map(|name| given.index_of(name).map_err(|_| corrupt(format!("column {name} is missing"))))
            .collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<_> = order.iter().map(|place| Arc::clone(&given.fields()[*place])).collect();
        Ok(Self { reader, order, schema: Arc::new(Schema::new(fields)), path: record.path.clone() })
    }

    /// The columns in the order they were asked for.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Iterator for PartReader {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => {
                return Some(Err(StoreError::Corrupt { path: self.path.clone(), reason: error.to_string() }));
            }
        };
        let columns = self.order.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Some(RecordBatch::try_new_with_options(self.schema(), columns, &options).map_err(StoreError::from))
    }
}

/// The row groups that hold any of the rows, and the rows within them. A group that is only skipped would still cost the
/// reading of its dictionaries.
fn chosen_groups(metadata: &ArrowReaderMetadata, rows: &RoaringBitmap) -> (Vec<usize>, RowSelection) {
    let (mut groups, mut within) = (Vec::new(), RoaringBitmap::new());
    let mut kept = 0;
    for (number, group) in super::group_rows(metadata.metadata()).enumerate() {
        if rows.range_cardinality(group.clone()) > 0 {
            let moved = rows.range(group.clone()).map(|row| row - group.start + kept);
            // The rows of a bitmap rise, and so do these.
            let _ = within.append(moved);
            groups.push(number);
            kept += group.len() as u32;
        }
    }
    (groups, selection(&within, kept as usize))
}

/// The bitmap as runs of rows.
pub(super) fn selection(rows: &RoaringBitmap, total: usize) -> RowSelection {
    let mut runs = Vec::new();
    let mut current: Option<std::ops::Range<usize>> = None;
    for row in rows {
        let row = row as usize;
        match &mut current {
            Some(run) if run.end == row => run.end = row + 1,
            _ => {
                if let Some(run) = current.replace(row..row + 1) {
                    runs.push(run);
                }
            }
        }
    }
    runs.extend(current);
    RowSelection::from_consecutive_ranges(runs.into_iter(), total)
}
