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
    /// Memory taken from the budget.
    pub memory_used_bytes: usize,
    /// The budget.
    pub memory_max_bytes: usize,
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
    /// Parts that retention took away since start.
    pub expired_parts: u64,
    /// Their rows.
    pub expired_rows: u64,
    /// What is kept of each signal, in the order of the tables.
    pub retention: Vec<Retention>,
    /// Bytes of torn or unreadable journal tail cut off at the last start; never acknowledged rows.
    pub recovered_cut_bytes: u64,
    /// Rows replayed from the journal at the last start.
    pub recovered_rows: u64,
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
