//! What a search would read, and what spares it the rest.

use super::control::blocking;
use super::{Control, ScanRequest};
use crate::QueryError;
use crate::language::{self, Expr, IdLookups, Lookup};
use mangru_store::{Part, Store};
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
        parts.push(explain_part(&part, request).await?);
    }
    Ok(Explained {
        hot_rows: snapshot.hot.iter().map(|batch| batch.num_rows() as u64).sum(),
        left_out_parts: outside.len() as u64,
        left_out_rows: outside.iter().map(|part| u64::from(part.rows())).sum(),
        parts,
    })
}

async fn explain_part(part: &Arc<Part>, request: &ScanRequest) -> Result<PartExplained, QueryError> {
    let rows = u64::from(part.rows());
    let is_inside = request.range.covers(part.min_time(), part.max_time());
    let after_time = if is_inside { rows } else { part.rows_in(request.range).await?.len() };
    let (mut after_bloom_filters, mut after_index) = (None, None);
    if !matches!(request.filter, Expr::All)
        && let Some(index) = part.index().await?
    {
        let mut ids = IdLookups::new();
        for (column, id) in request.filter.span_ids() {
            let found = part.rows_that_may_hold(column, &id).await?;
            after_bloom_filters = Some(after_bloom_filters.unwrap_or(0) + found.len());
            ids.insert((column, id), found);
        }
        let (filter, signal, total) = (request.filter.clone(), part.signal(), part.rows());
        let found = blocking(move || {
            let lookup = Lookup { signal, index: &index, ids: &ids, total };
            Ok(language::candidates(&filter, &lookup)?)
        })
        .await?;
        after_index = found.map(|found| found.rows.len());
    }
    let plan = super::plan::plan(Arc::clone(part), &request.filter, request.range).await?;
    let to_read = plan.as_ref().map_or(0, super::PartPlan::len);
    let is_exact = plan.is_none_or(|plan| plan.is_exact());
    let columns = if is_exact { Vec::new() } else { request.filter.columns(request.signal) };
    Ok(PartExplained {
        path: part.path().to_owned(),
        rows,
        after_time,
        after_bloom_filters,
        after_index,
        to_read,
        is_exact,
        columns: columns.into_iter().map(str::to_owned).collect(),
    })
}
