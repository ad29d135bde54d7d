//! Metrics: what is measured, and the series of one metric as lines.

mod series;

use crate::chart::lines::lines;
use crate::clock::{Show, row_time};
use crate::context::UiContext;
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{QueryError, SqlRequest, SqlResult};
use serde_json::Value;
use std::sync::Arc;

const NAMES: usize = 1000;
const POINTS: usize = 10_000;

/// What the screen shows.
pub(crate) struct Metrics {
    /// Metric names with type, unit, points, series and the newest time.
    pub(crate) names: Result<SqlResult, QueryError>,
    /// The points of the chosen metric, newest first.
    pub(crate) points: Option<Result<SqlResult, QueryError>>,
}

/// Answers `/metrics/explore`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let range = request.time.range;
    let names = SqlRequest {
        sql: "SELECT metric_name, min(metric_type) AS metric_type, min(metric_unit) AS metric_unit, min(metric_description) AS metric_description, \
              count(*) AS points, count(DISTINCT series_id) AS series, max(time) AS newest \
              FROM metric_points GROUP BY metric_name ORDER BY metric_name"
            .to_owned(),
        range,
        limit: NAMES,
    };
    let points = request.params.get("name").map(|name| SqlRequest { sql: points_sql(name), range, limit: POINTS });
    let (names, points) = futures::join!(context.query.sql(&names), async {
        match &points {
            Some(points) => Some(context.query.sql(points).await),
            None => None,
        }
    });
    let metrics = Metrics { names, points };
    page(&request, || screen(&request, &metrics))
}

/// The statement that reads a metric's points; its columns are what [`series`] reads by name.
fn points_sql(name: &str) -> String {
    let literal = name.replace('\'', "''");
    format!(
        "SELECT time, series_id, service_name, attributes, metric_type, metric_unit, aggregation_temporality, is_monotonic, \
         value_int, value_double, count, sum FROM metric_points WHERE metric_name = '{literal}' ORDER BY time DESC"
    )
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, metrics: &Metrics) -> Screen {
    let chosen = request.params.get("name").unwrap_or("");
    let filter = request.params.get("filter").unwrap_or("").trim().to_lowercase();
    let chart = metrics.points.as_ref().map(|points| match points {
        Err(error) => parts::error("", error),
        Ok(points) => chart(request, chosen, points),
    });
    let list = match &metrics.names {
        Err(error) => parts::error("", error),
        Ok(names) => list(request, names, chosen, &filter),
    };
    let content = view! {
        <h1 class="unseen">"Metrics"</h1>
        {chart}
        <section aria-labelledby="names-head">
            <div class="section-head">
                <h2 id="names-head">"Metrics in this range"</h2>
                <form method="get" action="/metrics/explore" class="inline">
                    {parts::hidden_inputs(&request.params.without("filter"))}
                    <input type="search" name="filter" value=filter.clone() placeholder="Filter names" aria-label="Filter metric names" />
                    <button>"Filter"</button>
                </form>
            </div>
            {list}
        </section>
    }
    .into_any();
    let title =
        if chosen.is_empty() { "Metrics".to_owned() } else { format!("Metric {}", format::clipped(chosen, 60)) };
    Screen { title, has_time: true, status: StatusCode::OK, content }
}

/// A cell of a row by the name of its column.
fn cell<'a>(result: &SqlResult, row: &'a [Value], name: &str) -> &'a Value {
    result.columns.iter().position(|column| column.name == name).and_then(|at| row.get(at)).unwrap_or(&Value::Null)
}

fn list(request: &PageRequest, names: &SqlResult, chosen: &str, filter: &str) -> AnyView {
    if names.rows.is_empty() {
        let wider = request.here(&request.params.without("end").with("start", "-24h"));
        return view! { <p class="empty">"No metric points in this range. "<a href=wider>"Look at the last 24 hours"</a></p> }.into_any();
    }
    let rows: Vec<_> = names
        .rows
        .iter()
        .filter_map(|row| {
            let text = |name: &str| parts::plain(cell(names, row, name));
            let number = |name: &str| cell(names, row, name).as_u64().map_or_else(|| text(name), format::count);
            let name = text("metric_name");
            if !name.to_lowercase().contains(filter) {
                return None;
            }
            let address = request.here(&request.params.with("name", &name));
            let is_chosen = name == chosen;
            let newest = text("newest");
            let newest = chrono::DateTime::parse_from_rfc3339(&newest)
                .ok()
                .and_then(|time| time.timestamp_nanos_opt())
                .map_or(newest, |ns| ns.to_string());
            Some(view! {
                <tr aria-current=is_chosen.then_some("true") class=if is_chosen { "is-open" } else { "" }>
                    <th scope="row"><a class="mono" href=address data-row="">{name}</a></th>
                    <td>{text("metric_type")}</td>
                    <td class="mono">{text("metric_unit")}</td>
                    <td class="num">{number("series")}</td>
                    <td class="num">{number("points")}</td>
                    <td>{row_time(&newest, Show::Row)}</td>
                    <td class="quiet">{format::clipped(&text("metric_description"), 120)}</td>
                </tr>
            })
        })
        .collect();
    view! {
        {parts::coverage(rows.len(), "metric", &mangru_query::Coverage { matched: names.rows.len() as u64, ..names.coverage.clone() })}
        <div class="table-wrap"><table class="dense">
            <thead><tr>
                <th scope="col">"Name"</th><th scope="col">"Type"</th><th scope="col">"Unit"</th><th scope="col" class="num">"Series"</th>
                <th scope="col" class="num">"Points"</th><th scope="col">"Newest"</th><th scope="col">"Description"</th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
    }
    .into_any()
}

fn chart(request: &PageRequest, name: &str, points: &SqlResult) -> AnyView {
    let read = series::read(points);
    let sql = request.time.params().with("q", &format!("{}\nLIMIT 100", points_sql(name))).on("/sql");
    let charts: Vec<_> = read
        .charts
        .iter()
        .map(|chart| view! { <h3>{chart.what.clone()}</h3>{lines(&chart.what, &chart.lines, request.time.range)} })
        .collect();
    let cut = (points.rows.len() >= POINTS).then(|| {
        let from = points.rows.last().map(|row| parts::plain(cell(points, row, "time"))).unwrap_or_default();
        view! { " "<strong class="warning">{format!("⚠ the newest {} points, from {from}", format::count(POINTS as u64))}</strong> }
    });
    let left_out = (read.left_out > 0)
        .then(|| view! { " "<strong class="warning">{format!("⚠ {} more series are not drawn", format::count(read.left_out as u64))}</strong> });
    let close = request.here(&request.params.without("name"));
    view! {
        <section class="panel" aria-label="Chart">
            <div class="panel-head"><h2 class="mono">{name.to_owned()}</h2><a href=close data-close="" aria-label="Close">"× close"</a></div>
            <p class="covers">
                {format!("{} of {}, {:.0} ms", format::counted(points.rows.len() as u64, "point"), format::counted(read.series as u64, "series").replace("seriess", "series"), points.coverage.elapsed_ms)}
                {cut}{left_out}" · "<a href=sql>"as SQL"</a>
            </p>
            {charts}
        </section>
    }
    .into_any()
}

/// The moment of a cell, nanoseconds since the Unix epoch.
fn moment(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => chrono::DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| time.timestamp_nanos_opt())
            .or_else(|| {
                chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                    .ok()?
                    .and_utc()
                    .timestamp_nanos_opt()
            })
            .or_else(|| text.parse().ok()),
        Value::Number(number) => number.as_i64(),
        _ => None,
    }
}
