//! Building the columns of a batch while a request is walked.

mod attributes;
mod context;
mod dictionary;

pub(crate) use attributes::Attributes;
pub(crate) use context::{Context, each_message};
pub(crate) use dictionary::Dictionary;

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, new_null_array};
use arrow::array::{BooleanBufferBuilder, BufferBuilder};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use mangru_store::{Signal, SignalBatch};
use std::collections::HashMap;
use std::sync::Arc;

/// A column of numbers whose NULLs cost nothing until the next value.
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: BufferBuilder<T::Native>,
    valid: BooleanBufferBuilder,
    nulls: usize,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(crate) fn new() -> Self {
        Self { values: BufferBuilder::new(0), valid: BooleanBufferBuilder::new(0), nulls: 0 }
    }

    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.values.len());
        if missing > 0 {
            self.values.append_n(missing, T::Native::default());
            self.valid.append_n(missing, false);
            self.nulls += missing;
        }
    }

    /// Sets the value of a row; a second value of the same row replaces the first.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, value: T::Native) {
        self.pad(row);
        if self.values.len() > row {
            self.values.as_slice_mut()[row] = value;
            return;
        }
        self.values.append(value);
        self.valid.append(true);
    }

    /// The column, NULL where nothing was set.
    pub(crate) fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        let values: ScalarBuffer<T::Native> = ScalarBuffer::from(self.values.finish());
        let nulls = (self.nulls > 0).then(|| NullBuffer::new(self.valid.finish()));
        Arc::new(PrimitiveArray::<T>::new(values, nulls))
    }
}

/// Puts named columns into the order of a signal's schema; columns that are not named are NULL.
pub(crate) fn batch(
    signal: Signal,
    rows: usize,
    mut columns: HashMap<&'static str, ArrayRef>,
) -> Result<SignalBatch, String> {
    let schema = signal.schema();
    let ordered = schema
        .fields()
        .iter()
        .map(|field| {
            let column = columns.remove(field.name().as_str());
            match column {
                Some(column) if column.data_type() == field.data_type() => Ok(column),
                Some(column) => arrow::compute::cast(&column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), rows)),
            }
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let rows = RecordBatch::try_new(schema, ordered).map_err(|error| error.to_string())?;
    SignalBatch::new(signal, rows).map_err(|error| error.to_string())
}
