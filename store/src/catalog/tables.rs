//! The tables of the catalog.

use crate::StoreError;
use crate::part::PartRecord;
use sqlx::{Sqlite, SqlitePool, Transaction};

const CREATE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS mangru_part (
        part_id TEXT PRIMARY KEY,
        signal INTEGER NOT NULL,
        path TEXT NOT NULL,
        row_count INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        index_bytes INTEGER NOT NULL,
        footer_bytes INTEGER NOT NULL,
        min_time INTEGER NOT NULL,
        max_time INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_sealed (
        signal INTEGER PRIMARY KEY,
        position INTEGER NOT NULL
    ) STRICT",
];

/// Makes the tables that are not there.
pub(super) async fn create(pool: &SqlitePool) -> Result<(), StoreError> {
    for statement in CREATE {
        sqlx::query(*statement).execute(pool).await?;
    }
    Ok(())
}

/// Tells readers of the lake about a part.
pub(super) async fn add_data_file(
    _transaction: &mut Transaction<'_, Sqlite>,
    _part: &PartRecord,
) -> Result<(), StoreError> {
    Ok(())
}
