//! Range aggregations: numbers out of the lines of a window, at every step of a query.

use super::select::{self, KnownStreams, Wanted};
use super::stage::{ERROR, Line};
use super::{Conversion, Function, Grouping, Label, MetricQuery, RangeAggregation, Stage, TextTest, range_name};
use crate::promql::{Computed, ComputedSeries, Labels, numbers};
use crate::scan::{self, Held, ScanRequest};
use crate::{Coverage, PromQlAnswer, QueryError, QueryService};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use std::sync::Arc;
use std::time::Instant;

/// Series that a range aggregation may give.
const MAX_SERIES: usize = 10_000;

/// A question for numbers; times are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct MetricRequest {
    /// What.
    pub(crate) query: MetricQuery,
    /// The first moment.
    pub(crate) start: i64,
    /// The last moment.
    pub(crate) end: i64,
    /// The time between moments; none for an instant query at `end`.
    pub(crate) step: Option<i64>,
    /// Whose lines; of all when none is named.
    pub(crate) tenants: Vec<String>,
}

/// The moments of a query.
#[derive(Clone, Copy, Debug)]
struct Steps {
    start: i64,
    step: i64,
    count: usize,
}

impl Steps {
    fn time(self, place: usize) -> i64 {
        self.start + self.step * place as i64
    }

    /// The steps whose windows hold a time: after the window's start, up to its end.
    fn holding(self, time: i64, range: i64) -> std::ops::Range<usize> {
        let ceil = |distance: i64| {
            let place = distance.div_euclid(self.step) + i64::from(distance.rem_euclid(self.step) > 0);
            place.clamp(0, self.count as i64) as usize
        };
        let first = ceil(time.saturating_sub(self.start));
        let last = ceil(time.saturating_add(range).saturating_sub(self.start));
        first..last.max(first)
    }
}

/// What is gathered of a series.
#[derive(Clone, Debug)]
enum Gathered {
    /// How many lines, and how many bytes, come in and go out of the window at each step.
    Tally { lines: Vec<i64>, bytes: Vec<i64> },
    /// Every number with its time.
    Numbers(Vec<(i64, f64)>),
}

/// The labels of a series.
type Key = Vec<(Arc<str>, Arc<str>)>;
/// What was gathered, by series.
type Series = HashMap<Key, Gathered>;

/// The series of some rows, and their memory.
struct Gathering {
    series: Series,
    bytes: usize,
    held: Held,
}

/// What one thread gathers.
struct State {
    known: KnownStreams,
    gathering: Gathering,
}

/// What every row needs to know.
struct Task {
    aggregation: RangeAggregation,
    stages: Vec<Stage>,
    wanted: Wanted,
    steps: Steps,
}

impl Task {
    fn new(aggregation: RangeAggregation, stages: Vec<Stage>, steps: Steps) -> Self {
        let is_bytes = matches!(aggregation.function, Function::BytesRate | Function::BytesOverTime);
        let kept = aggregation.kept.as_ref().filter(|kept| !kept.without);
        let needs_no_metadata = stages.is_empty()
            && aggregation.unwrap.is_none()
            && (aggregation.function == Function::AbsentOverTime
                || kept.is_some_and(|kept| kept.labels.iter().all(|label| label == "service_name")));
        let wanted = Wanted { text: is_bytes || !stages.is_empty(), metadata: !needs_no_metadata };
        Self { aggregation, stages, wanted, steps }
    }

    fn batch(&self, state: &mut State, batch: &RecordBatch) -> Result<(), QueryError> {
        let State { known, gathering } = state;
        select::each_line(batch, &self.stages, self.wanted, known, |line| self.line(line, gathering))?;
        gathering.held.cover(gathering.bytes)
    }

    fn line(&self, mut line: Line<'_>, gathering: &mut Gathering) -> Result<(), QueryError> {
        let Gathering { series, bytes, held } = gathering;
        let Some(number) = self.number(&mut line) else { return Ok(()) };
        if line.labels.has_error() {
            return Err(pipeline_error(&line));
        }
        let (time, length) = (line.time.saturating_add(self.aggregation.offset), line.text.len() as i64);
        let key = self.key(&line.labels.finish());
        let is_tally = self.aggregation.unwrap.is_none();
        let steps = self.steps.count;
        if !series.contains_key(&key) {
            if series.len() >= MAX_SERIES {
                let message = format!(
                    "maximum of series ({MAX_SERIES}) reached for a single query: sum by fewer labels, or keep fewer \
                     of them"
                );
                return Err(QueryError::invalid("query", message));
            }
            *bytes += 128 + 64 * key.len() + if is_tally { 16 * (steps + 1) } else { 0 };
            held.cover(*bytes)?;
            let empty = if is_tally {
                Gathered::Tally { lines: vec![0; steps + 1], bytes: vec![0; steps + 1] }
            } else {
                Gathered::Numbers(Vec::new())
            };
            series.insert(key.clone(), empty);
        }
        match series.get_mut(&key) {
            Some(Gathered::Tally { lines, bytes }) => {
                let holding = self.steps.holding(time, self.aggregation.range);
                lines[holding.start] += 1;
                lines[holding.end] -= 1;
                bytes[holding.start] += length;
                bytes[holding.end] -= length;
            }
            Some(Gathered::Numbers(numbers)) => {
                numbers.push((time, number));
                *bytes += 16;
            }
            None => {}
        }
        Ok(())
    }

    /// The number of a line; `None` when it has none and is passed over.
    fn number(&self, line: &mut Line<'_>) -> Option<f64> {
        let Some(unwrap) = &self.aggregation.unwrap else { return Some(1.0) };
        let text = line.labels.get(&unwrap.label);
        if text.is_empty() {
            return None;
        }
        let read = match unwrap.conversion {
            Conversion::None => text.trim().parse().ok(),
            Conversion::Duration => crate::request::compound_duration_ns(text).map(|duration| duration / 1e9),
            Conversion::Bytes => super::filter::bytes(text),
        };
        if read.is_none() {
            let details = format!("cannot read {text:?} of {} as a number", unwrap.label);
            line.labels.fail("SampleExtractionErr", &details);
        }
        let passes = unwrap.filters.iter().all(|filter| filter.passes(&mut line.labels));
        passes.then(|| read.unwrap_or_default())
    }

    /// The labels of a line's series.
    fn key(&self, labels: &[Label]) -> Key {
        let unwrapped = self.aggregation.unwrap.as_ref().map(|unwrap| unwrap.label.as_str());
        let is_kept = |grouping: &Option<Grouping>, label: &Label| {
            grouping
                .as_ref()
                .is_none_or(|grouping| grouping.labels.iter().any(|name| *label.name == **name) != grouping.without)
        };
        if self.aggregation.function == Function::AbsentOverTime {
            return Vec::new();
        }
        labels
            .iter()
            .filter(|label| {
                let is_own = self.aggregation.grouping.is_some() || unwrapped.is_none_or(|name| *label.name != *name);
                is_own && is_kept(&self.aggregation.grouping, label) && is_kept(&self.aggregation.kept, label)
            })
            .filter(|label| !label.value.is_empty())
            .map(|label| (Arc::clone(&label.name), Arc::clone(&label.value)))
            .collect()
    }
}

fn pipeline_error(line: &Line<'_>) -> QueryError {
    let kind = line.labels.get(ERROR);
    let message = format!(
        "pipeline error: '{kind}' for a line ({}). Use a label filter to intentionally skip this error. (e.g | \
         __error__!=\"{kind}\"). To skip all potential errors you can match empty errors. (e.g __error__=\"\")",
        line.labels.get("__error_details__")
    );
    QueryError::invalid("query", message)
}

impl QueryService {
    /// Evaluates a metric query at a moment, or at each step of a range.
    pub(crate) async fn logql_metric(&self, request: &MetricRequest) -> Result<PromQlAnswer, QueryError> {
        let started = Instant::now();
        let steps = match request.step {
            None => Steps { start: request.end, step: 1, count: 1 },
            Some(step) if step < 1_000_000 => {
                return Err(QueryError::invalid("step", "step must be at least a millisecond"));
            }
            Some(step) => {
                let count = crate::request::checked_steps(request.start, request.end, step)?;
                Steps { start: request.start, step, count }
            }
        };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut computed = Vec::new();
        let mut held = Vec::new();
        for (number, aggregation) in request.query.ranges.iter().enumerate() {
            let (filter, stages) = select::plan(&aggregation.query, &request.tenants)?;
            let task = Arc::new(Task::new(aggregation.clone(), stages, steps));
            let last = steps.time(steps.count - 1).saturating_sub(aggregation.offset);
            let first = steps.start.saturating_sub(aggregation.offset).saturating_sub(aggregation.range);
            let range = TimeRange { start: first.saturating_add(1), end: last.saturating_add(1) };
            let scan = ScanRequest { signal: Signal::Logs, filter, range, columns: task.wanted.columns() };
            let (nothing, each_task) = (control.clone(), Arc::clone(&task));
            let init = move || State {
                known: KnownStreams::default(),
                gathering: Gathering { series: HashMap::new(), bytes: 0, held: nothing.held() },
            };
            let each = move |state: &mut State, batch: &RecordBatch| each_task.batch(state, batch);
            let (states, scanned) = scan::for_each(self.store(), &scan, &control, init, each).await?;
            coverage.add(&Coverage::of_scan(&scanned, started));
            let series = scan::blocking(move || {
                let mut all: Series = HashMap::new();
                for state in states {
                    held.push(state.gathering.held);
                    for (key, gathered) in state.gathering.series {
                        merge(&mut all, key, gathered);
                    }
                }
                Ok((finished(&task, all), held))
            })
            .await?;
            computed.push((range_name(number), series.0));
            held = series.1;
        }
        let step = request.step.map(|step| step.div_euclid(1_000_000));
        let start = steps.start.div_euclid(1_000_000);
        let computed = Computed { start, step, count: steps.count, series: computed };
        let query = request.query.promql.clone();
        let value = scan::blocking(move || crate::promql::over_computed(&query, &computed, &control)).await?;
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        let (histograms, warnings, infos) = (Vec::new(), Vec::new(), Vec::new());
        Ok(PromQlAnswer { value, histograms, warnings, infos, coverage })
    }
}

fn merge(all: &mut Series, key: Key, gathered: Gathered) {
    match (all.get_mut(&key), gathered) {
        (Some(Gathered::Tally { lines, bytes }), Gathered::Tally { lines: more, bytes: longer }) => {
            lines.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            bytes.iter_mut().zip(longer).for_each(|(sum, more)| *sum += more);
        }
        (Some(Gathered::Numbers(numbers)), Gathered::Numbers(more)) => numbers.extend(more),
        (_, gathered) => {
            all.insert(key, gathered);
        }
    }
}

/// The values of all series at all steps.
fn finished(task: &Task, all: Series) -> Vec<ComputedSeries> {
    if task.aggregation.function == Function::AbsentOverTime {
        return absent(task, all);
    }
    all.into_iter()
        .map(|(labels, gathered)| {
            let values = match gathered {
                Gathered::Tally { lines, bytes } => tallied(task, &lines, &bytes),
                Gathered::Numbers(numbers) => over_windows(task, numbers),
            };
            (Labels::new(labels), values)
        })
        .collect()
}

fn tallied(task: &Task, lines: &[i64], bytes: &[i64]) -> Vec<Option<f64>> {
    let seconds = task.aggregation.range as f64 / 1e9;
    let (mut count, mut length) = (0, 0);
    let steps = lines.iter().zip(bytes).take(task.steps.count);
    steps
        .map(|(more, longer)| {
            count += more;
            length += longer;
            (count > 0).then(|| match task.aggregation.function {
                Function::Rate => count as f64 / seconds,
                Function::BytesRate => length as f64 / seconds,
                Function::BytesOverTime => length as f64,
                _ => count as f64,
            })
        })
        .collect()
}

/// One where no line of any stream is in the window, with the labels that the selector says for sure.
fn absent(task: &Task, all: Series) -> Vec<ComputedSeries> {
    let mut present = vec![false; task.steps.count];
    for gathered in all.into_values() {
        let values = match gathered {
            Gathered::Tally { lines, bytes } => tallied(task, &lines, &bytes),
            Gathered::Numbers(numbers) => over_windows(task, numbers),
        };
        present.iter_mut().zip(values).for_each(|(present, value)| *present |= value.is_some());
    }
    let labels = task.aggregation.query.matchers.iter().filter_map(|matcher| match &matcher.test {
        TextTest::Equal(value) => Some((Arc::from(matcher.name.as_str()), Arc::from(value.as_str()))),
        _ => None,
    });
    vec![(Labels::new(labels), present.into_iter().map(|present| (!present).then_some(1.0)).collect())]
}

/// A function of the numbers in each step's window.
fn over_windows(task: &Task, mut numbers: Vec<(i64, f64)>) -> Vec<Option<f64>> {
    numbers.sort_by_key(|(time, _)| *time);
    let range = task.aggregation.range;
    let (mut first, mut behind) = (0, 0);
    (0..task.steps.count)
        .map(|place| {
            let end = task.steps.time(place);
            while behind < numbers.len() && numbers[behind].0 <= end {
                behind += 1;
            }
            while first < behind && numbers[first].0 <= end - range {
                first += 1;
            }
            let window = &numbers[first..behind];
            (!window.is_empty()).then(|| of_window(task.aggregation.function, window, range, end))
        })
        .collect()
}

fn of_window(function: Function, window: &[(i64, f64)], range: i64, end: i64) -> f64 {
    let values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
    let count = window.len() as f64;
    match function {
        Function::Rate => numbers::sum(values) / (range as f64 / 1e9),
        Function::RateCounter => counter_rate(window, range, end),
        Function::SumOverTime => numbers::sum(values),
        Function::AvgOverTime => numbers::mean(&values),
        Function::MinOverTime => numbers::least(&values),
        Function::MaxOverTime => numbers::most(&values),
        Function::StddevOverTime => numbers::variance(&values).sqrt(),
        Function::StdvarOverTime => numbers::variance(&values),
        Function::QuantileOverTime(quantile) => crate::promql::quantile_of(quantile, values),
        Function::FirstOverTime => window[0].1,
        Function::LastOverTime => window[window.len() - 1].1,
        Function::CountOverTime | Function::BytesRate | Function::BytesOverTime | Function::AbsentOverTime => count,
    }
}

/// The rate of a counter that may begin anew, carried on to the ends of the window as Prometheus does it.
fn counter_rate(window: &[(i64, f64)], range: i64, end: i64) -> f64 {
    let ([(first, start_value), ..], [.., (last, end_value)]) = (window, window) else { return 0.0 };
    if window.len() < 2 {
        return 0.0;
    }
    let resets: f64 = window.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1).sum();
    let increase = end_value - start_value + resets;
    let sampled = (last - first) as f64 / 1e9;
    let average = sampled / (window.len() - 1) as f64;
    let threshold = average * 1.1;
    let mut to_start = (first - (end - range)) as f64 / 1e9;
    let to_end = (end - last) as f64 / 1e9;
    if increase > 0.0 && *start_value >= 0.0 {
        // A counter is not below nothing.
        to_start = to_start.min(sampled * (start_value / increase));
    }
    let carried = |distance: f64| if distance < threshold { distance } else { average / 2.0 };
    let factor = (sampled + carried(to_start) + carried(to_end)) / sampled;
    if sampled > 0.0 { increase * factor / (range as f64 / 1e9) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_windows_that_end_at_it_or_after_it() {
        let steps = Steps { start: 100, step: 10, count: 5 };
        assert_eq!(steps.holding(100, 10), 0..1, "the end is inside, the start is not");
        assert_eq!(steps.holding(101, 10), 1..2);
        assert_eq!(steps.holding(90, 10), 0..0);
        assert_eq!(steps.holding(91, 10), 0..1);
        assert_eq!(steps.holding(95, 25), 0..2);
        assert_eq!(steps.holding(150, 10), 5..5);
        assert_eq!(steps.holding(0, 1_000), 0..5);
    }
}
