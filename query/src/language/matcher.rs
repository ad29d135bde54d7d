//! Tests on single values.

use regex::Regex;
use std::cmp::Ordering;

/// What a field's value must be.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    /// Any value at all.
    Exists,
    /// This value. A number also equals other spellings of it, unless it was quoted.
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
        Self { text, number }
    }

    fn compare_text(&self, value: &str) -> Option<Ordering> {
        match self.number {
            Some(mine) => number(value)?.partial_cmp(&mine),
            None => Some(value.cmp(self.text.as_str())),
        }
    }
}

/// A decimal number; words such as `nan` and `inf` are not numbers here.
pub(crate) fn number(text: &str) -> Option<f64> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.')) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn inside(low: Option<(Ordering, bool)>, high: Option<(Ordering, bool)>) -> bool {
    let above = low.is_none_or(|(order, inclusive)| order.is_gt() || (inclusive && order.is_eq()));
    let below = high.is_none_or(|(order, inclusive)| order.is_lt() || (inclusive && order.is_eq()));
    above && below
}

impl Matcher {
    /// Whether a value in text form matches.
    pub(crate) fn text(&self, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(literal) => {
                literal.text == value || literal.number.is_some_and(|mine| number(value) == Some(mine))
            }
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
            Self::Equals(literal) => literal.text.parse() == Ok(value) || literal.number == Some(value as f64),
            Self::Range(low, high) => {
                let compare = |bound: &Option<Bound>| match bound {
                    None => Some(None),
                    Some(bound) => {
                        let order = match (bound.value.text.parse::<i64>(), bound.value.number) {
                            (Ok(mine), _) => Some(value.cmp(&mine)),
                            (_, Some(mine)) => (value as f64).partial_cmp(&mine),
                            _ => None,
                        };
                        order.map(|order| Some((order, bound.inclusive)))
                    }
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
