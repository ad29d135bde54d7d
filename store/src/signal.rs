//! The three signals, and a batch of one of them.

use crate::schema;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

/// A kind of telemetry, one table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Signal {
    /// Log records: table `logs`.
    Logs = 0,
    /// Spans: table `spans`.
    Spans = 1,
    /// Metric data points: table `metric_points`.
    MetricPoints = 2,
}

impl Signal {
    /// Every signal, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Spans, Self::MetricPoints];

    /// The table's name in SQL, in the catalog and in paths.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
            Self::MetricPoints => "metric_points",
        }
    }

    /// The signal with this number, as journals and part names write it.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Logs),
            1 => Some(Self::Spans),
            2 => Some(Self::MetricPoints),
            _ => None,
        }
    }

    /// The Arrow schema of every batch of this signal.
    pub fn schema(self) -> SchemaRef {
        schema::schema(self)
    }
}

/// Rows of one signal with exactly that signal's schema.
#[derive(Clone, Debug)]
pub struct SignalBatch {
    signal: Signal,
    rows: RecordBatch,
}

impl SignalBatch {
    /// Takes the rows when their schema is the signal's.
    ///
    /// # Errors
    /// Gives the name of the first field that differs.
    pub fn new(signal: Signal, rows: RecordBatch) -> Result<Self, SchemaMismatch> {
        let expected = signal.schema();
        let found = rows.schema();
        for (index, field) in expected.fields().iter().enumerate() {
            if found
                .fields()
                .get(index)
                .is_none_or(|other| other.name() != field.name() || other.data_type() != field.data_type())
            {
                return Err(SchemaMismatch { signal, field: field.name().clone() });
            }
        }
        Ok(Self { signal, rows })
    }

    /// The signal of the rows.
    pub const fn signal(&self) -> Signal {
        self.signal
    }

    /// The rows.
    pub const fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The rows, given away.
    pub fn into_rows(self) -> RecordBatch {
        self.rows
    }
}

/// A batch whose columns are not those of its signal.
#[derive(Debug, thiserror::Error)]
#[error("batch does not fit table {}: field {field} differs or is missing", signal.table())]
pub struct SchemaMismatch {
    signal: Signal,
    field: String,
}
