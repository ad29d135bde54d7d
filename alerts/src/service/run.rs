//! What goes on all the time: evaluating, deciding, delivering, looking for changed files, forgetting.

use super::AlertService;
use crate::rules::Group;
use crate::schedule;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often what is old is forgotten.
const FORGET: Duration = Duration::from_hours(1);
/// How long what was told is remembered, in milliseconds: as long as Alertmanager does.
const TOLD_KEPT_MS: i64 = 432_000_000;

impl AlertService {
    pub(super) fn spawn(self: &Arc<Self>) {
        self.tasks.spawn(Arc::clone(self).evaluate_on_time());
        self.tasks.spawn(Arc::clone(self).decide_on_time());
        self.tasks.spawn(Arc::clone(self).deliver_on_time());
        self.tasks.spawn(Arc::clone(self).look_for_files());
    }

    /// Stops evaluating and delivering; what is decided stays in the outbox.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.deliverer.sending.close();
        self.deliverer.sending.wait().await;
        self.db.close().await;
    }

    async fn evaluate_on_time(self: Arc<Self>) {
        let mut next: HashMap<String, i64> = HashMap::new();
        let mut running = tokio::task::JoinSet::new();
        loop {
            let rules = self.rules();
            let now_ms = crate::now_ms();
            let mut due: BTreeMap<i64, Vec<Arc<Group>>> = BTreeMap::new();
            let mut wake_ms = now_ms + 60_000;
            let mut known = HashMap::new();
            for group in &rules.groups {
                let id = group.id();
                let mut at = next.get(&id).copied().unwrap_or_else(|| schedule::next_ms(group, now_ms));
                // An interval that changed moves the moment.
                at = at.min(schedule::next_ms(group, now_ms).max(at.min(now_ms)));
                if at <= now_ms {
                    let following = schedule::next_ms(group, now_ms);
                    let missed = (following - at) / group.interval_ms - 1;
                    if missed > 0 {
                        self.book.lock().groups.entry(id.clone()).or_default().missed += missed as u64;
                    }
                    // Of several moments that passed, the newest counts.
                    due.entry(following - group.interval_ms).or_default().push(Arc::clone(group));
                    at = following;
                }
                wake_ms = wake_ms.min(at);
                known.insert(id, at);
            }
            next = known;
            for (at, groups) in due {
                let service = Arc::clone(&self);
                running.spawn(async move { service.evaluate_at(&groups, at).await });
            }
            while running.try_join_next().is_some() {}
            let pause = Duration::from_millis((wake_ms - crate::now_ms()).max(1) as u64);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        // What is being evaluated is written down, or begun anew at the next start.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while running.join_next().await.is_some() {} }).await;
    }

    async fn decide_on_time(self: Arc<Self>) {
        loop {
            let next_ms = self.decide_at(crate::now_ms()).await.unwrap_or(i64::MAX);
            let pause = next_ms.saturating_sub(crate::now_ms()).clamp(50, 10_000);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.decide.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause as u64)) => {}
            }
        }
    }

    async fn deliver_on_time(self: Arc<Self>) {
        loop {
            let next_ms = self.deliver_at(crate::now_ms()).await;
            let pause = (next_ms - crate::now_ms()).clamp(10, 60_000);
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.deliverer.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause as u64)) => {}
            }
        }
    }

    async fn look_for_files(self: Arc<Self>) {
        let mut forgotten = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.reload(crate::now_ms()).await;
            if forgotten.elapsed() > FORGET {
                forgotten = tokio::time::Instant::now();
                let now_ms = crate::now_ms();
                let told_before_ms = now_ms - TOLD_KEPT_MS;
                self.core.lock().await.dispatcher.forget_told(told_before_ms);
                let kept = self.db.forget(now_ms - self.settings.history_ms, told_before_ms).await;
                if let Err(error) = kept {
                    tracing::warn!(%error, "old alerts cannot be forgotten");
                }
            }
        }
    }
}
