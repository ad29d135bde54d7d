//! Sending what the outbox holds until the receiver has it.
//!
//! Each way of each receiver has a circuit breaker: when several attempts in a row failed, nothing is tried for a while, then one
//! attempt decides. A notification that failed waits longer each time, with a part of chance in it; those of other groups go past it,
//! those of its own group wait behind it.

use super::config::NotifyConfig;
use super::dispatch::Decision;
use super::receivers::{self, Outcome};
use crate::db::Db;
use rand::RngExt as _;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Attempts that fail in a row before a breaker opens.
const FAILURES: u32 = 5;
/// How long a breaker stays open at first, and at most, in milliseconds.
const OPEN_MS: (i64, i64) = (10_000, 300_000);
/// How long a notification waits after its first failure, and at most, in milliseconds.
const WAIT_MS: (i64, i64) = (1_000, 300_000);
/// When a notification is given up, in milliseconds after it was decided: a day.
const GIVEN_UP_MS: i64 = 86_400_000;

/// The state of one way of one receiver.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Breaker {
    /// Attempts that failed in a row.
    pub failures: u32,
    /// Until when nothing is tried, in milliseconds; 0 when it is closed.
    pub open_until_ms: i64,
    /// Attempts that succeeded, since the start.
    pub delivered: u64,
    /// Attempts that failed, since the start.
    pub failed: u64,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

impl Breaker {
    fn succeeded(&mut self) {
        (self.failures, self.open_until_ms, self.last_error) = (0, 0, None);
        self.delivered += 1;
    }

    fn failed(&mut self, error: &str, now_ms: i64) {
        self.failures += 1;
        self.failed += 1;
        self.last_error = Some(error.to_owned());
        if self.failures >= FAILURES {
            let times = (self.failures - FAILURES).min(10);
            self.open_until_ms = now_ms + (OPEN_MS.0 << times).min(OPEN_MS.1);
        }
    }
}

/// How long to wait after so many attempts: it doubles, and between half and all of it is taken.
pub(crate) fn wait_ms(attempts: i64) -> i64 {
    let most = (WAIT_MS.0 << attempts.clamp(0, 20)).min(WAIT_MS.1);
    rand::rng().random_range(most / 2..=most)
}

/// Sends what waits.
pub(crate) struct Deliverer {
    pub(crate) db: Db,
    pub(crate) external_url: String,
    pub(crate) breakers: parking_lot::Mutex<BTreeMap<String, Breaker>>,
    /// Ways that are sending now.
    pub(crate) busy: parking_lot::Mutex<HashSet<String>>,
    /// What a receiver refused, or never took: it is decided anew.
    pub(crate) refused: parking_lot::Mutex<Vec<Decision>>,
    /// What is sending.
    pub(crate) sending: TaskTracker,
    /// Something may have to be delivered.
    pub(crate) wake: Notify,
}

impl Deliverer {
    /// Begins to send everything whose time has come, each way on its own, so that a slow receiver holds up no other; says when
    /// to look again.
    pub(crate) async fn round(
        self: &Arc<Self>,
        config: &Arc<NotifyConfig>,
        now_ms: i64,
        stop: &CancellationToken,
    ) -> i64 {
        let waiting = match self.db.waiting_lanes().await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return now_ms + 5_000;
            }
        };
        let mut next_ms = now_ms + 60_000;
        for (lane, due_ms) in waiting {
            let open_until_ms = self.breakers.lock().get(&lane).map_or(0, |breaker| breaker.open_until_ms);
            let due_ms = due_ms.max(open_until_ms);
            if due_ms > now_ms {
                next_ms = next_ms.min(due_ms);
                continue;
            }
            if !self.busy.lock().insert(lane.clone()) {
                continue;
            }
            let (deliverer, config, stop) = (Arc::clone(self), Arc::clone(config), stop.clone());
            self.sending.spawn(async move {
                deliverer.lane(&lane, now_ms, &config, &stop).await;
                deliverer.busy.lock().remove(&lane);
                deliverer.wake.notify_one();
            });
        }
        next_ms
    }

    /// Sends what is due of one way, which nobody else sends meanwhile: what is due is read only now, so that nothing is sent that
    /// another has just delivered.
    async fn lane(&self, lane: &str, now_ms: i64, config: &NotifyConfig, stop: &CancellationToken) {
        let parcels = match self.db.due_in_lane(lane, now_ms).await {
            Ok(parcels) => parcels,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                return pause(stop).await;
            }
        };
        for mut parcel in parcels {
            let now_ms = crate::now_ms();
            let is_open = self.breakers.lock().get(lane).is_some_and(|breaker| breaker.open_until_ms > now_ms);
            if is_open || stop.is_cancelled() {
                return;
            }
            let outcome = tokio::select! {
                outcome = receivers::send(config, &parcel.decision, &self.external_url) => outcome,
                () = stop.cancelled() => return,
            };
            let now_ms = crate::now_ms();
            parcel.attempts += 1;
            {
                let mut breakers = self.breakers.lock();
                let breaker = breakers.entry(lane.to_owned()).or_default();
                match &outcome {
                    Outcome::Delivered => breaker.succeeded(),
                    Outcome::Later(error, _) => breaker.failed(error, now_ms),
                    // The receiver is there; it is the notification that is wrong.
                    Outcome::Never(error) => {
                        breaker.failures = 0;
                        breaker.failed += 1;
                        breaker.last_error = Some(error.clone());
                    }
                }
            }
            match outcome {
                Outcome::Delivered => {
                    "delivered".clone_into(&mut parcel.state);
                    parcel.ended_ms = Some(now_ms);
                    parcel.last_error = None;
                }
                Outcome::Never(error) => {
                    tracing::warn!(receiver = lane, error, "a notification was refused");
                    "failed".clone_into(&mut parcel.state);
                    parcel.ended_ms = Some(now_ms);
                    parcel.last_error = Some(error);
                    self.refused.lock().push(parcel.decision.clone());
                }
                Outcome::Later(error, after) => {
                    tracing::warn!(
                        receiver = lane,
                        error,
                        attempts = parcel.attempts,
                        "a notification was not delivered yet"
                    );
                    let after_ms = after.map_or(0, |after| (after.as_millis() as i64).min(3_600_000));
                    parcel.next_ms = now_ms + wait_ms(parcel.attempts - 1).max(after_ms);
                    if now_ms - parcel.decision.time_ms > GIVEN_UP_MS {
                        "failed".clone_into(&mut parcel.state);
                        parcel.ended_ms = Some(now_ms);
                        self.refused.lock().push(parcel.decision.clone());
                    }
                    parcel.last_error = Some(error);
                }
            }
            // Nothing more is sent this way before it is written down: it would be sent once more.
            while let Err(error) = self.db.attempted(&parcel).await {
                tracing::error!(%error, "what became of a notification cannot be written down; it is tried again");
                if stop.is_cancelled() {
                    return;
                }
                pause(stop).await;
            }
        }
    }
}

/// Waits a little, unless it is stopped.
async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        for attempts in 0..40 {
            let most = (1_000_i64 << attempts.min(20)).min(300_000);
            let wait = wait_ms(attempts);
            assert!((most / 2..=most).contains(&wait), "{attempts}: {wait}");
        }
    }

    #[test]
    fn a_breaker_opens_after_failures_in_a_row_and_closes_by_a_success() {
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            breaker.failed("no", 0);
        }
        assert_eq!(breaker.open_until_ms, 0);
        breaker.failed("no", 1_000);
        assert_eq!(breaker.open_until_ms, 11_000);
        breaker.failed("no", 11_000);
        assert_eq!(breaker.open_until_ms, 31_000);
        breaker.succeeded();
        assert_eq!((breaker.failures, breaker.open_until_ms), (0, 0));
    }

    /// A receiver on this machine that says yes, and counts how often each key came.
    async fn receiver() -> (String, Arc<parking_lot::Mutex<BTreeMap<String, usize>>>) {
        let came: Arc<parking_lot::Mutex<BTreeMap<String, usize>>> = Arc::default();
        let counted = Arc::clone(&came);
        let hook = axum::routing::post(async move |headers: axum::http::HeaderMap| {
            let key = headers["idempotency-key"].to_str().expect("a key").to_owned();
            *counted.lock().entry(key).or_default() += 1;
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/", hook)).await });
        (format!("http://{address}/"), came)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn however_often_it_is_looked_what_waits_is_sent_once() {
        const COUNT: usize = 200;
        let folder = tempfile::tempdir().expect("folder");
        let (url, came) = receiver().await;
        let text = format!("route: {{receiver: a}}\nreceivers: [{{name: a, webhook_configs: [{{url: '{url}'}}]}}]\n");
        let config = NotifyConfig::read("a.yml", &text, folder.path()).expect("a configuration");
        let db = Db::open(&folder.path().join("alerts.db")).await.expect("a database");
        let decision = |number: usize| Decision {
            receiver: "a".to_owned(),
            kind: "webhook".to_owned(),
            place: 0,
            group_key: format!("{{}}:{{n=\"{number}\"}}"),
            group_labels: BTreeMap::new(),
            alerts: Vec::new(),
            number: 0,
            time_ms: 1,
        };
        let deliverer = Arc::new(Deliverer {
            db: db.clone(),
            external_url: String::new(),
            breakers: parking_lot::Mutex::default(),
            busy: parking_lot::Mutex::default(),
            refused: parking_lot::Mutex::default(),
            sending: TaskTracker::new(),
            wake: Notify::new(),
        });
        let (config, stop) = (Arc::new(config), CancellationToken::new());
        let looks: Vec<_> = (0..4)
            .map(|_| {
                let (deliverer, config, stop) = (Arc::clone(&deliverer), Arc::clone(&config), stop.clone());
                tokio::spawn(async move {
                    while !stop.is_cancelled() {
                        deliverer.round(&config, crate::now_ms(), &stop).await;
                    }
                })
            })
            .collect();
        // They come one by one, so that lanes end again and again while it is looked.
        for number in 0..COUNT {
            let changes = crate::db::Changes { decisions: vec![decision(number)], ..crate::db::Changes::default() };
            db.commit(&changes).await.expect("written");
        }
        let all_came = async {
            while came.lock().len() < COUNT || !db.waiting_lanes().await.expect("read").is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), all_came).await.expect("all came");
        stop.cancel();
        for look in looks {
            look.await.expect("ended");
        }
        let twice = came.lock().values().filter(|times| **times > 1).count();
        assert_eq!(twice, 0, "of {COUNT}");
    }
}
