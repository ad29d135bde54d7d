//! Counts over time and by fields of the resource, which come from indexes and page statistics, against counting by hand.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{CountRequest, FieldValuesRequest, QueryService, QuerySettings};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rows::{Log, Span, logs, spans};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const START: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// A search, and whether a row matches it.
type Search = (&'static str, fn(&Log) -> bool);

const SEARCHES: &[Search] = &[
    ("", |_| true),
    ("common", |log| log.body.contains("common")),
    ("seldom", |log| log.body.contains("seldom")),
    ("-common", |log| !log.body.contains("common")),
    ("service:s1", |log| log.service == "s1"),
    ("common service:(s0 OR s3)", |log| log.body.contains("common") && matches!(log.service.as_str(), "s0" | "s3")),
    ("level>=error", |log| log.severity >= 17),
    // Not known by the index: rows are read.
    ("body:*ommo*", |log| log.body.contains("common")),
];

fn log(random: &mut StdRng, number: i64) -> Log {
    let word = match random.random_range(0..100) {
        0 => "seldom",
        1..60 => "common",
        _ => "other",
    };
    // Mostly in order, some late, some of the same moment.
    let time = START + number / 3 * SECOND / 40 - random.random_range(0..5) / 4 * SECOND * 20;
    Log {
        time,
        service: format!("s{}", random.random_range(0..5)),
        severity: if random.random_range(0..9) == 0 { 17 } else { 9 },
        body: format!("{word} {number}"),
        // In some parts some rows have an attribute of their own that is named as one of their resource.
        attributes: if number > 20_000 && number % 50 == 0 {
            vec![("site".to_owned(), "its own".to_owned())]
        } else {
            Vec::new()
        },
        ..Log::default()
    }
}

/// Group and bucket with their counts, none of them zero.
type Table = BTreeMap<(Option<String>, i64), u64>;

fn by_hand(logs: &[Log], search: Search, request: &CountRequest) -> Table {
    let step = request.step.map_or(request.range.end - request.range.start, |step| step.as_nanos() as i64);
    let start = if request.step.is_some() { request.range.start.div_euclid(step) * step } else { request.range.start };
    let mut table = Table::new();
    for log in logs.iter().filter(|log| request.range.contains(log.time) && search.1(log)) {
        let group = match request.by.as_deref() {
            None => None,
            Some("site") => {
                Some(log.attributes.first().map_or_else(|| format!("at {}", log.service), |own| own.1.clone()))
            }
            Some("level") => Some(if log.severity == 17 { "error" } else { "info" }.to_owned()),
            Some(_) => Some(log.service.clone()),
        };
        *table.entry((group, start + (log.time - start) / step * step)).or_default() += 1;
    }
    table
}

async fn check(service: &QueryService, logs: &[Log], random: &mut StdRng, rounds: usize) {
    for _ in 0..rounds {
        let search = SEARCHES[random.random_range(0..SEARCHES.len())];
        let length = logs.len() as i64 / 3 * SECOND / 40;
        let from = START + random.random_range(-10 * SECOND..length);
        let range = TimeRange { start: from, end: from + random.random_range(1..length + 20 * SECOND) };
        let range = if random.random_range(0..3) == 0 {
            TimeRange { start: START - 30 * SECOND, end: START + length + SECOND }
        } else {
            range
        };
        let fields = [None, Some("service"), Some("resource.service.name"), Some("level"), Some("site")];
        let by = fields[random.random_range(0..fields.len())];
        let step = [None, Some(1), Some(7), Some(60)][random.random_range(0..4)].map(Duration::from_secs);
        let query = search.0.to_owned();
        let request = CountRequest { query, range, by: by.map(str::to_owned), step, top: 10 };
        let counts =
            service.counts(Signal::Logs, &request).await.unwrap_or_else(|error| panic!("{request:?}: {error}"));
        let mut table = Table::new();
        for series in &counts.series {
            assert_eq!(series.total, series.counts.iter().sum::<u64>(), "{request:?}");
            for (bucket, count) in series.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                table.insert((series.key.clone(), counts.start + bucket as i64 * counts.step_ns), *count);
            }
        }
        let expected = by_hand(logs, search, &request);
        assert_eq!(table, expected, "{request:?}");
        assert_eq!(counts.coverage.matched, expected.values().sum::<u64>(), "{request:?}");
        assert!(counts.coverage.complete);
        let Some(name) = by else { continue };
        let prefix = ["", "at ", "s1"][random.random_range(0..3)].to_owned();
        let values = FieldValuesRequest {
            signal: Signal::Logs,
            name: name.to_owned(),
            query: search.0.to_owned(),
            prefix: prefix.clone(),
            range,
            limit: 10,
        };
        let (found, coverage) = service.field_values(&values).await.expect("values");
        let found: BTreeMap<String, u64> = found.into_iter().map(|value| (value.value, value.rows)).collect();
        let mut expected = BTreeMap::<String, u64>::new();
        for ((key, _), count) in &table {
            *expected.entry(key.clone().unwrap_or_default()).or_default() += count;
        }
        expected.retain(|key, _| key.starts_with(&prefix));
        assert_eq!(found, expected, "{values:?}");
        assert!(coverage.complete);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_parts_agree_with_counting_by_hand() {
    let mut random = StdRng::seed_from_u64(7);
    let folder = tempfile::tempdir().expect("folder");
    let config = StoreConfig {
        data_dir: folder.path().to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    let store = Store::open(config).await.expect("open");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let mut all: Vec<Log> = Vec::new();
    for piece in 0..9 {
        // Several pages of times in each part.
        let rows: Vec<Log> = (0..4100).map(|number| log(&mut random, piece * 4100 + number)).collect();
        store.append(logs(&rows)).await.expect("append");
        store.flush().await.expect("flush");
        all.extend(rows);
    }
    check(&service, &all, &mut random, 40).await;
    store.compact_all().await.expect("merges");
    assert!(store.snapshot(Signal::Logs).parts.len() < 9);
    let rows: Vec<Log> = (0..500).map(|number| log(&mut random, 36_900 + number)).collect();
    store.append(logs(&rows)).await.expect("append");
    all.extend(rows);
    check(&service, &all, &mut random, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_columns_are_counted_by_their_lists() {
    let mut random = StdRng::seed_from_u64(8);
    let folder = tempfile::tempdir().expect("folder");
    let config = StoreConfig {
        data_dir: folder.path().to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    let store = Store::open(config).await.expect("open");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let mut expected = [BTreeMap::<_, u64>::new(), BTreeMap::new()];
    // The second part has more names than are counted by lists.
    for names in [7, 400] {
        let span = |number: i64| Span {
            time: START + number * SECOND / 10,
            trace_id: (number as u128 + 1).to_be_bytes(),
            span_id: (number as u64 + 1).to_be_bytes(),
            service: "web".to_owned(),
            name: format!("GET /{}", random.random_range(0..names)),
            ..Span::default()
        };
        let rows: Vec<Span> = (0..5_000).map(span).collect();
        for row in &rows {
            *expected[0].entry((Some(row.name.clone()), 0)).or_default() += 1;
            *expected[1]
                .entry((Some(row.name.clone()), row.time / (60 * SECOND) - START / (60 * SECOND)))
                .or_default() += 1;
        }
        store.append(spans(&rows)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let range = TimeRange { start: START, end: START + 500 * SECOND };
    for (step, expected) in [None, Some(Duration::from_mins(1))].into_iter().zip(expected) {
        let query = String::new();
        let request = CountRequest { query, range, by: Some("name".to_owned()), step, top: 1_000 };
        let counts = service.counts(Signal::Spans, &request).await.expect("counts");
        let first = START / counts.step_ns - counts.start / counts.step_ns;
        let mut found = BTreeMap::new();
        for series in counts.series {
            for (bucket, count) in series.counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                found.insert((series.key.clone(), bucket as i64 - first), count);
            }
        }
        assert_eq!(found, expected);
        // Nothing has a scope's name.
        let request = CountRequest { by: Some("scope.name".to_owned()), ..request };
        let counts = service.counts(Signal::Spans, &request).await.expect("counts");
        let series: Vec<(Option<&str>, u64)> =
            counts.series.iter().map(|series| (series.key.as_deref(), series.total)).collect();
        assert_eq!(series, [(None, 10_000)]);
    }
}
