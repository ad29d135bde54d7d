//! Metrics over the spans that match, at every step.

use super::{Figure, Function, TraceQl};
use crate::language::{FieldRef, group_keys};
use crate::request::checked_steps;
use crate::scan::{self, Held, ScanRequest};
use crate::{ErrorCode, QueryError, QueryService};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series of an answer.
const MAX_SERIES: usize = 10_000;

/// A question for metrics; times are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct MetricsRequest {
    /// What.
    pub(crate) query: TraceQl,
    /// When the spans started.
    pub(crate) range: TimeRange,
    /// The time between steps; none for one number over all of the range.
    pub(crate) step: Option<i64>,
}

/// A series: its labels, and a number for each step where there is one, by the step's time in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sampled {
    /// Names and values; a value that spans have not is none.
    pub(crate) labels: Labels,
    /// The numbers.
    pub(crate) samples: Vec<(i64, f64)>,
}

/// What is gathered of a step.
#[derive(Clone, Debug, Default)]
struct Cell {
    count: u64,
    numbers: Vec<f64>,
}

type Series = HashMap<Vec<Option<Arc<str>>>, Vec<Cell>>;
/// Names and values; a value that spans have not is none.
pub(crate) type Labels = Vec<(String, Option<String>)>;

struct State {
    series: Series,
    bytes: usize,
    held: Held,
}

#[derive(Clone, Copy)]
struct Steps {
    start: i64,
    step: i64,
    count: usize,
}

impl Steps {
    fn new(request: &MetricsRequest) -> Result<Self, QueryError> {
        let length = (request.range.end - request.range.start).max(1);
        let Some(step) = request.step else { return Ok(Self { start: request.range.start, step: length, count: 1 }) };
        let start = request.range.start.div_euclid(step.max(1)) * step.max(1);
        let count = checked_steps(start, request.range.end.saturating_sub(1).max(start), step)?;
        Ok(Self { start, step, count })
    }
}

fn add(
    state: &mut State,
    batch: &RecordBatch,
    (by, of, steps): (&[(String, FieldRef)], Option<&FieldRef>, Steps),
) -> Result<(), QueryError> {
    let times = batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
    let times = times.as_primitive::<TimestampNanosecondType>().values();
    let keys = by.iter().map(|(_, field)| group_keys(field, Signal::Spans, batch)).collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<Vec<Arc<str>>> =
        keys.iter().map(|keys| keys.values.iter().map(|value| Arc::from(value.as_str())).collect()).collect();
    let numbers = of.map(|field| group_keys(field, Signal::Spans, batch)).transpose()?;
    for (row, time) in times.iter().enumerate() {
        let number = match &numbers {
            None => None,
            Some(numbers) => {
                let text = usize::try_from(numbers.keys[row]).ok().map(|place| numbers.values[place].as_str());
                let Some(number) = text.and_then(|text| text.parse::<f64>().ok()) else { continue };
                Some(number)
            }
        };
        let key: Vec<Option<Arc<str>>> = keys
            .iter()
            .zip(&texts)
            .map(|(keys, texts)| usize::try_from(keys.keys[row]).ok().map(|place| Arc::clone(&texts[place])))
            .collect();
        if !state.series.contains_key(&key) {
            if state.series.len() >= MAX_SERIES {
                let message = format!("there are more than {MAX_SERIES} series: group by fewer fields");
                return Err(QueryError::new(ErrorCode::ResourceExhausted, message));
            }
            state.bytes += 128 + 64 * key.len() + 40 * steps.count;
            state.held.cover(state.bytes)?;
        }
        let cells = state.series.entry(key).or_insert_with(|| vec![Cell::default(); steps.count]);
        let place = ((time - steps.start) / steps.step).clamp(0, steps.count as i64 - 1) as usize;
        cells[place].count += 1;
        if let Some(number) = number {
            cells[place].numbers.push(number);
            state.bytes += 8;
        }
    }
    state.held.cover(state.bytes)
}

/// The numbers of a step, each with what tells it from the others of its series.
fn figures(function: &Function, cell: &mut Cell, seconds: f64, scale: f64) -> Vec<(Option<(String, String)>, f64)> {
    let numbers = &mut cell.numbers;
    let (count, sum) = (numbers.len() as f64, numbers.iter().sum::<f64>() * scale);
    let figure = match function {
        Function::Rate => return vec![(None, cell.count as f64 / seconds)],
        Function::Count => return vec![(None, cell.count as f64)],
        Function::Of(_, figure) => figure,
    };
    match figure {
        _ if numbers.is_empty() => Vec::new(),
        Figure::Sum => vec![(None, sum)],
        Figure::Average => vec![(None, sum / count)],
        Figure::Least => vec![(None, numbers.iter().copied().fold(f64::INFINITY, f64::min) * scale)],
        Figure::Most => vec![(None, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max) * scale)],
        Figure::Quantiles(quantiles) => quantiles
            .iter()
            .map(|quantile| {
                let value = crate::promql::quantile_of(*quantile, numbers.clone()) * scale;
                (Some(("p".to_owned(), quantile.to_string())), value)
            })
            .collect(),
        Figure::Histogram => {
            let mut buckets: BTreeMap<i32, u64> = BTreeMap::new();
            for number in numbers.iter() {
                // Buckets end at powers of two, of nanoseconds for durations.
                *buckets.entry(number.max(1.0).log2().ceil() as i32).or_default() += 1;
            }
            let shown = |power: i32| (f64::from(power).exp2() * scale).to_string();
            buckets
                .into_iter()
                .map(|(power, count)| (Some(("__bucket".to_owned(), shown(power))), count as f64))
                .collect()
        }
    }
}

impl QueryService {
    /// The series of a metrics query.
    pub(crate) async fn traceql_metrics(&self, request: &MetricsRequest) -> Result<Vec<Sampled>, QueryError> {
        let metrics = request
            .query
            .metrics
            .clone()
            .ok_or_else(|| QueryError::invalid("q", "the query has no metric: add `| rate()` or the like"))?;
        let Some(filter) = request.query.single().cloned() else {
            let message = "metrics over spans that stand in a relation to others are not supported";
            return Err(QueryError::unsupported("q", message));
        };
        if !request.query.of_trace.is_empty() {
            let message =
                "metrics over spans of traces with conditions on their root span or duration are not supported";
            return Err(QueryError::unsupported("q", message));
        }
        let steps = Steps::new(request)?;
        let of = match &metrics.function {
            Function::Of(field, _) => Some(field.clone()),
            Function::Rate | Function::Count => None,
        };
        let mut columns = vec!["time"];
        for column in
            metrics.by.iter().map(|(_, field)| field).chain(&of).flat_map(|field| field.columns(Signal::Spans))
        {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal: Signal::Spans, filter, range: request.range, columns };
        let nothing = control.clone();
        let init = move || State { series: HashMap::new(), bytes: 0, held: nothing.held() };
        let (by, field) = (Arc::new(metrics.by.clone()), Arc::new(of.clone()));
        let each =
            move |state: &mut State, batch: &RecordBatch| add(state, batch, (&by, field.as_ref().as_ref(), steps));
        let (states, coverage) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        if let Some(part) = coverage.unreadable_parts.first() {
            return Err(QueryError::internal(format!("part {part} could not be read")));
        }
        // Tempo's numbers of durations are seconds.
        let scale = if of == Some(FieldRef::Column("duration_ns")) { 1e-9 } else { 1.0 };
        scan::blocking(move || {
            let mut all: Series = HashMap::new();
            let mut held = Vec::new();
            for state in states {
                held.push(state.held);
                for (key, cells) in state.series {
                    let known = all.entry(key).or_insert_with(|| vec![Cell::default(); steps.count]);
                    for (known, mut cell) in known.iter_mut().zip(cells) {
                        known.count += cell.count;
                        known.numbers.append(&mut cell.numbers);
                    }
                }
            }
            let names: Vec<String> = metrics.by.iter().map(|(name, _)| name.clone()).collect();
            Ok(sampled(all, &names, &metrics.function, steps, scale))
        })
        .await
    }
}

fn sampled(all: Series, names: &[String], function: &Function, steps: Steps, scale: f64) -> Vec<Sampled> {
    let seconds = steps.step as f64 / 1e9;
    let mut found: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    // Where no span is, a rate is 0 and a count too; other figures are of nothing.
    let is_of_count = matches!(function, Function::Rate | Function::Count);
    for (key, mut cells) in all {
        for (place, cell) in cells.iter_mut().enumerate().filter(|(_, cell)| is_of_count || cell.count > 0) {
            let time = (steps.start + steps.step * place as i64).div_euclid(1_000_000);
            for (more, number) in figures(function, cell, seconds, scale) {
                let own = names.iter().cloned().zip(key.iter().map(|value| value.as_ref().map(ToString::to_string)));
                let more = more.map(|(name, value)| (name, Some(value)));
                found.entry(own.chain(more).collect()).or_default().push((time, number));
            }
        }
    }
    found.into_iter().map(|(labels, samples)| Sampled { labels, samples }).collect()
}
