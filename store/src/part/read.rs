//! Reading rows of a part.

use super::PartRecord;
use crate::StoreError;
use crate::objects::Blob;
use arrow::array::{RecordBatchReader as _, new_null_array};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use roaring::RoaringBitmap;
use std::ops::Range;
use std::sync::Arc;

/// Rows per batch, at most.
const BATCH_ROWS: usize = 8192;

/// Decodes rows of a part, batch by batch: synchronous and CPU-bound, to be iterated where blocking is allowed.
///
/// Batches have the signal's types: dictionary columns stay dictionaries.
pub struct PartReader {
    reader: ParquetRecordBatchReader,
    /// For each column asked for, its place in what the reader gives; `None` for one that has no value in any of the rows.
    order: Vec<Option<usize>>,
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
        let chosen = rows.map(|rows| chosen_groups(&metadata, rows));
        let groups = chosen.as_ref().map(|(groups, _)| groups.as_slice());
        let is_read: Vec<bool> = roots.iter().map(|root| has_values(&metadata, *root, groups)).collect();
        let read = roots.iter().zip(&is_read).filter(|(_, is_read)| **is_read).map(|(root, _)| *root);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), read);
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
            .zip(&is_read)
            .map(|(name, is_read)| match is_read {
                true => given.index_of(name).map(Some).map_err(|_| corrupt(format!("column {name} is missing"))),
                false => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<_> = roots.iter().map(|root| Arc::clone(&file_schema.fields()[*root])).collect();
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
        let column = |(place, field): (&Option<usize>, &FieldRef)| match place {
            Some(place) => Arc::clone(batch.column(*place)),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let columns = self.order.iter().zip(self.schema.fields()).map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Some(RecordBatch::try_new_with_options(self.schema(), columns, &options).map_err(StoreError::from))
    }
}

/// What opening a column costs, in bytes of a page that take as long to decode.
const OPENING_BYTES: i64 = 16 << 10;

/// Columns in two groups of about the same cost: the dearest first, each to the group that has less so far.
pub(super) fn halves<'a>(metadata: &ArrowReaderMetadata, columns: &[&'a str]) -> [Vec<&'a str>; 2] {
    let schema = metadata.parquet_schema();
    let groups = metadata.metadata().row_groups();
    let pages = |group: &RowGroupMetaData| group.num_rows() / super::write::PAGE_ROWS as i64 + 1;
    let pages = groups.iter().map(pages).sum::<i64>().max(1);
    let cost = |name: &str| {
        let leaves = (0..schema.num_columns()).filter(|leaf| schema.get_column_root(*leaf).name() == name);
        leaves
            .map(|leaf| {
                let bytes: i64 = groups.iter().map(|group| group.column(leaf).uncompressed_size()).sum();
                bytes / pages + if bytes > 0 { OPENING_BYTES } else { 0 }
            })
            .sum::<i64>()
    };
    let mut by_cost: Vec<(i64, usize)> = columns.iter().enumerate().map(|(place, name)| (cost(name), place)).collect();
    by_cost.sort_unstable_by(|left, right| right.cmp(left));
    let (mut costs, mut places) = ([0, 0], [Vec::new(), Vec::new()]);
    for (cost, place) in by_cost {
        let lighter = usize::from(costs[1] < costs[0]);
        costs[lighter] += cost;
        places[lighter].push(place);
    }
    places.map(|mut places| {
        places.sort_unstable();
        places.into_iter().map(|place| columns[place]).collect()
    })
}

/// Whether a column has a value anywhere in these row groups, all by default, as far as the statistics tell. Each column that is read costs
/// the tables of a decompressor, and most rows lack most attributes that have a column.
fn has_values(metadata: &ArrowReaderMetadata, root: usize, groups: Option<&[usize]>) -> bool {
    let schema = metadata.parquet_schema();
    let mut leaves = (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == root);
    let (Some(leaf), None) = (leaves.next(), leaves.next()) else { return true };
    // An empty list has no value, and is not the same as no list.
    let column = schema.column(leaf);
    if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        return true;
    }
    let all = metadata.metadata().row_groups();
    let is_empty = |group: &RowGroupMetaData| {
        let nulls = group.column(leaf).statistics().and_then(Statistics::null_count_opt);
        nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
    };
    !match groups {
        Some(groups) => groups.iter().all(|group| is_empty(&all[*group])),
        None => all.iter().all(is_empty),
    }
}

/// The row groups that hold any of the rows, and the rows within them. A group that is only skipped would still cost the
/// reading of its dictionaries.
fn chosen_groups(metadata: &ArrowReaderMetadata, rows: &RoaringBitmap) -> (Vec<usize>, RowSelection) {
    let (mut groups, mut within) = (Vec::new(), Vec::new());
    let mut kept = 0;
    for (number, group) in super::group_rows(metadata.metadata()).enumerate() {
        let before = within.len();
        within.extend(runs(rows, group.clone()).map(|run| run.start + kept..run.end + kept));
        if within.len() > before {
            groups.push(number);
            kept += group.len();
        }
    }
    (groups, selected(within.into_iter(), kept))
}

/// The bitmap as runs of rows.
pub(super) fn selection(rows: &RoaringBitmap, total: usize) -> RowSelection {
    selected(runs(rows, 0..total as u32), total)
}

/// The runs of rows of a bitmap within a range, counted from its start.
fn runs(rows: &RoaringBitmap, range: Range<u32>) -> impl Iterator<Item = Range<usize>> {
    let mut left = rows.range(range.clone());
    let from_start = move |row: u32| (row - range.start) as usize;
    std::iter::from_fn(move || left.next_range()).map(move |run| from_start(*run.start())..from_start(*run.end()) + 1)
}

/// Runs that rise, as a selection: what touches is one.
fn selected(runs: impl Iterator<Item = Range<usize>>, total: usize) -> RowSelection {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ => joined.push(run),
        }
    }
    RowSelection::from_consecutive_ranges(joined.into_iter(), total)
}
