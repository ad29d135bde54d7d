//! Figures of a number that rows carry: a duration, an attribute, a number in the message; over time and by a field.

mod groups;
mod sketch;

use crate::counts::Buckets;
use crate::language::{FieldRef, SEVERITY_COLUMNS, group_field, group_keys, severities};
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
pub use groups::{GroupFigures, GroupsRequest};
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use regex::Regex;
use serde::Serialize;
use sketch::Sketch;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Groups that are told apart before an answer is refused.
const MAX_GROUPS: usize = 10_000;
/// OpenTelemetry's status code of an error.
const ERROR: i32 = 2;

/// A request for figures.
#[derive(Clone, Debug)]
pub struct StatsRequest {
    /// The search; empty matches all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// The field that holds the number; with `extract`, the field whose text the number is taken out of.
    pub field: String,
    /// An expression whose first group is the number, such as `took (\d+)ms`.
    pub extract: Option<String>,
    /// The field to tell rows apart by.
    pub by: Option<String>,
    /// The width of a bucket; none for a single one over all the range.
    pub step: Option<Duration>,
    /// How many groups, those with the most rows.
    pub top: usize,
}

/// Figures per group and bucket.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Stats {
    /// Where the first bucket starts, nanoseconds since the Unix epoch.
    pub start: i64,
    /// The width of a bucket in nanoseconds.
    pub step_ns: i64,
    /// One per group, most rows first.
    pub series: Vec<StatsSeries>,
    /// How far a percentile may be from the exact one, as a part of it.
    pub relative_error: f64,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// The figures of one group.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StatsSeries {
    /// The value; none for rows without the field, and when rows are not told apart.
    pub key: Option<String>,
    /// Over the whole range.
    pub total: Figures,
    /// Per bucket; one when no step was asked for.
    pub buckets: Vec<Figures>,
}

/// Figures of some rows. Those of no number at all have no minimum, maximum, mean and percentiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Figures {
    /// Rows, with the number or without it.
    pub rows: u64,
    /// Rows per second of the bucket.
    pub rows_per_second: f64,
    /// Rows with the status error; of logs, those of severity error and above.
    pub errors: u64,
    /// Rows that carry a number.
    pub count: u64,
    /// The numbers added up.
    pub sum: f64,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The sum divided by the count.
    pub mean: Option<f64>,
    /// Half of the numbers are no larger.
    pub p50: Option<f64>,
    /// 90 of 100 are no larger.
    pub p90: Option<f64>,
    /// 95 of 100 are no larger.
    pub p95: Option<f64>,
    /// 99 of 100 are no larger.
    pub p99: Option<f64>,
}

/// What is gathered for a bucket.
#[derive(Clone, Debug, Default)]
struct Tally {
    rows: u64,
    errors: u64,
    sketch: Sketch,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.errors += other.errors;
        self.sketch.merge(&other.sketch);
    }

    fn figures(&self, width_ns: i64) -> Figures {
        let numbers = &self.sketch;
        Figures {
            rows: self.rows,
            rows_per_second: self.rows as f64 / (width_ns.max(1) as f64 / 1e9),
            errors: self.errors,
            count: numbers.count(),
            sum: numbers.sum(),
            min: numbers.min(),
            max: numbers.max(),
            mean: numbers.mean(),
            p50: numbers.percentile(50.0),
            p90: numbers.percentile(90.0),
            p95: numbers.percentile(95.0),
            p99: numbers.percentile(99.0),
        }
    }
}

/// Where numbers are taken from.
#[derive(Clone, Debug)]
struct Source {
    signal: Signal,
    field: FieldRef,
    extract: Option<Arc<Regex>>,
    by: Option<FieldRef>,
    buckets: Buckets,
}

type Groups = HashMap<Option<String>, Vec<Tally>>;

/// Groups of some rows, and their memory.
struct Found {
    groups: Groups,
    /// The bytes of all sketches beside their tallies.
    sketches: usize,
    held: Held,
}

impl Found {
    fn batch(&mut self, batch: &RecordBatch, source: &Source) -> Result<(), QueryError> {
        let numbers = source.numbers(batch)?;
        let errors = errors(source.signal, batch)?;
        let times = batch
            .column_by_name("time")
            .ok_or_else(|| QueryError::internal("column time was not read"))?
            .as_primitive::<TimestampNanosecondType>();
        let keys = source.by.as_ref().map(|by| group_keys(by, source.signal, batch)).transpose()?;
        // Only what the batch has: of many values and buckets most are empty.
        let mut by_place: HashMap<(i32, usize), Tally> = HashMap::new();
        for row in 0..batch.num_rows() {
            let place = keys.as_ref().map_or(-1, |keys| keys.keys[row]);
            let tally = by_place.entry((place, source.buckets.of(times.value(row)))).or_default();
            tally.rows += 1;
            tally.errors += u64::from(errors(row));
            if let Some(number) = numbers.of(row) {
                tally.sketch.add(number);
            }
        }
        for ((place, bucket), tally) in by_place {
            let key = keys.as_ref().zip(usize::try_from(place).ok()).map(|(keys, place)| keys.values[place].clone());
            if !self.groups.contains_key(&key) {
                let group = source.buckets.count * size_of::<Tally>();
                self.held.cover((self.groups.len() + 1) * group + self.sketches)?;
                add(&mut self.groups, key.clone(), vec![Tally::default(); source.buckets.count])?;
            }
            if let Some(all) = self.groups.get_mut(&key).and_then(|tallies| tallies.get_mut(bucket)) {
                let before = all.sketch.bytes();
                all.add(&tally);
                self.sketches += all.sketch.bytes().saturating_sub(before);
            }
        }
        self.held.cover(self.groups.len() * source.buckets.count * size_of::<Tally>() + self.sketches)
    }
}

fn add(groups: &mut Groups, key: Option<String>, tallies: Vec<Tally>) -> Result<(), QueryError> {
    if let Some(all) = groups.get_mut(&key) {
        all.iter_mut().zip(&tallies).for_each(|(all, tally)| all.add(tally));
    } else if groups.len() < MAX_GROUPS {
        groups.insert(key, tallies);
    } else {
        let message = format!("the field has more than {MAX_GROUPS} values: choose another, or narrow the search");
        return Err(QueryError::invalid("by", message));
    }
    Ok(())
}

/// The columns that [`errors`] reads.
const fn error_columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &SEVERITY_COLUMNS,
        Signal::Spans => &["status_code"],
        Signal::MetricPoints => &[],
    }
}

/// Whether a row tells of an error.
fn errors(signal: Signal, batch: &RecordBatch) -> Result<Box<dyn Fn(usize) -> bool>, QueryError> {
    Ok(match signal {
        Signal::Logs => {
            let severity = severities(batch)?;
            Box::new(move |row| severity(row) >= 17)
        }
        Signal::Spans => {
            let column = batch.column_by_name("status_code");
            let codes = column.and_then(|column| column.as_primitive_opt::<Int32Type>()).cloned();
            Box::new(move |row| codes.as_ref().is_some_and(|codes| codes.is_valid(row) && codes.value(row) == ERROR))
        }
        Signal::MetricPoints => Box::new(|_| false),
    })
}

/// The numbers of a batch.
enum Numbers {
    Integers(arrow::array::PrimitiveArray<Int64Type>),
    Doubles(arrow::array::PrimitiveArray<Float64Type>),
    /// The place of each row's number, -1 without one.
    Places(Vec<i32>, Vec<Option<f64>>),
}

impl Numbers {
    fn of(&self, row: usize) -> Option<f64> {
        let number = match self {
            Self::Integers(numbers) => numbers.is_valid(row).then(|| numbers.value(row) as f64),
            Self::Doubles(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
            Self::Places(places, numbers) => usize::try_from(places[row]).ok().and_then(|place| numbers[place]),
        };
        number.filter(|number| number.is_finite())
    }
}

impl Source {
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = self.field.columns(self.signal);
        columns.extend(self.by.iter().flat_map(|by| by.columns(self.signal)));
        columns.extend(error_columns(self.signal));
        columns.push("time");
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn numbers(&self, batch: &RecordBatch) -> Result<Numbers, QueryError> {
        if let (FieldRef::Column(name), None) = (&self.field, &self.extract)
            && let Some(column) = batch.column_by_name(name)
        {
            if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
                return Ok(Numbers::Integers(numbers.clone()));
            }
            if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
                return Ok(Numbers::Doubles(numbers.clone()));
            }
        }
        let keys = group_keys(&self.field, self.signal, batch)?;
        let number = |text: &String| match &self.extract {
            None => number(text),
            Some(regex) => number(regex.captures(text)?.get(1)?.as_str()),
        };
        let numbers = keys.values.iter().map(number).collect();
        Ok(Numbers::Places(keys.keys, numbers))
    }
}

/// A number, or a duration with a unit in nanoseconds.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    text.parse().ok().or_else(|| crate::language::duration_ns(text).map(|duration| duration as f64))
}

impl QueryService {
    /// Figures of a number that the rows carry which a search finds.
    pub async fn stats(&self, signal: Signal, request: &StatsRequest) -> Result<Stats, QueryError> {
        let started = Instant::now();
        if signal == Signal::MetricPoints {
            return Err(QueryError::invalid("signal", "figures are those of logs or spans"));
        }
        let limit = self.checked_limit(request.top)?;
        if request.field.trim().is_empty() {
            return Err(QueryError::invalid("field", "field is missing: the name of what holds the number"));
        }
        let filter = crate::language::parse(&request.query, signal)?;
        let buckets = Buckets::new(request.range, request.step)?;
        let by = request.by.as_deref().filter(|by| !by.is_empty());
        let by = by.map(|by| group_field("by", by, signal)).transpose()?;
        let extract = request.extract.as_deref().filter(|text| !text.is_empty()).map(extraction).transpose()?;
        let source = Source { signal, field: FieldRef::of(request.field.trim(), signal), extract, by, buckets };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal, filter, range: request.range, columns: source.columns() };
        let (nothing, from) = (control.clone(), source.clone());
        let init = move || Found::new(&nothing);
        let each = move |found: &mut Found, batch: &RecordBatch| found.batch(batch, &from);
        let (mut states, scan) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        let mut all = Groups::new();
        for found in &mut states {
            for (key, tallies) in std::mem::take(&mut found.groups) {
                add(&mut all, key, tallies)?;
            }
        }
        let mut coverage = Coverage::of_scan(&scan, started);
        let whole = request.range.end.saturating_sub(request.range.start);
        let mut series: Vec<StatsSeries> =
            all.into_iter().map(|(key, tallies)| one(key, &tallies, buckets, whole)).collect();
        series.sort_by(|left, right| right.total.rows.cmp(&left.total.rows).then_with(|| left.key.cmp(&right.key)));
        if series.len() > limit {
            series.truncate(limit);
            coverage.cut(format!("limit of {limit} groups"));
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        let relative_error = sketch::RELATIVE_ERROR;
        Ok(Stats { start: buckets.start, step_ns: buckets.step, series, relative_error, coverage })
    }
}

impl Found {
    fn new(control: &Control) -> Self {
        Self { groups: Groups::new(), sketches: 0, held: control.held() }
    }
}

fn one(key: Option<String>, tallies: &[Tally], buckets: Buckets, whole: i64) -> StatsSeries {
    let mut total = Tally::default();
    for tally in tallies {
        total.add(tally);
    }
    StatsSeries {
        key,
        total: total.figures(whole),
        buckets: tallies.iter().map(|tally| tally.figures(buckets.step)).collect(),
    }
}

fn extraction(text: &str) -> Result<Arc<Regex>, QueryError> {
    let regex = regex::RegexBuilder::new(text)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| QueryError::invalid("extract", format!("`{text}` is not an expression: {error}")))?;
    if regex.captures_len() < 2 {
        return Err(QueryError::invalid(
            "extract",
            "the expression has no group for the number, such as `took (\\d+)ms`",
        ));
    }
    Ok(Arc::new(regex))
}
