//! How long queries take.

use super::ingest::{encode, send};
use super::load::{LOADS, Load};
use super::process::Server;
use anyhow::Context as _;
use clap::Args;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Events of a request.
const BATCH: usize = 1000;
/// Requests that are made before they are sent.
const PIECE: usize = 500;
/// The file that says when a folder was filled.
const NOTE: &str = "bench.txt";
/// How long the server is left alone before it is asked.
const REST: Duration = Duration::from_secs(3);
/// How long a server that has started opens the newest parts.
const START: Duration = Duration::from_secs(1);
/// Stories that are asked for, each as the first question of a process that has just started.
const STORIES: u64 = 20;

/// How much there is to search.
#[derive(Args, Clone)]
pub(crate) struct QueryFlags {
    /// Logs to search, and as many spans and metric points.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How often each query is asked, after once to warm up.
    #[arg(long, default_value_t = 11)]
    times: usize,
    /// A folder to keep the data in. One that an earlier run filled is only asked.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// `mangru bench query`.
pub(crate) async fn run(flags: QueryFlags) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = flags.data_dir.as_deref().unwrap_or(temporary.path());
    let note = folder.join(NOTE);
    let noted = std::fs::read_to_string(&note).ok();
    let filled = noted.as_deref().map(|noted| noted.trim().parse::<u64>().context("when the folder was filled"));
    let now = filled.transpose()?.unwrap_or_else(|| mangru_query::now_ns() as u64);
    let server = Server::start(folder).await?;
    let requests = (flags.events / BATCH).max(1) as u64;
    let start = LOADS[0].start(now, requests * BATCH as u64);
    let metrics_start = LOADS[2].start(now, requests * BATCH as u64);
    if noted.is_none() {
        for (load, start) in LOADS.iter().zip([start, start, metrics_start]) {
            fill(&server, load, requests, start).await?;
            let used = server.usage()?;
            println!(
                "{} sent, {:.0} CPU-seconds and a peak of {:.0} MiB so far",
                load.name, used.cpu_seconds, used.peak_mib
            );
        }
        server.flush().await?;
        println!("{:.1} MB of parts", server.part_bytes().await? as f64 / 1e6);
        std::fs::write(&note, now.to_string())?;
    }
    // What came in is merged, and the server at rest.
    tokio::time::sleep(REST).await;
    let ui = server.ui.clone();
    // One for all: making one reads the system's certificates, which takes as long as a query.
    let client = reqwest::Client::new();
    let ask = |path: String| ask(&client, &ui, path);
    let range = format!("start={start}&end=now");
    let newest = ask(format!("/api/v1/logs?{range}&limit=1&query=trace_id:*")).await?;
    let log_trace = newest["rows"][0]["trace_id"].as_str().context("no log with a trace")?.to_owned();
    let newest = ask(format!("/api/v1/spans?{range}&limit=1000")).await?;
    let trace = largest_trace(&newest).context("no span")?;
    // Orders of the whole time.
    let mut orders = Vec::new();
    for number in 1..=STORIES {
        let end = start + (now - start) / STORIES * number;
        let found = ask(format!("/api/v1/logs?start={start}&end={end}&limit=1&query=order.id:*")).await?;
        orders.push(found["rows"][0]["attributes"]["order.id"].as_str().context("no order")?.to_owned());
    }
    let order = orders.last().context("no order")?.clone();
    let (rare_rows, rare) = rare_word(&client, &ui, &range, &orders).await?;
    println!("the rare word has rows: {rare_rows}");

    // Slow is what one in ten spans of the service is.
    let spans = ask(format!("/api/v1/spans?{range}&limit=1000&query=service:checkout")).await?;
    let mut durations: Vec<u64> =
        spans["rows"].as_array().into_iter().flatten().filter_map(|span| span["duration_ns"].as_u64()).collect();
    durations.sort_unstable();
    let slow = durations.get(durations.len() * 9 / 10).context("no span of the service")?;

    let promql = |query: &str| {
        let (start, end) = (metrics_start / 1_000_000_000, now / 1_000_000_000);
        let path = format!("http://localhost/api/v1/query_range?start={start}&end={end}&step=60");
        let url = reqwest::Url::parse_with_params(&path, [("query", query)])?;
        anyhow::Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
    };
    let queries = [
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
            format!("/api/v1/traces?{range}&query=service:checkout%20duration%3E{slow}ns&limit=20"),
        ),
        ("percentiles of a service over time", format!("/api/v1/spans/stats?{range}&query=service:checkout&step=60s")),
        (
            "20 traces with an error below a service",
            format!("/api/v1/traces?{range}&query=%7Bservice:checkout%7D%20%3E%3E%20%7Bstatus:error%7D&limit=20"),
        ),
        ("story of an order", format!("/api/v1/story/{order}")),
        ("patterns of all logs", format!("/api/v1/logs/patterns?{range}")),
        ("services with rate, errors, durations", format!("/api/v1/services?{range}")),
        ("map of all services", format!("/api/v1/map?{range}")),
        (
            "PromQL: rate by service of 120 series",
            promql("sum by (service_name) (rate(http_server_requests_8_total[5m]))")?,
        ),
        (
            "PromQL: quantile of 120 histograms by service",
            promql(
                "histogram_quantile(0.95, sum by (le, service_name) (rate(http_server_duration_17_seconds_bucket[5m])))",
            )?,
        ),
    ];
    let mut warm = Vec::new();
    for (_, path) in &queries {
        warm.push(repeat(flags.times.max(1), || ask(path.clone())).await);
    }
    server.stop().await?;
    println!("query                                               median      min      max     cold");
    for ((name, path), took) in queries.iter().zip(warm) {
        // A query that needs more than it may have does not end the others.
        let took = match took {
            Ok(took) => took,
            Err(error) => {
                println!("{name:<48} {error:#}");
                continue;
            }
        };
        let cold = cold(&client, folder, path).await?;
        print!("{name:<48} {:>6.1}ms {:>6.1}ms {:>6.1}ms", took[took.len() / 2], took[0], took[took.len() - 1]);
        println!(" {}", cold.map_or_else(|| "      –".to_owned(), |cold| format!("{cold:>6.1}ms")));
    }
    cold_stories(&client, folder, &orders).await
}

/// Asks for stories, each as the first question of a process, and prints how long they take.
async fn cold_stories(client: &reqwest::Client, folder: &Path, orders: &[String]) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for order in orders {
        took.extend(cold(client, folder, &format!("/api/v1/story/{order}")).await?);
    }
    took.sort_by(f64::total_cmp);
    if let (Some(median), Some(slowest)) = (took.get(took.len() / 2), took.last()) {
        let p95 = took[(took.len() * 95).div_ceil(100) - 1];
        println!(
            "{STORIES} stories, each the first question after a start: median {median:.1} ms, p95 {p95:.1} ms, slowest {slowest:.1} ms"
        );
    }
    Ok(())
}

/// The trace with the most of these spans: what is asked must be as large on any amount of data.
fn largest_trace(spans: &Json) -> Option<String> {
    let mut traces = std::collections::BTreeMap::<&str, usize>::new();
    for span in spans["rows"].as_array()? {
        *traces.entry(span["trace_id"].as_str()?).or_default() += 1;
    }
    traces.into_iter().max_by_key(|(_, spans)| *spans).map(|(trace, _)| trace.to_owned())
}

/// The number of one of these orders of which the fewest logs speak, and how many do: what is asked must be the same on any amount of data.
async fn rare_word(
    client: &reqwest::Client,
    ui: &str,
    range: &str,
    orders: &[String],
) -> anyhow::Result<(usize, String)> {
    let mut rare: Option<(usize, String)> = None;
    for order in orders.iter().rev() {
        let word = order.rsplit('-').next().unwrap_or_default().to_owned();
        let found = ask(client, ui, format!("/api/v1/logs?{range}&query={word}")).await?;
        let rows = found["rows"].as_array().map_or(0, Vec::len);
        if rare.as_ref().is_none_or(|(least, _)| rows < *least) {
            rare = Some((rows, word));
        }
    }
    rare.context("no order")
}

/// Sends so many requests of a load.
async fn fill(server: &Server, load: &Load, requests: u64, start: u64) -> anyhow::Result<()> {
    // In pieces, so that the requests of a large load need not fit into memory at once.
    for first in (0..requests).step_by(PIECE) {
        let piece = encode(load, first..requests.min(first + PIECE as u64), BATCH, start);
        send(&server.grpc, load.method, piece, 4, None).await?;
    }
    Ok(())
}

/// A query that took this long in all is not asked again, when it was asked thrice.
const LONG_ENOUGH: Duration = Duration::from_secs(15);

/// Asks once to warm up and then so many times: milliseconds, rising.
pub(super) async fn repeat<F: Future<Output = anyhow::Result<Json>>>(
    times: usize,
    ask: impl Fn() -> F,
) -> anyhow::Result<Vec<f64>> {
    ask().await?;
    let mut took = Vec::new();
    let begun = Instant::now();
    for _ in 0..times {
        let started = Instant::now();
        ask().await?;
        took.push(started.elapsed().as_secs_f64() * 1000.0);
        if took.len() >= 3 && begun.elapsed() > LONG_ENOUGH {
            break;
        }
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

pub(super) async fn ask(client: &reqwest::Client, ui: &str, path: String) -> anyhow::Result<Json> {
    let response = client.get(format!("{ui}{path}")).send().await?;
    Ok(response.error_for_status()?.json().await?)
}

/// How many milliseconds a query takes that is the first one of a process that has just started, when none of the data
/// but what a start reads is in the system's memory; `None` where that cannot be arranged.
async fn cold(client: &reqwest::Client, folder: &Path, path: &str) -> anyhow::Result<Option<f64>> {
    if !forget_pages(folder)? {
        return Ok(None);
    }
    let server = Server::start(folder).await?;
    tokio::time::sleep(START).await;
    let started = Instant::now();
    ask(client, &server.ui, path.to_owned()).await?;
    let took = started.elapsed().as_secs_f64() * 1000.0;
    server.stop().await?;
    Ok(Some(took))
}

/// Asks the system to let go of what it holds of the files below a folder, by way of `dd`.
fn forget_pages(folder: &Path) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if !forget_pages(&entry.path())? {
                return Ok(false);
            }
            continue;
        }
        let mut file = std::ffi::OsString::from("if=");
        file.push(entry.path());
        let dd = Command::new("dd").arg(file).args(["iflag=nocache", "count=0", "status=none"]).status();
        if !dd.is_ok_and(|status| status.success()) {
            return Ok(false);
        }
    }
    Ok(true)
}
