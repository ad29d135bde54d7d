//! Rule files: what is taken, and what is said of what is not.

use mangru_alerts::rules::{Condition, Kind, read};

/// A file as Prometheus' documentation and its users write it.
const PROMETHEUS: &str = r#"
groups:
- name: example
  interval: 30s
  query_offset: 10s
  limit: 100
  labels:
    team: myteam
  rules:
  - record: job:http_inprogress_requests:sum
    expr: sum by (job) (http_inprogress_requests)
  - alert: HighRequestLatency
    expr: job:request_latency_seconds:mean5m{job="myjob"} > 0.5
    for: 10m
    keep_firing_for: 5m
    labels:
      severity: page
      tier: 1
    annotations:
      summary: "High request latency on {{ $labels.instance }}"
      description: >-
        {{ $value | humanizeDuration }} is above 0.5s;
        {{ with printf "up{job='%s'}" $labels.job | query }}{{ . | first | value }}{{ end }}
"#;

#[test]
fn files_of_prometheus_are_taken_unchanged() {
    let groups = read("example.yml", PROMETHEUS, 60_000).expect("fine");
    let group = &groups[0];
    assert_eq!((group.interval_ms, group.offset_ms, group.limit), (30_000, Some(10_000), 100));
    let [record, alert] = group.rules.as_slice() else { panic!("two rules") };
    assert_eq!((record.kind, alert.kind), (Kind::Record, Kind::Alert));
    assert_eq!((alert.for_ms, alert.keep_firing_ms, alert.line), (600_000, 300_000, 12));
    let labels: Vec<(&str, &str)> = alert.labels.iter().map(|(name, text)| (name.as_str(), text.text())).collect();
    assert_eq!(labels, [("team", "myteam"), ("severity", "page"), ("tier", "1")]);
}

#[test]
fn a_rule_keeps_its_identity_when_its_expression_changes() {
    let id = |text: &str| read("example.yml", text, 60_000).expect("fine")[0].rules[1].id.clone();
    assert_eq!(id(PROMETHEUS), id(&PROMETHEUS.replace("> 0.5", "> 0.7")));
    assert_ne!(id(PROMETHEUS), id(&PROMETHEUS.replace("severity: page", "severity: ticket")));
}

#[test]
fn rules_that_need_each_others_series_come_after_each_other() {
    let text = "
groups:
- name: g
  rules:
  - {record: a, expr: x}
  - {record: b, expr: y}
  - {record: c, expr: a + b}
  - {alert: D, expr: c > 1}
  - {alert: E, expr: z > 1}
  - {alert: F, expr: 'ALERTS{alertname=\"D\"}'}
";
    let groups = read("g.yml", text, 60_000).expect("fine");
    assert_eq!(groups[0].levels, [0, 0, 1, 2, 0, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_behind_records_is_not_seen_before_it() {
    let rules = "
groups:
- name: g
  rules:
  - {record: a, expr: m}
  - {record: before, expr: b + 0 * a}
  - {record: b, expr: m}
  - {alert: Jumped, expr: b - before > 5}
";
    // Rules that read, at whatever number, come before those that make what they read.
    assert_eq!(read("g.yml", rules, 60_000).expect("fine")[0].levels, [0, 1, 1, 2]);
    let unnamed = rules.replace("b + 0 * a", "'{__name__=~\"b|a\"}'");
    assert_eq!(read("g.yml", &unnamed, 60_000).expect("fine")[0].levels, [0, 1, 1, 2]);
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- input_series: [{series: m, values: '1x3 10x3'}]
  transition_test:
  - alertname: Jumped
    exp_transitions: [{at: 4m, to: firing}, {at: 5m, to: inactive}]
";
    assert_eq!(tried(rules, test).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_to_come_is_not_seen() {
    let rules = "groups: [{name: g, rules: [{alert: Ahead, expr: m offset -3m > 5}]}]\n";
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- input_series: [{series: m, values: '1x5 10x5'}]
  alert_rule_test: [{eval_time: 4m, alertname: Ahead}]
";
    assert_eq!(tried(rules, test).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_span_is_told_when_it_has_ended() {
    let rules = "
groups:
- name: g
  rules:
  - {alert: Slow, traces: 'duration>10s', each: true, by: [service, status, pod]}
  - {alert: Line, logs: '*', each: true, by: [pod, level]}
";
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- spans:
  - {at: 50s, service: shop, name: GET /slow, duration: 25s, status: error, resource: {k8s.pod.name: p1}}
  - {at: 10s, service: shop, name: GET /slower, duration: 20m}
  - {at: 50s, service: shop, name: GET /fast, duration: 5s}
  logs:
  - {at: 30s, service: shop, severity: error, body: failed, resource: {k8s.pod.name: p1}}
  alert_rule_test:
  - {eval_time: 1m, alertname: Slow}
  - {eval_time: 1m, alertname: Line, exp_alerts: [{exp_labels: {pod: p1, level: error}}]}
  - {eval_time: 2m, alertname: Slow, exp_alerts: [{exp_labels: {service_name: shop, status: error, pod: p1}}]}
  - {eval_time: 3m, alertname: Slow}
  - {eval_time: 20m, alertname: Slow}
  - {eval_time: 21m, alertname: Slow, exp_alerts: [{exp_labels: {service_name: shop, status: unset}}]}
  - {eval_time: 22m, alertname: Slow}
";
    assert_eq!(tried(rules, test).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_came_is_not_absent_and_no_traffic_is_not_faster() {
    let rules = "
groups:
- name: g
  rules:
  - {alert: Never, logs: 'service:never', absent: true, window: 2m}
  - {alert: Gone, logs: 'service:shop', absent: 10m, window: 2m}
  - {alert: Faster, traces: '*', latency: p95, change: '< -50%', against: 5m, window: 2m}
  - {alert: Fewer, traces: '*', count: 'true', change: '< -50%', against: 5m, window: 2m}
";
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- logs: [{at: 10s, service: shop, body: here}]
  spans: [{at: 30s, service: shop, name: GET /, duration: 100ms}]
  alert_rule_test:
  - {eval_time: 6m, alertname: Never}
  - {eval_time: 1m, alertname: Gone}
  - {eval_time: 6m, alertname: Gone, exp_alerts: [{exp_labels: {}}]}
  - {eval_time: 6m, alertname: Faster}
  - {eval_time: 6m, alertname: Fewer, exp_alerts: [{exp_labels: {}}]}
";
    assert_eq!(tried(rules, test).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_see_the_metric_s_name() {
    let rules = "
groups:
- name: g
  rules:
  - alert: A
    expr: m > 0
    annotations: {of: '{{ $labels.__name__ }}'}
";
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- input_series: [{series: 'm{job=\"web\"}', values: '1x3'}]
  alert_rule_test:
  - {eval_time: 1m, alertname: A, exp_alerts: [{exp_labels: {job: web}, exp_annotations: {of: m}}]}
";
    assert_eq!(tried(rules, test).await, Vec::<String>::new());
}

#[test]
fn an_objective_becomes_an_alert_for_each_speed_of_burning() {
    let text = "
groups:
- name: g
  rules:
  - slo: available
    objective: 99.9%
    traces: 'service:shop'
  - slo: metrics
    objective: 99%
    window: 30d
    errors: sum(rate(failed_total[$window]))
    total: sum(rate(all_total[$window]))
    labels: {severity: loud}
";
    let groups = read("g.yml", text, 60_000).expect("fine");
    let rules = &groups[0].rules;
    assert_eq!(rules.len(), 8);
    let Condition::Burn { windows_ms, share, .. } = &rules[0].condition else { panic!("{:?}", rules[0].condition) };
    assert_eq!((*windows_ms, *share), ((3_600_000, 300_000), 0.0144));
    assert_eq!(
        rules[4].condition.text(),
        "((sum(rate(failed_total[1h]))) / (sum(rate(all_total[1h])))) > 0.144 and \
         ((sum(rate(failed_total[5m]))) / (sum(rate(all_total[5m])))) > 0.144"
    );
    let severity =
        |place: usize| rules[place].labels.iter().find(|(name, _)| name == "severity").map(|(_, text)| text.text());
    assert_eq!((severity(0), severity(3), severity(4)), (Some("page"), Some("ticket"), Some("loud")));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line_and_key() {
    let text = "
groups:
- name: g
  interval: soon
  rules:
  - alert: A
    expr: 'sum(up'
  - alert: B
    expr: up[5m]
    for: 5 minutes
  - alert: C
    logs: '(level:'
    count: 'many'
  - alert: D
    traces: 'kind:server'
    latency: 'p42 > 5s'
  - alert: E
    logs: 'x'
    expr: up
  - alert: F
    logs: 'x'
    each: true
    window: 5m
  - alert: G
    sql: 'DELETE FROM logs'
  - record: 'not a name'
    expr: up
    for: 5m
  - alert: H
    expr: up
    labels: {'1x': a}
    annotations: {summary: '{{ $labels.x'}
  - expr: up
  - alert: I
    expr: up
    window: 5m
  - slo: J
    traces: ''
    objective: 110%
  - alert: K
    logs: 'x'
    count: '> 1'
    absent: true
- name: g
";
    let faults = read("bad.yml", text, 60_000).expect_err("faults");
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for (place, wanted) in [
        "bad.yml:4: interval: `soon` is not a duration",
        "bad.yml:7: expr: could not parse expression",
        "bad.yml:9: expr: the expression gives neither an instant vector nor a scalar",
        "bad.yml:10: for: `5 minutes` is not a duration",
        "bad.yml:12: logs: ",
        "bad.yml:13: count: `many` is not a comparison",
        "bad.yml:16: latency: `p42 > 5s` does not begin with p50",
        "bad.yml:17: rules: a rule has one of `expr`, `logs`, `traces` and `sql`",
        "bad.yml:22: each: `window` has no meaning beside `each`",
        "bad.yml:25: sql: the statement is not a SELECT",
        "bad.yml:26: record: invalid recording rule name",
        "bad.yml:28: for: invalid field 'for' in recording rule",
        "bad.yml:31: labels.1x: invalid label name: 1x",
        "bad.yml:32: annotations.summary: template: ",
        "bad.yml:33: rules: a rule has one of `record`, `alert` and `slo`",
        "bad.yml:36: window: `window` has no meaning beside `expr`",
        "bad.yml:39: objective: `110%` is not an objective",
        "bad.yml:41: logs: a rule has one of a comparison, `absent` and `change`",
        "bad.yml:44: name: groupname: \"g\" is repeated in the same file",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(told.iter().any(|told| told.starts_with(wanted)), "{place}: {wanted} is not in\n{}", told.join("\n"));
    }
    assert_eq!(told.len(), 19, "{}", told.join("\n"));
}

/// Writes a rule and its test into a folder and runs the test.
async fn tried(rule: &str, test: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("rules.yml"), rule).expect("written");
    std::fs::write(folder.path().join("test.yml"), test).expect("written");
    mangru_alerts::trial::test_file(&folder.path().join("test.yml")).await.expect("the files are right").failures
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_a_few_requests_fires_only_where_no_count_is_asked() {
    let rules = "
groups:
- name: g
  interval: 1m
  rules:
  - {alert: Any, traces: 'kind:server', error_rate: '> 5%', window: 1m, by: [service.name]}
  - {alert: Enough, traces: 'kind:server', error_rate: '> 5%', min_count: 20, window: 1m, by: [service.name]}
  - {alert: Slow, traces: 'kind:server', latency: 'p95 > 5ms', min_count: 20, window: 1m, by: [service.name]}
  - {alert: EnoughLines, logs: '*', error_rate: '> 5%', min_count: 20, window: 1m}
  - {slo: rare, objective: 99%, window: 30d, traces: 'service:rare', min_count: 20}
  - {slo: busy, objective: 99%, window: 30d, traces: 'service:busy', min_count: 20}
";
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- spans:
  - {at: 10s, service: rare, name: GET /, duration: 9ms, status: error}
  - {at: 20s, service: rare, name: GET /, duration: 9ms}
  - {at: 1s, every: 2s, until: 50s, service: busy, name: GET /, duration: 9ms}
  - {at: 2s, every: 4s, until: 50s, service: busy, name: GET /, duration: 9ms, status: error}
  logs:
  - {at: 1s, every: 3s, until: 50s, service: busy, severity: error, body: failed}
  alert_rule_test:
  - {eval_time: 1m, alertname: Any, exp_alerts: [{exp_labels: {service_name: rare}}, {exp_labels: {service_name: busy}}]}
  - {eval_time: 1m, alertname: Enough, exp_alerts: [{exp_labels: {service_name: busy}}]}
  - {eval_time: 1m, alertname: Slow, exp_alerts: [{exp_labels: {service_name: busy}}]}
  - {eval_time: 1m, alertname: EnoughLines}
  - {eval_time: 1m, alertname: rare}
  - {eval_time: 1m, alertname: busy, exp_alerts: EXPECTED}
";
    // The budget burns at all four speeds.
    let windows = mangru_alerts::rules::read("g.yml", rules, 60_000).expect("rules").remove(0);
    let expected: Vec<String> = windows
        .rules
        .iter()
        .filter(|rule| rule.name == "busy")
        .map(|rule| {
            let labels: Vec<String> =
                rule.labels.iter().map(|(name, text)| format!("{name}: '{}'", text.text())).collect();
            format!("{{exp_labels: {{{}}}}}", labels.join(", "))
        })
        .collect();
    let test = test.replace("EXPECTED", &format!("[{}]", expected.join(", ")));
    assert_eq!(tried(rules, &test).await, Vec::<String>::new());
}

#[test]
fn a_least_count_stands_only_where_it_says_something() {
    for (rule, wanted) in [
        ("{alert: A, logs: x, error_rate: '> 5%', min_count: 0}", "min_count: `0` is not a whole number above zero"),
        ("{alert: A, logs: x, count: '> 5', min_count: 3}", "min_count: `min_count` has a meaning beside"),
        (
            "{alert: A, logs: x, error_rate: 'true', change: '> 5%', min_count: 3}",
            "min_count: `min_count` has a meaning",
        ),
        ("{alert: A, logs: x, each: true, min_count: 3}", "each: `min_count` has no meaning beside `each`"),
        ("{alert: A, expr: up, min_count: 3}", "min_count: `min_count` has no meaning beside `expr`"),
    ] {
        let faults = read("x.yml", &format!("groups: [{{name: g, rules: [{rule}]}}]"), 60_000).expect_err(rule);
        assert!(faults[0].to_string().contains(wanted), "{rule}: {}", faults[0]);
    }
}

#[test]
fn unknown_fields_and_broken_yaml_are_told_with_their_line() {
    for (text, wanted) in [
        ("groups:\n- name: g\n  rules:\n  - alert: A\n    exrp: up\n", "x.yml:5: exrp: unknown field `exrp`"),
        ("groups:\n- name: g\n  intervall: 5m\n", "x.yml:3: intervall: unknown field `intervall`"),
        ("groups: [\n", "x.yml:"),
        ("groups:\n- rules: []\n", "x.yml:2: missing field `name`"),
    ] {
        let faults = read("x.yml", text, 60_000).expect_err(text);
        assert!(faults[0].to_string().starts_with(wanted), "{text}: {}", faults[0]);
    }
    assert!(read("x.yml", "# nothing\n", 60_000).expect("fine").is_empty());
}
