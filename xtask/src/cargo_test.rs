//! Runs `cargo test`, counts what its binaries report, and gathers what they passed over.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Compiling everything anew says nothing on the output for about ten minutes.
const SILENCE: Duration = Duration::from_mins(25);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What all test binaries reported together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    passed: u64,
    failed: u64,
    ignored: u64,
    names_of_failed: Vec<String>,
}

impl Report {
    /// Takes a line of a test binary's output into account.
    fn read(&mut self, line: &str) {
        if let Some(figures) = line.strip_prefix("test result: ") {
            // `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
            let figures = figures.split_once(". ").map_or("", |(_, figures)| figures);
            for figure in figures.split("; ") {
                match figure.split_once(' ') {
                    Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                    Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                    Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.names_of_failed.push(name.to_owned());
        }
    }

    fn note(&self) -> String {
        format!("{} tests passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// Shows what runs, to find what a test waits for.
fn show_processes() {
    let _ = Command::new("ps").args(["-eo", "pid,ppid,etimes,stat,args", "--width", "200"]).status();
}

/// Runs the command, shows its output as it comes, and says how many tests passed. What tests passed over because
/// something is missing is repeated at the end.
pub(crate) fn run(root: &Path, mut command: Command) -> Result<String> {
    let passed_over = crate::tools::target_folder(root).join("passed-over.txt");
    fs::create_dir_all(crate::tools::target_folder(root))?;
    fs::write(&passed_over, "").with_context(|| format!("cannot write {}", passed_over.display()))?;
    let mut child = command
        .env("MANGRU_TEST_PASSED_OVER", &passed_over)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo test")?;
    let mut report = Report::default();
    let output = child.stdout.take().context("cargo test has no output")?;
    let (send, lines) = mpsc::sync_channel(1000);
    // It is not waited for: a process that a test left behind may hold the pipe open for ever.
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(std::io::Result::ok) {
            if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let mut last = (Instant::now(), String::new());
    let status = loop {
        match lines.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                println!("{line}");
                report.read(&line);
                last = (Instant::now(), line);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break child.wait().context("cannot wait for cargo test")?,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = child.try_wait().context("cannot wait for cargo test")? {
            println!("!!! cargo test has ended, and a process that it started still runs");
            show_processes();
            break status;
        }
        if last.0.elapsed() > SILENCE {
            show_processes();
            child.kill().context("cannot end cargo test")?;
            let minutes = SILENCE.as_secs() / 60;
            bail!("{}; then nothing for {minutes} minutes after `{}`", report.note(), last.1);
        }
    };
    let skipped = fs::read_to_string(&passed_over).unwrap_or_default();
    let mut note = report.note();
    for line in skipped.lines() {
        println!("!!! {line}");
        note.push_str("; ");
        note.push_str(line);
    }
    if !report.names_of_failed.is_empty() {
        note.push_str("; failed: ");
        note.push_str(&report.names_of_failed.join(", "));
    }
    if !status.success() {
        bail!("{note} (cargo test ended with {status})");
    }
    if report.passed == 0 {
        bail!("cargo test ran no test");
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn results_of_all_binaries_add_up() {
        let mut report = Report::default();
        for line in [
            "running 4 tests",
            "test a::b ... ok",
            "test c::d ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.00s",
        ] {
            report.read(line);
        }
        let names_of_failed = vec!["c::d".to_owned()];
        assert_eq!(report, Report { passed: 42, failed: 1, ignored: 1, names_of_failed });
        assert_eq!(report.note(), "42 tests passed, 1 failed, 1 ignored");
    }
}
