//! The tree on an index: which rows of a part may match.

use super::evaluate::object_matches;
use super::field::FieldRef;
use super::text::is_single_cjk;
use super::{Expr, Matcher, TextPattern};
use mangru_store::{Candidates, PartIndex, SpanId, StoreError, TraceId};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Terms that one test may walk before the part is scanned instead.
const TERM_BUDGET: usize = 50_000;

/// Rows that may hold an id, found by the part's bloom filters before the tree is walked.
pub(crate) type IdLookups = BTreeMap<(&'static str, [u8; 8]), RoaringBitmap>;

impl Expr {
    /// The span ids that are asked for, with their columns: what [`IdLookups`] is to be filled with.
    pub(crate) fn span_ids(&self) -> Vec<(&'static str, [u8; 8])> {
        let mut found = Vec::new();
        self.visit(&mut |expr| {
            if let Self::Field(FieldRef::Id(column @ ("span_id" | "parent_span_id")), Matcher::Equals(literal)) = expr
                && let Some(id) = SpanId::from_hex(&literal.text)
            {
                found.push((*column, id.0));
            }
        });
        found
    }
}

/// The rows of a part of `total` rows that may match; `None` when the index cannot say.
pub(crate) fn candidates(
    expr: &Expr,
    index: &PartIndex,
    ids: &IdLookups,
    total: u32,
) -> Result<Option<Candidates>, StoreError> {
    let all = || {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..total);
        rows
    };
    Ok(match expr {
        Expr::All => Some(Candidates { rows: all(), exact: true }),
        Expr::And(every) => {
            let mut found: Option<Candidates> = None;
            let mut exact = true;
            for expr in every {
                match candidates(expr, index, ids, total)? {
                    None => exact = false,
                    Some(next) => {
                        found = Some(match found {
                            None => next,
                            Some(before) => {
                                Candidates { rows: before.rows & next.rows, exact: before.exact && next.exact }
                            }
                        });
                    }
                }
            }
            found.map(|found| Candidates { exact: found.exact && exact, ..found })
        }
        Expr::Or(any) => {
            let mut found = Candidates { rows: RoaringBitmap::new(), exact: true };
            for expr in any {
                let Some(next) = candidates(expr, index, ids, total)? else { return Ok(None) };
                found.rows |= next.rows;
                found.exact &= next.exact;
            }
            Some(found)
        }
        Expr::Not(inner) => candidates(inner, index, ids, total)?
            .filter(|inner| inner.exact)
            .map(|inner| Candidates { rows: all() - inner.rows, exact: true }),
        Expr::Traces(traces) => {
            let mut found = Candidates { rows: RoaringBitmap::new(), exact: true };
            for id in traces.iter() {
                found.rows |= index.trace(TraceId(*id))?.rows;
            }
            Some(found)
        }
        Expr::Text(pattern) => text(pattern, index)?,
        Expr::Field(field, matcher) => self::field(field, matcher, index, ids)?,
    })
}

fn text(pattern: &TextPattern, index: &PartIndex) -> Result<Option<Candidates>, StoreError> {
    match pattern {
        TextPattern::Words(words) => {
            let mut found: Option<Candidates> = None;
            for word in words {
                let next = if is_single_cjk(word) {
                    match index.words_where("", &|term| term.contains(word.as_str()), TERM_BUDGET)? {
                        Some(next) => next,
                        None => continue,
                    }
                } else {
                    index.word(word)?
                };
                found = Some(match found {
                    None => next,
                    Some(before) => Candidates { rows: before.rows & next.rows, exact: false },
                });
            }
            Ok(found.map(|found| Candidates { exact: found.exact && words.len() == 1, ..found }))
        }
        TextPattern::Prefix(prefix) => {
            if prefix.chars().any(mangru_store::words::is_cjk) {
                return Ok(None);
            }
            index.words_where(prefix, &|_| true, TERM_BUDGET)
        }
        TextPattern::Glob(_, source) => {
            // Any run of ASCII letters and digits between the stars lies inside one word.
            let longest = source
                .split(|c: char| !c.is_ascii_alphanumeric())
                .max_by_key(|piece| piece.len())
                .unwrap_or_default()
                .to_ascii_lowercase();
            if longest.len() < 2 {
                return Ok(None);
            }
            let found = index.words_where("", &|term| term.contains(longest.as_str()), TERM_BUDGET)?;
            // Case folding outside ASCII may join or part runs, so the rows are looked at again.
            Ok(found.map(|found| Candidates { exact: false, ..found }))
        }
        TextPattern::Regex(_) => Ok(None),
    }
}

fn field(
    field: &FieldRef,
    matcher: &Matcher,
    index: &PartIndex,
    ids: &IdLookups,
) -> Result<Option<Candidates>, StoreError> {
    let prefix = match matcher {
        Matcher::Glob(stem, _) => stem.as_str(),
        _ => "",
    };
    let keep = |value: &str| matcher.text(value);
    match field {
        FieldRef::Column(name) => match matcher {
            Matcher::Equals(literal) if literal.number.is_none() => index.column(name, &literal.text),
            _ => index.column_where(name, prefix, &keep, TERM_BUDGET),
        },
        FieldRef::ExemplarTrace => match matcher {
            Matcher::Any(all) => {
                let mut found = Candidates { rows: RoaringBitmap::new(), exact: true };
                for matcher in all {
                    let Some(next) = self::field(field, matcher, index, ids)? else { return Ok(None) };
                    found.rows |= next.rows;
                }
                Ok(Some(found))
            }
            Matcher::Equals(literal) => match TraceId::from_hex(&literal.text) {
                Some(id) => index.trace(id).map(Some),
                None => Ok(Some(Candidates { rows: RoaringBitmap::new(), exact: true })),
            },
            _ => Ok(None),
        },
        FieldRef::Id("trace_id") => match matcher {
            Matcher::Equals(literal) => match TraceId::from_hex(&literal.text) {
                Some(id) => index.trace(id).map(Some),
                None => Ok(Some(Candidates { rows: RoaringBitmap::new(), exact: true })),
            },
            _ => Ok(None),
        },
        FieldRef::Id(column) => Ok(match matcher {
            Matcher::Equals(literal) => SpanId::from_hex(&literal.text)
                .and_then(|id| ids.get(&(*column, id.0)))
                .map(|rows| Candidates { rows: rows.clone(), exact: false }),
            _ => None,
        }),
        FieldRef::Severity => {
            // Number zero leaves the severity to the text, which is not indexed.
            let found = index.column_where(
                "severity_number",
                "",
                &|value| value == "0" || value.parse().is_ok_and(|number| matcher.integer(number)),
                TERM_BUDGET,
            )?;
            let unset = index.column("severity_number", "0")?.is_none_or(|unset| !unset.rows.is_empty());
            let numeric = matches!(matcher, Matcher::Range(..))
                || matches!(matcher, Matcher::Equals(literal) if literal.number.is_some());
            Ok(found.filter(|_| numeric).map(|found| Candidates { exact: found.exact && !unset, ..found }))
        }
        FieldRef::Attribute(key) => attribute(key, matcher, prefix, index),
        FieldRef::Resource(key) => index.resource_where(&|json| object_matches(json, key, matcher)).map(Some),
        FieldRef::Either(key) => {
            let Some(mut found) = attribute(key, matcher, prefix, index)? else { return Ok(None) };
            let resource = index.resource_where(&|json| object_matches(json, key, matcher))?;
            found.rows |= resource.rows;
            found.exact &= resource.exact;
            Ok(Some(found))
        }
        FieldRef::Scope(_) => Ok(None),
        FieldRef::EventName => attribute("event.name", matcher, prefix, index),
        FieldRef::EventAttribute(key) => attribute(&format!("event.{key}"), matcher, prefix, index),
    }
}

fn attribute(key: &str, matcher: &Matcher, prefix: &str, index: &PartIndex) -> Result<Option<Candidates>, StoreError> {
    match matcher {
        Matcher::Equals(literal) if literal.number.is_none() => index.attribute(key, &literal.text).map(Some),
        _ => index.attribute_where(key, prefix, &|value| matcher.text(value), TERM_BUDGET),
    }
}
