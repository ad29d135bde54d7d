//! Receivers that take a message: webhooks, Slack, Microsoft Teams, Telegram.

use super::fields::{Slack, Teams, Telegram, Webhook, Words};
use super::http::Request;
use super::words::{Told, clipped};
use super::{Unmade, secret, secret_or};
use crate::notify::config::Global;
use crate::notify::dispatch::Notice;
use crate::rfc3339;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// When something that still fires ended, in Go's words.
const NEVER: &str = "0001-01-01T00:00:00Z";

type Made = Result<Request, Unmade>;

/// Whether an answer does not say that it failed: Slack and Telegram do so with status 200 and `"ok":false`.
fn says_ok(body: &str) -> bool {
    serde_json::from_str::<Json>(body).ok().and_then(|body| body["ok"].as_bool()).unwrap_or(true)
}

fn alert(notice: &Notice) -> Json {
    json!({
        "status": if notice.ends_ms.is_some() { "resolved" } else { "firing" },
        "labels": notice.labels,
        "annotations": notice.annotations,
        "startsAt": rfc3339(notice.starts_ms),
        "endsAt": notice.ends_ms.map_or_else(|| NEVER.to_owned(), rfc3339),
        "generatorURL": notice.url,
        "fingerprint": format!("{:016x}", notice.fingerprint),
        "value": notice.value,
        "evidence": notice.evidence,
    })
}

/// The payload of version 4 of Alertmanager's webhook, with `value` and `evidence` beside the fields of each alert.
pub(super) fn webhook(fields: &Webhook, told: &Told<'_>) -> Made {
    let url = secret(fields.url.as_ref(), fields.url_file.as_ref())?.ok_or("url is missing")?;
    let most = if fields.max_alerts == 0 { usize::MAX } else { fields.max_alerts };
    let decision = told.decision;
    let alerts: Vec<Json> = decision.alerts.iter().take(most).map(alert).collect();
    let body = json!({
        "version": "4",
        "groupKey": decision.group_key,
        "truncatedAlerts": decision.alerts.len().saturating_sub(most),
        "status": decision.status(),
        "receiver": decision.receiver,
        "groupLabels": decision.group_labels,
        "commonLabels": told.common_labels,
        "commonAnnotations": told.common_annotations,
        "externalURL": told.external_url,
        "alerts": alerts,
    });
    let mut request = Request::json(url, &body, fields.http_config.as_ref());
    request.headers.push(("idempotency-key", decision.idempotency_key()));
    request.timeout = match fields.timeout.as_deref().map(crate::duration::parse) {
        Some(Ok(ms)) if ms > 0 => Some(Duration::from_millis(ms as u64)),
        _ => None,
    };
    Ok(request)
}

/// A message with one attachment, as Slack and those who speak like it take it.
pub(super) fn slack(fields: &Slack, global: &Global, told: &Told<'_>) -> Made {
    let url = secret_or(
        (fields.api_url.as_ref(), fields.api_url_file.as_ref()),
        (global.slack_api_url.as_ref(), global.slack_api_url_file.as_ref()),
    )?;
    let url = url.ok_or("api_url is missing")?;
    let say = |words: Option<&Words>, default: &str| told.say(words, default);
    let mut extra = Vec::new();
    for field in &fields.fields {
        extra.push(json!({
            "title": say(Some(&field.title), "")?,
            "value": say(Some(&field.value), "")?,
            "short": field.short.unwrap_or(fields.short_fields),
        }));
    }
    let mrkdwn: &[String] = &fields.mrkdwn_in;
    let mut attachment = json!({
        "title": clipped(&say(fields.title.as_ref(), "slack.default.title")?, 1024),
        "title_link": say(fields.title_link.as_ref(), "slack.default.titlelink")?,
        "pretext": say(fields.pretext.as_ref(), "slack.default.pretext")?,
        "text": clipped(&say(fields.text.as_ref(), "slack.default.text")?, 7000),
        "fallback": clipped(&say(fields.fallback.as_ref(), "slack.default.fallback")?, 1024),
        "footer": say(fields.footer.as_ref(), "slack.default.footer")?,
        "color": say(fields.color.as_ref(), "slack.default.color")?,
        "mrkdwn_in": if mrkdwn.is_empty() { json!(["fallback", "pretext", "text"]) } else { json!(mrkdwn) },
    });
    if !extra.is_empty() {
        attachment["fields"] = extra.into();
    }
    let mut body = json!({
        "username": say(fields.username.as_ref(), "slack.default.username")?,
        "link_names": fields.link_names,
        "attachments": [attachment],
    });
    for (key, words) in
        [("channel", &fields.channel), ("icon_emoji", &fields.icon_emoji), ("icon_url", &fields.icon_url)]
    {
        let said = say(words.as_ref(), "")?;
        if !said.is_empty() {
            body[key] = said.into();
        }
    }
    let mut request = Request::json(url, &body, fields.http_config.as_ref());
    request.is_accepted = says_ok;
    Ok(request)
}

/// The connector card of Microsoft Teams' older webhooks.
pub(super) fn teams(fields: &Teams, told: &Told<'_>) -> Made {
    let url = secret(fields.webhook_url.as_ref(), fields.webhook_url_file.as_ref())?.ok_or("webhook_url is missing")?;
    let body = json!({
        "@type": "MessageCard",
        "@context": "http://schema.org/extensions",
        "title": told.say(fields.title.as_ref(), "msteams.default.title")?,
        "summary": told.say(fields.summary.as_ref(), "msteams.default.summary")?,
        "text": clipped(&told.say(fields.text.as_ref(), "msteams.default.text")?, 20_000).replace('\n', "  \n"),
        "themeColor": if told.is_firing() { "8C1A1A" } else { "2DC72D" },
    });
    Ok(Request::json(url, &body, fields.http_config.as_ref()))
}

/// The adaptive card of Microsoft Teams' workflows.
pub(super) fn teams_card(fields: &Teams, told: &Told<'_>) -> Made {
    let url = secret(fields.webhook_url.as_ref(), fields.webhook_url_file.as_ref())?.ok_or("webhook_url is missing")?;
    let title = told.say(fields.title.as_ref(), "msteamsv2.default.title")?;
    let text = clipped(&told.say(fields.text.as_ref(), "msteamsv2.default.text")?, 20_000);
    let color = if told.is_firing() { "attention" } else { "good" };
    let body = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": { "width": "full" },
                "body": [
                    { "type": "TextBlock", "weight": "Bolder", "size": "Medium", "wrap": true, "color": color, "text": title },
                    { "type": "TextBlock", "wrap": true, "text": text.replace('\n', "\n\n") },
                ],
                "actions": told.decision.alerts.first().map(|alert| {
                    json!([{ "type": "Action.OpenUrl", "title": "Show", "url": alert.url }])
                }),
            },
        }],
    });
    Ok(Request::json(url, &body, fields.http_config.as_ref()))
}

/// A message of Telegram's bot API.
pub(super) fn telegram(fields: &Telegram, global: &Global, told: &Told<'_>) -> Made {
    let token = secret(fields.bot_token.as_ref(), fields.bot_token_file.as_ref())?.ok_or("bot_token is missing")?;
    let base = fields.api_url.as_deref().or(global.telegram_api_url.as_deref()).unwrap_or("https://api.telegram.org");
    let mode = fields.parse_mode.as_deref().unwrap_or("HTML");
    let text = if mode == "HTML" {
        told.say_html(fields.message.as_ref(), "telegram.default.message")?
    } else {
        told.say(fields.message.as_ref(), "telegram.default.message")?
    };
    let mut body = json!({
        "chat_id": fields.chat_id,
        "text": clipped(text.trim(), 4096),
        "disable_web_page_preview": true,
        "disable_notification": fields.disable_notifications,
    });
    if !mode.is_empty() {
        body["parse_mode"] = mode.into();
    }
    if let Some(thread) = fields.message_thread_id {
        body["message_thread_id"] = thread.into();
    }
    let url = format!("{}/bot{token}/sendMessage", base.trim_end_matches('/'));
    let mut request = Request::json(url, &body, fields.http_config.as_ref());
    request.is_accepted = says_ok;
    Ok(request)
}
