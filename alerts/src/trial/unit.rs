//! Unit tests of rules: promtool's files, with logs and spans beside their series.

use super::fixtures::{LogFields, Scratch, SeriesFields, SpanFields, logs, samples, series_labels, spans};
use super::report::listed;
use crate::ask::Asker;
use crate::duration;
use crate::evaluate::{Book, Evaluator, Recorder};
use crate::machine::{Labels, State, Transition};
use crate::rows::{Cell, Row};
use crate::rules::{Fault, Group, RuleSet};
use mangru_query::PromQl;
use mangru_store::Signal;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Evaluations of one test.
const MAX_STEPS: i64 = 100_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule_files: Vec<String>,
    evaluation_interval: Option<String>,
    #[serde(default)]
    group_eval_order: Vec<String>,
    #[serde(default)]
    fuzzy_compare: bool,
    #[serde(default)]
    tests: Vec<TestFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestFields {
    name: Option<String>,
    interval: Option<String>,
    input_series: Vec<SeriesFields>,
    logs: Vec<LogFields>,
    spans: Vec<SpanFields>,
    alert_rule_test: Vec<AlertTest>,
    promql_expr_test: Vec<ExprTest>,
    transition_test: Vec<TransitionTest>,
    external_labels: BTreeMap<String, String>,
    external_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertTest {
    eval_time: String,
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ExpectedAlert {
    exp_labels: BTreeMap<String, crate::rules::PlainText>,
    exp_annotations: BTreeMap<String, crate::rules::PlainText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExprTest {
    expr: String,
    eval_time: String,
    #[serde(default)]
    exp_samples: Vec<ExpectedSample>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedSample {
    #[serde(default)]
    labels: String,
    #[serde(default)]
    value: f64,
}

/// All transitions of an alert: ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransitionTest {
    alertname: String,
    #[serde(default)]
    exp_transitions: Vec<ExpectedTransition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedTransition {
    at: String,
    to: String,
    #[serde(default)]
    labels: BTreeMap<String, crate::rules::PlainText>,
}

/// How a file's tests went.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    /// Tests.
    pub tests: usize,
    /// What was not as expected, each with the test's name.
    pub failures: Vec<String>,
    /// All transitions, test by test.
    pub transitions: Vec<Transition>,
}

/// Runs the tests of a file.
///
/// # Errors
/// When the file or its rules cannot be read.
pub async fn test_file(path: &Path) -> Result<TestReport, Vec<Fault>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| vec![Fault::unreadable(&name, &error)])?;
    let file: File = serde_saphyr::from_str(&text).map_err(|error| vec![Fault::of_yaml(&name, &error)])?;
    let fault = |key: &str, message: String| vec![Fault::new(&name, 0, key, message)];
    let default = |given: Option<&String>| given.map_or(Ok(60_000), |text| duration::parse(text));
    let interval_ms =
        default(file.evaluation_interval.as_ref()).map_err(|message| fault("evaluation_interval", message))?;
    if interval_ms <= 0 {
        return Err(fault("evaluation_interval", "the interval is empty".to_owned()));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let patterns: Vec<_> = file.rule_files.iter().map(|pattern| folder.join(pattern)).collect();
    let rules = RuleSet::load(&patterns, interval_ms)?;
    let mut groups = rules.groups;
    let order =
        |group: &Arc<Group>| file.group_eval_order.iter().position(|name| *name == group.name).unwrap_or(usize::MAX);
    groups.sort_by_key(order);
    let mut report = TestReport::default();
    for (number, test) in file.tests.iter().enumerate() {
        let shown = test.name.clone().unwrap_or_else(|| format!("test {}", number + 1));
        report.tests += 1;
        let ran = run(test, &groups, interval_ms, file.fuzzy_compare).await;
        match ran {
            Ok((failures, transitions)) => {
                report.failures.extend(failures.into_iter().map(|failure| format!("{shown}: {failure}")));
                report.transitions.extend(transitions);
            }
            Err(message) => report.failures.push(format!("{shown}: {message}")),
        }
    }
    Ok(report)
}

type Ran = (Vec<String>, Vec<Transition>);
/// An alert as it is compared.
type Shown = (Labels, Labels);

/// Rows with when they are there: a span when it has ended.
type Waiting = Vec<(i64, Row)>;

/// The rows of a test, in the order in which they come.
fn fixtures(test: &TestFields, interval_ms: i64) -> Result<[(Signal, Waiting); 3], String> {
    let series_ms = test.interval.as_deref().map_or(Ok(interval_ms), duration::parse)?;
    let (mut points, mut lines, mut all_spans) = (Vec::new(), Vec::new(), Vec::new());
    for fields in &test.input_series {
        points.extend(samples(fields, series_ms)?);
    }
    for fields in &test.logs {
        lines.extend(logs(fields)?);
    }
    for fields in &test.spans {
        all_spans.extend(spans(fields)?);
    }
    let waiting = |rows: Vec<Row>| {
        let number = |row: &Row, column: &str| match row.cells.get(column) {
            Some(Cell::Integer(number)) => *number,
            _ => 0,
        };
        let there = |row: Row| (number(&row, "time").saturating_add(number(&row, "duration_ns")), row);
        let mut rows: Waiting = rows.into_iter().map(there).collect();
        rows.sort_by_key(|(time_ns, _)| *time_ns);
        rows
    };
    Ok([(Signal::MetricPoints, waiting(points)), (Signal::Logs, waiting(lines)), (Signal::Spans, waiting(all_spans))])
}

async fn run(test: &TestFields, groups: &[Arc<Group>], interval_ms: i64, is_fuzzy: bool) -> Result<Ran, String> {
    let scratch = Scratch::open().await?;
    if !test.external_labels.is_empty() {
        return Err("external_labels are not supported: rules here have none".to_owned());
    }
    let mut rows = fixtures(test, interval_ms)?;
    let mut end_ms = 0;
    for text in test
        .alert_rule_test
        .iter()
        .map(|one| &one.eval_time)
        .chain(test.promql_expr_test.iter().map(|one| &one.eval_time))
    {
        end_ms = end_ms.max(duration::parse(text)?);
    }
    for one in test.transition_test.iter().flat_map(|one| &one.exp_transitions) {
        end_ms = end_ms.max(duration::parse(&one.at)? + interval_ms);
    }
    if end_ms / interval_ms > MAX_STEPS {
        return Err(format!("the test has more than {MAX_STEPS} evaluations"));
    }
    let evaluator = Evaluator {
        asker: Asker { query: Arc::clone(&scratch.query) },
        external_url: test.external_url.clone().unwrap_or_default(),
        offset_ms: 0,
    };
    let (book, recorder) = (parking_lot::Mutex::new(Book::default()), Recorder::Store(Arc::clone(&scratch.store)));
    let (mut failures, mut transitions, mut errors) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut now_ms = 0;
    while now_ms <= end_ms {
        // What has not happened yet is not there: neither by an offset nor by a window it can be seen.
        for (signal, waiting) in &mut rows {
            let come = waiting.partition_point(|(time_ns, _)| *time_ns <= now_ms * 1_000_000);
            let come: Vec<Row> = waiting.drain(..come).map(|(_, row)| row).collect();
            scratch.append(*signal, &come).await?;
        }
        // One group after the other, as promtool does, so that a group sees what those before it recorded.
        for group in groups {
            transitions
                .extend(evaluator.evaluate(std::slice::from_ref(group), now_ms, &book, &recorder).await.transitions);
        }
        for rule in groups.iter().flat_map(|group| &group.rules) {
            if let Some(error) = book.lock().health.get(&rule.id).and_then(|health| health.error.clone()) {
                errors.insert(format!("rule {}: {error}", rule.name));
            }
        }
        for one in &test.alert_rule_test {
            let at = duration::parse(&one.eval_time)?;
            if (now_ms..now_ms + interval_ms).contains(&at) {
                failures.extend(compare(one, &firing(&book, groups, &one.alertname)));
            }
        }
        now_ms += interval_ms;
    }
    failures.extend(errors);
    for one in &test.promql_expr_test {
        failures.extend(expression(one, &evaluator, is_fuzzy).await?);
    }
    for one in &test.transition_test {
        failures.extend(transitions_differ(one, &transitions)?);
    }
    let closed = scratch.store.close().await;
    closed.map_err(|error| error.to_string())?;
    Ok((failures, transitions))
}

/// The alerts of a name that fire.
fn firing(book: &parking_lot::Mutex<Book>, groups: &[Arc<Group>], name: &str) -> BTreeSet<Shown> {
    let book = book.lock();
    let rules = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.name == name);
    let alerts = rules.flat_map(|rule| book.active.get(&rule.id).into_iter().flatten());
    alerts
        .filter(|(_, alert)| alert.state == State::Firing)
        .map(|(_, alert)| (alert.labels.clone(), alert.annotations.clone()))
        .collect()
}

fn texts(all: &BTreeMap<String, crate::rules::PlainText>) -> Labels {
    all.iter().map(|(name, text)| (name.clone(), text.0.clone())).collect()
}

fn compare(test: &AlertTest, found: &BTreeSet<Shown>) -> Option<String> {
    let expected: BTreeSet<Shown> = test
        .exp_alerts
        .iter()
        .map(|one| {
            let mut labels = texts(&one.exp_labels);
            labels.insert("alertname".to_owned(), test.alertname.clone());
            (labels, texts(&one.exp_annotations))
        })
        .collect();
    if expected == *found {
        return None;
    }
    let shown = |all: &BTreeSet<Shown>| {
        let one =
            |(labels, annotations): &Shown| format!("\n      labels {labels:?}\n      annotations {annotations:?}");
        if all.is_empty() { " none".to_owned() } else { all.iter().map(one).collect::<String>() }
    };
    Some(format!(
        "alertname: {}, time: {}\n    exp:{}\n    got:{}",
        test.alertname,
        test.eval_time,
        shown(&expected),
        shown(found)
    ))
}

async fn expression(test: &ExprTest, evaluator: &Evaluator, is_fuzzy: bool) -> Result<Option<String>, String> {
    let at_ms = duration::parse(&test.eval_time)?;
    let expr = match PromQl::parse(&test.expr) {
        Ok(expr) => expr,
        Err(error) => return Ok(Some(format!("expr: {:?}: {error}", test.expr))),
    };
    let found = match evaluator.asker.query.promql_at(&[(expr, at_ms)], &[]).await.remove(0) {
        Ok(found) => found,
        Err(error) => return Ok(Some(format!("expr: {:?}, time: {}: {error}", test.expr, test.eval_time))),
    };
    let mut found: Vec<(Labels, f64)> = found;
    let mut expected = Vec::new();
    for sample in &test.exp_samples {
        let labels = match sample.labels.trim() {
            "" | "{}" => Labels::new(),
            text => series_labels(text)?,
        };
        expected.push((labels, sample.value));
    }
    let order = |left: &(Labels, f64), right: &(Labels, f64)| left.0.cmp(&right.0);
    found.sort_by(order);
    expected.sort_by(order);
    let is_close = |left: f64, right: f64| {
        let most = if is_fuzzy { 1e-6 } else { 1e-12 };
        (left.is_nan() && right.is_nan())
            || (left - right).abs() <= most * left.abs().max(right.abs())
            || left.to_bits() == right.to_bits()
    };
    let is_same = found.len() == expected.len()
        && found.iter().zip(&expected).all(|(left, right)| left.0 == right.0 && is_close(left.1, right.1));
    if is_same {
        return Ok(None);
    }
    let shown = |all: &[(Labels, f64)]| {
        let one = |(labels, value): &(Labels, f64)| format!("\n      {labels:?} {}", mangru_query::number_text(*value));
        if all.is_empty() { " none".to_owned() } else { all.iter().map(one).collect::<String>() }
    };
    Ok(Some(format!(
        "expr: {:?}, time: {}\n    exp:{}\n    got:{}",
        test.expr,
        test.eval_time,
        shown(&expected),
        shown(&found)
    )))
}

fn transitions_differ(test: &TransitionTest, all: &[Transition]) -> Result<Option<String>, String> {
    let found: Vec<&Transition> = all.iter().filter(|one| one.name == test.alertname).collect();
    let mut is_same = found.len() == test.exp_transitions.len();
    for (one, expected) in found.iter().zip(&test.exp_transitions) {
        let labels = texts(&expected.labels);
        is_same &= one.time_ms == duration::parse(&expected.at)?
            && one.to.name() == expected.to
            && labels.iter().all(|(name, value)| one.labels.get(name) == Some(value));
    }
    if is_same {
        return Ok(None);
    }
    let found: Vec<Transition> = found.into_iter().cloned().collect();
    let lines: Vec<String> =
        test.exp_transitions.iter().map(|one| format!("\n      {} → {}", one.at, one.to)).collect();
    let expected = lines.concat();
    Ok(Some(format!("transitions of {}\n    exp:{expected}\n    got:\n{}", test.alertname, listed(&found))))
}
