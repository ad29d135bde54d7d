//! The newest matching rows, page by page.

use super::aggregate::count_planned;
use super::control::{Held, blocking};
use super::cursor::{Cursor, hashes, identity_columns};
use super::plan::{self, PartPlan, matching, times};
use super::planner::Planner;
use super::{Control, ScanRequest};
use crate::QueryError;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use mangru_store::{Part, Signal, Store};
use roaring::RoaringBitmap;
use std::ops::Range;
use std::sync::Arc;

/// Rows that may be read only to count matches exactly.
const COUNT_BUDGET: u64 = 4_000_000;
/// Rows of the first window that is looked at; each next one is four times as long.
const FIRST_WINDOW: u64 = 512;
/// So many rows are looked at in one window.
const FEW_ROWS: u64 = 16_384;

/// From so many columns on, two read them.
const SHARED_COLUMNS: usize = 12;

/// Which matches are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// All, as far as that is possible within reason.
    All,
    /// Those that are met on the way to the page.
    Page,
}

/// A page of the newest rows.
pub(crate) struct Newest {
    /// The rows, newest first, with the request's columns.
    pub(crate) rows: RecordBatch,
    /// The place of each row.
    pub(crate) cursors: Vec<Cursor>,
    /// How many rows match in all, on all pages.
    pub(crate) matched: u64,
    /// Whether `matched` is that number, or only that there are so many at least.
    pub(crate) matched_is_exact: bool,
    /// Rows of the parts and hot batches that touch the range.
    pub(crate) rows_in_range: u64,
    /// Whether older rows match.
    pub(crate) more: bool,
    /// Parts that could not be read.
    pub(crate) unreadable_parts: Vec<String>,
}

/// The best rows so far: batches with all needed columns, and a place for each row.
struct Best {
    limit: usize,
    before: Option<Cursor>,
    batches: Vec<RecordBatch>,
    places: Vec<(Cursor, usize, usize)>,
    /// The memory of the batches.
    held: Held,
}

impl Best {
    /// The time below which rows cannot be on the page, when the page is full. One more row than the page is kept, to know
    /// whether there is a next one. Rows of the cursor's own time do not count: some were on earlier pages.
    fn floor(&self) -> Option<i64> {
        let seen =
            self.before.map_or(0, |before| self.places.partition_point(|(cursor, _, _)| cursor.time >= before.time));
        self.places.get(seen + self.limit).map(|(cursor, _, _)| cursor.time)
    }

    /// Whether rows of this time may be wanted at all.
    fn wants(&self, time: i64) -> bool {
        self.before.is_none_or(|before| time <= before.time) && self.floor().is_none_or(|floor| time >= floor)
    }

    /// Whether any row of the part may be wanted.
    fn wants_any(&self, part: &Part) -> bool {
        self.floor().is_none_or(|floor| part.max_time() >= floor)
            && self.before.is_none_or(|before| part.min_time() <= before.time)
    }

    /// Takes matching rows. Rows that say the same at the same time are numbered in the order they come.
    fn add(&mut self, signal: Signal, rows: RecordBatch) -> Result<(), QueryError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let hashes = hashes(signal, &rows)?;
        let number = self.batches.len();
        for (row, (time, hash)) in times(&rows)?.iter().zip(hashes).enumerate() {
            self.places.push((Cursor { time: *time, hash, ordinal: 0 }, number, row));
        }
        self.batches.push(rows);
        self.held.cover(self.batches.iter().map(RecordBatch::get_array_memory_size).sum())?;
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.places
            .sort_unstable_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)).then(left.2.cmp(&right.2)));
        // Rows of one time stay together until all of that time were seen, since their order hangs on their hashes.
        if let Some(floor) = self.floor() {
            let keep = self.places.partition_point(|(cursor, _, _)| cursor.time >= floor);
            self.places.truncate(keep);
        }
    }

    /// The page: numbered, behind the cursor, cut to the limit.
    fn finish(
        mut self,
        columns: &[&'static str],
        signal: Signal,
    ) -> Result<(RecordBatch, Vec<Cursor>, bool), QueryError> {
        let mut last: Option<(i64, u64, u32)> = None;
        for (cursor, _, _) in &mut self.places {
            let ordinal = match last {
                Some((time, hash, ordinal)) if (time, hash) == (cursor.time, cursor.hash) => ordinal + 1,
                _ => 0,
            };
            cursor.ordinal = ordinal;
            last = Some((cursor.time, cursor.hash, ordinal));
        }
        if let Some(before) = self.before {
            // Newest first: times and hashes fall, numbers of equal rows rise.
            self.places.retain(|(cursor, _, _)| {
                (cursor.time, cursor.hash) < (before.time, before.hash)
                    || ((cursor.time, cursor.hash) == (before.time, before.hash) && cursor.ordinal > before.ordinal)
            });
        }
        let more = self.places.len() > self.limit;
        self.places.truncate(self.limit);
        let batches = self.batches.iter().map(|batch| plan::project(batch, columns)).collect::<Result<Vec<_>, _>>()?;
        let rows = if self.places.is_empty() {
            let schema = signal.schema();
            let places = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
            RecordBatch::new_empty(Arc::new(schema.project(&places)?))
        } else {
            let sources: Vec<&RecordBatch> = batches.iter().collect();
            let places: Vec<(usize, usize)> = self.places.iter().map(|(_, batch, row)| (*batch, *row)).collect();
            interleave_record_batch(&sources, &places)?
        };
        Ok((rows, self.places.into_iter().map(|(cursor, _, _)| cursor).collect(), more))
    }
}

/// The newest rows that match, those behind the cursor only.
pub(crate) async fn newest(
    store: &Arc<Store>,
    request: &ScanRequest,
    limit: usize,
    before: Option<Cursor>,
    counting: Counting,
    control: &Control,
) -> Result<Newest, QueryError> {
    let snapshot = store.snapshot(request.signal);
    plan::open(&snapshot.parts, request.range).await;
    let signal = request.signal;
    let columns = plan::union(&plan::union(&request.columns, identity_columns(signal)), &["time"]);
    let mut best = Best { limit, before, batches: Vec::new(), places: Vec::new(), held: control.held() };
    let mut found = Newest {
        rows: RecordBatch::new_empty(signal.schema()),
        cursors: Vec::new(),
        matched: 0,
        matched_is_exact: true,
        rows_in_range: snapshot.hot.iter().map(|batch| batch.num_rows() as u64).sum(),
        more: false,
        unreadable_parts: Vec::new(),
    };

    let (hot, hot_request, hot_control, hot_columns) =
        (snapshot.hot, request.clone(), control.clone(), columns.clone());
    let (taken, matched) = blocking(move || {
        let mut best = best;
        let mut matched = 0;
        for batch in &hot {
            hot_control.check()?;
            let rows = plan::filtered(signal, batch, Some(&hot_request.filter), Some(hot_request.range))?;
            matched += rows.num_rows() as u64;
            let rows = wanted(&best, &plan::project(&rows, &hot_columns)?)?;
            best.add(signal, rows)?;
        }
        Ok((best, matched))
    })
    .await?;
    best = taken;
    found.matched += matched;

    let mut budget = if counting == Counting::All { COUNT_BUDGET } else { 0 };
    let mut planner = Planner::new(&snapshot.parts, &request.filter, request.range, 1, control);
    let (mut rows_in_range, mut is_all_planned) = (0, true);
    loop {
        let is_wanted = |part: &Part| {
            rows_in_range += u64::from(part.rows());
            let is_wanted = counting == Counting::All || best.wants_any(part);
            is_all_planned &= is_wanted;
            is_wanted
        };
        let Some((part, plan)) = planner.next(is_wanted).await else { break };
        let rows = match plan {
            Ok(None) => Ok((0, true)),
            Ok(Some(plan)) => part_rows(&plan, request, &columns, &mut best, &mut budget, control).await,
            Err(error) => Err(error),
        };
        match rows {
            Ok((matched, exact)) => {
                found.matched += matched;
                found.matched_is_exact &= exact;
            }
            Err(error) if error.code == crate::ErrorCode::Internal => {
                let path = part.path().to_owned();
                tracing::error!(path, %error, "part could not be read");
                found.unreadable_parts.push(path);
                found.matched_is_exact = false;
            }
            Err(error) => return Err(error),
        }
    }
    found.rows_in_range += rows_in_range;
    found.matched_is_exact &= is_all_planned;
    let (rows, cursors, more) = best.finish(&request.columns, signal)?;
    found.rows = rows;
    found.cursors = cursors;
    found.more = more;
    Ok(found)
}

/// Only the rows whose time may still be wanted.
fn wanted(best: &Best, rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let keep: arrow::array::BooleanArray = times(rows)?.iter().map(|time| Some(best.wants(*time))).collect();
    Ok(arrow::compute::filter_record_batch(rows, &keep)?)
}

/// Adds a part's newest rows, and gives how many of its rows match and whether that is exact.
async fn part_rows(
    plan: &PartPlan,
    request: &ScanRequest,
    columns: &[&'static str],
    best: &mut Best,
    budget: &mut u64,
    control: &Control,
) -> Result<(u64, bool), QueryError> {
    control.check()?;
    let can_hold = best.wants_any(&plan.part);
    let mut counted = None;
    if can_hold && plan.len() > 0 {
        let (hits, seen_all) = hits(plan, request, best, control).await?;
        if seen_all {
            counted = Some(hits.matched);
        }
        if !hits.rows.is_empty() {
            best.add(request.signal, fetched(&plan.part, columns, &hits.rows, control).await?)?;
        }
    }
    if let Some(matched) = counted {
        return Ok((matched, true));
    }
    if plan.is_exact() {
        return Ok((plan.len(), true));
    }
    if plan.len() > *budget {
        return Ok((0, false));
    }
    *budget -= plan.len();
    Ok((count_planned(plan, request, control).await?, true))
}

/// Rows of a part. Of few rows of many columns most of the work is to open and unpack a page of each column: two processors share it.
async fn fetched(
    part: &Arc<Part>,
    columns: &[&'static str],
    rows: &RoaringBitmap,
    control: &Control,
) -> Result<RecordBatch, QueryError> {
    let read = async |columns: &[&'static str]| {
        let reader = part.read(columns, Some(rows)).await?;
        let schema = reader.schema();
        let batches = control.batches(reader);
        blocking(move || Ok(concat_batches(&schema, &batches.collect::<Result<Vec<_>, _>>()?)?)).await
    };
    if columns.len() < SHARED_COLUMNS {
        return read(columns).await;
    }
    let [first, second] = part.halves(columns).await?;
    let (first, second) = tokio::try_join!(read(&first), read(&second))?;
    let column = |name: &&str| {
        let found = first.column_by_name(name).or_else(|| second.column_by_name(name));
        found.cloned().ok_or_else(|| QueryError::internal(format!("column {name} was not read")))
    };
    let arrays = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let field = |name: &&str| first.schema().field_with_name(name).or(second.schema().field_with_name(name)).cloned();
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Rows of a part that match and may be on the page.
struct Hits {
    rows: RoaringBitmap,
    /// Matches among the rows looked at.
    matched: u64,
}

/// Rows of a part that are read together.
struct Page {
    rows: Range<u32>,
    /// No row of it is later.
    latest: i64,
}

/// The pages that hold rows of a plan, the latest last; few rows are one page.
async fn pages(plan: &PartPlan) -> Result<Vec<Page>, QueryError> {
    if plan.len() <= FEW_ROWS {
        return Ok(vec![Page { rows: 0..plan.part.rows(), latest: plan.part.max_time() }]);
    }
    let is_wanted =
        |rows: &Range<u32>| plan.rows.as_ref().is_none_or(|wanted| wanted.range_cardinality(rows.clone()) > 0);
    let pages = plan.part.pages().await?;
    let wanted = pages.iter().filter(|(rows, _, _)| is_wanted(rows));
    let mut pages: Vec<Page> = wanted.map(|(rows, _, latest)| Page { rows: rows.clone(), latest: *latest }).collect();
    pages.sort_by_key(|page| (page.latest, page.rows.start));
    Ok(pages)
}

/// Takes pages from the end until they hold so many rows of the plan.
fn take(pages: &mut Vec<Page>, plan: &PartPlan, rows: u64) -> RoaringBitmap {
    let (mut taken, mut found) = (RoaringBitmap::new(), 0);
    while found < rows
        && let Some(page) = pages.pop()
    {
        found +=
            plan.rows.as_ref().map_or(page.rows.len() as u64, |wanted| wanted.range_cardinality(page.rows.clone()));
        taken.insert_range(page.rows);
    }
    if let Some(wanted) = &plan.rows {
        taken &= wanted;
    }
    taken
}

/// Looks for the newest matches of a part, the latest pages first, in growing windows. The second value says whether all rows
/// of the plan were looked at.
async fn hits(
    plan: &PartPlan,
    request: &ScanRequest,
    best: &Best,
    control: &Control,
) -> Result<(Hits, bool), QueryError> {
    let mut hits = Hits { rows: RoaringBitmap::new(), matched: 0 };
    if plan.is_exact() && plan.len() <= best.limit as u64 + 1 {
        // All of them may be on the page; the page itself leaves out those that are not.
        hits.matched = plan.len();
        hits.rows = plan.rows.clone().unwrap_or_else(|| (0..plan.part.rows()).collect());
        return Ok((hits, true));
    }
    let filter = (!plan.filter_is_done).then(|| request.filter.clone());
    let range = (!plan.range_is_done).then_some(request.range);
    let mut pages = pages(plan).await?;
    let needed = best.limit + 1;
    let (floor, before) = (best.floor(), best.before);
    let mut columns = filter.as_ref().map(|filter| filter.columns(request.signal)).unwrap_or_default();
    columns = plan::union(&columns, &["time"]);
    // Few rows are looked at in one go: windows would decode the same pages several times.
    let mut window = if plan.len() <= FEW_ROWS { FEW_ROWS } else { FIRST_WINDOW.max(needed as u64) };
    let mut usable: Vec<(i64, u32)> = Vec::new();
    while let Some(latest) = pages.last().map(|page| page.latest) {
        if floor.is_some_and(|floor| latest < floor) {
            break;
        }
        // Enough rows strictly newer than all that is left, rows of the cursor's own time not counted: some of them were
        // on earlier pages.
        let sure = usable.iter().filter(|(time, _)| *time > latest && before.is_none_or(|b| *time < b.time)).count();
        if sure >= needed {
            break;
        }
        control.check()?;
        let window_rows = take(&mut pages, plan, window);
        let batches = control.batches(plan.part.read(&columns, Some(&window_rows)).await?);
        let (filter, signal) = (filter.clone(), request.signal);
        let found = blocking(move || {
            let mut found: Vec<(i64, u32)> = Vec::new();
            let mut numbers = window_rows.iter();
            for batch in batches {
                let batch = batch?;
                let keep = matching(signal, &batch, filter.as_ref(), range)?;
                for (row, time) in times(&batch)?.iter().enumerate() {
                    let Some(number) = numbers.next() else { break };
                    if keep.value(row) {
                        found.push((*time, number));
                    }
                }
            }
            Ok(found)
        })
        .await?;
        hits.matched += found.len() as u64;
        usable.extend(found.into_iter().filter(|(time, _)| {
            floor.is_none_or(|floor| *time >= floor) && before.is_none_or(|before| *time <= before.time)
        }));
        window = window.saturating_mul(4).min(131_072);
    }
    usable.sort_unstable_by(|left, right| right.cmp(left));
    if let Some((time, _)) =
        usable.iter().filter(|(time, _)| before.is_none_or(|b| *time < b.time)).nth(needed - 1).copied()
    {
        usable.retain(|(other, _)| *other >= time);
    }
    hits.rows = usable.into_iter().map(|(_, row)| row).collect();
    Ok((hits, pages.is_empty()))
}
