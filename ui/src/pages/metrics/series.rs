//! From points to lines: one line per series; counters as rates, histograms as a rate and a mean.

use super::{cell, moment};
use crate::chart::lines::Line;
use crate::parts::plain;
use mangru_query::SqlResult;
use serde_json::Value;
use std::collections::BTreeMap;

const LINES: usize = 12;
const COLOURS: usize = 12;

/// What a metric's points come to.
pub(super) struct Read {
    /// One chart, or two for histograms.
    pub(super) charts: Vec<Chart>,
    /// How many series there are.
    pub(super) series: usize,
    /// How many of them are not drawn.
    pub(super) left_out: usize,
}

/// Lines of one unit.
pub(super) struct Chart {
    /// What the lines say, with its unit.
    pub(super) what: String,
    /// The lines.
    pub(super) lines: Vec<Line>,
}

struct Point {
    time: i64,
    value: f64,
    count: f64,
    sum: f64,
}

#[derive(Default)]
struct Series {
    service: String,
    attributes: BTreeMap<String, String>,
    points: Vec<Point>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Values as they are.
    Value,
    /// A sum since a start: its growth is told.
    Cumulative,
    /// Sums of intervals: divided by the interval.
    Delta,
}

/// Reads the points (newest first) into lines.
pub(super) fn read(points: &SqlResult) -> Read {
    let mut by_id: BTreeMap<String, Series> = BTreeMap::new();
    for row in &points.rows {
        let Some(time) = moment(cell(points, row, "time")) else { continue };
        let number = |name: &str| cell(points, row, name).as_f64();
        let id = plain(cell(points, row, "series_id"));
        let series = by_id.entry(id).or_insert_with(|| Series {
            service: plain(cell(points, row, "service_name")),
            attributes: attributes(cell(points, row, "attributes")),
            points: Vec::new(),
        });
        series.points.push(Point {
            time,
            value: number("value_double").or_else(|| number("value_int")).unwrap_or(f64::NAN),
            count: number("count").unwrap_or(f64::NAN),
            sum: number("sum").unwrap_or(f64::NAN),
        });
    }
    let first = points.rows.first();
    let text = |name: &str| first.map(|row| plain(cell(points, row, name))).unwrap_or_default();
    let unit = text("metric_unit");
    let kind = text("metric_type");
    let is_monotonic = first.is_some_and(|row| cell(points, row, "is_monotonic").as_bool() == Some(true));
    let form = match text("aggregation_temporality").as_str() {
        "2" if is_monotonic || !kind.contains("sum") => Form::Cumulative,
        "1" => Form::Delta,
        _ => Form::Value,
    };
    let count = by_id.len();
    let mut series: Vec<Series> = by_id.into_values().collect();
    for one in &mut series {
        one.points.sort_by_key(|point| point.time);
    }
    // The largest are drawn: they are what is looked for first.
    let weight = |series: &Series| {
        series.points.last().map_or(0.0, |point| if point.value.is_nan() { point.count } else { point.value.abs() })
    };
    series.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    series.truncate(LINES);
    let per_second =
        if unit.is_empty() || unit.starts_with('{') { "per second".to_owned() } else { format!("{unit} per second") };
    let charts = if kind.contains("histogram") || kind == "summary" {
        let form = if kind == "summary" { Form::Cumulative } else { form };
        vec![
            Chart {
                what: "recorded values per second".to_owned(),
                lines: draw(&series, |points| rate(points, form, |point| point.count)),
            },
            Chart { what: with_unit("mean", &unit), lines: draw(&series, |points| mean(points, form)) },
        ]
    } else if form == Form::Value {
        vec![Chart {
            what: with_unit("value", &unit),
            lines: draw(&series, |points| points.iter().map(|point| (point.time, point.value)).collect()),
        }]
    } else {
        vec![Chart { what: per_second, lines: draw(&series, |points| rate(points, form, |point| point.value)) }]
    };
    Read { charts, series: count, left_out: count.saturating_sub(LINES) }
}

fn with_unit(what: &str, unit: &str) -> String {
    if unit.is_empty() || unit == "1" { what.to_owned() } else { format!("{what} in {unit}") }
}

fn attributes(value: &Value) -> BTreeMap<String, String> {
    let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    match parsed.as_ref().unwrap_or(value) {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), untyped(value))).collect(),
        _ => BTreeMap::new(),
    }
}

/// The text of a value, which the store may wrap in an object that names its type.
fn untyped(value: &Value) -> String {
    match value {
        Value::Object(members) if members.len() == 1 => members.values().next().map(plain).unwrap_or_default(),
        other => plain(other),
    }
}

fn draw(series: &[Series], values: impl Fn(&[Point]) -> Vec<(i64, f64)>) -> Vec<Line> {
    // Attributes that all series share say nothing about which is which.
    let is_telling = |key: &str, value: &str| {
        series.iter().any(|other| other.attributes.get(key).is_none_or(|theirs| theirs != value))
    };
    series
        .iter()
        .enumerate()
        .map(|(number, one)| {
            let pairs: Vec<String> = one
                .attributes
                .iter()
                .filter(|(key, value)| is_telling(key, value))
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let label =
                if pairs.is_empty() { one.service.clone() } else { format!("{} {}", one.service, pairs.join(" ")) };
            Line { label, class: format!("svc-{}", number % COLOURS), points: values(&one.points) }
        })
        .collect()
}

/// Growth per second between neighbours; a counter that started anew counts from zero.
fn rate(points: &[Point], form: Form, value: impl Fn(&Point) -> f64) -> Vec<(i64, f64)> {
    points
        .windows(2)
        .filter_map(|pair| {
            let seconds = (pair[1].time - pair[0].time) as f64 / 1e9;
            let (before, now) = (value(&pair[0]), value(&pair[1]));
            let growth = match form {
                Form::Cumulative if now >= before => now - before,
                _ => now,
            };
            (seconds > 0.0).then_some((pair[1].time, growth / seconds))
        })
        .collect()
}

/// The mean of what was recorded between neighbours.
fn mean(points: &[Point], form: Form) -> Vec<(i64, f64)> {
    if form == Form::Delta {
        return points
            .iter()
            .filter(|point| point.count > 0.0)
            .map(|point| (point.time, point.sum / point.count))
            .collect();
    }
    points
        .windows(2)
        .filter_map(|pair| {
            let has_restarted = pair[1].count < pair[0].count;
            let count = if has_restarted { pair[1].count } else { pair[1].count - pair[0].count };
            let sum = if has_restarted { pair[1].sum } else { pair[1].sum - pair[0].sum };
            (count > 0.0).then(|| (pair[1].time, sum / count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, count: f64, sum: f64) -> Point {
        Point { time: seconds * 1_000_000_000, value: count, count, sum }
    }

    #[test]
    fn a_counter_is_told_as_its_growth_also_over_a_restart() {
        let points = [at(0, 10.0, 0.0), at(10, 30.0, 0.0), at(20, 5.0, 0.0)];
        assert_eq!(
            rate(&points, Form::Cumulative, |point| point.value),
            [(10_000_000_000, 2.0), (20_000_000_000, 0.5)]
        );
        assert_eq!(rate(&points[..1], Form::Cumulative, |point| point.value), []);
    }

    #[test]
    fn the_mean_is_of_what_came_between() {
        let points = [at(0, 10.0, 100.0), at(10, 12.0, 160.0), at(20, 12.0, 160.0)];
        assert_eq!(mean(&points, Form::Cumulative), [(10_000_000_000, 30.0)]);
        assert_eq!(mean(&points[..1], Form::Delta), [(0, 10.0)]);
    }
}
