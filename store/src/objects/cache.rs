//! Blocks of remote objects on the local disk, bounded in bytes: what was read once is not fetched again soon.
//!
//! A block is a file of its own: the bytes, then their CRC-32C (4 bytes, little endian). Nothing is made durable: a block
//! that a crash damaged has another checksum and is fetched anew. Blocks outlive a restart.

use crate::part::PartId;
use bytes::Bytes;
use moka::sync::Cache;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a block, but for an object's last.
pub(crate) const BLOCK_BYTES: u64 = 512 << 10;
const CHECKSUM_BYTES: usize = 4;
const SUFFIX: &str = ".block";

/// A block's name: the part, and the block's number in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BlockId {
    pub(super) part: PartId,
    pub(super) number: u64,
}

/// A block's file.
#[derive(Debug)]
struct Block {
    path: PathBuf,
    length: u32,
    /// Whether its checksum was looked at since the start.
    is_sound: AtomicBool,
}

/// The blocks there are.
#[derive(Debug)]
pub(crate) struct BlockCache {
    folder: PathBuf,
    blocks: Cache<BlockId, Arc<Block>>,
    max_bytes: u64,
    /// Makes file names that were never used, so that a block that goes does not take its successor with it.
    next_name: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl BlockCache {
    /// A cache of at most so many bytes in this folder, with the blocks that are there already.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let blocks = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_: &BlockId, block: &Arc<Block>| block.length)
            .eviction_listener(|_, block: Arc<Block>, _| {
                // A file that stays is found, and counted, at the next start.
                let _ = std::fs::remove_file(&block.path);
            })
            .support_invalidation_closures()
            .build();
        let mut next_name = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let length =
                entry.metadata()?.len().checked_sub(CHECKSUM_BYTES as u64).filter(|length| *length <= BLOCK_BYTES);
            match (entry.file_name().to_str().and_then(parse_name), length) {
                (Some((id, name)), Some(length)) => {
                    next_name = next_name.max(name + 1);
                    let block = Block { path: entry.path(), length: length as u32, is_sound: AtomicBool::new(false) };
                    blocks.insert(id, Arc::new(block));
                }
                _ => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            blocks,
            max_bytes,
            next_name: AtomicU64::new(next_name),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        })
    }

    /// Bytes of a block, within it; `None` when they must be fetched.
    pub(super) fn read(&self, id: BlockId, range: Range<usize>) -> Option<Bytes> {
        let found = self.blocks.get(&id).and_then(|block| match read_block(&block, range) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::debug!(%error, path = %block.path.display(), "a cached block is of no use");
                self.blocks.invalidate(&id);
                None
            }
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Whether a block is there, as far as is known without reading it.
    pub(super) fn contains(&self, id: BlockId) -> bool {
        self.blocks.contains_key(&id)
    }

    /// Keeps a block that was fetched. A disk that takes no more is no error: the block is fetched again then.
    pub(super) fn keep(&self, id: BlockId, bytes: &[u8]) {
        let name = self.next_name.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}-{}-{name}{SUFFIX}", id.part, id.number));
        let write = || {
            use io::Write as _;
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.write_all(&crc32c::crc32c(bytes).to_le_bytes())
        };
        match write() {
            Ok(()) => {
                let block = Block { path, length: bytes.len() as u32, is_sound: AtomicBool::new(true) };
                self.blocks.insert(id, Arc::new(block));
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot cache a block");
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// Lets go of all blocks of a part.
    pub(super) fn forget(&self, part: PartId) {
        // The closure is kept until housekeeping has applied it; the cache was built to support that.
        let _ = self.blocks.invalidate_entries_if(move |id, _| id.part == part);
    }

    /// Bytes held now.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.blocks.run_pending_tasks();
        self.blocks.weighted_size()
    }

    /// The bound.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Reads that a block answered, and reads that had to fetch, since the start.
    pub(crate) fn reads(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

fn parse_name(name: &str) -> Option<(BlockId, u64)> {
    let mut pieces = name.strip_suffix(SUFFIX)?.splitn(3, '-');
    let part = PartId(pieces.next()?.parse().ok()?);
    let number = pieces.next()?.parse().ok()?;
    Some((BlockId { part, number }, pieces.next()?.parse().ok()?))
}

fn read_block(block: &Block, range: Range<usize>) -> io::Result<Bytes> {
    let file = File::open(&block.path)?;
    let length = block.length as usize;
    let mut bytes;
    if block.is_sound.load(Ordering::Relaxed) {
        bytes = vec![0; range.len()];
        file.read_exact_at(&mut bytes, range.start as u64)?;
        return Ok(bytes.into());
    }
    bytes = vec![0; length + CHECKSUM_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    let (content, checksum) = bytes.split_at(length);
    if crc32c::crc32c(content).to_le_bytes() != checksum {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "block checksum differs"));
    }
    block.is_sound.store(true, Ordering::Relaxed);
    let outside = || io::Error::new(io::ErrorKind::UnexpectedEof, "block is shorter than asked for");
    content.get(range).map(Bytes::copy_from_slice).ok_or_else(outside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> BlockId {
        BlockId { part: PartId(ulid::Ulid::from_parts(1, 2)), number }
    }

    fn block(number: u64) -> Vec<u8> {
        (0..BLOCK_BYTES).map(|at| (at / 7 + number) as u8).collect()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect()
    }

    #[test]
    fn blocks_are_read_back_bounded_in_bytes_and_outlive_a_restart() {
        let folder = tempfile::tempdir().expect("folder");
        let cache = BlockCache::open(folder.path(), 4 * BLOCK_BYTES).expect("opens");
        for number in 0..10 {
            cache.keep(id(number), &block(number));
        }
        assert!(cache.held_bytes() <= 4 * BLOCK_BYTES);
        assert!(files(folder.path()).len() <= 4, "files of blocks that are gone are gone");
        drop(cache);
        let cache = BlockCache::open(folder.path(), 4 * BLOCK_BYTES).expect("opens again");
        let mut found = 0;
        for number in 0..10 {
            for _ in 0..2 {
                if let Some(bytes) = cache.read(id(number), 100..1000) {
                    assert_eq!(bytes, block(number)[100..1000]);
                    found += 1;
                }
            }
        }
        assert!(found >= 2, "some blocks outlived the restart");
        cache.forget(id(0).part);
        assert!((0..10).all(|number| cache.read(id(number), 0..1).is_none()));
    }

    #[test]
    fn a_damaged_block_is_fetched_again() {
        let folder = tempfile::tempdir().expect("folder");
        BlockCache::open(folder.path(), 4 * BLOCK_BYTES).expect("opens").keep(id(1), b"some bytes");
        let path = files(folder.path()).remove(0);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).expect("write");
        let cache = BlockCache::open(folder.path(), 4 * BLOCK_BYTES).expect("opens");
        assert!(cache.contains(id(1)));
        assert!(cache.read(id(1), 0..2).is_none());
        assert!(!cache.contains(id(1)));
    }
}
