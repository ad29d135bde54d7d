//! The memory that encoding a batch needs, kept for the next batch.
//!
//! Taken anew for each, it was a quarter of all memory that the way in touched, and pages that are touched the first time cost more than what is written to them.

use parking_lot::Mutex;
use zstd::bulk::Compressor;

/// Pieces that are kept: batches are encoded as many at a time as there are processors.
const KEPT: usize = 4;
/// A larger piece is not kept.
const KEPT_BYTES: usize = 4 << 20;
const ZSTD_LEVEL: i32 = 1;

static POOL: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());

/// A batch's bytes before and after compression.
pub(super) struct Scratch {
    /// What is to be compressed; empty when it is taken.
    pub(super) raw: Vec<u8>,
    packed: Vec<u8>,
    compressor: Option<Compressor<'static>>,
}

impl Scratch {
    /// A kept piece, or a new one.
    pub(super) fn take() -> Self {
        POOL.lock().pop().unwrap_or_else(|| Self {
            raw: Vec::new(),
            packed: Vec::new(),
            compressor: Compressor::new(ZSTD_LEVEL).ok(),
        })
    }

    /// Keeps it for the next batch.
    pub(super) fn give_back(mut self) {
        self.raw.clear();
        if self.raw.capacity() + self.packed.capacity() > KEPT_BYTES {
            return;
        }
        let mut pool = POOL.lock();
        if pool.len() < KEPT {
            pool.push(self);
        }
    }

    /// The compressed bytes; `None` when they are not shorter.
    pub(super) fn packed(&mut self) -> Option<&[u8]> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        self.compressor.as_mut()?.compress_to_buffer(&self.raw, &mut self.packed).ok()?;
        (self.packed.len() < self.raw.len()).then_some(self.packed.as_slice())
    }
}
