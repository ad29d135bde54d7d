//! Which samples the windows of a query hold, and how far they reach to the windows' ends.

use hashbrown::HashMap;
use std::sync::Arc;

/// Windows that are remembered at a time.
const MOST_KNOWN: usize = 65_536;

/// A window: behind `start`, up to `end` and that included; in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The samples of a window, by their places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside {
    pub(super) first: usize,
    pub(super) behind: usize,
    /// Only where it was asked for, and there are two samples.
    pub(super) carried: Carried,
}

/// By how much a difference between the first and the last sample of a window is carried on to the window's ends, as Prometheus does. Times are
/// milliseconds here: a million windows are a usual question, and divisions are most of the work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    sampled: f64,
    to_start: f64,
    to_end: f64,
    divisor: f64,
    factor: f64,
}

impl Carried {
    /// Of so many samples, two or more, the first and last at these times.
    pub(super) fn of((first, last): (i64, i64), samples: usize, window: Window, is_rate: bool) -> Self {
        let sampled = (last - first) as f64;
        let between = sampled / (samples as f64 - 1.0);
        let threshold = between * 1.1;
        let reach = |time: f64| {
            let is_far = if (time - threshold).abs() > threshold * 1e-12 {
                time > threshold
            } else {
                // So close that rounding decides: as Prometheus rounds, in seconds.
                time / 1000.0 >= sampled / 1000.0 / (samples as f64 - 1.0) * 1.1
            };
            if is_far { between / 2.0 } else { time }
        };
        let (to_start, to_end) = (reach((first - window.start) as f64), reach((window.end - last) as f64));
        let divisor = if is_rate { sampled * ((window.end - window.start) as f64 / 1000.0) } else { sampled };
        Self { sampled, to_start, to_end, divisor, factor: (sampled + to_start + to_end) / divisor }
    }

    /// What the difference is multiplied with; `zero` is the first sample of a counter with what it rises between the two, which say when it was
    /// zero: it is not carried on to before that.
    pub(super) fn factor(&self, zero: Option<(f64, f64)>) -> f64 {
        match zero {
            Some((value, rise)) if self.sampled * value < self.to_start * rise => {
                (self.sampled + self.sampled * value / rise + self.to_end) / self.divisor
            }
            _ => self.factor,
        }
    }
}

/// What windows hold of some series. Series that are told of together have the same times, and then their windows hold the same places.
#[derive(Debug, Default)]
pub(super) struct Walks {
    /// By where the times are in memory.
    known: HashMap<usize, Vec<Inside>>,
    windows: usize,
}

impl Walks {
    /// What each window holds of a series, for windows whose ends rise; `rates` says whether to find what differences are carried on by, and that
    /// of rates. Series, windows and `rates` are of one evaluation.
    pub(super) fn of(&mut self, windows: &[Window], times: &Arc<Vec<i64>>, rates: Option<bool>) -> &[Inside] {
        if self.windows > MOST_KNOWN {
            self.known.clear();
            self.windows = 0;
        }
        let key = Arc::as_ptr(times) as usize;
        self.known.entry(key).or_insert_with(|| {
            self.windows += windows.len();
            walk(windows, times, rates)
        })
    }
}

fn walk(windows: &[Window], times: &[i64], rates: Option<bool>) -> Vec<Inside> {
    let (mut first, mut behind) = (0, 0);
    let one = |window: &Window| {
        while behind < times.len() && times[behind] <= window.end {
            behind += 1;
        }
        while first < behind && times[first] <= window.start {
            first += 1;
        }
        let carried = match (rates, &times[first..behind]) {
            (Some(is_rate), [start, .., end]) => Carried::of((*start, *end), behind - first, *window, is_rate),
            _ => Carried::default(),
        };
        Inside { first, behind, carried }
    };
    windows.iter().map(one).collect()
}
