//! Threads that statements run on: each statement has its own, so that none waits until another computes no more.
//!
//! What computes cannot be stopped from outside. A statement that was ended in the middle of a step that takes long keeps its
//! threads until the step is done, and they are gone then; others are not touched by that, as long as there are not too many.

use crate::{ErrorCode, QueryError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

/// Planning goes down a statement by recursion, and a statement may nest as deep as it is long. The system gives memory only
/// for what is used of it.
const STACK_BYTES: usize = 256 << 20;
/// Threads that compute for one statement.
const THREADS: usize = 2;
/// When a statement that was ended counts as lost, unless its threads are gone.
const GRACE: Duration = Duration::from_secs(1);
/// Lost statements at most, beyond which no other begins.
const MAX_LOST: usize = 16;

/// Where statements run, and those that were ended.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    ended: Arc<Mutex<Vec<Ended>>>,
}

/// A statement that was ended, and how many of its threads are left.
#[derive(Debug)]
struct Ended {
    since: Instant,
    threads: Arc<AtomicUsize>,
}

/// The threads of one statement, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    handle: Handle,
    runtime: Option<Runtime>,
    threads: Arc<AtomicUsize>,
    ended: Arc<Mutex<Vec<Ended>>>,
}

impl Lanes {
    /// Statements that were ended and compute on all the same.
    pub(crate) fn lost(&self) -> usize {
        let mut ended = self.ended.lock();
        ended.retain(|statement| statement.threads.load(Ordering::Relaxed) > 0);
        ended.iter().filter(|statement| statement.since.elapsed() > GRACE).count()
    }

    /// Threads for a statement.
    ///
    /// # Errors
    /// [`ErrorCode::ResourceExhausted`] when too many statements are lost.
    pub(super) fn begin(&self) -> Result<Lane, QueryError> {
        let lost = self.lost();
        if lost >= MAX_LOST {
            let message = format!(
                "{lost} statements of SQL that took longer than their deadline compute on all the same, allowed are \
                 {MAX_LOST}: try again later"
            );
            return Err(QueryError::new(ErrorCode::ResourceExhausted, message));
        }
        let threads = Arc::new(AtomicUsize::new(0));
        let (begun, done) = (Arc::clone(&threads), Arc::clone(&threads));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_stack_size(STACK_BYTES)
            .thread_name("mangru-sql")
            .on_thread_start(move || {
                begun.fetch_add(1, Ordering::Relaxed);
            })
            .on_thread_stop(move || {
                done.fetch_sub(1, Ordering::Relaxed);
            })
            .enable_all()
            .build()
            .map_err(|error| QueryError::internal(format!("no threads for SQL: {error}")))?;
        Ok(Lane { handle: runtime.handle().clone(), runtime: Some(runtime), threads, ended: Arc::clone(&self.ended) })
    }
}

impl Lane {
    /// Runs on these threads.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(work)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.ended.lock().push(Ended { since: Instant::now(), threads: Arc::clone(&self.threads) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A statement whose threads all compute until the sender is dropped.
    async fn stuck(lanes: &Lanes) -> (Lane, Vec<mpsc::SyncSender<()>>) {
        let lane = lanes.begin().expect("threads");
        let (began, mut begun) = tokio::sync::mpsc::channel(THREADS);
        let mut senders = Vec::new();
        for _ in 0..THREADS {
            let (sender, receiver) = mpsc::sync_channel::<()>(1);
            let began = began.clone();
            senders.push(sender);
            drop(lane.spawn(async move {
                let _ = began.send(()).await;
                let _ = receiver.recv();
            }));
        }
        for _ in 0..THREADS {
            begun.recv().await.expect("it began");
        }
        (lane, senders)
    }

    #[tokio::test]
    async fn statements_that_do_not_come_back_are_counted_and_hold_up_nobody_until_there_are_too_many() {
        let lanes = Lanes::default();
        let mut waiting = Vec::new();
        for _ in 0..MAX_LOST {
            let lane = lanes.begin().expect("threads");
            assert_eq!(lane.spawn(async { 7 }).await.expect("it ran"), 7);
            let (lane, senders) = stuck(&lanes).await;
            waiting.push(senders);
            drop(lane);
        }
        tokio::time::sleep(GRACE + Duration::from_millis(100)).await;
        assert_eq!(lanes.lost(), MAX_LOST);
        let error = lanes.begin().expect_err("too many");
        assert_eq!(error.code, ErrorCode::ResourceExhausted, "{error}");
        drop(waiting);
        while lanes.lost() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(lanes.begin().is_ok(), "they are gone");
    }
}
