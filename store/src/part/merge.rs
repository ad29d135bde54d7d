//! Several part files as one: row groups are copied as they are, indexes merged. Rows that are left out are what makes a
//! row group be written anew.

use super::write::{FOOTER_END, description, footer_bytes, properties};
use super::{OpenPart, PartRecord};
use crate::files::{Files, NewFile};
use crate::index::{self, Embedded, IndexBuilder, IndexSource, METADATA_KEY};
use crate::objects::{Blob, checksum};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::writer::SerializedFileWriter;
use roaring::RoaringBitmap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

/// Rows that are read and indexed at a time.
const INDEXED_ROWS: usize = 8192;

/// A part that goes into another, and the rows of it that do not.
pub(crate) struct MergeSource {
    pub(crate) record: PartRecord,
    pub(super) open: Arc<OpenPart>,
    /// The file's bytes: read, not mapped, so that copying takes no memory.
    pub(super) file: Blob,
    pub(crate) removed: Option<RoaringBitmap>,
}

/// The file that came out.
#[derive(Debug)]
pub(crate) struct MergedFile {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) footer_bytes: u64,
    pub(crate) crc32c: u32,
}

/// Where the index of the new part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexing {
    /// From the indexes of the sources; from the rows when a source has none.
    Merged,
    /// From the rows.
    Anew,
}

type Writer = SerializedFileWriter<BufWriter<Box<dyn NewFile>>>;

/// Writes the rows of the sources behind each other into a new file, which is durable when this returns. `scratch` is an
/// empty folder for what grows meanwhile.
///
/// # Errors
/// When a source is damaged or the disk is full; the new file is then of no use.
pub(crate) fn merge(
    files: &dyn Files,
    signal: Signal,
    sources: &[MergeSource],
    path: &Path,
    scratch: &Path,
    indexing: Indexing,
) -> Result<MergedFile, StoreError> {
    let failed =
        |action: &'static str| move |source| StoreError::Io { action, path: path.display().to_string(), source };
    let file = files.create(path).map_err(failed("create"))?;
    let Some(first) = sources.first() else {
        return Err(StoreError::Corrupt { path: path.display().to_string(), reason: "nothing to merge".to_owned() });
    };
    let described = first.open.metadata.metadata().file_metadata();
    let schema = described.schema_descr().root_schema_ptr();
    let mut writer: Writer = SerializedFileWriter::new(BufWriter::new(file), schema, Arc::new(properties(signal)?))?;
    for entry in described.key_value_metadata().into_iter().flatten().filter(|entry| entry.key != METADATA_KEY) {
        writer.append_key_value_metadata(entry.clone());
    }
    let mut rows = 0;
    for source in sources {
        rows += copy_rows(source, signal, &mut writer)?;
    }
    let offset = writer.bytes_written() as u64;
    let sources_have_all = sources.iter().all(|source| source.open.embedded.as_ref().is_some_and(Embedded::is_current));
    let embedded = if indexing == Indexing::Merged && sources_have_all {
        merge_indexes(sources, scratch, offset, &mut Raw(&mut writer))?
    } else {
        index_rows(signal, sources, offset, &mut Raw(&mut writer))?
    };
    writer.append_key_value_metadata(description(&embedded)?);
    let mut file = writer.into_inner()?.into_inner().map_err(|error| failed("write")(error.into_error()))?;
    file.sync().map_err(failed("sync"))?;
    drop(file);
    // Of the file as it can be read back.
    let (bytes, crc32c) = checksum(files, path)?;
    let last =
        files.open(path).and_then(|file| file.read(bytes.saturating_sub(FOOTER_END)..bytes)).map_err(failed("read"))?;
    Ok(MergedFile { rows, bytes, index_bytes: embedded.length, footer_bytes: footer_bytes(&last), crc32c })
}

fn merge_indexes(
    sources: &[MergeSource],
    scratch: &Path,
    offset: u64,
    out: &mut dyn std::io::Write,
) -> Result<Embedded, StoreError> {
    let mut indexes = Vec::with_capacity(sources.len());
    for source in sources {
        if let Some((bytes, embedded)) = source.open.index_bytes(&source.file, &source.record)? {
            indexes.push(IndexSource {
                path: &source.record.path,
                bytes,
                embedded,
                rows: source.record.rows,
                removed: source.removed.as_ref(),
            });
        }
    }
    index::merge(&indexes, scratch, offset, out)
}

/// Reads all rows that are kept and indexes them.
fn index_rows(
    signal: Signal,
    sources: &[MergeSource],
    offset: u64,
    out: &mut dyn std::io::Write,
) -> Result<Embedded, StoreError> {
    let mut index = IndexBuilder::new(signal)?;
    for source in sources {
        let mut reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(source.file.clone(), source.open.metadata.clone())
                .with_batch_size(INDEXED_ROWS);
        if let Some(removed) = &source.removed {
            let all: RoaringBitmap = (0..source.record.rows).collect();
            reader = reader.with_row_selection(super::read::selection(&(all - removed), source.record.rows as usize));
        }
        for batch in reader.build()? {
            index.add(&batch?)?;
        }
    }
    index.finish(offset, out)
}

/// Bytes between the last row group and the footer.
struct Raw<'a>(&'a mut Writer);

impl std::io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Copies a part's row groups and gives how many rows that were.
fn copy_rows(source: &MergeSource, signal: Signal, writer: &mut Writer) -> Result<u64, StoreError> {
    let mut copied = 0;
    for (number, here) in super::group_rows(source.open.metadata.metadata()).enumerate() {
        let rows = here.len() as u64;
        let removed = source.removed.as_ref().map_or(0, |removed| removed.range_cardinality(here.clone()));
        if removed == rows {
            continue;
        }
        if removed > 0 {
            let gone = source.removed.iter().flat_map(|removed| removed.range(here.clone()));
            copied += rewrite_group(source, number, here.start, &gone.collect(), signal, writer)?;
        } else {
            copy_group(source, number, writer)?;
            copied += rows;
        }
    }
    Ok(copied)
}

fn copy_group(source: &MergeSource, number: usize, writer: &mut Writer) -> Result<(), StoreError> {
    let metadata = source.open.metadata.metadata();
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source.file.clone(), source.open.metadata.clone());
    let group = metadata.row_group(number);
    let mut out = writer.next_row_group()?;
    for (place, column) in group.columns().iter().enumerate() {
        let column_index = metadata.column_index().and_then(|groups| groups.get(number)?.get(place)).cloned();
        let closed = ColumnCloseResult {
            bytes_written: column.compressed_size() as u64,
            rows_written: group.num_rows() as u64,
            metadata: column.clone(),
            bloom_filter: reader.get_row_group_column_bloom_filter(number, place)?,
            column_index: column_index.filter(|index| !matches!(index, ColumnIndexMetaData::NONE)),
            offset_index: metadata.offset_index().and_then(|groups| groups.get(number)?.get(place)).cloned(),
        };
        out.append_column(&source.file, closed)?;
    }
    out.close()?;
    Ok(())
}

/// Writes the rows of a group that are kept.
fn rewrite_group(
    source: &MergeSource,
    number: usize,
    first_row: u32,
    removed: &RoaringBitmap,
    signal: Signal,
    writer: &mut Writer,
) -> Result<u64, StoreError> {
    let metadata = source.open.metadata.clone();
    let rows = metadata.metadata().row_group(number).num_rows() as usize;
    let mut kept = Vec::new();
    let mut from = 0;
    for row in removed.iter().map(|row| (row - first_row) as usize).chain([rows]) {
        if from < row {
            kept.push(from..row);
        }
        from = row + 1;
    }
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source.file.clone(), metadata)
        .with_row_groups(vec![number])
        .with_row_selection(RowSelection::from_consecutive_ranges(kept.into_iter(), rows))
        .build()?;
    let schema = signal.schema();
    let factory = ArrowRowGroupWriterFactory::new(writer, Arc::clone(&schema));
    let mut columns = factory.create_column_writers(writer.flushed_row_groups().len())?;
    let mut written = 0;
    for batch in reader {
        let batch: RecordBatch = batch?;
        written += batch.num_rows() as u64;
        let mut writers = columns.iter_mut();
        for (field, array) in schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, array)? {
                if let Some(column) = writers.next() {
                    column.write(&leaf)?;
                }
            }
        }
    }
    let mut out = writer.next_row_group()?;
    for column in columns {
        column.close()?.append_to_row_group(&mut out)?;
    }
    out.close()?;
    Ok(written)
}
