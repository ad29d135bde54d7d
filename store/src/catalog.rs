//! The catalog: which parts exist, and up to which journal position each signal is sealed.

mod lake;
mod tables;

use crate::part::{PartId, PartRecord, Place};
use crate::{Position, Signal, StoreError};
use lake::Snapshot;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, Sqlite, SqlitePool, Transaction};
use std::path::Path;
use std::time::Duration;

/// How transactions begin that write: they wait for their turn before they read, since what was read without it may be
/// out of date, which no waiting mends.
const WRITE: &str = "BEGIN IMMEDIATE";
/// What is known of a part, in the tables `mangru_part` and `mangru_gone`.
const PART_COLUMNS: &str = "part_id, signal, path, remote, row_count, size_bytes, index_bytes, footer_bytes, min_time, \
     max_time, crc32c";

/// A SQLite database in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pool: SqlitePool,
    /// The URL of the object store, for parts that are there.
    remote_url: Option<String>,
}

/// All that the catalog says at start.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) parts: Vec<PartRecord>,
    /// By signal: every batch up to this position is in a part.
    pub(crate) sealed: [Position; 3],
    /// Parts in the object store that were replaced, and whose files may still be there.
    pub(crate) gone_remote: Vec<PartRecord>,
    /// Paths of local parts that were replaced, and whose files may still be there.
    pub(crate) gone_local: Vec<String>,
    /// Paths in the object store at which a crash may have left a file that is no part.
    pub(crate) uploads: Vec<String>,
}

impl Catalog {
    /// Refuses to make a new catalog where parts are: the one that knew them was lost.
    pub(crate) fn refuse_new(unknown_parts: usize) -> Result<(), StoreError> {
        if unknown_parts == 0 {
            return Ok(());
        }
        let reason = format!(
            "it is missing or empty, and there are {unknown_parts} parts: put it back with the files beside it \
             (catalog.db-wal), or a copy of them; to begin anew, use another data folder"
        );
        Err(StoreError::Corrupt { path: "catalog.db".to_owned(), reason })
    }

    /// Opens the database, and makes its tables when it is new. `data_path` is the folder of the part files.
    ///
    /// # Errors
    /// Also when parts are in another object store than this one.
    pub(crate) async fn open(path: &Path, data_path: &Path, remote_url: Option<&str>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await?;
        let catalog = Self { pool, remote_url: remote_url.map(str::to_owned) };
        let data_path = std::path::absolute(data_path).unwrap_or_else(|_| data_path.to_path_buf());
        tables::create(&catalog.pool, &format!("{}/", data_path.display())).await?;
        catalog.check_remote().await?;
        Ok(catalog)
    }

    /// Parts in an object store can only be read from there.
    async fn check_remote(&self) -> Result<(), StoreError> {
        let known: Option<String> = sqlx::query("SELECT url FROM mangru_remote LIMIT 1")
            .fetch_optional(&self.pool)
            .await?
            .map(|row| row.try_get(0))
            .transpose()?;
        if known == self.remote_url {
            return Ok(());
        }
        if let Some(known) = &known {
            let parts: i64 = sqlx::query("SELECT count(*) FROM mangru_part WHERE remote <> 0")
                .fetch_one(&self.pool)
                .await?
                .try_get(0)?;
            if parts > 0 {
                let given = self.remote_url.as_deref().unwrap_or("not set");
                let reason = format!("{parts} parts are in {known}, and objects.url is {given}");
                return Err(StoreError::Config { field: "objects.url", reason });
            }
        }
        let mut transaction = self.pool.begin_with(WRITE).await?;
        sqlx::query("DELETE FROM mangru_remote").execute(&mut *transaction).await?;
        if let Some(url) = &self.remote_url {
            sqlx::query("INSERT INTO mangru_remote (url) VALUES (?)").bind(url).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
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
        let parts = self.records("mangru_part").await?;
        let gone = self.records("mangru_gone").await?;
        let uploads = sqlx::query("SELECT path FROM mangru_upload").fetch_all(&self.pool).await?;
        let uploads = uploads.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let (gone_remote, gone_local): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|part| part.place == Place::Remote);
        let gone_local = gone_local.into_iter().map(|part| part.path).collect();
        Ok(Contents { parts, sealed, gone_remote, gone_local, uploads })
    }

    /// The parts of a table.
    async fn records(&self, table: &'static str) -> Result<Vec<PartRecord>, StoreError> {
        let mut parts = Vec::new();
        let statement = sqlx::AssertSqlSafe(format!("SELECT {PART_COLUMNS} FROM {table}"));
        for row in sqlx::query(statement).fetch_all(&self.pool).await? {
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
                place: if row.try_get::<i64, _>(3)? == 0 { Place::Local } else { Place::Remote },
                rows: u32::try_from(row.try_get::<i64, _>(4)?).map_err(|_| corrupt("number of rows is absurd"))?,
                bytes: row.try_get::<i64, _>(5)? as u64,
                index_bytes: row.try_get::<i64, _>(6)? as u64,
                footer_bytes: row.try_get::<i64, _>(7)? as u64,
                min_time: row.try_get(8)?,
                max_time: row.try_get(9)?,
                crc32c: row.try_get::<i64, _>(10)? as u32,
            });
        }
        Ok(parts)
    }

    /// Remembers that a file may come to be at this path in the object store, until it is published or
    /// [`Self::end_upload`].
    pub(crate) async fn begin_upload(&self, path: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO mangru_upload (path) VALUES (?)").bind(path).execute(&self.pool).await?;
        Ok(())
    }

    /// There is no file at this path in the object store.
    pub(crate) async fn end_upload(&self, path: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM mangru_upload WHERE path = ?").bind(path).execute(&self.pool).await?;
        Ok(())
    }

    /// Publishes a part and the journal position that it covers, both or neither.
    pub(crate) async fn publish(&self, part: &PartRecord, sealed: Position) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        let snapshot = lake::begin_snapshot(&mut transaction, &lake::inserted(part.signal), 1).await?;
        self.add_part(&mut transaction, part, snapshot).await?;
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
            let moved = format!(
                "INSERT INTO mangru_gone (data_file_id, {PART_COLUMNS}) \
                 SELECT data_file_id, {PART_COLUMNS} FROM mangru_part WHERE part_id = ?"
            );
            sqlx::query(sqlx::AssertSqlSafe(moved)).bind(part.to_string()).execute(&mut *transaction).await?;
            let row = sqlx::query("DELETE FROM mangru_part WHERE part_id = ? RETURNING data_file_id")
                .bind(part.to_string())
                .fetch_one(&mut *transaction)
                .await?;
            lake::end_data_file(&mut transaction, signal, row.try_get(0)?, snapshot).await?;
        }
        if let Some(part) = made {
            self.add_part(&mut transaction, part, snapshot).await?;
            sqlx::query("DELETE FROM mangru_upload WHERE path = ?").bind(&part.path).execute(&mut *transaction).await?;
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

    /// Takes all local parts that are gone out of the history: at start, when their files have been removed.
    pub(crate) async fn forget_local(&self) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with(WRITE).await?;
        for row in sqlx::query("DELETE FROM mangru_gone WHERE remote = 0 RETURNING data_file_id")
            .fetch_all(&mut *transaction)
            .await?
        {
            lake::forget_data_file(&mut transaction, row.try_get(0)?).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn add_part(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        part: &PartRecord,
        snapshot: Snapshot,
    ) -> Result<(), StoreError> {
        let remote_url = self.remote_url.as_deref().filter(|_| part.place == Place::Remote);
        let data_file_id = lake::add_data_file(transaction, part, remote_url, snapshot).await?;
        let statement = format!(
            "INSERT INTO mangru_part (data_file_id, {PART_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        );
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(data_file_id)
            .bind(part.id.to_string())
            .bind(part.signal as i64)
            .bind(&part.path)
            .bind(i64::from(part.place == Place::Remote))
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

    /// Closes the database.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}
