//! Many expressions at once, as rules ask them: what they select in common is read once.

use super::eval::{self, Evaluation, invalid, unsupported};
use super::labels::NAME;
use super::names::Naming;
use super::notes::Notes;
use super::read::Column;
use super::select::{self, Selected};
use super::series::{Grid, Value, is_absent};
use super::{DEFAULT_STEP, LOOKBACK, Labels, parse};
use crate::scan;
use crate::{QueryError, QueryService};
use hashbrown::HashMap;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::token::{T_EQLC, T_GTE, T_GTR, T_LSS, T_LTE, T_NEQ};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, VectorSelector};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Selections that reach this far back are read together; beyond the last, all the rest.
const CLASSES_MS: [i64; 4] = [900_000, 7_200_000, 43_200_000, i64::MAX];

/// An expression that was read.
#[derive(Clone, Debug)]
pub struct PromQl {
    text: Arc<str>,
    expr: Arc<Expr>,
}

/// A sample of an answer at one moment: labels, the metric's name among them, and value.
pub type PromQlSample = (BTreeMap<String, String>, f64);

/// A series that is not stored, but seen by queries: its labels, and its samples by time in milliseconds. A NaN with the bits of
/// Prometheus' marker ends it.
pub type ExtraSeries = (BTreeMap<String, String>, Vec<(i64, f64)>);

impl PromQl {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Ok(Self { text: text.into(), expr: Arc::new(parse(text)?) })
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it gives one value or one for each label set, as a rule needs it.
    pub fn is_instant(&self) -> bool {
        matches!(self.expr.value_type(), ValueType::Vector | ValueType::Scalar)
    }

    /// The labels of the series that it names, when it is a name with labels and nothing else.
    pub fn series(&self) -> Option<BTreeMap<String, String>> {
        let Expr::VectorSelector(selector) = eval::unwrapped(&self.expr) else { return None };
        if selector.offset.is_some() || selector.at.is_some() {
            return None;
        }
        let matchers = eval::matchers(selector).ok()?;
        let pair = |matcher: Matcher| (matcher.op == MatchOp::Equal).then_some((matcher.name, matcher.value));
        matchers.into_iter().map(pair).collect()
    }

    /// The names that its selectors ask for, and how far back each looks in milliseconds; none as name when a selector
    /// says no name.
    pub fn selections(&self) -> Result<Vec<(Option<String>, i64)>, QueryError> {
        let mut needed = HashMap::new();
        eval::needs(&self.expr, (0, 0), (0, 0), LOOKBACK, 0, &mut needed)?;
        let mut all: Vec<(Option<String>, i64)> = needed
            .into_values()
            .map(|(selector, from, _)| {
                let matchers = eval::matchers(&selector)?;
                Ok((select::name_of(&matchers).map(str::to_owned), from.saturating_neg()))
            })
            .collect::<Result<_, QueryError>>()?;
        all.sort();
        Ok(all)
    }

    /// Of `expression > number` and the like: the expression, the operator, the number.
    pub fn threshold(&self) -> Option<(Self, &'static str, f64)> {
        let Expr::Binary(binary) = eval::unwrapped(&self.expr) else { return None };
        let operator = |id| {
            Some(match id {
                id if id == T_GTR => ">",
                id if id == T_GTE => ">=",
                id if id == T_LSS => "<",
                id if id == T_LTE => "<=",
                id if id == T_EQLC => "==",
                id if id == T_NEQ => "!=",
                _ => return None,
            })
        };
        let operator = operator(binary.op.id())?;
        let number = match eval::unwrapped(&binary.rhs) {
            Expr::NumberLiteral(number) => number.val,
            _ => return None,
        };
        let inner = Self { text: binary.lhs.to_string().into(), expr: Arc::new((*binary.lhs).clone()) };
        Some((inner, operator, number))
    }
}

/// What one query needs: by the selector's key its matchers and times.
type Needs = HashMap<String, (VectorSelector, i64, i64)>;
/// A selector's key with the times it is read between.
type Slice = (String, i64, i64);

/// Everything that a round of queries selects, read once for each class of how far back it reaches.
struct Shared {
    slices: HashMap<Slice, Arc<Selected>>,
}

impl QueryService {
    /// Evaluates each expression at its moment (milliseconds), with series that are not stored beside the stored ones.
    ///
    /// What the expressions select is read together. Where that fails, each is evaluated alone, so that one that asks too
    /// much does not stop the others.
    pub async fn promql_at(
        &self,
        queries: &[(PromQl, i64)],
        extra: &[ExtraSeries],
    ) -> Vec<Result<Vec<PromQlSample>, QueryError>> {
        match self.promql_together(queries, extra).await {
            Ok(all) => all,
            Err(error) if queries.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut all = Vec::with_capacity(queries.len());
                for query in queries {
                    let alone = self.promql_together(std::slice::from_ref(query), extra).await;
                    all.push(alone.and_then(|mut one| one.pop().unwrap_or_else(|| Ok(Vec::new()))));
                }
                all
            }
        }
    }

    async fn promql_together(
        &self,
        queries: &[(PromQl, i64)],
        extra: &[ExtraSeries],
    ) -> Result<Vec<Result<Vec<PromQlSample>, QueryError>>, QueryError> {
        let needed: Vec<Result<Needs, QueryError>> = queries
            .iter()
            .map(|(query, time)| {
                self.allowed(&query.expr)?;
                let mut needed = Needs::new();
                eval::needs(&query.expr, (*time, *time), (*time, *time), LOOKBACK, 0, &mut needed)?;
                for (selector, _, _) in needed.values() {
                    eval::matchers(selector)?;
                }
                Ok(needed)
            })
            .collect();
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let shared = self.shared(&needed, extra, &control).await?;
        let queries = queries.to_vec();
        scan::blocking(move || {
            let one = |(query, time): &(PromQl, i64), needed: &Result<Needs, QueryError>| {
                let needed = needed.as_ref().map_err(Clone::clone)?;
                let mut data = HashMap::new();
                for (key, (_, from, to)) in needed {
                    if let Some(found) = shared.slices.get(&(key.clone(), *from, *to)) {
                        data.insert(key.clone(), Arc::clone(found));
                    }
                }
                let evaluation = Evaluation {
                    data: &data,
                    control: &control,
                    query: (*time, *time),
                    lookback: LOOKBACK,
                    default_step: DEFAULT_STEP,
                    notes: Notes::default(),
                };
                samples(&evaluation, &query.expr, *time)
            };
            Ok(queries.iter().zip(&needed).map(|(query, needed)| one(query, needed)).collect())
        })
        .await
    }

    async fn shared(
        &self,
        needed: &[Result<Needs, QueryError>],
        extra: &[ExtraSeries],
        control: &scan::Control,
    ) -> Result<Shared, QueryError> {
        let mut wanted: BTreeMap<Slice, Vec<Matcher>> = BTreeMap::new();
        for (key, (selector, from, to)) in needed.iter().filter_map(|one| one.as_ref().ok()).flatten() {
            let slice = (key.clone(), *from, *to);
            if let Entry::Vacant(place) = wanted.entry(slice) {
                place.insert(eval::matchers(selector)?);
            }
        }
        // What lies far apart is not read as one range.
        let class = |from: i64, to: i64| CLASSES_MS.iter().position(|most| to.saturating_sub(from) <= *most);
        let mut classes: BTreeMap<(Option<usize>, i64, Option<Naming>), Vec<Slice>> = BTreeMap::new();
        for (slice, matchers) in &wanted {
            let (_, from, to) = slice;
            let naming = select::naming_of(matchers);
            classes.entry((class(*from, *to), to.div_euclid(3_600_000), naming)).or_default().push(slice.clone());
        }
        let mut slices = HashMap::new();
        for mine in classes.into_values() {
            let from = mine.iter().map(|(_, from, _)| *from).min().unwrap_or_default();
            let to = mine.iter().map(|(_, _, to)| *to).max().unwrap_or_default();
            let matchers: BTreeMap<&String, &Vec<Matcher>> =
                mine.iter().map(|slice| (&slice.0, &wanted[slice])).collect();
            let selectors: Vec<Vec<Matcher>> = matchers.into_values().cloned().collect();
            let mut raw = select::select_raw(self.store(), selectors, (from, to), control).await?;
            add_extra(&mut raw.series, extra, from, to);
            let mut by_name: HashMap<&str, Vec<&Column>> = HashMap::new();
            for series in &raw.series {
                by_name.entry(series.labels.get(NAME)).or_default().push(series);
            }
            let mut coverage = Some(raw.coverage);
            let mut held = raw.held;
            for slice in mine {
                let matchers = &wanted[&slice];
                let (_, from, to) = slice;
                let of_name = select::name_of(matchers).map(|name| by_name.get(name).into_iter().flatten().copied());
                let candidates: Vec<&Column> = match of_name {
                    Some(some) => some.collect(),
                    None => raw.series.iter().collect(),
                };
                let mut series: Vec<_> = candidates
                    .into_iter()
                    .filter(|column| select::is_match(matchers, &column.labels))
                    .map(|column| cut(column, from, to).ordered())
                    .filter(|samples| !samples.times.is_empty() || !samples.histograms.is_empty())
                    .collect();
                if series.is_empty()
                    && let Some(computed) = select::computed(self.store(), matchers, (from, to), control).await?
                {
                    slices.insert(slice, Arc::new(computed));
                    continue;
                }
                series.sort_by(|left, right| left.labels.cmp(&right.labels));
                let selected =
                    Selected { series, coverage: coverage.take().unwrap_or_default(), held: std::mem::take(&mut held) };
                slices.insert(slice, Arc::new(selected));
            }
        }
        Ok(Shared { slices })
    }
}

/// The samples between two moments, both included.
fn cut(column: &Column, from: i64, to: i64) -> Column {
    let pairs = column.times.iter().copied().zip(column.values.iter().copied());
    let (times, values) = pairs.filter(|(time, _)| (from..=to).contains(time)).unzip();
    let histograms = column.histograms.iter().filter(|(time, _)| (from..=to).contains(time)).cloned().collect();
    Column { labels: column.labels.clone(), times, values, histograms, is_delta: column.is_delta }
}

/// Adds series that are not stored; of samples at the same time these count.
fn add_extra(series: &mut Vec<Column>, extra: &[ExtraSeries], from: i64, to: i64) {
    if extra.is_empty() {
        return;
    }
    let places: HashMap<Labels, usize> =
        series.iter().enumerate().map(|(place, column)| (column.labels.clone(), place)).collect();
    for (labels, samples) in extra {
        let labels =
            Labels::new(labels.iter().map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.as_str()))));
        let within = samples.iter().filter(|(time, _)| (from..=to).contains(time));
        match places.get(&labels) {
            Some(place) => {
                let known = &mut series[*place];
                let taken: BTreeSet<i64> = within.clone().map(|(time, _)| *time).collect();
                let kept = known.times.iter().zip(&known.values).filter(|(time, _)| !taken.contains(*time));
                (known.times, known.values) = kept.map(|(time, value)| (*time, *value)).chain(within.copied()).unzip();
            }
            None => {
                let (times, values) = within.copied().unzip();
                series.push(Column { labels, times, values, ..Column::default() });
            }
        }
    }
}

/// The value of an expression at a moment; a scalar has no labels.
fn samples(evaluation: &Evaluation<'_>, expr: &Expr, time: i64) -> Result<Vec<PromQlSample>, QueryError> {
    if matches!(eval::unwrapped(expr), Expr::MatrixSelector(_) | Expr::Subquery(_)) {
        return Err(invalid("a rule's expression gives an instant vector or a scalar, not a range vector"));
    }
    let grid = Grid { start: time, step: 1, count: 1 };
    match evaluation.eval(expr, grid)? {
        Value::Scalar(values) => Ok(vec![(BTreeMap::new(), values.first().copied().unwrap_or(f64::NAN))]),
        Value::Text(_) => Err(invalid("a rule's expression gives an instant vector or a scalar, not a text")),
        Value::Vector(series) if series.iter().any(super::series::Series::has_histograms) => Err(unsupported(
            "a rule's expression gives native histograms: ask for a number of them, such as histogram_count",
        )),
        Value::Vector(series) => Ok(series
            .into_iter()
            .filter_map(|one| Some((one.labels, *one.values.first().filter(|value| !is_absent(**value))?)))
            .map(|(labels, value)| {
                (labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), value)
            })
            .collect()),
    }
}
