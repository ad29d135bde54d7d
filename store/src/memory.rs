//! One budget for all that takes memory by what comes in or is asked: requests, hot rows, sealing, merging, queries.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound on bytes, shared by all who reserve from it. A share of another budget takes its bytes from that one, too.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_bytes: usize,
    used_bytes: AtomicUsize,
    parent: Option<Arc<Self>>,
    beyond: Option<Beyond>,
}

/// A bound for what shares take beyond the first bytes of each.
#[derive(Debug)]
struct Beyond {
    first_bytes: usize,
    /// What of this share was taken from the bound.
    taken: Mutex<usize>,
    bound: Arc<Shared>,
}

impl Beyond {
    /// Takes or gives back what a share of so many bytes has beyond its first ones; `false` when that is not free.
    fn follow(&self, used: &AtomicUsize) -> bool {
        let mut taken = self.taken.lock();
        let wanted = used.load(Ordering::Relaxed).saturating_sub(self.first_bytes);
        if wanted > *taken && !self.bound.try_take(wanted - *taken) {
            return false;
        }
        self.set(&mut taken, wanted);
        true
    }

    fn follow_anyway(&self, used: &AtomicUsize) {
        let mut taken = self.taken.lock();
        let wanted = used.load(Ordering::Relaxed).saturating_sub(self.first_bytes);
        if wanted > *taken {
            self.bound.take(wanted - *taken);
        }
        self.set(&mut taken, wanted);
    }

    fn set(&self, taken: &mut usize, wanted: usize) {
        if wanted < *taken {
            self.bound.give_back(*taken - wanted);
        }
        *taken = wanted;
    }
}

impl Shared {
    fn try_take(&self, bytes: usize) -> bool {
        let taken = self.used_bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.max_bytes)
        });
        if taken.is_err() {
            return false;
        }
        if !self.parent.as_ref().is_none_or(|parent| parent.try_take(bytes)) {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let is_taken = self.beyond.as_ref().is_none_or(|beyond| beyond.follow(&self.used_bytes));
        if !is_taken {
            self.give_back(bytes);
        }
        is_taken
    }

    fn take(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.take(bytes);
        }
        if let Some(beyond) = &self.beyond {
            beyond.follow_anyway(&self.used_bytes);
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.give_back(bytes);
        }
        if let Some(beyond) = &self.beyond {
            beyond.follow_anyway(&self.used_bytes);
        }
    }
}

impl MemoryBudget {
    /// A budget of this many bytes, all free.
    pub fn new(max_bytes: usize) -> Self {
        Self::of(max_bytes, None, None)
    }

    fn of(max_bytes: usize, parent: Option<Arc<Shared>>, beyond: Option<Beyond>) -> Self {
        Self { shared: Arc::new(Shared { max_bytes, used_bytes: AtomicUsize::new(0), parent, beyond }) }
    }

    /// A share of this budget, with a bound of its own.
    pub fn share(&self, max_bytes: usize) -> Self {
        Self::of(max_bytes, Some(Arc::clone(&self.shared)), None)
    }

    /// A share whose bytes beyond its first ones are bound by another budget as well, which several such shares have in common:
    /// what that one has less than this is left for the first bytes of each.
    pub fn share_with_first(&self, max_bytes: usize, first_bytes: usize, others: &Self) -> Self {
        let beyond = Beyond { first_bytes, taken: Mutex::new(0), bound: Arc::clone(&others.shared) };
        Self::of(max_bytes, Some(Arc::clone(&self.shared)), Some(beyond))
    }

    /// Takes bytes until the permit is dropped; `None` when they are not free.
    pub fn try_reserve(&self, bytes: usize) -> Option<MemoryPermit> {
        self.shared.try_take(bytes).then(|| MemoryPermit { shared: Arc::clone(&self.shared), bytes })
    }

    /// Takes bytes even beyond the bound: for what is already durable and must be held.
    pub fn reserve_anyway(&self, bytes: usize) -> MemoryPermit {
        self.shared.take(bytes);
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
        let is_taken = self.shared.try_take(bytes);
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    /// Takes more, even beyond the bound.
    pub fn grow_anyway(&mut self, bytes: usize) {
        self.shared.take(bytes);
        self.bytes += bytes;
    }

    /// Gives some back, at most what it holds.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.shared.give_back(bytes);
        self.bytes -= bytes;
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.shared.give_back(self.bytes);
    }
}

/// The budget of a whole process and its shares, none of which can take what another was promised.
#[derive(Clone, Debug)]
pub struct Memory {
    /// All of it.
    pub all: MemoryBudget,
    /// Requests that are being decoded, and hot rows.
    pub ingest: MemoryBudget,
    /// Sealing and merging.
    pub upkeep: MemoryBudget,
    /// Queries: what the others leave.
    pub queries: MemoryBudget,
}

/// What writing a part takes besides its rows: pages of all columns, dictionaries, tables of the index.
const PART_BYTES: usize = 16 << 20;
/// Sealing takes the rows in another order, the file, and the index, each of about their size.
const SEAL_FACTOR: usize = 3;

impl Memory {
    /// The budget, with a share for requests and hot rows of which so many bytes at a time are sealed.
    pub(crate) fn new(max_bytes: usize, ingest_bytes: usize, seal_bytes: usize) -> Self {
        let all = MemoryBudget::new(max_bytes);
        let upkeep_bytes = Self::seal_needs(seal_bytes) + Self::merge_needs();
        let rest = max_bytes.saturating_sub(ingest_bytes).saturating_sub(upkeep_bytes);
        Self { ingest: all.share(ingest_bytes), upkeep: all.share(upkeep_bytes), queries: all.share(rest), all }
    }

    /// What sealing so many bytes of rows takes, about.
    pub(crate) const fn seal_needs(bytes: usize) -> usize {
        PART_BYTES + SEAL_FACTOR * bytes
    }

    /// What merging takes, about: row groups are copied in pieces.
    pub(crate) const fn merge_needs() -> usize {
        PART_BYTES
    }

    /// The least that a budget must have for requests and hot rows of this many bytes, of which so many are sealed.
    pub const fn least(ingest_bytes: usize, seal_bytes: usize) -> usize {
        ingest_bytes + Self::seal_needs(seal_bytes) + Self::merge_needs() + PART_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_from_the_whole_and_neither_is_exceeded() {
        let all = MemoryBudget::new(100);
        let (one, other) = (all.share(80), all.share(60));
        let mut held = one.try_reserve(70).expect("free");
        assert!(one.try_reserve(20).is_none(), "the share's own bound");
        assert!(other.try_reserve(40).is_none(), "the bound of the whole");
        assert_eq!((one.used_bytes(), other.used_bytes(), all.used_bytes()), (70, 0, 70));
        let rest = other.try_reserve(30).expect("free");
        assert!(!held.try_grow(5));
        held.grow_anyway(5);
        assert_eq!(all.used_bytes(), 105);
        drop(rest);
        assert!(held.try_grow(5));
        held.shrink(1000);
        assert_eq!((one.used_bytes(), all.used_bytes()), (0, 0));
    }

    #[test]
    fn first_bytes_are_free_while_others_have_taken_all_that_is_beyond() {
        let all = MemoryBudget::new(100);
        let beyond = MemoryBudget::new(80);
        let shares: Vec<MemoryBudget> = (0..3).map(|_| all.share_with_first(100, 10, &beyond)).collect();
        let mut large = shares[0].try_reserve(5).expect("the first bytes");
        assert!(large.try_grow(80), "75 of them beyond");
        assert!(!large.try_grow(6), "81 beyond");
        assert_eq!((shares[0].used_bytes(), beyond.used_bytes(), all.used_bytes()), (85, 75, 85));
        let mut small = shares[1].try_reserve(10).expect("kept for its first bytes");
        assert!(!small.try_grow(6), "neither the bound nor the whole has so many");
        assert!(small.try_grow(5));
        assert_eq!((beyond.used_bytes(), all.used_bytes()), (80, 100));
        assert!(shares[2].try_reserve(1).is_none(), "the bound of the whole");
        large.shrink(80);
        assert_eq!((beyond.used_bytes(), all.used_bytes()), (5, 20));
        small.grow_anyway(200);
        assert_eq!(beyond.used_bytes(), 205);
        drop((large, small));
        assert_eq!((beyond.used_bytes(), all.used_bytes()), (0, 0));
    }
}
