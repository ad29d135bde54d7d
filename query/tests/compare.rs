//! Comparisons over a real store against counting row by row.

mod calls;
#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use calls::{CLIENT, INTERNAL, SECOND, SERVER, START, Span, batch, store};
use mangru_query::{CompareRequest, ComparedKind, Comparison, QueryService, QuerySettings};
use mangru_store::{Signal, TimeRange};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rows::{Log, logs};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A search, and what it means for a span.
type Query = (&'static str, fn(&Span) -> bool);

fn has(span: &Span, key: &str, value: &str) -> bool {
    span.attributes.iter().any(|(known, text)| known == key && text == value)
}

const SELECTIONS: &[Query] = &[
    ("status:error", |span| span.is_error),
    ("duration>700ns", |span| span.duration > 700),
    ("tier:gold", |span| has(span, "tier", "gold")),
    ("service:s1 kind:server", |span| span.service == "s1" && span.kind == SERVER),
    ("resource.host.name:h1", |span| span.resource.iter().any(|(key, host)| *key == "host.name" && host == "h1")),
    ("http.route:/pay", |span| span.promoted("http.route") == Some("/pay")),
    ("service:nobody", |_| false),
];

const BASELINES: &[Query] = &[
    ("", |_| true),
    ("duration<400ns", |span| span.duration < 400),
    ("service:s0 OR service:s1", |span| span.service == "s0" || span.service == "s1"),
];

fn span() -> impl Strategy<Value = Span> {
    let kind = prop_oneof![Just(INTERNAL), Just(SERVER), Just(CLIENT)];
    let facts = (0..4_u8, kind, 0..3_u8, 0..1_000_i64, 0..100_i64);
    let attributes = proptest::collection::vec((0..3_usize, 0..4_usize), 0..5);
    (facts, attributes, 0..4_usize, 0..10_u8).prop_map(
        |((service, kind, host, noise, time), attributes, route, luck)| {
            let route = ["/pay", "/cart", "/", ""][route];
            // Some things go together, so that there is something to find.
            let is_slow = route == "/pay" && host == 1;
            let is_error = luck == 0 || (is_slow && luck < 7);
            let mut attributes: Vec<(String, String)> = attributes
                .into_iter()
                .map(|(key, value)| (["tier", "a", "b"][key].to_owned(), ["gold", "free", "x", ""][value].to_owned()))
                .collect();
            if is_error {
                attributes.push(("why".to_owned(), "timeout".to_owned()));
            }
            Span {
                time: START + time * SECOND,
                duration: if is_slow { 700 + noise } else { noise },
                service: format!("s{service}"),
                kind,
                is_error,
                promoted: if route.is_empty() {
                    vec![("http.response.status_code", "204".to_owned())]
                } else {
                    vec![("http.route", route.to_owned())]
                },
                attributes,
                resource: vec![("host.name", format!("h{host}"))],
                ..Span::default()
            }
        },
    )
}

/// Fields and values of a span.
fn values(span: &Span) -> BTreeMap<(ComparedKind, String), String> {
    let kind = ["unspecified", "internal", "server", "client"][span.kind as usize];
    let status = if span.is_error { "error" } else { "unset" };
    let mut all = BTreeMap::new();
    let mut add = |kind, name: &str, value: &str| {
        all.entry((kind, name.to_owned())).or_insert_with(|| value.to_owned());
    };
    add(ComparedKind::Column, "service.name", &span.service);
    add(ComparedKind::Column, "kind", kind);
    add(ComparedKind::Column, "status", status);
    span.promoted.iter().for_each(|(key, value)| add(ComparedKind::Attribute, key, value));
    span.attributes.iter().for_each(|(key, value)| add(ComparedKind::Attribute, key, value));
    span.resource.iter().for_each(|(key, value)| add(ComparedKind::Resource, &format!("resource.{key}"), value));
    all
}

/// A value that stands out: its field, itself, rows on both sides.
type Found = (ComparedKind, String, String, u64, u64);

/// What stands out, the greatest difference of a field first, and how many values there are.
fn expected(
    spans: &[Span],
    selection: fn(&Span) -> bool,
    baseline: fn(&Span) -> bool,
) -> (BTreeSet<Found>, u64, [u64; 2]) {
    let mut counts: BTreeMap<((ComparedKind, String), String), [u64; 2]> = BTreeMap::new();
    let mut rows = [0; 2];
    for span in spans {
        let side = if selection(span) {
            0
        } else if baseline(span) {
            1
        } else {
            continue;
        };
        rows[side] += 1;
        for (field, value) in values(span) {
            counts.entry((field, value)).or_default()[side] += 1;
        }
    }
    if rows[0] == 0 || rows[1] == 0 {
        return (BTreeSet::new(), 0, rows);
    }
    let tested = counts.len() as u64;
    let entropy = |counts: &[u64]| -> f64 {
        counts.iter().filter(|count| **count > 0).map(|count| *count as f64 * (*count as f64).ln()).sum()
    };
    let found = counts.into_iter().filter_map(|(((kind, field), value), [a, b])| {
        let [n, m] = rows;
        // The statistic as sums of `x ln x`, which is the same.
        let g = 2.0
            * (entropy(&[a, b, n - a, m - b]) + entropy(&[n + m])
                - entropy(&[n, m])
                - entropy(&[a + b, n + m - a - b]));
        let is_more = a * m > b * n;
        let chance = (2.0 / (std::f64::consts::PI * g)).sqrt() * (-g / 2.0).exp() * tested as f64;
        (is_more && chance <= 0.01).then_some((kind, field, value, a, b))
    });
    (found.collect(), tested, rows)
}

fn check(answer: &Comparison, (expected, tested, rows): &(BTreeSet<Found>, u64, [u64; 2]), what: &str) {
    assert!(answer.coverage.complete, "{what}: {:?}", answer.coverage);
    assert_eq!([answer.selection_rows, answer.baseline_rows], *rows, "{what}");
    assert_eq!((answer.values_tested, answer.coverage.matched), (*tested, rows[0]), "{what}");
    let found: BTreeSet<Found> = answer
        .fields
        .iter()
        .flat_map(|field| {
            field.values.iter().map(|value| {
                let sides = (value.selection_rows, value.baseline_rows);
                (field.kind, field.name.clone(), value.value.clone(), sides.0, sides.1)
            })
        })
        .collect();
    assert_eq!(&found, expected, "{what}");
    for field in &answer.fields {
        assert_eq!(field.values_found, field.values.len() as u64, "{what}");
        assert!(field.values.is_sorted_by(|more, less| more.difference >= less.difference), "{what}");
        for value in &field.values {
            let shares = (value.selection_rows as f64 / rows[0] as f64, value.baseline_rows as f64 / rows[1] as f64);
            assert_eq!((value.selection_share, value.baseline_share), shares, "{what}");
            assert!((value.difference - (shares.0 - shares.1)).abs() < 1e-12, "{what}");
        }
    }
    let top = |field: &mangru_query::ComparedField| field.values[0].difference;
    assert!(answer.fields.is_sorted_by(|more, less| top(more) >= top(less)), "{what}");
}

fn request(signal: Signal, selection: &str, baseline: &str) -> CompareRequest {
    CompareRequest {
        selection_range: None,
        signal,
        selection: selection.to_owned(),
        baseline: Some(baseline.to_owned()).filter(|baseline| !baseline.is_empty()),
        range: TimeRange::ALL,
        max_fields: 100,
        max_values: 100,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn comparisons_agree_with_counting_row_by_row_hot_and_sealed() {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let mut found = 0;
    for round in 0..6 {
        let folder = tempfile::tempdir().expect("folder");
        let store = store(folder.path()).await;
        let spans: Vec<Span> =
            proptest::collection::vec(span(), 300..900).new_tree(&mut runner).expect("spans").current();
        let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
        for (number, chunk) in spans.chunks(97).enumerate() {
            store.append(batch(chunk)).await.expect("append");
            if round % 2 == 0 && number % 3 == 0 {
                store.flush().await.expect("flush");
            }
        }
        for state in ["as they came", "sealed"] {
            if state == "sealed" {
                store.flush().await.expect("flush");
            }
            for (selection, is_selected) in SELECTIONS {
                for (baseline, is_baseline) in BASELINES {
                    let what = format!("round {round}, {state}, `{selection}` against `{baseline}`");
                    let answer = service.compare(&request(Signal::Spans, selection, baseline)).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
                    check(&answer, &expected(&spans, *is_selected, *is_baseline), &what);
                    found += answer.fields.len();
                }
            }
        }
    }
    assert!(found > 300, "only {found} fields were found");
}

fn log(number: i64, route: &str) -> Log {
    Log {
        time: START + number,
        service: if number % 2 == 0 { "web" } else { "cart" }.to_owned(),
        severity: if number % 10 == 0 { 17 } else { 9 },
        body: format!("line {number}"),
        attributes: vec![
            ("route".to_owned(), route.to_owned()),
            ("request".to_owned(), format!("r-{number}")),
            ("tenant".to_owned(), if number % 10 == 0 { "blue" } else { "red" }.to_owned()),
        ],
        ..Log::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_compared_and_what_is_asked_for_is_marked() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    store.append(logs(&(0..1_000).map(|n| log(n, "/")).collect::<Vec<_>>())).await.expect("append");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let answer = service.compare(&request(Signal::Logs, "level:error", "")).await.expect("answer");
    let fields: Vec<(&str, bool)> = answer.fields.iter().map(|field| (field.name.as_str(), field.is_queried)).collect();
    // Ids are in one row each and stand out nowhere; the route is the same everywhere.
    assert_eq!(fields, [("severity", true), ("tenant", false), ("resource.site", false), ("service.name", false)]);
    let tenant = &answer.fields[1].values[0];
    assert_eq!((tenant.value.as_str(), tenant.selection_rows, tenant.baseline_rows), ("blue", 100, 0));
    assert_eq!((tenant.selection_share, tenant.baseline_share, tenant.is_cut), (1.0, 0.0, false));
    let web = &answer.fields[3].values[0];
    assert_eq!((web.value.as_str(), web.selection_rows, web.baseline_rows), ("web", 100, 400));

    let one = CompareRequest { max_fields: 1, ..request(Signal::Logs, "level:error", "") };
    let cut = service.compare(&one).await.expect("answer");
    assert_eq!((cut.fields.len(), cut.coverage.limit_hit.as_deref()), (1, Some("limit of 1 fields")));
    assert!(!cut.coverage.complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_with_too_many_values_are_left_out_and_named() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    for chunk in 0..3 {
        let rows: Vec<Log> = (chunk * 7_000..(chunk + 1) * 7_000).map(|n| log(n, &"/x".repeat(200))).collect();
        store.append(logs(&rows)).await.expect("append");
    }
    store.flush().await.expect("flush");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let answer = service.compare(&request(Signal::Logs, "tenant:blue", "")).await.expect("answer");
    assert_eq!(answer.left_out, ["request"]);
    assert_eq!(answer.coverage.limit_hit.as_deref(), Some("too many different values of request"));
    assert!(!answer.coverage.complete);
    assert_eq!(answer.fields[0].values[0].selection_rows, 2_100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_of_everything_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let service = QueryService::new(store(folder.path()).await, QuerySettings::default());
    for (selection, baseline, field) in [("", "", "query"), ("*", "a:1", "query"), ("a:1", "(", "baseline")] {
        let error = service.compare(&request(Signal::Logs, selection, baseline)).await.expect_err("refused");
        assert_eq!(error.field, Some(field), "{selection}: {error}");
    }
    let error = service.compare(&request(Signal::MetricPoints, "a:1", "")).await.expect_err("refused");
    assert_eq!(error.field, Some("signal"));
}
