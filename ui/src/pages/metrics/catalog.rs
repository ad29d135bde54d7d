//! The metrics there are: a table to browse, a list beside a chart, and the query that suits each.

use super::Asked;
use crate::clock::{Show, row_time};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Coverage, MetricSummary};

/// Names that are listed beside a chart.
const LISTED: usize = 500;

/// The query that shows a metric best: a counter grows, a histogram has a quantile, a gauge is what it is.
pub(super) fn query_of(metric: &MetricSummary) -> String {
    let name = &metric.promql_name;
    match metric.metric_type.as_str() {
        "histogram" => format!("histogram_quantile(0.95, sum by (le, service_name) (rate({name}_bucket[5m])))"),
        "exponential_histogram" => format!("sum by (service_name) (rate({name}_count[5m]))"),
        "sum" if metric.is_monotonic => format!("sum by (service_name) (rate({name}[5m]))"),
        _ => name.clone(),
    }
}

/// Whether a query names a metric, or one of the series of a histogram.
pub(super) fn names_metric(query: &str, name: &str) -> bool {
    query
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))
        .any(|word| word.strip_prefix(name).is_some_and(|ending| matches!(ending, "" | "_bucket" | "_sum" | "_count")))
}

/// Where a metric leads.
fn address(request: &PageRequest, metric: &MetricSummary) -> String {
    request.here(&request.params.without("q").without("name").without("view").with("q", &query_of(metric)))
}

/// Where the heat map of a histogram leads.
fn heat_address(request: &PageRequest, metric: &MetricSummary) -> Option<String> {
    let query = format!("sum by (le) (increase({}_bucket[1m]))", metric.promql_name);
    let params = request.params.without("q").without("name").with("q", &query).with("view", "heat");
    (metric.metric_type == "histogram").then(|| request.here(&params))
}

fn filter_of(request: &PageRequest) -> String {
    request.params.get("filter").unwrap_or("").trim().to_lowercase()
}

fn is_wanted(metric: &MetricSummary, filter: &str) -> bool {
    [&metric.name, &metric.promql_name, &metric.description].iter().any(|text| text.to_lowercase().contains(filter))
}

fn filter_form(request: &PageRequest) -> AnyView {
    let filter = request.params.get("filter").unwrap_or("").to_owned();
    view! {
        <form method="get" action="/metrics/explore" class="inline">
            {parts::hidden_inputs(&request.params.without("filter"))}
            <input type="search" name="filter" value=filter placeholder=tr("Filter metrics") aria-label=tr("Filter metrics") />
            <button>{tr("Filter")}</button>
        </form>
    }
    .into_any()
}

/// All metrics with what is known of them.
pub(super) fn table(request: &PageRequest, names: &[MetricSummary], coverage: &Coverage) -> AnyView {
    if names.is_empty() {
        let wider = request.here(&request.params.without("end").with("start", "-24h"));
        return view! {
            <section class="empty">
                <h2>{tr("No metric points in this range")}</h2>
                <p><a href=wider>{tr("Look at the last 24 hours")}</a></p>
                <p>{tr("An OpenTelemetry SDK sends metrics where it sends spans. Prometheus remote write and scraped metrics end up here too.")}</p>
            </section>
        }
        .into_any();
    }
    let filter = filter_of(request);
    let wanted: Vec<&MetricSummary> = names.iter().filter(|metric| is_wanted(metric, &filter)).collect();
    let rows: Vec<_> = wanted
        .iter()
        .map(|metric| {
            let heat = heat_address(request, metric).map(|address| view! { " "<a href=address class="quiet">{tr("heat map")}</a> });
            view! {
                <tr>
                    <th scope="row"><a class="mono" href=address(request, metric) data-row="">{metric.name.clone()}</a>{heat}</th>
                    <td>{metric.metric_type.replace('_', " ")}</td>
                    <td class="mono">{metric.unit.clone()}</td>
                    <td class="num">{format::count(metric.series)}</td>
                    <td class="num">{format::count(metric.points)}</td>
                    <td>{row_time(&metric.newest_unix_nano, Show::Row)}</td>
                    <td class="quiet">{format::clipped(&metric.description, 160)}</td>
                </tr>
            }
        })
        .collect();
    let says = trf(
        "{0} of {1} metrics, {2} series, {3} points, {4} ms",
        &[
            &format::count(wanted.len() as u64),
            &format::count(names.len() as u64),
            &format::count(names.iter().map(|metric| metric.series).sum()),
            &format::count(names.iter().map(|metric| metric.points).sum()),
            &format!("{:.0}", coverage.elapsed_ms),
        ],
    );
    view! {
        <section aria-labelledby="names-head">
            <div class="section-head"><h2 id="names-head">{tr("Metrics in this range")}</h2>{filter_form(request)}</div>
            <p class="covers">{says}{parts::incomplete(coverage)}</p>
            <div class="table-wrap"><table class="dense">
                <thead><tr>
                    <th scope="col">{tr("Name")}</th><th scope="col">{tr("Type")}</th><th scope="col">{tr("Unit")}</th>
                    <th scope="col" class="num">{tr("Series")}</th><th scope="col" class="num">{tr("Points")}</th>
                    <th scope="col">{tr("Newest")}</th><th scope="col">{tr("Description")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table></div>
        </section>
    }
    .into_any()
}

/// The names beside a chart.
pub(super) fn list(request: &PageRequest, names: &[MetricSummary], asked: &[Asked]) -> AnyView {
    let filter = filter_of(request);
    let wanted: Vec<&MetricSummary> = names.iter().filter(|metric| is_wanted(metric, &filter)).collect();
    let rows: Vec<_> = wanted
        .iter()
        .take(LISTED)
        .map(|metric| {
            let is_shown = asked.iter().any(|query| names_metric(&query.text, &metric.promql_name));
            let mut about = format!("{}, {}", metric.metric_type.replace('_', " "), format::count(metric.series));
            about = format!("{about} {}", tr("series"));
            if !metric.description.is_empty() {
                about = format!("{about}: {}", format::clipped(&metric.description, 200));
            }
            view! {
                <li><a class="include mono" href=address(request, metric) title=about aria-current=is_shown.then_some("true")>
                    <span>{metric.name.clone()}</span><span class="num">{format::count(metric.series)}</span></a></li>
            }
        })
        .collect();
    let all = request.here(&request.params.without("q").without("name").without("view").without("filter"));
    view! {
        {filter_form(request)}
        <p class="covers"><a href=all>{tr("All metrics with type and description")}</a></p>
        <section class="facet"><h2>{tr("Metrics")}</h2><ul>{rows}</ul></section>
    }
    .into_any()
}
