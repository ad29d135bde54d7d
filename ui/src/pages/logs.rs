//! Logs: search, histogram, facets, rows, one row in detail, live tail, export.

mod detail;
pub(crate) mod export;
mod facets;
mod rows;
mod search_bar;

use crate::chart::histogram::{BarSeries, StackedBars, histogram};
use crate::context::UiContext;
use crate::islands::tail::LiveTail;
use crate::pages::overview::round_step;
use crate::palette::Severity;
use crate::params::{Params, encoded};
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{
    CountRequest, Counts, Coverage, Field, FieldValue, FieldValuesRequest, LogRow, Page, QueryError, RowsRequest,
};
use mangru_store::{Signal, TimeRange};
use std::sync::Arc;

const ROWS_PER_PAGE: usize = 100;
const HISTOGRAM_BARS: i64 = 80;
const FACET_VALUES: usize = 8;
const FACETS_ALWAYS: [&str; 2] = ["service.name", "host.name"];
const SURROUNDING_NS: i64 = 5_000_000_000;

/// What the screen shows.
pub(crate) struct Logs {
    /// The rows of this page, newest first.
    pub(crate) rows: Result<Page<LogRow>, QueryError>,
    /// Counts over time by severity number.
    pub(crate) counts: Option<Result<Counts, QueryError>>,
    /// Values of the chosen fields.
    pub(crate) facets: Vec<Facet>,
    /// All fields, to choose more facets from.
    pub(crate) fields: Vec<Field>,
    /// The row that is open.
    pub(crate) open: Option<OpenRow>,
}

/// A field with its most frequent values.
pub(crate) struct Facet {
    /// The field.
    pub(crate) name: String,
    /// Its values, or why there are none.
    pub(crate) values: Result<(Vec<FieldValue>, Coverage), QueryError>,
}

/// A row in detail.
pub(crate) struct OpenRow {
    /// The row; none when it is no longer there.
    pub(crate) row: Option<LogRow>,
    /// Rows of the same service instance around it, newest first.
    pub(crate) surrounding: Vec<LogRow>,
}

/// Answers `/logs`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let logs = if is_live(&request.params) { None } else { Some(load(&context, &request).await) };
    page(&request, || match &logs {
        None => live_screen(&request),
        Some(logs) => screen(&request, logs),
    })
}

fn is_live(params: &Params) -> bool {
    params.get("live") == Some("1")
}

async fn load(context: &UiContext, request: &PageRequest) -> Logs {
    let (query, range) = (request.query().to_owned(), request.time.range);
    let rows_request = RowsRequest {
        query: query.clone(),
        range,
        limit: ROWS_PER_PAGE,
        cursor: request.params.get("cursor").map(str::to_owned),
    };
    // A query that does not parse fails once, not once per part of the page.
    let rows = context.query.logs(&rows_request).await;
    if rows.is_err() {
        return Logs { rows, counts: None, facets: Vec::new(), fields: Vec::new(), open: None };
    }
    let count_request = CountRequest {
        query: query.clone(),
        range,
        by: Some("severity_number".to_owned()),
        step: Some(round_step(request.time.length(), HISTOGRAM_BARS)),
        top: 25,
    };
    let names = FACETS_ALWAYS.into_iter().chain(request.params.all("facet")).map(str::to_owned);
    let facets = futures::future::join_all(names.map(|name| facet(context, &query, range, name)));
    let (counts, facets, fields, open) = futures::join!(
        context.query.counts(Signal::Logs, &count_request),
        facets,
        context.query.fields(Signal::Logs, range),
        open_row(context, request, rows.as_ref().map_or(&[], |page| page.rows.as_slice())),
    );
    let mut fields = fields.map(|(fields, _)| fields).unwrap_or_default();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Logs { rows, counts: Some(counts), facets, fields, open }
}

async fn facet(context: &UiContext, query: &str, range: TimeRange, name: String) -> Facet {
    let request = FieldValuesRequest {
        signal: Signal::Logs,
        name: name.clone(),
        query: query.to_owned(),
        prefix: String::new(),
        range,
        limit: FACET_VALUES,
    };
    Facet { name, values: context.query.field_values(&request).await }
}

/// Finds the row that the address names: on this page, or at its own moment.
async fn open_row(context: &UiContext, request: &PageRequest, rows: &[LogRow]) -> Option<OpenRow> {
    let wanted = request.params.get("row")?;
    let mut row = rows.iter().find(|row| row.row == wanted).cloned();
    if row.is_none()
        && let Some(at) = request.params.get("at").and_then(|at| at.parse::<i64>().ok())
    {
        let moment = RowsRequest {
            query: String::new(),
            range: TimeRange { start: at, end: at.saturating_add(1) },
            limit: 1000,
            cursor: None,
        };
        let found = context.query.logs(&moment).await.ok()?;
        row = found.rows.into_iter().find(|row| row.row == wanted);
    }
    let surrounding = match &row {
        Some(row) => surrounding(context, row).await,
        None => Vec::new(),
    };
    Some(OpenRow { row, surrounding })
}

/// The lines that the same instance of the service wrote around the row.
async fn surrounding(context: &UiContext, row: &LogRow) -> Vec<LogRow> {
    const EACH_SIDE: usize = 8;
    let Ok(time) = row.time_unix_nano.parse::<i64>() else { return Vec::new() };
    let request = RowsRequest {
        query: same_source(row),
        range: TimeRange { start: time.saturating_sub(SURROUNDING_NS), end: time.saturating_add(SURROUNDING_NS) },
        limit: 1000,
        cursor: None,
    };
    let Ok(page) = context.query.logs(&request).await else { return Vec::new() };
    let Some(at) = page.rows.iter().position(|other| other.row == row.row) else { return Vec::new() };
    let (first, last) = (at.saturating_sub(EACH_SIDE), (at + EACH_SIDE + 1).min(page.rows.len()));
    page.rows[first..last].to_vec()
}

/// The search for rows of the same service instance.
fn same_source(row: &LogRow) -> String {
    let mut query = parts::field_term("service.name", &row.service_name);
    for key in ["service.instance.id", "host.name"] {
        if let Some(value) = row.resource_attributes.get(key) {
            query = format!("{query} {}", parts::field_term(&format!("resource.{key}"), &parts::plain(value)));
            break;
        }
    }
    query
}

/// The screen of a search.
pub(crate) fn screen(request: &PageRequest, logs: &Logs) -> Screen {
    let results = match &logs.rows {
        Err(error) => parts::error(request.query(), error),
        Ok(page) => view! {
            {severities(request, logs)}
            <div class="with-facets">
                {facets::facets(request, logs)}
                <div class="results">{rows::results(request, page, logs.open.as_ref())}</div>
            </div>
        }
        .into_any(),
    };
    let content = view! { <h1 class="unseen">"Logs"</h1>{search_bar::search_bar(request)}{results} }.into_any();
    Screen { title: title(request), has_time: true, status: StatusCode::OK, content }
}

fn title(request: &PageRequest) -> String {
    match request.query() {
        "" => "Logs".to_owned(),
        query => format!("Logs: {}", crate::format::clipped(query, 60)),
    }
}

/// The screen of the live tail.
pub(crate) fn live_screen(request: &PageRequest) -> Screen {
    let stream = format!("/api/v1/tail?query={}", encoded(request.query()));
    let stop = request.here(&request.params.without("live"));
    let content = view! {
        <h1 class="unseen">"Logs, live"</h1>
        {search_bar::search_bar(request)}
        <p><a href=stop data-close="">"Stop the live tail and search"</a></p>
        <noscript><p class="error">"The live tail needs scripts. Without them, choose Refresh in the time range of the search."</p></noscript>
        <LiveTail stream />
    }
    .into_any();
    Screen { title: format!("{} (live)", title(request)), has_time: true, status: StatusCode::OK, content }
}

fn severities(request: &PageRequest, logs: &Logs) -> AnyView {
    match &logs.counts {
        None => ().into_any(),
        Some(Err(error)) => parts::error(request.query(), error),
        Some(Ok(counts)) => {
            let series = Severity::ALL.into_iter().map(|severity| {
                let mut sums = vec![0; counts.buckets];
                for series in &counts.series {
                    if severity_of_key(series.key.as_deref()) == severity {
                        sums.iter_mut().zip(&series.counts).for_each(|(sum, count)| *sum += count);
                    }
                }
                BarSeries { label: severity.word().to_owned(), class: severity.class(), counts: sums }
            });
            let bars = StackedBars {
                what: "log records",
                start_ns: counts.start,
                step_ns: counts.step_ns,
                buckets: counts.buckets,
                series: series.collect(),
            };
            view! { {histogram(&bars, "/logs", &request.params)}{parts::incomplete(&counts.coverage)} }.into_any()
        }
    }
}

/// The severity of a group of counts, whose key is a name or a number.
fn severity_of_key(key: Option<&str>) -> Severity {
    let Some(key) = key else { return Severity::Unset };
    let named = Severity::ALL.into_iter().find(|severity| key.eq_ignore_ascii_case(severity.word()));
    named.unwrap_or_else(|| Severity::of(key.parse().unwrap_or(0)))
}
