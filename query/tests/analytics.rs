//! Patterns, figures and contexts over a real store, hot and sealed, against looking at every row.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{
    ContextRequest, PatternsRequest, QueryService, QuerySettings, RowsRequest, SameSource, StatsRequest, StoryItem,
};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rows::{Log, Span, logs, spans};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const START: i64 = 1_700_000_000_000_000_000;
const SECOND: i64 = 1_000_000_000;

async fn store(folder: &std::path::Path) -> Arc<Store> {
    let config = StoreConfig {
        data_dir: folder.to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    Store::open(config).await.expect("a store")
}

fn random_logs(seed: u64, count: usize) -> Vec<Log> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|number| {
            let service = random.random_range(0..3);
            let took = f64::from(random.random_range(0..10_000)) / 7.0;
            let body = match random.random_range(0..4) {
                0 => format!("request {number} took {took}ms"),
                1 => format!("payment for user{} failed: card declined", random.random_range(0..50)),
                2 => format!(r#"{{"level":"info","message":"cache miss for key {number}"}}"#),
                _ => "worker started".to_owned(),
            };
            Log {
                time: START + random.random_range(0..100) * SECOND,
                service: format!("s{service}"),
                severity: [9, 13, 17][random.random_range(0..3)],
                body,
                attributes: if random.random_range(0..3) == 0 {
                    Vec::new()
                } else {
                    vec![("size".to_owned(), random.random_range(-50..5_000_i64).to_string())]
                },
                ..Log::default()
            }
        })
        .collect()
}

type Number<'a> = &'a dyn Fn(&Log) -> Option<f64>;

/// The nearest rank of sorted numbers.
fn exact(sorted: &[f64], percent: f64) -> f64 {
    sorted[((percent / 100.0 * sorted.len() as f64).ceil() as usize).max(1) - 1]
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_agree_with_looking_at_every_row_hot_and_sealed() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let all = random_logs(1, 3_000);
    for chunk in all.chunks(700) {
        store.append(logs(chunk)).await.expect("append");
        if chunk.len() == 700 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(store, QuerySettings::default());
    let range = TimeRange { start: START + 10 * SECOND, end: START + 90 * SECOND };
    let size = |log: &Log| log.attributes.first().and_then(|(_, value)| value.parse::<f64>().ok());
    let took = |log: &Log| log.body.split_once("took ").and_then(|(_, rest)| rest.strip_suffix("ms")?.parse().ok());
    let questions: [(&str, Option<&str>, Number<'_>); 2] =
        [("size", None, &size), ("body", Some(r"took ([0-9.]+)ms"), &took)];
    for (field, extract, number) in questions {
        let request = StatsRequest {
            query: "service:(s0 OR s1)".to_owned(),
            range,
            field: field.to_owned(),
            extract: extract.map(str::to_owned),
            by: Some("service".to_owned()),
            step: Some(Duration::from_secs(20)),
            top: 10,
        };
        let stats = service.stats(Signal::Logs, &request).await.expect("figures");
        assert!(stats.coverage.complete);
        assert_eq!(stats.series.len(), 2);
        for series in &stats.series {
            let mine: Vec<&Log> = all
                .iter()
                .filter(|log| Some(&log.service) == series.key.as_ref() && range.contains(log.time))
                .collect();
            let buckets = series.buckets.iter().enumerate().map(|(place, figures)| {
                let start = stats.start + place as i64 * stats.step_ns;
                (TimeRange { start, end: start + stats.step_ns }, figures)
            });
            for (bucket, figures) in buckets.chain([(TimeRange::ALL, &series.total)]) {
                let inside: Vec<&&Log> = mine.iter().filter(|log| bucket.contains(log.time)).collect();
                assert_eq!(figures.rows, inside.len() as u64, "{field} {bucket:?}");
                assert_eq!(figures.errors, inside.iter().filter(|log| log.severity >= 17).count() as u64);
                let mut numbers: Vec<f64> = inside.iter().filter_map(|log| number(log)).collect();
                numbers.sort_by(f64::total_cmp);
                assert_eq!(figures.count, numbers.len() as u64);
                assert_eq!(figures.min, numbers.first().copied());
                assert_eq!(figures.max, numbers.last().copied());
                assert!((figures.sum - numbers.iter().sum::<f64>()).abs() < 1e-6 * figures.sum.abs().max(1.0));
                if numbers.is_empty() {
                    assert_eq!(figures.p95, None);
                    continue;
                }
                for (percent, found) in
                    [(50.0, figures.p50), (90.0, figures.p90), (95.0, figures.p95), (99.0, figures.p99)]
                {
                    let (found, exact) = (found.expect("numbers"), exact(&numbers, percent));
                    assert!((found - exact).abs() <= 0.00501 * exact.abs() + 1e-9, "p{percent}: {found}, {exact}");
                }
            }
        }
    }
    let wrong = StatsRequest {
        query: String::new(),
        range,
        field: "body".to_owned(),
        extract: Some("took".to_owned()),
        by: None,
        step: None,
        top: 1,
    };
    let error = service.stats(Signal::Logs, &wrong).await.expect_err("no group");
    assert_eq!(error.field, Some("extract"));
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_hold_every_row_once_and_say_what_is_new() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let mut all = random_logs(2, 2_000);
    for log in &mut all {
        if log.body == "worker started" && log.time < START + 50 * SECOND {
            log.body = "request 1 took 5ms".to_owned();
        }
    }
    for chunk in all.chunks(800) {
        store.append(logs(chunk)).await.expect("append");
        if chunk.len() == 800 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(store, QuerySettings::default());
    let request = PatternsRequest {
        query: String::new(),
        range: TimeRange { start: START, end: START + 100 * SECOND },
        limit: 100,
        buckets: 10,
        new_since: Some(START + 50 * SECOND),
    };
    let found = service.patterns(&request).await.expect("patterns");
    assert!(found.coverage.complete);
    let kind = |body: &str| -> &str {
        if body.starts_with("request") {
            "request <*> took <*>"
        } else if body.starts_with("payment") {
            "payment for <*> failed: card declined"
        } else if body.starts_with('{') {
            "cache miss for key <*>"
        } else {
            "worker started"
        }
    };
    let mut expected: BTreeMap<&str, Vec<&Log>> = BTreeMap::new();
    for log in &all {
        expected.entry(kind(&log.body)).or_default().push(log);
    }
    assert_eq!(found.distinct, 4);
    assert_eq!(found.patterns[0].template, "worker started", "what is new comes first");
    for pattern in &found.patterns {
        let rows = &expected[pattern.template.as_str()];
        assert_eq!(pattern.count, rows.len() as u64);
        assert_eq!(pattern.counts.iter().sum::<u64>(), pattern.count);
        let first = rows.iter().map(|log| log.time).min().expect("rows");
        assert_eq!(pattern.first_unix_nano, first.to_string());
        assert_eq!(pattern.last_unix_nano, rows.iter().map(|log| log.time).max().expect("rows").to_string());
        assert_eq!(pattern.is_new, Some(first >= START + 50 * SECOND));
        assert_eq!(pattern.services.len(), 3);
        assert_eq!(kind(&pattern.example.replace("cache", "{cache")), pattern.template.as_str());
        // Its search finds its rows.
        let counts = service
            .logs(&RowsRequest { query: pattern.query.clone(), range: request.range, limit: 1, cursor: None })
            .await
            .expect("a page");
        assert_eq!(counts.coverage.matched, pattern.count, "{}", pattern.query);
    }
    assert_eq!(found.patterns.iter().map(|pattern| pattern.count).sum::<u64>(), all.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_around_a_row_are_those_next_to_it() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let mut all = random_logs(3, 1_500);
    // Far away, and many at the same moment.
    for (number, log) in all.iter_mut().enumerate() {
        log.body = format!("line {number}");
        match number % 50 {
            0 => log.time += 400 * 86_400 * SECOND,
            1..10 => log.time = START + 33 * SECOND,
            _ => {}
        }
    }
    for chunk in all.chunks(400) {
        store.append(logs(chunk)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let service = QueryService::new(store, QuerySettings::default());
    for (same, query) in [(SameSource::Service, "service:s1"), (SameSource::All, "*")] {
        let page = RowsRequest { query: query.to_owned(), range: TimeRange::ALL, limit: 2_000, cursor: None };
        let mut rows = service.logs(&page).await.expect("rows").rows;
        rows.reverse();
        for place in [0, 1, rows.len() / 3, rows.len() / 2, rows.len() - 40, rows.len() - 2, rows.len() - 1] {
            let request = ContextRequest { row: rows[place].row.clone(), before: 7, after: 9, same };
            let context = service.context(&request).await.expect("a context");
            let bodies = |rows: &[mangru_query::LogRow]| -> Vec<String> {
                rows.iter().map(|row| row.body.to_string()).collect()
            };
            assert_eq!(context.row.body, rows[place].body);
            assert_eq!(bodies(&context.before), bodies(&rows[place.saturating_sub(7)..place]), "before {place}");
            let end = (place + 10).min(rows.len());
            assert_eq!(bodies(&context.after), bodies(&rows[place + 1..end]), "after {place}");
            assert_eq!(context.more_before, place > 7);
            assert_eq!(context.more_after, place + 10 < rows.len(), "after {place}");
        }
    }
    let gone = ContextRequest { row: "5-0000000000000001-0".to_owned(), before: 1, after: 1, same: SameSource::All };
    assert_eq!(service.context(&gone).await.expect_err("no such row").code, mangru_query::ErrorCode::NotFound);
    let wrong = ContextRequest { row: "here".to_owned(), ..gone };
    assert_eq!(service.context(&wrong).await.expect_err("no place").field, Some("row"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_found_among_more_of_its_moment_than_an_answer_holds() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    // Three rows of each text at the same nanosecond, sealed and hot.
    let row = |number: usize| Log {
        time: START,
        service: "s".to_owned(),
        body: format!("line {}", number % 20),
        ..Log::default()
    };
    let all: Vec<Log> = (0..60).map(row).collect();
    for (place, chunk) in all.chunks(25).enumerate() {
        store.append(logs(chunk)).await.expect("append");
        if place < 2 {
            store.flush().await.expect("flush");
        }
    }
    let service = QueryService::new(store, QuerySettings { max_limit: 7, ..QuerySettings::default() });
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let request = RowsRequest { query: String::new(), range: TimeRange::ALL, limit: 7, cursor };
        let page = service.logs(&request).await.expect("a page");
        rows.extend(page.rows);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    rows.reverse();
    assert_eq!(rows.len(), 60);
    let bodies =
        |rows: &[mangru_query::LogRow]| -> Vec<String> { rows.iter().map(|row| row.body.to_string()).collect() };
    for (place, row) in rows.iter().enumerate() {
        let request = ContextRequest { row: row.row.clone(), before: 3, after: 3, same: SameSource::All };
        let context = service.context(&request).await.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!((&context.row.row, &context.row.body), (&row.row, &row.body));
        assert_eq!(bodies(&context.before), bodies(&rows[place.saturating_sub(3)..place]), "before {place}");
        assert_eq!(bodies(&context.after), bodies(&rows[place + 1..(place + 4).min(60)]), "after {place}");
    }
    let place = rows[0].row.rsplit_once('-').expect("a place").0;
    let beyond = ContextRequest { row: format!("{place}-3"), before: 1, after: 1, same: SameSource::All };
    assert_eq!(service.context(&beyond).await.expect_err("there are three").code, mangru_query::ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_has_names_resources_and_both_spellings_of_a_uuid() {
    const DASHED: &str = "6f9619ff-8b86-4011-b42d-00cf4fc964ff";
    const PLAIN: &str = "6f9619ff8b864011b42d00cf4fc964ff";
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let log = |second: i64, service: &str, body: String, attributes: &[(&str, &str)]| Log {
        time: START + second * SECOND,
        service: service.to_owned(),
        body,
        attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Log::default()
    };
    let all = [
        log(0, "web", format!("job {DASHED} began"), &[]),
        log(1, "web", format!("job {PLAIN} goes on"), &[]),
        log(2, "web", "with dashes".to_owned(), &[("job", DASHED)]),
        log(3, "web", "without dashes".to_owned(), &[("job", PLAIN)]),
        log(4, "web-instance-77", "of the resource".to_owned(), &[]),
        log(5, "web", "another".to_owned(), &[("job", "6f9619ff-8b86-4011-b42d-00cf4fc964fe")]),
    ];
    let span = |number: u8, name: &str| Span {
        time: START + i64::from(number) * SECOND,
        duration_ns: 5,
        trace_id: [number; 16],
        span_id: [number; 8],
        service: "shop".to_owned(),
        name: name.to_owned(),
        ..Span::default()
    };
    store.append(logs(&all)).await.expect("append");
    store.append(spans(&[span(1, "retry order-8831"), span(2, "retry order-8832")])).await.expect("append");
    let service = QueryService::new(Arc::clone(&store), QuerySettings::default());
    let carried = async |id: &str| -> Vec<String> {
        let story = service.story(id, 100).await.expect("a story");
        assert!(!story.not_looked_at.is_empty(), "what is not looked at is told");
        let text = |item: &StoryItem| match item {
            StoryItem::Log(row) => row.body.as_str().unwrap_or_default().to_owned(),
            StoryItem::Span(row) => row.name.clone(),
            StoryItem::Exemplar(row) => row.metric_name.clone(),
        };
        story.entries.iter().map(|entry| text(&entry.item)).collect()
    };
    for _ in ["hot", "sealed"] {
        let of_job: Vec<String> = all[..4].iter().map(|log| log.body.clone()).collect();
        for id in [DASHED, PLAIN, &DASHED.to_uppercase()] {
            assert_eq!(carried(id).await, of_job, "{id}");
        }
        assert_eq!(carried("order-8831").await, ["retry order-8831"]);
        assert_eq!(carried("web-instance-77").await, ["of the resource"]);
        store.flush().await.expect("flush");
    }
}
