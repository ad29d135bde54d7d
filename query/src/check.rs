//! Whether a query can be asked at all, without asking it.

use crate::QueryError;
use mangru_store::Signal;

/// Reads a search and gives nothing but its fault.
pub fn check_search(query: &str, signal: Signal) -> Result<(), QueryError> {
    crate::language::parse(query, signal).map(drop)
}

/// Reads PromQL and gives nothing but its fault.
pub fn check_promql(query: &str) -> Result<(), QueryError> {
    crate::promql::parse(query).map(drop)
}
