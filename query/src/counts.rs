//! Counting rows over time and by a field.

mod by_index;

use crate::language::{FieldRef, group_field, group_keys};
use crate::scan::{self, Control, Held, ScanRequest, Shortcut};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
pub(crate) use by_index::ByIndex;
use futures::FutureExt as _;
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Buckets that one answer may have.
const MAX_BUCKETS: i64 = 10_000;
/// Distinct values that are counted before the rest goes into one group.
const MAX_GROUPS: usize = 100_000;

/// A request for counts.
#[derive(Clone, Debug)]
pub struct CountRequest {
    /// The search; empty matches all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// The field to count by, by its name in the search language.
    pub by: Option<String>,
    /// The width of a bucket; none for a single one over all the range.
    pub step: Option<Duration>,
    /// How many groups, those with the most rows; the rest is one group.
    pub top: usize,
}

/// Counts per bucket and group.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Where the first bucket starts, nanoseconds since the Unix epoch.
    pub start: i64,
    /// The width of a bucket in nanoseconds.
    pub step_ns: i64,
    /// How many buckets.
    pub buckets: usize,
    /// One per group, most rows first, the rest of the groups last.
    pub series: Vec<CountSeries>,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// The counts of one group.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct CountSeries {
    /// The value; none for rows without the field, and when nothing was counted by.
    pub key: Option<String>,
    /// Whether this is all groups beyond the top ones.
    pub is_other: bool,
    /// Rows in all buckets.
    pub total: u64,
    /// Rows per bucket.
    pub counts: Vec<u64>,
}

/// Buckets of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buckets {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Buckets {
    /// Buckets of this width over a range, starting at whole steps.
    pub(crate) fn new(range: TimeRange, step: Option<Duration>) -> Result<Self, QueryError> {
        let Some(step) = step else {
            let step = range.end.saturating_sub(range.start).max(1);
            return Ok(Self { start: range.start, step, count: 1 });
        };
        let step = i64::try_from(step.as_nanos())
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(|| QueryError::invalid("step", "step is a positive duration"))?;
        let start = range.start.div_euclid(step).saturating_mul(step);
        let span =
            range.end.checked_sub(start).ok_or_else(|| QueryError::invalid("step", "range is too long for steps"))?;
        let count = span.saturating_add(step - 1) / step;
        if count > MAX_BUCKETS {
            let message = format!("{count} steps are in the range, allowed are {MAX_BUCKETS}: choose a longer step");
            return Err(QueryError::invalid("step", message));
        }
        Ok(Self { start, step, count: count.max(1) as usize })
    }

    /// When a bucket begins.
    pub(crate) const fn start_of(&self, number: usize) -> i64 {
        self.start.saturating_add((number as i64).saturating_mul(self.step))
    }

    /// The bucket of a time.
    pub(crate) fn of(&self, time: i64) -> usize {
        (time.saturating_sub(self.start) / self.step).clamp(0, self.count as i64 - 1) as usize
    }
}

type Groups = HashMap<Option<String>, Vec<u64>>;

/// Groups of some rows, and their memory.
pub(crate) struct Counted {
    pub(crate) groups: Groups,
    bytes: usize,
    held: Held,
}

impl Counted {
    fn new(control: &Control) -> Self {
        Self { groups: Groups::new(), bytes: 0, held: control.held() }
    }

    /// Counts one row.
    fn one(&mut self, key: Option<&String>, bucket: usize, buckets: usize) -> Result<(), QueryError> {
        let known = key.cloned();
        let key = if self.groups.contains_key(&known) || self.groups.len() < MAX_GROUPS {
            known
        } else {
            Some(REST.to_owned())
        };
        if !self.groups.contains_key(&key) {
            self.grow(key.as_ref(), buckets)?;
        }
        self.groups.entry(key).or_insert_with(|| vec![0; buckets])[bucket] += 1;
        Ok(())
    }

    /// Makes room for one more group.
    fn grow(&mut self, key: Option<&String>, buckets: usize) -> Result<(), QueryError> {
        // The entry, its text and its counts.
        self.bytes += 64 + key.map_or(0, String::len) + buckets * size_of::<u64>();
        self.held.cover(self.bytes)
    }
}

impl QueryService {
    /// Counts rows that match, per bucket of time and value of a field.
    pub async fn counts(&self, signal: Signal, request: &CountRequest) -> Result<Counts, QueryError> {
        let started = Instant::now();
        let top_groups = self.checked_limit(request.top.max(1))?;
        let filter = crate::language::parse(&request.query, signal)?;
        let buckets = Buckets::new(request.range, request.step)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        if request.by.is_none() && request.step.is_none() {
            let scan = scan::count(self.store(), signal, &filter, request.range, &control).await?;
            let series =
                vec![CountSeries { key: None, is_other: false, total: scan.matched, counts: vec![scan.matched] }];
            let coverage = Coverage::of_scan(&scan, started);
            return Ok(Counts { start: buckets.start, step_ns: buckets.step, buckets: 1, series, coverage });
        }
        let by = request.by.as_deref().filter(|by| !by.is_empty());
        let field = by.map(|by| group_field("by", by, signal)).transpose()?;
        let mut columns = vec!["time"];
        if let Some(field) = &field {
            columns.extend(field.columns(signal).into_iter().filter(|name| *name != "time"));
        }
        let scan = ScanRequest { signal, filter, range: request.range, columns };
        let shortcut = ByIndex::new(field.as_ref(), signal, request.range, buckets).map(|by_index| {
            let (by_index, control) = (Arc::new(by_index), control.clone());
            let shortcut: Shortcut<Counted> = Arc::new(move |plan| {
                let (by_index, control) = (Arc::clone(&by_index), control.clone());
                async move { by_index.counts(plan, &control).await }.boxed()
            });
            shortcut
        });
        let each =
            move |counted: &mut Counted, batch: &RecordBatch| add(counted, batch, field.as_ref(), signal, buckets);
        let nothing = control.clone();
        let init = move || Counted::new(&nothing);
        let (mut states, scan) = scan::for_each_or(self.store(), &scan, &control, init, each, shortcut).await?;
        let mut all = Groups::new();
        // What all groups take is no more than what the states took, which give it back only afterwards.
        for counted in &mut states {
            for (key, counts) in std::mem::take(&mut counted.groups) {
                let total = all.entry(key).or_insert_with(|| vec![0; buckets.count]);
                total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
            }
        }
        let mut coverage = Coverage::of_scan(&scan, started);
        let series = top(all, top_groups, buckets.count, &mut coverage);
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Counts { start: buckets.start, step_ns: buckets.step, buckets: buckets.count, series, coverage })
    }
}

fn add(
    counted: &mut Counted,
    batch: &RecordBatch,
    field: Option<&FieldRef>,
    signal: Signal,
    buckets: Buckets,
) -> Result<(), QueryError> {
    let times = batch
        .column_by_name("time")
        .ok_or_else(|| QueryError::internal("column time was not read"))?
        .as_primitive::<TimestampNanosecondType>()
        .values();
    let Some(field) = field else {
        if counted.groups.is_empty() {
            counted.grow(None, buckets.count)?;
        }
        let counts = counted.groups.entry(None).or_insert_with(|| vec![0; buckets.count]);
        times.iter().for_each(|time| counts[buckets.of(*time)] += 1);
        return Ok(());
    };
    let keys = group_keys(field, signal, batch)?;
    // Of many values and buckets a batch has few: then each row is counted by itself.
    if (keys.values.len() + 1) * buckets.count > MOST_CELLS {
        for (time, place) in times.iter().zip(&keys.keys) {
            let key = usize::try_from(*place).ok().map(|place| &keys.values[place]);
            counted.one(key, buckets.of(*time), buckets.count)?;
        }
        return Ok(());
    }
    // Rows are counted by place first, so that a value is looked up once per batch.
    let mut by_place: Vec<Option<Vec<u64>>> = vec![None; keys.values.len() + 1];
    for (time, place) in times.iter().zip(&keys.keys) {
        let counts = by_place[(place + 1) as usize].get_or_insert_with(|| vec![0; buckets.count]);
        counts[buckets.of(*time)] += 1;
    }
    for (place, counts) in by_place.into_iter().enumerate() {
        let Some(counts) = counts else { continue };
        let key = place.checked_sub(1).map(|place| keys.values[place].clone());
        if let Some(total) = counted.groups.get_mut(&key) {
            total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        } else if counted.groups.len() < MAX_GROUPS {
            counted.grow(key.as_ref(), buckets.count)?;
            counted.groups.insert(key, counts);
        } else {
            let rest = counted.groups.entry(Some(REST.to_owned())).or_insert_with(|| vec![0; buckets.count]);
            rest.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
        }
    }
    Ok(())
}

/// Counts of a batch that are kept for each of its values and all buckets, at most.
const MOST_CELLS: usize = 1 << 20;

/// Values beyond [`MAX_GROUPS`]; the character cannot be typed into a value by accident.
const REST: &str = "\u{0}rest";

fn top(groups: Groups, top: usize, buckets: usize, coverage: &mut Coverage) -> Vec<CountSeries> {
    let mut rest = vec![0; buckets];
    let mut has_rest = false;
    let mut series: Vec<CountSeries> = Vec::new();
    for (key, counts) in groups {
        if key.as_deref() == Some(REST) {
            has_rest = true;
            coverage.cut(format!("limit of {MAX_GROUPS} distinct values"));
            rest.iter_mut().zip(&counts).for_each(|(total, count)| *total += count);
        } else {
            series.push(CountSeries { total: counts.iter().sum(), key, is_other: false, counts });
        }
    }
    series.sort_by(|left, right| right.total.cmp(&left.total).then_with(|| left.key.cmp(&right.key)));
    for other in series.split_off(series.len().min(top)) {
        has_rest = true;
        rest.iter_mut().zip(&other.counts).for_each(|(total, count)| *total += count);
    }
    if has_rest {
        series.push(CountSeries { key: None, is_other: true, total: rest.iter().sum(), counts: rest });
    }
    series
}
