//! Counting a part's rows without reading them: groups by the posting lists of resources, times by the statistics of pages.

use super::{Buckets, Counted};
use crate::QueryError;
use crate::language::{FieldRef, group_keys};
use crate::scan::{Control, PartPlan, blocking};
use arrow::array::AsArray as _;
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampNanosecondType;
use mangru_store::{PROMOTED_RESOURCE, ResourceRows, Signal, TimeRange};
use roaring::RoaringBitmap;
use std::ops::Range;

/// Of fewer rows, one in so many of the part, the columns are read instead.
const SPARSE: u64 = 16;

/// What is counted.
#[derive(Clone, Debug)]
pub(crate) struct ByIndex {
    /// A field that a row's resource decides, or may decide; none counts all rows together.
    field: Option<FieldRef>,
    signal: Signal,
    range: TimeRange,
    buckets: Buckets,
}

/// The resources of a part, each with its value in the field.
type Keys = Vec<(ResourceRows, Option<String>)>;

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
        let is_of_resource = match field {
            // Of the latter it is, in parts of which no row has such an attribute of its own.
            None | Some(FieldRef::Resource(_) | FieldRef::Either(_)) => true,
            Some(FieldRef::Column(name)) => PROMOTED_RESOURCE.iter().any(|promoted| promoted.column == *name),
            Some(_) => false,
        };
        is_of_resource.then(|| Self { field: field.cloned(), signal, range, buckets })
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
        let keys = match &self.field {
            None => None,
            Some(field) => match self.keys(field, plan, control).await? {
                Some(keys) => Some(keys),
                None => return Ok(None),
            },
        };
        if let (Some(keys), true) = (&keys, plan.rows.is_none() && plan.is_exact() && self.buckets.count == 1) {
            let (mut counted, mut matched) = (Counted::new(control), 0);
            for (resource, key) in keys {
                matched += counted.take(key.clone(), &[u64::from(resource.rows), 0])?;
            }
            return Ok(Some((counted, matched)));
        }
        let (runs, straddling) = self.pages(plan).await?;
        let times = read_times(plan, &straddling, control).await?;
        let index = plan.part.index().await?;
        let (this, wanted, total) = (self.clone(), plan.rows.clone(), plan.part.rows());
        let (mut counted, mut held) = (Counted::new(control), control.held());
        blocking(move || {
            held.cover(total as usize * size_of::<u16>())?;
            let buckets = this.buckets_of_rows(total, wanted.as_ref(), &runs, &straddling, &times);
            let Some((keys, index)) = keys.zip(index) else {
                let mut tally = this.tally();
                for bucket in buckets {
                    tally[usize::from(bucket)] += 1;
                }
                let matched = counted.take(None, &tally)?;
                return Ok(Some((counted, matched)));
            };
            let mut matched = 0;
            for (resource, key) in keys {
                let mut tally = this.tally();
                index.for_each_row_of_resource(resource.number, |rows| {
                    for row in rows {
                        tally[usize::from(buckets[*row as usize])] += 1;
                    }
                })?;
                matched += counted.take(key, &tally)?;
            }
            Ok(Some((counted, matched)))
        })
        .await
    }

    /// Zero for each bucket, and for what is in none.
    fn tally(&self) -> Vec<u64> {
        vec![0; self.buckets.count + 1]
    }

    /// What the rows of each resource have in the field; `None` when the index does not know them.
    async fn keys(&self, field: &FieldRef, plan: &PartPlan, control: &Control) -> Result<Option<Keys>, QueryError> {
        let Some(index) = plan.part.index().await? else { return Ok(None) };
        let field = match field {
            FieldRef::Either(key) if index.attribute_keys().any(|(known, _)| known == key) => return Ok(None),
            FieldRef::Either(key) => FieldRef::Resource(key.clone()),
            field => field.clone(),
        };
        let mut resources = blocking(move || Ok(index.rows_by_resource()?)).await?;
        if resources.iter().map(|resource| u64::from(resource.rows)).sum::<u64>() != u64::from(plan.part.rows()) {
            return Ok(None);
        }
        // One row of each tells what its rows have in the field.
        resources.sort_by_key(|resource| resource.first);
        let samples: RoaringBitmap = resources.iter().map(|resource| resource.first).collect();
        let reader = plan.part.read(&field.columns(self.signal), Some(&samples)).await?;
        let schema = reader.schema();
        let batches = control.batches(reader);
        let signal = self.signal;
        blocking(move || {
            let batches = batches.collect::<Result<Vec<_>, _>>()?;
            let keys = group_keys(&field, signal, &concat_batches(&schema, &batches)?)?;
            let value = |place: &i32| usize::try_from(*place).ok().map(|place| keys.values[place].clone());
            Ok(Some(resources.into_iter().zip(keys.keys.iter().map(value)).collect()))
        })
        .await
    }

    /// The pages that may hold wanted rows: those in one bucket together, and the others.
    async fn pages(&self, plan: &PartPlan) -> Result<(Vec<Run>, Vec<Straddling>), QueryError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut straddling = Vec::new();
        let mut times = 0;
        for (rows, min, max) in plan.part.pages().await? {
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
    fn buckets_of_rows(
        &self,
        total: u32,
        wanted: Option<&RoaringBitmap>,
        runs: &[Run],
        straddling: &[Straddling],
        times: &[i64],
    ) -> Vec<u16> {
        // There are fewer than `u16` holds: a request has a limit of them.
        let outside = self.buckets.count as u16;
        let mut buckets = vec![outside; total as usize];
        for run in runs {
            buckets[run.rows.start as usize..run.rows.end as usize].fill(run.bucket as u16);
        }
        // Neighbours mostly are in one bucket: only who leaves it is divided.
        let (mut bucket, mut begin, mut end) = (outside, 0, 0);
        for page in straddling {
            let rows = &mut buckets[page.rows.start as usize..page.rows.end as usize];
            for (row, time) in rows.iter_mut().zip(&times[page.first_time..]) {
                if !(begin..end).contains(time) {
                    if !self.range.contains(*time) {
                        continue;
                    }
                    let number = self.buckets.of(*time);
                    bucket = number as u16;
                    begin = self.buckets.start_of(number).max(self.range.start);
                    end = self.buckets.start_of(number + 1).min(self.range.end);
                }
                *row = bucket;
            }
        }
        if let Some(wanted) = wanted {
            let mut all = std::mem::replace(&mut buckets, vec![outside; total as usize]);
            for row in wanted {
                buckets[row as usize] = std::mem::replace(&mut all[row as usize], outside);
            }
        }
        buckets
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
