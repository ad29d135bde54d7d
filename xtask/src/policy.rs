//! Which dependencies are allowed: their licences, and crates that must not come in.

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;
use std::path::Path;
use std::process::Command;

/// Licences that fit ours. An expression passes when one of its alternatives holds only these.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "BSL-1.0",
    "Unicode-3.0",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
    "NCSA",
];

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "rustls does TLS without a C library of the system"),
    ("aws-lc-sys", "needs cmake and a long build"),
    ("rusqlite", "sqlx talks to SQLite; two of them would link two SQLites"),
    ("serde_yaml", "is no longer kept"),
];

/// Crates that may be there once only: two of them do not exchange data.
const ONCE: &[&str] =
    &["arrow-array", "parquet", "object_store", "datafusion", "tantivy", "leptos", "tokio", "axum", "prost"];

/// Reads `cargo metadata` and fails on what is not allowed.
pub(crate) fn check(root: &Path) -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Json = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let resolved: std::collections::HashSet<&str> =
        metadata["resolve"]["nodes"].as_array().into_iter().flatten().filter_map(|node| node["id"].as_str()).collect();
    let packages: Vec<&Json> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["id"].as_str().is_some_and(|id| resolved.contains(id)))
        .collect();
    let mut faults = Vec::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(expression) if is_allowed(expression) => {}
            Some(expression) => faults.push(format!("{name} {version} has the licence {expression}")),
            None if package["license_file"].is_string() => {}
            None => faults.push(format!("{name} {version} names no licence")),
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            faults.push(format!("{name} {version} must not come in: {why}"));
        }
    }
    for name in ONCE {
        let versions: Vec<&str> = packages
            .iter()
            .filter(|package| package["name"].as_str() == Some(name))
            .filter_map(|package| package["version"].as_str())
            .collect();
        if versions.len() > 1 {
            faults.push(format!("{name} is there in several versions: {}", versions.join(", ")));
        }
    }
    println!("{} packages", packages.len());
    if !faults.is_empty() {
        bail!("dependencies against the policy:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

/// Whether one alternative of an SPDX expression is allowed as a whole.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain.split(" OR ").any(|alternative| {
        alternative.split(" AND ").all(|licence| {
            let licence = licence.split(" WITH ").next().unwrap_or_default().trim();
            LICENCES.contains(&licence)
        })
    })
}
