//! From metric points to series of Prometheus.

use super::labels::{Labels, NAME};
use super::names::{self, Kind, Naming};
use super::native::Native;
use super::select::is_match;
use super::series::{ABSENT, HistogramSample, Samples};
use crate::QueryError;
use crate::scan::Held;
use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type,
};
use hashbrown::HashMap;
use mangru_store::value::{AnyValue, read_object};
use mangru_store::{PROMETHEUS_SCOPE, PROMOTED_RESOURCE};
use promql_parser::label::Matcher;
use std::sync::Arc;

/// The bit of a point that says that there is no value.
const NO_RECORDED_VALUE: u32 = 1;
/// Aggregation temporality of sums that begin anew with each point.
const DELTA: i32 = 1;

/// What is read of a metric's points beside their values.
#[allow(clippy::struct_excessive_bools)] // each stands for columns of its own
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    counts: bool,
    sums: bool,
    buckets: bool,
    /// Points of exponential histograms as native ones.
    native: bool,
}

impl Wanted {
    pub(super) const ALL: Self = Self { counts: true, sums: true, buckets: true, native: true };

    /// By the ending of a series' name: a name may also be a whole metric's own.
    pub(super) fn of(name: &str) -> Self {
        let (counts, sums) = (name.ends_with("_count"), name.ends_with("_sum"));
        Self { counts, sums, buckets: name.ends_with("_bucket"), native: true }
    }

    /// What either wants.
    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            counts: self.counts || other.counts,
            sums: self.sums || other.sums,
            buckets: self.buckets || other.buckets,
            native: self.native || other.native,
        }
    }

    /// The columns that hold it.
    pub(super) fn columns(self) -> Vec<&'static str> {
        let mut columns = vec!["value_int", "value_double", "quantiles", "quantile_values"];
        if self.counts || self.buckets || self.native {
            columns.push("count");
        }
        if self.sums || self.native {
            columns.push("sum");
        }
        if self.buckets {
            columns.extend(["bucket_counts", "explicit_bounds"]);
        }
        if self.native {
            columns.extend(["scale", "zero_count", "zero_threshold", "positive_offset", "positive_bucket_counts"]);
            columns.extend(["negative_offset", "negative_bucket_counts"]);
        }
        columns
    }
}

/// Columns that tell which series a point belongs to.
pub(super) fn series_columns() -> Vec<&'static str> {
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

/// A series as it was read: samples in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Column {
    pub(super) labels: Labels,
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Vec<HistogramSample>,
    /// Whether the samples are differences.
    pub(super) is_delta: bool,
}

impl Column {
    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        256 + 16 * self.times.capacity() + 512 * self.histograms.len()
    }

    /// Takes another's samples behind its own.
    pub(super) fn append(&mut self, mut other: Self) {
        self.times.append(&mut other.times);
        self.values.append(&mut other.values);
        self.histograms.append(&mut other.histograms);
    }

    /// By time, the last of several at the same time; differences added up, so that all is cumulative.
    pub(super) fn ordered(self) -> Samples {
        let Self { labels, times, values, mut histograms, is_delta } = self;
        let is_in_order = times.windows(2).all(|pair| pair[0] < pair[1]);
        let (mut times, mut values) = if is_in_order { (times, values) } else { by_time(times, values) };
        times.shrink_to_fit();
        values.shrink_to_fit();
        if !histograms.is_sorted_by(|left, right| left.0 < right.0) {
            histograms.sort_by_key(|(time, _)| *time);
            histograms.reverse();
            histograms.dedup_by_key(|(time, _)| *time);
            histograms.reverse();
        }
        if is_delta {
            let mut total = 0.0;
            for value in values.iter_mut().filter(|value| !super::series::is_absent(**value)) {
                total += *value;
                *value = total;
            }
            let mut total: Option<Arc<Native>> = None;
            for (_, histogram) in &mut histograms {
                let sum = total.map_or_else(|| (**histogram).clone(), |total| total.plus(histogram, 1.0));
                *histogram = Arc::new(sum);
                total = Some(Arc::clone(histogram));
            }
        }
        Samples::new(labels, times, values).with_histograms(histograms)
    }
}

/// Samples sorted by time; of those at the same time the last counts.
fn by_time(times: Vec<i64>, values: Vec<f64>) -> (Vec<i64>, Vec<f64>) {
    let mut pairs: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
    pairs.sort_by_key(|(time, _)| *time);
    pairs.reverse();
    pairs.dedup_by_key(|(time, _)| *time);
    pairs.reverse();
    pairs.into_iter().unzip()
}

/// Samples of some rows, and their memory.
pub(super) struct Read {
    /// A series is wanted that matches all of any of these.
    selectors: Arc<Vec<Vec<Matcher>>>,
    wanted: Wanted,
    naming: Naming,
    /// What is known of a point's series, by `series_id`.
    places: HashMap<u64, usize>,
    known: Vec<Known>,
    pub(super) all: Vec<Column>,
    pub(super) held: Held,
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
    scale: Option<&'a PrimitiveArray<Int32Type>>,
    zero_count: Option<&'a PrimitiveArray<UInt64Type>>,
    zero_threshold: Option<&'a PrimitiveArray<Float64Type>>,
    positive: Side<'a>,
    negative: Side<'a>,
    temporality: Option<&'a PrimitiveArray<Int32Type>>,
    batch: &'a RecordBatch,
}

/// The buckets of one sign.
struct Side<'a> {
    offset: Option<&'a PrimitiveArray<Int32Type>>,
    counts: Option<&'a ListArray>,
}

/// A column that holds any value; one that holds none need not be looked at row by row.
fn filled<A: arrow::array::Array>(column: &A) -> bool {
    column.null_count() < column.len()
}

fn primitive<'a, T: ArrowPrimitiveType>(batch: &'a RecordBatch, name: &str) -> Option<&'a PrimitiveArray<T>> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt()).filter(|column| filled(*column))
}

fn list<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a ListArray> {
    batch.column_by_name(name).and_then(|column| column.as_list_opt()).filter(|column| filled(*column))
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
            scale: primitive(batch, "scale"),
            zero_count: primitive(batch, "zero_count"),
            zero_threshold: primitive(batch, "zero_threshold"),
            positive: Side {
                offset: primitive(batch, "positive_offset"),
                counts: list(batch, "positive_bucket_counts"),
            },
            negative: Side {
                offset: primitive(batch, "negative_offset"),
                counts: list(batch, "negative_bucket_counts"),
            },
            temporality: primitive(batch, "aggregation_temporality"),
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

impl Side<'_> {
    fn at(&self, row: usize) -> (i32, Vec<u64>) {
        let counts = items(self.counts, row).map(|counts| counts.as_primitive::<UInt64Type>().values().to_vec());
        (at(self.offset, row).unwrap_or_default(), counts.unwrap_or_default())
    }
}

impl Read {
    pub(super) fn new(selectors: Arc<Vec<Vec<Matcher>>>, wanted: Wanted, naming: Naming, held: Held) -> Self {
        Self { selectors, wanted, naming, places: HashMap::new(), known: Vec::new(), all: Vec::new(), held }
    }

    /// Takes the points of a batch.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = Columns::of(batch)?;
        let ids = columns.series.values();
        let mut row = 0;
        while row < ids.len() {
            let id = ids[row];
            let end = ids[row..].iter().position(|other| *other != id).map_or(ids.len(), |length| row + length);
            let place = match self.places.get(&id) {
                Some(place) => *place,
                None => {
                    self.known.push(describe(&columns, row, self.naming));
                    self.places.insert(id, self.known.len() - 1);
                    self.known.len() - 1
                }
            };
            let mut known = std::mem::take(&mut self.known[place]);
            // Points of one series lie together: most of them are numbers, and nothing else.
            if !self.numbers(&columns, row..end, &mut known) {
                for row in row..end {
                    self.point(&columns, row, &mut known);
                }
            }
            self.known[place] = known;
            row = end;
        }
        self.held.cover(self.all.iter().map(Column::bytes).sum::<usize>() + 256 * self.known.len())
    }

    /// Takes points that are plain numbers all at once; `false` when some are not.
    fn numbers(&mut self, columns: &Columns<'_>, rows: std::ops::Range<usize>, known: &mut Known) -> bool {
        let Some(values) = columns.value_double else { return false };
        let has_nulls = values.null_count() > 0 && rows.clone().any(|row| values.is_null(row));
        let has_flags =
            columns.flags.is_some_and(|flags| rows.clone().any(|row| flags.is_valid(row) && flags.value(row) != 0));
        if has_nulls || has_flags || columns.quantiles.is_some() || columns.count.is_some() {
            return false;
        }
        if let Some(place) = self.place(known, "", 0, || None) {
            let column = &mut self.all[place];
            let times = &columns.times.values()[rows.clone()];
            column.times.extend(times.iter().map(|time| time.div_euclid(1_000_000)));
            column.values.extend_from_slice(&values.values()[rows]);
        }
        true
    }

    fn point(&mut self, columns: &Columns<'_>, row: usize, known: &mut Known) {
        let time = columns.times.value(row).div_euclid(1_000_000);
        let has_none = at(columns.flags, row).is_some_and(|flags| flags & NO_RECORDED_VALUE != 0);
        let or_none = |value: f64| if has_none { ABSENT } else { value };
        let value = at(columns.value_double, row).or_else(|| at(columns.value_int, row).map(|value| value as f64));
        let count = at(columns.count, row);
        if known.is_exponential && self.wanted.native {
            self.native(columns, row, known, (time, has_none));
        }
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
                let label = || Some(("le", number(*bound)));
                self.sample(known, "_bucket", bound.to_bits(), label, time, or_none(below as f64));
            }
            let all = count.unwrap_or_else(|| counts.values().iter().sum());
            let infinity = f64::INFINITY;
            let label = || Some(("le", number(infinity)));
            self.sample(known, "_bucket", infinity.to_bits(), label, time, or_none(all as f64));
        }
    }

    /// Adds the native histogram of a point; one without a value ends the series.
    fn native(&mut self, columns: &Columns<'_>, row: usize, known: &mut Known, (time, has_none): (i64, bool)) {
        let Some(place) = self.place(known, "", 0, || None) else { return };
        if has_none {
            self.all[place].times.push(time);
            self.all[place].values.push(ABSENT);
            return;
        }
        let (positive, negative) = (columns.positive.at(row), columns.negative.at(row));
        let is_gauge = !matches!(at(columns.temporality, row), Some(1 | 2));
        let histogram = Native::of_point(
            (
                at(columns.scale, row).unwrap_or_default(),
                at(columns.count, row).unwrap_or_default() as f64,
                at(columns.sum, row).unwrap_or_default(),
            ),
            (
                at(columns.zero_count, row).unwrap_or_default() as f64,
                at(columns.zero_threshold, row).unwrap_or_default(),
            ),
            (positive.0, &positive.1),
            (negative.0, &negative.1),
            is_gauge,
        );
        self.all[place].histograms.push((time, Arc::new(histogram)));
    }

    /// The place of the series of a point that has this ending and label; `None` when it is not wanted.
    fn place(
        &mut self,
        known: &mut Known,
        ending: &'static str,
        key: u64,
        label: impl Fn() -> Option<(&'static str, String)>,
    ) -> Option<usize> {
        let found = known.places.iter().find(|(known, bits, _)| *known == ending && *bits == key);
        if let Some((_, _, place)) = found {
            return *place;
        }
        let mut labels = known.common.with(NAME, &format!("{}{ending}", known.name));
        if let Some((name, value)) = label() {
            labels = labels.with(name, &value);
        }
        let is_wanted = self.selectors.iter().any(|matchers| is_match(matchers, &labels));
        let place = is_wanted.then(|| {
            self.all.push(Column { labels, is_delta: known.is_delta, ..Column::default() });
            self.all.len() - 1
        });
        known.places.push((ending, key, place));
        place
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
        if let Some(place) = self.place(known, ending, key, label) {
            self.all[place].times.push(time);
            self.all[place].values.push(value);
        }
    }
}

/// The labels of a point's series without their name, and the name that they begin with.
pub(super) fn described(batch: &RecordBatch, row: usize) -> Result<(Labels, String), QueryError> {
    let known = describe(&Columns::of(batch)?, row, Naming::Translated);
    Ok((known.common, known.name))
}

/// What the series of a point have in common.
fn describe(columns: &Columns<'_>, row: usize, naming: Naming) -> Known {
    let batch = columns.batch;
    let is_monotonic = batch
        .column_by_name("is_monotonic")
        .and_then(|column| column.as_boolean_opt())
        .is_some_and(|flags: &BooleanArray| flags.is_valid(row) && flags.value(row));
    let kind = kind(columns.text("metric_type", row), is_monotonic);
    let name = columns.text("metric_name", row);
    // What Prometheus wrote is given back as it came.
    let is_verbatim = columns.text("scope_name", row) == PROMETHEUS_SCOPE;
    Known {
        common: if is_verbatim { own_labels(columns, row) } else { common_labels(columns, row, naming) },
        name: match naming {
            Naming::Translated if !is_verbatim => names::metric(name, columns.text("metric_unit", row), kind),
            _ => name.to_owned(),
        },
        is_delta: at(columns.temporality, row) == Some(DELTA),
        is_exponential: columns.text("metric_type", row) == "exponential_histogram",
        places: Vec::new(),
    }
}

pub(crate) fn kind(metric_type: &str, is_monotonic: bool) -> Kind {
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
fn common_labels(columns: &Columns<'_>, row: usize, naming: Naming) -> Labels {
    let label = |key: &str| match naming {
        Naming::Translated => names::label(key),
        Naming::Own => key.to_owned(),
    };
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
        add(label(key), &value.text());
    }
    let has = |key: &str, attributes: &[(String, AnyValue)]| attributes.iter().any(|(known, _)| label(known) == key);
    let resource = read_object(columns.text("resource_attributes", row));
    let of_resource =
        |key: &str| resource.iter().find(|(known, _)| known == key).map(|(_, value)| value.text()).unwrap_or_default();
    for promoted in PROMOTED_RESOURCE {
        let (name, value) = (label(promoted.key), columns.text(promoted.column, row));
        if !has(&name, &attributes) {
            add(name, value);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_put_in_order_and_differences_added_up() {
        let column = Column {
            times: vec![3, 1, 2, 2],
            values: vec![30.0, 10.0, 5.0, 20.0],
            is_delta: true,
            ..Column::default()
        };
        let samples = column.ordered();
        assert_eq!((&**samples.times, &*samples.values), (&[1, 2, 3][..], &[10.0, 30.0, 60.0][..]));
    }
}
