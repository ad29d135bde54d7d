//! The tables of the catalog: DuckLake's, and our own beside them.

use super::lake;
use crate::StoreError;
use sqlx::{Row as _, SqlitePool};

/// Our own tables. `mangru_part` says what DuckLake has no column for; `mangru_gone` holds parts that were
/// replaced and whose files may still be read; `mangru_sealed` says up to which journal position each signal is in parts;
/// `mangru_remote` is the object store that parts with `remote` are in, and `mangru_upload` names what is on its way there.
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
        crc32c INTEGER NOT NULL,
        remote INTEGER NOT NULL DEFAULT 0
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_gone (
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
        crc32c INTEGER NOT NULL,
        remote INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_sealed (
        signal INTEGER PRIMARY KEY,
        position INTEGER NOT NULL
    ) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_remote (url TEXT PRIMARY KEY) STRICT",
    "CREATE TABLE IF NOT EXISTS mangru_upload (path TEXT PRIMARY KEY) STRICT",
];

/// Makes the tables that are not there. `data_path` is the folder of the part files.
pub(super) async fn create(pool: &SqlitePool, data_path: &str) -> Result<(), StoreError> {
    before_objects(pool).await?;
    for statement in OWN.iter().chain(lake::TABLES) {
        sqlx::query(*statement).execute(pool).await?;
    }
    lake::describe(pool, data_path).await
}

/// Catalogs of 0.1.0 before there was an object store: parts have no place, and what is gone has no more than a number.
async fn before_objects(pool: &SqlitePool) -> Result<(), StoreError> {
    let columns = "SELECT count(*), coalesce(sum(name = 'remote'), 0) FROM pragma_table_info('mangru_part')";
    let columns = sqlx::query(columns).fetch_one(pool).await?;
    if columns.try_get::<i64, _>(0)? == 0 || columns.try_get::<i64, _>(1)? > 0 {
        return Ok(());
    }
    let mut transaction = pool.begin_with(super::WRITE).await?;
    for statement in [
        "ALTER TABLE mangru_part ADD COLUMN remote INTEGER NOT NULL DEFAULT 0",
        // Files of parts that are gone are removed at start anyway.
        "DELETE FROM ducklake_data_file WHERE data_file_id IN (SELECT data_file_id FROM mangru_gone)",
        "DELETE FROM ducklake_file_column_stats WHERE data_file_id IN (SELECT data_file_id FROM mangru_gone)",
        "DROP TABLE mangru_gone",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
