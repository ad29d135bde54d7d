//! How a search is answered, before it is.

use crate::scan::{self, PartExplained, ScanRequest};
use crate::{QueryError, QueryService};
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::time::Instant;

/// What a search would read, and what spares it the rest.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The search as it was understood.
    pub filter: String,
    /// Rows in memory, each of which is looked at.
    pub hot_rows: u64,
    /// Parts that lie outside of the time range, as the catalog says.
    pub left_out_parts: u64,
    /// Their rows.
    pub left_out_rows: u64,
    /// The other parts.
    pub parts: Vec<PartExplained>,
    /// Rows of these parts.
    pub rows_in_range: u64,
    /// Rows of these parts that would be read, or be given when they are known to match.
    pub rows_left: u64,
    /// How long it took to find out, in milliseconds.
    pub elapsed_ms: f64,
}

impl QueryService {
    /// Explains a search without reading rows.
    pub async fn explain(&self, signal: Signal, query: &str, range: TimeRange) -> Result<Explanation, QueryError> {
        let started = Instant::now();
        let filter = crate::language::parse(query, signal)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let text = filter.to_string();
        let scan = ScanRequest { signal, filter, range, columns: Vec::new() };
        let explained = scan::explain(self.store(), &scan, &control).await?;
        Ok(Explanation {
            filter: text,
            hot_rows: explained.hot_rows,
            left_out_parts: explained.left_out_parts,
            left_out_rows: explained.left_out_rows,
            rows_in_range: explained.parts.iter().map(|part| part.rows).sum(),
            rows_left: explained.parts.iter().map(|part| part.to_read).sum(),
            parts: explained.parts,
            elapsed_ms: crate::request::elapsed_ms(started),
        })
    }
}
