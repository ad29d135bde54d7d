//! A server as a child process, and what it used.

use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running server.
pub(super) struct Server {
    child: Child,
    pub(super) grpc: String,
    pub(super) http: String,
    pub(super) ui: String,
}

/// What a process used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) cpu_seconds: f64,
    pub(super) peak_mib: f64,
}

impl Server {
    /// Starts this program as a server over a folder.
    pub(super) async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(data_dir, &[]).await
    }

    /// The same with these variables in its environment.
    pub(super) async fn start_with(data_dir: &Path, environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(data_dir)
            .env("MANGRU_QUERY_MAX_LIMIT", "1000000")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let (mut grpc, mut http, mut ui) = (String::new(), String::new(), String::new());
        while ui.is_empty() {
            let Some(line) = lines.next_line().await? else { bail!("the server did not start") };
            let last = line.split_whitespace().last().unwrap_or_default().to_owned();
            if line.starts_with("otlp grpc") {
                grpc = last;
            } else if line.starts_with("otlp http") {
                http = last;
            } else if line.starts_with("ui") {
                ui = last.trim_end_matches('/').to_owned();
            }
        }
        Ok(Self { child, grpc, http, ui })
    }

    /// Ends it and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Processor time and peak memory, as the kernel counts them.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let id = self.child.id().context("the server has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // Fields are counted behind the name, which stands in parentheses; user and system time are the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        Ok(Usage { cpu_seconds: (ticks(11) + ticks(12)) / 100.0, peak_mib: peak.unwrap_or_default() / 1024.0 })
    }

    /// Bytes of all published parts. Files of parts that went into others are not among them.
    pub(super) async fn part_bytes(&self) -> anyhow::Result<u64> {
        let request = reqwest::Client::new().get(format!("{}/api/v1/status", self.ui));
        let status: serde_json::Value = request.send().await?.json().await?;
        let tables = status["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(tables.iter().filter_map(|table| table["part_bytes"].as_u64()).sum())
    }

    /// Seals what is hot.
    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        let response = reqwest::Client::new().post(format!("{}/api/v1/admin/flush", self.ui)).send().await?;
        response.error_for_status()?;
        Ok(())
    }
}
