//! The service map: who calls whom, how often, how fast and how well, joined from the spans themselves at the time of the question.
//!
//! All spans of the range are read, and those that started up to [`MARGIN_NS`] before and after it, for a call that began
//! before the range or whose other side was late. So a span counts whenever and in whatever order it came in. With a search,
//! the spans that match are read first, and then the rest of their traces.

mod join;
mod links;
mod names;
mod near;
mod older;
mod rounds;
mod rows;
mod tally;

use crate::language::Expr;
use crate::scan::{self, Control, Held, ScanCoverage, ScanRequest, blocking};
use crate::{Coverage, ErrorCode, QueryError, QueryService};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use hashbrown::HashSet;
use join::Shard;
use links::Link;
use mangru_store::{Signal, TimeRange};
use names::Names;
use near::Near;
pub use near::ServiceCalls;
use parking_lot::Mutex;
use rounds::{MOST_ROUNDS, Round};
use rows::{Mark, Room, Row, Rows, SHARDS};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use tally::Tally;

/// How long before and after the range the other side of a call is looked for: five minutes, in nanoseconds.
const MARGIN_NS: i64 = 300_000_000_000;
/// Sets of traces that are joined at the same time.
const PARALLEL: usize = 2;
/// Pieces of work that the sets of traces are joined in.
const PIECES: usize = 16;
/// Traces that are looked up in the indexes; of more the rows are read one after the other.
const MAX_LOOKUPS: usize = 1_000;

/// A request for the service map.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// A search over spans; the ones that match are the callees, and the calls to what sends no spans. Empty matches all.
    pub query: String,
    /// When these spans started.
    pub range: TimeRange,
    /// How many spans are joined at most. Each takes about 85 bytes of the query's memory while it is joined; of more than fit the map is made in
    /// rounds, and each reads all spans.
    pub max_spans: usize,
}

impl MapRequest {
    /// The usual limit of spans.
    pub const MAX_SPANS: usize = 1_000_000_000;
}

/// Services and what they call, with figures: all that a picture of them needs.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ServiceMap {
    /// Services and what was inferred from calls to it, by `id`.
    pub nodes: Vec<MapNode>,
    /// Calls from node to node, one for each kind of call, by `from`, `to` and `kind`.
    pub edges: Vec<MapEdge>,
    /// Spans that match, each once however often it was sent.
    pub spans: u64,
    /// Spans that match and name a parent that was not found; server and consumer spans among them are calls from outside.
    pub missing_parents: u64,
    /// How long before and after the range parents and children were looked for, in nanoseconds.
    pub margin_ns: i64,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// A service, or what services call that sends no spans itself.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MapNode {
    /// The same in every answer.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// `service.name`; a database's `db.namespace`, else its host, else its system; a queue's `messaging.destination.name`, else
    /// its system; an external node's `peer.service`, `server.address` or `rpc.service`.
    pub name: String,
    /// `service.namespace`.
    pub namespace: Option<String>,
    /// `db.system.name` or `messaging.system`.
    pub system: Option<String>,
    /// Of a service its server and consumer spans that match, all that match when none of them is such a span; of an inferred node
    /// the calls to it; of the node `outside` the calls it makes.
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// It sends spans.
    Service,
    /// A database, known by the calls to it.
    Database,
    /// A message queue or topic whose consumer sends no spans.
    Queue,
    /// A host or service that sends no spans.
    External,
    /// Whatever calls services without being among the spans.
    Outside,
}

/// Calls from one node to another.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct MapEdge {
    /// The caller's `id`.
    pub from: String,
    /// The callee's `id`.
    pub to: String,
    /// What sort of calls.
    pub kind: CallKind,
    /// The calls.
    #[serde(flatten)]
    pub figures: CallFigures,
}

/// The sort of a call, by the attributes of its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// None of the others.
    Internal,
    /// `http.request.method` is there.
    Http,
    /// `rpc.service` is there.
    Rpc,
    /// `db.system.name` is there.
    Db,
    /// A producer or consumer span, or `messaging.system` or `messaging.destination.name` is there.
    Messaging,
}

/// How often, how well and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct CallFigures {
    /// Calls.
    pub calls: u64,
    /// Calls with the status error, on either side.
    pub errors: u64,
    /// Calls per second of the range.
    pub calls_per_second: f64,
    /// Errors among calls, 0 to 1.
    pub error_ratio: f64,
    /// Half of the calls took no longer, in nanoseconds.
    pub p50_ns: Option<i64>,
    /// 95 of 100 calls took no longer, in nanoseconds.
    pub p95_ns: Option<i64>,
    /// 99 of 100 calls took no longer, in nanoseconds.
    pub p99_ns: Option<i64>,
}

/// Which spans a scan takes.
#[derive(Clone)]
enum Pass {
    /// All of the range and its margins.
    Everything,
    /// Those of the range that match.
    Matching,
    /// Those of the range and its margins that belong to these traces and do not match.
    Rest(Arc<HashSet<[u8; 16]>>),
    /// Those of the range and its margins that match.
    Own,
    /// Those beside others that were read, and the traces that these are in.
    Near(Arc<Near>, Arc<HashSet<[u8; 16]>>),
}

/// What all scans of one question share.
struct Question {
    filter: Expr,
    range: TimeRange,
    widened: TimeRange,
    names: Mutex<Names>,
    room: Room,
    links_room: Room,
    round: Round,
}

impl Question {
    /// What is to be done with each row of a batch.
    fn marks(&self, pass: &Pass, batch: &RecordBatch) -> Result<Vec<Mark>, QueryError> {
        let times = rows::column(batch, "time")?.as_primitive::<TimestampNanosecondType>().values();
        let mut marks = match pass {
            Pass::Matching => vec![Mark::Match; batch.num_rows()],
            Pass::Near(near, _) => near.marks(batch, self.range, times)?,
            Pass::Everything | Pass::Own => {
                let mark = |time: &i64| if self.range.contains(*time) { Mark::Match } else { Mark::Context };
                times.iter().map(mark).collect()
            }
            Pass::Rest(traces) => {
                let matches = self.filter.matches(Signal::Spans, batch)?;
                let ids = rows::column(batch, "trace_id")?.as_fixed_size_binary();
                let is_rest = |row: usize, time: i64| {
                    let id = ids.value(row);
                    let was_read =
                        || matches.value(row) && self.range.contains(time) && self.round.holds(rows::trace_key(id));
                    traces.contains(id) && !was_read()
                };
                let mark = |(row, time): (usize, &i64)| if is_rest(row, *time) { Mark::Context } else { Mark::Leave };
                times.iter().enumerate().map(mark).collect()
            }
        };
        if matches!(pass, Pass::Everything | Pass::Matching) {
            self.round.restrict(&mut marks, batch)?;
        }
        Ok(marks)
    }

    fn scan(&self, pass: &Pass) -> ScanRequest {
        let mut columns = rows::COLUMNS.to_vec();
        let (filter, range) = match pass {
            Pass::Everything => (Expr::All, self.widened),
            Pass::Matching => (self.filter.clone(), self.range),
            Pass::Own => (self.filter.clone(), self.widened),
            Pass::Near(_, traces) => (one_by_one(traces), self.widened),
            Pass::Rest(traces) => {
                columns.extend(
                    self.filter.columns(Signal::Spans).into_iter().filter(|name| !rows::COLUMNS.contains(name)),
                );
                (one_by_one(traces), self.widened)
            }
        };
        ScanRequest { signal: Signal::Spans, filter, range, columns }
    }
}

/// A filter for spans of these traces; when they are many it takes all spans.
fn one_by_one(traces: &Arc<HashSet<[u8; 16]>>) -> Expr {
    if traces.len() <= MAX_LOOKUPS { Expr::Traces(Arc::clone(traces)) } else { Expr::All }
}

/// The range with its margins.
const fn widened(range: TimeRange) -> TimeRange {
    TimeRange { start: range.start.saturating_sub(MARGIN_NS), end: range.end.saturating_add(MARGIN_NS) }
}

/// The calls of all spans that were joined.
struct Joined {
    tally: Tally,
    names: Names,
    scan: ScanCoverage,
    is_full: bool,
    has_more_links: bool,
    /// The memory of what was counted.
    held: Held,
}

impl Joined {
    fn new(control: &Control) -> Self {
        Self {
            tally: Tally::default(),
            names: Names::default(),
            scan: ScanCoverage::default(),
            is_full: false,
            has_more_links: false,
            held: control.held(),
        }
    }
}

/// The spans that were read.
#[derive(Default)]
struct Read {
    pieces: Vec<Rows>,
    links: Vec<Link>,
    matched: u64,
    scan: ScanCoverage,
}

impl Read {
    fn cover(&mut self, scan: ScanCoverage) {
        self.scan.rows_in_range = self.scan.rows_in_range.max(scan.rows_in_range);
        let known = |path: &String| !self.scan.unreadable_parts.contains(path);
        let unreadable: Vec<String> = scan.unreadable_parts.into_iter().filter(known).collect();
        self.scan.unreadable_parts.extend(unreadable);
    }

    /// The traces of all rows.
    fn traces(&self) -> HashSet<[u8; 16]> {
        self.pieces.iter().flat_map(|rows| &rows.shards).flatten().map(|row| trace_bytes(row.trace)).collect()
    }
}

fn trace_bytes(trace: [u64; 2]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&trace[0].to_be_bytes());
    bytes[8..].copy_from_slice(&trace[1].to_be_bytes());
    bytes
}

impl QueryService {
    /// Services, what they call, and the calls of the range.
    ///
    /// A call is a span and its parent of another service, counted when the child started in the range and matches. Client
    /// and server side are one call, with the client's duration and an error of either side. A message is a call from a
    /// producer to the consumer that is its child or is linked to it, with the consumer's duration. A client or producer span
    /// without the callee's span is a call to what its attributes name, and a server or consumer span without a caller's span
    /// one from outside.
    ///
    /// # Errors
    /// A search that is not one, the deadline, too many queries, more memory than a query may take. Beyond `max_spans` the rest is left out and the coverage says so.
    pub async fn map(&self, request: &MapRequest) -> Result<ServiceMap, QueryError> {
        let started = Instant::now();
        let filter = crate::language::parse(&request.query, Signal::Spans)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let mut rounds = match filter {
            Expr::All => rounds::rounds_for(self.spans_in(widened(request.range)), control.memory().max_bytes()),
            _ => 1,
        };
        let joined = loop {
            match self.in_rounds(&filter, request, rounds, &control).await {
                Err(error) if error.code == ErrorCode::ResourceExhausted && rounds < MOST_ROUNDS => rounds *= 4,
                joined => break joined?,
            }
            rounds = rounds.min(MOST_ROUNDS);
        };
        let Joined { tally, names, scan, is_full, has_more_links, held: _held } = joined;
        let (spans, missing_parents) = (tally.spans, tally.missing_parents);
        let seconds = request.range.end.saturating_sub(request.range.start).max(1) as f64 / 1e9;
        let (nodes, edges, has_more_nodes) = blocking(move || Ok(tally.finish(&names, seconds))).await?;
        let mut coverage = Coverage::of_scan(&scan, started);
        if is_full {
            coverage.cut(format!("limit of {} spans joined", request.max_spans));
        }
        if has_more_links {
            coverage.cut(format!("limit of {} links", request.max_spans));
        }
        if has_more_nodes {
            coverage.cut(format!("limit of {} nodes", tally::MAX_NODES));
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(ServiceMap { nodes, edges, spans, missing_parents, margin_ns: MARGIN_NS, coverage })
    }

    /// The spans of the parts and hot batches that touch a range.
    fn spans_in(&self, range: TimeRange) -> u64 {
        let snapshot = self.store().snapshot(Signal::Spans);
        let parts = snapshot.parts.iter().filter(|part| range.touches(part.min_time(), part.max_time()));
        let hot = snapshot.hot.iter().map(|batch| batch.num_rows() as u64);
        parts.map(|part| u64::from(part.rows())).chain(hot).sum()
    }

    /// Joins the spans in so many rounds.
    async fn in_rounds(
        &self,
        filter: &Expr,
        request: &MapRequest,
        rounds: usize,
        control: &Control,
    ) -> Result<Joined, QueryError> {
        let question = |names: Names, room: usize, round: Round| {
            Arc::new(Question {
                filter: filter.clone(),
                range: request.range,
                widened: widened(request.range),
                names: Mutex::new(names),
                room: Room::new(room, control),
                links_room: Room::new(request.max_spans, control),
                round,
            })
        };
        let mut all = Joined::new(control);
        let mut linked = Read::default();
        // What the spans of a round are linked to has to be known before they are read.
        let of_links = question(Names::default(), 0, Round::whole());
        if rounds > 1 && matches!(filter, Expr::All) {
            self.read_links(&of_links, None, &mut linked, control).await?;
        }
        let (mut room, mut read) = (request.max_spans, Read::default());
        for number in 0..rounds {
            let round = Round::new(number, rounds, &linked.links);
            read.links = round.links(&linked.links);
            let question = question(std::mem::take(&mut all.names), room, round);
            self.read(&question, &mut read, control).await?;
            self.name_by_older(&question, &mut read, control).await?;
            let names = Arc::new(std::mem::take(&mut *question.names.lock()));
            let (pieces, links) = (std::mem::take(&mut read.pieces), std::mem::take(&mut read.links));
            all.tally.append(joined(pieces, links, &names, control).await?);
            all.held.cover(all.tally.bytes())?;
            all.names = Arc::try_unwrap(names).unwrap_or_else(|names| (*names).clone());
            room = room.saturating_sub(question.room.taken());
            all.is_full |= question.room.is_full();
            all.has_more_links |= question.links_room.is_full();
        }
        all.has_more_links |= of_links.links_room.is_full();
        all.scan = read.scan;
        all.scan.matched = read.matched;
        Ok(all)
    }

    /// Reads what a round joins. Of a round that is not the only one the links of a map of everything are there already.
    async fn read(&self, question: &Arc<Question>, read: &mut Read, control: &Control) -> Result<(), QueryError> {
        let is_everything = matches!(question.filter, Expr::All);
        let first = if is_everything { Pass::Everything } else { Pass::Matching };
        self.read_spans(question, first, read, control).await?;
        let has = |what: fn(&Rows) -> bool| read.pieces.iter().any(what);
        // Links lead from consumers to calls. Consumers that do not match tell still that a call was answered.
        if is_everything {
            if question.round.is_whole() && has(|rows| rows.has_consumers) {
                self.read_links(question, None, read, control).await?;
            }
            return Ok(());
        }
        let needs_links = has(|rows| rows.has_consumers || rows.has_calls);
        let mut traces = Arc::new(read.traces());
        if traces.is_empty() {
            return Ok(());
        }
        if needs_links {
            self.read_links(question, Some(Arc::clone(&traces)), read, control).await?;
            let mut wider = (*traces).clone();
            let of_ours = read.links.iter().filter(|link| traces.contains(&trace_bytes(link.consumer.0)));
            wider.extend(of_ours.map(|link| trace_bytes(link.target.0)));
            traces = Arc::new(wider);
        }
        self.read_spans(question, Pass::Rest(traces), read, control).await?;
        Ok(())
    }

    async fn read_spans(
        &self,
        question: &Arc<Question>,
        pass: Pass,
        read: &mut Read,
        control: &Control,
    ) -> Result<(), QueryError> {
        let scan = question.scan(&pass);
        let shared = Arc::clone(question);
        let (pieces, scan) = scan::for_each(self.store(), &scan, control, Rows::default, move |rows, batch| {
            rows.read(batch, &shared.marks(&pass, batch)?, &shared.names, &shared.room)
        })
        .await?;
        read.matched += pieces.iter().map(|rows| rows.matched).sum::<u64>();
        read.pieces.extend(pieces);
        read.cover(scan);
        Ok(())
    }

    async fn read_links(
        &self,
        question: &Arc<Question>,
        traces: Option<Arc<HashSet<[u8; 16]>>>,
        read: &mut Read,
        control: &Control,
    ) -> Result<(), QueryError> {
        let filter = crate::language::parse("kind:consumer", Signal::Spans)?;
        let scan =
            ScanRequest { signal: Signal::Spans, filter, range: question.widened, columns: links::COLUMNS.to_vec() };
        let shared = Arc::clone(question);
        let each = move |found: &mut Vec<Link>, batch: &RecordBatch| {
            links::read(found, batch, traces.as_deref(), &shared.links_room)
        };
        let (found, scan) = scan::for_each(self.store(), &scan, control, Vec::new, each).await?;
        read.links.extend(found.into_iter().flatten());
        read.cover(scan);
        Ok(())
    }
}

/// Joins the rows, some sets of traces at the same time.
async fn joined(
    pieces: Vec<Rows>,
    links: Vec<Link>,
    names: &Arc<Names>,
    control: &Control,
) -> Result<Tally, QueryError> {
    let mut sets: Vec<Vec<Vec<Row>>> = (0..SHARDS).map(|_| Vec::new()).collect();
    for rows in pieces {
        for (set, rows) in sets.iter_mut().zip(rows.shards).filter(|(_, rows)| !rows.is_empty()) {
            set.push(rows);
        }
    }
    let sets = in_pieces(sets);
    let built = futures::stream::iter(sets).map(|sets| {
        let (names, control) = (Arc::clone(names), control.clone());
        sets.into_iter().map(move |set| {
            control.check()?;
            let spans = set.iter().map(Vec::len).sum();
            Ok(Shard::new(set.into_iter().flatten(), spans, &names))
        })
    });
    if links.is_empty() {
        // Each set of traces goes when it is counted.
        return added(built.map(|shards| blocking(move || tallied(shards))).buffered(PARALLEL)).await;
    }
    let build = |shards: _| blocking(move || Iterator::collect::<Result<Vec<Shard>, QueryError>>(shards));
    let mut shards = built.map(build).buffered(PARALLEL).try_concat().await?;
    shards = blocking(move || {
        join::resolve(&mut shards, &links);
        Ok(shards)
    })
    .await?;
    let tallies = futures::stream::iter(in_pieces(shards)).map(|shards| {
        let control = control.clone();
        let checked = shards.into_iter().map(move |shard| control.check().map(|()| shard));
        blocking(move || tallied(checked))
    });
    added(tallies.buffered(PARALLEL)).await
}

/// Several at a time, for each thread to have some.
fn in_pieces<T>(all: Vec<T>) -> Vec<Vec<T>> {
    let (mut pieces, mut all) = (Vec::new(), all.into_iter());
    loop {
        let piece: Vec<T> = all.by_ref().take(SHARDS / PIECES).collect();
        if piece.is_empty() {
            return pieces;
        }
        pieces.push(piece);
    }
}

fn tallied(shards: impl Iterator<Item = Result<Shard, QueryError>>) -> Result<Tally, QueryError> {
    let mut tally = Tally::default();
    for shard in shards {
        shard?.tally(&mut tally);
    }
    Ok(tally)
}

async fn added(tallies: impl Stream<Item = Result<Tally, QueryError>>) -> Result<Tally, QueryError> {
    tallies
        .try_fold(Tally::default(), |mut all, tally| async move {
            all.append(tally);
            Ok(all)
        })
        .await
}
