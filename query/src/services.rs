//! Services and operations: rate, errors and duration, counted from the spans themselves.

use crate::counts::Buckets;
use crate::language::{Expr, FieldRef, Matcher, group_keys, severities};
use crate::scan::{self, Held, ScanRequest};
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
    /// Whether these are its server and consumer spans.
    pub has_entries: bool,
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

/// The spans of all services that some thread found, and their memory.
struct Found {
    services: HashMap<String, Tally>,
    spans: usize,
    held: Held,
}

/// Spans of one service, split by whether they are requests.
#[derive(Debug, Default)]
struct Tally {
    entries: Calls,
    others: Calls,
    /// Each with whether it was seen in the range, rather than in the window before.
    versions: BTreeSet<(String, bool)>,
}

/// Calls by bucket; buckets of the window before come first.
#[derive(Debug, Default)]
struct Calls {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    durations: Vec<i64>,
    errors: u64,
}

/// Logs of one service by bucket: all, and those that tell of errors.
type Logs = Vec<(u64, u64)>;

/// The place of a bucket, which is made when it is not there.
fn at<T: Clone + Default>(buckets: &mut Vec<T>, place: usize) -> &mut T {
    if buckets.len() <= place {
        buckets.resize(place + 1, T::default());
    }
    &mut buckets[place]
}

impl Calls {
    fn merge(&mut self, other: Self) {
        for (place, mut bucket) in other.buckets.into_iter().enumerate() {
            let mine = at(&mut self.buckets, place);
            mine.errors += bucket.errors;
            if mine.durations.is_empty() {
                mine.durations = bucket.durations;
            } else {
                mine.durations.append(&mut bucket.durations);
            }
        }
    }

    const fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

/// The values that so many of 100 do not exceed (nearest rank), for percents that rise; none of no durations. Puts the durations into another order:
/// each look leaves less to look at.
pub(crate) fn percentiles<const N: usize>(durations: &mut [i64], percents: [f64; N]) -> [Option<i64>; N] {
    let (count, mut done) = (durations.len(), 0);
    percents.map(|percent| {
        let rank = ((percent / 100.0 * count as f64).ceil() as usize).saturating_sub(1).min(count.checked_sub(1)?);
        if rank >= done {
            durations[done..].select_nth_unstable(rank - done);
            done = rank;
        }
        Some(durations[rank])
    })
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
        let of_spans = control.clone();
        let (tallies, mut coverage_of_spans) = scan::for_each(
            self.store(),
            &scan,
            &control,
            move || Found { services: HashMap::new(), spans: 0, held: of_spans.held() },
            move |found, batch| tally(found, batch, places, first),
        )
        .await?;
        let mut services: HashMap<String, Tally> = HashMap::new();
        let mut memory = Vec::new();
        for found in tallies {
            memory.push(found.held);
            for (name, tally) in found.services {
                let service = services.entry(name).or_default();
                service.entries.merge(tally.entries);
                service.others.merge(tally.others);
                service.versions.extend(tally.versions);
            }
        }

        let scan = ScanRequest {
            signal: Signal::Logs,
            filter: Expr::All,
            range: doubled,
            columns: vec!["time", "service_name", "severity_number", "severity_text"],
        };
        let (logs, coverage_of_logs) =
            scan::for_each(self.store(), &scan, &control, HashMap::new, move |logs, batch| {
                tally_logs(logs, batch, places)
            })
            .await?;
        coverage_of_spans.add(coverage_of_logs);
        let mut log_rows: HashMap<String, Logs> = HashMap::new();
        logs.into_iter().flatten().for_each(|(name, logs)| add_logs(log_rows.entry(name).or_default(), &logs));

        let names: BTreeSet<String> = services.keys().chain(log_rows.keys()).cloned().collect();
        let seconds = span as f64 / 1e9;
        let summaries = scan::blocking(move || {
            let _memory = memory;
            let summary_of = |name: String| {
                let tally = services.remove(&name).unwrap_or_default();
                let logs = log_rows.remove(&name).unwrap_or_default();
                summary(name, tally, &logs, first as usize, buckets, seconds)
            };
            Ok(names.into_iter().filter_map(summary_of).collect())
        })
        .await?;
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
                let found = percentiles(&mut durations, [50.0, 95.0, 99.0]);
                let [p50_ns, p95_ns, p99_ns] = found.map(Option::unwrap_or_default);
                let requests = durations.len() as u64;
                Operation { name, kind, requests, errors, p50_ns, p95_ns, p99_ns }
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

fn tally(found: &mut Found, batch: &RecordBatch, places: Buckets, first: u32) -> Result<(), QueryError> {
    let keys = group_keys(&FieldRef::Column("service_name"), Signal::Spans, batch)?;
    let versions = group_keys(&FieldRef::Resource("service.version".to_owned()), Signal::Spans, batch)?;
    let times = column(batch, "time")?.as_primitive::<TimestampNanosecondType>();
    let kinds = column(batch, "kind")?.as_primitive::<Int32Type>();
    let statuses = column(batch, "status_code")?.as_primitive::<Int32Type>();
    let durations = column(batch, "duration_ns")?.as_primitive::<Int64Type>();
    let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); keys.values.len()];
    for (row, place) in keys.keys.iter().enumerate() {
        if let Ok(place) = usize::try_from(*place) {
            rows_of[place].push(row as u32);
        }
    }
    for (name, rows) in keys.values.into_iter().zip(rows_of).filter(|(_, rows)| !rows.is_empty()) {
        let tally = found.services.entry(name).or_default();
        let mut seen: BTreeSet<(i32, bool)> = BTreeSet::new();
        for row in rows {
            let row = row as usize;
            let is_entry = ENTRY_KINDS.contains(&kinds.value(row));
            let calls = if is_entry { &mut tally.entries } else { &mut tally.others };
            let place = places.of(times.value(row));
            let bucket = at(&mut calls.buckets, place);
            bucket.durations.push(durations.value(row));
            bucket.errors += u64::from(statuses.value(row) == ERROR);
            let seen_at = (versions.keys[row], place >= first as usize);
            if let Ok(version) = usize::try_from(seen_at.0)
                && seen.insert(seen_at)
            {
                tally.versions.insert((versions.values[version].clone(), seen_at.1));
            }
        }
    }
    found.spans += batch.num_rows();
    found.held.cover(found.spans * size_of::<i64>())
}

fn add_logs(all: &mut Logs, more: &Logs) {
    for (place, (rows, errors)) in more.iter().enumerate() {
        let bucket = at(all, place);
        bucket.0 += rows;
        bucket.1 += errors;
    }
}

fn tally_logs(logs: &mut HashMap<String, Logs>, batch: &RecordBatch, places: Buckets) -> Result<(), QueryError> {
    let keys = group_keys(&FieldRef::Column("service_name"), Signal::Logs, batch)?;
    let times = column(batch, "time")?.as_primitive::<TimestampNanosecondType>();
    let severity = severities(batch)?;
    let mut tallies: Vec<Logs> = vec![Logs::new(); keys.values.len()];
    for (row, place) in keys.keys.iter().enumerate() {
        if let Ok(place) = usize::try_from(*place) {
            let bucket = at(&mut tallies[place], places.of(times.value(row)));
            bucket.0 += 1;
            bucket.1 += u64::from(severity(row) >= 17);
        }
    }
    for (name, tally) in keys.values.into_iter().zip(tallies).filter(|(_, tally)| !tally.is_empty()) {
        add_logs(logs.entry(name).or_default(), &tally);
    }
    Ok(())
}

/// Figures of a service; `None` when it only spoke in the window before.
fn summary(
    name: String,
    tally: Tally,
    logs: &Logs,
    first: usize,
    buckets: usize,
    seconds: f64,
) -> Option<ServiceSummary> {
    let inside =
        |calls: &Calls| calls.buckets.iter().skip(first).map(|bucket| bucket.durations.len() as u64).sum::<u64>();
    let spans = inside(&tally.entries) + inside(&tally.others);
    let place = |bucket: usize| (bucket - first).min(buckets - 1);
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
    summary.has_entries = !tally.entries.is_empty();
    let calls = if summary.has_entries { tally.entries } else { tally.others };
    let mut durations = Vec::new();
    let mut durations_before = Vec::new();
    let mut by_bucket: Vec<Vec<i64>> = vec![Vec::new(); buckets];
    for (number, mut bucket) in calls.buckets.into_iter().enumerate() {
        if number < first {
            previous.errors += bucket.errors;
            durations_before.append(&mut bucket.durations);
            continue;
        }
        let place = place(number);
        summary.request_counts[place] += bucket.durations.len() as u64;
        summary.error_counts[place] += bucket.errors;
        summary.errors += bucket.errors;
        durations.extend_from_slice(&bucket.durations);
        by_bucket[place].append(&mut bucket.durations);
    }
    for (number, (rows, errors)) in logs.iter().enumerate() {
        if number < first {
            previous.error_logs += errors;
        } else {
            summary.logs += rows;
            summary.error_logs += errors;
            summary.error_log_counts[place(number)] += errors;
        }
    }
    if summary.spans == 0 && summary.logs == 0 {
        return None;
    }
    summary.requests = durations.len() as u64;
    summary.requests_per_second = summary.requests as f64 / seconds;
    summary.error_ratio = if summary.requests == 0 { 0.0 } else { summary.errors as f64 / summary.requests as f64 };
    [summary.p50_ns, summary.p95_ns, summary.p99_ns] = percentiles(&mut durations, [50.0, 95.0, 99.0]);
    summary.p95_series_ns =
        by_bucket.into_iter().map(|mut durations| percentiles(&mut durations, [95.0])[0].unwrap_or_default()).collect();
    previous.requests = durations_before.len() as u64;
    [previous.p95_ns] = percentiles(&mut durations_before, [95.0]);
    summary.previous = Some(previous);
    Some(summary)
}
