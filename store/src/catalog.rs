//! The catalog: which parts exist, and up to which journal position each signal is sealed.

mod lake;
mod tables;

use crate::part::{PartId, PartRecord};
use crate::{Position, Signal, StoreError};
use lake::Snapshot;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;

/// How transactions begin that write: they wait for their turn before they read, since what was read without it may be
/// out of date, which no waiting mends.
const WRITE: &str = "BEGIN IMMEDIATE";

/// A SQLite database in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pool: SqlitePool,
}

/// All that the catalog says at start.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) parts: Vec<PartRecord>,
    /// By signal: every batch up to this position is in a part.
    pub(crate) sealed: [Position; 3],
}

impl Catalog {
    /// Opens the database, and makes its tables when it is new. `data_path` is the folder of the part files.
    pub(crate) async fn open(path: &Path, data_path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await?;
        let catalog = Self { pool };
        let data_path = std::path::absolute(data_path).unwrap_or_else(|_| data_path.to_path_buf());
        tables::create(&catalog.pool, &format!("{}/", data_path.display())).await?;
        Ok(catalog)
    }

    /// Reads the published parts and the sealed positions.
    pub(crate) async fn contents(&self) -> Result<Contents, StoreError> {
        let mut sealed = [Position(0); 3];
        for row in sqlx::query("SELECT signal, position FROM mangru_sealed").fetch_all(&self.pool).await? {
            if let Some(place) =
                u8::try_from(row.try_get::<i64, _>(0)?).ok().and_then(|n| sealed.get_mut(usize::from(n)))
            {
                *place = Position(row.try_get::<i64, _>(1)? as u64);
            }
        }
        let mut parts = Vec::new();
        let rows = sqlx::query(
            "SELECT part_id, signal, path, row_count, size_bytes, index_bytes, footer_bytes, min_time, max_time, \
             crc32c FROM mangru_part",
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let id: String = row.try_get(0)?;
            let corrupt =
                |reason: &str| StoreError::Corrupt { path: format!("catalog entry {id}"), reason: reason.to_owned() };
            parts.push(PartRecord {
                id: PartId(id.parse().map_err(|_| corrupt("part id is not a ULID"))?),
                signal: u8::try_from(row.try_get::<i64, _>(1)?)
                    .ok()
                    .and_then(Signal::from_number)
                    .ok_or_else(|| corrupt("signal is unknown"))?,
                path: row.try_get(2)?,
                rows: u32::try_from(row.try_get::<i64, _>(3)?).map_err(|_| corrupt("number of rows is absurd"))?,
                bytes: row.try_get::<i64, _>(4)? as u64,
                index_bytes: row.try_get::<i64, _>(5)? as u64,
                footer_bytes: row.try_get::<i64, _>(6)? as u64,
                min_time: row.try_get(7)?,
                max_time: row.try_get(8)?,
                crc32c: row.try_get::<i64, _>(9)? as u32,
            });
        }
        Ok(Contents { parts, sealed })
    }

    /// Publishes a part and the journal position that it covers, both or neither.
    pub(crate) async fn publish(&self, part: &PartRecord, sealed: Position) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        let snapshot = lake::begin_snapshot(&mut transaction, &lake::inserted(part.signal), 1).await?;
        add_part(&mut transaction, part, snapshot).await?;
        sqlx::query(
            "INSERT INTO mangru_sealed (signal, position) VALUES (?, ?) \
             ON CONFLICT (signal) DO UPDATE SET position = excluded.position",
        )
        .bind(part.signal as i64)
        .bind(sealed.0 as i64)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Puts a part, or none, in the place of others of its signal, all or nothing. The files of the others are still
    /// there for those who read an earlier snapshot, until [`Self::forget`].
    pub(crate) async fn replace(
        &self,
        signal: Signal,
        gone: &[PartId],
        made: Option<&PartRecord>,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        let changes = lake::replaced(signal, made.is_some());
        let snapshot = lake::begin_snapshot(&mut transaction, &changes, i64::from(made.is_some())).await?;
        for part in gone {
            let row = sqlx::query("DELETE FROM mangru_part WHERE part_id = ? RETURNING data_file_id")
                .bind(part.to_string())
                .fetch_one(&mut *transaction)
                .await?;
            let data_file_id: i64 = row.try_get(0)?;
            lake::end_data_file(&mut transaction, signal, data_file_id, snapshot).await?;
            sqlx::query("INSERT INTO mangru_gone (part_id, data_file_id) VALUES (?, ?)")
                .bind(part.to_string())
                .bind(data_file_id)
                .execute(&mut *transaction)
                .await?;
        }
        if let Some(part) = made {
            add_part(&mut transaction, part, snapshot).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes a part that is gone, and whose file is, out of the catalog's history.
    pub(crate) async fn forget(&self, part: PartId) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        let found = sqlx::query("DELETE FROM mangru_gone WHERE part_id = ? RETURNING data_file_id")
            .bind(part.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(found) = found {
            lake::forget_data_file(&mut transaction, found.try_get(0)?).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Takes all parts that are gone out of the history: at start, when their files have been removed.
    pub(crate) async fn forget_all(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        for row in sqlx::query("DELETE FROM mangru_gone RETURNING data_file_id").fetch_all(&mut *transaction).await? {
            lake::forget_data_file(&mut transaction, row.try_get(0)?).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Closes the database.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn add_part(
    transaction: &mut Transaction<'_, Sqlite>,
    part: &PartRecord,
    snapshot: Snapshot,
) -> Result<(), StoreError> {
    let data_file_id = lake::add_data_file(transaction, part, snapshot).await?;
    sqlx::query(
        "INSERT INTO mangru_part (part_id, data_file_id, signal, path, row_count, size_bytes, index_bytes, footer_bytes, min_time, \
         max_time, crc32c) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(part.id.to_string())
    .bind(data_file_id)
    .bind(part.signal as i64)
    .bind(&part.path)
    .bind(i64::from(part.rows))
    .bind(part.bytes as i64)
    .bind(part.index_bytes as i64)
    .bind(part.footer_bytes as i64)
    .bind(part.min_time)
    .bind(part.max_time)
    .bind(i64::from(part.crc32c))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
