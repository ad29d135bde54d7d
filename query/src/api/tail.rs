//! Live tail over server-sent events and over WebSocket.

use super::error::{ApiError, Parameters};
use crate::{QueryService, Tail, TailEvent};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, State};
use axum::http::Request;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;

/// Parameters of a tail.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct TailParameters {
    /// The search over logs; empty matches all.
    query: String,
}

/// Follows logs from the moment of their acknowledgement: events `log` with a row, and `dropped` with a number when the
/// reader was too slow. A WebSocket gets the same as text messages `{"log":…}` and `{"dropped":n}`.
#[utoipa::path(get, path = "/api/v1/tail", params(TailParameters), responses((status = 200, description = "server-sent events, or a WebSocket")))]
pub(super) async fn tail(
    State(service): State<Arc<QueryService>>,
    Parameters(parameters): Parameters<TailParameters>,
    request: Request<axum::body::Body>,
) -> Result<Response, ApiError> {
    let tail = service.tail(&parameters.query)?;
    let (mut parts, _) = request.into_parts();
    if parts.headers.contains_key("sec-websocket-key") {
        let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
            return Ok(axum::http::StatusCode::BAD_REQUEST.into_response());
        };
        return Ok(upgrade.on_upgrade(move |socket| speak(socket, tail)));
    }
    Ok(Sse::new(events(tail)).keep_alive(KeepAlive::default()).into_response())
}

fn events(tail: Tail) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(tail, |mut tail| async move {
        let event = match tail.next().await? {
            TailEvent::Row(row) => Event::default().event("log").data(serde_json::to_string(&row).unwrap_or_default()),
            TailEvent::Dropped(count) => Event::default().event("dropped").data(count.to_string()),
        };
        Some((Ok(event), tail))
    })
}

async fn speak(mut socket: WebSocket, mut tail: Tail) {
    loop {
        tokio::select! {
            event = tail.next() => {
                let message = match event {
                    Some(TailEvent::Row(row)) => json!({ "log": row }),
                    Some(TailEvent::Dropped(count)) => json!({ "dropped": count }),
                    None => return,
                };
                if socket.send(Message::Text(message.to_string().into())).await.is_err() {
                    return;
                }
            }
            heard = socket.recv() => match heard {
                // Pings are answered below us; a close or an error ends the tail.
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            }
        }
    }
}
