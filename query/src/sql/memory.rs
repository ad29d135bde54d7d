//! The memory of DataFusion's operators, taken from the budget of the query.

use crate::scan::exhausted;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use mangru_store::{MemoryBudget, MemoryPermit};
use parking_lot::Mutex;
use std::fmt;

/// A pool that is fair among operators that can spill, within a budget that others take from, too.
#[derive(Debug)]
pub(super) struct Pool {
    fair: FairSpillPool,
    budget: MemoryBudget,
    held: Mutex<MemoryPermit>,
}

impl Pool {
    /// A pool that takes from this budget.
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        Self {
            fair: FairSpillPool::new(budget.max_bytes()),
            budget: budget.clone(),
            held: Mutex::new(budget.reserve_anyway(0)),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query({} of {} bytes)", self.budget.used_bytes(), self.budget.max_bytes())
    }
}

impl MemoryPool for Pool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        self.held.lock().grow_anyway(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        self.held.lock().shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        self.fair.try_grow(reservation, additional)?;
        if self.held.lock().try_grow(additional) {
            return Ok(());
        }
        self.fair.shrink(reservation, additional);
        Err(DataFusionError::ResourcesExhausted(exhausted(&self.budget).message))
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.budget.max_bytes())
    }
}
