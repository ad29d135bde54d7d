//! Receivers: from a decision to what is sent over the wire, and what the answer means.

mod email;
pub(crate) mod fields;
mod http;
mod incident;
mod messages;
mod words;

use super::config::NotifyConfig;
use super::dispatch::Decision;
use fields::Secret;
use std::time::Duration;

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
    let request = match decision.kind.as_str() {
        "email" => match receiver.email_configs.get(place) {
            Some(fields) => return email::send(fields, &config.global, &told).await,
            None => None,
        },
        "webhook" => receiver.webhook_configs.get(place).map(|fields| messages::webhook(fields, &told)),
        "slack" => receiver.slack_configs.get(place).map(|fields| messages::slack(fields, &config.global, &told)),
        "msteams" => receiver.msteams_configs.get(place).map(|fields| messages::teams(fields, &told)),
        "msteamsv2" => receiver.msteamsv2_configs.get(place).map(|fields| messages::teams_card(fields, &told)),
        "telegram" => {
            receiver.telegram_configs.get(place).map(|fields| messages::telegram(fields, &config.global, &told))
        }
        "pagerduty" => {
            receiver.pagerduty_configs.get(place).map(|fields| incident::pagerduty(fields, &config.global, &told))
        }
        "opsgenie" => {
            receiver.opsgenie_configs.get(place).map(|fields| incident::opsgenie(fields, &config.global, &told))
        }
        "alertmanager" => receiver.alertmanager_configs.get(place).map(|fields| incident::forward(fields, &told)),
        _ => None,
    };
    match request {
        None => Outcome::Never(format!("receiver `{}` has no {} {place} any more", decision.receiver, decision.kind)),
        Some(Err(message)) => Outcome::Never(message),
        Some(Ok(request)) => http::send(request, config.global.http_config.as_ref()).await,
    }
}

/// A secret of a receiver, or else the one that all share.
fn secret_or(
    own: (Option<&Secret>, Option<&String>),
    shared: (Option<&Secret>, Option<&String>),
) -> Result<Option<String>, String> {
    match secret(own.0, own.1)? {
        Some(own) => Ok(Some(own)),
        None => secret(shared.0, shared.1),
    }
}

/// A secret from the configuration or from the file that it names.
fn secret(given: Option<&Secret>, file: Option<&String>) -> Result<Option<String>, String> {
    if let Some(given) = given {
        return Ok(Some(given.reveal().to_owned()));
    }
    let Some(path) = file else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    Ok(Some(text.trim().to_owned()))
}
