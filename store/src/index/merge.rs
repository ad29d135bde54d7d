//! The indexes of several parts as the index of one: rows behind each other, removed rows left out.

use super::build::settings;
use super::embed::{self, Embedded, EmbeddedDirectory, Finished};
use super::keys;
use crate::StoreError;
use crate::objects::Blob;
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::path::Path;
use tantivy::directory::{MmapDirectory, OwnedBytes};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::{BitSet, Index, Segment};

/// The index of a part that goes into another.
pub(crate) struct IndexSource<'a> {
    /// The part's path, for errors.
    pub(crate) path: &'a str,
    /// The bytes of the index.
    pub(crate) bytes: Blob,
    pub(crate) embedded: &'a Embedded,
    /// The rows of the part.
    pub(crate) rows: u32,
    /// Rows that are left out.
    pub(crate) removed: Option<&'a RoaringBitmap>,
}

/// Writes the merged index out; it will stand at `offset` in the part file. `scratch` is an empty folder for its files
/// while they grow.
///
/// Posting lists and dictionaries are merged as they are: no row is read and no text is cut into words again.
pub(crate) fn merge(
    sources: &[IndexSource<'_>],
    scratch: &Path,
    offset: u64,
    out: &mut dyn std::io::Write,
) -> Result<Embedded, StoreError> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut alive = Vec::new();
    let mut resources: BTreeSet<String> = BTreeSet::new();
    let mut filters = Vec::new();
    for source in sources {
        let corrupt = |reason: &str| StoreError::Corrupt { path: source.path.to_owned(), reason: reason.to_owned() };
        let directory = EmbeddedDirectory::new(&source.bytes, source.embedded).map_err(corrupt)?;
        resources.extend(directory.resources().map_err(|reason| corrupt(&reason))?);
        let theirs = directory.filters().map_err(|reason| corrupt(&reason))?;
        if theirs.rows() != source.rows {
            return Err(corrupt("index has filters of other rows"));
        }
        filters.push((theirs, source.removed));
        let mut found = Index::open(directory)?.searchable_segments()?;
        let segment = found.pop().filter(|segment| found.is_empty() && segment.meta().max_doc() == source.rows);
        segments.push(segment.ok_or_else(|| corrupt("index has not one document for each row"))?);
        alive.push(
            source
                .removed
                .map(|removed| alive_rows(source.rows, removed))
                .transpose()
                .map_err(|error| corrupt(&error.to_string()))?,
        );
    }
    let directory = MmapDirectory::open(scratch).map_err(tantivy::TantivyError::from)?;
    let index = tantivy::indexer::merge_filtered_segments(&segments, settings(), alive, directory)?;
    let resources: Vec<String> = resources.into_iter().collect();
    let kept = |file: usize, out: &mut dyn std::io::Write| {
        filters.iter().try_for_each(|(filters, removed)| filters.write_kept(file, *removed, out))
    };
    let keys = keys::count(&index)?;
    let ours = embed::Ours { resources: &resources, keys: &keys, filters: &kept };
    embed::write(&index, &Finished::Folder(scratch), &ours, offset, out)
}

fn alive_rows(rows: u32, removed: &RoaringBitmap) -> std::io::Result<AliveBitSet> {
    let mut alive = BitSet::with_max_value_and_full(rows);
    for row in removed {
        alive.remove(row);
    }
    let mut bytes = Vec::new();
    write_alive_bitset(&alive, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}
