//! One rule: its condition drawn over its data, its alerts, what they did, and what they would have done.

use super::{range_ms, tables};
use crate::chart::plot::{Plot, Series, Threshold, plot};
use crate::clock::{Show, time_view};
use crate::context::UiContext;
use crate::format;
use crate::nouns::counted;
use crate::pages::not_found;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use crate::unit::Unit;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_alerts::draw::{Drawn, drawn};
use mangru_alerts::machine::{State as AlertState, Transition};
use mangru_alerts::rules::{Condition, Group, Kind, Measure, Rule};
use mangru_alerts::trial::{Backtest, draw};
use mangru_alerts::{RuleView, duration};
use mangru_query::QueryError;
use mangru_store::Signal;
use std::sync::Arc;

/// Rows of history.
const ROWS: usize = 200;

/// What the screen shows.
pub(crate) struct Shown {
    pub(crate) group: Arc<Group>,
    pub(crate) view: RuleView,
    pub(crate) drawn: Result<Drawn, QueryError>,
    pub(crate) history: Result<Vec<Transition>, String>,
    pub(crate) dry: Option<Result<Backtest, String>>,
}

/// Answers `/alerts/{id}`.
pub(crate) async fn handle(
    State(context): State<Arc<UiContext>>,
    Path(id): Path<String>,
    request: PageRequest,
) -> Response {
    let service = &context.alerts;
    let groups = service.groups();
    let found = groups.iter().find_map(|group| {
        let view = group.rules.iter().find(|view| view.rule.id == id)?;
        Some((Arc::clone(&group.group), view.clone()))
    });
    let Some((group, view)) = found else {
        return page(&request, || {
            not_found(tr("There is no such rule any more. Its past is in the history of all alerts."))
        });
    };
    let range = range_ms(&request);
    let dry = async {
        request.params.get("dry")?;
        Some(service.backtest(&service.rules().only(&id), range).await)
    };
    let (drawn, history, dry) =
        futures::join!(drawn(&context.query, &view.rule, range), service.history(range, Some(&id), ROWS), dry);
    let shown = Shown { group, view, drawn, history: history.map_err(|error| error.to_string()), dry };
    page(&request, || screen(&request, &shown))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, shown: &Shown) -> Screen {
    let rule = &shown.view.rule;
    let chart = match &shown.drawn {
        Err(error) => parts::error("", error),
        Ok(drawn) => picture(request, figure_words(rule, drawn), drawn),
    };
    let state = if rule.kind == Kind::Record {
        view! { <span class="quiet">{tr("records a series")}</span> }.into_any()
    } else {
        tables::state_view(shown.view.state())
    };
    let wanted = request.params.get("alert").unwrap_or_default();
    let alerts: Vec<_> = shown
        .view
        .alerts
        .iter()
        .map(|(fingerprint, alert)| {
            let is_wanted = format!("{fingerprint:016x}") == wanted;
            let since_ms = alert.fired_at_ms.unwrap_or(alert.active_at_ms);
            let summary = alert.annotations.get("summary").cloned();
            view! {
                <tr class=if is_wanted { "is-open" } else { "" } aria-current=is_wanted.then_some("true")>
                    <td>{tables::state_view(alert.state)}</td>
                    <td>{super::firing::labels(&alert.labels, &["alertname"])}{summary.map(|text| view! { <br /><span>{text}</span> })}{super::firing::evidence(&alert.evidence, 5)}</td>
                    <td class="num">{format::short(alert.value)}</td>
                    <td>{time_view(since_ms * 1_000_000, Show::Row)}</td>
                    <td class="goto">{super::silences::quick_form(request, &alert.labels)}</td>
                </tr>
            }
        })
        .collect();
    let alerts = (!alerts.is_empty()).then(|| {
        view! {
            <section aria-labelledby="now-head"><h2 id="now-head">{tr("Now")}</h2>
                <div class="table-wrap"><table class="alerts">
                    <thead><tr>
                        <th scope="col">{tr("State")}</th><th scope="col">{tr("Alert")}</th><th scope="col" class="num">{tr("Value")}</th>
                        <th scope="col">{tr("Since")}</th><th scope="col">{tr("Do")}</th>
                    </tr></thead>
                    <tbody>{alerts}</tbody>
                </table></div>
            </section>
        }
    });
    let dry_link = request.here(&request.params.with("dry", "1"));
    let error = shown.view.health.error.clone();
    let content = view! {
        <p class="quiet"><a href=request.there("/alerts")>{tr("Alerts")}</a>" / "{shown.group.name.clone()}" / "<span class="mono">{format!("{}:{}", shown.group.file, rule.line)}</span></p>
        <div class="section-head"><h1>{rule.name.clone()}</h1><p class="covers">{state}</p></div>
        {error.map(|error| view! { <p class="error" role="alert">{error}</p> })}
        <dl class="facts">
            <dt>{tr("Condition")}</dt><dd><code>{rule.condition.text()}</code>{evidence_link(request, rule)}</dd>
            <dt>{tr("Every")}</dt><dd>{duration::text(shown.group.interval_ms)}</dd>
            {(rule.for_ms > 0).then(|| view! { <dt>{tr("For")}</dt><dd>{duration::text(rule.for_ms)}</dd> })}
            {(rule.keep_firing_ms > 0).then(|| view! { <dt>{tr("Keeps firing for")}</dt><dd>{duration::text(rule.keep_firing_ms)}</dd> })}
        </dl>
        {chart}
        {alerts}
        {dry_run(&dry_link, shown.dry.as_ref())}
        {tables::history(request, &shown.history)}
    }
    .into_any();
    let fires = shown.view.state() == AlertState::Firing;
    let title = if fires { format!("● {}", rule.name) } else { rule.name.clone() };
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

/// The way to the rows that the condition counts.
fn evidence_link(request: &PageRequest, rule: &Rule) -> AnyView {
    let (signal, query) = match &rule.condition {
        Condition::Search(search) => (search.signal, search.query.clone()),
        Condition::Each { signal, query, .. } => (*signal, query.clone()),
        Condition::Burn { query, bad, .. } => (Signal::Spans, format!("{query} ({bad})")),
        Condition::Sql { sql, .. } => {
            return view! { " "<a href=request.search("/sql", sql)>{tr("run it")}</a> }.into_any();
        }
        Condition::PromQl { expr, .. } => {
            return view! { " "<a href=request.search("/metrics/explore", expr.text())>{tr("in metrics")}</a> }
                .into_any();
        }
    };
    let path = if signal == Signal::Spans { "/traces" } else { "/logs" };
    view! { " "<a href=request.search(path, &query)>{tr("show what matches")}</a> }.into_any()
}

/// What a rule's figure is.
fn figure_words(rule: &Rule, drawn: &Drawn) -> String {
    let within = |what: &str, window_ms: i64| trf("{0} within {1}", &[what, &duration::text(window_ms)]);
    match &rule.condition {
        Condition::Search(search) => {
            let what = match search.measure {
                Measure::Count => tr("matches").to_owned(),
                Measure::Rate => tr("matches per second").to_owned(),
                Measure::ErrorRate => tr("share of errors").to_owned(),
                Measure::Latency(100) => tr("longest duration, seconds").to_owned(),
                Measure::Latency(percent) => trf("p{0} of durations, seconds", &[&percent.to_string()]),
            };
            within(&what, search.window_ms)
        }
        Condition::Each { .. } => tr("matches").to_owned(),
        Condition::Burn { windows_ms, .. } => within(tr("share of bad requests"), windows_ms.1),
        Condition::Sql { .. } => tr("SQL is not drawn: see its result").to_owned(),
        Condition::PromQl { .. } => drawn.what.clone(),
    }
}

/// The figure over time with the line it is compared with.
fn picture(request: &PageRequest, what: String, drawn: &Drawn) -> AnyView {
    let series: Vec<Series> = drawn
        .lines
        .iter()
        .map(|(label, points)| Series {
            label: label.clone(),
            class: String::new(),
            points: points.iter().map(|(time, value)| (time * 1_000_000, *value)).collect(),
        })
        .collect();
    let threshold = drawn.threshold.clone().filter(|_| !series.is_empty()).map(|(operator, number)| Threshold {
        value: number,
        label: format!("{} {operator} {}", tr("threshold"), format::short(number)),
    });
    let chart = plot(Plot {
        series,
        thresholds: threshold.into_iter().collect(),
        zoom: Some((&request.path, &request.params)),
        ..Plot::new(what.clone(), Unit::None, request.time.range)
    });
    let cut = (drawn.left_out > 0)
        .then(|| view! { " "<strong class="warning">{trf("⚠ {0} more are not drawn", &[&drawn.left_out.to_string()])}</strong> });
    view! {
        <section aria-labelledby="figure-head">
            <h2 id="figure-head">{tr("Its figure")}</h2>
            <p class="covers">{what}{cut}</p>
            {chart}
        </section>
    }
    .into_any()
}

/// What the rule would have done over this range.
pub(super) fn dry_run(link: &str, dry: Option<&Result<Backtest, String>>) -> AnyView {
    let content = match dry {
        None => view! { <p><a class="button" href=link.to_owned()>{tr("Run it over this range")}</a>" "<span class="quiet">{tr("The evaluator of production, on the clock of then; nobody is told.")}</span></p> }.into_any(),
        Some(Err(message)) => view! { <p class="error" role="alert">{message.clone()}</p> }.into_any(),
        Some(Ok(run)) => {
            let count = run.transitions.iter().filter(|one| one.to == AlertState::Firing).count();
            let words = trf(
                "it would have fired {0}; {1} in {2} s",
                &[
                    &counted(count as u64, "time"),
                    &counted(run.evaluations, "evaluation"),
                    &format!("{:.1}", run.seconds),
                ],
            );
            let errors: Vec<_> =
                run.errors.iter().map(|(_, error)| view! { <p class="error" role="alert">{error.clone()}</p> }).collect();
            let listed: Vec<_> = run
                .transitions
                .iter()
                .take(ROWS)
                .map(|one| {
                    view! { <li>{time_view(one.time_ms * 1_000_000, Show::Row)}" "{tables::state_view(one.from)}" → "{tables::state_view(one.to)}" "{super::firing::labels(&one.labels, &["alertname"])}</li> }
                })
                .collect();
            view! { <p class="covers">{words}</p>{errors}<pre class="drawn">{draw(run)}</pre><ul class="evidence">{listed}</ul> }.into_any()
        }
    };
    view! { <section aria-labelledby="dry-head"><h2 id="dry-head">{tr("Dry run")}</h2>{content}</section> }.into_any()
}
