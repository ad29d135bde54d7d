//! Every check, one after the other, with a summary at the end.

use crate::cargo_test;
use crate::tools::{self, Tools};
use crate::{policy, tidy, ui};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Says what it did in a few words.
type Check = fn(&Path, &Tools) -> Result<String>;

/// The checks in the order they run: quick ones first.
const CHECKS: &[(&str, &str, Check)] = &[
    ("format", "cargo fmt --check", |root, _| succeed(cargo(root).args(["fmt", "--all", "--check"]))),
    ("tidy", "the house is in order", |root, _| tidy::check(root)),
    ("policy", "licences, sources and bans of dependencies", |root, _| policy::check(root)),
    ("clippy", "no warnings", |root, _| {
        succeed(cargo(root).args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    }),
    ("test", "unit, integration, SDK, file and browser tests", |root, tools| {
        let mut command = cargo(root);
        command.args(["test", "--workspace", "--no-fail-fast"]);
        tools.tell(&mut command);
        cargo_test::run(root, command)
    }),
    ("bundle", "ui/dist is what ui/src gives", |_, _| ui::build(true).map(|()| String::new())),
];

struct Outcome {
    name: &'static str,
    result: Result<String>,
    took: Duration,
}

/// Runs the checks, all of them even when one fails.
pub(crate) fn run(root: &Path, only: &[String], list: bool) -> Result<()> {
    if list {
        for (name, what, _) in CHECKS {
            println!("{name:<10} {what}");
        }
        return Ok(());
    }
    if let Some(unknown) = only.iter().find(|name| !CHECKS.iter().any(|(known, _, _)| known == name)) {
        bail!("there is no check {unknown}: see cargo xtask test --list");
    }
    let chosen = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let tools = if chosen("test") { tools::install(root) } else { Tools::default() };
    let mut outcomes = Vec::new();
    for (name, what, check) in CHECKS.iter().filter(|(name, _, _)| chosen(name)) {
        println!("\n=== {name}: {what}");
        let started = Instant::now();
        let result = check(root, &tools);
        if let Err(error) = &result {
            println!("{error:#}");
        }
        outcomes.push(Outcome { name, result, took: started.elapsed() });
    }
    summary(&outcomes, &tools)
}

fn summary(outcomes: &[Outcome], tools: &Tools) -> Result<()> {
    println!("\n=== summary");
    for missing in &tools.missing {
        println!("!!! not installed, so passed over: {missing}");
    }
    for Outcome { name, result, took } in outcomes {
        let (word, note) = match result {
            Ok(note) => ("ok    ", note.clone()),
            Err(error) => ("FAILED", error.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        println!("{word} {name:<8} {:>7.1} s  {note}", took.as_secs_f64());
    }
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.name).collect();
    println!("{} checks passed, {} failed", outcomes.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // What cargo says to this program of itself is no setting of the builds that it starts: build scripts that look at it
    // (ring's does) would run again, and all that needs them would be compiled again.
    for (name, _) in std::env::vars_os() {
        let is_of_this_program = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_BIN_")
        });
        if is_of_this_program {
            command.env_remove(name);
        }
    }
    command
}

fn succeed(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(String::new())
}
