//! Scanning: from a tree and a time range to rows, over hot batches and parts, each row once.

mod aggregate;
mod control;
mod cursor;
mod explain;
mod fairness;
mod newest;
mod plan;
mod planner;
mod rows;

pub(crate) use aggregate::{ScanCoverage, Shortcut, count, for_each, for_each_in, for_each_or};
pub(crate) use control::{Control, Held, blocking, exhausted};
pub(crate) use cursor::{Cursor, hashes, identity_columns};
pub use explain::PartExplained;
pub(crate) use explain::explain;
pub(crate) use fairness::Fairness;
pub(crate) use newest::{Counting, Newest, newest};
pub(crate) use plan::PartPlan;
pub(crate) use rows::{PartLeft, PartRows, hot_rows, matching_rows, open_part, open_part_told};

use crate::language::Expr;
use mangru_store::{Signal, TimeRange};

/// What to look for, and which columns to give.
#[derive(Clone, Debug)]
pub(crate) struct ScanRequest {
    pub(crate) signal: Signal,
    pub(crate) filter: Expr,
    pub(crate) range: TimeRange,
    pub(crate) columns: Vec<&'static str>,
}
