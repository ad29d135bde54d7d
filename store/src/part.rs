//! Parts: sealed, immutable files of sorted rows with their index inside.

mod merge;
mod read;
mod write;

pub(crate) use merge::{Indexing, MergeSource, merge};
pub use read::PartReader;
pub(crate) use write::{PartWriter, WrittenPart, properties};

use crate::index::{Embedded, METADATA_KEY};
use crate::objects::{Blob, Objects};
use crate::{PartIndex, Signal, StoreError, TimeRange};
use arrow::array::{Array as _, ArrayRef, AsArray as _, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use roaring::RoaringBitmap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// The name of a part: sorts by the moment it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub ulid::Ulid);

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a part's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among the local objects.
    Local,
    /// In the object store.
    Remote,
}

/// What the catalog knows of a part.
#[derive(Clone, Debug)]
pub(crate) struct PartRecord {
    pub(crate) id: PartId,
    pub(crate) signal: Signal,
    pub(crate) path: String,
    pub(crate) place: Place,
    pub(crate) rows: u32,
    pub(crate) bytes: u64,
    pub(crate) index_bytes: u64,
    pub(crate) footer_bytes: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    /// CRC-32C of the file.
    pub(crate) crc32c: u32,
}

/// Opened parts, shared by all queries, bounded in number.
pub(crate) type OpenParts = moka::sync::Cache<PartId, Arc<OpenPart>>;

/// A part's footer and the way to its bytes.
pub(crate) struct OpenPart {
    bytes: Blob,
    metadata: ArrowReaderMetadata,
    embedded: Option<Embedded>,
    index: OnceLock<Arc<PartIndex>>,
    /// The pages of the times, once they were asked for.
    pages: OnceLock<Pages>,
}

/// Pages in the order of rows: their rows, earliest and latest time.
type Pages = Arc<[(Range<u32>, i64, i64)]>;

/// A published part. Cheap to hold: files are opened when they are read, and a bounded number stays open.
pub struct Part {
    record: PartRecord,
    objects: Objects,
    open: OpenParts,
    /// Set when its bytes were found to be others than were written: it is not read any more.
    damaged: AtomicBool,
}

/// The rows of each row group, in the order they stand.
fn group_rows(metadata: &ParquetMetaData) -> impl Iterator<Item = Range<u32>> {
    metadata.row_groups().iter().scan(0, |start, group| {
        let rows = *start..*start + group.num_rows() as u32;
        *start = rows.end;
        Some(rows)
    })
}

impl OpenPart {
    /// What the index holds and, of the file's bytes, those of the index; `None` when the part has none.
    fn index_bytes(&self, file: &Blob, record: &PartRecord) -> Result<Option<(Blob, &Embedded)>, StoreError> {
        let Some(embedded) = &self.embedded else { return Ok(None) };
        let outside =
            || StoreError::Corrupt { path: record.path.clone(), reason: "the index lies outside the file".to_owned() };
        Ok(Some((file.slice(embedded.offset, embedded.length).ok_or_else(outside)?, embedded)))
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.record).finish()
    }
}

impl Part {
    pub(crate) fn new(record: PartRecord, objects: Objects, open: OpenParts) -> Self {
        Self { record, objects, open, damaged: AtomicBool::new(false) }
    }

    /// Whether its bytes are not those that were written. Such a part gives errors instead of rows.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Reads the whole file and compares it with the checksum of when it was written; `false`, and the part is out of
    /// use, when they differ. A file of another length was rewritten on purpose, say without its index: such a one must
    /// have the same number of rows.
    pub(crate) async fn verify(&self) -> Result<bool, StoreError> {
        let sound = match self.objects.checksum(&self.record).await {
            Ok((length, crc32c)) if length == self.record.bytes => crc32c == self.record.crc32c,
            Ok(_) => !matches!(self.opened().await, Err(StoreError::Corrupt { .. })),
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !sound {
            self.damaged.store(true, Ordering::Relaxed);
            self.open.invalidate(&self.record.id);
        }
        Ok(sound)
    }

    /// The part's name.
    pub const fn id(&self) -> PartId {
        self.record.id
    }

    /// The signal of its rows.
    pub const fn signal(&self) -> Signal {
        self.record.signal
    }

    /// How many rows it holds.
    pub const fn rows(&self) -> u32 {
        self.record.rows
    }

    /// The size of its file, index included.
    pub const fn bytes(&self) -> u64 {
        self.record.bytes
    }

    /// The size of the index in the file.
    pub const fn index_bytes(&self) -> u64 {
        self.record.index_bytes
    }

    /// The earliest time of its rows.
    pub const fn min_time(&self) -> i64 {
        self.record.min_time
    }

    /// The latest time of its rows.
    pub const fn max_time(&self) -> i64 {
        self.record.max_time
    }

    /// The path of its file among the objects.
    pub fn path(&self) -> &str {
        &self.record.path
    }

    fn corrupt(&self, reason: impl fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.record.path.clone(), reason: reason.to_string() }
    }

    /// Opens it to be merged, less these rows. `scratch` is the name of a file that may be made for it.
    pub(crate) async fn merge_source(
        &self,
        removed: Option<RoaringBitmap>,
        scratch: &Path,
    ) -> Result<MergeSource, StoreError> {
        let open = self.opened().await?;
        let file = self.objects.open_to_copy(&self.record, scratch).await?;
        Ok(MergeSource { record: self.record.clone(), open, file, removed })
    }

    /// Whether its file is in the object store.
    pub const fn is_remote(&self) -> bool {
        matches!(self.record.place, Place::Remote)
    }

    /// Runs what reads its bytes: here where they are on this machine, where blocking is allowed otherwise.
    async fn reading<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        if self.is_remote() {
            return tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closing);
        }
        Ok(work())
    }

    /// What the catalog says of it.
    pub(crate) const fn record(&self) -> &PartRecord {
        &self.record
    }

    /// The rows of each row group, in the order they stand. A group holds what was sealed together.
    pub async fn row_groups(&self) -> Result<Vec<Range<u32>>, StoreError> {
        Ok(group_rows(self.opened().await?.metadata.metadata()).collect())
    }

    /// Whether its footer and index are in memory already.
    pub fn is_open(&self) -> bool {
        self.open.get(&self.record.id).is_some_and(|open| open.index.get().is_some())
    }

    async fn opened(&self) -> Result<Arc<OpenPart>, StoreError> {
        if self.is_damaged() {
            return Err(self.corrupt("its checksum is wrong, it is out of use"));
        }
        if let Some(open) = self.open.get(&self.record.id) {
            return Ok(open);
        }
        let bytes = self.objects.open(&self.record)?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let source = bytes.clone();
        let metadata = self.reading(move || ArrowReaderMetadata::load(&source, options)).await?;
        let metadata = metadata.map_err(|error| self.corrupt(error))?;
        if metadata.metadata().file_metadata().num_rows() != i64::from(self.record.rows) {
            return Err(self.corrupt("the file has another number of rows than the catalog says"));
        }
        let embedded = metadata
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .and_then(|entries| entries.iter().find(|entry| entry.key == METADATA_KEY))
            .and_then(|entry| entry.value.as_deref())
            .map(serde_json::from_str::<Embedded>)
            .transpose()
            .map_err(|error| self.corrupt(error))?;
        let open = Arc::new(OpenPart { bytes, metadata, embedded, index: OnceLock::new(), pages: OnceLock::new() });
        self.open.insert(self.record.id, Arc::clone(&open));
        Ok(open)
    }

    /// Opens the index; `None` when the part has none, or one of another version, so that it must be scanned.
    pub async fn index(&self) -> Result<Option<Arc<PartIndex>>, StoreError> {
        let open = self.opened().await?;
        if let Some(index) = open.index.get() {
            return Ok(Some(Arc::clone(index)));
        }
        let found = open.index_bytes(&open.bytes, &self.record)?;
        let Some((bytes, embedded)) = found.filter(|(_, embedded)| embedded.is_current()) else { return Ok(None) };
        let (signal, path, embedded) = (self.record.signal, self.record.path.clone(), embedded.clone());
        let index = Arc::new(self.reading(move || PartIndex::open(signal, &path, &bytes, &embedded)).await??);
        Ok(Some(Arc::clone(open.index.get_or_init(|| index))))
    }

    /// The rows of all pages that may hold times inside the range: a superset of the rows in it.
    pub async fn rows_in(&self, range: TimeRange) -> Result<RoaringBitmap, StoreError> {
        let mut rows = RoaringBitmap::new();
        if range.covers(self.record.min_time, self.record.max_time) {
            rows.insert_range(0..self.record.rows);
            return Ok(rows);
        }
        if !range.touches(self.record.min_time, self.record.max_time) {
            return Ok(rows);
        }
        for (page, min, max) in self.pages().await?.iter() {
            if range.touches(*min, *max) {
                rows.insert_range(page.clone());
            }
        }
        Ok(rows)
    }

    /// The pages of the times in the order of rows: their rows, earliest and latest time. A file without such figures is
    /// one page.
    pub async fn pages(&self) -> Result<Arc<[(Range<u32>, i64, i64)]>, StoreError> {
        let open = self.opened().await?;
        if let Some(pages) = open.pages.get() {
            return Ok(Arc::clone(pages));
        }
        let (min, max) = (self.record.min_time, self.record.max_time);
        let pages = self.pages_of("time").await?.into_iter();
        let pages =
            pages.map(|(rows, known)| known.map_or((rows.clone(), min, max), |(min, max)| (rows, min, max))).collect();
        Ok(Arc::clone(open.pages.get_or_init(|| pages)))
    }

    /// The rows of all pages of a column of integers that may hold one that passes, by the least and the most of each row group and page: a superset
    /// of the rows that do. Where the file has no such figures, all rows pass.
    pub async fn rows_where(
        &self,
        column: &str,
        passes: impl Fn(i64, i64) -> bool,
    ) -> Result<RoaringBitmap, StoreError> {
        let open = self.opened().await?;
        let metadata = open.metadata.metadata();
        let converter =
            StatisticsConverter::try_new(column, open.metadata.schema(), metadata.file_metadata().schema_descr())?;
        let mins = integers(&converter.row_group_mins(metadata.row_groups())?)?;
        let maxes = integers(&converter.row_group_maxes(metadata.row_groups())?)?;
        let may_pass = |group: usize| {
            let is_known = mins.is_valid(group) && maxes.is_valid(group);
            !is_known || passes(mins.value(group), maxes.value(group))
        };
        let mut rows = RoaringBitmap::new();
        for (_, group) in group_rows(metadata).enumerate().filter(|(number, _)| may_pass(*number)) {
            rows.insert_range(group);
        }
        if !rows.is_empty() {
            for (page, known) in self.pages_of(column).await? {
                if known.is_some_and(|(least, most)| !passes(least, most)) {
                    rows.remove_range(page);
                }
            }
        }
        Ok(rows)
    }

    /// The pages of a column of integers or times in the order of rows, with the least and the most of each where the file says so.
    async fn pages_of(&self, column: &str) -> Result<Vec<(Range<u32>, Option<(i64, i64)>)>, StoreError> {
        let whole = vec![(0..self.record.rows, None)];
        let open = self.opened().await?;
        let metadata = open.metadata.metadata();
        let (Some(column_index), Some(offset_index)) = (metadata.column_index(), metadata.offset_index()) else {
            return Ok(whole);
        };
        let converter =
            StatisticsConverter::try_new(column, open.metadata.schema(), metadata.file_metadata().schema_descr())?;
        let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
        let mins = converter.data_page_mins(column_index, offset_index, &groups)?;
        let maxes = converter.data_page_maxes(column_index, offset_index, &groups)?;
        let counts = converter.data_page_row_counts(offset_index, metadata.row_groups(), &groups)?;
        let (mins, maxes) = (integers(&mins)?, integers(&maxes)?);
        let Some(counts) = counts else { return Ok(whole) };
        let mut start = 0_u32;
        let page = |page: usize| {
            let end = start + counts.value(page) as u32;
            let rows = std::mem::replace(&mut start, end)..end;
            let is_known = mins.is_valid(page) && maxes.is_valid(page);
            (rows, is_known.then(|| (mins.value(page), maxes.value(page))))
        };
        Ok((0..counts.len()).map(page).collect())
    }

    /// The rows of all row groups that may hold these bytes in an id column, by its bloom filters: a superset of the
    /// rows that do. A column without filters gives all rows.
    pub async fn rows_that_may_hold(&self, column: &str, bytes: &[u8]) -> Result<RoaringBitmap, StoreError> {
        let open = self.opened().await?;
        let schema = open.metadata.parquet_schema();
        let leaf = schema.columns().iter().position(|leaf| leaf.path().string() == column);
        let Some(leaf) = leaf else { return Ok(RoaringBitmap::new()) };
        let bytes = bytes.to_vec();
        let may_hold = move || {
            let mut rows = RoaringBitmap::new();
            let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(open.bytes.clone(), open.metadata.clone());
            for (group, held) in group_rows(open.metadata.metadata()).enumerate() {
                let filter = reader.get_row_group_column_bloom_filter(group, leaf)?;
                if filter.is_none_or(|filter| filter.check(bytes.as_slice())) {
                    rows.insert_range(held);
                }
            }
            Ok(rows)
        };
        self.reading(may_hold).await?
    }

    /// Splits columns into two groups whose pages cost about the same to decode, each in the order given.
    pub async fn halves<'a>(&self, columns: &[&'a str]) -> Result<[Vec<&'a str>; 2], StoreError> {
        let open = self.opened().await?;
        Ok(read::halves(&open.metadata, columns))
    }

    /// Opens a reader over these columns, in this order, and these rows (`None`: all), in the order of the part.
    ///
    /// Only the pages that hold the rows are read.
    pub async fn read(&self, columns: &[&str], rows: Option<&RoaringBitmap>) -> Result<PartReader, StoreError> {
        let open = self.opened().await?;
        PartReader::new(&self.record, open.bytes.clone(), open.metadata.clone(), columns, rows)
    }
}

/// Integers or times as integers.
fn integers(array: &ArrayRef) -> Result<Int64Array, StoreError> {
    Ok(arrow::compute::cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
