//! Comparing: which values stand out in some rows against others.
//!
//! Every row of the selection and of the baseline is counted; nothing is sampled. For a value that `a` of `n` selected rows and
//! `b` of `m` rows of the baseline have:
//!
//! - it is ranked by the *difference of proportions* `a/n − b/m`;
//! - it is shown when that is above zero and significant by the *G-test* of independence (Sokal and Rohlf, "Biometry"; Dunning,
//!   "Accurate Methods for the Statistics of Surprise and Coincidence", 1993) at 1 % for all values that were tested together
//!   (Bonferroni): `G = 2 Σ O ln(O/E)` over the four cells of the table of rows with and without the value. The probability of
//!   such a `G` by chance is bounded by `√(2/(πG)) · e^(−G/2)` (Mills' ratio), times the number of values tested.

mod count;

use crate::language::{Expr, FieldRef};
use crate::scan::{self, ScanRequest, blocking};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::TimestampNanosecondType;
use count::{Column, Count, Counts, FieldKey};
use mangru_store::{PROMOTED_RESOURCE, Signal, TimeRange};
use parking_lot::Mutex;
use serde::Serialize;
use std::f64::consts::PI;
use std::sync::Arc;
use std::time::Instant;

/// What may be significant by chance, among all values together.
const SIGNIFICANCE: f64 = 0.01;

/// A request for a comparison.
#[derive(Clone, Debug)]
pub struct CompareRequest {
    /// Logs or spans.
    pub signal: Signal,
    /// A search for the rows that are looked at.
    pub selection: String,
    /// A search for the rows they are compared with, but for those of the selection; all others of the range without it.
    pub baseline: Option<String>,
    /// When the rows happened.
    pub range: TimeRange,
    /// When those of the selection happened, within the range; at any time of it without this.
    pub selection_range: Option<TimeRange>,
    /// How many fields, those that differ most.
    pub max_fields: usize,
    /// How many values of each field, those that differ most.
    pub max_values: usize,
}

/// What stands out in a selection.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Rows of the selection.
    pub selection_rows: u64,
    /// Rows of the baseline.
    pub baseline_rows: u64,
    /// Fields with a value that stands out, those that differ most first.
    pub fields: Vec<ComparedField>,
    /// Values of all fields that were tested.
    pub values_tested: u64,
    /// Fields that were not compared, as they have too many different values.
    pub left_out: Vec<String>,
    /// What was looked at; `matched` counts the rows of the selection.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// A field with values that stand out.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ComparedField {
    /// Its name in the search language.
    pub name: String,
    /// Where it is from.
    pub kind: ComparedKind,
    /// Whether selection or baseline ask for it, so that it is no wonder that it differs.
    pub is_queried: bool,
    /// How many of its values stand out.
    pub values_found: u64,
    /// Those that differ most, first the one that does so most.
    pub values: Vec<ComparedValue>,
}

/// Where a field is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparedKind {
    /// A column of the table.
    Column,
    /// An attribute of the record.
    Attribute,
    /// An attribute of the record's resource.
    Resource,
}

/// A value that stands out.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ComparedValue {
    /// The value in text form.
    pub value: String,
    /// Whether this is its beginning only: what agrees so far counts as one value.
    pub is_cut: bool,
    /// Rows of the selection that have it.
    pub selection_rows: u64,
    /// The same among all rows of the selection, 0 to 1.
    pub selection_share: f64,
    /// Rows of the baseline that have it.
    pub baseline_rows: u64,
    /// The same among all rows of the baseline, 0 to 1.
    pub baseline_share: f64,
    /// The share in the selection minus the share in the baseline.
    pub difference: f64,
    /// The statistic of the G-test.
    pub g: f64,
}

/// The statistic of the G-test for a value that `a` of `n` and `b` of `m` rows have.
fn g_statistic(a: u64, n: u64, b: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let with = [a as f64, b as f64];
    let without = [n - with[0], m - with[1]];
    let sum: f64 = [with, without]
        .into_iter()
        .flat_map(|[selected, other]| {
            let both = selected + other;
            [(selected, both * n / (n + m)), (other, both * m / (n + m))]
        })
        .filter(|(observed, _)| *observed > 0.0)
        .map(|(observed, expected)| observed * (observed / expected).ln())
        .sum();
    (2.0 * sum).max(0.0)
}

/// A bound on the probability of a statistic as large by chance alone: never below that of the chi-squared distribution with
/// one degree of freedom.
fn chance(g: f64) -> f64 {
    (2.0 / (PI * g)).sqrt() * (-g / 2.0).exp()
}

impl QueryService {
    /// Which values of attributes, resource and columns the rows of a selection have more often than those of a baseline.
    ///
    /// # Errors
    /// A search that is not one, a selection of everything, a signal without record attributes, limits of zero, the deadline.
    pub async fn compare(&self, request: &CompareRequest) -> Result<Comparison, QueryError> {
        let started = Instant::now();
        let signal = request.signal;
        if signal == Signal::MetricPoints {
            return Err(QueryError::invalid("signal", "only logs and spans can be compared"));
        }
        let max_fields = self.checked_limit(request.max_fields)?;
        let max_values = self.checked_limit(request.max_values)?;
        let selection = crate::language::parse(&request.selection, signal)?;
        if matches!(selection, Expr::All) && request.selection_range.is_none() {
            return Err(QueryError::invalid(
                "query",
                "query matches all rows, so there is nothing to compare them with",
            ));
        }
        let baseline = match &request.baseline {
            None => Expr::All,
            Some(baseline) => crate::language::parse(baseline, signal)
                .map_err(|error| QueryError { field: Some("baseline"), ..error })?,
        };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let filter = match &baseline {
            Expr::All => Expr::All,
            baseline => Expr::Or(vec![selection.clone(), baseline.clone()]),
        };
        let window = request.selection_range;
        let mut columns = count::columns(signal);
        columns.extend(window.map(|_| "time").filter(|time| !columns.contains(time)));
        for name in selection.columns(signal).into_iter().chain(baseline.columns(signal)) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
        let scan = ScanRequest { signal, filter, range: request.range, columns };
        let counts = Arc::new(Mutex::new(Counts::default()));
        let shared = Arc::clone(&counts);
        let (selected, compared) = (selection.clone(), baseline.clone());
        let (_, scan) = scan::for_each(
            self.store(),
            &scan,
            &control,
            || (),
            move |(), batch| {
                let mut selected = selected.matches(signal, batch)?.values().clone();
                if let Some(window) = window {
                    selected = &selected & &within(batch, window)?;
                }
                let compared = compared.matches(signal, batch)?;
                count::add(&shared, signal, batch, &selected, compared.values())
            },
        )
        .await?;
        let counts = std::mem::take(&mut *counts.lock());
        let mut coverage = Coverage::of_scan(&scan, started);
        coverage.matched = counts.rows.selection;
        let (has_more_fields, left_out) = (counts.has_more_fields, counts.left_out());
        let (selection_rows, baseline_rows) = (counts.rows.selection, counts.rows.baseline);
        let (mut fields, values_tested) = blocking(move || {
            let is_queried = |key: &FieldKey| asks(&selection, key, signal) || asks(&baseline, key, signal);
            Ok(ranked(counts, &is_queried))
        })
        .await?;
        if !left_out.is_empty() {
            coverage.cut(format!("too many different values of {}", left_out.join(", ")));
        }
        if has_more_fields {
            coverage.cut(format!("limit of {} fields that are counted", count::MAX_FIELDS));
        }
        if fields.len() > max_fields {
            coverage.cut(format!("limit of {max_fields} fields"));
            fields.truncate(max_fields);
        }
        for field in &mut fields {
            if field.values.len() > max_values {
                coverage.cut(format!("limit of {max_values} values of a field"));
                field.values.truncate(max_values);
            }
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Comparison { selection_rows, baseline_rows, fields, values_tested, left_out, coverage })
    }
}

/// Which rows happened in a range.
fn within(batch: &RecordBatch, range: TimeRange) -> Result<BooleanBuffer, QueryError> {
    let times = batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
    Ok(times.as_primitive::<TimestampNanosecondType>().values().iter().map(|time| range.contains(*time)).collect())
}

/// Whether a search asks for a field.
fn asks(expr: &Expr, key: &FieldKey, signal: Signal) -> bool {
    let is_it = |field: &FieldRef| match key {
        FieldKey::Column(column) => *field == column.field(signal),
        FieldKey::Attribute(key) => match field {
            FieldRef::Attribute(asked) | FieldRef::Either(asked) => asked == key,
            _ => false,
        },
        FieldKey::Resource(key) => match field {
            FieldRef::Resource(asked) | FieldRef::Either(asked) => asked == key,
            FieldRef::Column(asked) => {
                PROMOTED_RESOURCE.iter().any(|promoted| promoted.column == *asked && promoted.key == key)
            }
            _ => false,
        },
    };
    let mut found = false;
    expr.visit(&mut |expr| found |= matches!(expr, Expr::Field(field, _) if is_it(field)));
    found
}

/// The fields with values that stand out, and how many values were tested.
fn ranked(counts: Counts, is_queried: &dyn Fn(&FieldKey) -> bool) -> (Vec<ComparedField>, u64) {
    let rows = counts.rows;
    if rows.selection == 0 || rows.baseline == 0 {
        return (Vec::new(), 0);
    }
    let fields = counts.into_fields();
    let tested: u64 = fields.iter().map(|(_, values)| values.len() as u64).sum();
    let mut found: Vec<ComparedField> = fields
        .into_iter()
        .filter_map(|(key, values)| {
            let mut values: Vec<ComparedValue> =
                values.into_iter().filter_map(|(value, count)| stands_out(value, count, rows, tested)).collect();
            values.sort_by(|left, right| before(left, right).then_with(|| left.value.cmp(&right.value)));
            let (name, kind) = key.name();
            let is_queried = is_queried(&key);
            let values_found = values.len() as u64;
            (values_found > 0).then_some(ComparedField { name, kind, is_queried, values_found, values })
        })
        .collect();
    found.sort_by(|left, right| before(&left.values[0], &right.values[0]).then_with(|| left.name.cmp(&right.name)));
    (found, tested)
}

fn before(left: &ComparedValue, right: &ComparedValue) -> std::cmp::Ordering {
    right.difference.total_cmp(&left.difference).then_with(|| right.g.total_cmp(&left.g))
}

fn stands_out(value: count::Value, count: Count, rows: Count, tested: u64) -> Option<ComparedValue> {
    let selection_share = count.selection as f64 / rows.selection as f64;
    let baseline_share = count.baseline as f64 / rows.baseline as f64;
    let difference = selection_share - baseline_share;
    let g = g_statistic(count.selection, rows.selection, count.baseline, rows.baseline);
    (difference > 0.0 && chance(g) * tested as f64 <= SIGNIFICANCE).then_some(ComparedValue {
        value: value.text,
        is_cut: value.is_cut,
        selection_rows: count.selection,
        selection_share,
        baseline_rows: count.baseline,
        baseline_share,
        difference,
        g,
    })
}

impl FieldKey {
    /// The field's name in the search language, and where it is from.
    fn name(&self) -> (String, ComparedKind) {
        match self {
            Self::Column(column) => (column.name().to_owned(), ComparedKind::Column),
            Self::Attribute(key) => (key.clone(), ComparedKind::Attribute),
            Self::Resource(key) => (format!("resource.{key}"), ComparedKind::Resource),
        }
    }
}

impl Column {
    /// What the column is in the search language.
    fn field(self, signal: Signal) -> FieldRef {
        FieldRef::of(self.name(), signal)
    }
}

#[cfg(test)]
mod tests {
    use super::{chance, g_statistic};

    #[test]
    fn the_statistic_is_that_of_the_textbook() {
        // A table of 50 and 30 against 50 and 70: expected are 40 and 60 on both sides.
        let by_hand = 2.0
            * (50.0 * (50.0_f64 / 40.0).ln()
                + 30.0 * (30.0_f64 / 40.0).ln()
                + 50.0 * (50.0_f64 / 60.0).ln()
                + 70.0 * (70.0_f64 / 60.0).ln());
        assert!((g_statistic(50, 100, 30, 100) - by_hand).abs() < 1e-9);
        assert!(g_statistic(30, 100, 30, 100).abs() < 1e-9);
        assert!(g_statistic(0, 100, 0, 100).abs() < 1e-9);
        assert!(g_statistic(100, 100, 0, 100) > 270.0);
    }

    #[test]
    fn chance_is_bounded_from_above_and_closely() {
        // The quantiles of the chi-squared distribution with one degree of freedom.
        for (quantile, probability) in [(3.841, 0.05), (6.635, 0.01), (10.828, 0.001), (15.137, 0.000_1)] {
            let bound = chance(quantile);
            assert!(bound > probability && bound < probability * 1.25, "{quantile}: {bound}");
        }
    }
}
