//! Taking in files that changed. A bad change keeps what was.

use super::{AlertService, AlertSettings};
use crate::notify::{NotifyConfig, Silences};
use crate::rules::{Fault, RuleSet, read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where rules are looked for: where the settings say, and where the UI writes.
fn patterns(settings: &AlertSettings) -> Vec<PathBuf> {
    settings.rules.iter().cloned().chain([settings.rules_folder()]).collect()
}

pub(super) fn silences_path(settings: &AlertSettings) -> PathBuf {
    settings.silences.clone().unwrap_or_else(|| settings.folder.join("silences.yaml"))
}

pub(super) fn rules(settings: &AlertSettings) -> Result<RuleSet, Vec<Fault>> {
    RuleSet::load(&patterns(settings), settings.interval_ms)
}

pub(super) fn notify(settings: &AlertSettings) -> Result<NotifyConfig, Vec<Fault>> {
    let Some(path) = &settings.notify else { return Ok(NotifyConfig::default()) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| vec![Fault::unreadable(&name, &error)])?;
    NotifyConfig::read(&name, &text, path.parent().unwrap_or(Path::new(".")))
}

impl AlertService {
    /// Looks whether files changed, and takes them in when all of them can be used.
    pub async fn reload(&self, now_ms: i64) {
        let before = self.in_force.read().clone();
        let mut faults = Vec::new();
        let mut has_new_rules = false;
        let on_disk: Vec<(PathBuf, String)> = crate::rules::files(&patterns(&self.settings))
            .into_iter()
            .map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap_or_default()))
            .collect();
        if on_disk != before.rules.files {
            match rules(&self.settings) {
                Ok(new) => {
                    self.in_force.write().rules = Arc::new(new);
                    has_new_rules = true;
                }
                Err(more) => faults.extend(more),
            }
        }
        let mut has_new_routes = false;
        if let Some(path) = &self.settings.notify
            && before.notify.is_stale(path)
        {
            match notify(&self.settings) {
                Ok(new) => {
                    self.in_force.write().notify = Arc::new(new);
                    has_new_routes = true;
                }
                Err(more) => faults.extend(more),
            }
        }
        {
            let mut core = self.core.lock().await;
            if core.silences.is_stale() {
                match Silences::open(&silences_path(&self.settings), now_ms) {
                    Ok(new) => core.silences = new,
                    Err(fault) => faults.push(fault),
                }
            }
            if has_new_routes {
                core.dispatcher.forget_groups();
            }
        }
        if faults != before.faults {
            for fault in &faults {
                tracing::error!(%fault, "a changed file is not taken: what was stays in force");
            }
            self.in_force.write().faults = faults;
        }
        if has_new_rules || has_new_routes {
            tracing::info!(rules = self.rules().rules().count(), "alerts: changed files are in force");
            self.take_up(now_ms).await;
            self.changed.notify_one();
        }
    }

    /// Writes a rule file among those of the UI, when it can be used together with all others.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn write_rules(&self, name: &str, text: &str, now_ms: i64) -> Result<PathBuf, Vec<Fault>> {
        let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 200 || !name.chars().all(is_plain) {
            let message = "the name of a rule file has letters, digits, `-` and `_`".to_owned();
            return Err(vec![Fault::new(name, 0, "name", message)]);
        }
        let path = self.settings.rules_folder().join(format!("{name}.yml"));
        read(&path.display().to_string(), text, self.settings.interval_ms)?;
        if path.exists() {
            let message = "a file of this name is there already: choose another, or change that one".to_owned();
            return Err(vec![Fault::new(&path.display().to_string(), 0, "name", message)]);
        }
        crate::notify::silence::write_durably(&path, text).map_err(|error| {
            vec![Fault::new(&path.display().to_string(), 0, "", format!("cannot be written: {error}"))]
        })?;
        self.reload(now_ms).await;
        Ok(path)
    }
}
