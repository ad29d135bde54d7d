//! The keys of a part's attributes, so that nobody has to walk all terms to know them.

use super::columns;
use crate::StoreError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tantivy::index::InvertedIndexReader;
use tantivy::{Index, SegmentReader};

/// A key, with how many rows have it; a row that has it twice with different values counts twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRows {
    pub(crate) key: String,
    /// Rows whose value is a term.
    pub(crate) listed: u64,
    /// Rows whose value is in the filters.
    pub(crate) filtered: u64,
}

/// The keys of an index that was just made, in their order.
pub(crate) fn count(index: &Index) -> Result<Vec<KeyRows>, StoreError> {
    let (_, fields) = columns::schema();
    let mut keys: Vec<KeyRows> = Vec::new();
    let Some(segment) = index.searchable_segments()?.first().map(SegmentReader::open).transpose()? else {
        return Ok(keys);
    };
    walk(&segment.inverted_index(fields.attribute)?, b"", |term, rows| {
        let key = term.split(|byte| *byte == 0).next().unwrap_or_default();
        match keys.last_mut() {
            Some(last) if last.key.as_bytes() == key => last.listed += rows,
            _ => keys.push(KeyRows { key: text(key), listed: rows, filtered: 0 }),
        }
    })?;
    walk(&segment.inverted_index(fields.column)?, &[columns::ATTRIBUTE_MARK], |term, rows| {
        let key = text(&term[1..]);
        match keys.binary_search_by(|known| known.key.cmp(&key)) {
            Ok(place) => keys[place].filtered += rows,
            Err(place) => keys.insert(place, KeyRows { key, listed: 0, filtered: rows }),
        }
    })?;
    Ok(keys)
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// Calls `each` with every term from `start` on, and how many rows have it.
fn walk(reader: &Arc<InvertedIndexReader>, start: &[u8], mut each: impl FnMut(&[u8], u64)) -> Result<(), StoreError> {
    let read = |source| StoreError::Io { action: "read", path: "index being built".to_owned(), source };
    let mut stream = reader.terms().range().ge(start).into_stream().map_err(read)?;
    while stream.advance() {
        each(stream.key(), u64::from(stream.value().doc_freq));
    }
    Ok(())
}
