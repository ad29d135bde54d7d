//! The collector as a whole: its ports, its start and its stop.

use crate::admit::Door;
use crate::correlate::{Correlation, CorrelationConfig};
use crate::export::Exporter;
use crate::intake::{Intake, IntakeReport};
use crate::receivers::{self, Receivers};
use crate::{grpc, http};
use axum::Router;
use axum::serve::ListenerExt as _;
use mangru_store::Store;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Where to listen, and what to accept.
#[derive(Clone, Debug)]
pub struct CollectorConfig {
    /// The address of OTLP over gRPC; port 0 takes a free one.
    pub otlp_grpc: SocketAddr,
    /// The address of OTLP over HTTP; port 0 takes a free one.
    pub otlp_http: SocketAddr,
    /// The longest gRPC message, after decompression. Default 4 MiB.
    pub max_grpc_bytes: usize,
    /// The longest HTTP body, before and after decompression. Default 20 MiB.
    pub max_http_bytes: usize,
    /// Requests that are worked on at the same time. Default 512.
    pub max_concurrent_requests: usize,
    /// Bytes of requests that are worked on at the same time. Default 24 MiB.
    pub max_in_flight_bytes: usize,
    /// Pages that may send from browsers; a `*` at the end stands for the rest. Default: pages of this machine.
    pub cors_origins: Vec<String>,
    /// Headers that such pages may send beside OpenTelemetry's own.
    pub cors_headers: Vec<String>,
    /// Where correlation ids are found.
    pub correlation: CorrelationConfig,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        Self {
            otlp_grpc: SocketAddr::from(([127, 0, 0, 1], 4317)),
            otlp_http: SocketAddr::from(([127, 0, 0, 1], 4318)),
            max_grpc_bytes: 4 << 20,
            max_http_bytes: 20 << 20,
            max_concurrent_requests: 512,
            max_in_flight_bytes: 24 << 20,
            cors_origins: ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"].map(str::to_owned).to_vec(),
            cors_headers: Vec::new(),
            correlation: CorrelationConfig::default(),
        }
    }
}

/// The collector could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for {what} on {address}: {source}")]
pub struct CollectorError {
    what: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// Receives telemetry and appends it to a store.
#[derive(Debug)]
pub struct Collector;

/// A running collector.
#[derive(Debug)]
pub struct CollectorHandle {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    intake: Arc<Intake>,
    others: Router,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl Collector {
    /// Listens and receives until the handle is told to stop.
    pub async fn start(config: CollectorConfig, store: Arc<Store>) -> Result<CollectorHandle, CollectorError> {
        let intake = Arc::new(Intake::default());
        let exporter = Exporter {
            door: Door::new(store.memory().ingest.clone(), config.max_concurrent_requests, config.max_in_flight_bytes),
            store,
            correlation: Arc::new(Correlation::new(config.correlation)),
            intake: Arc::clone(&intake),
        };
        let (grpc_listener, grpc_addr) = listen("OTLP gRPC", config.otlp_grpc).await?;
        let (http_listener, http_addr) = listen("OTLP HTTP", config.otlp_http).await?;
        let stop = CancellationToken::new();
        let grpc = grpc::router(exporter.clone(), config.max_grpc_bytes);
        let receivers = Receivers::new(exporter.clone(), config.max_http_bytes);
        let with_greeting = receivers::router(receivers.clone()).merge(receivers::greeting());
        let others = receivers::router(receivers).merge(receivers::greeting_below());
        let http =
            http::router(exporter, config.max_http_bytes, &config.cors_origins, &config.cors_headers, with_greeting);
        let servers = vec![serve(grpc_listener, grpc, &stop), serve(http_listener, http, &stop)];
        Ok(CollectorHandle { grpc_addr, http_addr, intake, others, stop, servers })
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), CollectorError> {
    let failed = |source| CollectorError { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn serve(listener: TcpListener, router: Router, stop: &CancellationToken) -> JoinHandle<()> {
    let stop = stop.clone();
    tokio::spawn(async move {
        // Small answers must not wait for more to send with them.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = server.await {
            tracing::error!(%error, "receiver stopped");
        }
    })
}

impl CollectorHandle {
    /// The address of OTLP over gRPC in force.
    pub const fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// The address of OTLP over HTTP in force.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The routes of the protocols beside OTLP, for the port of UI and APIs: tools that write to and read from one address use them.
    pub fn router(&self) -> Router {
        self.others.clone()
    }

    /// What came in so far.
    pub fn intake(&self) -> IntakeReport {
        self.intake.report()
    }

    /// A way to ask for the report that outlives the handle.
    pub fn intake_source(&self) -> impl Fn() -> IntakeReport + Send + Sync + use<> {
        let intake = Arc::clone(&self.intake);
        move || intake.report()
    }

    /// Takes no new requests and finishes those in flight, within the deadline. Gives whether all were finished.
    pub async fn stop(self, deadline: Duration) -> bool {
        self.stop.cancel();
        let mut finished = true;
        let until = tokio::time::Instant::now() + deadline;
        for mut server in self.servers {
            if tokio::time::timeout_at(until, &mut server).await.is_err() {
                server.abort();
                finished = false;
            }
        }
        finished
    }
}
