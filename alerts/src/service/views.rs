//! What people and programs are shown of rules, alerts and notifications.

use super::AlertService;
use crate::db::{DbError, Parcel};
use crate::evaluate::{GroupHealth, Health};
use crate::machine::{Alert, State, Transition};
use crate::notify::deliver::Breaker;
use crate::notify::dispatch::Muted;
use crate::notify::outside::OUTSIDE;
use crate::notify::silence::Silence;
use crate::rules::{Group, Rule, RuleSet};
use crate::trial::{Backtest, TrialSettings, backtest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule with its alerts.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The rule.
    pub rule: Arc<Rule>,
    /// How it was evaluated last.
    pub health: Health,
    /// Its alerts that are pending or fire, by fingerprint.
    pub alerts: BTreeMap<u64, Alert>,
}

impl RuleView {
    /// The highest state of its alerts.
    pub fn state(&self) -> State {
        self.alerts.values().map(|alert| alert.state).max().unwrap_or(State::Inactive)
    }
}

/// A group with its rules.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// The group.
    pub group: Arc<Group>,
    /// How it was evaluated last.
    pub health: GroupHealth,
    /// Its rules.
    pub rules: Vec<RuleView>,
}

/// An alert that fires, and who is told of it.
#[derive(Clone, Debug)]
pub struct AlertView {
    /// The number of its labels.
    pub fingerprint: u64,
    /// Its rule's id; [`OUTSIDE`] for an alert from outside.
    pub rule: String,
    /// The alert.
    pub alert: Alert,
    /// The receivers of its routes.
    pub receivers: Vec<String>,
    /// Why nobody is told; none when they are.
    pub muted: Option<Muted>,
    /// The screen that shows it; of an alert from outside what its sender names.
    pub url: String,
    /// Of an alert from outside: when it ends, and when it was posted last, in milliseconds.
    pub posted: Option<(i64, i64)>,
}

impl AlertService {
    /// All groups with their rules and alerts.
    pub fn groups(&self) -> Vec<GroupView> {
        let rules = self.rules();
        let book = self.book.lock();
        let rule = |rule: &Arc<Rule>| {
            let active = book.active.get(&rule.id).into_iter().flatten();
            let alerts = active.filter(|(_, alert)| alert.state != State::Inactive);
            RuleView {
                rule: Arc::clone(rule),
                health: book.health.get(&rule.id).cloned().unwrap_or_default(),
                alerts: alerts.map(|(key, alert)| (*key, alert.clone())).collect(),
            }
        };
        let group = |group: &Arc<Group>| GroupView {
            group: Arc::clone(group),
            health: book.groups.get(&group.id()).cloned().unwrap_or_default(),
            rules: group.rules.iter().map(rule).collect(),
        };
        rules.groups.iter().map(group).collect()
    }

    /// All alerts that fire.
    pub async fn firing(&self, now_ms: i64) -> Vec<AlertView> {
        let notify = self.notify_config();
        let core = self.core.lock().await;
        let book = self.book.lock();
        let mut all = Vec::new();
        for (rule, active) in &book.active {
            for (fingerprint, alert) in active.iter().filter(|(_, alert)| alert.state == State::Firing) {
                let places = notify.route(&alert.labels);
                all.push(AlertView {
                    fingerprint: *fingerprint,
                    rule: rule.clone(),
                    receivers: places.iter().map(|place| notify.routes[*place].receiver.clone()).collect(),
                    muted: core.dispatcher.muted(&notify, &core.silences, &alert.labels, now_ms),
                    url: self.url(rule, *fingerprint, alert.fired_at_ms.unwrap_or(now_ms)),
                    alert: alert.clone(),
                    posted: None,
                });
            }
        }
        for (fingerprint, posted) in core.outside.firing(now_ms).filter(|(key, _)| !book.fires(**key)) {
            let places = notify.route(&posted.labels);
            all.push(AlertView {
                fingerprint: *fingerprint,
                rule: OUTSIDE.to_owned(),
                receivers: places.iter().map(|place| notify.routes[*place].receiver.clone()).collect(),
                muted: core.dispatcher.muted(&notify, &core.silences, &posted.labels, now_ms),
                url: posted.url.clone(),
                alert: posted.alert(),
                posted: Some((posted.ends_ms, posted.updated_ms)),
            });
        }
        all.sort_by_key(|view| (std::cmp::Reverse(view.alert.fired_at_ms), view.fingerprint));
        all
    }

    /// How many alerts fire, and how many are pending.
    pub fn counts(&self) -> (usize, usize) {
        let book = self.book.lock();
        let count = |state: State| book.active.values().flatten().filter(|(_, alert)| alert.state == state).count();
        (count(State::Firing), count(State::Pending))
    }

    /// All silences.
    pub async fn silences(&self) -> Vec<Silence> {
        self.core.lock().await.silences.all().to_vec()
    }

    /// Adds or changes a silence.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn silence(&self, silence: Silence, now_ms: i64) -> Result<(), String> {
        self.core.lock().await.silences.set(silence, now_ms)
    }

    /// Ends a silence; says whether there is one of this id.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn end_silence(&self, id: &str, now_ms: i64) -> Result<bool, String> {
        self.core.lock().await.silences.expire(id, now_ms)
    }

    /// Transitions between two moments, of one rule or of all, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn history(
        &self,
        range_ms: (i64, i64),
        rule: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Transition>, DbError> {
        self.db.transitions(range_ms, rule, limit as i64).await
    }

    /// Notifications that were decided between two moments, the newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn notifications(&self, range_ms: (i64, i64), limit: usize) -> Result<Vec<Parcel>, DbError> {
        self.db.told_between(range_ms, limit as i64).await
    }

    /// The breakers of all ways that were used since the start.
    pub fn breakers(&self) -> BTreeMap<String, Breaker> {
        self.deliverer.breakers.lock().clone()
    }

    /// Runs rules over the past between two moments, with the settings of this service.
    ///
    /// # Errors
    /// When there are too many moments.
    pub async fn backtest(&self, rules: &RuleSet, range_ms: (i64, i64)) -> Result<Backtest, String> {
        let settings =
            TrialSettings { offset_ms: self.settings.offset_ms, external_url: self.settings.external_url.clone() };
        backtest(Arc::clone(self.query()), rules, range_ms, &settings).await
    }

    /// The query service that rules ask.
    pub fn query(&self) -> &Arc<mangru_query::QueryService> {
        &self.evaluator.asker.query
    }
}
