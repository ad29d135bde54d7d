//! SIGKILL at any moment loses nothing acknowledged and repeats nothing.

mod harness;

use harness::{ALL_TIME_END, Server, logs};
use rand::RngExt as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SENDERS: u64 = 4;
const RECORDS: u64 = 5;

fn rounds() -> u32 {
    std::env::var("MANGRU_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Every id that is found, with how often.
async fn found(server: &Server) -> BTreeMap<String, u64> {
    let parameters = [("start", "0"), ("end", ALL_TIME_END), ("limit", "100000"), ("signal", "logs")];
    let values = server.get("/api/v1/fields/record.id/values", &parameters).await;
    assert_eq!(values["complete"], true, "{}", values["limit_hit"]);
    values["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|value| (value["value"].as_str().expect("text").to_owned(), value["rows"].as_u64().expect("number")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_record_is_found_once_after_many_kills() {
    let folder = tempfile::tempdir().expect("folder");
    let environment = [("MANGRU_STORE_SEAL_ROWS", "300"), ("MANGRU_QUERY_MAX_LIMIT", "1000000")];
    let acknowledged = Arc::new(shared::Set::default());
    let next = Arc::new(AtomicU64::new(1));
    for round in 0..rounds() {
        let server = Server::start(folder.path(), &environment);
        let url = format!("http://{}/v1/logs", server.http);
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (url, next, acknowledged) = (url.clone(), Arc::clone(&next), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    let client = reqwest::Client::new();
                    loop {
                        let first = next.fetch_add(RECORDS, Ordering::Relaxed);
                        let records: Vec<_> = (first..first + RECORDS)
                            .map(|id| (format!("record {id}"), vec![("record.id", id.to_string())]))
                            .collect();
                        let body = logs("sender", 1_700_000_000_000_000_000 + first, &records);
                        let request =
                            client.post(&url).header("content-type", "application/json").body(body.to_string());
                        match request.send().await {
                            Ok(response) if response.status().is_success() => {
                                acknowledged.add((first..first + RECORDS).map(|id| id.to_string()));
                            }
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        let life = rand::rng().random_range(50..900);
        tokio::time::sleep(Duration::from_millis(life)).await;
        server.kill();
        for sender in senders {
            sender.await.expect("sender");
        }
        println!("round {round}: killed after {life} ms, {} acknowledged so far", acknowledged.len());
    }
    let server = Server::start(folder.path(), &environment);
    let found = found(&server).await;
    let twice: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "found more than once: {twice:?}");
    let lost: BTreeSet<_> = acknowledged.all().into_iter().filter(|id| !found.contains_key(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() > 100, "too little was sent to prove anything");
    server.stop();
}

/// A set behind a lock.
mod shared {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    #[derive(Default)]
    pub(crate) struct Set(Mutex<BTreeSet<String>>);

    impl Set {
        pub(crate) fn add(&self, ids: impl Iterator<Item = String>) {
            self.0.lock().expect("lock").extend(ids);
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().expect("lock").len()
        }

        pub(crate) fn all(&self) -> BTreeSet<String> {
            self.0.lock().expect("lock").clone()
        }
    }
}
