//! What the query service and the import of dashboards say, in the reader's language.
//!
//! Their words are English, with numbers and quoted pieces in them. Without these they are the keys of their translations.

use super::{Language, filled, tr_any};
use std::fmt::Write as _;

/// What is said so, its values taken out: what cut an answer, what is wrong with a search, what an import leaves out.
#[cfg(test)]
pub(super) const SAID: &[&str] = &[
    "limit of {0} groups",
    "limit of {0} spans that match",
    "limit of {0} spans that match the last set",
    "limit of {0} spans: the earliest of {1}",
    "limit of {0} rows",
    "limit of {0} rows from row {1}",
    "limit of {0} different patterns",
    "limit of {0} patterns",
    "limit of {0} distinct values",
    "limit of {0} values",
    "limit of {0} traces",
    "limit of {0} spans joined",
    "limit of {0} nodes",
    "limit of {0} links",
    "limit of {0} exemplars",
    "limit of {0} lines",
    "limit of {0} fields",
    "limit of {0} values of a field",
    "chosen among the newest {0} traces only",
    "{0} parts could not be read: {1}",
    "a value is missing after {0}",
    "a word or value is missing",
    "a word or value is missing before {0}",
    "query is longer than {0} bytes",
    "query holds more than {0} tests",
    "parentheses nest deeper than {0}",
    "negations nest deeper than {0}",
    "{0} holds no letter or digit to search for",
    "regular expression is not valid: {0}",
    "a set of spans has no closing {0}",
    "there are more than {0} sets of spans",
    "expected {0} at {1}",
    "expected >>, >, <<, <, ~, & or || at {0}",
    "{0} is not a severity: {1}",
    "query took longer than its deadline of {0} ms",
    "panel {0}",
    "row {0}",
    "variable {0}",
    "several values at once cannot be chosen; one, or all",
    "only label_values(…) is known, not {0}",
    "its values do not depend on other variables",
    "its regular expression is left out: all values are offered",
    "it is not repeated for each value of a variable",
    "rows are not kept: its panels stand behind each other",
    "its text is shown as it stands: only paragraphs, lists and headings are set",
    "left out: it has no query of Prometheus that could be taken over",
    "its transformations are left out",
    "a link with variables is left out",
    "settings of single series are left out",
    "further queries are left out",
    "annotations are left out",
    "links of the dashboard are left out",
    "closing parenthesis without an opening one",
    "opening parenthesis is never closed",
    "nothing stands after OR",
    "nothing stands before OR",
    "nothing stands after AND",
    "nothing stands before AND",
    "nothing stands after the negation",
    "a search term is missing",
    "a value is missing",
    "regular expression is never closed",
    "a range is written [low TO high]",
    "range is never closed by ] or }",
    "an end of the range is missing",
    "list of values is never closed",
    "a list of values is joined by OR only",
    "list of values is empty",
    "a prefix holds at least one letter or digit",
];

/// A message in the language of the page; as it is where that has no words for it.
pub(crate) fn told(message: &str) -> String {
    if Language::of_page() == Language::English {
        return message.to_owned();
    }
    let with = |words: &str, values: &[String]| filled(words, &values.iter().map(String::as_str).collect::<Vec<_>>());
    let (key, values) = without_values(message);
    if let Some(words) = tr_any(&key) {
        return with(words, &values);
    }
    // What follows a colon may be anything, or is said of what stands before it.
    for (at, _) in message.match_indices(": ") {
        let (head, tail) = (&message[..at], &message[at + 2..]);
        let (key, mut values) = without_values(head);
        if let Some(words) = tr_any(&format!("{key}: {{{}}}", values.len())) {
            values.push(tail.to_owned());
            return with(words, &values);
        }
        if let Some(words) = tr_any(&key) {
            return format!("{}: {}", with(words, &values), told(tail));
        }
    }
    message.to_owned()
}

/// A message with a place for each number and each quoted piece, and what stood there.
fn without_values(message: &str) -> (String, Vec<String>) {
    let (mut key, mut values) = (String::new(), Vec::<String>::new());
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let is_inside_word = key.chars().next_back().is_some_and(char::is_alphanumeric);
        let length = match first {
            '`' => rest[1..].find('`').map(|end| end + 2),
            '“' => rest.find('”').map(|end| end + '”'.len_utf8()),
            first if first.is_ascii_digit() && !is_inside_word => {
                Some(rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',').len())
            }
            _ => None,
        };
        let Some(length) = length else {
            key.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        // Writing to text does not fail.
        let _ = write!(key, "{{{}}}", values.len());
        values.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    (key, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_in_korean_with_their_values() {
        Language::Korean.scope(|| {
            assert_eq!(told("limit of 1,000 rows"), "1,000개 행 제한");
            assert_eq!(told("a value is missing after `level:`"), "`level:` 뒤에 값이 없습니다");
            assert_eq!(told("panel “a 1”: its transformations are left out"), "패널 “a 1”: 변환은 빠졌습니다");
            assert_eq!(
                told("regular expression is not valid: unclosed group"),
                "정규식이 올바르지 않습니다: unclosed group"
            );
            assert_eq!(told("something new about 5 things"), "something new about 5 things");
        });
        assert_eq!(told("limit of 1,000 rows"), "limit of 1,000 rows");
    }
}
