//! `/api/v1/rules` and `/api/v1/alerts`, as Prometheus answers them.

use crate::duration;
use crate::machine::{Alert, State};
use crate::rfc3339;
use crate::rules::Kind;
use crate::service::{AlertService, GroupView, RuleView};
use axum::Json;
use axum::extract::{Query, State as Extracted};
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

/// `GET /api/v1/rules`.
pub(super) async fn rules(Extracted(service): Extracted<Arc<AlertService>>, Query(pairs): Pairs) -> Json<Json_> {
    let all = |name: &str| -> Vec<&str> {
        let plural = format!("{name}[]");
        pairs.iter().filter(|(key, _)| key == name || *key == plural).map(|(_, value)| value.as_str()).collect()
    };
    let (kinds, names, groups, files) = (all("type"), all("rule_name"), all("rule_group"), all("file"));
    let with_alerts = all("exclude_alerts").first() != Some(&"true");
    let is_among = |wanted: &[&str], found: &str| wanted.is_empty() || wanted.contains(&found);
    let group = |view: &GroupView| {
        let rules = view.rules.iter().filter(|one| {
            let kind = if one.rule.kind == Kind::Record { "record" } else { "alert" };
            is_among(&kinds, kind) && is_among(&names, &one.rule.name)
        });
        let rules: Vec<Json_> = rules.map(|one| rule(one, with_alerts)).collect();
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
    let views = service.groups();
    let shown = views.iter().filter(|view| is_among(&groups, &view.group.name) && is_among(&files, &view.group.file));
    let shown: Vec<Json_> =
        shown.map(group).filter(|group| group["rules"].as_array().is_some_and(|rules| !rules.is_empty())).collect();
    let faults: Vec<String> = service.faults().iter().map(ToString::to_string).collect();
    let mut answer = json!({ "status": "success", "data": { "groups": shown } });
    if !faults.is_empty() {
        answer["warnings"] = faults.into();
    }
    Json(answer)
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
}
