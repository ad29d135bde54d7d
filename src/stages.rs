//! The stages: store, collector, query service, alerts, UI and APIs. Each starts after the one it gives to, and stops before it.

use crate::config::Settings;
use crate::http::Port;
use crate::{demo, health, itself};
use anyhow::{Context as _, bail};
use mangru_alerts::AlertService;
use mangru_collector::Collector;
use mangru_query::QueryService;
use mangru_store::Store;
use mangru_ui::{ConfigFiles, Endpoints, UiContext};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How long each stage may take to stop, in this order; ten seconds in all. What is acknowledged is durable whenever they end.
const SHOP_STOPS: Duration = Duration::from_secs(2);
const COLLECTOR_STOPS: Duration = Duration::from_secs(3);
const HTTP_STOPS: Duration = Duration::from_millis(1250);
const ALERTS_STOP: Duration = Duration::from_millis(1250);
const STORE_STOPS: Duration = Duration::from_millis(2500);

/// Runs the stack until a signal ends it.
pub(crate) async fn serve(settings: Settings, with_shop: bool) -> anyhow::Result<()> {
    let data_dir = settings.store().data_dir;
    let store = Store::open(settings.store())
        .await
        .with_context(|| format!("cannot open the data folder {}", data_dir.display()))?;
    tokio::spawn(crate::allocator::follow_load(Arc::downgrade(&store)));
    let collector = Collector::start(settings.collector()?, Arc::clone(&store)).await?;
    let query = QueryService::new(Arc::clone(&store), settings.query());
    let port = Port::take(settings.http_address()?).await?;
    if with_shop {
        demo::put_rules(&data_dir)?;
    }
    let alerts = AlertService::start(Arc::clone(&query), settings.alerts(port.address()))
        .await
        .context("the rules of alerts cannot be used")?;
    let endpoints = Endpoints {
        otlp_grpc: collector.grpc_addr().to_string(),
        otlp_http: collector.http_addr().to_string(),
        http: port.address().to_string(),
    };
    let addresses = format!(
        "otlp grpc  {}\notlp http  {}\ndata       {}\nui         http://{}/\n",
        endpoints.otlp_grpc,
        endpoints.otlp_http,
        data_dir.display(),
        endpoints.http
    );
    let intake = collector.intake_source();
    let intake = Arc::new(move || serde_json::to_value(intake()).unwrap_or_default());
    let itself_intake = intake.clone();
    let context = UiContext {
        query: Arc::clone(&query),
        alerts: Arc::clone(&alerts),
        intake: intake.clone(),
        endpoints,
        config_text: settings.text(),
        config_files: ConfigFiles::new(&settings.config_dir()),
        version: env!("CARGO_PKG_VERSION"),
    };
    let router = mangru_query::router(Arc::clone(&query))
        .merge(mangru_alerts::router(Arc::clone(&alerts)))
        .merge(mangru_ui::router(context))
        .merge(collector.router())
        .merge(health::router(Arc::clone(&query), intake));
    let http = port.serve(router);
    // Nobody may be reading.
    let _ = std::io::stdout().write_all(addresses.as_bytes());
    let itself = (settings.self_metrics_seconds > 0).then(|| {
        let every = Duration::from_secs(settings.self_metrics_seconds);
        itself::start(every, &collector.http_addr().to_string(), query, itself_intake)
    });
    let shop = with_shop.then(|| demo::start(&collector.grpc_addr().to_string())).transpose()?;

    ended().await?;
    tracing::info!("stopping; a second signal ends at once");
    let stop = async {
        drop(itself);
        if let Some(shop) = shop {
            in_time("the shop", SHOP_STOPS, shop.stop()).await;
        }
        if !collector.stop(COLLECTOR_STOPS).await {
            tracing::warn!("the collector did not finish its requests in time");
        }
        in_time("the HTTP server", HTTP_STOPS, http.stop()).await;
        in_time("the alerts", ALERTS_STOP, alerts.stop()).await;
        if let Some(Err(error)) = in_time("the store", STORE_STOPS, store.close()).await {
            tracing::warn!(%error, "the store did not close well; its journal will be replayed");
        }
    };
    tokio::select! {
        () = stop => Ok(()),
        again = ended() => again.and_then(|()| bail!("a second signal ended the stop; the journal will be replayed")),
    }
}

/// Waits so long for a stage to stop, and says which one did not.
async fn in_time<T>(stage: &str, limit: Duration, stop: impl Future<Output = T>) -> Option<T> {
    let stopped = tokio::time::timeout(limit, stop).await.ok();
    if stopped.is_none() {
        tracing::warn!("{stage} did not stop in time");
    }
    stopped
}

/// Waits for SIGTERM or SIGINT.
async fn ended() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
