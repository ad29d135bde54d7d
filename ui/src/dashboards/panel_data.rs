//! What a panel shows: its queries asked, with the reader's choices in place of the variables.

use super::variables::{self, Chosen, Given};
use super::{Dashboard, Figure, Kind, Panel, Query, RowSignal, Variable};
use crate::answers::{self, Answer, Labelled, Search};
use crate::params::Params;
use crate::request::PageRequest;
use crate::unit::Unit;
use mangru_query::{
    FieldValuesRequest, Figures, LogRow, MapRequest, Page, QueryError, QueryService, RowsRequest, ServiceMap, SqlResult,
};
use mangru_store::{Signal, TimeRange};

/// Groups that a search is told apart by.
const GROUPS: usize = 20;
/// Values that a variable offers.
const VALUES: usize = 200;
/// Rows of a table and log lines, when a panel does not say.
const ROWS: usize = 50;
/// Spans that a map joins at most: a dashboard has other panels too.
const MAP_SPANS: usize = 500_000;
/// The value in the address that stands for all.
pub(crate) const ALL: &str = "*";

/// A variable with its values and what is chosen.
pub(crate) struct Choice {
    /// The variable.
    pub(crate) variable: Variable,
    /// Its values, or why there are none.
    pub(crate) values: Result<Vec<String>, QueryError>,
    /// What is chosen.
    pub(crate) chosen: Chosen,
}

impl Choice {
    /// The parameter of the address that holds the choice.
    pub(crate) fn parameter(name: &str) -> String {
        format!("var-{name}")
    }
}

/// A panel with what it shows.
pub(crate) struct Filled {
    /// The panel.
    pub(crate) panel: Panel,
    /// Its queries as they were asked.
    pub(crate) asked: Vec<Query>,
    /// What they gave, or the error of the first that failed, with the text it is about.
    pub(crate) content: Result<Content, (String, QueryError)>,
    /// Milliseconds that the slowest took.
    pub(crate) elapsed_ms: f64,
    /// What was cut, if anything.
    pub(crate) limit_hit: Option<String>,
}

impl Filled {
    /// Calls the groups beyond the most frequent ones by these words.
    pub(crate) fn name_others(&mut self, words: &str) {
        if let Ok(Content::Series { series, .. }) = &mut self.content {
            for (name, _) in series.iter_mut().filter(|(name, _)| name == answers::OTHERS) {
                words.clone_into(name);
            }
        }
    }
}

/// What there is to show.
pub(crate) enum Content {
    /// Words.
    Text,
    /// Series with their names.
    Series { series: Vec<(String, Labelled)>, step_ns: i64, unit: Unit },
    /// Rows of SQL.
    Rows(Box<SqlResult>),
    /// Log lines.
    Logs(Box<Page<LogRow>>),
    /// Columns and rows of a heat map.
    Heat { columns: Vec<i64>, step_ns: i64, rows: Vec<(String, Vec<f64>)> },
    /// Services and their calls.
    Map(Box<ServiceMap>),
}

/// Asks for the values of each variable.
pub(crate) async fn choices(query: &QueryService, dashboard: &Dashboard, request: &PageRequest) -> Vec<Choice> {
    futures::future::join_all(dashboard.variables.iter().map(|variable| choice(query, variable, request))).await
}

async fn choice(query: &QueryService, variable: &Variable, request: &PageRequest) -> Choice {
    let values = values(query, variable, request.time.range).await;
    let known = values.as_deref().unwrap_or_default();
    let asked = request.params.get(&Choice::parameter(&variable.name)).map(str::to_owned);
    let wanted = asked.or_else(|| variable.default.clone());
    let all = || Chosen::All(known.to_vec());
    let chosen = match wanted {
        Some(value) if value == ALL && variable.all => all(),
        Some(value) => Chosen::One(value),
        None if variable.all => all(),
        None => Chosen::One(known.first().cloned().unwrap_or_default()),
    };
    Choice { variable: variable.clone(), values, chosen }
}

async fn values(query: &QueryService, variable: &Variable, range: TimeRange) -> Result<Vec<String>, QueryError> {
    if !variable.values.is_empty() {
        return Ok(variable.values.clone());
    }
    if !variable.metric_label.is_empty() {
        let labels = query.metric_labels(&variable.of, range).await?;
        return Ok(labels.get(&variable.metric_label).into_iter().flatten().take(VALUES).cloned().collect());
    }
    let request = FieldValuesRequest {
        signal: variable.signal.signal(),
        name: variable.field.clone(),
        query: String::new(),
        prefix: String::new(),
        range,
        limit: VALUES,
    };
    let (values, _) = query.field_values(&request).await?;
    let mut values: Vec<String> = values.into_iter().map(|found| found.value).collect();
    values.sort();
    Ok(values)
}

/// Asks everything that a dashboard asks, together; what fails fails in its panel.
pub(crate) async fn fill(
    query: &QueryService,
    dashboard: &Dashboard,
    choices: &[Choice],
    range: TimeRange,
) -> Vec<Filled> {
    futures::future::join_all(dashboard.panels.iter().map(|panel| filled(query, panel, choices, range))).await
}

async fn filled(query: &QueryService, panel: &Panel, choices: &[Choice], range: TimeRange) -> Filled {
    let chosen =
        |name: &str| choices.iter().find(|choice| choice.variable.name == name).map(|choice| choice.chosen.clone());
    let given = Given { step_ns: answers::step_ns(range), range_ns: range.end.saturating_sub(range.start) };
    let put = |text: &Option<String>, language: &str| {
        text.as_ref().map(|text| variables::filled(text, language, &chosen, given))
    };
    let asked: Vec<Query> = panel
        .queries
        .iter()
        .map(|query| Query {
            promql: put(&query.promql, "promql"),
            search: put(&query.search, "search"),
            sql: put(&query.sql, "sql"),
            ..query.clone()
        })
        .collect();
    let mut told = Told::default();
    let content = content(query, panel, &asked, range, &mut told).await;
    Filled { panel: panel.clone(), asked, content, elapsed_ms: told.elapsed_ms, limit_hit: told.limit_hit }
}

/// What answers say of themselves.
#[derive(Default)]
struct Told {
    elapsed_ms: f64,
    limit_hit: Option<String>,
}

impl Told {
    fn add(&mut self, coverage: &mangru_query::Coverage, is_cut_told: bool) {
        self.elapsed_ms = self.elapsed_ms.max(coverage.elapsed_ms);
        if !coverage.complete && is_cut_told {
            self.limit_hit = coverage.limit_hit.clone().or_else(|| self.limit_hit.take());
        }
    }
}

type Failed = (String, QueryError);

async fn content(
    query: &QueryService,
    panel: &Panel,
    asked: &[Query],
    range: TimeRange,
    told: &mut Told,
) -> Result<Content, Failed> {
    let rows = panel.limit.unwrap_or(ROWS);
    let search = asked.first().and_then(|query| query.search.clone()).unwrap_or_default();
    let fail = |error: QueryError| (search.clone(), error);
    match panel.kind {
        Kind::Text => Ok(Content::Text),
        Kind::Logs => {
            let request = RowsRequest { query: search.clone(), range, limit: rows, cursor: None };
            let page = query.logs(&request).await.map_err(fail)?;
            told.add(&page.coverage, false);
            Ok(Content::Logs(Box::new(page)))
        }
        Kind::Map => {
            let request = MapRequest { query: search.clone(), range, max_spans: MAP_SPANS };
            let map = query.map(&request).await.map_err(fail)?;
            told.add(&map.coverage, true);
            Ok(Content::Map(Box::new(map)))
        }
        Kind::Table if asked.len() == 1 && asked[0].sql.is_some() => {
            let text = asked[0].sql.clone().unwrap_or_default();
            let result = answers::sql(query, &text, range, rows).await.map_err(|error| (text, error))?;
            told.add(&result.coverage, true);
            Ok(Content::Rows(Box::new(result)))
        }
        Kind::Heatmap => heat(query, &asked[0], range, told).await,
        Kind::Timeseries | Kind::Stat | Kind::Bar | Kind::Table => {
            let answers = futures::future::join_all(asked.iter().map(|one| series(query, one, range))).await;
            let mut all = Vec::new();
            let mut step_ns = 0;
            for (one, answer) in asked.iter().zip(answers) {
                let answer = answer?;
                told.add(&answer.coverage, true);
                step_ns = step_ns.max(answer.step_ns);
                all.extend(answers::names(&answer.series, &one.legend).into_iter().zip(answer.series));
            }
            // A search without groups is called what it tells.
            for ((name, _), one) in all.iter_mut().zip(asked) {
                if asked.len() == 1 && name == answers::VALUE && one.search.is_some() {
                    one.figure.name().replace('_', " ").clone_into(name);
                }
            }
            Ok(Content::Series { series: all, step_ns, unit: unit(panel, asked) })
        }
    }
}

/// The unit of a panel: its own, or what its queries tell.
fn unit(panel: &Panel, asked: &[Query]) -> Unit {
    let own = panel.unit.as_deref().and_then(Unit::named);
    own.unwrap_or_else(|| match asked.first() {
        Some(Query { promql: Some(text), .. }) => Unit::of_promql(text),
        Some(Query { search: Some(_), figure, field, signal, .. }) => match figure {
            Figure::Rate | Figure::ErrorRate => Unit::PerSecond,
            Figure::ErrorRatio => Unit::Ratio,
            Figure::Count => Unit::None,
            _ if field.as_deref().unwrap_or("duration") == "duration" && *signal == Some(RowSignal::Spans) => {
                Unit::Nanoseconds
            }
            _ => Unit::None,
        },
        _ => Unit::None,
    })
}

async fn series(query: &QueryService, one: &Query, range: TimeRange) -> Result<Answer, Failed> {
    if let Some(text) = &one.promql {
        return answers::promql(query, text, range).await.map_err(|error| (text.clone(), error));
    }
    if let Some(text) = &one.sql {
        let result = answers::sql(query, text, range, usize::MAX).await.map_err(|error| (text.clone(), error))?;
        return Ok(answers::of_sql(&result, range));
    }
    let text = one.search.as_deref().unwrap_or_default();
    let search = Search {
        query: text,
        signal: one.signal.unwrap_or(RowSignal::Logs).signal(),
        by: one.by.as_deref(),
        field: one.field.as_deref(),
        top: GROUPS,
    };
    let figure = one.figure;
    let answer = match figure {
        Figure::Count => answers::counts(query, &search, range, false).await,
        Figure::Rate => answers::counts(query, &search, range, true).await,
        _ => answers::figures(query, &search, range, move |figures, seconds| value(figure, figures, seconds)).await,
    };
    answer.map_err(|error| (text.to_owned(), error))
}

/// A figure of a bucket; none where there is nothing to tell.
fn value(figure: Figure, figures: &Figures, seconds: f64) -> Option<f64> {
    match figure {
        Figure::Count => Some(figures.rows as f64),
        Figure::Rate => Some(figures.rows as f64 / seconds),
        Figure::ErrorRate => Some(figures.errors as f64 / seconds),
        Figure::ErrorRatio => (figures.rows > 0).then(|| figures.errors as f64 / figures.rows as f64),
        Figure::Sum => (figures.count > 0).then_some(figures.sum),
        Figure::Mean => figures.mean,
        Figure::Min => figures.min,
        Figure::Max => figures.max,
        Figure::P50 => figures.p50,
        Figure::P90 => figures.p90,
        Figure::P95 => figures.p95,
        Figure::P99 => figures.p99,
    }
}

async fn heat(query: &QueryService, one: &Query, range: TimeRange, told: &mut Told) -> Result<Content, Failed> {
    let text = one.promql.clone().unwrap_or_default();
    let answer = series(query, one, range).await?;
    told.add(&answer.coverage, true);
    let unit = Unit::of_promql(&text.replace("_bucket", ""));
    if one.promql.is_none() {
        // A search with groups: a row for each.
        let names = answers::names(&answer.series, &one.legend);
        let columns: Vec<i64> =
            answer.series.first().map(|series| series.points.iter().map(|(at, _)| *at).collect()).unwrap_or_default();
        let rows = names
            .into_iter()
            .zip(&answer.series)
            .map(|(name, series)| (name, series.points.iter().map(|(_, value)| *value).collect()));
        let mut rows: Vec<(String, Vec<f64>)> = rows.collect();
        rows.reverse();
        return Ok(Content::Heat { columns, step_ns: answer.step_ns, rows });
    }
    if answer.series.is_empty() {
        return Ok(Content::Heat { columns: Vec::new(), step_ns: answer.step_ns, rows: Vec::new() });
    }
    match answers::rows_of_buckets(&answer, unit) {
        Some((columns, rows)) => Ok(Content::Heat { columns, step_ns: answer.step_ns, rows }),
        None => {
            let message = "a heat map needs series with the label le: the buckets of a histogram";
            Err((text, QueryError::invalid("query", message)))
        }
    }
}

/// Where a panel can be looked into: the screen of its language with its queries.
pub(crate) fn explorer(filled: &Filled, time: &Params) -> Option<String> {
    let first = filled.asked.first()?;
    if let Some(text) = &first.sql {
        return Some(time.with("q", text).on("/sql"));
    }
    if first.promql.is_some() {
        let mut params = time.clone();
        for text in filled.asked.iter().filter_map(|query| query.promql.as_ref()) {
            params = params.and("q", text);
        }
        let view = match filled.panel.kind {
            Kind::Heatmap => "heat",
            Kind::Table | Kind::Bar => "table",
            _ => filled.panel.style().name(),
        };
        return Some(params.with("view", view).on("/metrics/explore"));
    }
    let text = first.search.as_deref().unwrap_or_default();
    let signal =
        if filled.panel.kind == Kind::Map { RowSignal::Spans } else { first.signal.unwrap_or(RowSignal::Logs) };
    let (path, time) = match (filled.panel.kind, signal.signal()) {
        (Kind::Map, _) => ("/map", time.with("q", text)),
        (_, Signal::Spans) => ("/traces", time.with("q", text)),
        _ => ("/logs", time.with("q", text)),
    };
    Some(time.on(path))
}
