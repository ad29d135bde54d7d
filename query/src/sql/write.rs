//! Results of SQL as files.

use super::{SqlBatches, values};
use crate::QueryError;
use arrow::ipc::writer::StreamWriter;
use serde_json::{Map, Value as Json};
use std::collections::HashSet;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlFormat {
    /// One JSON object with columns, rows and what was looked at.
    Json,
    /// One JSON object a row.
    Ndjson,
    /// RFC 4180, the columns' names first.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl SqlFormat {
    /// The format of a name or a media type.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "json" | "application/json" => Some(Self::Json),
            "ndjson" | "jsonl" | "application/x-ndjson" => Some(Self::Ndjson),
            "csv" | "text/csv" => Some(Self::Csv),
            "arrow" | "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        }
    }

    /// Its media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// A result as an Arrow IPC stream.
pub(crate) fn arrow(result: &SqlBatches) -> Result<Vec<u8>, QueryError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &result.schema)?;
    for batch in &result.batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

/// A result as lines of JSON.
///
/// # Errors
/// [`crate::ErrorCode::InvalidArgument`] when two columns have the same name: an object has each name once.
pub(crate) fn ndjson(result: &SqlBatches) -> Result<Vec<u8>, QueryError> {
    let mut known = HashSet::new();
    if let Some(field) = result.schema.fields().iter().find(|field| !known.insert(field.name())) {
        let message = format!(
            "two columns are called `{}`: give the columns different names by AS, or take json, csv or arrow",
            field.name()
        );
        return Err(QueryError::invalid("sql", message));
    }
    let mut out = Vec::new();
    for batch in &result.batches {
        let mut rows = Vec::new();
        values::append(batch, &mut rows);
        for row in rows {
            let names = result.schema.fields().iter().map(|field| field.name().clone());
            let object: Map<String, Json> = names.zip(row).collect();
            out.extend_from_slice(Json::Object(object).to_string().as_bytes());
            out.push(b'\n');
        }
    }
    Ok(out)
}

/// A result as CSV: NULL is nothing, an empty text a pair of quotes.
pub(crate) fn csv(result: &SqlBatches) -> Vec<u8> {
    let mut out = String::new();
    line(result.schema.fields().iter().map(|field| Some(field.name().clone())), &mut out);
    for batch in &result.batches {
        let mut rows = Vec::new();
        values::append(batch, &mut rows);
        for row in rows {
            let texts = row.into_iter().map(|value| match value {
                Json::Null => None,
                Json::String(text) => Some(text),
                other => Some(other.to_string()),
            });
            line(texts, &mut out);
        }
    }
    out.into_bytes()
}

fn line(cells: impl Iterator<Item = Option<String>>, out: &mut String) {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            out.push(',');
        }
        let Some(cell) = cell else { continue };
        if cell.is_empty() || cell.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}
