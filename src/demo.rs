//! The demo: a simulated shop of eleven services that export logs, spans and metrics through the real OpenTelemetry SDK over
//! OTLP. Nothing here takes a short cut into the store.

mod call;
mod service;
mod shop;

use shop::Shop;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time between two visitors.
const PACE: Duration = Duration::from_millis(40);

/// Opens the shop: visitors come until it is told to stop.
pub(crate) fn start(otlp_grpc: &str, stop: CancellationToken) -> anyhow::Result<JoinHandle<()>> {
    let shop = Shop::open(&format!("http://{otlp_grpc}"))?;
    Ok(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => shop.visit(),
            }
        }
        // The exporters wait for the collector; a stopping stack is not made to wait long for them.
        let closed = tokio::task::spawn_blocking(move || shop.close());
        let _ = tokio::time::timeout(Duration::from_millis(1500), closed).await;
    }))
}
