//! One evaluation of groups of rules at a moment: asking, recording, and the step of each alert's state. The same for production,
//! tests and backtests; only where recorded series go differs.

use crate::ask::{Asker, Question};
use crate::machine::{self, Active, Alert, Labels, Rendered, Sample, State, Transition};
use crate::rows;
use crate::rules::{Group, Kind, Rule};
use crate::template::{self, Failure, Scope, Template, Value};
use mangru_query::{ExtraSeries, PromQl};
use mangru_store::value::STALE_BITS;
use mangru_store::{Signal, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::RwLock;

/// Queries that the templates of one alert may ask.
const MAX_QUERIES: usize = 20;

/// How an evaluation of a rule went.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// When it was evaluated last, in milliseconds.
    pub evaluated_ms: i64,
    /// How long the evaluation of all rules that were asked with it took, in seconds.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// How many label sets it gave.
    pub samples: usize,
}

/// How a group goes.
#[derive(Clone, Debug, Default)]
pub struct GroupHealth {
    /// The moment of the newest evaluation, in milliseconds.
    pub evaluated_ms: i64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Evaluations, since the start.
    pub evaluations: u64,
    /// Evaluations that were left out because the one before had not ended, or because there was no time, since the start.
    pub missed: u64,
}

/// All that is remembered of rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// The alerts, by the rule's id.
    pub(crate) active: HashMap<String, Active>,
    /// How each rule went.
    pub(crate) health: HashMap<String, Health>,
    /// How each group went.
    pub(crate) groups: HashMap<String, GroupHealth>,
    /// Up to when groups have looked, for conditions that tell of each match.
    pub(crate) evaluated: HashMap<String, i64>,
    /// The series that each rule wrote last, so that their end can be written.
    pub(crate) written: HashMap<String, BTreeSet<Labels>>,
}

impl Book {
    /// Whether a rule's alert with these labels fires.
    pub(crate) fn fires(&self, fingerprint: u64) -> bool {
        let alerts = self.active.values().filter_map(|active| active.get(&fingerprint));
        alerts.into_iter().any(|alert| alert.state == State::Firing)
    }

    /// All alerts of rules that fire, by their labels.
    pub(crate) fn firing(&self) -> HashSet<u64> {
        let alerts = self.active.values().flatten().filter(|(_, alert)| alert.state == State::Firing);
        alerts.map(|(key, _)| *key).collect()
    }
}

/// What changed in a book.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) transitions: Vec<Transition>,
    /// Alerts whose state changed, by rule and fingerprint; none: forgotten.
    pub(crate) alerts: Vec<(String, u64, Option<Alert>)>,
    pub(crate) evaluated: Vec<(String, i64)>,
    /// Series that recording rules began to write, or ended.
    pub(crate) series: Vec<(String, Labels, bool)>,
}

/// Where recorded series go.
pub(crate) enum Recorder {
    /// Into the store, where they are durable.
    Store(Arc<Store>),
    /// Into memory, seen by the queries of this run alone.
    Memory(RwLock<Recorded>),
}

/// Series in memory, and where each of them is.
#[derive(Default)]
pub(crate) struct Recorded {
    pub(crate) series: Vec<ExtraSeries>,
    places: HashMap<Labels, usize>,
}

impl Recorded {
    fn add(&mut self, labels: &Labels, time_ms: i64, value: f64) {
        let place = match self.places.get(labels) {
            Some(place) => *place,
            None => {
                self.places.insert(labels.clone(), self.series.len());
                self.series.push((labels.clone(), Vec::new()));
                self.series.len() - 1
            }
        };
        self.series[place].1.push((time_ms, value));
    }
}

impl Recorder {
    pub(crate) fn memory() -> Self {
        Self::Memory(RwLock::default())
    }

    /// Writes samples; none as value ends the series.
    async fn write(&self, samples: &[(Labels, i64, Option<f64>)]) -> Result<(), String> {
        if samples.is_empty() {
            return Ok(());
        }
        match self {
            Self::Store(store) => {
                let rows: Vec<_> =
                    samples.iter().map(|(labels, time, value)| rows::point(labels, *time, *value)).collect();
                let batch = rows::batch(Signal::MetricPoints, &rows)?;
                store.append(batch).await.map(|_| ()).map_err(|error| error.to_string())
            }
            Self::Memory(series) => {
                let mut series = series.write().await;
                for (labels, time, value) in samples {
                    series.add(labels, *time, value.unwrap_or(f64::from_bits(STALE_BITS)));
                }
                Ok(())
            }
        }
    }
}

/// Evaluates rules.
#[derive(Clone)]
pub(crate) struct Evaluator {
    pub(crate) asker: Asker,
    /// The address people reach the UI at.
    pub(crate) external_url: String,
    /// How long before the moment of evaluation data is looked at, where a group does not say.
    pub(crate) offset_ms: i64,
}

/// What the templates of a rule ask, and what they were answered.
struct Asked<'a> {
    at_ms: i64,
    recorder: &'a Recorder,
    answers: BTreeMap<String, Value>,
}

/// A rule that is due, with its group.
type Due<'a> = (&'a Arc<Group>, &'a Arc<Rule>);

impl Evaluator {
    pub(crate) fn offset_ms(&self, group: &Group) -> i64 {
        group.offset_ms.unwrap_or(self.offset_ms)
    }

    /// Evaluates groups at a moment.
    pub(crate) async fn evaluate(
        &self,
        groups: &[Arc<Group>],
        now_ms: i64,
        book: &parking_lot::Mutex<Book>,
        recorder: &Recorder,
    ) -> Step {
        let started = Instant::now();
        let mut step = Step::default();
        let levels = groups.iter().flat_map(|group| group.levels.iter().copied()).max().map_or(0, |most| most + 1);
        for level in 0..levels {
            let due: Vec<Due<'_>> = groups
                .iter()
                .flat_map(|group| group.rules.iter().zip(&group.levels).map(move |(rule, at)| (group, rule, *at)))
                .filter(|(_, _, at)| *at == level)
                .map(|(group, rule, _)| (group, rule))
                .collect();
            self.level(&due, now_ms, book, recorder, &mut step).await;
        }
        let mut book = book.lock();
        for group in groups {
            let id = group.id();
            let looked_ms = now_ms - self.offset_ms(group);
            book.evaluated.insert(id.clone(), looked_ms);
            step.evaluated.push((id.clone(), looked_ms));
            let health = book.groups.entry(id).or_default();
            health.evaluated_ms = now_ms;
            health.evaluations += 1;
            health.seconds = started.elapsed().as_secs_f64();
        }
        step
    }

    /// Evaluates rules that do not need each other's series.
    async fn level(
        &self,
        due: &[Due<'_>],
        now_ms: i64,
        book: &parking_lot::Mutex<Book>,
        recorder: &Recorder,
        step: &mut Step,
    ) {
        let started = Instant::now();
        let questions: Vec<Question<'_>> = {
            let book = book.lock();
            // Rules of a group come one after the other.
            let mut looked: Option<(&Arc<Group>, Option<i64>)> = None;
            due.iter()
                .map(|(group, rule)| {
                    let at_ms = now_ms - self.offset_ms(group);
                    let since_ms = match looked {
                        Some((known, since_ms)) if Arc::ptr_eq(known, group) => since_ms,
                        _ => book.evaluated.get(&group.id()).copied(),
                    };
                    looked = Some((group, since_ms));
                    let since_ms = since_ms.unwrap_or(at_ms - group.interval_ms).min(at_ms);
                    Question { condition: &rule.condition, at_ms, since_ms }
                })
                .collect()
        };
        let answers = match recorder {
            Recorder::Store(_) => self.asker.ask(&questions, &[]).await,
            Recorder::Memory(series) => self.asker.ask(&questions, &series.read().await.series).await,
        };
        let mut samples = Vec::new();
        for ((group, rule), answer) in due.iter().zip(answers) {
            let at_ms = now_ms - self.offset_ms(group);
            let outcome = match answer {
                Err(error) => Err(error),
                Ok(found) => match rule.kind {
                    Kind::Record => recorded(group, rule, found),
                    Kind::Alert => {
                        let rendered = self.rendered(rule, found, at_ms, recorder).await;
                        alerts(group, rule, rendered, now_ms, book, step)
                    }
                },
            };
            let mut book = book.lock();
            let (count, error) = match outcome {
                Ok(series) => {
                    let count = series.len();
                    let names: BTreeSet<Labels> = series.iter().map(|(labels, _)| labels.clone()).collect();
                    let before = book.written.insert(rule.id.clone(), names.clone()).unwrap_or_default();
                    if rule.kind == Kind::Record {
                        let began = names.difference(&before).map(|one| (rule.id.clone(), one.clone(), true));
                        let ended = before.difference(&names).map(|one| (rule.id.clone(), one.clone(), false));
                        step.series.extend(began.chain(ended));
                    }
                    samples.extend(before.difference(&names).map(|ended| (ended.clone(), at_ms, None)));
                    samples.extend(series.into_iter().map(|(labels, value)| (labels, at_ms, Some(value))));
                    (count, None)
                }
                Err(error) => (0, Some(error)),
            };
            let health =
                Health { evaluated_ms: now_ms, seconds: started.elapsed().as_secs_f64(), error, samples: count };
            book.health.insert(rule.id.clone(), health);
        }
        if let Err(error) = recorder.write(&samples).await {
            tracing::warn!(error, samples = samples.len(), "the series of rules could not be stored");
            let mut book = book.lock();
            for (_, rule) in due.iter().filter(|(_, rule)| rule.kind == Kind::Record) {
                if let Some(health) = book.health.get_mut(&rule.id) {
                    health.error.get_or_insert_with(|| format!("its series could not be stored: {error}"));
                }
            }
        }
    }

    /// Samples with the labels and texts of their alerts.
    async fn rendered(&self, rule: &Rule, found: Vec<Sample>, at_ms: i64, recorder: &Recorder) -> Vec<Rendered> {
        let mut all = Vec::with_capacity(found.len());
        let mut asked = Asked { at_ms, recorder, answers: BTreeMap::new() };
        for sample in found {
            // Templates see the metric's name, alerts do not have it.
            let mut labels = sample.labels;
            let mut texts = Vec::new();
            let mut annotations = Labels::new();
            for (name, template) in &rule.labels {
                texts.push((name.clone(), self.text(template, &labels, sample.value, &mut asked).await));
            }
            for (name, template) in &rule.annotations {
                annotations.insert(name.clone(), self.text(template, &labels, sample.value, &mut asked).await);
            }
            labels.remove("__name__");
            set(&mut labels, texts);
            labels.insert("alertname".to_owned(), rule.name.clone());
            all.push(Rendered { labels, annotations, value: sample.value, evidence: sample.evidence });
        }
        all
    }

    /// Carries out a template, asking what it asks for.
    async fn text(&self, template: &Template, labels: &Labels, value: f64, asked: &mut Asked<'_>) -> String {
        if template.is_plain() {
            return template.text().to_owned();
        }
        for _ in 0..=MAX_QUERIES {
            let texts = Value::texts(labels.clone());
            let none = || Value::texts(Labels::new());
            let scope = Scope {
                dot: Value::record([
                    ("Labels", texts.clone()),
                    ("Value", Value::Float(value)),
                    ("ExternalLabels", none()),
                    ("ExternalURL", self.external_url.as_str().into()),
                ]),
                variables: vec![
                    ("labels", texts),
                    ("value", Value::Float(value)),
                    ("externalLabels", none()),
                    ("externalURL", self.external_url.as_str().into()),
                ],
                answers: &asked.answers,
                external_url: &self.external_url,
                now_ms: asked.at_ms,
                escapes: false,
            };
            match template.run(&[], &scope) {
                Ok(text) => return text,
                Err(Failure::Wrong(message) | Failure::Missing(message)) => {
                    return format!("<error expanding template: {message}>");
                }
                Err(Failure::Asks(query)) => {
                    let found = match PromQl::parse(&query) {
                        Err(error) => Err(error),
                        Ok(expr) => {
                            let expr = [(expr, asked.at_ms)];
                            let query = &self.asker.query;
                            match asked.recorder {
                                Recorder::Store(_) => query.promql_at(&expr, &[]).await.remove(0),
                                Recorder::Memory(series) => {
                                    query.promql_at(&expr, &series.read().await.series).await.remove(0)
                                }
                            }
                        }
                    };
                    match found {
                        Ok(found) => asked.answers.insert(query, template::samples(&found)),
                        Err(error) => return format!("<error expanding template: {error}>"),
                    };
                }
            }
        }
        format!("<error expanding template: more than {MAX_QUERIES} queries>")
    }
}

/// The series of a recording rule.
fn recorded(group: &Group, rule: &Rule, found: Vec<Sample>) -> Result<Vec<(Labels, f64)>, String> {
    let mut series: BTreeMap<Labels, f64> = BTreeMap::new();
    for sample in found {
        let mut labels = sample.labels;
        labels.remove("__name__");
        // Labels of recording rules are no templates.
        let texts = rule.labels.iter().map(|(name, template)| (name.clone(), template.text().to_owned()));
        set(&mut labels, texts.collect());
        labels.insert("__name__".to_owned(), rule.name.clone());
        if series.insert(labels, sample.value).is_some() {
            return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
        }
    }
    if group.limit > 0 && series.len() > group.limit {
        return Err(format!("exceeded limit of {} with {} series", group.limit, series.len()));
    }
    Ok(series.into_iter().collect())
}

/// Takes in what an alerting rule gave, and gives the series that tell of its alerts.
fn alerts(
    group: &Group,
    rule: &Arc<Rule>,
    rendered: Vec<Rendered>,
    now_ms: i64,
    book: &parking_lot::Mutex<Book>,
    step: &mut Step,
) -> Result<Vec<(Labels, f64)>, String> {
    let mut book = book.lock();
    let active = book.active.entry(rule.id.clone()).or_default();
    let timing =
        |alert: &Alert| (alert.state, alert.active_at_ms, alert.fired_at_ms, alert.resolved_at_ms, alert.kept_since_ms);
    let before: BTreeMap<u64, _> = active.iter().map(|(key, alert)| (*key, timing(alert))).collect();
    let advanced = machine::advance(active, group, rule, rendered, now_ms);
    for (key, alert) in &*active {
        if before.get(key) != Some(&timing(alert)) {
            step.alerts.push((rule.id.clone(), *key, Some(alert.clone())));
        }
    }
    let gone = before.keys().filter(|key| !active.contains_key(key));
    step.alerts.extend(gone.map(|key| (rule.id.clone(), *key, None)));
    let (transitions, refused) = match advanced {
        Ok(transitions) => (transitions, None),
        Err(refused) => (refused.transitions, Some(refused.message)),
    };
    step.transitions.extend(transitions);
    refused.map_or_else(|| Ok(series_of(active)), Err)
}

/// The series that tell of the alerts of a rule.
pub(crate) fn series_of(active: &Active) -> Vec<(Labels, f64)> {
    let mut series = Vec::new();
    for alert in active.values().filter(|alert| alert.state != State::Inactive) {
        let mut labels = alert.labels.clone();
        labels.insert("__name__".to_owned(), "ALERTS_FOR_STATE".to_owned());
        series.push((labels.clone(), alert.active_at_ms as f64 / 1000.0));
        labels.insert("__name__".to_owned(), "ALERTS".to_owned());
        labels.insert("alertstate".to_owned(), alert.state.name().to_owned());
        series.push((labels, 1.0));
    }
    series
}

/// Puts labels in; an empty one takes the label away.
fn set(labels: &mut Labels, texts: Vec<(String, String)>) {
    for (name, text) in texts {
        if text.is_empty() {
            labels.remove(&name);
        } else {
            labels.insert(name, text);
        }
    }
}
