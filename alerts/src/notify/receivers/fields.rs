//! What receivers are configured by, as Alertmanager names it.

use crate::template::Template;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// A text that is never shown.
#[derive(Clone, Default)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// One that is nobody's.
    pub(crate) fn any() -> Self {
        Self("http://localhost/".to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A text with a template in it.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) Template);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::parse(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// How HTTP requests are made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpFields {
    pub(crate) basic_auth: Option<BasicAuth>,
    pub(crate) authorization: Option<Authorization>,
    pub(crate) bearer_token: Option<Secret>,
    pub(crate) bearer_token_file: Option<String>,
    pub(crate) tls_config: Option<TlsFields>,
    pub(crate) proxy_url: Option<String>,
    pub(crate) follow_redirects: Option<bool>,
    pub(crate) enable_http2: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BasicAuth {
    pub(crate) username: String,
    pub(crate) password: Option<Secret>,
    pub(crate) password_file: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Authorization {
    pub(crate) r#type: Option<String>,
    pub(crate) credentials: Option<Secret>,
    pub(crate) credentials_file: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsFields {
    pub(crate) ca_file: Option<String>,
    pub(crate) insecure_skip_verify: bool,
}

/// A receiver: a name, and the ways it is told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReceiverFields {
    pub(crate) name: String,
    pub(crate) webhook_configs: Vec<Webhook>,
    pub(crate) slack_configs: Vec<Slack>,
    pub(crate) email_configs: Vec<Email>,
    pub(crate) pagerduty_configs: Vec<PagerDuty>,
    pub(crate) opsgenie_configs: Vec<Opsgenie>,
    pub(crate) msteams_configs: Vec<Teams>,
    pub(crate) msteamsv2_configs: Vec<Teams>,
    pub(crate) telegram_configs: Vec<Telegram>,
    pub(crate) alertmanager_configs: Vec<Forward>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Webhook {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) url: Option<Secret>,
    pub(crate) url_file: Option<String>,
    pub(crate) max_alerts: usize,
    pub(crate) timeout: Option<String>,
    pub(crate) http_config: Option<HttpFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Slack {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) api_url: Option<Secret>,
    pub(crate) api_url_file: Option<String>,
    pub(crate) http_config: Option<HttpFields>,
    pub(crate) channel: Option<Words>,
    pub(crate) username: Option<Words>,
    pub(crate) color: Option<Words>,
    pub(crate) title: Option<Words>,
    pub(crate) title_link: Option<Words>,
    pub(crate) pretext: Option<Words>,
    pub(crate) text: Option<Words>,
    pub(crate) fallback: Option<Words>,
    pub(crate) footer: Option<Words>,
    pub(crate) icon_emoji: Option<Words>,
    pub(crate) icon_url: Option<Words>,
    pub(crate) short_fields: bool,
    pub(crate) link_names: bool,
    pub(crate) mrkdwn_in: Vec<String>,
    pub(crate) fields: Vec<SlackField>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlackField {
    pub(crate) title: Words,
    pub(crate) value: Words,
    #[serde(default)]
    pub(crate) short: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Email {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) to: Option<Words>,
    pub(crate) from: Option<Words>,
    pub(crate) hello: Option<String>,
    pub(crate) smarthost: Option<String>,
    pub(crate) auth_username: Option<String>,
    pub(crate) auth_password: Option<Secret>,
    pub(crate) auth_password_file: Option<String>,
    pub(crate) require_tls: Option<bool>,
    pub(crate) tls_config: Option<TlsFields>,
    pub(crate) headers: BTreeMap<String, Words>,
    pub(crate) html: Option<Words>,
    pub(crate) text: Option<Words>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PagerDuty {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) routing_key: Option<Secret>,
    pub(crate) routing_key_file: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) client: Option<Words>,
    pub(crate) client_url: Option<Words>,
    pub(crate) description: Option<Words>,
    pub(crate) severity: Option<Words>,
    pub(crate) source: Option<Words>,
    pub(crate) class: Option<Words>,
    pub(crate) component: Option<Words>,
    pub(crate) group: Option<Words>,
    pub(crate) details: BTreeMap<String, Words>,
    pub(crate) http_config: Option<HttpFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Opsgenie {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) api_key_file: Option<String>,
    pub(crate) api_url: Option<String>,
    pub(crate) message: Option<Words>,
    pub(crate) description: Option<Words>,
    pub(crate) source: Option<Words>,
    pub(crate) details: BTreeMap<String, Words>,
    pub(crate) tags: Option<Words>,
    pub(crate) note: Option<Words>,
    pub(crate) priority: Option<Words>,
    pub(crate) responders: Vec<Responder>,
    pub(crate) http_config: Option<HttpFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Responder {
    pub(crate) id: Option<Words>,
    pub(crate) name: Option<Words>,
    pub(crate) username: Option<Words>,
    pub(crate) r#type: Option<Words>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Teams {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) webhook_url: Option<Secret>,
    pub(crate) webhook_url_file: Option<String>,
    pub(crate) title: Option<Words>,
    pub(crate) summary: Option<Words>,
    pub(crate) text: Option<Words>,
    pub(crate) http_config: Option<HttpFields>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Telegram {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) api_url: Option<String>,
    pub(crate) bot_token: Option<Secret>,
    pub(crate) bot_token_file: Option<String>,
    pub(crate) chat_id: Option<i64>,
    pub(crate) message_thread_id: Option<i64>,
    pub(crate) message: Option<Words>,
    pub(crate) disable_notifications: bool,
    pub(crate) parse_mode: Option<String>,
    pub(crate) http_config: Option<HttpFields>,
}

/// Another Alertmanager, told through its API v2.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forward {
    pub(crate) send_resolved: Option<bool>,
    pub(crate) url: Option<String>,
    pub(crate) http_config: Option<HttpFields>,
}

/// One way of a receiver: its kind, and its place among those of the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) kind: &'static str,
    pub(crate) place: usize,
    pub(crate) sends_resolved: bool,
}

impl ReceiverFields {
    /// The ways it is told, with what Alertmanager does by default when something is resolved.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let mut all = Vec::new();
        let mut add = |kind: &'static str, default: bool, given: Vec<Option<bool>>| {
            all.extend(given.into_iter().enumerate().map(|(place, sends)| Way {
                kind,
                place,
                sends_resolved: sends.unwrap_or(default),
            }));
        };
        add("webhook", true, self.webhook_configs.iter().map(|one| one.send_resolved).collect());
        add("slack", false, self.slack_configs.iter().map(|one| one.send_resolved).collect());
        add("email", false, self.email_configs.iter().map(|one| one.send_resolved).collect());
        add("pagerduty", true, self.pagerduty_configs.iter().map(|one| one.send_resolved).collect());
        add("opsgenie", true, self.opsgenie_configs.iter().map(|one| one.send_resolved).collect());
        add("msteams", true, self.msteams_configs.iter().map(|one| one.send_resolved).collect());
        add("msteamsv2", true, self.msteamsv2_configs.iter().map(|one| one.send_resolved).collect());
        add("telegram", true, self.telegram_configs.iter().map(|one| one.send_resolved).collect());
        add("alertmanager", true, self.alertmanager_configs.iter().map(|one| one.send_resolved).collect());
        all
    }
}
