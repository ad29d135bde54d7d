//! The running service: it evaluates on time, remembers, decides, delivers, and takes new files in.

mod files;
mod outside;
mod run;
mod views;

use crate::ask::Asker;
use crate::db::{Changes, Db, DbError};
use crate::evaluate::{Book, Evaluator, Recorder, Step, series_of};
use crate::machine::{Alert, RESOLVED_KEPT_MS, State, Transition};
use crate::notify::deliver::Deliverer;
use crate::notify::outside::Outside;
use crate::notify::{Dispatcher, Notice, NotifyConfig, Silences};
use crate::rfc3339;
use crate::rules::{Fault, Group, Rule, RuleSet};
use mangru_query::QueryService;
pub use outside::PostError;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
pub use views::{AlertView, GroupView, RuleView};

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// The folder of what is remembered; rules and silences that are made in the UI lie there too.
    pub folder: PathBuf,
    /// Files and folders of rules.
    pub rules: Vec<PathBuf>,
    /// Alertmanager's configuration; none: nobody is told.
    pub notify: Option<PathBuf>,
    /// The file of silences; none: `silences.yaml` in the folder.
    pub silences: Option<PathBuf>,
    /// Time between evaluations of groups that do not say one, in milliseconds.
    pub interval_ms: i64,
    /// How long before the moment of evaluation data is looked at, in groups that do not say, in milliseconds.
    pub offset_ms: i64,
    /// The address people reach the UI at.
    pub external_url: String,
    /// How long transitions and notifications are kept, in milliseconds.
    pub history_ms: i64,
}

impl AlertSettings {
    /// The settings of a service that has a folder and nothing else: rules that are written there, nobody who is told.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            rules: Vec::new(),
            notify: None,
            silences: None,
            interval_ms: 60_000,
            offset_ms: 0,
            external_url: "http://localhost".to_owned(),
            history_ms: 86_400_000,
        }
    }

    /// The folder of rules that are made in the UI.
    pub fn rules_folder(&self) -> PathBuf {
        self.folder.join("rules")
    }
}

/// What the service cannot start without.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// Files of the configuration cannot be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<Fault>),
    /// The database cannot be used.
    #[error("cannot use {path}: {error}")]
    Database {
        /// The file.
        path: String,
        /// Why.
        error: DbError,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {path}: {error}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

/// What is changed by evaluations and by people, one after the other.
struct Core {
    dispatcher: Dispatcher,
    silences: Silences,
    outside: Outside,
    /// What could not be written yet.
    unwritten: Vec<Changes>,
}

/// The files in force, and what is wrong with newer ones.
#[derive(Clone)]
struct InForce {
    rules: Arc<RuleSet>,
    notify: Arc<NotifyConfig>,
    faults: Vec<Fault>,
}

/// Evaluates rules, remembers their alerts, and tells people.
pub struct AlertService {
    settings: AlertSettings,
    evaluator: Evaluator,
    recorder: Recorder,
    db: Db,
    book: parking_lot::Mutex<Book>,
    core: tokio::sync::Mutex<Core>,
    in_force: parking_lot::RwLock<InForce>,
    running: parking_lot::Mutex<HashSet<String>>,
    deliverer: Arc<Deliverer>,
    /// Something may have to be decided.
    decide: Notify,
    /// The rules changed.
    changed: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
    started_ms: i64,
}

impl AlertService {
    /// Reads all files, remembers what was, and starts to evaluate.
    ///
    /// # Errors
    /// When a file is wrong, or what was remembered cannot be read.
    pub async fn start(query: Arc<QueryService>, settings: AlertSettings) -> Result<Arc<Self>, AlertError> {
        let service = Self::open(query, settings, crate::now_ms()).await?;
        service.spawn();
        Ok(service)
    }

    /// The same without starting anything: who holds it makes the clock go.
    pub async fn open(query: Arc<QueryService>, settings: AlertSettings, now_ms: i64) -> Result<Arc<Self>, AlertError> {
        let rules_folder = settings.rules_folder();
        std::fs::create_dir_all(&rules_folder)
            .map_err(|error| AlertError::Folder { path: rules_folder.display().to_string(), error })?;
        let rules = files::rules(&settings).map_err(AlertError::Files)?;
        let notify = files::notify(&settings).map_err(AlertError::Files)?;
        let silences =
            Silences::open(&files::silences_path(&settings), now_ms).map_err(|fault| AlertError::Files(vec![fault]))?;
        let path = settings.folder.join("alerts.db");
        let of_path = |error| AlertError::Database { path: path.display().to_string(), error };
        let db = Db::open(&path).await.map_err(of_path)?;
        let remembered = db.remembered().await.map_err(of_path)?;
        let evaluator = Evaluator {
            asker: Asker { query: Arc::clone(&query) },
            external_url: settings.external_url.trim_end_matches('/').to_owned(),
            offset_ms: settings.offset_ms,
        };
        let deliverer = Deliverer {
            db: db.clone(),
            external_url: evaluator.external_url.clone(),
            breakers: parking_lot::Mutex::default(),
            busy: parking_lot::Mutex::default(),
            refused: parking_lot::Mutex::default(),
            sending: TaskTracker::new(),
            wake: Notify::new(),
        };
        // What was written last is known again, so that its end can be written.
        let mut written = remembered.written;
        for (rule, active) in &remembered.active {
            written.insert(rule.clone(), series_of(active).into_iter().map(|(labels, _)| labels).collect());
        }
        let book = Book { active: remembered.active, evaluated: remembered.evaluated, written, ..Book::default() };
        let service = Arc::new(Self {
            evaluator,
            recorder: Recorder::Store(Arc::clone(query.store())),
            db,
            book: parking_lot::Mutex::new(book),
            core: tokio::sync::Mutex::new(Core {
                dispatcher: Dispatcher::new(remembered.told),
                silences,
                outside: Outside::new(remembered.posted),
                unwritten: Vec::new(),
            }),
            in_force: parking_lot::RwLock::new(InForce {
                rules: Arc::new(rules),
                notify: Arc::new(notify),
                faults: Vec::new(),
            }),
            running: parking_lot::Mutex::default(),
            deliverer: Arc::new(deliverer),
            decide: Notify::new(),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            started_ms: now_ms,
            settings,
        });
        service.take_up(now_ms).await;
        Ok(service)
    }

    /// The settings.
    pub const fn settings(&self) -> &AlertSettings {
        &self.settings
    }

    /// When it was started, in milliseconds.
    pub const fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.in_force.read().rules)
    }

    /// The routes and receivers in force.
    pub fn notify_config(&self) -> Arc<NotifyConfig> {
        Arc::clone(&self.in_force.read().notify)
    }

    /// What is wrong with files that were changed and are not in force.
    pub fn faults(&self) -> Vec<Fault> {
        self.in_force.read().faults.clone()
    }

    /// Evaluates these groups at a moment, writes down what came of it, and hands it to the dispatcher.
    pub async fn evaluate_at(&self, groups: &[Arc<Group>], now_ms: i64) -> Vec<Transition> {
        let groups: Vec<Arc<Group>> = {
            let mut running = self.running.lock();
            let mut book = self.book.lock();
            let is_free = |group: &&Arc<Group>| {
                let is_free = running.insert(group.id());
                if !is_free {
                    book.groups.entry(group.id()).or_default().missed += 1;
                }
                is_free
            };
            groups.iter().filter(is_free).cloned().collect()
        };
        let mut step = self.evaluator.evaluate(&groups, now_ms, &self.book, &self.recorder).await;
        self.find_evidence(&groups, &mut step, now_ms).await;
        self.told(&groups, &mut step, now_ms).await;
        let mut running = self.running.lock();
        for group in &groups {
            running.remove(&group.id());
        }
        step.transitions
    }

    /// Looks for what shows why new alerts fire.
    async fn find_evidence(&self, groups: &[Arc<Group>], step: &mut Step, now_ms: i64) {
        /// Alerts of one evaluation for which it is looked.
        const MOST: usize = 20;
        /// How long it may take in all.
        const TIME: std::time::Duration = std::time::Duration::from_secs(3);
        let rules: HashMap<&str, (&Arc<Group>, &Arc<Rule>)> = groups
            .iter()
            .flat_map(|group| group.rules.iter().map(move |rule| (rule.id.as_str(), (group, rule))))
            .collect();
        let deadline = tokio::time::Instant::now() + TIME;
        let fired = step.alerts.iter_mut().filter_map(|(rule, key, alert)| Some((rule, key, alert.as_mut()?)));
        let fired = fired.filter(|(_, _, alert)| alert.fired_at_ms == Some(now_ms) && alert.evidence.is_empty());
        let fired: Vec<_> = fired.take(MOST).collect();
        for (rule, key, alert) in fired {
            let Some((group, rule)) = rules.get(rule.as_str()) else { continue };
            let at_ms = now_ms - self.evaluator.offset_ms(group);
            let found = self.evaluator.asker.evidence(&rule.condition, &alert.labels, at_ms);
            let Ok(found) = tokio::time::timeout_at(deadline, found).await else { return };
            alert.evidence = found;
            let mut book = self.book.lock();
            if let Some(known) = book.active.get_mut(&rule.id).and_then(|active| active.get_mut(key)) {
                known.evidence.clone_from(&alert.evidence);
            }
        }
    }

    /// Writes down a step and hands the alerts of its groups to the dispatcher.
    async fn told(&self, groups: &[Arc<Group>], step: &mut Step, now_ms: i64) {
        let notify = self.notify_config();
        let mut core = self.core.lock().await;
        {
            let book = self.book.lock();
            let alerts = groups.iter().flat_map(|group| &group.rules);
            let alerts =
                alerts.flat_map(|rule| book.active.get(&rule.id).into_iter().flatten().map(move |one| (rule, one)));
            let mut ended = Vec::new();
            for (rule, (key, alert)) in alerts {
                let Some(notice) = self.notice(&rule.id, *key, alert) else { continue };
                if notice.ends_ms.is_some() {
                    ended.push(notice);
                } else {
                    core.dispatcher.update(&notify, &notice, now_ms);
                }
            }
            // What another rule with the same labels still says has not ended.
            let firing = if ended.is_empty() { HashSet::new() } else { book.firing() };
            for notice in ended.iter().filter(|notice| !firing.contains(&notice.fingerprint)) {
                core.dispatcher.update(&notify, notice, now_ms);
            }
        }
        let changes = Changes {
            alerts: std::mem::take(&mut step.alerts),
            evaluated: std::mem::take(&mut step.evaluated),
            series: std::mem::take(&mut step.series),
            transitions: step.transitions.clone(),
            ..Changes::default()
        };
        self.write(&mut core, changes).await;
        drop(core);
        self.decide.notify_one();
    }

    /// An alert as people are told of it; none while it is pending.
    fn notice(&self, rule: &str, fingerprint: u64, alert: &Alert) -> Option<Notice> {
        let starts_ms = alert.fired_at_ms?;
        Some(Notice {
            fingerprint,
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_ms,
            ends_ms: alert.resolved_at_ms.filter(|_| alert.state == State::Inactive),
            url: self.url(rule, fingerprint, starts_ms),
            value: mangru_query::number_text(alert.value),
            evidence: alert.evidence.clone(),
        })
    }

    /// The screen that shows a rule around a moment.
    fn url(&self, rule: &str, fingerprint: u64, time_ms: i64) -> String {
        let (start, end) = (rfc3339(time_ms - 3_000_000), rfc3339(time_ms + 600_000));
        let base = &self.evaluator.external_url;
        format!("{base}/alerts/{rule}?alert={fingerprint:016x}&start={start}&end={end}")
    }

    /// Writes changes, and before them those that could not be written; says whether all of it is durable.
    async fn write(&self, core: &mut Core, changes: Changes) -> bool {
        if !changes.is_empty() {
            core.unwritten.push(changes);
        }
        while let Some(next) = core.unwritten.first() {
            if let Err(error) = self.db.commit(next).await {
                tracing::error!(%error, waiting = core.unwritten.len(), "the state of alerts cannot be written; it is tried again");
                return false;
            }
            core.unwritten.remove(0);
        }
        true
    }

    /// Decides what is due and puts it into the outbox; gives when to look again.
    pub async fn decide_at(&self, now_ms: i64) -> Option<i64> {
        let notify = self.notify_config();
        let mut core = self.core.lock().await;
        let passed = core.outside.passed(now_ms);
        let changes = self.take_posted(&mut core, &notify, passed, now_ms);
        let Core { dispatcher, silences, outside, .. } = &mut *core;
        let refused = std::mem::take(&mut *self.deliverer.refused.lock());
        let taken_back = refused.iter().filter_map(|one| dispatcher.refused(&notify, one, now_ms));
        let taken_back: Vec<_> = taken_back.collect();
        let decided = dispatcher.due(&notify, silences, now_ms);
        let next_ms = dispatcher.next_ms().into_iter().chain(outside.next_ms()).min();
        let has_any = !decided.decisions.is_empty();
        let told = taken_back.into_iter().chain(decided.told).collect();
        let changes = Changes { told, decisions: decided.decisions, ..changes };
        self.write(&mut core, changes).await;
        drop(core);
        if has_any {
            self.deliverer.wake.notify_one();
        }
        next_ms
    }

    /// Sends what the outbox holds and whose time has come; gives when to look again.
    pub async fn deliver_at(&self, now_ms: i64) -> i64 {
        self.deliverer.round(&self.notify_config(), now_ms, &self.stop).await
    }

    /// Hands all remembered alerts to the dispatcher, and ends those whose rules are gone.
    async fn take_up(&self, now_ms: i64) {
        /// After a longer pause nobody knows whether a pending alert held all the time.
        const PAUSE_MS: i64 = 3_600_000;
        let (rules, notify) = (self.rules(), self.notify_config());
        let known: HashMap<&str, &Arc<Group>> = rules.rules().map(|(group, rule)| (rule.id.as_str(), group)).collect();
        let mut core = self.core.lock().await;
        let mut changes = Changes::default();
        let mut notices = Vec::new();
        {
            let mut book = self.book.lock();
            let evaluated = book.evaluated.clone();
            for (rule, active) in &mut book.active {
                let group = known.get(rule.as_str());
                let last_ms = group.and_then(|group| evaluated.get(&group.id())).copied().unwrap_or(now_ms);
                active.retain(|key, alert| {
                    let is_stale = alert.state == State::Pending && now_ms - last_ms > PAUSE_MS;
                    let is_old = alert.resolved_at_ms.is_some_and(|at| now_ms - at > RESOLVED_KEPT_MS);
                    let is_gone = group.is_none() && alert.state == State::Pending;
                    if is_stale || is_old || is_gone {
                        changes.alerts.push((rule.clone(), *key, None));
                        return false;
                    }
                    if group.is_none() && alert.state == State::Firing {
                        changes.transitions.push(Transition {
                            time_ms: now_ms,
                            rule: rule.clone(),
                            name: alert.labels.get("alertname").cloned().unwrap_or_default(),
                            from: State::Firing,
                            to: State::Inactive,
                            labels: alert.labels.clone(),
                            value: alert.value,
                        });
                        alert.state = State::Inactive;
                        alert.resolved_at_ms = Some(now_ms);
                        changes.alerts.push((rule.clone(), *key, Some(alert.clone())));
                    }
                    notices.extend(self.notice(rule, *key, alert));
                    true
                });
            }
            book.active.retain(|_, active| !active.is_empty());
            let posted = core.outside.all().filter(|(key, _)| !book.fires(**key));
            notices.extend(posted.map(|(_, posted)| posted.notice(now_ms)));
            let firing = book.firing();
            notices.retain(|notice| notice.ends_ms.is_none() || !firing.contains(&notice.fingerprint));
        }
        for notice in &notices {
            core.dispatcher.update(&notify, notice, now_ms);
        }
        self.write(&mut core, changes).await;
        drop(core);
        self.decide.notify_one();
    }
}
