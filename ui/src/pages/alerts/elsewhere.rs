//! What other screens show of alerts: marks on their charts, and what fires in a service.

use super::{firing_words, range_ms};
use crate::chart::plot::{Event, EventKind};
use crate::clock::{Show, time_view};
use crate::context::UiContext;
use crate::format;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_alerts::AlertView;
use mangru_alerts::incidents::service_of;
use mangru_alerts::machine::{State, Transition, fingerprint};
use mangru_alerts::notify::outside::OUTSIDE;
use mangru_alerts::rules::Condition;
use mangru_query::PromQl;
use std::collections::{BTreeMap, BTreeSet};

/// Changes of state that are looked through.
const HISTORY: usize = 2_000;
/// Marks on one chart, the newest: more would hide the values.
const MARKS: usize = 40;
/// Alerts of a service that are listed.
const LISTED: usize = 12;

/// What alerts did within the range of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlertHistory {
    /// The changes of state, the newest first.
    pub(crate) transitions: Vec<Transition>,
    /// The metrics that each rule of PromQL asks for, by the rule's id.
    pub(crate) metrics: BTreeMap<String, BTreeSet<String>>,
}

fn metrics_of(expr: &PromQl) -> BTreeSet<String> {
    // An expression that could be read has selections; those without a name tell nothing.
    expr.selections().unwrap_or_default().into_iter().filter_map(|(name, _)| name).collect()
}

impl AlertHistory {
    /// What happened within the page's range. The charts are whole without it, so a database that cannot be read is only
    /// logged here; the alerts' screen says so.
    pub(crate) async fn of(context: &UiContext, request: &PageRequest) -> Self {
        let transitions = context.alerts.history(range_ms(request), None, HISTORY).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "charts have no marks of alerts");
            Vec::new()
        });
        let rules = context.alerts.rules();
        let of_promql = rules.groups.iter().flat_map(|group| &group.rules).filter_map(|rule| match &rule.condition {
            Condition::PromQl { expr, .. } => Some((rule.id.clone(), metrics_of(expr))),
            _ => None,
        });
        Self { metrics: of_promql.collect(), transitions }
    }

    /// The marks of a service's alerts.
    pub(crate) fn of_service(&self, request: &PageRequest, service: &str) -> Vec<Event> {
        self.marks(request, |one| service_of(&one.labels) == Some(service))
    }

    /// The marks of the rules that ask for a metric which one of these queries of PromQL asks for too.
    pub(crate) fn of_queries<'a>(
        &self,
        request: &PageRequest,
        queries: impl IntoIterator<Item = &'a str>,
    ) -> Vec<Event> {
        if self.transitions.is_empty() {
            return Vec::new();
        }
        let asked: BTreeSet<String> = queries
            .into_iter()
            .filter_map(|text| PromQl::parse(text).ok())
            .flat_map(|expr| metrics_of(&expr))
            .collect();
        self.marks(request, |one| self.metrics.get(&one.rule).is_some_and(|names| !names.is_disjoint(&asked)))
    }

    fn marks(&self, request: &PageRequest, is_wanted: impl Fn(&Transition) -> bool) -> Vec<Event> {
        self.transitions.iter().filter(|one| is_wanted(one)).filter_map(|one| mark(request, one)).take(MARKS).collect()
    }
}

/// The mark of an alert that fired or was resolved.
fn mark(request: &PageRequest, one: &Transition) -> Option<Event> {
    let name = match service_of(&one.labels) {
        Some(service) => format!("{} ({service})", one.name),
        None => one.name.clone(),
    };
    let (kind, label) = match (one.from, one.to) {
        (_, State::Firing) => (EventKind::Fired, trf("{0} fires", &[&name])),
        (State::Firing, State::Inactive) => (EventKind::Resolved, trf("{0} is resolved", &[&name])),
        _ => return None,
    };
    let href = address(request, &one.rule, fingerprint(&one.labels));
    Some(Event { time_ns: one.time_ms.saturating_mul(1_000_000), label, href: Some(href), kind })
}

/// The screen of a rule with one of its alerts open.
fn address(request: &PageRequest, rule: &str, alert: u64) -> String {
    // An alert from outside has no rule here.
    if rule == OUTSIDE {
        return request.there("/alerts");
    }
    request.time.params().with("alert", &format!("{alert:016x}")).on(&format!("/alerts/{rule}"))
}

/// The alerts of a service that fire now.
pub(crate) async fn firing_in(context: &UiContext, request: &PageRequest, service: &str) -> Vec<AlertView> {
    let mut firing = context.alerts.firing(request.now.div_euclid(1_000_000)).await;
    firing.retain(|view| service_of(&view.alert.labels) == Some(service));
    firing
}

/// What fires in a service, each with the way to its rule; nothing when nothing does.
pub(crate) fn of_service(request: &PageRequest, firing: &[AlertView]) -> Option<AnyView> {
    if firing.is_empty() {
        return None;
    }
    let lines: Vec<_> = firing
        .iter()
        .take(LISTED)
        .map(|view| {
            let alert = &view.alert;
            let name = alert.labels.get("alertname").cloned().unwrap_or_default();
            let summary = ["summary", "message", "title"].iter().find_map(|name| alert.annotations.get(*name));
            let summary = summary.map(|text| view! { <span>{format::clipped(text, 160)}</span>" " });
            let since_ms = alert.fired_at_ms.unwrap_or(alert.active_at_ms);
            let since = time_view(since_ms.saturating_mul(1_000_000), Show::Row);
            let href = match view.posted {
                None => address(request, &view.rule, view.fingerprint),
                Some(_) => super::address(request, view),
            };
            view! { <li><a href=href>{name}</a>" "{summary}<span class="quiet">{tr("since")}" "{since}</span></li> }
        })
        .collect();
    let more = (firing.len() > LISTED)
        .then(|| view! { <li>{trf("and {0} more", &[&(firing.len() - LISTED).to_string()])}</li> });
    Some(
        view! {
            <section class="firing-strip" aria-labelledby="firing-here">
                <h2 id="firing-here"><a href=request.there("/alerts")>{format!("● {}", firing_words(firing.len()))}</a></h2>
                <ul class="firing-lines">{lines}{more}</ul>
            </section>
        }
        .into_any(),
    )
}
