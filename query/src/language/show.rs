//! A tree as text: how a query was understood.

use super::{Expr, FieldRef, Matcher, TextPattern};
use std::fmt;

/// A text as a quoted value of the search language.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: &[Self], between: &str| {
            write!(f, "(")?;
            for (place, expr) in all.iter().enumerate() {
                write!(f, "{}{expr}", if place == 0 { "" } else { between })?;
            }
            write!(f, ")")
        };
        match self {
            Self::All => write!(f, "*"),
            Self::And(all) => list(f, all, " AND "),
            Self::Or(all) => list(f, all, " OR "),
            Self::Not(inner) => write!(f, "NOT {inner}"),
            Self::Traces(ids) => write!(f, "trace_id:(one of {})", ids.len()),
            Self::Resource(test) => f.write_str(&test.shown),
            Self::Text(pattern) => write!(f, "{pattern}"),
            Self::Field(field, matcher) => write!(f, "{field}{matcher}"),
        }
    }
}

impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) | Self::Runs(words) => write!(f, "\"{}\"", words.join(" ")),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Glob(_, pattern) => write!(f, "{pattern}"),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

impl fmt::Display for FieldRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) | Self::Id(name) => write!(f, "{name}"),
            Self::Severity => write!(f, "severity"),
            Self::Attribute(key) => write!(f, "attributes.{key}"),
            Self::AnyAttribute => write!(f, "attributes.*"),
            Self::Resource(key) => write!(f, "resource.{key}"),
            Self::Either(key) => write!(f, "{key}"),
            Self::Scope(key) => write!(f, "scope.{key}"),
            Self::EventName => write!(f, "event.name"),
            Self::EventAttribute(key) => write!(f, "event.{key}"),
            Self::LinkAttribute(key) => write!(f, "link.{key}"),
            Self::ExemplarTrace => write!(f, "exemplars.trace_id"),
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists => write!(f, ":*"),
            Self::Equals(literal) => write!(f, ":{:?}", literal.text),
            Self::Glob(_, regex) | Self::Regex(regex) => write!(f, ":/{regex}/"),
            Self::Range(low, high) => {
                for (bound, sign) in [(low, '>'), (high, '<')] {
                    if let Some(bound) = bound {
                        write!(f, "{sign}{}{:?}", if bound.inclusive { "=" } else { "" }, bound.value.text)?;
                    }
                }
                Ok(())
            }
            Self::Any(any) => {
                for (place, matcher) in any.iter().enumerate() {
                    write!(f, "{}{matcher}", if place == 0 { "" } else { "|" })?;
                }
                Ok(())
            }
        }
    }
}
