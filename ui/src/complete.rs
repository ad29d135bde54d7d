//! What may stand at the caret of a query: the answers that the boxes for queries ask for while a person types.

mod promql;
mod search;
mod sql;

use crate::completion::{Completion, Completions};
use crate::context::UiContext;
use crate::request::PageRequest;
use axum::Json;
use axum::extract::State;
use mangru_store::Signal;
use std::sync::Arc;

/// Items of one answer.
const MOST: usize = 12;

/// Answers `/complete?in=search|promql|sql&signal=&start=&end=&text=`, where the text ends at the caret. What cannot be
/// completed is an empty list.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Json<Completions> {
    let text = request.params.get("text").unwrap_or("");
    let range = request.time.range;
    let found = match request.params.get("in") {
        Some("promql") => promql::complete(&context.query, text, range, request.language).await,
        Some("sql") => request.language.scope(|| sql::complete(text)),
        _ => {
            let signal = request
                .params
                .get("signal")
                .and_then(|name| Signal::ALL.into_iter().find(|signal| signal.table() == name));
            search::complete(&context.query, signal.unwrap_or(Signal::Logs), text, range).await
        }
    };
    Json(found)
}

/// Where a box asks for completions: everything but the text.
pub(crate) fn address(request: &PageRequest, language: &str, signal: Signal) -> String {
    let params = request.time.params().with("in", language).with("signal", signal.table());
    format!("{}&text=", params.on("/complete"))
}

/// The items that go on from what was typed, the best first: those that begin so, then those that hold it.
fn matching(typed: &str, all: impl IntoIterator<Item = Completion>) -> Vec<Completion> {
    let typed_lower = typed.to_lowercase();
    let mut begins = Vec::new();
    let mut holds = Vec::new();
    for item in all {
        let shown = item.shown.to_lowercase();
        if shown == typed_lower && item.text == typed {
            continue;
        }
        if shown.starts_with(&typed_lower) {
            begins.push(item);
        } else if typed.len() >= 2 && shown.contains(&typed_lower) {
            holds.push(item);
        }
        if begins.len() >= MOST {
            break;
        }
    }
    begins.append(&mut holds);
    begins.truncate(MOST);
    begins
}

/// How many UTF-16 units a text has.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
