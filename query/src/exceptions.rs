//! Exceptions in groups: what was thrown where, how often and since when, from the events of spans and from logs.

use crate::cells::Cells;
use crate::counts::Buckets;
use crate::language::{Expr, FieldRef, Matcher};
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::RecordBatch;
use hashbrown::{HashMap, HashSet};
use mangru_store::nested::{self, SpanEvent};
use mangru_store::value::AnyValue;
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::time::Instant;

/// Groups that are told apart; what is thrown beyond is counted as `ungrouped`.
const MAX_GROUPS: usize = 2_000;
/// Spans that are remembered, so that a log of the same exception is not counted again.
const MAX_SEEN: usize = 200_000;
/// Bytes of a message and of a stack trace that are kept.
const MAX_TEXT: usize = 16_384;
/// Services that are named for one group.
const MAX_SERVICES: usize = 50;

/// A request for exceptions.
#[derive(Clone, Debug)]
pub struct ExceptionsRequest {
    /// A search that is understood over spans and over logs alike, such as `service.name:checkout`; empty matches all.
    pub query: String,
    /// When they were thrown: the start of the span, the time of the log.
    pub range: TimeRange,
    /// How many groups, those thrown most often.
    pub limit: usize,
    /// Buckets of the trend.
    pub buckets: usize,
}

/// Exceptions in groups.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Exceptions {
    /// Where the first bucket of the trends starts, nanoseconds since the Unix epoch.
    pub start: i64,
    /// The width of a bucket in nanoseconds.
    pub step_ns: i64,
    /// Those thrown most often first.
    pub groups: Vec<ExceptionGroup>,
    /// Exceptions that are in no group, because there are too many groups.
    pub ungrouped: u64,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// Exceptions of one type from one place.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct ExceptionGroup {
    /// `exception.type`.
    pub kind: String,
    /// The first place that the stack trace names; without one the message without its numbers.
    pub place: String,
    /// How often. An exception in an event of a span and in a log of the same span counts once.
    pub count: u64,
    /// The first in the range, nanoseconds since the Unix epoch.
    pub first_unix_nano: String,
    /// The newest, nanoseconds since the Unix epoch.
    pub last_unix_nano: String,
    /// Who threw it, by name.
    pub services: Vec<String>,
    /// How often per bucket.
    pub counts: Vec<u64>,
    /// The newest one's message.
    pub message: String,
    /// The newest one's stack trace.
    pub stack_trace: String,
    /// The newest one's trace, in hex.
    pub trace_id: String,
    /// The newest one's span, in hex.
    pub span_id: String,
}

/// One exception.
struct Thrown {
    kind: String,
    message: String,
    stack_trace: String,
}

impl Thrown {
    fn read(attributes: &[(String, AnyValue)]) -> Option<Self> {
        let text = |key: &str| {
            let value = attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.text());
            value.map(|text| cut(&text).to_owned()).unwrap_or_default()
        };
        let thrown = Self {
            kind: text("exception.type"),
            message: text("exception.message"),
            stack_trace: text("exception.stacktrace"),
        };
        (!thrown.kind.is_empty() || !thrown.message.is_empty()).then_some(thrown)
    }

    fn place(&self) -> String {
        place_in(&self.stack_trace).unwrap_or_else(|| without_numbers(&self.message))
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The first place that a stack trace names: the line that starts with `at` (Java, JavaScript, .NET), the first that is
/// indented and names a file (Go, Ruby, Rust), or the last `File …` (Python writes the innermost last).
fn place_in(stack_trace: &str) -> Option<String> {
    let lines = || stack_trace.lines().map(str::trim);
    let python =
        lines().rfind(|line| line.starts_with("File \"")).map(|line| line.trim_start_matches("File ").to_owned());
    let found =
        python.or_else(|| lines().find_map(|line| line.strip_prefix("at ").map(str::to_owned))).or_else(|| {
            let is_place = |line: &&str| {
                line.contains(".go:") || line.contains(".rs:") || line.contains(".rb:") || line.contains(".php:")
            };
            lines().find(is_place).map(str::to_owned)
        })?;
    Some(found.chars().take(200).collect())
}

/// A message whose runs of digits and hex are one sign, so that those of one kind are alike.
fn without_numbers(message: &str) -> String {
    let mut out = String::new();
    for word in message.split_inclusive(char::is_whitespace).take(40) {
        if word.chars().any(|c| c.is_ascii_digit()) {
            out.push('…');
            out.extend(word.chars().last().filter(|c| c.is_whitespace()));
        } else {
            out.push_str(word);
        }
    }
    out.chars().take(200).collect()
}

type Key = (String, String);

/// Exceptions of some rows.
struct Found {
    groups: HashMap<Key, (i64, i64, ExceptionGroup)>,
    /// Spans that threw an exception of this type; a log of theirs tells of the same.
    seen: HashSet<(String, String)>,
    ungrouped: u64,
    held: Held,
}

impl Found {
    fn new(control: &Control) -> Self {
        Self { groups: HashMap::new(), seen: HashSet::new(), ungrouped: 0, held: control.held() }
    }

    fn take(&mut self, thrown: Thrown, cells: &Cells<'_>, row: usize, buckets: Buckets) {
        let time = cells.integer("time", row).unwrap_or_default();
        let key = (thrown.kind.clone(), thrown.place());
        if !self.groups.contains_key(&key) && self.groups.len() >= MAX_GROUPS {
            self.ungrouped += 1;
            return;
        }
        let (first, last, group) = self.groups.entry(key).or_insert_with_key(|(kind, place)| {
            let group = ExceptionGroup {
                kind: kind.clone(),
                place: place.clone(),
                counts: vec![0; buckets.count],
                ..ExceptionGroup::default()
            };
            (i64::MAX, i64::MIN, group)
        });
        *first = (*first).min(time);
        group.count += 1;
        group.counts[buckets.of(time).min(buckets.count - 1)] += 1;
        let service = cells.text("service_name", row).unwrap_or_default();
        if group.services.len() < MAX_SERVICES && !group.services.iter().any(|name| name == service) {
            group.services.push(service.to_owned());
        }
        if time >= *last {
            *last = time;
            group.message = thrown.message;
            group.stack_trace = thrown.stack_trace;
            group.trace_id = cells.id("trace_id", row);
            group.span_id = cells.id("span_id", row);
        }
    }

    fn spans(&mut self, batch: &RecordBatch, buckets: Buckets) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let events: Vec<SpanEvent> = nested::read(cells.text("events", row));
            for event in events.iter().filter(|event| event.name == "exception") {
                let Some(thrown) = Thrown::read(&event.attributes) else { continue };
                if self.seen.len() < MAX_SEEN {
                    self.seen.insert((cells.id("span_id", row), thrown.kind.clone()));
                }
                self.take(thrown, &cells, row, buckets);
            }
        }
        self.cover()
    }

    fn logs(
        &mut self,
        batch: &RecordBatch,
        buckets: Buckets,
        seen: &HashSet<(String, String)>,
    ) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let Some(thrown) = Thrown::read(&cells.attributes(row)) else { continue };
            if !seen.contains(&(cells.id("span_id", row), thrown.kind.clone())) {
                self.take(thrown, &cells, row, buckets);
            }
        }
        self.cover()
    }

    fn cover(&mut self) -> Result<(), QueryError> {
        let texts = |(_, _, group): &(i64, i64, ExceptionGroup)| 400 + group.stack_trace.len() + group.message.len();
        self.held.cover(self.groups.values().map(texts).sum::<usize>() + self.seen.len() * 96)
    }

    fn add(&mut self, other: Self) {
        self.ungrouped += other.ungrouped;
        self.seen.extend(other.seen);
        for (key, (first, last, group)) in other.groups {
            let Some((my_first, my_last, mine)) = self.groups.get_mut(&key) else {
                self.groups.insert(key, (first, last, group));
                continue;
            };
            *my_first = (*my_first).min(first);
            mine.count += group.count;
            mine.counts.iter_mut().zip(&group.counts).for_each(|(all, more)| *all += more);
            for service in group.services {
                if mine.services.len() < MAX_SERVICES && !mine.services.contains(&service) {
                    mine.services.push(service);
                }
            }
            if last > *my_last {
                *my_last = last;
                mine.message = group.message;
                mine.stack_trace = group.stack_trace;
                mine.trace_id = group.trace_id;
                mine.span_id = group.span_id;
            }
        }
    }
}

impl QueryService {
    /// What was thrown, in groups of one type and place: exceptions in events of spans and in attributes of logs.
    ///
    /// # Errors
    /// A search that is not one over spans and logs, a limit of zero, the deadline, more memory than a query may take.
    pub async fn exceptions(&self, request: &ExceptionsRequest) -> Result<Exceptions, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let length = request.range.end.saturating_sub(request.range.start).max(1);
        let count = request.buckets.clamp(1, 500);
        let step = (length.saturating_add(count as i64 - 1) / count as i64).max(1);
        let buckets = Buckets { start: request.range.start, step, count };
        let exists = |field: FieldRef| Expr::Field(field, Matcher::Exists);
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;

        let filter = crate::language::parse("event.name:exception", Signal::Spans)?
            .and(crate::language::parse(&request.query, Signal::Spans)?);
        let columns = vec!["time", "trace_id", "span_id", "service_name", "events"];
        let scan = ScanRequest { signal: Signal::Spans, filter, range: request.range, columns };
        let nothing = control.clone();
        let (states, mut coverage) = scan::for_each(
            self.store(),
            &scan,
            &control,
            move || Found::new(&nothing),
            move |found, batch| found.spans(batch, buckets),
        )
        .await?;
        let mut all = Found::new(&control);
        for found in states {
            all.add(found);
        }

        let filter = exists(FieldRef::of("attributes.exception.type", Signal::Logs))
            .and(crate::language::parse(&request.query, Signal::Logs)?);
        let mut columns = vec!["time", "trace_id", "span_id", "service_name", "attributes", "attribute_types"];
        columns.extend(
            mangru_store::PROMOTED
                .iter()
                .filter(|promoted| promoted.key.starts_with("exception."))
                .map(|promoted| promoted.column),
        );
        let scan = ScanRequest { signal: Signal::Logs, filter, range: request.range, columns };
        let (nothing, seen) = (control.clone(), std::sync::Arc::new(std::mem::take(&mut all.seen)));
        let (states, of_logs) = scan::for_each(
            self.store(),
            &scan,
            &control,
            move || Found::new(&nothing),
            move |found, batch| found.logs(batch, buckets, &seen),
        )
        .await?;
        coverage.add(of_logs);
        for found in states {
            all.add(found);
        }

        let ungrouped = all.ungrouped;
        let mut groups: Vec<ExceptionGroup> = all
            .groups
            .into_values()
            .map(|(first, last, mut group)| {
                group.first_unix_nano = first.to_string();
                group.last_unix_nano = last.to_string();
                group.services.sort_unstable();
                group
            })
            .collect();
        groups.sort_by(|left, right| {
            let key =
                |group: &ExceptionGroup| (std::cmp::Reverse(group.count), group.kind.clone(), group.place.clone());
            key(left).cmp(&key(right))
        });
        let mut coverage = Coverage::of_scan(&coverage, started);
        if groups.len() > limit {
            coverage.cut(format!("limit of {limit} groups"));
            groups.truncate(limit);
        }
        if ungrouped > 0 {
            coverage.cut(format!("limit of {MAX_GROUPS} groups that are told apart"));
        }
        Ok(Exceptions { start: buckets.start, step_ns: buckets.step, groups, ungrouped, coverage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_trace_names_its_place() {
        let java = "java.lang.IllegalStateException: no\n\tat shop.CardGateway.charge(CardGateway.java:118)\n\tat x.Y.z(Y.java:1)";
        assert_eq!(place_in(java).as_deref(), Some("shop.CardGateway.charge(CardGateway.java:118)"));
        let python = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\n  File \"b.py\", line 9, in f\nValueError: no";
        assert_eq!(place_in(python).as_deref(), Some("\"b.py\", line 9, in f"));
        let go = "goroutine 1 [running]:\nmain.main()\n\t/app/main.go:12 +0x1d";
        assert_eq!(place_in(go).as_deref(), Some("/app/main.go:12 +0x1d"));
        assert_eq!(place_in("nothing of use"), None);
    }

    #[test]
    fn messages_differ_by_words_not_by_numbers() {
        assert_eq!(
            without_numbers("order ORD-1 failed after 3 attempts"),
            without_numbers("order ORD-22 failed after 4 attempts")
        );
        assert_ne!(without_numbers("no card"), without_numbers("no stock"));
    }
}
