//! The standard library for the browser: the toolchain's own target where it is installed, else built from Debian's
//! source package of exactly this compiler version.

use super::compile::output_of;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The source package of the pinned compiler: version, and the digest of its file.
const PACKAGE_VERSION: &str = "1.95.0+dfsg1-2~bpo13+1";
const PACKAGE_SHA256: &str = "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b";
const SOURCE_IN_PACKAGE: &str = "usr/src/rustc-1.95.0/library";
const SUITE: &str = "trixie-backports";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where the source lies: the same on every machine, because cargo hashes this path into every symbol above it.
const FOLDER: &str = "/tmp/mangru-rust-src-1.95.0";
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// Where the standard library comes from.
pub(super) enum StandardLibrary {
    /// The target installed beside the compiler.
    Installed,
    /// Source to build it from.
    Source {
        /// The folder `library` of the compiler's source.
        library: PathBuf,
    },
}

impl StandardLibrary {
    /// The installed one, or else the source.
    pub(super) fn any(root: &Path) -> Result<Self> {
        if is_installed(root)? {
            return Ok(Self::Installed);
        }
        println!(
            "the target wasm32-unknown-unknown is not installed; building std from Debian's rust-src {PACKAGE_VERSION}"
        );
        Self::from_source().context("`rustup target add wasm32-unknown-unknown` would do as well")
    }

    /// The one with this name, by which a bundle says what it was built with.
    pub(super) fn named(name: &str, root: &Path) -> Result<Self> {
        if name == source_name() {
            Self::from_source()
        } else if name == Self::Installed.name() {
            if !is_installed(root)? {
                bail!("the target wasm32-unknown-unknown is not installed");
            }
            Ok(Self::Installed)
        } else {
            bail!("ui/dist does not say which standard library it was built with");
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Installed => "installed target of rustc 1.95.0".to_owned(),
            Self::Source { .. } => source_name(),
        }
    }

    /// Fetches and unpacks the source package once.
    fn from_source() -> Result<Self> {
        let folder = PathBuf::from(FOLDER);
        let library = folder.join("library");
        let stamp = folder.join("version");
        refuse_others(&folder)?;
        if fs::read_to_string(&stamp).ok().as_deref() != Some(PACKAGE_VERSION) || !library.is_dir() {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
            }
            fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
            fetch(&folder)?;
            let unpacked = folder.join("unpacked");
            fs::rename(unpacked.join(SOURCE_IN_PACKAGE), &library).context("the package does not hold the library")?;
            fs::remove_dir_all(&unpacked).context("cannot clear what was unpacked")?;
            fs::write(&stamp, PACKAGE_VERSION).context("cannot note the version")?;
        }
        Ok(Self::Source { library })
    }
}

/// The folder's name is known to everyone on the machine: what somebody else put there is not built.
fn refuse_others(folder: &Path) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(folder) else { return Ok(()) };
    let own_user = fs::metadata("/proc/self").context("cannot tell the own user")?.uid();
    if !found.is_dir() || found.uid() != own_user {
        bail!("{} belongs to somebody else", folder.display());
    }
    Ok(())
}

fn source_name() -> String {
    format!("Debian rust-src {PACKAGE_VERSION}")
}

fn is_installed(root: &Path) -> Result<bool> {
    let folder = output_of(Command::new("rustc").current_dir(root).args([
        "--print",
        "target-libdir",
        "--target",
        "wasm32-unknown-unknown",
    ]))?;
    Ok(Path::new(folder.trim()).is_dir())
}

/// Downloads the package through an apt configuration of its own, which leaves the machine's lists and sources alone.
fn fetch(folder: &Path) -> Result<()> {
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial", "state"] {
        fs::create_dir_all(apt.join(part)).context("cannot create folders for apt")?;
    }
    let sources = format!("deb [arch=amd64 signed-by={KEYRING}] {} {SUITE} main\n", mirror());
    fs::write(apt.join("sources.list"), sources).context("cannot write the sources of apt")?;
    fs::write(apt.join("status"), "").context("cannot write the status of apt")?;
    let path = apt.display();
    let config = format!(
        "Dir::State \"{path}/state\";\nDir::State::lists \"{path}/lists\";\nDir::State::status \"{path}/status\";\n\
         Dir::Cache \"{path}/cache\";\nDir::Etc::sourcelist \"{path}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
         APT::Sandbox::User \"\";\n"
    );
    fs::write(apt.join("apt.conf"), config).context("cannot write the config of apt")?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).current_dir(&apt).env("APT_CONFIG", apt.join("apt.conf"));
        output_of(&mut command)
    };
    run(&["update", "-q"])?;
    run(&["download", "-q", &format!("rust-src={PACKAGE_VERSION}")])?;
    let package = fs::read_dir(&apt)
        .context("cannot list the download")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt downloaded nothing")?;
    let digest = output_of(Command::new("sha256sum").arg(&package))?;
    if digest.split_whitespace().next() != Some(PACKAGE_SHA256) {
        bail!("rust-src {PACKAGE_VERSION} has another digest than expected: {digest}");
    }
    output_of(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(folder.join("unpacked")))?;
    fs::remove_dir_all(&apt).context("cannot clear the download")
}

/// The Debian mirror that the machine itself uses.
fn mirror() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.flatten().map(|entry| entry.path()));
    }
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .find(|word| {
            word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian") && !word.contains("snapshot")
        })
        .unwrap_or_else(|| DEFAULT_MIRROR.to_owned())
}
