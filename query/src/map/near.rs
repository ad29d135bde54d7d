//! The calls of one service: its own spans are read by their index, and of all others those that stand beside them.

use super::links::SpanKey;
use super::rows::{Mark, Room, column, span_key, trace_key};
use super::{
    MapEdge, MapNode, MapRequest, Pass, QueryError, QueryService, Question, Read, Round, joined, tally, trace_bytes,
    widened,
};
use crate::Coverage;
use crate::language::{Expr, FieldRef, Literal, Matcher};
use crate::scan::{Control, blocking};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use hashbrown::HashSet;
use mangru_store::TimeRange;
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// What a key takes in a set.
const KEY_BYTES: usize = 2 * size_of::<SpanKey>();

/// Who calls a service, and what it calls.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceCalls {
    /// The service, of each of its namespaces, and what stands at the other ends of its calls, by `id`. The figures of these
    /// are those of the spans beside the service's own, and say nothing of the rest.
    pub nodes: Vec<MapNode>,
    /// Calls to the service and from it, as the whole map has them.
    pub edges: Vec<MapEdge>,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// The spans beside those of a service.
#[derive(Debug, Default)]
pub(super) struct Near {
    /// Its own spans: their children are wanted.
    own: HashSet<SpanKey>,
    /// Their parents, and what is linked with them.
    wanted: HashSet<SpanKey>,
}

impl Near {
    fn of(read: &Read) -> Self {
        let mut near = Self::default();
        for row in read.pieces.iter().flat_map(|rows| &rows.shards).flatten() {
            near.own.insert((row.trace, row.span));
            if row.parent != 0 {
                near.wanted.insert((row.trace, row.parent));
            }
        }
        for link in &read.links {
            if near.own.contains(&link.consumer) {
                near.wanted.insert(link.target);
            }
            if near.own.contains(&link.target) {
                near.wanted.insert(link.consumer);
            }
        }
        near
    }

    fn bytes(&self) -> usize {
        (self.own.capacity() + self.wanted.capacity()) * KEY_BYTES
    }

    fn traces(&self) -> HashSet<[u8; 16]> {
        self.own.iter().chain(&self.wanted).map(|(trace, _)| trace_bytes(*trace)).collect()
    }

    /// What is to be done with each row of a batch that was not read yet.
    pub(super) fn marks(&self, batch: &RecordBatch, range: TimeRange, times: &[i64]) -> Result<Vec<Mark>, QueryError> {
        let traces = column(batch, "trace_id")?.as_fixed_size_binary();
        let spans = column(batch, "span_id")?.as_fixed_size_binary();
        let parents = column(batch, "parent_span_id")?.as_fixed_size_binary();
        let mark = |(row, time): (usize, &i64)| {
            let trace = trace_key(traces.value(row));
            let key = (trace, span_key(spans.value(row)));
            let is_child = || parents.is_valid(row) && self.own.contains(&(trace, span_key(parents.value(row))));
            if !self.wanted.contains(&key) && !self.own.contains(&key) && !is_child() {
                Mark::Leave
            } else if range.contains(*time) {
                Mark::Match
            } else {
                Mark::Context
            }
        };
        Ok(times.iter().enumerate().map(mark).collect())
    }
}

impl QueryService {
    /// Who calls the service of this name, and what it calls: the edges of the whole map at this service, without the rest.
    ///
    /// # Errors
    /// The deadline, too many queries, more memory than a query may take.
    pub async fn calls_of(&self, service: &str, range: TimeRange) -> Result<ServiceCalls, QueryError> {
        let started = Instant::now();
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let name = Literal::new(service.to_owned(), true);
        let max_spans = MapRequest::MAX_SPANS;
        let question = Arc::new(Question {
            filter: Expr::Field(FieldRef::Column("service_name"), Matcher::Equals(name)),
            range,
            widened: widened(range),
            names: Mutex::default(),
            room: Room::new(max_spans, &control),
            links_room: Room::new(max_spans, &control),
            round: Round::whole(),
        });
        let mut read = self.read_near(&question, &control).await?;
        self.name_by_older(&question, &mut read, &control).await?;
        let names = Arc::new(std::mem::take(&mut *question.names.lock()));
        let mut found = joined(std::mem::take(&mut read.pieces), read.links, &names, &control).await?;
        found.keep_service(service, &names);
        let seconds = range.end.saturating_sub(range.start).max(1) as f64 / 1e9;
        let (nodes, edges, has_more_nodes) = blocking(move || Ok(found.finish(&names, seconds))).await?;
        read.scan.matched = read.matched;
        let mut coverage = Coverage::of_scan(&read.scan, started);
        if question.room.is_full() || question.links_room.is_full() {
            coverage.cut(format!("limit of {max_spans} spans joined"));
        }
        if has_more_nodes {
            coverage.cut(format!("limit of {} nodes", tally::MAX_NODES));
        }
        Ok(ServiceCalls { nodes, edges, coverage })
    }

    async fn read_near(&self, question: &Arc<Question>, control: &Control) -> Result<Read, QueryError> {
        let mut read = Read::default();
        self.read_spans(question, Pass::Own, &mut read, control).await?;
        let matched = read.matched;
        let mut traces = Arc::new(read.traces());
        if traces.is_empty() {
            return Ok(read);
        }
        if read.pieces.iter().any(|rows| rows.has_consumers || rows.has_calls) {
            self.read_links(question, Some(Arc::clone(&traces)), &mut read, control).await?;
        }
        let near = Arc::new(Near::of(&read));
        let mut held = control.held();
        held.cover(near.bytes())?;
        traces = Arc::new(near.traces());
        self.read_spans(question, Pass::Near(near, traces), &mut read, control).await?;
        read.matched = matched;
        Ok(read)
    }
}
