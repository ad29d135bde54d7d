//! Alerts: what fires and why, what is pending, what is quiet; who was told; silences.

pub(crate) mod create;
pub(crate) mod elsewhere;
mod firing;
pub(crate) mod rule;
pub(crate) mod silences;
mod tables;
mod why;

use crate::context::UiContext;
use crate::nouns::counted;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_alerts::incidents::{Incident, incidents};
use mangru_alerts::machine::{State as AlertState, Transition};
use mangru_alerts::notify::Silence;
use mangru_alerts::notify::deliver::Breaker;
use mangru_alerts::rules::Fault;
use mangru_alerts::{AlertView, GroupView, Parcel};
use mangru_query::QueryError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of history and of notifications.
const ROWS: usize = 200;

/// What the screen shows.
pub(crate) struct Alerts {
    pub(crate) groups: Vec<GroupView>,
    pub(crate) firing: Vec<AlertView>,
    pub(crate) incidents: Result<Vec<Incident>, QueryError>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) history: Result<Vec<Transition>, String>,
    pub(crate) notifications: Result<Vec<Parcel>, String>,
    pub(crate) breakers: BTreeMap<String, Breaker>,
    pub(crate) faults: Vec<Fault>,
}

/// The time range in milliseconds.
pub(crate) fn range_ms(request: &PageRequest) -> (i64, i64) {
    (request.time.range.start.div_euclid(1_000_000), request.time.range.end.div_euclid(1_000_000))
}

/// Answers `/alerts`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let service = &context.alerts;
    let now_ms = request.now.div_euclid(1_000_000);
    let firing = service.firing(now_ms).await;
    let range = range_ms(&request);
    let (incidents, history, notifications, silences) = futures::join!(
        incidents(&context.query, &firing, now_ms),
        service.history(range, None, ROWS),
        service.notifications(range, ROWS),
        service.silences(),
    );
    let alerts = Alerts {
        groups: service.groups(),
        firing,
        incidents,
        silences,
        history: history.map_err(|error| error.to_string()),
        notifications: notifications.map_err(|error| error.to_string()),
        breakers: service.breakers(),
        faults: service.faults(),
    };
    page(&request, || screen(&request, &alerts))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, alerts: &Alerts) -> Screen {
    let rules = alerts.groups.iter().flat_map(|group| &group.rules);
    let pending = rules.clone().filter(|rule| rule.state() == AlertState::Pending).count();
    let quiet = rules.clone().filter(|rule| rule.state() == AlertState::Inactive).count();
    let fires = alerts.firing.len();
    let title = if fires > 0 { format!("({fires}) {}", tr("Alerts")) } else { tr("Alerts").to_owned() };
    let new = request.there("/alerts/new");
    let empty = (rules.clone().count() == 0).then(tables::no_rules);
    let content = view! {
        <div class="section-head">
            <h1>{tr("Alerts")}</h1>
            <p class="covers">
                {trf("{0} firing · {1} pending · {2} quiet", &[&counted(fires as u64, "alert"), &counted(pending as u64, "rule"), &counted(quiet as u64, "rule")])}
            </p>
            <a class="button" href=new>{tr("New rule")}</a>
        </div>
        {tables::faults(&alerts.faults)}
        {empty}
        {firing::incidents(request, &alerts.incidents, &alerts.firing)}
        {firing::section(request, &alerts.firing)}
        {tables::rules(request, &alerts.groups)}
        {silences::section(request, &alerts.silences)}
        {tables::notifications(&alerts.notifications, &alerts.breakers)}
        {tables::history(request, &alerts.history)}
    }
    .into_any();
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

/// How many alerts fire.
fn firing_words(count: usize) -> String {
    trf("{0} firing", &[&counted(count as u64, "alert")])
}

/// Where an alert leads: to its rule; of an alert from outside to what its sender names, when that is a page.
pub(crate) fn address(request: &PageRequest, view: &AlertView) -> String {
    if view.posted.is_none() {
        return request.there(&format!("/alerts/{}", view.rule));
    }
    let is_page = view.url.starts_with("https://") || view.url.starts_with("http://");
    if is_page { view.url.clone() } else { request.there("/alerts") }
}

/// Alerts that fire, for other screens: name, service, address.
pub(crate) async fn in_short(
    service: &mangru_alerts::AlertService,
    request: &PageRequest,
) -> Vec<(String, String, String)> {
    let firing = service.firing(request.now.div_euclid(1_000_000)).await;
    let short = |view: &AlertView| {
        let name = view.alert.labels.get("alertname").cloned().unwrap_or_default();
        let service = mangru_alerts::incidents::service_of(&view.alert.labels).unwrap_or_default().to_owned();
        (name, service, address(request, view))
    };
    firing.iter().map(short).collect()
}

/// What one rule says: its name, and the services it fires for, each once.
fn one_rule(name: &str, alerts: &[(&str, &str)]) -> AnyView {
    /// Services that are named.
    const NAMED: usize = 8;
    let mut services: Vec<(&str, &str)> = Vec::new();
    for (service, address) in alerts {
        if service.is_empty() || services.iter().all(|(known, _)| known != service) {
            services.push((service, address));
        }
    }
    let times = (alerts.len() > 1).then(|| format!(" × {}", alerts.len()));
    if let [(service, address)] = services.as_slice() {
        let service = (!service.is_empty()).then(|| crate::parts::service(service));
        return view! { <li><a href=(*address).to_owned()>{name.to_owned()}" "{service}</a>{times}</li> }.into_any();
    }
    let each: Vec<_> = services
        .iter()
        .take(NAMED)
        .enumerate()
        .map(|(number, (service, address))| {
            let what =
                if service.is_empty() { format!("#{}", number + 1).into_any() } else { crate::parts::service(service) };
            view! { " "<a href=(*address).to_owned()>{what}</a> }
        })
        .collect();
    let rest = services.len().saturating_sub(NAMED);
    let more = (rest > 0).then(|| format!(" {}", trf("and {0} more", &[&rest.to_string()])));
    view! { <li><strong>{name.to_owned()}{times}</strong>{each}{more}</li> }.into_any()
}

/// A line with what fires; nothing when nothing does.
pub(crate) fn strip(request: &PageRequest, firing: &[(String, String, String)]) -> Option<AnyView> {
    /// Rules that are named.
    const NAMED: usize = 8;
    if firing.is_empty() {
        return None;
    }
    let mut rules: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for (name, service, address) in firing {
        match rules.iter_mut().find(|(known, _)| known == name) {
            Some((_, alerts)) => alerts.push((service, address)),
            None => rules.push((name, vec![(service, address)])),
        }
    }
    let named: Vec<_> = rules.iter().take(NAMED).map(|(name, alerts)| one_rule(name, alerts)).collect();
    let more =
        (rules.len() > NAMED).then(|| view! { <li>{trf("and {0} more", &[&(rules.len() - NAMED).to_string()])}</li> });
    Some(
        view! {
            <section class="firing-strip" aria-labelledby="firing-now">
                <h2 id="firing-now"><a href=request.there("/alerts")>{format!("● {}", firing_words(firing.len()))}</a></h2>
                <ul>{named}{more}</ul>
            </section>
        }
        .into_any(),
    )
}
