//! Functions of the samples within a range.

use super::native::Native;
use super::notes::Notes;
use super::numbers::{Sum, least, mean, most, quantile, sum, variance};
use super::series::{ABSENT, HistogramSample, Samples, Series, is_absent};
use super::windows::{Carried, Walks, Window};
use std::sync::Arc;

/// A function of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverTime {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    Predict,
    Changes,
    Resets,
    Average,
    Sum,
    Count,
    Min,
    Max,
    First,
    Last,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    /// Median absolute deviation.
    Mad,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
    /// Double exponential smoothing, by a smoothing and a trend factor.
    Smoothing,
}

impl OverTime {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::Predict,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "avg_over_time" => Self::Average,
            "sum_over_time" => Self::Sum,
            "count_over_time" => Self::Count,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" => Self::Mad,
            "ts_of_first_over_time" => Self::TimeOfFirst,
            "ts_of_last_over_time" => Self::TimeOfLast,
            "ts_of_min_over_time" => Self::TimeOfMin,
            "ts_of_max_over_time" => Self::TimeOfMax,
            "double_exponential_smoothing" => Self::Smoothing,
            _ => return None,
        })
    }

    /// Whether the result is still the same metric.
    pub(super) const fn keeps_name(self) -> bool {
        matches!(self, Self::First | Self::Last)
    }

    /// Whether it asks for a counter, by whose name one is known.
    pub(super) const fn is_of_counter(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }
}

/// What a function needs beside the samples: the window of each step, the step itself, and the parameters at it.
pub(super) struct Asked<'a> {
    pub(super) function: OverTime,
    pub(super) windows: &'a [Window],
    pub(super) times: &'a [i64],
    /// None, one or two, each at every step.
    pub(super) parameters: &'a [Vec<f64>],
    pub(super) notes: &'a Notes,
}

impl Asked<'_> {
    fn parameters(&self, place: usize) -> Parameters {
        let one = |number: usize| self.parameters.get(number).map_or(0.0, |all| all[place]);
        [one(0), one(1)]
    }
}

/// The parameters of a function at a step; zero where it has none.
type Parameters = [f64; 2];

/// What evaluations of one series after the other use again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    walks: Walks,
    room: Vec<f64>,
}

/// The values of a function over the windows of a series, whose ends rise.
pub(super) fn apply(asked: &Asked<'_>, samples: &Samples, scratch: &mut Scratch) -> Series {
    let labels = if asked.function.keeps_name() { &samples.labels } else { &samples.nameless };
    if !samples.histograms.is_empty() {
        return mixed(asked, samples).labelled(labels.clone());
    }
    let mut values = Vec::with_capacity(asked.windows.len());
    numbers(asked, samples, &mut values, scratch);
    Series::new(labels.clone(), values)
}

/// The same into a place for the values, of a series without histograms.
pub(super) fn numbers(asked: &Asked<'_>, samples: &Samples, values: &mut Vec<f64>, scratch: &mut Scratch) {
    let (all_times, all_values) = (samples.times.as_slice(), &*samples.values);
    let function = asked.function;
    let rates = function.is_of_counter().then_some(function == OverTime::Rate);
    let inside = scratch.walks.of(asked.windows, &samples.times, rates);
    values.clear();
    if rates.is_some() {
        // Most counters never begin anew within what is looked at: then an increase is a difference.
        let kind = Kind::Counter { is_steady: samples.is_rising() };
        values.extend(
            inside.iter().map(|inside| carried_on(&all_values[inside.first..inside.behind], &inside.carried, kind)),
        );
        return;
    }
    for (place, (inside, (window, time))) in inside.iter().zip(asked.windows.iter().zip(asked.times)).enumerate() {
        let within = inside.first..inside.behind;
        let (times, within) = (&all_times[within.clone()], &all_values[within]);
        values.push(one(function, (times, within), *window, *time, asked.parameters(place), &mut scratch.room));
    }
}

fn one(
    function: OverTime,
    (times, values): (&[i64], &[f64]),
    window: Window,
    time: i64,
    parameters: Parameters,
    room: &mut Vec<f64>,
) -> f64 {
    let (Some(last), count) = (values.last().copied(), values.len()) else { return ABSENT };
    match function {
        OverTime::Rate => extrapolated(times, values, window, Kind::Counter { is_steady: false }, true),
        OverTime::Increase => extrapolated(times, values, window, Kind::Counter { is_steady: false }, false),
        OverTime::Delta => extrapolated(times, values, window, Kind::Gauge, false),
        OverTime::Irate | OverTime::Idelta => instant(function, times, values),
        OverTime::Deriv | OverTime::Predict if count < 2 => ABSENT,
        OverTime::Deriv => line(times, values, times[0]).0,
        OverTime::Predict => {
            let (slope, now) = line(times, values, time);
            slope * parameters[0] + now
        }
        OverTime::Changes => {
            values.windows(2).filter(|pair| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan())).count()
                as f64
        }
        OverTime::Resets => values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64,
        OverTime::Average => mean(values),
        OverTime::Sum => sum(values.iter().copied()),
        OverTime::Count => count as f64,
        OverTime::Min => least(values),
        OverTime::Max => most(values),
        OverTime::First => values[0],
        OverTime::Last => last,
        OverTime::TimeOfFirst => seconds(times[0]),
        OverTime::TimeOfLast => seconds(times[count - 1]),
        OverTime::TimeOfMin => time_of((times, values), |value, best| value <= best),
        OverTime::TimeOfMax => time_of((times, values), |value, best| value >= best),
        OverTime::Smoothing => smoothed(values, parameters),
        OverTime::Present => 1.0,
        OverTime::Stddev => variance(values).sqrt(),
        OverTime::Stdvar => variance(values),
        OverTime::Quantile => {
            room.clear();
            room.extend_from_slice(values);
            quantile(parameters[0], room)
        }
        OverTime::Mad => {
            room.clear();
            room.extend_from_slice(values);
            let median = quantile(0.5, room);
            room.clear();
            room.extend(values.iter().map(|value| (value - median).abs()));
            quantile(0.5, room)
        }
    }
}

/// The time, in seconds, of the last sample that is at least as good as all before it.
fn time_of((times, values): (&[i64], &[f64]), is_as_good: impl Fn(f64, f64) -> bool) -> f64 {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if is_as_good(*value, values[best]) || values[best].is_nan() {
            best = place;
        }
    }
    seconds(times[best])
}

/// Holt's linear method: each value moves a level by the smoothing factor, and each level a trend by the trend factor.
fn smoothed(values: &[f64], [smoothing, trend_factor]: Parameters) -> f64 {
    let [first, second, ..] = values else { return ABSENT };
    let (mut before, mut level, mut trend) = (0.0, *first, second - first);
    for (place, value) in values.iter().enumerate().skip(1) {
        if place > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    level
}

/// What a window's first and last samples are of.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    /// `is_steady` says that no value is less than the one before.
    Counter {
        is_steady: bool,
    },
}

/// The increase of a counter or the difference of a gauge, carried on to the ends of the window when the samples come close
/// to them, as Prometheus does.
fn extrapolated(times: &[i64], values: &[f64], window: Window, kind: Kind, is_rate: bool) -> f64 {
    let [first, .., last] = times else { return ABSENT };
    carried_on(values, &Carried::of((*first, *last), times.len(), window, is_rate), kind)
}

/// The same where it is known how far the samples reach.
fn carried_on(values: &[f64], carried: &Carried, kind: Kind) -> f64 {
    let [first, .., last] = values else { return ABSENT };
    let mut result = last - first;
    if let Kind::Counter { is_steady: false } = kind {
        let mut before = *first;
        for value in values {
            if *value < before {
                result += before;
            }
            before = *value;
        }
    }
    // A counter does not begin below zero.
    let is_counter = matches!(kind, Kind::Counter { .. });
    let zero = (is_counter && result > 0.0 && *first >= 0.0).then_some((*first, result));
    result * carried.factor(zero)
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn instant(function: OverTime, times: &[i64], values: &[f64]) -> f64 {
    let ([.., before, last], [.., before_time, last_time]) = (values, times) else { return ABSENT };
    let between = seconds(last_time - before_time);
    if between == 0.0 {
        return ABSENT;
    }
    match function {
        OverTime::Idelta => last - before,
        _ if last < before => last / between,
        _ => (last - before) / between,
    }
}

/// The slope of the line of least squares, and its value at a time.
fn line(times: &[i64], values: &[f64], at: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let count = values.len() as f64;
    let (mut x, mut y, mut xy, mut xx) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (time, value) in times.iter().zip(values) {
        let since = seconds(time - at);
        x.add(since);
        y.add(*value);
        xy.add(since * value);
        xx.add(since * since);
    }
    let (x, y, xy, xx) = (x.get(), y.get(), xy.get(), xx.get());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

/// A number or a histogram.
enum Value {
    Number(f64),
    Histogram(Arc<Native>),
    Nothing,
}

/// The same for series with histograms, and perhaps numbers at other times.
fn mixed(asked: &Asked<'_>, samples: &Samples) -> Series {
    let mut out = Series::new(samples.labels.clone(), vec![ABSENT; asked.windows.len()]);
    let mut room = Vec::new();
    for (place, (window, time)) in asked.windows.iter().zip(asked.times).enumerate() {
        let numbers = samples.times.partition_point(|time| *time <= window.start)
            ..samples.times.partition_point(|time| *time <= window.end);
        let histograms = samples.histograms.partition_point(|(time, _)| *time <= window.start)
            ..samples.histograms.partition_point(|(time, _)| *time <= window.end);
        let (times, values) = (&samples.times[numbers.clone()], &samples.values[numbers]);
        let histograms = &samples.histograms[histograms];
        let value = if histograms.is_empty() {
            Value::Number(one(asked.function, (times, values), *window, *time, asked.parameters(place), &mut room))
        } else {
            let parameters = asked.parameters(place);
            of_histograms(asked, samples, (times, values), histograms, *window, (*time, parameters), &mut room)
        };
        match value {
            Value::Number(number) => out.values[place] = number,
            Value::Histogram(histogram) => out.set_histogram(place, Some(histogram)),
            Value::Nothing => {}
        }
    }
    out
}

fn of_histograms(
    asked: &Asked<'_>,
    samples: &Samples,
    (times, values): (&[i64], &[f64]),
    histograms: &[HistogramSample],
    window: Window,
    (time, parameters): (i64, Parameters),
    room: &mut Vec<f64>,
) -> Value {
    let name = samples.labels.get(super::labels::NAME);
    let all = || histograms.iter().map(|(_, histogram)| histogram);
    let last_of_both = || match (times.last(), histograms.last()) {
        (Some(number), Some((time, histogram))) if time >= number => Value::Histogram(Arc::clone(histogram)),
        (None, Some((_, histogram))) => Value::Histogram(Arc::clone(histogram)),
        _ => values.last().map_or(Value::Nothing, |value| Value::Number(*value)),
    };
    let first_of_both = || match (times.first(), histograms.first()) {
        (Some(number), Some((time, histogram))) if time <= number => Value::Histogram(Arc::clone(histogram)),
        (None, Some((_, histogram))) => Value::Histogram(Arc::clone(histogram)),
        _ => values.first().map_or(Value::Nothing, |value| Value::Number(*value)),
    };
    match asked.function {
        OverTime::Count => Value::Number((values.len() + histograms.len()) as f64),
        OverTime::Present => Value::Number(1.0),
        OverTime::First => first_of_both(),
        OverTime::Last => last_of_both(),
        OverTime::TimeOfFirst => {
            let first = times.first().into_iter().chain(histograms.first().map(|(time, _)| time)).min();
            Value::Number(first.map_or(ABSENT, |time| seconds(*time)))
        }
        OverTime::TimeOfLast => {
            let last = times.last().into_iter().chain(histograms.last().map(|(time, _)| time)).max();
            Value::Number(last.map_or(ABSENT, |time| seconds(*time)))
        }
        OverTime::Changes | OverTime::Resets => Value::Number(steps(asked.function, (times, values), histograms)),
        OverTime::Rate
        | OverTime::Increase
        | OverTime::Delta
        | OverTime::Irate
        | OverTime::Idelta
        | OverTime::Average
        | OverTime::Sum
            if !values.is_empty() =>
        {
            asked.notes.mixed_in_range(name);
            Value::Nothing
        }
        OverTime::Rate | OverTime::Increase | OverTime::Delta => {
            let is_counter = asked.function != OverTime::Delta;
            difference(asked, name, histograms, window, is_counter).map_or(Value::Nothing, Value::Histogram)
        }
        OverTime::Irate | OverTime::Idelta => {
            let [.., (before_time, before), (last_time, last)] = histograms else { return Value::Nothing };
            let between = seconds(last_time - before_time);
            let is_rate = asked.function == OverTime::Irate;
            if between == 0.0 {
                return Value::Nothing;
            }
            let has_reset = is_rate && last.has_reset_since(before);
            let mut result = if has_reset { (**last).clone() } else { last.plus(before, -1.0) };
            if is_rate {
                result = result.map(|number| number / between);
            }
            result.is_gauge = true;
            Value::Histogram(Arc::new(result))
        }
        OverTime::Average | OverTime::Sum => {
            let sum = added(all());
            let count = histograms.len() as f64;
            let result = if asked.function == OverTime::Sum { sum } else { sum.map(|number| number / count) };
            Value::Histogram(Arc::new(result))
        }
        OverTime::Min
        | OverTime::Max
        | OverTime::Stddev
        | OverTime::Stdvar
        | OverTime::Quantile
        | OverTime::Mad
        | OverTime::TimeOfMin
        | OverTime::TimeOfMax
        | OverTime::Smoothing
        | OverTime::Deriv
        | OverTime::Predict => {
            if values.is_empty() {
                return Value::Nothing;
            }
            asked.notes.ignored_in_range(name);
            Value::Number(one(asked.function, (times, values), window, time, parameters, room))
        }
    }
}

/// The sum of some histograms.
pub(super) fn added<'a>(mut all: impl Iterator<Item = &'a Arc<Native>>) -> Native {
    let first = all.next().map(|first| (**first).clone()).unwrap_or_default();
    all.fold(first, |sum, histogram| sum.plus(histogram, 1.0))
}

/// How often a series changed or began anew, numbers and histograms in the order of their times.
fn steps(function: OverTime, (times, values): (&[i64], &[f64]), histograms: &[HistogramSample]) -> f64 {
    let numbers = times.iter().zip(values).map(|(time, value)| (*time, Ok(*value)));
    let mut all: Vec<(i64, Result<f64, &Arc<Native>>)> =
        numbers.chain(histograms.iter().map(|(time, histogram)| (*time, Err(histogram)))).collect();
    all.sort_by_key(|(time, _)| *time);
    let is_counted = |pair: &&[(i64, Result<f64, &Arc<Native>>)]| match (&pair[0].1, &pair[1].1) {
        (Ok(before), Ok(now)) if function == OverTime::Changes => before != now && !(before.is_nan() && now.is_nan()),
        (Ok(before), Ok(now)) => now < before,
        (Err(before), Err(now)) if function == OverTime::Changes => !now.equals(before),
        (Err(before), Err(now)) => now.has_reset_since(before),
        _ => true,
    };
    all.windows(2).filter(is_counted).count() as f64
}

/// The increase of histograms that count, or the difference of others, carried on to the ends of the window.
fn difference(
    asked: &Asked<'_>,
    name: &str,
    histograms: &[HistogramSample],
    window: Window,
    is_counter: bool,
) -> Option<Arc<Native>> {
    let [(first_time, first), .., (last_time, last)] = histograms else { return None };
    if is_counter && histograms.iter().any(|(_, histogram)| histogram.is_gauge) {
        asked.notes.histogram_not_a_counter(name);
    }
    if !(is_counter || first.is_gauge && last.is_gauge) {
        asked.notes.histogram_not_a_gauge(name);
    }
    let mut result = last.plus(first, -1.0);
    if is_counter {
        for pair in histograms.windows(2) {
            let (before, now) = (&pair[0].1, &pair[1].1);
            if now.has_reset_since(before) {
                result = result.plus(before, 1.0);
            }
        }
    }
    let zero = (is_counter && result.count > 0.0 && first.count >= 0.0).then_some((first.count, result.count));
    let is_rate = asked.function == OverTime::Rate;
    let factor = Carried::of((*first_time, *last_time), histograms.len(), window, is_rate).factor(zero);
    let mut result = result.map(|number| number * factor);
    result.is_gauge = true;
    Some(Arc::new(result))
}

/// How many samples of each window there are, numbers and histograms.
pub(super) fn is_any(samples: &Samples, window: Window) -> bool {
    let inside = |time: i64| time > window.start && time <= window.end;
    let place = samples.times.partition_point(|time| *time <= window.start);
    samples.times.get(place).is_some_and(|time| inside(*time))
        || samples.histograms.iter().any(|(time, _)| inside(*time))
}

/// Whether a function's answer has any number: what is said of names is said of numbers alone.
pub(super) fn has_numbers(series: &Series) -> bool {
    series.values.iter().any(|value| !is_absent(*value))
}
