//! `/api/v1/rules` and `/api/v1/alerts`, as Prometheus answers them.

use crate::duration;
use crate::machine::{Alert, State};
use crate::notify::matcher::{Matcher, all_match};
use crate::rfc3339;
use crate::rules::{Group, Kind, Rule};
use crate::service::{AlertService, GroupView, RuleView};
use axum::Json;
use axum::extract::{Query, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json_, json};
use std::sync::Arc;

type Pairs = Query<Vec<(String, String)>>;

/// A number as Prometheus writes the value of an alert.
fn value(number: f64) -> String {
    if !number.is_finite() {
        return mangru_query::number_text(number);
    }
    crate::template::with_exponent(number, None)
}

fn alert(alert: &Alert) -> Json_ {
    let mut shown = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.state.name(),
        "activeAt": rfc3339(alert.active_at_ms),
        "value": value(alert.value),
    });
    if let Some(since_ms) = alert.kept_since_ms {
        shown["keepFiringSince"] = rfc3339(since_ms).into();
    }
    shown
}

fn rule(view: &RuleView, with_alerts: bool) -> Json_ {
    let (rule, health) = (&view.rule, &view.health);
    let labels: serde_json::Map<String, Json_> =
        rule.labels.iter().map(|(name, text)| (name.clone(), text.text().into())).collect();
    let mut shown = json!({
        "name": rule.name,
        "query": rule.condition.text(),
        "labels": labels,
        "health": if health.evaluated_ms == 0 { "unknown" } else if health.error.is_some() { "err" } else { "ok" },
        "evaluationTime": health.seconds,
        "lastEvaluation": if health.evaluated_ms == 0 { "0001-01-01T00:00:00Z".to_owned() } else { rfc3339(health.evaluated_ms) },
        "type": if rule.kind == Kind::Record { "recording" } else { "alerting" },
        "id": rule.id,
    });
    if let Some(error) = &health.error {
        shown["lastError"] = error.as_str().into();
    }
    if rule.kind == Kind::Alert {
        let annotations: serde_json::Map<String, Json_> =
            rule.annotations.iter().map(|(name, text)| (name.clone(), text.text().into())).collect();
        shown["state"] = view.state().name().into();
        shown["duration"] = json!(rule.for_ms as f64 / 1000.0);
        shown["keepFiringFor"] = json!(rule.keep_firing_ms as f64 / 1000.0);
        shown["annotations"] = annotations.into();
        if with_alerts {
            shown["alerts"] = view.alerts.values().map(alert).collect();
        }
    }
    shown
}

/// Which rules are asked for.
#[derive(Debug, Default)]
struct Wanted {
    /// `recording` or `alerting`; none: both.
    kind: Option<Kind>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    /// Sets of matchers, of which a rule's labels fulfil one.
    matchers: Vec<Vec<Matcher>>,
    leaves_alerts_out: bool,
    /// Groups of one answer.
    limit: Option<usize>,
    /// The group that the answer begins with.
    token: Option<String>,
}

impl Wanted {
    fn read(pairs: &[(String, String)]) -> Result<Self, String> {
        let all = |name: &str| -> Vec<String> {
            let plural = format!("{name}[]");
            pairs.iter().filter(|(key, _)| key == name || *key == plural).map(|(_, value)| value.clone()).collect()
        };
        let one = |name: &str| all(name).into_iter().next().filter(|value| !value.is_empty());
        let kind = match one("type").as_deref().map(str::to_lowercase).as_deref() {
            None => None,
            Some("alert") => Some(Kind::Alert),
            Some("record") => Some(Kind::Record),
            Some(other) => return Err(format!("type: `{other}` is neither alert nor record")),
        };
        let leaves_alerts_out = match one("exclude_alerts").as_deref() {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => false,
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => true,
            Some(other) => return Err(format!("exclude_alerts: `{other}` is neither true nor false")),
        };
        let mut matchers = Vec::new();
        for text in all("match") {
            let is_set = text.trim().starts_with('{') && text.trim().ends_with('}');
            let read = if is_set { Matcher::parse_all(&text) } else { Err(format!("`{text}` is not in braces")) };
            matchers.push(read.map_err(|message| format!("match[]: {message}, such as {{severity=\"page\"}}"))?);
        }
        let limit = one("group_limit").map(|text| {
            let number = text.parse::<usize>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("group_limit: `{text}` is not a whole number above zero"))
        });
        let limit = limit.transpose()?;
        let token = one("group_next_token");
        if token.is_some() && limit.is_none() {
            return Err("group_limit: it has to be given beside group_next_token".to_owned());
        }
        let (names, groups, files) = (all("rule_name"), all("rule_group"), all("file"));
        Ok(Self { kind, names, groups, files, matchers, leaves_alerts_out, limit, token })
    }

    fn has(&self, rule: &Rule) -> bool {
        let labels = || rule.labels.iter().map(|(name, text)| (name.clone(), text.text().to_owned())).collect();
        self.kind.is_none_or(|kind| kind == rule.kind)
            && is_among(&self.names, &rule.name)
            && (self.matchers.is_empty() || self.matchers.iter().any(|set| all_match(set, &labels())))
    }

    fn has_group(&self, group: &Group) -> bool {
        is_among(&self.groups, &group.name) && is_among(&self.files, &group.file)
    }

    /// The groups of one answer, and the token of the one behind them.
    fn page<T>(&self, groups: Vec<T>, token: impl Fn(&T) -> String) -> Result<(Vec<T>, Option<String>), String> {
        let Some(limit) = self.limit else { return Ok((groups, None)) };
        let start = match &self.token {
            None => 0,
            Some(wanted) => groups
                .iter()
                .position(|group| token(group) == *wanted)
                .ok_or_else(|| format!("group_next_token: there is no group of `{wanted}`; were rules changed?"))?,
        };
        let next = groups.get(start.saturating_add(limit)).map(token);
        Ok((groups.into_iter().skip(start).take(limit).collect(), next))
    }
}

fn is_among(wanted: &[String], found: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| one == found)
}

/// What stands for a group between two answers.
fn token(group: &Group) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(group.id().as_bytes()))
}

fn refused(message: &str) -> Response {
    let body = json!({ "status": "error", "errorType": "bad_data", "error": message });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// `GET /api/v1/rules`.
pub(super) async fn rules(Extracted(service): Extracted<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    let wanted = match Wanted::read(&pairs) {
        Ok(wanted) => wanted,
        Err(message) => return refused(&message),
    };
    let group = |view: &GroupView| {
        let rules = view.rules.iter().filter(|one| wanted.has(&one.rule));
        let rules: Vec<Json_> = rules.map(|one| rule(one, !wanted.leaves_alerts_out)).collect();
        let health = &view.health;
        json!({
            "name": view.group.name,
            "file": &*view.group.file,
            "interval": view.group.interval_ms as f64 / 1000.0,
            "limit": view.group.limit,
            "evaluationTime": health.seconds,
            "lastEvaluation": rfc3339(health.evaluated_ms),
            "evaluations": health.evaluations,
            "missedEvaluations": health.missed,
            "queryOffset": view.group.offset_ms.map(duration::text),
            "rules": rules,
        })
    };
    let mut views = service.groups();
    views.retain(|view| wanted.has_group(&view.group) && view.rules.iter().any(|one| wanted.has(&one.rule)));
    let (views, next) = match wanted.page(views, |view| token(&view.group)) {
        Ok(page) => page,
        Err(message) => return refused(&message),
    };
    let shown: Vec<Json_> = views.iter().map(group).collect();
    let faults: Vec<String> = service.faults().iter().map(ToString::to_string).collect();
    let mut answer = json!({ "status": "success", "data": { "groups": shown } });
    if let Some(next) = next {
        answer["data"]["groupNextToken"] = next.into();
    }
    if !faults.is_empty() {
        answer["warnings"] = faults.into();
    }
    Json(answer).into_response()
}

/// `GET /api/v1/alerts`.
pub(super) async fn alerts(Extracted(service): Extracted<Arc<AlertService>>) -> Json<Json_> {
    let views = service.groups();
    let rules = views.iter().flat_map(|group| &group.rules);
    let alerts = rules.flat_map(|rule| rule.alerts.values()).filter(|one| one.state != State::Inactive);
    Json(json!({ "status": "success", "data": { "alerts": alerts.map(alert).collect::<Vec<_>>() } }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_written_as_prometheus_writes_them() {
        for (number, text) in
            [(1.0, "1e+00"), (0.25, "2.5e-01"), (1234.5, "1.2345e+03"), (f64::INFINITY, "+Inf"), (0.0, "0e+00")]
        {
            assert_eq!(super::value(number), text);
        }
    }

    fn wanted(text: &str) -> Result<super::Wanted, String> {
        super::Wanted::read(&url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>())
    }

    #[test]
    fn rules_are_chosen_and_paged_as_prometheus_does() {
        let text = "
groups:
- name: g
  rules:
  - {alert: A, expr: up, labels: {severity: page}}
  - {alert: B, expr: up, labels: {severity: ticket}}
  - {record: c, expr: up}
";
        let group = crate::rules::read("g.yml", text, 60_000).expect("rules").remove(0);
        let names = |text: &str| -> Vec<&str> {
            let wanted = wanted(text).expect(text);
            group.rules.iter().filter(|rule| wanted.has(rule)).map(|rule| rule.name.as_str()).collect()
        };
        assert_eq!(names(""), ["A", "B", "c"]);
        assert_eq!(names("type=alert"), ["A", "B"]);
        assert_eq!(names("type=record&exclude_alerts=1"), ["c"]);
        assert_eq!(names("match[]={severity=\"page\"}"), ["A"]);
        assert_eq!(names("match[]={severity=\"page\"}&match[]={severity=~\"t.*\"}"), ["A", "B"]);
        assert!(wanted("exclude_alerts=1").is_ok_and(|wanted| wanted.leaves_alerts_out));
        let page = |text: &str| wanted(text)?.page(vec!["a", "b", "c"], |one| one.to_uppercase());
        assert_eq!(page("group_limit=2"), Ok((vec!["a", "b"], Some("C".to_owned()))));
        assert_eq!(page("group_limit=2&group_next_token=C"), Ok((vec!["c"], None)));
        for (text, why) in [
            ("type=alerts", "type: `alerts` is neither"),
            ("exclude_alerts=yes", "exclude_alerts: `yes`"),
            ("match[]=up", "match[]: `up` is not in braces"),
            ("group_limit=0", "group_limit: `0` is not"),
            ("group_next_token=C", "group_limit: it has to be given"),
            ("group_limit=1&group_next_token=D", "group_next_token: there is no group"),
        ] {
            let error = page(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
