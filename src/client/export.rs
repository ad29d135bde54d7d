//! All rows that a search finds, into a file or a pipe.

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use std::io::Write;
use std::path::PathBuf;

/// What to export.
#[derive(Args)]
pub(crate) struct ExportFlags {
    /// A search; all rows without it.
    #[arg(default_value = "")]
    query: String,
    /// `logs`, `spans` or `metric_points`.
    #[arg(long, default_value = "logs")]
    signal: String,
    /// `otlp` (a message of OTLP JSON a line), `ndjson` (a row a line) or `parquet`.
    #[arg(long, default_value = "ndjson")]
    format: String,
    /// From when: RFC 3339, Unix nanoseconds, or relative; the beginning by default.
    #[arg(long, allow_hyphen_values = true)]
    start: Option<String>,
    /// Until when; for ever by default.
    #[arg(long, allow_hyphen_values = true)]
    end: Option<String>,
    /// The file; standard output without it.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The server.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
}

/// `mangru export`.
pub(crate) async fn export(flags: ExportFlags) -> anyhow::Result<()> {
    let base = flags.server.trim_end_matches('/');
    let mut parameters = vec![("query", &flags.query), ("signal", &flags.signal), ("format", &flags.format)];
    parameters.extend(flags.start.as_ref().map(|start| ("start", start)));
    parameters.extend(flags.end.as_ref().map(|end| ("end", end)));
    let request = reqwest::Client::new().get(format!("{base}/api/v1/export")).query(&parameters);
    let response = request.send().await.with_context(|| format!("cannot reach {base}"))?;
    if !response.status().is_success() {
        super::answer(response).await?;
        bail!("the server gave no reason");
    }
    // Nothing else runs in this process that a write could hold up.
    let mut out: Box<dyn Write> = match &flags.output {
        Some(path) => {
            let file = std::fs::File::create_new(path);
            Box::new(file.with_context(|| format!("cannot create {}", path.display()))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        // What came so far is not all: a part could not be read, or the server went away.
        let piece = piece.context("the export broke off and is not whole")?;
        out.write_all(&piece).context("cannot write the export")?;
    }
    out.flush().context("cannot write the export")
}
