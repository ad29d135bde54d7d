//! The tables of the alerts screen: rules, notifications, history; and what is wrong with files.

use crate::clock::{Show, time_view};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use leptos::prelude::*;
use mangru_alerts::machine::{State, Transition};
use mangru_alerts::notify::deliver::Breaker;
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
                <p><strong>"✖ "</strong>"Changed files are not in force, the ones before them are:"</p>
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
            <h2 id="no-rules">"There are no rules yet"</h2>
            <p>"Name files of rules in the configuration; those of Prometheus work unchanged:"</p>
            {parts::copyable("alerts:\n  rules: [/etc/mangru/rules]\n  notify: /etc/mangru/alertmanager.yml")}
            <p>"Or make one here: "<a href="/alerts/new">"new rule"</a>"."</p>
        </section>
    }
    .into_any()
}

pub(super) fn state_view(state: State) -> AnyView {
    let (class, words) = match state {
        State::Firing => ("mark sev-error", "● firing"),
        State::Pending => ("mark sev-warn", "◐ pending"),
        State::Inactive => ("quiet", "○ quiet"),
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
        view! { " "<strong class="warning">{format!("⚠ {} missed", format::counted(missed, "evaluation"))}</strong> }
    });
    let total = rows.len();
    let shown: Vec<_> = rows.into_iter().take(500).map(|(group, rule)| rule_row(request, group, rule)).collect();
    let cut =
        (total > shown.len()).then(|| view! { <p class="covers">{format!("500 of {total} rules are shown")}</p> });
    Some(
        view! {
            <section aria-labelledby="rules-head">
                <h2 id="rules-head">"Rules"</h2>
                <p class="covers">
                    {format!("{} in {}, {} of groups since the start", format::counted(total as u64, "rule"),
                        format::counted(groups.len() as u64, "group"), format::counted(evaluations, "evaluation"))}
                    {warning}
                </p>
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">"State"</th><th scope="col">"Rule"</th><th scope="col">"Condition"</th>
                        <th scope="col" class="num">"Every"</th><th scope="col">"Evaluated"</th><th scope="col">"Group"</th>
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
        view! { <span class="quiet">"records"</span> }.into_any()
    } else {
        state_view(view.state())
    };
    let held = (rule.for_ms > 0).then(|| format!(" for {}", duration::text(rule.for_ms)));
    let error =
        view.health.error.clone().map(|error| view! { <br /><strong class="warning">{format!("⚠ {error}")}</strong> });
    let evaluated = if view.health.evaluated_ms == 0 {
        view! { <span class="quiet">"not yet"</span> }.into_any()
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
            view! { <p class="quiet">"Nothing changed its state in this range."</p> }.into_any()
        }
        Ok(all) => {
            let rows: Vec<_> = all
                .iter()
                .map(|one| {
                    let address = request.there(&format!("/alerts/{}", one.rule));
                    view! {
                        <tr>
                            <td>{time_view(one.time_ms * 1_000_000, Show::Row)}</td>
                            <td>{state_view(one.from)}" → "{state_view(one.to)}</td>
                            <th scope="row"><a href=address>{one.name.clone()}</a></th>
                            <td>{super::firing::labels(&one.labels, &["alertname"])}</td>
                            <td class="num">{format::short(one.value)}</td>
                        </tr>
                    }
                })
                .collect();
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">"Time"</th><th scope="col">"Change"</th><th scope="col">"Alert"</th>
                        <th scope="col">"Labels"</th><th scope="col" class="num">"Value"</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any()
        }
    };
    view! { <section aria-labelledby="history-head"><h2 id="history-head">"History"</h2>{content}</section> }.into_any()
}

/// Notifications, the newest first, and how receivers are.
pub(super) fn notifications(all: &Result<Vec<Parcel>, String>, breakers: &BTreeMap<String, Breaker>) -> AnyView {
    let broken: Vec<_> = breakers
        .iter()
        .filter(|(_, breaker)| breaker.failures > 0)
        .map(|(name, breaker)| {
            let error = breaker.last_error.clone().unwrap_or_default();
            let until = (breaker.open_until_ms > 0).then(|| {
                view! { ", nothing is tried until "{time_view(breaker.open_until_ms * 1_000_000, Show::Clock)} }
            });
            view! { <li>{format!("{name} failed {} times in a row: {error}", breaker.failures)}{until}</li> }
        })
        .collect();
    let broken = (!broken.is_empty()).then(|| view! { <div class="error" role="alert"><p><strong>"✖ "</strong>"Receivers that cannot be reached:"</p><ul>{broken}</ul></div> });
    let content = match all {
        Err(error) => view! { <p class="error" role="alert">{error.clone()}</p> }.into_any(),
        Ok(all) if all.is_empty() => {
            view! { <p class="quiet">"Nobody was told anything in this range."</p> }.into_any()
        }
        Ok(all) => {
            let rows: Vec<_> = all.iter().map(parcel_row).collect();
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr>
                        <th scope="col">"Decided"</th><th scope="col">"Receiver"</th><th scope="col">"What"</th><th scope="col">"Became"</th>
                        <th scope="col" class="num">"Attempts"</th>
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any()
        }
    };
    view! {
        <section aria-labelledby="told-head"><h2 id="told-head">"Notifications"</h2>{broken}{content}</section>
    }
    .into_any()
}

fn parcel_row(parcel: &Parcel) -> AnyView {
    let decision = &parcel.decision;
    let mut names: Vec<&str> =
        decision.alerts.iter().filter_map(|alert| alert.labels.get("alertname").map(String::as_str)).collect();
    names.dedup();
    let what = format!("{} {}: {}", decision.alerts.len(), decision.status(), format::clipped(&names.join(", "), 100));
    let became = match (parcel.state.as_str(), parcel.ended_ms) {
        ("delivered", Some(ended)) => view! { "✔ delivered "{time_view(ended * 1_000_000, Show::Clock)} }.into_any(),
        ("failed", _) => view! { <strong class="warning">"✖ given up"</strong> }.into_any(),
        _ => view! { <span class="mark sev-warn">"◐ waiting, next at "{time_view(parcel.next_ms * 1_000_000, Show::Clock)}</span> }.into_any(),
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
