//! Completion in SQL: tables, columns, key words, functions.

use super::{matching, units};
use crate::completion::{Completion, Completions};
use crate::text::tr;
use mangru_store::Signal;

/// Words and functions with what they take or give.
fn words() -> [(&'static str, &'static str); 30] {
    [
        ("SELECT ", ""),
        ("FROM ", ""),
        ("WHERE ", ""),
        ("GROUP BY ", ""),
        ("ORDER BY ", ""),
        ("LIMIT ", ""),
        ("HAVING ", ""),
        ("JOIN ", ""),
        ("LEFT JOIN ", ""),
        ("DISTINCT ", ""),
        ("BETWEEN ", ""),
        ("INTERVAL ", ""),
        ("DESC", ""),
        ("CASE WHEN ", ""),
        ("count(*)", tr("rows")),
        ("count(DISTINCT ", tr("distinct values")),
        ("sum(", ""),
        ("avg(", ""),
        ("min(", ""),
        ("max(", ""),
        ("approx_percentile_cont(", tr("column, share")),
        ("date_bin(", tr("interval, time")),
        ("date_trunc(", tr("unit, time")),
        ("now()", ""),
        ("matches(", tr("column, 'words'")),
        ("search(", tr("'logs', 'a search'")),
        ("trace(", tr("'trace id'")),
        ("regexp_like(", tr("text, expression")),
        ("coalesce(", ""),
        ("EXPLAIN ", ""),
    ]
}

/// Completes SQL.
pub(super) fn complete(text: &str) -> Completions {
    // Within a string nothing is known.
    if text.matches('\'').count() % 2 == 1 {
        return Completions::default();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let start = text.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(text.len(), |(at, _)| at);
    let typed = &text[start..];
    if typed.is_empty() || typed.starts_with(|c: char| c.is_ascii_digit()) {
        return Completions::default();
    }
    let named: Vec<Signal> = Signal::ALL.into_iter().filter(|signal| text.contains(signal.table())).collect();
    let mut all: Vec<Completion> = Signal::ALL
        .into_iter()
        .map(|signal| Completion {
            text: signal.table().to_owned(),
            shown: signal.table().to_owned(),
            detail: tr("table").to_owned(),
        })
        .collect();
    for signal in if named.is_empty() { Signal::ALL.to_vec() } else { named } {
        let schema = signal.schema();
        for field in schema.fields() {
            if !all.iter().any(|known| known.shown == *field.name()) {
                let detail = format!("{} · {}", signal.table(), field.data_type());
                all.push(Completion {
                    text: field.name().clone(),
                    shown: field.name().clone(),
                    detail: crate::format::clipped(&detail, 40),
                });
            }
        }
    }
    all.extend(words().map(|(word, what)| Completion {
        text: word.to_owned(),
        shown: word.trim_end().to_owned(),
        detail: what.to_owned(),
    }));
    Completions { replace: units(typed), items: matching(typed, all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_named_table_and_words_are_offered() {
        let shown = |text: &str| complete(text).items.into_iter().map(|item| item.shown).collect::<Vec<_>>();
        assert!(shown("SELECT severity_n").contains(&"severity_number".to_owned()));
        assert!(shown("SELECT * FROM lo").contains(&"logs".to_owned()));
        assert!(!shown("SELECT durat FROM logs WHERE durat").contains(&"duration_ns".to_owned()));
        assert!(shown("sel").contains(&"SELECT".to_owned()));
        assert!(shown("WHERE body = 'sel").is_empty());
    }
}
