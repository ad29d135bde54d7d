//! What is kept, and deleting by query.

use super::answer;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value as Json, json};
use std::io::Write as _;

/// Whom to ask.
#[derive(Args)]
pub(crate) struct RetentionFlags {
    /// The server.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
}

/// What to delete.
#[derive(Args)]
pub(crate) struct DeleteFlags {
    /// A search; `*` is all.
    query: String,
    /// `logs`, `spans` or `metric_points`.
    #[arg(long, default_value = "logs")]
    signal: String,
    /// From when: RFC 3339, Unix nanoseconds, or relative; the beginning by default.
    #[arg(long, allow_hyphen_values = true)]
    start: Option<String>,
    /// Until when; for ever by default.
    #[arg(long, allow_hyphen_values = true)]
    end: Option<String>,
    /// Delete; without it the rows are counted only.
    #[arg(long)]
    yes: bool,
    /// The server.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
}

fn day(nanos: &Json) -> String {
    let nanos = nanos.as_i64().unwrap_or_default();
    chrono::DateTime::from_timestamp_nanos(nanos).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `mangru retention`: a dry run of what the server does by itself.
pub(crate) async fn retention(flags: RetentionFlags) -> anyhow::Result<()> {
    let base = flags.server.trim_end_matches('/');
    let request = reqwest::Client::new().get(format!("{base}/api/v1/admin/retention"));
    let found = answer(request.send().await.with_context(|| format!("cannot reach {base}"))?).await?;
    let expired = found["expired"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    for part in expired {
        let line = format!(
            "{:<5} {:>10} rows {:>14} bytes  {} to {}  {}",
            part["reason"].as_str().unwrap_or_default(),
            part["rows"],
            part["bytes"],
            day(&part["min_time"]),
            day(&part["max_time"]),
            part["path"].as_str().unwrap_or_default()
        );
        if writeln!(out, "{line}").is_err() {
            return Ok(()); // the reader went away
        }
    }
    let sum = |key: &str| expired.iter().filter_map(|part| part[key].as_u64()).sum::<u64>();
    eprintln!("{} parts with {} rows and {} bytes would be removed now", expired.len(), sum("rows"), sum("bytes"));
    Ok(())
}

/// `mangru delete`.
pub(crate) async fn delete(flags: DeleteFlags) -> anyhow::Result<()> {
    let base = flags.server.trim_end_matches('/');
    let body = json!({
        "signal": flags.signal,
        "query": flags.query,
        "start": flags.start,
        "end": flags.end,
        "dry_run": !flags.yes,
    });
    let request = reqwest::Client::new()
        .post(format!("{base}/api/v1/admin/delete"))
        .header("content-type", "application/json")
        .body(body.to_string());
    let found = answer(request.send().await.with_context(|| format!("cannot reach {base}"))?).await?;
    let matched = &found["matched"];
    if flags.yes {
        println!("{matched} rows deleted");
    } else {
        println!("{matched} rows match; --yes deletes them");
    }
    let unreadable: Vec<&str> =
        found["unreadable_parts"].as_array().into_iter().flatten().filter_map(|path| path.as_str()).collect();
    if !unreadable.is_empty() {
        bail!("{} parts could not be read, rows in them stay: {}", unreadable.len(), unreadable.join(", "));
    }
    Ok(())
}
