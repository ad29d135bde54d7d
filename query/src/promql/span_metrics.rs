//! Metrics that Tempo's metrics generator would have written, computed from the stored spans when they are asked for: those of the
//! service graph, and those of spans (<https://grafana.com/docs/tempo/latest/metrics-generator/>).
//!
//! A call of the graph is a client span with the server span that it is the parent of, or a producer with its consumer; a client or producer
//! without the other side calls what its attributes name. Counters begin at the start of what a selector reads, so that `rate` and `increase` are
//! right; their own value is not that of all time. Series that were written under these names are given instead when there are any.

use super::labels::{Labels, NAME};
use super::series::Samples;
use crate::cells::Cells;
use crate::language::{Expr, FieldRef, Matcher as FieldMatcher};
use crate::scan::{self, Control, Held, ScanRequest};
use crate::{ErrorCode, QueryError};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::{Signal, Store, TimeRange};
use promql_parser::label::Matcher;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long before and after the range the other side of a call is looked for, in nanoseconds.
const MARGIN: i64 = 300_000_000_000;
/// The time between samples at least, and at most, in milliseconds: a rate over a few minutes needs two of them.
const STEP: i64 = 15_000;
const MAX_STEP: i64 = 60_000;
/// From so many samples on the time between them grows.
const MANY_SAMPLES: i64 = 2_000;
/// Series that may be computed.
const MAX_SERIES: usize = 50_000;

/// Upper bounds of buckets, in seconds, as Tempo has them.
const GRAPH_BOUNDS: &[f64] = &[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8];
const SPAN_BOUNDS: &[f64] = &[0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.02, 2.05, 4.1];

/// Which figure of a call or a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Count,
    Failed,
    Sum,
    Buckets,
}

/// Whose duration it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Server,
    Client,
    Span,
}

/// What a name asks for.
fn asked(name: &str) -> Option<(Whose, Part)> {
    let part = |rest: &str| match rest {
        "bucket" => Some(Part::Buckets),
        "sum" => Some(Part::Sum),
        "count" => Some(Part::Count),
        _ => None,
    };
    if let Some(rest) = name.strip_prefix("traces_service_graph_request_") {
        return match rest {
            "total" => Some((Whose::Server, Part::Count)),
            "failed_total" => Some((Whose::Server, Part::Failed)),
            _ => match rest.split_once("_seconds_")? {
                ("server", rest) => Some((Whose::Server, part(rest)?)),
                ("client", rest) => Some((Whose::Client, part(rest)?)),
                _ => None,
            },
        };
    }
    match name.strip_prefix("traces_spanmetrics_")? {
        "calls_total" => Some((Whose::Span, Part::Count)),
        rest => Some((
            Whose::Span,
            part(rest.strip_prefix("latency_").or_else(|| rest.strip_prefix("duration_seconds_"))?)?,
        )),
    }
}

/// Something that happened: its labels, when, how long it took in seconds, and whether it failed.
struct Event {
    labels: usize,
    time: i64,
    seconds: f64,
    is_failed: bool,
}

/// What happened, and its memory.
struct Events {
    all: Vec<Event>,
    labels: Vec<Vec<(&'static str, String)>>,
    places: HashMap<Vec<(&'static str, String)>, usize>,
}

impl Events {
    fn new() -> Self {
        Self { all: Vec::new(), labels: Vec::new(), places: HashMap::new() }
    }

    fn place(&mut self, labels: Vec<(&'static str, String)>) -> Result<usize, QueryError> {
        if let Some(place) = self.places.get(&labels) {
            return Ok(*place);
        }
        if self.labels.len() >= MAX_SERIES {
            let message = format!("the spans of this range give more than {MAX_SERIES} series: take a shorter range");
            return Err(QueryError::new(ErrorCode::ResourceExhausted, message));
        }
        self.labels.push(labels.clone());
        self.places.insert(labels, self.labels.len() - 1);
        Ok(self.labels.len() - 1)
    }
}

/// One side of a call.
struct Side {
    service: Arc<str>,
    kind: i64,
    start: i64,
    duration: i64,
    is_failed: bool,
    parent: [u8; 8],
    /// What a client names that it calls, and the sort of connection.
    peer: Option<(Arc<str>, &'static str)>,
}

type SpanKey = ([u8; 16], [u8; 8]);

/// The sides of calls that were read, and their memory.
struct Sides {
    all: Vec<(SpanKey, Side)>,
    names: HashMap<String, Arc<str>>,
    bytes: usize,
    held: Held,
}

const SIDE_COLUMNS: [&str; 14] = [
    "time",
    "duration_ns",
    "trace_id",
    "span_id",
    "parent_span_id",
    "kind",
    "status_code",
    "service_name",
    "peer_service",
    "server_address",
    "db_system_name",
    "db_namespace",
    "messaging_system",
    "messaging_destination_name",
];

fn id<const N: usize>(batch: &RecordBatch, name: &str, row: usize) -> [u8; N] {
    use arrow::array::{Array as _, AsArray as _};
    let column = batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt());
    let value = column.filter(|ids| ids.is_valid(row)).and_then(|ids| <[u8; N]>::try_from(ids.value(row)).ok());
    value.unwrap_or([0; N])
}

impl Sides {
    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(text);
        self.names.insert(text.to_owned(), Arc::clone(&name));
        name
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let text = |name: &str| cells.text(name, row).filter(|text| !text.is_empty());
            let number = |name: &str| cells.integer(name, row).unwrap_or_default();
            let peer = match (text("db_system_name"), text("messaging_system")) {
                (Some(system), _) => {
                    Some((text("db_namespace").or(text("server_address")).unwrap_or(system), "database"))
                }
                (None, Some(system)) => {
                    Some((text("messaging_destination_name").unwrap_or(system), "messaging_system"))
                }
                (None, None) => text("peer_service").or(text("server_address")).map(|peer| (peer, "virtual_node")),
            };
            let peer = peer.map(|(name, kind)| (self.name(name), kind));
            let service = self.name(text("service_name").unwrap_or_default());
            let side = Side {
                service,
                kind: number("kind"),
                start: number("time"),
                duration: number("duration_ns"),
                is_failed: number("status_code") == 2,
                parent: id(batch, "parent_span_id", row),
                peer,
            };
            self.all.push(((id(batch, "trace_id", row), id(batch, "span_id", row)), side));
            self.bytes += 144;
        }
        self.held.cover(self.bytes)
    }
}

const SERVER: i64 = 2;
const CLIENT: i64 = 3;
const PRODUCER: i64 = 4;
const CONSUMER: i64 = 5;

/// The calls of some sides that began within a range.
fn calls(sides: Vec<(SpanKey, Side)>, whose: Whose, range: TimeRange) -> Result<Events, QueryError> {
    let (mut callers, mut callees) = (HashMap::new(), Vec::new());
    for (key, side) in sides {
        if matches!(side.kind, CLIENT | PRODUCER) {
            callers.insert(key, (side, false));
        } else {
            callees.push((key, side));
        }
    }
    let mut events = Events::new();
    let labels = |client: &str, server: &str, kind: &str| {
        vec![("client", client.to_owned()), ("connection_type", kind.to_owned()), ("server", server.to_owned())]
    };
    let mut event = |labels: Vec<(&'static str, String)>, time: i64, duration: i64, is_failed: bool| {
        if range.contains(time) {
            let labels = events.place(labels)?;
            events.all.push(Event { labels, time, seconds: duration.max(0) as f64 / 1e9, is_failed });
        }
        Ok::<(), QueryError>(())
    };
    for ((trace, _), callee) in callees {
        let Some((caller, is_met)) = callers.get_mut(&(trace, callee.parent)) else {
            // Whoever called from outside: Tempo names it so.
            if callee.parent == [0; 8] && callee.kind == SERVER {
                event(
                    labels("user", &callee.service, "virtual_node"),
                    callee.start,
                    callee.duration,
                    callee.is_failed,
                )?;
            }
            continue;
        };
        *is_met = true;
        let kind = if caller.kind == PRODUCER { "messaging_system" } else { "" };
        let duration = if whose == Whose::Client { caller.duration } else { callee.duration };
        let is_failed = caller.is_failed || callee.is_failed;
        event(labels(&caller.service, &callee.service, kind), callee.start, duration, is_failed)?;
    }
    for (caller, _) in callers.into_values().filter(|(_, is_met)| !is_met) {
        if let Some((peer, kind)) = &caller.peer {
            event(labels(&caller.service, peer, kind), caller.start, caller.duration, caller.is_failed)?;
        }
    }
    Ok(events)
}

fn filter_of(kinds: &[i64]) -> Expr {
    use crate::language::Literal;
    let any = kinds.iter().map(|kind| FieldMatcher::Equals(Literal::new(kind.to_string(), false)));
    Expr::Field(FieldRef::Column("kind"), FieldMatcher::Any(any.collect()))
}

async fn graph(
    store: &Arc<Store>,
    whose: Whose,
    range: TimeRange,
    control: &Control,
) -> Result<(Events, scan::ScanCoverage, Vec<Held>), QueryError> {
    let widened = TimeRange { start: range.start.saturating_sub(MARGIN), end: range.end.saturating_add(MARGIN) };
    let filter = filter_of(&[SERVER, CLIENT, PRODUCER, CONSUMER]);
    let request = ScanRequest { signal: Signal::Spans, filter, range: widened, columns: SIDE_COLUMNS.to_vec() };
    let nothing = control.clone();
    let init = move || Sides { all: Vec::new(), names: HashMap::new(), bytes: 0, held: nothing.held() };
    let (states, coverage) = scan::for_each(store, &request, control, init, Sides::add).await?;
    let (events, held) = scan::blocking(move || {
        let (mut all, mut held) = (Vec::new(), Vec::new());
        for state in states {
            held.push(state.held);
            all.extend(state.all);
        }
        Ok((calls(all, whose, range)?, held))
    })
    .await?;
    Ok((events, coverage, held))
}

/// The names of kinds and statuses as OpenTelemetry's protocol has them.
const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUSES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// Spans as events, and their memory.
struct Spans {
    events: Events,
    bytes: usize,
    held: Held,
}

impl Spans {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let text = |name: &str| cells.text(name, row).unwrap_or_default().to_owned();
            let number = |name: &str| cells.integer(name, row).unwrap_or_default();
            let named = |names: &[&str], number: i64| {
                usize::try_from(number).ok().and_then(|place| names.get(place)).map_or("", |name| name).to_owned()
            };
            let status = number("status_code");
            let labels = vec![
                ("service", text("service_name")),
                ("span_kind", named(&KINDS, number("kind"))),
                ("span_name", text("name")),
                ("status_code", named(&STATUSES, status)),
            ];
            let labels = self.events.place(labels)?;
            let seconds = number("duration_ns").max(0) as f64 / 1e9;
            self.events.all.push(Event { labels, time: number("time"), seconds, is_failed: status == 2 });
            self.bytes += 32;
        }
        self.held.cover(self.bytes)
    }
}

async fn of_spans(
    store: &Arc<Store>,
    matchers: &[Matcher],
    range: TimeRange,
    control: &Control,
) -> Result<(Events, scan::ScanCoverage, Vec<Held>), QueryError> {
    use crate::language::Literal;
    use promql_parser::label::MatchOp;
    let mut filter = Expr::All;
    for matcher in matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty()) {
        let column = match matcher.name.as_str() {
            "service" => "service_name",
            "span_name" => "name",
            _ => continue,
        };
        let value = FieldMatcher::Equals(Literal::new(matcher.value.clone(), true));
        filter = filter.and(Expr::Field(FieldRef::Column(column), value));
    }
    let columns = vec!["time", "duration_ns", "service_name", "name", "kind", "status_code"];
    let request = ScanRequest { signal: Signal::Spans, filter, range, columns };
    let nothing = control.clone();
    let init = move || Spans { events: Events::new(), bytes: 0, held: nothing.held() };
    let (states, coverage) = scan::for_each(store, &request, control, init, Spans::add).await?;
    let mut all = Events::new();
    let mut held = Vec::new();
    for state in states {
        held.push(state.held);
        let places = state.events.labels.into_iter().map(|labels| all.place(labels)).collect::<Result<Vec<_>, _>>()?;
        all.all.extend(state.events.all.into_iter().map(|event| Event { labels: places[event.labels], ..event }));
    }
    Ok((all, coverage, held))
}

/// The series of a name that is computed from spans, within a range in milliseconds; `None` for other names.
pub(super) async fn select(
    store: &Arc<Store>,
    name: &str,
    matchers: &[Matcher],
    (from, to): (i64, i64),
    control: &Control,
) -> Result<Option<(Vec<Samples>, scan::ScanCoverage, Vec<Held>)>, QueryError> {
    let Some((whose, part)) = asked(name) else { return Ok(None) };
    let range =
        TimeRange { start: from.saturating_mul(1_000_000), end: to.saturating_add(1).saturating_mul(1_000_000) };
    let (events, coverage, mut held) = match whose {
        Whose::Span => of_spans(store, matchers, range, control).await?,
        Whose::Server | Whose::Client => graph(store, whose, range, control).await?,
    };
    let bounds = if whose == Whose::Span { SPAN_BOUNDS } else { GRAPH_BOUNDS };
    let (name, matchers, own) = (name.to_owned(), matchers.to_vec(), control.held());
    let (series, own) = scan::blocking(move || {
        let mut own = own;
        let each = if part == Part::Buckets { bounds.len() + 1 } else { 1 };
        own.cover(events.labels.len() * each * (160 + 24 * steps(from, to).1))?;
        let series = sampled(&name, part, bounds, &events, (from, to));
        let fits =
            |samples: &Samples| matchers.iter().all(|matcher| matcher.is_match(samples.labels.get(&matcher.name)));
        Ok((series.into_iter().filter(fits).collect::<Vec<_>>(), own))
    })
    .await?;
    held.push(own);
    Ok(Some((series, coverage, held)))
}

/// The time between samples, and how many there are.
fn steps(from: i64, to: i64) -> (i64, usize) {
    let step = (to.saturating_sub(from) / MANY_SAMPLES).clamp(STEP, MAX_STEP).div_euclid(STEP) * STEP;
    let first = from.div_euclid(step) * step;
    (step, (to.saturating_sub(first) / step + 1).max(1) as usize)
}

/// Counters that rise with the events, a sample for each step.
fn sampled(name: &str, part: Part, bounds: &[f64], events: &Events, (from, to): (i64, i64)) -> Vec<Samples> {
    let (step, count) = steps(from, to);
    // The first sample is before all events, at nothing.
    let first = from.div_euclid(step) * step;
    let place = |time: i64| {
        let time = time.div_euclid(1_000_000) - first;
        // An event counts from the next sample on.
        ((time + step - 1).div_euclid(step).max(0) as usize).min(count)
    };
    // By labels and bucket, how much is added at each step.
    let mut added: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for event in &events.all {
        let at = place(event.time);
        if at >= count {
            continue;
        }
        let mut add = |bucket: usize, value: f64| {
            added.entry((event.labels, bucket)).or_insert_with(|| vec![0.0; count])[at] += value;
        };
        match part {
            Part::Count => add(0, 1.0),
            Part::Failed => add(0, f64::from(u8::from(event.is_failed))),
            Part::Sum => add(0, event.seconds),
            Part::Buckets => {
                for (bucket, bound) in bounds.iter().enumerate() {
                    add(bucket, f64::from(u8::from(event.seconds <= *bound)));
                }
                add(bounds.len(), 1.0);
            }
        }
    }
    added
        .into_iter()
        .map(|((labels, bucket), values)| {
            let own = events.labels[labels].iter().map(|(name, value)| (Arc::from(*name), Arc::from(value.as_str())));
            let mut labels = Labels::new(own).with(NAME, name);
            if part == Part::Buckets {
                let bound = bounds.get(bucket).copied().unwrap_or(f64::INFINITY);
                labels = labels.with("le", &super::read::number(bound));
            }
            let mut total = 0.0;
            let values: Vec<f64> = values
                .into_iter()
                .map(|value| {
                    total += value;
                    total
                })
                .collect();
            let times = (0..count).map(|number| first + step * number as i64).collect();
            Samples::new(labels, times, values)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_any_range_are_close_enough_for_rates() {
        for days in [1, 7, 30, 365] {
            let (step, count) = steps(0, days * 86_400_000);
            assert!((STEP..=MAX_STEP).contains(&step), "{days} days: {step}");
            assert!(count as i64 * step > days * 86_400_000, "{days} days are covered");
        }
    }

    #[test]
    fn names_of_tempo_are_known() {
        for (name, expected) in [
            ("traces_service_graph_request_total", Some((Whose::Server, Part::Count))),
            ("traces_service_graph_request_failed_total", Some((Whose::Server, Part::Failed))),
            ("traces_service_graph_request_server_seconds_bucket", Some((Whose::Server, Part::Buckets))),
            ("traces_service_graph_request_client_seconds_sum", Some((Whose::Client, Part::Sum))),
            ("traces_spanmetrics_calls_total", Some((Whose::Span, Part::Count))),
            ("traces_spanmetrics_latency_bucket", Some((Whose::Span, Part::Buckets))),
            ("traces_spanmetrics_other", None),
            ("requests_total", None),
        ] {
            assert_eq!(asked(name), expected, "{name}");
        }
    }
}
