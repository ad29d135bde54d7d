//! Compiles the crate `mangru-ui` for the browser, without a trace of the machine in its bytes.

use super::standard_library::StandardLibrary;
use anyhow::{Context as _, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Optimised for size; `strip` must not take the sections that the binding step reads.
const PROFILE: [(&str, &str); 5] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z"),
    ("CARGO_PROFILE_RELEASE_LTO", "true"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "false"),
];

/// The target folder of browser builds, apart from that of the others: neither waits for the lock of the other.
pub(super) fn target_folder(root: &Path) -> PathBuf {
    root.join("target/wasm")
}

/// The cargo that runs this.
pub(super) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command and gives what it printed.
pub(super) fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The module as the compiler leaves it.
pub(super) fn compile(root: &Path, library: &StandardLibrary) -> Result<Vec<u8>> {
    let target = target_folder(root);
    let mut command = cargo();
    command
        .current_dir(root)
        .args(["build", "--locked", "--package", "mangru-ui", "--lib", "--release"])
        .args(["--no-default-features", "--features", "hydrate", "--target", TARGET, "--target-dir"])
        .arg(&target)
        // The workspace has an override for the server's half.
        .args(["--config", "profile.release.package.mangru-ui.opt-level=\"z\""])
        .envs(PROFILE)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTC_WRAPPER")
        .env("RUSTFLAGS", remapped_paths(root, library)?);
    if let StandardLibrary::Source { library, .. } = library {
        command
            .arg("-Zbuild-std=std,panic_abort")
            .env("RUSTC_BOOTSTRAP", "1")
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("the browser's half of mangru-ui does not compile");
    }
    let module = target.join(TARGET).join("release/mangru_ui.wasm");
    fs::read(&module).with_context(|| format!("cannot read {}", module.display()))
}

/// Flags that replace the machine's folders in panic messages. Later ones win, so the most general comes first.
fn remapped_paths(root: &Path, library: &StandardLibrary) -> Result<String> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let sysroot = output_of(Command::new("rustc").current_dir(root).args(["--print", "sysroot"]))?;
    let mut pairs = vec![
        (root.to_path_buf(), "/mangru"),
        (target_folder(root), "/target"),
        (Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library"), "/rust/library"),
    ];
    if let StandardLibrary::Source { library, .. } = library {
        pairs.push((library.clone(), "/rust/library"));
    }
    // One folder per registry; a name differs with the way a machine reaches it.
    let registries = cargo_home.join("registry/src");
    if let Ok(folders) = fs::read_dir(&registries) {
        pairs.extend(folders.flatten().map(|folder| (folder.path(), "/registry")));
    }
    let flags = pairs.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.collect::<Vec<_>>().join(" "))
}
