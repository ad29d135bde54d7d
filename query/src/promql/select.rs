//! Reading the samples of a selector: from metric points to series of Prometheus.

use super::labels::{Labels, NAME};
use super::names::{self, Kind};
use super::series::{ABSENT, Samples};
use crate::language::{Expr, FieldRef, Matcher as FieldMatcher};
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{ErrorCode, QueryError};
use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use hashbrown::HashMap;
use mangru_store::value::read_object;
use mangru_store::{PROMETHEUS_SCOPE, PROMOTED_RESOURCE, Signal, Store, TimeRange};
use promql_parser::label::{MatchOp, Matcher};
use std::sync::Arc;

/// The bit of a point that says that there is no value.
const NO_RECORDED_VALUE: u32 = 1;
/// The size of the expression that names are looked for by.
const MAX_FILTER_BYTES: usize = 64 << 20;
/// Aggregation temporality of sums that begin anew with each point.
const DELTA: i32 = 1;

/// What is read of a metric's points beside their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    counts: bool,
    sums: bool,
    buckets: bool,
}

impl Wanted {
    const ALL: Self = Self { counts: true, sums: true, buckets: true };

    /// By the ending of a series' name.
    fn of(name: &str) -> Self {
        Self { counts: name.ends_with("_count"), sums: name.ends_with("_sum"), buckets: name.ends_with("_bucket") }
    }

    /// What either wants.
    const fn or(self, other: Self) -> Self {
        Self {
            counts: self.counts || other.counts,
            sums: self.sums || other.sums,
            buckets: self.buckets || other.buckets,
        }
    }

    fn columns(self) -> Vec<&'static str> {
        let mut columns = vec!["value_int", "value_double", "quantiles", "quantile_values"];
        if self.counts || self.buckets {
            columns.push("count");
        }
        if self.sums {
            columns.push("sum");
        }
        if self.buckets {
            columns.extend(["bucket_counts", "explicit_bounds"]);
        }
        columns
    }
}

/// Columns that tell which series a point belongs to.
fn series_columns() -> Vec<&'static str> {
    let mut columns = vec![
        "time",
        "metric_name",
        "metric_type",
        "metric_unit",
        "aggregation_temporality",
        "is_monotonic",
        "series_id",
        "attributes",
        "flags",
        "resource_attributes",
        "scope_name",
        "scope_version",
    ];
    columns.extend(PROMOTED_RESOURCE.iter().map(|promoted| promoted.column));
    columns
}

/// The name that all series of a selector have, when it says one.
pub(super) fn name_of(matchers: &[Matcher]) -> Option<&str> {
    matchers
        .iter()
        .find(|matcher| matcher.name == NAME && matcher.op == MatchOp::Equal)
        .map(|found| found.value.as_str())
}

/// The rows that any of the selectors could want: one expression over all of their names, so that each name is looked at once.
fn filter(selectors: &[Vec<Matcher>]) -> Result<Expr, QueryError> {
    let mut sources: Vec<String> = Vec::new();
    for matchers in selectors {
        let Some(name) = name_of(matchers) else { return Ok(Expr::All) };
        sources.push(format!("(?:{})", names::sources(name)));
    }
    sources.sort();
    sources.dedup();
    let most = if sources.len() > 1 { MAX_FILTER_BYTES } else { MAX_FILTER_BYTES / 8 };
    let mut regex = regex::RegexBuilder::new(&sources.join("|"));
    let regex = regex.size_limit(most).dfa_size_limit(most).build().map_err(|error| {
        QueryError::invalid("query", format!("the metrics' names are too long to look for: {error}"))
    })?;
    Ok(Expr::Field(FieldRef::Column("metric_name"), FieldMatcher::Regex(regex)))
}

/// Samples of some rows, and their memory.
struct Read {
    /// A series is wanted that matches all of any of these.
    selectors: Arc<Vec<Vec<Matcher>>>,
    wanted: Wanted,
    /// The places of a point's series, by `series_id`.
    known: HashMap<u64, Known>,
    all: Vec<Samples>,
    /// Whether a series' samples are differences.
    is_delta: Vec<bool>,
    held: Held,
}

/// The series that points of one `series_id` make.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The labels that all have in common, without a name.
    common: Labels,
    name: String,
    is_delta: bool,
    is_exponential: bool,
    /// By the ending of the name and the value of `le` or `quantile`.
    places: Vec<(&'static str, u64, Option<usize>)>,
}

/// The columns of a batch, so that none is looked for row by row.
struct Columns<'a> {
    times: &'a PrimitiveArray<TimestampNanosecondType>,
    series: &'a PrimitiveArray<UInt64Type>,
    flags: Option<&'a PrimitiveArray<UInt32Type>>,
    value_int: Option<&'a PrimitiveArray<Int64Type>>,
    value_double: Option<&'a PrimitiveArray<Float64Type>>,
    count: Option<&'a PrimitiveArray<UInt64Type>>,
    sum: Option<&'a PrimitiveArray<Float64Type>>,
    bucket_counts: Option<&'a ListArray>,
    explicit_bounds: Option<&'a ListArray>,
    quantiles: Option<&'a ListArray>,
    quantile_values: Option<&'a ListArray>,
    batch: &'a RecordBatch,
}

fn primitive<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Option<&'a PrimitiveArray<T>> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt())
}

fn list<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a ListArray> {
    batch.column_by_name(name).and_then(|column| column.as_list_opt())
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, QueryError> {
        let missing = |name: &str| QueryError::internal(format!("column {name} was not read"));
        Ok(Self {
            times: primitive(batch, "time").ok_or_else(|| missing("time"))?,
            series: primitive(batch, "series_id").ok_or_else(|| missing("series_id"))?,
            flags: primitive(batch, "flags"),
            value_int: primitive(batch, "value_int"),
            value_double: primitive(batch, "value_double"),
            count: primitive(batch, "count"),
            sum: primitive(batch, "sum"),
            bucket_counts: list(batch, "bucket_counts"),
            explicit_bounds: list(batch, "explicit_bounds"),
            quantiles: list(batch, "quantiles"),
            quantile_values: list(batch, "quantile_values"),
            batch,
        })
    }

    fn text(&self, name: &str, row: usize) -> &'a str {
        crate::cells::Cells::new(self.batch).text(name, row).unwrap_or_default()
    }
}

fn at<T: ArrowPrimitiveType>(column: Option<&PrimitiveArray<T>>, row: usize) -> Option<T::Native> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

fn items(column: Option<&ListArray>, row: usize) -> Option<ArrayRef> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

impl Read {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let columns = Columns::of(batch)?;
        let mut last: Option<(u64, Known)> = None;
        for row in 0..batch.num_rows() {
            let id = columns.series.value(row);
            if last.as_ref().is_none_or(|(known, _)| *known != id) {
                if let Some((id, known)) = last.take() {
                    self.known.insert(id, known);
                }
                let known = self.known.remove(&id).unwrap_or_else(|| describe(&columns, row));
                if known.is_exponential && self.selectors.iter().any(|one| name_of(one) == Some(&known.name)) {
                    return Err(native(&known.name));
                }
                last = Some((id, known));
            }
            if let Some((_, known)) = &mut last {
                self.point(&columns, row, known);
            }
        }
        self.known.extend(last);
        let bytes = |samples: &Samples| 160 + 16 * samples.times.capacity();
        self.held.cover(self.all.iter().map(bytes).sum::<usize>() + 256 * self.known.len())
    }

    fn point(&mut self, columns: &Columns<'_>, row: usize, known: &mut Known) {
        let time = columns.times.value(row).div_euclid(1_000_000);
        let has_none = at(columns.flags, row).is_some_and(|flags| flags & NO_RECORDED_VALUE != 0);
        let or_none = |value: f64| if has_none { ABSENT } else { value };
        let value = at(columns.value_double, row).or_else(|| at(columns.value_int, row).map(|value| value as f64));
        let count = at(columns.count, row);
        // A number's point without a value says by its flag that the series ended.
        if let Some(value) = value.or_else(|| (has_none && count.is_none()).then_some(ABSENT)) {
            self.sample(known, "", 0, || None, time, or_none(value));
        }
        if let (Some(quantiles), Some(values)) = (items(columns.quantiles, row), items(columns.quantile_values, row)) {
            let (quantiles, values) = (quantiles.as_primitive::<Float64Type>(), values.as_primitive::<Float64Type>());
            for (quantile, value) in quantiles.values().iter().zip(values.values()) {
                let label = || Some(("quantile", number(*quantile)));
                self.sample(known, "", quantile.to_bits(), label, time, or_none(*value));
            }
        }
        if self.wanted.counts
            && let Some(count) = count
        {
            self.sample(known, "_count", 0, || None, time, or_none(count as f64));
        }
        if self.wanted.sums
            && let Some(sum) = at(columns.sum, row)
        {
            self.sample(known, "_sum", 0, || None, time, or_none(sum));
        }
        if self.wanted.buckets
            && let (Some(counts), Some(bounds)) =
                (items(columns.bucket_counts, row), items(columns.explicit_bounds, row))
        {
            let (counts, bounds) = (counts.as_primitive::<UInt64Type>(), bounds.as_primitive::<Float64Type>());
            let mut below = 0;
            for (place, bound) in bounds.values().iter().enumerate() {
                below += counts.values().get(place).copied().unwrap_or_default();
                self.sample(
                    known,
                    "_bucket",
                    bound.to_bits(),
                    || Some(("le", number(*bound))),
                    time,
                    or_none(below as f64),
                );
            }
            let all = count.unwrap_or_else(|| counts.values().iter().sum());
            let infinity = f64::INFINITY;
            self.sample(
                known,
                "_bucket",
                infinity.to_bits(),
                || Some(("le", number(infinity))),
                time,
                or_none(all as f64),
            );
        }
    }

    /// Adds a sample to the series of a point that has this ending and label.
    fn sample(
        &mut self,
        known: &mut Known,
        ending: &'static str,
        key: u64,
        label: impl Fn() -> Option<(&'static str, String)>,
        time: i64,
        value: f64,
    ) {
        let found = known.places.iter().find(|(known, bits, _)| *known == ending && *bits == key);
        let place = match found {
            Some((_, _, place)) => *place,
            None => {
                let mut labels = known.common.with(NAME, &format!("{}{ending}", known.name));
                if let Some((name, value)) = label() {
                    labels = labels.with(name, &value);
                }
                let is_wanted = self.selectors.iter().any(|matchers| is_match(matchers, &labels));
                let place = is_wanted.then(|| {
                    self.all.push(Samples { labels, ..Samples::default() });
                    self.is_delta.push(known.is_delta);
                    self.all.len() - 1
                });
                known.places.push((ending, key, place));
                place
            }
        };
        if let Some(place) = place {
            self.all[place].times.push(time);
            self.all[place].values.push(value);
        }
    }
}

/// What is said of a selector that would give native histograms.
fn native(name: &str) -> QueryError {
    let message = format!(
        "{name} is an exponential histogram, which PromQL would read as a native one: only {name}_count and {name}_sum can be \
         queried"
    );
    QueryError { field: Some("query"), ..QueryError::new(ErrorCode::Unsupported, message) }
}

/// What the series of a point have in common.
fn describe(columns: &Columns<'_>, row: usize) -> Known {
    let batch = columns.batch;
    let is_monotonic = batch
        .column_by_name("is_monotonic")
        .and_then(|column| column.as_boolean_opt())
        .is_some_and(|flags: &BooleanArray| flags.is_valid(row) && flags.value(row));
    let kind = kind(columns.text("metric_type", row), is_monotonic);
    let temporality = at(primitive::<Int32Type>(batch, "aggregation_temporality"), row);
    let name = columns.text("metric_name", row);
    // What Prometheus wrote is given back as it came.
    let is_verbatim = columns.text("scope_name", row) == PROMETHEUS_SCOPE;
    Known {
        common: if is_verbatim { own_labels(columns, row) } else { common_labels(columns, row) },
        name: if is_verbatim { name.to_owned() } else { names::metric(name, columns.text("metric_unit", row), kind) },
        is_delta: temporality == Some(DELTA),
        is_exponential: columns.text("metric_type", row) == "exponential_histogram",
        places: Vec::new(),
    }
}

pub(super) fn kind(metric_type: &str, is_monotonic: bool) -> Kind {
    match metric_type {
        "sum" if is_monotonic => Kind::Counter,
        "histogram" | "exponential_histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Gauge,
    }
}

/// The labels of a point that Prometheus wrote: its attributes as they are.
fn own_labels(columns: &Columns<'_>, row: usize) -> Labels {
    let attributes = read_object(columns.text("attributes", row)).into_iter();
    Labels::new(attributes.map(|(name, value)| (Arc::from(name), Arc::from(value.text()))))
}

/// The labels of a point: its attributes, `job` and `instance`, what of the resource has a column of its own, and its scope.
fn common_labels(columns: &Columns<'_>, row: usize) -> Labels {
    let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    let mut add = |name: String, value: &str| {
        // Of keys that become the same name, all values count, as the specification says.
        match pairs.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, values)) if **values != *value => *values = Arc::from(format!("{values};{value}")),
            Some(_) => {}
            None => pairs.push((Arc::from(name), Arc::from(value))),
        }
    };
    let attributes = read_object(columns.text("attributes", row));
    for (key, value) in &attributes {
        add(names::label(key), &value.text());
    }
    let has = |key: &str, attributes: &[(String, mangru_store::value::AnyValue)]| {
        attributes.iter().any(|(known, _)| names::label(known) == key)
    };
    let resource = read_object(columns.text("resource_attributes", row));
    let of_resource =
        |key: &str| resource.iter().find(|(known, _)| known == key).map(|(_, value)| value.text()).unwrap_or_default();
    for promoted in PROMOTED_RESOURCE {
        let (label, value) = (names::label(promoted.key), columns.text(promoted.column, row));
        if !has(&label, &attributes) {
            add(label, value);
        }
    }
    let (namespace, service) = (of_resource("service.namespace"), columns.text("service_name", row));
    let job = if namespace.is_empty() { service.to_owned() } else { format!("{namespace}/{service}") };
    for (label, value) in [
        ("job", job.as_str()),
        ("instance", of_resource("service.instance.id").as_str()),
        ("otel_scope_name", columns.text("scope_name", row)),
        ("otel_scope_version", columns.text("scope_version", row)),
    ] {
        if !has(label, &attributes) {
            add(label.to_owned(), value);
        }
    }
    Labels::new(pairs)
}

/// A bound or a quantile as Prometheus writes it in a label.
pub(super) fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}

/// What a selector found.
pub(super) struct Selected {
    pub(super) series: Vec<Samples>,
    pub(super) coverage: scan::ScanCoverage,
    /// Keeps the memory of the samples taken.
    pub(super) _held: Vec<Held>,
}

/// Whether labels fulfil all matchers.
pub(super) fn is_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.is_match(labels.get(&matcher.name)))
}

impl Selected {
    /// Series that were computed elsewhere.
    pub(super) fn computed(series: Vec<Samples>) -> Self {
        Self { series, coverage: scan::ScanCoverage::default(), _held: Vec::new() }
    }
}

/// The series that match within a range (milliseconds, both ends included), with their samples when they are wanted.
pub(super) async fn select(
    store: &Arc<Store>,
    matchers: &[Matcher],
    from: i64,
    to: i64,
    control: &Control,
) -> Result<Selected, QueryError> {
    let raw = select_raw(store, vec![matchers.to_vec()], from, to, control).await?;
    // Names of Tempo's metrics generator are answered from spans when nothing was written under them.
    if raw.series.is_empty()
        && let Some(name) = name_of(matchers).filter(|name| name.starts_with("traces_"))
        && let Some((series, coverage, held)) =
            super::span_metrics::select(store, name, matchers, (from, to), control).await?
    {
        return Ok(Selected { series, coverage, _held: held });
    }
    scan::blocking(move || {
        let mut series: Vec<Samples> =
            raw.series.into_iter().map(|(samples, is_delta)| ordered(samples, is_delta)).collect();
        series.sort_by(|left, right| left.labels.cmp(&right.labels));
        Ok(Selected { series, coverage: raw.coverage, _held: raw.held })
    })
    .await
}

/// Series as they were read: samples in no order, each with whether they are differences.
pub(super) struct Raw {
    pub(super) series: Vec<(Samples, bool)>,
    pub(super) coverage: scan::ScanCoverage,
    /// Keeps the memory of the samples taken.
    pub(super) held: Vec<Held>,
}

/// The series that any of these selectors wants, read once, within a range in milliseconds, both ends included.
pub(super) async fn select_raw(
    store: &Arc<Store>,
    selectors: Vec<Vec<Matcher>>,
    from: i64,
    to: i64,
    control: &Control,
) -> Result<Raw, QueryError> {
    let wanted = selectors.iter().map(|one| name_of(one).map_or(Wanted::ALL, Wanted::of));
    let wanted = wanted.fold(Wanted::default(), Wanted::or);
    let mut columns = series_columns();
    columns.extend(wanted.columns());
    let range =
        TimeRange { start: from.saturating_mul(1_000_000), end: to.saturating_add(1).saturating_mul(1_000_000) };
    let filter = filter(&selectors)?;
    let scan = ScanRequest { signal: Signal::MetricPoints, filter, range, columns };
    let (selectors, nothing) = (Arc::new(selectors), control.clone());
    let init = move || Read {
        selectors: Arc::clone(&selectors),
        wanted,
        known: HashMap::new(),
        all: Vec::new(),
        is_delta: Vec::new(),
        held: nothing.held(),
    };
    let each = |read: &mut Read, batch: &RecordBatch| read.batch(batch);
    let (states, coverage) = scan::for_each(store, &scan, control, init, each).await?;
    let mut all: HashMap<Labels, (Samples, bool)> = HashMap::new();
    let mut held = Vec::new();
    for state in states {
        held.push(state.held);
        for (mut samples, is_delta) in state.all.into_iter().zip(state.is_delta) {
            let labels = samples.labels.clone();
            match all.get_mut(&labels) {
                Some((into, _)) => {
                    into.times.append(&mut samples.times);
                    into.values.append(&mut samples.values);
                }
                None => {
                    all.insert(labels, (samples, is_delta));
                }
            }
        }
    }
    Ok(Raw { series: all.into_values().collect(), coverage, held })
}

/// The samples by time, the last of several at the same time; differences added up, so that all is cumulative.
pub(super) fn ordered(samples: Samples, is_delta: bool) -> Samples {
    let mut pairs: Vec<(i64, f64)> = samples.times.iter().copied().zip(samples.values).collect();
    if !pairs.is_sorted_by_key(|(time, _)| *time) {
        pairs.sort_by_key(|(time, _)| *time);
    }
    if is_delta {
        let mut total = 0.0;
        for (_, value) in &mut pairs {
            if !super::series::is_absent(*value) {
                total += *value;
                *value = total;
            }
        }
    }
    pairs.reverse();
    pairs.dedup_by_key(|(time, _)| *time);
    pairs.reverse();
    let (times, values) = pairs.into_iter().unzip();
    Samples { labels: samples.labels, times, values }
}
