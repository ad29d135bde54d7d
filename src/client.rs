//! The command line as a client of a running server.

pub(crate) mod admin;
pub(crate) mod export;

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use std::io::Write as _;

/// What to ask, and whom.
#[derive(Args)]
pub(crate) struct QueryFlags {
    /// A search over logs; with --spans over spans, with --sql a statement of SQL.
    query: String,
    /// Search spans.
    #[arg(long, conflicts_with = "sql")]
    spans: bool,
    /// The query is SQL.
    #[arg(long)]
    sql: bool,
    /// The server.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
    /// From when: RFC 3339, Unix nanoseconds, or relative. A search without it begins an hour ago, SQL looks at all times.
    #[arg(long, allow_hyphen_values = true)]
    start: Option<String>,
    /// Until when; until now without it.
    #[arg(long, allow_hyphen_values = true)]
    end: Option<String>,
    /// Rows at most.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl QueryFlags {
    /// What is asked in SQL.
    fn statement(&self) -> Json {
        let mut body = json!({ "sql": self.query, "limit": self.limit });
        for (name, time) in [("start", &self.start), ("end", &self.end)] {
            if let Some(time) = time {
                body[name] = json!(time);
            }
        }
        body
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines for people.
    Table,
    /// One JSON object a line.
    Ndjson,
    /// The whole answer as JSON.
    Json,
    /// RFC 4180; SQL only.
    Csv,
    /// An Arrow IPC stream; SQL only.
    Arrow,
}

/// What to follow.
#[derive(Args)]
pub(crate) struct TailFlags {
    /// A search over logs; all logs without it.
    #[arg(default_value = "")]
    query: String,
    /// The server.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
}

pub(crate) async fn answer(response: reqwest::Response) -> anyhow::Result<Json> {
    let status = response.status();
    let body: Json = response.json().await.context("the server did not answer in JSON")?;
    if !status.is_success() {
        let message = harmless(body["error"]["message"].as_str().unwrap_or("the server gave no reason"));
        match body["error"]["position"].as_u64() {
            Some(position) => bail!("{message} (at character {position})"),
            None => bail!("{message}"),
        }
    }
    Ok(body)
}

/// `mangru query`.
pub(crate) async fn query(flags: QueryFlags) -> anyhow::Result<()> {
    let client = reqwest::Client::new();
    let base = flags.server.trim_end_matches('/');
    if flags.sql {
        if matches!(flags.format, Format::Csv | Format::Arrow) {
            return download(&client, base, &flags).await;
        }
        let body = flags.statement();
        let request = client.post(format!("{base}/api/v1/sql")).body(body.to_string());
        let result = answer(request.send().await.with_context(|| format!("cannot reach {base}"))?).await?;
        return print_sql(&result, flags.format);
    }
    if matches!(flags.format, Format::Csv | Format::Arrow) {
        bail!("--format csv and --format arrow are for --sql");
    }
    let table = if flags.spans { "spans" } else { "logs" };
    let request = client.get(format!("{base}/api/v1/{table}")).query(&[
        ("query", flags.query.as_str()),
        ("start", flags.start.as_deref().unwrap_or("-1h")),
        ("end", flags.end.as_deref().unwrap_or("now")),
        ("limit", &flags.limit.to_string()),
    ]);
    let page = answer(request.send().await.with_context(|| format!("cannot reach {base}"))?).await?;
    let mut out = std::io::stdout().lock();
    if flags.format == Format::Json {
        let _ = writeln!(out, "{page}"); // the reader may have gone away
        return Ok(());
    }
    for row in page["rows"].as_array().into_iter().flatten() {
        let line = match flags.format {
            Format::Table => line(row),
            _ => row.to_string(),
        };
        if writeln!(out, "{line}").is_err() {
            return Ok(()); // the reader went away
        }
    }
    eprintln!(
        "{} of {}{} matches{}, {} rows in range, {} ms",
        page["rows"].as_array().map_or(0, Vec::len),
        if page["matched_is_exact"].as_bool() == Some(true) { "" } else { "at least " },
        page["matched"],
        not_all(&page),
        page["rows_in_range"],
        page["elapsed_ms"]
    );
    Ok(())
}

/// What an answer says of what it lacks.
fn not_all(answer: &Json) -> String {
    answer["limit_hit"].as_str().map(|limit| format!(" (not all: {limit})")).unwrap_or_default()
}

/// A log or span in one line, with nothing in it that a terminal obeys.
fn line(row: &Json) -> String {
    harmless(&plain_line(row))
}

fn plain_line(row: &Json) -> String {
    let nanos = row["time_unix_nano"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
    let time = chrono::DateTime::from_timestamp_nanos(nanos).format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let service = row["service_name"].as_str().unwrap_or_default();
    if let Some(name) = row["name"].as_str() {
        let millis = row["duration_ns"].as_f64().unwrap_or_default() / 1e6;
        let error = if row["status_code"] == 2 { " ERROR" } else { "" };
        return format!(
            "{time} {service:<20} {millis:>10.2} ms{error} {name} {}",
            row["trace_id"].as_str().unwrap_or_default()
        );
    }
    let severity = match row["severity_number"].as_i64().unwrap_or_default() {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => row["severity_text"].as_str().unwrap_or_default(),
    };
    let body = row["body"].as_str().map_or_else(|| row["body"].to_string(), str::to_owned);
    format!("{time} {severity:<5} {service:<20} {body}")
}

fn print_sql(result: &Json, format: Format) -> anyhow::Result<()> {
    let columns: Vec<&str> =
        result["columns"].as_array().into_iter().flatten().filter_map(|column| column["name"].as_str()).collect();
    let text = |value: &Json| match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = result["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| row.as_array().into_iter().flatten().map(text).collect())
        .collect();
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        let _ = writeln!(out, "{result}"); // the reader may have gone away
        return Ok(());
    }
    if format == Format::Ndjson {
        let twice = columns.iter().enumerate().find(|(place, name)| columns[..*place].contains(name));
        if let Some((_, name)) = twice {
            bail!("two columns are called `{name}`: give the columns different names by AS, or take another --format");
        }
        for row in result["rows"].as_array().into_iter().flatten() {
            let object: serde_json::Map<String, Json> = columns
                .iter()
                .zip(row.as_array().into_iter().flatten())
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            if writeln!(out, "{}", Json::Object(object)).is_err() {
                return Ok(()); // the reader went away
            }
        }
        if let Some(limit) = result["limit_hit"].as_str() {
            eprintln!("not all: {limit}");
        }
        return Ok(());
    }
    let width = |column: usize| {
        let widest = rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
        widest.unwrap_or(0).max(columns[column].chars().count()).min(80)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let header: Vec<String> =
        columns.iter().zip(&widths).map(|(name, width)| format!("{:<width$}", cut(name, *width))).collect();
    // Numbers stand under each other by their last digit.
    let is_number = |column: usize| {
        let kind = result["columns"][column]["type"].as_str().unwrap_or_default();
        kind.starts_with("Int") || kind.starts_with("UInt") || kind.starts_with("Float")
    };
    let cells = |row: &Vec<String>| -> Vec<String> {
        let shown = row.iter().zip(&widths).enumerate();
        shown
            .map(|(column, (text, width))| {
                let text = cut(text, *width);
                if is_number(column) { format!("{text:>width$}") } else { format!("{text:<width$}") }
            })
            .collect()
    };
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    for cells in [header, rule].into_iter().chain(rows.iter().map(cells)) {
        if writeln!(out, "{}", cells.join("  ").trim_end()).is_err() {
            return Ok(()); // the reader went away
        }
    }
    let not_all = not_all(result);
    eprintln!("{} rows{not_all}, {} rows in range, {} ms", rows.len(), result["rows_in_range"], result["elapsed_ms"]);
    Ok(())
}

/// A text without the characters that a terminal obeys.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text in one line of so many characters.
fn cut(text: &str, width: usize) -> String {
    let line = harmless(text);
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Prints an answer in SQL as the server wrote it.
async fn download(client: &reqwest::Client, base: &str, flags: &QueryFlags) -> anyhow::Result<()> {
    let format = if flags.format == Format::Csv { "csv" } else { "arrow" };
    let mut body = flags.statement();
    body["format"] = json!(format);
    let request = client.post(format!("{base}/api/v1/sql")).body(body.to_string());
    let response = request.send().await.with_context(|| format!("cannot reach {base}"))?;
    if !response.status().is_success() {
        answer(response).await?;
        return Ok(());
    }
    let limit = response.headers().get("x-mangru-limit-hit").and_then(|limit| limit.to_str().ok()).map(str::to_owned);
    let bytes = response.bytes().await.context("the answer broke off")?;
    let _ = std::io::stdout().write_all(&bytes); // the reader may have gone away
    if let Some(limit) = limit {
        eprintln!("not all: {limit}");
    }
    Ok(())
}

/// `mangru tail`.
pub(crate) async fn tail(flags: TailFlags) -> anyhow::Result<()> {
    let base = flags.server.trim_end_matches('/');
    let request = reqwest::Client::new().get(format!("{base}/api/v1/tail")).query(&[("query", &flags.query)]);
    let response = request.send().await.with_context(|| format!("cannot reach {base}"))?;
    if !response.status().is_success() {
        answer(response).await?;
        return Ok(());
    }
    let mut chunks = response.bytes_stream();
    let mut waiting = Vec::new();
    while let Some(chunk) = chunks.next().await {
        waiting.extend_from_slice(&chunk?);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = waiting.drain(..=end).collect();
            let text = String::from_utf8_lossy(&text);
            if let Some(data) = text.trim_end().strip_prefix("data:") {
                match serde_json::from_str::<Json>(data.trim()) {
                    Ok(Json::Number(dropped)) => eprintln!("… {dropped} left out: too many to show"),
                    Ok(row) => {
                        if writeln!(std::io::stdout(), "{}", line(&row)).is_err() {
                            return Ok(()); // the reader went away
                        }
                    }
                    Err(_) => {}
                }
            }
        }
    }
    bail!("the server ended the tail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_reach_the_terminal_as_control() {
        let rows = [
            json!({ "time_unix_nano": "0", "service_name": "a\u{1b}]0;x\u{7}", "severity_number": 9,
                    "body": "one\ntwo \u{1b}[2J\u{9b}31m" }),
            json!({ "time_unix_nano": "0", "service_name": "a", "name": "\u{1b}[31mname\r", "duration_ns": 1 }),
        ];
        for row in &rows {
            let line = line(row);
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(line(&rows[0]).ends_with("one two  [2J 31m"), "{}", line(&rows[0]));
    }

    #[test]
    fn columns_of_the_same_name_are_no_members_of_one_object() {
        let result =
            json!({ "columns": [{ "name": "time" }, { "name": "a" }, { "name": "time" }], "rows": [[1, 2, 3]] });
        let error = print_sql(&result, Format::Ndjson).expect_err("a name that stands twice");
        assert!(error.to_string().contains("two columns are called `time`"), "{error}");
    }
}
