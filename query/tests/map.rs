//! The service map over a real store against a join by looking at every pair of spans.

mod calls;

use calls::{CLIENT, CONSUMER, INTERNAL, PRODUCER, SECOND, SERVER, START, Span, batch, span_id, store};
use mangru_query::{
    CallFigures, CallKind, MapEdge, MapNode, MapRequest, NodeKind, QueryService, QuerySettings, ServiceMap,
};
use mangru_store::{Signal, TimeRange};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Twenty minutes with more than the margin before and after.
const RANGE: TimeRange = TimeRange { start: START, end: START + 1_200 * SECOND };
const MARGIN: i64 = 300 * SECOND;

/// A search, and what it means for a span.
type Query = (&'static str, fn(&Span) -> bool);

const QUERIES: &[Query] = &[
    ("", |_| true),
    ("service:s1", |span| span.service == "s1"),
    ("-service:s0", |span| span.service != "s0"),
    ("kind:server", |span| span.kind == SERVER),
    ("kind:consumer OR kind:producer", |span| matches!(span.kind, CONSUMER | PRODUCER)),
    ("status:error", |span| span.is_error),
    ("duration>500ns", |span| span.duration > 500),
    ("server.address:h1", |span| span.promoted("server.address") == Some("h1")),
    ("service:nobody", |_| false),
];

fn span() -> impl Strategy<Value = Span> {
    let place = (0..10_u32, 0..30_u8, proptest::option::weighted(0.85, 0..30_u8));
    let kind = prop_oneof![
        Just(0),
        Just(INTERNAL),
        Just(SERVER),
        Just(SERVER),
        Just(CLIENT),
        Just(CLIENT),
        Just(PRODUCER),
        Just(CONSUMER),
        Just(CONSUMER),
    ];
    let service = (0..4_u8, prop_oneof![Just(None), Just(Some("shop"))]);
    let links = proptest::collection::vec((0..10_u32, 0..30_u8), 0..4);
    let optional = |key: &'static str, values: &'static [&'static str], weight: f64| {
        proptest::option::weighted(weight, 0..values.len())
            .prop_map(move |value| value.map(|value| (key, values[value].to_owned())))
    };
    let promoted = (
        optional("db.system.name", &["postgresql", "redis"], 0.15),
        optional("db.namespace", &["orders", "a/b"], 0.3),
        optional("messaging.system", &["kafka"], 0.15),
        optional("messaging.destination.name", &["paid", "sent"], 0.15),
        optional("peer.service", &["s1", "s2", "bank"], 0.2),
        optional("server.address", &["h1", "h2"], 0.3),
        optional("rpc.service", &["Cart"], 0.2),
        optional("http.request.method", &["GET"], 0.3),
    );
    let times = (-600..1_800_i64, 0..1_000_i64);
    (times, place, kind, service, links, promoted, any::<bool>()).prop_map(
        |((time, duration), (trace, id, parent), kind, (service, namespace), links, promoted, is_error)| Span {
            time: START + time * SECOND,
            duration,
            trace,
            id,
            parent,
            service: format!("s{service}"),
            // One service name is in two namespaces.
            namespace: namespace.filter(|_| service == 2),
            kind,
            is_error,
            // Some are linked to their parent, too.
            links: if kind == CONSUMER {
                let parent = parent.filter(|_| is_error).map(|parent| (trace, parent));
                links.into_iter().chain(parent).collect()
            } else {
                Vec::new()
            },
            promoted: [promoted.0, promoted.1, promoted.2, promoted.3, promoted.4, promoted.5, promoted.6, promoted.7]
                .into_iter()
                .flatten()
                .collect(),
            ..Span::default()
        },
    )
}

fn is_outgoing(span: &Span) -> bool {
    matches!(span.kind, CLIENT | PRODUCER)
}

fn is_incoming(span: &Span) -> bool {
    matches!(span.kind, SERVER | CONSUMER)
}

fn service_of(span: &Span) -> Service {
    (span.service.clone(), span.namespace.unwrap_or_default().to_owned())
}

fn protocol(span: &Span) -> CallKind {
    if matches!(span.kind, PRODUCER | CONSUMER)
        || span.promoted("messaging.system").or(span.promoted("messaging.destination.name")).is_some()
    {
        CallKind::Messaging
    } else if span.promoted("db.system.name").is_some() {
        CallKind::Db
    } else if span.promoted("rpc.service").is_some() {
        CallKind::Rpc
    } else if span.promoted("http.request.method").is_some() {
        CallKind::Http
    } else {
        CallKind::Internal
    }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

fn service_id((name, namespace): &Service) -> String {
    format!("service:{}/{}", escaped(namespace), escaped(name))
}

/// The id of what a call names; a service's when there is only one of the name.
fn peer(span: &Span, services: &BTreeSet<Service>) -> Option<String> {
    let of = |key: &str| span.promoted(key);
    let text = |key: &str| escaped(of(key).unwrap_or_default());
    if let Some(system) = of("db.system.name") {
        let name = of("db.namespace").or(of("server.address")).unwrap_or_default();
        return Some(format!("database:{system}/{}", escaped(name)));
    }
    if of("messaging.system").or(of("messaging.destination.name")).is_some() {
        return Some(format!("queue:{}/{}", text("messaging.system"), text("messaging.destination.name")));
    }
    if let Some(name) = of("peer.service") {
        let named: Vec<_> = services.iter().filter(|(service, _)| service == name).collect();
        return Some(match named.as_slice() {
            [only] => service_id(only),
            _ => format!("external:service/{name}"),
        });
    }
    let host = of("server.address").map(|host| format!("external:host/{host}"));
    host.or_else(|| of("rpc.service").map(|name| format!("external:rpc/{name}")))
}

type Weight = (i64, i32, bool, Option<[u8; 8]>, CallKind, Service);

/// What stays of spans with the same ids: the greatest of these.
fn weight(span: &Span) -> Weight {
    (span.duration, span.kind, span.is_error, span.parent.map(span_id), protocol(span), service_of(span))
}

#[derive(Debug, Default, PartialEq)]
struct Expected {
    nodes: BTreeMap<String, (Vec<i64>, u64)>,
    edges: BTreeMap<(String, String, CallKind), (Vec<i64>, u64)>,
    spans: u64,
    missing_parents: u64,
}

impl Expected {
    fn call(&mut self, from: &str, to: &str, kind: CallKind, duration: i64, is_error: bool) {
        let edge = self.edges.entry((from.to_owned(), to.to_owned(), kind)).or_default();
        edge.0.push(duration);
        edge.1 += u64::from(is_error);
        for end in [from, to] {
            let node = self.nodes.entry(end.to_owned()).or_default();
            if end == "outside" || (end == to && !end.starts_with("service:")) {
                node.0.push(duration);
                node.1 += u64::from(is_error);
            }
        }
    }
}

type Service = (String, String);

/// The spans that are joined, each once and with whether it matches, and their services.
fn joined(seen: &[Span], matches: fn(&Span) -> bool, is_filtered: bool) -> (Vec<(&Span, bool)>, BTreeSet<Service>) {
    let is_match = |span: &Span| RANGE.contains(span.time) && matches(span);
    // With a search only the traces of what matches are joined, and those their consumers are linked to.
    let matched: BTreeSet<u32> = seen.iter().filter(|span| is_match(span)).map(|span| span.trace).collect();
    let consumers = seen.iter().filter(|span| span.kind == CONSUMER && matched.contains(&span.trace));
    let mut traces: BTreeSet<u32> = consumers.flat_map(|span| &span.links).map(|(trace, _)| *trace).collect();
    traces.extend(&matched);
    let joined: Vec<&Span> = seen.iter().filter(|span| !is_filtered || traces.contains(&span.trace)).collect();
    let services = joined.iter().map(|span| service_of(span)).collect();
    let mut distinct: Vec<(&Span, bool)> = Vec::new();
    for span in &joined {
        let same =
            |other: &&Span| (other.trace, other.id, is_outgoing(other)) == (span.trace, span.id, is_outgoing(span));
        if distinct.iter().any(|(known, _)| same(known)) {
            continue;
        }
        let heaviest = joined.iter().copied().filter(same).max_by_key(|other| weight(other)).expect("itself");
        let mut equal = joined.iter().filter(|other| same(other) && weight(other) == weight(heaviest));
        distinct.push((heaviest, equal.any(|other| is_match(other))));
    }
    (distinct, services)
}

/// The map by looking at every pair.
fn expected(all: &[Span], matches: fn(&Span) -> bool, is_filtered: bool) -> Expected {
    let widened = TimeRange { start: RANGE.start - MARGIN, end: RANGE.end + MARGIN };
    let seen: Vec<Span> = all.iter().filter(|span| widened.contains(span.time)).cloned().collect();
    let (distinct, services) = joined(&seen, matches, is_filtered);
    let with_id = |trace: u32, id: u8, outgoing: bool| {
        distinct.iter().position(|(span, _)| (span.trace, span.id, is_outgoing(span)) == (trace, id, outgoing))
    };
    let parents: Vec<Option<usize>> = distinct
        .iter()
        .enumerate()
        .map(|(place, (span, _))| {
            let shared = with_id(span.trace, span.id, true).filter(|_| is_incoming(span));
            if shared.is_some() {
                return shared;
            }
            let parent = span.parent?;
            let caller = with_id(span.trace, parent, true).filter(|found| *found != place);
            let other = with_id(span.trace, parent, false).filter(|found| *found != place);
            let (Some(first), Some(second)) = (caller, other) else { return caller.or(other) };
            let is_ours = |found: usize| service_of(distinct[found].0) == service_of(span);
            let wants_caller = is_incoming(span) || (is_ours(first) && !is_ours(second));
            Some(if wants_caller { first } else { second })
        })
        .collect();
    let senders = |span: &Span| -> BTreeSet<usize> {
        let rows = seen.iter().filter(|row| (row.trace, row.id, row.kind) == (span.trace, span.id, CONSUMER));
        rows.flat_map(|row| &row.links).filter_map(|(trace, id)| with_id(*trace, *id, true)).collect()
    };
    let around = |place: usize| {
        parents[place].filter(|parent| {
            let parent = distinct[*parent].0;
            is_outgoing(parent) && service_of(parent) == service_of(distinct[place].0)
        })
    };

    let mut answered = vec![false; distinct.len()];
    for (place, (span, _)) in distinct.iter().enumerate() {
        if let Some(parent) = parents[place]
            && is_outgoing(distinct[parent].0)
            && (is_incoming(span) || service_of(span) != service_of(distinct[parent].0))
        {
            answered[parent] = true;
        }
    }
    for (trace, id) in seen.iter().filter(|span| span.kind == CONSUMER).flat_map(|span| &span.links) {
        if let Some(sender) = with_id(*trace, *id, true) {
            answered[sender] = true;
        }
    }
    loop {
        let inner = (0..distinct.len()).filter(|place| answered[*place] && is_outgoing(distinct[*place].0));
        let next: Vec<usize> = inner.filter_map(around).filter(|around| !answered[*around]).collect();
        if next.is_empty() {
            break;
        }
        for place in next {
            answered[place] = true;
        }
    }
    let is_unanswered = |place: usize| {
        let (span, is_match) = distinct[place];
        is_match && is_outgoing(span) && !answered[place] && peer(span, &services).is_some()
    };

    let mut map = Expected::default();
    let mut own: BTreeMap<String, [(Vec<i64>, u64); 2]> = BTreeMap::new();
    for (place, (span, _)) in distinct.iter().enumerate().filter(|(_, (_, is_match))| *is_match) {
        let me = service_id(&service_of(span));
        let figures = &mut own.entry(me.clone()).or_default()[usize::from(is_incoming(span))];
        figures.0.push(span.duration);
        figures.1 += u64::from(span.is_error);
        map.spans += 1;
        map.missing_parents += u64::from(parents[place].is_none() && span.parent.is_some());
        let senders = if span.kind == CONSUMER { senders(span) } else { BTreeSet::new() };
        let mut callers = senders.clone();
        callers.extend(parents[place].filter(|parent| {
            let parent = distinct[*parent].0;
            service_of(parent) != service_of(span) || (is_outgoing(parent) && is_incoming(span))
        }));
        for caller in callers {
            let caller = distinct[caller].0;
            let theirs = if is_outgoing(caller) { protocol(caller) } else { CallKind::Internal };
            let ours = if is_incoming(span) { protocol(span) } else { CallKind::Internal };
            let is_clients = caller.kind == CLIENT && span.kind != CONSUMER;
            let duration = if is_clients { caller.duration } else { span.duration };
            let is_error = span.is_error || (is_outgoing(caller) && caller.is_error);
            map.call(&service_id(&service_of(caller)), &me, theirs.max(ours), duration, is_error);
        }
        if is_incoming(span) && parents[place].is_none() && senders.is_empty() {
            map.call("outside", &me, protocol(span), span.duration, span.is_error);
        }
        let mut outer = around(place);
        let mut is_inside = false;
        for _ in 0..8 {
            is_inside |= outer.is_some_and(is_unanswered);
            outer = outer.and_then(around);
        }
        if is_unanswered(place) && !is_inside {
            let to = peer(span, &services).expect("it names its peer");
            map.call(&me, &to, protocol(span), span.duration, span.is_error);
        }
    }
    for (id, [others, entries]) in own {
        map.nodes.insert(id, if entries.0.is_empty() { others } else { entries });
    }
    map
}

fn figures((durations, errors): &(Vec<i64>, u64)) -> CallFigures {
    let mut sorted = durations.clone();
    sorted.sort_unstable();
    let calls = sorted.len();
    // Nearest rank, in whole numbers.
    let at = |percent: usize| sorted.get((percent * calls).div_ceil(100).max(1) - 1).copied();
    CallFigures {
        calls: calls as u64,
        errors: *errors,
        calls_per_second: calls as f64 / 1_200.0,
        error_ratio: if calls == 0 { 0.0 } else { *errors as f64 / calls as f64 },
        p50_ns: at(50),
        p95_ns: at(95),
        p99_ns: at(99),
    }
}

fn check(map: &ServiceMap, expected: &Expected, what: &str) {
    assert!(map.coverage.complete, "{what}: {:?}", map.coverage);
    assert_eq!((map.spans, map.missing_parents), (expected.spans, expected.missing_parents), "{what}");
    let nodes: BTreeMap<&str, &CallFigures> = map.nodes.iter().map(|node| (node.id.as_str(), &node.figures)).collect();
    assert_eq!(nodes.len(), map.nodes.len(), "{what}: each node once");
    let edges: BTreeMap<(String, String, CallKind), &CallFigures> =
        map.edges.iter().map(|edge| ((edge.from.clone(), edge.to.clone(), edge.kind), &edge.figures)).collect();
    assert_eq!(edges.len(), map.edges.len(), "{what}: each edge once");
    let expected_edges: BTreeMap<_, _> =
        expected.edges.iter().map(|(key, calls)| (key.clone(), figures(calls))).collect();
    let edges: BTreeMap<_, _> = edges.into_iter().map(|(key, figures)| (key, figures.clone())).collect();
    assert_eq!(edges, expected_edges, "{what}: edges");
    let expected_nodes: BTreeMap<_, _> =
        expected.nodes.iter().map(|(id, calls)| (id.as_str(), figures(calls))).collect();
    let nodes: BTreeMap<_, _> = nodes.into_iter().map(|(id, figures)| (id, figures.clone())).collect();
    assert_eq!(nodes, expected_nodes, "{what}: nodes");
}

async fn ask(service: &QueryService, query: &str) -> ServiceMap {
    let request = MapRequest { query: query.to_owned(), range: RANGE, max_spans: MapRequest::MAX_SPANS };
    service.map(&request).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_agrees_with_a_join_of_every_pair_hot_and_sealed() {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let (mut edges, mut kinds) = (0, BTreeSet::new());
    for round in 0..14 {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path()).await;
        let mut spans: Vec<Span> =
            proptest::collection::vec(span(), 40..240).new_tree(&mut runner).expect("spans").current();
        // Some are sent twice, long after, in another batch, some of them with another start.
        let again = |(number, span): (usize, &Span)| {
            let time = if number % 2 == 0 { span.time } else { START + 1_300 * SECOND };
            Span { time, ..span.clone() }
        };
        let again: Vec<Span> = spans.iter().step_by(7).enumerate().map(again).collect();
        spans.extend(again);
        let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
        let expected: Vec<Expected> =
            QUERIES.iter().map(|(query, matches)| expected(&spans, *matches, !query.is_empty())).collect();
        for (number, chunk) in spans.chunks(23).enumerate() {
            store.append(batch(chunk)).await.expect("append");
            if round % 2 == 0 && number % 3 == 0 {
                store.flush().await.expect("flush");
            }
        }
        for state in ["as they came", "sealed", "merged"] {
            match state {
                "sealed" => store.flush().await.expect("flush"),
                "merged" => store.compact_all().await.expect("merged"),
                _ => {}
            }
            for ((query, _), expected) in QUERIES.iter().zip(&expected) {
                let map = ask(&service, query).await;
                check(&map, expected, &format!("round {round}, {state}, `{query}`"));
                edges += map.edges.len();
                kinds.extend(map.nodes.iter().map(|node| format!("{:?}", node.kind)));
            }
        }
        assert!(store.snapshot(Signal::Spans).hot.is_empty(), "all is sealed in the end");
    }
    assert!(edges > 1_000, "only {edges} edges were compared");
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

/// The edges at a service of this name, with their figures.
fn edges_at<'a>(edges: &'a [MapEdge], name: &str) -> BTreeMap<(&'a str, &'a str, CallKind), &'a CallFigures> {
    let is_it = |id: &str| id.starts_with("service:") && id.ends_with(&format!("/{name}"));
    let touching = edges.iter().filter(|edge| is_it(&edge.from) || is_it(&edge.to));
    touching.map(|edge| ((edge.from.as_str(), edge.to.as_str(), edge.kind), &edge.figures)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_service_are_those_of_the_whole_map_at_it() {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let (mut compared, mut kinds) = (0, BTreeSet::new());
    for round in 0..8 {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path()).await;
        let mut spans: Vec<Span> =
            proptest::collection::vec(span(), 40..240).new_tree(&mut runner).expect("spans").current();
        let mut ids = BTreeSet::new();
        spans.retain_mut(|span| {
            span.promoted.retain(|(key, _)| *key != "peer.service");
            ids.insert((span.trace, span.id))
        });
        for chunk in spans.chunks(23) {
            store.append(batch(chunk)).await.expect("append");
        }
        if round % 2 == 0 {
            store.flush().await.expect("flush");
        }
        let service = QueryService::new(store, QuerySettings::default());
        let map = ask(&service, "").await;
        for name in ["s0", "s1", "s2", "s3"] {
            let calls = service.calls_of(name, RANGE).await.expect("calls");
            let found = edges_at(&calls.edges, name);
            assert_eq!(found.len(), calls.edges.len(), "round {round}: no edge elsewhere");
            assert_eq!(found, edges_at(&map.edges, name), "round {round}: {name}");
            let own = |nodes: &[MapNode]| nodes.iter().find(|node| node.name == name).map(|node| node.figures.clone());
            if name != "s2" {
                assert_eq!(own(&calls.nodes), own(&map.nodes), "round {round}: {name}");
            }
            compared += found.len();
            kinds.extend(calls.nodes.iter().map(|node| format!("{:?}", node.kind)));
        }
        assert!(service.calls_of("nobody", RANGE).await.expect("calls").nodes.is_empty());
    }
    assert!(compared > 100, "only {compared} edges were compared");
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_the_host_named_as_a_service_is_one_to_that_service() {
    let mut lost = call(1, 0, None, "web", CLIENT, 900);
    lost.promoted = vec![("server.address", "cart".to_owned()), ("http.request.method", "GET".to_owned())];
    let mut elsewhere = call(2, 1, None, "web", CLIENT, 700);
    elsewhere.promoted = vec![("server.address", "bank.example".to_owned()), ("http.request.method", "GET".to_owned())];
    let own = call(3, 2, None, "cart", INTERNAL, 100);
    let map = map_of(&[lost, elsewhere, own], "").await;
    assert_eq!(
        edges(&map),
        [("service:/web", "external:host/bank.example", 1, Some(700)), ("service:/web", "service:/cart", 1, Some(900))]
    );
}

fn call(time: i64, id: u8, parent: Option<u8>, service: &str, kind: i32, duration: i64) -> Span {
    Span {
        time: START + time * SECOND,
        duration,
        trace: 0,
        id,
        parent,
        service: service.to_owned(),
        kind,
        ..Span::default()
    }
}

async fn map_of(spans: &[Span], query: &str) -> ServiceMap {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    store.append(batch(spans)).await.expect("append");
    ask(&QueryService::new(store, QuerySettings::default()), query).await
}

fn edges(map: &ServiceMap) -> Vec<(&str, &str, u64, Option<i64>)> {
    let edges = map.edges.iter();
    edges.map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.figures.calls, edge.figures.p50_ns)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_the_clients_duration_and_is_found_across_the_edge_of_the_range() {
    let near = call(-299, 0, None, "web", CLIENT, 900);
    let far = call(-301, 0, None, "web", CLIENT, 900);
    let child = call(1, 1, Some(0), "cart", SERVER, 500);
    let map = map_of(&[child.clone(), near], "").await;
    assert_eq!(edges(&map), [("service:/web", "service:/cart", 1, Some(900))]);
    assert_eq!((map.spans, map.missing_parents, map.margin_ns), (1, 0, 300 * SECOND));
    let map = map_of(&[child, far], "").await;
    assert_eq!(edges(&map), [("outside", "service:/cart", 1, Some(500))]);
    assert_eq!(map.missing_parents, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_request_inside_a_query_is_not_a_call_of_its_own() {
    let mut query = call(1, 0, None, "web", CLIENT, 900);
    query.promoted = vec![("db.system.name", "elasticsearch".to_owned()), ("db.namespace", "logs".to_owned())];
    let mut inner = call(1, 1, Some(0), "web", CLIENT, 800);
    inner.promoted = vec![("server.address", "es-1".to_owned()), ("http.request.method", "POST".to_owned())];
    let map = map_of(&[query.clone(), inner.clone()], "").await;
    assert_eq!(edges(&map), [("service:/web", "database:elasticsearch/logs", 1, Some(900))]);
    let database = &map.nodes[0];
    assert_eq!((database.kind, database.name.as_str()), (NodeKind::Database, "logs"));
    assert_eq!(database.system.as_deref(), Some("elasticsearch"));
    // Where the inner request reaches a service that sends spans, it is the call.
    let served = call(1, 2, Some(1), "search", SERVER, 700);
    let map = map_of(&[query, inner, served], "").await;
    assert_eq!(edges(&map), [("service:/web", "service:/search", 1, Some(800))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_and_server_that_share_an_id_are_one_call() {
    let client = call(1, 5, None, "web", CLIENT, 900);
    let server = call(1, 5, None, "cart", SERVER, 500);
    let inner = call(2, 6, Some(5), "cart", INTERNAL, 100);
    let map = map_of(&[inner, server, client], "service:cart").await;
    assert_eq!(edges(&map), [("service:/web", "service:/cart", 1, Some(900))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_traces_are_joined_with_what_does_not_match() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let of_trace = |trace: u32| {
        let spans = [call(1, 0, None, "web", CLIENT, 900), call(1, 1, Some(0), "cart", SERVER, 500)];
        spans.map(|span| Span { trace, ..span })
    };
    let mut spans: Vec<Span> = (0..2_500).flat_map(of_trace).collect();
    // What belongs to none of these traces takes no room.
    spans.extend((3_000..3_100).map(|trace| Span { trace, ..call(1, 0, None, "mail", SERVER, 1) }));
    store.append(batch(&spans)).await.expect("append");
    for _ in ["hot", "sealed"] {
        let request = MapRequest { query: "service:cart".to_owned(), range: RANGE, max_spans: 5_000 };
        let map = service.map(&request).await.expect("map");
        assert!(map.coverage.complete, "{:?}", map.coverage);
        assert_eq!(edges(&map), [("service:/web", "service:/cart", 2_500, Some(900))]);
        store.flush().await.expect("flush");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_is_cut_says_by_which_limit() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let spans: Vec<Span> = (0..50).map(|id| call(1, id, None, "web", SERVER, 1)).collect();
    store.append(batch(&spans)).await.expect("append");
    let service = QueryService::new(store, QuerySettings::default());
    for query in ["", "service:web"] {
        let request = MapRequest { query: query.to_owned(), range: RANGE, max_spans: 50 };
        let whole = service.map(&request).await.expect("map");
        assert!(whole.coverage.complete && whole.spans == 50, "{query}: {:?}", whole.coverage);
        let cut = service.map(&MapRequest { max_spans: 49, ..request }).await.expect("map");
        assert_eq!((cut.spans, cut.coverage.matched), (49, 50), "{query}");
        assert_eq!(cut.coverage.limit_hit.as_deref(), Some("limit of 49 spans joined"));
        assert!(!cut.coverage.complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_attributes_name_what_is_called_where_those_of_today_do_not() {
    let with = |id: u8, kind: i32, promoted: &[(&'static str, &str)], attributes: &[(&str, &str)]| Span {
        promoted: promoted.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..call(i64::from(id), id, None, "web", kind, 10)
    };
    let spans = [
        with(1, CLIENT, &[], &[("db.system", "postgresql"), ("db.name", "shop"), ("net.peer.name", "db1")]),
        with(2, CLIENT, &[], &[("db.system", "redis"), ("net.peer.name", "cache1")]),
        with(3, CLIENT, &[("db.system.name", "mysql")], &[("db.name", "old")]),
        with(4, CLIENT, &[("server.address", "db2")], &[("db.system", "mongodb")]),
        with(5, PRODUCER, &[("messaging.system", "kafka")], &[("messaging.destination", "orders")]),
        with(6, CLIENT, &[], &[("http.method", "GET"), ("http.url", "https://me@api.example.com:8443/pay")]),
        with(7, CLIENT, &[], &[("url.full", "http://other.example.com/")]),
        with(8, CLIENT, &[("http.request.method", "GET"), ("server.address", "new")], &[("net.peer.name", "old")]),
        with(9, CLIENT, &[], &[("nothing", "said")]),
    ];
    let map = map_of(&spans, "").await;
    let found: Vec<(&str, CallKind)> = map.edges.iter().map(|edge| (edge.to.as_str(), edge.kind)).collect();
    let expected = [
        ("database:mongodb/db2", CallKind::Db),
        ("database:mysql/old", CallKind::Db),
        ("database:postgresql/shop", CallKind::Db),
        ("database:redis/cache1", CallKind::Db),
        ("external:host/api.example.com", CallKind::Http),
        ("external:host/new", CallKind::Http),
        ("external:host/other.example.com", CallKind::Http),
        ("queue:kafka/orders", CallKind::Messaging),
    ];
    assert_eq!(found, expected);
    let searched = map_of(&spans, "duration>0ns").await;
    assert_eq!(edges(&searched), edges(&map), "a search names them as well");
}
