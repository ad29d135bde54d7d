//! For one part: which rows to read, and whether they must be looked at.

use super::control::blocking;
use crate::QueryError;
use crate::language::{self, Expr, IdLookups, Lookup};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use mangru_store::{Part, Signal, TimeRange};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// The rows of a part that a query looks at.
pub(crate) struct PartPlan {
    pub(crate) part: Arc<Part>,
    /// The rows to read; `None` means all.
    pub(crate) rows: Option<RoaringBitmap>,
    /// Whether every such row matches the filter for sure.
    pub(crate) filter_is_done: bool,
    /// Whether every such row lies in the time range for sure.
    pub(super) range_is_done: bool,
    pub(super) steps: Steps,
}

/// How many rows of a part each step of planning leaves by itself.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// The statistics of its pages, of the time range.
    pub(super) time: u64,
    /// The bloom filters of its pages, of the ids that are searched for; none when no id is.
    pub(super) bloom_filters: Option<u64>,
    /// Its index; none when that cannot say.
    pub(super) index: Option<u64>,
    /// The statistics of its pages, of the numbers that are searched for, together with all before; none when they were not asked.
    pub(super) statistics: Option<u64>,
}

impl PartPlan {
    /// How many rows are to be read.
    pub(super) fn len(&self) -> u64 {
        self.rows.as_ref().map_or_else(|| u64::from(self.part.rows()), RoaringBitmap::len)
    }

    /// The rows to read, unless the time range alone chose them.
    pub(crate) const fn chosen(&self) -> Option<&RoaringBitmap> {
        if self.steps.index.is_none() && self.steps.statistics.is_none() { None } else { self.rows.as_ref() }
    }

    /// Whether the rows are known without reading any.
    pub(crate) const fn is_exact(&self) -> bool {
        self.filter_is_done && self.range_is_done
    }
}

/// Of fewer rows the statistics of pages are not asked: to read them costs no more.
const WORTH_STATISTICS: u64 = 256;

/// Parts that are opened before a scan begins; those behind them may not be needed.
const OPENED_AHEAD: usize = 128;

/// Opens the first parts that are not, several at the same time: their footers and indexes are read and decoded, which is most of what the first
/// search after a start takes. Errors come again when the part is read.
pub(super) async fn open(parts: &[Arc<Part>], range: TimeRange) {
    let closed = parts.iter().filter(|part| range.touches(part.min_time(), part.max_time()) && !part.is_open());
    let opening: Vec<_> = closed
        .take(OPENED_AHEAD)
        .map(|part| {
            let part = Arc::clone(part);
            tokio::spawn(async move { part.index().await.map(|_| ()) })
        })
        .collect();
    for opened in opening {
        let _ = opened.await;
    }
}

/// Asks index, bloom filters and page statistics of a part. `None` when the part has nothing in the range.
pub(super) async fn plan(part: Arc<Part>, filter: &Expr, range: TimeRange) -> Result<Option<PartPlan>, QueryError> {
    if matches!(filter, Expr::All) {
        return plan_here(part, filter, range).await;
    }
    let (runtime, filter) = (tokio::runtime::Handle::current(), filter.clone());
    blocking(move || runtime.block_on(plan_here(part, &filter, range))).await
}

/// The same on this thread, which may block unless all rows match.
pub(super) async fn plan_here(
    part: Arc<Part>,
    filter: &Expr,
    range: TimeRange,
) -> Result<Option<PartPlan>, QueryError> {
    if !range.touches(part.min_time(), part.max_time()) {
        return Ok(None);
    }
    let range_is_done = range.covers(part.min_time(), part.max_time());
    let mut rows = if range_is_done { None } else { Some(part.rows_in(range).await?) };
    let time = rows.as_ref().map_or_else(|| u64::from(part.rows()), RoaringBitmap::len);
    let mut steps = Steps { time, bloom_filters: None, index: None, statistics: None };
    let mut filter_is_done = matches!(filter, Expr::All);
    if !filter_is_done && let Some(index) = part.index().await? {
        let mut ids = IdLookups::new();
        for (column, id) in filter.span_ids() {
            let found = part.rows_that_may_hold(column, &id).await?;
            *steps.bloom_filters.get_or_insert(0) += found.len();
            ids.insert((column, id), found);
        }
        let lookup = Lookup { signal: part.signal(), index: &index, ids: &ids, total: part.rows() };
        if let Some(found) = language::candidates(filter, &lookup)? {
            steps.index = Some(found.rows.len());
            filter_is_done = found.exact;
            rows = Some(match rows {
                Some(rows) => rows & found.rows,
                None => found.rows,
            });
        }
    }
    let left = |rows: &Option<RoaringBitmap>| rows.as_ref().map_or_else(|| u64::from(part.rows()), RoaringBitmap::len);
    let integers = if filter_is_done { Vec::new() } else { filter.integers(part.signal()) };
    for (column, matcher) in integers {
        if left(&rows) < WORTH_STATISTICS {
            break;
        }
        let found = part.rows_where(column, |least, most| matcher.may_be_within(least, most)).await?;
        if found.len() < u64::from(part.rows()) {
            rows = Some(match rows {
                Some(rows) => rows & found,
                None => found,
            });
        }
        steps.statistics = Some(left(&rows));
    }
    Ok(Some(PartPlan { part, rows, filter_is_done, range_is_done, steps }))
}

/// Which rows of a batch are in the range and match; the batch holds `time` and the filter's columns.
pub(super) fn matching(
    signal: Signal,
    batch: &RecordBatch,
    filter: Option<&Expr>,
    range: Option<TimeRange>,
) -> Result<BooleanArray, QueryError> {
    let mut bits = BooleanBuffer::new_set(batch.num_rows());
    if let Some(range) = range {
        let inside: BooleanBuffer = times(batch)?.iter().map(|time| range.contains(*time)).collect();
        bits = &bits & &inside;
    }
    if let Some(filter) = filter {
        bits = &bits & filter.matches(signal, batch)?.values();
    }
    Ok(BooleanArray::new(bits, None))
}

/// The rows of a batch that are in the range and match.
pub(super) fn filtered(
    signal: Signal,
    batch: &RecordBatch,
    filter: Option<&Expr>,
    range: Option<TimeRange>,
) -> Result<RecordBatch, QueryError> {
    if filter.is_none() && range.is_none() {
        return Ok(batch.clone());
    }
    Ok(filter_record_batch(batch, &matching(signal, batch, filter, range)?)?)
}

/// The times of a batch's rows.
pub(super) fn times(batch: &RecordBatch) -> Result<&[i64], QueryError> {
    let column = batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
    Ok(column.as_primitive::<TimestampNanosecondType>().values())
}

/// The batch with these columns only, in this order.
pub(super) fn project(batch: &RecordBatch, columns: &[&str]) -> Result<RecordBatch, QueryError> {
    let schema = batch.schema();
    let places = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(batch.project(&places)?)
}

/// Names put together, each once.
pub(super) fn union(left: &[&'static str], right: &[&'static str]) -> Vec<&'static str> {
    let mut all = left.to_vec();
    for name in right {
        if !all.contains(name) {
            all.push(name);
        }
    }
    all
}
