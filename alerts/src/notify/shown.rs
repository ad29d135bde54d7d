//! A configuration as it may be shown: with everything that could be secret left out.

use super::config::NotifyConfig;
use serde_json::Value as Json;

/// What stands for a secret, as in Alertmanager.
const SECRET: &str = "<secret>";

impl NotifyConfig {
    /// The configuration as a text of YAML; it is written anew, so that nothing of the file's own text can slip through.
    pub(crate) fn shown(&self) -> String {
        match serde_saphyr::from_str::<Json>(&self.text) {
            Ok(value) => serde_json::to_string_pretty(&masked("", value)).unwrap_or_default() + "\n",
            Err(_) => String::new(),
        }
    }
}

/// Whether values of this key may be secret: addresses carry tokens, headers carry anything.
fn may_be_secret(key: &str) -> bool {
    let words = ["url", "key", "password", "token", "secret", "credentials", "headers", "proxy"];
    // Files are named, not shown.
    !key.ends_with("_file") && words.iter().any(|word| key.contains(word))
}

fn masked(key: &str, value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let is_secret = may_be_secret(key);
            let member = |(name, value): (String, Json)| {
                let value = if is_secret && !value.is_null() { Json::from(SECRET) } else { masked(&name, value) };
                (name, value)
            };
            Json::Object(members.into_iter().map(member).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(|item| masked(key, item)).collect()),
        Json::Null => Json::Null,
        _ if may_be_secret(key) => Json::from(SECRET),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn secrets_are_not_shown_and_the_routes_are() {
        let text = "
global: {slack_api_url: 'https://hooks.example/T0/B0/abc', smtp_auth_password: hunter2, smtp_auth_password_file: /etc/pw, resolve_timeout: 3m}
route: {receiver: a, group_by: [alertname], routes: [{matchers: ['team=\"db\"'], receiver: a}]}
receivers:
- name: a
  webhook_configs:
  - url: http://user:hunter2@example.org/hook?token=abc
    http_config: {authorization: {type: Bearer, credentials: abc}}
  - url: http://example.org/hook
    http_config: {basic_auth: {username: eva, password: hunter2}}
  pagerduty_configs: [{routing_key: abc}]
";
        let shown = NotifyConfig::read("alertmanager.yml", text, Path::new(".")).expect("a configuration").shown();
        assert!(!shown.contains("abc") && !shown.contains("hunter2"), "{shown}");
        for told in ["\"team=\\\"db\\\"\"", "alertname", "3m", "/etc/pw", "eva", "Bearer"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        // It is YAML, and a client reads it again.
        serde_saphyr::from_str::<Json>(&shown).expect("YAML");
    }
}
