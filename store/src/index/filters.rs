//! Filters for values that hardly any two rows share: ids, numbers, addresses.
//!
//! A posting list and a dictionary entry for such a value cost more than the value itself. Instead, the rows of a part
//! are cut into blocks, and each block has a binary fuse filter (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller
//! Than Xor Filters", 2022) of the hashes of such values in its rows: about ten bits for a value, and one block in 256
//! is looked at in vain. The rows of a block are then read and looked at.
//!
//! Long words and values that are no measurements have a second filter in each block, of other hashes, and both are asked for them: so a search for one
//! of them hardly ever looks at a block in vain, however many there are. The second ones are smaller and asked first: all of them are looked into, and the
//! first ones hardly ever. A value's hash does not know which attribute
//! or column has it: one question asks for an id under any key.
//!
//! The files `filters` and `second_filters`: for each block, in the order of rows, the number of its rows and of its filter's bytes
//! (both 32 bits, little endian), then the filter (descriptor and fingerprints as `xorf` writes them). No bytes: no such
//! value; [`ANYTHING`]: any value may be in the block.

use crate::objects::Blob;
use roaring::RoaringBitmap;
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter as _, FilterRef as _};
use xxhash_rust::xxh3::Xxh3Default;

/// Rows of a block, but for the last of what was sealed together.
const BLOCK_ROWS: u32 = 4096;
/// Instead of a length: the block has no filter and may hold any value.
const ANYTHING: u32 = u32::MAX;
const HEADER_BYTES: u64 = 8;

/// The hash of a word.
pub(crate) fn word_hash(word: &str) -> u64 {
    hash(b'w', word.as_bytes())
}

/// The hash of the value of an attribute or a column.
pub(crate) fn value_hash(value: &str) -> u64 {
    hash(b'v', value.as_bytes())
}

fn hash(kind: u8, value: &[u8]) -> u64 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[kind]);
    hasher.update(value);
    hasher.digest()
}

/// Whether a value is in the second filters too: all but measurements, which hardly ever are looked for. A whole number of six digits may
/// be an id.
pub(crate) fn is_sure(value: &str) -> bool {
    let may_be_id = value.len() >= 6 && value.bytes().all(|byte| byte.is_ascii_digit());
    may_be_id || value.parse::<f64>().is_err()
}

/// The key of a hash in the second filters: each of them errs in other places than the first of its block.
const fn again(hash: u64) -> u64 {
    (hash ^ 0x6A09_E667_F3BC_C909).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

/// Takes the hashes of rows in order and makes the files.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    hashes: Vec<u64>,
    sure: Vec<u64>,
    rows: u32,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl FilterBuilder {
    /// A value of the row that is being built.
    #[inline]
    pub(crate) fn add(&mut self, hash: u64) {
        self.hashes.push(hash);
    }

    /// A value of the row that is being built that goes into the second filters, too.
    #[inline]
    pub(crate) fn add_sure(&mut self, hash: u64) {
        self.hashes.push(hash);
        self.sure.push(again(hash));
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
        write_block(self.rows, &mut self.hashes, &mut self.first);
        write_block(self.rows, &mut self.sure, &mut self.second);
        self.rows = 0;
    }

    /// The contents of the files.
    pub(crate) fn finish(mut self) -> [Vec<u8>; FILES] {
        if self.rows > 0 {
            self.end_block();
        }
        [self.first, self.second]
    }
}

fn write_block(rows: u32, hashes: &mut Vec<u64>, out: &mut Vec<u8>) {
    hashes.sort_unstable();
    hashes.dedup();
    out.extend_from_slice(&rows.to_le_bytes());
    if hashes.is_empty() {
        out.extend_from_slice(&0_u32.to_le_bytes());
    } else if let Ok(filter) = BinaryFuse8::try_from(&*hashes) {
        let fingerprints = filter.dma_fingerprints();
        let length = BinaryFuse8::DESCRIPTOR_LEN + fingerprints.len();
        out.extend_from_slice(&(length as u32).to_le_bytes());
        let start = out.len();
        out.resize(start + BinaryFuse8::DESCRIPTOR_LEN, 0);
        filter.dma_copy_descriptor_to(&mut out[start..]);
        out.extend_from_slice(fingerprints);
    } else {
        out.extend_from_slice(&ANYTHING.to_le_bytes());
    }
    hashes.clear();
}

/// How many files the filters of a part are.
pub(crate) const FILES: usize = 2;

/// The filters of a part.
#[derive(Debug)]
pub(crate) struct Filters {
    /// The file of the first filters, and where its blocks stand once they were asked for: to find out, all of it is gone through.
    first_bytes: Blob,
    first: OnceLock<Blocks>,
    second: Blocks,
}

/// One file of filters.
#[derive(Debug)]
struct Blocks {
    bytes: Blob,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    rows: Range<u32>,
    /// Where the filter stands; `None` when any value may be in the block.
    filter: Option<Range<u64>>,
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "filters are damaged")
}

impl Blocks {
    fn open(bytes: Blob) -> io::Result<Self> {
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

    /// Whether the value of this hash may be in a block.
    fn may_hold(&self, block: usize, hash: u64) -> io::Result<bool> {
        Ok(match &self.blocks[block].filter {
            None => true,
            Some(filter) if filter.is_empty() => false,
            Some(filter) => {
                let filter = self.bytes.read(filter.clone())?;
                let (descriptor, fingerprints) = filter.split_at(BinaryFuse8::DESCRIPTOR_LEN);
                BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&hash)
            }
        })
    }

    fn write_kept(&self, removed: Option<&RoaringBitmap>, out: &mut dyn io::Write) -> io::Result<()> {
        for block in &self.blocks {
            let Some(rows) = kept_rows(block, removed) else { continue };
            out.write_all(&rows.to_le_bytes())?;
            let length = block.filter.as_ref().map_or(ANYTHING, |filter| (filter.end - filter.start) as u32);
            out.write_all(&length.to_le_bytes())?;
            if let Some(filter) = &block.filter {
                out.write_all(&self.bytes.read(filter.clone())?)?;
            }
        }
        Ok(())
    }
}

/// How many rows of a block are kept; `None` when none is.
fn kept_rows(block: &Block, removed: Option<&RoaringBitmap>) -> Option<u32> {
    let gone = removed.map_or(0, |removed| removed.range_cardinality(block.rows.clone()) as u32);
    Some(block.rows.end - block.rows.start - gone).filter(|rows| *rows > 0)
}

impl Filters {
    /// Looks where the blocks stand. The filters themselves are read when they are asked.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for damaged files.
    pub(crate) fn open(first: Blob, second: Blob) -> io::Result<Self> {
        Ok(Self { first_bytes: first, first: OnceLock::new(), second: Blocks::open(second)? })
    }

    fn first(&self) -> io::Result<&Blocks> {
        if let Some(first) = self.first.get() {
            return Ok(first);
        }
        let first = Blocks::open(self.first_bytes.clone())?;
        if !self.second.blocks.iter().map(|block| &block.rows).eq(first.blocks.iter().map(|block| &block.rows)) {
            return Err(damaged());
        }
        Ok(self.first.get_or_init(|| first))
    }

    /// The rows of all blocks that may hold the value of this hash, block by block.
    pub(crate) fn rows_that_may_hold(&self, hash: u64) -> io::Result<Vec<Range<u32>>> {
        let first = self.first()?;
        let mut found = Vec::new();
        for (number, block) in first.blocks.iter().enumerate() {
            if first.may_hold(number, hash)? {
                found.push(block.rows.clone());
            }
        }
        Ok(found)
    }

    /// The same for a value of the second filters, of which one block in 65,536 is given in vain.
    pub(crate) fn rows_that_hardly_err(&self, hash: u64) -> io::Result<Vec<Range<u32>>> {
        let mut found = Vec::new();
        for (number, block) in self.second.blocks.iter().enumerate() {
            if self.second.may_hold(number, again(hash))? && self.first()?.may_hold(number, hash)? {
                found.push(block.rows.clone());
            }
        }
        Ok(found)
    }

    /// Writes one of the files of the rows that are kept: blocks stay blocks and keep their filters.
    pub(crate) fn write_kept(
        &self,
        file: usize,
        removed: Option<&RoaringBitmap>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let blocks = if file == 0 { self.first()? } else { &self.second };
        blocks.write_kept(removed, out)
    }

    /// How many rows the blocks have in all.
    pub(crate) fn rows(&self) -> u32 {
        self.second.blocks.last().map_or(0, |block| block.rows.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(files: [Vec<u8>; FILES]) -> io::Result<Filters> {
        let [first, second] = files.map(|file| Blob::memory(file.into()));
        Filters::open(first, second)
    }

    fn filters(rows: u32) -> Filters {
        let mut builder = FilterBuilder::default();
        for row in 0..rows {
            if !(BLOCK_ROWS..2 * BLOCK_ROWS).contains(&row) {
                builder.add_sure(word_hash(&format!("id{row}")));
                builder.add(word_hash("common"));
            }
            builder.end_row();
        }
        open(builder.finish()).expect("the files are sound")
    }

    #[test]
    fn every_value_is_found_in_its_block_and_hardly_any_other() {
        let filters = filters(5 * BLOCK_ROWS + 10);
        assert_eq!(filters.rows(), 5 * BLOCK_ROWS + 10);
        let mut blocks = 0;
        for row in (0..BLOCK_ROWS).step_by(7).chain([3 * BLOCK_ROWS, 5 * BLOCK_ROWS + 9]) {
            let found = filters.rows_that_may_hold(word_hash(&format!("id{row}"))).expect("in memory");
            assert!(found.iter().any(|rows| rows.contains(&row)));
            let word = filters.rows_that_hardly_err(word_hash(&format!("id{row}"))).expect("in memory");
            assert!(word.iter().any(|rows| rows.contains(&row)) && word.len() <= found.len());
            blocks += found.len();
        }
        assert!(blocks < 620, "{blocks} blocks for 588 values");
        let in_vain = (0..200_000).map(|row| word_hash(&format!("no{row}")));
        let in_vain: usize = in_vain.map(|hash| filters.rows_that_hardly_err(hash).expect("in memory").len()).sum();
        assert!(in_vain < 60, "{in_vain} of a million blocks are looked at in vain for words that are nowhere");
        let common = filters.rows_that_may_hold(word_hash("common")).expect("in memory");
        assert_eq!(common.iter().map(Range::len).sum::<usize>(), 4 * BLOCK_ROWS as usize + 10);
        assert!(common.iter().all(|rows| rows.start != BLOCK_ROWS), "a block without values holds nothing");
    }

    #[test]
    fn removed_rows_shorten_blocks_and_leave_their_values() {
        let filters = filters(BLOCK_ROWS + 4000);
        let removed: RoaringBitmap = (0..10).chain(BLOCK_ROWS..BLOCK_ROWS + 4000).collect();
        let kept = [0, 1].map(|file| {
            let mut kept = Vec::new();
            filters.write_kept(file, Some(&removed), &mut kept).expect("in memory");
            kept
        });
        let kept = open(kept).expect("the files are sound");
        assert_eq!(kept.rows(), BLOCK_ROWS - 10);
        let found = kept.rows_that_hardly_err(word_hash("id4000")).expect("in memory");
        assert!(found.len() == 1 && found[0] == (0..BLOCK_ROWS - 10));
    }

    #[test]
    fn a_damaged_file_is_not_read() {
        let Filters { first_bytes: first, second, .. } = filters(100);
        for end in [1, 7, 9, first.length() - 1] {
            let cut = first.slice(0, end).expect("inside");
            let filters = Filters::open(cut, second.bytes.clone()).expect("the second ones are sound");
            assert!(filters.rows_that_may_hold(1).is_err(), "cut at {end}");
        }
        for end in [1, 7, 9, second.bytes.length() - 1] {
            let cut = second.bytes.slice(0, end).expect("inside");
            assert!(Filters::open(first.clone(), cut).is_err(), "cut at {end}");
        }
    }
}
