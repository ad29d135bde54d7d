//! Durations over time: how many spans began when and took how long, with an example for each cell.

use crate::cells::Cells;
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::time::Instant;

/// Cells for each factor of ten of the duration.
const ROWS_PER_DECADE: f64 = 6.0;
/// Columns that one answer may have.
const MAX_COLUMNS: usize = 500;
/// Spans that one answer may name one by one.
const MAX_POINTS: usize = 5_000;
/// OpenTelemetry's status code of an error.
const ERROR: i64 = 2;
/// What a cell or a point takes in memory, about.
const CELL_BYTES: usize = 400;

/// A request for durations over time.
#[derive(Clone, Debug)]
pub struct HeatRequest {
    /// A search over spans; empty matches all.
    pub query: String,
    /// When the spans started.
    pub range: TimeRange,
    /// Columns that the range is cut into.
    pub columns: usize,
    /// Spans are named one by one when there are no more than so many.
    pub max_points: usize,
}

/// Spans by start and duration.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Heat {
    /// Where the first column starts, nanoseconds since the Unix epoch.
    pub start: i64,
    /// The width of a column in nanoseconds.
    pub step_ns: i64,
    /// How many columns.
    pub columns: usize,
    /// The cells that hold a span, by column and row.
    pub cells: Vec<HeatCell>,
    /// Every span, by start, when there are few enough.
    pub points: Option<Vec<HeatPoint>>,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// The spans of a column whose durations are alike.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct HeatCell {
    /// The column.
    pub column: usize,
    /// The row: six times the decimal logarithm of the duration in nanoseconds, rounded down.
    pub row: i32,
    /// Spans.
    pub count: u64,
    /// Spans with the status error.
    pub errors: u64,
    /// The slowest of them.
    pub slowest: HeatPoint,
    /// The slowest of those with the status error.
    pub failed: Option<HeatPoint>,
}

/// One span.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct HeatPoint {
    /// When it started, nanoseconds since the Unix epoch.
    pub time_unix_nano: String,
    /// How long it took, in nanoseconds.
    pub duration_ns: i64,
    /// Whether its status is error.
    pub is_error: bool,
    /// The trace, in hex.
    pub trace_id: String,
    /// The span, in hex.
    pub span_id: String,
    /// `service.name`.
    pub service_name: String,
    /// The operation.
    pub name: String,
}

impl Heat {
    /// The durations from which and up to which a row holds spans, in nanoseconds.
    pub fn bounds(row: i32) -> (i64, i64) {
        let at = |row: i32| 10_f64.powf(f64::from(row) / ROWS_PER_DECADE) as i64;
        (if row <= 0 { 0 } else { at(row) }, at(row + 1))
    }

    /// The row of a duration.
    pub fn row(duration_ns: i64) -> i32 {
        ((duration_ns.max(1) as f64).log10() * ROWS_PER_DECADE).floor() as i32
    }
}

/// Cells and points of some rows.
struct Found {
    cells: HashMap<(usize, i32), HeatCell>,
    points: Option<Vec<HeatPoint>>,
    held: Held,
}

/// How the range is cut.
#[derive(Clone, Copy)]
struct Cut {
    start: i64,
    step: i64,
    columns: usize,
    max_points: usize,
}

impl Found {
    fn new(control: &Control, max_points: usize) -> Self {
        Self { cells: HashMap::new(), points: (max_points > 0).then(Vec::new), held: control.held() }
    }

    fn batch(&mut self, batch: &RecordBatch, cut: Cut) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let time = cells.integer("time", row).unwrap_or_default();
            let duration = cells.integer("duration_ns", row).unwrap_or_default().max(0);
            let is_error = cells.integer("status_code", row) == Some(ERROR);
            let point = || HeatPoint {
                time_unix_nano: time.to_string(),
                duration_ns: duration,
                is_error,
                trace_id: cells.id("trace_id", row),
                span_id: cells.id("span_id", row),
                service_name: cells.text("service_name", row).unwrap_or_default().to_owned(),
                name: cells.text("name", row).unwrap_or_default().to_owned(),
            };
            let column = (time.saturating_sub(cut.start) / cut.step).clamp(0, cut.columns as i64 - 1) as usize;
            let key = (column, Heat::row(duration));
            let cell = self.cells.entry(key).or_insert_with(|| HeatCell {
                column,
                row: key.1,
                count: 0,
                errors: 0,
                slowest: point(),
                failed: None,
            });
            cell.count += 1;
            cell.errors += u64::from(is_error);
            if duration > cell.slowest.duration_ns {
                cell.slowest = point();
            }
            if is_error && cell.failed.as_ref().is_none_or(|failed| duration > failed.duration_ns) {
                cell.failed = Some(point());
            }
            match &mut self.points {
                Some(points) if points.len() >= cut.max_points => self.points = None,
                Some(points) => points.push(point()),
                None => {}
            }
        }
        self.held.cover((self.cells.len() + self.points.as_ref().map_or(0, Vec::len)) * CELL_BYTES)
    }

    fn add(&mut self, other: Self, max_points: usize) {
        for (key, cell) in other.cells {
            let Some(mine) = self.cells.get_mut(&key) else {
                self.cells.insert(key, cell);
                continue;
            };
            mine.count += cell.count;
            mine.errors += cell.errors;
            if before(&mine.slowest, &cell.slowest) {
                mine.slowest = cell.slowest;
            }
            match (&mine.failed, cell.failed) {
                (Some(failed), Some(other)) if !before(failed, &other) => {}
                (_, Some(other)) => mine.failed = Some(other),
                (_, None) => {}
            }
        }
        self.points = self.points.take().zip(other.points).map(|(mut all, more)| {
            all.extend(more);
            all
        });
        if self.points.as_ref().is_some_and(|points| points.len() > max_points) {
            self.points = None;
        }
    }
}

/// Whether the other is the better example: slower, or as slow and with the lesser id, so that it is always the same.
fn before(mine: &HeatPoint, other: &HeatPoint) -> bool {
    (other.duration_ns, &mine.span_id) > (mine.duration_ns, &other.span_id)
}

impl QueryService {
    /// How many spans began when and took how long; every matching span counts.
    ///
    /// # Errors
    /// A search that is not one, no or too many columns, the deadline, more memory than a query may take.
    pub async fn heat(&self, request: &HeatRequest) -> Result<Heat, QueryError> {
        let started = Instant::now();
        if !(1..=MAX_COLUMNS).contains(&request.columns) {
            let message = format!("columns is {}, allowed are 1 to {MAX_COLUMNS}", request.columns);
            return Err(QueryError::invalid("columns", message));
        }
        let filter = crate::language::parse(&request.query, Signal::Spans)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let length = request.range.end.saturating_sub(request.range.start).max(1);
        // Rounded up, so that the columns cover the whole range.
        let step = (length.saturating_add(request.columns as i64 - 1) / request.columns as i64).max(1);
        let max_points = request.max_points.min(MAX_POINTS);
        let cut = Cut { start: request.range.start, step, columns: request.columns, max_points };
        let columns = vec!["time", "duration_ns", "status_code", "trace_id", "span_id", "service_name", "name"];
        let scan = ScanRequest { signal: Signal::Spans, filter, range: request.range, columns };
        let nothing = control.clone();
        let init = move || Found::new(&nothing, max_points);
        let each = move |found: &mut Found, batch: &RecordBatch| found.batch(batch, cut);
        let (states, scan) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        let mut all = Found::new(&control, max_points);
        for found in states {
            all.add(found, max_points);
        }
        let mut cells: Vec<HeatCell> = all.cells.into_values().collect();
        cells.sort_by_key(|cell| (cell.column, cell.row));
        let mut points = all.points;
        if let Some(points) = &mut points {
            points.sort_by(|left, right| {
                (left.time_unix_nano.len(), &left.time_unix_nano, &left.span_id).cmp(&(
                    right.time_unix_nano.len(),
                    &right.time_unix_nano,
                    &right.span_id,
                ))
            });
        }
        let coverage = Coverage::of_scan(&scan, started);
        Ok(Heat { start: cut.start, step_ns: step, columns: cut.columns, cells, points, coverage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_their_bounds_agree() {
        for duration in [1, 2, 9, 10, 999, 1_000_000, 123_456_789, 3_600_000_000_000] {
            let (low, high) = Heat::bounds(Heat::row(duration));
            assert!(low <= duration && duration <= high, "{duration} is in {low} to {high}");
        }
        assert_eq!(Heat::row(0), 0);
        assert_eq!(Heat::bounds(36).0, 1_000_000);
    }
}
