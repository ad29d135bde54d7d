//! The whole result of a search as a file, read page by page while it is sent.

use crate::context::UiContext;
use crate::parts::plain;
use crate::request::PageRequest;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use mangru_query::{LogRow, RowsRequest};
use std::fmt::Write as _;
use std::sync::Arc;

const ROWS_PER_READ: usize = 1000;
const CSV_HEAD: &str = "time_unix_nano,severity_number,severity_text,service_name,body,trace_id,span_id,correlation_id,scope_name,event_name,attributes,resource_attributes\n";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Ndjson,
    Csv,
}

/// What is left to send: the request of the next page, if there is one.
struct Rest {
    next: Option<RowsRequest>,
    head: Option<&'static str>,
}

/// Answers `/logs/export?q=&start=&end=&format=ndjson|csv`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let form = match request.params.get("format") {
        None | Some("ndjson") => Form::Ndjson,
        Some("csv") => Form::Csv,
        Some(_) => return (StatusCode::BAD_REQUEST, "format is ndjson or csv\n").into_response(),
    };
    if let Some(error) = request.time.error {
        return (StatusCode::BAD_REQUEST, format!("{}\n", error.words())).into_response();
    }
    let first = RowsRequest {
        query: request.query().to_owned(),
        range: request.time.range,
        limit: ROWS_PER_READ,
        cursor: None,
    };
    // Asked once beforehand, so that a query that does not parse is an error and not an empty file.
    if let Err(error) = context.query.logs(&RowsRequest { limit: 1, ..first.clone() }).await {
        return (StatusCode::BAD_REQUEST, format!("{}\n", error.message)).into_response();
    }
    let start = Rest { next: Some(first), head: (form == Form::Csv).then_some(CSV_HEAD) };
    let chunks = stream::try_unfold(start, move |rest| {
        let context = Arc::clone(&context);
        async move {
            let Some(request) = rest.next else { return Ok(None) };
            // An error in the middle ends the connection unfinished, which every client sees as a failed download.
            let page = context.query.logs(&request).await.map_err(|error| std::io::Error::other(error.message))?;
            let mut text = rest.head.unwrap_or("").to_owned();
            for row in &page.rows {
                write_row(&mut text, row, form);
            }
            let next = page.cursor.map(|cursor| RowsRequest { cursor: Some(cursor), ..request });
            Ok::<_, std::io::Error>(Some((text, Rest { next, head: None })))
        }
    });
    let mut response = Body::from_stream(chunks).into_response();
    let (content_type, disposition) = match form {
        Form::Ndjson => ("application/x-ndjson", "attachment; filename=\"logs.ndjson\""),
        Form::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"logs.csv\""),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
    response
}

fn write_row(text: &mut String, row: &LogRow, form: Form) {
    match form {
        Form::Ndjson => {
            if let Ok(json) = serde_json::to_string(row) {
                text.push_str(&json);
                text.push('\n');
            }
        }
        Form::Csv => {
            let attributes = serde_json::to_string(&row.attributes).unwrap_or_default();
            let resource = serde_json::to_string(&row.resource_attributes).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = write!(text, "{},{}", row.time_unix_nano, row.severity_number);
            let body = plain(&row.body);
            for cell in [
                row.severity_text.as_str(),
                &row.service_name,
                &body,
                &row.trace_id,
                &row.span_id,
                &row.correlation_id,
                &row.scope_name,
                &row.event_name,
                &attributes,
                &resource,
            ] {
                text.push(',');
                push_cell(text, cell);
            }
            text.push('\n');
        }
    }
}

/// Quotes a cell by RFC 4180. A cell that a spreadsheet would take for a formula gets a leading apostrophe.
fn push_cell(text: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !cell.contains([',', '"', '\n', '\r']) {
        text.push_str(cell);
        return;
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let cell = |text: &str| {
            let mut out = String::new();
            push_cell(&mut out, text);
            out
        };
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
        assert_eq!(cell("=cmd()"), "\"'=cmd()\"");
    }
}
