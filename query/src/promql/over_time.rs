//! Functions of the samples within a range.

use super::series::{ABSENT, Samples, Sum, least, mean, most, quantile, sum, variance};
use crate::{ErrorCode, QueryError};

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
    Last,
    Present,
    Stddev,
    Stdvar,
    Quantile,
}

impl OverTime {
    pub(super) fn of(name: &str) -> Result<Option<Self>, QueryError> {
        Ok(Some(match name {
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
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" | "double_exponential_smoothing" | "holt_winters" => {
                let message = format!("{name} is an experimental function of Prometheus and is not supported");
                return Err(QueryError { field: Some("query"), ..QueryError::new(ErrorCode::Unsupported, message) });
            }
            _ => return Ok(None),
        }))
    }

    /// Whether the result is still the same metric.
    pub(super) const fn keeps_name(self) -> bool {
        matches!(self, Self::Last)
    }
}

/// A window: behind `start`, up to `end` and that included; in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The values of a function over the windows of a series, whose ends rise. `parameter` is that of the same place.
pub(super) fn apply(
    function: OverTime,
    samples: &Samples,
    windows: impl Iterator<Item = Window>,
    times: impl Iterator<Item = i64>,
    parameter: Option<&[f64]>,
) -> Vec<f64> {
    let (mut first, mut behind) = (0, 0);
    let mut room = Vec::new();
    windows
        .zip(times)
        .enumerate()
        .map(|(place, (window, time))| {
            while behind < samples.times.len() && samples.times[behind] <= window.end {
                behind += 1;
            }
            while first < behind && samples.times[first] <= window.start {
                first += 1;
            }
            let parameter = parameter.map_or(0.0, |all| all[place]);
            let (times, values) = (&samples.times[first..behind], &samples.values[first..behind]);
            one(function, times, values, window, time, parameter, &mut room)
        })
        .collect()
}

fn one(
    function: OverTime,
    times: &[i64],
    values: &[f64],
    window: Window,
    time: i64,
    parameter: f64,
    room: &mut Vec<f64>,
) -> f64 {
    let (Some(last), count) = (values.last().copied(), values.len()) else { return ABSENT };
    match function {
        OverTime::Rate => extrapolated(times, values, window, true, true),
        OverTime::Increase => extrapolated(times, values, window, true, false),
        OverTime::Delta => extrapolated(times, values, window, false, false),
        OverTime::Irate | OverTime::Idelta => instant(function, times, values),
        OverTime::Deriv | OverTime::Predict if count < 2 => ABSENT,
        OverTime::Deriv => line(times, values, times[0]).0,
        OverTime::Predict => {
            let (slope, now) = line(times, values, time);
            slope * parameter + now
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
        OverTime::Last => last,
        OverTime::Present => 1.0,
        OverTime::Stddev => variance(values).sqrt(),
        OverTime::Stdvar => variance(values),
        OverTime::Quantile => {
            room.clear();
            room.extend_from_slice(values);
            quantile(parameter, room)
        }
    }
}

/// The increase of a counter or the difference of a gauge, carried on to the ends of the window when the samples come close
/// to them, as Prometheus does.
fn extrapolated(times: &[i64], values: &[f64], window: Window, is_counter: bool, is_rate: bool) -> f64 {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return ABSENT };
    if values.len() < 2 {
        return ABSENT;
    }
    let mut result = last - first;
    if is_counter {
        let mut before = *first;
        for value in values {
            if *value < before {
                result += before;
            }
            before = *value;
        }
    }
    let seconds = |milliseconds: i64| milliseconds as f64 / 1000.0;
    let (first_time, last_time) = (times[0], times[times.len() - 1]);
    let mut to_start = seconds(first_time - window.start);
    let mut to_end = seconds(window.end - last_time);
    let sampled = seconds(last_time - first_time);
    let between = sampled / (values.len() as f64 - 1.0);
    let threshold = between * 1.1;
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if is_counter {
        // A counter does not begin below zero.
        let to_zero = if result > 0.0 && *first >= 0.0 { sampled * (first / result) } else { to_start };
        to_start = to_start.min(to_zero);
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if is_rate {
        factor /= seconds(window.end - window.start);
    }
    result * factor
}

fn instant(function: OverTime, times: &[i64], values: &[f64]) -> f64 {
    let ([.., before, last], [.., before_time, last_time]) = (values, times) else { return ABSENT };
    let between = (last_time - before_time) as f64 / 1000.0;
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
        let since = (time - at) as f64 / 1000.0;
        x.add(since);
        y.add(*value);
        xy.add(since * value);
        xx.add(since * since);
    }
    let (x, y, xy, xx) = (x.get(), y.get(), xy.get(), xx.get());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}
