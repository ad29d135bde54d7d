//! Live tail over WebSocket, as Grafana and `logcli query --tail` follow it.

use super::{Asker, Fault, Service, moment, number, one, required, streams};
use crate::logql::{self, Entry, LinesRequest, LinesTail, Query, Tailed};
use crate::{QueryError, QueryService, now_ns};
use axum::extract::Query as Parameters;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use mangru_store::TimeRange;
use serde_json::{Value, json};
use std::sync::Arc;

/// Lines that are sent at once for the time before.
const LIMIT: usize = 100;

pub(super) async fn tail(
    State(service): Service,
    asker: Asker,
    Parameters(pairs): Parameters<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Fault> {
    let Query::Lines(query) = logql::parse(required(&pairs, "query")?)? else {
        return Err(QueryError::invalid("query", "only log queries can be tailed").into());
    };
    let tail = service.logql_tail(&query, &asker.tenants)?;
    let limit = number(&pairs, "limit", LIMIT)?;
    let end = now_ns();
    // Without a start only what comes is sent.
    let before = match one(&pairs, "start") {
        None => Vec::new(),
        Some(_) => {
            let start = moment(&pairs, "start")?.unwrap_or(end).min(end);
            let range = TimeRange { start, end };
            before(
                &service,
                LinesRequest { query, range, limit, interval: 0, is_forward: false, tenants: asker.tenants },
            )
            .await?
        }
    };
    Ok(upgrade.on_upgrade(move |socket| speak(socket, tail, before, asker.categorizes)))
}

async fn before(service: &Arc<QueryService>, request: LinesRequest) -> Result<Vec<Entry>, QueryError> {
    let (mut entries, _) = service.logql_lines(&request).await?;
    entries.reverse();
    Ok(entries)
}

fn message(entries: &[Entry], dropped: u64, categorizes: bool) -> Message {
    let time = now_ns().to_string();
    // How many were dropped is told by as many entries; that they were dropped by one at least.
    let dropped: Vec<Value> = (0..dropped.min(10_000)).map(|_| json!({ "labels": {}, "timestamp": time })).collect();
    let mut message = json!({ "streams": streams(entries, categorizes) });
    if !dropped.is_empty() {
        message["dropped_entries"] = dropped.into();
    }
    if categorizes {
        message["encodingFlags"] = json!(["categorize-labels"]);
    }
    Message::Text(message.to_string().into())
}

async fn speak(mut socket: WebSocket, mut tail: LinesTail, before: Vec<Entry>, categorizes: bool) {
    if !before.is_empty() && socket.send(message(&before, 0, categorizes)).await.is_err() {
        return;
    }
    loop {
        tokio::select! {
            tailed = tail.next() => {
                let Some(Tailed { lines, dropped }) = tailed else { return };
                if socket.send(message(&lines, dropped, categorizes)).await.is_err() {
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
