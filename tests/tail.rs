//! Live tail over a WebSocket, by a client of its own.

mod harness;

use futures::StreamExt as _;
use harness::{Server, logs};
use serde_json::Value as Json;
use std::time::Duration;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const TIME: u64 = 1_700_000_000_000_000_000;

#[tokio::test]
async fn a_websocket_tells_every_log_that_matches_once_it_is_acknowledged() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let address = format!("{}/api/v1/tail?query=service:shop%20wanted", server.ui.replacen("http", "ws", 1));
    let (mut socket, _) = connect_async(&address).await.expect("a WebSocket");
    let records: Vec<_> =
        (0..200).map(|number| (format!("{} {number}", ["wanted", "other"][number % 2]), Vec::new())).collect();
    assert_eq!(server.export("logs", &logs("web", TIME, &records)).await.0, 200);
    assert_eq!(server.export("logs", &logs("shop", TIME, &records)).await.0, 200);
    for number in (0..200).step_by(2) {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("in time");
        let Some(Ok(Message::Text(text))) = message else { panic!("{message:?} instead of a log") };
        let told: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!(told["log"]["body"], format!("wanted {number}"));
        assert_eq!(told["log"]["service_name"], "shop");
    }
    // Nothing else was told: what comes next is the answer to the close.
    socket.close(None).await.expect("close");
    let rest = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("in time");
    assert!(matches!(rest, Some(Ok(Message::Close(_)) | Err(_)) | None), "{rest:?}");
}

#[tokio::test]
async fn a_search_that_cannot_be_read_is_refused_before_the_upgrade() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let address = format!("{}/api/v1/tail?query=service:", server.ui.replacen("http", "ws", 1));
    let error = connect_async(&address).await.expect_err("no upgrade").to_string();
    assert!(error.contains("400"), "{error}");
}
