//! How fast telemetry comes in.

use super::load::{LOADS, Load};
use super::process::Server;
use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, Bytes};
use clap::Args;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Requests that are made before they are sent.
const PIECE: usize = 2000;

/// How much to send, and how.
#[derive(Args, Clone)]
pub(crate) struct IngestFlags {
    /// `logs`, `spans`, `metrics` or `all`.
    #[arg(long, default_value = "all")]
    signal: String,
    /// Events of each signal.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Events of one request.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Events each second, over all connections; as fast as they go without it.
    #[arg(long)]
    rate: Option<f64>,
}

/// `mangru bench ingest`.
pub(crate) async fn run(flags: IngestFlags) -> anyhow::Result<()> {
    if flags.batch == 0 || flags.connections == 0 || flags.events < flags.batch {
        bail!("--batch and --connections are at least 1, --events at least one batch");
    }
    if flags.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        bail!("--rate is more than 0");
    }
    let chosen: Vec<&Load> = LOADS.iter().filter(|load| flags.signal == "all" || flags.signal == load.name).collect();
    if chosen.is_empty() {
        bail!("--signal is logs, spans, metrics or all");
    }
    println!("signal      events    events/s  events/CPU-s    MB/s  ack p50  ack p99  peak MiB  B/event  found after");
    for load in chosen {
        measure(&flags, load).await?;
    }
    Ok(())
}

/// Sends messages that are already encoded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// What became of the requests that were sent.
pub(super) struct Sent {
    /// How long each took to be acknowledged, the quickest first.
    pub(super) took: Vec<Duration>,
    /// How often the server asked to try again.
    pub(super) retries: usize,
}

/// Sends all requests over so many connections, each no sooner than its turn, and waits until they are acknowledged.
pub(super) async fn send(
    address: &str,
    method: &'static str,
    requests: Arc<Vec<Bytes>>,
    connections: usize,
    turn: Option<Duration>,
) -> anyhow::Result<Sent> {
    let next = Arc::new(AtomicUsize::new(0));
    let retries = Arc::new(AtomicUsize::new(0));
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?);
    }
    let begin = Instant::now();
    let mut senders = Vec::new();
    for channel in channels {
        let (next, requests, retries) = (Arc::clone(&next), Arc::clone(&requests), Arc::clone(&retries));
        senders.push(tokio::spawn(async move {
            let mut client = tonic::client::Grpc::new(channel);
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(number) else { return Ok(took) };
                if let Some(turn) = turn {
                    tokio::time::sleep_until((begin + turn * number as u32).into()).await;
                }
                loop {
                    client.ready().await?;
                    let started = Instant::now();
                    let path = http::uri::PathAndQuery::from_static(method);
                    match client.unary(tonic::Request::new(request.clone()), path, RawCodec).await {
                        Ok(_) => {
                            took.push(started.elapsed());
                            break;
                        }
                        // What is refused for now is sent again, as an exporter would.
                        Err(status) if status.code() == tonic::Code::Unavailable => {
                            retries.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        Err(status) => anyhow::bail!("the server refused a request: {status}"),
                    }
                }
            }
        }));
    }
    let mut took = Vec::new();
    for sender in senders {
        took.extend(sender.await??);
    }
    took.sort_unstable();
    Ok(Sent { took, retries: retries.load(Ordering::Relaxed) })
}

/// Requests of a load, encoded.
pub(super) fn encode(load: &Load, numbers: Range<u64>, batch: usize, start: u64) -> Arc<Vec<Bytes>> {
    Arc::new(numbers.map(|number| Bytes::from((load.make)(number, batch, start))).collect())
}

async fn measure(flags: &IngestFlags, load: &Load) -> anyhow::Result<()> {
    let Load { name, table, method, .. } = load;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path()).await?;
    let start = load.start(mangru_query::now_ns() as u64, flags.events as u64);
    let count = (flags.events / flags.batch) as u64;
    let events = count as usize * flags.batch;
    let turn = flags.rate.map(|rate| Duration::from_secs_f64(flags.batch as f64 / rate));
    let (mut sent, mut sent_bytes, mut took) = (Sent { took: Vec::new(), retries: 0 }, 0, 0.0);
    for first in (0..count).step_by(PIECE) {
        // In pieces, so that the requests of a large load need not fit into memory at once.
        let requests = encode(load, first..count.min(first + PIECE as u64), flags.batch, start);
        sent_bytes += requests.iter().map(Bytes::len).sum::<usize>();
        let started = Instant::now();
        let piece = send(&server.grpc, method, requests, flags.connections, turn).await?;
        took += started.elapsed().as_secs_f64();
        sent.took.extend(piece.took);
        sent.retries += piece.retries;
    }
    sent.took.sort_unstable();
    let found = found_after(&server, table, events as u64).await?;
    server.flush().await?;
    let usage = server.usage()?;
    let bytes = server.part_bytes().await?;
    println!(
        "{name:<8} {events:>9} {:>11.0} {:>13.0} {:>7.1} {:>6.1}ms {:>6.1}ms {:>9.0} {:>8.1} {:>9.0} ms",
        events as f64 / took,
        events as f64 / usage.cpu_seconds,
        sent_bytes as f64 / took / 1e6,
        percentile_ms(&sent.took, 50),
        percentile_ms(&sent.took, 99),
        usage.peak_mib,
        bytes as f64 / events as f64,
        found.as_secs_f64() * 1000.0
    );
    if sent.retries > 0 {
        println!("         {} requests were sent again because the server asked for it", sent.retries);
    }
    Ok(())
}

/// A percentile in milliseconds of durations that are sorted; 0 when there are none.
pub(super) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
}

/// How long after the last acknowledgement all events are found.
pub(super) async fn found_after(server: &Server, table: &str, events: u64) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let body = serde_json::json!({ "sql": format!("SELECT count(*) FROM {table}") }).to_string();
    loop {
        let request = reqwest::Client::new().post(format!("{}/api/v1/sql", server.ui)).body(body.clone());
        let answer: serde_json::Value = request.send().await?.json().await?;
        let count = answer["rows"][0][0].as_u64().context("no count")?;
        if count == events {
            return Ok(started.elapsed());
        }
        if started.elapsed() > Duration::from_secs(30) {
            bail!("{count} of {events} events are found");
        }
    }
}
