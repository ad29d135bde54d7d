//! What was logged around a row: the lines before and after it of the same source.

use crate::language::{Expr, FieldRef, Matcher, quoted};
use crate::logs::{self, LogRow, any_time};
use crate::request::{self, Unreadable};
use crate::scan::{self, Control, Counting, Cursor};
use crate::traces::of_trace;
use crate::{Coverage, ErrorCode, QueryError, QueryService};
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::time::Instant;

/// Rows that are read at most to find those that come next.
const MAX_WINDOW_ROWS: u64 = 5_000;
/// The first window behind the row; others are longer or shorter.
const FIRST_WINDOW_NS: i64 = 1_000_000_000;
/// What tells one instance of a service from another.
const INSTANCE_KEYS: [&str; 5] =
    ["service.instance.id", "k8s.pod.name", "k8s.container.name", "container.id", "host.name"];

/// Which rows belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSource {
    /// The same service on the same instance: pod, container and host, as far as the row says.
    #[default]
    Instance,
    /// The same service.
    Service,
    /// The same trace.
    Trace,
    /// All rows.
    All,
}

/// A request for the rows around one.
#[derive(Clone, Debug)]
pub struct ContextRequest {
    /// The row, as a search gave it.
    pub row: String,
    /// How many rows before it at most.
    pub before: usize,
    /// How many rows after it at most.
    pub after: usize,
    /// Which rows.
    pub same: SameSource,
}

/// A row with those around it, oldest first.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Context {
    /// Rows before it.
    pub before: Vec<LogRow>,
    /// The row.
    pub row: LogRow,
    /// Rows after it.
    pub after: Vec<LogRow>,
    /// A search for all rows of this source.
    pub query: String,
    /// Whether there are older rows of the source.
    pub more_before: bool,
    /// Whether there are newer rows of the source.
    pub more_after: bool,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// The tests that rows of the same source pass, and the same as a search.
fn source(row: &LogRow, same: SameSource) -> Result<(Expr, String), QueryError> {
    let mut all = Vec::new();
    let mut query = Vec::new();
    match same {
        SameSource::All => return Ok((Expr::All, String::new())),
        SameSource::Trace if row.trace_id.is_empty() => {
            return Err(QueryError::invalid("same", "the row belongs to no trace"));
        }
        SameSource::Trace => return Ok((of_trace(&row.trace_id), format!("trace_id:{}", row.trace_id))),
        SameSource::Service | SameSource::Instance => {
            all.push(Expr::Field(FieldRef::Column("service_name"), Matcher::exactly(&row.service_name)));
            query.push(format!("service:{}", quoted(&row.service_name)));
        }
    }
    if same == SameSource::Instance {
        for key in INSTANCE_KEYS {
            let Some(value) = row.resource_attributes.get(key).and_then(|value| value.as_str()) else { continue };
            all.push(Expr::Field(FieldRef::Resource(key.to_owned()), Matcher::exactly(value)));
            query.push(format!("resource.{key}:{}", quoted(value)));
        }
    }
    Ok((Expr::And(all), query.join(" ")))
}

impl QueryService {
    /// The rows before and after one of the same source.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] when there is no such row, or no longer; [`ErrorCode::Internal`] when it was not found and there are
    /// parts that could not be read.
    pub async fn context(&self, request: &ContextRequest) -> Result<Context, QueryError> {
        let started = Instant::now();
        let before = self.checked_limit(request.before.max(1))?;
        let after = self.checked_limit(request.after.max(1))?;
        let place: Cursor = request
            .row
            .parse()
            .map_err(|_| QueryError::invalid("row", "row is not the place of a row as a search gives it"))?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let row = self.row_at(place, &control).await?;
        let (filter, query) = source(&row, request.same)?;

        let mut scan = any_time(Signal::Logs, filter, logs::columns());
        scan.range = TimeRange { start: i64::MIN, end: place.time.saturating_add(1) };
        let older = scan::newest(self.store(), &scan, before, Some(place), Counting::Page, &control).await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut unreadable = Unreadable::default();
        unreadable.add(&older.unreadable_parts);
        coverage.rows_in_range = older.rows_in_range;
        let mut older_rows = logs::rows(&older.rows, &older.cursors);
        older_rows.reverse();

        let (newer_rows, more_after) = self.after(&mut scan, place, after, &mut unreadable, &control).await?;
        coverage.unreadable(unreadable.parts());
        coverage.matched = (older_rows.len() + newer_rows.len()) as u64 + 1;
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Context {
            before: if request.before == 0 { Vec::new() } else { older_rows },
            row,
            after: if request.after == 0 { Vec::new() } else { newer_rows },
            query,
            more_before: older.more,
            more_after,
            coverage,
        })
    }

    async fn row_at(&self, place: Cursor, control: &Control) -> Result<LogRow, QueryError> {
        let mut scan = any_time(Signal::Logs, Expr::All, logs::columns());
        scan.range = TimeRange { start: place.time, end: place.time.saturating_add(1) };
        // The first row behind the place before it, however many rows there are of this time.
        let before = match (place.ordinal.checked_sub(1), place.hash.checked_add(1)) {
            (Some(ordinal), _) => Cursor { ordinal, ..place },
            (None, Some(hash)) => Cursor { hash, ordinal: u32::MAX, ..place },
            (None, None) => Cursor { time: place.time.saturating_add(1), hash: 0, ordinal: u32::MAX },
        };
        let found = scan::newest(self.store(), &scan, 1, Some(before), Counting::Page, control).await?;
        if found.cursors.first() == Some(&place)
            && let Some(row) = logs::rows(&found.rows, &found.cursors).pop()
        {
            return Ok(row);
        }
        if found.unreadable_parts.is_empty() {
            return Err(QueryError::new(ErrorCode::NotFound, "there is no such row, or no longer"));
        }
        let parts = request::unreadable(&found.unreadable_parts);
        Err(QueryError::internal(format!("the row was not found: {parts}")))
    }

    /// The next rows after a place, oldest first, and whether there are more.
    ///
    /// Rows are found newest first, so a window is looked for that holds enough of them and not too many.
    async fn after(
        &self,
        scan: &mut scan::ScanRequest,
        place: Cursor,
        wanted: usize,
        unreadable: &mut Unreadable,
        control: &Control,
    ) -> Result<(Vec<LogRow>, bool), QueryError> {
        // Rows of the place's own time are in the window, whether they stand before it or behind.
        let moment = TimeRange { start: place.time, end: place.time.saturating_add(1) };
        let same = scan::count(self.store(), Signal::Logs, &scan.filter, moment, control).await?;
        let enough = wanted as u64 + same.matched;
        let mut width = FIRST_WINDOW_NS;
        let (mut too_short, mut too_long) = (0, i64::MAX);
        let rows = loop {
            let end = place.time.saturating_add(width);
            scan.range = TimeRange { start: place.time, end };
            let count = scan::count(self.store(), Signal::Logs, &scan.filter, scan.range, control).await?;
            unreadable.add(&count.unreadable_parts);
            if count.matched < enough && end < i64::MAX && too_long == i64::MAX {
                too_short = width;
                width = width.saturating_mul(8);
            } else if count.matched > MAX_WINDOW_ROWS.max(2 * enough) && too_long - too_short > 1 && width > 1 {
                too_long = width;
                width = too_short + (width - too_short) / 2;
            } else if count.matched < enough && too_long < i64::MAX && too_long - too_short > 1 {
                too_short = width;
                width = too_short + (too_long - too_short) / 2;
            } else {
                break count.matched;
            }
        };
        let limit = rows.clamp(1, 100 * MAX_WINDOW_ROWS) as usize;
        let found = scan::newest(self.store(), scan, limit, None, Counting::Page, control).await?;
        unreadable.add(&found.unreadable_parts);
        let at = found.cursors.iter().position(|cursor| *cursor == place).unwrap_or(found.cursors.len());
        let first = at.saturating_sub(wanted);
        let mut newer = logs::rows(&found.rows.slice(first, at - first), &found.cursors[first..at]);
        newer.reverse();
        let ends_early = scan.range.end < i64::MAX;
        let more = first > 0 || (ends_early && self.any_after(scan, control).await?);
        Ok((newer, more))
    }

    /// Whether there is any row of the source behind the window.
    async fn any_after(&self, scan: &scan::ScanRequest, control: &Control) -> Result<bool, QueryError> {
        let range = TimeRange { start: scan.range.end, end: i64::MAX };
        Ok(scan::count(self.store(), Signal::Logs, &scan.filter, range, control).await?.matched > 0)
    }
}
