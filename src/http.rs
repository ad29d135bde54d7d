//! The one HTTP port of UI and APIs.

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::serve::ListenerExt as _;
use futures::StreamExt as _;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A port that is taken, so that its address can be told, but not yet answered.
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// A running server.
pub(crate) struct HttpServer {
    task: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl Port {
    /// Takes the port; port 0 takes a free one.
    pub(crate) async fn take(address: SocketAddr) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen for UI and APIs on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests from now on.
    pub(crate) fn serve(self, router: Router) -> HttpServer {
        let stop = CancellationToken::new();
        let (ends_streams, ends_server) = (stop.clone(), stop.clone());
        let router = router.layer(axum::middleware::map_response(move |response: Response| {
            let stop = ends_streams.clone();
            async move { ends_with(stop, response) }
        }));
        let listener = self.listener.tap_io(|stream| {
            // Small answers must not wait for more to send with them.
            let _ = stream.set_nodelay(true);
        });
        let task = tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(ends_server.cancelled_owned()).await
        });
        HttpServer { task, stop }
    }
}

impl HttpServer {
    /// Takes no new connections and finishes the requests in flight.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // An error of the listener is of no interest to one who wanted its end.
        let _ = self.task.await;
    }
}

/// A stream of events has no end of its own; it ends when the server stops.
fn ends_with(stop: CancellationToken, response: Response) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return response;
    }
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(stop.cancelled_owned())))
}
