//! Bodies that are written piece by piece: what they are made of is held until the last piece is gone, their text is not.

use crate::SpanRow;
use crate::spans;
use crate::traces::Whole;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use std::convert::Infallible;
use std::iter::once;

/// Spans of a piece.
const PIECE_SPANS: usize = 64;

/// JSON of the pieces, between two texts.
pub(super) fn json(
    before: impl Into<Vec<u8>>,
    pieces: impl Iterator<Item = Vec<u8>> + Send + 'static,
    behind: impl Into<Vec<u8>>,
) -> Response {
    written(once(before.into()).chain(pieces).chain(once(behind.into())), "application/json")
}

/// A body of the pieces.
pub(super) fn written(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static, media_type: &'static str) -> Response {
    let body = Body::from_stream(futures::stream::iter(pieces.map(Ok::<_, Infallible>)));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
}

/// How a trace is written.
pub(super) trait Form {
    /// What stands before its spans.
    fn open(&mut self, trace_id: &str) -> String;
    /// A span.
    fn span(&mut self, trace_id: &str, span: &SpanRow) -> Value;
    /// What stands behind its spans.
    fn close(&mut self) -> String;
}

/// Traces whose rows come newest first, their spans the oldest first, with commas between them.
pub(super) fn traces(traces: Vec<Whole>, form: impl Form + Send + 'static) -> impl Iterator<Item = Vec<u8>> + Send {
    let steps: Vec<(usize, usize)> = traces
        .iter()
        .enumerate()
        .flat_map(|(trace, whole)| (0..whole.spans.num_rows().div_ceil(PIECE_SPANS)).map(move |piece| (trace, piece)))
        .collect();
    let mut form = form;
    steps.into_iter().map(move |(trace, piece)| {
        let rows = traces[trace].spans.num_rows();
        let end = rows - piece * PIECE_SPANS;
        let start = end.saturating_sub(PIECE_SPANS);
        let mut text = String::new();
        let spans = spans::rows(&traces[trace].spans.slice(start, end - start));
        for (number, span) in spans.iter().rev().enumerate() {
            if number > 0 || piece > 0 {
                text.push(',');
            } else {
                text.push_str(if trace > 0 { "," } else { "" });
                text.push_str(&form.open(&span.trace_id));
            }
            text.push_str(&form.span(&span.trace_id, span).to_string());
        }
        if start == 0 {
            text.push_str(&form.close());
        }
        text.into_bytes()
    })
}
