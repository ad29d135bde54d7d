//! Metric points as OTLP JSON.

use super::{any_value, attributes, own_time, set};
use crate::cells::Cells;
use mangru_store::nested::{self, Exemplar};
use mangru_store::value::AnyValue;
use serde_json::{Map, Value as Json, json};

/// The points of one scope by metric.
pub(super) fn metrics(cells: &Cells<'_>, rows: &[usize]) -> Vec<Json> {
    let mut metrics: Vec<(Vec<String>, usize, Vec<Json>)> = Vec::new();
    for row in rows.iter().copied() {
        let mut key: Vec<String> =
            ["metric_name", "metric_description", "metric_unit", "metric_metadata", "metric_type"]
                .map(|name| cells.text(name, row).unwrap_or_default().to_owned())
                .to_vec();
        key.push(format!("{:?}", cells.integer("aggregation_temporality", row)));
        key.push(format!("{:?}", cells.boolean("is_monotonic", row)));
        let point = point(cells, row);
        match metrics.iter_mut().find(|(known, _, _)| *known == key) {
            Some((_, _, points)) => points.push(point),
            None => metrics.push((key, row, vec![point])),
        }
    }
    metrics.into_iter().map(|(_, row, points)| metric(cells, row, points)).collect()
}

fn metric(cells: &Cells<'_>, row: usize, points: Vec<Json>) -> Json {
    let text = |name: &str| cells.text(name, row).unwrap_or_default().to_owned();
    let mut metric = Map::new();
    set(&mut metric, "name", text("metric_name").into());
    set(&mut metric, "description", text("metric_description").into());
    set(&mut metric, "unit", text("metric_unit").into());
    let mut data = Map::new();
    data.insert("dataPoints".to_owned(), Json::Array(points));
    if let Some(temporality) = cells.integer("aggregation_temporality", row) {
        set(&mut data, "aggregationTemporality", temporality.into());
    }
    if let Some(is_monotonic) = cells.boolean("is_monotonic", row) {
        set(&mut data, "isMonotonic", is_monotonic.into());
    }
    let kind = match cells.text("metric_type", row).unwrap_or_default() {
        "sum" => "sum",
        "histogram" => "histogram",
        "exponential_histogram" => "exponentialHistogram",
        "summary" => "summary",
        _ => "gauge",
    };
    metric.insert(kind.to_owned(), Json::Object(data));
    set(&mut metric, "metadata", Json::Array(attributes(&cells.object("metric_metadata", row))));
    Json::Object(metric)
}

/// A double, also one that JSON has no number for.
fn double(number: f64) -> Json {
    if number.is_finite() { json!(number) } else { AnyValue::Double(number).text().into() }
}

fn whole_numbers(numbers: &[u64]) -> Json {
    numbers.iter().map(|number| Json::from(number.to_string())).collect()
}

fn buckets(cells: &Cells<'_>, row: usize, offset: &str, counts: &str) -> Json {
    let (Some(offset), Some(counts)) = (cells.integer(offset, row), cells.unsigned_list(counts, row)) else {
        return Json::Null;
    };
    let mut buckets = Map::new();
    set(&mut buckets, "offset", offset.into());
    set(&mut buckets, "bucketCounts", whole_numbers(&counts));
    Json::Object(buckets)
}

fn point(cells: &Cells<'_>, row: usize) -> Json {
    let mut point = Map::new();
    set(&mut point, "attributes", Json::Array(attributes(&cells.object("attributes", row))));
    if let Some(start) = cells.unsigned("start_time_unix_nano", row) {
        point.insert("startTimeUnixNano".to_owned(), start.to_string().into());
    }
    point.insert("timeUnixNano".to_owned(), own_time(cells, row).to_string().into());
    if let Some(number) = cells.integer("value_int", row) {
        point.insert("asInt".to_owned(), number.to_string().into());
    }
    let kind = cells.text("metric_type", row).unwrap_or_default();
    for (name, column) in [("asDouble", "value_double"), ("sum", "sum"), ("min", "min"), ("max", "max")] {
        if let Some(number) = cells.double(column, row) {
            point.insert(name.to_owned(), double(number));
        }
    }
    for (name, column) in [("count", "count"), ("zeroCount", "zero_count")] {
        if let Some(number) = cells.unsigned(column, row) {
            point.insert(name.to_owned(), number.to_string().into());
        }
    }
    if kind == "histogram" {
        set(&mut point, "bucketCounts", whole_numbers(&cells.unsigned_list("bucket_counts", row).unwrap_or_default()));
        let bounds = cells.double_list("explicit_bounds", row).unwrap_or_default();
        set(&mut point, "explicitBounds", bounds.into_iter().map(double).collect());
    }
    if let Some(scale) = cells.integer("scale", row) {
        point.insert("scale".to_owned(), scale.into());
    }
    if let Some(threshold) = cells.double("zero_threshold", row) {
        point.insert("zeroThreshold".to_owned(), double(threshold));
    }
    for (name, offset, counts) in [
        ("positive", "positive_offset", "positive_bucket_counts"),
        ("negative", "negative_offset", "negative_bucket_counts"),
    ] {
        let buckets = buckets(cells, row, offset, counts);
        if !buckets.is_null() {
            point.insert(name.to_owned(), buckets);
        }
    }
    if let (Some(quantiles), Some(values)) =
        (cells.double_list("quantiles", row), cells.double_list("quantile_values", row))
    {
        let values = quantiles.into_iter().zip(values);
        let values = values.map(|(quantile, value)| json!({ "quantile": double(quantile), "value": double(value) }));
        point.insert("quantileValues".to_owned(), values.collect());
    }
    set(&mut point, "flags", cells.integer("flags", row).unwrap_or_default().into());
    set(&mut point, "exemplars", Json::Array(exemplars(cells.text("exemplars", row))));
    Json::Object(point)
}

fn exemplars(stored: Option<&str>) -> Vec<Json> {
    let exemplars: Vec<Exemplar> = nested::read(stored);
    exemplars
        .into_iter()
        .map(|exemplar| {
            let mut object = Map::new();
            set(&mut object, "filteredAttributes", Json::Array(attributes(&exemplar.filtered_attributes)));
            object.insert("timeUnixNano".to_owned(), exemplar.time_unix_nano.into());
            match &exemplar.value {
                AnyValue::Int(number) => object.insert("asInt".to_owned(), number.to_string().into()),
                AnyValue::Double(number) => object.insert("asDouble".to_owned(), double(*number)),
                other => Some(any_value(other)),
            };
            set(&mut object, "spanId", exemplar.span_id.into());
            set(&mut object, "traceId", exemplar.trace_id.into());
            Json::Object(object)
        })
        .collect()
}
