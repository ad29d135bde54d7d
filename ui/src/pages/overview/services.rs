//! The table of services, worst first.

use super::Overview;
use super::breakers::{Breaker, BreakerState};
use crate::chart::sparkline::sparkline;
use crate::format;
use crate::pages::map::links::service_page;
use crate::parts::{self, field_term};
use crate::request::PageRequest;
use crate::text::tr;
use leptos::prelude::*;
use mangru_query::{Coverage, ServiceSummary};

/// The section with its filter; `live` says how it is refreshed.
pub(super) fn section(request: &PageRequest, overview: &Overview, live: Option<AnyView>) -> AnyView {
    let filter = request.params.get("filter").unwrap_or("").trim().to_owned();
    let content = match &overview.services {
        Err(error) => parts::error("", error),
        Ok((services, _)) if services.is_empty() => {
            let wider = request.here(&request.params.without("end").with("start", "-24h"));
            view! { <p class="quiet">{tr("No service sent anything in this range.")}" "<a href=wider>{tr("Look at the last 24 hours")}</a></p> }.into_any()
        }
        Ok((services, coverage)) => {
            let mut shown: Vec<&ServiceSummary> = services
                .iter()
                .filter(|service| service.name.to_lowercase().contains(&filter.to_lowercase()))
                .collect();
            let sort = request.params.get("sort").unwrap_or("worst");
            sort_services(&mut shown, sort);
            let coverage = Coverage { matched: services.len() as u64, ..coverage.clone() };
            let has_before = services.iter().any(was_there);
            view! { {table(request, &shown, &overview.breakers, sort, has_before)}{parts::coverage(shown.len(), "service", &coverage)} }
                .into_any()
        }
    };
    view! {
        <section aria-labelledby="services-head">
            <div class="section-head">
                <h2 id="services-head">{tr("Services")}</h2>
                <div class="section-tools">
                    {live}
                    <form method="get" action="/" class="inline">
                        {parts::hidden_inputs(&request.params.without("filter"))}
                        <input type="search" name="filter" value=filter placeholder=tr("Filter services") aria-label=tr("Filter services") />
                        <button>{tr("Filter")}</button>
                    </form>
                </div>
            </div>
            <div id="services" data-live="">{content}</div>
        </section>
    }
    .into_any()
}

/// Whether a service was seen in the window before.
fn was_there(service: &ServiceSummary) -> bool {
    service.previous.as_ref().is_some_and(|before| before.requests > 0 || before.error_logs > 0)
}

/// How bad a service is off: failing requests first, then lines of errors, then slowness against before.
fn badness(service: &ServiceSummary) -> f64 {
    let slower = match (&service.previous, service.p95_ns) {
        (Some(previous), Some(now)) => {
            previous.p95_ns.map_or(0.0, |before| ((now - before) as f64 / before.max(1) as f64).clamp(0.0, 2.0))
        }
        _ => 0.0,
    };
    service.error_ratio * 1000.0 + (service.error_logs as f64 + 1.0).ln() * 5.0 + slower
}

fn sort_services(services: &mut [&ServiceSummary], sort: &str) {
    let by = |service: &ServiceSummary| match sort {
        "rate" => service.requests_per_second,
        "errors" => service.error_ratio,
        "p50" => service.p50_ns.unwrap_or(0) as f64,
        "p95" => service.p95_ns.unwrap_or(0) as f64,
        "p99" => service.p99_ns.unwrap_or(0) as f64,
        "logs" => service.error_logs as f64,
        _ => badness(service),
    };
    services.sort_by(|a, b| match sort {
        "name" => a.name.cmp(&b.name),
        _ => by(b).total_cmp(&by(a)).then_with(|| a.name.cmp(&b.name)),
    });
}

fn table(
    request: &PageRequest,
    services: &[&ServiceSummary],
    breakers: &[Breaker],
    sort: &str,
    has_before: bool,
) -> AnyView {
    let heads: Vec<_> = [
        ("name", tr("Service"), ""),
        ("rate", tr("Requests/s"), "num moves"),
        ("errors", tr("Errors"), "num moves"),
        ("p50", "p50", "num less"),
        ("p95", "p95", "num moves"),
        ("p99", "p99", "num less"),
        ("logs", tr("Error logs/min"), "num moves"),
    ]
    .into_iter()
    .map(|(key, words, class)| {
        let order = (sort == key).then_some(if key == "name" { "ascending" } else { "descending" });
        view! { <th scope="col" class=class aria-sort=order><a href=request.here(&request.params.with("sort", key))>{words}</a></th> }
    })
    .collect();
    let minutes = (request.time.length() as f64 / 60e9).max(1e-6);
    let rows: Vec<_> = services.iter().map(|service| row(request, service, breakers, minutes, has_before)).collect();
    let order = if sort == "worst" {
        view! { <p class="quiet order">{tr("Worst first. Changes are against the window of the same length before.")}</p> }
            .into_any()
    } else {
        view! { <p class="quiet order"><a href=request.here(&request.params.without("sort"))>{tr("Worst first")}</a></p> }
            .into_any()
    };
    view! {
        {order}
        <div class="table-wrap">
            <table class="services">
                <thead><tr>{heads}<th scope="col" class="less">{tr("Version")}</th><th scope="col" class="less">{tr("Go to")}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The versions seen, those that the window before did not have with a mark.
fn versions(service: &ServiceSummary) -> AnyView {
    let before = service.previous.as_ref().map(|previous| &previous.versions);
    let had_any = before.is_some_and(|before| !before.is_empty());
    let items: Vec<_> = service
        .versions
        .iter()
        .map(|version| {
            let is_new = had_any && before.is_some_and(|before| !before.contains(version));
            let mark = is_new.then(
                || view! { " "<span class="new-mark" title=tr("Not seen in the window before")>{tr("new")}</span> },
            );
            view! { <li>{format::clipped(version, 24)}{mark}</li> }
        })
        .collect();
    view! { <ul>{items}</ul> }.into_any()
}

/// The circuit breakers of a service, below its name.
fn breakers_of(breakers: &[Breaker], service: &str) -> Option<AnyView> {
    let items: Vec<_> = breakers
        .iter()
        .filter(|breaker| breaker.service == service)
        .map(|breaker| {
            let class = match breaker.state {
                BreakerState::Closed => "quiet",
                BreakerState::HalfOpen => "warning",
                BreakerState::Open => "bad",
            };
            view! { <li>{tr("breaker")}" "<span class="mono">{format::clipped(&breaker.name, 24)}</span>" "<span class=class>{breaker.state.words()}</span></li> }
        })
        .collect();
    (!items.is_empty())
        .then(|| view! { <ul class="breakers" aria-label=tr("Circuit breakers")>{items}</ul> }.into_any())
}

fn row(
    request: &PageRequest,
    service: &ServiceSummary,
    breakers: &[Breaker],
    minutes: f64,
    has_before: bool,
) -> AnyView {
    let as_f64 = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect::<Vec<_>>();
    let term = field_term("service.name", &service.name);
    let entries = if service.has_entries { format!("{term} kind:(server OR consumer)") } else { term.clone() };
    let failing = request.search("/traces", &format!("{entries} status:error"));
    let beyond = |ns: Option<i64>| request.search("/traces", &format!("{entries} duration>={}ns", ns.unwrap_or(0)));
    let error_logs = request.search("/logs", &format!("{term} level>=error"));
    // Of a service that was not there before, that alone is said, and only where others were.
    let previous = service.previous.as_ref().filter(|_| was_there(service));
    let new = (has_before && previous.is_none()).then(|| {
        view! { " "<span class="new-mark" title=tr("Not seen in the window before")>{tr("new")}</span> }
    });
    let p95: Vec<f64> = service.p95_series_ns.iter().map(|ns| *ns as f64).collect();
    let has_errors = service.errors > 0;
    let error_class = if has_errors { "num bad" } else { "num" };
    let log_class = if service.error_logs > 0 { "num bad" } else { "num" };
    view! {
        <tr>
            <th scope="row"><a href=service_page(request, &service.name) data-row="">{parts::service(&service.name)}</a>{new}{breakers_of(breakers, &service.name)}</th>
            <td class="num">
                {sparkline(&as_f64(&service.request_counts), "calm")}
                <a href=request.search("/traces", &entries)>{format::short(service.requests_per_second)}</a>
                {parts::moved(service.requests as f64, previous.map(|before| before.requests as f64), false)}
            </td>
            <td class=error_class>
                {sparkline(&as_f64(&service.error_counts), "bad")}
                <a href=failing>{parts::error_words(service.errors, service.error_ratio)}</a>
                {parts::moved(service.errors as f64, previous.map(|before| before.errors as f64), true)}
            </td>
            <td class="num less"><a href=beyond(service.p50_ns)>{format::duration_or_dash(service.p50_ns)}</a></td>
            <td class="num">
                {sparkline(&p95, "calm")}
                <a href=beyond(service.p95_ns)>{format::duration_or_dash(service.p95_ns)}</a>
                {parts::moved(service.p95_ns.unwrap_or(0) as f64, previous.and_then(|before| before.p95_ns).map(|ns| ns as f64), true)}
            </td>
            <td class="num less"><a href=beyond(service.p99_ns)>{format::duration_or_dash(service.p99_ns)}</a></td>
            <td class=log_class>
                {sparkline(&as_f64(&service.error_log_counts), "bad")}
                <a href=error_logs>{format::short(service.error_logs as f64 / minutes)}</a>
                {parts::moved(service.error_logs as f64, previous.map(|before| before.error_logs as f64), true)}
            </td>
            <td class="mono less">{versions(service)}</td>
            <td class="goto less"><a href=request.search("/logs", &term)>{tr("logs")}</a>" "<a href=request.search("/traces", &term)>{tr("traces")}</a></td>
        </tr>
    }
    .into_any()
}
