//! Filters for values that hardly any two rows share: ids, numbers, addresses.
//!
//! A posting list and a dictionary entry for such a value cost more than the value itself. Instead, the rows of a part
//! are cut into blocks, and each block has a binary fuse filter (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller
//! Than Xor Filters", 2022) of the hashes of such values in its rows: about ten bits for a value, and one block in 256
//! is looked at in vain. The rows of a block are then read and looked at.
//!
//! The file `filters`: for each block, in the order of rows, the number of its rows and of its filter's bytes (both
//! 32 bits, little endian), then the filter (descriptor and fingerprints as `xorf` writes them). No bytes: no such
//! value; [`ANYTHING`]: any value may be in the block.

use crate::objects::Blob;
use roaring::RoaringBitmap;
use std::io;
use std::ops::Range;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter as _, FilterRef as _};
use xxhash_rust::xxh3::Xxh3Default;

/// Rows of a block, but for the last of what was sealed together.
const BLOCK_ROWS: u32 = 4096;
/// Instead of a length: the block has no filter and may hold any value.
const ANYTHING: u32 = u32::MAX;
const HEADER_BYTES: u64 = 8;

/// The hash of a word.
pub(crate) fn word_hash(word: &str) -> u64 {
    hash(b'w', word.as_bytes(), b"")
}

/// The hash of an attribute's value.
pub(crate) fn attribute_hash(key: &[u8], value: &str) -> u64 {
    hash(b'a', key, value.as_bytes())
}

/// The hash of a value of the column of this number.
pub(crate) fn column_hash(number: u8, value: &str) -> u64 {
    hash(b'c', &[number], value.as_bytes())
}

fn hash(kind: u8, name: &[u8], value: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[kind]);
    hasher.update(name);
    hasher.update(&[0]);
    hasher.update(value);
    hasher.digest()
}

/// Takes the hashes of rows in order and makes the file.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    hashes: Vec<u64>,
    rows: u32,
    bytes: Vec<u8>,
}

impl FilterBuilder {
    /// A value of the row that is being built.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// The row is done.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
        if self.rows == BLOCK_ROWS {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.bytes.extend_from_slice(&self.rows.to_le_bytes());
        if self.hashes.is_empty() {
            self.bytes.extend_from_slice(&0_u32.to_le_bytes());
        } else if let Ok(filter) = BinaryFuse8::try_from(&self.hashes) {
            let fingerprints = filter.dma_fingerprints();
            let length = BinaryFuse8::DESCRIPTOR_LEN + fingerprints.len();
            self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
            let start = self.bytes.len();
            self.bytes.resize(start + BinaryFuse8::DESCRIPTOR_LEN, 0);
            filter.dma_copy_descriptor_to(&mut self.bytes[start..]);
            self.bytes.extend_from_slice(fingerprints);
        } else {
            self.bytes.extend_from_slice(&ANYTHING.to_le_bytes());
        }
        self.hashes.clear();
        self.rows = 0;
    }

    /// The file's content.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.rows > 0 {
            self.end_block();
        }
        self.bytes
    }
}

/// The filters of a part.
#[derive(Debug)]
pub(crate) struct Filters {
    bytes: Blob,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    rows: Range<u32>,
    /// Where the filter stands; `None` when any value may be in the block.
    filter: Option<Range<u64>>,
}

impl Filters {
    /// Looks where the blocks stand. The filters themselves are read when they are asked.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for a damaged file.
    pub(crate) fn open(bytes: Blob) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "filters are damaged");
        let mut blocks = Vec::new();
        let (mut at, mut row) = (0_u64, 0_u32);
        while at < bytes.length() {
            let header = bytes.read(at..at + HEADER_BYTES).map_err(|_| damaged())?;
            let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let (rows, length) = (number(0), number(4));
            at += HEADER_BYTES;
            let length_bytes = if length == ANYTHING { 0 } else { u64::from(length) };
            let end = at + length_bytes;
            if end > bytes.length() || (length_bytes > 0 && length_bytes <= BinaryFuse8::DESCRIPTOR_LEN as u64) {
                return Err(damaged());
            }
            let rows = row..row.checked_add(rows).ok_or_else(damaged)?;
            row = rows.end;
            blocks.push(Block { rows, filter: (length != ANYTHING).then_some(at..end) });
            at = end;
        }
        Ok(Self { bytes, blocks })
    }

    /// The rows of all blocks that may hold the value of this hash, block by block.
    pub(crate) fn rows_that_may_hold(&self, hash: u64) -> io::Result<Vec<Range<u32>>> {
        let mut found = Vec::new();
        for block in &self.blocks {
            let may_hold = match &block.filter {
                None => true,
                Some(filter) if filter.is_empty() => false,
                Some(filter) => {
                    let filter = self.bytes.read(filter.clone())?;
                    let (descriptor, fingerprints) = filter.split_at(BinaryFuse8::DESCRIPTOR_LEN);
                    BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&hash)
                }
            };
            if may_hold {
                found.push(block.rows.clone());
            }
        }
        Ok(found)
    }

    /// Writes the file of the rows that are kept: blocks stay blocks and keep their filters.
    pub(crate) fn write_kept(&self, removed: Option<&RoaringBitmap>, out: &mut dyn io::Write) -> io::Result<()> {
        for block in &self.blocks {
            let gone = removed.map_or(0, |removed| removed.range_cardinality(block.rows.clone()) as u32);
            let rows = block.rows.end - block.rows.start - gone;
            if rows == 0 {
                continue;
            }
            out.write_all(&rows.to_le_bytes())?;
            let length = block.filter.as_ref().map_or(ANYTHING, |filter| (filter.end - filter.start) as u32);
            out.write_all(&length.to_le_bytes())?;
            if let Some(filter) = &block.filter {
                out.write_all(&self.bytes.read(filter.clone())?)?;
            }
        }
        Ok(())
    }

    /// How many rows the blocks have in all.
    pub(crate) fn rows(&self) -> u32 {
        self.blocks.last().map_or(0, |block| block.rows.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(rows: u32) -> Filters {
        let mut builder = FilterBuilder::default();
        for row in 0..rows {
            if !(BLOCK_ROWS..2 * BLOCK_ROWS).contains(&row) {
                builder.add(word_hash(&format!("id{row}")));
                builder.add(word_hash("common"));
            }
            builder.end_row();
        }
        Filters::open(Blob::memory(builder.finish().into())).expect("the file is sound")
    }

    #[test]
    fn every_value_is_found_in_its_block_and_hardly_any_other() {
        let filters = filters(5 * BLOCK_ROWS + 10);
        assert_eq!(filters.rows(), 5 * BLOCK_ROWS + 10);
        let mut blocks = 0;
        for row in (0..BLOCK_ROWS).step_by(7).chain([3 * BLOCK_ROWS, 5 * BLOCK_ROWS + 9]) {
            let found = filters.rows_that_may_hold(word_hash(&format!("id{row}"))).expect("in memory");
            assert!(found.iter().any(|rows| rows.contains(&row)));
            blocks += found.len();
        }
        assert!(blocks < 620, "{blocks} blocks for 588 values");
        let common = filters.rows_that_may_hold(word_hash("common")).expect("in memory");
        assert_eq!(common.iter().map(Range::len).sum::<usize>(), 4 * BLOCK_ROWS as usize + 10);
        assert!(common.iter().all(|rows| rows.start != BLOCK_ROWS), "a block without values holds nothing");
    }

    #[test]
    fn removed_rows_shorten_blocks_and_leave_their_values() {
        let filters = filters(BLOCK_ROWS + 4000);
        let removed: RoaringBitmap = (0..10).chain(BLOCK_ROWS..BLOCK_ROWS + 4000).collect();
        let mut kept = Vec::new();
        filters.write_kept(Some(&removed), &mut kept).expect("in memory");
        let kept = Filters::open(Blob::memory(kept.into())).expect("the file is sound");
        assert_eq!(kept.rows(), BLOCK_ROWS - 10);
        let found = kept.rows_that_may_hold(word_hash("id4000")).expect("in memory");
        assert!(found.len() == 1 && found[0] == (0..BLOCK_ROWS - 10));
    }

    #[test]
    fn a_damaged_file_is_not_read() {
        let bytes = filters(100).bytes;
        for end in [1, 7, 9, bytes.length() - 1] {
            assert!(Filters::open(bytes.slice(0, end).expect("inside")).is_err(), "cut at {end}");
        }
    }
}
