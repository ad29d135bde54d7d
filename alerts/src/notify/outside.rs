//! Alerts that others post, such as a Prometheus server or `amtool alert add`. Pure: the clock is passed in.
//!
//! They come through `POST /api/v2/alerts` and take the same routes as alerts of rules. Who posts one says it again and again while
//! it fires; without an end of its own it is resolved `resolve_timeout` after it was said last. The rules are Alertmanager's.

use super::dispatch::Notice;
use crate::machine::{Alert, Labels, RESOLVED_KEPT_MS, State, Transition, fingerprint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Alerts from outside at most.
pub const MAX_POSTED: usize = 20_000;
/// Labels, and annotations, of one alert.
const MAX_NAMES: usize = 100;
/// Bytes of all names and texts of one alert.
const MAX_BYTES: usize = 64 << 10;
/// What the history says instead of a rule's id.
pub const OUTSIDE: &str = "outside";

/// An alert as the API takes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PostedFields {
    /// Its labels.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: Labels,
    /// Since when it fires, in RFC 3339.
    pub starts_at: Option<String>,
    /// When it is or will be resolved.
    pub ends_at: Option<String>,
    /// What shows where it comes from.
    #[serde(rename = "generatorURL")]
    pub generator_url: Option<String>,
}

/// An alert from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posted {
    /// Its labels.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: Labels,
    /// Since when it fires, in milliseconds.
    pub starts_ms: i64,
    /// When it is resolved.
    pub ends_ms: i64,
    /// Whether its sender gave no end, so that it ends by the timeout.
    pub by_timeout: bool,
    /// When it was posted last.
    pub updated_ms: i64,
    /// What shows where it comes from; empty when nothing does.
    pub url: String,
    /// Whether its end was handed on.
    #[serde(default)]
    pub has_ended: bool,
}

/// A moment; none when it is the zero of Go's clock or of Unix, which clients send for "not given".
fn moment(key: &str, text: Option<&String>) -> Result<Option<i64>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let read = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
    let read = read.map_err(|_| format!("{key} is `{text}`, not a time such as 2026-11-21T12:00:00Z"))?;
    Ok((read > 0).then_some(read))
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_letter) && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl Posted {
    /// Reads what was posted at a moment.
    ///
    /// # Errors
    /// A sentence about the field that is wrong.
    pub fn read(fields: &PostedFields, resolve_timeout_ms: i64, now_ms: i64) -> Result<Self, String> {
        let labels: Labels = fields.labels.iter().filter(|(_, value)| !value.is_empty()).map(owned).collect();
        if labels.is_empty() {
            return Err("labels: at least one label pair required".to_owned());
        }
        for (key, names) in [("labels", &labels), ("annotations", &fields.annotations)] {
            if let Some(name) = names.keys().find(|name| !is_name(name)) {
                return Err(format!("{key}: `{name}` is not a name of letters, digits and `_`"));
            }
            if names.len() > MAX_NAMES {
                return Err(format!("{key}: {} of them, allowed are {MAX_NAMES}", names.len()));
            }
        }
        let url = fields.generator_url.clone().unwrap_or_default();
        let pairs = labels.iter().chain(&fields.annotations);
        let bytes = pairs.map(|(name, text)| name.len() + text.len()).sum::<usize>() + url.len();
        if bytes > MAX_BYTES {
            return Err(format!("labels and annotations have {bytes} bytes, allowed are {MAX_BYTES}"));
        }
        let ends = moment("endsAt", fields.ends_at.as_ref())?;
        let starts_ms = moment("startsAt", fields.starts_at.as_ref())?.or(ends).unwrap_or(now_ms);
        let ends_ms = ends.unwrap_or_else(|| now_ms.saturating_add(resolve_timeout_ms));
        if ends_ms < starts_ms {
            return Err("endsAt: start time must be before end time".to_owned());
        }
        Ok(Self {
            labels,
            annotations: fields.annotations.clone(),
            starts_ms,
            ends_ms,
            by_timeout: ends.is_none(),
            updated_ms: now_ms,
            url,
            has_ended: false,
        })
    }

    /// Whether it is resolved at a moment.
    pub const fn is_resolved(&self, now_ms: i64) -> bool {
        self.ends_ms <= now_ms
    }

    /// What is known once it was posted again: the earlier start, and the end that rules.
    fn after(self, before: &Self) -> Self {
        let is_within = |at: i64| before.starts_ms < at && at < before.ends_ms;
        if !is_within(self.starts_ms) && !is_within(self.ends_ms) && self.starts_ms != before.starts_ms {
            return self;
        }
        let (ends_ms, by_timeout) = if self.is_resolved(self.updated_ms) {
            // Of two ends that have come, the later one.
            let other_ms = if before.is_resolved(self.updated_ms) { before.ends_ms } else { self.ends_ms };
            (self.ends_ms.max(other_ms), self.by_timeout)
        } else if before.ends_ms > self.ends_ms && !before.by_timeout {
            // An end that a sender gave rules as long as it is the later one.
            (before.ends_ms, false)
        } else {
            (self.ends_ms, self.by_timeout)
        };
        Self { starts_ms: self.starts_ms.min(before.starts_ms), ends_ms, by_timeout, ..self }
    }

    /// The alert as it is shown.
    pub fn alert(&self) -> Alert {
        Alert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            value: f64::NAN,
            state: State::Firing,
            active_at_ms: self.starts_ms,
            fired_at_ms: Some(self.starts_ms),
            resolved_at_ms: None,
            kept_since_ms: None,
            evidence: Vec::new(),
        }
    }

    /// The alert as people are told of it.
    pub fn notice(&self, now_ms: i64) -> Notice {
        Notice {
            fingerprint: fingerprint(&self.labels),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_ms: self.starts_ms,
            ends_ms: self.is_resolved(now_ms).then_some(self.ends_ms),
            url: self.url.clone(),
            value: String::new(),
            evidence: Vec::new(),
        }
    }

    fn transition(&self, time_ms: i64, from: State, to: State) -> Transition {
        Transition {
            time_ms,
            rule: OUTSIDE.to_owned(),
            name: self.labels.get("alertname").cloned().unwrap_or_default(),
            from,
            to,
            labels: self.labels.clone(),
            value: f64::NAN,
        }
    }
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// What a moment brought.
#[derive(Debug, Default)]
pub struct Moved {
    /// The alerts that changed, by fingerprint; none: forgotten.
    pub posted: Vec<(u64, Option<Posted>)>,
    /// What they became.
    pub transitions: Vec<Transition>,
}

/// All alerts from outside.
#[derive(Debug, Default)]
pub struct Outside {
    all: BTreeMap<u64, Posted>,
}

impl Outside {
    /// Those that were remembered.
    pub const fn new(all: BTreeMap<u64, Posted>) -> Self {
        Self { all }
    }

    /// All of them, resolved ones included.
    pub fn all(&self) -> impl Iterator<Item = (&u64, &Posted)> {
        self.all.iter()
    }

    /// Those that fire.
    pub fn firing(&self, now_ms: i64) -> impl Iterator<Item = (&u64, &Posted)> {
        self.all.iter().filter(move |(_, posted)| !posted.is_resolved(now_ms))
    }

    /// What posting these alerts brings; [`Self::take`] takes it in.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn posted(&self, alerts: Vec<Posted>, now_ms: i64) -> Result<Moved, String> {
        let mut new: BTreeMap<u64, Posted> = BTreeMap::new();
        for alert in alerts {
            let key = fingerprint(&alert.labels);
            let alert = match new.get(&key).or_else(|| self.all.get(&key)) {
                Some(before) => alert.after(before),
                None => alert,
            };
            new.insert(key, alert);
        }
        let added = new.keys().filter(|key| !self.all.contains_key(key)).count();
        if self.all.len() + added > MAX_POSTED {
            return Err(format!("there would be more than {MAX_POSTED} alerts from outside"));
        }
        let mut moved = Moved::default();
        for (key, mut alert) in new {
            let fired = self.all.get(&key).is_some_and(|before| !before.has_ended);
            let fires = !alert.is_resolved(now_ms);
            match (fired, fires) {
                (false, true) => {
                    moved.transitions.push(alert.transition(now_ms, State::Inactive, State::Firing));
                }
                (true, false) => moved.transitions.push(alert.transition(now_ms, State::Firing, State::Inactive)),
                _ => {}
            }
            alert.has_ended = !fires;
            moved.posted.push((key, Some(alert)));
        }
        Ok(moved)
    }

    /// What the time brings: alerts that end, and those that ended long ago; [`Self::take`] takes it in.
    pub fn passed(&self, now_ms: i64) -> Moved {
        let mut moved = Moved::default();
        for (key, posted) in &self.all {
            if posted.is_resolved(now_ms) && !posted.has_ended {
                moved.transitions.push(posted.transition(posted.ends_ms, State::Firing, State::Inactive));
                moved.posted.push((*key, Some(Posted { has_ended: true, ..posted.clone() })));
            } else if posted.ends_ms.saturating_add(RESOLVED_KEPT_MS) < now_ms {
                moved.posted.push((*key, None));
            }
        }
        moved
    }

    /// Takes in what a moment brought.
    pub fn take(&mut self, moved: &[(u64, Option<Posted>)]) {
        for (key, posted) in moved {
            match posted {
                Some(posted) => drop(self.all.insert(*key, posted.clone())),
                None => drop(self.all.remove(key)),
            }
        }
    }

    /// When the next one ends.
    pub fn next_ms(&self) -> Option<i64> {
        self.all.values().filter(|posted| !posted.has_ended).map(|posted| posted.ends_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_795_000_000_000;
    const TIMEOUT: i64 = 300_000;

    fn read(fields: serde_json::Value, now_ms: i64) -> Result<Posted, String> {
        Posted::read(&serde_json::from_value(fields).expect("fields"), TIMEOUT, now_ms)
    }

    fn at(ms: i64) -> String {
        crate::rfc3339(ms)
    }

    #[test]
    fn times_that_are_not_given_are_those_of_alertmanager() {
        let plain = read(json!({ "labels": { "alertname": "A", "empty": "" } }), NOW).expect("an alert");
        assert_eq!((plain.starts_ms, plain.ends_ms, plain.by_timeout), (NOW, NOW + TIMEOUT, true));
        assert_eq!(plain.labels.len(), 1);
        let zero =
            json!({ "labels": { "a": "b" }, "startsAt": "0001-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00.000Z" });
        assert_eq!(read(zero, NOW).map(|one| (one.starts_ms, one.by_timeout)), Ok((NOW, true)));
        let ended = read(json!({ "labels": { "a": "b" }, "endsAt": at(NOW - 1_000) }), NOW).expect("an alert");
        assert_eq!((ended.starts_ms, ended.is_resolved(NOW)), (NOW - 1_000, true));
        for (wrong, why) in [
            (json!({ "labels": {} }), "at least one label pair"),
            (json!({ "labels": { "a": "" } }), "at least one label pair"),
            (json!({ "labels": { "a b": "c" } }), "`a b` is not a name"),
            (
                json!({ "labels": { "a": "b" }, "startsAt": at(NOW), "endsAt": at(NOW - 1) }),
                "start time must be before",
            ),
            (json!({ "labels": { "a": "b" }, "startsAt": "soon" }), "startsAt is `soon`"),
            (json!({ "labels": { "a": "x".repeat(MAX_BYTES) } }), "bytes, allowed are"),
        ] {
            let error = read(wrong.clone(), NOW).expect_err("refused");
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_posted_again_goes_on_and_what_is_not_ends_by_the_timeout() {
        let mut outside = Outside::default();
        let fires = json!({ "labels": { "alertname": "A" } });
        let mut post = |fields: serde_json::Value, now_ms: i64| {
            let moved = outside.posted(vec![read(fields, now_ms).expect("an alert")], now_ms).expect("room");
            outside.take(&moved.posted);
            let moved: Vec<(State, State)> = moved.transitions.iter().map(|one| (one.from, one.to)).collect();
            let posted = outside.all.values().next().expect("one").clone();
            (moved, posted.starts_ms, posted.ends_ms)
        };
        assert_eq!(post(fires.clone(), NOW), (vec![(State::Inactive, State::Firing)], NOW, NOW + TIMEOUT));
        assert_eq!(post(fires.clone(), NOW + 60_000), (vec![], NOW, NOW + 60_000 + TIMEOUT));
        // An end that its sender gives rules over the timeout, as long as it is the later one.
        let until = json!({ "labels": { "alertname": "A" }, "startsAt": at(NOW), "endsAt": at(NOW + 900_000) });
        assert_eq!(post(until, NOW + 61_000), (vec![], NOW, NOW + 900_000));
        assert_eq!(post(fires.clone(), NOW + 62_000), (vec![], NOW, NOW + 900_000));
        let resolved = json!({ "labels": { "alertname": "A" }, "startsAt": at(NOW), "endsAt": at(NOW + 63_000) });
        assert_eq!(post(resolved, NOW + 63_000), (vec![(State::Firing, State::Inactive)], NOW, NOW + 63_000));
        // After its end it is a new one.
        let again = post(fires, NOW + 70_000);
        assert_eq!(again, (vec![(State::Inactive, State::Firing)], NOW + 70_000, NOW + 70_000 + TIMEOUT));
        assert_eq!(outside.next_ms(), Some(NOW + 70_000 + TIMEOUT));
        assert!(outside.passed(NOW + 70_000 + TIMEOUT - 1).posted.is_empty());
        let moved = outside.passed(NOW + 70_000 + TIMEOUT);
        assert_eq!(moved.transitions.len(), 1);
        outside.take(&moved.posted);
        assert_eq!((outside.next_ms(), outside.firing(NOW + 70_000 + TIMEOUT).count()), (None, 0));
        let moved = outside.passed(NOW + 70_000 + TIMEOUT + RESOLVED_KEPT_MS + 1);
        outside.take(&moved.posted);
        assert_eq!(outside.all().count(), 0);
    }
}
