//! All rules that are in force, from the files that a configuration names.

use super::{Group, Rule, read};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// The line; 0 when it is about the whole file.
    pub line: u64,
    /// The key, such as `labels.severity`.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.message)
    }
}

impl Fault {
    pub(crate) fn new(file: &str, line: u64, key: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, key: key.to_owned(), message: message.into() }
    }

    /// A file that cannot be read.
    pub(crate) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        Self::new(file, 0, "", format!("cannot be read: {error}"))
    }

    /// What the YAML reader says.
    pub fn of_yaml(file: &str, error: &serde_saphyr::Error) -> Self {
        let line = error.location().map_or(0, |place| place.line());
        let text = error.without_snippet().to_string();
        // The message says its place once more, in front or at the end.
        let text = text.split_once(": ").filter(|(place, _)| place.contains("line ")).map_or(&*text, |(_, rest)| rest);
        let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
        let key = text.split('`').nth(1).filter(|_| text.starts_with("unknown field")).unwrap_or_default();
        Self::new(file, line, key, text)
    }
}

/// The rules of all files.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// The groups, by file and place.
    pub groups: Vec<Arc<Group>>,
    /// The files that were read, with what they hold.
    pub files: Vec<(PathBuf, String)>,
}

impl RuleSet {
    /// Reads all files that these patterns name: files, folders (their `*.yml` and `*.yaml`), or `*` in the last name.
    ///
    /// # Errors
    /// All that is wrong with any of them: then none is used. A pattern that finds nothing is no fault.
    pub fn load(patterns: &[PathBuf], interval_ms: i64) -> Result<Self, Vec<Fault>> {
        let mut set = Self::default();
        let mut faults = Vec::new();
        for path in files(patterns) {
            let name = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Err(error) => faults.push(Fault::unreadable(&name, &error)),
                Ok(text) => {
                    match read(&name, &text, interval_ms) {
                        Ok(groups) => set.groups.extend(groups.into_iter().map(Arc::new)),
                        Err(more) => faults.extend(more),
                    }
                    set.files.push((path, text));
                }
            }
        }
        if faults.is_empty() { Ok(set) } else { Err(faults) }
    }

    /// Groups read from a text.
    pub fn of(groups: Vec<Group>) -> Self {
        Self { groups: groups.into_iter().map(Arc::new).collect(), files: Vec::new() }
    }

    /// The groups with a rule, from its group up to the rule itself: what it asks for may be recorded before it.
    pub fn only(&self, id: &str) -> Self {
        let of = |group: &Arc<Group>| {
            let place = group.rules.iter().position(|rule| rule.id == id)?;
            let mut group = group.as_ref().clone();
            let is_kept = |at: usize, rule: &Rule| at == place || rule.kind == super::Kind::Record;
            let kept: Vec<usize> = (0..=place).filter(|at| is_kept(*at, &group.rules[*at])).collect();
            group.rules = kept.iter().map(|at| Arc::clone(&group.rules[*at])).collect();
            group.levels = kept.iter().map(|at| group.levels[*at]).collect();
            Some(Arc::new(group))
        };
        Self { groups: self.groups.iter().filter_map(of).collect(), files: Vec::new() }
    }

    /// Every rule with its group.
    pub fn rules(&self) -> impl Iterator<Item = (&Arc<Group>, &Arc<Rule>)> {
        self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    }

    /// A rule by its id.
    pub fn rule(&self, id: &str) -> Option<(&Arc<Group>, &Arc<Rule>)> {
        self.rules().find(|(_, rule)| rule.id == id)
    }
}

/// Whether a text of YAML says nothing: blanks and comments alone.
pub(crate) fn is_blank(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// The files that patterns name, each once, in order.
pub(crate) fn files(patterns: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = patterns.iter().flat_map(|pattern| matching(pattern)).collect();
    all.sort();
    all.dedup();
    all
}

fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_rules = |path: &PathBuf| {
        let extension = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        matches!(extension, "yml" | "yaml") && path.is_file()
    };
    if pattern.is_dir() {
        return listed(pattern).into_iter().filter(is_rules).collect();
    }
    if !name.contains('*') {
        return vec![pattern.to_path_buf()];
    }
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fits = |path: &PathBuf| {
        path.is_file() && path.file_name().is_some_and(|found| is_like(&found.to_string_lossy(), &name))
    };
    listed(folder).into_iter().filter(fits).collect()
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// Whether a name is like a pattern in which `*` stands for anything.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    let pieces: Vec<&str> = pattern.split('*').collect();
    for (place, piece) in pieces.iter().enumerate() {
        let is_last = place + 1 == pieces.len();
        let found = match place {
            0 => rest.starts_with(piece).then_some(0),
            _ if is_last => (rest.len() >= piece.len() && rest.ends_with(piece)).then(|| rest.len() - piece.len()),
            _ => rest.find(piece),
        };
        let Some(at) = found else { return false };
        rest = &rest[at + piece.len()..];
    }
    pieces.len() > 1 || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn stars_stand_for_anything() {
        assert!(is_like("shop.rules.yml", "*.yml") && is_like("shop.rules.yml", "shop*rules*"));
        assert!(!is_like("shop.yaml", "*.yml") && !is_like("a", "a*a"));
    }
}
