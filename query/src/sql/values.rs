//! Results as JSON.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value as Json};

/// Appends the rows of a batch.
pub(crate) fn append(batch: &RecordBatch, rows: &mut Vec<Vec<Json>>) {
    for row in 0..batch.num_rows() {
        rows.push(batch.columns().iter().map(|column| value(column.as_ref(), row)).collect());
    }
}

fn value(array: &dyn Array, row: usize) -> Json {
    // A column of nothing but NULL has no bits that say so.
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Json::Null;
    }
    match array.data_type() {
        DataType::Boolean => Json::Bool(array.as_boolean().value(row)),
        DataType::Utf8 => Json::from(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Json::from(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Json::from(array.as_string_view().value(row)),
        DataType::Int64 => Json::from(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => Json::from(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            serde_json::Number::from_f64(number).map_or_else(|| Json::from(number.to_string()), Json::Number)
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            text(array, row).parse::<i64>().map_or(Json::Null, Json::from)
        }
        DataType::Float16 | DataType::Float32 => text(array, row).parse::<f64>().map_or(Json::Null, Json::from),
        // Times are UTC whatever their zone is called; the formatter knows zones by offset only.
        DataType::Timestamp(unit, Some(_)) => {
            let plain = arrow::compute::cast(&array.slice(row, 1), &DataType::Timestamp(*unit, None));
            plain.map_or(Json::Null, |plain| Json::from(format!("{}Z", text(plain.as_ref(), 0))))
        }
        DataType::Dictionary(..) => match array.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => value(dictionary.values().as_ref(), dictionary.keys().value(row) as usize),
            None => Json::from(text(array, row)),
        },
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Json::Array((0..items.len()).map(|item| value(items.as_ref(), item)).collect())
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Json::Object(
                (0..entries.len())
                    .map(|entry| (text(keys.as_ref(), entry), value(values.as_ref(), entry)))
                    .collect::<Map<_, _>>(),
            )
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            Json::Object(
                fields
                    .iter()
                    .zip(columns.columns())
                    .map(|(field, column)| (field.name().clone(), value(column.as_ref(), row)))
                    .collect::<Map<_, _>>(),
            )
        }
        _ => Json::from(text(array, row)),
    }
}

/// A value as Arrow writes it: times in RFC 3339, bytes in hex.
fn text(array: &dyn Array, row: usize) -> String {
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.9f"));
    ArrayFormatter::try_new(array, &options)
        .map_or_else(|error| error.to_string(), |formatter| formatter.value(row).to_string())
}
