//! Taking in alerts that others post, and their ends.

use super::{AlertService, Core};
use crate::db::Changes;
use crate::notify::outside::Moved;
use crate::notify::{NotifyConfig, Posted};

/// Why posted alerts are not taken.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// There would be too many.
    #[error("{0}")]
    TooMany(String),
    /// They are known, but not durable yet.
    #[error("the alerts cannot be written down yet: post them again")]
    NotWritten,
}

impl AlertService {
    /// Takes in alerts that were posted; they are durable when this returns.
    ///
    /// # Errors
    /// When there would be too many: then none is taken. When they cannot be written down.
    pub async fn post(&self, alerts: Vec<Posted>, now_ms: i64) -> Result<(), PostError> {
        let notify = self.notify_config();
        let mut core = self.core.lock().await;
        // What ended before fires anew.
        let passed = core.outside.passed(now_ms);
        let before = self.take_posted(&mut core, &notify, passed, now_ms);
        self.write(&mut core, before).await;
        let moved = core.outside.posted(alerts, now_ms).map_err(PostError::TooMany)?;
        let changes = self.take_posted(&mut core, &notify, moved, now_ms);
        let is_durable = self.write(&mut core, changes).await;
        drop(core);
        self.decide.notify_one();
        if is_durable { Ok(()) } else { Err(PostError::NotWritten) }
    }

    /// Takes in what became of alerts from outside and hands them to the dispatcher; an alert of a rule with the same labels goes
    /// before.
    pub(super) fn take_posted(&self, core: &mut Core, notify: &NotifyConfig, moved: Moved, now_ms: i64) -> Changes {
        core.outside.take(&moved.posted);
        let book = self.book.lock();
        let posted = moved.posted.iter().filter(|(key, _)| !book.fires(*key));
        for posted in posted.filter_map(|(_, posted)| posted.as_ref()) {
            core.dispatcher.update(notify, &posted.notice(now_ms), now_ms);
        }
        Changes { posted: moved.posted, transitions: moved.transitions, ..Changes::default() }
    }
}
