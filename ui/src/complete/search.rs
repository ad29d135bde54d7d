//! Completion in the search language: names of fields, then their values.

use super::{MOST, matching, units};
use crate::completion::{Completion, Completions};
use crate::format;
use crate::parts::field_term;
use mangru_query::{FieldValuesRequest, QueryService};
use mangru_store::{Signal, TimeRange};

/// What stands at the caret.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// The beginning of a word that may become a field.
    Name(&'a str),
    /// The beginning of a field's value; `typed` is as it stands, with its quote.
    Value { field: &'a str, typed: &'a str },
    /// A phrase, or the number of a comparison.
    Elsewhere,
}

fn place(text: &str) -> Place<'_> {
    // The last term begins after the last blank or parenthesis outside quotes.
    let mut start = 0;
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' | '\n' | '(' | ')' if !is_quoted => start = at + c.len_utf8(),
            _ => {}
        }
    }
    let term = text[start..].trim_start_matches('-');
    match term.split_once(':') {
        Some((field, typed)) if !field.contains('"') && !typed.starts_with(['>', '<', '[', '{', '/']) => {
            Place::Value { field, typed }
        }
        None if !term.contains(['"', '>', '<', '=', '/']) => Place::Name(term),
        _ => Place::Elsewhere,
    }
}

const SHORT_FORMS: [(&str, &[Signal]); 9] = [
    ("service", &[Signal::Logs, Signal::Spans]),
    ("level", &[Signal::Logs]),
    ("status", &[Signal::Spans]),
    ("duration", &[Signal::Spans]),
    ("kind", &[Signal::Spans]),
    ("name", &[Signal::Spans]),
    ("host", &[Signal::Logs, Signal::Spans]),
    ("route", &[Signal::Spans]),
    ("trace", &[Signal::Logs, Signal::Spans]),
];
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];

/// Completes a search.
pub(super) async fn complete(query: &QueryService, signal: Signal, text: &str, range: TimeRange) -> Completions {
    match place(text) {
        Place::Name(typed) if !typed.is_empty() => {
            let short =
                SHORT_FORMS.iter().filter(|(_, signals)| signals.contains(&signal)).map(|(name, _)| (*name).to_owned());
            let (fields, _) = query.fields(signal, range).await.unwrap_or_default();
            let mut all: Vec<Completion> = short.map(|name| named(&name, "")).collect();
            all.extend(fields.iter().map(|field| named(&field.name, &format::count(field.rows))));
            Completions { replace: units(typed), items: matching(typed, all) }
        }
        Place::Value { field, typed } => {
            let prefix = typed.trim_start_matches('"');
            let items = if field == "level" {
                let levels = LEVELS.map(|level| Completion {
                    text: format!("level:{level} "),
                    shown: level.to_owned(),
                    ..Completion::default()
                });
                matching(prefix, levels)
            } else {
                values(query, signal, field, prefix, range).await
            };
            Completions { replace: units(field) + 1 + units(typed), items }
        }
        _ => Completions::default(),
    }
}

fn named(name: &str, detail: &str) -> Completion {
    let term = field_term(name, "x");
    Completion { text: term[..term.len() - 1].to_owned(), shown: name.to_owned(), detail: detail.to_owned() }
}

async fn values(query: &QueryService, signal: Signal, field: &str, prefix: &str, range: TimeRange) -> Vec<Completion> {
    let request = FieldValuesRequest {
        signal,
        name: field.to_owned(),
        query: String::new(),
        prefix: prefix.to_owned(),
        range,
        limit: MOST,
    };
    let Ok((values, _)) = query.field_values(&request).await else { return Vec::new() };
    values
        .into_iter()
        .map(|found| Completion {
            text: field_term(field, &found.value) + " ",
            shown: format::clipped(&found.value, 80),
            detail: format::count(found.rows),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_caret_is_found() {
        assert_eq!(place("level:error ser"), Place::Name("ser"));
        assert_eq!(place("(a OR -http."), Place::Name("http."));
        assert_eq!(place("service:che"), Place::Value { field: "service", typed: "che" });
        assert_eq!(place("x http.route:\"/a b"), Place::Value { field: "http.route", typed: "\"/a b" });
        assert_eq!(place("\"some phrase"), Place::Elsewhere);
        assert_eq!(place("duration>2"), Place::Elsewhere);
        assert_eq!(place("\"a b\" "), Place::Name(""));
    }
}
