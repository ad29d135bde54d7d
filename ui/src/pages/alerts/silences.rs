//! Silences: those there are, and making and ending them.

use crate::clock::{Show, time_view};
use crate::context::UiContext;
use crate::format;
use crate::pages::not_found;
use crate::params::Params;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use leptos::prelude::*;
use mangru_alerts::duration;
use mangru_alerts::machine::Labels;
use mangru_alerts::notify::matcher::Matcher;
use mangru_alerts::notify::{Silence, SilenceFields};
use std::sync::Arc;

fn matchers_text(silence: &Silence) -> String {
    silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The state of a silence that has not ended.
fn state_words(state: &'static str) -> &'static str {
    if state == "pending" { tr("not yet in force") } else { tr("in force") }
}

/// A form that silences just these labels for an hour.
pub(super) fn quick_form(request: &PageRequest, labels: &Labels) -> AnyView {
    let matchers = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(", ");
    view! {
        <form class="inline silence" action=request.there("/alerts/silences") method="post">
            <input type="hidden" name="matchers" value=matchers />
            <input type="hidden" name="duration" value="1h" />
            <input type="hidden" name="comment" value=tr("from the alerts screen") />
            <button title=tr("Nobody is told of this alert for an hour")>{tr("Silence 1 h")}</button>
        </form>
    }
    .into_any()
}

/// All silences that have not ended, with a form for a new one.
pub(super) fn section(request: &PageRequest, silences: &[Silence]) -> AnyView {
    let now_ms = request.now.div_euclid(1_000_000);
    let rows: Vec<_> = silences
        .iter()
        .filter(|silence| silence.state(now_ms) != "expired")
        .map(|silence| {
            let end = request.there(&format!("/alerts/silences/{}/end", crate::params::encoded(&silence.id)));
            view! {
                <tr>
                    <th scope="row" class="mono">{format::clipped(&matchers_text(silence), 200)}</th>
                    <td>{state_words(silence.state(now_ms))}</td>
                    <td>{moment(silence.starts_ms, request.now)}</td>
                    <td>{moment(silence.ends_ms, request.now)}</td>
                    <td>{silence.created_by.clone()}</td>
                    <td>{silence.comment.clone()}</td>
                    <td><form class="inline" action=end method="post"><button>{tr("End now")}</button></form></td>
                </tr>
            }
        })
        .collect();
    let table = if rows.is_empty() {
        view! { <p class="quiet">{tr("No silence is in force.")}</p> }.into_any()
    } else {
        view! {
            <div class="table-wrap"><table class="dense">
                <thead><tr>
                    <th scope="col">{tr("Alerts")}</th><th scope="col">{tr("State")}</th><th scope="col">{tr("From")}</th><th scope="col">{tr("Until")}</th>
                    <th scope="col">{tr("By")}</th><th scope="col">{tr("Why")}</th><th scope="col">{tr("Do")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table></div>
        }
        .into_any()
    };
    view! {
        <section aria-labelledby="silences-head">
            <h2 id="silences-head">{tr("Silences")}</h2>
            {table}
            <details>
                <summary>{tr("New silence")}</summary>
                {form(request, &Params::default())}
            </details>
        </section>
    }
    .into_any()
}

/// The form of a silence, filled with what was typed before.
fn form(request: &PageRequest, typed: &Params) -> AnyView {
    let text = |name: &str, otherwise: &str| typed.get(name).unwrap_or(otherwise).to_owned();
    view! {
        <form class="form-grid" action=request.there("/alerts/silences") method="post">
            <label>{tr("Alerts, by their labels")}<input name="matchers" class="mono" value=text("matchers", "") required placeholder="alertname=\"HighErrorRate\", service_name=~\"pay.*\"" /></label>
            <label>{tr("For how long")}<input name="duration" value=text("duration", "2h") required /></label>
            <label>{tr("Who")}<input name="created_by" value=text("created_by", "") /></label>
            <label>{tr("Why")}<input name="comment" value=text("comment", "") /></label>
            <button class="primary">{tr("Silence")}</button>
        </form>
    }
    .into_any()
}

/// A moment; with its year where that is not this one.
fn moment(at_ms: i64, now: i64) -> AnyView {
    let at = at_ms.saturating_mul(1_000_000);
    let year = |ns: i64| crate::clock::text(ns, Show::Date)[..4].to_owned();
    time_view(at, if year(at) == year(now) { Show::Minute } else { Show::Date })
}

fn failed(request: &PageRequest, message: String, typed: Option<&Params>) -> Response {
    page(request, || Screen {
        title: tr("Silence").to_owned(),
        has_time: false,
        status: StatusCode::BAD_REQUEST,
        content: view! {
            <h1>{tr("The silence was not made")}</h1>
            <p class="error" role="alert">{message}</p>
            {typed.map(|typed| form(request, typed))}
            <p><a href=request.there("/alerts")>{tr("Alerts")}</a></p>
        }
        .into_any(),
    })
}

/// Answers `POST /alerts/silences`.
pub(crate) async fn create(State(context): State<Arc<UiContext>>, request: PageRequest, body: String) -> Response {
    let typed = Params::parse(&body);
    let now_ms = request.now.div_euclid(1_000_000);
    let made = (|| {
        let matchers = Matcher::parse_all(typed.get("matchers").unwrap_or_default())?;
        let length_ms = duration::parse(typed.get("duration").unwrap_or_default())?;
        let time = |ms: i64| crate::clock::rfc3339(ms.saturating_mul(1_000_000));
        let fields = SilenceFields {
            id: None,
            matchers: matchers.iter().map(Matcher::fields).collect(),
            starts_at: time(now_ms),
            ends_at: time(now_ms.saturating_add(length_ms)),
            updated_at: None,
            created_by: typed.get("created_by").unwrap_or("the UI").to_owned(),
            comment: typed.get("comment").unwrap_or_default().to_owned(),
            status: None,
        };
        Silence::read(&fields, now_ms)
    })();
    let made = match made {
        Ok(silence) => context.alerts.silence(silence, now_ms).await,
        Err(message) => Err(message),
    };
    match made {
        Ok(()) => Redirect::to(&format!("{}#silences-head", request.there("/alerts"))).into_response(),
        Err(message) => failed(&request, message, Some(&typed)),
    }
}

/// Answers `POST /alerts/silences/{id}/end`.
pub(crate) async fn end(
    State(context): State<Arc<UiContext>>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Response {
    match context.alerts.end_silence(&id, request.now.div_euclid(1_000_000)).await {
        Ok(true) => Redirect::to(&format!("{}#silences-head", request.there("/alerts"))).into_response(),
        Ok(false) => page(&request, || not_found(&trf("There is no silence {0}.", &[&id]))),
        Err(message) => failed(&request, message, None),
    }
}
