//! `ExportMetricsServiceRequest`.

use super::spans::{hex, json};
use super::{DecodeError, Decoded, effective, value};
use crate::columns::{self, Context, Dictionary, Numbers};
use crate::wire::{Fields, Wire, WireError};
use arrow::array::{ArrayRef, BooleanBuilder, ListBuilder, PrimitiveBuilder, StringBuilder, TimestampNanosecondArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};
use mangru_store::Signal;
use mangru_store::nested::Exemplar;
use mangru_store::value::{AnyValue, write_object};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The kinds of metrics by the number of their field in `Metric`.
const KINDS: &[(u32, &str)] =
    &[(5, "gauge"), (7, "sum"), (9, "histogram"), (10, "exponential_histogram"), (11, "summary")];

/// A column of lists whose rows are NULL until they are set.
struct Lists<T: ArrowPrimitiveType> {
    builder: ListBuilder<PrimitiveBuilder<T>>,
    rows: usize,
}

impl<T: ArrowPrimitiveType> Lists<T> {
    fn new(item: DataType) -> Self {
        let builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(Field::new("element", item, true));
        Self { builder, rows: 0 }
    }

    fn pad(&mut self, rows: usize) {
        while self.rows < rows {
            self.builder.append_null();
            self.rows += 1;
        }
    }

    fn set(&mut self, row: usize, items: &[T::Native]) {
        self.pad(row);
        self.builder.values().append_slice(items);
        self.builder.append(true);
        self.rows += 1;
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        Arc::new(self.builder.finish())
    }
}

/// What a `Metric` says of all its points.
#[derive(Default)]
pub(crate) struct Metric<'a> {
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) metadata: Option<Cow<'a, str>>,
    pub(crate) kind: u32,
    pub(crate) kind_name: &'static str,
    pub(crate) data: &'a [u8],
    pub(crate) temporality: Option<i32>,
    pub(crate) is_monotonic: Option<bool>,
}

/// A data point of any kind.
#[derive(Default)]
pub(crate) struct Point {
    pub(crate) time: u64,
    /// The time where 0 and times before 1970 mean themselves.
    pub(crate) exact_time: Option<i64>,
    /// Whether it is of a histogram that may fall.
    pub(crate) is_gauge: bool,
    pub(crate) start: u64,
    pub(crate) flags: u32,
    pub(crate) int: Option<i64>,
    pub(crate) double: Option<f64>,
    pub(crate) count: Option<u64>,
    pub(crate) sum: Option<f64>,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) bucket_counts: Option<Vec<u64>>,
    pub(crate) explicit_bounds: Option<Vec<f64>>,
    pub(crate) scale: Option<i32>,
    pub(crate) zero_count: Option<u64>,
    pub(crate) zero_threshold: Option<f64>,
    pub(crate) positive: Option<(i32, Vec<u64>)>,
    pub(crate) negative: Option<(i32, Vec<u64>)>,
    pub(crate) quantiles: Option<(Vec<f64>, Vec<f64>)>,
    pub(crate) attributes: Vec<(String, AnyValue)>,
    pub(crate) exemplars: Vec<Exemplar>,
}

/// The columns of metric points that are being decoded.
pub(crate) struct Columns {
    pub(crate) rows: usize,
    times: Vec<i64>,
    original: Numbers<UInt64Type>,
    start: Numbers<UInt64Type>,
    name: Dictionary,
    description: Dictionary,
    unit: Dictionary,
    metadata: Dictionary,
    kind: Dictionary,
    temporality: Numbers<Int32Type>,
    is_monotonic: BooleanBuilder,
    series: Vec<u64>,
    attributes: Dictionary,
    flags: Numbers<UInt32Type>,
    value_int: Numbers<Int64Type>,
    value_double: Numbers<Float64Type>,
    count: Numbers<UInt64Type>,
    sum: Numbers<Float64Type>,
    min: Numbers<Float64Type>,
    max: Numbers<Float64Type>,
    bucket_counts: Lists<UInt64Type>,
    explicit_bounds: Lists<Float64Type>,
    scale: Numbers<Int32Type>,
    zero_count: Numbers<UInt64Type>,
    zero_threshold: Numbers<Float64Type>,
    positive_offset: Numbers<Int32Type>,
    positive_counts: Lists<UInt64Type>,
    negative_offset: Numbers<Int32Type>,
    negative_counts: Lists<UInt64Type>,
    quantiles: Lists<Float64Type>,
    quantile_values: Lists<Float64Type>,
    exemplars: StringBuilder,
    pub(crate) context: Context,
    scratch: String,
}

/// Decodes the request into a batch of metric points.
pub(super) fn decode(message: &[u8], arrival: u64) -> Result<Decoded, DecodeError> {
    let mut points = Columns::new();
    let mut rejected = 0;
    let mut services: BTreeMap<String, u64> = BTreeMap::new();
    columns::each_message(message, 1, |resource| {
        let before = points.rows;
        points.context.enter_resource(resource)?;
        columns::each_message(resource, 2, |scope| {
            points.context.enter_scope(scope)?;
            columns::each_message(scope, 2, |message| {
                let metric = metric(message)?;
                if metric.kind == 0 {
                    // A metric of a kind that is not known, or with no data at all.
                    rejected +=
                        u64::from(!metric.name.is_empty() && metric.data.is_empty() && has_unknown_kind(message)?);
                    return Ok(());
                }
                columns::each_message(metric.data, 1, |message| {
                    super::check_room(points.rows)?;
                    let point = point(metric.kind, message)?;
                    points.add(&metric, &point, arrival);
                    Ok(())
                })
            })
        })?;
        if points.rows > before {
            *services.entry(points.context.service_name.clone()).or_default() += (points.rows - before) as u64;
        }
        Ok(())
    })?;
    let message =
        if rejected > 0 { format!("{rejected} metrics refused: their kind is not known") } else { String::new() };
    let batch = points.finish().map_err(DecodeError::Columns)?;
    Ok(Decoded { batch, rejected, message, warnings: BTreeMap::new(), services })
}

fn has_unknown_kind(message: &[u8]) -> Result<bool, WireError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if !matches!(number, 1 | 2 | 3 | 12) && matches!(value, Wire::Bytes(_)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn metric(message: &[u8]) -> Result<Metric<'_>, WireError> {
    let mut metric = Metric::default();
    let mut metadata: Vec<(String, AnyValue)> = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => metric.name = value.text()?,
            2 => metric.description = value.text()?,
            3 => metric.unit = value.text()?,
            12 => metadata.push(value::key_value(value.message()?)?),
            _ => {
                if let Some((kind, name)) = KINDS.iter().find(|(kind, _)| *kind == number) {
                    metric.kind = *kind;
                    metric.kind_name = name;
                    metric.data = value.message()?;
                }
            }
        }
    }
    if matches!(metric.kind, 7 | 9 | 10) {
        metric.temporality = Some(0);
        metric.is_monotonic = (metric.kind == 7).then_some(false);
        let mut fields = Fields::new(metric.data);
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => metric.temporality = Some(value.int32()?),
                3 if metric.kind == 7 => metric.is_monotonic = Some(value.varint()? != 0),
                _ => {}
            }
        }
    }
    if !metadata.is_empty() {
        let mut json = String::new();
        write_object(&metadata, &mut json);
        metric.metadata = Some(Cow::Owned(json));
    }
    Ok(metric)
}

fn point(kind: u32, message: &[u8]) -> Result<Point, WireError> {
    let mut point = Point::default();
    match kind {
        9 => (point.count, point.bucket_counts, point.explicit_bounds) = (Some(0), Some(Vec::new()), Some(Vec::new())),
        10 => {
            (point.count, point.scale, point.zero_count) = (Some(0), Some(0), Some(0));
        }
        11 => (point.count, point.sum) = (Some(0), Some(0.0)),
        _ => {}
    }
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match (kind, number) {
            (_, 2) => point.start = value.fixed64()?,
            (_, 3) => point.time = value.fixed64()?,
            // NumberDataPoint
            (5 | 7, 4) => (point.double, point.int) = (Some(value.double()?), None),
            (5 | 7, 6) => (point.int, point.double) = (Some(value.fixed64()? as i64), None),
            (5 | 7 | 11, 7) | (9, 9) | (10, 1) => point.attributes.push(value::key_value(value.message()?)?),
            (5 | 7, 5) | (9, 8) | (10, 11) => point.exemplars.push(exemplar(value.message()?)?),
            (5 | 7 | 11, 8) | (9 | 10, 10) => point.flags = value.varint()? as u32,
            // HistogramDataPoint, ExponentialHistogramDataPoint, SummaryDataPoint
            (9..=11, 4) => point.count = Some(value.fixed64()?),
            (9..=11, 5) => point.sum = Some(value.double()?),
            (9, 6) => value.each_fixed64(|count| point.bucket_counts.get_or_insert_default().push(count))?,
            (9, 7) => {
                value.each_fixed64(|bits| point.explicit_bounds.get_or_insert_default().push(f64::from_bits(bits)))?;
            }
            (9, 11) | (10, 12) => point.min = Some(value.double()?),
            (9, 12) | (10, 13) => point.max = Some(value.double()?),
            (10, 6) => point.scale = Some(value.sint32()?),
            (10, 7) => point.zero_count = Some(value.fixed64()?),
            (10, 8) => point.positive = Some(buckets(value.message()?)?),
            (10, 9) => point.negative = Some(buckets(value.message()?)?),
            (10, 14) => point.zero_threshold = Some(value.double()?),
            (11, 6) => {
                let (mut quantile, mut number) = (0.0, 0.0);
                let mut fields = Fields::new(value.message()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => quantile = value.double()?,
                        2 => number = value.double()?,
                        _ => {}
                    }
                }
                let (quantiles, values) = point.quantiles.get_or_insert_default();
                quantiles.push(quantile);
                values.push(number);
            }
            _ => {}
        }
    }
    Ok(point)
}

fn buckets(message: &[u8]) -> Result<(i32, Vec<u64>), WireError> {
    let mut offset = 0;
    let mut counts = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => offset = value.sint32()?,
            2 => value.each_varint(|count| counts.push(count))?,
            _ => {}
        }
    }
    Ok((offset, counts))
}

fn exemplar(message: &[u8]) -> Result<Exemplar, WireError> {
    let mut exemplar = Exemplar { time_unix_nano: "0".to_owned(), ..Exemplar::default() };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            2 => exemplar.time_unix_nano = value.fixed64()?.to_string(),
            3 => exemplar.value = AnyValue::Double(value.double()?),
            4 => exemplar.span_id = hex(value.message()?),
            5 => exemplar.trace_id = hex(value.message()?),
            6 => exemplar.value = AnyValue::Int(value.fixed64()? as i64),
            7 => exemplar.filtered_attributes.push(value::key_value(value.message()?)?),
            _ => {}
        }
    }
    Ok(exemplar)
}

impl Columns {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            times: Vec::new(),
            original: Numbers::new(),
            start: Numbers::new(),
            name: Dictionary::default(),
            description: Dictionary::default(),
            unit: Dictionary::default(),
            metadata: Dictionary::default(),
            kind: Dictionary::default(),
            temporality: Numbers::new(),
            is_monotonic: BooleanBuilder::new(),
            series: Vec::new(),
            attributes: Dictionary::default(),
            flags: Numbers::new(),
            value_int: Numbers::new(),
            value_double: Numbers::new(),
            count: Numbers::new(),
            sum: Numbers::new(),
            min: Numbers::new(),
            max: Numbers::new(),
            bucket_counts: Lists::new(DataType::UInt64),
            explicit_bounds: Lists::new(DataType::Float64),
            scale: Numbers::new(),
            zero_count: Numbers::new(),
            zero_threshold: Numbers::new(),
            positive_offset: Numbers::new(),
            positive_counts: Lists::new(DataType::UInt64),
            negative_offset: Numbers::new(),
            negative_counts: Lists::new(DataType::UInt64),
            quantiles: Lists::new(DataType::Float64),
            quantile_values: Lists::new(DataType::Float64),
            exemplars: StringBuilder::new(),
            context: Context::new(),
            scratch: String::new(),
        }
    }

    /// Adds a point below the resource and scope that were entered last.
    pub(crate) fn add(&mut self, metric: &Metric<'_>, point: &Point, arrival: u64) {
        let row = self.rows;
        let (time, original) = match point.exact_time {
            Some(time) => (time, None),
            None => effective(point.time, arrival),
        };
        self.times.push(time);
        if let Some(original) = original {
            self.original.set(row, original);
        }
        if point.start != 0 {
            self.start.set(row, point.start);
        }
        self.name.set(row, metric.name);
        for (column, text) in [(&mut self.description, metric.description), (&mut self.unit, metric.unit)] {
            if !text.is_empty() {
                column.set(row, text);
            }
        }
        if let Some(metadata) = &metric.metadata {
            self.metadata.set(row, metadata);
        }
        self.kind.set(row, metric.kind_name);
        if let Some(temporality) = metric.temporality {
            self.temporality.set(row, temporality);
        }
        self.is_monotonic.append_option(metric.is_monotonic);
        self.scratch.clear();
        write_object(&point.attributes, &mut self.scratch);
        self.attributes.set(row, &self.scratch);
        let mut hasher = Xxh3::new();
        for text in [
            metric.name,
            metric.kind_name,
            metric.unit,
            &self.context.resource_json,
            &self.context.scope_text,
            &self.scratch,
        ] {
            hasher.update(text.as_bytes());
            hasher.update(&[0]);
        }
        self.series.push(hasher.digest());
        macro_rules! set {
            ($($column:ident = $value:expr),* $(,)?) => {
                $(if let Some(value) = $value { self.$column.set(row, value); })*
            };
        }
        set!(
            flags = Some(point.flags).filter(|flags| *flags != 0),
            value_int = point.int,
            value_double = point.double,
            count = point.count,
            sum = point.sum,
            min = point.min,
            max = point.max,
            bucket_counts = point.bucket_counts.as_deref(),
            explicit_bounds = point.explicit_bounds.as_deref(),
            scale = point.scale,
            zero_count = point.zero_count,
            zero_threshold = point.zero_threshold,
            positive_offset = point.positive.as_ref().map(|(offset, _)| *offset),
            positive_counts = point.positive.as_ref().map(|(_, counts)| counts.as_slice()),
            negative_offset = point.negative.as_ref().map(|(offset, _)| *offset),
            negative_counts = point.negative.as_ref().map(|(_, counts)| counts.as_slice()),
            quantiles = point.quantiles.as_ref().map(|(quantiles, _)| quantiles.as_slice()),
            quantile_values = point.quantiles.as_ref().map(|(_, values)| values.as_slice()),
        );
        self.exemplars.append_option(json(&point.exemplars));
        self.context.row(row);
        self.rows += 1;
    }

    /// The points as a batch.
    pub(crate) fn finish(self) -> Result<mangru_store::SignalBatch, String> {
        let Self { rows, mut is_monotonic, mut exemplars, .. } = self;
        let mut columns: HashMap<&'static str, ArrayRef> = HashMap::new();
        columns.insert("time", Arc::new(TimestampNanosecondArray::from(self.times).with_timezone("UTC")));
        columns.insert("original_time_unix_nano", self.original.finish(rows));
        columns.insert("start_time_unix_nano", self.start.finish(rows));
        columns.insert("metric_name", self.name.finish(rows));
        columns.insert("metric_description", self.description.finish(rows));
        columns.insert("metric_unit", self.unit.finish(rows));
        columns.insert("metric_metadata", self.metadata.finish(rows));
        columns.insert("metric_type", self.kind.finish(rows));
        columns.insert("aggregation_temporality", self.temporality.finish(rows));
        columns.insert("is_monotonic", Arc::new(is_monotonic.finish()));
        columns.insert("series_id", Arc::new(arrow::array::UInt64Array::from(self.series)));
        columns.insert("attributes", self.attributes.finish(rows));
        columns.insert("flags", self.flags.finish(rows));
        columns.insert("value_int", self.value_int.finish(rows));
        columns.insert("value_double", self.value_double.finish(rows));
        columns.insert("count", self.count.finish(rows));
        columns.insert("sum", self.sum.finish(rows));
        columns.insert("min", self.min.finish(rows));
        columns.insert("max", self.max.finish(rows));
        columns.insert("bucket_counts", self.bucket_counts.finish(rows));
        columns.insert("explicit_bounds", self.explicit_bounds.finish(rows));
        columns.insert("scale", self.scale.finish(rows));
        columns.insert("zero_count", self.zero_count.finish(rows));
        columns.insert("zero_threshold", self.zero_threshold.finish(rows));
        columns.insert("positive_offset", self.positive_offset.finish(rows));
        columns.insert("positive_bucket_counts", self.positive_counts.finish(rows));
        columns.insert("negative_offset", self.negative_offset.finish(rows));
        columns.insert("negative_bucket_counts", self.negative_counts.finish(rows));
        columns.insert("quantiles", self.quantiles.finish(rows));
        columns.insert("quantile_values", self.quantile_values.finish(rows));
        columns.insert("exemplars", Arc::new(exemplars.finish()));
        self.context.finish(rows, &mut columns);
        columns::batch(Signal::MetricPoints, rows, columns)
    }
}
