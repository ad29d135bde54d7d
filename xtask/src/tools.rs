//! What tests need from outside: a browser, Python and npm packages. Installed where that is possible, told where not.
//!
//! Packages are pinned by `tests/python/requirements.txt` and `tests/node/package-lock.json`, and lie in `tools` below the
//! target folder. A stamp beside them holds what they were installed from, so that a run after the first installs nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the tools are, and what could not be had.
#[derive(Default)]
pub(crate) struct Tools {
    python: Option<PathBuf>,
    node_modules: Option<PathBuf>,
    chromium: Option<PathBuf>,
    prometheus: Option<PathBuf>,
    /// What is passed over, and why.
    pub(crate) missing: Vec<String>,
}

impl Tools {
    /// Tells a test run where the tools are.
    pub(crate) fn tell(&self, command: &mut Command) {
        for (name, path) in [
            ("MANGRU_TEST_PYTHON", &self.python),
            ("MANGRU_TEST_NODE_MODULES", &self.node_modules),
            ("MANGRU_TEST_CHROMIUM", &self.chromium),
            ("MANGRU_TEST_PROMETHEUS", &self.prometheus),
        ] {
            if let Some(path) = path {
                command.env(name, path);
            }
        }
    }
}

/// The target folder of this run.
pub(crate) fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Installs what is missing: Debian packages when this is root, PyPI and npm packages below the target folder.
pub(crate) fn install(root: &Path) -> Tools {
    let mut tools = Tools::default();
    let folder = target_folder(root).join("tools");
    match python(root, &folder) {
        Ok(path) => tools.python = Some(path),
        Err(error) => tools.missing.push(format!("tests with Python: {error}")),
    }
    match node(root, &folder) {
        Ok(path) => tools.node_modules = Some(path),
        Err(error) => tools.missing.push(format!("tests with Node.js: {error}")),
    }
    match chromium() {
        Ok(path) => tools.chromium = Some(path),
        Err(error) => tools.missing.push(format!("browser tests: {error}")),
    }
    match prometheus(&folder) {
        Ok(path) => tools.prometheus = Some(path),
        Err(error) => tools.missing.push(format!("tests beside Prometheus: {error}")),
    }
    tools
}

/// Runs a command, twice if need be: registries have bad moments. An error ends with what the command said last.
fn twice(mut command: impl FnMut() -> Command) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..2 {
        let mut command = command();
        let name = command.get_program().display().to_string();
        last = match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
                format!("{name}: {}", lines[lines.len().saturating_sub(3)..].join(" / "))
            }
            Err(error) => format!("{name}: {error}"),
        };
    }
    Err(last)
}

/// Makes sure that a program is there, from its Debian packages when it is not.
fn program(name: &str, packages: &[&str], works: impl Fn() -> bool) -> Result<(), String> {
    if works() {
        return Ok(());
    }
    println!("installing Debian's {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        twice(|| {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
            command
        })
    };
    let install = [&["install", "-q", "-y", "--no-install-recommends"], packages].concat();
    apt(&["update", "-q"])
        .and_then(|()| apt(&install))
        .map_err(|error| format!("{name} is missing and cannot be installed ({error})"))?;
    if works() { Ok(()) } else { Err(format!("{name} does not run, though its Debian packages are installed")) }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a folder was filled from exactly this text.
fn is_installed(stamp: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp).is_ok_and(|installed| installed == wanted)
}

fn python(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let requirements = root.join("tests/python/requirements.txt");
    let wanted = fs::read_to_string(&requirements).map_err(|error| error.to_string())?;
    let venv = folder.join("venv");
    let (python, stamp) = (venv.join("bin/python"), venv.join("installed"));
    if is_installed(&stamp, &wanted) && runs(&python.display().to_string(), &["-c", "import duckdb, pyarrow"]) {
        return Ok(python);
    }
    program("python3", &["python3", "python3-venv"], || runs("python3", &["-c", "import venv, ensurepip"]))?;
    println!("installing Python packages into {}", venv.display());
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    twice(|| {
        let mut command = Command::new("python3");
        command.args(["-m", "venv", "--clear"]).arg(&venv);
        command
    })?;
    twice(|| {
        let mut command = Command::new(&python);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&requirements);
        command
    })?;
    fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

fn node(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let place = folder.join("node");
    let (modules, stamp) = (place.join("node_modules"), place.join("installed"));
    let mut wanted = String::new();
    fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    for name in ["package.json", "package-lock.json"] {
        let text = fs::read_to_string(root.join("tests/node").join(name)).map_err(|error| error.to_string())?;
        fs::write(place.join(name), &text).map_err(|error| error.to_string())?;
        wanted.push_str(&text);
    }
    program("npm", &["nodejs", "npm"], || runs("npm", &["--version"]) && runs("node", &["--version"]))?;
    if is_installed(&stamp, &wanted) && modules.exists() {
        return Ok(modules);
    }
    println!("installing npm packages into {}", modules.display());
    twice(|| {
        let mut command = Command::new("npm");
        command.current_dir(&place).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
        command
    })?;
    fs::write(&stamp, wanted).map_err(|error| error.to_string())?;
    Ok(modules)
}

fn chromium() -> Result<PathBuf, String> {
    let path = Path::new("/usr/bin/chromium");
    program("chromium", &["chromium"], || path.exists())?;
    Ok(path.to_path_buf())
}

/// Debian's Prometheus and promtool, unpacked and not installed: nothing is started, and no other version is replaced.
fn prometheus(folder: &Path) -> Result<PathBuf, String> {
    let place = folder.join("prometheus");
    let programs = place.join("usr/bin");
    let works = || runs(&programs.join("prometheus").display().to_string(), &["--version"]);
    if works() {
        return Ok(programs);
    }
    println!("unpacking Debian's prometheus into {}", place.display());
    fs::create_dir_all(&place).map_err(|error| error.to_string())?;
    let apt = |arguments: &[&str]| {
        twice(|| {
            let mut command = Command::new("apt-get");
            command.current_dir(&place).args(arguments);
            command
        })
    };
    // Lists of packages are fetched when there are none.
    if apt(&["download", "-q", "prometheus"]).is_err() {
        apt(&["update", "-q"])?;
        apt(&["download", "-q", "prometheus"])?;
    }
    let packages = fs::read_dir(&place).map_err(|error| error.to_string())?;
    let package = packages
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or("apt-get downloaded no package")?;
    twice(|| {
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(&package).arg(&place);
        command
    })?;
    if works() { Ok(programs) } else { Err("prometheus does not run, though its package is unpacked".to_owned()) }
}
