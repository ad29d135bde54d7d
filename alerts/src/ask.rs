//! Asking conditions: from what rules want to know at a moment to samples. What several rules ask alike is asked once.

mod found;

use crate::incidents::service_of;
use crate::machine::{Evidence, Labels, Sample};
use crate::rules::{Change, Condition, Measure, Search, Test};
use found::{FoundRow, FoundRows};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use mangru_query::{CountRequest, ExtraSeries, Figures, GroupsRequest, PromQl, QueryService, RowsRequest, SqlRequest};
use mangru_store::{Signal, TimeRange};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Conditions that are no PromQL and are asked at the same time.
const PARALLEL: usize = 2;
/// Matches of one evaluation that become alerts of their own; more are an error, so that nothing is left out silently.
const MAX_EACH: usize = 1_000;
/// Rows of a statement.
const MAX_ROWS: usize = 10_000;
/// How far back matches are looked for after a pause, in milliseconds.
const MAX_CATCH_UP_MS: i64 = 3_600_000;
/// Pieces of evidence of one alert.
const MAX_EVIDENCE: usize = 5;
/// How long before the evaluation before spans may have begun that ended since, each with how long they took at least: the
/// longest is an hour. In milliseconds.
const SPANS_BEGAN_MS: [(i64, i64); 4] = [(1_000, 0), (30_000, 1_000), (600_000, 30_000), (LONGEST_SPAN_MS, 600_000)];
/// Spans that took longer are not told one by one, in milliseconds.
pub(crate) const LONGEST_SPAN_MS: i64 = 3_600_000;

/// A condition, and the moment it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) condition: &'a Condition,
    /// Up to when data is looked at, in milliseconds.
    pub(crate) at_ms: i64,
    /// Up to when the evaluation before looked, for conditions that tell of each match.
    pub(crate) since_ms: i64,
}

pub(crate) type Answer = Result<Vec<Sample>, String>;
/// What of a search's figures a measure reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Rows,
    Errors,
    Durations,
}

/// Which share of the requests with these labels is bad.
struct Share {
    labels: Labels,
    rows: u64,
    share: f64,
}

type Groups = Vec<(Vec<Option<String>>, Figures)>;
type Cached = Arc<OnceCell<Result<Arc<Groups>, String>>>;

/// What has been asked in this round.
#[derive(Default)]
struct Round {
    groups: parking_lot::Mutex<HashMap<String, Cached>>,
}

/// Asks a query service.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) query: Arc<QueryService>,
}

impl Asker {
    /// Answers all questions, in their order.
    pub(crate) async fn ask(&self, questions: &[Question<'_>], extra: &[ExtraSeries]) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = questions.iter().map(|_| None).collect();
        // PromQL together: the expression, and the same at the time it is compared with.
        let mut expressions: Vec<(PromQl, i64)> = Vec::new();
        let mut places = Vec::new();
        for (place, question) in questions.iter().enumerate() {
            if let Condition::PromQl { expr, change } = question.condition {
                places.push((place, expressions.len(), *change));
                expressions.push((expr.clone(), question.at_ms));
                if let Some(change) = change {
                    expressions.push((expr.clone(), question.at_ms - change.against_ms));
                }
            }
        }
        if !expressions.is_empty() {
            let results = self.query.promql_at(&expressions, extra).await;
            let samples = |at: usize| -> Answer {
                let found = results.get(at).ok_or("the query gave no answer")?;
                let found = found.as_ref().map_err(ToString::to_string)?;
                let sample = |(labels, value): &(Labels, f64)| Sample {
                    labels: labels.clone(),
                    value: *value,
                    evidence: Vec::new(),
                };
                Ok(found.iter().map(sample).collect())
            };
            for (place, at, change) in places {
                answers[place] = Some(match change {
                    None => samples(at),
                    Some(change) => samples(at).and_then(|now| Ok(changed(now, &samples(at + 1)?, change, true))),
                });
            }
        }
        let round = Round::default();
        let others = questions.iter().enumerate().filter(|(_, one)| !matches!(one.condition, Condition::PromQl { .. }));
        let mut asked: Vec<BoxFuture<'_, (usize, Answer)>> = Vec::new();
        for (place, question) in others {
            asked.push(self.placed(place, question, &round).boxed());
        }
        let found: Vec<(usize, Answer)> = futures::stream::iter(asked).buffer_unordered(PARALLEL).collect().await;
        for (place, answer) in found {
            answers[place] = Some(answer);
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err("was not asked".to_owned()))).collect()
    }

    async fn placed(&self, place: usize, question: &Question<'_>, round: &Round) -> (usize, Answer) {
        (place, self.one(question, round).await)
    }

    async fn one(&self, question: &Question<'_>, round: &Round) -> Answer {
        let at_ms = question.at_ms;
        match question.condition {
            Condition::PromQl { .. } => Err("PromQL is asked together".to_owned()),
            Condition::Search(search) => self.search(search, at_ms, round).await,
            Condition::Each { signal, query, by } => self.each(*signal, query, by, question).await,
            Condition::Sql { sql, window_ms, value } => {
                let range = window(at_ms, *window_ms);
                let request = SqlRequest { sql: sql.clone(), range, limit: MAX_ROWS };
                let result = self.query.sql(&request).await.map_err(|error| error.to_string())?;
                if result.coverage.limit_hit.as_deref().is_some_and(|limit| limit.starts_with("limit")) {
                    return Err(format!("the statement gives more than {MAX_ROWS} rows"));
                }
                let columns: Vec<&str> = result.columns.iter().map(|column| column.name.as_str()).collect();
                let rows = result.rows.iter().map(|row| of_row(&columns, row)).collect::<Result<Vec<_>, _>>()?;
                Ok(rows.into_iter().filter(|row| value.is_none_or(|value| value.holds(row.value))).collect())
            }
            Condition::Burn { query, bad, by, windows_ms, share, min_count } => {
                // The short window decides cheaply whether the long one has to be looked at.
                let short = self.shares(query, bad, by, window(at_ms, windows_ms.1), round).await?;
                let short: BTreeSet<Labels> =
                    short.into_iter().filter(|one| one.share > *share).map(|one| one.labels).collect();
                if short.is_empty() {
                    return Ok(Vec::new());
                }
                let long = self.shares(query, bad, by, window(at_ms, windows_ms.0), round).await?;
                let burning = long
                    .into_iter()
                    .filter(|one| one.share > *share && one.rows >= *min_count && short.contains(&one.labels));
                Ok(burning.map(|one| Sample { labels: one.labels, value: one.share, evidence: Vec::new() }).collect())
            }
        }
    }

    /// Which share of requests is bad, by labels.
    async fn shares(
        &self,
        query: &str,
        bad: &str,
        by: &[String],
        range: TimeRange,
        round: &Round,
    ) -> Result<Vec<Share>, String> {
        let all = self.groups(Signal::Spans, query, range, by, Needs::Rows, round).await?;
        let failed = self.groups(Signal::Spans, &format!("{query} ({bad})"), range, by, Needs::Rows, round).await?;
        let failed: HashMap<&Vec<Option<String>>, u64> = failed.iter().map(|(key, found)| (key, found.rows)).collect();
        let share = |(key, found): &(Vec<Option<String>>, Figures)| {
            let bad = failed.get(key).copied().unwrap_or_default();
            Share { labels: labels(by, key), rows: found.rows, share: bad as f64 / (found.rows as f64).max(1.0) }
        };
        Ok(all.iter().map(share).collect())
    }

    async fn search(&self, search: &Search, at_ms: i64, round: &Round) -> Answer {
        let now = self.figures(search, window(at_ms, search.window_ms), round).await?;
        match &search.test {
            Test::Is(comparison) => {
                let mut now = now;
                // Rows that are not there are none: zero is a value too where nothing is told apart.
                if search.by.is_empty() && now.is_empty() && matches!(search.measure, Measure::Count | Measure::Rate) {
                    now.push(Sample::default());
                }
                Ok(now.into_iter().filter(|sample| comparison.holds(sample.value)).collect())
            }
            Test::Absent { seen_ms } => {
                if search.by.is_empty() && now.iter().any(|sample| sample.value > 0.0) {
                    return Ok(Vec::new());
                }
                let before = window(at_ms - search.window_ms, *seen_ms);
                let before = self.groups(search.signal, &search.query, before, &search.by, Needs::Rows, round).await?;
                if search.by.is_empty() {
                    let has_come = before.iter().any(|(_, found)| found.rows > 0);
                    return Ok(if has_come { vec![Sample::default()] } else { Vec::new() });
                }
                let here: Vec<&Labels> = now.iter().map(|sample| &sample.labels).collect();
                let missing = before.iter().map(|(key, _)| labels(&search.by, key));
                let missing = missing.filter(|labels| !here.contains(&labels));
                Ok(missing.map(|labels| Sample { labels, ..Sample::default() }).collect())
            }
            Test::Changed(change) => {
                let before = window(at_ms - change.against_ms, search.window_ms);
                let before = self.figures(search, before, round).await?;
                // Requests that do not come have neither a duration nor a share of errors.
                let falls = matches!(search.measure, Measure::Count | Measure::Rate);
                Ok(changed(now, &before, *change, falls))
            }
        }
    }

    /// The figure of a search, by labels.
    async fn figures(&self, search: &Search, range: TimeRange, round: &Round) -> Answer {
        let needs = match search.measure {
            Measure::Count | Measure::Rate => Needs::Rows,
            Measure::ErrorRate => Needs::Errors,
            Measure::Latency(_) => Needs::Durations,
        };
        let groups = self.groups(search.signal, &search.query, range, &search.by, needs, round).await?;
        let seconds = (search.window_ms as f64 / 1000.0).max(1e-3);
        let value = |found: &Figures| match search.measure {
            Measure::Count => Some(found.rows as f64),
            Measure::Rate => Some(found.rows as f64 / seconds),
            Measure::ErrorRate => (found.rows > 0).then(|| found.errors as f64 / found.rows as f64),
            Measure::Latency(percent) => latency_s(found, percent),
        };
        let sample = |(key, found): &(Vec<Option<String>>, Figures)| {
            Some(Sample { labels: labels(&search.by, key), value: value(found)?, evidence: Vec::new() })
        };
        let says_something = |(_, found): &&(Vec<Option<String>>, Figures)| found.rows >= search.min_count;
        Ok(groups.iter().filter(says_something).filter_map(sample).collect())
    }

    /// Figures by fields, once for all that ask the same.
    async fn groups(
        &self,
        signal: Signal,
        query: &str,
        range: TimeRange,
        by: &[String],
        needs: Needs,
        round: &Round,
    ) -> Result<Arc<Groups>, String> {
        let needs_durations = needs == Needs::Durations;
        // The index alone can count.
        let is_counted = by.is_empty() && !needs_durations && signal == Signal::Logs;
        let needs_errors = is_counted && needs == Needs::Errors;
        let key = format!("{signal:?};{range:?};{needs_durations};{needs_errors};{by:?};{query}");
        let cell = Arc::clone(round.groups.lock().entry(key).or_default());
        let asked = || async {
            if is_counted {
                let count = async |query: String| {
                    let request = CountRequest { query, range, by: None, step: None, top: 1 };
                    let counts = self.query.counts(signal, &request).await.map_err(|error| error.to_string())?;
                    Ok::<u64, String>(counts.coverage.matched)
                };
                let rows = count(query.to_owned()).await?;
                let errors = if needs_errors && rows > 0 {
                    count(format!("({}) level>=error", if query.trim().is_empty() { "*" } else { query })).await?
                } else {
                    0
                };
                let figures = Figures { rows, errors, ..Figures::default() };
                return Ok(Arc::new(if rows > 0 { vec![(Vec::new(), figures)] } else { Vec::new() }));
            }
            let number = needs_durations.then(|| "duration".to_owned());
            let request = GroupsRequest { signal, query: query.to_owned(), range, by: by.to_vec(), number };
            let (groups, _) = self.query.groups(&request).await.map_err(|error| error.to_string())?;
            Ok(Arc::new(groups.into_iter().map(|group| (group.keys, group.figures)).collect()))
        };
        cell.get_or_init(asked).await.clone()
    }

    /// Each row that matches since the evaluation before.
    async fn each(&self, signal: Signal, query: &str, by: &[String], question: &Question<'_>) -> Answer {
        let since = question.since_ms.max(question.at_ms - MAX_CATCH_UP_MS);
        let range = TimeRange { start: since.saturating_mul(1_000_000), end: question.at_ms.saturating_mul(1_000_000) };
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let found = match signal {
            Signal::Spans => self.ended(query, range).await?,
            _ => self.rows(signal, query, range, MAX_EACH).await?,
        };
        if found.more || found.rows.len() > MAX_EACH {
            return Err(format!(
                "more than {MAX_EACH} rows matched since the evaluation before: narrow the search, or count"
            ));
        }
        let mut all: BTreeMap<Labels, Sample> = BTreeMap::new();
        for found in found.rows {
            let labels = if by.is_empty() {
                found.own_labels()
            } else {
                by.iter().map(|field| (label(field), found.field(field))).filter(|(_, text)| !text.is_empty()).collect()
            };
            let sample = all.entry(labels.clone()).or_insert_with(|| Sample { labels, ..Sample::default() });
            sample.value += 1.0;
            if sample.evidence.len() < MAX_EVIDENCE {
                sample.evidence.push(found.evidence);
            }
        }
        Ok(all.into_values().collect())
    }

    /// Spans that ended within a range, whenever they began: a span is there only when it has ended, and the slower it is, the
    /// earlier it began.
    async fn ended(&self, query: &str, range: TimeRange) -> Result<FoundRows, String> {
        let mut all = FoundRows::default();
        let mut end = range.end;
        for (back_ms, took_ms) in SPANS_BEGAN_MS {
            let start = range.start.saturating_sub(back_ms * 1_000_000);
            let longer = (took_ms > 0).then(|| format!("duration>={took_ms}ms"));
            let query = narrowed(query, longer.into_iter().collect());
            let found = self.rows(Signal::Spans, &query, TimeRange { start, end }, MAX_EACH).await?;
            all.more |= found.more;
            all.rows
                .extend(found.rows.into_iter().filter(|row| row.ended_ns >= range.start && row.ended_ns < range.end));
            end = start;
        }
        Ok(all)
    }

    async fn rows(&self, signal: Signal, query: &str, range: TimeRange, limit: usize) -> Result<FoundRows, String> {
        let limit = limit.min(self.query.settings().max_limit);
        let request = RowsRequest { query: query.to_owned(), range, limit, cursor: None };
        if signal == Signal::Spans {
            let page = self.query.spans(&request).await.map_err(|error| error.to_string())?;
            return Ok(FoundRows {
                rows: page.rows.iter().map(FoundRow::of_span).collect(),
                more: page.cursor.is_some(),
            });
        }
        let page = self.query.logs(&request).await.map_err(|error| error.to_string())?;
        Ok(FoundRows { rows: page.rows.iter().map(FoundRow::of_log).collect(), more: page.cursor.is_some() })
    }

    /// Log lines and traces that show why a condition holds for these labels.
    pub(crate) async fn evidence(&self, condition: &Condition, labels: &Labels, at_ms: i64) -> Vec<Evidence> {
        let of_fields = |by: &[String]| -> Vec<String> {
            by.iter().filter_map(|field| labels.get(&label(field)).map(|value| term(field, value))).collect()
        };
        let (asked, window_ms): (Vec<(Signal, String)>, i64) = match condition {
            Condition::Search(search) => {
                let mut query = narrowed(&search.query, of_fields(&search.by));
                if search.measure == Measure::ErrorRate {
                    query = format!(
                        "{query} {}",
                        if search.signal == Signal::Spans { "status:error" } else { "level>=error" }
                    );
                }
                (vec![(search.signal, query)], search.window_ms)
            }
            Condition::Each { signal, query, by } => (vec![(*signal, narrowed(query, of_fields(by)))], 60_000),
            Condition::Burn { query, bad, by, windows_ms, .. } => {
                (vec![(Signal::Spans, narrowed(&format!("{query} ({bad})"), of_fields(by)))], windows_ms.1)
            }
            Condition::PromQl { .. } | Condition::Sql { .. } => match service_of(labels) {
                None => return Vec::new(),
                Some(service) => {
                    let service = term("service.name", service);
                    let asked = vec![
                        (Signal::Logs, format!("{service} level>=error")),
                        (Signal::Spans, format!("{service} status:error")),
                    ];
                    (asked, 300_000)
                }
            },
        };
        let mut all = Vec::new();
        for (signal, query) in asked {
            let wanted = MAX_EVIDENCE - all.len();
            if wanted == 0 {
                break;
            }
            // Evidence that cannot be had is no reason to be silent.
            if let Ok(found) = self.rows(signal, &query, window(at_ms, window_ms), wanted).await {
                all.extend(found.rows.into_iter().take(wanted).map(|row| row.evidence));
            }
        }
        all
    }
}

/// A percentile of durations in seconds; 100 is the longest.
pub(crate) fn latency_s(found: &Figures, percent: u8) -> Option<f64> {
    let ns = match percent {
        50 => found.p50,
        90 => found.p90,
        95 => found.p95,
        99 => found.p99,
        _ => found.max,
    };
    ns.map(|ns| ns / 1e9)
}

/// The label that stands for a field: what a label cannot hold becomes `_`.
pub(crate) fn label(field: &str) -> String {
    let field = field.strip_prefix("resource.").or_else(|| field.strip_prefix("attributes.")).unwrap_or(field);
    let name: String = field.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    match name.as_str() {
        "service" => "service_name".to_owned(),
        _ if name.starts_with(|c: char| c.is_ascii_digit()) => format!("_{name}"),
        _ => name,
    }
}

/// `field:"value"` in the search language.
pub(crate) fn term(field: &str, value: &str) -> String {
    format!("{field}:{}", mangru_query::quoted(value))
}

/// A search with these terms before it.
pub(crate) fn narrowed(query: &str, mut terms: Vec<String>) -> String {
    let query = query.trim();
    if !query.is_empty() && query != "*" {
        terms.push(format!("({query})"));
    }
    terms.join(" ")
}

fn labels(by: &[String], key: &[Option<String>]) -> Labels {
    let pairs = by.iter().zip(key).filter_map(|(field, value)| Some((label(field), value.clone()?)));
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

pub(crate) fn window(at_ms: i64, length_ms: i64) -> TimeRange {
    TimeRange { start: at_ms.saturating_sub(length_ms).saturating_mul(1_000_000), end: at_ms.saturating_mul(1_000_000) }
}

/// How values changed against before: of what was nothing before, nothing is said. `falls` says whether what is missing now has
/// fallen to nothing.
fn changed(now: Vec<Sample>, before: &[Sample], change: Change, falls: bool) -> Vec<Sample> {
    let key = |labels: &Labels| -> Labels {
        labels.iter().filter(|(name, _)| *name != "__name__").map(|(n, v)| (n.clone(), v.clone())).collect()
    };
    let before: BTreeMap<Labels, f64> = before.iter().map(|sample| (key(&sample.labels), sample.value)).collect();
    let mut here: BTreeMap<Labels, f64> = now.into_iter().map(|sample| (key(&sample.labels), sample.value)).collect();
    // What came before and does not come now has fallen to nothing.
    for labels in before.keys().filter(|_| falls) {
        here.entry(labels.clone()).or_insert(0.0);
    }
    let ratio = |(labels, now): (Labels, f64)| {
        let before = *before.get(&labels)?;
        (before != 0.0).then(|| Sample { labels, value: (now - before) / before.abs(), evidence: Vec::new() })
    };
    here.into_iter().filter_map(ratio).filter(|sample| change.is.holds(sample.value)).collect()
}

/// A row of SQL: the column `value`, or else the first number, is the value; texts are labels.
fn of_row(columns: &[&str], row: &[Json]) -> Result<Sample, String> {
    let number = |value: &Json| {
        value
            .as_f64()
            .or_else(|| value.as_bool().map(f64::from))
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    };
    let by_name = columns.iter().position(|name| name.eq_ignore_ascii_case("value"));
    let place = by_name.or_else(|| row.iter().position(Json::is_number));
    let value = match place {
        None => 1.0,
        Some(place) if row[place].is_null() => f64::NAN,
        Some(place) => number(&row[place]).ok_or_else(|| format!("column `{}` is not a number", columns[place]))?,
    };
    let texts = columns.iter().zip(row).enumerate().filter(|(at, _)| Some(*at) != place);
    let labels = texts.filter_map(|(_, (name, value))| {
        let text = match value {
            Json::Null => return None,
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some((label(name), text))
    });
    Ok(Sample { labels: labels.collect(), value, evidence: Vec::new() })
}
