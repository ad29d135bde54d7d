//! All rows that match, in a form that can be kept or sent on.

use crate::cells::Cells;
use crate::language::{self, Expr};
use crate::scan::{self, Control, Cursor};
use crate::{ErrorCode, QueryError, QueryService, logs, otlp_json, spans};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::Stream;
use mangru_store::{Signal, Snapshot, TimeRange};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value as Json;
use std::io::Write;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces that wait for a slow reader.
const WAITING: usize = 4;
/// Rows of one OTLP message.
const MESSAGE_ROWS: usize = 1000;
/// Rows of one row group.
const GROUP_ROWS: usize = 65_536;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One OTLP JSON message a line, as OTLP/HTTP takes it.
    Otlp,
    /// One JSON object for each row and line.
    Ndjson,
    /// One Parquet file with the table's columns.
    Parquet,
}

/// What to export.
#[derive(Clone, Debug)]
pub struct ExportRequest {
    /// Whose rows.
    pub signal: Signal,
    /// Which rows; empty is all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// How they are written.
    pub format: ExportFormat,
}

impl QueryService {
    /// Gives all rows that match, part by part, the oldest parts first. When a part cannot be read the others follow, and the
    /// stream ends with an error that names it: what came is not all.
    pub fn export(
        &self,
        request: &ExportRequest,
    ) -> Result<impl Stream<Item = Result<Bytes, QueryError>> + use<>, QueryError> {
        let filter = language::parse(&request.query, request.signal)?;
        let snapshot = self.store().snapshot(request.signal);
        let (out, pieces) = mpsc::channel(WAITING);
        let (format, range) = (request.format, request.range);
        let (control, guard) = Control::unlimited(self.memory(), self.fairness());
        tokio::spawn(async move {
            let _guard = guard;
            if let Err(error) = send_all(snapshot, filter, range, format, control, &out).await {
                // A reader that went away does not hear of it.
                let _ = out.send(Err(error)).await;
            }
        });
        Ok(ReceiverStream::new(pieces))
    }
}

type Out = mpsc::Sender<Result<Bytes, QueryError>>;

async fn send_all(
    snapshot: Snapshot,
    filter: Expr,
    range: TimeRange,
    format: ExportFormat,
    control: Control,
    out: &Out,
) -> Result<(), QueryError> {
    let signal = snapshot.signal;
    let schema = signal.schema();
    let columns: Vec<&'static str> =
        schema.fields().iter().filter_map(|field| crate::columns::static_name(field.name())).collect();
    let mut encoder = Encoder::new(signal, format)?;
    let mut unreadable = Vec::new();
    for part in snapshot.parts.into_iter().rev() {
        let path = part.path().to_owned();
        let mut rows = match scan::open_part(part, signal, &filter, range, &columns, &control).await {
            Ok(Some(rows)) => rows,
            Ok(None) => continue,
            Err(error) if error.code == ErrorCode::Internal => {
                tracing::error!(path, %error, "an export is without a part that could not be read");
                unreadable.push(path);
                continue;
            }
            Err(error) => return Err(error),
        };
        let out = out.clone();
        let failed;
        (encoder, failed) = scan::blocking(move || {
            while let Some(batch) = rows.next_batch() {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) if error.code == ErrorCode::Internal => return Ok((encoder, Some(error))),
                    Err(error) => return Err(error),
                };
                if !send(&out, encoder.write(&batch)?) {
                    return Err(QueryError::new(ErrorCode::Cancelled, "the reader went away"));
                }
            }
            Ok((encoder, None))
        })
        .await?;
        if let Some(error) = failed {
            tracing::error!(path, %error, "an export is without rows of a part that could not be read");
            unreadable.push(path);
        }
    }
    let out = out.clone();
    scan::blocking(move || {
        for batch in &snapshot.hot {
            let rows = scan::hot_rows(batch, signal, &filter, range, &columns, &control)?;
            if !send(&out, encoder.write(&rows)?) {
                return Ok(());
            }
        }
        send(&out, encoder.finish()?);
        if unreadable.is_empty() {
            return Ok(());
        }
        Err(QueryError::internal(format!("{} parts could not be read: {}", unreadable.len(), unreadable.join(", "))))
    })
    .await
}

/// Sends a piece; `false` when the reader went away.
fn send(out: &Out, piece: Vec<u8>) -> bool {
    piece.is_empty() || out.blocking_send(Ok(Bytes::from(piece))).is_ok()
}

/// What was written and not yet sent.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

enum Encoder {
    Otlp(Signal),
    Ndjson(Signal),
    Parquet(Box<ArrowWriter<Pieces>>, Pieces),
}

impl Encoder {
    fn new(signal: Signal, format: ExportFormat) -> Result<Self, QueryError> {
        Ok(match format {
            ExportFormat::Otlp => Self::Otlp(signal),
            ExportFormat::Ndjson => Self::Ndjson(signal),
            ExportFormat::Parquet => {
                let pieces = Pieces::default();
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(pieces.clone(), signal.schema(), Some(properties));
                Self::Parquet(Box::new(writer.map_err(QueryError::internal)?), pieces)
            }
        })
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let mut lines = Vec::new();
        let mut line = |json: &Json| {
            // Writing to a vector cannot fail.
            let _ = serde_json::to_writer(&mut lines, json);
            lines.push(b'\n');
        };
        match self {
            Self::Otlp(signal) => {
                for start in (0..rows.num_rows()).step_by(MESSAGE_ROWS) {
                    let piece = rows.slice(start, MESSAGE_ROWS.min(rows.num_rows() - start));
                    line(&otlp_json::message(*signal, &piece));
                }
            }
            Self::Ndjson(signal) => objects(*signal, rows).iter().for_each(line),
            Self::Parquet(writer, pieces) => {
                writer.write(rows).map_err(QueryError::internal)?;
                return Ok(std::mem::take(&mut *pieces.0.lock()));
            }
        }
        Ok(lines)
    }

    fn finish(self) -> Result<Vec<u8>, QueryError> {
        let Self::Parquet(writer, pieces) = self else { return Ok(Vec::new()) };
        writer.close().map_err(QueryError::internal)?;
        Ok(std::mem::take(&mut *pieces.0.lock()))
    }
}

/// Rows as the API shows them; metric points as their table has them, what is NULL left out.
fn objects(signal: Signal, rows: &RecordBatch) -> Vec<Json> {
    match signal {
        Signal::Logs => {
            let places = vec![Cursor { time: 0, hash: 0, ordinal: 0 }; rows.num_rows()];
            let without_place = |row| {
                let mut row = serde_json::to_value(row).unwrap_or_default();
                if let Some(members) = row.as_object_mut() {
                    members.remove("row");
                }
                row
            };
            logs::rows(rows, &places).into_iter().map(without_place).collect()
        }
        Signal::Spans => {
            spans::rows(rows).into_iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect()
        }
        Signal::MetricPoints => {
            let cells = Cells::new(rows);
            let schema = rows.schema();
            let mut values = Vec::new();
            crate::sql::append(rows, &mut values);
            let named = |(row, values): (usize, Vec<Json>)| {
                let names = schema.fields().iter().map(|field| field.name());
                let mut object: serde_json::Map<String, Json> =
                    names.cloned().zip(values).filter(|(_, value)| !value.is_null()).collect();
                for column in ["attributes", "resource_attributes", "scope_attributes"] {
                    if object.contains_key(column) {
                        let plain = crate::cells::plain(&cells.object(column, row));
                        object.insert(column.to_owned(), Json::Object(plain));
                    }
                }
                Json::Object(object)
            };
            values.into_iter().enumerate().map(named).collect()
        }
    }
}
