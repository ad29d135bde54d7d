//! Old queries make way for young ones, so that a heavy query does not hold up the screens.
//!
//! A query is young for its first [`YOUTH`]; most end within it. One that goes on lets others pass between its batches while
//! young ones run, but never stands still: it reads a batch at least every [`MAX_WAIT`].

use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a query is young.
const YOUTH: Duration = Duration::from_millis(300);
/// How long an old query waits before a batch.
const MAX_WAIT: Duration = Duration::from_millis(40);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The queries of a service by when they began; those that ended or are old are forgotten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fairness(Arc<Mutex<Vec<Weak<Instant>>>>);

/// One query, until it ends.
#[derive(Clone, Debug)]
pub(super) struct Age {
    fairness: Fairness,
    since: Arc<Instant>,
}

impl Fairness {
    /// A query that begins.
    pub(super) fn begin(&self) -> Age {
        let since = Arc::new(Instant::now());
        let mut begun = self.0.lock();
        begun.retain(|since| since.strong_count() > 0);
        begun.push(Arc::downgrade(&since));
        drop(begun);
        Age { fairness: self.clone(), since }
    }

    /// Whether any query is young.
    fn has_young(&self) -> bool {
        let mut begun = self.0.lock();
        begun.retain(|since| since.upgrade().is_some_and(|since| since.elapsed() < YOUTH));
        !begun.is_empty()
    }
}

impl Age {
    /// Lets young queries pass when this one is old; blocks.
    pub(super) fn make_way(&self) {
        if self.since.elapsed() < YOUTH {
            return;
        }
        let waits_since = Instant::now();
        while self.fairness.has_young() && waits_since.elapsed() < MAX_WAIT {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_query_waits_for_young_ones_and_goes_on_all_the_same() {
        let fairness = Fairness::default();
        let old = fairness.begin();
        std::thread::sleep(YOUTH + Duration::from_millis(10));
        old.make_way();
        assert!(!fairness.has_young(), "it is old, and nobody else is there");
        let young = fairness.begin();
        let started = Instant::now();
        old.make_way();
        assert!(started.elapsed() >= MAX_WAIT, "it waited");
        drop(young);
        let silent = fairness.begin();
        std::thread::sleep(YOUTH + Duration::from_millis(10));
        assert!(!fairness.has_young(), "one that never reads a batch grows old as well");
        drop(silent);
        assert!(!fairness.has_young());
        drop(old);
        assert!(!fairness.has_young(), "nothing is counted twice");
    }
}
