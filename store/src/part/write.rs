//! Writing a part: sorted rows as Parquet, the index of the rows between the last row group and the footer.

use crate::index::{Embedded, IndexBuilder, METADATA_KEY};
use crate::{Signal, StoreError};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows per data page: a selective read decodes pages, not columns.
pub(super) const PAGE_ROWS: usize = 2048;
/// Rows per row group.
const ROW_GROUP_ROWS: usize = 262_144;
/// Each false alarm costs the reading of one column's chunk; an id takes six bits.
const BLOOM_FALSE_ALARMS: f64 = 0.05;
/// Of the dictionary of attributes' values: who reads one row of a row group decodes all of it.
const VALUE_DICTIONARY_BYTES: usize = 128 << 10;
/// The key of the signal's table name in the footer's metadata.
pub(crate) const TABLE_KEY: &str = "mangru.table";

/// A finished part file in memory.
pub(crate) struct WrittenPart {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) index_bytes: u64,
    pub(crate) footer_bytes: u64,
    /// CRC-32C of the bytes.
    pub(crate) crc32c: u32,
}

/// Takes a part's rows in their order and makes the file.
pub(crate) struct PartWriter {
    writer: ArrowWriter<Vec<u8>>,
    index: IndexBuilder,
    rows: u64,
}

impl PartWriter {
    /// A part without rows, that will have about this many.
    pub(crate) fn new(signal: Signal, rows: usize) -> Result<Self, StoreError> {
        let bytes = Vec::with_capacity(rows.saturating_mul(ROW_BYTES).min(MAX_EXPECTED_BYTES));
        let mut writer = ArrowWriter::try_new(bytes, signal.schema(), Some(properties(signal)?))?;
        writer.append_key_value_metadata(KeyValue::new(TABLE_KEY.to_owned(), signal.table().to_owned()));
        Ok(Self { writer, index: IndexBuilder::new(signal)?, rows: 0 })
    }

    /// Adds the next rows.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        self.writer.write(rows)?;
        self.index.add(rows)?;
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Writes index and footer.
    pub(crate) fn finish(mut self) -> Result<WrittenPart, StoreError> {
        self.writer.flush()?;
        let offset = self.writer.bytes_written() as u64;
        let embedded = self.index.finish(offset, &mut Raw(&mut self.writer))?;
        self.writer.append_key_value_metadata(description(&embedded)?);
        let (rows, index_bytes) = (self.rows, embedded.length);
        let bytes = self.writer.into_inner()?;
        let (footer_bytes, crc32c) = (footer_bytes(&bytes), crc32c::crc32c(&bytes));
        Ok(WrittenPart { bytes, rows, index_bytes, footer_bytes, crc32c })
    }
}

/// Most parts take less for a row, index included. What is not written to costs no memory.
const ROW_BYTES: usize = 100;
/// More room than this is not taken beforehand.
const MAX_EXPECTED_BYTES: usize = 64 << 20;

/// Bytes at a file's end that say how long its footer is: the length and the magic.
pub(super) const FOOTER_END: u64 = 8;

/// The length of a Parquet file's footer, by the file's last bytes.
pub(super) fn footer_bytes(file: &[u8]) -> u64 {
    let length = file.len().checked_sub(FOOTER_END as usize).and_then(|at| file.get(at..at + 4));
    length.and_then(|bytes| bytes.try_into().ok()).map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
}

/// Bytes between the last row group and the footer.
struct Raw<'a>(&'a mut ArrowWriter<Vec<u8>>);

impl std::io::Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The entry of the footer's metadata that says where the index stands.
pub(super) fn description(embedded: &Embedded) -> Result<KeyValue, StoreError> {
    let text = serde_json::to_string(embedded)
        .map_err(|error| StoreError::Corrupt { path: "index being built".to_owned(), reason: error.to_string() })?;
    Ok(KeyValue::new(METADATA_KEY.to_owned(), text))
}

/// How each column is written.
pub(crate) fn properties(signal: Signal) -> Result<WriterProperties, StoreError> {
    let path = |name: &str| ColumnPath::from(name);
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_created_by(concat!("mangru ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(path("time"), EnabledStatistics::Page)
        .set_column_dictionary_enabled(path("time"), false)
        .set_column_encoding(path("time"), Encoding::DELTA_BINARY_PACKED);
    // Templates with values: a better level finds the templates, at a tenth of what a row costs in all.
    let values = ColumnPath::new(["attributes", "key_value", "value"].map(str::to_owned).to_vec());
    builder = builder
        .set_column_compression(path("body"), Compression::ZSTD(ZstdLevel::try_new(6)?))
        .set_column_compression(values.clone(), Compression::ZSTD(ZstdLevel::try_new(8)?))
        .set_column_dictionary_page_size_limit(values, VALUE_DICTIONARY_BYTES);
    let plain_integers: &[&str] = match signal {
        Signal::Logs => &["observed_delay_ns"],
        Signal::Spans => &["duration_ns"],
        Signal::MetricPoints => &["value_int"],
    };
    for name in plain_integers {
        builder = builder
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    if signal == Signal::Spans {
        // Slow spans are searched for, and most pages have none that is very slow.
        builder = builder.set_column_statistics_enabled(path("duration_ns"), EnabledStatistics::Page);
    }
    if signal == Signal::MetricPoints {
        for name in ["value_double", "sum"] {
            builder = builder
                .set_column_dictionary_enabled(path(name), false)
                .set_column_encoding(path(name), Encoding::BYTE_STREAM_SPLIT);
        }
    } else {
        builder = builder
            .set_column_dictionary_enabled(path("trace_id"), false)
            .set_column_statistics_enabled(path("trace_id"), EnabledStatistics::None)
            .set_column_bloom_filter_enabled(path("trace_id"), true)
            .set_column_bloom_filter_fpp(path("trace_id"), BLOOM_FALSE_ALARMS);
        let ids: &[&str] = if signal == Signal::Spans { &["span_id", "parent_span_id"] } else { &["span_id"] };
        for name in ids {
            builder = builder
                .set_column_dictionary_enabled(path(name), false)
                .set_column_statistics_enabled(path(name), EnabledStatistics::None)
                .set_column_bloom_filter_enabled(path(name), true)
                .set_column_bloom_filter_fpp(path(name), BLOOM_FALSE_ALARMS);
        }
        if signal == Signal::Logs {
            builder = builder
                .set_column_dictionary_enabled(path("body"), false)
                .set_column_statistics_enabled(path("body"), EnabledStatistics::None);
        }
    }
    Ok(builder.build())
}
