//! Incidents: alerts that fire together on services that call each other, with the likely origin first.
//!
//! The reasoning is plain and is told: a fault goes from the called to the caller. So among services that fire and are connected by
//! calls, the one that calls no other one that fires is the likely origin; of several, the one that fired first, and of those that
//! fired within the same minute the one whose callers see the most calls fail.

use crate::service::AlertView;
use mangru_query::{MapRequest, NodeKind, QueryError, QueryService, ServiceMap};
use mangru_store::TimeRange;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// How long before now calls are looked at, in milliseconds.
const MAP_MS: i64 = 900_000;
/// Spans that are joined for the map.
const MAX_SPANS: usize = 300_000;
/// What fires within this time fires together, in milliseconds.
const TOGETHER_MS: i64 = 60_000;
/// Beyond this share of errors, calls to what sends no spans are told of.
const BAD_RATIO: f64 = 0.05;

/// Alerts that belong together.
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    /// The services, the likely origin first, then by how far they are from it.
    pub services: Vec<IncidentService>,
    /// Since when, in milliseconds.
    pub since_ms: i64,
    /// Why they are seen as one, and why this origin.
    pub explanation: Vec<Reason>,
}

/// A reason of an incident; what it says of the first service is said of the likely origin.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// No service that the first calls or is called by fires.
    Alone,
    /// The first is the likely origin.
    Origin {
        /// Whether it calls no other service that fires; otherwise the calls between them go round.
        calls_none: bool,
        /// Whether none fired before it.
        fired_first: bool,
        /// The largest share of a caller's calls to it that fail, 0 to 1.
        failing: f64,
    },
    /// A service calls others that fire.
    Calls {
        /// The caller.
        service: String,
        /// The called, with the share of the calls that fail, 0 to 1.
        others: Vec<(String, f64)>,
        /// How long after the first it fired, in seconds; below zero before it.
        after_s: i64,
    },
    /// Calls of the first to what sends no alerts fail.
    Fails {
        /// What it calls.
        other: String,
        /// The share of the calls that fail, 0 to 1.
        ratio: f64,
    },
}

/// A service of an incident.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentService {
    /// Its name; empty for alerts that name none.
    pub name: String,
    /// Fingerprints and names of its alerts.
    pub alerts: Vec<(String, String)>,
    /// Since when its first alert fires, in milliseconds.
    pub since_ms: i64,
}

/// The service that an alert is about, by its labels.
pub fn service_of(labels: &crate::machine::Labels) -> Option<&str> {
    let name = ["service_name", "service", "job"].iter().find_map(|label| labels.get(*label))?;
    Some(name.rsplit('/').next().unwrap_or(name))
}

/// Puts firing alerts together by the service map of the last minutes.
///
/// # Errors
/// When the map cannot be made.
pub async fn incidents(query: &QueryService, firing: &[AlertView], now_ms: i64) -> Result<Vec<Incident>, QueryError> {
    if firing.is_empty() {
        return Ok(Vec::new());
    }
    let end = now_ms.saturating_mul(1_000_000);
    let range = TimeRange { start: end - MAP_MS * 1_000_000, end };
    let map = query.map(&MapRequest { query: String::new(), range, max_spans: MAX_SPANS }).await?;
    Ok(grouped(firing, &Calls::of(&map)))
}

/// Who calls whom, by names of services.
#[derive(Debug, Default)]
struct Calls {
    /// Calls between services: caller, callee, share of errors.
    services: BTreeMap<(String, String), f64>,
    /// Calls to databases, queues and hosts: caller, what is called, share of errors.
    others: Vec<(String, String, f64)>,
}

impl Calls {
    fn of(map: &ServiceMap) -> Self {
        let nodes: BTreeMap<&str, &mangru_query::MapNode> =
            map.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut calls = Self::default();
        for edge in &map.edges {
            let (Some(from), Some(to)) = (nodes.get(edge.from.as_str()), nodes.get(edge.to.as_str())) else { continue };
            if from.kind != NodeKind::Service {
                continue;
            }
            if to.kind == NodeKind::Service {
                let ratio = calls.services.entry((from.name.clone(), to.name.clone())).or_default();
                *ratio = ratio.max(edge.figures.error_ratio);
            } else {
                calls.others.push((from.name.clone(), to.name.clone(), edge.figures.error_ratio));
            }
        }
        calls
    }

    fn calls(&self, from: &str, to: &str) -> Option<f64> {
        self.services.get(&(from.to_owned(), to.to_owned())).copied()
    }
}

fn grouped(firing: &[AlertView], calls: &Calls) -> Vec<Incident> {
    let mut by_service: BTreeMap<String, IncidentService> = BTreeMap::new();
    for view in firing {
        let name = service_of(&view.alert.labels).unwrap_or_default().to_owned();
        let since_ms = view.alert.fired_at_ms.unwrap_or(view.alert.active_at_ms);
        let new = || IncidentService { name: name.clone(), alerts: Vec::new(), since_ms };
        let service = by_service.entry(name.clone()).or_insert_with(new);
        let alert = view.alert.labels.get("alertname").cloned().unwrap_or_default();
        service.alerts.push((format!("{:016x}", view.fingerprint), alert));
        service.since_ms = service.since_ms.min(since_ms);
    }
    let mut left: BTreeSet<String> = by_service.keys().cloned().collect();
    let mut incidents = Vec::new();
    while let Some(first) = left.pop_first() {
        // All that calls lead to and from, among those that fire; alerts without a service stand alone.
        let mut members = BTreeSet::from([first.clone()]);
        let mut open = vec![first];
        while let Some(name) = open.pop() {
            let connected: Vec<String> = left
                .iter()
                .filter(|other| calls.calls(&name, other).is_some() || calls.calls(other, &name).is_some())
                .cloned()
                .collect();
            for other in connected {
                left.remove(&other);
                members.insert(other.clone());
                open.push(other);
            }
        }
        let members: Vec<IncidentService> = members.iter().filter_map(|name| by_service.get(name).cloned()).collect();
        incidents.push(ordered(members, calls));
    }
    incidents.sort_by_key(|incident| (std::cmp::Reverse(incident.services.len()), incident.since_ms));
    incidents
}

/// The services of an incident in order, and why.
fn ordered(mut members: Vec<IncidentService>, calls: &Calls) -> Incident {
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let called = |name: &str| names.iter().filter(|other| *other != name && calls.calls(name, other).is_some()).count();
    // The share of calls to it that fail, in thousandths.
    let failing = |name: &str| {
        let ratios = names.iter().filter_map(|other| calls.calls(other, name));
        (ratios.fold(0.0, f64::max) * 1000.0) as i64
    };
    let fewest = members.iter().map(|member| called(&member.name)).min().unwrap_or_default();
    let leaves = members.iter().filter(|member| called(&member.name) == fewest);
    let first_ms = leaves.map(|member| member.since_ms).min().unwrap_or_default();
    members.sort_by_key(|member| {
        let is_later = member.since_ms - first_ms > TOGETHER_MS;
        let by_calls = std::cmp::Reverse(failing(&member.name));
        (called(&member.name), is_later, by_calls, member.since_ms, member.name.clone())
    });
    let since_ms = members.iter().map(|member| member.since_ms).min().unwrap_or_default();
    let mut explanation = Vec::new();
    if let Some(origin) = members.first() {
        explanation.push(if members.len() == 1 {
            Reason::Alone
        } else {
            Reason::Origin {
                calls_none: called(&origin.name) == 0,
                fired_first: members.iter().all(|member| origin.since_ms <= member.since_ms),
                failing: failing(&origin.name) as f64 / 1000.0,
            }
        });
        for member in members.iter().skip(1) {
            let others: Vec<(String, f64)> = names
                .iter()
                .filter(|other| **other != member.name)
                .filter_map(|other| Some((other.clone(), calls.calls(&member.name, other)?)))
                .collect();
            if !others.is_empty() {
                let after_s = (member.since_ms - origin.since_ms) / 1000;
                explanation.push(Reason::Calls { service: member.name.clone(), others, after_s });
            }
        }
        let own = calls.others.iter().filter(|(from, _, ratio)| *from == origin.name && *ratio > BAD_RATIO);
        explanation.extend(own.map(|(_, other, ratio)| Reason::Fails { other: other.clone(), ratio: *ratio }));
    }
    Incident { services: members, since_ms, explanation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Alert, Labels, State};

    fn view(service: &str, fired_ms: i64) -> AlertView {
        let labels = Labels::from([
            ("alertname".to_owned(), "Slow".to_owned()),
            ("service_name".to_owned(), service.to_owned()),
        ]);
        AlertView {
            fingerprint: crate::machine::fingerprint(&labels),
            rule: "r".to_owned(),
            alert: Alert {
                labels,
                annotations: Labels::new(),
                value: 1.0,
                state: State::Firing,
                active_at_ms: fired_ms,
                fired_at_ms: Some(fired_ms),
                resolved_at_ms: None,
                kept_since_ms: None,
                evidence: Vec::new(),
            },
            receivers: Vec::new(),
            muted: None,
            url: String::new(),
            posted: None,
        }
    }

    #[test]
    fn what_fires_together_along_calls_is_one_incident_with_the_called_first() {
        let call = |from: &str, to: &str, ratio: f64| ((from.to_owned(), to.to_owned()), ratio);
        let calls = Calls {
            services: BTreeMap::from([
                call("gateway", "checkout", 0.1),
                call("checkout", "payment", 0.25),
                call("gateway", "catalog", 0.0),
                call("mailer", "queue", 0.0),
            ]),
            others: vec![("payment".to_owned(), "cards".to_owned(), 0.5)],
        };
        let firing = [view("gateway", 3_000), view("payment", 2_000), view("checkout", 1_000), view("mailer", 500)];
        let incidents = grouped(&firing, &calls);
        let names = |incident: &Incident| incident.services.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&incidents[0]), ["payment", "checkout", "gateway"]);
        assert_eq!(names(&incidents[1]), ["mailer"]);
        assert_eq!(
            incidents[0].explanation,
            [
                Reason::Origin { calls_none: true, fired_first: false, failing: 0.25 },
                Reason::Calls {
                    service: "checkout".to_owned(),
                    others: vec![("payment".to_owned(), 0.25)],
                    after_s: -1
                },
                Reason::Calls { service: "gateway".to_owned(), others: vec![("checkout".to_owned(), 0.1)], after_s: 1 },
                Reason::Fails { other: "cards".to_owned(), ratio: 0.5 },
            ]
        );
        assert_eq!(incidents[1].explanation, [Reason::Alone]);
    }
}
