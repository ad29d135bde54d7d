//! How long queries take.

use super::ingest::{encode, send};
use super::load;
use super::process::Server;
use anyhow::Context as _;
use clap::Args;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Instant;

/// How much there is to search.
#[derive(Args, Clone)]
pub(crate) struct QueryFlags {
    /// Logs, and spans, to search.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How often each query is asked, after once to warm up.
    #[arg(long, default_value_t = 11)]
    times: usize,
}

/// `mangru bench query`.
pub(crate) async fn run(flags: QueryFlags) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path()).await?;
    let start = mangru_query::now_ns() as u64 - 3_000_000_000_000;
    for (method, make) in [
        ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", load::logs as fn(u64, usize, u64) -> Vec<u8>),
        ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", load::spans),
    ] {
        // In pieces, so that the requests of a large load need not fit into memory at once.
        let mut sent = 0;
        while sent < flags.events {
            let piece = (flags.events - sent).min(500_000);
            let requests = encode(make, piece, 1000, start + (sent as u64 / 1000) * 2_000_000);
            send(&server.grpc, method, Arc::new(requests), 4, None).await?;
            sent += piece;
        }
    }
    server.flush().await?;
    let ui = server.ui.as_str();
    let ask = |path: String| async move {
        let response = reqwest::Client::new().get(format!("{ui}{path}")).send().await?;
        let answer: Json = response.error_for_status()?.json().await?;
        Ok::<_, anyhow::Error>(answer)
    };
    let range = "start=-2h&end=now";
    let newest = ask(format!("/api/v1/logs?{range}&limit=1&query=trace_id:*")).await?;
    let log_trace = newest["rows"][0]["trace_id"].as_str().context("no log with a trace")?.to_owned();
    let newest = ask(format!("/api/v1/spans?{range}&limit=1")).await?;
    let trace = newest["rows"][0]["trace_id"].as_str().context("no span")?.to_owned();
    let order = ask(format!("/api/v1/logs?{range}&limit=1&query=order.id:*")).await?;
    let rare = order["rows"][0]["attributes"]["order.id"].as_str().context("no order")?.replace('-', " ");
    let rare = rare.split(' ').next_back().unwrap_or_default().to_owned();

    println!("query                                               median      min      max");
    for (name, path) in [
        ("logs: a rare word", format!("/api/v1/logs?{range}&query={rare}")),
        ("logs: 100 newest of a word of many rows", format!("/api/v1/logs?{range}&query=api&limit=100")),
        ("logs: count by service over time", format!("/api/v1/logs/count?{range}&by=service.name&step=60s&limit=20")),
        (
            "logs: count of a word by service over time",
            format!("/api/v1/logs/count?{range}&query=api&by=service.name&step=60s&limit=20"),
        ),
        ("logs: by trace id", format!("/api/v1/logs?{range}&query=trace_id:{log_trace}")),
        ("trace by id", format!("/api/v1/traces/{trace}")),
        (
            "20 slow traces of a service",
            format!("/api/v1/traces?{range}&query=service:checkout%20duration%3E15ms&limit=20"),
        ),
        ("services with rate, errors, durations", format!("/api/v1/services?{range}")),
    ] {
        ask(path.clone()).await.with_context(|| name.to_owned())?;
        let mut took = Vec::new();
        for _ in 0..flags.times.max(1) {
            let started = Instant::now();
            ask(path.clone()).await?;
            took.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        took.sort_by(f64::total_cmp);
        println!("{name:<48} {:>6.1}ms {:>6.1}ms {:>6.1}ms", took[took.len() / 2], took[0], took[took.len() - 1]);
    }
    Ok(())
}
