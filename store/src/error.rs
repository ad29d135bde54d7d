//! What can go wrong in the store, and whether trying again helps.

use std::time::Duration;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The batch's columns are not its signal's.
    #[error(transparent)]
    Schema(#[from] crate::SchemaMismatch),
    /// A setting cannot be used.
    #[error("{field} cannot be used: {reason}")]
    Config {
        /// Which one.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// Unsealed journal segments take all the room they may.
    #[error("journal is full: {held_bytes} of {max_bytes} bytes wait to be sealed")]
    JournalFull {
        /// Bytes held.
        held_bytes: u64,
        /// Bytes allowed.
        max_bytes: u64,
    },
    /// Requests and hot batches take all the memory they may.
    #[error("memory is at its limit: {used_bytes} of {max_bytes} bytes are in use")]
    MemoryFull {
        /// Bytes in use.
        used_bytes: usize,
        /// Bytes allowed.
        max_bytes: usize,
    },
    /// The disk has less room than the reserve.
    #[error("disk is full: {free_bytes} bytes free, {reserve_bytes} are kept in reserve")]
    DiskFull {
        /// Bytes free.
        free_bytes: u64,
        /// Bytes kept free.
        reserve_bytes: u64,
    },
    /// A write to the journal failed; nothing of the batch is acknowledged.
    #[error("cannot write the journal: {0}")]
    JournalWrite(String),
    /// The store is shutting down.
    #[error("store is closing")]
    Closing,
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file's bytes are not what its format demands.
    #[error("cannot read {path}: {reason}")]
    Corrupt {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The catalog refused a statement.
    #[error("catalog failed: {0}")]
    Catalog(#[from] sqlx::Error),
    /// The object store failed.
    #[error("object store failed: {0}")]
    Objects(#[from] object_store::Error),
    /// Arrow could not build or change columns.
    #[error("columns failed: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Parquet could not be written or read.
    #[error("parquet failed: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// The index could not be written or read.
    #[error("index failed: {0}")]
    Index(#[from] tantivy::TantivyError),
}

impl StoreError {
    /// Whether the same call may succeed later without anything being changed by the caller.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::JournalFull { .. }
                | Self::MemoryFull { .. }
                | Self::DiskFull { .. }
                | Self::JournalWrite(_)
                | Self::Closing
                | Self::Catalog(_)
                | Self::Objects(_)
        )
    }

    /// How long a caller should wait before it tries again; `None` when it should not.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::MemoryFull { .. } => Some(Duration::from_secs(1)),
            Self::JournalFull { .. } | Self::Closing | Self::JournalWrite(_) => Some(Duration::from_secs(2)),
            Self::DiskFull { .. } => Some(Duration::from_secs(30)),
            _ if self.is_retryable() => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}
