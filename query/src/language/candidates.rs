//! The tree on an index: which rows of a part may match.

use super::evaluate::object_matches;
use super::field::FieldRef;
use super::text::is_run;
use super::{Expr, Literal, Matcher, TextPattern};
use arrow::datatypes::{DataType, Field};
use mangru_store::value::{AnyValue, read_object};
use mangru_store::words;
use mangru_store::{
    Candidates, PROMOTED_RESOURCE, PartIndex, Promoted, Signal, SpanId, StoreError, TraceId, UNKNOWN_SERVICE,
};
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

    /// Whether it is looked up by ids of traces or spans.
    const fn is_narrow(&self) -> bool {
        matches!(self, Self::Traces(_) | Self::Field(FieldRef::Id(_), Matcher::Equals(_)))
    }

    /// What each match has in columns of integers: what the statistics of their pages are asked for.
    pub(crate) fn integers(&self, signal: Signal) -> Vec<(&'static str, Matcher)> {
        match self {
            Self::And(every) => every.iter().flat_map(|expr| expr.integers(signal)).collect(),
            Self::Field(
                FieldRef::Column(name),
                matcher @ (Matcher::Equals(_) | Matcher::Range(..) | Matcher::Any(_)),
            ) => {
                let schema = signal.schema();
                let is_integer = |field: &Field| matches!(field.data_type(), DataType::Int32 | DataType::Int64);
                let is_column = schema.field_with_name(name).is_ok_and(is_integer);
                is_column.then(|| (*name, matcher.clone())).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A part's index, and what was found out beside it.
pub(crate) struct Lookup<'a> {
    pub(crate) signal: Signal,
    pub(crate) index: &'a PartIndex,
    pub(crate) ids: &'a IdLookups,
    /// The rows of the part.
    pub(crate) total: u32,
}

fn none() -> Candidates {
    Candidates { rows: RoaringBitmap::new(), exact: true }
}

/// The rows of a part that may match; `None` when the index cannot say.
pub(crate) fn candidates(expr: &Expr, part: &Lookup<'_>) -> Result<Option<Candidates>, StoreError> {
    let all = || {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..part.total);
        rows
    };
    Ok(match expr {
        Expr::All => Some(Candidates { rows: all(), exact: true }),
        Expr::And(every) => {
            let mut found: Option<Candidates> = None;
            let mut exact = true;
            // Traces and ids leave nothing of most parts: then the long lists of the others need not be read.
            let (narrow, others): (Vec<&Expr>, Vec<&Expr>) = every.iter().partition(|expr| expr.is_narrow());
            for expr in narrow.into_iter().chain(others) {
                match candidates(expr, part)? {
                    None => exact = false,
                    Some(next) => {
                        let next = match found {
                            None => next,
                            Some(before) => both(before, next),
                        };
                        if next.rows.is_empty() {
                            return Ok(Some(none()));
                        }
                        found = Some(next);
                    }
                }
            }
            found.map(|found| Candidates { exact: found.exact && exact, ..found })
        }
        Expr::Or(any) => {
            let mut found = none();
            for expr in any {
                let Some(next) = candidates(expr, part)? else { return Ok(None) };
                found = found.or(next);
            }
            Some(found)
        }
        Expr::Not(inner) => candidates(inner, part)?
            .filter(|inner| inner.exact)
            .map(|inner| Candidates { rows: all() - inner.rows, exact: true }),
        Expr::Traces(traces) => Some(part.index.traces(traces.iter())?),
        Expr::Resource(test) => Some(part.index.resource_where(&*test.passes)?),
        // Texts of metric points are not indexed.
        Expr::Text(_) if part.signal == Signal::MetricPoints => None,
        Expr::Text(pattern) => text(pattern, part.index)?,
        Expr::Field(field, matcher) => self::field(field, matcher, part)?,
    })
}

fn both(left: Candidates, right: Candidates) -> Candidates {
    Candidates { rows: left.rows & right.rows, exact: left.exact && right.exact }
}

fn text(pattern: &TextPattern, index: &PartIndex) -> Result<Option<Candidates>, StoreError> {
    match pattern {
        TextPattern::Words(wanted) => {
            let found = all_words(wanted, index)?;
            Ok(found.map(|found| Candidates { exact: found.exact && wanted.len() == 1, ..found }))
        }
        TextPattern::Runs(wanted) => {
            // The index holds pairs of such characters, and a character alone only where it stands alone.
            let is_single = |piece: &str| is_run(piece) && piece.chars().nth(1).is_none();
            let pairs: Vec<String> =
                wanted.iter().filter(|piece| !is_single(piece)).flat_map(|piece| words::words(piece)).collect();
            let is_one_pair = wanted.len() == 1 && pairs.len() == 1;
            if let Some(found) = all_words(&pairs, index)? {
                return Ok(Some(Candidates { exact: found.exact && is_one_pair, ..found }));
            }
            let Some(single) = wanted.first() else { return Ok(None) };
            let found = index.listed_words_where("", &|term| term.contains(single.as_str()), TERM_BUDGET)?;
            Ok(found.map(|found| Candidates { exact: found.exact && wanted.len() == 1, ..found }))
        }
        TextPattern::Prefix(prefix) => index.words_where(prefix, &|_| true, TERM_BUDGET),
        TextPattern::Glob(_, source) => {
            // Any run of ASCII letters and digits between the stars lies inside one word.
            let longest =
                source.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|piece| piece.len()).unwrap_or_default();
            if longest.len() < 2 {
                return Ok(None);
            }
            // The same folding as the pattern's: it lets `s` stand for a long s, which words do not.
            let Ok(part) = regex::RegexBuilder::new(longest).case_insensitive(true).build() else { return Ok(None) };
            let found = index.words_where("", &|term| part.is_match(term), TERM_BUDGET)?;
            Ok(found.map(|found| Candidates { exact: false, ..found }))
        }
        TextPattern::Regex(_) => Ok(None),
    }
}

/// Rows that hold all of these words; `None` for no words.
fn all_words(wanted: &[String], index: &PartIndex) -> Result<Option<Candidates>, StoreError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    index.words(&wanted).map(Some)
}

/// The union over every spelling of a value.
fn any_spelling(
    literal: &Literal,
    lookup: impl Fn(&str) -> Result<Option<Candidates>, StoreError>,
) -> Result<Option<Candidates>, StoreError> {
    let mut found = none();
    for text in literal.texts() {
        let Some(next) = lookup(text)? else { return Ok(None) };
        found = found.or(next);
    }
    Ok(Some(found))
}

/// Whether the text is an id of so many bytes with all bits zero, which no index holds.
fn is_zero_id(text: &str, bytes: usize) -> bool {
    text.len() == bytes * 2 && text.bytes().all(|byte| byte == b'0')
}

fn trace(literal: &Literal, index: &PartIndex) -> Result<Option<Candidates>, StoreError> {
    match TraceId::from_hex(&literal.text) {
        Some(id) => index.trace(id).map(Some),
        None if is_zero_id(&literal.text, 16) => Ok(None),
        None => Ok(Some(none())),
    }
}

/// What a column that copies a resource attribute holds for this resource.
fn copied(json: &str, promoted: &Promoted) -> Option<String> {
    let text = read_object(json).into_iter().find_map(|(key, value)| match value {
        AnyValue::String(text) if key == promoted.key => Some(text),
        _ => None,
    });
    if promoted.key == "service.name" {
        return Some(text.filter(|name| !name.is_empty()).unwrap_or_else(|| UNKNOWN_SERVICE.to_owned()));
    }
    text
}

fn field(field: &FieldRef, matcher: &Matcher, part: &Lookup<'_>) -> Result<Option<Candidates>, StoreError> {
    let index = part.index;
    let prefix = match matcher {
        Matcher::Glob(stem, _) => stem.as_str(),
        _ => "",
    };
    let keep = |value: &str| matcher.text(value);
    match field {
        FieldRef::Column(name)
            if let Some(promoted) = PROMOTED_RESOURCE.iter().find(|promoted| promoted.column == *name) =>
        {
            index.resource_where(&|json| copied(json, promoted).is_some_and(|text| matcher.text(&text))).map(Some)
        }
        FieldRef::Column(name) => match matcher {
            Matcher::Equals(literal) => any_spelling(literal, |text| index.column(name, text)),
            _ => index.column_where(name, prefix, &keep, TERM_BUDGET),
        },
        FieldRef::ExemplarTrace => match matcher {
            Matcher::Any(all) => {
                let mut found = none();
                for matcher in all {
                    let Some(next) = self::field(field, matcher, part)? else { return Ok(None) };
                    found = found.or(next);
                }
                Ok(Some(found))
            }
            Matcher::Equals(literal) => trace(literal, index),
            _ => Ok(None),
        },
        FieldRef::Id("trace_id") => match matcher {
            Matcher::Equals(literal) => trace(literal, index),
            _ => Ok(None),
        },
        FieldRef::Id(column) => Ok(match matcher {
            Matcher::Equals(literal) => match SpanId::from_hex(&literal.text) {
                Some(id) => part.ids.get(&(*column, id.0)).map(|rows| Candidates { rows: rows.clone(), exact: false }),
                None => (!is_zero_id(&literal.text, 8)).then(none),
            },
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
        FieldRef::Attribute(key) => attribute(key, matcher, prefix, part),
        FieldRef::AnyAttribute => match matcher {
            Matcher::Equals(literal) if part.signal != Signal::MetricPoints => {
                any_spelling(literal, |text| index.any_attribute(text).map(Some))
            }
            _ => Ok(None),
        },
        FieldRef::Resource(key) => index.resource_where(&|json| object_matches(json, key, matcher)).map(Some),
        FieldRef::Either(key) => {
            let Some(mine) = attribute(key, matcher, prefix, part)? else { return Ok(None) };
            Ok(Some(mine.or(index.resource_where(&|json| object_matches(json, key, matcher))?)))
        }
        FieldRef::Scope(_) | FieldRef::LinkAttribute(_) => Ok(None),
        FieldRef::EventName => attribute("event.name", matcher, prefix, part),
        FieldRef::EventAttribute(key) => attribute(&format!("event.{key}"), matcher, prefix, part),
    }
}

fn attribute(key: &str, matcher: &Matcher, prefix: &str, part: &Lookup<'_>) -> Result<Option<Candidates>, StoreError> {
    // Attributes of metric points are not indexed.
    if part.signal == Signal::MetricPoints {
        return Ok(None);
    }
    let index = part.index;
    let found = match matcher {
        Matcher::Equals(literal) => any_spelling(literal, |text| index.attribute(key, text).map(Some))?,
        Matcher::Exists => index.attribute_exists(key, TERM_BUDGET)?,
        _ => index.attribute_where(key, prefix, &|value| matcher.text(value), TERM_BUDGET)?,
    };
    // A span's own attribute may be named as those of its events are in the index.
    let is_shared = part.signal == Signal::Spans && key.starts_with("event.");
    Ok(found.map(|found| Candidates { exact: found.exact && !is_shared, ..found }))
}
