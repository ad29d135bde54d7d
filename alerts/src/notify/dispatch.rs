//! Who is told what, and when: grouping, inhibition, silences and mute times. Pure: the clock is passed in, and what is decided is
//! given back; the outbox makes it durable.
//!
//! The rules are Alertmanager's: a group is first told of after `group_wait`, then, when something changed, every
//! `group_interval`, and again after `repeat_interval` when nothing did.

use super::config::{Inhibition, NotifyConfig};
use super::matcher::all_match;
use super::silence::Silences;
use crate::machine::{Evidence, Labels};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How long a group keeps an alert that was resolved and not told of, in milliseconds.
const ENDED_KEPT_MS: i64 = 3_600_000;

/// An alert as receivers are told of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The number of its labels.
    pub fingerprint: u64,
    /// Its labels.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: Labels,
    /// Since when it fires, in milliseconds.
    pub starts_ms: i64,
    /// When it was resolved.
    pub ends_ms: Option<i64>,
    /// The screen that shows it at that moment.
    pub url: String,
    /// The value, as text.
    pub value: String,
    /// What shows it.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// What a receiver was told last of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// When, in milliseconds.
    pub time_ms: i64,
    /// What fired.
    pub firing: BTreeSet<u64>,
    /// What was resolved.
    pub resolved: BTreeSet<u64>,
    /// How many times it was told before.
    pub times: u64,
    /// What it was told before that, in case it refuses the newest.
    #[serde(default)]
    pub before: Option<Box<Told>>,
}

/// A notification that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The receiver's name.
    pub receiver: String,
    /// The way it is told, such as `webhook`, and its place among those of the kind.
    pub kind: String,
    /// The place.
    pub place: usize,
    /// The group.
    pub group_key: String,
    /// The labels that the group has in common by its route.
    pub group_labels: Labels,
    /// The alerts, firing ones first.
    pub alerts: Vec<Notice>,
    /// Which telling of this group to this receiver it is.
    pub number: u64,
    /// When it was decided, in milliseconds.
    pub time_ms: i64,
}

impl Decision {
    /// The same for the same telling, however often it is sent.
    pub fn idempotency_key(&self) -> String {
        // What was told long ago is forgotten, and the number begins anew: the moment is part of it.
        let Self { receiver, kind, place, group_key, number, time_ms, .. } = self;
        let text = format!("{receiver};{kind};{place};{group_key};{number};{time_ms}");
        format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
    }

    /// `firing` while any alert does.
    pub fn status(&self) -> &'static str {
        if self.alerts.iter().any(|alert| alert.ends_ms.is_none()) { "firing" } else { "resolved" }
    }
}

/// Alerts that are told together.
#[derive(Clone, Debug)]
struct Group {
    labels: Labels,
    alerts: BTreeMap<u64, Notice>,
    next_ms: i64,
    was_told: bool,
}

/// Why an alert is not told at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Muted {
    /// By these silences.
    Silenced(Vec<String>),
    /// While these alerts fire.
    Inhibited(Vec<u64>),
}

/// All groups, and what was told.
#[derive(Debug, Default)]
pub struct Dispatcher {
    groups: BTreeMap<(usize, String), Group>,
    told: BTreeMap<String, Told>,
    /// Every alert that fires, for inhibition.
    firing: BTreeMap<u64, Labels>,
}

/// What a moment brought: notifications, and the memory of them that has to be kept with them.
#[derive(Debug, Default)]
pub struct Decided {
    /// The notifications.
    pub decisions: Vec<Decision>,
    /// What receivers now have been told, by key.
    pub told: Vec<(String, Told)>,
}

fn told_key(receiver: &str, kind: &str, place: usize, group_key: &str) -> String {
    format!("{receiver}/{kind}/{place}:{group_key}")
}

impl Dispatcher {
    /// A dispatcher that remembers what was told.
    pub fn new(told: BTreeMap<String, Told>) -> Self {
        Self { told, ..Self::default() }
    }

    /// Forgets the groups, as when routes changed; what was told stays known.
    pub fn forget_groups(&mut self) {
        self.groups.clear();
    }

    /// Forgets what was told before a moment.
    pub fn forget_told(&mut self, before_ms: i64) {
        self.told.retain(|_, told| told.time_ms >= before_ms);
    }

    /// Takes in an alert that fires or was resolved.
    pub fn update(&mut self, config: &NotifyConfig, notice: &Notice, now_ms: i64) {
        if notice.ends_ms.is_none() {
            self.firing.insert(notice.fingerprint, notice.labels.clone());
        } else {
            self.firing.remove(&notice.fingerprint);
        }
        for place in config.route(&notice.labels) {
            let route = &config.routes[place];
            let labels = route.group_labels(&notice.labels);
            let words: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let key = (place, format!("{}:{{{}}}", route.key, words.join(", ")));
            if notice.ends_ms.is_some()
                && !self.groups.contains_key(&key)
                && !self.was_told(config, place, &key.1, notice)
            {
                continue;
            }
            // A start that is still to come makes nobody wait for longer.
            let wait_over_ms = notice.starts_ms.min(now_ms).saturating_add(route.group_wait_ms).max(now_ms);
            let new = || Group { labels, alerts: BTreeMap::new(), next_ms: wait_over_ms, was_told: false };
            let group = self.groups.entry(key).or_insert_with(new);
            if !group.was_told {
                group.next_ms = group.next_ms.min(wait_over_ms);
            }
            group.alerts.insert(notice.fingerprint, notice.clone());
        }
    }

    /// Takes back that a receiver was told what it refused: it is decided anew with the group's next turn, and what was resolved
    /// belongs to the group again until then. Gives the memory that has to be kept.
    pub fn refused(&mut self, config: &NotifyConfig, decision: &Decision, now_ms: i64) -> Option<(String, Told)> {
        let key = told_key(&decision.receiver, &decision.kind, decision.place, &decision.group_key);
        // Something newer was told meanwhile.
        let told = self.told.get_mut(&key).filter(|told| told.times == decision.number)?;
        let before = told.before.take().map(|before| *before);
        let before = before.unwrap_or_else(|| Told { time_ms: told.time_ms, ..Told::default() });
        *told = Told { times: told.times, ..before };
        let told = told.clone();
        let ended = decision.alerts.iter().filter(|one| one.ends_ms.is_some_and(|ends| now_ms - ends < ENDED_KEPT_MS));
        let ended: Vec<&Notice> = ended.collect();
        let is_of_group = |route: &super::config::Route| {
            route.receiver == decision.receiver
                && decision.group_key.strip_prefix(&route.key).is_some_and(|rest| rest.starts_with(":{"))
        };
        if let Some(place) = config.routes.iter().position(is_of_group).filter(|_| !ended.is_empty()) {
            let group = self.groups.entry((place, decision.group_key.clone())).or_insert_with(|| Group {
                labels: decision.group_labels.clone(),
                alerts: BTreeMap::new(),
                next_ms: decision.time_ms.saturating_add(config.routes[place].group_interval_ms).max(now_ms),
                was_told: true,
            });
            for notice in ended {
                group.alerts.entry(notice.fingerprint).or_insert_with(|| notice.clone());
            }
        }
        Some((key, told))
    }

    /// Whether a receiver of this route was told that the alert fires.
    fn was_told(&self, config: &NotifyConfig, place: usize, group_key: &str, notice: &Notice) -> bool {
        let receiver = &config.routes[place].receiver;
        let ways =
            config.receivers.get(receiver).map(super::receivers::fields::ReceiverFields::ways).unwrap_or_default();
        ways.iter().any(|way| {
            let told = self.told.get(&told_key(receiver, way.kind, way.place, group_key));
            told.is_some_and(|told| told.firing.contains(&notice.fingerprint))
        })
    }

    /// When something may be decided next.
    pub fn next_ms(&self) -> Option<i64> {
        self.groups.values().map(|group| group.next_ms).min()
    }

    /// Why an alert is not told now; none when it is.
    pub fn muted(&self, config: &NotifyConfig, silences: &Silences, labels: &Labels, now_ms: i64) -> Option<Muted> {
        let silenced = silences.that_match(labels, now_ms);
        if !silenced.is_empty() {
            return Some(Muted::Silenced(silenced));
        }
        let inhibited: BTreeSet<u64> =
            config.inhibit.iter().filter_map(|rule| self.inhibited_by(rule, labels)).collect();
        (!inhibited.is_empty()).then(|| Muted::Inhibited(inhibited.into_iter().collect()))
    }

    fn inhibited_by(&self, rule: &Inhibition, labels: &Labels) -> Option<u64> {
        if !all_match(&rule.target, labels) {
            return None;
        }
        let is_source_too = all_match(&rule.source, labels);
        let empty = String::new();
        let source = self.firing.iter().find(|(_, other)| {
            let equal = |name: &String| other.get(name).unwrap_or(&empty) == labels.get(name).unwrap_or(&empty);
            // What is on both sides does not silence its like.
            all_match(&rule.source, other)
                && rule.equal.iter().all(equal)
                && !(is_source_too && all_match(&rule.target, other))
        });
        source.map(|(fingerprint, _)| *fingerprint)
    }

    /// Decides what is due.
    pub fn due(&mut self, config: &NotifyConfig, silences: &Silences, now_ms: i64) -> Decided {
        let mut decided = Decided::default();
        let due: Vec<(usize, String)> =
            self.groups.iter().filter(|(_, group)| group.next_ms <= now_ms).map(|(key, _)| key.clone()).collect();
        for key in due {
            let Some(mut group) = self.groups.remove(&key) else { continue };
            let Some(route) = config.routes.get(key.0) else { continue };
            group.next_ms = now_ms + route.group_interval_ms;
            group.was_told = true;
            if route.muted_by(config, now_ms).is_empty() {
                self.tell(config, silences, &key.1, route, &group, now_ms, &mut decided);
                // What was told as resolved is no longer of interest.
                group.alerts.retain(|_, alert| alert.ends_ms.is_none_or(|ends| ends > now_ms));
            }
            group.alerts.retain(|_, alert| alert.ends_ms.is_none_or(|ends| now_ms - ends < ENDED_KEPT_MS));
            if !group.alerts.is_empty() {
                self.groups.insert(key, group);
            }
        }
        decided
    }

    #[allow(clippy::too_many_arguments)] // one moment of one group
    fn tell(
        &mut self,
        config: &NotifyConfig,
        silences: &Silences,
        group_key: &str,
        route: &super::config::Route,
        group: &Group,
        now_ms: i64,
        decided: &mut Decided,
    ) {
        let heard = group.alerts.values().filter(|alert| self.muted(config, silences, &alert.labels, now_ms).is_none());
        let mut alerts: Vec<&Notice> = heard.collect();
        if alerts.is_empty() {
            return;
        }
        alerts.sort_by_key(|alert| (alert.ends_ms.is_some(), alert.starts_ms, alert.fingerprint));
        let firing: BTreeSet<u64> =
            alerts.iter().filter(|one| one.ends_ms.is_none()).map(|one| one.fingerprint).collect();
        let resolved: BTreeSet<u64> =
            alerts.iter().filter(|one| one.ends_ms.is_some()).map(|one| one.fingerprint).collect();
        let Some(receiver) = config.receivers.get(&route.receiver) else { return };
        for way in receiver.ways() {
            let key = told_key(&route.receiver, way.kind, way.place, group_key);
            let before = self.told.get(&key);
            let is_due = match before {
                None => !firing.is_empty(),
                Some(told) if !firing.is_subset(&told.firing) => true,
                Some(told) if firing.is_empty() => !told.firing.is_empty(),
                Some(told) if way.sends_resolved && !resolved.is_subset(&told.resolved) => {
                    resolved.difference(&told.resolved).any(|one| told.firing.contains(one))
                }
                Some(told) => now_ms - told.time_ms >= route.repeat_interval_ms,
            };
            if !is_due {
                continue;
            }
            let number = before.map_or(0, |told| told.times + 1);
            let told = Told {
                time_ms: now_ms,
                firing: firing.clone(),
                resolved: resolved.clone(),
                times: number,
                before: before.map(|told| Box::new(Told { before: None, ..told.clone() })),
            };
            let said: Vec<Notice> = alerts
                .iter()
                .filter(|one| one.ends_ms.is_none() || way.sends_resolved)
                .map(|one| (*one).clone())
                .collect();
            if !said.is_empty() {
                decided.decisions.push(Decision {
                    receiver: route.receiver.clone(),
                    kind: way.kind.to_owned(),
                    place: way.place,
                    group_key: group_key.to_owned(),
                    group_labels: group.labels.clone(),
                    alerts: said,
                    number,
                    time_ms: now_ms,
                });
            }
            decided.told.push((key.clone(), told.clone()));
            self.told.insert(key, told);
        }
    }
}
