//! Benchmarks that drive a real server.

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum BenchCommand {}

/// Runs a benchmark.
pub(crate) async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {}
}
