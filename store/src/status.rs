//! What the store tells of itself.

use crate::{Retention, Signal};

/// Figures of the whole store at one moment.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StoreStatus {
    /// One entry per signal.
    pub tables: Vec<TableStatus>,
    /// Bytes of journal segments on disk.
    pub journal_bytes: u64,
    /// Segments on disk.
    pub journal_segments: usize,
    /// Bytes the journal may take.
    pub journal_max_bytes: u64,
    /// Memory taken from the budget: requests, hot rows, sealing, merging and queries.
    pub memory_used_bytes: usize,
    /// The budget.
    pub memory_max_bytes: usize,
    /// Memory taken by requests and hot rows.
    pub ingest_used_bytes: usize,
    /// What they may take.
    pub ingest_max_bytes: usize,
    /// Memory taken by queries.
    pub query_used_bytes: usize,
    /// What they may take.
    pub query_max_bytes: usize,
    /// Group commits since start.
    pub commits: u64,
    /// Seals that failed since start; each is tried again.
    pub failed_seals: u64,
    /// Parts that went into others since start.
    pub merged_parts: u64,
    /// Merges that failed since start; each is tried again.
    pub failed_merges: u64,
    /// Parts that are gone while their files wait for the last reader.
    pub retired_parts: usize,
    /// Parts whose checksum is wrong: their rows are out of reach, their files are left where they are.
    pub damaged_parts: Vec<String>,
    /// Part files that the catalog did not know at the start; they are kept in `unknown-parts`.
    pub unknown_parts: u64,
    /// Parts that retention took away since start.
    pub expired_parts: u64,
    /// Their rows.
    pub expired_rows: u64,
    /// What is kept of each signal, in the order of the tables.
    pub retention: Vec<Retention>,
    /// Bytes of torn or unreadable journal tail cut off at the last start; never acknowledged rows.
    pub recovered_cut_bytes: u64,
    /// Bytes of the journal that the last start could not read though more follows: acknowledged rows may be missing.
    /// The segments are kept, with `.damaged` behind their names.
    pub recovered_damaged_bytes: u64,
    /// Rows replayed from the journal at the last start.
    pub recovered_rows: u64,
    /// The object store; `None` when all parts stay on this machine.
    pub objects: Option<ObjectsStatus>,
}

/// Figures of the object store.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ObjectsStatus {
    /// Where it is.
    pub url: String,
    /// Parts there.
    pub parts: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Parts moved there since start.
    pub moved_parts: u64,
    /// Moves and removals that failed since start; each is tried again.
    pub failed_moves: u64,
    /// What went wrong last, until something goes well again.
    pub last_error: Option<String>,
    /// Bytes of remote parts on the local disk.
    pub cached_bytes: u64,
    /// What they may take.
    pub cache_max_bytes: u64,
    /// Reads that the local disk answered since start.
    pub cache_hits: u64,
    /// Reads that went to the object store since start.
    pub cache_misses: u64,
}

/// Figures of one table.
#[derive(Clone, Debug, serde::Serialize)]
pub struct TableStatus {
    /// The signal.
    pub signal: Signal,
    /// Published parts.
    pub parts: usize,
    /// Rows in parts.
    pub part_rows: u64,
    /// Bytes of part files, index included.
    pub part_bytes: u64,
    /// Bytes of the embedded indexes.
    pub index_bytes: u64,
    /// Rows in memory, not yet sealed.
    pub hot_rows: u64,
    /// Memory of the hot rows.
    pub hot_bytes: u64,
    /// Rows appended since start.
    pub appended_rows: u64,
    /// Earliest row time, nanoseconds since the Unix epoch.
    pub min_time: Option<i64>,
    /// Latest row time, nanoseconds since the Unix epoch.
    pub max_time: Option<i64>,
}
