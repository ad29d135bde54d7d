//! What a search would read, and what spares it the rest.

use super::plan::{self, PartPlan};
use super::{Control, ScanRequest};
use crate::QueryError;
use mangru_store::Store;
use serde::Serialize;
use std::sync::Arc;

/// A part as a search sees it: how many rows each step leaves.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct PartExplained {
    /// The part's file.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Rows that the statistics of its pages leave of the time range; all of them when it lies inside as a whole.
    pub after_time: u64,
    /// Rows that the bloom filters of its pages leave for the ids that are searched for; none when no id is.
    pub after_bloom_filters: Option<u64>,
    /// Rows that words, exact values and filters of its index leave, those of its bloom filters included.
    pub after_index: Option<u64>,
    /// Rows that the least and the most of each page leave of those, for numbers that are searched for; none when no number is, or few rows were
    /// left.
    pub after_statistics: Option<u64>,
    /// Rows that are read. None when what is left is known to match, and only a count is asked for.
    pub to_read: u64,
    /// Whether each row left is known to match without reading it.
    pub is_exact: bool,
    /// Columns that are read to look at the rows left.
    pub columns: Vec<String>,
}

/// What a scan would do: the rows that are hot, the parts that the catalog leaves out, and the others.
pub(crate) struct Explained {
    pub(crate) hot_rows: u64,
    pub(crate) left_out_parts: u64,
    pub(crate) left_out_rows: u64,
    pub(crate) parts: Vec<PartExplained>,
}

/// Looks at every part as a scan would, without reading rows.
pub(crate) async fn explain(
    store: &Arc<Store>,
    request: &ScanRequest,
    control: &Control,
) -> Result<Explained, QueryError> {
    let snapshot = store.snapshot(request.signal);
    let (inside, outside): (Vec<_>, Vec<_>) =
        snapshot.parts.into_iter().partition(|part| request.range.touches(part.min_time(), part.max_time()));
    let mut parts = Vec::new();
    for part in inside {
        control.check()?;
        let plan = plan::plan(part, &request.filter, request.range).await?;
        parts.extend(plan.map(|plan| explained(&plan, request)));
    }
    Ok(Explained {
        hot_rows: snapshot.hot.iter().map(|batch| batch.num_rows() as u64).sum(),
        left_out_parts: outside.len() as u64,
        left_out_rows: outside.iter().map(|part| u64::from(part.rows())).sum(),
        parts,
    })
}

fn explained(plan: &PartPlan, request: &ScanRequest) -> PartExplained {
    let columns = if plan.is_exact() { Vec::new() } else { request.filter.columns(request.signal) };
    PartExplained {
        path: plan.part.path().to_owned(),
        rows: u64::from(plan.part.rows()),
        after_time: plan.steps.time,
        after_bloom_filters: plan.steps.bloom_filters,
        after_index: plan.steps.index,
        after_statistics: plan.steps.statistics,
        to_read: plan.len(),
        is_exact: plan.is_exact(),
        columns: columns.into_iter().map(str::to_owned).collect(),
    }
}
