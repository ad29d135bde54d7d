//! Rules of the house that a program can check. A rule without a check decays.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Files may have this many lines. Longer ones stand in [`LONG_FILES`] and may only shrink.
const MAX_LINES: usize = 600;

/// Files that are longer, with the lines they may have at most.
const LONG_FILES: &[(&str, usize)] = &[];

/// Which crate may not name which.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("store", &["mangru_collector", "mangru_query", "mangru_ui"]),
    ("collector", &["mangru_query", "mangru_ui"]),
    ("query", &["mangru_collector", "mangru_ui"]),
    ("ui", &["mangru_collector"]),
    ("agents", &["mangru_store", "mangru_collector", "mangru_query", "mangru_ui"]),
];

/// Words that do not belong into a committed source file, and why.
fn banned_words() -> [(String, &'static str); 4] {
    // Put together here, so that this file does not hold them itself.
    [
        (["to", "do!("].concat(), "unfinished code"),
        (["unimple", "mented!("].concat(), "unfinished code"),
        (["// TO", "DO"].concat(), "write an issue instead"),
        (["FIX", "ME"].concat(), "write an issue instead"),
    ]
}

/// Reads the tree and fails on every rule that is broken, all of them at once.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["src", "collector", "store", "query", "ui", "agents", "xtask", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    let mut faults = Vec::new();
    for file in &files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        source(&name, &text, &mut faults);
    }
    paths_in_architecture(root, &mut faults);
    println!("{} files", files.len());
    if !faults.is_empty() {
        bail!("the house is not in order:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && name != "dist" {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn source(name: &str, text: &str, faults: &mut Vec<String>) {
    let lines = text.lines().count();
    let allowed = LONG_FILES.iter().find(|(file, _)| *file == name).map_or(MAX_LINES, |(_, lines)| *lines);
    if lines > allowed {
        faults.push(format!("{name} has {lines} lines, {allowed} are allowed: split it where its subject splits"));
    }
    for (folder, forbidden) in FORBIDDEN {
        if name.starts_with(&format!("{folder}/src/")) {
            for other in *forbidden {
                if text.contains(other) {
                    faults.push(format!("{name} names {other}, against the arrows"));
                }
            }
        }
    }
    for (word, why) in banned_words() {
        if text.contains(&word) {
            faults.push(format!("{name} holds `{word}`: {why}"));
        }
    }
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let is_allow = trimmed.starts_with("#[allow(") || trimmed.starts_with("#![allow(");
        if is_allow && !line.contains("//") && !before.trim_start().starts_with("//") {
            faults.push(format!("{name}:{} allows a lint without a reason beside it", number + 1));
        }
        before = line;
    }
}

/// Every path in backticks in ARCHITECTURE.md is there.
fn paths_in_architecture(root: &Path, faults: &mut Vec<String>) {
    let Ok(text) = std::fs::read_to_string(root.join("ARCHITECTURE.md")) else {
        faults.push("ARCHITECTURE.md is missing".to_owned());
        return;
    };
    for quoted in text.split('`').skip(1).step_by(2) {
        let is_path =
            quoted.contains('/') && !quoted.contains(' ') && !quoted.contains(':') && !quoted.starts_with('/');
        if is_path && !root.join(quoted).exists() {
            faults.push(format!("ARCHITECTURE.md names {quoted}, which is not there"));
        }
    }
}
