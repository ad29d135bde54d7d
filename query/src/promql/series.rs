//! Values over the steps of a query, and the samples they come from.

use super::labels::Labels;
use super::native::Native;
use mangru_store::value::STALE_BITS;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a series has no value; the same bits as Prometheus' marker of a series that has ended.
pub(super) const ABSENT: f64 = f64::from_bits(STALE_BITS);

/// Whether there is no value.
pub(super) const fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// The moments at which a query is evaluated, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Grid {
    /// All moments from `start` to `end`, `end` included when a step falls on it.
    pub(super) fn new(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { (end.saturating_sub(start) / step.max(1)) as usize + 1 };
        Self { start, step, count }
    }

    pub(super) fn time(&self, place: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(place as i64))
    }

    pub(super) fn end(&self) -> i64 {
        self.time(self.count.saturating_sub(1))
    }

    pub(super) fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count).map(move |place| self.time(place))
    }
}

/// A native histogram at each step where there is one.
pub(super) type Histograms = Option<Box<[Option<Arc<Native>>]>>;

/// A series at each step. Where a histogram is, there is no value.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Histograms,
}

impl Series {
    /// A series of numbers.
    pub(super) const fn new(labels: Labels, values: Vec<f64>) -> Self {
        Self { labels, values, histograms: None }
    }

    /// Whether it has a value at any step.
    pub(super) fn has_any(&self) -> bool {
        self.values.iter().any(|value| !is_absent(*value)) || self.has_histograms()
    }

    /// Whether it has a histogram at any step.
    pub(super) fn has_histograms(&self) -> bool {
        self.histograms.as_ref().is_some_and(|all| all.iter().any(Option::is_some))
    }

    /// The histogram at a step.
    pub(super) fn histogram(&self, step: usize) -> Option<&Arc<Native>> {
        self.histograms.as_ref().and_then(|all| all[step].as_ref())
    }

    /// Whether there is anything at a step.
    pub(super) fn is_at(&self, step: usize) -> bool {
        !is_absent(self.values[step]) || self.histogram(step).is_some()
    }

    /// Puts a histogram at a step.
    pub(super) fn set_histogram(&mut self, step: usize, histogram: Option<Arc<Native>>) {
        if histogram.is_none() && self.histograms.is_none() {
            return;
        }
        let steps = self.values.len();
        self.histograms.get_or_insert_with(|| vec![None; steps].into_boxed_slice())[step] = histogram;
    }

    /// The same with every number changed; histograms are left out, as functions of numbers do.
    pub(super) fn map(mut self, change: impl Fn(usize, f64) -> f64) -> Self {
        for (place, value) in self.values.iter_mut().enumerate() {
            if !is_absent(*value) {
                *value = change(place, *value);
            }
        }
        self.histograms = None;
        self
    }

    /// The same at the steps that pass.
    pub(super) fn keep(mut self, passes: impl Fn(usize) -> bool) -> Self {
        for step in 0..self.values.len() {
            if !passes(step) {
                self.values[step] = ABSENT;
                self.set_histogram(step, None);
            }
        }
        self
    }

    /// With these labels.
    pub(super) fn labelled(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }
}

/// A histogram with its time.
pub(super) type HistogramSample = (i64, Arc<Native>);

/// Samples of one series by time; they are shared with what is remembered of parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    pub(super) labels: Labels,
    /// The labels without the metric's name, which most functions give.
    pub(super) nameless: Labels,
    /// Milliseconds since the Unix epoch, rising.
    pub(super) times: Arc<Vec<i64>>,
    pub(super) values: Arc<[f64]>,
    /// By time; at a time with a histogram is no value.
    pub(super) histograms: Arc<Vec<HistogramSample>>,
    /// What is known of the values, so that it need not be looked for at each question.
    shape: Shape,
}

/// How the values of a series are.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    /// Some say that the series has ended.
    has_absent: bool,
    /// None is less than the one before.
    is_rising: bool,
}

impl Shape {
    fn of(values: &[f64]) -> Self {
        Self {
            has_absent: values.iter().any(|value| is_absent(*value)),
            is_rising: values.windows(2).all(|pair| pair[1] >= pair[0]),
        }
    }
}

impl Samples {
    /// Numbers of a series by time.
    pub(super) fn new(labels: Labels, times: Vec<i64>, values: Vec<f64>) -> Self {
        let (nameless, shape) = (labels.without_name(), Shape::of(&values));
        Self { labels, nameless, times: Arc::new(times), values: values.into(), histograms: Arc::default(), shape }
    }

    /// With native histograms beside the numbers.
    pub(super) fn with_histograms(self, histograms: Vec<HistogramSample>) -> Self {
        Self { histograms: Arc::new(histograms), ..self }
    }

    /// Without what says that the series has ended.
    pub(super) fn present(&self) -> Cow<'_, Self> {
        if !self.shape.has_absent {
            return Cow::Borrowed(self);
        }
        let pairs = self.times.iter().copied().zip(self.values.iter().copied());
        let (times, values): (Vec<i64>, Vec<f64>) = pairs.filter(|(_, value)| !is_absent(*value)).unzip();
        let shape = Shape::of(&values);
        Cow::Owned(Self { times: Arc::new(times), values: values.into(), shape, ..self.clone() })
    }

    /// Whether no value is less than the one before.
    pub(super) const fn is_rising(&self) -> bool {
        self.shape.is_rising
    }

    /// Whether any sample is between two moments, both included.
    pub(super) fn is_within(&self, from: i64, to: i64) -> bool {
        let place = self.times.partition_point(|time| *time < from);
        let is_number = self.times.get(place).is_some_and(|time| *time <= to);
        is_number || self.histograms.iter().any(|(time, _)| (from..=to).contains(time))
    }

    /// Only the samples between two moments, both included.
    pub(super) fn within(&self, from: i64, to: i64) -> Self {
        let (start, end) =
            (self.times.partition_point(|time| *time < from), self.times.partition_point(|time| *time <= to));
        if start == 0 && end == self.times.len() && self.histograms.is_empty() {
            return self.clone();
        }
        let histograms = self.histograms.iter().filter(|(time, _)| (from..=to).contains(time)).cloned().collect();
        let values = self.values[start..end].to_vec();
        Self {
            labels: self.labels.clone(),
            nameless: self.nameless.clone(),
            times: Arc::new(self.times[start..end].to_vec()),
            shape: Shape::of(&values),
            values: values.into(),
            histograms: Arc::new(histograms),
        }
    }
}

/// What an expression gives.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Vec<f64>),
    Vector(Vec<Series>),
    Text(String),
}
