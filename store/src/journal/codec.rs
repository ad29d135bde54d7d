//! Arrow batches as bytes: Arrow IPC messages without the schema, which stands once in the segment's head.

use crate::{Signal, StoreError};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamWriter, write_message};
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

/// Writes the batch as IPC dictionary and record batch messages over what was there.
pub(super) fn encode(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), StoreError> {
    // It begins with the schema, which gives the dictionary columns their numbers, the same ones as in `schema_message`.
    let mut writer = StreamWriter::try_new_with_options(out, &batch.schema(), options()?)?;
    writer.get_mut().clear();
    writer.write(batch)?;
    Ok(())
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
