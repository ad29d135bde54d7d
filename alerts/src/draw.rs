//! A rule's figure over time, with the line that it is compared with: what the screen draws.

use crate::ask::{label, latency_s, window};
use crate::machine::Labels;
use crate::rules::{Condition, Measure, Rule, Search, Test};
use mangru_query::{CountRequest, Counts, Figures, PromQlRequest, PromQlValue, QueryError, QueryService, StatsRequest};
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::time::Duration;

/// Points of a line, about.
const POINTS: i64 = 120;
/// Lines of a picture.
const LINES: usize = 12;

/// A rule's figure over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drawn {
    /// What the figure is.
    pub what: String,
    /// For each label set its points: time in milliseconds, and value.
    pub lines: Vec<(String, Vec<(i64, f64)>)>,
    /// Label sets that are not drawn.
    pub left_out: usize,
    /// What the figure is compared with: operator and number.
    pub threshold: Option<(String, f64)>,
}

/// Draws a rule between two moments, in milliseconds.
///
/// # Errors
/// When its condition cannot be asked.
pub async fn drawn(query: &QueryService, rule: &Rule, (from_ms, to_ms): (i64, i64)) -> Result<Drawn, QueryError> {
    let mut drawn = match &rule.condition {
        Condition::PromQl { expr, .. } => {
            let (shown, operator) = match expr.threshold() {
                Some((inner, operator, number)) => (inner, Some((operator.to_owned(), number))),
                None => (expr.clone(), None),
            };
            let step = round_step((to_ms - from_ms) / POINTS);
            let start = from_ms.div_euclid(step) * step;
            let request =
                PromQlRequest { query: shown.text().to_owned(), start, end: to_ms, step: Some(step), lookback: None };
            let PromQlValue::Matrix(series) = query.promql(&request).await?.value else { return Ok(Drawn::default()) };
            let named = |labels: &serde_json::Value| {
                let labels: Labels = serde_json::from_value(labels.clone()).unwrap_or_default();
                words(&labels)
            };
            let lines = series.into_iter().map(|(labels, points)| (named(&labels), points)).collect();
            Drawn { what: shown.text().to_owned(), lines, left_out: 0, threshold: operator }
        }
        Condition::Search(search) => searched(query, search, (from_ms, to_ms)).await?,
        Condition::Each { signal, query: text, by } => {
            let search = Search {
                signal: *signal,
                query: text.clone(),
                window_ms: round_step((to_ms - from_ms) / POINTS),
                by: by.clone(),
                measure: Measure::Count,
                test: Test::Absent { seen_ms: 0 },
                min_count: 0,
            };
            Drawn { threshold: None, ..searched(query, &search, (from_ms, to_ms)).await? }
        }
        Condition::Burn { query: text, bad, windows_ms, share, .. } => {
            let step = round_step((to_ms - from_ms) / POINTS).min(windows_ms.1.max(1_000));
            let range = window(to_ms, to_ms - from_ms + windows_ms.1);
            let count = |query: String| CountRequest { query, range, by: None, step: Some(millis(step)), top: 1 };
            let (all, failed) = (count(text.clone()), count(format!("{text} ({bad})")));
            let (all, failed) = futures::join!(query.counts(Signal::Spans, &all), query.counts(Signal::Spans, &failed));
            let (all, failed) = (all?, failed?);
            let (all_sums, failed_sums) = (sums(&all, windows_ms.1), sums(&failed, windows_ms.1));
            let points = all_sums.iter().zip(&failed_sums).filter(|((_, all), _)| *all > 0.0);
            let points = points.map(|((time, all), (_, failed))| (*time, failed / all)).collect();
            Drawn {
                what: format!("share of bad requests in {}", crate::duration::text(windows_ms.1)),
                lines: vec![(bad.clone(), points)],
                left_out: 0,
                threshold: Some((">".to_owned(), *share)),
            }
        }
        Condition::Sql { .. } => Drawn { what: "SQL is not drawn: see its result".to_owned(), ..Drawn::default() },
    };
    for (_, points) in &mut drawn.lines {
        points.retain(|(time, value)| (from_ms..=to_ms).contains(time) && value.is_finite());
    }
    drawn.lines.retain(|(_, points)| !points.is_empty());
    drawn.left_out = drawn.lines.len().saturating_sub(LINES);
    drawn.lines.truncate(LINES);
    Ok(drawn)
}

fn words(labels: &Labels) -> String {
    let name = labels.get("__name__").cloned().unwrap_or_default();
    let others: Vec<String> =
        labels.iter().filter(|(name, _)| *name != "__name__").map(|(name, value)| format!("{name}={value}")).collect();
    if others.is_empty() && name.is_empty() {
        "value".to_owned()
    } else {
        format!("{name} {}", others.join(" ")).trim().to_owned()
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(ms.max(1) as u64)
}

/// A round step, in milliseconds.
fn round_step(wanted_ms: i64) -> i64 {
    const ROUND: [i64; 15] = [
        1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000,
        7_200_000, 21_600_000, 86_400_000,
    ];
    ROUND.into_iter().find(|step| *step >= wanted_ms).unwrap_or(86_400_000 * 7)
}

/// Rows within the window that ends with each bucket.
fn sums(counts: &Counts, window_ms: i64) -> Vec<(i64, f64)> {
    let mut all = vec![0_u64; counts.buckets];
    for series in &counts.series {
        all.iter_mut().zip(&series.counts).for_each(|(sum, count)| *sum += count);
    }
    sliding(counts.start, counts.step_ns, &all.into_iter().map(|count| count as f64).collect::<Vec<_>>(), window_ms)
}

fn sliding(start_ns: i64, step_ns: i64, values: &[f64], window_ms: i64) -> Vec<(i64, f64)> {
    let buckets = ((window_ms * 1_000_000) / step_ns.max(1)).max(1) as usize;
    let mut sum = 0.0;
    let mut all = Vec::with_capacity(values.len());
    for (place, value) in values.iter().enumerate() {
        sum += value;
        if let Some(gone) = place.checked_sub(buckets) {
            sum -= values[gone];
        }
        let end = (start_ns + step_ns * (place as i64 + 1)).div_euclid(1_000_000);
        all.push((end, sum));
    }
    all
}

async fn searched(query: &QueryService, search: &Search, (from_ms, to_ms): (i64, i64)) -> Result<Drawn, QueryError> {
    // Steps that go into the window whole, so that windows are sums of them.
    let step = round_step((to_ms - from_ms) / POINTS);
    let step = if step >= search.window_ms { search.window_ms.max(1_000) } else { step };
    let step = step.max((to_ms - from_ms + search.window_ms) / 5_000);
    let range: TimeRange = window(to_ms, to_ms - from_ms + search.window_ms);
    let field = if search.signal == Signal::Spans { "duration" } else { "severity" };
    let request = StatsRequest {
        query: search.query.clone(),
        range,
        field: field.to_owned(),
        extract: None,
        by: search.by.first().cloned(),
        step: Some(millis(step)),
        top: LINES + 1,
    };
    let stats = query.stats(search.signal, &request).await?;
    let seconds = (search.window_ms as f64 / 1e3).max(1e-3);
    let lines = stats.series.iter().map(|series| {
        let of = |value: fn(&Figures) -> f64| {
            let values: Vec<f64> = series.buckets.iter().map(value).collect();
            sliding(stats.start, stats.step_ns, &values, search.window_ms)
        };
        let rows = of(|figures| figures.rows as f64);
        let points: Vec<(i64, f64)> = match search.measure {
            Measure::Count => rows,
            Measure::Rate => rows.into_iter().map(|(time, rows)| (time, rows / seconds)).collect(),
            Measure::ErrorRate => {
                let errors = of(|figures| figures.errors as f64);
                let pairs = rows.into_iter().zip(errors).filter(|((_, rows), _)| *rows > 0.0);
                pairs.map(|((time, rows), (_, errors))| (time, errors / rows)).collect()
            }
            Measure::Latency(percent) => {
                let times = sliding(stats.start, stats.step_ns, &vec![0.0; series.buckets.len()], 0);
                let points = times.into_iter().zip(&series.buckets);
                points.filter_map(|((time, _), figures)| Some((time, latency_s(figures, percent)?))).collect()
            }
        };
        let name = match (search.by.first(), &series.key) {
            (Some(by), Some(key)) => format!("{}={key}", label(by)),
            (Some(by), None) => format!("without {}", label(by)),
            (None, _) => search.measure.words(),
        };
        (name, points)
    });
    let threshold = match &search.test {
        Test::Is(comparison) => Some((comparison.operator.to_string(), comparison.number)),
        Test::Absent { .. } => Some(("==".to_owned(), 0.0)),
        Test::Changed(_) => None,
    };
    let what = format!("{} in {}", search.measure.words(), crate::duration::text(search.window_ms));
    Ok(Drawn { what, lines: lines.collect(), left_out: 0, threshold })
}
