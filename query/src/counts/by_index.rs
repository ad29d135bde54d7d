//! Counting a part's rows without reading them: groups by the posting lists of resources, times by the statistics of pages.

use super::{Buckets, Counted, Groups};
use crate::QueryError;
use crate::language::{FieldRef, group_keys};
use crate::scan::{Control, PartPlan, blocking};
use arrow::array::AsArray as _;
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampNanosecondType;
use hashbrown::HashMap;
use mangru_store::{PROMOTED_RESOURCE, Signal, TimeRange};
use roaring::RoaringBitmap;
use std::ops::Range;

/// Of fewer rows, one in so many of the part, the columns are read instead.
const SPARSE: u64 = 16;

/// What is counted.
#[derive(Clone, Debug)]
pub(super) struct ByIndex {
    /// A field that a row's resource decides; none counts all rows together.
    field: Option<FieldRef>,
    signal: Signal,
    range: TimeRange,
    buckets: Buckets,
}

/// Rows of one group; `None` is all.
type GroupRows = (Option<String>, Option<RoaringBitmap>);

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
    pub(super) fn new(field: Option<&FieldRef>, signal: Signal, range: TimeRange, buckets: Buckets) -> Option<Self> {
        let is_of_resource = match field {
            None | Some(FieldRef::Resource(_)) => true,
            Some(FieldRef::Column(name)) => PROMOTED_RESOURCE.iter().any(|promoted| promoted.column == *name),
            Some(_) => false,
        };
        is_of_resource.then(|| Self { field: field.cloned(), signal, range, buckets })
    }

    /// The counts of a part, and how many rows these are; `None` when its rows must be read.
    pub(super) async fn counts(
        &self,
        plan: &PartPlan,
        control: &Control,
    ) -> Result<Option<(Counted, u64)>, QueryError> {
        let is_sparse = plan.rows.as_ref().is_some_and(|rows| rows.len() < u64::from(plan.part.rows()) / SPARSE);
        if !plan.filter_is_done || is_sparse {
            return Ok(None);
        }
        let Some(groups) = self.groups(plan, control).await? else { return Ok(None) };
        let (runs, straddling) = self.pages(plan).await?;
        let times = read_times(plan, &straddling, control).await?;
        let (this, wanted, mut counted) = (self.clone(), plan.rows.clone(), Counted::new(control));
        blocking(move || {
            for (key, _) in &groups {
                counted.grow(key.as_ref(), this.buckets.count)?;
            }
            let (groups, matched) = this.counted(groups, wanted.as_ref(), &runs, &straddling, &times);
            Ok(Some((Counted { groups, ..counted }, matched)))
        })
        .await
    }

    /// The rows of each group; `None` when the index does not know them.
    async fn groups(&self, plan: &PartPlan, control: &Control) -> Result<Option<Vec<GroupRows>>, QueryError> {
        let Some(field) = &self.field else { return Ok(Some(vec![(None, None)])) };
        let Some(index) = plan.part.index().await? else { return Ok(None) };
        let mut by_resource = blocking(move || Ok(index.rows_by_resource()?)).await?;
        by_resource.retain(|rows| !rows.is_empty());
        let known: u64 = by_resource.iter().map(RoaringBitmap::len).sum();
        if known != u64::from(plan.part.rows()) {
            return Ok(None);
        }
        // One row of each resource tells what its rows have in the field.
        by_resource.sort_by_key(RoaringBitmap::min);
        let samples: RoaringBitmap = by_resource.iter().filter_map(RoaringBitmap::min).collect();
        let columns = field.columns(self.signal);
        let reader = plan.part.read(&columns, Some(&samples)).await?;
        let schema = reader.schema();
        let batches = control.batches(reader);
        let (field, signal) = (field.clone(), self.signal);
        blocking(move || {
            let batches = batches.collect::<Result<Vec<_>, _>>()?;
            let keys = group_keys(&field, signal, &concat_batches(&schema, &batches)?)?;
            let mut groups: HashMap<Option<String>, RoaringBitmap> = HashMap::new();
            for (rows, place) in by_resource.into_iter().zip(&keys.keys) {
                let key = usize::try_from(*place).ok().map(|place| keys.values[place].clone());
                *groups.entry(key).or_default() |= rows;
            }
            Ok(Some(groups.into_iter().map(|(key, rows)| (key, Some(rows))).collect()))
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

    fn counted(
        &self,
        groups: Vec<GroupRows>,
        wanted: Option<&RoaringBitmap>,
        runs: &[Run],
        straddling: &[Straddling],
        times: &[i64],
    ) -> (Groups, u64) {
        let mut counted = Groups::new();
        let mut matched = 0;
        // Beyond the last bucket: rows outside the range.
        let outside = self.buckets.count;
        let buckets: Vec<usize> = times
            .iter()
            .map(|time| if self.range.contains(*time) { self.buckets.of(*time) } else { outside })
            .collect();
        for (key, rows) in groups {
            let rows = match (rows, wanted) {
                (Some(rows), Some(wanted)) => Some(rows & wanted),
                (rows, wanted) => rows.or_else(|| wanted.cloned()),
            };
            let mut counts = vec![0; outside + 1];
            for run in runs {
                let held = rows.as_ref().map_or(run.rows.len() as u64, |rows| rows.range_cardinality(run.rows.clone()));
                counts[run.bucket] += held;
            }
            for page in straddling {
                let page_buckets = &buckets[page.first_time..page.first_time + page.rows.len()];
                match &rows {
                    None => page_buckets.iter().for_each(|bucket| counts[*bucket] += 1),
                    Some(rows) => {
                        for row in rows.range(page.rows.clone()) {
                            counts[page_buckets[(row - page.rows.start) as usize]] += 1;
                        }
                    }
                }
            }
            counts.truncate(outside);
            let total: u64 = counts.iter().sum();
            if total > 0 {
                matched += total;
                counted.insert(key, counts);
            }
        }
        (counted, matched)
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
