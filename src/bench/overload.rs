//! What happens when ten times as much comes in as can be taken.

use super::ingest::{RawCodec, encode, found_after, percentile_ms, send};
use super::load::LOADS;
use super::process::Server;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Requests that are made beforehand; they are sent again and again.
const REQUESTS: u64 = 400;
/// Requests on their way at most: a loader needs memory, too.
const MAX_IN_FLIGHT: usize = 4096;

/// How much more than the server can take is sent.
#[derive(Args, Clone)]
pub(crate) struct OverloadFlags {
    /// `logs`, `spans` or `metrics`.
    #[arg(long, default_value = "logs")]
    signal: String,
    /// The load, in multiples of what the server takes when senders wait for its answers.
    #[arg(long, default_value_t = 10.0)]
    times: f64,
    /// For how long.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events of one request.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
}

/// `mangru bench overload`.
pub(crate) async fn run(flags: OverloadFlags) -> anyhow::Result<()> {
    if flags.batch == 0 || flags.connections == 0 || !(flags.times.is_finite() && flags.times > 0.0) {
        bail!("--batch and --connections are at least 1, --times is more than 0");
    }
    let load = LOADS.iter().find(|load| load.name == flags.signal).context("--signal is logs, spans or metrics")?;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path()).await?;
    let start = load.start(mangru_query::now_ns() as u64, REQUESTS * flags.batch as u64);
    let requests = encode(load, 0..REQUESTS, flags.batch, start);

    let started = Instant::now();
    send(&server.grpc, load.method, Arc::clone(&requests), 4, None).await?;
    let mut acknowledged = requests.len();
    let capacity = (requests.len() * flags.batch) as f64 / started.elapsed().as_secs_f64();
    let calm = server.usage()?;
    println!("senders that wait: {capacity:.0} events/s, peak {:.0} MiB", calm.peak_mib);

    let outcome = flood(&flags, &server.grpc, load.method, &requests, capacity * flags.times).await?;
    acknowledged += outcome.took.len();
    let found = found_after(&server, load.table, (acknowledged * flags.batch) as u64).await?;
    let usage = server.usage()?;
    let events = |requests: usize| (requests * flags.batch) as f64 / outcome.lasted.as_secs_f64();
    println!(
        "offered            {:>12.0} events/s, {:.1} times as much",
        events(outcome.sent),
        events(outcome.sent) / capacity
    );
    println!("acknowledged       {:>12.0} events/s", events(outcome.took.len()));
    println!(
        "acknowledged after {:>9.1} ms (median), {:.1} ms (99 %)",
        percentile_ms(&outcome.took, 50),
        percentile_ms(&outcome.took, 99)
    );
    for (answer, count) in &outcome.refused {
        println!("refused            {:>12.0} events/s: {answer}", events(*count));
    }
    println!("peak               {:>12.0} MiB", usage.peak_mib);
    println!(
        "all {} acknowledged events were found {:.0} ms after the last",
        acknowledged * flags.batch,
        found.as_secs_f64() * 1e3
    );
    Ok(())
}

/// What became of a flood.
struct Outcome {
    sent: usize,
    /// How long acknowledged requests took, the quickest first.
    took: Vec<Duration>,
    refused: BTreeMap<String, usize>,
    lasted: Duration,
}

/// Sends requests at this rate, whatever the answers are, and waits for all answers in the end.
async fn flood(
    flags: &OverloadFlags,
    address: &str,
    method: &'static str,
    requests: &Arc<Vec<Bytes>>,
    rate: f64,
) -> anyhow::Result<Outcome> {
    let mut channels = Vec::new();
    for _ in 0..flags.connections {
        channels.push(tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?);
    }
    let between = Duration::from_secs_f64(flags.batch as f64 / rate);
    let (begin, length) = (Instant::now(), Duration::from_secs(flags.seconds));
    let mut outcome = Outcome { sent: 0, took: Vec::new(), refused: BTreeMap::new(), lasted: length };
    let mut running: JoinSet<Result<Duration, String>> = JoinSet::new();
    let mut turn = 0_u32;
    while begin.elapsed() < length {
        tokio::time::sleep_until((begin + between * turn).into()).await;
        turn += 1;
        while running.len() >= MAX_IN_FLIGHT
            && let Some(answer) = running.join_next().await
        {
            outcome.add(answer?);
        }
        while let Some(answer) = running.try_join_next() {
            outcome.add(answer?);
        }
        let request = requests[outcome.sent % requests.len()].clone();
        let mut client = tonic::client::Grpc::new(channels[outcome.sent % channels.len()].clone());
        outcome.sent += 1;
        running.spawn(async move {
            client.ready().await.map_err(|error| error.to_string())?;
            let started = Instant::now();
            let path = http::uri::PathAndQuery::from_static(method);
            let answer = client.unary(tonic::Request::new(request), path, RawCodec).await;
            let why = |status: tonic::Status| {
                // Figures in the text would make each a reason of its own.
                let text = status.message().split(':').next().unwrap_or_default();
                format!("{:?}, {text}", status.code())
            };
            answer.map(|_| started.elapsed()).map_err(why)
        });
    }
    outcome.lasted = begin.elapsed();
    while let Some(answer) = running.join_next().await {
        outcome.add(answer?);
    }
    outcome.took.sort_unstable();
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, answer: Result<Duration, String>) {
        match answer {
            Ok(took) => self.took.push(took),
            Err(reason) => *self.refused.entry(reason).or_default() += 1,
        }
    }
}
