//! Counting a part's rows without reading them: groups by the posting lists of resources or of a column's values, times by the statistics of
//! pages.

use super::{Buckets, Counted};
use crate::QueryError;
use crate::language::{FieldRef, group_keys, severity_name};
use crate::scan::{Control, PartPlan, blocking};
use arrow::array::AsArray as _;
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampNanosecondType;
use mangru_store::{ListedRows, PROMOTED_RESOURCE, PartIndex, Signal, TimeRange};
use roaring::RoaringBitmap;
use std::ops::Range;
use std::sync::Arc;

/// Of fewer rows, one in so many of the part, the columns are read instead.
const SPARSE: u64 = 16;

/// Bytes of an attribute's key that the index surely knows as it is.
const LONG_KEY: usize = 200;
/// Of a column with more values the rows are read instead.
const MOST_VALUES: usize = 256;
/// Rows of one bucket that lie together, on average, for it to be worth looking for their ends.
const LONG_RUN: usize = 64;

/// What is counted.
#[derive(Clone, Debug)]
pub(crate) struct ByIndex {
    groups: Groups,
    signal: Signal,
    range: TimeRange,
    buckets: Buckets,
}

/// By what rows are counted.
#[derive(Clone, Debug)]
enum Groups {
    /// All together.
    One,
    /// By a field that a row's resource decides, or may decide.
    OfResource(FieldRef),
    /// By a field that a column decides whose values the index lists.
    OfColumn(&'static str, FieldRef),
}

/// Lists of rows of a part, each with its value in the field.
type Lists = Vec<(ListedRows, Option<String>)>;

/// A page, or several, whose rows all are in the range and in one bucket.
struct Run {
    rows: Range<u32>,
    bucket: usize,
}

/// A page whose rows must be looked at, and where its times stand among those that were read.
struct Straddling {
    rows: Range<u32>,
    first_time: usize,
}

impl ByIndex {
    /// How to count by a field, where that is possible: rows of one resource have the same value.
    pub(crate) fn new(field: Option<&FieldRef>, signal: Signal, range: TimeRange, buckets: Buckets) -> Option<Self> {
        let groups = match field {
            None => Groups::One,
            // Of the latter it is, in parts of which no row has such an attribute of its own.
            Some(field @ (FieldRef::Resource(_) | FieldRef::Either(_))) => Groups::OfResource(field.clone()),
            Some(field @ FieldRef::Column(name)) if PROMOTED_RESOURCE.iter().any(|known| known.column == *name) => {
                Groups::OfResource(field.clone())
            }
            Some(field @ FieldRef::Column(name)) => Groups::OfColumn(name, field.clone()),
            Some(field @ FieldRef::Severity) => Groups::OfColumn("severity_number", field.clone()),
            Some(_) => return None,
        };
        Some(Self { groups, signal, range, buckets })
    }

    /// The counts of a part, and how many rows these are; `None` when its rows must be read.
    pub(crate) async fn counts(
        &self,
        plan: &PartPlan,
        control: &Control,
    ) -> Result<Option<(Counted, u64)>, QueryError> {
        let is_sparse = plan.rows.as_ref().is_some_and(|rows| rows.len() < u64::from(plan.part.rows()) / SPARSE);
        if !plan.filter_is_done || is_sparse {
            return Ok(None);
        }
        let Some(index) = plan.part.index().await? else { return Ok(None) };
        let lists = match &self.groups {
            Groups::One => None,
            groups => match self.lists(groups, plan, &index, control).await? {
                Some(lists) => Some(lists),
                None => return Ok(None),
            },
        };
        let total = plan.part.rows();
        if let (Some(lists), true) = (&lists, plan.chosen().is_none() && plan.is_exact() && self.buckets.count == 1) {
            let (mut counted, mut matched) = (Counted::new(control), 0);
            let listed: u64 = lists.iter().map(|(rows, _)| u64::from(rows.rows)).sum();
            let rest = u64::from(total).saturating_sub(listed);
            for (rows, key) in lists.iter().map(|(rows, key)| (u64::from(rows.rows), key.clone())).chain([(rest, None)])
            {
                matched += counted.take(key, &[rows, 0])?;
            }
            return Ok(Some((counted, matched)));
        }
        let (runs, straddling) = self.pages(plan).await?;
        let times = read_times(plan, &straddling, control).await?;
        let (this, wanted) = (self.clone(), plan.chosen().cloned());
        let (mut counted, mut held) = (Counted::new(control), control.held());
        blocking(move || {
            held.cover(total as usize * size_of::<u16>())?;
            let places = this.places(total, wanted.as_ref(), &runs, &straddling, &times);
            let mut all = this.tally();
            places.add_all(&mut all);
            let Some(lists) = lists else {
                let matched = counted.take(None, &all)?;
                return Ok(Some((counted, matched)));
            };
            let mut matched = 0;
            for (rows, key) in lists {
                let mut tally = this.tally();
                let mut at = 0;
                index.for_each_block(&rows, |block| places.add(block, &mut at, &mut tally))?;
                all.iter_mut().zip(&tally).for_each(|(rest, listed)| *rest = rest.saturating_sub(*listed));
                matched += counted.take(key, &tally)?;
            }
            // Rows without a value are in no list.
            matched += counted.take(None, &all)?;
            Ok(Some((counted, matched)))
        })
        .await
    }

    /// Zero for each bucket, and for what is in none.
    fn tally(&self) -> Vec<u64> {
        vec![0; self.buckets.count + 1]
    }

    /// The index's lists of rows that have the same in the field; `None` when it has none.
    async fn lists(
        &self,
        groups: &Groups,
        plan: &PartPlan,
        index: &Arc<PartIndex>,
        control: &Control,
    ) -> Result<Option<Lists>, QueryError> {
        let total = u64::from(plan.part.rows());
        let counted = |lists: &[ListedRows]| lists.iter().map(|list| u64::from(list.rows)).sum::<u64>();
        let of_index = Arc::clone(index);
        let (field, mut lists) = match groups {
            Groups::One => return Ok(None),
            Groups::OfResource(field) => {
                let field = match field {
                    // Of a long key the index knows the beginning.
                    FieldRef::Either(key)
                        if key.len() > LONG_KEY || index.attribute_keys().any(|(known, _)| known == key) =>
                    {
                        return Ok(None);
                    }
                    FieldRef::Either(key) => FieldRef::Resource(key.clone()),
                    field => field.clone(),
                };
                let lists = blocking(move || Ok(of_index.rows_by_resource()?)).await?;
                if counted(&lists) != total {
                    return Ok(None);
                }
                (field, lists)
            }
            Groups::OfColumn(column, field) => {
                let column = *column;
                let values = blocking(move || Ok(of_index.rows_by_value(column, MOST_VALUES)?)).await?;
                let Some(values) = values else { return Ok(None) };
                // A severity without such a number is that of its text.
                let is_named = |value: &str| value.parse().ok().and_then(severity_name).is_some();
                if matches!(field, FieldRef::Severity) && !values.iter().all(|(value, _)| is_named(value)) {
                    return Ok(None);
                }
                let lists: Vec<ListedRows> = values.into_iter().map(|(_, rows)| rows).collect();
                if counted(&lists) > total {
                    return Ok(None);
                }
                (field.clone(), lists)
            }
        };
        // One row of each tells what its rows have in the field.
        lists.sort_by_key(|list| list.first);
        let samples: RoaringBitmap = lists.iter().map(|list| list.first).collect();
        let reader = plan.part.read(&field.columns(self.signal), Some(&samples)).await?;
        let schema = reader.schema();
        let batches = control.batches(reader);
        let signal = self.signal;
        blocking(move || {
            let batches = batches.collect::<Result<Vec<_>, _>>()?;
            let keys = group_keys(&field, signal, &concat_batches(&schema, &batches)?)?;
            let value = |place: &i32| usize::try_from(*place).ok().map(|place| keys.values[place].clone());
            Ok(Some(lists.into_iter().zip(keys.keys.iter().map(value)).collect()))
        })
        .await
    }

    /// The pages that may hold wanted rows: those in one bucket together, and the others.
    async fn pages(&self, plan: &PartPlan) -> Result<(Vec<Run>, Vec<Straddling>), QueryError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut straddling = Vec::new();
        let mut times = 0;
        for (rows, min, max) in plan.part.pages().await?.iter().cloned() {
            if !self.range.touches(min, max) {
                continue;
            }
            let bucket = self.buckets.of(min);
            if self.range.covers(min, max) && bucket == self.buckets.of(max) {
                match runs.last_mut() {
                    Some(run) if run.bucket == bucket && run.rows.end == rows.start => run.rows.end = rows.end,
                    _ => runs.push(Run { rows, bucket }),
                }
            } else {
                straddling.push(Straddling { rows: rows.clone(), first_time: times });
                times += rows.len();
            }
        }
        Ok((runs, straddling))
    }

    /// The bucket of each row of a part; the one beyond the last for rows that are not wanted or outside the range.
    fn places(
        &self,
        total: u32,
        wanted: Option<&RoaringBitmap>,
        runs: &[Run],
        straddling: &[Straddling],
        times: &[i64],
    ) -> Places {
        // There are fewer than `u16` holds: a request has a limit of them.
        let outside = self.buckets.count as u16;
        let mut ends = Ends { outside, ends: Vec::new() };
        // Neighbours mostly are in one bucket: only who leaves it is divided.
        let (mut bucket, mut begin, mut end) = (outside, 0, 0);
        let mut pages: Vec<(Range<u32>, Result<usize, usize>)> =
            runs.iter().map(|run| (run.rows.clone(), Ok(run.bucket))).collect();
        pages.extend(straddling.iter().map(|page| (page.rows.clone(), Err(page.first_time))));
        pages.sort_unstable_by_key(|(rows, _)| rows.start);
        for (rows, of) in pages {
            let first_time = match of {
                Ok(bucket) => {
                    ends.push(rows, bucket as u16);
                    continue;
                }
                Err(first_time) => first_time,
            };
            for (row, time) in rows.zip(&times[first_time..]) {
                if !(begin..end).contains(time) {
                    if !self.range.contains(*time) {
                        continue;
                    }
                    let number = self.buckets.of(*time);
                    bucket = number as u16;
                    begin = self.buckets.start_of(number).max(self.range.start);
                    end = self.buckets.start_of(number + 1).min(self.range.end);
                }
                ends.push(row..row + 1, bucket);
            }
        }
        let ends = ends.finish(total);
        if wanted.is_none() && ends.len() * LONG_RUN <= total as usize {
            return Places::Runs(ends);
        }
        let mut buckets = Vec::with_capacity(total as usize);
        for (end, bucket) in ends {
            buckets.resize(end as usize, bucket);
        }
        if let Some(wanted) = wanted {
            let all = std::mem::replace(&mut buckets, vec![outside; total as usize]);
            let mut runs = wanted.iter();
            while let Some(run) = runs.next_range() {
                let run = *run.start() as usize..=*run.end() as usize;
                buckets[run.clone()].copy_from_slice(&all[run]);
            }
        }
        Places::Rows(buckets)
    }
}

/// The buckets of a part's rows while they are found, from the first row on.
struct Ends {
    outside: u16,
    ends: Vec<(u32, u16)>,
}

impl Ends {
    /// Rows behind those before, all of one bucket. Rows that are left out are outside.
    fn push(&mut self, rows: Range<u32>, bucket: u16) {
        let end = self.ends.last().map_or(0, |(end, _)| *end);
        if rows.start > end {
            self.push_end(rows.start, self.outside);
        }
        self.push_end(rows.end, bucket);
    }

    fn push_end(&mut self, end: u32, bucket: u16) {
        match self.ends.last_mut() {
            Some(last) if last.1 == bucket => last.0 = end,
            _ => self.ends.push((end, bucket)),
        }
    }

    fn finish(mut self, total: u32) -> Vec<(u32, u16)> {
        self.push(total..total, self.outside);
        self.ends
    }
}

/// The buckets of a part's rows.
enum Places {
    /// Where each run of rows of one bucket ends, and the bucket.
    Runs(Vec<(u32, u16)>),
    /// The bucket of each row.
    Rows(Vec<u16>),
}

impl Places {
    /// Counts all rows.
    fn add_all(&self, tally: &mut [u64]) {
        match self {
            Self::Runs(runs) => {
                let mut start = 0;
                for (end, bucket) in runs {
                    tally[usize::from(*bucket)] += u64::from(end - start);
                    start = *end;
                }
            }
            Self::Rows(buckets) => {
                for bucket in buckets {
                    tally[usize::from(*bucket)] += 1;
                }
            }
        }
    }

    /// Counts rows that rise; `at` is the run where the last one was.
    fn add(&self, mut rows: &[u32], at: &mut usize, tally: &mut [u64]) {
        let runs = match self {
            Self::Rows(buckets) => {
                for row in rows {
                    tally[usize::from(buckets[*row as usize])] += 1;
                }
                return;
            }
            Self::Runs(runs) => runs,
        };
        while let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            while runs[*at].0 <= *first {
                *at += 1;
            }
            let (end, bucket) = runs[*at];
            let within = if *last < end { rows.len() } else { rows.partition_point(|row| *row < end) };
            tally[usize::from(bucket)] += within as u64;
            rows = &rows[within..];
        }
    }
}

impl Counted {
    /// Takes the counts of some rows with this value, and says how many they are; what is in no bucket stands last and is left out.
    fn take(&mut self, key: Option<String>, tally: &[u64]) -> Result<u64, QueryError> {
        let counts = &tally[..tally.len() - 1];
        let total = counts.iter().sum();
        if total > 0 {
            if !self.groups.contains_key(&key) {
                self.grow(key.as_ref(), counts.len())?;
            }
            let groups = self.groups.entry(key).or_insert_with(|| vec![0; counts.len()]);
            groups.iter_mut().zip(counts).for_each(|(all, more)| *all += more);
        }
        Ok(total)
    }
}

/// The times of the rows of these pages, one after the other.
async fn read_times(plan: &PartPlan, pages: &[Straddling], control: &Control) -> Result<Vec<i64>, QueryError> {
    if pages.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = RoaringBitmap::new();
    for page in pages {
        rows.insert_range(page.rows.clone());
    }
    let batches = control.batches(plan.part.read(&["time"], Some(&rows)).await?);
    blocking(move || {
        let mut times = Vec::with_capacity(rows.len() as usize);
        for batch in batches {
            times.extend_from_slice(batch?.column(0).as_primitive::<TimestampNanosecondType>().values());
        }
        if times.len() as u64 != rows.len() {
            return Err(QueryError::internal("a part has fewer times than rows"));
        }
        Ok(times)
    })
    .await
}
