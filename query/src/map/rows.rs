//! The rows that are joined: a few dozen bytes for each span, read from batches.

use super::CallKind;
use super::names::{Names, Peer, ServiceName};
use crate::QueryError;
use crate::scan::{Control, Held};
use arrow::array::{Array as _, ArrayRef, AsArray as _, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets of traces that are joined one by one, so that each one's rows and their table stay small enough for the processor's cache.
pub(super) const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 7;
/// The number of a peer that is not named.
pub(super) const NO_PEER: u32 = u32::MAX;

const CLIENT: u8 = 3;
const PRODUCER: u8 = 4;
const SERVER: u8 = 2;
const CONSUMER: u8 = 5;
const ERROR: i32 = 2;

/// The columns that [`Rows::read`] needs.
pub(super) const COLUMNS: &[&str] = &[
    "time",
    "trace_id",
    "span_id",
    "parent_span_id",
    "kind",
    "status_code",
    "duration_ns",
    "service_name",
    "service_namespace",
    "http_request_method",
    "rpc_service",
    "db_system_name",
    "db_namespace",
    "messaging_system",
    "messaging_destination_name",
    "server_address",
    "peer_service",
];

/// A span as far as the map needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) trace: [u64; 2],
    pub(super) span: u64,
    /// 0 for a root: no span has that id.
    pub(super) parent: u64,
    pub(super) duration: i64,
    /// A number of [`Names`].
    pub(super) service: u32,
    /// A number of [`Names`], or [`NO_PEER`].
    pub(super) peer: u32,
    pub(super) kind: u8,
    pub(super) protocol: CallKind,
    pub(super) is_error: bool,
    /// Whether the search matches it and it started in the range.
    pub(super) is_match: bool,
}

impl Row {
    /// Whether it is a call to somewhere else: a client or producer span.
    pub(super) const fn is_outgoing(&self) -> bool {
        matches!(self.kind, CLIENT | PRODUCER)
    }

    /// Whether it is a call from somewhere else: a server or consumer span.
    pub(super) const fn is_incoming(&self) -> bool {
        matches!(self.kind, SERVER | CONSUMER)
    }

    pub(super) const fn is_client(&self) -> bool {
        self.kind == CLIENT
    }

    pub(super) const fn is_consumer(&self) -> bool {
        self.kind == CONSUMER
    }
}

/// The bytes of a trace id as two numbers.
pub(super) fn trace_key(bytes: &[u8]) -> [u64; 2] {
    let half = |bytes: Option<&[u8]>| bytes.map_or(0, span_key);
    [half(bytes.get(..8)), half(bytes.get(8..16))]
}

/// The bytes of a span id as a number.
pub(super) fn span_key(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// Which set of traces a trace belongs to.
pub(super) const fn shard_of(trace: [u64; 2]) -> usize {
    // The upper bits of a product depend on all bits of the factor.
    ((trace[0] ^ trace[1]).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - SHARD_BITS)) as usize
}

/// What is done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is not wanted.
    Leave,
    /// It may be the parent or the child of one that matches.
    Context,
    /// It matches.
    Match,
}

/// What a row takes until it is joined: its list may have grown beyond its rows, and some sets have their table.
pub(super) const ROW_BYTES: usize = size_of::<Row>() * 3 / 2;

/// How many more rows one query may hold, and their memory.
#[derive(Debug)]
pub(super) struct Room {
    max_rows: usize,
    taken: Mutex<(usize, Held)>,
    is_full: AtomicBool,
}

impl Room {
    pub(super) fn new(max_rows: usize, control: &Control) -> Self {
        Self { max_rows, taken: Mutex::new((0, control.held())), is_full: AtomicBool::new(false) }
    }

    /// How many of so many rows there is room for; they are taken.
    ///
    /// # Errors
    /// When the query may not take the memory of so many.
    pub(super) fn take(&self, wanted: usize) -> Result<usize, QueryError> {
        let mut taken = self.taken.lock();
        let (rows, held) = &mut *taken;
        let fitting = wanted.min(self.max_rows - *rows);
        *rows += fitting;
        held.cover(*rows * ROW_BYTES)?;
        if fitting < wanted {
            self.is_full.store(true, Ordering::Relaxed);
        }
        Ok(fitting)
    }

    /// How many rows were taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.lock().0
    }

    /// Whether rows were refused.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }
}

/// Rows by their set of traces.
#[derive(Debug)]
pub(super) struct Rows {
    /// One for each set.
    pub(super) shards: Vec<Vec<Row>>,
    /// Rows that match, whether there was room for them or not.
    pub(super) matched: u64,
    /// Whether any of them is a consumer span.
    pub(super) has_consumers: bool,
    /// Whether any of them is a client or producer span.
    pub(super) has_calls: bool,
}

impl Default for Rows {
    fn default() -> Self {
        Self { shards: vec![Vec::new(); SHARDS], matched: 0, has_consumers: false, has_calls: false }
    }
}

pub(super) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, QueryError> {
    batch.column_by_name(name).ok_or_else(|| QueryError::internal(format!("column {name} was not read")))
}

/// A dictionary column; nothing when no row has a value.
struct Texts<'a>(Option<(&'a Int32Array, &'a StringArray)>);

impl<'a> Texts<'a> {
    fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, QueryError> {
        let array = column(batch, name)?;
        if array.null_count() == array.len() {
            return Ok(Self(None));
        }
        let dictionary = array
            .as_dictionary_opt::<Int32Type>()
            .ok_or_else(|| QueryError::internal(format!("column {name} is not a dictionary")))?;
        let values = dictionary
            .values()
            .as_string_opt::<i32>()
            .ok_or_else(|| QueryError::internal(format!("column {name} is not text")))?;
        Ok(Self(Some((dictionary.keys(), values))))
    }

    /// The place of the row's value among the values; -1 for none.
    fn place(&self, row: usize) -> i32 {
        self.0.map_or(-1, |(keys, _)| if keys.is_valid(row) { keys.value(row) } else { -1 })
    }

    fn has(&self, row: usize) -> bool {
        self.place(row) >= 0
    }

    fn text(&self, place: i32) -> &'a str {
        match (self.0, usize::try_from(place)) {
            (Some((_, values)), Ok(place)) if values.is_valid(place) => values.value(place),
            _ => "",
        }
    }
}

/// What a batch's rows say of the ones they call.
struct Peers<'a> {
    db_system: Texts<'a>,
    db_namespace: Texts<'a>,
    messaging_system: Texts<'a>,
    destination: Texts<'a>,
    peer_service: Texts<'a>,
    address: Texts<'a>,
    rpc_service: Texts<'a>,
    /// By what is said and the places of it.
    known: HashMap<(u8, i32, i32), u32>,
}

impl<'a> Peers<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Self, QueryError> {
        Ok(Self {
            db_system: Texts::of(batch, "db_system_name")?,
            db_namespace: Texts::of(batch, "db_namespace")?,
            messaging_system: Texts::of(batch, "messaging_system")?,
            destination: Texts::of(batch, "messaging_destination_name")?,
            peer_service: Texts::of(batch, "peer_service")?,
            address: Texts::of(batch, "server_address")?,
            rpc_service: Texts::of(batch, "rpc_service")?,
            known: HashMap::new(),
        })
    }

    fn is_messaging(&self, row: usize) -> bool {
        self.messaging_system.has(row) || self.destination.has(row)
    }

    /// The number of the peer that a row names: database before queue before service, host and RPC service.
    fn number(&mut self, row: usize, names: &Mutex<Names>) -> u32 {
        let key = if self.db_system.has(row) {
            match self.db_namespace.place(row) {
                -1 => (1, self.db_system.place(row), self.address.place(row)),
                namespace => (0, self.db_system.place(row), namespace),
            }
        } else if self.is_messaging(row) {
            (2, self.messaging_system.place(row), self.destination.place(row))
        } else if self.peer_service.has(row) {
            (3, self.peer_service.place(row), -1)
        } else if self.address.has(row) {
            (4, self.address.place(row), -1)
        } else if self.rpc_service.has(row) {
            (5, self.rpc_service.place(row), -1)
        } else {
            return NO_PEER;
        };
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let (what, first, second) = key;
        let text = |texts: &Texts<'_>, place| texts.text(place).to_owned();
        let peer = match what {
            0 => Peer::Database { system: text(&self.db_system, first), name: text(&self.db_namespace, second) },
            1 => Peer::Database { system: text(&self.db_system, first), name: text(&self.address, second) },
            2 => Peer::Queue {
                system: text(&self.messaging_system, first),
                destination: text(&self.destination, second),
            },
            3 => Peer::Service(text(&self.peer_service, first)),
            4 => Peer::Host(text(&self.address, first)),
            _ => Peer::Rpc(text(&self.rpc_service, first)),
        };
        let number = names.lock().peer_number(peer);
        self.known.insert(key, number);
        number
    }
}

fn ids<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a FixedSizeBinaryArray, QueryError> {
    column(batch, name)?
        .as_fixed_size_binary_opt()
        .ok_or_else(|| QueryError::internal(format!("column {name} does not hold ids")))
}

impl Rows {
    /// Adds the marked rows of a batch, as long as there is room.
    pub(super) fn read(
        &mut self,
        batch: &RecordBatch,
        marks: &[Mark],
        names: &Mutex<Names>,
        room: &Room,
    ) -> Result<(), QueryError> {
        let mut left = room.take(marks.iter().filter(|mark| **mark != Mark::Leave).count())?;
        let traces = ids(batch, "trace_id")?;
        let spans = ids(batch, "span_id")?;
        let parents = ids(batch, "parent_span_id")?;
        let kinds = column(batch, "kind")?.as_primitive::<Int32Type>().values();
        let statuses = column(batch, "status_code")?.as_primitive::<Int32Type>().values();
        let durations = column(batch, "duration_ns")?.as_primitive::<Int64Type>().values();
        let services = Texts::of(batch, "service_name")?;
        let namespaces = Texts::of(batch, "service_namespace")?;
        let methods = Texts::of(batch, "http_request_method")?;
        let mut peers = Peers::of(batch)?;
        let mut service_numbers: HashMap<(i32, i32), u32> = HashMap::new();
        for (row, mark) in marks.iter().enumerate().filter(|(_, mark)| **mark != Mark::Leave) {
            let is_match = *mark == Mark::Match;
            let kind = u8::try_from(kinds[row]).unwrap_or_default();
            self.matched += u64::from(is_match);
            self.has_consumers |= kind == CONSUMER;
            self.has_calls |= matches!(kind, CLIENT | PRODUCER);
            if left == 0 {
                continue;
            }
            left -= 1;
            let place = (services.place(row), namespaces.place(row));
            let service = *service_numbers.entry(place).or_insert_with(|| {
                let (name, namespace) = (services.text(place.0).to_owned(), namespaces.text(place.1).to_owned());
                names.lock().service_number(ServiceName { name, namespace })
            });
            let protocol = if matches!(kind, PRODUCER | CONSUMER) || peers.is_messaging(row) {
                CallKind::Messaging
            } else if peers.db_system.has(row) {
                CallKind::Db
            } else if peers.rpc_service.has(row) {
                CallKind::Rpc
            } else if methods.has(row) {
                CallKind::Http
            } else {
                CallKind::Internal
            };
            let is_call = matches!(kind, CLIENT | PRODUCER);
            let trace = trace_key(traces.value(row));
            self.shards[shard_of(trace)].push(Row {
                trace,
                span: span_key(spans.value(row)),
                parent: if parents.is_valid(row) { span_key(parents.value(row)) } else { 0 },
                duration: durations[row],
                service,
                peer: if is_call { peers.number(row, names) } else { NO_PEER },
                kind,
                protocol,
                is_error: statuses[row] == ERROR,
                is_match,
            });
        }
        Ok(())
    }
}
