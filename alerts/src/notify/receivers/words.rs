//! What is said: the data of a notification as templates see it, and the texts that are said by default.

use super::fields::Words;
use crate::machine::Labels;
use crate::notify::config::NotifyConfig;
use crate::notify::dispatch::{Decision, Notice};
use crate::template::{Failure, Scope, Template, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Definitions that Alertmanager's users call by name.
static DEFAULTS: LazyLock<Option<Template>> = LazyLock::new(|| Template::parse(include_str!("defaults.tmpl")).ok());

/// A notification, ready to be put into words.
pub(crate) struct Told<'a> {
    pub(crate) decision: &'a Decision,
    pub(crate) external_url: &'a str,
    pub(crate) common_labels: Labels,
    pub(crate) common_annotations: Labels,
    data: Value,
    others: Vec<&'a Template>,
}

/// What all have in common.
fn common<'a>(all: impl Iterator<Item = &'a Labels> + Clone) -> Labels {
    let Some(first) = all.clone().next() else { return Labels::new() };
    let same = |(name, value): &(&String, &String)| all.clone().all(|other| other.get(*name) == Some(*value));
    first.iter().filter(same).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn alert(notice: &Notice) -> Value {
    let evidence = notice.evidence.iter().map(|one| {
        Value::record([
            ("Time", Value::Time(one.time_ns)),
            ("Service", one.service.as_str().into()),
            ("Text", one.text.as_str().into()),
            ("TraceID", one.trace_id.as_str().into()),
        ])
    });
    Value::record([
        ("Status", if notice.ends_ms.is_some() { "resolved" } else { "firing" }.into()),
        ("Labels", Value::texts(notice.labels.clone())),
        ("Annotations", Value::texts(notice.annotations.clone())),
        ("StartsAt", Value::Time(notice.starts_ms * 1_000_000)),
        ("EndsAt", Value::Time(notice.ends_ms.unwrap_or_default() * 1_000_000)),
        ("GeneratorURL", notice.url.as_str().into()),
        ("Fingerprint", format!("{:016x}", notice.fingerprint).into()),
        ("Value", notice.value.as_str().into()),
        ("Evidence", evidence.collect::<Vec<_>>().into()),
    ])
}

impl<'a> Told<'a> {
    pub(crate) fn new(config: &'a NotifyConfig, decision: &'a Decision, external_url: &'a str) -> Result<Self, String> {
        let common_labels = common(decision.alerts.iter().map(|alert| &alert.labels));
        let common_annotations = common(decision.alerts.iter().map(|alert| &alert.annotations));
        let data = Value::record([
            ("Receiver", decision.receiver.as_str().into()),
            ("Status", decision.status().into()),
            ("Alerts", decision.alerts.iter().map(alert).collect::<Vec<_>>().into()),
            ("GroupLabels", Value::texts(decision.group_labels.clone())),
            ("CommonLabels", Value::texts(common_labels.clone())),
            ("CommonAnnotations", Value::texts(common_annotations.clone())),
            ("ExternalURL", external_url.into()),
            ("GroupKey", decision.group_key.as_str().into()),
        ]);
        let defaults = DEFAULTS.as_ref().ok_or("the built-in templates cannot be read")?;
        let others = std::iter::once(defaults).chain(&config.templates).collect();
        Ok(Self { decision, external_url, common_labels, common_annotations, data, others })
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.decision.status() == "firing"
    }

    /// Puts a template of the configuration into words, or the default of this name.
    pub(crate) fn say(&self, words: Option<&Words>, default: &str) -> Result<String, String> {
        match words {
            Some(words) => self.run(&words.0),
            None if default.is_empty() => Ok(String::new()),
            None => self.run(&Template::parse(&format!("{{{{ template \"{default}\" . }}}}"))?),
        }
    }

    fn run(&self, template: &Template) -> Result<String, String> {
        let scope = Scope {
            dot: self.data.clone(),
            variables: Vec::new(),
            answers: &BTreeMap::new(),
            external_url: self.external_url,
            now_ms: self.decision.time_ms,
        };
        template.run(&self.others, &scope).map_err(|failure| match failure {
            Failure::Wrong(message) => format!("template: {message}"),
            Failure::Asks(_) => "template: `query` is for rules, not for notifications".to_owned(),
        })
    }
}

/// A text of so many characters at most.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
