//! Matching rows of one part or hot batch, batch by batch, for those who drive the scan themselves.

use super::Control;
use super::control::{Batches, blocking};
use super::plan;
use crate::QueryError;
use crate::language::Expr;
use arrow::datatypes::Schema;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use mangru_store::{Part, Signal, TimeRange};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// The matching rows of a part.
pub(crate) struct PartRows {
    source: Source,
    signal: Signal,
    filter: Option<Expr>,
    range: Option<TimeRange>,
    columns: Vec<&'static str>,
}

enum Source {
    Read(Box<Batches>),
    /// So many rows, of which nothing but their number is asked.
    Counted(u64),
}

/// How many rows of a part are left: by the statistics of its pages, its bloom filters and its index each alone, and by all.
pub(crate) struct PartLeft {
    pub(crate) time: u64,
    pub(crate) bloom_filters: Option<u64>,
    pub(crate) index: Option<u64>,
    pub(crate) statistics: Option<u64>,
    pub(crate) to_read: u64,
}

/// Rows of a batch without columns.
const COUNTED_ROWS: u64 = 1 << 20;

/// Plans a part and opens it; `None` when nothing in it can match.
pub(crate) async fn open_part(
    part: Arc<Part>,
    signal: Signal,
    filter: &Expr,
    range: TimeRange,
    columns: &[&'static str],
    control: &Control,
) -> Result<Option<PartRows>, QueryError> {
    open_part_told(part, signal, filter, range, columns, control, |_| {}).await
}

/// The same, and tells how many rows each step of planning leaves.
pub(crate) async fn open_part_told(
    part: Arc<Part>,
    signal: Signal,
    filter: &Expr,
    range: TimeRange,
    columns: &[&'static str],
    control: &Control,
    tell: impl FnOnce(&PartLeft) + Send,
) -> Result<Option<PartRows>, QueryError> {
    control.check()?;
    let Some(plan) = plan::plan(part, filter, range).await? else { return Ok(None) };
    let plan::Steps { time, bloom_filters, index, statistics } = plan.steps;
    tell(&PartLeft { time, bloom_filters, index, statistics, to_read: plan.len() });
    if plan.len() == 0 {
        return Ok(None);
    }
    if columns.is_empty() && plan.is_exact() && !plan.part.is_damaged() {
        let source = Source::Counted(plan.len());
        return Ok(Some(PartRows { source, signal, filter: None, range: None, columns: Vec::new() }));
    }
    let filter = (!plan.filter_is_done).then(|| filter.clone());
    let range = (!plan.range_is_done).then_some(range);
    let mut needed = columns.to_vec();
    if let Some(filter) = &filter {
        needed = plan::union(&needed, &filter.columns(signal));
    }
    if range.is_some() || needed.is_empty() {
        needed = plan::union(&needed, &["time"]);
    }
    let source = Source::Read(Box::new(control.batches(plan.part.read(&needed, plan.rows.as_ref()).await?)));
    Ok(Some(PartRows { source, signal, filter, range, columns: columns.to_vec() }))
}

impl PartRows {
    /// The next rows; blocks.
    pub(crate) fn next_batch(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        let batch = match &mut self.source {
            Source::Read(batches) => batches.next()?,
            Source::Counted(0) => return None,
            Source::Counted(left) => {
                let rows = (*left).min(COUNTED_ROWS);
                *left -= rows;
                let options = RecordBatchOptions::new().with_row_count(Some(rows as usize));
                let empty = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
                return Some(empty.map_err(QueryError::from));
            }
        };
        let read = || {
            let rows = plan::filtered(self.signal, &batch?, self.filter.as_ref(), self.range)?;
            plan::project(&rows, &self.columns)
        };
        Some(read())
    }
}

/// The numbers of a part's matching rows.
pub(crate) async fn matching_rows(
    part: Arc<Part>,
    filter: &Expr,
    range: TimeRange,
    control: &Control,
) -> Result<RoaringBitmap, QueryError> {
    control.check()?;
    let signal = part.signal();
    let Some(plan) = plan::plan(part, filter, range).await? else { return Ok(RoaringBitmap::new()) };
    let rows = plan.rows.clone().unwrap_or_else(|| (0..plan.part.rows()).collect());
    if plan.is_exact() || rows.is_empty() {
        return Ok(rows);
    }
    let filter = (!plan.filter_is_done).then(|| filter.clone());
    let range = (!plan.range_is_done).then_some(range);
    let mut columns = filter.as_ref().map(|filter| filter.columns(signal)).unwrap_or_default();
    columns = plan::union(&columns, &["time"]);
    let batches = control.batches(plan.part.read(&columns, Some(&rows)).await?);
    blocking(move || {
        let mut numbers = rows.iter();
        let mut found = RoaringBitmap::new();
        for batch in batches {
            let batch = batch?;
            let keep = plan::matching(signal, &batch, filter.as_ref(), range)?;
            found.extend(
                numbers
                    .by_ref()
                    .take(batch.num_rows())
                    .enumerate()
                    .filter_map(|(place, number)| keep.value(place).then_some(number)),
            );
        }
        Ok(found)
    })
    .await
}

/// The matching rows of a hot batch.
pub(crate) fn hot_rows(
    batch: &RecordBatch,
    signal: Signal,
    filter: &Expr,
    range: TimeRange,
    columns: &[&'static str],
    control: &Control,
) -> Result<RecordBatch, QueryError> {
    control.check()?;
    plan::project(&plan::filtered(signal, batch, Some(filter), Some(range))?, columns)
}
