//! The real binary on free ports in a temporary folder.
#![allow(dead_code, unused_imports)] // each test binary uses its own part of this

mod prometheus;

pub(crate) use prometheus::Prometheus;
use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    client: reqwest::Client,
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) ui: String,
    pub(crate) data_dir: PathBuf,
}

impl Server {
    /// Starts `mangru serve` over a data folder with these variables in its environment.
    pub(crate) fn start(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = serve(data_dir, environment).stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let (mut grpc, mut http, mut ui) = (None, None, None);
        while ui.is_none() {
            let line = lines.next().expect("the server says where it listens").expect("text");
            let last = line.split_whitespace().last().unwrap_or_default().to_owned();
            match line.split("  ").next().unwrap_or_default() {
                "otlp grpc" => grpc = Some(last),
                "otlp http" => http = Some(last),
                "ui" => ui = Some(last.trim_end_matches('/').to_owned()),
                _ => {}
            }
        }
        Self {
            child,
            client: client(),
            grpc: grpc.expect("gRPC address"),
            http: http.expect("HTTP address"),
            ui: ui.expect("UI address"),
            data_dir: data_dir.to_path_buf(),
        }
    }

    /// Starts a server and ends it after so long, wherever it is then: before it listens, in recovery.
    pub(crate) fn start_and_kill(data_dir: &Path, environment: &[(&str, &str)], life: Duration) {
        let mut child = serve(data_dir, environment).stdout(Stdio::null()).spawn().expect("the server starts");
        std::thread::sleep(life);
        child.kill().expect("kill");
        child.wait().expect("wait");
    }

    /// Ends the process at once, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Asks the process to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill");
        assert!(asked.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().expect("wait").is_none() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `GET` of a path of UI and APIs, as JSON.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Json {
        let (status, body) = self.get_status(path, parameters).await;
        assert_eq!(status, 200, "{path} answers {body}");
        body
    }

    /// `GET` of a path, with its status.
    pub(crate) async fn get_status(&self, path: &str, parameters: &[(&str, &str)]) -> (u16, Json) {
        let request = self.client.get(format!("{}{path}", self.ui)).query(parameters);
        let response = request.send().await.expect("answer");
        (response.status().as_u16(), response.json().await.unwrap_or(Json::Null))
    }

    /// Seals what is hot.
    pub(crate) async fn flush(&self) {
        let response = self.client.post(format!("{}/api/v1/admin/flush", self.ui)).send().await;
        assert!(response.expect("answer").status().is_success());
    }

    /// The rows of a query in SQL, all of them.
    pub(crate) async fn sql(&self, sql: &str, limit: u32) -> Vec<Vec<Json>> {
        let body = serde_json::json!({ "sql": sql, "limit": limit }).to_string();
        let response = self.client.post(format!("{}/api/v1/sql", self.ui)).body(body).send().await.expect("answer");
        let status = response.status();
        let mut answer: Json = response.json().await.expect("JSON");
        assert!(status.is_success() && answer["complete"] == true, "{sql}: {answer}");
        serde_json::from_value(answer["rows"].take()).expect("rows")
    }

    /// Posts OTLP JSON and gives status and answer.
    pub(crate) async fn export(&self, signal: &str, body: &Json) -> (u16, Json) {
        self.post(&format!("/v1/{signal}"), "application/json", body.to_string().into_bytes()).await
    }

    /// Posts bytes to the OTLP HTTP port.
    pub(crate) async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Json) {
        let request =
            self.client.post(format!("http://{}{path}", self.http)).header("content-type", content_type).body(body);
        let response = request.send().await.expect("answer");
        (response.status().as_u16(), response.json().await.unwrap_or(Json::Null))
    }

    /// How many logs match, in all of time.
    pub(crate) async fn count(&self, table: &str, query: &str) -> u64 {
        let parameters = [("query", query), ("start", "0"), ("end", ALL_TIME_END)];
        let counts = self.get(&format!("/api/v1/{table}/count"), &parameters).await;
        assert_eq!(counts["complete"], true, "{counts}");
        counts["matched"].as_u64().expect("a number")
    }
}

/// The command that serves a data folder on free ports.
fn serve(data_dir: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mangru"));
    command
        .args(["serve", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data_dir)
        .env("MANGRU_STORE_DISK_RESERVE_MIB", "0")
        .env("MANGRU_SELF_METRICS_SECONDS", "0")
        .envs(environment.iter().copied());
    command
}

/// A client that does not wait for ever: a server that hangs fails its test instead of holding up all.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_mins(1)).build().expect("client")
}

/// After every time of a test: the year 2200.
pub(crate) const ALL_TIME_END: &str = "7258118400000000000";

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with logs of one service: body and attributes per record, one nanosecond apart.
pub(crate) fn logs(service: &str, first_time: u64, records: &[(String, Vec<(&str, String)>)]) -> Json {
    let records: Vec<Json> = records
        .iter()
        .enumerate()
        .map(|(index, (body, attributes))| {
            let attributes: Vec<Json> = attributes
                .iter()
                .map(|(key, value)| serde_json::json!({ "key": key, "value": { "stringValue": value } }))
                .collect();
            serde_json::json!({
                "timeUnixNano": (first_time + index as u64).to_string(),
                "severityNumber": 9,
                "body": { "stringValue": body },
                "attributes": attributes,
            })
        })
        .collect();
    serde_json::json!({ "resourceLogs": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
        "scopeLogs": [{ "logRecords": records }],
    }] })
}

/// A tool that `cargo xtask test` installed, by the variable that names it. Without it the test is passed over, loudly; in CI
/// that is a failure.
pub(crate) fn tool(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{variable} is not set: run the tests with cargo xtask test");
        passed_over(&format!("{variable} is not set; cargo xtask test installs what it needs"));
    }
    found
}

/// Says that this test did not check anything, and why: on the terminal, past the capture of the test's output, and to
/// `cargo xtask test`, which repeats it at its end.
pub(crate) fn passed_over(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("passed over: {test}: {why}\n");
    let _ = std::io::stderr().write_all(format!("!!! {line}").as_bytes());
    if let Some(list) = std::env::var_os("MANGRU_TEST_PASSED_OVER") {
        let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
        list.expect("list").write_all(line.as_bytes()).expect("list");
    }
}
