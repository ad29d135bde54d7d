//! What is wrong with the settings of receivers, and where their files lie.

use super::fields::{HttpFields, ReceiverFields, Secret};
use crate::notify::config::Global;
use std::path::Path;

impl ReceiverFields {
    /// What is wrong with its settings.
    pub(crate) fn faults(&self, global: &Global) -> Vec<String> {
        let mut all = Vec::new();
        if self.name.is_empty() {
            all.push("name is missing".to_owned());
        }
        let mut address = |kind: &str, key: &str, url: Option<&str>, has_file: bool| match url {
            None if has_file => {}
            None => all.push(format!("{kind}: {key} is missing")),
            Some(url) => {
                let read = url::Url::parse(url)
                    .ok()
                    .filter(|read| matches!(read.scheme(), "http" | "https") && read.has_host());
                if read.is_none() {
                    // A secret address is not shown unless it is plainly none.
                    let shown = if url.contains("://") { "…" } else { url };
                    all.push(format!("{kind}: {key} is `{shown}`, not an address such as https://example.org/hook"));
                }
            }
        };
        let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
        for one in &self.webhook_configs {
            address("webhook_configs", "url", secret(&one.url).as_deref(), one.url_file.is_some());
        }
        for one in &self.slack_configs {
            let url = secret(&one.api_url).or_else(|| secret(&global.slack_api_url));
            let has_file = one.api_url_file.is_some() || global.slack_api_url_file.is_some();
            address("slack_configs", "api_url", url.as_deref(), has_file);
        }
        for one in self.msteams_configs.iter().chain(&self.msteamsv2_configs) {
            address(
                "msteams_configs",
                "webhook_url",
                secret(&one.webhook_url).as_deref(),
                one.webhook_url_file.is_some(),
            );
        }
        for one in &self.alertmanager_configs {
            address("alertmanager_configs", "url", one.url.as_deref(), false);
        }
        for (kind, url) in self
            .pagerduty_configs
            .iter()
            .map(|one| ("pagerduty_configs", one.url.as_ref()))
            .chain(self.opsgenie_configs.iter().map(|one| ("opsgenie_configs", one.api_url.as_ref())))
            .chain(self.telegram_configs.iter().map(|one| ("telegram_configs", one.api_url.as_ref())))
        {
            address(kind, "url", url.map(String::as_str), true);
        }
        for one in &self.email_configs {
            if one.to.is_none() {
                all.push("email_configs: to is missing".to_owned());
            }
            if one.smarthost.is_none() && global.smtp_smarthost.is_none() {
                all.push("email_configs: smarthost is missing, here and as global.smtp_smarthost".to_owned());
            }
            if one.from.is_none() && global.smtp_from.is_none() {
                all.push("email_configs: from is missing, here and as global.smtp_from".to_owned());
            }
        }
        for one in &self.pagerduty_configs {
            if one.routing_key.is_none() && one.routing_key_file.is_none() {
                all.push("pagerduty_configs: routing_key is missing".to_owned());
            }
        }
        for one in &self.opsgenie_configs {
            let has_key = one.api_key.is_some() || one.api_key_file.is_some();
            if !has_key && global.opsgenie_api_key.is_none() && global.opsgenie_api_key_file.is_none() {
                all.push("opsgenie_configs: api_key is missing, here and as global.opsgenie_api_key".to_owned());
            }
        }
        for one in &self.telegram_configs {
            if one.bot_token.is_none() && one.bot_token_file.is_none() {
                all.push("telegram_configs: bot_token is missing".to_owned());
            }
            if one.chat_id.is_none() {
                all.push("telegram_configs: chat_id is missing".to_owned());
            }
        }
        all.extend(self.modes());
        for http in self.http_configs() {
            all.extend(http.faults());
        }
        for one in &self.webhook_configs {
            if let Some(Err(message)) = one.timeout.as_deref().map(crate::duration::parse) {
                all.push(format!("webhook_configs: timeout: {message}"));
            }
        }
        all
    }

    /// Fields that have one of a few values.
    fn modes(&self) -> Vec<String> {
        let mut all = Vec::new();
        for mode in self.telegram_configs.iter().filter_map(|one| one.parse_mode.as_deref()) {
            if !["", "Markdown", "MarkdownV2", "HTML"].contains(&mode) {
                let known = "Markdown, MarkdownV2, HTML or nothing";
                all.push(format!("telegram_configs: parse_mode is `{mode}`, not {known}"));
            }
        }
        for one in self.opsgenie_configs.iter().flat_map(|one| &one.responders) {
            let kind = one.r#type.as_ref().map_or("", |words| words.0.text());
            let is_known =
                ["team", "user", "escalation", "schedule"].iter().any(|known| kind.eq_ignore_ascii_case(known));
            if !is_known && !kind.contains("{{") {
                let known = "team, user, escalation or schedule";
                all.push(format!("opsgenie_configs: the type of a responder is `{kind}`, not {known}"));
            }
            if one.id.is_none() && one.name.is_none() && one.username.is_none() {
                all.push("opsgenie_configs: a responder has one of id, name and username".to_owned());
            }
        }
        all
    }

    fn http_configs(&self) -> Vec<&HttpFields> {
        let teams = self.msteams_configs.iter().chain(&self.msteamsv2_configs);
        let all = self.webhook_configs.iter().map(|one| &one.http_config);
        let all = all.chain(self.slack_configs.iter().map(|one| &one.http_config));
        let all = all.chain(self.pagerduty_configs.iter().map(|one| &one.http_config));
        let all = all.chain(self.opsgenie_configs.iter().map(|one| &one.http_config));
        let all = all.chain(teams.map(|one| &one.http_config));
        let all = all.chain(self.telegram_configs.iter().map(|one| &one.http_config));
        let all = all.chain(self.alertmanager_configs.iter().map(|one| &one.http_config));
        all.flatten().collect()
    }

    /// The files that it names lie beside the configuration.
    pub(crate) fn lie_in(&mut self, folder: &Path) {
        let mut http: Vec<&mut Option<HttpFields>> = Vec::new();
        let mut files: Vec<&mut Option<String>> = Vec::new();
        for one in &mut self.webhook_configs {
            files.push(&mut one.url_file);
            http.push(&mut one.http_config);
        }
        for one in &mut self.slack_configs {
            files.push(&mut one.api_url_file);
            http.push(&mut one.http_config);
        }
        for one in &mut self.email_configs {
            files.push(&mut one.auth_password_file);
            files.extend(one.tls_config.as_mut().map(|tls| &mut tls.ca_file));
        }
        for one in &mut self.pagerduty_configs {
            files.push(&mut one.routing_key_file);
            http.push(&mut one.http_config);
        }
        for one in &mut self.opsgenie_configs {
            files.push(&mut one.api_key_file);
            http.push(&mut one.http_config);
        }
        for one in self.msteams_configs.iter_mut().chain(&mut self.msteamsv2_configs) {
            files.push(&mut one.webhook_url_file);
            http.push(&mut one.http_config);
        }
        for one in &mut self.telegram_configs {
            files.push(&mut one.bot_token_file);
            http.push(&mut one.http_config);
        }
        http.extend(self.alertmanager_configs.iter_mut().map(|one| &mut one.http_config));
        http.into_iter().flatten().for_each(|http| http.lie_in(folder));
        for file in files {
            lies_in(file, folder);
        }
    }

    /// The same receiver with secrets that are not its own: what it would say can be tried without their files.
    pub(crate) fn with_any_secrets(&self) -> Self {
        let any = || Some(Secret::any());
        let mut other = self.clone();
        other.webhook_configs.iter_mut().for_each(|one| one.url = any());
        other.slack_configs.iter_mut().for_each(|one| one.api_url = any());
        other.pagerduty_configs.iter_mut().for_each(|one| one.routing_key = any());
        other.opsgenie_configs.iter_mut().for_each(|one| one.api_key = any());
        other.msteams_configs.iter_mut().chain(&mut other.msteamsv2_configs).for_each(|one| one.webhook_url = any());
        other.telegram_configs.iter_mut().for_each(|one| one.bot_token = any());
        other
    }
}

impl HttpFields {
    /// What of them excludes each other.
    pub(crate) fn faults(&self) -> Option<String> {
        let has_token = self.bearer_token.is_some() || self.bearer_token_file.is_some();
        let kinds = [self.basic_auth.is_some(), self.authorization.is_some(), has_token];
        if kinds.into_iter().filter(|given| *given).count() > 1 {
            let kinds = "basic_auth, authorization and bearer_token";
            return Some(format!("http_config: at most one of {kinds} must be configured"));
        }
        let pairs = [
            ("bearer_token", self.bearer_token.is_some() && self.bearer_token_file.is_some()),
            (
                "password",
                self.basic_auth.as_ref().is_some_and(|one| one.password.is_some() && one.password_file.is_some()),
            ),
            (
                "credentials",
                self.authorization
                    .as_ref()
                    .is_some_and(|one| one.credentials.is_some() && one.credentials_file.is_some()),
            ),
        ];
        let (key, _) = pairs.into_iter().find(|(_, both)| *both)?;
        Some(format!("http_config: at most one of {key} and {key}_file must be configured"))
    }

    pub(crate) fn lie_in(&mut self, folder: &Path) {
        lies_in(&mut self.bearer_token_file, folder);
        if let Some(basic) = &mut self.basic_auth {
            lies_in(&mut basic.password_file, folder);
        }
        if let Some(given) = &mut self.authorization {
            lies_in(&mut given.credentials_file, folder);
        }
        if let Some(tls) = &mut self.tls_config {
            lies_in(&mut tls.ca_file, folder);
        }
    }
}

/// A path that is not absolute is beside the configuration.
pub(crate) fn lies_in(file: &mut Option<String>, folder: &Path) {
    if let Some(path) = file {
        *path = folder.join(&*path).display().to_string();
    }
}
