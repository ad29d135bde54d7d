//! PromQL over metric points, as Prometheus 3 evaluates it.
//!
//! Points become series as the [compatibility
//! specification](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/) says: names and units by its rules, attributes as labels,
//! `job` and `instance` from the resource, histograms as `_bucket`, `_sum` and `_count`. Text is parsed by `promql-parser`; an expression is evaluated
//! at all steps at once, series by series. What is not supported is an error.

// PromQL compares numbers exactly.
#![allow(clippy::float_cmp)]

mod aggregate;
mod binary;
mod blocks;
mod eval;
mod exemplars;
mod experimental;
mod functions;
mod histogram;
mod info;
mod labels;
mod many;
mod metadata;
mod names;
mod native;
mod notes;
pub(crate) mod numbers;
mod over_time;
mod parallel;
mod read;
mod select;
mod series;
mod span_metrics;
mod target_info;
mod windows;

use crate::scan;
use crate::{Coverage, QueryError, QueryService};
pub(crate) use blocks::Blocks;
use eval::{Evaluation, invalid, unwrapped};
use hashbrown::HashMap;
pub(crate) use labels::Labels;
pub use many::{ExtraSeries, PromQl, PromQlSample};
pub(crate) use names::metric as metric_name;
use notes::Notes;
use promql_parser::label::Matcher;
use promql_parser::parser::{self, Expr};
pub(crate) use read::kind;
use select::Source;
use series::{Grid, Value, is_absent};
use std::sync::Arc;
use std::time::Instant;

/// How far back a sample counts that is the newest one, in milliseconds.
const LOOKBACK: i64 = 300_000;
/// The step of subqueries that do not say one: Prometheus' default evaluation interval.
const DEFAULT_STEP: i64 = 60_000;
/// Queries longer than this are refused.
const MAX_QUERY_BYTES: usize = 32 << 10;

/// A question in PromQL; times and durations are milliseconds.
#[derive(Clone, Debug)]
pub struct PromQlRequest {
    /// The expression.
    pub query: String,
    /// The first moment.
    pub start: i64,
    /// The last moment.
    pub end: i64,
    /// The time between moments; none for an instant query at `end`.
    pub step: Option<i64>,
    /// How far back a sample counts; five minutes without it.
    pub lookback: Option<i64>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct PromQlAnswer {
    /// The values.
    pub value: PromQlValue,
    /// The native histograms of a vector or matrix, beside its numbers.
    pub histograms: Vec<PromQlHistograms>,
    /// What says that the values may be wrong.
    pub warnings: Vec<String>,
    /// What says that the question may be.
    pub infos: Vec<String>,
    /// What was looked at.
    pub coverage: Coverage,
}

/// Labels with samples: time in milliseconds, and value.
pub type PromQlSeries = (serde_json::Value, Vec<(i64, f64)>);

/// Labels with native histograms: time in milliseconds, and the histogram as Prometheus' HTTP API writes it.
pub type PromQlHistograms = (serde_json::Value, Vec<(i64, serde_json::Value)>);

/// The values of an answer.
#[derive(Clone, Debug)]
pub enum PromQlValue {
    /// One number at the moment of an instant query.
    Scalar(i64, f64),
    /// A text at the moment of an instant query.
    Text(i64, String),
    /// One sample a series.
    Vector(Vec<PromQlSeries>),
    /// Several samples a series.
    Matrix(Vec<PromQlSeries>),
}

/// A number as Prometheus writes it.
pub fn number_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    value.to_string()
}

/// Reads an expression.
pub(crate) fn parse(query: &str) -> Result<Expr, QueryError> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(invalid(format!("the query is longer than {MAX_QUERY_BYTES} bytes")));
    }
    // The parser panics where a number of seconds is no duration.
    match std::panic::catch_unwind(|| parser::parse(query)) {
        Ok(parsed) => parsed.map_err(|error| invalid(format!("parse error: {error}"))),
        Err(_) => Err(invalid("parse error: a duration is too long or not a number")),
    }
}

/// Reads a selector such as `http_requests_total{job="web"}`.
pub(crate) fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match parse(text)? {
        Expr::VectorSelector(selector) => eval::matchers(&selector),
        _ => Err(QueryError::invalid("match[]", format!("`{text}` is not a selector"))),
    }
}

impl QueryService {
    /// Evaluates PromQL at a moment, or at each step of a range.
    pub async fn promql(&self, request: &PromQlRequest) -> Result<PromQlAnswer, QueryError> {
        let started = Instant::now();
        let expr = parse(&request.query)?;
        self.allowed(&expr)?;
        let grid = match request.step {
            None => Grid { start: request.end, step: 1, count: 1 },
            Some(step) => {
                let count = crate::request::checked_steps(request.start, request.end, step)?;
                Grid { start: request.start, step, count }
            }
        };
        let lookback = request.lookback.filter(|lookback| *lookback > 0).unwrap_or(LOOKBACK);
        let mut needed = HashMap::new();
        let ends = (grid.start, request.end);
        eval::needs(&expr, (grid.start, grid.end()), ends, lookback, 0, &mut needed)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let mut data = HashMap::new();
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        for (key, (selector, from, to)) in needed {
            let found = select::select(self.source(), &eval::matchers(&selector)?, (from, to), &control).await?;
            coverage.add(&Coverage::of_scan(&found.coverage, started));
            data.insert(key, Arc::new(found));
        }
        let is_range = request.step.is_some();
        let running = control.clone();
        let ((value, histograms), notes) = scan::blocking(move || {
            let evaluation = Evaluation {
                data: &data,
                control: &running,
                query: ends,
                lookback,
                default_step: DEFAULT_STEP,
                notes: Notes::default(),
            };
            let found =
                if is_range { over_range(&evaluation, &expr, grid)? } else { at_moment(&evaluation, &expr, grid)? };
            Ok((found, evaluation.notes.take()))
        })
        .await?;
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        let (warnings, infos) = notes.lists();
        Ok(PromQlAnswer { value, histograms, warnings, infos, coverage })
    }

    /// Refuses what is experimental, unless it is allowed.
    fn allowed(&self, expr: &Expr) -> Result<(), QueryError> {
        if self.settings().promql_experimental_functions { Ok(()) } else { experimental::refuse(expr) }
    }

    /// Where samples are read from.
    const fn source(&self) -> Source<'_> {
        Source { store: self.store(), blocks: self.blocks() }
    }

    /// The label sets of the series that match any of these selectors, or of all series, within a range in milliseconds.
    pub(crate) async fn promql_series(
        &self,
        selectors: &[Vec<Matcher>],
        start: i64,
        end: i64,
    ) -> Result<(Vec<Labels>, Coverage), QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut all = std::collections::BTreeSet::new();
        let any = [Vec::new()];
        for matchers in if selectors.is_empty() { &any[..] } else { selectors } {
            let found = select::select(self.source(), matchers, (start, end), &control).await?;
            coverage.unreadable(&found.coverage.unreadable_parts);
            all.extend(found.series.into_iter().map(|samples| samples.labels));
        }
        Ok((all.into_iter().collect(), coverage))
    }
}

/// A series that was computed elsewhere: its labels, and its value at each step.
pub(crate) type ComputedSeries = (Labels, Vec<Option<f64>>);

/// What stands for the selectors of an expression, at every step; times are milliseconds.
pub(crate) struct Computed {
    /// The first step.
    pub(crate) start: i64,
    /// The time between steps; none for an instant query.
    pub(crate) step: Option<i64>,
    /// How many steps.
    pub(crate) count: usize,
    /// The series of each selector, by the name that it selects.
    pub(crate) series: Vec<(String, Vec<ComputedSeries>)>,
}

/// Evaluates an expression whose selectors are names of series that were computed elsewhere.
pub(crate) fn over_computed(
    query: &str,
    computed: &Computed,
    control: &scan::Control,
) -> Result<PromQlValue, QueryError> {
    let expr = parse(query)?;
    let grid = Grid { start: computed.start, step: computed.step.unwrap_or(1), count: computed.count };
    let ends = (grid.start, grid.end());
    // A value counts at its own step alone.
    let lookback = 1;
    let mut needed = HashMap::new();
    eval::needs(&expr, ends, ends, lookback, 0, &mut needed)?;
    let mut data = HashMap::new();
    for (key, (selector, _, _)) in needed {
        let name = selector.name.as_deref().unwrap_or_default();
        let series = computed.series.iter().find(|(known, _)| known == name);
        let series = series.ok_or_else(|| invalid(format!("{name} was not computed")))?.1.iter();
        let samples = series.map(|(labels, values)| {
            let found = grid.times().zip(values).filter_map(|(time, value)| Some((time, (*value)?)));
            let (times, values) = found.unzip();
            series::Samples::new(labels.clone(), times, values)
        });
        data.insert(key, Arc::new(select::Selected::computed(samples.collect())));
    }
    let notes = Notes::default();
    let evaluation = Evaluation { data: &data, control, query: ends, lookback, default_step: DEFAULT_STEP, notes };
    let found = if computed.step.is_some() {
        over_range(&evaluation, &expr, grid)?
    } else {
        at_moment(&evaluation, &expr, grid)?
    };
    Ok(found.0)
}

/// The quantile of some values.
pub(crate) fn quantile_of(quantile: f64, mut values: Vec<f64>) -> f64 {
    numbers::quantile(quantile, &mut values)
}

/// Numbers, and the native histograms beside them.
type Found = (PromQlValue, Vec<PromQlHistograms>);

fn at_moment(evaluation: &Evaluation<'_>, expr: &Expr, grid: Grid) -> Result<Found, QueryError> {
    if matches!(unwrapped(expr), Expr::MatrixSelector(_) | Expr::Subquery(_)) {
        let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
        for samples in evaluation.matrix(expr, grid)? {
            let labels = samples.labels.json();
            let native: Vec<_> = samples.histograms.iter().map(|(time, found)| (*time, found.json())).collect();
            if !native.is_empty() {
                histograms.push((labels.clone(), native));
            }
            if !samples.times.is_empty() {
                let pairs = samples.times.iter().copied().zip(samples.values.iter().copied());
                numbers.push((labels, pairs.collect()));
            }
        }
        return Ok((PromQlValue::Matrix(numbers), histograms));
    }
    Ok(match evaluation.eval(expr, grid)? {
        Value::Scalar(values) => {
            (PromQlValue::Scalar(grid.start, values.first().copied().unwrap_or(f64::NAN)), Vec::new())
        }
        Value::Text(text) => (PromQlValue::Text(grid.start, text), Vec::new()),
        Value::Vector(series) => {
            let (numbers, histograms) = separated(series, grid);
            (PromQlValue::Vector(numbers), histograms)
        }
    })
}

fn over_range(evaluation: &Evaluation<'_>, expr: &Expr, grid: Grid) -> Result<Found, QueryError> {
    let mut series = match evaluation.eval(expr, grid)? {
        Value::Vector(series) => series,
        Value::Scalar(values) => vec![series::Series::new(Labels::default(), values)],
        Value::Text(_) => {
            return Err(invalid("a range query is of an instant vector or a scalar, not of a text"));
        }
    };
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    let (numbers, histograms) = separated(series, grid);
    Ok((PromQlValue::Matrix(numbers), histograms))
}

/// The numbers and the histograms of series, each where there are any.
fn separated(series: Vec<series::Series>, grid: Grid) -> (Vec<PromQlSeries>, Vec<PromQlHistograms>) {
    let (mut numbers, mut histograms) = (Vec::new(), Vec::new());
    for one in series {
        let native = |(step, time): (usize, i64)| Some((time, one.histogram(step)?.json()));
        let native: Vec<_> = grid.times().enumerate().filter_map(native).collect();
        if !native.is_empty() {
            histograms.push((one.labels.json(), native));
        }
        let points: Vec<(i64, f64)> = grid.times().zip(one.values).filter(|(_, value)| !is_absent(*value)).collect();
        if !points.is_empty() {
            numbers.push((one.labels.json(), points));
        }
    }
    (numbers, histograms)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_that_are_none_are_refused_and_no_panic() {
        for query in ["x[1e30]", "x[inf]", "x[NaN]", "x offset 1e30", "x[5m:1e30]", "x @ 1e400"] {
            let error = parse(query).expect_err(query);
            assert!(error.message.starts_with("parse error"), "{query}: {error}");
        }
        parse("rate(x[5m] offset 1h)").expect("fine");
    }
}
