//! Alertmanager's API v2, as amtool, Grafana and others call it.

use crate::notify::Silence;
use crate::notify::SilenceFields;
use crate::notify::dispatch::Muted;
use crate::notify::matcher::{Matcher, all_match};
use crate::notify::silence::rfc3339;
use crate::service::{AlertService, AlertView};
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
        // What stands in the file may be secret.
        "config": { "original": "" },
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

fn alert(view: &AlertView) -> Json_ {
    let (mut silenced, mut inhibited) = (Vec::new(), Vec::new());
    match &view.muted {
        Some(Muted::Silenced(ids)) => silenced.clone_from(ids),
        Some(Muted::Inhibited(all)) => inhibited = all.iter().map(|one| format!("{one:016x}")).collect(),
        None => {}
    }
    let state = if view.muted.is_some() { "suppressed" } else { "active" };
    json!({
        "annotations": view.alert.annotations,
        "labels": view.alert.labels,
        "startsAt": rfc3339(view.alert.fired_at_ms.unwrap_or_default()),
        "endsAt": rfc3339(crate::now_ms() + 240_000),
        "updatedAt": rfc3339(crate::now_ms()),
        "fingerprint": format!("{:016x}", view.fingerprint),
        "generatorURL": view.url,
        "receivers": view.receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "status": { "state": state, "silencedBy": silenced, "inhibitedBy": inhibited, "mutedBy": [] },
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
    let receiver = receiver.map(|(_, text)| regex::Regex::new(&format!("^(?:{text})$"))).transpose();
    let receiver = receiver.map_err(|_| "receiver is not an expression".to_owned())?;
    let mut all = service.firing(crate::now_ms()).await;
    all.retain(|view| {
        let is_wanted = match &view.muted {
            None => flag("active"),
            Some(Muted::Silenced(_)) => flag("silenced"),
            Some(Muted::Inhibited(_)) => flag("inhibited"),
        };
        let is_of = receiver.as_ref().is_none_or(|regex| view.receivers.iter().any(|name| regex.is_match(name)));
        is_wanted && is_of && all_match(&matchers, &view.alert.labels)
    });
    Ok(all)
}

/// `GET /api/v2/alerts`.
pub(super) async fn alerts(State(service): State<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    match found(&service, &pairs).await {
        Ok(all) => Json(all.iter().map(alert).collect::<Json_>()).into_response(),
        Err(message) => refused(&message),
    }
}

/// `GET /api/v2/alerts/groups`.
pub(super) async fn groups(State(service): State<Arc<AlertService>>, Query(pairs): Pairs) -> Response {
    let all = match found(&service, &pairs).await {
        Ok(all) => all,
        Err(message) => return refused(&message),
    };
    let config = service.notify_config();
    let mut groups: BTreeMap<(String, BTreeMap<String, String>), Vec<Json_>> = BTreeMap::new();
    for view in &all {
        for place in config.route(&view.alert.labels) {
            let route = &config.routes[place];
            let labels = view.alert.labels.iter();
            let labels = labels.filter(|(name, _)| route.group_by.as_ref().is_none_or(|by| by.contains(*name)));
            let labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
            groups.entry((route.receiver.clone(), labels)).or_default().push(alert(view));
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
        wanted.iter().all(|matcher| {
            silence
                .matchers
                .iter()
                .any(|one| one == matcher || (one.name == matcher.name && one.value == matcher.value))
        })
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
        Ok(()) => StatusCode::OK.into_response(),
        Err(message) if message.starts_with("there is no") => {
            (StatusCode::NOT_FOUND, Json(json!(message))).into_response()
        }
        Err(message) => (StatusCode::INTERNAL_SERVER_ERROR, Json(json!(message))).into_response(),
    }
}
