//! What the index of each signal holds.
//!
//! Five tantivy fields of bytes, one document per row, nothing stored, no positions:
//!
//! | field | term |
//! |---|---|
//! | `word` | a word of the body (logs), of name and status message (spans) |
//! | `attribute` | key, a zero byte, the text form of the value |
//! | `column` | one byte: the number of the column in [`indexed_columns`]; the text of the value |
//! | `trace` | four bytes of the trace id's hash ([`trace_term`]) |
//! | `resource` | 16 bytes: the xxh3 hash of the row's resource, which stands in the file `resources` |
//!
//! Values that hardly any two rows share are not terms: they are in the [`super::filters`] of their rows, and a mark of
//! what they are is a term instead. These are words that look like ids ([`crate::words::is_id_like`]), the values of
//! [`filtered_column`]s, and those of attributes that turn out so among the first rows of a part ([`FilteredKeys`]).
//!
//! | field | mark |
//! |---|---|
//! | `word` | [`WORD_MARK`], the letters before the word's first digit |
//! | `column` | [`ATTRIBUTE_MARK`], the attribute's key |
//! | `column` | [`COLUMN_MARK`], the number of the column |

use crate::Signal;
use hashbrown::{HashMap, HashSet};

/// Values are cut to this many bytes in terms; rows found by a cut term must be looked at again.
pub(crate) const MAX_VALUE_BYTES: usize = 256;

/// Columns whose values are terms, in the order of their numbers. Copies of resource attributes are found by the resource. Only ever append: the number is in the files.
pub(crate) const fn indexed_columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &["severity_number", "event_name", "scope_name", "correlation_id"],
        Signal::Spans => &["name", "kind", "status_code", "scope_name", "correlation_id"],
        Signal::MetricPoints => &["metric_name"],
    }
}

/// The first byte of a mark for words that are in the filters.
pub(crate) const WORD_MARK: u8 = 1;
/// The first byte of a mark for an attribute whose values are in the filters.
pub(crate) const ATTRIBUTE_MARK: u8 = 255;
/// The first byte of a mark for a column whose values are in the filters.
pub(crate) const COLUMN_MARK: u8 = 254;

/// Whether the values of an indexed column are in the filters and not terms.
pub(crate) fn filtered_column(name: &str) -> bool {
    name == "correlation_id"
}

/// Rows of an attribute that tell whether its values repeat.
const TELLING_ROWS: u32 = 32;
/// Different numbers that make an attribute a measurement.
const MEASURED_VALUES: usize = 64;

/// The attributes of a part whose values are in the filters: those of which more than half of the first rows differ, and
/// those that are measurements (many different numbers), which are asked by ranges, not by values.
#[derive(Debug, Default)]
pub(crate) struct FilteredKeys(HashSet<String>);

impl FilteredKeys {
    /// Looks at entries of the first rows.
    pub(crate) fn choose<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut seen: HashMap<&str, (u32, HashSet<&str>)> = HashMap::new();
        for (key, value) in entries {
            let (rows, values) = seen.entry(key).or_default();
            *rows += 1;
            values.insert(value);
        }
        let differ = |rows: u32, values: &HashSet<&str>| {
            (rows >= TELLING_ROWS && values.len() * 2 > rows as usize)
                || (values.len() > MEASURED_VALUES && values.iter().all(|value| value.parse::<f64>().is_ok()))
        };
        let keys = seen.into_iter().filter(|(_, (rows, values))| differ(*rows, values));
        Self(keys.map(|(key, _)| key.to_owned()).collect())
    }

    /// Whether the values of this attribute are in the filters.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.contains(key)
    }
}

/// The term of a trace. Rows found by it must be looked at again: of a million traces in a part, one in four thousand ids that are not
/// there meets the hash of another. Whole ids would be most of the dictionary.
pub(crate) fn trace_term(id: &[u8]) -> [u8; 4] {
    (xxhash_rust::xxh3::xxh3_64(id) as u32).to_be_bytes()
}

/// The term of a resource.
pub(crate) fn resource_term(json: &str) -> [u8; 16] {
    xxhash_rust::xxh3::xxh3_128(json.as_bytes()).to_be_bytes()
}

/// The value's part that stands in terms, and whether that is all of it.
pub(crate) fn cut_value(value: &str) -> (&str, bool) {
    if value.len() <= MAX_VALUE_BYTES {
        return (value, true);
    }
    let mut end = MAX_VALUE_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    (&value[..end], false)
}

/// Appends an attribute's key as it stands in terms.
pub(crate) fn write_key(prefix: &str, key: &str, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(prefix.as_bytes());
    bytes.extend_from_slice(cut_value(key).0.as_bytes());
}

/// The fields of the tantivy schema, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) word: tantivy::schema::Field,
    pub(crate) attribute: tantivy::schema::Field,
    pub(crate) column: tantivy::schema::Field,
    pub(crate) trace: tantivy::schema::Field,
    pub(crate) resource: tantivy::schema::Field,
}

/// The tantivy schema of every index.
pub(crate) fn schema() -> (tantivy::schema::Schema, Fields) {
    let mut builder = tantivy::schema::Schema::builder();
    let options = || tantivy::schema::BytesOptions::default().set_indexed();
    let fields = Fields {
        word: builder.add_bytes_field("word", options()),
        attribute: builder.add_bytes_field("attribute", options()),
        column: builder.add_bytes_field("column", options()),
        trace: builder.add_bytes_field("trace", options()),
        resource: builder.add_bytes_field("resource", options()),
    };
    (builder.build(), fields)
}
