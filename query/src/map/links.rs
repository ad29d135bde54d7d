//! Links of consumer spans to the spans that sent what they consume.

use super::rows::{Room, column, span_key, trace_key};
use crate::QueryError;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;
use hashbrown::HashSet;
use mangru_store::nested::{self, Link as Stored};
use mangru_store::{SpanId, TraceId};

/// The columns that [`read`] needs.
pub(super) const COLUMNS: &[&str] = &["trace_id", "span_id", "kind", "links"];

const CONSUMER: i32 = 5;

/// A span by its trace and its own id.
pub(super) type SpanKey = ([u64; 2], u64);

/// A consumer span and a span it is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Link {
    pub(super) consumer: SpanKey,
    pub(super) target: SpanKey,
}

/// Adds the links of a batch's consumer spans; with `traces` only those that touch one of them.
pub(super) fn read(
    links: &mut Vec<Link>,
    batch: &RecordBatch,
    traces: Option<&HashSet<[u8; 16]>>,
    room: &Room,
) -> Result<(), QueryError> {
    let stored = column(batch, "links")?.as_string::<i32>();
    let kinds = column(batch, "kind")?.as_primitive::<Int32Type>().values();
    let trace_ids = column(batch, "trace_id")?.as_fixed_size_binary();
    let span_ids = column(batch, "span_id")?.as_fixed_size_binary();
    for row in (0..batch.num_rows()).filter(|row| kinds[*row] == CONSUMER && stored.is_valid(*row)) {
        let trace = trace_ids.value(row);
        let is_ours = |trace: &[u8]| traces.is_none_or(|traces| traces.contains(trace));
        let consumer = (trace_key(trace), span_key(span_ids.value(row)));
        for link in nested::read::<Stored>(Some(stored.value(row))) {
            let (Some(target), Some(span)) = (TraceId::from_hex(&link.trace_id), SpanId::from_hex(&link.span_id))
            else {
                continue;
            };
            if (is_ours(trace) || is_ours(&target.0)) && room.take(1)? == 1 {
                links.push(Link { consumer, target: (trace_key(&target.0), span_key(&span.0)) });
            }
        }
    }
    Ok(())
}
