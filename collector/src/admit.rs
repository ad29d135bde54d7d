//! Whether a request may come in: memory for it, and room among those in flight.

use mangru_store::{MemoryBudget, MemoryPermit};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What decoding takes beside the message itself, as a multiple of its bytes.
const DECODED_FACTOR: usize = 2;

/// The door: bounds requests and bytes in flight.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    memory: MemoryBudget,
    requests: Arc<Semaphore>,
    in_flight: MemoryBudget,
}

/// A request that was let in; its room is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _memory: MemoryPermit,
    _in_flight: MemoryPermit,
    _request: OwnedSemaphorePermit,
}

impl Door {
    pub(crate) fn new(memory: MemoryBudget, max_requests: usize, max_in_flight_bytes: usize) -> Self {
        Self {
            memory,
            requests: Arc::new(Semaphore::new(max_requests)),
            in_flight: MemoryBudget::new(max_in_flight_bytes),
        }
    }

    /// Lets a request of this many bytes in; `None` when it should be tried again later.
    pub(crate) fn admit(&self, bytes: usize) -> Option<Admitted> {
        Some(Admitted {
            _request: Arc::clone(&self.requests).try_acquire_owned().ok()?,
            _in_flight: self.in_flight.try_reserve(bytes)?,
            _memory: self.memory.try_reserve(bytes.saturating_mul(DECODED_FACTOR))?,
        })
    }
}
