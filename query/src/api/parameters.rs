//! Parameters of the APIs of other tools: names and values of an address or a form.

use crate::{QueryError, now_ns, parse_time};

/// The first value of this name that is not empty.
pub(super) fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// The same where there must be one.
pub(super) fn required<'a>(pairs: &'a [(String, String)], name: &'static str) -> Result<&'a str, QueryError> {
    one(pairs, name).ok_or_else(|| missing(name))
}

/// Says that a parameter must be there.
pub(super) fn missing(name: &'static str) -> QueryError {
    QueryError::invalid(name, format!("the parameter {name} is missing"))
}

/// A moment in nanoseconds, in any form that [`parse_time`] reads; `wrong` is what is said of another text.
pub(super) fn moment(
    pairs: &[(String, String)],
    name: &'static str,
    wrong: impl Fn(&str) -> String,
) -> Result<Option<i64>, QueryError> {
    let read = |text| parse_time(text, now_ns()).ok_or_else(|| QueryError::invalid(name, wrong(text)));
    one(pairs, name).map(read).transpose()
}
