//! Building the index of a part, chunk by chunk, in the order of the part's rows.

use super::columns::{self, Fields, FilteredKeys};
use super::embed::{self, Embedded, Finished};
use super::filters::{self, FilterBuilder};
use super::keys;
use crate::nested::{Exemplar, SpanEvent};
use crate::schema::{PROMOTED, PromotedType};
use crate::{Signal, StoreError, TraceId, words};
use arrow::array::{
    Array, AsArray as _, DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, MapArray, RecordBatch,
    StringArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use hashbrown::HashMap;
use std::fmt;
use std::sync::Arc;
use tantivy::directory::RamDirectory;
use tantivy::indexer::SingleSegmentIndexWriter;
use tantivy::schema::document::{ReferenceValue, ReferenceValueLeaf};
use tantivy::schema::{Document, Field, Value};
use tantivy::{Index, IndexSettings};

/// Room for the writer's hash table; it is a bound for flushing in tantivy, which a single segment never does.
const WRITER_BYTES: usize = 64 << 20;

/// Terms of one chunk of rows: bytes behind each other, so that a row costs no allocation.
#[derive(Debug, Default)]
struct Terms {
    bytes: Vec<u8>,
    spans: Vec<TermSpan>,
    /// Where each row's terms end in `spans`.
    row_ends: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct TermSpan {
    field: Field,
    start: u32,
    end: u32,
}

impl Terms {
    fn push(&mut self, field: Field, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len() as u32;
        write(&mut self.bytes);
        self.spans.push(TermSpan { field, start, end: self.bytes.len() as u32 });
    }

    fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.spans.clear();
        self.row_ends.clear();
        self
    }

    fn row(&self, row: usize) -> &[TermSpan] {
        let start = if row == 0 { 0 } else { self.row_ends[row - 1] as usize };
        &self.spans[start..self.row_ends[row] as usize]
    }
}

/// A row's terms as a tantivy document.
struct RowDocument {
    terms: Arc<Terms>,
    row: usize,
}

#[derive(Clone, Copy)]
struct TermValue<'a>(&'a [u8]);

impl fmt::Debug for TermValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

impl<'a> Value<'a> for TermValue<'a> {
    type ArrayIter = std::iter::Empty<Self>;
    type ObjectIter = std::iter::Empty<(&'a str, Self)>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        ReferenceValue::Leaf(ReferenceValueLeaf::Bytes(self.0))
    }
}

struct RowTerms<'a> {
    terms: &'a Terms,
    spans: std::slice::Iter<'a, TermSpan>,
}

impl<'a> Iterator for RowTerms<'a> {
    type Item = (Field, TermValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let span = self.spans.next()?;
        Some((span.field, TermValue(&self.terms.bytes[span.start as usize..span.end as usize])))
    }
}

impl Document for RowDocument {
    type Value<'a> = TermValue<'a>;
    type FieldsValuesIter<'a> = RowTerms<'a>;

    fn iter_fields_and_values(&self) -> Self::FieldsValuesIter<'_> {
        RowTerms { terms: &self.terms, spans: self.terms.row(self.row).iter() }
    }

    fn get_sorted_field_values(&self) -> Vec<(Field, Vec<Self::Value<'_>>)> {
        // A row's terms are pushed field by field in the order of the fields, so runs are groups.
        let mut groups: Vec<(Field, Vec<TermValue<'_>>)> = Vec::with_capacity(5);
        for (field, value) in self.iter_fields_and_values() {
            match groups.last_mut() {
                Some((last, values)) if *last == field => values.push(value),
                _ => groups.push((field, vec![value])),
            }
        }
        groups
    }
}

/// Takes a part's rows in order and makes its index.
pub(crate) struct IndexBuilder {
    signal: Signal,
    fields: Fields,
    directory: RamDirectory,
    writer: SingleSegmentIndexWriter<RowDocument>,
    filters: FilterBuilder,
    /// Chosen when the first rows come.
    filtered: Option<FilteredKeys>,
    resources: HashMap<String, [u8; 16]>,
    scratch: String,
    /// The memory of the terms of the chunk before.
    spare: Terms,
}

impl IndexBuilder {
    /// An empty index for rows of a signal.
    pub(crate) fn new(signal: Signal) -> Result<Self, StoreError> {
        let (schema, fields) = columns::schema();
        let directory = RamDirectory::create();
        let writer = Index::builder()
            .schema(schema)
            .settings(settings())
            .single_segment_index_writer(directory.clone(), WRITER_BYTES)?;
        Ok(Self {
            signal,
            fields,
            directory,
            writer,
            filters: FilterBuilder::default(),
            filtered: None,
            resources: HashMap::new(),
            scratch: String::new(),
            spare: Terms::default(),
        })
    }

    /// Adds the next rows of the part.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let terms = Arc::new(self.terms(rows)?);
        for row in 0..rows.num_rows() {
            self.writer.add_document(RowDocument { terms: Arc::clone(&terms), row })?;
        }
        // The next chunk's terms take the same memory.
        self.spare = Arc::into_inner(terms).map(Terms::emptied).unwrap_or_default();
        Ok(())
    }

    fn terms(&mut self, rows: &RecordBatch) -> Result<Terms, StoreError> {
        let fields = self.fields;
        let source = Source::of(self.signal, rows)?;
        let resources = self.resource_terms(source.resource);
        let filtered = self.filtered.take().unwrap_or_else(|| FilteredKeys::choose(source.first_entries()));
        let mut sink = Sink { fields, terms: std::mem::take(&mut self.spare), filters: &mut self.filters };
        for row in 0..rows.num_rows() {
            for text in &source.texts {
                if let Some(text) = text.value(row) {
                    words::for_each_word(text, &mut self.scratch, |word| sink.word(word));
                }
            }
            source.attribute_terms(row, &filtered, &mut sink);
            for (number, column) in source.columns.iter().enumerate() {
                column.term(row, number as u8, &mut sink);
            }
            source.trace_terms(row, fields.trace, &mut sink.terms);
            let resource = &resources[source.resource.keys().value(row) as usize];
            sink.terms.push(fields.resource, |bytes| bytes.extend_from_slice(resource));
            sink.end_row();
        }
        let terms = sink.terms;
        self.filtered = Some(filtered);
        Ok(terms)
    }

    /// The term of each value of a chunk's resource dictionary.
    fn resource_terms(&mut self, dictionary: &DictionaryArray<Int32Type>) -> Vec<[u8; 16]> {
        let values = dictionary.values().as_string::<i32>();
        (0..values.len())
            .map(|index| {
                let text = if values.is_valid(index) { values.value(index) } else { "{}" };
                if let Some(term) = self.resources.get(text) {
                    return *term;
                }
                let term = columns::resource_term(text);
                self.resources.insert(text.to_owned(), term);
                term
            })
            .collect()
    }

    /// Writes the index out; it will stand at `offset` in the part file.
    pub(crate) fn finish(self, offset: u64, out: &mut dyn std::io::Write) -> Result<Embedded, StoreError> {
        let mut resources: Vec<String> = self.resources.into_keys().collect();
        resources.sort_unstable();
        let filters = self.filters.finish();
        let index = self.writer.finalize()?;
        let finished = Finished::Memory(&self.directory);
        let keys = keys::count(&index)?;
        let ours =
            embed::Ours { resources: &resources, keys: &keys, filters: &|file, out| out.write_all(&filters[file]) };
        embed::write(&index, &finished, &ours, offset, out)
    }
}

/// How tantivy keeps documents while it builds: they are empty, and their store is not kept.
pub(super) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: tantivy::store::Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

/// Where the terms of rows go: to tantivy or to the filters.
struct Sink<'a> {
    fields: Fields,
    terms: Terms,
    filters: &'a mut FilterBuilder,
}

impl Sink<'_> {
    fn word(&mut self, word: &str) {
        if words::is_id_like(word) {
            let hash = filters::word_hash(word);
            if words::is_long(word) {
                self.filters.add_sure(hash);
            } else {
                self.filters.add(hash);
            }
            self.terms.push(self.fields.word, |bytes| {
                bytes.push(columns::WORD_MARK);
                bytes.extend_from_slice(words::before_digits(word).as_bytes());
            });
        } else {
            self.terms.push(self.fields.word, |bytes| bytes.extend_from_slice(word.as_bytes()));
        }
    }

    fn attribute(&mut self, prefix: &str, key: &str, value: &str) {
        // In a term a zero byte ends the key.
        if key.as_bytes().contains(&0) {
            return self.filtered_attribute(prefix, key, value);
        }
        self.terms.push(self.fields.attribute, |bytes| {
            columns::write_key(prefix, key, bytes);
            bytes.push(0);
            bytes.extend_from_slice(columns::cut_value(value).0.as_bytes());
        });
    }

    fn filtered_attribute(&mut self, prefix: &str, key: &str, value: &str) {
        self.terms.push(self.fields.column, |bytes| {
            bytes.push(columns::ATTRIBUTE_MARK);
            columns::write_key(prefix, key, bytes);
        });
        self.filtered_value(value);
    }

    fn filtered_value(&mut self, value: &str) {
        let hash = filters::value_hash(value);
        if filters::is_sure(value) {
            self.filters.add_sure(hash);
        } else {
            self.filters.add(hash);
        }
    }

    fn end_row(&mut self) {
        self.terms.row_ends.push(self.terms.spans.len() as u32);
        self.filters.end_row();
    }
}

enum TextColumn<'a> {
    Plain(&'a StringArray),
    Dictionary(&'a DictionaryArray<Int32Type>, &'a StringArray),
}

impl TextColumn<'_> {
    fn value(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Dictionary(column, values) => {
                column.is_valid(row).then(|| values.value(column.keys().value(row) as usize))
            }
        }
    }
}

enum TermColumn<'a> {
    Text(&'a StringArray),
    Dictionary(&'a DictionaryArray<Int32Type>, &'a StringArray),
    Number(&'a Int32Array),
    /// Values that are in the filters.
    Filtered(&'a StringArray),
}

impl TermColumn<'_> {
    fn term(&self, row: usize, number: u8, sink: &mut Sink<'_>) {
        let field = sink.fields.column;
        let text = match self {
            Self::Filtered(column) if column.is_valid(row) => {
                sink.filtered_value(column.value(row));
                sink.terms.push(field, |bytes| bytes.extend_from_slice(&[columns::COLUMN_MARK, number]));
                return;
            }
            Self::Text(column) if column.is_valid(row) => column.value(row),
            Self::Dictionary(column, values) if column.is_valid(row) => values.value(column.keys().value(row) as usize),
            Self::Number(column) if column.is_valid(row) => {
                let value = column.value(row);
                sink.terms.push(field, |bytes| {
                    bytes.push(number);
                    write_integer(i64::from(value), bytes);
                });
                return;
            }
            _ => return,
        };
        sink.terms.push(field, |bytes| {
            bytes.push(number);
            bytes.extend_from_slice(columns::cut_value(text).0.as_bytes());
        });
    }
}

fn write_integer(value: i64, bytes: &mut Vec<u8>) {
    use std::io::Write as _;
    // Writing to a vector cannot fail.
    let _ = write!(bytes, "{value}");
}

/// The columns of a chunk that give terms.
struct Source<'a> {
    texts: Vec<TextColumn<'a>>,
    attributes: Option<AttributeColumns<'a>>,
    promoted_texts: Vec<(&'static str, &'a DictionaryArray<Int32Type>, &'a StringArray)>,
    promoted_integers: Vec<(&'static str, &'a Int64Array)>,
    events: Option<&'a StringArray>,
    columns: Vec<TermColumn<'a>>,
    trace: Option<&'a FixedSizeBinaryArray>,
    exemplars: Option<&'a StringArray>,
    resource: &'a DictionaryArray<Int32Type>,
}

#[derive(Clone, Copy)]
struct AttributeColumns<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

impl<'a> Source<'a> {
    fn of(signal: Signal, rows: &'a RecordBatch) -> Result<Self, StoreError> {
        let column = |name: &str| {
            rows.column_by_name(name).ok_or_else(|| StoreError::Corrupt {
                path: signal.table().to_owned(),
                reason: format!("column {name} is missing"),
            })
        };
        let dictionary = |name: &str| -> Result<_, StoreError> {
            let array = column(name)?.as_dictionary::<Int32Type>();
            Ok((array, array.values().as_string::<i32>()))
        };
        let records = signal != Signal::MetricPoints;
        let texts = match signal {
            Signal::Logs => vec![TextColumn::Plain(column("body")?.as_string())],
            Signal::Spans => {
                let (name, values) = dictionary("name")?;
                vec![TextColumn::Dictionary(name, values), TextColumn::Plain(column("status_message")?.as_string())]
            }
            Signal::MetricPoints => Vec::new(),
        };
        let mut promoted_texts = Vec::new();
        let mut promoted_integers = Vec::new();
        let mut attributes = None;
        if records {
            for promoted in PROMOTED {
                match promoted.kind {
                    PromotedType::Text => {
                        let (array, values) = dictionary(promoted.column)?;
                        if array.null_count() < array.len() {
                            promoted_texts.push((promoted.key, array, values));
                        }
                    }
                    PromotedType::Integer => {
                        let array = column(promoted.column)?.as_primitive::<Int64Type>();
                        promoted_integers.push((promoted.key, array));
                    }
                }
            }
            let map = column("attributes")?.as_map();
            attributes = Some(AttributeColumns { map, keys: map.keys().as_string(), values: map.values().as_string() });
        }
        let term_columns = columns::indexed_columns(signal)
            .iter()
            .map(|name| {
                let array = column(name)?;
                Ok(if let Some(number) = array.as_primitive_opt() {
                    TermColumn::Number(number)
                } else if let Some(text) = array.as_string_opt() {
                    if columns::filtered_column(name) { TermColumn::Filtered(text) } else { TermColumn::Text(text) }
                } else {
                    let (array, values) = dictionary(name)?;
                    TermColumn::Dictionary(array, values)
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Self {
            texts,
            attributes,
            promoted_texts,
            promoted_integers,
            events: if signal == Signal::Spans { Some(column("events")?.as_string()) } else { None },
            columns: term_columns,
            trace: if records { Some(column("trace_id")?.as_fixed_size_binary()) } else { None },
            exemplars: if records { None } else { Some(column("exemplars")?.as_string()) },
            resource: dictionary("resource_attributes")?.0,
        })
    }

    /// The entries of the chunk's attributes.
    fn first_entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().flat_map(|AttributeColumns { keys, values, .. }| {
            (0..keys.len()).map(|entry| (keys.value(entry), values.value(entry)))
        })
    }

    fn attribute_terms(&self, row: usize, filtered: &FilteredKeys, sink: &mut Sink<'_>) {
        if let Some(AttributeColumns { map, keys, values }) = self.attributes {
            let offsets = map.value_offsets();
            for entry in offsets[row] as usize..offsets[row + 1] as usize {
                let value = if values.is_valid(entry) { values.value(entry) } else { "" };
                let key = keys.value(entry);
                if filtered.contains(key) {
                    sink.filtered_attribute("", key, value);
                } else {
                    sink.attribute("", key, value);
                }
            }
        }
        for (key, array, values) in &self.promoted_texts {
            if array.is_valid(row) {
                sink.attribute("", key, values.value(array.keys().value(row) as usize));
            }
        }
        for (key, array) in &self.promoted_integers {
            if array.is_valid(row) {
                sink.attribute("", key, &array.value(row).to_string());
            }
        }
        if let Some(events) = self.events
            && events.is_valid(row)
            && let Ok(events) = serde_json::from_str::<Vec<SpanEvent>>(events.value(row))
        {
            for event in events {
                sink.attribute("event.", "name", &event.name);
                for (key, value) in event.attributes {
                    sink.attribute("event.", &key, &value.text());
                }
            }
        }
    }

    fn trace_terms(&self, row: usize, field: Field, terms: &mut Terms) {
        if let Some(trace) = self.trace
            && trace.is_valid(row)
        {
            terms.push(field, |bytes| bytes.extend_from_slice(&columns::trace_term(trace.value(row))));
        }
        if let Some(exemplars) = self.exemplars
            && exemplars.is_valid(row)
            && let Ok(exemplars) = serde_json::from_str::<Vec<Exemplar>>(exemplars.value(row))
        {
            for exemplar in exemplars {
                if let Some(id) = TraceId::from_hex(&exemplar.trace_id) {
                    terms.push(field, |bytes| bytes.extend_from_slice(&columns::trace_term(&id.0)));
                }
            }
        }
    }
}
