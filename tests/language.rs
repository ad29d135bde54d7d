//! The search language by cases in text files: each is asked while the records are hot, and again when they are sealed.

mod harness;

use harness::{ALL_TIME_END, Server};
use serde_json::Value as Json;

/// The cases of a file: query and what it finds.
fn cases(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (query, found) = line.trim_end().rsplit_once(' ').expect("a query and what it finds");
            (query.trim_end(), found.trim_matches('-'))
        })
        .collect()
}

async fn found(server: &Server, table: &str, query: &str) -> String {
    let parameters = [("query", query), ("start", "0"), ("end", ALL_TIME_END)];
    let page = server.get(&format!("/api/v1/{table}"), &parameters).await;
    let mut names: Vec<&str> =
        page["rows"].as_array().expect("rows").iter().filter_map(|row| row["attributes"]["n"].as_str()).collect();
    names.sort_unstable();
    names.concat()
}

async fn check(signal: &str, table: &str, records: &str, text: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let records: Json = serde_json::from_str(records).expect("records");
    assert_eq!(server.export(signal, &records).await.0, 200);
    let mut wrong = Vec::new();
    for state in ["hot", "sealed"] {
        for (query, expected) in cases(text) {
            let found = found(&server, table, query).await;
            if found != expected {
                wrong.push(format!("{state}: {query} finds `{found}`, not `{expected}`"));
            }
        }
        server.flush().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_search_over_logs_finds_what_its_case_says() {
    check("logs", "logs", include_str!("language/logs.json"), include_str!("language/logs.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_search_over_spans_finds_what_its_case_says() {
    check("traces", "spans", include_str!("language/spans.json"), include_str!("language/spans.txt")).await;
}
