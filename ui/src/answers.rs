//! Answers of the three query languages as what charts and tables show: series of labels and values.

mod buckets;

pub(crate) use buckets::rows_of_buckets;
use mangru_query::{
    CountRequest, Coverage, Figures, PromQlRequest, PromQlSeries, PromQlValue, QueryError, QueryService, SqlRequest,
    SqlResult, StatsRequest,
};
use mangru_store::{Signal, TimeRange};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Values over the width of a chart.
pub(crate) const STEPS: i64 = 180;
/// Rows of SQL that become series.
const SQL_ROWS: usize = 10_000;
/// The label under which the column of a value goes, and the figure of a search.
pub(crate) const VALUE: &str = "value";
/// The name of all groups of a search beyond the most frequent ones.
pub(crate) const OTHERS: &str = "(others)";

/// Labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

/// One series with its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Labelled {
    /// What tells it from others.
    pub(crate) labels: Labels,
    /// Moments in nanoseconds since the Unix epoch, and values.
    pub(crate) points: Vec<(i64, f64)>,
}

/// Series over a range.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The series.
    pub(crate) series: Vec<Labelled>,
    /// The time between values; 0 where it varies.
    pub(crate) step_ns: i64,
    /// What was looked at.
    pub(crate) coverage: Coverage,
}

/// A bucket width that cuts the range in about `buckets` pieces of a round length.
pub(crate) fn round_step(length_ns: i64, buckets: i64) -> Duration {
    const ROUND: [u64; 17] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
    let wanted = (length_ns / buckets.max(1)).max(0) as u64;
    if wanted < 1_000_000_000 {
        let milliseconds = [1_u64, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
        let fit = milliseconds.into_iter().find(|ms| ms * 1_000_000 >= wanted).unwrap_or(1000);
        return Duration::from_millis(fit);
    }
    let seconds = ROUND.into_iter().find(|s| s * 1_000_000_000 >= wanted);
    Duration::from_secs(seconds.unwrap_or(wanted / 1_000_000_000 / 86400 * 86400 + 86400))
}

/// The step of charts over a range.
pub(crate) fn step_ns(range: TimeRange) -> i64 {
    let length = range.end.saturating_sub(range.start);
    i64::try_from(round_step(length, STEPS).as_nanos()).unwrap_or(i64::MAX).max(1_000_000)
}

/// Evaluates PromQL at each step of a range.
pub(crate) async fn promql(query: &QueryService, text: &str, range: TimeRange) -> Result<Answer, QueryError> {
    let step_ns = step_ns(range).max(1_000_000_000);
    let step = step_ns / 1_000_000;
    // Steps stand at whole multiples, so that a picture does not tremble when it is drawn again.
    let start = range.start.div_euclid(step_ns).saturating_mul(step);
    let end = range.end.div_euclid(1_000_000);
    let request = PromQlRequest { query: text.to_owned(), start, end, step: Some(step), lookback: None };
    let answer = query.promql(&request).await.map_err(|error| placed(text, error))?;
    let series = match answer.value {
        PromQlValue::Matrix(series) | PromQlValue::Vector(series) => series.into_iter().map(labelled).collect(),
        PromQlValue::Scalar(at, value) => {
            vec![Labelled { labels: Labels::new(), points: vec![(at.saturating_mul(1_000_000), value)] }]
        }
        PromQlValue::Text(..) => Vec::new(),
    };
    Ok(Answer { series, step_ns, coverage: answer.coverage })
}

/// An error of PromQL with the place where it lies.
pub(crate) fn placed(text: &str, error: QueryError) -> QueryError {
    let position = error.position.or_else(|| crate::promql_fault::position(text, &error.message));
    QueryError { position, ..error }
}

fn labelled((labels, points): PromQlSeries) -> Labelled {
    let labels = match labels {
        Value::Object(members) => {
            members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
        }
        _ => Labels::new(),
    };
    Labelled { labels, points: points.into_iter().map(|(at, value)| (at.saturating_mul(1_000_000), value)).collect() }
}

/// What is asked of the rows that a search finds.
#[derive(Clone, Debug)]
pub(crate) struct Search<'a> {
    /// The search.
    pub(crate) query: &'a str,
    /// What is searched.
    pub(crate) signal: Signal,
    /// The field that tells rows apart.
    pub(crate) by: Option<&'a str>,
    /// The field of the number, where the figure is of one.
    pub(crate) field: Option<&'a str>,
    /// How many groups.
    pub(crate) top: usize,
}

/// Counts the rows of a search at each step: how many, or how many a second.
pub(crate) async fn counts(
    query: &QueryService,
    search: &Search<'_>,
    range: TimeRange,
    is_rate: bool,
) -> Result<Answer, QueryError> {
    let step_ns = step_ns(range);
    let request = CountRequest {
        query: search.query.to_owned(),
        range,
        by: search.by.map(str::to_owned),
        step: Some(std::time::Duration::from_nanos(step_ns.cast_unsigned())),
        top: search.top,
    };
    let counts = query.counts(search.signal, &request).await?;
    let series = counts
        .series
        .into_iter()
        .map(|series| {
            let name = if series.is_other { Some(OTHERS.to_owned()) } else { series.key };
            let values = series.counts.iter().enumerate().map(|(place, count)| {
                let seconds = covered(counts.start, step_ns, place, range);
                if is_rate { *count as f64 / seconds } else { *count as f64 }
            });
            Labelled { labels: group(search.by, name), points: at_steps(counts.start, step_ns, values) }
        })
        .collect();
    Ok(Answer { series, step_ns, coverage: counts.coverage })
}

/// Figures of the rows of a search at each step.
pub(crate) async fn figures(
    query: &QueryService,
    search: &Search<'_>,
    range: TimeRange,
    value: impl Fn(&Figures, f64) -> Option<f64>,
) -> Result<Answer, QueryError> {
    let step_ns = step_ns(range);
    let request = StatsRequest {
        query: search.query.to_owned(),
        range,
        field: search
            .field
            .unwrap_or(if search.signal == Signal::Spans { "duration" } else { "severity_number" })
            .to_owned(),
        extract: None,
        by: search.by.map(str::to_owned),
        step: Some(std::time::Duration::from_nanos(step_ns.cast_unsigned())),
        top: search.top,
    };
    let stats = query.stats(search.signal, &request).await?;
    let series = stats
        .series
        .into_iter()
        .map(|series| {
            let values = series.buckets.iter().enumerate().map(|(place, figures)| {
                value(figures, covered(stats.start, stats.step_ns, place, range)).unwrap_or(f64::NAN)
            });
            Labelled { labels: group(search.by, series.key), points: at_steps(stats.start, stats.step_ns, values) }
        })
        .collect();
    Ok(Answer { series, step_ns: stats.step_ns, coverage: stats.coverage })
}

/// The seconds of a step that lie in the range: the first and the last are seldom whole.
fn covered(start: i64, step_ns: i64, place: usize, range: TimeRange) -> f64 {
    let from = start.saturating_add(step_ns.saturating_mul(place as i64));
    let (first, last) = (from.max(range.start), from.saturating_add(step_ns).min(range.end));
    // What was only just begun is not blown up to a rate.
    (last.saturating_sub(first)).max(step_ns / 5) as f64 / 1e9
}

fn group(by: Option<&str>, name: Option<String>) -> Labels {
    by.map(|by| (by.to_owned(), name.unwrap_or_else(|| "–".to_owned()))).into_iter().collect()
}

fn at_steps(start: i64, step_ns: i64, values: impl Iterator<Item = f64>) -> Vec<(i64, f64)> {
    values
        .enumerate()
        .map(|(place, value)| (start.saturating_add(step_ns.saturating_mul(place as i64)), value))
        .collect()
}

/// Asks SQL.
pub(crate) async fn sql(
    query: &QueryService,
    text: &str,
    range: TimeRange,
    limit: usize,
) -> Result<SqlResult, QueryError> {
    query.sql(&SqlRequest { sql: text.to_owned(), range, limit: limit.min(SQL_ROWS) }).await
}

/// The columns of a result by what they are for a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The column of moments, if there is one.
    pub(crate) time: Option<usize>,
    /// The columns of numbers.
    pub(crate) numbers: Vec<usize>,
    /// The others, which tell series apart.
    pub(crate) texts: Vec<usize>,
}

/// What the columns of a result are for a chart.
pub(crate) fn shape(result: &SqlResult) -> Shape {
    let mut shape = Shape::default();
    for (place, column) in result.columns.iter().enumerate() {
        let is_number = |value: &Value| value.is_number();
        let mut values =
            result.rows.iter().filter_map(|row| row.get(place)).filter(|value| !value.is_null()).peekable();
        let has_values = values.peek().is_some();
        if column.r#type.starts_with("Timestamp") && shape.time.is_none() {
            shape.time = Some(place);
        } else if has_values && values.all(is_number) {
            shape.numbers.push(place);
        } else {
            shape.texts.push(place);
        }
    }
    shape
}

/// A result of SQL as series: a line for each number and each of the texts; without a column of moments each row is a
/// series of one value at the end of the range.
pub(crate) fn of_sql(result: &SqlResult, range: TimeRange) -> Answer {
    let shape = shape(result);
    let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
    let mut order: Vec<Labels> = Vec::new();
    for row in &result.rows {
        let at = shape.time.and_then(|place| row.get(place)).and_then(moment).unwrap_or(range.end);
        let texts: Labels = shape
            .texts
            .iter()
            .map(|place| {
                (result.columns[*place].name.clone(), row.get(*place).map(crate::parts::plain).unwrap_or_default())
            })
            .collect();
        for place in &shape.numbers {
            let Some(value) = row.get(*place).and_then(Value::as_f64) else { continue };
            let mut labels = texts.clone();
            if shape.numbers.len() > 1 || labels.is_empty() {
                labels.insert(VALUE.to_owned(), result.columns[*place].name.clone());
            }
            series
                .entry(labels)
                .or_insert_with_key(|labels| {
                    order.push(labels.clone());
                    Vec::new()
                })
                .push((at, value));
        }
    }
    let series = order
        .into_iter()
        .filter_map(|labels| {
            let mut points = series.remove(&labels)?;
            points.sort_by_key(|(at, _)| *at);
            Some(Labelled { labels, points })
        })
        .collect();
    Answer { series, step_ns: 0, coverage: result.coverage.clone() }
}

/// The moment of a cell, nanoseconds since the Unix epoch.
pub(crate) fn moment(value: &Value) -> Option<i64> {
    let text = value.as_str()?;
    let zoned = chrono::DateTime::parse_from_rfc3339(text).ok().and_then(|time| time.timestamp_nanos_opt());
    zoned.or_else(|| {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?.and_utc().timestamp_nanos_opt()
    })
}

/// A name for each series: its legend with `{{label}}` filled in, or the labels that are not the same for all.
pub(crate) fn names(series: &[Labelled], legend: &str) -> Vec<String> {
    if !legend.is_empty() {
        return series.iter().map(|one| from_legend(legend, &one.labels)).collect();
    }
    let all: BTreeSet<&str> = series.iter().flat_map(|one| one.labels.keys().map(String::as_str)).collect();
    let telling: Vec<&str> = all
        .into_iter()
        .filter(|name| {
            let first = series.first().and_then(|one| one.labels.get(*name));
            series.iter().any(|one| one.labels.get(*name) != first)
        })
        .collect();
    series
        .iter()
        .map(|one| {
            let metric = one.labels.get("__name__").map_or("", String::as_str);
            let pairs: Vec<(&str, &str)> = telling
                .iter()
                .filter(|name| **name != "__name__")
                .filter_map(|name| Some((*name, one.labels.get(*name)?.as_str())))
                .collect();
            match (&pairs[..], metric) {
                ([], "") => one.labels.values().next().cloned().unwrap_or_else(|| VALUE.to_owned()),
                ([], metric) => metric.to_owned(),
                ([(_, value)], _) if series.len() > 1 => (*value).to_owned(),
                // Columns of one table for each group.
                ([(VALUE, column), (_, group)] | [(_, group), (VALUE, column)], _) => format!("{group} · {column}"),
                (pairs, _) => pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "),
            }
        })
        .collect()
}

fn from_legend(legend: &str, labels: &Labels) -> String {
    let mut out = String::new();
    let mut rest = legend;
    while let Some((before, behind)) = rest.split_once("{{") {
        out.push_str(before);
        match behind.split_once("}}") {
            Some((name, behind)) => {
                out.push_str(labels.get(name.trim()).map_or("", String::as_str));
                rest = behind;
            }
            None => {
                out.push_str("{{");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangru_query::SqlColumn;
    use serde_json::json;

    fn series(pairs: &[(&str, &str)]) -> Labelled {
        Labelled {
            labels: pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            points: Vec::new(),
        }
    }

    #[test]
    fn names_hold_what_differs() {
        let all = [
            series(&[("__name__", "up"), ("job", "a"), ("zone", "x")]),
            series(&[("__name__", "up"), ("job", "b"), ("zone", "x")]),
        ];
        assert_eq!(names(&all, ""), ["a", "b"]);
        assert_eq!(names(&all[..1], ""), ["up"]);
        assert_eq!(names(&all, "{{job}} in {{ zone }}{{nothing}}"), ["a in x", "b in x"]);
        let two = [
            series(&[("job", "a"), ("code", "1")]),
            series(&[("job", "a"), ("code", "2")]),
            series(&[("job", "b"), ("code", "1")]),
        ];
        assert_eq!(names(&two, ""), ["code=1 job=a", "code=2 job=a", "code=1 job=b"]);
        let columns = [series(&[("job", "a"), (VALUE, "lines")]), series(&[("job", "b"), (VALUE, "errors")])];
        assert_eq!(names(&columns, ""), ["a · lines", "b · errors"]);
    }

    #[test]
    fn rows_of_sql_become_series() {
        let column = |name: &str, kind: &str| SqlColumn { name: name.to_owned(), r#type: kind.to_owned() };
        let result = SqlResult {
            columns: vec![
                column("t", "Timestamp(Nanosecond, None)"),
                column("service", "Utf8"),
                column("n", "Int64"),
                column("m", "Float64"),
            ],
            rows: vec![
                vec![json!("2023-11-14T22:13:21Z"), json!("a"), json!(2), json!(0.5)],
                vec![json!("2023-11-14T22:13:20Z"), json!("a"), json!(1), Value::Null],
            ],
            coverage: Coverage::default(),
        };
        let answer = of_sql(&result, TimeRange { start: 0, end: 9 });
        assert_eq!(answer.series.len(), 2);
        assert_eq!(answer.series[0].points, [(1_700_000_000_000_000_000, 1.0), (1_700_000_001_000_000_000, 2.0)]);
        assert_eq!(answer.series[1].labels[VALUE], "m");
    }

    #[test]
    fn steps_are_round_and_cut_about_as_asked() {
        assert_eq!(round_step(15 * 60 * 1_000_000_000, 60), Duration::from_secs(15));
        assert_eq!(round_step(3_600 * 1_000_000_000, 60), Duration::from_mins(1));
        assert_eq!(round_step(1_000_000_000, 60), Duration::from_millis(20));
        assert!(round_step(i64::MAX, 60) > Duration::from_hours(24));
        assert_eq!(round_step(0, 60), Duration::from_millis(1));
    }
}
