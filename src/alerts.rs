//! `mangru alerts`: rules checked, tested over fixtures, and run over the past.

use crate::client;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use mangru_alerts::duration;
use mangru_alerts::notify::NotifyConfig;
use mangru_alerts::rules::{Fault, RuleSet};
use mangru_alerts::trial::{Backtest, TrialSettings, backtest, costs, draw, listed, test_file};
use mangru_query::{QueryService, QuerySettings, parse_range};
use mangru_store::{Store, StoreConfig};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What to do with rules.
#[derive(Subcommand)]
pub(crate) enum AlertsCommand {
    /// Says everything that is wrong with rule files, and what their rules cost.
    Check(CheckFlags),
    /// Runs unit tests: promtool's files, with logs and spans beside series.
    Test(TestFlags),
    /// Runs rules over the past, and prints and draws what their alerts would have done.
    Backtest(BacktestFlags),
}

/// Which files to check.
#[derive(Args)]
pub(crate) struct CheckFlags {
    /// Rule files, or folders of them.
    files: Vec<PathBuf>,
    /// A configuration of routes and receivers, as Alertmanager has it.
    #[arg(long)]
    notify: Option<PathBuf>,
}

/// Which tests to run.
#[derive(Args)]
pub(crate) struct TestFlags {
    /// Files of tests.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Prints the transitions of all tests.
    #[arg(long)]
    transitions: bool,
}

/// Which rules to run over which time.
#[derive(Args)]
pub(crate) struct BacktestFlags {
    /// Rule files, or folders of them; none: the rules in force on the server.
    files: Vec<PathBuf>,
    /// From when: RFC 3339, Unix nanoseconds, or relative such as -24h.
    #[arg(long, default_value = "-1h", allow_hyphen_values = true)]
    from: String,
    /// Until when.
    #[arg(long, default_value = "now", allow_hyphen_values = true)]
    to: String,
    /// The server whose data is looked at.
    #[arg(long, env = "MANGRU_SERVER", default_value = "http://127.0.0.1:4319")]
    server: String,
    /// A data folder over which no server runs, instead of a server.
    #[arg(long, conflicts_with = "server")]
    data_dir: Option<PathBuf>,
    /// Seconds by which evaluations look back, with --data-dir.
    #[arg(long, default_value_t = 5)]
    offset_seconds: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Time between evaluations of groups that do not say.
const INTERVAL_MS: i64 = 60_000;

pub(crate) async fn run(command: AlertsCommand) -> anyhow::Result<()> {
    match command {
        AlertsCommand::Check(flags) => check(&flags),
        AlertsCommand::Test(flags) => test(&flags).await,
        AlertsCommand::Backtest(flags) => over_the_past(&flags).await,
    }
}

/// Prints what is wrong and gives an error that counts it.
fn refused(faults: &[Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let count = if faults.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", faults.len()) };
    anyhow::anyhow!("{count}:{}", lines.concat())
}

fn present(files: &[PathBuf]) -> anyhow::Result<()> {
    let missing = files.iter().find(|path| !path.exists() && !path.to_string_lossy().contains('*'));
    missing.map_or(Ok(()), |path| bail!("{} is not there", path.display()))
}

fn check(flags: &CheckFlags) -> anyhow::Result<()> {
    if flags.files.is_empty() && flags.notify.is_none() {
        bail!("name rule files, or --notify with a configuration of receivers");
    }
    present(&flags.files)?;
    let rules = RuleSet::load(&flags.files, INTERVAL_MS);
    let mut faults = rules.as_ref().err().cloned().unwrap_or_default();
    if let Some(path) = &flags.notify {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        faults.extend(NotifyConfig::read(&path.display().to_string(), &text, folder).err().unwrap_or_default());
    }
    let rules = match rules {
        Ok(rules) if faults.is_empty() => rules,
        _ => return Err(refused(&faults)),
    };
    let mut out = std::io::stdout().lock();
    let all = costs(&rules);
    let width = all.iter().map(|cost| cost.rule.chars().count()).max().unwrap_or(0).min(40);
    for cost in &all {
        let days = cost.days_read();
        let mark = if days > 288.0 { "  ← much: a longer interval or a shorter window reads less" } else { "" };
        let (back, every) = (duration::text(cost.back_ms), duration::text(cost.interval_ms));
        let what: String = cost.what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect();
        let rule = &cost.rule;
        // The reader may have gone away.
        let _ = writeln!(
            out,
            "{rule:<width$}  looks back {back:>6} every {every:>4}, reads {days:>7.1} days of data a day  {what}{mark}"
        );
    }
    let _ =
        writeln!(out, "{} rules in {} groups of {} files are fine", all.len(), rules.groups.len(), rules.files.len());
    Ok(())
}

async fn test(flags: &TestFlags) -> anyhow::Result<()> {
    let (mut failed, mut tests) = (0, 0);
    for path in &flags.files {
        let report = test_file(path).await.map_err(|faults| refused(&faults))?;
        let mut out = std::io::stdout().lock();
        tests += report.tests;
        // The reader may have gone away.
        let _ = writeln!(out, "{}: {} tests, {} failures", path.display(), report.tests, report.failures.len());
        for failure in &report.failures {
            let _ = writeln!(out, "  {failure}");
        }
        if flags.transitions {
            let _ = write!(out, "{}", listed(&report.transitions));
        }
        failed += report.failures.len();
    }
    if failed > 0 {
        bail!("{failed} failures in {tests} tests");
    }
    Ok(())
}

async fn over_the_past(flags: &BacktestFlags) -> anyhow::Result<()> {
    present(&flags.files)?;
    let run = match &flags.data_dir {
        Some(folder) => in_folder(flags, folder).await?,
        None => on_server(flags).await?,
    };
    let mut out = std::io::stdout().lock();
    // The reader may have gone away.
    if flags.json {
        let _ = writeln!(out, "{}", json!(run));
        return Ok(());
    }
    let _ = write!(out, "{}", listed(&run.transitions));
    let _ = write!(out, "{}", draw(&run));
    for (rule, error) in &run.errors {
        let _ = writeln!(out, "{rule}: {error}");
    }
    let (count, evaluations, seconds) = (run.transitions.len(), run.evaluations, run.seconds);
    eprintln!("{count} transitions, {evaluations} evaluations of groups, {seconds:.1} s");
    Ok(())
}

async fn in_folder(flags: &BacktestFlags, folder: &Path) -> anyhow::Result<Backtest> {
    let rules = RuleSet::load(&flags.files, INTERVAL_MS).map_err(|faults| refused(&faults))?;
    if rules.groups.is_empty() {
        bail!("name the rule files to run over {}", folder.display());
    }
    let range = parse_range(Some(&flags.from), Some(&flags.to))?;
    let config = StoreConfig { data_dir: folder.to_owned(), ..StoreConfig::default() };
    let store =
        Store::open(config).await.with_context(|| format!("cannot open the data folder {}", folder.display()))?;
    let query = QueryService::new(std::sync::Arc::clone(&store), QuerySettings::default());
    let settings = TrialSettings {
        offset_ms: flags.offset_seconds as i64 * 1_000,
        external_url: "http://127.0.0.1:4319".to_owned(),
    };
    let range_ms = (range.start.div_euclid(1_000_000), range.end.div_euclid(1_000_000));
    let run = backtest(query, &rules, range_ms, &settings).await;
    store.close().await?;
    run.map_err(anyhow::Error::msg)
}

async fn on_server(flags: &BacktestFlags) -> anyhow::Result<Backtest> {
    let mut body = json!({ "start": flags.from, "end": flags.to });
    if !flags.files.is_empty() {
        // Here the files' names and lines can still be told.
        let rules = RuleSet::load(&flags.files, INTERVAL_MS).map_err(|faults| refused(&faults))?;
        if let [(path, text)] = rules.files.as_slice() {
            body["rules"] = text.as_str().into();
            // Groups are evaluated at moments that their file's name decides.
            body["file"] = path.display().to_string().into();
        } else {
            bail!("{} rule files are named: a server runs one at a time", rules.files.len());
        }
    }
    let base = flags.server.trim_end_matches('/');
    let request = reqwest::Client::new().post(format!("{base}/api/v1/alerts/backtest")).body(body.to_string());
    let response = request.send().await.with_context(|| format!("cannot reach {base}"))?;
    let answer = client::answer(response).await?;
    serde_json::from_value(answer).context("the server's answer is not a run")
}
