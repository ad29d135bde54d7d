//! Deleting rows by query: what a person has a right to be forgotten is found by the same searches.

use crate::scan::{self, Control};
use crate::{ErrorCode, QueryError, QueryService};
use mangru_store::{Part, Signal, TimeRange};
use parking_lot::Mutex;
use roaring::RoaringBitmap;
use serde::Serialize;
use std::sync::Arc;

/// What to delete.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    /// Whose rows.
    pub signal: Signal,
    /// Which rows; an empty query is refused, `*` is all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// Only count.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Deleted {
    /// Rows that match.
    pub matched: u64,
    /// Whether they are deleted now.
    pub deleted: bool,
    /// Parts that could not be read: rows in them are not deleted, nor counted.
    pub unreadable_parts: Vec<String>,
}

impl QueryService {
    /// Deletes the rows that match, hot and sealed: hot rows are sealed first, then parts are written anew without the
    /// rows. Rows that arrive meanwhile are not looked at. Files with the rows are removed when their last reader is
    /// done.
    pub async fn delete(&self, request: &DeleteRequest) -> Result<Deleted, QueryError> {
        if request.query.trim().is_empty() {
            return Err(QueryError::invalid("query", "an empty query deletes nothing; `*` deletes all"));
        }
        let filter = crate::language::parse(&request.query, request.signal)?;
        let _turn = self.turn().await?;
        if !request.dry_run {
            self.store().flush().await?;
        }
        // Rewriting takes as long as it takes; a caller that goes away ends it between two parts.
        let (control, _guard) = Control::unlimited(self.memory(), self.fairness());
        let mut matched = 0;
        let unreadable: Mutex<Vec<String>> = Mutex::default();
        // Rows that cannot be read cannot be looked at; those of other parts go all the same.
        let find = async |part: Arc<Part>| {
            let path = part.path().to_owned();
            match scan::matching_rows(part, &filter, request.range, &control).await {
                Err(error) if error.code == ErrorCode::Internal => {
                    tracing::error!(path, %error, "rows of a part that could not be read are not deleted");
                    unreadable.lock().push(path);
                    Ok(RoaringBitmap::new())
                }
                found => found,
            }
        };
        if request.dry_run {
            let snapshot = self.store().snapshot(request.signal);
            for batch in &snapshot.hot {
                let rows = scan::hot_rows(batch, request.signal, &filter, request.range, &["time"], &control)?;
                matched += rows.num_rows() as u64;
            }
            for part in snapshot.parts {
                matched += find(part).await?.len();
            }
        } else {
            matched = self.store().remove_rows(request.signal, &find).await?;
        }
        Ok(Deleted { matched, deleted: !request.dry_run, unreadable_parts: unreadable.into_inner() })
    }
}
