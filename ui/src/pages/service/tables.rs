//! A service in tables: its operations, who calls it and what it calls, where it runs, what it measures.

use super::{Service, page_of};
use crate::format;
use crate::pages::map::{links, table};
use crate::params::Params;
use crate::parts::{self, field_term};
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Figures, MapEdge, NodeKind, Operation, SPAN_KINDS, Stats};
use serde_json::Value;

/// Operations shown at first.
const OPERATIONS: usize = 25;

/// The operations with rate, errors and percentiles; sorted by the address.
pub(super) fn operations(request: &PageRequest, service: &Service) -> AnyView {
    let content = match &service.operations {
        Err(error) => parts::error("", error),
        Ok((operations, coverage)) => {
            let mut operations: Vec<&Operation> = operations.iter().collect();
            let sort = request.params.get("sort").unwrap_or("requests");
            let by = |operation: &Operation| match sort {
                "errors" => operation.errors as f64 / operation.requests.max(1) as f64,
                "p50" => operation.p50_ns as f64,
                "p95" => operation.p95_ns as f64,
                "p99" => operation.p99_ns as f64,
                "time" => operation.requests as f64 * operation.p50_ns as f64,
                _ => operation.requests as f64,
            };
            operations.sort_by(|one, other| by(other).total_cmp(&by(one)).then_with(|| one.name.cmp(&other.name)));
            let total = operations.len();
            let is_whole = request.params.get("all").is_some() || total <= OPERATIONS;
            let shown = if is_whole { total } else { OPERATIONS };
            let seconds = request.time.length() as f64 / 1e9;
            let rows: Vec<_> = operations[..shown]
                .iter()
                .map(|operation| operation_row(request, service, operation, seconds))
                .collect();
            let heads: Vec<_> =
                [("requests", tr("Spans/s")), ("errors", tr("Errors")), ("p50", "p50"), ("p95", "p95"), ("p99", "p99")]
                    .into_iter()
                    .map(|(key, words)| {
                        let order = (sort == key).then_some("descending");
                        let address = format!("{}#operations", request.here(&request.params.with("sort", key)));
                        view! { <th scope="col" class="num" aria-sort=order><a href=address>{words}</a></th> }
                    })
                    .collect();
            let all = (!is_whole).then(|| {
                let address = format!("{}#operations", request.here(&request.params.with("all", "operations")));
                view! { <p><a href=address>{trf("All {0} operations", &[&total.to_string()])}</a></p> }
            });
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr><th scope="col">{tr("Operation")}</th><th scope="col">{tr("Kind")}</th>{heads}<th scope="col">{tr("Go to")}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
                {all}{parts::incomplete(coverage)}
            }
            .into_any()
        }
    };
    view! { <section aria-labelledby="operations"><h2 id="operations">{tr("Operations")}</h2>{content}</section> }
        .into_any()
}

fn operation_row(request: &PageRequest, service: &Service, operation: &Operation, seconds: f64) -> AnyView {
    let kind =
        usize::try_from(operation.kind).ok().and_then(|kind| SPAN_KINDS.get(kind)).copied().unwrap_or("unspecified");
    let query =
        format!("{} {} kind:{kind}", field_term("service.name", &service.name), field_term("name", &operation.name));
    let slow = request.time.params().with("q", &query).with("order", "slowest").on("/traces");
    let beyond = |ns: i64| request.search("/traces", &format!("{query} duration>={ns}ns"));
    let ratio = operation.errors as f64 / operation.requests.max(1) as f64;
    let failing = request.search("/traces", &format!("{query} status:error"));
    let different = format!(
        "{}#different",
        request
            .time
            .params()
            .with("q", &query)
            .with("compare", if operation.errors > 0 { "errors" } else { "slow" })
            .on("/traces")
    );
    view! {
        <tr>
            <th scope="row"><a href=request.search("/traces", &query) data-row="">{operation.name.clone()}</a></th>
            <td>{kind}</td>
            <td class="num">{format::short(operation.requests as f64 / seconds.max(1e-9))}</td>
            {parts::error_cell(operation.errors, ratio, failing)}
            <td class="num">{format::duration(operation.p50_ns)}</td>
            <td class="num"><a href=beyond(operation.p95_ns)>{format::duration(operation.p95_ns)}</a></td>
            <td class="num"><a href=beyond(operation.p99_ns)>{format::duration(operation.p99_ns)}</a></td>
            <td class="goto"><a href=slow>{tr("slowest")}</a>" "<a href=different>{tr("what differs")}</a></td>
        </tr>
    }
    .into_any()
}

/// Who calls the service, and what it calls.
pub(super) fn neighbours(request: &PageRequest, service: &Service) -> AnyView {
    let content = match &service.calls {
        Err(error) => parts::error("", error),
        Ok(map) => {
            let (upstream, downstream) = links::neighbours(map, &service.name);
            let all: Vec<_> = map.nodes.iter().collect();
            let row = |edge: &MapEdge, other: &str| {
                let node = all.iter().find(|node| node.id == other)?;
                let calls = links::edge(request, &all, edge, "");
                let failing = links::failing_edge(request, &all, edge, "");
                let page = if node.kind == NodeKind::Service { page_of(request, &node.name) } else { calls.clone() };
                Some(view! {
                    <tr>
                        <th scope="row"><a href=page data-row="">{table::name(node)}</a></th>
                        <td class="quiet">{table::kind_words(edge.kind)}</td>
                        <td class="num"><a href=calls>{format::short(edge.figures.calls_per_second)}</a></td>
                        {parts::error_cell(edge.figures.errors, edge.figures.error_ratio, failing)}
                        <td class="num">{format::duration_or_dash(edge.figures.p95_ns)}</td>
                    </tr>
                })
            };
            let rows_of = |edges: &[&MapEdge], is_up: bool| -> Vec<_> {
                edges.iter().filter_map(|edge| row(edge, if is_up { &edge.from } else { &edge.to })).collect()
            };
            let (up, down) = (rows_of(&upstream, true), rows_of(&downstream, false));
            let none = |is_empty: bool| {
                is_empty.then(|| view! { <tr><td colspan="5" class="quiet">{tr("none in this range")}</td></tr> })
            };
            let (no_up, no_down) = (none(up.is_empty()), none(down.is_empty()));
            view! {
                <div class="table-wrap"><table class="dense neighbours">
                    <thead><tr><th scope="col">{tr("Called by")}</th><th scope="col">{tr("Kind")}</th><th scope="col" class="num">{tr("Calls/s")}</th><th scope="col" class="num">{tr("Errors")}</th><th scope="col" class="num">"p95"</th></tr></thead>
                    <tbody>{up}{no_up}</tbody>
                </table></div>
                <div class="table-wrap"><table class="dense neighbours">
                    <thead><tr><th scope="col">{tr("Calls")}</th><th scope="col">{tr("Kind")}</th><th scope="col" class="num">{tr("Calls/s")}</th><th scope="col" class="num">{tr("Errors")}</th><th scope="col" class="num">"p95"</th></tr></thead>
                    <tbody>{down}{no_down}</tbody>
                </table></div>
                {parts::incomplete(&map.coverage)}
            }
            .into_any()
        }
    };
    view! { <section aria-labelledby="neighbours-head"><h2 id="neighbours-head" class="unseen">{tr("Upstream and downstream")}</h2>{content}</section> }.into_any()
}

fn group_rows(request: &PageRequest, service: &Service, field: &str, stats: &Stats) -> Vec<AnyView> {
    stats
        .series
        .iter()
        .filter_map(|series| {
            let key = series.key.as_ref().filter(|key| !key.is_empty())?;
            let query = format!("{} {}", service.requests, field_term(field, key));
            let all = format!("{} {}", field_term("service.name", &service.name), field_term(field, key));
            let figures: &Figures = &series.total;
            let failing = request.search("/traces", &format!("{query} status:error"));
            Some(
                view! {
                    <tr>
                        <th scope="row"><a href=request.search("/traces", &query) data-row="" class="mono">{format::clipped(key, 60)}</a></th>
                        <td class="num">{format::short(figures.rows_per_second)}</td>
                        {parts::error_cell(figures.errors, parts::error_ratio(figures), failing)}
                        <td class="num">{format::duration_or_dash(figures.p95.map(|ns| ns as i64))}</td>
                        <td class="goto"><a href=request.search("/logs", &all)>{tr("logs")}</a></td>
                    </tr>
                }
                .into_any(),
            )
        })
        .collect()
}

/// Where the service runs: its versions and its instances.
pub(super) fn places(request: &PageRequest, service: &Service) -> AnyView {
    let one = |words: &'static str,
               field: &str,
               stats: &Result<Stats, mangru_query::QueryError>,
               teaches: &'static str| match stats {
        Err(error) => parts::error("", error),
        Ok(stats) => {
            let rows = group_rows(request, service, field, stats);
            if rows.is_empty() {
                return view! { <p class="quiet">{teaches}</p> }.into_any();
            }
            view! {
                <div class="table-wrap"><table class="dense places">
                    <thead><tr><th scope="col">{words}</th><th scope="col" class="num">{tr("Requests/s")}</th><th scope="col" class="num">{tr("Errors")}</th><th scope="col" class="num">"p95"</th><th scope="col">{tr("Go to")}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
                {parts::incomplete(&stats.coverage)}
            }
            .into_any()
        }
    };
    view! {
        <section aria-labelledby="places-head">
            <h2 id="places-head">{tr("Versions and instances")}</h2>
            {one(tr("Version"), "resource.service.version", &service.versions, tr("Its spans name no service.version: set it in OTEL_RESOURCE_ATTRIBUTES to compare versions here."))}
            {one(tr("Instance"), service.instances.0, &service.instances.1, tr("Its spans name no service.instance.id, pod or host."))}
        </section>
    }
    .into_any()
}

/// What the service measures.
pub(super) fn metrics(request: &PageRequest, service: &Service) -> AnyView {
    let content = match &service.metrics {
        Err(error) => parts::error("", error),
        Ok(metrics) if metrics.rows.is_empty() => {
            view! { <p class="quiet">{tr("It sent no metric in this range.")}</p> }.into_any()
        }
        Ok(metrics) => {
            let rows: Vec<_> = metrics
                .rows
                .iter()
                .map(|row| {
                    let cell = |name: &str| {
                        metrics
                            .columns
                            .iter()
                            .position(|column| column.name == name)
                            .and_then(|at| row.get(at))
                            .unwrap_or(&Value::Null)
                    };
                    let text = |name: &str| parts::plain(cell(name));
                    let name = text("metric_name");
                    let address = Params::default().with("name", &name);
                    let address = request
                        .time
                        .params()
                        .pairs()
                        .iter()
                        .fold(address, |all, (name, value)| all.with(name, value))
                        .on("/metrics/explore");
                    let unit = text("metric_unit");
                    view! {
                        <tr>
                            <th scope="row"><a href=address data-row="" class="mono">{name}</a></th>
                            <td>{text("metric_type")}{(!unit.is_empty()).then(|| format!(" {}", trf("in {0}", &[&unit])))}</td>
                            <td class="num">{cell("series").as_u64().map_or_else(|| text("series"), format::count)}</td>
                            <td class="quiet">{format::clipped(&text("metric_description"), 80)}</td>
                        </tr>
                    }
                })
                .collect();
            view! {
                <div class="table-wrap"><table class="dense">
                    <thead><tr><th scope="col">{tr("Metric")}</th><th scope="col">{tr("Type")}</th><th scope="col" class="num">{tr("Series")}</th><th scope="col">{tr("Description")}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table></div>
            }
            .into_any()
        }
    };
    view! { <section aria-labelledby="metrics-head"><h2 id="metrics-head">{tr("Metrics")}</h2>{content}</section> }
        .into_any()
}
