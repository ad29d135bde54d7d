//! Single values out of batches.

use crate::language::write_hex;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use mangru_store::value::{self, AnyValue, Kind};
use mangru_store::{PROMOTED, PromotedType};
use serde_json::{Map, Value as Json};

/// Reads values of one row after the other. A column that was not read is like one that is NULL.
pub(crate) struct Cells<'a> {
    batch: &'a RecordBatch,
}

impl<'a> Cells<'a> {
    pub(crate) const fn new(batch: &'a RecordBatch) -> Self {
        Self { batch }
    }

    /// Text of a plain or dictionary column.
    pub(crate) fn text(&self, name: &str, row: usize) -> Option<&'a str> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        if let Some(plain) = column.as_string_opt::<i32>() {
            return Some(plain.value(row));
        }
        let dictionary = column.as_dictionary_opt::<Int32Type>()?;
        let values = dictionary.values().as_string_opt::<i32>()?;
        Some(values.value(dictionary.keys().value(row) as usize))
    }

    /// A whole number of any width.
    pub(crate) fn integer(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        Some(match column.data_type() {
            DataType::Int32 => i64::from(column.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row),
            DataType::UInt32 => i64::from(column.as_primitive::<UInt32Type>().value(row)),
            DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row) as i64,
            DataType::Timestamp(..) => column.as_primitive::<TimestampNanosecondType>().value(row),
            _ => return None,
        })
    }

    /// An unsigned number.
    pub(crate) fn unsigned(&self, name: &str, row: usize) -> Option<u64> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        column.as_primitive_opt::<UInt64Type>().map(|numbers| numbers.value(row))
    }

    /// A double.
    pub(crate) fn double(&self, name: &str, row: usize) -> Option<f64> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        column.as_primitive_opt::<Float64Type>().map(|numbers| numbers.value(row))
    }

    /// A truth value.
    pub(crate) fn boolean(&self, name: &str, row: usize) -> Option<bool> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        column.as_boolean_opt().map(|flags| flags.value(row))
    }

    /// A list of unsigned numbers.
    pub(crate) fn unsigned_list(&self, name: &str, row: usize) -> Option<Vec<u64>> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        let items = column.as_list_opt::<i32>()?.value(row);
        Some(items.as_primitive_opt::<UInt64Type>()?.values().to_vec())
    }

    /// A list of doubles.
    pub(crate) fn double_list(&self, name: &str, row: usize) -> Option<Vec<f64>> {
        let column = self.batch.column_by_name(name).filter(|column| column.is_valid(row))?;
        let items = column.as_list_opt::<i32>()?.value(row);
        Some(items.as_primitive_opt::<Float64Type>()?.values().to_vec())
    }

    /// An id in hex; empty when there is none.
    pub(crate) fn id(&self, name: &str, row: usize) -> String {
        let mut hex = String::new();
        if let Some(ids) = self.batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt())
            && ids.is_valid(row)
        {
            write_hex(ids.value(row), &mut hex);
        }
        hex
    }

    /// The record's attributes with their types, those that have columns of their own included.
    pub(crate) fn attributes(&self, row: usize) -> Vec<(String, AnyValue)> {
        let mut found = Vec::new();
        // Of a key that came twice, the first value is the one in the column.
        for promoted in PROMOTED {
            let value = match promoted.kind {
                PromotedType::Text => self.text(promoted.column, row).map(|text| AnyValue::String(text.to_owned())),
                PromotedType::Integer => self.integer(promoted.column, row).map(AnyValue::Int),
            };
            found.extend(value.map(|value| (promoted.key.to_owned(), value)));
        }
        if let Some(map) = self.batch.column_by_name("attributes").and_then(|column| column.as_map_opt()) {
            let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
            let mut types = self.text("attribute_types", row).unwrap_or_default().chars();
            for entry in map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize {
                let kind = types.next().and_then(Kind::from_letter).unwrap_or(Kind::String);
                let text = if values.is_valid(entry) { values.value(entry) } else { "" };
                let value = AnyValue::from_text(text, kind).unwrap_or_else(|| AnyValue::String(text.to_owned()));
                found.push((keys.value(entry).to_owned(), value));
            }
        }
        found
    }

    /// A column of JSON objects of attributes.
    pub(crate) fn object(&self, name: &str, row: usize) -> Vec<(String, AnyValue)> {
        self.text(name, row).map(value::read_object).unwrap_or_default()
    }

    /// A log's body.
    pub(crate) fn body(&self, row: usize) -> AnyValue {
        let Some(text) = self.text("body", row) else { return AnyValue::Empty };
        let kind = self
            .text("body_type", row)
            .and_then(|letter| letter.chars().next())
            .and_then(Kind::from_letter)
            .unwrap_or(Kind::String);
        match kind {
            Kind::String => AnyValue::String(text.to_owned()),
            _ => AnyValue::from_json_text(text).unwrap_or_else(|| AnyValue::String(text.to_owned())),
        }
    }
}

/// Attributes as plain JSON; of a key that stands twice the last value stays.
pub(crate) fn plain(attributes: &[(String, AnyValue)]) -> Map<String, Json> {
    attributes.iter().map(|(key, value)| (key.clone(), value.plain_json())).collect()
}
