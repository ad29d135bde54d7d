//! The attributes of records: the map, its types, and the columns of well-known ones.

use super::{Dictionary, Numbers};
use crate::otlp::value::{self, Attribute};
use crate::wire::WireError;
use arrow::array::{ArrayRef, MapArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int64Type, UInt32Type};
use mangru_store::{PROMOTED, PromotedType, attribute_entry_fields, attribute_map};
use std::collections::HashMap;
use std::sync::Arc;

/// Attributes of all records of a batch.
pub(crate) struct Attributes {
    keys: StringBuilder,
    values: StringBuilder,
    entries: i32,
    offsets: Vec<i32>,
    types: Dictionary,
    types_of_row: String,
    texts: Vec<Dictionary>,
    integers: Vec<Numbers<Int64Type>>,
    /// By the length of a key, a bit for each promoted attribute of that length: most keys have none.
    by_length: [u32; 32],
    /// A bit for each promoted attribute that the row has had.
    seen: u32,
    dropped: Numbers<UInt32Type>,
    scratch: String,
}

impl Attributes {
    pub(crate) fn new() -> Self {
        let mut by_length = [0; 32];
        for (place, promoted) in PROMOTED.iter().enumerate() {
            by_length[promoted.key.len() % 32] |= 1 << place;
        }
        Self {
            keys: StringBuilder::new(),
            values: StringBuilder::new(),
            entries: 0,
            offsets: vec![0],
            types: Dictionary::default(),
            types_of_row: String::new(),
            texts: PROMOTED.iter().map(|_| Dictionary::default()).collect(),
            integers: PROMOTED.iter().map(|_| Numbers::new()).collect(),
            by_length,
            seen: 0,
            dropped: Numbers::new(),
            scratch: String::new(),
        }
    }

    fn promoted(&self, key: &str) -> Option<usize> {
        let mut bits = self.by_length[key.len() % 32];
        while bits != 0 {
            let place = bits.trailing_zeros() as usize;
            if PROMOTED[place].key == key {
                return Some(place);
            }
            bits &= bits - 1;
        }
        None
    }

    /// Takes one `KeyValue` of a row and gives what is needed to look at it.
    #[inline]
    pub(crate) fn add<'a>(&mut self, row: usize, message: &'a [u8]) -> Result<Attribute<'a>, WireError> {
        let attribute = value::attribute(message)?;
        if let Some(place) = self.promoted(attribute.key)
            && self.seen & (1 << place) == 0
        {
            // Only the first value of a key, so that values of one key keep their order: the column's, then the map's.
            self.seen |= 1 << place;
            match (PROMOTED[place].kind, attribute.string, attribute.int) {
                (PromotedType::Text, Some(text), _) => {
                    self.texts[place].set(row, text);
                    return Ok(attribute);
                }
                (PromotedType::Integer, _, Some(number)) => {
                    self.integers[place].set(row, number);
                    return Ok(attribute);
                }
                _ => {}
            }
        }
        self.keys.append_value(attribute.key);
        if let Some(text) = attribute.string {
            self.values.append_value(text);
            self.types_of_row.push('s');
        } else {
            self.scratch.clear();
            let kind = value::write_text(attribute.value, &mut self.scratch)?;
            self.values.append_value(&self.scratch);
            self.types_of_row.push(kind.letter());
        }
        self.entries += 1;
        Ok(attribute)
    }

    /// Ends a row.
    #[inline]
    pub(crate) fn end_row(&mut self, row: usize, dropped: u32) {
        self.offsets.push(self.entries);
        if !self.types_of_row.is_empty() {
            self.types.set(row, &self.types_of_row);
            self.types_of_row.clear();
        }
        if dropped > 0 {
            self.dropped.set(row, dropped);
        }
        self.seen = 0;
    }

    /// The columns.
    pub(crate) fn finish(mut self, rows: usize, columns: &mut HashMap<&'static str, ArrayRef>) -> Result<(), String> {
        let entries = StructArray::try_new(
            attribute_entry_fields(),
            vec![Arc::new(self.keys.finish()), Arc::new(self.values.finish())],
            None,
        )
        .map_err(|error| error.to_string())?;
        let DataType::Map(field, sorted) = attribute_map() else { return Err("attributes are not a map".to_owned()) };
        let offsets = OffsetBuffer::new(self.offsets.into());
        let map = MapArray::try_new(field, offsets, entries, None, sorted).map_err(|error| error.to_string())?;
        columns.insert("attributes", Arc::new(map));
        columns.insert("attribute_types", self.types.finish(rows));
        columns.insert("dropped_attributes_count", self.dropped.finish(rows));
        for ((promoted, texts), integers) in PROMOTED.iter().zip(self.texts).zip(self.integers) {
            let column = match promoted.kind {
                PromotedType::Text => texts.finish(rows),
                PromotedType::Integer => integers.finish(rows),
            };
            columns.insert(promoted.column, column);
        }
        Ok(())
    }
}
