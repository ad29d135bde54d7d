//! The tables of the alerts screen: rules, notifications, history; and what is wrong with files.

use crate::clock::{Show, time_view};
use crate::format;
use crate::nouns::counted;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf, trv};
use leptos::prelude::*;
use mangru_alerts::machine::{State, Transition};
use mangru_alerts::notify::deliver::Breaker;
use mangru_alerts::notify::outside::OUTSIDE;
use mangru_alerts::rules::{Fault, Kind};
use mangru_alerts::{GroupView, Parcel, RuleView, duration};
use std::collections::BTreeMap;

/// What is wrong with files that changed: what was before is in force.
pub(super) fn faults(faults: &[Fault]) -> Option<AnyView> {
    if faults.is_empty() {
        return None;
    }
    let rows: Vec<_> = faults.iter().map(|fault| view! { <li class="mono">{fault.to_string()}</li> }).collect();
    Some(
        view! {
            <div class="error" role="alert">
                <p><strong>"✖ "</strong>{tr("Changed files are not in force, the ones before them are:")}</p>
                <ul>{rows}</ul>
            </div>
        }
        .into_any(),
    )
}

/// What to do when there are no rules.
pub(super) fn no_rules() -> AnyView {
    view! {
        <section class="empty" aria-labelledby="no-rules">
            <h2 id="no-rules">{tr("There are no rules yet")}</h2>
            <p>{tr("Name files of rules in the configuration; those of Prometheus work unchanged:")}</p>
            {parts::copyable("alerts:\n  rules: [/etc/mangru/rules]\n  notify: /etc/mangru/alertmanager.yml")}
            <p>{trv("Or make one here: {0}.", [view! { <a href="/alerts/new">{tr("new rule")}</a> }.into_any()])}</p>
        </section>
    }
    .into_any()
}

pub(super) fn state_view(state: State) -> AnyView {
    let (class, words) = match state {
        State::Firing => ("mark sev-error", tr("● firing")),
        State::Pending => ("mark sev-warn", tr("◐ pending")),
        State::Inactive => ("quiet", tr("○ quiet")),
    };
    view! { <span class=class>{words}</span> }.into_any()
}

/// All rules, group by group; what fires first.
pub(super) fn rules(request: &PageRequest, groups: &[GroupView]) -> Option<AnyView> {
    if groups.is_empty() {
        return None;
    }
    let mut rows: Vec<(&GroupView, &RuleView)> =
        groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule))).collect();
    rows.sort_by_key(|(_, rule)| (std::cmp::Reverse(rule.state()), rule.health.error.is_none()));
    let missed: u64 = groups.iter().map(|group| group.health.missed).sum();
    let evaluations: u64 = groups.iter().map(|group| group.health.evaluations).sum();
    let warning = (missed > 0).then(|| {
        view! { " "<strong class="warning">{trf("⚠ {0} missed", &[&counted(missed, "evaluation")])}</strong> }
    });
    let total = rows.len();
    let shown: Vec<_> = rows.into_iter().take(500).map(|(group, rule)| rule_row(request, group, rule)).collect();
    let cut = (total > shown.len())
        .then(|| view! { <p class="covers">{trf("500 of {0} rules are shown", &[&format::count(total as u64)])}</p> });
    Some(
        view! {
            <section aria-labelledby="rules-head">
                <h2 id="rules-head">{tr("Rules")}</h2>
                <p class="covers">
                    {trf("{0} in {1}, {2} of groups since the start",
                        &[&counted(total as u64, "rule"), &counted(groups.len() as u64, "group"), &counted(evaluations, "evaluation")])}
                    {warning}
                </p>
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">{tr("State")}</th><th scope="col">{tr("Rule")}</th><th scope="col">{tr("Condition")}</th>
                        <th scope="col" class="num">{tr("Every")}</th><th scope="col">{tr("Evaluated")}</th><th scope="col">{tr("Group")}</th>
                    </tr></thead>
                    <tbody>{shown}</tbody>
                </table></div>
                {cut}
            </section>
        }
        .into_any(),
    )
}

fn rule_row(request: &PageRequest, group: &GroupView, view: &RuleView) -> AnyView {
    let rule = &view.rule;
    let address = request.there(&format!("/alerts/{}", rule.id));
    let state = if rule.kind == Kind::Record {
        view! { <span class="quiet">{tr("records")}</span> }.into_any()
    } else {
        state_view(view.state())
    };
    let held = (rule.for_ms > 0).then(|| format!(" {}", trf("for {0}", &[&duration::text(rule.for_ms)])));
    let error =
        view.health.error.clone().map(|error| view! { <br /><strong class="warning">{format!("⚠ {error}")}</strong> });
    let evaluated = if view.health.evaluated_ms == 0 {
        view! { <span class="quiet">{tr("not yet")}</span> }.into_any()
    } else {
        time_view(view.health.evaluated_ms * 1_000_000, Show::Clock)
    };
    view! {
        <tr>
            <td>{state}</td>
            <th scope="row"><a href=address>{rule.name.clone()}</a></th>
            <td><code>{format::clipped(&rule.condition.text(), 160)}</code><span class="quiet">{held}</span>{error}</td>
            <td class="num">{duration::text(group.group.interval_ms)}</td>
            <td>{evaluated}</td>
            <td class="quiet" title=group.group.file.to_string()>{group.group.name.clone()}</td>
        </tr>
    }
    .into_any()
}

/// Transitions, the newest first.
pub(super) fn history(request: &PageRequest, history: &Result<Vec<Transition>, String>) -> AnyView {
    let content = match history {
        Err(error) => view! { <p class="error" role="alert">{error.clone()}</p> }.into_any(),
        Ok(all) if all.is_empty() => {
            view! { <p class="quiet">{tr("Nothing changed its state in this range.")}</p> }.into_any()
        }
        Ok(all) => {
            let rows: Vec<_> = all
                .iter()
                .map(|one| {
                    let is_outside = one.rule == OUTSIDE;
                    let name = if is_outside {
                        view! { <span>{one.name.clone()}" "<span class="quiet">{tr("from outside")}</span></span> }
                            .into_any()
                    } else {
                        let address = request.there(&format!("/alerts/{}", one.rule));
                        view! { <a href=address>{one.name.clone()}</a> }.into_any()
                    };
                    let value = if is_outside { "–".to_owned() } else { format::short(one.value) };
                    view! {
                        <tr>
                            <td>{time_view(one.time_ms * 1_000_000, Show::Row)}</td>
                            <td>{state_view(one.from)}" → "{state_view(one.to)}</td>
                            <th scope="row">{name}</th>
                            <td>{super::firing::labels(&one.labels, &["alertname"])}</td>
                            <td class="num">{value}</td>
                        </tr>
                    }
                })
                .collect();
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">{tr("Time")}</th><th scope="col">{tr("Change")}</th><th scope="col">{tr("Alert")}</th>
                        <th scope="col">{tr("Labels")}</th><th scope="col" class="num">{tr("Value")}</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any()
        }
    };
    view! { <section aria-labelledby="history-head"><h2 id="history-head">{tr("History")}</h2>{content}</section> }
        .into_any()
}

/// Notifications, the newest first, and how receivers are.
pub(super) fn notifications(all: &Result<Vec<Parcel>, String>, breakers: &BTreeMap<String, Breaker>) -> AnyView {
    let broken: Vec<_> = breakers
        .iter()
        .filter(|(_, breaker)| breaker.failures > 0)
        .map(|(name, breaker)| {
            let error = breaker.last_error.clone().unwrap_or_default();
            let until = (breaker.open_until_ms > 0).then(|| {
                view! { ", "{trv("nothing is tried until {0}", [time_view(breaker.open_until_ms * 1_000_000, Show::Clock)])} }
            });
            let words = trf("{0} failed {1} times in a row: {2}", &[name, &breaker.failures.to_string(), &error]);
            view! { <li>{words}{until}</li> }
        })
        .collect();
    let broken = (!broken.is_empty()).then(|| view! { <div class="error" role="alert"><p><strong>"✖ "</strong>{tr("Receivers that cannot be reached:")}</p><ul>{broken}</ul></div> });
    let content = match all {
        Err(error) => view! { <p class="error" role="alert">{error.clone()}</p> }.into_any(),
        Ok(all) if all.is_empty() => {
            view! { <p class="quiet">{tr("Nobody was told anything in this range.")}</p> }.into_any()
        }
        Ok(all) => {
            let rows: Vec<_> = all.iter().map(parcel_row).collect();
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">{tr("Decided")}</th><th scope="col">{tr("Receiver")}</th><th scope="col">{tr("What")}</th><th scope="col">{tr("Became")}</th>
                        <th scope="col" class="num">{tr("Attempts")}</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any()
        }
    };
    view! {
        <section aria-labelledby="told-head"><h2 id="told-head">{tr("Notifications")}</h2>{broken}{content}</section>
    }
    .into_any()
}

fn parcel_row(parcel: &Parcel) -> AnyView {
    let decision = &parcel.decision;
    let mut names: Vec<&str> =
        decision.alerts.iter().filter_map(|alert| alert.labels.get("alertname").map(String::as_str)).collect();
    names.dedup();
    let names = format::clipped(&names.join(", "), 100);
    let alerts = counted(decision.alerts.len() as u64, "alert");
    let what = match decision.status() {
        "resolved" => trf("{0} resolved: {1}", &[&alerts, &names]),
        _ => trf("{0} firing: {1}", &[&alerts, &names]),
    };
    let became = match (parcel.state.as_str(), parcel.ended_ms) {
        ("delivered", Some(ended)) => trv("✔ delivered {0}", [time_view(ended * 1_000_000, Show::Clock)]),
        ("failed", _) => view! { <strong class="warning">{tr("✖ given up")}</strong> }.into_any(),
        _ => view! { <span class="mark sev-warn">{trv("◐ waiting, next at {0}", [time_view(parcel.next_ms * 1_000_000, Show::Clock)])}</span> }.into_any(),
    };
    let error = parcel.last_error.clone().map(|error| view! { <br /><span class="quiet">{error}</span> });
    view! {
        <tr>
            <td>{time_view(decision.time_ms * 1_000_000, Show::Row)}</td>
            <th scope="row">{decision.receiver.clone()}" "<span class="quiet">{decision.kind.clone()}</span></th>
            <td>{what}</td>
            <td>{became}{error}</td>
            <td class="num">{parcel.attempts}</td>
        </tr>
    }
    .into_any()
}
