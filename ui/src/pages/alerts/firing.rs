//! What fires: incidents with their likely origin, and each alert with its value, its evidence, and who is told.

use super::why;
use crate::clock::{Show, time_view};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trv};
use leptos::prelude::*;
use mangru_alerts::AlertView;
use mangru_alerts::incidents::Incident;
use mangru_alerts::machine::{Evidence, Labels};
use mangru_alerts::notify::dispatch::Muted;
use mangru_query::QueryError;

/// Labels in a line, without those that stand elsewhere.
pub(super) fn labels(labels: &Labels, without: &[&str]) -> AnyView {
    let shown: Vec<_> = labels
        .iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .map(|(name, value)| view! { <code class="label">{format!("{name}={}", format::clipped(value, 80))}</code>" " })
        .collect();
    view! { <span class="labels">{shown}</span> }.into_any()
}

/// Some pieces of evidence, each in a line with the way to its trace.
pub(super) fn evidence(all: &[Evidence], most: usize) -> Option<AnyView> {
    /// Characters of a piece.
    const CHARS: usize = 160;
    if all.is_empty() {
        return None;
    }
    let rows: Vec<_> = all
        .iter()
        .take(most)
        .map(|one| {
            let line = format::clipped(one.text.lines().next().unwrap_or_default(), CHARS);
            let trace = (!one.trace_id.is_empty()).then(|| {
                let address = format!("/traces/{}", crate::params::encoded(&one.trace_id));
                view! { " "<a href=address>{tr("trace")}</a> }
            });
            view! { <li>{time_view(one.time_ns, Show::Clock)}" "{parts::service(&one.service)}" "<span class="mono">{line}</span>{trace}</li> }
        })
        .collect();
    Some(view! { <ul class="evidence">{rows}</ul> }.into_any())
}

/// Incidents of more than one service.
pub(super) fn incidents(
    request: &PageRequest,
    incidents: &Result<Vec<Incident>, QueryError>,
    firing: &[AlertView],
) -> Option<AnyView> {
    let all = match incidents {
        Ok(all) => all,
        Err(error) => return Some(parts::error("", error)),
    };
    let shown: Vec<_> = all
        .iter()
        .filter(|incident| incident.services.len() > 1)
        .map(|incident| {
            let services: Vec<_> = incident
                .services
                .iter()
                .enumerate()
                .map(|(place, service)| {
                    let names: Vec<_> = service
                        .alerts
                        .iter()
                        .map(|(fingerprint, name)| {
                            let view = firing.iter().find(|view| format!("{:016x}", view.fingerprint) == *fingerprint);
                            let address = view.map_or_else(String::new, |view| super::address(request, view));
                            view! { <a href=address>{name.clone()}</a>" " }
                        })
                        .collect();
                    let name = if service.name.is_empty() { tr("no service") } else { &service.name };
                    let origin = (place == 0).then(|| view! { " "<strong class="origin">{tr("likely origin")}</strong> });
                    view! { <li>{parts::service(name)}{origin}" · "{names}" · "{trv("since {0}", [time_view(service.since_ms * 1_000_000, Show::Clock)])}</li> }
                })
                .collect();
            let why: Vec<_> = why::reasons(incident).into_iter().map(|line| view! { <li>{line}</li> }).collect();
            view! {
                <div class="panel incident">
                    <ol class="incident-services">{services}</ol>
                    <details><summary>{tr("Why these belong together")}</summary><ul class="why">{why}</ul></details>
                </div>
            }
        })
        .collect();
    if shown.is_empty() {
        return None;
    }
    Some(
        view! { <section aria-labelledby="incidents-head"><h2 id="incidents-head">{tr("Incidents")}</h2>{shown}</section> }
            .into_any(),
    )
}

/// All alerts that fire.
pub(super) fn section(request: &PageRequest, firing: &[AlertView]) -> AnyView {
    if firing.is_empty() {
        return view! {
            <section aria-labelledby="firing-head"><h2 id="firing-head">{tr("Firing")}</h2><p class="quiet">{tr("✔ Nothing fires.")}</p></section>
        }
        .into_any();
    }
    let rows: Vec<_> = firing.iter().map(|view| row(request, view)).collect();
    view! {
        <section aria-labelledby="firing-head">
            <h2 id="firing-head">{tr("Firing")}</h2>
            <div class="table-wrap"><table class="alerts">
                <thead><tr>
                    <th scope="col">{tr("Alert")}</th><th scope="col">{tr("What")}</th><th scope="col" class="num">{tr("Value")}</th>
                    <th scope="col">{tr("Since")}</th><th scope="col">{tr("Told")}</th><th scope="col">{tr("Do")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table></div>
        </section>
    }
    .into_any()
}

fn row(request: &PageRequest, view: &AlertView) -> AnyView {
    let alert = &view.alert;
    let name = alert.labels.get("alertname").cloned().unwrap_or_default();
    let since_ms = alert.fired_at_ms.unwrap_or(alert.active_at_ms);
    let fingerprint = format!("{:016x}", view.fingerprint);
    let address = match view.posted {
        None => request.time.params().with("alert", &fingerprint).on(&format!("/alerts/{}", view.rule)),
        Some(_) => super::address(request, view),
    };
    let outside = view.posted.map(|_| view! { <br /><span class="quiet">{tr("from outside")}</span> });
    let value =
        if alert.value.is_nan() && view.posted.is_some() { "–".to_owned() } else { format::short(alert.value) };
    let service = mangru_alerts::incidents::service_of(&alert.labels).map(str::to_owned);
    let summary = ["summary", "message", "title"].iter().find_map(|name| alert.annotations.get(*name)).cloned();
    let description = alert.annotations.get("description").cloned();
    let runbook =
        alert.annotations.get("runbook_url").filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let runbook = runbook.map(|url| view! { <a href=url.clone() rel="noreferrer">{tr("runbook")}</a>" " });
    let told = match &view.muted {
        Some(Muted::Silenced(_)) => view! { <span class="quiet">{tr("silenced")}</span> }.into_any(),
        Some(Muted::Inhibited(_)) => {
            view! { <span class="quiet">{tr("held back while another fires")}</span> }.into_any()
        }
        None => view! { <span>{view.receivers.join(", ")}</span> }.into_any(),
    };
    let logs = service.as_ref().map(|service| {
        let term = parts::field_term("service.name", service);
        let around = crate::params::Params::default()
            .with("start", &crate::clock::rfc3339((since_ms - 600_000) * 1_000_000))
            .with("end", &crate::clock::rfc3339((since_ms + 600_000) * 1_000_000));
        let logs = around.with("q", &format!("{term} level>=warn")).on("/logs");
        let traces = around.with("q", &format!("{term} status:error")).on("/traces");
        view! { <a href=logs>{tr("logs then")}</a>" "<a href=traces>{tr("traces then")}</a>" " }
    });
    let severity = alert.labels.get("severity").cloned();
    let mark = match severity.as_deref() {
        Some("page" | "critical") => "mark sev-fatal",
        Some("info") => "mark sev-info",
        _ => "mark sev-error",
    };
    view! {
        <tr class="is-firing">
            <th scope="row">
                <span class=mark>"● "</span><a href=address data-row="">{name}</a>
                {severity.map(|severity| view! { <br /><span class="quiet">{severity}</span> })}{outside}
            </th>
            <td>
                {service.as_ref().map(|name| view! { {parts::service(name)}" " })}
                {summary.map(|text| view! { <span>{text}</span><br /> })}
                {description.map(|text| view! { <span class="quiet">{text}</span><br /> })}
                {labels(&alert.labels, &["alertname", "service_name", "severity"])}
                {evidence(&alert.evidence, 2)}
            </td>
            <td class="num">{value}</td>
            <td>{time_view(since_ms * 1_000_000, Show::Row)}</td>
            <td>{told}</td>
            <td class="goto">{runbook}{logs}{super::silences::quick_form(request, &alert.labels)}</td>
        </tr>
    }
    .into_any()
}
