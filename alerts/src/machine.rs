//! The state of alerts: from samples at moments to transitions. Pure: the clock is passed in, nothing is read or written.
//!
//! An alert is *pending* from the first moment its rule gives its label set, *firing* once that has gone on for `for`, and
//! *resolved* when the label set no longer comes and `keep_firing_for` is over. These are Prometheus' rules, and its memory
//! of resolved alerts, that receivers may still have to be told of, is kept for fifteen minutes here too.

use crate::rules::{Group, Kind, Rule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names with values, in order.
pub type Labels = BTreeMap<String, String>;

/// How long a resolved alert is remembered, in milliseconds.
pub const RESOLVED_KEPT_MS: i64 = 900_000;

/// What a rule gives at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Its labels, without those of the rule.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// What shows it: ids of traces, lines of logs, as the condition found them.
    pub evidence: Vec<Evidence>,
}

/// Something that shows why an alert fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it happened, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The service it is from.
    pub service: String,
    /// The line, or the span's name with what became of it.
    pub text: String,
    /// The trace, in hex; empty when there is none.
    pub trace_id: String,
}

/// The state of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It no longer holds; or it never did.
    Inactive,
    /// It holds, but not for long enough.
    Pending,
    /// It fires.
    Firing,
}

impl State {
    /// Its name in Prometheus' API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// An alert of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// All its labels, with `alertname` and those of its rule.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: Labels,
    /// The newest value.
    #[serde(with = "number")]
    pub value: f64,
    /// Its state.
    pub state: State,
    /// Since when it is pending or firing, in milliseconds.
    pub active_at_ms: i64,
    /// Since when it fires.
    pub fired_at_ms: Option<i64>,
    /// When it was resolved.
    pub resolved_at_ms: Option<i64>,
    /// Since when it only fires because of `keep_firing_for`.
    pub kept_since_ms: Option<i64>,
    /// The newest evidence.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// Numbers that JSON cannot say are texts.
mod number {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        mangru_query::number_text(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.trim_start_matches('+').parse().map_err(serde::de::Error::custom)
    }
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When, in milliseconds.
    pub time_ms: i64,
    /// The rule's id.
    pub rule: String,
    /// The alert's name.
    pub name: String,
    /// From which state.
    pub from: State,
    /// To which state.
    pub to: State,
    /// The alert's labels.
    pub labels: Labels,
    /// The value then.
    #[serde(with = "number")]
    pub value: f64,
}

/// The alerts of one rule, by the fingerprint of their labels.
pub type Active = BTreeMap<u64, Alert>;

/// A sample with the labels and annotations of its alert, ready to be taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The alert's labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Its value.
    pub value: f64,
    /// What shows it.
    pub evidence: Vec<Evidence>,
}

/// A number that is the same for the same labels.
pub fn fingerprint(labels: &Labels) -> u64 {
    let mut text = String::new();
    let mut put = |part: &str| {
        // What parts names and values is escaped inside them; all others are what they were, as what is stored has them.
        for letter in part.chars() {
            match letter {
                '\u{ff}' => text.push_str("\0y"),
                '\0' => text.push_str("\0\0"),
                other => text.push(other),
            }
        }
        text.push('\u{ff}');
    };
    for (name, value) in labels {
        put(name);
        put(value);
    }
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// Why what a rule gave was not taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Why.
    pub message: String,
    /// What became of the alerts that were there.
    pub transitions: Vec<Transition>,
}

/// Takes in what a rule gave at a moment, and gives the transitions in the order of the alerts' fingerprints.
///
/// # Errors
/// When two samples have the same labels, or more alerts are active than the group allows: nothing is changed by the first; by
/// the second all alerts of the rule end, those that fired as resolved, as Prometheus lets them run out.
pub fn advance(
    active: &mut Active,
    group: &Group,
    rule: &Arc<Rule>,
    samples: Vec<Rendered>,
    now_ms: i64,
) -> Result<Vec<Transition>, Refused> {
    debug_assert_eq!(rule.kind, Kind::Alert, "recording rules have no state");
    let mut holding: BTreeMap<u64, Rendered> = BTreeMap::new();
    for sample in samples {
        if holding.insert(fingerprint(&sample.labels), sample).is_some() {
            let message = "vector contains metrics with the same labelset after applying alert labels".to_owned();
            return Err(Refused { message, transitions: Vec::new() });
        }
    }
    let before: BTreeMap<u64, State> = active.iter().map(|(key, alert)| (*key, alert.state)).collect();
    let mut transitions = Vec::new();
    let transition = |alert: &Alert, from: State, to: State| Transition {
        time_ms: now_ms,
        rule: rule.id.clone(),
        name: rule.name.clone(),
        from,
        to,
        labels: alert.labels.clone(),
        value: alert.value,
    };
    let mut tell = |alert: &Alert, from: State, to: State| transitions.push(transition(alert, from, to));
    for (key, sample) in &holding {
        match active.get_mut(key).filter(|alert| alert.state != State::Inactive) {
            Some(alert) => {
                alert.value = sample.value;
                alert.annotations.clone_from(&sample.annotations);
                if !sample.evidence.is_empty() {
                    alert.evidence.clone_from(&sample.evidence);
                }
                alert.kept_since_ms = None;
            }
            None => {
                let alert = Alert {
                    labels: sample.labels.clone(),
                    annotations: sample.annotations.clone(),
                    value: sample.value,
                    state: State::Pending,
                    active_at_ms: now_ms,
                    fired_at_ms: None,
                    resolved_at_ms: None,
                    kept_since_ms: None,
                    evidence: sample.evidence.clone(),
                };
                if rule.for_ms > 0 {
                    tell(&alert, State::Inactive, State::Pending);
                }
                active.insert(*key, alert);
            }
        }
    }
    active.retain(|key, alert| {
        if holding.contains_key(key) {
            if alert.state == State::Pending && now_ms - alert.active_at_ms >= rule.for_ms {
                let from = if rule.for_ms > 0 { State::Pending } else { State::Inactive };
                alert.state = State::Firing;
                alert.fired_at_ms = Some(now_ms);
                tell(alert, from, State::Firing);
            }
            return true;
        }
        match alert.state {
            State::Pending => {
                tell(alert, State::Pending, State::Inactive);
                false
            }
            State::Inactive => alert.resolved_at_ms.is_some_and(|at| now_ms - at <= RESOLVED_KEPT_MS),
            State::Firing => {
                let since = *alert.kept_since_ms.get_or_insert(now_ms);
                if rule.keep_firing_ms > 0 && now_ms - since < rule.keep_firing_ms {
                    return true;
                }
                tell(alert, State::Firing, State::Inactive);
                alert.state = State::Inactive;
                alert.resolved_at_ms = Some(now_ms);
                true
            }
        }
    });
    let count = active.values().filter(|alert| alert.state != State::Inactive).count();
    if group.limit > 0 && count > group.limit {
        let mut transitions = Vec::new();
        active.retain(|key, alert| {
            let from = before.get(key).copied().unwrap_or(State::Inactive);
            if from != State::Inactive {
                transitions.push(transition(alert, from, State::Inactive));
            }
            let is_known = from == State::Firing || alert.state == State::Inactive;
            if from == State::Firing {
                alert.state = State::Inactive;
                alert.resolved_at_ms = Some(now_ms);
            }
            is_known
        });
        return Err(Refused { message: format!("exceeded limit of {} with {count} alerts", group.limit), transitions });
    }
    Ok(transitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(for_ms: i64, keep_firing_ms: i64) -> (Group, Arc<Rule>) {
        let text = format!(
            "groups: [{{name: g, rules: [{{alert: A, expr: up, for: {for_ms}ms, keep_firing_for: {keep_firing_ms}ms}}]}}]"
        );
        let group = crate::rules::read("test.yml", &text, 60_000).expect("a rule").remove(0);
        let rule = Arc::clone(&group.rules[0]);
        (group, rule)
    }

    fn sample(name: &str) -> Rendered {
        let labels = Labels::from([("n".to_owned(), name.to_owned())]);
        Rendered { labels, annotations: Labels::new(), value: 1.0, evidence: Vec::new() }
    }

    fn run(for_ms: i64, keep_ms: i64, steps: &[bool]) -> Vec<(i64, State, State)> {
        let (group, rule) = rule(for_ms, keep_ms);
        let mut active = Active::new();
        let mut all = Vec::new();
        for (step, holds) in steps.iter().enumerate() {
            let samples = if *holds { vec![sample("x")] } else { Vec::new() };
            let now = step as i64 * 10;
            all.extend(advance(&mut active, &group, &rule, samples, now).expect("fine"));
        }
        all.into_iter().map(|one| (one.time_ms, one.from, one.to)).collect()
    }

    #[test]
    fn fingerprints_of_other_labels_are_others_and_those_that_are_stored_stay() {
        let of = |pairs: &[(&str, &str)]| {
            fingerprint(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_ne!(of(&[("a", "b\u{ff}c\u{ff}d")]), of(&[("a", "b"), ("c", "d")]));
        assert_ne!(of(&[("a", "\u{ff}")]), of(&[("a", "\0y")]));
        let stored = xxhash_rust::xxh3::xxh3_64("alertname\u{ff}A\u{ff}job\u{ff}web\u{ff}".as_bytes());
        assert_eq!(of(&[("alertname", "A"), ("job", "web")]), stored);
    }

    #[test]
    fn an_alert_fires_after_for_and_ends_after_keep_firing_for() {
        use State::{Firing, Inactive, Pending};
        assert_eq!(
            run(20, 20, &[true, true, true, false, true, false, false, false]),
            [(0, Inactive, Pending), (20, Pending, Firing), (70, Firing, Inactive)]
        );
        assert_eq!(
            run(20, 0, &[true, true, false, true]),
            [(0, Inactive, Pending), (20, Pending, Inactive), (30, Inactive, Pending)]
        );
        assert_eq!(
            run(0, 0, &[true, false, true]),
            [(0, Inactive, Firing), (10, Firing, Inactive), (20, Inactive, Firing)]
        );
    }

    #[test]
    fn equal_label_sets_and_too_many_alerts_are_errors() {
        let (mut group, rule) = rule(0, 0);
        let mut active = Active::new();
        let error = advance(&mut active, &group, &rule, vec![sample("a"), sample("a")], 0).expect_err("the same twice");
        assert!(error.message.contains("same labelset") && active.is_empty(), "{error:?}");
        group.limit = 1;
        let error = advance(&mut active, &group, &rule, vec![sample("a"), sample("b")], 0).expect_err("too many");
        assert_eq!((error.message.as_str(), error.transitions.len()), ("exceeded limit of 1 with 2 alerts", 0));
        assert!(active.is_empty());
        // What fired before is resolved, and can be told so.
        advance(&mut active, &group, &rule, vec![sample("a")], 10).expect("one");
        let error = advance(&mut active, &group, &rule, vec![sample("a"), sample("b")], 20).expect_err("too many");
        let moves: Vec<_> = error.transitions.iter().map(|one| (one.time_ms, one.from, one.to)).collect();
        assert_eq!(moves, [(20, State::Firing, State::Inactive)]);
        let left: Vec<_> = active.values().map(|alert| (alert.state, alert.resolved_at_ms)).collect();
        assert_eq!(left, [(State::Inactive, Some(20))]);
        // It fires anew when there are few enough.
        let again = advance(&mut active, &group, &rule, vec![sample("a")], 30).expect("one");
        assert_eq!((again.len(), again[0].to), (1, State::Firing));
    }

    /// The same rules over the whole history at once: whether an alert fires at a step, from which steps held.
    fn fires(for_ms: i64, keep_ms: i64, steps: &[bool]) -> Vec<bool> {
        let mut fires = Vec::new();
        for step in 0..steps.len() {
            // It fires when there is a run of holding steps, long enough, that reaches here, or whose end is near enough,
            // with nothing but short gaps since.
            let fired = (0..=step).rev().any(|end| {
                if !steps[end] {
                    return false;
                }
                let start = (0..=end).rev().take_while(|at| steps[*at]).last().unwrap_or(end);
                let long_enough = (end - start) as i64 * 10 >= for_ms;
                // Every gap from there on is shorter than what it is kept for.
                let mut gap_since = None;
                let survives = (end + 1..=step).all(|at| {
                    if steps[at] {
                        gap_since = None;
                        return true;
                    }
                    let since = *gap_since.get_or_insert(at as i64 * 10);
                    keep_ms > 0 && at as i64 * 10 - since < keep_ms
                });
                long_enough && survives
            });
            fires.push(fired);
        }
        fires
    }

    proptest! {
        #[test]
        fn an_alert_fires_exactly_when_the_history_says_so(
            steps in proptest::collection::vec(any::<bool>(), 1..40),
            for_steps in 0_i64..5,
            keep_steps in 0_i64..5,
        ) {
            let (for_ms, keep_ms) = (for_steps * 10, keep_steps * 10);
            let (group, rule) = rule(for_ms, keep_ms);
            let mut active = Active::new();
            let expected = fires(for_ms, keep_ms, &steps);
            for (step, holds) in steps.iter().enumerate() {
                let samples = if *holds { vec![sample("x")] } else { Vec::new() };
                advance(&mut active, &group, &rule, samples, step as i64 * 10).expect("fine");
                // What is written and read back is the same.
                let text = serde_json::to_string(&active).expect("JSON");
                active = serde_json::from_str(&text).expect("read back");
                let is_firing = active.values().any(|alert| alert.state == State::Firing);
                prop_assert_eq!(is_firing, expected[step], "step {}", step);
            }
        }
    }
}
