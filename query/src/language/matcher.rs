//! Tests on single values.

use mangru_store::value::AnyValue;
use regex::Regex;
use std::cmp::Ordering;

/// What a field's value must be.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// Any value at all.
    Exists,
    /// This value. An unquoted number also equals the same number as the store writes it: `5` and `5.0`.
    Equals(Literal),
    /// A pattern with `*`: the text before the first `*`, and the whole as a regular expression.
    Glob(String, Regex),
    /// A part of the text fits.
    Regex(Regex),
    /// A value between two ends.
    Range(Option<Bound>, Option<Bound>),
    /// Any of these.
    Any(Vec<Matcher>),
}

/// A value in a query.
#[derive(Clone, Debug)]
pub(crate) struct Literal {
    /// As it was written.
    pub(crate) text: String,
    /// As a number, when it is one and was not quoted.
    pub(crate) number: Option<f64>,
    /// As an integer, quoted or not: compared exactly, which doubles of more than 53 bits are not.
    integer: Option<i64>,
    /// In nanoseconds, when it is a number with a unit of time and was not quoted.
    duration: Option<i64>,
    /// What else the store may have written for the same number.
    spellings: Vec<String>,
}

/// An end of a range.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) value: Literal,
    pub(crate) inclusive: bool,
}

impl Literal {
    /// A value as it was written.
    pub(crate) fn new(text: String, quoted: bool) -> Self {
        let number = if quoted { None } else { number(&text) };
        // What is quoted is this text and no other.
        let exactly = text.parse::<i64>().ok().filter(|integer| !quoted || integer.to_string() == text);
        let integer = exactly.or_else(|| number.and_then(whole));
        let spellings = number.map(|number| spellings(&text, number, integer)).unwrap_or_default();
        let duration = if quoted || number.is_some() { None } else { super::duration_ns(&text) };
        Self { text, number, integer, duration, spellings }
    }

    /// Every text that equals the value.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.text).chain(&self.spellings).map(String::as_str)
    }

    fn compare_text(&self, value: &str) -> Option<Ordering> {
        if let Some(mine) = self.duration {
            return Some(super::duration_ns(value)?.cmp(&mine));
        }
        let Some(mine) = self.number else { return Some(value.cmp(self.text.as_str())) };
        match (value.parse::<i64>(), self.integer) {
            (Ok(value), Some(mine)) => Some(value.cmp(&mine)),
            _ => number(value)?.partial_cmp(&mine),
        }
    }

    fn compare_integer(&self, value: i64) -> Option<Ordering> {
        match (self.integer, self.number) {
            (Some(mine), _) => Some(value.cmp(&mine)),
            (None, Some(mine)) => (value as f64).partial_cmp(&mine),
            (None, None) => None,
        }
    }
}

/// The integer that a double is, when it is one.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(number as i64)
}

/// The number as the store writes integers and doubles, other than `text`.
fn spellings(text: &str, number: f64, integer: Option<i64>) -> Vec<String> {
    let mut found: Vec<String> = integer.iter().map(i64::to_string).collect();
    // An integer of more than 53 bits may lie beside the double nearest to it.
    if integer.is_none_or(|integer| integer as f64 as i128 == i128::from(integer)) {
        found.push(AnyValue::Double(number).text());
    }
    if number == 0.0 {
        found.extend([AnyValue::Double(0.0).text(), AnyValue::Double(-0.0).text()]);
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|spelling| spelling != text);
    found
}

/// A decimal number; words such as `nan` and `inf` are not numbers here.
pub(crate) fn number(text: &str) -> Option<f64> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    // Beyond the largest double a number is still one.
    text.parse().ok().map(|number: f64| number.clamp(f64::MIN, f64::MAX))
}

fn inside(low: Option<(Ordering, bool)>, high: Option<(Ordering, bool)>) -> bool {
    let above = low.is_none_or(|(order, inclusive)| order.is_gt() || (inclusive && order.is_eq()));
    let below = high.is_none_or(|(order, inclusive)| order.is_lt() || (inclusive && order.is_eq()));
    above && below
}

impl Matcher {
    /// This text and no other spelling of it.
    pub(crate) fn exactly(text: &str) -> Self {
        Self::Equals(Literal::new(text.to_owned(), true))
    }

    /// Whether a value in text form matches.
    pub(crate) fn text(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) => literal.texts().any(|text| text == value),
            Self::Glob(_, regex) | Self::Regex(regex) => regex.is_match(value),
            Self::Range(low, high) => {
                let compare = |bound: &Option<Bound>| match bound {
                    None => Some(None),
                    Some(bound) => bound.value.compare_text(value).map(|order| Some((order, bound.inclusive))),
                };
                match (compare(low), compare(high)) {
                    (Some(low), Some(high)) => inside(low, high),
                    _ => false,
                }
            }
            Self::Any(all) => all.iter().any(|matcher| matcher.text(value)),
        }
    }

    /// Whether an integer matches.
    pub(crate) fn integer(&self, value: i64) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) => literal.integer == Some(value),
            Self::Range(low, high) => {
                let compare = |bound: &Option<Bound>| match bound {
                    None => Some(None),
                    Some(bound) => bound.value.compare_integer(value).map(|order| Some((order, bound.inclusive))),
                };
                match (compare(low), compare(high)) {
                    (Some(low), Some(high)) => inside(low, high),
                    _ => false,
                }
            }
            Self::Any(all) => all.iter().any(|matcher| matcher.integer(value)),
            Self::Glob(..) | Self::Regex(_) => self.text(&value.to_string()),
        }
    }

    /// Whether an integer between these two, both included, may match.
    pub(crate) fn may_be_within(&self, least: i64, most: i64) -> bool {
        let passes = |bound: &Option<Bound>, value: i64, wanted: Ordering| {
            bound.as_ref().is_none_or(|bound| {
                let order = bound.value.compare_integer(value);
                order.is_some_and(|order| order == wanted || (bound.inclusive && order.is_eq()))
            })
        };
        match self {
            Self::Equals(literal) => literal.integer.is_some_and(|integer| (least..=most).contains(&integer)),
            Self::Range(low, high) => passes(low, most, Ordering::Greater) && passes(high, least, Ordering::Less),
            Self::Any(all) => all.iter().any(|matcher| matcher.may_be_within(least, most)),
            Self::Exists | Self::Glob(..) | Self::Regex(_) => true,
        }
    }

    /// Changes every literal, for fields whose values have names or units.
    pub(crate) fn map_literals(
        self,
        change: &impl Fn(Literal) -> Result<Self, String>,
        bound: &impl Fn(Literal) -> Result<Literal, String>,
    ) -> Result<Self, String> {
        Ok(match self {
            Self::Equals(literal) => change(literal)?,
            Self::Range(low, high) => {
                let end = |end: Option<Bound>| {
                    end.map(|end| Ok::<_, String>(Bound { value: bound(end.value)?, inclusive: end.inclusive }))
                        .transpose()
                };
                Self::Range(end(low)?, end(high)?)
            }
            Self::Any(all) => {
                Self::Any(all.into_iter().map(|matcher| matcher.map_literals(change, bound)).collect::<Result<_, _>>()?)
            }
            other => other,
        })
    }
}
