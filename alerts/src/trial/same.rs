//! The same input gives the same transitions: in tests of rules, over the past, and in production with restarts in between.

use super::fixtures::{Scratch, SeriesFields, samples};
use super::{TrialSettings, backtest, test_file};
use crate::machine::{State, Transition};
use crate::rules::RuleSet;
use crate::{AlertService, AlertSettings, schedule};
use mangru_store::Signal;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const STEP_MS: i64 = 60_000;

/// What is compared: when (without the shift of the group), what, from where to where.
type Seen = (i64, String, State, State);

fn seen(transitions: &[Transition], shift_ms: i64) -> Vec<Seen> {
    let one = |one: &Transition| {
        let who = format!("{} {:?}", one.name, one.labels);
        (one.time_ms - shift_ms, who, one.from, one.to)
    };
    let mut all: Vec<Seen> = transitions.iter().map(one).collect();
    all.sort();
    all
}

fn settings(folder: &Path, rules: &Path) -> AlertSettings {
    AlertSettings {
        rules: vec![rules.to_owned()],
        interval_ms: STEP_MS,
        external_url: String::new(),
        history_ms: i64::MAX / 2,
        ..AlertSettings::in_folder(folder.to_owned())
    }
}

/// Runs the rules in all three ways; a restart happens before each step whose flag is set.
async fn run(rules: &str, series: &[SeriesFields], steps: i64, restarts: &[bool]) -> [Vec<Seen>; 3] {
    let folder = tempfile::tempdir().expect("folder");
    let rules_path = folder.path().join("rules.yml");
    std::fs::write(&rules_path, rules).expect("written");
    let end = (steps - 1) * STEP_MS;

    // As a unit test.
    let listed: Vec<String> =
        series.iter().map(|one| format!("    - {{series: '{}', values: '{}'}}\n", one.series, one.values)).collect();
    let listed = listed.concat();
    let test = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n{listed}  \
         promql_expr_test: [{{expr: 'vector(0)', eval_time: {}m, exp_samples: [{{value: 0}}]}}]\n",
        steps - 1
    );
    let test_path = folder.path().join("test.yml");
    std::fs::write(&test_path, test).expect("written");
    let report = test_file(&test_path).await.expect("the test runs");
    assert_eq!(report.failures, Vec::<String>::new());

    // Over the past, and in production.
    let scratch = Scratch::open().await.expect("a store");
    for one in series {
        scratch.append(Signal::MetricPoints, &samples(one, STEP_MS).expect("samples")).await.expect("kept");
    }
    let set = RuleSet::load(std::slice::from_ref(&rules_path), STEP_MS).expect("rules");
    let shift = schedule::shift_ms(&set.groups[0]);
    let trial = TrialSettings { offset_ms: 0, external_url: String::new() };
    let past = backtest(Arc::clone(&scratch.query), &set, (0, end + shift), &trial).await.expect("it runs");
    assert_eq!(past.errors, Vec::new());

    let settings = settings(&folder.path().join("alerts"), &rules_path);
    let open = |now_ms: i64| AlertService::open(Arc::clone(&scratch.query), settings.clone(), now_ms);
    let mut service = open(0).await.expect("starts");
    let mut lived = Vec::new();
    for step in 0..steps {
        let now_ms = step * STEP_MS + shift;
        if restarts[step as usize % restarts.len()] {
            // Nothing is stopped in order: what is not written down is gone.
            drop(service);
            service = open(now_ms).await.expect("starts again");
        }
        lived.extend(service.evaluate_at(&service.rules().groups, now_ms).await);
    }
    let mut history = service.history((0, i64::MAX), None, 10_000).await.expect("history");
    history.reverse();
    assert_eq!(seen(&history, 0), seen(&lived, 0), "all that happened is in the history");
    [seen(&report.transitions, 0), seen(&past.transitions, shift), seen(&lived, shift)]
}

const RULES: &str = "
groups:
- name: g
  interval: 1m
  rules:
  - record: level:max
    expr: max by (s) (level)
  - {alert: High, expr: 'level:max > 1', for: FORm, keep_firing_for: KEEPm, labels: {severity: '{{ if gt $value 2.0 }}page{{ else }}ticket{{ end }}'}}
  - {alert: AnyHigh, expr: 'count(ALERTS{alertname=\"High\", alertstate=\"firing\"}) > 0'}
  - {alert: Gone, expr: 'absent(level{s=\"a\"})', for: 2m}
";

fn values() -> impl Strategy<Value = String> {
    let value = prop_oneof![6 => (0_u8..4).prop_map(|value| value.to_string()), 1 => Just("_".to_owned()), 1 => Just("stale".to_owned())];
    proptest::collection::vec(value, 12..18).prop_map(|all| all.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_same_input_gives_the_same_transitions_everywhere(
        a in values(),
        b in values(),
        for_minutes in 0_i64..3,
        keep_minutes in 0_i64..3,
        restarts in proptest::collection::vec(any::<bool>(), 5),
    ) {
        let rules = RULES.replace("FOR", &for_minutes.to_string()).replace("KEEP", &keep_minutes.to_string());
        let series = [
            SeriesFields { series: "level{s=\"a\"}".to_owned(), values: a },
            SeriesFields { series: "level{s=\"b\", x=\"1\"}".to_owned(), values: b },
        ];
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let [test, past, production] = runtime.block_on(run(&rules, &series, 14, &restarts));
        prop_assert_eq!(&test, &past, "tests and the past");
        prop_assert_eq!(&test, &production, "tests and production");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_condition_fires_on_its_fixture() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("rules.yml"), include_str!("same/rules.yml")).expect("written");
    std::fs::write(path("test.yml"), include_str!("same/test.yml")).expect("written");
    let report = test_file(&path("test.yml")).await.unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(report.failures, Vec::<String>::new(), "{}", super::listed(&report.transitions));
    assert!(report.transitions.len() > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_expects_something_else_fails() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("rules.yml"), "groups: [{name: g, rules: [{alert: Up, expr: up == 1}]}]").expect("written");
    let test = "
rule_files: [rules.yml]
tests:
- input_series: [{series: 'up{job=\"a\"}', values: '1x10'}]
  alert_rule_test:
  - {eval_time: 3m, alertname: Up, exp_alerts: [{exp_labels: {job: b}}]}
  - {eval_time: 3m, alertname: Up, exp_alerts: [{exp_labels: {job: a}}]}
  - {eval_time: 3m, alertname: Up}
  promql_expr_test:
  - {expr: up, eval_time: 3m, exp_samples: [{labels: 'up{job=\"a\"}', value: 2}]}
  - {expr: up, eval_time: 3m, exp_samples: [{labels: 'up{job=\"a\"}', value: 1}]}
";
    std::fs::write(path("test.yml"), test).expect("written");
    let report = test_file(&path("test.yml")).await.expect("it runs");
    assert_eq!(report.failures.len(), 3, "{:#?}", report.failures);
    assert!(report.failures[0].contains("alertname: Up, time: 3m"), "{:#?}", report.failures);
}
