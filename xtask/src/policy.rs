//! Which dependencies are allowed: their licences, where they come from, and crates that must not come in.

mod spdx;

use anyhow::{Context as _, Result, bail};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;

/// The one place that crates come from, beside this repository.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that fit ours. An expression passes when it can be fulfilled with these.
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
    ("native-tls", "rustls does TLS, the same everywhere"),
    ("aws-lc-sys", "needs cmake and a long build"),
    ("rusqlite", "sqlx talks to SQLite; two of them would link two SQLites"),
    ("serde_yaml", "is no longer kept"),
];

/// Crates that may be there once only: two of them do not exchange data.
const ONCE: &[&str] =
    &["arrow-array", "parquet", "object_store", "datafusion", "tantivy", "leptos", "tokio", "axum", "prost"];

/// Reads `cargo metadata` and fails on what is not allowed.
pub(crate) fn check(root: &Path) -> Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Json = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let packages = resolved(&metadata);
    let faults = faults(&packages);
    if !faults.is_empty() {
        bail!("{} dependencies are against the policy:\n  {}", faults.len(), faults.join("\n  "));
    }
    let twice: Vec<&str> =
        versions(&packages).into_iter().filter_map(|(name, versions)| (versions.len() > 1).then_some(name)).collect();
    println!("in several versions: {}", twice.join(", "));
    Ok(format!("{} packages, {} of them in several versions", packages.len(), twice.len()))
}

/// The packages that a build for this platform takes.
fn resolved(metadata: &Json) -> Vec<&Json> {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let ids: HashSet<&str> = nodes.filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.filter(|package| package["id"].as_str().is_some_and(|id| ids.contains(id))).collect()
}

fn versions<'a>(packages: &[&'a Json]) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut versions = BTreeMap::<&str, Vec<&str>>::new();
    for package in packages {
        let version = package["version"].as_str().unwrap_or_default();
        versions.entry(package["name"].as_str().unwrap_or_default()).or_default().push(version);
    }
    versions
}

fn faults(packages: &[&Json]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        match package["license"].as_str() {
            Some(expression) if spdx::is_fulfilled(expression, LICENCES) => {}
            Some(expression) => faults.push(format!("{name} {version} has the licence {expression}")),
            None => faults.push(format!("{name} {version} names no licence")),
        }
        if let Some(source) = package["source"].as_str().filter(|source| *source != SOURCE) {
            faults.push(format!("{name} {version} comes from {source}"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            faults.push(format!("{name} {version} must not come in: {why}"));
        }
    }
    for (name, versions) in versions(packages) {
        if versions.len() > 1 && ONCE.contains(&name) {
            faults.push(format!("{name} is there in several versions: {}", versions.join(", ")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{SOURCE, faults};
    use serde_json::json;

    #[test]
    fn each_rule_has_something_to_say() {
        let good = json!({ "name": "good", "version": "1.0.0", "license": "MIT", "source": SOURCE });
        let own = json!({ "name": "own", "version": "1.0.0", "license": "Apache-2.0", "source": null });
        assert_eq!(faults(&[&good, &own]), Vec::<String>::new());
        let bad = [
            json!({ "name": "copyleft", "version": "1.0.0", "license": "GPL-3.0-only", "source": SOURCE }),
            json!({ "name": "silent", "version": "1.0.0", "license": null, "source": SOURCE }),
            json!({ "name": "fork", "version": "1.0.0", "license": "MIT", "source": "git+https://example.org/fork" }),
            json!({ "name": "openssl-sys", "version": "1.0.0", "license": "MIT", "source": SOURCE }),
            json!({ "name": "tokio", "version": "1.0.0", "license": "MIT", "source": SOURCE }),
            json!({ "name": "tokio", "version": "2.0.0", "license": "MIT", "source": SOURCE }),
        ];
        let said = faults(&bad.iter().collect::<Vec<_>>()).join("\n");
        for word in
            ["GPL-3.0-only", "names no licence", "git+https", "must not come in", "several versions: 1.0.0, 2.0.0"]
        {
            assert!(said.contains(word), "{word} is missing in:\n{said}");
        }
        assert_eq!(said.lines().count(), 5, "{said}");
    }
}
