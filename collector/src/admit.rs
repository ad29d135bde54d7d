//! Whether a request may come in: memory for it, and room among those in flight.

use mangru_store::{MemoryBudget, MemoryPermit};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What decoding takes beside the message itself, as a multiple of its bytes.
const DECODED_FACTOR: usize = 2;

/// The door: bounds requests and bytes in flight, from the first byte of a request until it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    memory: MemoryBudget,
    requests: Arc<Semaphore>,
    in_flight: MemoryBudget,
    /// Requests that are decoded at the same time: more than there are processors take memory and give nothing.
    decoders: Arc<Semaphore>,
}

/// The room of a request that was let in; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    since: Instant,
    in_flight: MemoryPermit,
    memory: MemoryBudget,
    decoders: Arc<Semaphore>,
    _request: OwnedSemaphorePermit,
}

/// A turn to decode, with its memory.
#[derive(Debug)]
pub(crate) struct Decoding {
    _memory: MemoryPermit,
    _turn: OwnedSemaphorePermit,
}

impl Door {
    pub(crate) fn new(memory: MemoryBudget, max_requests: usize, max_in_flight_bytes: usize) -> Self {
        Self {
            memory,
            requests: Arc::new(Semaphore::new(max_requests)),
            in_flight: MemoryBudget::new(max_in_flight_bytes),
            decoders: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from))),
        }
    }

    /// Lets a request in; `None` when it should be tried again later.
    pub(crate) fn enter(&self) -> Option<Room> {
        Some(Room {
            since: Instant::now(),
            _request: Arc::clone(&self.requests).try_acquire_owned().ok()?,
            in_flight: self.in_flight.try_reserve(0)?,
            memory: self.memory.clone(),
            decoders: Arc::clone(&self.decoders),
        })
    }
}

impl Room {
    /// Has room for this many bytes of the message, or `false` when there are too many in flight.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        self.in_flight.try_grow(bytes.saturating_sub(self.in_flight.bytes()))
    }

    /// Waits for a turn to decode a message of this many bytes, and takes memory for it; `None` when there is none.
    pub(crate) async fn decoding(&self, bytes: usize) -> Option<Decoding> {
        let turn = Arc::clone(&self.decoders).acquire_owned().await.ok()?;
        let memory = self.memory.try_reserve(bytes.saturating_mul(DECODED_FACTOR))?;
        Some(Decoding { _memory: memory, _turn: turn })
    }

    /// When the time is over that a request has from its beginning on.
    pub(crate) fn until(&self, within: Duration) -> Instant {
        self.since + within
    }
}
