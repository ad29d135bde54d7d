//! Old queries make way for young ones, so that a heavy query does not hold up the screens.
//!
//! A query is young for its first [`YOUTH`]; most end within it. One that goes on lets others pass between its batches while
//! young ones run, but never stands still: it reads a batch at least every [`MAX_WAIT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a query is young.
pub(super) const YOUTH: Duration = Duration::from_millis(300);
/// How long an old query waits before a batch.
const MAX_WAIT: Duration = Duration::from_millis(40);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The young queries of a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fairness {
    young: Arc<AtomicUsize>,
}

/// One query; counted as young until it is told that it is not, or ends.
#[derive(Debug)]
pub(super) struct Age {
    fairness: Fairness,
    since: Instant,
    is_young: std::sync::atomic::AtomicBool,
}

impl Fairness {
    /// A query that begins.
    pub(super) fn begin(&self) -> Age {
        self.young.fetch_add(1, Ordering::Relaxed);
        Age { fairness: self.clone(), since: Instant::now(), is_young: true.into() }
    }
}

impl Age {
    /// Lets young queries pass when this one is old; blocks.
    pub(super) fn make_way(&self) {
        if self.since.elapsed() < YOUTH {
            return;
        }
        self.grow_old();
        let waits_since = Instant::now();
        while self.fairness.young.load(Ordering::Relaxed) > 0 && waits_since.elapsed() < MAX_WAIT {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn grow_old(&self) {
        if self.is_young.swap(false, Ordering::Relaxed) {
            self.fairness.young.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Age {
    fn drop(&mut self) {
        self.grow_old();
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
        assert_eq!(fairness.young.load(Ordering::Relaxed), 0, "it is old, and nobody else is there");
        let young = fairness.begin();
        let started = Instant::now();
        old.make_way();
        assert!(started.elapsed() >= MAX_WAIT, "it waited");
        drop(young);
        assert_eq!(fairness.young.load(Ordering::Relaxed), 0);
        drop(old);
        assert_eq!(fairness.young.load(Ordering::Relaxed), 0, "nothing is counted twice");
    }
}
