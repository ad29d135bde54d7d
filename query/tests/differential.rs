//! Searches over a real store, half of it in parts, against a naive evaluation row by row.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{CountRequest, LogRow, QueryService, QuerySettings, RowsRequest};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rows::{Log, logs};
use std::sync::Arc;
use std::time::Duration;

const WORDS: &[&str] = &["alpha", "Beta", "gamma", "delta7", "결제", "실패", "ERROR"];
const VALUES: &[&str] = &["x", "y", "1", "2", "10", "5.0"];

/// A query, and what it means for a row.
#[derive(Clone, Debug)]
enum Query {
    All,
    Word(usize),
    Phrase(usize, usize),
    Prefix(&'static str),
    Part(&'static str),
    Equals(usize),
    AtLeast(i64),
    Exists(&'static str),
    Service(u8),
    Level(&'static str, i32),
    And(Box<Query>, Box<Query>),
    Or(Box<Query>, Box<Query>),
    Not(Box<Query>),
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

impl Query {
    fn text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Word(word) => WORDS[*word].to_owned(),
            Self::Phrase(first, second) => format!("\"{} {}\"", WORDS[*first], WORDS[*second]),
            Self::Prefix(prefix) => format!("{prefix}*"),
            Self::Part(part) => format!("body:*{part}*"),
            Self::Equals(value) => format!("a:{}", VALUES[*value]),
            Self::AtLeast(bound) => format!("a:>={bound}"),
            Self::Exists(key) => format!("{key}:*"),
            Self::Service(number) => format!("service:s{number}"),
            Self::Level(name, _) => format!("level>={name}"),
            Self::And(left, right) => format!("({}) ({})", left.text(), right.text()),
            Self::Or(left, right) => format!("({}) OR ({})", left.text(), right.text()),
            Self::Not(inner) => format!("-({})", inner.text()),
        }
    }

    fn matches(&self, log: &Log) -> bool {
        let body = words(&log.body);
        let value =
            |wanted: &str| log.attributes.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let any_a = |test: &dyn Fn(&str) -> bool| log.attributes.iter().any(|(key, value)| key == "a" && test(value));
        match self {
            Self::All => true,
            Self::Word(word) => body.contains(&WORDS[*word].to_lowercase()),
            Self::Phrase(first, second) => {
                let wanted = [WORDS[*first].to_lowercase(), WORDS[*second].to_lowercase()];
                body.windows(2).any(|window| window == wanted)
            }
            Self::Prefix(prefix) => body.iter().any(|word| word.starts_with(prefix)),
            Self::Part(part) => log.body.to_lowercase().contains(part),
            Self::Equals(wanted) => any_a(&|value| {
                let wanted = VALUES[*wanted];
                value == wanted || (wanted.parse::<f64>().is_ok() && value.parse::<f64>() == wanted.parse::<f64>())
            }),
            Self::AtLeast(bound) => any_a(&|value| value.parse::<f64>().is_ok_and(|value| value >= *bound as f64)),
            Self::Exists(key) => value(key).is_some(),
            Self::Service(number) => log.service == format!("s{number}"),
            Self::Level(_, number) => log.severity >= *number,
            Self::And(left, right) => left.matches(log) && right.matches(log),
            Self::Or(left, right) => left.matches(log) || right.matches(log),
            Self::Not(inner) => !inner.matches(log),
        }
    }
}

fn log() -> impl Strategy<Value = Log> {
    let body = proptest::collection::vec(0..WORDS.len(), 0..5);
    let attribute = (prop_oneof![Just("a"), Just("b")], 0..VALUES.len());
    let attributes = proptest::collection::vec(attribute, 0..3);
    (body, attributes, 0..3_u8, prop_oneof![Just(9), Just(13), Just(17)], 0..40_i64).prop_map(
        |(body, attributes, service, severity, time)| Log {
            time: 1_700_000_000_000_000_000 + time,
            service: format!("s{service}"),
            severity,
            body: body.into_iter().map(|word| WORDS[word]).collect::<Vec<_>>().join(" "),
            attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), VALUES[value].to_owned())).collect(),
            ..Log::default()
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let word = || 0..WORDS.len();
    let leaf = prop_oneof![
        Just(Query::All),
        word().prop_map(Query::Word),
        (word(), word()).prop_map(|(first, second)| Query::Phrase(first, second)),
        prop_oneof![Just("al"), Just("delta"), Just("z")].prop_map(Query::Prefix),
        prop_oneof![Just("amm"), Just("lph"), Just("제")].prop_map(Query::Part),
        (0..VALUES.len()).prop_map(Query::Equals),
        (0..12_i64).prop_map(Query::AtLeast),
        prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(Query::Exists),
        (0..4_u8).prop_map(Query::Service),
        prop_oneof![Just(Query::Level("warn", 13)), Just(Query::Level("error", 17))],
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Query::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Query::Or(Box::new(left), Box::new(right))),
            inner.prop_map(|inner| Query::Not(Box::new(inner))),
        ]
    })
}

fn all_time(query: &str, limit: usize, cursor: Option<String>) -> RowsRequest {
    RowsRequest { query: query.to_owned(), range: TimeRange::ALL, limit, cursor }
}

/// What a row says, for comparing sets of rows.
fn sent(log: &Log) -> String {
    format!("{} {} {} {}", log.time, log.service, log.severity, log.body)
}

fn found(row: &LogRow) -> String {
    let body = row.body.as_str().unwrap_or_default();
    format!("{} {} {} {body}", row.time_unix_nano, row.service_name, row.severity_number)
}

/// All pages of a search, sorted.
async fn pages(service: &QueryService, query: &str, limit: usize, at_most: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = service.logs(&all_time(query, limit, cursor)).await.expect("page");
        rows.extend(page.rows.iter().map(found));
        cursor = page.cursor;
        assert!(rows.len() <= at_most, "{query}: pages repeat rows");
        if cursor.is_none() {
            rows.sort();
            return rows;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_counts_and_pages_agree_with_a_naive_evaluation() {
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let folder = tempfile::tempdir().expect("folder");
    let config = StoreConfig {
        data_dir: folder.path().to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    let store = Store::open(config).await.expect("open");
    let rows: Vec<Log> = proptest::collection::vec(log(), 400).new_tree(&mut runner).expect("rows").current();
    for (number, chunk) in rows.chunks(25).enumerate() {
        store.append(logs(chunk)).await.expect("append");
        // Parts of different sizes whose times overlap; the last chunks stay hot.
        if number < 13 && number != 5 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    for round in 0..250 {
        // From here on some of the parts are one.
        if round == 60 {
            store.compact_all().await.expect("merged");
            assert!(store.snapshot(Signal::Logs).parts.len() < 8);
        }
        let query = query().new_tree(&mut runner).expect("query").current();
        let text = query.text();
        let mut expected: Vec<String> = rows.iter().filter(|log| query.matches(log)).map(sent).collect();
        expected.sort();
        let page = service.logs(&all_time(&text, 1000, None)).await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let newest_first = page.rows.is_sorted_by(|newer, older| newer.time_unix_nano >= older.time_unix_nano);
        assert!(newest_first, "{text}: not newest first");
        let mut seen: Vec<String> = page.rows.iter().map(found).collect();
        seen.sort();
        assert_eq!(seen, expected, "{text}");
        assert_eq!((page.coverage.matched, page.coverage.matched_is_exact), (expected.len() as u64, true), "{text}");
        assert!(page.coverage.complete && page.cursor.is_none(), "{text}");

        let by = Some("service".to_owned());
        let request = CountRequest { query: text.clone(), range: TimeRange::ALL, by, step: None, top: 10 };
        let counts = service.counts(Signal::Logs, &request).await.expect("counts");
        let total: u64 = counts.series.iter().map(|series| series.total).sum();
        assert_eq!(total, expected.len() as u64, "{text} by service");
        if round % 25 == 0 {
            assert_eq!(pages(&service, &text, 7, expected.len()).await, expected, "{text}: pages");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_neither_repeat_nor_leave_out_rows_while_rows_are_sealed() {
    let folder = tempfile::tempdir().expect("folder");
    let config = StoreConfig { data_dir: folder.path().to_path_buf(), disk_reserve_bytes: 0, ..StoreConfig::default() };
    let store = Store::open(config).await.expect("open");
    // Many rows of the same moment, some of them equal in all.
    let row = |number: i64| Log {
        time: 1_700_000_000_000_000_000 + number / 60,
        body: format!("row {}", number / 2),
        ..Log::default()
    };
    store.append(logs(&(0..300).map(row).collect::<Vec<_>>())).await.expect("append");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let first = service.logs(&all_time("", 100, None)).await.expect("page");
    let mut seen: Vec<String> = first.rows.iter().map(|row| row.row.clone()).collect();
    store.flush().await.expect("flush");
    let mut cursor = first.cursor;
    while let Some(next) = cursor {
        let page = service.logs(&all_time("", 33, Some(next))).await.expect("page");
        seen.extend(page.rows.iter().map(|row| row.row.clone()));
        cursor = page.cursor;
        assert!(seen.len() <= 300, "pages repeat rows");
    }
    assert_eq!(seen.len(), 300);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300, "every row has a place of its own");
}
