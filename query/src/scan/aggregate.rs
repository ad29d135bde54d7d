//! Every matching row, in any order.

use super::control::blocking;
use super::plan::{self, PartPlan};
use super::planner::Planner;
use super::{Control, ScanRequest};
use crate::QueryError;
use crate::language::Expr;
use arrow::record_batch::RecordBatch;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use mangru_store::{Part, Signal, Snapshot, Store, TimeRange};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Pieces of parts that are read at the same time.
const PARALLEL: usize = 2;
/// Parts that the first thread plans.
const PLANNED_FIRST: usize = 4;
/// Rows of a piece, at least.
const UNIT_ROWS: u64 = 16_384;

/// What a scan looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScanCoverage {
    /// Rows that matched.
    pub(crate) matched: u64,
    /// Rows of the parts and hot batches that touch the range.
    pub(crate) rows_in_range: u64,
    /// Parts that could not be read, with the reason: the answer is without their rows.
    pub(crate) unreadable_parts: Vec<String>,
}

impl ScanCoverage {
    /// Puts two together.
    pub(crate) fn add(&mut self, other: Self) {
        self.matched += other.matched;
        self.rows_in_range += other.rows_in_range;
        self.unreadable_parts.extend(other.unreadable_parts);
    }
}

/// Calls `each` with the matching rows, projected to the request's columns; every hot set and piece of a part has a state of its own.
///
/// `each` runs on threads that may block. A part that cannot be read is named in the coverage; its state is dropped.
pub(crate) async fn for_each<T: Send + 'static>(
    store: &Arc<Store>,
    request: &ScanRequest,
    control: &Control,
    init: impl Fn() -> T + Send + Sync + Clone + 'static,
    each: impl Fn(&mut T, &RecordBatch) -> Result<(), QueryError> + Send + Sync + Clone + 'static,
) -> Result<(Vec<T>, ScanCoverage), QueryError> {
    for_each_or(store, request, control, init, each, None).await
}

/// The same over what a snapshot holds.
pub(crate) async fn for_each_in<T: Send + 'static>(
    snapshot: Snapshot,
    request: &ScanRequest,
    control: &Control,
    init: impl Fn() -> T + Send + Sync + Clone + 'static,
    each: impl Fn(&mut T, &RecordBatch) -> Result<(), QueryError> + Send + Sync + Clone + 'static,
) -> Result<(Vec<T>, ScanCoverage), QueryError> {
    in_snapshot(snapshot, request, control, init, each, None).await
}

/// Gives what a part's rows come to, and how many match, without reading them all; `None` when they must be read.
pub(crate) type Shortcut<T> =
    Arc<dyn for<'a> Fn(&'a PartPlan) -> BoxFuture<'a, Result<Option<(T, u64)>, QueryError>> + Send + Sync>;

/// The same, with a way to do without the rows of some parts.
pub(crate) async fn for_each_or<T: Send + 'static>(
    store: &Arc<Store>,
    request: &ScanRequest,
    control: &Control,
    init: impl Fn() -> T + Send + Sync + Clone + 'static,
    each: impl Fn(&mut T, &RecordBatch) -> Result<(), QueryError> + Send + Sync + Clone + 'static,
    shortcut: Option<Shortcut<T>>,
) -> Result<(Vec<T>, ScanCoverage), QueryError> {
    in_snapshot(store.snapshot(request.signal), request, control, init, each, shortcut).await
}

async fn in_snapshot<T: Send + 'static>(
    snapshot: Snapshot,
    request: &ScanRequest,
    control: &Control,
    init: impl Fn() -> T + Send + Sync + Clone + 'static,
    each: impl Fn(&mut T, &RecordBatch) -> Result<(), QueryError> + Send + Sync + Clone + 'static,
    shortcut: Option<Shortcut<T>>,
) -> Result<(Vec<T>, ScanCoverage), QueryError> {
    plan::open(&snapshot.parts, request.range).await;
    let mut coverage = ScanCoverage::default();
    let mut states = Vec::new();

    let (hot, hot_request, hot_control) = (snapshot.hot, request.clone(), control.clone());
    let (hot_init, hot_each) = (init.clone(), each.clone());
    let (state, matched, seen) = blocking(move || {
        let mut state = hot_init();
        let (mut matched, mut seen) = (0, 0);
        for batch in &hot {
            hot_control.check()?;
            seen += batch.num_rows() as u64;
            let filter = Some(&hot_request.filter).filter(|filter| !matches!(filter, Expr::All));
            let range = Some(hot_request.range).filter(|range| *range != TimeRange::ALL);
            let rows = plan::filtered(hot_request.signal, batch, filter, range)?;
            if rows.num_rows() > 0 {
                matched += rows.num_rows() as u64;
                hot_each(&mut state, &plan::project(&rows, &hot_request.columns)?)?;
            }
        }
        Ok((state, matched, seen))
    })
    .await?;
    coverage.add(ScanCoverage { matched, rows_in_range: seen, unreadable_parts: Vec::new() });
    states.push(state);

    let planner = Planner::new(&snapshot.parts, &request.filter, request.range, PLANNED_FIRST, control);
    let mut results = planner
        .stream()
        .map(|(part, plan)| {
            let shortcut = shortcut.clone();
            async move { units(&part, plan, shortcut).await }
        })
        .buffer_unordered(PARALLEL)
        .flat_map(futures::stream::iter)
        .map(|unit| {
            let (init, each) = (init.clone(), each.clone());
            async move {
                match unit {
                    Unit::Seen(rows) => (rows, String::new(), Ok(None)),
                    Unit::Done(state, matched) => (0, String::new(), Ok(Some((state, matched)))),
                    Unit::Failed(path, error) => (0, path, Err(error)),
                    Unit::Rows(plan) => {
                        let path = plan.part.path().to_owned();
                        (0, path, scan_unit(*plan, request, control, init, each).await.map(Some))
                    }
                }
            }
        })
        .buffer_unordered(PARALLEL);
    while let Some((seen, path, result)) = results.next().await {
        coverage.rows_in_range += seen;
        match result {
            Ok(None) => {}
            Ok(Some((state, matched))) => {
                coverage.matched += matched;
                states.push(state);
            }
            Err(error) if error.code == crate::ErrorCode::Internal => {
                tracing::error!(path, %error, "part could not be read");
                if !coverage.unreadable_parts.contains(&path) {
                    coverage.unreadable_parts.push(path);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((states, coverage))
}

/// A piece of work of a scan.
enum Unit<T> {
    /// Rows of a part that touches the range, whether they match or not.
    Seen(u64),
    /// Rows to look at, all in row groups of their own.
    Rows(Box<PartPlan>),
    /// A part whose rows need not be read, and how many match.
    Done(T, u64),
    /// A part that could not be planned.
    Failed(String, QueryError),
}

/// What is to be done for a part.
async fn units<T>(
    part: &Arc<Part>,
    plan: Result<Option<PartPlan>, QueryError>,
    shortcut: Option<Shortcut<T>>,
) -> Vec<Unit<T>> {
    let mut units = vec![Unit::Seen(u64::from(part.rows()))];
    let planned = async {
        let Some(plan) = plan? else { return Ok(Vec::new()) };
        if plan.len() == 0 {
            return Ok(Vec::new());
        }
        if let Some(shortcut) = shortcut
            && let Some((state, matched)) = shortcut(&plan).await?
        {
            return Ok(vec![Unit::Done(state, matched)]);
        }
        Ok(cut(plan).await?.into_iter().map(|plan| Unit::Rows(Box::new(plan))).collect())
    };
    match planned.await {
        Ok(planned) => units.extend(planned),
        Err(error) => units.push(Unit::Failed(part.path().to_owned(), error)),
    }
    units
}

/// The rows of a part that a scan looks at, cut so that several threads have some.
async fn cut(plan: PartPlan) -> Result<Vec<PartPlan>, QueryError> {
    let groups = plan.part.row_groups().await?;
    if groups.len() < 2 {
        return Ok(vec![plan]);
    }
    // Whole row groups, so that no dictionary is read twice.
    let most = (plan.len() / (2 * PARALLEL as u64)).max(UNIT_ROWS);
    let wanted = |mut rows: RoaringBitmap| {
        if let Some(wanted) = &plan.rows {
            rows &= wanted;
        }
        PartPlan { part: Arc::clone(&plan.part), rows: Some(rows), ..plan }
    };
    let (mut units, mut rows, mut found) = (Vec::new(), RoaringBitmap::new(), 0);
    for group in groups {
        found += plan.rows.as_ref().map_or(group.len() as u64, |wanted| wanted.range_cardinality(group.clone()));
        rows.insert_range(group);
        if found >= most {
            units.push(wanted(std::mem::take(&mut rows)));
            found = 0;
        }
    }
    if found > 0 {
        units.push(wanted(rows));
    }
    Ok(units)
}

async fn scan_unit<T: Send + 'static>(
    plan: PartPlan,
    request: &ScanRequest,
    control: &Control,
    init: impl Fn() -> T + Send + 'static,
    each: impl Fn(&mut T, &RecordBatch) -> Result<(), QueryError> + Send + 'static,
) -> Result<(T, u64), QueryError> {
    control.check()?;
    let filter = (!plan.filter_is_done).then(|| request.filter.clone());
    let range = (!plan.range_is_done).then_some(request.range);
    let mut columns = request.columns.clone();
    if let Some(filter) = &filter {
        columns = plan::union(&columns, &filter.columns(request.signal));
    }
    if range.is_some() || columns.is_empty() {
        columns = plan::union(&columns, &["time"]);
    }
    let batches = control.batches(plan.part.read(&columns, plan.rows.as_ref()).await?);
    let (signal, wanted) = (request.signal, request.columns.clone());
    blocking(move || {
        let mut state = init();
        let mut matched = 0;
        for batch in batches {
            let rows = plan::filtered(signal, &batch?, filter.as_ref(), range)?;
            if rows.num_rows() > 0 {
                matched += rows.num_rows() as u64;
                each(&mut state, &plan::project(&rows, &wanted)?)?;
            }
        }
        Ok((state, matched))
    })
    .await
}

/// How many rows match: from the index alone where it knows.
pub(crate) async fn count(
    store: &Arc<Store>,
    signal: Signal,
    filter: &Expr,
    range: TimeRange,
    control: &Control,
) -> Result<ScanCoverage, QueryError> {
    let snapshot = store.snapshot(signal);
    plan::open(&snapshot.parts, range).await;
    let mut coverage = ScanCoverage::default();
    let request = ScanRequest { signal, filter: filter.clone(), range, columns: Vec::new() };
    let (hot, hot_request, hot_control) = (snapshot.hot, request.clone(), control.clone());
    coverage.add(
        blocking(move || {
            let mut coverage = ScanCoverage::default();
            for batch in &hot {
                hot_control.check()?;
                coverage.rows_in_range += batch.num_rows() as u64;
                let range = Some(hot_request.range);
                let bits = plan::matching(hot_request.signal, batch, Some(&hot_request.filter), range)?;
                coverage.matched += bits.true_count() as u64;
            }
            Ok(coverage)
        })
        .await?,
    );
    let planner = Planner::new(&snapshot.parts, filter, range, PLANNED_FIRST, control);
    let mut counts = planner
        .stream()
        .map(async |(part, plan)| {
            let matched = match plan {
                Ok(Some(plan)) => count_planned(&plan, &request, control).await,
                Ok(None) => Ok(0),
                Err(error) => Err(error),
            };
            (part, matched)
        })
        .buffer_unordered(PARALLEL);
    while let Some((part, matched)) = counts.next().await {
        coverage.rows_in_range += u64::from(part.rows());
        match matched {
            Ok(matched) => coverage.matched += matched,
            Err(error) if error.code == crate::ErrorCode::Internal => {
                coverage.unreadable_parts.push(part.path().to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(coverage)
}

/// The number of matching rows of a planned part, read only where the plan is not exact.
pub(super) async fn count_planned(
    plan: &PartPlan,
    request: &ScanRequest,
    control: &Control,
) -> Result<u64, QueryError> {
    if plan.is_exact() || plan.len() == 0 {
        return Ok(plan.len());
    }
    let filter = (!plan.filter_is_done).then(|| request.filter.clone());
    let range = (!plan.range_is_done).then_some(request.range);
    let mut columns = filter.as_ref().map(|filter| filter.columns(request.signal)).unwrap_or_default();
    columns = plan::union(&columns, &["time"]);
    let batches = control.batches(plan.part.read(&columns, plan.rows.as_ref()).await?);
    let signal = request.signal;
    blocking(move || {
        let mut matched = 0;
        for batch in batches {
            matched += plan::matching(signal, &batch?, filter.as_ref(), range)?.true_count() as u64;
        }
        Ok(matched)
    })
    .await
}
