//! The files of the config folder that people write and keep in git: dashboards and saved searches.
//!
//! They are read when a page needs them, and again when they change. A change that cannot be used keeps what was there
//! before and says what is wrong, with file, line and key. Nothing here writes.

use crate::dashboards::Dashboard;
use crate::saved_searches::SavedSearch;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Files of one folder that are read at most.
const MAX_FILES: usize = 1000;
/// Bytes of a file.
const MAX_BYTES: u64 = 256 << 10;

/// The config folder with its `dashboards` and `searches`.
#[derive(Clone)]
pub struct ConfigFiles {
    pub(crate) dashboards: Arc<Folder<Dashboard>>,
    pub(crate) searches: Arc<Folder<SavedSearch>>,
}

impl ConfigFiles {
    /// The files below a folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self {
            dashboards: Arc::new(Folder::new(folder.join("dashboards"), crate::dashboards::read)),
            searches: Arc::new(Folder::new(folder.join("searches"), crate::saved_searches::read)),
        }
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, from 1; 0 when it is about the whole file.
    pub(crate) line: u64,
    /// The key, such as `panels[2].unit`; may be empty.
    pub(crate) key: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Fault {
    /// A fault of a key at a line.
    pub(crate) fn new(line: u64, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Reads YAML into a type; what does not fit is told with its line.
pub(crate) fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Vec<Fault>> {
    serde_saphyr::from_str(text).map_err(|error| {
        let fault = mangru_alerts::rules::Fault::of_yaml("", &error);
        vec![Fault::new(fault.line, "", fault.message)]
    })
}

/// The answer that gives a person a file of YAML to put into the config folder; `otherwise` is its name when the wanted
/// one has nothing that a header can say.
pub(crate) fn download(text: String, name: &str, otherwise: &str) -> Response {
    let ascii: String = name.chars().filter(char::is_ascii).collect();
    let name = if ascii.is_empty() { otherwise } else { &ascii };
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.yaml\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A file as it stands.
#[derive(Clone)]
pub(crate) struct Named<T> {
    /// The name of the file without its ending: the name in addresses.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// What it says; what it said before when it cannot be used now; none when it never could.
    pub(crate) content: Option<Arc<T>>,
    /// What it says as text.
    pub(crate) text: Arc<str>,
    /// Why it cannot be used as it is now.
    pub(crate) faults: Vec<Fault>,
}

type Read<T> = fn(&str) -> Result<T, Vec<Fault>>;
/// What changes when a file is written: time and length.
type Stamp = (Option<SystemTime>, u64);

/// YAML files of one kind.
pub(crate) struct Folder<T> {
    path: PathBuf,
    read: Read<T>,
    files: Mutex<BTreeMap<String, (Stamp, Named<T>)>>,
}

impl<T> Folder<T> {
    fn new(path: PathBuf, read: Read<T>) -> Self {
        Self { path, read, files: Mutex::default() }
    }

    /// Where the files lie.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// All files by name, looked at on a thread that may wait for the disk.
    pub(crate) async fn now(self: &Arc<Self>) -> Vec<Named<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        let folder = Arc::clone(self);
        tokio::task::spawn_blocking(move || folder.all()).await.unwrap_or_else(|error| {
            tracing::error!(path = %self.path.display(), %error, "the config folder was not looked at");
            Vec::new()
        })
    }

    /// All files by name. Looking costs a `stat` a file; only what changed is read.
    fn all(&self) -> Vec<Named<T>>
    where
        T: Clone,
    {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            files.clear();
            return Vec::new();
        };
        let mut found = BTreeMap::new();
        for entry in entries.flatten().take(MAX_FILES) {
            let path = entry.path();
            let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
            let name = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned);
            let Some(name) = name.filter(|_| is_yaml) else { continue };
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let stamp = (metadata.modified().ok(), metadata.len());
            let known = files.remove(&name);
            let file = match known {
                Some((seen, file)) if seen == stamp => file,
                known => self.read_again(&name, path, metadata.len(), known.map(|(_, file)| file)),
            };
            found.insert(name, (stamp, file));
        }
        *files = found;
        files.values().map(|(_, file)| file.clone()).collect()
    }

    /// One file by its name.
    #[cfg(test)]
    fn named(&self, name: &str) -> Option<Named<T>>
    where
        T: Clone,
    {
        self.all().into_iter().find(|file| file.name == name)
    }

    fn read_again(&self, name: &str, path: PathBuf, bytes: u64, before: Option<Named<T>>) -> Named<T> {
        let kept = before.and_then(|before| before.content);
        let failed = |text: &str, faults: Vec<Fault>, path: PathBuf, kept: Option<Arc<T>>| {
            for fault in &faults {
                tracing::warn!(path = %path.display(), %fault, "a file of the config folder cannot be used");
            }
            Named { name: name.to_owned(), path, content: kept, text: text.into(), faults }
        };
        if bytes > MAX_BYTES {
            let fault = Fault::new(0, "", format!("the file has {bytes} bytes, allowed are {MAX_BYTES}"));
            return failed("", vec![fault], path, kept);
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => return failed("", vec![Fault::new(0, "", format!("cannot be read: {error}"))], path, kept),
        };
        match (self.read)(&text) {
            Ok(content) => Named {
                name: name.to_owned(),
                path,
                content: Some(Arc::new(content)),
                text: text.into(),
                faults: Vec::new(),
            },
            Err(faults) => failed(&text, faults, path, kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, Vec<Fault>> {
        from_yaml(text)
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_a_bad_change_keeps_the_old() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Folder::new(folder.path().join("numbers"), number);
        assert!(files.all().is_empty(), "a folder that is not there has no files");
        std::fs::create_dir(folder.path().join("numbers")).expect("made");
        let path = folder.path().join("numbers/one.yaml");
        std::fs::write(&path, "7").expect("written");
        std::fs::write(folder.path().join("numbers/notes.txt"), "no").expect("written");
        let one = files.named("one").expect("found");
        assert_eq!((one.content.as_deref(), one.faults.len()), (Some(&7), 0));
        std::fs::write(&path, "not a number").expect("written");
        let one = files.named("one").expect("found");
        assert_eq!((one.content.as_deref(), one.faults.len()), (Some(&7), 1), "the old stands, and the fault");
        assert_eq!(one.faults[0].line, 1);
        std::fs::write(&path, "88").expect("written");
        let one = files.named("one").expect("found");
        assert_eq!((one.content.as_deref(), one.faults.len()), (Some(&88), 0));
        std::fs::remove_file(&path).expect("removed");
        assert!(files.all().is_empty());
    }
}
