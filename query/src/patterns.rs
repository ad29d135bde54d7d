//! Patterns: the templates that logs are written by, with how often and since when.

mod template;

use crate::cells::Cells;
use crate::counts::Buckets;
use crate::language::severities;
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::RecordBatch;
use mangru_store::value::{AnyValue, read_object};
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use template::{Templates, WILDCARD};

/// Templates that are told apart; rows beyond are counted as `unmatched`.
const MAX_TEMPLATES: usize = 5_000;
/// Bytes of an example.
const MAX_EXAMPLE: usize = 2_000;
/// Services that are counted for one pattern.
const MAX_SERVICES: usize = 50;
/// Keys under which a structured body says its message.
const MESSAGE_KEYS: [&str; 4] = ["message", "msg", "log", "event"];

/// A request for patterns.
#[derive(Clone, Debug)]
pub struct PatternsRequest {
    /// A search over logs; empty matches all.
    pub query: String,
    /// When the logs happened.
    pub range: TimeRange,
    /// How many patterns, those of the most rows.
    pub limit: usize,
    /// Buckets of the trend.
    pub buckets: usize,
    /// Patterns without a row before this time, nanoseconds since the Unix epoch, are new.
    pub new_since: Option<i64>,
}

/// The patterns of some logs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Patterns {
    /// Where the first bucket of the trends starts, nanoseconds since the Unix epoch.
    pub start: i64,
    /// The width of a bucket in nanoseconds.
    pub step_ns: i64,
    /// Those of the most rows first; new ones before others when `new_since` was given.
    pub patterns: Vec<Pattern>,
    /// How many patterns there are.
    pub distinct: u64,
    /// Rows that no pattern holds, because there are too many different ones.
    pub unmatched: u64,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// A template with the rows that were written by it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Pattern {
    /// The message with `<*>` for what differs.
    pub template: String,
    /// A search that finds its rows, and perhaps others of the same words; empty when it has no fixed words.
    pub query: String,
    /// Its rows.
    pub count: u64,
    /// Its rows among all that match, 0 to 1.
    pub share: f64,
    /// Its first row in the range, nanoseconds since the Unix epoch.
    pub first_unix_nano: String,
    /// Its last row in the range, nanoseconds since the Unix epoch.
    pub last_unix_nano: String,
    /// Whether it has no row before `new_since`; none without that.
    pub is_new: Option<bool>,
    /// The highest severity number of its rows.
    pub max_severity_number: i32,
    /// Its services, those with the most rows first.
    pub services: Vec<String>,
    /// Rows per bucket.
    pub counts: Vec<u64>,
    /// Its newest row's message.
    pub example: String,
}

/// What is gathered for a template.
#[derive(Clone, Debug, Default)]
struct Gathered {
    count: u64,
    first: i64,
    last: i64,
    severity: i32,
    counts: Vec<u64>,
    services: BTreeMap<Box<str>, u64>,
    example: String,
}

impl Gathered {
    fn row(&mut self, time: i64, bucket: usize, buckets: usize, severity: i32, service: &str, message: &str) {
        if self.counts.is_empty() {
            self.counts = vec![0; buckets];
            self.first = time;
        }
        if self.count == 0 || time >= self.last {
            self.last = time;
            self.example.clear();
            self.example.push_str(&message[..message.floor_char_boundary(MAX_EXAMPLE)]);
        }
        self.first = self.first.min(time);
        self.count += 1;
        self.counts[bucket] += 1;
        self.severity = self.severity.max(severity);
        if let Some(rows) = self.services.get_mut(service) {
            *rows += 1;
        } else if self.services.len() < MAX_SERVICES {
            self.services.insert(service.into(), 1);
        }
    }

    fn add(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        if other.last > self.last {
            (self.last, self.example) = (other.last, other.example);
        }
        self.first = self.first.min(other.first);
        self.count += other.count;
        self.severity = self.severity.max(other.severity);
        self.counts.iter_mut().zip(other.counts).for_each(|(total, count)| *total += count);
        for (service, rows) in other.services {
            *self.services.entry(service).or_default() += rows;
        }
    }
}

/// Templates of some rows, and their memory.
struct Found {
    templates: Templates<Gathered>,
    unmatched: u64,
    scratch: String,
    message: String,
    held: Held,
}

impl Found {
    fn new(control: &Control) -> Self {
        Self {
            templates: Templates::new(MAX_TEMPLATES),
            unmatched: 0,
            scratch: String::new(),
            message: String::new(),
            held: control.held(),
        }
    }

    fn batch(&mut self, batch: &RecordBatch, buckets: Buckets) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        let severity = severities(batch)?;
        for row in 0..batch.num_rows() {
            let body = cells.text("body", row).unwrap_or_default();
            let message = if body.starts_with('{') && said(body, &mut self.message) { &self.message } else { body };
            let time = cells.integer("time", row).unwrap_or_default();
            match self.templates.of(message, &mut self.scratch) {
                Some(gathered) => gathered.row(
                    time,
                    buckets.of(time),
                    buckets.count,
                    severity(row) as i32,
                    cells.text("service_name", row).unwrap_or_default(),
                    message,
                ),
                None => self.unmatched += 1,
            }
        }
        let each = size_of::<Gathered>() + buckets.count * size_of::<u64>() + MAX_EXAMPLE / 4;
        self.held.cover(self.templates.bytes() + self.templates.len() * each)
    }
}

/// The message that a structured body says, if it does.
fn said(body: &str, message: &mut String) -> bool {
    let members = read_object(body);
    let found = MESSAGE_KEYS.iter().find_map(|wanted| {
        members.iter().find_map(|(key, value)| match value {
            AnyValue::String(text) if key == wanted => Some(text),
            _ => None,
        })
    });
    if let Some(text) = found {
        message.clear();
        message.push_str(text);
    }
    found.is_some()
}

/// A search for the fixed words of a template: what stands between its wildcards, as phrases.
fn search(template: &str) -> String {
    let mut phrases: Vec<String> = Vec::new();
    for piece in template.split(WILDCARD) {
        // Words of the index are runs of letters and digits, and a wildcard stands for whole ones.
        let words = piece.trim_matches(|c: char| !c.is_alphanumeric()).replace(['"', '\\'], " ");
        if !words.is_empty() {
            phrases.push(format!("\"{words}\""));
        }
    }
    phrases.join(" ")
}

impl QueryService {
    /// The templates that the logs a search finds are written by.
    pub async fn patterns(&self, request: &PatternsRequest) -> Result<Patterns, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let span = request.range.end.saturating_sub(request.range.start).max(1);
        let width = span.cast_unsigned().div_ceil(request.buckets.clamp(1, 200) as u64);
        let buckets = Buckets::new(request.range, Some(Duration::from_nanos(width)))?;
        let filter = crate::language::parse(&request.query, Signal::Logs)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let columns = vec!["time", "severity_number", "severity_text", "service_name", "body"];
        let scan = ScanRequest { signal: Signal::Logs, filter, range: request.range, columns };
        let nothing = control.clone();
        let init = move || Found::new(&nothing);
        let each = move |found: &mut Found, batch: &RecordBatch| found.batch(batch, buckets);
        let (states, scan) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        let (all, unmatched) = scan::blocking(move || Ok(merged(states))).await?;

        let mut coverage = Coverage::of_scan(&scan, started);
        if unmatched > 0 {
            coverage.cut(format!("limit of {MAX_TEMPLATES} different patterns"));
        }
        let mut patterns: Vec<Pattern> = all
            .into_all()
            .map(|(template, gathered)| pattern(template, gathered, scan.matched, request.new_since))
            .collect();
        let distinct = patterns.len() as u64;
        patterns.sort_by(|left, right| {
            (right.is_new, right.count).cmp(&(left.is_new, left.count)).then_with(|| left.template.cmp(&right.template))
        });
        if patterns.len() > limit {
            patterns.truncate(limit);
            coverage.cut(format!("limit of {limit} patterns"));
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Patterns { start: buckets.start, step_ns: buckets.step, patterns, distinct, unmatched, coverage })
    }
}

fn merged(states: Vec<Found>) -> (Templates<Gathered>, u64) {
    let mut all = Templates::new(MAX_TEMPLATES);
    let mut unmatched = 0;
    // Those of more templates first: others then find what they fit.
    let mut states = states;
    states.sort_by_key(|found| std::cmp::Reverse(found.templates.len()));
    for found in states {
        unmatched += found.unmatched;
        let left_out = all.merge(found.templates, Gathered::add);
        unmatched += left_out.iter().map(|gathered| gathered.count).sum::<u64>();
    }
    (all, unmatched)
}

fn pattern(template: String, gathered: Gathered, matched: u64, new_since: Option<i64>) -> Pattern {
    let mut services: Vec<(Box<str>, u64)> = gathered.services.into_iter().collect();
    services.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    Pattern {
        query: search(&template),
        template,
        count: gathered.count,
        share: gathered.count as f64 / matched.max(1) as f64,
        first_unix_nano: gathered.first.to_string(),
        last_unix_nano: gathered.last.to_string(),
        is_new: new_since.map(|since| gathered.first >= since),
        max_severity_number: gathered.severity,
        services: services.into_iter().map(|(name, _)| name.into()).collect(),
        counts: gathered.counts,
        example: gathered.example,
    }
}
