//! Overview: is anything wrong, and where?

use crate::chart::histogram::{BarSeries, StackedBars, histogram};
use crate::chart::sparkline::sparkline;
use crate::context::{Endpoints, UiContext};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{CountRequest, Counts, Coverage, QueryError, ServiceSummary};
use mangru_store::Signal;
use std::sync::Arc;
use std::time::Duration;

const SPARK_BUCKETS: usize = 30;
const STRIP_BUCKETS: i64 = 60;

/// What the screen shows.
pub(crate) struct Overview {
    /// The services with what the answer covers.
    pub(crate) services: Result<(Vec<ServiceSummary>, Coverage), QueryError>,
    /// Events over time: log records, spans.
    pub(crate) strip: Vec<(&'static str, Result<Counts, QueryError>)>,
    /// Whether the store holds nothing at all.
    pub(crate) is_empty: bool,
    /// Where to send data.
    pub(crate) endpoints: Endpoints,
    /// Alerts that fire, with the addresses of their rules.
    pub(crate) firing: Vec<(String, String, String)>,
}

/// A bucket width that cuts the range in about `buckets` pieces of a round length.
pub(crate) fn round_step(length_ns: i64, buckets: i64) -> Duration {
    const ROUND: [u64; 17] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
    let wanted = (length_ns / buckets.max(1)).max(0) as u64;
    if wanted < 1_000_000_000 {
        let milliseconds = [1_u64, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
        let fit = milliseconds.into_iter().find(|ms| ms * 1_000_000 >= wanted).unwrap_or(1000);
        return Duration::from_millis(fit);
    }
    let seconds = ROUND.into_iter().find(|s| s * 1_000_000_000 >= wanted);
    Duration::from_secs(seconds.unwrap_or(wanted / 1_000_000_000 / 86400 * 86400 + 86400))
}

/// Answers `/`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let range = request.time.range;
    let step = round_step(request.time.length(), STRIP_BUCKETS);
    let count = || CountRequest { query: String::new(), range, by: None, step: Some(step), top: 1 };
    let (logs_request, spans_request, points_request) = (count(), count(), count());
    let (services, logs, spans, points) = futures::join!(
        context.query.services(range, SPARK_BUCKETS),
        context.query.counts(Signal::Logs, &logs_request),
        context.query.counts(Signal::Spans, &spans_request),
        context.query.counts(Signal::MetricPoints, &points_request),
    );
    let tables = context.query.store().status().tables;
    let overview = Overview {
        services,
        strip: vec![("log records", logs), ("spans", spans), ("metric points", points)],
        is_empty: tables.iter().all(|table| table.part_rows == 0 && table.hot_rows == 0),
        endpoints: context.endpoints.clone(),
        firing: crate::pages::alerts::in_short(&context.alerts, &request).await,
    };
    page(&request, || screen(&request, &overview))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, overview: &Overview) -> Screen {
    let content = if overview.is_empty {
        view! { <h1 class="unseen">"Overview"</h1>{parts::how_to_send(&overview.endpoints)} }.into_any()
    } else {
        view! {
            <h1 class="unseen">"Overview"</h1>
            {crate::pages::alerts::strip(request, &overview.firing)}
            {services_section(request, overview)}
            {strip(request, &overview.strip)}
        }
        .into_any()
    };
    Screen { title: "Overview".to_owned(), has_time: true, status: StatusCode::OK, content }
}

fn strip(request: &PageRequest, strip: &[(&'static str, Result<Counts, QueryError>)]) -> AnyView {
    let first = strip.iter().find_map(|(_, counts)| counts.as_ref().ok());
    let errors: Vec<_> =
        strip.iter().filter_map(|(_, counts)| counts.as_ref().err()).map(|error| parts::error("", error)).collect();
    let chart = first.map(|first| {
        let series = strip.iter().filter_map(|(name, counts)| Some((name, counts.as_ref().ok()?)));
        let bars = StackedBars {
            what: "events",
            start_ns: first.start,
            step_ns: first.step_ns,
            buckets: first.buckets,
            series: series
                .enumerate()
                .map(|(number, (name, counts))| BarSeries {
                    label: (*name).to_owned(),
                    class: format!("signal-{number}"),
                    counts: summed(counts),
                })
                .collect(),
        };
        let seconds = request.time.length() as f64 / 1e9;
        let rates: Vec<_> = bars
            .series
            .iter()
            .map(|series| {
                let rate = series.counts.iter().sum::<u64>() as f64 / seconds.max(1e-3);
                format!("{} {}/s", format::short(rate), series.label)
            })
            .collect();
        view! {
            <p class="covers">{rates.join(" · ")}</p>
            {histogram(&bars, "/", &request.params)}
        }
    });
    view! { <section aria-labelledby="strip-head"><h2 id="strip-head">"Coming in"</h2>{errors}{chart}</section> }
        .into_any()
}

/// The counts of all series of an answer, bucket by bucket.
fn summed(counts: &Counts) -> Vec<u64> {
    let mut sums = vec![0; counts.buckets];
    for series in &counts.series {
        for (sum, count) in sums.iter_mut().zip(&series.counts) {
            *sum += count;
        }
    }
    sums
}

fn services_section(request: &PageRequest, overview: &Overview) -> AnyView {
    let filter = request.params.get("filter").unwrap_or("").trim().to_owned();
    let content = match &overview.services {
        Err(error) => parts::error("", error),
        Ok((services, coverage)) => {
            let mut shown: Vec<&ServiceSummary> = services
                .iter()
                .filter(|service| service.name.to_lowercase().contains(&filter.to_lowercase()))
                .collect();
            let sort = request.params.get("sort").unwrap_or("worst");
            sort_services(&mut shown, sort);
            if services.is_empty() {
                let wider = request.here(&request.params.without("end").with("start", "-24h"));
                view! { <p class="quiet">"No service sent anything in this range. "<a href=wider>"Look at the last 24 hours"</a></p> }.into_any()
            } else {
                view! { {services_table(request, &shown, sort)}{parts::coverage(shown.len(), "service", &Coverage { matched: services.len() as u64, ..coverage.clone() })} }
                    .into_any()
            }
        }
    };
    view! {
        <section aria-labelledby="services-head">
            <div class="section-head">
                <h2 id="services-head">"Services"</h2>
                <form method="get" action="/" class="inline">
                    {parts::hidden_inputs(&request.params.without("filter"))}
                    <input type="search" name="filter" value=filter placeholder="Filter services" aria-label="Filter services" />
                    <button>"Filter"</button>
                </form>
            </div>
            {content}
        </section>
    }
    .into_any()
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

fn services_table(request: &PageRequest, services: &[&ServiceSummary], sort: &str) -> AnyView {
    let heads: Vec<_> = [
        ("name", "Service", ""),
        ("rate", "Requests/s", "num"),
        ("errors", "Errors", "num"),
        ("p50", "p50", "num"),
        ("p95", "p95", "num"),
        ("p99", "p99", "num"),
        ("logs", "Error logs/min", "num"),
    ]
    .into_iter()
    .map(|(key, words, class)| {
        let order = (sort == key).then_some(if key == "name" { "ascending" } else { "descending" });
        view! { <th scope="col" class=class aria-sort=order><a href=request.here(&request.params.with("sort", key))>{words}</a></th> }
    })
    .collect();
    let minutes = (request.time.length() as f64 / 60e9).max(1e-6);
    let rows: Vec<_> = services.iter().map(|service| service_row(request, service, minutes)).collect();
    let order = if sort == "worst" {
        view! { <p class="quiet order">"Worst first"</p> }.into_any()
    } else {
        view! { <p class="quiet order"><a href=request.here(&request.params.without("sort"))>"Worst first"</a></p> }
            .into_any()
    };
    view! {
        {order}
        <div class="table-wrap">
            <table class="services">
                <thead><tr>{heads}<th scope="col">"Version"</th><th scope="col">"Go to"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn service_row(request: &PageRequest, service: &ServiceSummary, minutes: f64) -> AnyView {
    let as_f64 = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect::<Vec<_>>();
    let term = parts::field_term("service.name", &service.name);
    let failing = request.search("/traces", &format!("{term} status:error"));
    let slow = request.time.params().with("q", &term).with("order", "slowest").on("/traces");
    let error_logs = request.search("/logs", &format!("{term} level>=error"));
    let previous = service.previous.as_ref();
    let moved = |now: f64, before: Option<f64>, is_bad_up: bool| {
        let text = before.map(|before| format::change(now, before)).unwrap_or_default();
        let is_up = text.starts_with('+') || text.starts_with('×');
        let class = if is_bad_up && is_up { "change worse" } else { "change" };
        view! { <span class=class>{text}</span> }
    };
    let duration = |ns: Option<i64>| ns.map_or_else(|| "–".to_owned(), format::duration);
    let p95: Vec<f64> = service.p95_series_ns.iter().map(|ns| *ns as f64).collect();
    let has_errors = service.errors > 0;
    let error_class = if has_errors { "num bad" } else { "num" };
    let log_class = if service.error_logs > 0 { "num bad" } else { "num" };
    let versions = service.versions.join(", ");
    view! {
        <tr>
            <th scope="row"><a href=request.search("/traces", &term) data-row="">{parts::service(&service.name)}</a></th>
            <td class="num">
                {sparkline(&as_f64(&service.request_counts), "calm")}
                <a href=request.search("/traces", &term)>{format::short(service.requests_per_second)}</a>
                {moved(service.requests as f64, previous.map(|before| before.requests as f64), false)}
            </td>
            <td class=error_class>
                {sparkline(&as_f64(&service.error_counts), "bad")}
                <a href=failing>{has_errors.then_some("✖ ")}{format::percent(service.error_ratio)}</a>
                {moved(service.errors as f64, previous.map(|before| before.errors as f64), true)}
            </td>
            <td class="num">{duration(service.p50_ns)}</td>
            <td class="num">
                {sparkline(&p95, "calm")}
                <a href=slow>{duration(service.p95_ns)}</a>
                {moved(service.p95_ns.unwrap_or(0) as f64, previous.and_then(|before| before.p95_ns).map(|ns| ns as f64), true)}
            </td>
            <td class="num">{duration(service.p99_ns)}</td>
            <td class=log_class>
                {sparkline(&as_f64(&service.error_log_counts), "bad")}
                <a href=error_logs>{format::short(service.error_logs as f64 / minutes)}</a>
                {moved(service.error_logs as f64, previous.map(|before| before.error_logs as f64), true)}
            </td>
            <td class="mono">{versions}</td>
            <td class="goto"><a href=request.search("/logs", &term)>"logs"</a>" "<a href=request.search("/traces", &term)>"traces"</a></td>
        </tr>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_cut_about_as_asked() {
        assert_eq!(round_step(15 * 60 * 1_000_000_000, 60), Duration::from_secs(15));
        assert_eq!(round_step(3_600 * 1_000_000_000, 60), Duration::from_mins(1));
        assert_eq!(round_step(1_000_000_000, 60), Duration::from_millis(20));
        assert!(round_step(i64::MAX, 60) > Duration::from_hours(24));
        assert_eq!(round_step(0, 60), Duration::from_millis(1));
    }
}
