//! Silences: alerts with these labels are not told until then. They are one YAML file, that a person can read, change and put
//! into a repository.

use super::matcher::{Matcher, MatcherFields, all_match};
use crate::machine::Labels;
use crate::rfc3339;
use crate::rules::{Fault, is_blank};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How long a silence is kept after it ended, in milliseconds: five days, as Alertmanager does.
const KEPT_MS: i64 = 432_000_000;
/// Silences at most.
const MAX_SILENCES: usize = 10_000;

/// A silence.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// Its id.
    pub id: String,
    /// What alerts it is about.
    pub matchers: Vec<Matcher>,
    /// From when, in milliseconds.
    pub starts_ms: i64,
    /// Until when.
    pub ends_ms: i64,
    /// When it was changed last.
    pub updated_ms: i64,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// A silence as file and API have it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceFields {
    /// Its id; a new one without it.
    #[serde(default)]
    pub id: Option<String>,
    /// What alerts it is about.
    pub matchers: Vec<MatcherFields>,
    /// From when, in RFC 3339.
    pub starts_at: String,
    /// Until when.
    pub ends_at: String,
    /// When it was changed last.
    #[serde(default)]
    pub updated_at: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub comment: String,
    /// What the API says of it; not read.
    #[serde(default, skip_serializing)]
    pub status: Option<serde_json::Value>,
}

impl Silence {
    /// Reads what file or API gave.
    ///
    /// # Errors
    /// A sentence about the field that is wrong.
    pub fn read(fields: &SilenceFields, now_ms: i64) -> Result<Self, String> {
        let time = |key: &str, text: &str| {
            let read = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
            read.map_err(|_| format!("{key} is `{text}`, not a time such as 2026-11-21T12:00:00Z"))
        };
        let matchers = fields.matchers.iter().map(Matcher::try_from).collect::<Result<Vec<_>, _>>()?;
        if matchers.is_empty() {
            return Err("matchers is empty: a silence is about some alerts".to_owned());
        }
        if matchers.iter().all(|matcher| matcher.matches(&Labels::new())) {
            return Err("at least one matcher must not match the empty string".to_owned());
        }
        let (starts_ms, ends_ms) = (time("startsAt", &fields.starts_at)?, time("endsAt", &fields.ends_at)?);
        if ends_ms <= starts_ms {
            return Err("endsAt is not after startsAt".to_owned());
        }
        let updated_ms = fields.updated_at.as_deref().map_or(Ok(now_ms), |text| time("updatedAt", text))?;
        let id = fields.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| ulid::Ulid::generate().to_string());
        let (created_by, comment) = (fields.created_by.clone(), fields.comment.clone());
        Ok(Self { id, matchers, starts_ms, ends_ms, updated_ms, created_by, comment })
    }

    /// `pending`, `active` or `expired`.
    pub fn state(&self, now_ms: i64) -> &'static str {
        if now_ms >= self.ends_ms {
            "expired"
        } else if now_ms < self.starts_ms {
            "pending"
        } else {
            "active"
        }
    }

    /// As file and API have it.
    pub fn fields(&self) -> SilenceFields {
        SilenceFields {
            id: Some(self.id.clone()),
            matchers: self.matchers.iter().map(Matcher::fields).collect(),
            starts_at: rfc3339(self.starts_ms),
            ends_at: rfc3339(self.ends_ms),
            updated_at: Some(rfc3339(self.updated_ms)),
            created_by: self.created_by.clone(),
            comment: self.comment.clone(),
            status: None,
        }
    }
}

/// All silences, and the file they are in.
#[derive(Clone, Debug, Default)]
pub struct Silences {
    all: Vec<Silence>,
    path: Option<PathBuf>,
    /// The text that the file had when it was read or written last.
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    silences: Vec<SilenceFields>,
}

impl Silences {
    /// Reads the file; none is there before the first silence.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn open(path: &Path, now_ms: i64) -> Result<Self, Fault> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Fault::unreadable(&name, &error)),
        };
        let file = if is_blank(&text) {
            File { silences: Vec::new() }
        } else {
            serde_saphyr::from_str(&text).map_err(|error| Fault::of_yaml(&name, &error))?
        };
        let read = |fields: &SilenceFields| {
            let id = fields.id.as_deref().unwrap_or_default();
            let line = text.lines().position(|line| !id.is_empty() && line.contains(id)).map_or(0, |at| at as u64 + 1);
            Silence::read(fields, now_ms).map_err(|message| Fault::new(&name, line, "silences", message))
        };
        let all = file.silences.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { all, path: Some(path.to_owned()), text })
    }

    /// Whether the file holds something else than what was read of it.
    pub fn is_stale(&self) -> bool {
        let Some(path) = &self.path else { return false };
        std::fs::read_to_string(path).unwrap_or_default() != self.text
    }

    /// All of them.
    pub fn all(&self) -> &[Silence] {
        &self.all
    }

    /// The ids of those that are in force for these labels.
    pub fn that_match(&self, labels: &Labels, now_ms: i64) -> Vec<String> {
        let active = self.all.iter().filter(|one| one.state(now_ms) == "active" && all_match(&one.matchers, labels));
        active.map(|one| one.id.clone()).collect()
    }

    /// Adds a silence, or changes the one with its id, and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written: then nothing changes.
    pub fn set(&mut self, silence: Silence, now_ms: i64) -> Result<(), String> {
        let mut all = self.all.clone();
        all.retain(|one| one.id != silence.id && now_ms - one.ends_ms < KEPT_MS);
        if all.len() >= MAX_SILENCES {
            return Err(format!("there are {MAX_SILENCES} silences already"));
        }
        all.push(silence);
        self.write(all)
    }

    /// Ends a silence now, and writes the file; says whether there is one of this id.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn expire(&mut self, id: &str, now_ms: i64) -> Result<bool, String> {
        let mut all = self.all.clone();
        let Some(silence) = all.iter_mut().find(|one| one.id == id) else { return Ok(false) };
        if silence.ends_ms > now_ms {
            silence.ends_ms = now_ms;
            silence.starts_ms = silence.starts_ms.min(now_ms - 1);
            silence.updated_ms = now_ms;
        }
        self.write(all).map(|()| true)
    }

    fn write(&mut self, all: Vec<Silence>) -> Result<(), String> {
        let text = text(&all);
        if let Some(path) = &self.path {
            write_durably(path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        self.all = all;
        self.text = text;
        Ok(())
    }
}

/// Puts a file in its place in one step, durable when this returns.
pub(crate) fn write_durably(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = folder.join(format!(".{name}.new"));
    let mut file = std::fs::File::create(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

/// The file's text.
fn text(all: &[Silence]) -> String {
    let mut out = String::from("silences:\n");
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    for silence in all {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  - id: {}", quoted(&silence.id));
        let _ = writeln!(out, "    comment: {}", quoted(&silence.comment));
        let _ = writeln!(out, "    createdBy: {}", quoted(&silence.created_by));
        let _ = writeln!(out, "    startsAt: {}", quoted(&rfc3339(silence.starts_ms)));
        let _ = writeln!(out, "    endsAt: {}", quoted(&rfc3339(silence.ends_ms)));
        let _ = writeln!(out, "    updatedAt: {}", quoted(&rfc3339(silence.updated_ms)));
        let _ = writeln!(out, "    matchers:");
        for matcher in &silence.matchers {
            let (name, value) = (quoted(&matcher.name), quoted(&matcher.value));
            let (is_regex, is_equal) = (matcher.regex.is_some(), matcher.is_equal);
            let _ = writeln!(out, "      - {{name: {name}, value: {value}, isRegex: {is_regex}, isEqual: {is_equal}}}");
        }
    }
    if all.is_empty() { "silences: []\n".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_kept_in_a_file_that_people_can_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("silences.yaml");
        let mut silences = Silences::open(&path, 0).expect("none yet");
        let fields: SilenceFields = serde_json::from_value(serde_json::json!({
            "matchers": [{"name": "alertname", "value": "A\"b", "isRegex": false}],
            "startsAt": "2026-11-21T12:00:00Z", "endsAt": "2026-11-21T13:00:00Z",
            "createdBy": "eva", "comment": "deploy: part 1",
        }))
        .expect("fields");
        let start = chrono::DateTime::parse_from_rfc3339("2026-11-21T12:00:00Z").expect("a time").timestamp_millis();
        silences.set(Silence::read(&fields, start).expect("a silence"), start).expect("written");
        let again = Silences::open(&path, start).expect("read back");
        assert_eq!(again.all(), silences.all());
        assert!(!again.is_stale());
        let labels = Labels::from([("alertname".to_owned(), "A\"b".to_owned())]);
        let id = again.all()[0].id.clone();
        assert_eq!(again.that_match(&labels, start), std::slice::from_ref(&id));
        assert!(again.that_match(&labels, start + 3_600_000).is_empty());
        assert!(again.that_match(&Labels::new(), start).is_empty());
        assert_eq!(silences.expire(&id, start + 1000), Ok(true));
        assert_eq!(silences.expire("another", start + 1000), Ok(false));
        assert!(Silences::open(&path, start).expect("read back").that_match(&labels, start + 2000).is_empty());
    }

    #[test]
    fn silences_of_nothing_and_of_everything_are_refused() {
        let read = |matchers: serde_json::Value, ends: &str| {
            let fields = serde_json::json!({
                "matchers": matchers, "startsAt": "2026-11-21T12:00:00Z", "endsAt": ends, "createdBy": "", "comment": "",
            });
            Silence::read(&serde_json::from_value(fields).expect("fields"), 0)
        };
        let later = "2026-11-21T13:00:00Z";
        assert!(read(serde_json::json!([]), later).is_err());
        assert!(read(serde_json::json!([{"name": "a", "value": ".*", "isRegex": true}]), later).is_err());
        assert!(read(serde_json::json!([{"name": "a", "value": "b"}]), "2026-11-21T11:00:00Z").is_err());
        assert!(read(serde_json::json!([{"name": "a", "value": "b"}]), later).is_ok());
    }
}
