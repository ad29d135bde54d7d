//! What traces come to: start, end, root, spans, errors and services, over all their spans, however many there are.

use super::find::{Found, trace_ids};
use super::{ServiceShare, TraceSummary, of_traces};
use crate::cells::Cells;
use crate::logs::any_time;
use crate::request::Unreadable;
use crate::scan::{self, Control, Held};
use crate::{QueryError, QueryService};
use arrow::array::{Array as _, RecordBatch};
use hashbrown::HashMap;
use mangru_store::{Signal, TraceId};
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::sync::Arc;

/// The columns that are summed up.
const COLUMNS: &[&str] = &["time", "duration_ns", "trace_id", "parent_span_id", "name", "status_code", "service_name"];
/// OpenTelemetry's number of the status error.
const ERROR: i64 = 2;

/// The memory that the sums of one request take, those of all threads together.
struct Room(Mutex<(usize, Held)>);

impl Room {
    fn take(&self, bytes: usize) -> Result<(), QueryError> {
        let mut taken = self.0.lock();
        let (sum, held) = &mut *taken;
        *sum += bytes;
        held.cover(*sum)
    }
}

/// The span that a trace is called after.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    time: i64,
    service: String,
    name: String,
}

impl Head {
    /// Takes the place of a later one; of two at the same time always the same stays.
    fn put(place: &mut Option<Self>, time: i64, service: &str, name: &str) {
        let is_earlier =
            place.as_ref().is_none_or(|known| (time, service, name) < (known.time, &*known.service, &*known.name));
        if is_earlier {
            *place = Some(Self { time, service: service.to_owned(), name: name.to_owned() });
        }
    }
}

/// A service's part of a trace.
#[derive(Debug)]
struct Share {
    first: i64,
    spans: u64,
    duration_ns: i64,
}

impl Default for Share {
    fn default() -> Self {
        Self { first: i64::MAX, spans: 0, duration_ns: 0 }
    }
}

impl Share {
    fn add(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.spans += other.spans;
        self.duration_ns = self.duration_ns.saturating_add(other.duration_ns);
    }
}

/// What the spans of a trace come to.
#[derive(Debug)]
struct Sum {
    start: i64,
    end: i64,
    spans: u64,
    errors: u64,
    /// The earliest span without parent.
    root: Option<Head>,
    /// The earliest span.
    first: Option<Head>,
    services: HashMap<String, Share>,
}

impl Default for Sum {
    fn default() -> Self {
        Self { start: i64::MAX, end: i64::MIN, spans: 0, errors: 0, root: None, first: None, services: HashMap::new() }
    }
}

impl Sum {
    fn append(&mut self, other: Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.spans += other.spans;
        self.errors += other.errors;
        for (place, head) in [(&mut self.root, other.root), (&mut self.first, other.first)] {
            if let Some(head) = head {
                Head::put(place, head.time, &head.service, &head.name);
            }
        }
        for (name, share) in other.services {
            self.services.entry(name).or_default().add(&share);
        }
    }

    fn summary(self, trace_id: &str, matched_spans: u64) -> TraceSummary {
        let mut services: Vec<(String, Share)> = self.services.into_iter().collect();
        services.sort_by(|(left_name, left), (right_name, right)| {
            (Reverse(left.spans), left.first, left_name).cmp(&(Reverse(right.spans), right.first, right_name))
        });
        let root_is_missing = self.root.is_none();
        let head = self.root.or(self.first);
        let (root_service, root_name) = head.map(|head| (head.service, head.name)).unwrap_or_default();
        TraceSummary {
            trace_id: trace_id.to_owned(),
            start_unix_nano: self.start.to_string(),
            duration_ns: self.end.saturating_sub(self.start),
            root_service,
            root_name,
            root_is_missing,
            spans: self.spans,
            errors: self.errors,
            matched_spans,
            services: services
                .into_iter()
                .map(|(name, share)| ServiceShare { name, spans: share.spans, duration_ns: share.duration_ns })
                .collect(),
        }
    }
}

/// Sums by trace.
#[derive(Default)]
struct Sums(HashMap<[u8; 16], Sum>);

impl Sums {
    fn read(&mut self, batch: &RecordBatch, room: &Room) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        let parents = batch.column_by_name("parent_span_id");
        let mut bytes = 0;
        for (row, trace) in trace_ids(batch) {
            let time = cells.integer("time", row).unwrap_or_default();
            let duration = cells.integer("duration_ns", row).unwrap_or_default();
            let service = cells.text("service_name", row).unwrap_or_default();
            let name = cells.text("name", row).unwrap_or_default();
            let sum = self.0.entry(trace).or_insert_with(|| {
                // Tables are up to half empty, and two names are kept.
                bytes += 2 * (size_of::<[u8; 16]>() + size_of::<Sum>()) + 2 * (service.len() + name.len());
                Sum::default()
            });
            sum.start = sum.start.min(time);
            sum.end = sum.end.max(time.saturating_add(duration.max(0)));
            sum.spans += 1;
            sum.errors += u64::from(cells.integer("status_code", row) == Some(ERROR));
            Head::put(&mut sum.first, time, service, name);
            if parents.is_none_or(|parents| parents.is_null(row)) {
                Head::put(&mut sum.root, time, service, name);
            }
            let known = sum.services.len();
            sum.services.entry_ref(service).or_default().add(&Share { first: time, spans: 1, duration_ns: duration });
            if sum.services.len() > known {
                bytes += 2 * size_of::<(String, Share)>() + service.len();
            }
        }
        room.take(bytes)
    }
}

impl QueryService {
    /// The summaries of all traces that were found, in their order, and how many of them have no span that can be read any more.
    pub(super) async fn summaries(
        &self,
        found: &Found,
        unreadable: &mut Unreadable,
        control: &Control,
    ) -> Result<(Vec<TraceSummary>, usize), QueryError> {
        if found.order.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let scan = any_time(Signal::Spans, of_traces(&found.order), COLUMNS.to_vec());
        let room = Arc::new(Room(Mutex::new((0, control.held()))));
        let shared = Arc::clone(&room);
        let each = move |sums: &mut Sums, batch: &RecordBatch| sums.read(batch, &shared);
        let (pieces, coverage) = scan::for_each(self.store(), &scan, control, Sums::default, each).await?;
        unreadable.add(&coverage.unreadable_parts);
        let mut sums: HashMap<[u8; 16], Sum> = HashMap::new();
        for (trace, sum) in pieces.into_iter().flat_map(|piece| piece.0) {
            sums.entry(trace).or_default().append(sum);
        }
        let mut gone = 0;
        let summaries = found.order.iter().zip(&found.places).map(|(id, place)| {
            let matched = found.matched.get(id).copied().unwrap_or_default();
            let sum = TraceId::from_hex(id).and_then(|id| sums.remove(&id.0)).unwrap_or_else(|| {
                // Its spans were there a moment ago: it is told with what is known of it.
                gone += 1;
                Sum { start: place.time, end: place.time, spans: matched, ..Sum::default() }
            });
            sum.summary(id, matched)
        });
        let summaries = summaries.collect();
        drop(room);
        Ok((summaries, gone))
    }
}
