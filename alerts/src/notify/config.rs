//! Where notifications go: Alertmanager's configuration file.
//!
//! It is taken as it is, with the receivers that there are here and one more, `alertmanager_configs`, which forwards to another
//! Alertmanager. What cannot be carried out is refused with its name; nothing is silently left out.

use super::matcher::Matcher;
use super::place::line_of;
use super::receivers::fields::{HttpFields, ReceiverFields, Secret};
use super::times::{Interval, Named};
use crate::duration;
use crate::machine::Labels;
use crate::rules::Fault;
use crate::template::Template;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `resolve_timeout` of configurations that do not say one: five minutes.
const RESOLVE_TIMEOUT_MS: i64 = 300_000;

/// Routes, receivers and rules of a configuration.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    /// Settings that receivers share.
    pub(crate) global: Global,
    /// The routes, the root first, each with its place among them.
    pub(crate) routes: Vec<Route>,
    /// The receivers by name.
    pub(crate) receivers: BTreeMap<String, ReceiverFields>,
    /// What is not told while something else fires.
    pub(crate) inhibit: Vec<Inhibition>,
    /// When alerts from outside end that were posted without an end, in milliseconds after they were.
    pub(crate) resolve_timeout_ms: i64,
    /// Named intervals of time.
    pub(crate) intervals: BTreeMap<String, Vec<Interval>>,
    /// Files of templates that receivers may call.
    pub(crate) templates: Vec<Template>,
    /// What names these files.
    pub(crate) template_patterns: Vec<PathBuf>,
    /// The files, with what they hold.
    pub(crate) template_files: Vec<(PathBuf, String)>,
    /// The text it was read from.
    pub(crate) text: String,
}

/// Settings that receivers share.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Global {
    pub(crate) resolve_timeout: Option<String>,
    pub(crate) http_config: Option<HttpFields>,
    pub(crate) smtp_from: Option<String>,
    pub(crate) smtp_hello: Option<String>,
    pub(crate) smtp_smarthost: Option<String>,
    pub(crate) smtp_auth_username: Option<String>,
    pub(crate) smtp_auth_password: Option<Secret>,
    pub(crate) smtp_auth_password_file: Option<String>,
    pub(crate) smtp_require_tls: Option<bool>,
    pub(crate) slack_api_url: Option<Secret>,
    pub(crate) slack_api_url_file: Option<String>,
    pub(crate) pagerduty_url: Option<String>,
    pub(crate) opsgenie_api_url: Option<String>,
    pub(crate) opsgenie_api_key: Option<Secret>,
    pub(crate) opsgenie_api_key_file: Option<String>,
    pub(crate) telegram_api_url: Option<String>,
}

impl Global {
    /// The files that it names lie beside the configuration.
    fn lie_in(&mut self, folder: &Path) {
        if let Some(http) = &mut self.http_config {
            http.lie_in(folder);
        }
        for file in [&mut self.smtp_auth_password_file, &mut self.slack_api_url_file, &mut self.opsgenie_api_key_file] {
            super::receivers::lies_in(file, folder);
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    global: Global,
    #[serde(default)]
    templates: Vec<String>,
    route: RouteFields,
    #[serde(default)]
    receivers: Vec<ReceiverFields>,
    #[serde(default)]
    inhibit_rules: Vec<InhibitFields>,
    #[serde(default)]
    mute_time_intervals: Vec<Named>,
    #[serde(default)]
    time_intervals: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RouteFields {
    receiver: Option<String>,
    group_by: Option<Vec<String>>,
    r#continue: bool,
    matchers: Vec<String>,
    r#match: BTreeMap<String, String>,
    match_re: BTreeMap<String, String>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    routes: Vec<RouteFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct InhibitFields {
    name: Option<String>,
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    source_match: BTreeMap<String, String>,
    source_match_re: BTreeMap<String, String>,
    target_match: BTreeMap<String, String>,
    target_match_re: BTreeMap<String, String>,
    equal: Vec<String>,
}

/// A node of the routing tree.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) receiver: String,
    /// The labels that tell groups apart; none: all of them.
    pub(crate) group_by: Option<BTreeSet<String>>,
    pub(crate) goes_on: bool,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) group_wait_ms: i64,
    pub(crate) group_interval_ms: i64,
    pub(crate) repeat_interval_ms: i64,
    pub(crate) mute: Vec<String>,
    pub(crate) active: Vec<String>,
    /// The places of the routes below it.
    pub(crate) below: Vec<usize>,
    /// The matchers from the root to here, as part of the keys of groups.
    pub(crate) key: String,
}

impl Route {
    /// The labels that an alert's group has in common.
    pub(crate) fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            None => labels.clone(),
            Some(names) => names.iter().filter_map(|name| Some((name.clone(), labels.get(name)?.clone()))).collect(),
        }
    }

    /// The named intervals by which nobody is told at a moment.
    pub(crate) fn muted_by(&self, config: &NotifyConfig, now_ms: i64) -> Vec<String> {
        let holds =
            |name: &&String| config.intervals.get(*name).is_some_and(|all| all.iter().any(|one| one.contains(now_ms)));
        let muting: Vec<String> = self.mute.iter().filter(holds).cloned().collect();
        if muting.is_empty() && !self.active.is_empty() && !self.active.iter().any(|name| holds(&name)) {
            return self.active.clone();
        }
        muting
    }
}

/// A rule that says what is not told while something else fires.
#[derive(Clone, Debug)]
pub(crate) struct Inhibition {
    pub(crate) source: Vec<Matcher>,
    pub(crate) target: Vec<Matcher>,
    pub(crate) equal: Vec<String>,
}

impl Default for NotifyConfig {
    /// One route, whose receiver tells nobody: what fires is on the screen.
    fn default() -> Self {
        let text = "route:\n  receiver: screen\nreceivers:\n  - name: screen\n";
        let read = Self::read("built in", text, Path::new("."));
        read.unwrap_or_else(|_| Self {
            global: Global::default(),
            routes: Vec::new(),
            receivers: BTreeMap::new(),
            inhibit: Vec::new(),
            resolve_timeout_ms: RESOLVE_TIMEOUT_MS,
            intervals: BTreeMap::new(),
            templates: Vec::new(),
            template_patterns: Vec::new(),
            template_files: Vec::new(),
            text: String::new(),
        })
    }
}

impl NotifyConfig {
    /// Reads a configuration; files that it names lie beside it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(name: &str, text: &str, folder: &Path) -> Result<Self, Vec<Fault>> {
        let mut file: File =
            serde_saphyr::from_str(text).map_err(|error| vec![unsupported(Fault::of_yaml(name, &error))])?;
        file.global.lie_in(folder);
        let mut faults = Vec::new();
        let mut fault = |key: &str, message: String| {
            let word = message.split('`').nth(1).unwrap_or_default();
            faults.push(Fault::new(name, line_of(text, key, word), key, message));
        };
        let mut receivers = BTreeMap::new();
        if let Some(message) = file.global.http_config.as_ref().and_then(HttpFields::faults) {
            fault("global", message);
        }
        for mut receiver in file.receivers {
            receiver.lie_in(folder);
            for message in receiver.faults(&file.global) {
                fault("receivers", format!("receiver `{}`: {message}", receiver.name));
            }
            let name = receiver.name.clone();
            if receivers.insert(name.clone(), receiver).is_some() {
                fault("receivers", format!("receiver `{name}` stands twice"));
            }
        }
        let mut intervals = BTreeMap::new();
        for named in file.mute_time_intervals.iter().chain(&file.time_intervals) {
            match named.time_intervals.iter().map(Interval::try_from).collect::<Result<Vec<_>, _>>() {
                Ok(all) => {
                    if intervals.insert(named.name.clone(), all).is_some() {
                        fault("time_intervals", format!("time interval `{}` is not unique", named.name));
                    }
                }
                Err(message) => fault("time_intervals", format!("interval `{}`: {message}", named.name)),
            }
        }
        let mut routes = Vec::new();
        if !file.route.matchers.is_empty() || !file.route.r#match.is_empty() || !file.route.match_re.is_empty() {
            fault("route", "root route must not have any matchers".to_owned());
        }
        if !file.route.mute_time_intervals.is_empty() || !file.route.active_time_intervals.is_empty() {
            fault("route", "root route must not have any mute or active time intervals".to_owned());
        }
        if file.route.r#continue {
            fault("route", "cannot have continue in root route".to_owned());
        }
        if file.route.receiver.is_none() {
            fault("route", "root route must specify a default receiver".to_owned());
        }
        let root = Route {
            receiver: String::new(),
            group_by: Some(BTreeSet::new()),
            goes_on: false,
            matchers: Vec::new(),
            group_wait_ms: 30_000,
            group_interval_ms: 300_000,
            repeat_interval_ms: 14_400_000,
            mute: Vec::new(),
            active: Vec::new(),
            below: Vec::new(),
            key: String::new(),
        };
        routed(&file.route, &root, &mut routes, &mut fault);
        for route in &routes {
            if !receivers.contains_key(&route.receiver) && !route.receiver.is_empty() {
                fault("receiver", format!("undefined receiver `{}` used in route", route.receiver));
            }
            for name in route.mute.iter().chain(&route.active).filter(|name| !intervals.contains_key(*name)) {
                fault("mute_time_intervals", format!("undefined time interval `{name}` used in route"));
            }
        }
        let mut inhibit = Vec::new();
        for rule in &file.inhibit_rules {
            let source = matchers(&rule.source_matchers, &rule.source_match, &rule.source_match_re);
            let target = matchers(&rule.target_matchers, &rule.target_match, &rule.target_match_re);
            match (source, target) {
                (Ok(source), Ok(target)) => inhibit.push(Inhibition { source, target, equal: rule.equal.clone() }),
                (Err(message), _) | (_, Err(message)) => fault("inhibit_rules", message),
            }
        }
        let resolve_timeout_ms = match file.global.resolve_timeout.as_deref().map(duration::parse) {
            None => RESOLVE_TIMEOUT_MS,
            Some(Ok(ms)) => ms,
            Some(Err(message)) => {
                fault("resolve_timeout", format!("global.resolve_timeout: {message}"));
                RESOLVE_TIMEOUT_MS
            }
        };
        let template_patterns: Vec<PathBuf> = file.templates.iter().map(|pattern| folder.join(pattern)).collect();
        let (mut templates, mut template_files) = (Vec::new(), Vec::new());
        for path in crate::rules::files(&template_patterns) {
            let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let parsed = read.and_then(|text| {
                let template = Template::parse(&text)?;
                template_files.push((path.clone(), text));
                Ok(template)
            });
            match parsed {
                Ok(template) => templates.push(template),
                Err(message) => fault("templates", format!("`{}`: {message}", path.display())),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let config = Self {
            global: file.global,
            routes,
            receivers,
            inhibit,
            resolve_timeout_ms,
            intervals,
            templates,
            template_patterns,
            template_files,
            text: text.to_owned(),
        };
        let faults = config.tried(name);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Templates that ask for what there is not: they are carried out once, over alerts such as there will be.
    fn tried(&self, name: &str) -> Vec<Fault> {
        let mut all = Vec::new();
        for receiver in self.receivers.values() {
            for (template, message) in super::receivers::tried(self, receiver) {
                let first = template.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
                let line = line_of(&self.text, "receivers", first);
                let message = format!("receiver `{}`: {message}, in `{first}`", receiver.name);
                all.push(Fault::new(name, line, "receivers", message));
            }
        }
        all
    }

    /// The longest time until what still fires is told again to a receiver, and the longest pause between turns of its groups.
    pub(crate) fn repeats(&self, receiver: &str) -> (i64, i64) {
        let routes = || self.routes.iter().filter(|route| route.receiver == receiver);
        let longest = |time: fn(&Route) -> i64| routes().map(time).max().unwrap_or_default();
        (longest(|route| route.repeat_interval_ms), longest(|route| route.group_interval_ms))
    }

    /// Whether its file or one of its templates holds something else than what was read.
    pub(crate) fn is_stale(&self, path: &Path) -> bool {
        let on_disk = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let templates = crate::rules::files(&self.template_patterns);
        on_disk(path) != self.text
            || templates.len() != self.template_files.len()
            || templates
                .iter()
                .zip(&self.template_files)
                .any(|(path, (known, text))| path != known || on_disk(path) != *text)
    }

    /// The places of the routes that an alert takes.
    pub(crate) fn route(&self, labels: &Labels) -> Vec<usize> {
        if self.routes.is_empty() { Vec::new() } else { self.below(0, labels) }
    }

    fn below(&self, place: usize, labels: &Labels) -> Vec<usize> {
        let route = &self.routes[place];
        let mut taken = Vec::new();
        for child in &route.below {
            if !super::matcher::all_match(&self.routes[*child].matchers, labels) {
                continue;
            }
            taken.extend(self.below(*child, labels));
            if !self.routes[*child].goes_on {
                break;
            }
        }
        if taken.is_empty() { vec![place] } else { taken }
    }
}

/// Receivers of Alertmanager that there are not here are called by their name.
fn unsupported(fault: Fault) -> Fault {
    let is_receiver = fault.key.ends_with("_configs");
    let message = if is_receiver {
        let kind = fault.key.trim_end_matches("_configs");
        format!(
            "receivers of the kind `{kind}` are not supported; there are webhook, slack, email, pagerduty, opsgenie, msteams, \
             msteamsv2, telegram and alertmanager"
        )
    } else {
        fault.message
    };
    Fault { message, ..fault }
}

fn matchers(
    texts: &[String],
    equal: &BTreeMap<String, String>,
    regex: &BTreeMap<String, String>,
) -> Result<Vec<Matcher>, String> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(Matcher::parse_all(text)?);
    }
    for (name, value) in equal {
        all.push(Matcher::new(name, value, true, false)?);
    }
    for (name, value) in regex {
        all.push(Matcher::new(name, value, true, true)?);
    }
    Ok(all)
}

/// Adds a route and those below it; what it does not say is as in the one above.
fn routed(fields: &RouteFields, above: &Route, all: &mut Vec<Route>, fault: &mut impl FnMut(&str, String)) -> usize {
    let mut time = |key: &str, given: &Option<String>, default: i64| match given.as_deref().map(duration::parse) {
        None => default,
        Some(Ok(0)) if key != "group_wait" => {
            fault(key, format!("{key} cannot be zero"));
            default
        }
        Some(Ok(ms)) => ms,
        Some(Err(message)) => {
            fault(key, format!("{key}: {message}"));
            default
        }
    };
    let group_wait_ms = time("group_wait", &fields.group_wait, above.group_wait_ms);
    let group_interval_ms = time("group_interval", &fields.group_interval, above.group_interval_ms);
    let repeat_interval_ms = time("repeat_interval", &fields.repeat_interval, above.repeat_interval_ms);
    let matchers = matchers(&fields.matchers, &fields.r#match, &fields.match_re).unwrap_or_else(|message| {
        fault("matchers", message);
        Vec::new()
    });
    if let Some(names) = &fields.group_by {
        if names.len() > 1 && names.iter().any(|name| name == "...") {
            fault("group_by", "cannot have wildcard group_by (`...`) and other labels at the same time".to_owned());
        }
        if let Some(name) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|one| one.1) {
            fault("group_by", format!("duplicated label `{name}` in group_by"));
        }
    }
    let group_by = match &fields.group_by {
        None => above.group_by.clone(),
        Some(names) if names.iter().any(|name| name == "...") => None,
        Some(names) => Some(names.iter().cloned().collect()),
    };
    let words: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    let separator = if above.key.is_empty() { "" } else { "/" };
    let place = all.len();
    all.push(Route {
        receiver: fields.receiver.clone().unwrap_or_else(|| above.receiver.clone()),
        group_by,
        goes_on: fields.r#continue,
        matchers,
        group_wait_ms,
        group_interval_ms,
        repeat_interval_ms,
        mute: fields.mute_time_intervals.clone(),
        active: fields.active_time_intervals.clone(),
        below: Vec::new(),
        key: format!("{}{separator}{{{}}}", above.key, words.join(",")),
    });
    for child in &fields.routes {
        let here = all[place].clone();
        // Mute times are not handed down.
        let above = Route { mute: Vec::new(), active: Vec::new(), ..here };
        let below = routed(child, &above, all, fault);
        all[place].below.push(below);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NotifyConfig, String> {
        NotifyConfig::read("alertmanager.yml", text, Path::new("."))
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    const TREE: &str = "
route:
  receiver: all
  group_by: [alertname]
  routes:
    - matchers: ['severity=\"page\"']
      receiver: pager
      group_wait: 10s
      routes:
        - matchers: ['team=~\"db|cache\"']
          receiver: dba
          group_by: ['...']
    - match: {team: web}
      receiver: web
      continue: true
    - match_re: {team: web|shop}
      receiver: shop
receivers: [{name: all}, {name: pager}, {name: dba}, {name: web}, {name: shop}]
";

    #[test]
    fn alerts_take_the_routes_that_alertmanager_gives_them() {
        let config = read(TREE).expect("a configuration");
        let route = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let places = config.route(&labels);
            places.iter().map(|place| config.routes[*place].receiver.clone()).collect::<Vec<_>>()
        };
        assert_eq!(route(&[]), ["all"]);
        assert_eq!(route(&[("severity", "page")]), ["pager"]);
        assert_eq!(route(&[("severity", "page"), ("team", "db")]), ["dba"]);
        assert_eq!(route(&[("team", "web")]), ["web", "shop"]);
        assert_eq!(config.routes[2].group_wait_ms, 10_000);
        assert_eq!(config.routes[2].group_by, None);
        assert_eq!(config.routes[2].key, "{}/{severity=\"page\"}/{team=~\"db|cache\"}");
    }

    #[test]
    fn a_configuration_is_stale_when_it_or_one_of_its_templates_changed() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, template) = (folder.path().join("alertmanager.yml"), folder.path().join("one.tmpl"));
        let text = "route: {receiver: a}\nreceivers: [{name: a}]\ntemplates: ['*.tmpl']\n";
        std::fs::write(&path, text).expect("written");
        std::fs::write(&template, "{{ define \"one\" }}1{{ end }}").expect("written");
        let read = || NotifyConfig::read("alertmanager.yml", text, folder.path()).expect("a configuration");
        let config = read();
        assert!(!config.is_stale(&path));
        std::fs::write(&template, "{{ define \"one\" }}2{{ end }}").expect("written");
        assert!(config.is_stale(&path) && !read().is_stale(&path));
        std::fs::write(folder.path().join("two.tmpl"), "").expect("written");
        assert!(config.is_stale(&path));
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused_by_its_name() {
        for (text, why) in [
            ("route: {receiver: a}\nreceivers: [{name: b}]\n", "undefined receiver `a` used in route"),
            ("route: {}\n", "root route must specify a default receiver"),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  wechat_configs: [{}]\n",
                "alertmanager.yml:4: wechat_configs: receivers of the kind `wechat` are not supported",
            ),
            ("route: {receiver: a, group_interval: 0s}\nreceivers: [{name: a}]\n", "group_interval cannot be zero"),
            ("route: {receiver: a, mute_time_intervals: [x]}\nreceivers: [{name: a}]\n", "undefined time interval `x`"),
            (
                "route: {receiver: a}\nreceivers: [{name: a}]\nfriends: 1\n",
                "alertmanager.yml:3: friends: unknown field",
            ),
            ("route: {receiver: a, matchers: [x]}\nreceivers: [{name: a}]\n", "must not have any matchers"),
            ("route: {receiver: a, continue: true}\nreceivers: [{name: a}]\n", "cannot have continue in root route"),
            (
                "time_intervals: [{name: x}, {name: x}]\nroute: {receiver: a, mute_time_intervals: [x]}\nreceivers: [{name: a}]\n",
                "root route must not have any mute or active time intervals",
            ),
            (
                "time_intervals: [{name: x}]\nmute_time_intervals: [{name: x}]\nroute: {receiver: a}\nreceivers: [{name: a}]\n",
                "time interval `x` is not unique",
            ),
            ("route: {receiver: a, group_by: ['...', b]}\nreceivers: [{name: a}]\n", "cannot have wildcard group_by"),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs: [{url: 'http://x/', http_config: {bearer_token: a, basic_auth: {username: b}}}]\n",
                "http_config: at most one of basic_auth, authorization and bearer_token",
            ),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  telegram_configs: [{bot_token: a, chat_id: 1, parse_mode: Text}]\n",
                "telegram_configs: parse_mode is `Text`",
            ),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  opsgenie_configs: [{api_key: a, responders: [{name: b, type: robot}]}]\n",
                "opsgenie_configs: the type of a responder is `robot`",
            ),
            (
                "# a: all of it\nroute: {receiver: a}\nreceivers:\n# a\n- name: a\n  telegram_configs: [{chat_id: 1}]\n",
                "alertmanager.yml:5: receivers: receiver `a`: telegram_configs: bot_token is missing",
            ),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  slack_configs:\n  - api_url_file: none\n    text: |\n      {{ .Alert.Name }}\n",
                "alertmanager.yml:7: receivers: receiver `a`: template: can't evaluate field Alert, in `{{ .Alert.Name }}`",
            ),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  slack_configs:\n  - channel: x\n",
                "receiver `a`: slack_configs: api_url is missing",
            ),
            (
                "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  - url: nowhere\n",
                "webhook_configs: url is `nowhere`, not an address",
            ),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
