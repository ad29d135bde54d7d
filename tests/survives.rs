//! SIGKILL at any moment loses nothing acknowledged and repeats nothing.
//!
//! Senders of all three signals write for a short random time, then the process is killed; now and then it is killed again
//! while it starts. Parts are sealed all along, by size and by request, so that kills fall into seals too. In the end each
//! acknowledged record is found exactly once by a scan and by the index, and every other record at most once.

mod harness;

use harness::{ALL_TIME_END, Server, client, logs};
use rand::RngExt as _;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Records of a request.
const RECORDS: u64 = 5;

/// Small parts, so that many are sealed in a short life, and answers that hold every record.
const SETTINGS: &[(&str, &str)] = &[("MANGRU_STORE_SEAL_ROWS", "300"), ("MANGRU_QUERY_MAX_LIMIT", "1000000")];

fn rounds() -> u32 {
    std::env::var("MANGRU_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What the senders of one signal know.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Sent {
    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().expect("lock").clone()
    }
}

/// A signal as its senders and its readers name it.
struct Traffic {
    /// In the receiver's address.
    path: &'static str,
    /// In SQL, and in the query API where that knows the signal.
    table: &'static str,
    /// A request that holds the records with these numbers, each with its number as the attribute `record.id`.
    request: fn(u64, u64) -> Json,
}

const TIME: u64 = 1_700_000_000_000_000_000;

const TRAFFIC: [Traffic; 3] = [
    Traffic { path: "logs", table: "logs", request: log_request },
    Traffic { path: "traces", table: "spans", request: span_request },
    Traffic { path: "metrics", table: "metric_points", request: metric_request },
];

fn log_request(first: u64, end: u64) -> Json {
    let records: Vec<_> =
        (first..end).map(|id| (format!("record {id}"), vec![("record.id", id.to_string())])).collect();
    logs("sender", TIME + first, &records)
}

fn id_attribute(id: u64) -> Json {
    json!([{ "key": "record.id", "value": { "stringValue": id.to_string() } }])
}

fn span_request(first: u64, end: u64) -> Json {
    let spans: Vec<Json> = (first..end)
        .map(|id| {
            json!({
                "traceId": format!("{:032x}", first + 1), "spanId": format!("{:016x}", id + 1), "name": "work",
                "startTimeUnixNano": (TIME + id).to_string(), "endTimeUnixNano": (TIME + id + 1000).to_string(),
                "attributes": id_attribute(id),
            })
        })
        .collect();
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] })
}

fn metric_request(first: u64, end: u64) -> Json {
    let points: Vec<Json> = (first..end)
        .map(|id| json!({ "timeUnixNano": (TIME + id).to_string(), "asInt": "1", "attributes": id_attribute(id) }))
        .collect();
    let metric = json!({ "name": "records", "gauge": { "dataPoints": points } });
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] })
}

/// Sends until the server is gone.
async fn send(http: String, traffic: &'static Traffic, sent: Arc<Sent>) {
    let client = client();
    loop {
        let first = sent.next.fetch_add(RECORDS, Ordering::Relaxed);
        let request = client
            .post(format!("http://{http}/v1/{}", traffic.path))
            .header("content-type", "application/json")
            .body((traffic.request)(first, first + RECORDS).to_string());
        match request.send().await {
            Ok(response) if response.status().is_success() => {
                let ids = (first..first + RECORDS).map(|id| id.to_string());
                sent.acknowledged.lock().expect("lock").extend(ids);
            }
            // Refused for now: those records were not acknowledged, others follow.
            Ok(response) => assert!([429, 503].contains(&response.status().as_u16()), "{}", response.status()),
            Err(_) => return,
        }
    }
}

/// Asks for seals again and again, until the server is gone.
async fn seal(ui: String) {
    let client = client();
    while client.post(format!("{ui}/api/v1/admin/flush")).send().await.is_ok() {
        let pause = rand::rng().random_range(0..200);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// One life of a server: all send and seal, then the kill.
async fn live(folder: &Path, sent: &[Arc<Sent>; 3], life: Duration) {
    let server = Server::start(folder, SETTINGS);
    let mut tasks = vec![tokio::spawn(seal(server.ui.clone()))];
    for (traffic, sent) in TRAFFIC.iter().zip(sent) {
        for _ in 0..2 {
            tasks.push(tokio::spawn(send(server.http.clone(), traffic, Arc::clone(sent))));
        }
    }
    tokio::time::sleep(life).await;
    server.kill();
    for task in tasks {
        task.await.expect("the task ends with its server");
    }
}

/// Every id that a scan of the table finds, with how often.
async fn scanned(server: &Server, table: &str) -> BTreeMap<String, u64> {
    let sql = format!("SELECT attr(attributes, 'record.id'), count(*) FROM {table} GROUP BY 1");
    let pair = |row: Vec<Json>| {
        (row[0].as_str().expect("every record has its id").to_owned(), row[1].as_u64().expect("a number"))
    };
    server.sql(&sql, 1_000_000).await.into_iter().map(pair).collect()
}

/// Every id that the index of attributes knows, with how often.
async fn indexed(server: &Server, table: &str) -> BTreeMap<String, u64> {
    let parameters = [("start", "0"), ("end", ALL_TIME_END), ("limit", "1000000"), ("signal", table)];
    let answer = server.get("/api/v1/fields/record.id/values", &parameters).await;
    assert_eq!(answer["complete"], true, "{}", answer["limit_hit"]);
    let pair =
        |value: &Json| (value["value"].as_str().expect("text").to_owned(), value["rows"].as_u64().expect("a number"));
    answer["values"].as_array().expect("values").iter().map(pair).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_record_is_found_once_after_many_kills() {
    let folder = tempfile::tempdir().expect("folder");
    let sent: [Arc<Sent>; 3] = std::array::from_fn(|_| Arc::default());
    for round in 0..rounds() {
        if round % 4 == 3 {
            let life = Duration::from_millis(rand::rng().random_range(1..150));
            println!("round {round}: killed {life:?} after its start began");
            Server::start_and_kill(folder.path(), SETTINGS, life);
        }
        let life = Duration::from_millis(rand::rng().random_range(50..900));
        live(folder.path(), &sent, life).await;
        let acknowledged: Vec<usize> = sent.iter().map(|sent| sent.acknowledged().len()).collect();
        println!("round {round}: killed after {life:?}, acknowledged so far {acknowledged:?}");
    }
    let server = Server::start(folder.path(), SETTINGS);
    for (traffic, sent) in TRAFFIC.iter().zip(&sent) {
        let table = traffic.table;
        let found = scanned(&server, table).await;
        let twice: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{table} found more than once: {twice:?}");
        let acknowledged = sent.acknowledged();
        let lost: Vec<_> = acknowledged.iter().filter(|id| !found.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{table} acknowledged and lost: {lost:?}");
        let next = sent.next.load(Ordering::Relaxed);
        assert!(found.keys().all(|id| id.parse::<u64>().is_ok_and(|id| id < next)), "{table} that nobody sent");
        assert!(acknowledged.len() > 100, "too little was sent to prove anything: {} {table}", acknowledged.len());
        if table != "metric_points" {
            assert_eq!(indexed(&server, table).await, found, "{table}: the index knows what the scan finds");
            assert_eq!(server.count(table, "*").await, found.len() as u64);
        }
    }
    let status = server.get("/api/v1/status", &[]).await;
    assert!(status["tables"][0]["parts"].as_u64().is_some_and(|parts| parts > 1), "nothing was sealed: {status}");
    server.stop();
}
