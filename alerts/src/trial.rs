//! Rules on a virtual clock: over stored data, and over fixtures. The evaluator is production's own.

mod fixtures;
mod report;
#[cfg(test)]
mod same;
#[cfg(test)]
mod told;
mod unit;

pub use report::{draw, listed};
pub use unit::{TestReport, test_file};

use crate::ask::Asker;
use crate::evaluate::{Book, Evaluator, Recorder};
use crate::machine::Transition;
use crate::rules::{Condition, Group, RuleSet, Test};
use crate::schedule;
use mangru_query::QueryService;
use mangru_store::Signal;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// Evaluations of groups in one run.
const MAX_EVALUATIONS: u64 = 200_000;

/// What a run over the past gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Backtest {
    /// From when, in milliseconds.
    pub from_ms: i64,
    /// Until when.
    pub to_ms: i64,
    /// The transitions in their order.
    pub transitions: Vec<Transition>,
    /// Evaluations of groups.
    pub evaluations: u64,
    /// Errors of rules: name and message, each once.
    pub errors: Vec<(String, String)>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How a run is made.
#[derive(Clone, Debug)]
pub struct TrialSettings {
    /// How long before the moment of evaluation data is looked at, in groups that do not say, in milliseconds.
    pub offset_ms: i64,
    /// The address people reach the UI at.
    pub external_url: String,
}

/// Evaluates rules at all their moments between two, over what is stored. Recorded series are seen by this run alone.
///
/// # Errors
/// When there are too many moments.
pub async fn backtest(
    query: Arc<QueryService>,
    rules: &RuleSet,
    (from_ms, to_ms): (i64, i64),
    settings: &TrialSettings,
) -> Result<Backtest, String> {
    if from_ms >= to_ms {
        return Err("the start is not before the end".to_owned());
    }
    let planned: i64 = rules.groups.iter().map(|group| (to_ms - from_ms) / group.interval_ms.max(1) + 1).sum();
    if planned as u64 > MAX_EVALUATIONS {
        return Err(format!("the range has {planned} evaluations, allowed are {MAX_EVALUATIONS}: take a shorter one"));
    }
    let started = Instant::now();
    let evaluator = Evaluator {
        asker: Asker { query },
        external_url: settings.external_url.clone(),
        offset_ms: settings.offset_ms,
    };
    let (book, recorder) = (parking_lot::Mutex::new(Book::default()), Recorder::memory());
    let mut outcome = Backtest { from_ms, to_ms, ..Backtest::default() };
    let mut errors = BTreeSet::new();
    let mut moments: BTreeMap<i64, Vec<Arc<Group>>> = BTreeMap::new();
    for group in &rules.groups {
        moments.entry(schedule::next_ms(group, from_ms - 1)).or_default().push(Arc::clone(group));
    }
    while let Some((now_ms, groups)) = moments.pop_first() {
        if now_ms > to_ms {
            break;
        }
        let step = evaluator.evaluate(&groups, now_ms, &book, &recorder).await;
        outcome.transitions.extend(step.transitions);
        outcome.evaluations += groups.len() as u64;
        for rule in groups.iter().flat_map(|group| &group.rules) {
            if let Some(error) = book.lock().health.get(&rule.id).and_then(|health| health.error.clone()) {
                errors.insert((rule.name.clone(), error));
            }
        }
        for group in groups {
            moments.entry(schedule::next_ms(&group, now_ms)).or_default().push(group);
        }
    }
    outcome.errors = errors.into_iter().collect();
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}

/// What a rule costs: how far back each evaluation looks, and how much data a day of evaluations reads.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The rule.
    pub rule: String,
    /// Which data it reads.
    pub what: String,
    /// How far back, in milliseconds.
    pub back_ms: i64,
    /// Time between evaluations, in milliseconds.
    pub interval_ms: i64,
}

impl Cost {
    /// Days of data that the evaluations of one day read.
    pub fn days_read(&self) -> f64 {
        self.back_ms as f64 / self.interval_ms.max(1) as f64
    }
}

/// What each rule costs.
pub fn costs(rules: &RuleSet) -> Vec<Cost> {
    let cost = |group: &Group, rule: &crate::rules::Rule| {
        let (what, back_ms) = match &rule.condition {
            Condition::PromQl { expr, change } => {
                let selections = expr.selections().unwrap_or_default();
                let mut names: Vec<&str> =
                    selections.iter().map(|(name, _)| name.as_deref().unwrap_or("all metrics")).collect();
                names.dedup();
                let once: i64 = selections.iter().map(|(_, back)| *back).sum();
                (names.join(", "), once * if change.is_some() { 2 } else { 1 })
            }
            Condition::Search(search) => {
                let back = match &search.test {
                    Test::Absent { seen_ms } => search.window_ms + seen_ms,
                    Test::Is(_) => search.window_ms,
                    Test::Changed(_) => search.window_ms * 2,
                };
                (format!("{}: {}", search.signal.table(), search.query), back)
            }
            Condition::Each { signal, query, .. } => {
                // Spans that end now may have begun long ago.
                let before = if *signal == Signal::Spans { crate::ask::LONGEST_SPAN_MS } else { 0 };
                (format!("{}: {query}", signal.table()), group.interval_ms + before)
            }
            Condition::Sql { sql, window_ms, .. } => (sql.clone(), *window_ms),
            // The long window is looked at only while the short one is exceeded.
            Condition::Burn { query, windows_ms, .. } => (format!("spans: {query}"), windows_ms.1 * 2),
        };
        Cost { rule: rule.name.clone(), what, back_ms, interval_ms: group.interval_ms }
    };
    rules.rules().map(|(group, rule)| cost(group, rule)).collect()
}
