//! The service itself: its store, its limits.

use crate::known::KnownServices;
use crate::promql::Blocks;
use crate::scan::{Control, Fairness};
use crate::slow::SlowQueries;
use crate::sql::Lanes;
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
    lanes: Lanes,
    known: KnownServices,
    /// What queries may take beyond the first bytes of each.
    beyond_first: MemoryBudget,
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

/// Bytes of a query that are kept free for it, as far as all such bytes are no more than a part of the budget of queries.
const FIRST_BYTES: usize = 4 << 20;
const FIRST_BYTES_SHARE: usize = 4;

/// When a query counts as one of the long ones.
const LONG: Duration = Duration::from_secs(1);

impl QueryService {
    /// A service over this store.
    pub fn new(store: Arc<Store>, settings: QuerySettings) -> Arc<Self> {
        let semaphore = || Arc::new(Semaphore::new(settings.concurrency.max(1)));
        let (turns, old_turns) = (semaphore(), semaphore());
        let queries = &store.memory().queries;
        let (first, places) = Self::first_bytes(queries, &settings);
        let beyond_first = MemoryBudget::new(queries.max_bytes() - first * places);
        // What is remembered leaves the first bytes of queries free as well.
        let blocks = Blocks::new(&queries.share_with_first(queries.max_bytes(), 0, &beyond_first));
        Arc::new(Self {
            store,
            settings,
            turns,
            old_turns,
            fairness: Fairness::default(),
            slow: SlowQueries::default(),
            blocks,
            lanes: Lanes::default(),
            known: KnownServices::default(),
            beyond_first,
        })
    }

    /// The first bytes of each query that others leave free, and how many queries there may be.
    fn first_bytes(queries: &MemoryBudget, settings: &QuerySettings) -> (usize, usize) {
        let places = 2 * settings.concurrency.max(1);
        (FIRST_BYTES.min(queries.max_bytes() / FIRST_BYTES_SHARE / places), places)
    }

    /// The services that were seen last.
    pub(crate) const fn known(&self) -> &KnownServices {
        &self.known
    }

    /// Where statements of SQL run.
    pub(crate) const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Statements of SQL that were ended and compute on all the same, in a step that takes long.
    pub fn lost_statements(&self) -> usize {
        self.lanes.lost()
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

    /// The memory of one query: a bound of its own within that of all queries, of which others leave it its first bytes.
    pub(crate) fn memory(&self) -> MemoryBudget {
        let (first, _) = Self::first_bytes(&self.store.memory().queries, &self.settings);
        self.store.memory().queries.share_with_first(self.settings.memory_max_bytes, first, &self.beyond_first)
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

#[cfg(test)]
mod tests {
    use super::*;
    use mangru_store::StoreConfig;

    #[tokio::test]
    async fn a_query_that_takes_all_memory_leaves_others_their_first_bytes() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(StoreConfig { data_dir: folder.path().to_path_buf(), ..StoreConfig::default() })
            .await
            .expect("store");
        let service =
            QueryService::new(store, QuerySettings { memory_max_bytes: usize::MAX, ..QuerySettings::default() });
        let queries = service.store().memory().queries.clone();
        let (first, places) = QueryService::first_bytes(&queries, service.settings());
        assert!(first >= 1 << 20 && first * places <= queries.max_bytes() / 4, "{first}");
        let heavy = service.memory();
        let mut held = heavy.try_reserve(0).expect("nothing");
        while held.try_grow(1 << 20) {}
        assert!(held.bytes() >= queries.max_bytes() / 2, "{} of {}", held.bytes(), queries.max_bytes());
        let others: Vec<MemoryBudget> = (1..places).map(|_| service.memory()).collect();
        let small: Vec<_> = others.iter().map(|other| other.try_reserve(first).expect("its first bytes")).collect();
        assert!(others[0].try_reserve(2 << 20).is_none(), "no more than these");
        drop((held, small));
        assert_eq!(queries.used_bytes(), 0);
    }
}
