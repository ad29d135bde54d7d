//! Receivers: from a decision to what is sent over the wire, and what the answer means.

mod email;
mod faults;
pub(crate) mod fields;
mod http;
mod incident;
mod messages;
mod words;

use super::config::NotifyConfig;
use super::dispatch::Decision;
use fields::{ReceiverFields, Secret};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) use faults::lies_in;
pub(crate) use words::Told;

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It may work later; after this time, if the receiver said one.
    Later(String, Option<Duration>),
    /// It will never work.
    Never(String),
}

/// Why there is nothing to send.
#[derive(Debug)]
pub(crate) enum Unmade {
    /// Something is not there yet, such as the file of a secret.
    NotYet(String),
    /// It will never be.
    Never(String),
}

impl From<String> for Unmade {
    fn from(message: String) -> Self {
        Self::Never(message)
    }
}

impl From<&str> for Unmade {
    fn from(message: &str) -> Self {
        Self::Never(message.to_owned())
    }
}

impl From<Unmade> for Outcome {
    fn from(unmade: Unmade) -> Self {
        match unmade {
            Unmade::NotYet(message) => Self::Later(message, None),
            Unmade::Never(message) => Self::Never(message),
        }
    }
}

/// Sends a decision to its receiver.
pub(crate) async fn send(config: &NotifyConfig, decision: &Decision, external_url: &str) -> Outcome {
    let Some(receiver) = config.receivers.get(&decision.receiver) else {
        return Outcome::Never(format!("receiver `{}` is no longer configured", decision.receiver));
    };
    let told = match Told::new(config, decision, external_url) {
        Ok(told) => told,
        Err(message) => return Outcome::Never(message),
    };
    let place = decision.place;
    if let Some(fields) = receiver.email_configs.get(place).filter(|_| decision.kind == "email") {
        return email::send(fields, &config.global, &told).await;
    }
    match made(config, receiver, &told) {
        None => Outcome::Never(format!("receiver `{}` has no {} {place} any more", decision.receiver, decision.kind)),
        Some(Err(unmade)) => unmade.into(),
        Some(Ok(request)) => http::send(request, config.global.http_config.as_ref()).await,
    }
}

/// Makes what all ways of a receiver would be sent, and says which templates ask for something that there is not.
pub(crate) fn tried(config: &NotifyConfig, receiver: &ReceiverFields) -> BTreeSet<(String, String)> {
    let mut faults = BTreeSet::new();
    let receiver = &receiver.with_any_secrets();
    for way in receiver.ways() {
        for decision in words::samples(&receiver.name, way) {
            let Ok(mut told) = Told::new(config, &decision, "http://localhost") else { continue };
            told.is_trial = true;
            // What else fails may work with other alerts, or when a secret's file is there.
            if let Some(fields) = receiver.email_configs.get(way.place).filter(|_| way.kind == "email") {
                drop(email::message(fields, &told, &config.global));
            } else {
                drop(made(config, receiver, &told));
            }
            faults.extend(told.missing());
        }
    }
    faults
}

/// The request of a way that speaks HTTP.
fn made(config: &NotifyConfig, receiver: &ReceiverFields, told: &Told<'_>) -> Option<Result<http::Request, Unmade>> {
    let (decision, place) = (told.decision, told.decision.place);
    match decision.kind.as_str() {
        "webhook" => receiver.webhook_configs.get(place).map(|fields| messages::webhook(fields, told)),
        "slack" => receiver.slack_configs.get(place).map(|fields| messages::slack(fields, &config.global, told)),
        "msteams" => receiver.msteams_configs.get(place).map(|fields| messages::teams(fields, told)),
        "msteamsv2" => receiver.msteamsv2_configs.get(place).map(|fields| messages::teams_card(fields, told)),
        "telegram" => {
            receiver.telegram_configs.get(place).map(|fields| messages::telegram(fields, &config.global, told))
        }
        "pagerduty" => {
            receiver.pagerduty_configs.get(place).map(|fields| incident::pagerduty(fields, &config.global, told))
        }
        "opsgenie" => {
            receiver.opsgenie_configs.get(place).map(|fields| incident::opsgenie(fields, &config.global, told))
        }
        "alertmanager" => {
            let times = config.repeats(&decision.receiver);
            receiver.alertmanager_configs.get(place).map(|fields| incident::forward(fields, times, told))
        }
        _ => None,
    }
}

/// A secret of a receiver, or else the one that all share.
fn secret_or(
    own: (Option<&Secret>, Option<&String>),
    shared: (Option<&Secret>, Option<&String>),
) -> Result<Option<String>, Unmade> {
    match secret(own.0, own.1)? {
        Some(own) => Ok(Some(own)),
        None => secret(shared.0, shared.1),
    }
}

/// A secret from the configuration or from the file that it names.
fn secret(given: Option<&Secret>, file: Option<&String>) -> Result<Option<String>, Unmade> {
    if let Some(given) = given {
        return Ok(Some(given.reveal().to_owned()));
    }
    let Some(path) = file else { return Ok(None) };
    let unread = |error| Unmade::NotYet(format!("cannot read {path}: {error}"));
    let text = std::fs::read_to_string(path).map_err(unread)?;
    Ok(Some(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fields::Way;
    use std::path::Path;

    /// What a way of a receiver is sent of a sample.
    fn request(kind: &'static str, config: &NotifyConfig) -> Result<http::Request, Unmade> {
        let decision = words::samples("a", Way { kind, place: 0, sends_resolved: true }).remove(0);
        let told = Told::new(config, &decision, "http://localhost").expect("told");
        made(config, &config.receivers["a"], &told).expect("a way")
    }

    fn read(fields: &str, folder: &Path) -> NotifyConfig {
        let text = format!("route: {{receiver: a, repeat_interval: 12h}}\nreceivers:\n- name: a\n  {fields}\n");
        NotifyConfig::read("a.yml", &text, folder).expect("a configuration")
    }

    #[test]
    fn files_of_secrets_lie_beside_the_configuration_and_are_waited_for() {
        let folder = tempfile::tempdir().expect("folder");
        let config = read("slack_configs: [{api_url_file: slack.url}]", folder.path());
        match request("slack", &config).map(|made| made.url) {
            Err(Unmade::NotYet(message)) => assert!(message.contains("slack.url"), "{message}"),
            other => panic!("{other:?}"),
        }
        std::fs::write(folder.path().join("slack.url"), "http://slack.example/\n").expect("written");
        assert_eq!(request("slack", &config).expect("made").url, "http://slack.example/");
    }

    #[test]
    fn responders_are_templates_too() {
        let fields =
            "opsgenie_configs: [{api_key: a, responders: [{name: 'team-{{ .CommonLabels.severity }}', type: Team}]}]";
        let body = request("opsgenie", &read(fields, Path::new("."))).expect("made").body;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["responders"], serde_json::json!([{"name": "team-page", "type": "team"}]));
    }

    #[test]
    fn what_is_forwarded_fires_until_it_is_told_again() {
        let config = read("alertmanager_configs: [{url: 'http://am.example'}]", Path::new("."));
        let body: serde_json::Value =
            serde_json::from_str(&request("alertmanager", &config).expect("made").body).expect("JSON");
        // Twelve hours, two turns of five minutes, and a while longer.
        let ends = chrono::DateTime::parse_from_rfc3339(body[0]["endsAt"].as_str().expect("a time")).expect("a time");
        assert_eq!(ends.timestamp_millis() - 1_795_000_090_000, (12 * 60 + 10 + 15) * 60_000);
    }

    #[test]
    fn telegram_s_html_is_escaped_where_it_is_html() {
        let said = |mode: &str| {
            let fields =
                format!("telegram_configs: [{{bot_token: a, chat_id: 1, {mode}message: '<b>{{{{ \"a<b\" }}}}</b>'}}]");
            let body = request("telegram", &read(&fields, Path::new("."))).expect("made").body;
            serde_json::from_str::<serde_json::Value>(&body).expect("JSON")["text"].as_str().expect("text").to_owned()
        };
        assert_eq!(said(""), "<b>a&lt;b</b>");
        assert_eq!(said("parse_mode: MarkdownV2, "), "<b>a<b</b>");
    }
}
