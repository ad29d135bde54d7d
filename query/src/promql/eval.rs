//! Evaluating an expression at all steps of a query at once.

use super::aggregate::{self, Totals};
use super::binary;
use super::functions;
use super::info;
use super::labels::NAME;
use super::notes::Notes;
use super::over_time::{self, Asked, OverTime, Scratch};
use super::parallel;
use super::select::{self, Selected};
use super::series::{ABSENT, Grid, HistogramSample, Samples, Series, Value, is_absent};
use super::windows::Window;
use crate::QueryError;
use crate::scan::Control;
use hashbrown::{HashMap, HashSet};
use promql_parser::label::Matcher;
use promql_parser::parser::{AggregateExpr, AtModifier, Call, Expr, Offset, SubqueryExpr, VectorSelector};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How deep expressions may nest.
const MAX_DEPTH: usize = 100;
/// Steps of a subquery, over all of the query.
const MAX_SUBQUERY_STEPS: usize = 1_000_000;

/// What every part of an evaluation knows.
pub(super) struct Evaluation<'a> {
    /// What selectors found, by [`key`].
    pub(super) data: &'a HashMap<String, Arc<Selected>>,
    pub(super) control: &'a Control,
    /// The whole query's first and last moment, for `@ start()` and `@ end()`.
    pub(super) query: (i64, i64),
    /// How far back a sample counts, in milliseconds.
    pub(super) lookback: i64,
    /// The step of subqueries that do not say one, in milliseconds.
    pub(super) default_step: i64,
    /// What the answer is told beside its values.
    pub(super) notes: Notes,
}

pub(super) fn invalid(message: impl Into<String>) -> QueryError {
    QueryError::invalid("query", message.into())
}

pub(super) fn unsupported(message: impl Into<String>) -> QueryError {
    QueryError::unsupported("query", message)
}

/// All that a selector asks of labels, its name included.
pub(super) fn matchers(selector: &VectorSelector) -> Result<Vec<Matcher>, QueryError> {
    if !selector.matchers.or_matchers.is_empty() {
        return Err(unsupported("`or` between matchers is not PromQL"));
    }
    let mut all = selector.matchers.matchers.clone();
    if let Some(name) = &selector.name {
        all.push(Matcher::new(promql_parser::label::MatchOp::Equal, super::labels::NAME, name));
    }
    Ok(all)
}

/// What selectors with the same data have in common.
pub(super) fn key(selector: &VectorSelector) -> String {
    let plain = VectorSelector { offset: None, at: None, ..selector.clone() };
    plain.to_string()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn offset_of(offset: Option<&Offset>) -> i64 {
    match offset {
        None => 0,
        Some(Offset::Pos(duration)) => millis(*duration),
        Some(Offset::Neg(duration)) => -millis(*duration),
    }
}

fn at_of(at: Option<&AtModifier>, query: (i64, i64)) -> Option<i64> {
    Some(match at? {
        AtModifier::Start => query.0,
        AtModifier::End => query.1,
        AtModifier::At(time) => unix_millis(*time),
    })
}

fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// The selectors of an expression with the times between which they need samples, by [`key`].
pub(super) fn needs(
    expr: &Expr,
    grid: (i64, i64),
    query: (i64, i64),
    lookback: i64,
    depth: usize,
    found: &mut HashMap<String, (VectorSelector, i64, i64)>,
) -> Result<(), QueryError> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("the expression nests deeper than {MAX_DEPTH}")));
    }
    let mut selector = |selector: &VectorSelector, range: i64| {
        let (start, end) = at_of(selector.at.as_ref(), query).map_or(grid, |at| (at, at));
        let offset = offset_of(selector.offset.as_ref());
        let (start, end) = (start.saturating_sub(offset).saturating_sub(range), end.saturating_sub(offset));
        let known = found.entry(key(selector)).or_insert_with(|| (selector.clone(), start, end));
        known.1 = known.1.min(start);
        known.2 = known.2.max(end);
    };
    match expr {
        Expr::VectorSelector(vector) => selector(vector, lookback),
        Expr::MatrixSelector(matrix) => selector(&matrix.vs, millis(matrix.range)),
        Expr::Subquery(subquery) => {
            let (start, end) = at_of(subquery.at.as_ref(), query).map_or(grid, |at| (at, at));
            let offset = offset_of(subquery.offset.as_ref());
            let start = start.saturating_sub(offset).saturating_sub(millis(subquery.range));
            let inner = (start, end.saturating_sub(offset));
            needs(&subquery.expr, inner, query, lookback, depth + 1, found)?;
        }
        Expr::Paren(paren) => needs(&paren.expr, grid, query, lookback, depth + 1, found)?,
        Expr::Unary(unary) => needs(&unary.expr, grid, query, lookback, depth + 1, found)?,
        Expr::Binary(binary) => {
            needs(&binary.lhs, grid, query, lookback, depth + 1, found)?;
            needs(&binary.rhs, grid, query, lookback, depth + 1, found)?;
        }
        Expr::Aggregate(aggregate) => {
            needs(&aggregate.expr, grid, query, lookback, depth + 1, found)?;
            if let Some(parameter) = &aggregate.param {
                needs(parameter, grid, query, lookback, depth + 1, found)?;
            }
        }
        Expr::Call(call) => {
            let is_info = call.func.name == "info";
            if is_info {
                selector(&info::selector(&call.args.args)?, lookback);
            }
            // What `info` is told of labels is no selector of its own.
            for argument in call.args.args.iter().take(if is_info { 1 } else { usize::MAX }) {
                needs(argument, grid, query, lookback, depth + 1, found)?;
            }
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
        Expr::Extension(_) => return Err(unsupported("this expression is not PromQL")),
    }
    Ok(())
}

/// Samples with the window of each step.
struct Ranges<'a> {
    /// Without what says that a series has ended.
    samples: Vec<Cow<'a, Samples>>,
    windows: Vec<Window>,
}

impl Evaluation<'_> {
    /// The value of an expression at each step.
    pub(super) fn eval(&self, expr: &Expr, grid: Grid) -> Result<Value, QueryError> {
        self.control.check()?;
        match expr {
            Expr::NumberLiteral(number) => Ok(Value::Scalar(vec![number.val; grid.count])),
            Expr::StringLiteral(text) => Ok(Value::Text(text.val.clone())),
            Expr::Paren(paren) => self.eval(&paren.expr, grid),
            Expr::VectorSelector(selector) => self.selector(selector, grid, false).map(Value::Vector),
            Expr::MatrixSelector(_) | Expr::Subquery(_) => Err(invalid(
                "a range vector stands as the argument of a function such as rate, or alone in an instant query",
            )),
            Expr::Unary(unary) => match self.eval(&unary.expr, grid)? {
                Value::Scalar(values) => Ok(Value::Scalar(values.into_iter().map(|value| -value).collect())),
                Value::Vector(series) => Ok(Value::Vector(unique(
                    series
                        .into_iter()
                        .map(|one| {
                            let labels = one.labels.without_name();
                            negated(one).labelled(labels)
                        })
                        .collect(),
                )?)),
                Value::Text(_) => Err(invalid("a text has no sign")),
            },
            Expr::Binary(binary) => {
                let (left, right) = (self.eval(&binary.lhs, grid)?, self.eval(&binary.rhs, grid)?);
                match binary::apply(binary.op.id(), left, right, binary.modifier.as_ref(), &self.notes)? {
                    Value::Vector(series) => unique(series).map(Value::Vector),
                    other => Ok(other),
                }
            }
            Expr::Aggregate(aggregate) => {
                if let Some(series) = self.totals(aggregate, grid)? {
                    return Ok(Value::Vector(series));
                }
                let Value::Vector(series) = self.eval(&aggregate.expr, grid)? else {
                    return Err(invalid("aggregations take an instant vector"));
                };
                let modifier = aggregate.modifier.as_ref();
                let parameter = aggregate.param.as_ref().map(|parameter| self.eval(parameter, grid)).transpose()?;
                let name = aggregate.op.to_string();
                Ok(Value::Vector(match (name.as_str(), parameter) {
                    ("count_values", Some(Value::Text(label))) => aggregate::count_values(&label, &series, modifier),
                    ("topk" | "bottomk", Some(Value::Scalar(counts))) => {
                        if counts.iter().any(|count| count.is_nan()) {
                            return Err(invalid("parameter value is NaN"));
                        }
                        aggregate::top(name == "topk", series, modifier, &counts, &self.notes)
                    }
                    ("limitk" | "limit_ratio", Some(Value::Scalar(limits))) => {
                        if limits.iter().any(|limit| limit.is_nan()) {
                            return Err(invalid(format!("the parameter of {name} is NaN")));
                        }
                        aggregate::limited(name == "limitk", series, modifier, &limits, &self.notes)
                    }
                    (_, Some(Value::Scalar(parameter))) => {
                        aggregate::aggregate(&name, series, modifier, Some(&parameter), &self.notes)?
                    }
                    (_, None) => aggregate::aggregate(&name, series, modifier, None, &self.notes)?,
                    _ => return Err(invalid(format!("the parameter of {name} is of the wrong type"))),
                }))
            }
            Expr::Call(call) => self.call(call, grid),
            Expr::Extension(_) => Err(unsupported("this expression is not PromQL")),
        }
    }

    /// The totals of groups of a function of ranges, such as `sum by (a) (rate(x[5m]))`, without the series between the two; `None` for what is no
    /// such aggregation. The memory of a million values costs more than they do.
    fn totals(&self, aggregate: &AggregateExpr, grid: Grid) -> Result<Option<Vec<Series>>, QueryError> {
        let name = aggregate.op.to_string();
        let Expr::Call(call) = unwrapped(&aggregate.expr) else { return Ok(None) };
        let (Some(function), [argument]) = (OverTime::of(call.func.name), call.args.args.as_slice()) else {
            return Ok(None);
        };
        let Expr::MatrixSelector(matrix) = unwrapped(argument) else { return Ok(None) };
        // Series of one name differ without it, too.
        let is_of_one_name = select::name_of(&matchers(&matrix.vs)?).is_some();
        if !Totals::can(&name) || aggregate.param.is_some() || !is_of_one_name {
            return Ok(None);
        }
        let ranges = self.ranges(Some(argument), grid)?;
        if ranges.samples.iter().any(|samples| !samples.histograms.is_empty()) {
            return Ok(None);
        }
        let times: Vec<i64> = grid.times().collect();
        let asked = Asked { function, windows: &ranges.windows, times: &times, parameters: &[], notes: &self.notes };
        let modifier = aggregate.modifier.as_ref();
        let share = |piece: &[Cow<'_, Samples>]| {
            let mut totals = Totals::new(modifier, grid.count);
            let (mut values, mut scratch, mut has_numbers) = (Vec::new(), Scratch::default(), false);
            for samples in piece {
                self.control.check()?;
                over_time::numbers(&asked, samples, &mut values, &mut scratch);
                let is_any = values.iter().any(|value| !is_absent(*value));
                if is_any {
                    has_numbers = true;
                    totals.add(if function.keeps_name() { &samples.labels } else { &samples.nameless }, &values);
                }
            }
            Ok((totals, has_numbers))
        };
        let mut all = Totals::new(modifier, grid.count);
        let mut has_numbers = false;
        for (totals, is_any) in parallel::shares(&ranges.samples, grid.count, share)? {
            all.merge(totals);
            has_numbers |= is_any;
        }
        let Some(series) = all.series(&name) else { return Ok(None) };
        let metric = ranges.samples.first().map_or("", |samples| samples.labels.get(NAME));
        if function.is_of_counter() && has_numbers && !is_named_as_counter(metric) {
            self.notes.not_a_counter(metric);
        }
        Ok(Some(series))
    }

    /// The series of a selector: at each step the newest sample that is not too old, or its time.
    pub(super) fn selector(
        &self,
        selector: &VectorSelector,
        grid: Grid,
        gives_times: bool,
    ) -> Result<Vec<Series>, QueryError> {
        let found = self.data.get(&key(selector)).ok_or_else(|| QueryError::internal("a selector was not read"))?;
        let offset = offset_of(selector.offset.as_ref());
        let at = at_of(selector.at.as_ref(), self.query);
        let one = |samples: &Samples| {
            self.control.check()?;
            let mut behind = 0;
            let mut values = Vec::with_capacity(grid.count);
            for time in grid.times() {
                let time = at.unwrap_or(time).saturating_sub(offset);
                while behind < samples.times.len() && samples.times[behind] <= time {
                    behind += 1;
                }
                let newest =
                    behind.checked_sub(1).filter(|place| samples.times[*place] > time.saturating_sub(self.lookback));
                values.push(match newest {
                    Some(place) if gives_times && !is_absent(samples.values[place]) => {
                        samples.times[place] as f64 / 1000.0
                    }
                    Some(place) => samples.values[place],
                    None => ABSENT,
                });
            }
            let mut series = Series::new(samples.labels.clone(), values);
            if !samples.histograms.is_empty() {
                for (step, time) in grid.times().enumerate() {
                    let time = at.unwrap_or(time).saturating_sub(offset);
                    self.histogram_at(samples, time, step, gives_times, &mut series);
                }
            }
            Ok(series)
        };
        let mut out = parallel::each(&found.series, grid.count, one)?;
        out.retain(Series::has_any);
        Ok(out)
    }

    /// Puts the newest histogram at a step, when it is newer than the newest number.
    fn histogram_at(&self, samples: &Samples, time: i64, step: usize, gives_times: bool, into: &mut Series) {
        let behind = samples.histograms.partition_point(|(known, _)| *known <= time);
        let Some((at, histogram)) = behind.checked_sub(1).map(|place| &samples.histograms[place]) else { return };
        let numbers = samples.times.partition_point(|known| *known <= time);
        let is_older = numbers.checked_sub(1).is_some_and(|place| samples.times[place] > *at);
        if is_older || *at <= time.saturating_sub(self.lookback) {
            return;
        }
        if gives_times {
            into.values[step] = *at as f64 / 1000.0;
        } else {
            into.values[step] = ABSENT;
            into.set_histogram(step, Some(Arc::clone(histogram)));
        }
    }

    fn call(&self, call: &Call, grid: Grid) -> Result<Value, QueryError> {
        let name = call.func.name;
        let arguments: Vec<&Expr> = call.args.args.iter().map(|argument| unwrapped(argument)).collect();
        if name == "absent_over_time" {
            let ranges = self.ranges(arguments.first().copied(), grid)?;
            let mut is_there = vec![false; grid.count];
            for samples in &ranges.samples {
                for (there, window) in is_there.iter_mut().zip(&ranges.windows) {
                    *there |= over_time::is_any(samples, *window);
                }
            }
            return Ok(Value::Vector(functions::absent(arguments[0], &is_there)));
        }
        if let Some(function) = OverTime::of(name) {
            let (range, parameters) = match (function, arguments.as_slice()) {
                (OverTime::Quantile, [parameter, range]) | (OverTime::Predict, [range, parameter]) => {
                    (*range, vec![self.scalar(name, parameter, grid)?])
                }
                (OverTime::Smoothing, [range, smoothing, trend]) => {
                    let factors = [(*smoothing, "smoothing"), (*trend, "trend")];
                    let factor = |(expr, kind)| self.factor(name, expr, kind, grid);
                    (*range, factors.into_iter().map(factor).collect::<Result<Vec<_>, _>>()?)
                }
                (_, [range]) => (*range, Vec::new()),
                _ => return Err(invalid(format!("{name} takes a range vector"))),
            };
            let ranges = self.ranges(Some(range), grid)?;
            if function == OverTime::Quantile {
                self.notes.quantiles(parameters.first().map(Vec::as_slice).unwrap_or_default());
            }
            let times: Vec<i64> = grid.times().collect();
            let asked = Asked {
                function,
                windows: &ranges.windows,
                times: &times,
                parameters: &parameters,
                notes: &self.notes,
            };
            let share = |piece: &[Cow<'_, Samples>]| {
                let mut scratch = Scratch::default();
                let one = |samples: &Cow<'_, Samples>| {
                    self.control.check()?;
                    Ok(over_time::apply(&asked, samples, &mut scratch))
                };
                piece.iter().map(one).collect::<Result<Vec<Series>, QueryError>>()
            };
            let mut out = parallel::shares(&ranges.samples, grid.count, share)?.concat();
            if function.is_of_counter() {
                self.note_counters(&ranges.samples, &out);
            }
            out.retain(Series::has_any);
            return unique(out).map(Value::Vector);
        }
        if name == "timestamp"
            && let [Expr::VectorSelector(selector)] = arguments.as_slice()
        {
            let series = self.selector(selector, grid, true)?;
            let nameless = |one: Series| {
                let labels = one.labels.without_name();
                one.labelled(labels)
            };
            let without = series.into_iter().map(nameless).collect();
            return unique(without).map(Value::Vector);
        }
        if name == "info" {
            return unique(self.info(&arguments, grid)?).map(Value::Vector);
        }
        let values = arguments.iter().map(|argument| self.eval(argument, grid)).collect::<Result<Vec<_>, _>>()?;
        match functions::call(name, &arguments, &values, grid, &self.notes)? {
            Value::Vector(series) => unique(series).map(Value::Vector),
            other => Ok(other),
        }
    }

    fn scalar(&self, name: &str, expr: &Expr, grid: Grid) -> Result<Vec<f64>, QueryError> {
        match self.eval(expr, grid)? {
            Value::Scalar(values) => Ok(values),
            _ => Err(invalid(format!("the parameter of {name} is a scalar"))),
        }
    }

    /// A factor between 0 and 1, neither included.
    fn factor(&self, name: &str, expr: &Expr, kind: &str, grid: Grid) -> Result<Vec<f64>, QueryError> {
        let values = self.scalar(name, expr, grid)?;
        match values.iter().find(|value| **value <= 0.0 || **value >= 1.0) {
            Some(wrong) => Err(invalid(format!("the {kind} factor of {name} is between 0 and 1, got {wrong}"))),
            None => Ok(values),
        }
    }

    /// Says which metrics of numbers have no name of a counter.
    fn note_counters(&self, samples: &[Cow<'_, Samples>], answers: &[Series]) {
        let mut before = "";
        for (samples, answer) in samples.iter().zip(answers) {
            let name = samples.labels.get(NAME);
            if !is_named_as_counter(name) && name != before && over_time::has_numbers(answer) {
                self.notes.not_a_counter(name);
                before = name;
            }
        }
    }

    /// The samples of a range vector, with a window for each step.
    fn ranges(&self, expr: Option<&Expr>, grid: Grid) -> Result<Ranges<'_>, QueryError> {
        match expr.map(unwrapped) {
            Some(Expr::MatrixSelector(matrix)) => {
                let selector = &matrix.vs;
                let found =
                    self.data.get(&key(selector)).ok_or_else(|| QueryError::internal("a selector was not read"))?;
                let windows = self.windows(grid, selector.at.as_ref(), selector.offset.as_ref(), matrix.range);
                Ok(Ranges { samples: found.series.iter().map(Samples::present).collect(), windows })
            }
            Some(Expr::Subquery(subquery)) => self.subquery(subquery, grid),
            _ => Err(invalid("a range vector such as metric[5m] is expected here")),
        }
    }

    fn windows(&self, grid: Grid, at: Option<&AtModifier>, offset: Option<&Offset>, range: Duration) -> Vec<Window> {
        let (at, offset, range) = (at_of(at, self.query), offset_of(offset), millis(range));
        let window = |time: i64| {
            let end = at.unwrap_or(time).saturating_sub(offset);
            Window { start: end.saturating_sub(range), end }
        };
        grid.times().map(window).collect()
    }

    /// Evaluates the inner expression at whole steps within the windows, and takes the values for samples.
    fn subquery(&self, subquery: &SubqueryExpr, grid: Grid) -> Result<Ranges<'_>, QueryError> {
        let windows = self.windows(grid, subquery.at.as_ref(), subquery.offset.as_ref(), subquery.range);
        let step = subquery.step.map_or(self.default_step, millis).max(1);
        let first = windows.iter().map(|window| window.start).min().unwrap_or_default();
        let end = windows.iter().map(|window| window.end).max().unwrap_or_default();
        // The first whole step behind the start.
        let start = first.div_euclid(step).saturating_add(1).saturating_mul(step);
        let inner = Grid::new(start, end, step);
        if inner.count > MAX_SUBQUERY_STEPS {
            return Err(invalid(format!("the subquery has {} steps, allowed are {MAX_SUBQUERY_STEPS}", inner.count)));
        }
        let series = match self.eval(&subquery.expr, inner)? {
            Value::Vector(series) => series,
            Value::Scalar(values) => vec![Series::new(super::labels::Labels::default(), values)],
            Value::Text(_) => return Err(invalid("a subquery is of an instant vector")),
        };
        let samples = series
            .into_iter()
            .map(|one| {
                let histogram = |(step, time): (usize, i64)| Some((time, Arc::clone(one.histogram(step)?)));
                let histograms: Vec<HistogramSample> = inner.times().enumerate().filter_map(histogram).collect();
                let present = inner.times().zip(one.values).filter(|(_, value)| !is_absent(*value));
                let (times, values) = present.unzip();
                Cow::Owned(Samples::new(one.labels, times, values).with_histograms(histograms))
            })
            .collect();
        Ok(Ranges { samples, windows })
    }

    /// The samples of a range vector that stands alone in an instant query.
    pub(super) fn matrix(&self, expr: &Expr, grid: Grid) -> Result<Vec<Samples>, QueryError> {
        let ranges = self.ranges(Some(expr), grid)?;
        let Some(window) = ranges.windows.first() else { return Ok(Vec::new()) };
        let inside = |samples: Cow<'_, Samples>| samples.within(window.start.saturating_add(1), window.end);
        let has_any = |samples: &Samples| !samples.times.is_empty() || !samples.histograms.is_empty();
        Ok(ranges.samples.into_iter().map(inside).filter(has_any).collect())
    }
}

/// Whether a name is that of a counter, or there is none.
fn is_named_as_counter(name: &str) -> bool {
    name.is_empty() || ["_total", "_sum", "_count", "_bucket"].iter().any(|ending| name.ends_with(ending))
}

/// The same with the other sign.
fn negated(series: Series) -> Series {
    let histograms = series.histograms.clone();
    let mut negated = series.map(|_, value| -value);
    for (step, histogram) in histograms.iter().flatten().enumerate() {
        if let Some(histogram) = histogram {
            negated.set_histogram(step, Some(Arc::new(histogram.map(|number| -number))));
        }
    }
    negated
}

/// An expression without the parentheses around it.
pub(super) fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => unwrapped(&paren.expr),
        other => other,
    }
}

/// Series of the same labels are put together when they have values at different steps; that two have one at the same is an
/// error.
fn unique(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let distinct = series.iter().map(|one| &one.labels).collect::<HashSet<_>>().len();
    if distinct == series.len() {
        return Ok(series);
    }
    let mut places: HashMap<super::labels::Labels, usize> = HashMap::new();
    let mut out: Vec<Series> = Vec::new();
    for one in series {
        let Some(place) = places.get(&one.labels) else {
            places.insert(one.labels.clone(), out.len());
            out.push(one);
            continue;
        };
        for step in (0..one.values.len()).filter(|step| one.is_at(*step)) {
            if out[*place].is_at(step) {
                return Err(invalid("vector cannot contain metrics with the same labelset"));
            }
            out[*place].values[step] = one.values[step];
            out[*place].set_histogram(step, one.histogram(step).cloned());
        }
    }
    Ok(out)
}
