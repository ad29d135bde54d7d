//! Receivers that keep incidents by a key of their own, which makes telling them twice harmless: PagerDuty, Opsgenie, and other
//! Alertmanagers.

use super::fields::{Forward, Opsgenie, PagerDuty};
use super::http::Request;
use super::words::{Told, clipped};
use super::{Unmade, secret, secret_or};
use crate::notify::config::Global;
use crate::notify::dispatch::Notice;
use crate::rfc3339;
use serde_json::{Map, Value as Json, json};

type Made = Result<Request, Unmade>;

/// How long after it should have been told again an alert still fires for another Alertmanager.
const GRACE_MS: i64 = 900_000;

/// The key of a group, of a length that every receiver takes.
fn group_id(told: &Told<'_>) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(told.decision.group_key.as_bytes()))
}

/// An event of PagerDuty's Events API v2.
pub(super) fn pagerduty(fields: &PagerDuty, global: &Global, told: &Told<'_>) -> Made {
    let key = secret(fields.routing_key.as_ref(), fields.routing_key_file.as_ref())?.ok_or("routing_key is missing")?;
    let default = "https://events.pagerduty.com/v2/enqueue";
    let url = fields.url.as_deref().or(global.pagerduty_url.as_deref()).unwrap_or(default);
    let severity = told.say(fields.severity.as_ref(), "")?;
    let severity = match severity.as_str() {
        known @ ("critical" | "error" | "warning" | "info") => known,
        _ => match told.common_labels.get("severity").map(String::as_str) {
            Some("critical" | "page") | None => "critical",
            Some("error") => "error",
            Some("info") => "info",
            Some(_) => "warning",
        },
    };
    let mut details: Map<String, Json> = Map::new();
    details.insert("firing".to_owned(), list(told, true));
    details.insert("resolved".to_owned(), list(told, false));
    for (name, words) in &fields.details {
        details.insert(name.clone(), told.say(Some(words), "")?.into());
    }
    let summary = clipped(&told.say(fields.description.as_ref(), "pagerduty.default.description")?, 1024);
    let source = told.say(fields.source.as_ref(), "")?;
    let source = match (source.as_str(), told.common_labels.get("service_name")) {
        ("", Some(service)) => service.clone(),
        ("", None) => "mangru".to_owned(),
        (given, _) => given.to_owned(),
    };
    let mut payload = json!({ "summary": summary, "source": source, "severity": severity, "custom_details": details });
    for (name, words) in [("class", &fields.class), ("component", &fields.component), ("group", &fields.group)] {
        if words.is_some() {
            payload[name] = told.say(words.as_ref(), "")?.into();
        }
    }
    let client_url = told.say(fields.client_url.as_ref(), "pagerduty.default.clientURL")?;
    let body = json!({
        "routing_key": key,
        "event_action": if told.is_firing() { "trigger" } else { "resolve" },
        "dedup_key": group_id(told),
        "client": told.say(fields.client.as_ref(), "pagerduty.default.client")?,
        "client_url": client_url,
        "payload": payload,
        "links": [{ "href": client_url, "text": "Mangru" }],
    });
    Ok(Request::json(url.to_owned(), &body, fields.http_config.as_ref()))
}

/// The pieces of evidence, each in a line.
fn evidence(notice: &Notice) -> Vec<String> {
    notice.evidence.iter().map(|one| format!("{}: {}", one.service, one.text)).collect()
}

/// The alerts that fire, or those that were resolved, as lines of text.
fn list(told: &Told<'_>, fires: bool) -> Json {
    let alerts = told.decision.alerts.iter().filter(|alert| alert.ends_ms.is_none() == fires);
    let line = |alert: &Notice| {
        let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        json!({ "labels": labels.join(" "), "value": alert.value, "evidence": evidence(alert), "link": alert.url })
    };
    alerts.take(50).map(line).collect()
}

/// An alert of Opsgenie's API v2, or the closing of one.
pub(super) fn opsgenie(fields: &Opsgenie, global: &Global, told: &Told<'_>) -> Made {
    let key = secret_or(
        (fields.api_key.as_ref(), fields.api_key_file.as_ref()),
        (global.opsgenie_api_key.as_ref(), global.opsgenie_api_key_file.as_ref()),
    )?;
    let key = key.ok_or("api_key is missing")?;
    let base = fields.api_url.as_deref().or(global.opsgenie_api_url.as_deref()).unwrap_or("https://api.opsgenie.com/");
    let base = base.trim_end_matches('/');
    let alias = group_id(told);
    let source = told.say(fields.source.as_ref(), "opsgenie.default.source")?;
    let note = told.say(fields.note.as_ref(), "")?;
    let (url, body) = if told.is_firing() {
        let mut details: Map<String, Json> =
            told.common_labels.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
        for (name, words) in &fields.details {
            details.insert(name.clone(), told.say(Some(words), "")?.into());
        }
        let tags = told.say(fields.tags.as_ref(), "")?;
        let responders = fields.responders.iter().map(|one| {
            let kind = told.say(one.r#type.as_ref(), "")?.to_lowercase();
            let mut responder = json!({ "type": kind });
            for (name, words) in [("id", &one.id), ("name", &one.name), ("username", &one.username)] {
                if words.is_some() {
                    responder[name] = told.say(words.as_ref(), "")?.into();
                }
            }
            Ok(responder)
        });
        let responders = responders.collect::<Result<Vec<Json>, String>>()?;
        let mut body = json!({
            "alias": alias,
            "message": clipped(&told.say(fields.message.as_ref(), "opsgenie.default.message")?, 130),
            "description": clipped(&told.say(fields.description.as_ref(), "opsgenie.default.description")?, 15_000),
            "details": details,
            "source": clipped(&source, 100),
            "tags": tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect::<Vec<_>>(),
            "responders": responders,
            "note": note,
        });
        let priority = told.say(fields.priority.as_ref(), "")?;
        if !priority.is_empty() {
            body["priority"] = priority.into();
        }
        (format!("{base}/v2/alerts"), body)
    } else {
        (
            format!("{base}/v2/alerts/{alias}/close?identifierType=alias"),
            json!({ "source": clipped(&source, 100), "note": note }),
        )
    };
    let mut request = Request::json(url, &body, fields.http_config.as_ref());
    request.headers.push(("authorization", format!("GenieKey {key}")));
    Ok(request)
}

/// Alerts as another Alertmanager's API v2 takes them.
///
/// What still fires is said to fire until it is told again, at the group's turn after `repeat_ms`, and a while longer.
pub(super) fn forward(fields: &Forward, (repeat_ms, turn_ms): (i64, i64), told: &Told<'_>) -> Made {
    let url = fields.url.as_deref().ok_or("url is missing")?;
    let until_ms = told.decision.time_ms.saturating_add(repeat_ms + 2 * turn_ms + GRACE_MS);
    let alert = |alert: &Notice| {
        let mut annotations = alert.annotations.clone();
        // Alerts from outside have no value.
        for (name, text) in [("value", alert.value.clone()), ("evidence", evidence(alert).join("\n"))] {
            if !text.is_empty() {
                annotations.entry(name.to_owned()).or_insert(text);
            }
        }
        json!({
            "labels": alert.labels,
            "annotations": annotations,
            "startsAt": rfc3339(alert.starts_ms),
            "endsAt": rfc3339(alert.ends_ms.unwrap_or(until_ms)),
            "generatorURL": alert.url,
        })
    };
    let body: Json = told.decision.alerts.iter().map(alert).collect();
    let url = url.trim_end_matches('/');
    let url = if url.ends_with("/api/v2/alerts") { url.to_owned() } else { format!("{url}/api/v2/alerts") };
    Ok(Request::json(url, &body, fields.http_config.as_ref()))
}
