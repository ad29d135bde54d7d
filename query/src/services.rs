//! Services and operations: rate, errors and duration, counted from the spans themselves.

use crate::counts::Buckets;
use crate::language::{Expr, FieldRef, Matcher, group_keys};
use crate::scan::{self, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Kinds of spans that are requests to a service: server and consumer.
const ENTRY_KINDS: [i32; 2] = [2, 5];
const ERROR: i32 = 2;

/// A service over a range of time.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct ServiceSummary {
    /// `service.name`.
    pub name: String,
    /// All its spans.
    pub spans: u64,
    /// Its server and consumer spans; all its spans when it has none of these.
    pub requests: u64,
    /// Requests with the status error.
    pub errors: u64,
    /// Requests per second of the range.
    pub requests_per_second: f64,
    /// Errors among requests, 0 to 1.
    pub error_ratio: f64,
    /// Half of the requests took no longer, in nanoseconds.
    pub p50_ns: Option<i64>,
    /// 95 of 100 requests took no longer, in nanoseconds.
    pub p95_ns: Option<i64>,
    /// 99 of 100 requests took no longer, in nanoseconds.
    pub p99_ns: Option<i64>,
    /// Its log records.
    pub logs: u64,
    /// Its log records of severity error and above.
    pub error_logs: u64,
    /// Its `service.version`s in the range.
    pub versions: Vec<String>,
    /// Requests per bucket.
    pub request_counts: Vec<u64>,
    /// Errors per bucket.
    pub error_counts: Vec<u64>,
    /// 95th percentile per bucket, in nanoseconds; 0 where there was no request.
    pub p95_series_ns: Vec<i64>,
    /// Error logs per bucket.
    pub error_log_counts: Vec<u64>,
    /// The same figures in the window of the same length before.
    pub previous: Option<PreviousWindow>,
}

/// Figures to compare with.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct PreviousWindow {
    /// Requests.
    pub requests: u64,
    /// Requests with the status error.
    pub errors: u64,
    /// 95th percentile in nanoseconds.
    pub p95_ns: Option<i64>,
    /// Error logs.
    pub error_logs: u64,
    /// Its `service.version`s.
    pub versions: Vec<String>,
}

/// An operation of a service.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Operation {
    /// The span's name.
    pub name: String,
    /// OpenTelemetry's number of the kind.
    pub kind: i32,
    /// Spans.
    pub requests: u64,
    /// Spans with the status error.
    pub errors: u64,
    /// Half of the spans took no longer, in nanoseconds.
    pub p50_ns: i64,
    /// 95 of 100 spans took no longer, in nanoseconds.
    pub p95_ns: i64,
    /// 99 of 100 spans took no longer, in nanoseconds.
    pub p99_ns: i64,
}

/// Spans of one service, split by whether they are requests.
#[derive(Clone, Debug, Default)]
struct Tally {
    entries: Calls,
    others: Calls,
    /// Each with whether it was seen in the range, rather than in the window before.
    versions: BTreeSet<(String, bool)>,
}

#[derive(Clone, Debug, Default)]
struct Calls {
    /// Bucket, duration, error; buckets of the window before come first.
    all: Vec<(u32, i64, bool)>,
}

impl Calls {
    fn merge(&mut self, mut other: Self) {
        self.all.append(&mut other.all);
    }
}

/// The value that so many of 100 do not exceed (nearest rank); the durations are sorted.
pub(crate) fn percentile(sorted: &[i64], percent: f64) -> Option<i64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::ArrayRef, QueryError> {
    batch.column_by_name(name).ok_or_else(|| QueryError::internal(format!("column {name} was not read")))
}

impl QueryService {
    /// All services that sent spans or logs in the range, by name, with figures in so many buckets.
    pub async fn services(
        &self,
        range: TimeRange,
        buckets: usize,
    ) -> Result<(Vec<ServiceSummary>, Coverage), QueryError> {
        let started = Instant::now();
        let span = range.end.saturating_sub(range.start).max(1);
        let buckets = buckets.clamp(1, 200);
        let doubled = TimeRange { start: range.start.saturating_sub(span), end: range.end };
        let width = (span / buckets as i64).max(1);
        let places = Buckets { start: doubled.start, step: width, count: usize::MAX >> 1 };
        let first = (range.start.saturating_sub(doubled.start) / width) as u32;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;

        let scan = ScanRequest {
            signal: Signal::Spans,
            filter: Expr::All,
            range: doubled,
            columns: vec!["time", "service_name", "kind", "status_code", "duration_ns", "resource_attributes"],
        };
        let (tallies, mut coverage_of_spans) =
            scan::for_each(self.store(), &scan, &control, HashMap::<String, Tally>::new, move |tallies, batch| {
                tally(tallies, batch, places, first)
            })
            .await?;
        let mut services: HashMap<String, Tally> = HashMap::new();
        for (name, tally) in tallies.into_iter().flatten() {
            let service = services.entry(name).or_default();
            service.entries.merge(tally.entries);
            service.others.merge(tally.others);
            service.versions.extend(tally.versions);
        }

        let scan = ScanRequest {
            signal: Signal::Logs,
            filter: Expr::All,
            range: doubled,
            columns: vec!["time", "service_name", "severity_number"],
        };
        let (logs, coverage_of_logs) = scan::for_each(
            self.store(),
            &scan,
            &control,
            HashMap::<String, Vec<(u32, bool)>>::new,
            move |logs, batch| {
                let keys = group_keys(&FieldRef::Column("service_name"), Signal::Logs, batch)?;
                let times = column(batch, "time")?.as_primitive::<TimestampNanosecondType>();
                let severities = column(batch, "severity_number")?.as_primitive::<Int32Type>();
                let mut found: Vec<Vec<(u32, bool)>> = vec![Vec::new(); keys.values.len()];
                for (row, place) in keys.keys.iter().enumerate() {
                    if let Ok(place) = usize::try_from(*place) {
                        found[place].push((places.of(times.value(row)) as u32, severities.value(row) >= 17));
                    }
                }
                for (name, mut rows) in keys.values.into_iter().zip(found).filter(|(_, rows)| !rows.is_empty()) {
                    logs.entry(name).or_default().append(&mut rows);
                }
                Ok(())
            },
        )
        .await?;
        coverage_of_spans.add(coverage_of_logs);
        let mut log_rows: HashMap<String, Vec<(u32, bool)>> = HashMap::new();
        for (name, mut rows) in logs.into_iter().flatten() {
            log_rows.entry(name).or_default().append(&mut rows);
        }

        let names: BTreeSet<String> = services.keys().chain(log_rows.keys()).cloned().collect();
        let seconds = span as f64 / 1e9;
        let summaries = names
            .into_iter()
            .filter_map(|name| {
                let tally = services.remove(&name).unwrap_or_default();
                let logs = log_rows.remove(&name).unwrap_or_default();
                summary(name, tally, &logs, first, buckets, seconds)
            })
            .collect();
        Ok((summaries, Coverage::of_scan(&coverage_of_spans, started)))
    }

    /// The operations of a service, those with the most spans first.
    pub async fn operations(&self, service: &str, range: TimeRange) -> Result<(Vec<Operation>, Coverage), QueryError> {
        let started = Instant::now();
        let literal = crate::language::Literal::new(service.to_owned(), true);
        let scan = ScanRequest {
            signal: Signal::Spans,
            filter: Expr::Field(FieldRef::Column("service_name"), Matcher::Equals(literal)),
            range,
            columns: vec!["name", "kind", "status_code", "duration_ns"],
        };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let (states, scan) = scan::for_each(
            self.store(),
            &scan,
            &control,
            HashMap::<(String, i32), (Vec<i64>, u64)>::new,
            |operations, batch| {
                let keys = group_keys(&FieldRef::Column("name"), Signal::Spans, batch)?;
                let kinds = column(batch, "kind")?.as_primitive::<Int32Type>();
                let statuses = column(batch, "status_code")?.as_primitive::<Int32Type>();
                let durations = column(batch, "duration_ns")?.as_primitive::<Int64Type>();
                for (row, place) in keys.keys.iter().enumerate() {
                    let Ok(place) = usize::try_from(*place) else { continue };
                    let operation = operations.entry((keys.values[place].clone(), kinds.value(row))).or_default();
                    operation.0.push(durations.value(row));
                    operation.1 += u64::from(statuses.value(row) == ERROR);
                }
                Ok(())
            },
        )
        .await?;
        let mut all: HashMap<(String, i32), (Vec<i64>, u64)> = HashMap::new();
        for (key, (mut durations, errors)) in states.into_iter().flatten() {
            let operation = all.entry(key).or_default();
            operation.0.append(&mut durations);
            operation.1 += errors;
        }
        let mut operations: Vec<Operation> = all
            .into_iter()
            .map(|((name, kind), (mut durations, errors))| {
                durations.sort_unstable();
                let at = |percent| percentile(&durations, percent).unwrap_or_default();
                let requests = durations.len() as u64;
                Operation { name, kind, requests, errors, p50_ns: at(50.0), p95_ns: at(95.0), p99_ns: at(99.0) }
            })
            .collect();
        operations.sort_by(|left, right| right.requests.cmp(&left.requests).then_with(|| left.name.cmp(&right.name)));
        Ok((operations, Coverage::of_scan(&scan, started)))
    }

    /// The names of services with spans in the range.
    pub async fn service_names(&self, range: TimeRange) -> Result<Vec<String>, QueryError> {
        let request = crate::CountRequest {
            query: String::new(),
            range,
            by: Some("service.name".to_owned()),
            step: Some(Duration::from_nanos(range.end.saturating_sub(range.start).max(1) as u64)),
            top: 10_000,
        };
        let counts = self.counts(Signal::Spans, &request).await?;
        let mut names: Vec<String> = counts.series.into_iter().filter_map(|series| series.key).collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn tally(
    tallies: &mut HashMap<String, Tally>,
    batch: &RecordBatch,
    places: Buckets,
    first: u32,
) -> Result<(), QueryError> {
    let keys = group_keys(&FieldRef::Column("service_name"), Signal::Spans, batch)?;
    let versions = group_keys(&FieldRef::Resource("service.version".to_owned()), Signal::Spans, batch)?;
    let times = column(batch, "time")?.as_primitive::<TimestampNanosecondType>();
    let kinds = column(batch, "kind")?.as_primitive::<Int32Type>();
    let statuses = column(batch, "status_code")?.as_primitive::<Int32Type>();
    let durations = column(batch, "duration_ns")?.as_primitive::<Int64Type>();
    let mut found: Vec<Tally> = vec![Tally::default(); keys.values.len()];
    let mut seen: BTreeSet<(usize, usize, bool)> = BTreeSet::new();
    for (row, place) in keys.keys.iter().enumerate() {
        let Ok(place) = usize::try_from(*place) else { continue };
        let tally = &mut found[place];
        let is_entry = ENTRY_KINDS.contains(&kinds.value(row));
        let calls = if is_entry { &mut tally.entries } else { &mut tally.others };
        let bucket = places.of(times.value(row)) as u32;
        calls.all.push((bucket, durations.value(row), statuses.value(row) == ERROR));
        if let Ok(version) = usize::try_from(versions.keys[row])
            && seen.insert((place, version, bucket >= first))
        {
            tally.versions.insert((versions.values[version].clone(), bucket >= first));
        }
    }
    for (name, tally) in keys.values.into_iter().zip(found) {
        if tally.entries.all.is_empty() && tally.others.all.is_empty() {
            continue;
        }
        let service = tallies.entry(name).or_default();
        service.entries.merge(tally.entries);
        service.others.merge(tally.others);
        service.versions.extend(tally.versions);
    }
    Ok(())
}

/// Figures of a service; `None` when it only spoke in the window before.
fn summary(
    name: String,
    tally: Tally,
    logs: &[(u32, bool)],
    first: u32,
    buckets: usize,
    seconds: f64,
) -> Option<ServiceSummary> {
    let inside = |bucket: &u32| *bucket >= first;
    let spans =
        tally.entries.all.iter().chain(&tally.others.all).filter(|(bucket, _, _)| inside(bucket)).count() as u64;
    let place = |bucket: u32| ((bucket - first) as usize).min(buckets - 1);
    let versions = |is_now: bool| {
        let seen = tally.versions.iter().filter(|(_, now)| *now == is_now);
        seen.map(|(version, _)| version.clone()).collect::<Vec<_>>()
    };
    let mut summary = ServiceSummary {
        name,
        spans,
        versions: versions(true),
        request_counts: vec![0; buckets],
        error_counts: vec![0; buckets],
        error_log_counts: vec![0; buckets],
        ..ServiceSummary::default()
    };
    let mut previous = PreviousWindow { versions: versions(false), ..PreviousWindow::default() };
    let calls = if tally.entries.all.is_empty() { tally.others.all } else { tally.entries.all };
    let mut durations = Vec::new();
    let mut durations_before = Vec::new();
    let mut by_bucket: Vec<Vec<i64>> = vec![Vec::new(); buckets];
    for (bucket, duration, is_error) in calls {
        if inside(&bucket) {
            summary.request_counts[place(bucket)] += 1;
            summary.error_counts[place(bucket)] += u64::from(is_error);
            summary.errors += u64::from(is_error);
            by_bucket[place(bucket)].push(duration);
            durations.push(duration);
        } else {
            previous.errors += u64::from(is_error);
            durations_before.push(duration);
        }
    }
    for (bucket, is_error) in logs {
        if inside(bucket) {
            summary.logs += 1;
            summary.error_logs += u64::from(*is_error);
            summary.error_log_counts[place(*bucket)] += u64::from(*is_error);
        } else {
            previous.error_logs += u64::from(*is_error);
        }
    }
    if summary.spans == 0 && summary.logs == 0 {
        return None;
    }
    durations.sort_unstable();
    durations_before.sort_unstable();
    summary.requests = durations.len() as u64;
    summary.requests_per_second = summary.requests as f64 / seconds;
    summary.error_ratio = if summary.requests == 0 { 0.0 } else { summary.errors as f64 / summary.requests as f64 };
    summary.p50_ns = percentile(&durations, 50.0);
    summary.p95_ns = percentile(&durations, 95.0);
    summary.p99_ns = percentile(&durations, 99.0);
    summary.p95_series_ns = by_bucket
        .into_iter()
        .map(|mut durations| {
            durations.sort_unstable();
            percentile(&durations, 95.0).unwrap_or_default()
        })
        .collect();
    previous.requests = durations_before.len() as u64;
    previous.p95_ns = percentile(&durations_before, 95.0);
    summary.previous = Some(previous);
    Some(summary)
}
