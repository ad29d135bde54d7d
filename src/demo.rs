//! The demo: a simulated shop of eleven services that export logs, spans and metrics through the real OpenTelemetry SDK over
//! OTLP. Nothing here takes a short cut into the store.

mod call;
mod service;
mod shop;

use anyhow::Context as _;
use mangru_alerts::AlertSettings;
use shop::Shop;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time between two visitors.
const PACE: Duration = Duration::from_millis(40);

/// Rules for the shop's faults.
const RULES: &str = include_str!("demo/rules.yml");

/// Puts the rules for the shop's faults where rules are looked for, unless they are there.
pub(crate) fn put_rules(data_dir: &Path) -> anyhow::Result<()> {
    let folder = AlertSettings::in_folder(data_dir.join("alerts")).rules_folder();
    let path = folder.join("demo-shop.yml");
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    std::fs::write(&path, RULES).with_context(|| format!("cannot write {}", path.display()))
}

/// A shop that is open.
pub(crate) struct OpenShop {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

/// Opens the shop: visitors come until it is told to stop.
pub(crate) fn start(otlp_grpc: &str) -> anyhow::Result<OpenShop> {
    let shop = Shop::open(&format!("http://{otlp_grpc}"))?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let task = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = ticks.tick() => shop.visit(),
            }
        }
        // The exporters wait for the collector; a stopping stack is not made to wait long for them.
        let closed = tokio::task::spawn_blocking(move || shop.close());
        let _ = tokio::time::timeout(Duration::from_millis(1500), closed).await;
    });
    Ok(OpenShop { task, stop })
}

impl OpenShop {
    /// Lets no more visitors in and sends what waits.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // A shop that panicked is closed too.
        let _ = self.task.await;
    }
}
