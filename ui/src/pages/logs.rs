//! Logs: search, histogram, facets, rows, one row in detail, live tail, export.

mod detail;
pub(crate) mod export;
mod facets;
mod patterns;
mod rows;
pub(crate) mod saved;
mod search_bar;

use crate::answers::round_step;
use crate::chart::histogram::{BarSeries, StackedBars, histogram};
use crate::context::UiContext;
use crate::islands::tail::LiveTail;
use crate::pages::first_steps;
use crate::palette::Severity;
use crate::params::{Params, encoded};
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::tr;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{
    Context, ContextRequest, CountRequest, Counts, Coverage, Field, FieldValue, FieldValuesRequest, LogRow, Page,
    Patterns, PatternsRequest, QueryError, RowsRequest, SameSource,
};
use mangru_store::{Signal, TimeRange};
pub(crate) use rows::field;
use saved::Saved;
use std::sync::Arc;

const ROWS_PER_PAGE: usize = 100;
const HISTOGRAM_BARS: i64 = 80;
const FACET_VALUES: usize = 8;
/// Values of a facet that was opened.
const FACET_VALUES_ALL: usize = 100;
const FACETS_ALWAYS: [&str; 2] = ["service.name", "host.name"];
/// Lines around a row, each way, and how many more each step shows.
const AROUND: usize = 8;
const AROUND_MOST: usize = 200;

/// What the screen shows.
pub(crate) struct Logs {
    /// What the search found.
    pub(crate) found: Found,
    /// Counts over time by severity number.
    pub(crate) counts: Option<Result<Counts, QueryError>>,
    /// Values of the chosen fields.
    pub(crate) facets: Vec<Facet>,
    /// All fields, to choose more facets from.
    pub(crate) fields: Vec<Field>,
    /// The row that is open.
    pub(crate) open: Option<OpenRow>,
    /// The saved searches.
    pub(crate) saved: Saved,
}

/// What a search found: its rows, or the templates they were written by.
pub(crate) enum Found {
    /// The rows of this page, newest first.
    Rows(Result<Page<LogRow>, QueryError>),
    /// Their patterns.
    Patterns(Result<Patterns, QueryError>),
}

impl Found {
    /// The error of the search itself.
    fn error(&self) -> Option<&QueryError> {
        match self {
            Self::Rows(rows) => rows.as_ref().err(),
            Self::Patterns(patterns) => patterns.as_ref().err(),
        }
    }
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
    /// The lines of the same service instance around it.
    pub(crate) around: Option<Result<Context, QueryError>>,
}

/// Answers `/logs`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    if is_live(&request.params) {
        // What is wrong with a search is told before anything is followed.
        let fault = context.query.tail(request.query()).err();
        return page(&request, || live_screen(&request, fault.as_ref()));
    }
    if let Some(first_steps) = first_steps(&context, &request, || tr("Logs")) {
        return first_steps;
    }
    let logs = load(&context, &request).await;
    page(&request, || screen(&request, &logs))
}

fn is_live(params: &Params) -> bool {
    params.get("live") == Some("1")
}

async fn load(context: &UiContext, request: &PageRequest) -> Logs {
    let (query, range) = (request.query().to_owned(), request.time.range);
    let saved = Saved::of(&context.config_files.searches).await;
    let count_request = CountRequest {
        query: query.clone(),
        range,
        by: Some("severity_number".to_owned()),
        step: Some(round_step(request.time.length(), HISTOGRAM_BARS)),
        top: 25,
    };
    let names = FACETS_ALWAYS.into_iter().chain(request.params.all("facet")).map(str::to_owned);
    let facets = futures::future::join_all(names.map(|name| facet(context, request, name)));
    let (found, counts, facets, fields) = futures::join!(
        found(context, request),
        context.query.counts(Signal::Logs, &count_request),
        facets,
        context.query.fields(Signal::Logs, range),
    );
    // What is wrong with a search is said once, not once per part of the page.
    if found.error().is_some() {
        return Logs { found, counts: None, facets: Vec::new(), fields: Vec::new(), open: None, saved };
    }
    let rows: &[LogRow] = match &found {
        Found::Rows(Ok(page)) => &page.rows,
        _ => &[],
    };
    let open = open_row(context, request, rows).await;
    let mut fields = fields.map(|(fields, _)| fields).unwrap_or_default();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Logs { found, counts: Some(counts), facets, fields, open, saved }
}

async fn found(context: &UiContext, request: &PageRequest) -> Found {
    let (query, range) = (request.query().to_owned(), request.time.range);
    if request.params.get("view") == Some("patterns") {
        let request = PatternsRequest {
            query,
            range,
            limit: patterns::PATTERNS,
            buckets: patterns::BUCKETS,
            new_since: Some(patterns::new_since(request)),
        };
        return Found::Patterns(context.query.patterns(&request).await);
    }
    let request =
        RowsRequest { query, range, limit: ROWS_PER_PAGE, cursor: request.params.get("cursor").map(str::to_owned) };
    Found::Rows(context.query.logs(&request).await)
}

async fn facet(context: &UiContext, request: &PageRequest, name: String) -> Facet {
    let is_opened = request.params.all("all").any(|opened| opened == name);
    let request = FieldValuesRequest {
        signal: Signal::Logs,
        name: name.clone(),
        query: request.query().to_owned(),
        prefix: String::new(),
        range: request.time.range,
        limit: if is_opened { FACET_VALUES_ALL } else { FACET_VALUES },
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
    let around = match &row {
        Some(row) => Some(around(context, request, row).await),
        None => None,
    };
    Some(OpenRow { row, around })
}

/// The lines that the same instance of the service wrote before and after the row.
async fn around(context: &UiContext, request: &PageRequest, row: &LogRow) -> Result<Context, QueryError> {
    let lines = around_lines(request);
    let request = ContextRequest { row: row.row.clone(), before: lines, after: lines, same: SameSource::Instance };
    context.query.context(&request).await
}

/// How many lines are shown around a row, each way.
fn around_lines(request: &PageRequest) -> usize {
    let asked = request.params.get("around").and_then(|text| text.parse::<usize>().ok());
    asked.unwrap_or(AROUND).clamp(1, AROUND_MOST)
}

/// The screen of a search.
pub(crate) fn screen(request: &PageRequest, logs: &Logs) -> Screen {
    let results = match &logs.found {
        Found::Rows(Err(error)) | Found::Patterns(Err(error)) => parts::error(request.query(), error),
        found => {
            let results = match found {
                Found::Rows(Ok(page)) => rows::results(request, page, logs.open.as_ref()),
                Found::Patterns(found) => patterns::patterns(request, found),
                Found::Rows(Err(_)) => ().into_any(),
            };
            view! {
                {severities(request, logs)}
                <div class="with-facets">
                    {facets::facets(request, logs)}
                    <div class="results"><a class="to-facets" href="#facets">{tr("Narrow the search")}" ↓"</a>{views(request)}{results}</div>
                </div>
            }
            .into_any()
        }
    };
    let content =
        view! { <h1 class="unseen">{tr("Logs")}</h1>{search_bar::search_bar(request, Some(&logs.saved))}{results} }
            .into_any();
    Screen { title: title(request), has_time: true, status: StatusCode::OK, content }
}

/// The ways to see what was found.
fn views(request: &PageRequest) -> AnyView {
    let is_patterns = request.params.get("view") == Some("patterns");
    let params = request.params.without("view").without("cursor").without("row").without("at");
    let (rows, patterns) = (request.here(&params), request.here(&params.with("view", "patterns")));
    view! {
        <nav class="tabs" aria-label=tr("Views of the result")>
            <a href=rows aria-current=(!is_patterns).then_some("page")>{tr("Lines")}</a>
            <a href=patterns aria-current=is_patterns.then_some("page")>{tr("Patterns")}</a>
        </nav>
    }
    .into_any()
}

fn title(request: &PageRequest) -> String {
    match request.query() {
        "" => tr("Logs").to_owned(),
        query => format!("{}: {}", tr("Logs"), crate::format::clipped(query, 60)),
    }
}

/// The screen of the live tail.
pub(crate) fn live_screen(request: &PageRequest, fault: Option<&QueryError>) -> Screen {
    let stream = format!("/api/v1/tail?query={}", encoded(request.query()));
    let stop = request.here(&request.params.without("live"));
    let tail = match fault {
        Some(fault) => parts::error(request.query(), fault),
        None => {
            let (services, colours) = request.colours.pairs();
            view! {
                <noscript><p class="error">{tr("The live tail needs scripts. Without them, choose Refresh in the time range of the search.")}</p></noscript>
                <LiveTail stream words=tail_words() services colours />
            }
            .into_any()
        }
    };
    let content = view! {
        <h1 class="unseen">{tr("Logs, live")}</h1>
        {search_bar::search_bar(request, None)}
        <p><a href=stop data-close="">{tr("Stop the live tail and search")}</a></p>
        {tail}
    }
    .into_any();
    Screen { title: format!("{} ({})", title(request), tr("live")), has_time: true, status: StatusCode::OK, content }
}

/// What the live tail says, in the order it expects.
fn tail_words() -> Vec<String> {
    [
        tr("Pause"),
        tr("Resume"),
        tr("paused"),
        tr("connecting…"),
        tr("live"),
        tr("connection lost, trying again…"),
        tr("{0} rows since it started, the newest {1} are kept"),
        tr("; {0} left out because they came too fast"),
        tr("trace"),
        tr("Live tail"),
    ]
    .map(str::to_owned)
    .to_vec()
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
                what: tr("log records"),
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
