//! Traces as OTLP JSON piece by piece: text is made of some spans at a time, so that a trace of many is never there as text.

use super::{groups, span, spans};
use crate::cells::Cells;
use crate::traces::Whole;
use serde_json::{Map, Value as Json};

/// Spans of a piece.
const PIECE_SPANS: usize = 64;
/// Spans of a message.
const MESSAGE_SPANS: usize = 1_024;

enum Piece {
    Text(String),
    /// Rows of a trace.
    Spans {
        trace: usize,
        rows: Vec<usize>,
        is_first: bool,
    },
}

/// The items of `resourceSpans` with commas between them, of traces whose rows come newest first.
pub(crate) fn resource_spans(traces: Vec<Whole>) -> impl Iterator<Item = Vec<u8>> + Send + 'static {
    let mut pieces = Vec::new();
    for (trace, whole) in traces.iter().enumerate() {
        let cells = Cells::new(&whole.spans);
        for (_, resource, scopes) in groups(&cells, (0..whole.spans.num_rows()).rev()) {
            let comma = if pieces.is_empty() { "" } else { "," };
            pieces.push(Piece::Text(format!("{comma}{}", opened(resource, "scopeSpans"))));
            for (number, (_, scope, rows)) in scopes.into_iter().enumerate() {
                let comma = if number == 0 { "" } else { "," };
                pieces.push(Piece::Text(format!("{comma}{}", opened(scope, "spans"))));
                let of_scope = rows.chunks(PIECE_SPANS).enumerate();
                pieces.extend(of_scope.map(|(number, rows)| Piece::Spans {
                    trace,
                    rows: rows.to_vec(),
                    is_first: number == 0,
                }));
                pieces.push(Piece::Text("]}".to_owned()));
            }
            pieces.push(Piece::Text("]}".to_owned()));
        }
    }
    pieces.into_iter().map(move |piece| match piece {
        Piece::Text(text) => text.into_bytes(),
        Piece::Spans { trace, rows, is_first } => {
            let cells = Cells::new(&traces[trace].spans);
            let mut text = String::new();
            for (number, row) in rows.into_iter().enumerate() {
                if number > 0 || !is_first {
                    text.push(',');
                }
                text.push_str(&span(&cells, row).to_string());
            }
            text.into_bytes()
        }
    })
}

/// An object up to the first item of a list that is its last member.
fn opened(object: Map<String, Json>, list: &str) -> String {
    let mut text = Json::Object(object).to_string();
    text.pop();
    let comma = if text.len() > 1 { "," } else { "" };
    format!("{text}{comma}\"{list}\":[")
}

/// The spans of traces whose rows come newest first as messages with some spans each, the oldest first.
pub(crate) fn messages(traces: Vec<Whole>) -> impl Iterator<Item = Json> + Send + 'static {
    traces.into_iter().flat_map(|whole| {
        let rows = whole.spans.num_rows();
        (0..rows.div_ceil(MESSAGE_SPANS)).map(move |number| {
            let newest = rows - number * MESSAGE_SPANS;
            spans(&whole.spans, (newest.saturating_sub(MESSAGE_SPANS)..newest).rev())
        })
    })
}
