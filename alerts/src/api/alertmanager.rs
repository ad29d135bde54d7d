//! Alertmanager's API v2, as amtool, Grafana and others call it.

use crate::machine::Labels;
use crate::notify::dispatch::Muted;
use crate::notify::matcher::{Matcher, all_match};
use crate::notify::{Posted, PostedFields, Silence, SilenceFields};
use crate::rfc3339;
use crate::service::{AlertService, AlertView, PostError};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value as Json_, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type Pairs = Query<Vec<(String, String)>>;

/// `GET /api/v2/status`.
pub(super) async fn status(State(service): State<Arc<AlertService>>) -> Json<Json_> {
    Json(json!({
        "cluster": { "status": "disabled", "name": "", "peers": [] },
        "versionInfo": {
            "version": "0.28.0", "revision": env!("CARGO_PKG_VERSION"), "branch": "mangru", "buildUser": "", "buildDate": "", "goVersion": "",
        },
        "config": { "original": service.notify_config().shown() },
        "uptime": rfc3339(service.started_ms()),
    }))
}

/// `GET /api/v2/receivers`.
pub(super) async fn receivers(State(service): State<Arc<AlertService>>) -> Json<Json_> {
    let config = service.notify_config();
    Json(config.receivers.keys().map(|name| json!({ "name": name })).collect())
}

fn refused(message: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!(message))).into_response()
}

/// How long an alert of a rule is said to go on; it is evaluated again long before.
const GOES_ON_MS: i64 = 240_000;

/// An alert with the names of the intervals that mute it.
fn alert(view: &AlertView, muted_by: &[String]) -> Json_ {
    let (mut silenced, mut inhibited) = (Vec::new(), Vec::new());
    match &view.muted {
        Some(Muted::Silenced(ids)) => silenced.clone_from(ids),
        Some(Muted::Inhibited(all)) => inhibited = all.iter().map(|one| format!("{one:016x}")).collect(),
        None => {}
    }
    let state = if view.muted.is_some() || !muted_by.is_empty() { "suppressed" } else { "active" };
    let now_ms = crate::now_ms();
    let (ends_ms, updated_ms) = view.posted.unwrap_or((now_ms + GOES_ON_MS, now_ms));
    json!({
        "annotations": view.alert.annotations,
        "labels": view.alert.labels,
        "startsAt": rfc3339(view.alert.fired_at_ms.unwrap_or_default()),
        "endsAt": rfc3339(ends_ms),
        "updatedAt": rfc3339(updated_ms),
        "fingerprint": format!("{:016x}", view.fingerprint),
        "generatorURL": view.url,
        "receivers": view.receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "status": { "state": state, "silencedBy": silenced, "inhibitedBy": inhibited, "mutedBy": muted_by },
    })
}

/// The alerts that the parameters ask for.
async fn found(service: &AlertService, pairs: &[(String, String)]) -> Result<Vec<AlertView>, String> {
    let flag = |name: &str| pairs.iter().find(|(key, _)| key == name).is_none_or(|(_, value)| value != "false");
    let mut matchers = Vec::new();
    for (_, text) in pairs.iter().filter(|(key, _)| key == "filter") {
        matchers.extend(Matcher::parse_all(text)?);
    }
    let receiver = pairs.iter().find(|(key, value)| key == "receiver" && !value.is_empty());
    let receiver = receiver.map(|(_, text)| Matcher::new("receiver", text, true, true)).transpose();
    let receiver = receiver.map_err(|message| format!("receiver: {message}"))?;
    let mut all = service.firing(crate::now_ms()).await;
    all.retain(|view| {
        let is_wanted = match &view.muted {
            None => flag("active"),
            Some(Muted::Silenced(_)) => flag("silenced"),
            Some(Muted::Inhibited(_)) => flag("inhibited"),
        };
        let is_of = receiver.as_ref().is_none_or(|wanted| view.receivers.iter().any(|name| wanted.fits(name)));
        is_wanted && is_of && all_match(&matchers, &view.alert.labels)
    });
    Ok(all)
}

/// `GET /api/v2/alerts`.
pub(super) async fn alerts(State(service): State<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    match found(&service, &pairs).await {
        Ok(all) => Json(all.iter().map(|view| alert(view, &[])).collect::<Json_>()).into_response(),
        Err(message) => refused(&message),
    }
}

/// `POST /api/v2/alerts`: alerts of others, such as a Prometheus server. Those that are right are taken, even beside wrong ones.
pub(super) async fn post_alerts(State(service): State<Arc<AlertService>>, body: String) -> Response {
    let now_ms = crate::now_ms();
    let fields: Vec<PostedFields> = match serde_json::from_str(&body) {
        Ok(fields) => fields,
        Err(error) => return refused(&format!("the body is not a list of alerts: {error}")),
    };
    let resolve_timeout_ms = service.notify_config().resolve_timeout_ms;
    let (mut alerts, mut wrong) = (Vec::new(), Vec::new());
    for (place, one) in fields.iter().enumerate() {
        match Posted::read(one, resolve_timeout_ms, now_ms) {
            Ok(alert) => alerts.push(alert),
            Err(message) => wrong.push(format!("alert {place}: {message}")),
        }
    }
    match service.post(alerts, now_ms).await {
        Ok(()) if wrong.is_empty() => StatusCode::OK.into_response(),
        Ok(()) => refused(&wrong.join("; ")),
        Err(error @ PostError::TooMany(_)) => refused(&error.to_string()),
        Err(error @ PostError::NotWritten) => {
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(error.to_string()))).into_response()
        }
    }
}

/// `GET /api/v2/alerts/groups`.
pub(super) async fn groups(State(service): State<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    let all = match found(&service, &pairs).await {
        Ok(all) => all,
        Err(message) => return refused(&message),
    };
    let config = service.notify_config();
    let now_ms = crate::now_ms();
    let shows_muted = pairs.iter().all(|(key, value)| key != "muted" || value != "false");
    let mut groups: BTreeMap<(String, Labels), Vec<Json_>> = BTreeMap::new();
    for view in &all {
        for place in config.route(&view.alert.labels) {
            let route = &config.routes[place];
            let muted_by = route.muted_by(&config, now_ms);
            if shows_muted || muted_by.is_empty() {
                let group = (route.receiver.clone(), route.group_labels(&view.alert.labels));
                groups.entry(group).or_default().push(alert(view, &muted_by));
            }
        }
    }
    let shown = groups.into_iter().map(
        |((receiver, labels), alerts)| json!({ "labels": labels, "receiver": { "name": receiver }, "alerts": alerts }),
    );
    Json(shown.collect::<Json_>()).into_response()
}

fn shown(silence: &Silence) -> Json_ {
    let mut fields = serde_json::to_value(silence.fields()).unwrap_or_default();
    fields["status"] = json!({ "state": silence.state(crate::now_ms()) });
    fields
}

/// `GET /api/v2/silences`.
pub(super) async fn silences(State(service): State<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    let mut wanted = Vec::new();
    for (_, text) in pairs.iter().filter(|(key, _)| key == "filter") {
        match Matcher::parse_all(text) {
            Ok(more) => wanted.extend(more),
            Err(message) => return refused(&message),
        }
    }
    let all = service.silences().await;
    let fits = |silence: &&Silence| {
        wanted
            .iter()
            .all(|matcher| silence.matchers.iter().any(|one| one.name == matcher.name && one.value == matcher.value))
    };
    Json(all.iter().filter(fits).map(shown).collect::<Json_>()).into_response()
}

/// `GET /api/v2/silence/{id}`.
pub(super) async fn silence(State(service): State<Arc<AlertService>>, Path(id): Path<String>) -> Response {
    match service.silences().await.iter().find(|one| one.id == id) {
        Some(silence) => Json(shown(silence)).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!(format!("there is no silence {id}")))).into_response(),
    }
}

/// `POST /api/v2/silences`.
pub(super) async fn set_silence(State(service): State<Arc<AlertService>>, body: String) -> Response {
    let now_ms = crate::now_ms();
    let read = serde_json::from_str::<SilenceFields>(&body).map_err(|error| error.to_string());
    // The moment of a change is told by whoever makes it durable.
    let read = read.and_then(|fields| Silence::read(&SilenceFields { updated_at: None, ..fields }, now_ms));
    let silence = match read {
        Ok(silence) if silence.ends_ms < now_ms => return refused("endsAt lies in the past"),
        Ok(silence) => silence,
        Err(message) => return refused(&message),
    };
    let id = silence.id.clone();
    match service.silence(silence, now_ms).await {
        Ok(()) => Json(json!({ "silenceID": id })).into_response(),
        Err(message) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(message))).into_response(),
    }
}

/// `DELETE /api/v2/silence/{id}`.
pub(super) async fn end_silence(State(service): State<Arc<AlertService>>, Path(id): Path<String>) -> Response {
    match service.end_silence(&id, crate::now_ms()).await {
        Ok(true) => StatusCode::OK.into_response(),
        Ok(false) => (StatusCode::NOT_FOUND, Json(json!(format!("there is no silence {id}")))).into_response(),
        Err(message) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(message))).into_response(),
    }
}
