//! The stages in the data's order: store, collector, query service, UI. Each starts after the one it gives to, and stops
//! before it.

use crate::config::Settings;
use crate::{demo, health};
use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use mangru_collector::Collector;
use mangru_query::QueryService;
use mangru_store::Store;
use mangru_ui::{Endpoints, UiContext};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long an orderly stop may take in all.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the stack until a signal ends it.
pub(crate) async fn serve(settings: Settings, with_shop: bool) -> anyhow::Result<()> {
    let data_dir = settings.store().data_dir;
    let store = Store::open(settings.store())
        .await
        .with_context(|| format!("cannot open the data folder {}", data_dir.display()))?;
    let collector = Collector::start(settings.collector()?, Arc::clone(&store)).await?;
    let query = QueryService::new(Arc::clone(&store), settings.query());
    let listener = tokio::net::TcpListener::bind(settings.http_address()?)
        .await
        .with_context(|| format!("cannot listen for UI and APIs on {}", settings.http))?;
    let http = listener.local_addr()?;
    let endpoints = Endpoints {
        otlp_grpc: collector.grpc_addr().to_string(),
        otlp_http: collector.http_addr().to_string(),
        http: http.to_string(),
    };
    let intake = collector.intake_source();
    let intake = Arc::new(move || serde_json::to_value(intake()).unwrap_or_default());
    let context = UiContext {
        query: Arc::clone(&query),
        intake: intake.clone(),
        endpoints,
        config_text: settings.text(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let router =
        mangru_query::router(query).merge(mangru_ui::router(context)).merge(health::router(Arc::clone(&store), intake));
    let stop = CancellationToken::new();
    let listener = listener.tap_io(|stream| {
        // Small answers must not wait for more to send with them.
        let _ = stream.set_nodelay(true);
    });
    let stopping = stop.clone();
    let server =
        tokio::spawn(
            async move { axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await },
        );

    println!("otlp grpc  {}", collector.grpc_addr());
    println!("otlp http  {}", collector.http_addr());
    println!("data       {}", data_dir.display());
    println!("ui         http://{http}/");
    let shop = with_shop.then(|| demo::start(&collector.grpc_addr().to_string(), stop.clone())).transpose()?;

    ended().await?;
    tracing::info!("stopping");
    stop.cancel();
    if let Some(shop) = shop
        && tokio::time::timeout(Duration::from_secs(2), shop).await.is_err()
    {
        tracing::warn!("the shop did not stop in time");
    }
    if !collector.stop(STOP_DEADLINE / 2).await {
        tracing::warn!("the collector did not finish its requests in time");
    }
    if tokio::time::timeout(Duration::from_secs(2), server).await.is_err() {
        tracing::warn!("the HTTP server did not finish its requests in time");
    }
    if tokio::time::timeout(STOP_DEADLINE / 2, store.close()).await.is_err() {
        tracing::warn!("the store did not close in time; its journal will be replayed");
    }
    Ok(())
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
