//! What tests need from outside: a browser, Python and npm packages. Installed where that is possible, told where not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// PyPI packages of the tests: the OpenTelemetry SDK with its exporters, and readers of Parquet.
const PYTHON: &[&str] = &[
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-exporter-otlp-proto-http",
    "duckdb",
    "duckdb-extension-ducklake",
    "duckdb-extension-sqlite-scanner",
    "pyarrow",
    "pytz",
];

/// Where the tools are, and what could not be had.
#[derive(Default)]
pub(crate) struct Tools {
    python: Option<PathBuf>,
    node_modules: Option<PathBuf>,
    chromium: Option<PathBuf>,
    pub(crate) missing: Vec<String>,
}

impl Tools {
    /// Tells a test run where the tools are.
    pub(crate) fn tell(&self, command: &mut Command) {
        for (name, path) in [
            ("MANGRU_TEST_PYTHON", &self.python),
            ("MANGRU_TEST_NODE_MODULES", &self.node_modules),
            ("MANGRU_TEST_CHROMIUM", &self.chromium),
        ] {
            if let Some(path) = path {
                command.env(name, path);
            }
        }
    }
}

/// Installs what is missing: Debian packages when this is root, PyPI and npm packages below `target/tools`.
pub(crate) fn install(root: &Path) -> Tools {
    let mut tools = Tools::default();
    let folder = root.join("target/tools");
    match python(&folder) {
        Ok(path) => tools.python = Some(path),
        Err(error) => tools.missing.push(format!("tests with Python ({error})")),
    }
    match node(root, &folder) {
        Ok(path) => tools.node_modules = Some(path),
        Err(error) => tools.missing.push(format!("tests with Node.js ({error})")),
    }
    match chromium() {
        Ok(path) => tools.chromium = Some(path),
        Err(error) => tools.missing.push(format!("browser tests ({error})")),
    }
    tools
}

/// Runs a command twice if need be: registries have bad moments.
fn twice(mut command: impl FnMut() -> Command) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..2 {
        match command().stdout(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                last.clear();
                last.push_str(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn python(folder: &Path) -> Result<PathBuf, String> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    let works = |python: &Path| {
        let imports = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc, duckdb, pyarrow, pytz";
        Command::new(python).args(["-c", imports]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if works(&python) {
        return Ok(python);
    }
    println!("installing Python packages into {}", venv.display());
    twice(|| {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&venv);
        command
    })?;
    twice(|| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PYTHON);
        command
    })?;
    if works(&python) { Ok(python) } else { Err("the packages do not import".to_owned()) }
}

fn node(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let package = root.join("tests/node/package.json");
    let place = folder.join("node");
    std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    std::fs::copy(&package, place.join("package.json")).map_err(|error| error.to_string())?;
    let modules = place.join("node_modules");
    let wanted = std::fs::read_to_string(&package).unwrap_or_default();
    let stamp = place.join("installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(modules);
    }
    println!("installing npm packages into {}", modules.display());
    twice(|| {
        let mut command = Command::new("npm");
        command.current_dir(&place).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
        ]);
        command
    })?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(modules)
}

fn chromium() -> Result<PathBuf, String> {
    let path = PathBuf::from("/usr/bin/chromium");
    if path.exists() {
        return Ok(path);
    }
    println!("installing Debian's chromium");
    let apt = |arguments: &'static [&'static str]| {
        twice(|| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
            command
        })
    };
    apt(&["update", "-q"])?;
    apt(&["install", "-q", "-y", "chromium"])?;
    if path.exists() { Ok(path) } else { Err("/usr/bin/chromium is not there".to_owned()) }
}
