//! The tables of the catalog: DuckLake's, and our own beside them.

use super::lake;
use crate::StoreError;
use sqlx::SqlitePool;

/// Our own tables. `mangru_part` says what DuckLake has no column for; `mangru_gone` names parts that were
/// replaced and whose files may still be read; `mangru_sealed` says up to which journal position each signal is in parts.
const OWN: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS mangru_part (
        part_id TEXT PRIMARY KEY,
        data_file_id INTEGER NOT NULL,
        signal INTEGER NOT NULL,
        path TEXT NOT NULL,
        row_count INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        index_bytes INTEGER NOT NULL,
        footer_bytes INTEGER NOT NULL,
        min_time INTEGER NOT NULL,
        max_time INTEGER NOT NULL,
        crc32c INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_gone (
        part_id TEXT PRIMARY KEY,
        data_file_id INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_sealed (
        signal INTEGER PRIMARY KEY,
        position INTEGER NOT NULL
    ) STRICT",
];

/// Makes the tables that are not there. `data_path` is the folder of the part files.
pub(super) async fn create(pool: &SqlitePool, data_path: &str) -> Result<(), StoreError> {
    for statement in OWN.iter().chain(lake::TABLES) {
        sqlx::query(*statement).execute(pool).await?;
    }
    lake::describe(pool, data_path).await
}
