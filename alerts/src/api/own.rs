//! What is only here: history, notifications, incidents, a rule's picture, and runs of rules over the past.

use crate::rules::{Fault, RuleSet, read};
use crate::service::AlertService;
use crate::trial::costs;
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use mangru_query::{QueryError, parse_range};
use serde::Deserialize;
use serde_json::{Value as Json_, json};
use std::sync::Arc;

/// Parameters of questions about the past.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Past {
    start: Option<String>,
    end: Option<String>,
    rule: Option<String>,
    limit: Option<usize>,
}

/// A set of rules, and over which time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trial {
    /// The text of a rule file; none: the rules in force.
    rules: Option<String>,
    /// The name of that file: with that of a file in force its groups are evaluated at the same moments.
    file: Option<String>,
    /// The id of the only rule that is run.
    rule: Option<String>,
    start: Option<String>,
    end: Option<String>,
}

fn refused(error: &QueryError) -> Response {
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({ "error": error }))).into_response()
}

fn broken(message: &str) -> Response {
    let error = json!({ "error": { "code": "internal", "message": message } });
    (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response()
}

fn wrong(faults: &[Fault]) -> Response {
    let shown: Vec<Json_> = faults
        .iter()
        .map(|fault| json!({ "file": fault.file, "line": fault.line, "key": fault.key, "message": fault.message }))
        .collect();
    let message = faults.first().map(ToString::to_string).unwrap_or_default();
    let error =
        json!({ "error": { "code": "invalid_argument", "message": message, "field": "rules" }, "faults": shown });
    (StatusCode::BAD_REQUEST, Json(error)).into_response()
}

impl Past {
    fn range_ms(&self) -> Result<(i64, i64), QueryError> {
        let range = parse_range(self.start.as_deref(), self.end.as_deref())?;
        Ok((range.start.div_euclid(1_000_000), range.end.div_euclid(1_000_000)))
    }

    fn limit(&self) -> Result<usize, QueryError> {
        let limit = self.limit.unwrap_or(1_000);
        if (1..=10_000).contains(&limit) {
            return Ok(limit);
        }
        Err(QueryError::invalid("limit", format!("limit is {limit}, allowed are 1 to 10000")))
    }
}

/// `GET /api/v1/alerts/history`.
pub(super) async fn history(State(service): State<Arc<AlertService>>, Query(past): Query<Past>) -> Response {
    let (range, limit) = match (past.range_ms(), past.limit()) {
        (Ok(range), Ok(limit)) => (range, limit),
        (Err(error), _) | (_, Err(error)) => return refused(&error),
    };
    match service.history(range, past.rule.as_deref(), limit).await {
        Ok(all) => Json(json!({ "complete": all.len() < limit, "transitions": all })).into_response(),
        Err(error) => broken(&error.to_string()),
    }
}

/// `GET /api/v1/alerts/notifications`.
pub(super) async fn notifications(State(service): State<Arc<AlertService>>, Query(past): Query<Past>) -> Response {
    let (range, limit) = match (past.range_ms(), past.limit()) {
        (Ok(range), Ok(limit)) => (range, limit),
        (Err(error), _) | (_, Err(error)) => return refused(&error),
    };
    match service.notifications(range, limit).await {
        Ok(all) => Json(json!({
            "complete": all.len() < limit, "notifications": all, "receivers": service.breakers(),
        }))
        .into_response(),
        Err(error) => broken(&error.to_string()),
    }
}

/// `GET /api/v1/alerts/incidents`.
pub(super) async fn incidents(State(service): State<Arc<AlertService>>) -> Response {
    let now_ms = crate::now_ms();
    let firing = service.firing(now_ms).await;
    match crate::incidents::incidents(service.query(), &firing, now_ms).await {
        Ok(all) => Json(json!({ "incidents": all })).into_response(),
        Err(error) => refused(&error),
    }
}

/// `GET /api/v1/alerts/draw`.
pub(super) async fn draw(State(service): State<Arc<AlertService>>, Query(past): Query<Past>) -> Response {
    let range = match past.range_ms() {
        Ok(range) => range,
        Err(error) => return refused(&error),
    };
    let rules = service.rules();
    let Some((_, rule)) = rules.rule(past.rule.as_deref().unwrap_or_default()) else {
        return refused(&QueryError::invalid("rule", "there is no rule of this id"));
    };
    match crate::draw::drawn(service.query(), rule, range).await {
        Ok(drawn) => Json(json!(drawn)).into_response(),
        Err(error) => refused(&error),
    }
}

/// `POST /api/v1/alerts/check`: the text of a rule file.
pub(super) async fn check(State(service): State<Arc<AlertService>>, body: String) -> Response {
    match read("rules", &body, service.settings().interval_ms) {
        Err(faults) => wrong(&faults),
        Ok(groups) => {
            let rules = RuleSet::of(groups);
            let shown = costs(&rules).into_iter().map(|cost| {
                json!({ "rule": cost.rule, "reads": cost.what, "back_ms": cost.back_ms, "interval_ms": cost.interval_ms })
            });
            Json(json!({ "rules": shown.collect::<Vec<_>>() })).into_response()
        }
    }
}

/// The name under which a file is in force here: elsewhere it lies in another folder.
fn known(rules: &RuleSet, file: Option<&str>) -> String {
    let Some(file) = file else { return "rules".to_owned() };
    let named = |name: &str| std::path::Path::new(name).file_name().map(std::ffi::OsStr::to_owned);
    let mut alike = rules.files.iter().map(|(path, _)| path.display().to_string());
    let mut alike = alike.by_ref().filter(|name| name == file || named(name) == named(file));
    match (alike.next(), alike.next()) {
        (Some(one), None) => one,
        _ => file.to_owned(),
    }
}

/// `POST /api/v1/alerts/backtest`.
pub(super) async fn backtest(State(service): State<Arc<AlertService>>, body: String) -> Response {
    let asked: Trial = match serde_json::from_str(&body) {
        Ok(asked) => asked,
        Err(error) => return refused(&QueryError::invalid("body", error.to_string())),
    };
    let past = Past { start: asked.start, end: asked.end, ..Past::default() };
    let range = match past.range_ms() {
        Ok(range) => range,
        Err(error) => return refused(&error),
    };
    let rules = match &asked.rules {
        None => service.rules(),
        Some(text) => match read(&known(&service.rules(), asked.file.as_deref()), text, service.settings().interval_ms)
        {
            Ok(groups) => Arc::new(RuleSet::of(groups)),
            Err(faults) => return wrong(&faults),
        },
    };
    let rules = match &asked.rule {
        None => rules,
        Some(id) => Arc::new(rules.only(id)),
    };
    match service.backtest(&rules, range).await {
        Ok(run) => Json(json!(run)).into_response(),
        Err(message) => refused(&QueryError::invalid("start", message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_under_which_it_is_in_force() {
        let set = |paths: &[&str]| RuleSet {
            files: paths.iter().map(|path| (path.into(), String::new())).collect(),
            ..RuleSet::default()
        };
        let one = set(&["/etc/mangru/rules/shop.yml", "/etc/mangru/rules/b.yml"]);
        assert_eq!(known(&one, Some("rules/shop.yml")), "/etc/mangru/rules/shop.yml");
        assert_eq!(known(&one, Some("new.yml")), "new.yml");
        assert_eq!(known(&one, None), "rules");
        assert_eq!(known(&set(&["/a/shop.yml", "/b/shop.yml"]), Some("shop.yml")), "shop.yml");
    }
}
