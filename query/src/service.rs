//! The service itself: its store, its limits.

use crate::promql::Blocks;
use crate::scan::{Control, Fairness};
use crate::slow::SlowQueries;
use crate::{ErrorCode, QueryError};
use mangru_store::{MemoryBudget, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;

/// Limits on queries.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// A query ends with an error after this long. Default 30 s.
    pub deadline: Duration,
    /// Memory that one query may take, within what the store's budget leaves queries. Default 128 MiB.
    pub memory_max_bytes: usize,
    /// Queries that run at the same time; others wait for their turn. Default 8.
    pub concurrency: usize,
    /// The largest `limit` that is accepted. Default 10,000.
    pub max_limit: usize,
    /// Queries that take longer are logged with what they asked. Default 2 s.
    pub slow: Duration,
    /// Whether functions are evaluated that Prometheus calls experimental. Default no.
    pub promql_experimental_functions: bool,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory_max_bytes: 128 << 20,
            concurrency: 8,
            max_limit: 10_000,
            slow: Duration::from_secs(2),
            promql_experimental_functions: false,
        }
    }
}

/// Answers queries over a store.
pub struct QueryService {
    store: Arc<Store>,
    settings: QuerySettings,
    turns: Arc<Semaphore>,
    old_turns: Arc<Semaphore>,
    fairness: Fairness,
    slow: SlowQueries,
    blocks: Blocks,
}

/// A query's turn. When the query goes on for long it moves to the place of an old one, as far as there is any, so that the
/// next can begin.
pub(crate) struct Turn {
    growing_old: JoinHandle<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.growing_old.abort();
    }
}

/// When a query counts as one of the long ones.
const LONG: Duration = Duration::from_secs(1);

impl QueryService {
    /// A service over this store.
    pub fn new(store: Arc<Store>, settings: QuerySettings) -> Arc<Self> {
        let semaphore = || Arc::new(Semaphore::new(settings.concurrency.max(1)));
        let (turns, old_turns) = (semaphore(), semaphore());
        let blocks = Blocks::new(&store.memory().queries);
        Arc::new(Self {
            store,
            settings,
            turns,
            old_turns,
            fairness: Fairness::default(),
            slow: SlowQueries::default(),
            blocks,
        })
    }

    /// The store that is asked.
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The limits in force.
    pub const fn settings(&self) -> &QuerySettings {
        &self.settings
    }

    /// Deadline and cancellation of one query; the guard cancels it when the waiting future is dropped.
    pub(crate) fn control(&self) -> (Control, DropGuard) {
        Control::new(self.settings.deadline, self.memory(), &self.fairness)
    }

    /// The queries that run.
    pub(crate) const fn fairness(&self) -> &Fairness {
        &self.fairness
    }

    /// What is remembered of the metrics of parts.
    pub(crate) const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The slow ones among those answered.
    pub(crate) const fn slow(&self) -> &SlowQueries {
        &self.slow
    }

    /// The memory of one query: a bound of its own within that of all queries.
    pub(crate) fn memory(&self) -> MemoryBudget {
        self.store.memory().queries.share(self.settings.memory_max_bytes)
    }

    /// Waits until fewer than the allowed number of queries run; as many that run for long do not count.
    pub(crate) async fn turn(&self) -> Result<Turn, QueryError> {
        match tokio::time::timeout(self.settings.deadline, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => {
                let old_turns = Arc::clone(&self.old_turns);
                let growing_old = tokio::spawn(async move {
                    tokio::time::sleep(LONG).await;
                    let old = old_turns.try_acquire_owned();
                    let _young = old.is_err().then_some(turn);
                    std::future::pending::<()>().await;
                });
                Ok(Turn { growing_old })
            }
            _ => Err(QueryError::new(ErrorCode::ResourceExhausted, "too many queries are running: try again")),
        }
    }

    /// The limit, when it is allowed.
    pub(crate) fn checked_limit(&self, limit: usize) -> Result<usize, QueryError> {
        if limit == 0 || limit > self.settings.max_limit {
            let message = format!("limit is {limit}, allowed are 1 to {}", self.settings.max_limit);
            return Err(QueryError::invalid("limit", message));
        }
        Ok(limit)
    }
}
