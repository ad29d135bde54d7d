//! What tests of alerts share: receivers that listen on this machine, and a server with rules and routes.
#![allow(dead_code)] // each test binary uses its own part of this

use crate::harness::{Server, logs};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value as Json, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request that a receiver got: path, headers of interest, body.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) idempotency_key: String,
    pub(crate) body: Json,
}

#[derive(Clone, Default)]
pub(crate) struct Heard {
    pub(crate) all: Arc<Mutex<Vec<Got>>>,
    /// Requests that are answered with "try again later".
    pub(crate) refusals: Arc<Mutex<u32>>,
}

/// An HTTP server that takes whatever is posted.
pub(crate) struct Receiver {
    pub(crate) address: String,
    pub(crate) heard: Heard,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(refusals: u32) -> Self {
        Self::start_on("127.0.0.1:0", refusals).await
    }

    pub(crate) async fn start_on(address: &str, refusals: u32) -> Self {
        let heard = Heard { refusals: Arc::new(Mutex::new(refusals)), ..Heard::default() };
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(take).with_state(heard.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, heard, task }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.heard.all.lock().expect("lock").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn take(State(heard): State<Heard>, request: Request) -> (StatusCode, String) {
    let (authorization, idempotency_key) = {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        (text("authorization"), text("idempotency-key"))
    };
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    {
        let mut refusals = heard.refusals.lock().expect("lock");
        if *refusals > 0 {
            *refusals -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned());
        }
    }
    let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    heard.all.lock().expect("lock").push(Got { path, authorization, idempotency_key, body });
    (StatusCode::OK, json!({ "ok": true }).to_string())
}

/// Waits until something is so.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_nanos() as u64
}

/// A rule that fires a second after a declined card was logged, and two minutes long.
pub(crate) const RULES: &str = "
groups:
- name: shop
  interval: 1s
  query_offset: 0s
  rules:
  - alert: CardDeclined
    logs: 'service:payment \"card declined\"'
    count: '> 2'
    window: 2m
    by: [service.name]
    labels: {severity: page}
    annotations: {summary: '{{ $value }} cards were declined'}
";

pub(crate) async fn decline_cards(server: &Server) {
    let lines: Vec<_> = (0..4)
        .map(|n| {
            (format!("card declined for order {n}"), vec![("trace_id", "0af7651916cd43dd8448eb211c80319c".to_owned())])
        })
        .collect();
    let (status, answer) = server.export("logs", &logs("payment", now_ns() - 1_000_000_000, &lines)).await;
    assert_eq!(status, 200, "{answer}");
}

/// A server with these rules and routes; the folder holds its data.
pub(crate) fn start(folder: &Path, rules: &str, notify: &str) -> Server {
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
    std::fs::write(folder.join("notify.yml"), notify).expect("written");
    again(folder)
}

pub(crate) fn again(folder: &Path) -> Server {
    let (rules, notify) = (folder.join("rules.yml"), folder.join("notify.yml"));
    let environment = [
        ("MANGRU_ALERTS_RULES", rules.to_str().expect("text")),
        ("MANGRU_ALERTS_NOTIFY", notify.to_str().expect("text")),
        ("MANGRU_ALERTS_EXTERNAL_URL", "https://mangru.example"),
    ];
    Server::start(&folder.join("data"), &environment)
}

pub(crate) fn routes(receivers: &str) -> String {
    format!(
        "route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 2s, repeat_interval: 1h}}\n\
         receivers:\n- name: all\n{receivers}"
    )
}

/// A program in Python that listens and prints its port, then a line of JSON for each thing it got; ended when it is dropped.
pub(crate) struct Listener {
    child: Child,
    pub(crate) port: u16,
    got: Arc<Mutex<Vec<Json>>>,
}

impl Listener {
    pub(crate) fn start(python: &Path, script: &str, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
        let mut child = Command::new(python)
            .arg(script)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the listener starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let port = lines.next().expect("a port").expect("text").trim().parse().expect("a number");
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("lock").push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { child, port, got }
    }

    pub(crate) fn first(&self) -> Option<Json> {
        self.got.lock().expect("lock").first().cloned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
