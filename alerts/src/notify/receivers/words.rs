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
    /// Templates of the configuration that failed, and why.
    failed: parking_lot::Mutex<Vec<(String, Failure)>>,
    /// Whether it is only tried whether templates can be carried out.
    pub(crate) is_trial: bool,
}

/// What all have in common.
fn common<'a>(all: &(impl Iterator<Item = &'a Labels> + Clone)) -> Labels {
    let Some(first) = all.clone().next() else { return Labels::new() };
    let same = |(name, value): &(&String, &String)| all.clone().all(|other| other.get(*name) == Some(*value));
    first.iter().filter(same).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn moment(time_ms: i64) -> Value {
    Value::time(time_ms.saturating_mul(1_000_000))
}

fn alert(notice: &Notice) -> Value {
    let evidence = notice.evidence.iter().map(|one| {
        Value::record([
            ("Time", Value::time(one.time_ns)),
            ("Service", one.service.as_str().into()),
            ("Text", one.text.as_str().into()),
            ("TraceID", one.trace_id.as_str().into()),
        ])
    });
    Value::record([
        ("Status", if notice.ends_ms.is_some() { "resolved" } else { "firing" }.into()),
        ("Labels", Value::texts(notice.labels.clone())),
        ("Annotations", Value::texts(notice.annotations.clone())),
        ("StartsAt", moment(notice.starts_ms)),
        ("EndsAt", notice.ends_ms.map_or_else(Value::no_time, moment)),
        ("GeneratorURL", notice.url.as_str().into()),
        ("Fingerprint", format!("{:016x}", notice.fingerprint).into()),
        ("Value", notice.value.as_str().into()),
        ("Evidence", evidence.collect::<Vec<_>>().into()),
    ])
}

impl<'a> Told<'a> {
    pub(crate) fn new(config: &'a NotifyConfig, decision: &'a Decision, external_url: &'a str) -> Result<Self, String> {
        let common_labels = common(&decision.alerts.iter().map(|alert| &alert.labels));
        let common_annotations = common(&decision.alerts.iter().map(|alert| &alert.annotations));
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
        Ok(Self {
            decision,
            external_url,
            common_labels,
            common_annotations,
            data,
            others,
            failed: parking_lot::Mutex::default(),
            is_trial: false,
        })
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.decision.status() == "firing"
    }

    /// Puts a template of the configuration into words, or the default of this name. Where the template fails, the default is said
    /// too: people are to be told, if in other words.
    pub(crate) fn say(&self, words: Option<&Words>, default: &str) -> Result<String, String> {
        self.said(words, default, false)
    }

    /// The same for HTML: what templates put in is escaped.
    pub(crate) fn say_html(&self, words: Option<&Words>, default: &str) -> Result<String, String> {
        self.said(words, default, true)
    }

    /// Puts a template into words for which nothing can stand in.
    pub(crate) fn say_exactly(&self, words: &Words) -> Result<String, String> {
        self.run(&words.0, false).map_err(|failure| {
            let message = why(&failure);
            self.failed.lock().push((words.0.text().to_owned(), failure));
            message
        })
    }

    /// Notes that a template failed for which the built-in text stands in.
    fn fails(&self, template: &str, failure: Failure) {
        if !self.is_trial {
            let (receiver, message) = (&self.decision.receiver, why(&failure));
            tracing::warn!(receiver, message, template, "a template failed: the built-in text is said instead");
        }
        self.failed.lock().push((template.to_owned(), failure));
    }

    fn said(&self, words: Option<&Words>, default: &str, escapes: bool) -> Result<String, String> {
        if let Some(words) = words {
            match self.run(&words.0, escapes) {
                Ok(text) => return Ok(text),
                Err(failure) => {
                    self.fails(words.0.text(), failure);
                }
            }
        }
        if default.is_empty() {
            return Ok(String::new());
        }
        let template = Template::parse(&format!("{{{{ template \"{default}\" . }}}}"))?;
        let said = self.run(&template, escapes).or_else(|failure| {
            // A file of templates may define the default anew, and that fails.
            self.fails(default, failure);
            let built_in = &self.others[..1];
            template.run(built_in, &self.scope(escapes))
        });
        said.map_err(|failure| why(&failure))
    }

    /// What templates asked for that there is not, whatever alerts there are: the template, and what it is.
    pub(crate) fn missing(&self) -> Vec<(String, String)> {
        let failed = self.failed.lock();
        let of = |(template, failure): &(String, Failure)| match failure {
            Failure::Missing(_) | Failure::Asks(_) => Some((template.clone(), why(failure))),
            Failure::Wrong(_) => None,
        };
        failed.iter().filter_map(of).collect()
    }

    fn scope(&self, escapes: bool) -> Scope<'_> {
        Scope {
            dot: self.data.clone(),
            variables: Vec::new(),
            answers: &NO_ANSWERS,
            external_url: self.external_url,
            now_ms: self.decision.time_ms,
            escapes,
        }
    }

    fn run(&self, template: &Template, escapes: bool) -> Result<String, Failure> {
        template.run(&self.others, &self.scope(escapes))
    }
}

/// Notifications ask nothing.
static NO_ANSWERS: BTreeMap<String, Value> = BTreeMap::new();

fn why(failure: &Failure) -> String {
    match failure {
        Failure::Wrong(message) | Failure::Missing(message) => format!("template: {message}"),
        Failure::Asks(_) => "template: `query` is for rules, not for notifications".to_owned(),
    }
}

/// Notifications such as there will be, by which templates are tried: of alerts that fire, with one that was resolved, and of
/// resolved ones.
pub(crate) fn samples(receiver: &str, way: super::fields::Way) -> Vec<Decision> {
    let notice = |number: u64, ends_ms: Option<i64>| {
        let labels = [("alertname", "Sample"), ("instance", &format!("host-{number}:9100")), ("severity", "page")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Notice {
            fingerprint: number,
            labels: labels.into(),
            annotations: Labels::from([("summary".to_owned(), "a sample".to_owned())]),
            starts_ms: 1_795_000_000_000,
            ends_ms,
            url: "http://localhost/alerts".to_owned(),
            value: "1".to_owned(),
            evidence: Vec::new(),
        }
    };
    let ended = Some(1_795_000_060_000);
    [vec![notice(1, None), notice(2, None), notice(3, ended)], vec![notice(1, ended)]]
        .into_iter()
        .map(|alerts| Decision {
            receiver: receiver.to_owned(),
            kind: way.kind.to_owned(),
            place: way.place,
            group_key: "{}:{alertname=\"Sample\"}".to_owned(),
            group_labels: Labels::from([("alertname".to_owned(), "Sample".to_owned())]),
            alerts,
            number: 0,
            time_ms: 1_795_000_090_000,
        })
        .collect()
}

/// A text of so many characters at most.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::receivers::fields::Way;
    use std::path::Path;

    fn said(template: &str, escapes: bool) -> Result<String, Failure> {
        let config = NotifyConfig::default();
        let decision = samples("a", Way { kind: "webhook", place: 0, sends_resolved: true }).remove(0);
        let told = Told::new(&config, &decision, "http://mangru.example").expect("told");
        told.run(&Template::parse(template).expect("a template"), escapes)
    }

    #[test]
    fn what_alertmanager_s_users_write_is_carried_out() {
        for (template, text) in [
            ("{{ .GroupLabels.SortedPairs.Values | join \" \" }}", "Sample"),
            (
                "{{ .CommonLabels.SortedPairs.Names | join \",\" }} {{ .CommonLabels.Names }}",
                "alertname,severity [alertname severity]",
            ),
            (
                "{{ if gt (len .CommonLabels) (len .GroupLabels) }}({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join \" \" }}{{ end }}){{ end }}",
                "(page)",
            ),
            ("{{ (index .Alerts 0).StartsAt.Format \"15:04\" }}", "11:06"),
            ("{{ range .Alerts }}{{ .EndsAt.IsZero }}{{ end }}", "truetruefalse"),
            (
                "{{ with index .Alerts 2 }}{{ .EndsAt.Sub .StartsAt }} {{ (.EndsAt.Sub .StartsAt).Minutes }}{{ end }}",
                "1m0s 1",
            ),
            ("{{ (index .Alerts 0).EndsAt }}", "0001-01-01 00:00:00 +0000 UTC"),
            ("{{ (index .Alerts 0).StartsAt | date \"2006-01-02\" }}", "2026-11-18"),
            ("{{ (index .Alerts 0).StartsAt | tz \"Europe/Berlin\" | date \"15:04 MST\" }}", "12:06 CET"),
            ("{{ since (index .Alerts 0).StartsAt }}", "1m30s"),
            ("{{ len .Alerts.Firing }}{{ len .Alerts.Resolved }}", "21"),
        ] {
            assert_eq!(said(template, false).as_deref(), Ok(text), "{template}");
        }
        assert!(matches!(said("{{ .Alert }}", false), Err(Failure::Missing(_))));
        assert!(matches!(said("{{ .GroupLabels.Add \"a\" }}", false), Err(Failure::Missing(_))));
        assert!(matches!(said("{{ index .Alerts 7 }}", false), Err(Failure::Wrong(_))));
        assert_eq!(
            said("<{{ \"a&b\" }}{{ html \"<\" }}{{ tmpl \"__subject\" . | len }}>", true).as_deref(),
            Ok("<a&amp;b&lt;27>")
        );
    }

    #[test]
    fn a_template_that_fails_at_its_time_gives_way_to_the_built_in_text() {
        let text = "route: {receiver: a}\nreceivers:\n- name: a\n  msteams_configs:\n  - webhook_url: http://localhost/\n    \
                    text: '{{ (index .Alerts 1).Labels.alertname }}'\n";
        let config = NotifyConfig::read("a.yml", text, Path::new(".")).expect("a configuration");
        let words = config.receivers["a"].msteams_configs[0].text.as_ref();
        let mut decision = samples("a", Way { kind: "msteams", place: 0, sends_resolved: true }).remove(0);
        let said = |decision: &Decision| {
            let told = Told::new(&config, decision, "http://localhost").expect("told");
            told.say(words, "msteams.default.text").expect("words")
        };
        assert_eq!(said(&decision), "Sample");
        decision.alerts.truncate(1);
        assert!(said(&decision).contains("Labels: instance=host-1:9100"), "{}", said(&decision));
    }
}
