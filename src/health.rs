//! `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use mangru_store::Store;
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::sync::Arc;

type Intake = dyn Fn() -> Json + Send + Sync;

/// The routes. The process answers only when all stages run, so alive is ready.
pub(crate) fn router(store: Arc<Store>, intake: Arc<Intake>) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(|| async { "ready\n" })).route(
        "/metrics",
        get(move || {
            let text = metrics(&store, &intake());
            async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response() }
        }),
    )
}

/// A label's value as the text format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The store's and the collector's figures in Prometheus' text format.
pub(crate) fn metrics(store: &Store, intake: &Json) -> String {
    let status = store.status();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, String)]| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let tables = |value: fn(&mangru_store::TableStatus) -> u64| -> Vec<(String, String)> {
        let label = |table: &mangru_store::TableStatus| format!("{{table=\"{}\"}}", table.signal.table());
        status.tables.iter().map(|table| (label(table), value(table).to_string())).collect()
    };
    let one = |value: u64| vec![(String::new(), value.to_string())];
    family("mangru_parts", "gauge", "Published parts.", &tables(|table| table.parts as u64));
    family("mangru_part_rows", "gauge", "Rows in parts.", &tables(|table| table.part_rows));
    family("mangru_part_bytes", "gauge", "Bytes of part files.", &tables(|table| table.part_bytes));
    family("mangru_hot_rows", "gauge", "Rows not yet sealed.", &tables(|table| table.hot_rows));
    family("mangru_hot_bytes", "gauge", "Memory of rows not yet sealed.", &tables(|table| table.hot_bytes));
    family(
        "mangru_appended_rows_total",
        "counter",
        "Rows made durable since start.",
        &tables(|table| table.appended_rows),
    );
    family("mangru_journal_bytes", "gauge", "Bytes of journal segments.", &one(status.journal_bytes));
    family("mangru_journal_commits_total", "counter", "Group commits since start.", &one(status.commits));
    family(
        "mangru_failed_seals_total",
        "counter",
        "Seals that failed and were tried again.",
        &one(status.failed_seals),
    );
    for (name, kind, help, value) in [
        ("mangru_merged_parts_total", "counter", "Parts that went into others.", status.merged_parts),
        ("mangru_failed_merges_total", "counter", "Merges that failed and were tried again.", status.failed_merges),
        ("mangru_expired_rows_total", "counter", "Rows that retention took away.", status.expired_rows),
        (
            "mangru_damaged_parts",
            "gauge",
            "Parts whose checksum is wrong, or whose file is gone.",
            status.damaged_parts.len() as u64,
        ),
        (
            "mangru_unknown_parts",
            "gauge",
            "Part files that the catalog did not know at the start.",
            status.unknown_parts,
        ),
        ("mangru_memory_used_bytes", "gauge", "Memory taken from the budget.", status.memory_used_bytes as u64),
        ("mangru_ingest_memory_bytes", "gauge", "Of it, by requests and hot rows.", status.ingest_used_bytes as u64),
        ("mangru_query_memory_bytes", "gauge", "Of it, by queries.", status.query_used_bytes as u64),
    ] {
        family(name, kind, help, &one(value));
    }
    if let Some(objects) = &status.objects {
        for (name, kind, help, value) in [
            ("mangru_remote_parts", "gauge", "Parts in the object store.", objects.parts as u64),
            ("mangru_remote_part_bytes", "gauge", "Their bytes.", objects.bytes),
            ("mangru_moved_parts_total", "counter", "Parts moved into the object store.", objects.moved_parts),
            ("mangru_failed_moves_total", "counter", "Rounds of moving that failed.", objects.failed_moves),
            ("mangru_cache_bytes", "gauge", "Bytes of remote parts on the local disk.", objects.cached_bytes),
            ("mangru_cache_hits_total", "counter", "Reads that the local disk answered.", objects.cache_hits),
            ("mangru_cache_misses_total", "counter", "Reads that the object store answered.", objects.cache_misses),
        ] {
            family(name, kind, help, &one(value));
        }
    }
    let protocols = intake["protocols"].as_array().cloned().unwrap_or_default();
    let labels = |entry: &Json| {
        let text = |name: &str| escaped(entry[name].as_str().unwrap_or_default());
        format!("signal=\"{}\",protocol=\"{}\"", text("signal"), text("protocol"))
    };
    for (name, member, help) in [
        ("mangru_received_requests_total", "requests", "Requests answered with success."),
        ("mangru_received_rows_total", "rows", "Rows kept."),
        ("mangru_received_bytes_total", "bytes", "Bytes of kept requests."),
        ("mangru_rejected_rows_total", "rejected_rows", "Rows refused alone."),
    ] {
        let samples: Vec<_> =
            protocols.iter().map(|entry| (format!("{{{}}}", labels(entry)), entry[member].to_string())).collect();
        family(name, "counter", help, &samples);
    }
    let refused: Vec<_> = protocols
        .iter()
        .flat_map(|entry| {
            let reasons = entry["refused"].as_object().cloned().unwrap_or_default();
            let labels = labels(entry);
            reasons.into_iter().map(move |(reason, count)| {
                (format!("{{{labels},reason=\"{}\"}}", escaped(&reason)), count.to_string())
            })
        })
        .collect();
    family("mangru_refused_requests_total", "counter", "Requests refused, by why.", &refused);
    text
}
