//! Fixtures of tests: series as promtool writes them, log lines and spans in YAML, and the store that they are put into.

use crate::duration;
use crate::machine::Labels;
use crate::rows::{self, Cell, Row};
use mangru_query::{PromQl, QueryService, QuerySettings};
use mangru_store::value::AnyValue;
use mangru_store::{Signal, Store, StoreConfig, TraceId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples or rows of one fixture.
const MAX_ROWS: usize = 1_000_000;

/// A series.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesFields {
    pub(super) series: String,
    pub(super) values: String,
}

/// Log lines, one or many at even distances.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogFields {
    at: String,
    every: Option<String>,
    until: Option<String>,
    service: String,
    severity: Option<String>,
    body: String,
    attributes: BTreeMap<String, serde_json::Value>,
    resource: BTreeMap<String, serde_json::Value>,
    trace_id: Option<String>,
}

/// Spans, one or many at even distances.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SpanFields {
    at: String,
    every: Option<String>,
    until: Option<String>,
    service: String,
    name: String,
    kind: Option<String>,
    duration: Option<String>,
    status: Option<String>,
    attributes: BTreeMap<String, serde_json::Value>,
    resource: BTreeMap<String, serde_json::Value>,
    trace_id: Option<String>,
}

/// A store of its own, gone with it.
pub(super) struct Scratch {
    pub(super) store: Arc<Store>,
    pub(super) query: Arc<QueryService>,
    _folder: tempfile::TempDir,
}

impl Scratch {
    pub(super) async fn open() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
        let config =
            StoreConfig { data_dir: folder.path().to_owned(), disk_reserve_bytes: 0, ..StoreConfig::default() };
        let store = Store::open(config).await.map_err(|error| error.to_string())?;
        let query = QueryService::new(Arc::clone(&store), QuerySettings::default());
        Ok(Self { store, query, _folder: folder })
    }

    pub(super) async fn append(&self, signal: Signal, rows: &[Row]) -> Result<(), String> {
        for chunk in rows.chunks(10_000) {
            self.store.append(rows::batch(signal, chunk)?).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// The labels of a series, its name among them.
pub(super) fn series_labels(text: &str) -> Result<Labels, String> {
    let expr = PromQl::parse(text).map_err(|error| error.to_string())?;
    expr.series().ok_or_else(|| format!("`{text}` is not a series such as up{{job=\"web\"}}"))
}

/// The samples of a series; none where there is none, and none as value where it ends.
pub(super) fn samples(fields: &SeriesFields, interval_ms: i64) -> Result<Vec<Row>, String> {
    let labels = series_labels(&fields.series)?;
    let values = values(&fields.values)?;
    let rows = values.into_iter().enumerate().filter_map(|(place, value)| {
        let time_ms = place as i64 * interval_ms;
        match value {
            Point::None => None,
            Point::End => Some(rows::point(&labels, time_ms, None)),
            Point::Value(value) => Some(rows::point(&labels, time_ms, Some(value))),
        }
    });
    Ok(rows.collect())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    None,
    End,
    Value(f64),
}

/// Reads promtool's notation: `1+2x3` is 1 3 5 7, `4x2` is 4 4 4, `_x3` are three gaps, `stale` ends the series.
fn values(text: &str) -> Result<Vec<Point>, String> {
    let mut all = Vec::new();
    for word in text.split_whitespace() {
        let wrong = || format!("`{word}` in `{text}` is not a value such as 1, 1+2x3, 5x10, _, stale");
        if word.starts_with("{{") {
            return Err(format!("`{word}`: native histograms are not supported"));
        }
        if word == "stale" {
            all.push(Point::End);
            continue;
        }
        let (start, times) = match word.rsplit_once('x') {
            Some((start, times)) => (start, Some(times.parse::<usize>().map_err(|_| wrong())?)),
            None => (word, None),
        };
        if all.len() + times.unwrap_or(1) > MAX_ROWS {
            return Err(format!("`{word}` makes more than {MAX_ROWS} samples"));
        }
        if start == "_" {
            all.extend(std::iter::repeat_n(Point::None, times.unwrap_or(1)));
            continue;
        }
        // A sign that is not the first, and does not belong to an exponent, begins the step.
        let bytes = start.as_bytes();
        let step_at =
            (1..bytes.len()).find(|at| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E'));
        let (first, step) = step_at.map_or((start, "0"), |at| start.split_at(at));
        let number = |text: &str| text.trim_start_matches('+').parse::<f64>().map_err(|_| wrong());
        let (first, step) = (number(first)?, number(step)?);
        if times.is_none() && step_at.is_some() {
            return Err(wrong());
        }
        all.extend((0..=times.unwrap_or(0)).map(|place| Point::Value(first + step * place as f64)));
    }
    Ok(all)
}

/// The moments of a fixture, in milliseconds.
fn moments(at: &str, every: Option<&String>, until: Option<&String>) -> Result<Vec<i64>, String> {
    let first = if at.is_empty() { 0 } else { duration::parse(at)? };
    match (every, until) {
        (None, None) => Ok(vec![first]),
        (Some(every), Some(until)) => {
            let (every, until) = (duration::parse(every)?, duration::parse(until)?);
            if every <= 0 || (until - first) / every > MAX_ROWS as i64 {
                return Err(format!("`every` makes more than {MAX_ROWS} rows"));
            }
            let count = if until < first { 0 } else { (until - first) / every + 1 };
            Ok((0..count).map(|place| first + place * every).collect())
        }
        _ => Err("`every` and `until` stand together".to_owned()),
    }
}

fn any_values(all: &BTreeMap<String, serde_json::Value>) -> Vec<(String, AnyValue)> {
    all.iter().map(|(key, value)| (key.clone(), AnyValue::from_json(value))).collect()
}

fn resource(service: &str, others: &BTreeMap<String, serde_json::Value>) -> Vec<(String, AnyValue)> {
    let service = if service.is_empty() { mangru_store::UNKNOWN_SERVICE } else { service };
    let mut all = vec![("service.name".to_owned(), AnyValue::String(service.to_owned()))];
    all.extend(any_values(others));
    all
}

/// Bytes that are the same for the same text, and never all zero.
fn seeded(seed: &str) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(seed.as_bytes()).max(1).to_be_bytes()
}

fn trace_id(hex: &str) -> Result<Cell, String> {
    let id = TraceId::from_hex(hex).ok_or_else(|| format!("trace_id `{hex}` is not 32 hex digits, not all zero"))?;
    Ok(Cell::Bytes(id.0.to_vec()))
}

/// The rows of log lines.
pub(super) fn logs(fields: &LogFields) -> Result<Vec<Row>, String> {
    const LEVELS: [(&str, i64); 7] =
        [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("warning", 13), ("error", 17), ("fatal", 21)];
    let severity = fields.severity.as_deref().unwrap_or("info");
    let level = LEVELS.iter().find(|(name, _)| severity.eq_ignore_ascii_case(name));
    let (_, number) =
        level.ok_or_else(|| format!("severity `{severity}` is not trace, debug, info, warn, error or fatal"))?;
    let make = |time_ms: i64| {
        let mut row = Row::default();
        row.integer("time", time_ms * 1_000_000)
            .integer("severity_number", *number)
            .text("severity_text", severity.to_uppercase())
            .text("body", fields.body.as_str())
            .text("body_type", "s")
            .resource(&resource(&fields.service, &fields.resource));
        if let Some(hex) = &fields.trace_id {
            row.set("trace_id", trace_id(hex)?);
        }
        finish(&mut row, &fields.attributes);
        Ok(row)
    };
    moments(&fields.at, fields.every.as_ref(), fields.until.as_ref())?.into_iter().map(make).collect()
}

/// The rows of spans.
pub(super) fn spans(fields: &SpanFields) -> Result<Vec<Row>, String> {
    const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    const STATUS: [&str; 3] = ["unset", "ok", "error"];
    let place = |names: &[&str], given: &str, what: &str| {
        let found = names.iter().position(|name| given.eq_ignore_ascii_case(name));
        found.map(|place| place as i64).ok_or_else(|| format!("{what} `{given}` is not one of {}", names.join(", ")))
    };
    let kind = place(&KINDS, fields.kind.as_deref().unwrap_or("server"), "kind")?;
    let status = place(&STATUS, fields.status.as_deref().unwrap_or("unset"), "status")?;
    let took_ms = fields.duration.as_deref().map_or(Ok(1), duration::parse)?;
    let make = |time_ms: i64| {
        let seed = format!("{};{};{time_ms}", fields.service, fields.name);
        let mut row = Row::default();
        row.integer("time", time_ms * 1_000_000)
            .integer("duration_ns", took_ms * 1_000_000)
            .set(
                "trace_id",
                fields
                    .trace_id
                    .as_ref()
                    .map_or_else(|| Ok(Cell::Bytes(seeded(&seed).to_vec())), |hex| trace_id(hex))?,
            )
            .set("span_id", Cell::Bytes(seeded(&seed)[8..].to_vec()))
            .text("name", fields.name.as_str())
            .integer("kind", kind)
            .integer("status_code", status)
            .resource(&resource(&fields.service, &fields.resource));
        finish(&mut row, &fields.attributes);
        Ok(row)
    };
    moments(&fields.at, fields.every.as_ref(), fields.until.as_ref())?.into_iter().map(make).collect()
}

fn finish(row: &mut Row, attributes: &BTreeMap<String, serde_json::Value>) {
    for (key, value) in any_values(attributes) {
        row.attribute(&key, value);
    }
    let letters = rows::letters(&row.attributes);
    if !letters.is_empty() {
        row.text("attribute_types", letters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_promtool_reads_them() {
        let numbers = |text: &str| -> Vec<f64> {
            let all = values(text).expect(text).into_iter();
            all.map(|point| match point {
                Point::Value(value) => value,
                Point::None => -1.0,
                Point::End => -2.0,
            })
            .collect()
        };
        assert_eq!(numbers("1+2x3 5"), [1.0, 3.0, 5.0, 7.0, 5.0]);
        assert_eq!(numbers("4x2 _ _x2 stale"), [4.0, 4.0, 4.0, -1.0, -1.0, -1.0, -2.0]);
        assert_eq!(numbers("10-5x2 1e3"), [10.0, 5.0, 0.0, 1000.0]);
        assert_eq!(numbers("-1-1x1"), [-1.0, -2.0]);
        for wrong in ["x", "1+2", "1xmany", "{{schema:1}}", "many"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }
}
