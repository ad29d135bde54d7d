//! Rows of the store's tables from named values: the series that rules record, and the fixtures of tests.

use arrow::array::Float64Builder;
use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    StringDictionaryBuilder, TimestampNanosecondArray, UInt32Builder, UInt64Builder, new_null_array,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::record_batch::RecordBatch;
use mangru_store::value::{AnyValue, write_object};
use mangru_store::{PROMOTED, PROMOTED_RESOURCE, PromotedType, Signal, SignalBatch};
use std::collections::HashMap;
use std::sync::Arc;

/// A value of a column.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Integer(i64),
    Float(f64),
    Bytes(Vec<u8>),
}

/// One row: its columns by name, and the entries of its map of attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) cells: HashMap<&'static str, Cell>,
    pub(crate) attributes: Vec<(String, AnyValue)>,
}

impl Row {
    pub(crate) fn set(&mut self, column: &'static str, cell: Cell) -> &mut Self {
        self.cells.insert(column, cell);
        self
    }

    pub(crate) fn text(&mut self, column: &'static str, text: impl Into<String>) -> &mut Self {
        self.set(column, Cell::Text(text.into()))
    }

    pub(crate) fn integer(&mut self, column: &'static str, number: i64) -> &mut Self {
        self.set(column, Cell::Integer(number))
    }

    /// The resource's attributes, as they are kept.
    pub(crate) fn resource(&mut self, attributes: &[(String, AnyValue)]) -> &mut Self {
        let mut text = String::new();
        write_object(attributes, &mut text);
        for promoted in PROMOTED_RESOURCE {
            if let Some((_, value)) = attributes.iter().find(|(key, _)| key == promoted.key) {
                self.text(promoted.column, value.text());
            }
        }
        self.text("resource_attributes", text)
    }

    /// An attribute of the record: in its own column where it has one.
    pub(crate) fn attribute(&mut self, key: &str, value: AnyValue) {
        let promoted = PROMOTED.iter().find(|promoted| promoted.key == key);
        match (promoted, &value) {
            (Some(promoted), AnyValue::String(text)) if promoted.kind == PromotedType::Text => {
                self.text(promoted.column, text.as_str());
            }
            (Some(promoted), AnyValue::Int(number)) if promoted.kind == PromotedType::Integer => {
                self.integer(promoted.column, *number);
            }
            _ => self.attributes.push((key.to_owned(), value)),
        }
    }
}

/// The batch of these rows.
pub(crate) fn batch(signal: Signal, rows: &[Row]) -> Result<SignalBatch, String> {
    let schema = signal.schema();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in schema.fields() {
        let cells: Vec<Option<&Cell>> = rows.iter().map(|row| row.cells.get(field.name().as_str())).collect();
        columns.push(match field.data_type() {
            DataType::Map(..) => attributes(rows)?,
            kind => column(kind, &cells),
        });
    }
    let rows = RecordBatch::try_new(schema, columns).map_err(|error| error.to_string())?;
    SignalBatch::new(signal, rows).map_err(|error| error.to_string())
}

fn column(kind: &DataType, cells: &[Option<&Cell>]) -> ArrayRef {
    macro_rules! numbers {
        ($builder:expr, $kind:ty) => {{
            let mut builder = $builder;
            for cell in cells {
                builder.append_option(match cell {
                    Some(Cell::Integer(number)) => Some(*number as $kind),
                    Some(Cell::Float(number)) => Some(*number as $kind),
                    _ => None,
                });
            }
            Arc::new(builder.finish())
        }};
    }
    let text = |cell: &Option<&Cell>| match cell {
        Some(Cell::Text(text)) => Some(text.clone()),
        _ => None,
    };
    match kind {
        DataType::Timestamp(..) => {
            let times = cells.iter().map(|cell| match cell {
                Some(Cell::Integer(time)) => *time,
                _ => 0,
            });
            Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))
        }
        DataType::Dictionary(..) => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            cells.iter().for_each(|cell| builder.append_option(text(cell)));
            Arc::new(builder.finish())
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            cells.iter().for_each(|cell| builder.append_option(text(cell)));
            Arc::new(builder.finish())
        }
        DataType::FixedSizeBinary(width) => {
            let mut builder = FixedSizeBinaryBuilder::new(*width);
            for cell in cells {
                match cell {
                    Some(Cell::Bytes(bytes)) if builder.append_value(bytes).is_ok() => {}
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
        DataType::Int32 => numbers!(Int32Builder::new(), i32),
        DataType::Int64 => numbers!(Int64Builder::new(), i64),
        DataType::UInt32 => numbers!(UInt32Builder::new(), u32),
        DataType::UInt64 => numbers!(UInt64Builder::new(), u64),
        DataType::Float64 => numbers!(Float64Builder::new(), f64),
        other => new_null_array(other, cells.len()),
    }
}

fn attributes(rows: &[Row]) -> Result<ArrayRef, String> {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in rows {
        for (key, value) in &row.attributes {
            builder.keys().append_value(key);
            builder.values().append_value(value.text());
        }
        builder.append(true).map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(builder.finish()))
}

/// The letters of a row's attributes, for the column `attribute_types`.
pub(crate) fn letters(attributes: &[(String, AnyValue)]) -> String {
    attributes.iter().map(|(_, value)| value.kind().letter()).collect()
}

/// A sample of a series as a metric point that PromQL reads as just that; none as value ends the series.
pub(crate) fn point(labels: &crate::machine::Labels, time_ms: i64, value: Option<f64>) -> Row {
    let mut row = Row::default();
    let name = labels.get("__name__").map_or("", String::as_str);
    let attributes: Vec<(String, AnyValue)> = labels
        .iter()
        .filter(|(label, value)| *label != "__name__" && !value.is_empty())
        .map(|(label, value)| (label.clone(), AnyValue::String(value.clone())))
        .collect();
    let mut text = String::new();
    write_object(&attributes, &mut text);
    row.integer("time", time_ms.saturating_mul(1_000_000))
        .text("metric_name", name)
        .text("metric_type", "gauge")
        .integer("series_id", crate::machine::fingerprint(labels) as i64)
        .text("attributes", text)
        .text("resource_attributes", "{}");
    match value {
        Some(value) => row.set("value_double", Cell::Float(value)),
        None => row.integer("flags", 1),
    };
    row
}
