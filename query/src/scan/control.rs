//! When a query ends early.

use crate::{ErrorCode, QueryError};
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A query's deadline, and the sign that its caller went away. Checked between batches.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    deadline: Option<Instant>,
    limit: Duration,
    cancel: CancellationToken,
}

impl Control {
    /// A control that ends after `limit`, and when the guard is dropped: keep the guard in the future that waits.
    pub(crate) fn new(limit: Duration) -> (Self, DropGuard) {
        let cancel = CancellationToken::new();
        let control = Self { deadline: Some(Instant::now() + limit), limit, cancel: cancel.clone() };
        (control, cancel.drop_guard())
    }

    /// A control without a deadline.
    pub(crate) fn unlimited() -> (Self, DropGuard) {
        let cancel = CancellationToken::new();
        let control = Self { deadline: None, limit: Duration::MAX, cancel: cancel.clone() };
        (control, cancel.drop_guard())
    }

    /// Whether to go on.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() {
            return Err(QueryError::new(ErrorCode::Cancelled, "the caller went away"));
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let message = format!("query took longer than its deadline of {} ms", self.limit.as_millis());
            return Err(QueryError::new(ErrorCode::DeadlineExceeded, message));
        }
        Ok(())
    }
}

/// Runs work that blocks or computes away from the I/O threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(QueryError::internal(format!("query work stopped: {error}"))),
    }
}
