//! One service: how it fares, who calls it, what it calls, what goes wrong in it, where it runs.

mod charts;
mod problems;
mod tables;

use crate::answers::round_step;
use crate::chart::sparkline::sparkline;
use crate::context::UiContext;
use crate::format;
use crate::pages::alerts::elsewhere::{self, AlertHistory};
use crate::pages::map::links;
use crate::pages::{first_steps, not_found};
use crate::parts::{self, code, field_term};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf, trv};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_alerts::AlertView;
use mangru_query::{
    Coverage, Exceptions, ExceptionsRequest, Figures, Heat, HeatRequest, LogRow, Operation, Page, QueryError,
    QueryService, RowsRequest, ServiceCalls, SqlRequest, SqlResult, Stats, StatsRequest,
};
use mangru_store::{Signal, TimeRange};
use std::sync::Arc;

const BUCKETS: i64 = 60;
const HEAT_COLUMNS: usize = 60;
const EXCEPTIONS: usize = 8;
const ERROR_LOGS: usize = 12;
const INSTANCES: usize = 50;
const METRICS: usize = 200;
/// What tells the instances of a service apart, the best first.
const INSTANCE_FIELDS: [&str; 3] = ["resource.service.instance.id", "resource.k8s.pod.name", "resource.host.name"];

/// What the screen shows.
pub(crate) struct Service {
    /// `service.name`.
    pub(crate) name: String,
    /// A search for its requests: its server and consumer spans, all its spans when it has none of these.
    pub(crate) requests: String,
    /// Figures of its requests over time.
    pub(crate) stats: Result<Stats, QueryError>,
    /// The same of the window before, in one bucket.
    pub(crate) before: Result<Stats, QueryError>,
    /// Its requests by start and duration.
    pub(crate) heat: Result<Heat, QueryError>,
    /// What it does, the most frequent first.
    pub(crate) operations: Result<(Vec<Operation>, Coverage), QueryError>,
    /// Who calls it, and what it calls.
    pub(crate) calls: Result<ServiceCalls, QueryError>,
    /// What was thrown in it.
    pub(crate) exceptions: Result<Exceptions, QueryError>,
    /// Its newest error logs.
    pub(crate) error_logs: Result<Page<LogRow>, QueryError>,
    /// The field that tells its instances apart, and the figures of each.
    pub(crate) instances: (&'static str, Result<Stats, QueryError>),
    /// Figures of its versions over time.
    pub(crate) versions: Result<Stats, QueryError>,
    /// What it measures.
    pub(crate) metrics: Result<SqlResult, QueryError>,
    /// Its alerts that fire.
    pub(crate) firing: Vec<AlertView>,
    /// What alerts did in the range.
    pub(crate) alerts: AlertHistory,
}

fn figures(
    query: &str,
    range: TimeRange,
    by: Option<&str>,
    step: Option<std::time::Duration>,
    top: usize,
) -> StatsRequest {
    StatsRequest {
        query: query.to_owned(),
        range,
        field: "duration".to_owned(),
        extract: None,
        by: by.map(str::to_owned),
        step,
        top,
    }
}

/// Whether a group has a value.
fn is_told_apart(stats: &Result<Stats, QueryError>) -> bool {
    stats
        .as_ref()
        .is_ok_and(|stats| stats.series.iter().any(|series| series.key.as_ref().is_some_and(|key| !key.is_empty())))
}

/// What is told of a service's requests.
struct OfRequests {
    query: String,
    stats: Result<Stats, QueryError>,
    before: Result<Stats, QueryError>,
    versions: Result<Stats, QueryError>,
    instances: (&'static str, Result<Stats, QueryError>),
    heat: Result<Heat, QueryError>,
}

impl OfRequests {
    /// Asks for all of it.
    async fn of(query: &QueryService, own: &str, range: TimeRange) -> Self {
        let length = range.end.saturating_sub(range.start);
        let entries = format!("{own} kind:(server OR consumer)");
        let step = Some(round_step(length, BUCKETS));
        let first = query.stats(Signal::Spans, &figures(&entries, range, None, step, 1)).await;
        let has_entries = first.as_ref().map_or(true, |stats| stats.series.iter().any(|series| series.total.rows > 0));
        let (requests, stats) = if has_entries {
            (entries, first)
        } else {
            (own.to_owned(), query.stats(Signal::Spans, &figures(own, range, None, step, 1)).await)
        };
        let before = TimeRange { start: range.start.saturating_sub(length), end: range.start };
        let of_before = figures(&requests, before, None, None, 1);
        let of_versions = figures(&requests, range, Some("resource.service.version"), step, 20);
        let of_instances = figures(&requests, range, Some(INSTANCE_FIELDS[0]), None, INSTANCES);
        let heat = HeatRequest { query: requests.clone(), range, columns: HEAT_COLUMNS, max_points: 0 };
        let (before, versions, by_instance, heat) = futures::join!(
            query.stats(Signal::Spans, &of_before),
            query.stats(Signal::Spans, &of_versions),
            query.stats(Signal::Spans, &of_instances),
            query.heat(&heat),
        );
        let mut instances = (INSTANCE_FIELDS[0], by_instance);
        for field in &INSTANCE_FIELDS[1..] {
            if is_told_apart(&instances.1) {
                break;
            }
            let stats = query.stats(Signal::Spans, &figures(&requests, range, Some(field), None, INSTANCES)).await;
            instances = (field, stats);
        }
        Self { query: requests, stats, before, versions, instances, heat }
    }
}

impl Service {
    /// Asks for all that the page shows.
    async fn of(context: &UiContext, name: &str, request: &PageRequest) -> Self {
        let query = &context.query;
        let range = request.time.range;
        let own = field_term("service.name", name);
        let exceptions = ExceptionsRequest { query: own.clone(), range, limit: EXCEPTIONS, buckets: 30 };
        let error_logs = RowsRequest { query: format!("{own} level>=error"), range, limit: ERROR_LOGS, cursor: None };
        let metrics = SqlRequest {
            sql: format!(
                "SELECT metric_name, min(metric_type) AS metric_type, min(metric_unit) AS metric_unit, min(metric_description) AS metric_description, \
                 count(DISTINCT series_id) AS series FROM metric_points WHERE service_name = '{}' GROUP BY metric_name ORDER BY metric_name",
                name.replace('\'', "''")
            ),
            range,
            limit: METRICS,
        };
        let (of_requests, operations, calls, exceptions, error_logs, metrics, firing, alerts) = futures::join!(
            OfRequests::of(query, &own, range),
            query.operations(name, range),
            query.calls_of(name, range),
            query.exceptions(&exceptions),
            query.logs(&error_logs),
            query.sql(&metrics),
            elsewhere::firing_in(context, request, name),
            AlertHistory::of(context, request),
        );
        let OfRequests { query: requests, stats, before, versions, instances, heat } = of_requests;
        Self {
            name: name.to_owned(),
            requests,
            stats,
            before,
            heat,
            operations,
            calls,
            exceptions,
            error_logs,
            instances,
            versions,
            metrics,
            firing,
            alerts,
        }
    }

    /// Whether nothing at all is known of it in the range.
    fn is_silent(&self) -> bool {
        let has_spans = self.operations.as_ref().is_ok_and(|(operations, _)| !operations.is_empty());
        let has_logs = self.error_logs.as_ref().is_ok_and(|logs| logs.coverage.matched > 0);
        let has_metrics = self.metrics.as_ref().is_ok_and(|metrics| !metrics.rows.is_empty());
        let has_failed = self.operations.is_err() || self.error_logs.is_err() || self.metrics.is_err();
        !has_spans && !has_logs && !has_metrics && !has_failed
    }
}

/// Answers `/services/{name}`.
pub(crate) async fn handle(
    State(context): State<Arc<UiContext>>,
    Path(name): Path<String>,
    request: PageRequest,
) -> Response {
    answer(&context, &name, &request).await
}

/// Answers `/services?name=`, for the names that no path can carry: `.` and `..`.
pub(crate) async fn handle_named(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    match request.params.get("name") {
        Some(name) => answer(&context, name, &request).await,
        None => page(&request, || not_found(tr("A service is asked for by its name."))),
    }
}

async fn answer(context: &UiContext, name: &str, request: &PageRequest) -> Response {
    if let Some(first_steps) = first_steps(context, request, || tr("Service")) {
        return first_steps;
    }
    let service = Box::pin(Service::of(context, name, request)).await;
    page(request, || screen(request, &service))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, service: &Service) -> Screen {
    let content = if service.is_silent() {
        silent(request, service)
    } else {
        view! {
            {elsewhere::of_service(request, &service.firing)}
            {head(request, service)}
            {charts::charts(request, service)}
            <div class="service-columns">
                <section aria-labelledby="heat-head"><h2 id="heat-head" class="unseen">{tr("Latency")}</h2>{charts::heat(request, service)}</section>
                {tables::neighbours(request, service)}
            </div>
            {tables::operations(request, service)}
            <div class="service-halves">
                {problems::exceptions(request, service)}
                {problems::error_logs(request, service)}
            </div>
            <div class="service-halves">
                {tables::places(request, service)}
                {tables::metrics(request, service)}
            </div>
        }
        .into_any()
    };
    let title = trf("Service {0}", &[&format::clipped(&service.name, 80)]);
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

fn silent(request: &PageRequest, service: &Service) -> AnyView {
    let wider = request.here(&request.params.without("end").with("start", "-24h"));
    let logs = request.search("/logs", &field_term("service.name", &service.name));
    view! {
        {elsewhere::of_service(request, &service.firing)}
        <h1>{parts::service(&service.name)}</h1>
        <div class="empty">
            <p>{tr("Nothing of this service in this range: no span, no error log, no metric.")}" "<a href=wider>{tr("Look at the last 24 hours")}</a>" · "<a href=logs>{tr("All its logs")}</a></p>
            <p class="quiet">{trv("A service is what its resource attribute {0} says. Set it with {1}.", [code("service.name"), code("OTEL_SERVICE_NAME")])}</p>
        </div>
    }
    .into_any()
}

/// The sum of all requests in the range.
fn total(stats: &Result<Stats, QueryError>) -> Figures {
    stats.as_ref().ok().and_then(|stats| stats.series.first()).map(|series| series.total.clone()).unwrap_or_default()
}

fn head(request: &PageRequest, service: &Service) -> AnyView {
    let now = total(&service.stats);
    // Where it was not there before there is nothing to compare with.
    let before = Some(total(&service.before)).filter(|before| before.rows > 0);
    let duration = |ns: Option<f64>| format::duration_or_dash(ns.map(|ns| ns as i64));
    // One of the percentiles, with the way to the spans behind it.
    let percentile = |name: &'static str, of: fn(&Figures) -> Option<f64>, href: String| {
        let moved = parts::moved(of(&now).unwrap_or(0.0), before.as_ref().and_then(of), true);
        view! { <div class="stat"><dt>{name}</dt><dd><a href=href>{duration(of(&now))}</a>{moved}</dd></div> }
    };
    let of = |term: &str| request.search("/traces", &format!("{} {term}", service.requests));
    let any = |term: &str| request.time.params().with("q", &service.requests).with("order", term).on("/traces");
    let ratio = parts::error_ratio(&now);
    let own = field_term("service.name", &service.name);
    let id = service
        .calls
        .as_ref()
        .ok()
        .and_then(|calls| {
            calls.nodes.iter().find(|node| node.kind == mangru_query::NodeKind::Service && node.name == service.name)
        })
        .map(|node| node.id.clone());
    let map = id.map(
        |id| view! { <a class="button" href=request.time.params().with("focus", &id).on("/map")>{tr("On the map")}</a> },
    );
    let beyond = |percentile: Option<f64>| of(&format!("duration>={}ns", percentile.unwrap_or(0.0) as i64));
    let error_class = if now.errors > 0 { "stat bad" } else { "stat" };
    view! {
        <div class="service-head">
            <div class="service-name">
                <h1>{parts::service(&service.name)}</h1>
                <p class="hand-overs">
                    <a class="button" href=request.search("/logs", &own)>{tr("Logs")}</a>
                    <a class="button" href=request.search("/traces", &own)>{tr("Traces")}</a>
                    {map}
                </p>
            </div>
            <dl class="stats">
                <div class="stat"><dt>{tr("Requests")}</dt><dd><a href=request.search("/traces", &service.requests)>{format!("{}/s", format::short(now.rows_per_second))}</a>{parts::moved(now.rows as f64, before.as_ref().map(|before| before.rows as f64), false)}</dd></div>
                <div class=error_class><dt>{tr("Errors")}</dt><dd><a href=of("status:error")>{parts::error_words(now.errors, ratio)}</a>{parts::moved(ratio, before.as_ref().map(parts::error_ratio), true)}</dd></div>
                {percentile("p50", |figures| figures.p50, any("newest"))}
                {percentile("p95", |figures| figures.p95, beyond(now.p95))}
                {percentile("p99", |figures| figures.p99, beyond(now.p99))}
            </dl>
        </div>
    }
    .into_any()
}

/// A count over time in a word's size.
pub(super) fn trend(counts: &[u64], class: &'static str) -> AnyView {
    let values: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    sparkline(&values, class)
}

/// The address of another service's page.
pub(super) fn page_of(request: &PageRequest, name: &str) -> String {
    links::service_page(request, name)
}
