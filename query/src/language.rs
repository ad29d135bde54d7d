//! The search language: from text to a tree of tests, from the tree to rows.
//!
//! ```text
//! query   = or
//! or      = and { "OR" and }
//! and     = unary { [ "AND" ] unary }
//! unary   = [ "NOT" | "-" ] primary
//! primary = "(" or ")" | "*" | '"phrase"' | "/regex/" | word | prefix"*" | field test
//! test    = ":" value | ":(" or-of-values ")" | ":[" a " TO " b "]" | [":"] ( ">" | ">=" | "<" | "<=" ) value
//! ```
//!
//! A word, phrase or prefix looks into the body of logs, and into name and status message of spans. Words are compared
//! as the index cuts them ([`mangru_store::words`]).

mod candidates;
mod evaluate;
mod field;
mod matcher;
mod parse;
mod show;
mod text;

pub(crate) use candidates::{IdLookups, Lookup, candidates};
pub(crate) use evaluate::write_hex;
pub(crate) use evaluate::{SEVERITY_COLUMNS, group_field, group_keys, severities, severity, severity_name};
pub use field::KINDS;
pub(crate) use field::{FieldRef, duration_ns};
pub(crate) use matcher::{Bound, Literal, Matcher};
pub(crate) use parse::parse;
pub use show::quoted;
pub(crate) use text::TextPattern;

use hashbrown::HashSet;
use mangru_store::Signal;
use std::sync::Arc;

/// Queries longer than this many bytes are refused.
pub(crate) const MAX_QUERY_BYTES: usize = 8 << 10;
/// Parentheses may nest this deep.
pub(crate) const MAX_DEPTH: usize = 64;
/// A query may hold this many tests.
pub(crate) const MAX_TESTS: usize = 256;

/// A query as a tree.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// Matches every row.
    All,
    /// Matches rows that all of these match.
    And(Vec<Expr>),
    /// Matches rows that any of these matches.
    Or(Vec<Expr>),
    /// Matches rows that this does not match.
    Not(Box<Expr>),
    /// Matches rows of any of these traces.
    Traces(Arc<HashSet<[u8; 16]>>),
    /// Matches rows whose resource, its JSON object, passes a test; asked once for each distinct resource.
    Resource(ResourceTest),
    /// Looks into the signal's text.
    Text(TextPattern),
    /// Looks at the values of a field; several values of one row are enough when one matches.
    Field(FieldRef, Matcher),
}

/// A test on resources by more than one of their attributes.
#[derive(Clone)]
pub(crate) struct ResourceTest {
    /// What it asks, in words.
    pub(crate) shown: String,
    /// Whether a resource passes.
    pub(crate) passes: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl std::fmt::Debug for ResourceTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Expr {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, other) => other,
            (this, Self::All) => this,
            (Self::And(mut all), other) => {
                all.push(other);
                Self::And(all)
            }
            (this, other) => Self::And(vec![this, other]),
        }
    }

    /// The columns that [`Self::matches`] needs, each once.
    pub(crate) fn columns(&self, signal: Signal) -> Vec<&'static str> {
        let mut columns = Vec::new();
        self.visit(&mut |expr| match expr {
            Self::Traces(_) => columns.push("trace_id"),
            Self::Resource(_) => columns.push("resource_attributes"),
            Self::Text(_) => columns.extend_from_slice(text::columns(signal)),
            Self::Field(field, _) => columns.extend(field.columns(signal)),
            _ => {}
        });
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// Calls `each` for every node.
    pub(crate) fn visit<'a>(&'a self, each: &mut impl FnMut(&'a Self)) {
        each(self);
        match self {
            Self::And(all) | Self::Or(all) => all.iter().for_each(|expr| expr.visit(each)),
            Self::Not(inner) => inner.visit(each),
            _ => {}
        }
    }
}
