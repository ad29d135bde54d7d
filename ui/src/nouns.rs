//! Counts with their nouns, in the reader's language.

use crate::format;
use crate::text::{Language, filled, tr};

/// A count with its noun: `1 span`, `2,000 spans`; in a language with counters as it says that: `스팬 2,000개`.
pub(crate) fn counted(value: u64, noun: &'static str) -> String {
    if value == 1 && Language::of_page() == Language::English {
        return format!("1 {noun}");
    }
    filled(many(noun), &[&format::count(value)])
}

/// How a count of more than one is said.
fn many(noun: &str) -> &'static str {
    match noun {
        "alert" => tr("{0} alerts"),
        "call" => tr("{0} calls"),
        "connection" => tr("{0} connections"),
        "day" => tr("{0} days"),
        "edge" => tr("{0} edges"),
        "error" => tr("{0} errors"),
        "error log" => tr("{0} error logs"),
        "evaluation" => tr("{0} evaluations"),
        "example" => tr("{0} examples"),
        "frame" => tr("{0} frames"),
        "group" => tr("{0} groups"),
        "hop" => tr("{0} hops"),
        "kind of call" => tr("{0} kinds of calls"),
        "log line" => tr("{0} log lines"),
        "matching trace" => tr("{0} matching traces"),
        "node" => tr("{0} nodes"),
        "operation" => tr("{0} operations"),
        "part" => tr("{0} parts"),
        "row" => tr("{0} rows"),
        "rule" => tr("{0} rules"),
        "span" => tr("{0} spans"),
        "time" => tr("{0} times"),
        "value" => tr("{0} values"),
        _ => "{0}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::{in_korean, sources};

    #[test]
    fn counts_are_said_as_the_language_says_them() {
        assert_eq!(counted(1, "span"), "1 span");
        assert_eq!(counted(2_000, "kind of call"), "2,000 kinds of calls");
        assert_eq!(in_korean(|| counted(1, "span")), "스팬 1개");
        assert_eq!(in_korean(|| counted(2_000, "row")), "2,000행");
    }

    #[test]
    fn every_noun_that_a_page_counts_is_in_the_list() {
        let mut nouns = 0;
        for (path, source) in sources() {
            for (at, _) in source.match_indices("counted(") {
                let is_call_of_a_page = !source[..at].ends_with("format::") && !source[..at].ends_with("fn ");
                // The noun is the literal before the call's end.
                let call = &source[at..source[at..].find([';', '\n']).map_or(source.len(), |end| at + end)];
                let noun = call.split("\", ").next().and_then(|call| call.split_once(", \"")).map(|(_, noun)| noun);
                let Some(noun) = noun.and_then(|noun| noun.split('"').next()).filter(|_| is_call_of_a_page) else {
                    continue;
                };
                assert_ne!(many(noun), "{0}", "{}: how are {noun}s counted?", path.display());
                nouns += 1;
            }
        }
        assert!(nouns > 30, "the calls are found: {nouns}");
    }
}
