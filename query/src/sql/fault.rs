//! What is wrong with a statement: in words, and where in its text.

use crate::QueryError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

/// The prefix of the names of our tables, which nobody writes.
const CATALOG: &str = "datafusion.public.";
const PLACE: &str = " at Line: ";
/// What the list of all fields begins with.
const VALID_FIELDS: &str = " Valid fields are ";
/// Of more the list is left out: tables have many columns, and a guess stands before them.
const FEW_FIELDS: usize = 12;

/// What the parser says, in a sentence of ours.
pub(super) fn of_parser(error: &ParserError) -> String {
    match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            message.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1)
        }
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
    }
}

/// What planning says, without names and prefixes of the engine.
pub(super) fn of_plan(error: &DataFusionError) -> String {
    let message = error.strip_backtrace();
    let prefixes = ["Error during planning: ", "Schema error: "];
    let message = prefixes.iter().find_map(|prefix| message.strip_prefix(prefix)).unwrap_or(&message);
    let message = message.replace(CATALOG, "");
    match message.split_once(VALID_FIELDS) {
        Some((words, fields)) if fields.split(", ").count() > FEW_FIELDS => words.to_owned(),
        _ => message,
    }
}

/// The same error with the place in the statement that it is about, where its message tells one.
pub(super) fn placed(mut error: QueryError, sql: &str) -> QueryError {
    if error.field != Some("sql") || error.position.is_some() {
        return error;
    }
    if let Some((words, line, column)) = split(&error.message) {
        error.position = Some(position(sql, line, column));
        error.message = words;
    } else if error.message.ends_with("found EOF") {
        error.position = Some(sql.chars().count());
    } else {
        error.position = named(&error.message).and_then(|name| word(sql, name));
    }
    if let Some(words) = error.message.strip_suffix("found EOF") {
        error.message = format!("{words}found the end of the statement");
    }
    error
}

/// A message with its place taken off: line and column, from 1.
fn split(message: &str) -> Option<(String, usize, usize)> {
    let (words, place) = message.rsplit_once(PLACE)?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((words.to_owned(), line.trim().parse().ok()?, column.trim().parse().ok()?))
}

/// The characters before a line and a column, both from 1.
fn position(sql: &str, line: usize, column: usize) -> usize {
    let before: usize = sql.split('\n').take(line.saturating_sub(1)).map(|line| line.chars().count() + 1).sum();
    (before + column.saturating_sub(1)).min(sql.chars().count())
}

/// The table, field or function that a message says is not there.
fn named(message: &str) -> Option<&str> {
    let quoted = ["table '", "Invalid function '"].iter().find_map(|start| message.strip_prefix(start));
    if let Some(rest) = quoted {
        return rest.split('\'').next();
    }
    let rest = message.strip_prefix("No field named ")?;
    let end = rest.find(['\n', ' ']).unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('.').trim_matches('"'))
}

/// Where a name stands in a statement as a word of its own, in characters.
fn word(sql: &str, name: &str) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    // Only letters of one byte change, so that places stay.
    let (sql, name) = (sql.to_ascii_lowercase(), name.to_ascii_lowercase());
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let found = sql
        .match_indices(&name)
        .find(|(at, found)| !sql[..*at].ends_with(is_part) && !sql[at + found.len()..].starts_with(is_part))?;
    Some(sql[..found.0].chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(sql: &str, message: &str) -> (String, Option<usize>) {
        let found = placed(QueryError::invalid("sql", message), sql);
        (found.message, found.position)
    }

    #[test]
    fn the_place_of_a_fault_is_in_characters() {
        let found = fault("SELECT \"결제\"\nFORM logs", "expected end of statement, found logs at Line: 2, Column: 6");
        assert_eq!(found, ("expected end of statement, found logs".to_owned(), Some(17)));
        assert_eq!(fault("SELECT", "expected an expression, found EOF").1, Some(6));
        assert_eq!(fault("x", "no place at Line: one, Column: 2").1, None);
    }

    #[test]
    fn a_name_that_is_not_there_is_pointed_at() {
        assert_eq!(fault("SELECT nope1, nope FROM logs", "No field named nope. Valid fields are a").1, Some(14));
        assert_eq!(fault("SELECT * FROM Nope", "table 'nope' not found").1, Some(14));
        assert_eq!(fault("SELECT 1", "table 'nope' not found").1, None);
    }
}
