//! Mangru: logs, metrics and traces over OpenTelemetry in one binary.

mod alerts;
mod allocator;
mod bench;
mod client;
mod config;
mod demo;
mod figures;
mod health;
mod http;
mod itself;
mod machine;
mod repair;
mod stages;

use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Takes in every log line, metric and span that services export over OpenTelemetry, and finds the cause of a fault.
#[derive(Parser)]
#[command(name = "mangru", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole stack in one process.
    Serve(ServeFlags),
    /// Runs the whole stack and, beside it, a simulated shop that sends logs, metrics and traces to it.
    Demo(ServeFlags),
    /// Checks a configuration file.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Checks rules of alerts, tests them over fixtures, and runs them over the past.
    Alerts {
        #[command(subcommand)]
        command: alerts::AlertsCommand,
    },
    /// Searches a running server, or asks it in SQL.
    Query(client::QueryFlags),
    /// Follows the logs of a running server.
    Tail(client::TailFlags),
    /// Gives all rows of a running server that a search finds.
    Export(client::export::ExportFlags),
    /// Says which parts of a running server's data retention would remove now.
    Retention(client::admin::RetentionFlags),
    /// Deletes from a running server what a search finds, or counts it.
    Delete(client::admin::DeleteFlags),
    /// Makes the indexes of all parts of a data folder anew; no server may run over it.
    Reindex(ServeFlags),
    /// Compares all parts of a data folder with their checksums; no server may run over it.
    Verify(ServeFlags),
    /// Measures.
    Bench {
        #[command(subcommand)]
        command: bench::BenchCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Says everything that is wrong with the file, or prints what would be in force with it and nothing else.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// What is not given here comes from the environment (`MANGRU_…`), then from the file, then from the defaults.
#[derive(Args, Clone, Default)]
struct ServeFlags {
    /// The configuration file, in YAML.
    #[arg(long, env = "MANGRU_CONFIG")]
    config: Option<PathBuf>,
    /// The folder of all data; `./mangru-data` by default, `./mangru-demo-data` for the demo.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The address of OTLP over gRPC; 127.0.0.1:4317 by default, port 0 takes a free one.
    #[arg(long)]
    otlp_grpc: Option<String>,
    /// The address of OTLP over HTTP; 127.0.0.1:4318 by default, port 0 takes a free one.
    #[arg(long)]
    otlp_http: Option<String>,
    /// The address of UI and APIs; 127.0.0.1:4319 by default, port 0 takes a free one.
    #[arg(long)]
    http: Option<String>,
}

impl ServeFlags {
    fn settings(&self, default_data_dir: &str) -> anyhow::Result<config::Settings> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut given = config::load(self.config.as_deref(), &environment)?;
        if let Some(data_dir) = &self.data_dir {
            given.flag("--data-dir", "data_dir", |settings| settings.data_dir = Some(data_dir.clone()));
        }
        if let Some(address) = &self.otlp_grpc {
            given.flag("--otlp-grpc", "otlp.grpc", |settings| settings.otlp.grpc.clone_from(address));
        }
        if let Some(address) = &self.otlp_http {
            given.flag("--otlp-http", "otlp.http", |settings| settings.otlp.http.clone_from(address));
        }
        if let Some(address) = &self.http {
            given.flag("--http", "http", |settings| settings.http.clone_from(address));
        }
        let mut settings = given.checked()?;
        settings.data_dir.get_or_insert_with(|| PathBuf::from(default_data_dir));
        Ok(settings)
    }
}

fn main() -> ExitCode {
    allocator::give_back_soon();
    let filter = tracing_subscriber::EnvFilter::try_from_env("MANGRU_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,mangru=info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match run(CommandLine::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mangru: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(answer(command));
    // What still runs on threads for blocking work is not waited for: what was acknowledged is durable.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn answer(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(flags) => stages::serve(flags.settings("./mangru-data")?, false).await,
        Command::Demo(flags) => stages::serve(flags.settings("./mangru-demo-data")?, true).await,
        Command::Config { command: ConfigCommand::Check { file } } => {
            let settings = config::load(Some(&file), &BTreeMap::new())?.checked()?;
            print!("{}", settings.text());
            Ok(())
        }
        Command::Alerts { command } => alerts::run(command).await,
        Command::Query(flags) => client::query(flags).await,
        Command::Export(flags) => client::export::export(flags).await,
        Command::Reindex(flags) => repair::reindex(flags.settings("./mangru-data")?).await,
        Command::Verify(flags) => repair::verify(flags.settings("./mangru-data")?).await,
        Command::Retention(flags) => client::admin::retention(flags).await,
        Command::Delete(flags) => client::admin::delete(flags).await,
        Command::Tail(flags) => client::tail(flags).await,
        Command::Bench { command } => bench::run(command).await,
    }
}
