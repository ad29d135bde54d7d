//! The join of spans with their parents and with those they are linked to, one set of traces at a time.

use super::links::{Link, SpanKey};
use super::names::Names;
use super::rows::{NO_PEER, Row, SHARDS, shard_of};
use super::tally::{Node, Tally};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::cmp::Ordering;
use std::hash::BuildHasher as _;

/// How many spans up it is looked whether a call is only the inside of another call.
const MAX_NESTED_CALLS: usize = 8;
/// The place of a parent that is not there.
const NONE: u32 = u32::MAX;

/// The spans of some traces, each once, findable by their ids.
pub(super) struct Shard {
    rows: Vec<Row>,
    /// Places in `rows`, by trace, span id and whether the span is a call to somewhere else.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Whether the callee of a client or producer span was found, for each row.
    is_answered: Vec<bool>,
    /// Consumers with the spans they are linked to.
    linked: Vec<Linked>,
}

/// A consumer span and the span that sent what it consumes.
#[derive(Clone, Copy, Debug)]
struct Linked {
    consumer: u32,
    sender_key: SpanKey,
    sender: Row,
}

impl Shard {
    /// Takes spans in. Of those with the same ids and the same side of a call the longest stays: a span that was sent twice
    /// counts once.
    pub(super) fn new(all: impl Iterator<Item = Row>, spans: usize, names: &Names) -> Self {
        let mut shard = Self {
            rows: Vec::with_capacity(spans),
            table: HashTable::with_capacity(spans),
            hasher: DefaultHashBuilder::default(),
            is_answered: Vec::new(),
            linked: Vec::new(),
        };
        for row in all {
            let Some(place) = shard.find(row.trace, row.span, row.is_outgoing()) else {
                let hash = shard.hash(row.trace, row.span);
                let place = shard.rows.len() as u32;
                shard.rows.push(row);
                let (rows, hasher) = (&shard.rows, &shard.hasher);
                let again = |place: &u32| {
                    let row = &rows[*place as usize];
                    hasher.hash_one((row.trace, row.span))
                };
                shard.table.insert_unique(hash, place, again);
                continue;
            };
            let known = &mut shard.rows[place as usize];
            match compare(&row, known, names) {
                Ordering::Greater => *known = row,
                Ordering::Equal => known.is_match |= row.is_match,
                Ordering::Less => {}
            }
        }
        shard.is_answered = vec![false; shard.rows.len()];
        shard
    }

    fn hash(&self, trace: [u64; 2], span: u64) -> u64 {
        self.hasher.hash_one((trace, span))
    }

    fn find(&self, trace: [u64; 2], span: u64, is_outgoing: bool) -> Option<u32> {
        let is_it = |place: &u32| {
            let row = &self.rows[*place as usize];
            row.span == span && row.trace == trace && row.is_outgoing() == is_outgoing
        };
        self.table.find(self.hash(trace, span), is_it).copied()
    }

    /// The place of a row's parent, or [`NONE`].
    ///
    /// Client and server may share one span id, as in B3: then the client is the server's parent, and of the client's and the
    /// server's children each belongs to that of its own service.
    fn parent(&self, place: u32) -> u32 {
        let row = &self.rows[place as usize];
        if row.is_incoming()
            && let Some(caller) = self.find(row.trace, row.span, true)
        {
            return caller;
        }
        if row.parent == 0 {
            return NONE;
        }
        let other_than_itself = |found: &u32| *found != place;
        let caller = self.find(row.trace, row.parent, true).filter(other_than_itself);
        let other = self.find(row.trace, row.parent, false).filter(other_than_itself);
        let is_of_its_service = |found: u32| self.rows[found as usize].service == row.service;
        match (caller, other) {
            (Some(caller), Some(other)) => {
                let prefers_caller = row.is_incoming() || (is_of_its_service(caller) && !is_of_its_service(other));
                if prefers_caller { caller } else { other }
            }
            (Some(found), None) | (None, Some(found)) => found,
            (None, None) => NONE,
        }
    }

    /// Counts the spans that match.
    pub(super) fn tally(mut self, tally: &mut Tally) {
        let parents: Vec<u32> = (0..self.rows.len() as u32).map(|place| self.parent(place)).collect();
        self.answer(&parents);
        self.linked.sort_unstable_by_key(|linked| (linked.consumer, linked.sender_key));
        self.linked.dedup_by_key(|linked| (linked.consumer, linked.sender_key));
        let mut linked = self.linked.as_slice();
        for (place, row) in self.rows.iter().enumerate() {
            let ahead = linked.partition_point(|linked| linked.consumer < place as u32);
            linked = &linked[ahead..];
            if !row.is_match {
                continue;
            }
            tally.span(row);
            let parent = self.rows.get(parents[place] as usize);
            if parent.is_none() && row.parent != 0 {
                tally.missing_parents += 1;
            }
            let mut is_called = parent.is_some();
            if let Some(caller) = parent
                && is_call(caller, row)
            {
                tally.call(caller, row);
            }
            for sent in linked.iter().take_while(|linked| linked.consumer == place as u32) {
                is_called = true;
                let is_parent =
                    parent.is_some_and(|parent| parent.is_outgoing() && (parent.trace, parent.span) == sent.sender_key);
                if !is_parent {
                    tally.call(&sent.sender, row);
                }
            }
            if row.is_incoming() && !is_called {
                tally.add(Node::Outside, Node::Service(row.service), row.protocol, row.duration, row.is_error);
            }
            if self.is_unanswered_call(place as u32) && !self.is_inside_a_call(place as u32, &parents) {
                tally.add(Node::Service(row.service), Node::Peer(row.peer), row.protocol, row.duration, row.is_error);
            }
        }
    }

    /// Marks the client and producer spans whose callee is there: among their children, or those of the calls inside them.
    fn answer(&mut self, parents: &[u32]) {
        for (place, parent) in parents.iter().enumerate() {
            let (row, Some(caller)) = (&self.rows[place], self.rows.get(*parent as usize)) else { continue };
            if caller.is_outgoing() && (row.is_incoming() || row.service != caller.service) {
                self.is_answered[*parent as usize] = true;
            }
        }
        let directly: Vec<u32> =
            (0..self.rows.len() as u32).filter(|place| self.is_answered[*place as usize]).collect();
        for mut place in directly {
            while let Some(around) = self.call_around(place, parents)
                && !self.is_answered[around as usize]
            {
                self.is_answered[around as usize] = true;
                place = around;
            }
        }
    }

    /// The client or producer span of the same service that a client or producer span is in.
    fn call_around(&self, place: u32, parents: &[u32]) -> Option<u32> {
        let row = &self.rows[place as usize];
        let parent = parents[place as usize];
        let around = self.rows.get(parent as usize)?;
        (around.is_outgoing() && around.service == row.service).then_some(parent)
    }

    /// Whether a row is a call that matches, names its peer, and has no span of the callee.
    fn is_unanswered_call(&self, place: u32) -> bool {
        let row = &self.rows[place as usize];
        row.is_match && row.is_outgoing() && row.peer != NO_PEER && !self.is_answered[place as usize]
    }

    /// Whether a call is inside another one that is counted, as the HTTP request inside a query to a database is.
    fn is_inside_a_call(&self, place: u32, parents: &[u32]) -> bool {
        let mut around = self.call_around(place, parents);
        for _ in 0..MAX_NESTED_CALLS {
            let Some(place) = around else { return false };
            if self.is_unanswered_call(place) {
                return true;
            }
            around = self.call_around(place, parents);
        }
        false
    }
}

/// Whether parent and child are the two sides of a call: spans of two services, or a service that calls itself.
const fn is_call(caller: &Row, callee: &Row) -> bool {
    caller.service != callee.service || (caller.is_outgoing() && callee.is_incoming())
}

/// Which of two spans with the same ids stays: the longer one; where that says nothing, whichever, but always the same.
fn compare(left: &Row, right: &Row, names: &Names) -> Ordering {
    let numbers = |row: &Row| (row.duration, row.kind, row.is_error, row.parent, row.protocol);
    numbers(left)
        .cmp(&numbers(right))
        .then_with(|| names.service(left.service).cmp(names.service(right.service)))
        .then_with(|| names.peer(left.peer).cmp(&names.peer(right.peer)))
}

/// Finds the spans of links: marks senders as answered, and tells the consumers' shards who sent what they consume.
pub(super) fn resolve(shards: &mut [Shard], links: &[Link]) {
    debug_assert_eq!(shards.len(), SHARDS, "links look for their shard by its number");
    for link in links {
        let (trace, span) = link.target;
        let home = &mut shards[shard_of(trace)];
        let Some(place) = home.find(trace, span, true) else { continue };
        let sender = home.rows[place as usize];
        home.is_answered[place as usize] = true;
        let (trace, span) = link.consumer;
        let home = &mut shards[shard_of(trace)];
        if let Some(consumer) = home.find(trace, span, false)
            && home.rows[consumer as usize].is_consumer()
        {
            home.linked.push(Linked { consumer, sender_key: link.target, sender });
        }
    }
}
