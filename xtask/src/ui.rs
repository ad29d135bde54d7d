//! `cargo xtask ui`: builds the browser's half of the UI into `ui/dist/`, byte for byte the same on every machine.
//!
//! The bundle is committed, so that a plain `cargo run` needs no WebAssembly toolchain. `--check` builds it again and
//! fails when the bytes differ: then an island was edited and the bundle was not.

mod bind;
mod compile;
mod standard_library;

use anyhow::{Context as _, Result, bail};
use standard_library::StandardLibrary;
use std::fs;
use std::path::{Path, PathBuf};

/// Tells with which standard library the committed bundle was built; another one gives other bytes.
const BUILT_WITH: &str = "built-with.txt";

/// Builds the bundle. With `check` nothing is written, and a difference to what is committed is an error.
///
/// Where the standard library of the committed bundle cannot be had, the check says so loudly and passes: it could not
/// be made, which is not a fault of the change.
pub(crate) fn build(check: bool) -> Result<()> {
    let root = workspace_root()?;
    let dist = root.join("ui/dist");
    let committed = fs::read_to_string(dist.join(BUILT_WITH)).unwrap_or_default();
    let library = if check {
        match StandardLibrary::named(committed.trim(), &root) {
            Ok(library) => library,
            Err(error) => {
                eprintln!("!!! ui bundle NOT CHECKED: {error:#}");
                eprintln!(
                    "!!! ui/dist may be older than ui/src; on a machine with the wasm target run `cargo xtask ui`"
                );
                return Ok(());
            }
        }
    } else {
        StandardLibrary::any(&root)?
    };
    let module = compile::compile(&root, &library)?;
    let mut files = bind::bind(module)?;
    files.push((BUILT_WITH, format!("{}\n", library.name()).into_bytes()));
    if check { compare(&dist, &files) } else { write(&dist, &files) }
}

fn write(dist: &Path, files: &[(&'static str, Vec<u8>)]) -> Result<()> {
    fs::create_dir_all(dist).with_context(|| format!("cannot create {}", dist.display()))?;
    for (name, bytes) in files {
        fs::write(dist.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
        println!("ui/dist/{name}  {} bytes", bytes.len());
    }
    Ok(())
}

fn compare(dist: &Path, files: &[(&'static str, Vec<u8>)]) -> Result<()> {
    let differing: Vec<&str> = files
        .iter()
        .filter(|(name, bytes)| fs::read(dist.join(name)).ok().as_ref() != Some(bytes))
        .map(|(name, _)| *name)
        .collect();
    if !differing.is_empty() {
        bail!(
            "ui/dist is not what ui/src gives ({} differ): run `cargo xtask ui` and commit ui/dist",
            differing.join(", ")
        );
    }
    println!("ui/dist is what ui/src gives ({} files)", files.len());
    Ok(())
}

fn workspace_root() -> Result<PathBuf> {
    let manifest =
        compile::output_of(compile::cargo().args(["locate-project", "--workspace", "--message-format", "plain"]))?;
    let root = Path::new(manifest.trim()).parent().context("the workspace has no folder")?;
    Ok(root.to_path_buf())
}
