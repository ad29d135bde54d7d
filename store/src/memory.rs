//! One budget for what requests and hot batches hold in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on bytes, shared by all who reserve from it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_bytes: usize,
    used_bytes: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of this many bytes, all free.
    pub fn new(max_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { max_bytes, used_bytes: AtomicUsize::new(0) }) }
    }

    /// Takes bytes until the permit is dropped; `None` when they are not free.
    pub fn try_reserve(&self, bytes: usize) -> Option<MemoryPermit> {
        self.shared
            .used_bytes
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.shared.max_bytes)
            })
            .ok()
            .map(|_| MemoryPermit { shared: Arc::clone(&self.shared), bytes })
    }

    /// Takes bytes even beyond the bound: for what is already durable and must be held.
    pub fn reserve_anyway(&self, bytes: usize) -> MemoryPermit {
        self.shared.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        MemoryPermit { shared: Arc::clone(&self.shared), bytes }
    }

    /// Bytes taken now.
    pub fn used_bytes(&self) -> usize {
        self.shared.used_bytes.load(Ordering::Relaxed)
    }

    /// The bound.
    pub fn max_bytes(&self) -> usize {
        self.shared.max_bytes
    }
}

/// Bytes taken from a [`MemoryBudget`]; given back when dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl MemoryPermit {
    /// How many bytes it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more, or nothing and `false` when that many are not free.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let grown = self.shared.used_bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.shared.max_bytes)
        });
        if grown.is_ok() {
            self.bytes += bytes;
        }
        grown.is_ok()
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.shared.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
