//! Rules of the house that a program can check. A rule without a check decays.

mod functions;
mod phrases;

use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Files may have this many lines. Longer ones stand in [`LONG_FILES`] and may only shrink.
const MAX_LINES: usize = 600;

/// Files that are longer, with the lines they may have at most.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions may have this many lines. Longer ones stand in [`LONG_FUNCTIONS`] and may only shrink.
const MAX_FUNCTION_LINES: usize = 120;

/// Functions that are longer (`path::name`), with the lines they may have at most.
const LONG_FUNCTIONS: &[(&str, usize)] = &[];

/// Which crate may not name which: collector → store ← query ← alerts ← ui, and the agents stand alone.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("store/", &["mangru_collector", "mangru_query", "mangru_alerts", "mangru_ui"]),
    ("collector/", &["mangru_query", "mangru_alerts", "mangru_ui"]),
    ("query/", &["mangru_collector", "mangru_alerts", "mangru_ui"]),
    ("alerts/", &["mangru_collector", "mangru_ui"]),
    ("ui/", &["mangru_collector"]),
    ("agents/", &["mangru_store", "mangru_collector", "mangru_query", "mangru_alerts", "mangru_ui"]),
];

/// Folders that hold nothing that a person wrote.
const NOT_OURS: &[&str] = &[".git", ".venv", "target", "node_modules", "dist", "__pycache__"];

/// Reads the tree and fails on every rule that is broken, all of them at once.
pub(crate) fn check(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    let mut faults = Vec::new();
    for file in &files {
        let name = file.strip_prefix(root).unwrap_or(file).to_string_lossy().replace('\\', "/");
        // What is not text is not read.
        let Ok(text) = fs::read_to_string(file) else { continue };
        faults.extend(phrases::faults(&name, &text));
        match file.extension().and_then(OsStr::to_str) {
            Some("rs") => {
                arrows(&name, &text, &mut faults);
                source(&name, &text, &mut faults);
            }
            Some("toml") => arrows(&name, &text, &mut faults),
            Some("md") => links(file, &name, &text, &mut faults),
            _ => {}
        }
        if name == "ARCHITECTURE.md" {
            named_paths(root, &text, &mut faults);
        }
    }
    if !root.join("ARCHITECTURE.md").exists() {
        faults.push("ARCHITECTURE.md is missing".to_owned());
    }
    if !faults.is_empty() {
        bail!("{} rules of the house are broken:\n  {}", faults.len(), faults.join("\n  "));
    }
    Ok(format!("{} files", files.len()))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            // Data folders of a `mangru serve` or `mangru demo` that ran here.
            if !NOT_OURS.contains(&&*name) && !name.starts_with("mangru-") {
                collect(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

/// Imports run one way, in the source and among the dependencies.
fn arrows(name: &str, text: &str, faults: &mut Vec<String>) {
    for (folder, others) in FORBIDDEN {
        for other in others.iter().filter(|_| name.starts_with(folder)) {
            if text.contains(other) || text.contains(&other.replace('_', "-")) {
                faults.push(format!("{name} names {other}, against the arrows"));
            }
        }
    }
}

/// What one source file must keep.
fn source(name: &str, text: &str, faults: &mut Vec<String>) {
    let lines = text.lines().count();
    let allowed = LONG_FILES.iter().find(|(file, _)| *file == name).map_or(MAX_LINES, |(_, lines)| *lines);
    if lines > allowed {
        faults.push(format!("{name} has {lines} lines, {allowed} are allowed: split it where its subject splits"));
    }
    for (function, lines) in functions::longer_than(text, MAX_FUNCTION_LINES) {
        let function = format!("{name}::{function}");
        let allowed =
            LONG_FUNCTIONS.iter().find(|(known, _)| *known == function).map_or(MAX_FUNCTION_LINES, |(_, lines)| *lines);
        if lines > allowed {
            faults.push(format!("{function} has {lines} lines, {allowed} are allowed"));
        }
    }
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let is_allow = trimmed.starts_with("#[allow(") || trimmed.starts_with("#![allow(");
        let has_reason = line.contains("//") || line.contains("reason =") || before.trim_start().starts_with("//");
        if is_allow && !has_reason {
            faults.push(format!("{name}:{} allows a lint without a reason beside it", number + 1));
        }
        before = line;
    }
}

/// Every relative link of a document leads somewhere.
fn links(file: &Path, name: &str, text: &str, faults: &mut Vec<String>) {
    for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
        let is_relative = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
        if is_relative && !file.parent().is_some_and(|folder| folder.join(target).exists()) {
            faults.push(format!("{name} links to {target}, which is not there"));
        }
    }
}

/// Every path in backticks is there.
fn named_paths(root: &Path, text: &str, faults: &mut Vec<String>) {
    for quoted in text.split('`').skip(1).step_by(2) {
        let is_path = quoted.contains('/') && !quoted.contains([' ', ':', '*', '{']) && !quoted.starts_with('/');
        if is_path && !root.join(quoted).exists() {
            faults.push(format!("ARCHITECTURE.md names {quoted}, which is not there"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{arrows, check, links, named_paths, source};
    use crate::root;

    #[test]
    fn the_house_is_in_order() {
        if let Err(error) = check(&root()) {
            panic!("{error}");
        }
    }

    #[test]
    fn an_import_against_the_arrows_is_found() {
        let mut faults = Vec::new();
        arrows("store/src/part.rs", "use mangru_query::Page;", &mut faults);
        arrows("collector/Cargo.toml", "mangru-ui.workspace = true", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
        arrows("query/src/lib.rs", "use mangru_store::Store;", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn long_files_and_unexplained_allows_are_found() {
        let mut faults = Vec::new();
        source("a.rs", &"\n".repeat(601), &mut faults);
        source("b.rs", "#[allow(dead_code)]\nfn b() {}\n", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
        source("c.rs", "// the trait asks for it\n#[allow(dead_code)]\nfn c() {}\n", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }

    #[test]
    fn paths_that_are_gone_are_found() {
        let mut faults = Vec::new();
        named_paths(&root(), "`xtask/src/main.rs` and `xtask/src/gone.rs`, `a / b`", &mut faults);
        assert_eq!(faults, ["ARCHITECTURE.md names xtask/src/gone.rs, which is not there"]);
        links(&root().join("README.md"), "README.md", "[here](Cargo.toml#x) [gone](docs/gone.md)", &mut faults);
        assert_eq!(faults.len(), 2, "{faults:?}");
    }
}
