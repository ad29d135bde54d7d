//! Arrow batches as bytes: Arrow IPC messages without the schema, which stands once in the segment's head.

use crate::{Signal, StoreError};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message};
use arrow::record_batch::RecordBatch;

fn options() -> Result<IpcWriteOptions, StoreError> {
    Ok(IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?)
}

/// The IPC schema message of a signal's table.
pub(crate) fn schema_message(schema: &SchemaRef) -> Result<Vec<u8>, StoreError> {
    let options = options()?;
    let mut tracker = DictionaryTracker::new(false);
    let encoded = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(schema, &mut tracker, &options);
    let mut out = Vec::new();
    write_message(&mut out, encoded, &options)?;
    Ok(out)
}

/// The batch as IPC dictionary and record batch messages.
pub(crate) fn encode(batch: &RecordBatch) -> Result<Vec<u8>, StoreError> {
    let options = options()?;
    let generator = IpcDataGenerator::default();
    let mut tracker = DictionaryTracker::new(false);
    // Gives the dictionary columns their numbers, the same ones as in `schema_message`.
    let _ = generator.schema_to_bytes_with_dictionary_tracker(&batch.schema(), &mut tracker, &options);
    let mut context = IpcWriteContext::default();
    let (dictionaries, rows) = generator.encode(batch, &mut tracker, &options, &mut context)?;
    let mut out = Vec::with_capacity(batch.get_array_memory_size());
    for dictionary in dictionaries {
        write_message(&mut out, dictionary, &options)?;
    }
    write_message(&mut out, rows, &options)?;
    Ok(out)
}

/// Reads back what [`encode`] wrote, with the schema message of the segment it stood in.
///
/// Columns are matched by name: one that today's schema has and the segment has not becomes NULL.
pub(crate) fn decode(signal: Signal, schema_message: &[u8], messages: &[u8]) -> Result<RecordBatch, String> {
    let mut decoder = StreamDecoder::new();
    let mut schema_buffer = Buffer::from(schema_message.to_vec());
    decoder.decode(&mut schema_buffer).map_err(|error| error.to_string())?;
    let mut buffer = Buffer::from(messages.to_vec());
    let batch = loop {
        match decoder.decode(&mut buffer).map_err(|error| error.to_string())? {
            Some(batch) => break batch,
            None if buffer.is_empty() => return Err("the record batch is missing".to_owned()),
            None => {}
        }
    };
    let schema = signal.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => arrow::compute::cast(column, field.data_type()),
            None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    RecordBatch::try_new(schema, columns).map_err(|error| error.to_string())
}
