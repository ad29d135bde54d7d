//! The index of a part: from terms to row numbers.
//!
//! A document of the tantivy index is a row of the part; document numbers are row numbers. Nothing is stored in it and
//! no positions are kept: a phrase is verified on the rows that hold its words. All lookups block (they read mapped
//! bytes and decode posting lists), so callers run them on threads that may block.

mod build;
mod columns;
mod embed;
mod filters;
mod keys;
mod merge;

pub(crate) use build::IndexBuilder;
pub(crate) use embed::{Embedded, METADATA_KEY};
pub(crate) use merge::{IndexSource, merge};

use crate::objects::Blob;
use crate::{Signal, StoreError, TraceId, words};
use columns::{Fields, cut_value};
use embed::EmbeddedDirectory;
use filters::Filters;
use hashbrown::HashMap;
use keys::KeyRows;
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use std::ops::Range;
use std::sync::Arc;
use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet as _, Index, SegmentReader};

/// A posting list is read whole rather than sought in when it is at most so many times as long as the rows that are sought.
const SEEKS_FOR_A_LIST: u64 = 32;

/// Rows that may hold what was asked for.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// Row numbers within the part: all that match, and others besides unless `exact`.
    pub rows: RoaringBitmap,
    /// Whether every row matches for sure.
    pub exact: bool,
}

impl Candidates {
    /// The rows of both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { rows: self.rows | other.rows, exact: self.exact && other.exact }
    }

    const fn exactly(rows: RoaringBitmap) -> Self {
        Self { rows, exact: true }
    }
}

/// One row in so many that a posting list holds makes it a dense one.
const DENSE: u64 = 32;

/// Rows of a part that have the same resource, or the same value in a column, as the index lists them.
#[derive(Clone, Debug)]
pub struct ListedRows {
    field: Field,
    list: TermInfo,
    /// The first of them.
    pub first: u32,
    /// How many there are.
    pub rows: u32,
}

/// The opened index of one part.
pub struct PartIndex {
    signal: Signal,
    fields: Fields,
    segment: Option<SegmentReader>,
    resources: Vec<String>,
    keys: Vec<KeyRows>,
    filters: Filters,
    path: String,
    /// Rows of traces that were looked up, none for most: a list of traces asks each part for the same ones several times, and who looks at a trace does
    /// so again.
    traces: Mutex<HashMap<[u8; 4], RoaringBitmap>>,
}

/// Traces whose rows are remembered for a part; then all are forgotten.
const REMEMBERED_TRACES: usize = 512;
/// Of more traces that are looked up together none is remembered.
const FEW_TRACES: usize = 64;

impl PartIndex {
    /// Opens the index in these bytes.
    pub(crate) fn open(signal: Signal, path: &str, bytes: &Blob, embedded: &Embedded) -> Result<Self, StoreError> {
        let corrupt = |reason: String| StoreError::Corrupt { path: path.to_owned(), reason };
        if embedded.version != embed::VERSION {
            return Err(corrupt(format!("index version {} is not known", embedded.version)));
        }
        let directory = EmbeddedDirectory::new(bytes, embedded).map_err(|reason| corrupt(reason.to_owned()))?;
        let resources = directory.resources().map_err(corrupt)?;
        let keys = directory.keys().map_err(corrupt)?;
        let filters = directory.filters().map_err(corrupt)?;
        let index = Index::open(directory)?;
        let segment = index.searchable_segments()?.first().map(SegmentReader::open).transpose()?;
        let (_, fields) = columns::schema();
        let traces = Mutex::default();
        Ok(Self { signal, fields, segment, resources, keys, filters, path: path.to_owned(), traces })
    }

    fn read_error(&self) -> impl Fn(std::io::Error) -> StoreError + '_ {
        |source| StoreError::Io { action: "read the index of", path: self.path.clone(), source }
    }

    fn inverted(&self, field: Field) -> Result<Option<Arc<InvertedIndexReader>>, StoreError> {
        Ok(self.segment.as_ref().map(|segment| segment.inverted_index(field)).transpose()?)
    }

    fn postings(&self, reader: &InvertedIndexReader, info: &TermInfo) -> Result<RoaringBitmap, StoreError> {
        let mut postings =
            reader.read_block_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(self.read_error())?;
        let corrupt = |reason: &str| StoreError::Corrupt { path: self.path.clone(), reason: reason.to_owned() };
        let total = self.segment.as_ref().map_or(0, SegmentReader::max_doc);
        if u64::from(info.doc_freq) * DENSE > u64::from(total) {
            // A bit is set sooner than a row is appended.
            let mut bits = vec![0_u8; total.div_ceil(u8::BITS) as usize];
            while !postings.docs().is_empty() {
                for row in postings.docs() {
                    let byte = bits.get_mut((row / u8::BITS) as usize);
                    *byte.ok_or_else(|| corrupt("posting list has rows that the part has not"))? |=
                        1 << (row % u8::BITS);
                }
                postings.advance();
            }
            return Ok(RoaringBitmap::from_lsb0_bytes(0, &bits));
        }
        let mut rows = RoaringBitmap::new();
        while !postings.docs().is_empty() {
            // Row numbers of a posting list only rise, so each block appends behind the one before.
            rows.append(postings.docs().iter().copied()).map_err(|_| corrupt("posting list is not sorted"))?;
            postings.advance();
        }
        Ok(rows)
    }

    fn term(&self, field: Field, term: &[u8]) -> Result<RoaringBitmap, StoreError> {
        let Some(reader) = self.inverted(field)? else { return Ok(RoaringBitmap::new()) };
        match reader.terms().get(term).map_err(self.read_error())? {
            Some(info) => self.postings(&reader, &info),
            None => Ok(RoaringBitmap::new()),
        }
    }

    /// Calls `each` with every term that starts with `prefix`, less the prefix, until it answers `false`.
    fn walk(
        &self,
        field: Field,
        prefix: &[u8],
        mut each: impl FnMut(&InvertedIndexReader, &[u8], &TermInfo) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(reader) = self.inverted(field)? else { return Ok(()) };
        let mut range = reader.terms().range().ge(prefix);
        if let Some(end) = prefix_end(prefix) {
            range = range.lt(end);
        }
        let mut stream = range.into_stream().map_err(self.read_error())?;
        while stream.advance() {
            if !each(&reader, &stream.key()[prefix.len()..], stream.value())? {
                break;
            }
        }
        Ok(())
    }

    /// The union of the rows of all terms that start with `fixed` + `prefix` and whose text after `fixed` is kept.
    fn union_where(
        &self,
        field: Field,
        fixed: &[u8],
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
        budget: usize,
    ) -> Result<Option<Candidates>, StoreError> {
        let mut found = Candidates::exactly(RoaringBitmap::new());
        let mut walked = 0;
        let mut start = fixed.to_vec();
        start.extend_from_slice(prefix.as_bytes());
        let mut text = String::new();
        self.walk(field, &start, |reader, rest, info| {
            walked += 1;
            if walked > budget {
                return Ok(false);
            }
            text.clear();
            text.push_str(prefix);
            text.push_str(&String::from_utf8_lossy(rest));
            // A cut value may match in the part that was cut off: take its rows, to be looked at again.
            let is_cut = text.len() >= columns::MAX_VALUE_BYTES - 3;
            if is_cut || keep(&text) {
                found.exact &= !is_cut;
                found.rows |= self.postings(reader, info)?;
            }
            Ok(true)
        })?;
        Ok((walked <= budget).then_some(found))
    }

    /// Rows whose words hold all of these, folded as [`words`] does: the body of logs, name and status message of spans.
    /// Exact for one listed word only.
    pub fn words(&self, wanted: &[&str]) -> Result<Candidates, StoreError> {
        let nothing = Candidates::exactly(RoaringBitmap::new());
        let mut found: Option<Candidates> = None;
        let mut listed = Vec::new();
        let reader = self.inverted(self.fields.word)?;
        for word in wanted {
            let cut = words::cut(word);
            if words::is_id_like(cut) {
                let blocks = self.blocks(filters::word_hash(cut), words::is_long(cut))?;
                let mut mark = vec![columns::WORD_MARK];
                mark.extend_from_slice(words::before_digits(cut).as_bytes());
                let next = self.marked(&blocks, self.fields.word, &mark)?;
                found = Some(match found {
                    None => next,
                    Some(before) => Candidates { rows: before.rows & next.rows, exact: before.exact && next.exact },
                });
            } else if let Some(reader) = &reader {
                let Some(info) = reader.terms().get(cut).map_err(self.read_error())? else { return Ok(nothing) };
                listed.push((info, cut.len() == word.len()));
            }
            if found.as_ref().is_some_and(|found| found.rows.is_empty()) {
                return Ok(nothing);
            }
        }
        // The rarest first: what is left of it is all that is looked for in the lists of the others.
        listed.sort_by_key(|(info, _)| info.doc_freq);
        for (info, is_whole) in &listed {
            let Some(reader) = &reader else { return Ok(nothing) };
            found = Some(match found {
                None => Candidates { rows: self.postings(reader, info)?, exact: *is_whole },
                Some(before) => {
                    Candidates { rows: self.among(&before.rows, reader, info)?, exact: before.exact && *is_whole }
                }
            });
        }
        Ok(found.unwrap_or(nothing))
    }

    /// Those of the rows that a posting list holds.
    fn among(
        &self,
        rows: &RoaringBitmap,
        reader: &InvertedIndexReader,
        info: &TermInfo,
    ) -> Result<RoaringBitmap, StoreError> {
        if rows.len() * SEEKS_FOR_A_LIST > u64::from(info.doc_freq) {
            return Ok(rows & self.postings(reader, info)?);
        }
        let mut postings =
            reader.read_postings_from_terminfo(info, IndexRecordOption::Basic).map_err(self.read_error())?;
        let mut at = postings.doc();
        Ok(rows
            .iter()
            .filter(|row| {
                if at < *row {
                    at = postings.seek(*row);
                }
                at == *row
            })
            .collect())
    }

    /// The blocks of rows that may hold the value of this hash, which is in the second filters, too, or not.
    fn blocks(&self, hash: u64, is_sure: bool) -> Result<Vec<Range<u32>>, StoreError> {
        let filters = &self.filters;
        let found = if is_sure { filters.rows_that_hardly_err(hash) } else { filters.rows_that_may_hold(hash) };
        found.map_err(self.read_error())
    }

    /// The blocks of rows that may have this value in a column or an attribute whose values are in the filters.
    fn blocks_of_value(&self, value: &str) -> Result<Vec<Range<u32>>, StoreError> {
        self.blocks(filters::value_hash(value), filters::is_sure(value))
    }

    /// The rows of blocks that also have a mark. Only the blocks' piece of the posting list is read.
    fn marked(&self, blocks: &[Range<u32>], field: Field, mark: &[u8]) -> Result<Candidates, StoreError> {
        let nothing = Candidates::exactly(RoaringBitmap::new());
        let Some(reader) = self.inverted(field)?.filter(|_| !blocks.is_empty()) else { return Ok(nothing) };
        let Some(info) = reader.terms().get(mark).map_err(self.read_error())? else { return Ok(nothing) };
        let mut postings =
            reader.read_postings_from_terminfo(&info, IndexRecordOption::Basic).map_err(self.read_error())?;
        let mut rows = RoaringBitmap::new();
        for block in blocks {
            let mut row = postings.doc();
            if row < block.start {
                row = postings.seek(block.start);
            }
            while row < block.end {
                rows.insert(row);
                row = postings.advance();
            }
        }
        Ok(Candidates { exact: rows.is_empty(), rows })
    }

    /// Rows that hold any word that starts with `prefix` and is kept; `None` when more than `budget` words start so.
    ///
    /// Words that look like ids are not known one by one: rows that hold any that may start so are among the candidates.
    pub fn words_where(
        &self,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
        budget: usize,
    ) -> Result<Option<Candidates>, StoreError> {
        let start = words::cut(prefix);
        let Some(mut found) = self.listed_words_where(start, keep, budget)? else { return Ok(None) };
        let letters = words::before_digits(start);
        let mut mark = vec![columns::WORD_MARK];
        mark.extend_from_slice(letters.as_bytes());
        if letters.len() < start.len() {
            found = found.or(Candidates { rows: self.term(self.fields.word, &mark)?, exact: false });
            return Ok(Some(found));
        }
        let mut walked = 0;
        self.walk(self.fields.word, &mark, |reader, _, info| {
            walked += 1;
            let rows = self.postings(reader, info)?;
            found = std::mem::take(&mut found).or(Candidates { rows, exact: false });
            Ok(walked <= budget)
        })?;
        Ok((walked <= budget).then_some(found))
    }

    /// The same without words that look like ids.
    pub fn listed_words_where(
        &self,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
        budget: usize,
    ) -> Result<Option<Candidates>, StoreError> {
        let mut found = Candidates::exactly(RoaringBitmap::new());
        let mut walked = 0;
        let mut text = String::new();
        self.walk(self.fields.word, prefix.as_bytes(), |reader, rest, info| {
            if prefix.is_empty() && rest.first() == Some(&columns::WORD_MARK) {
                return Ok(true);
            }
            walked += 1;
            if walked > budget {
                return Ok(false);
            }
            text.clear();
            text.push_str(prefix);
            text.push_str(&String::from_utf8_lossy(rest));
            let is_cut = text.len() > words::MAX_WORD_BYTES - 4;
            if is_cut || keep(&text) {
                found.exact &= !is_cut;
                found.rows |= self.postings(reader, info)?;
            }
            Ok(true)
        })?;
        Ok((walked <= budget).then_some(found))
    }

    /// Rows with this record attribute, its value in text form.
    pub fn attribute(&self, key: &str, value: &str) -> Result<Candidates, StoreError> {
        let (start, key_is_whole) = attribute_start(key);
        let (cut, value_is_whole) = cut_value(value);
        let mut term = start;
        term.extend_from_slice(cut.as_bytes());
        let listed =
            Candidates { rows: self.term(self.fields.attribute, &term)?, exact: key_is_whole && value_is_whole };
        let mark = attribute_mark(key);
        let blocks = self.blocks_of_value(value)?;
        Ok(listed.or(self.marked(&blocks, self.fields.column, &mark)?))
    }

    /// Rows with any record attribute, or any attribute of a span's events, of this value in text form; exact for none.
    pub fn any_attribute(&self, value: &str) -> Result<Candidates, StoreError> {
        let mut rows = RoaringBitmap::new();
        let cut = cut_value(value).0.as_bytes();
        let mut term = Vec::new();
        for known in self.keys.iter().filter(|known| known.listed > 0) {
            term.clear();
            term.extend_from_slice(known.key.as_bytes());
            term.push(0);
            term.extend_from_slice(cut);
            rows |= self.term(self.fields.attribute, &term)?;
        }
        let blocks = self.blocks_of_value(value)?;
        for known in self.keys.iter().filter(|known| known.filtered > 0 && !blocks.is_empty()) {
            rows |= self.marked(&blocks, self.fields.column, &attribute_mark(&known.key))?.rows;
        }
        Ok(Candidates { exact: rows.is_empty(), rows })
    }

    /// Rows with a value of this attribute that starts with `prefix` and is kept; `None` beyond the budget of values.
    pub fn attribute_where(
        &self,
        key: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
        budget: usize,
    ) -> Result<Option<Candidates>, StoreError> {
        let (start, key_is_whole) = attribute_start(key);
        let found = self.union_where(self.fields.attribute, &start, cut_value(prefix).0, keep, budget)?;
        let Some(mut found) = found else { return Ok(None) };
        found.exact &= key_is_whole;
        let filtered = self.term(self.fields.column, &attribute_mark(key))?;
        Ok(Some(found.or(Candidates { exact: filtered.is_empty(), rows: filtered })))
    }

    /// Rows with this record attribute, whatever its value; `None` beyond the budget of values.
    pub fn attribute_exists(&self, key: &str, budget: usize) -> Result<Option<Candidates>, StoreError> {
        let (start, exact) = attribute_start(key);
        let Some(found) = self.union_where(self.fields.attribute, &start, "", &|_| true, budget)? else {
            return Ok(None);
        };
        let rows = found.rows | self.term(self.fields.column, &attribute_mark(key))?;
        Ok(Some(Candidates { rows, exact }))
    }

    fn column_number(&self, column: &str) -> Option<u8> {
        columns::indexed_columns(self.signal).iter().position(|name| *name == column).map(|number| number as u8)
    }

    /// Rows whose indexed column has this value; `None` for a column that is not indexed.
    pub fn column(&self, column: &str, value: &str) -> Result<Option<Candidates>, StoreError> {
        let Some(number) = self.column_number(column) else { return Ok(None) };
        if columns::filtered_column(column) {
            let blocks = self.blocks_of_value(value)?;
            return self.marked(&blocks, self.fields.column, &[columns::COLUMN_MARK, number]).map(Some);
        }
        let (value, exact) = cut_value(value);
        let mut term = vec![number];
        term.extend_from_slice(value.as_bytes());
        Ok(Some(Candidates { rows: self.term(self.fields.column, &term)?, exact }))
    }

    /// Rows with a value of an indexed column that starts with `prefix` and is kept; `None` for a column that is not
    /// indexed, and beyond the budget of values.
    pub fn column_where(
        &self,
        column: &str,
        prefix: &str,
        keep: &dyn Fn(&str) -> bool,
        budget: usize,
    ) -> Result<Option<Candidates>, StoreError> {
        let Some(number) = self.column_number(column) else { return Ok(None) };
        if columns::filtered_column(column) {
            let rows = self.term(self.fields.column, &[columns::COLUMN_MARK, number])?;
            return Ok(Some(Candidates { rows, exact: false }));
        }
        self.union_where(self.fields.column, &[number], cut_value(prefix).0, keep, budget)
    }

    /// Rows of a trace: logs and spans with its id, metric points with an exemplar of it.
    pub fn trace(&self, id: TraceId) -> Result<Candidates, StoreError> {
        self.traces([&id.0])
    }

    /// Rows of any of these traces.
    pub fn traces<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a [u8; 16], IntoIter: ExactSizeIterator>,
    ) -> Result<Candidates, StoreError> {
        let ids = ids.into_iter();
        let are_few = ids.len() <= FEW_TRACES;
        let mut rows = RoaringBitmap::new();
        for id in ids {
            let term = columns::trace_term(id);
            if let Some(known) = self.traces.lock().get(&term) {
                rows |= known;
                continue;
            }
            let found = self.term(self.fields.trace, &term)?;
            rows |= &found;
            if are_few {
                let mut traces = self.traces.lock();
                if traces.len() >= REMEMBERED_TRACES {
                    traces.clear();
                }
                traces.insert(term, found);
            }
        }
        Ok(Candidates { exact: rows.is_empty(), rows })
    }

    /// Rows whose resource (its typed JSON object) is kept; one call per distinct resource.
    pub fn resource_where(&self, keep: &dyn Fn(&str) -> bool) -> Result<Candidates, StoreError> {
        let mut rows = RoaringBitmap::new();
        for resource in self.resources.iter().filter(|resource| keep(resource)) {
            rows |= self.term(self.fields.resource, &columns::resource_term(resource))?;
        }
        Ok(Candidates::exactly(rows))
    }

    fn listed(
        &self,
        field: Field,
        reader: &InvertedIndexReader,
        list: &TermInfo,
    ) -> Result<Option<ListedRows>, StoreError> {
        let postings =
            reader.read_block_postings_from_terminfo(list, IndexRecordOption::Basic).map_err(self.read_error())?;
        let first = postings.docs().first();
        Ok(first.map(|first| ListedRows { field, list: list.clone(), first: *first, rows: list.doc_freq }))
    }

    /// The rows of each distinct resource. Together they are all rows of the part.
    pub fn rows_by_resource(&self) -> Result<Vec<ListedRows>, StoreError> {
        let field = self.fields.resource;
        let Some(reader) = self.inverted(field)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for resource in &self.resources {
            let term = columns::resource_term(resource);
            if let Some(list) = reader.terms().get(term).map_err(self.read_error())? {
                found.extend(self.listed(field, &reader, &list)?);
            }
        }
        Ok(found)
    }

    /// The rows of each value of a column, numbers as digits; rows without a value are in none. `None` for a column whose values are not listed, or
    /// not whole, and beyond the budget of values.
    pub fn rows_by_value(&self, column: &str, budget: usize) -> Result<Option<Vec<(String, ListedRows)>>, StoreError> {
        let number = self.column_number(column).filter(|_| !columns::filtered_column(column));
        let Some(number) = number else { return Ok(None) };
        let mut found = Some(Vec::new());
        self.walk(self.fields.column, &[number], |reader, value, list| {
            let is_whole = value.len() < columns::MAX_VALUE_BYTES - 3;
            if !is_whole || found.as_ref().is_some_and(|found| found.len() >= budget) {
                found = None;
                return Ok(false);
            }
            if let (Some(found), Some(rows)) = (&mut found, self.listed(self.fields.column, reader, list)?) {
                found.push((String::from_utf8_lossy(value).into_owned(), rows));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// Calls `each` with listed rows, block by block, rising.
    pub fn for_each_block(&self, rows: &ListedRows, mut each: impl FnMut(&[u32])) -> Result<(), StoreError> {
        let Some(reader) = self.inverted(rows.field)? else { return Ok(()) };
        let mut postings = reader
            .read_block_postings_from_terminfo(&rows.list, IndexRecordOption::Basic)
            .map_err(self.read_error())?;
        while !postings.docs().is_empty() {
            each(postings.docs());
            postings.advance();
        }
        Ok(())
    }

    /// The distinct resources (typed JSON objects) with how many rows have each.
    pub fn resources(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let Some(reader) = self.inverted(self.fields.resource)? else { return Ok(Vec::new()) };
        self.resources
            .iter()
            .map(|resource| {
                let info = reader.terms().get(columns::resource_term(resource)).map_err(self.read_error())?;
                Ok((resource.clone(), info.map_or(0, |info| u64::from(info.doc_freq))))
            })
            .collect()
    }

    /// The keys of record attributes, with how many rows have each; a row that has a key twice with different values counts twice.
    pub fn attribute_keys(&self) -> impl Iterator<Item = (&str, u64)> {
        self.keys.iter().map(|known| (known.key.as_str(), known.listed + known.filtered))
    }
}

/// The term that rows with a filtered value of this attribute have.
fn attribute_mark(key: &str) -> Vec<u8> {
    let mut mark = vec![columns::ATTRIBUTE_MARK];
    columns::write_key("", key, &mut mark);
    mark
}

fn attribute_start(key: &str) -> (Vec<u8>, bool) {
    let (key, whole) = cut_value(key);
    let mut start = Vec::with_capacity(key.len() + 33);
    start.extend_from_slice(key.as_bytes());
    start.push(0);
    (start, whole)
}

/// The first byte string after all that start with `prefix`; `None` when there is none.
fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}
