//! Every check, one after the other, with a summary at the end.

use crate::tools::{self, Tools};
use crate::{policy, tidy, ui};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

type Check = fn(&Path, &Tools) -> Result<()>;

/// The checks in the order they run: quick ones first.
const CHECKS: &[(&str, &str, Check)] = &[
    ("format", "cargo fmt --check", |root, _| succeed(cargo(root).args(["fmt", "--all", "--check"]))),
    ("tidy", "the house is in order", |root, _| tidy::check(root)),
    ("policy", "licences and dependencies", |root, _| policy::check(root)),
    ("clippy", "no warnings", |root, _| {
        succeed(cargo(root).args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
    }),
    ("test", "unit, integration, SDK, file and browser tests", |root, tools| {
        let mut command = cargo(root);
        command.args(["test", "--workspace"]);
        tools.tell(&mut command);
        succeed(&mut command)
    }),
    ("bundle", "ui/dist is what ui/src gives", |_, _| ui::build(true)),
];

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
    let mut results = Vec::new();
    for (name, what, check) in CHECKS.iter().filter(|(name, _, _)| chosen(name)) {
        println!("\n=== {name}: {what}");
        let started = Instant::now();
        let result = check(root, &tools);
        if let Err(error) = &result {
            println!("{error:#}");
        }
        results.push((*name, result.is_ok(), started.elapsed()));
    }
    println!("\n=== summary");
    for (name, passed, took) in &results {
        println!("{} {name:<10} {:>6.1} s", if *passed { "ok    " } else { "FAILED" }, took.as_secs_f64());
    }
    for missing in &tools.missing {
        println!("!!! skipped: {missing}");
    }
    let failed = results.iter().filter(|(_, passed, _)| !passed).count();
    println!("{} passed, {failed} failed", results.len() - failed);
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}
