//! Names of peers by attributes of older semantic conventions, for calls that those of today do not name.
//!
//! They have no columns of their own, so the attributes of client and producer spans are read for them, and only when there
//! are calls that are not named as well as they may be.

use super::names::{Names, Peer};
use super::rows::{NO_PEER, Row, Rows, column, span_key, trace_key};
use super::{CallKind, Question, Read};
use crate::scan::{self, Control, ScanRequest};
use crate::{QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use hashbrown::HashMap;
use mangru_store::Signal;
use parking_lot::Mutex;
use std::sync::Arc;

/// A span by its trace and its own id.
type Key = ([u64; 2], u64);

const fn key_of(row: &Row) -> Key {
    (row.trace, row.span)
}

/// What older attributes say.
#[derive(Debug, Default)]
struct Older<'a> {
    db_system: Option<&'a str>,
    db_name: Option<&'a str>,
    destination: Option<&'a str>,
    host: Option<&'a str>,
    url: Option<&'a str>,
    is_http: bool,
}

impl<'a> Older<'a> {
    fn add(&mut self, key: &str, value: &'a str) {
        match key {
            "db.system" => self.db_system = Some(value),
            "db.name" => self.db_name = Some(value),
            "messaging.destination" => self.destination = Some(value),
            "net.peer.name" => self.host = Some(value),
            "url.full" => self.url = Some(value),
            "http.url" => self.url = self.url.or(Some(value)),
            "http.method" => self.is_http = true,
            _ => {}
        }
    }

    /// A better name than the one that is known, and the kind of the call.
    fn named(&self, known: Option<&Peer>, kind: CallKind) -> Option<(Peer, CallKind)> {
        let host = || -> Option<&str> { self.host.or_else(|| host_of(self.url?)).filter(|host| !host.is_empty()) };
        let database = |system: &str, known_host: Option<&str>| {
            let name =
                self.db_name.map(str::to_owned).or(known_host.map(str::to_owned)).or_else(|| host().map(str::to_owned));
            let name = name.unwrap_or_default();
            let kind = if kind == CallKind::Messaging { kind } else { CallKind::Db };
            (Peer::Database { system: system.to_owned(), name }, kind)
        };
        match known {
            Some(Peer::Database { system, .. }) => {
                let better = database(system, None);
                (better.0 != *known?).then_some(better)
            }
            Some(Peer::Queue { system, .. }) => {
                let destination = self.destination?.to_owned();
                Some((Peer::Queue { system: system.clone(), destination }, CallKind::Messaging))
            }
            _ if self.db_system.is_some() => {
                let known_host = if let Some(Peer::Host(host)) = known { Some(host.as_str()) } else { None };
                self.db_system.map(|system| database(system, known_host))
            }
            _ if self.destination.is_some() => {
                let destination = self.destination?.to_owned();
                Some((Peer::Queue { system: String::new(), destination }, CallKind::Messaging))
            }
            Some(Peer::Service(_) | Peer::Host(_)) => None,
            Some(Peer::Rpc(_)) => host().map(|host| (Peer::Host(host.to_owned()), kind)),
            None => {
                let is_http = self.is_http || self.url.is_some();
                let kind = if kind == CallKind::Internal && is_http { CallKind::Http } else { kind };
                host().map(|host| (Peer::Host(host.to_owned()), kind))
            }
        }
    }
}

/// The host in a URL.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split(']').next();
    }
    host.split(':').next()
}

/// Whether older attributes may name the peer of a call better.
fn is_open(row: &Row, names: &Names) -> bool {
    if !row.is_outgoing() {
        return false;
    }
    match names.peer(row.peer) {
        None => true,
        Some(Peer::Database { name, .. }) => name.is_empty(),
        Some(Peer::Queue { destination, .. }) => destination.is_empty(),
        // Spans of today's conventions say by these what they are.
        Some(_) => !matches!(row.protocol, CallKind::Http | CallKind::Rpc),
    }
}

fn outgoing(pieces: &mut [Rows]) -> impl Iterator<Item = &mut Row> {
    pieces.iter_mut().flat_map(|rows| rows.shards.iter_mut()).flatten().filter(|row| row.is_outgoing())
}

impl QueryService {
    /// Names what calls of older instrumentation lead to.
    pub(super) async fn name_by_older(
        &self,
        question: &Arc<Question>,
        read: &mut Read,
        control: &Control,
    ) -> Result<(), QueryError> {
        let mut open: HashMap<Key, (u32, CallKind)> = HashMap::new();
        let mut held = control.held();
        {
            let names = question.names.lock();
            for row in outgoing(&mut read.pieces).filter(|row| is_open(row, &names)) {
                open.insert(key_of(row), (row.peer, row.protocol));
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        held.cover(open.capacity() * 2 * size_of::<(Key, (u32, CallKind))>())?;
        let filter = crate::language::parse("kind:client OR kind:producer", Signal::Spans)?;
        let columns = vec!["trace_id", "span_id", "kind", "attributes"];
        let scan = ScanRequest { signal: Signal::Spans, filter, range: question.widened, columns };
        let (open, shared) = (Arc::new(open), Arc::clone(question));
        let each = move |found: &mut Vec<(Key, (u32, CallKind))>, batch: &RecordBatch| {
            read_older(found, batch, &open, &shared.names)
        };
        let (found, scan) = scan::for_each(self.store(), &scan, control, Vec::new, each).await?;
        read.cover(scan);
        let found = {
            let names = question.names.lock();
            let mut chosen: HashMap<Key, (u32, CallKind)> = HashMap::new();
            // Of spans that share their ids always the same one names the peer.
            for (key, (peer, kind)) in found.into_iter().flatten() {
                let known = chosen.entry(key).or_insert((peer, kind));
                if (names.peer(peer), kind) < (names.peer(known.0), known.1) {
                    *known = (peer, kind);
                }
            }
            chosen
        };
        for row in outgoing(&mut read.pieces) {
            if let Some((peer, kind)) = found.get(&key_of(row)) {
                row.peer = *peer;
                row.protocol = *kind;
            }
        }
        Ok(())
    }
}

fn read_older(
    found: &mut Vec<(Key, (u32, CallKind))>,
    batch: &RecordBatch,
    open: &HashMap<Key, (u32, CallKind)>,
    names: &Mutex<Names>,
) -> Result<(), QueryError> {
    let not_so = |name: &str| QueryError::internal(format!("column {name} is not of its type"));
    let traces = column(batch, "trace_id")?.as_fixed_size_binary_opt().ok_or_else(|| not_so("trace_id"))?;
    let spans = column(batch, "span_id")?.as_fixed_size_binary_opt().ok_or_else(|| not_so("span_id"))?;
    let map = column(batch, "attributes")?.as_map_opt().ok_or_else(|| not_so("attributes"))?;
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    for row in 0..batch.num_rows() {
        let key = (trace_key(traces.value(row)), span_key(spans.value(row)));
        let Some((peer, kind)) = open.get(&key) else { continue };
        let mut older = Older::default();
        for entry in map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize {
            if values.is_valid(entry) && !values.value(entry).is_empty() {
                older.add(keys.value(entry), values.value(entry));
            }
        }
        let mut names = names.lock();
        let known = if *peer == NO_PEER { None } else { names.peer(*peer) };
        if let Some((peer, kind)) = older.named(known, *kind) {
            found.push((key, (names.peer_number(peer), kind)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_out_of_urls() {
        let hosts = [
            ("https://user:word@api.example.com:8443/a?b#c", Some("api.example.com")),
            ("http://[::1]:80/", Some("::1")),
            ("postgres://db", Some("db")),
            ("/path", None),
        ];
        for (url, host) in hosts {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
