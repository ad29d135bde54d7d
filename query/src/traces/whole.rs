//! All spans of one trace; of too many the earliest, with the root.

use super::of_trace;
use crate::logs::any_time;
use crate::scan::{self, Control, Counting, Held, Newest, ScanRequest};
use crate::{Coverage, ErrorCode, QueryError, QueryService, request};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use mangru_store::{Signal, TraceId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// Spans of one trace that are given at most.
pub(super) const MAX_SPANS: usize = 1_000_000;
/// A trace is not cut to fewer spans than these for want of memory: the query ends with an error.
const FEW_SPANS: usize = 1_000;

/// What is asked of a trace.
pub(super) struct WholeRequest {
    pub(super) id: TraceId,
    pub(super) columns: Vec<&'static str>,
    /// Spans at most.
    pub(super) limit: usize,
    /// The memory that the caller needs for each span beside its row.
    pub(super) span_bytes: usize,
}

/// The spans of a trace, the newest first.
pub(crate) struct Whole {
    pub(crate) spans: RecordBatch,
    pub(crate) coverage: Coverage,
    /// The memory of the spans, and what the caller needs for them.
    pub(super) held: Held,
}

impl QueryService {
    /// Reads a trace. When it has more spans than the limit, or than there is memory for, the earliest are given, and the
    /// coverage says so.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when no span was found and there are parts that could not be read.
    pub(super) async fn whole(&self, request: &WholeRequest, control: &Control) -> Result<Whole, QueryError> {
        let started = Instant::now();
        let mut scan = any_time(Signal::Spans, of_trace(&request.id.to_string()), request.columns.clone());
        let first_limit = match self.spans_within(&scan, request, request.limit, control).await {
            Ok((page, held)) if !page.more => return finished(request.id, page, held, None, started),
            Ok(_) => Some(request.limit),
            Err(error) if error.code == ErrorCode::ResourceExhausted => None,
            Err(error) => return Err(error),
        };
        let (times, _held_times) = self.times(&scan, control).await?;
        let mut limit = first_limit.unwrap_or(times.len() / 2).min(request.limit);
        loop {
            let Some(last) = limit.checked_sub(1).and_then(|last| times.get(last)).copied() else {
                return Err(scan::exhausted(control.memory()));
            };
            scan.range.end = last.saturating_add(1);
            let within = times.partition_point(|time| *time <= last);
            match self.spans_within(&scan, request, within, control).await {
                Ok((page, held)) => return finished(request.id, page, held, Some((limit, times.len())), started),
                Err(error) if error.code == ErrorCode::ResourceExhausted && limit > FEW_SPANS => limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    async fn spans_within(
        &self,
        scan: &ScanRequest,
        request: &WholeRequest,
        limit: usize,
        control: &Control,
    ) -> Result<(Newest, Held), QueryError> {
        let page = scan::newest(self.store(), scan, limit, None, Counting::Page, control).await?;
        let mut held = control.held();
        held.cover(page.rows.get_array_memory_size() + page.rows.num_rows() * request.span_bytes)?;
        Ok((page, held))
    }

    /// When the spans of a scan started, sorted.
    async fn times(&self, scan: &ScanRequest, control: &Control) -> Result<(Vec<i64>, Held), QueryError> {
        let scan = ScanRequest { columns: vec!["time"], ..scan.clone() };
        let held = Arc::new(Mutex::new((0, control.held())));
        let shared = Arc::clone(&held);
        let each = move |times: &mut Vec<i64>, batch: &RecordBatch| {
            if let Some(column) = batch.column(0).as_primitive_opt::<TimestampNanosecondType>() {
                let mut taken = shared.lock();
                let (sum, held) = &mut *taken;
                // Once here, once among all.
                *sum += 2 * size_of_val(&column.values()[..]);
                held.cover(*sum)?;
                times.extend(column.values());
            }
            Ok(())
        };
        let (pieces, _) = scan::for_each(self.store(), &scan, control, Vec::new, each).await?;
        let mut times = pieces.concat();
        times.sort_unstable();
        let held = std::mem::replace(&mut held.lock().1, control.held());
        Ok((times, held))
    }
}

/// The answer: all spans of the page, or of those `cut` to a number the earliest.
fn finished(
    id: TraceId,
    page: Newest,
    held: Held,
    cut: Option<(usize, usize)>,
    started: Instant,
) -> Result<Whole, QueryError> {
    let rows = page.rows.num_rows();
    if rows == 0 && !page.unreadable_parts.is_empty() {
        let parts = request::unreadable(&page.unreadable_parts);
        return Err(QueryError::internal(format!("whether there is a span of trace {id} is not known: {parts}")));
    }
    let mut coverage = Coverage {
        matched: cut.map_or(rows, |(_, all)| all) as u64,
        matched_is_exact: true,
        complete: true,
        limit_hit: None,
        rows_in_range: page.rows_in_range,
        elapsed_ms: request::elapsed_ms(started),
    };
    coverage.unreadable(&page.unreadable_parts);
    let spans = match cut {
        None => page.rows,
        Some((limit, all)) => {
            coverage.cut(format!("limit of {limit} spans: the earliest of {all}"));
            let left_out = rows.saturating_sub(limit);
            page.rows.slice(left_out, rows - left_out)
        }
    };
    Ok(Whole { spans, coverage, held })
}
