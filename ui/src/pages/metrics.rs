//! Metrics: what is measured, and PromQL over it as lines, areas, bars, a heat map or a table.

mod catalog;
mod editor;
mod result;

use crate::answers::{self, Answer};
use crate::context::UiContext;
use crate::format;
use crate::pages::alerts::elsewhere::AlertHistory;
use crate::pages::first_steps;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::tr;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{Coverage, MetricSummary, QueryError, StoryEntry, StoryItem};
use mangru_store::TimeRange;
use std::sync::Arc;

/// Queries on one page.
const QUERIES: usize = 6;
/// Exemplars on one chart.
const EXEMPLARS: usize = 200;

/// What the screen shows.
pub(crate) struct Metrics {
    /// The metrics with points in the range.
    pub(crate) names: Result<(Vec<MetricSummary>, Coverage), QueryError>,
    /// The queries with what they gave.
    pub(crate) asked: Vec<Asked>,
    /// Exemplars of the metrics that are asked for.
    pub(crate) exemplars: Vec<Exemplar>,
    /// What alerts did in the range.
    pub(crate) alerts: AlertHistory,
}

/// A measurement with the trace it was made in.
pub(crate) struct Exemplar {
    /// When it was made, nanoseconds since the Unix epoch.
    pub(crate) time_ns: i64,
    /// What was measured, in the metric's unit.
    pub(crate) value: f64,
    /// The trace.
    pub(crate) trace_id: String,
    /// The span, or empty.
    pub(crate) span_id: String,
    /// The service.
    pub(crate) service: String,
}

/// A query with its answer.
pub(crate) struct Asked {
    /// The query.
    pub(crate) text: String,
    /// What it gave.
    pub(crate) answer: Result<Answer, QueryError>,
}

/// Answers `/metrics/explore`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    // A query that needs no data is still answered.
    let is_asked = request.params.get("q").is_some();
    if let Some(first_steps) = first_steps(&context, &request, || tr("Metrics")).filter(|_| !is_asked) {
        return first_steps;
    }
    let range = request.time.range;
    let names = context.query.metrics(range).await;
    let mut texts: Vec<String> =
        request.params.all("q").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    // A metric by its name alone is shown by the query that suits its type.
    if let (true, Some(name), Ok((metrics, _))) = (texts.is_empty(), request.params.get("name"), &names) {
        texts.extend(
            metrics.iter().find(|metric| metric.name == name || metric.promql_name == name).map(catalog::query_of),
        );
    }
    texts.truncate(QUERIES);
    let answers =
        futures::future::join_all(texts.iter().map(|text| answers::promql(&context.query, text, range))).await;
    let names_asked = asked_metrics(&names, &texts);
    let (exemplars, alerts) =
        futures::join!(exemplars(&context, &names_asked, range), AlertHistory::of(&context, &request));
    let asked = texts.into_iter().zip(answers).map(|(text, answer)| Asked { text, answer }).collect();
    let metrics = Metrics { names, asked, exemplars, alerts };
    page(&request, || screen(&request, &metrics))
}

/// The metrics that queries ask for their own values: not their growth, with which an exemplar's value has nothing in common.
fn asked_metrics(names: &Result<(Vec<MetricSummary>, Coverage), QueryError>, texts: &[String]) -> Vec<String> {
    let names = names.as_ref().map(|(names, _)| names.as_slice()).unwrap_or_default();
    let of_values = texts.iter().filter(|text| text.contains("histogram_quantile") || !text.contains("rate("));
    let texts: Vec<&String> = of_values.collect();
    let is_asked = |metric: &&MetricSummary| texts.iter().any(|text| catalog::names_metric(text, &metric.promql_name));
    names.iter().filter(is_asked).map(|metric| metric.name.clone()).collect()
}

async fn exemplars(context: &UiContext, names: &[String], range: TimeRange) -> Vec<Exemplar> {
    if names.is_empty() {
        return Vec::new();
    }
    // The chart is whole without its exemplars.
    let found = context.query.metric_exemplars(names, range, EXEMPLARS).await.unwrap_or_default();
    let exemplar = |entry: StoryEntry| match entry.item {
        StoryItem::Exemplar(row) => Some(Exemplar {
            time_ns: entry.time_unix_nano.parse().ok()?,
            value: row.value.as_f64()?,
            trace_id: row.trace_id,
            span_id: row.span_id,
            service: row.service_name,
        }),
        _ => None,
    };
    found.into_iter().filter_map(exemplar).collect()
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, metrics: &Metrics) -> Screen {
    let body = if metrics.asked.is_empty() {
        let list = match &metrics.names {
            Err(error) => parts::error("", error),
            Ok((names, coverage)) => catalog::table(request, names, coverage),
        };
        view! { {editor::editor(request, &metrics.asked)}{list} }.into_any()
    } else {
        let browse = match &metrics.names {
            Err(error) => parts::error("", error),
            Ok((names, _)) => catalog::list(request, names, &metrics.asked),
        };
        view! {
            <div class="with-facets metrics">
                <aside class="facets" aria-label=tr("Metrics")>{browse}</aside>
                <div class="results">
                    {editor::editor(request, &metrics.asked)}
                    {result::result(request, metrics)}
                </div>
            </div>
        }
        .into_any()
    };
    let title = match metrics.asked.first() {
        None => tr("Metrics").to_owned(),
        Some(asked) => format!("{}: {}", tr("Metrics"), format::clipped(&asked.text, 60)),
    };
    let content = view! { <h1 class="unseen">{tr("Metrics")}</h1>{body} }.into_any();
    Screen { title, has_time: true, status: StatusCode::OK, content }
}
