//! What a maintainer runs: `cargo xtask test` (every check), `cargo xtask ui` (the browser bundle), `cargo xtask tidy`.

mod cargo_test;
mod policy;
mod test;
mod tidy;
mod tools;
mod ui;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};

/// Tasks of Mangru's maintainers.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs every check and says what was skipped and why.
    Test {
        /// Only this check; may be given several times.
        #[arg(long)]
        only: Vec<String>,
        /// Lists the checks.
        #[arg(long)]
        list: bool,
    },
    /// Builds the browser bundle into `ui/dist/`.
    Ui {
        /// Builds it aside and fails when it differs from what is committed.
        #[arg(long)]
        check: bool,
    },
    /// Reads the tree: imports against the arrows, files that grow, paths that are gone.
    Tidy,
}

/// The root of the workspace, as cargo says it: compiled in, it would be that of another clone with the same target folder.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    here.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn main() -> anyhow::Result<()> {
    match CommandLine::parse().task {
        Task::Test { only, list } => test::run(&root(), &only, list),
        Task::Ui { check } => ui::build(check),
        Task::Tidy => tidy::check(&root()).map(|said| println!("{said}")),
    }
}
