//! Benchmarks that drive a real server over its real ports.

mod ingest;
mod load;
mod overload;
mod process;
mod promql;
mod queries;
mod rules;

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// How fast telemetry comes in over gRPC, and what it costs: a server of its own is started in a temporary folder.
    Ingest(ingest::IngestFlags),
    /// What happens when far more comes in than can be taken: memory, answers, and what is kept.
    Overload(overload::OverloadFlags),
    /// How long queries take on logs and spans of the same load: a server of its own is started and filled.
    Query(queries::QueryFlags),
    /// How long PromQL takes over thousands of series: a server of its own is started and filled.
    #[command(name = "promql")]
    PromQl(promql::PromQlFlags),
    /// What evaluating many rules of alerts costs, and whether it is on time: a server of its own is started and fed.
    Rules(rules::RulesFlags),
}

/// Runs a benchmark.
pub(crate) async fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Ingest(flags) => ingest::run(flags).await,
        BenchCommand::Overload(flags) => overload::run(flags).await,
        BenchCommand::Query(flags) => queries::run(flags).await,
        BenchCommand::PromQl(flags) => promql::run(flags).await,
        BenchCommand::Rules(flags) => rules::run(flags).await,
    }
}
