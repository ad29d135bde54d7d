//! What must survive: states of alerts, transitions, what was told, and the outbox. One SQLite database in the data folder;
//! everything that a moment brought is written in one transaction.

use crate::machine::{Active, Alert, Labels, Transition};
use crate::notify::{Decision, Posted, Told};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqlitePool};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS alert (rule TEXT, fingerprint TEXT, body TEXT NOT NULL, PRIMARY KEY (rule, fingerprint));
CREATE TABLE IF NOT EXISTS evaluated (grp TEXT PRIMARY KEY, time_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS series (rule TEXT, labels TEXT, PRIMARY KEY (rule, labels));
CREATE TABLE IF NOT EXISTS transition (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, rule TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS transition_time ON transition (time_ms);
CREATE INDEX IF NOT EXISTS transition_rule ON transition (rule, time_ms);
CREATE TABLE IF NOT EXISTS told (key TEXT PRIMARY KEY, time_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, idempotency_key TEXT UNIQUE NOT NULL, lane TEXT NOT NULL,
    group_key TEXT NOT NULL, body TEXT NOT NULL, decided_ms INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    next_ms INTEGER NOT NULL, ended_ms INTEGER, last_error TEXT);
CREATE INDEX IF NOT EXISTS outbox_state ON outbox (state, id);
CREATE INDEX IF NOT EXISTS outbox_time ON outbox (decided_ms);
CREATE TABLE IF NOT EXISTS posted (fingerprint TEXT PRIMARY KEY, body TEXT NOT NULL);
";

/// The columns of a [`Parcel`].
const PARCEL: &str = "id, body, state, attempts, next_ms, ended_ms, last_error";

/// Of each group of each way what has waited longest.
const FIRST_OF_GROUPS: &str = "id IN (SELECT MIN(id) FROM outbox WHERE state = 'waiting' GROUP BY lane, group_key)";

/// Something that failed in the database.
pub type DbError = sqlx::Error;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pool: SqlitePool,
}

/// What a moment brought.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Alerts by rule and fingerprint; none: forgotten.
    pub(crate) alerts: Vec<(String, u64, Option<Alert>)>,
    /// When groups were evaluated.
    pub(crate) evaluated: Vec<(String, i64)>,
    /// Series that a recording rule began to write, or ended.
    pub(crate) series: Vec<(String, Labels, bool)>,
    pub(crate) transitions: Vec<Transition>,
    /// Alerts from outside by fingerprint; none: forgotten.
    pub(crate) posted: Vec<(u64, Option<Posted>)>,
    pub(crate) told: Vec<(String, Told)>,
    pub(crate) decisions: Vec<Decision>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.alerts.is_empty()
            && self.evaluated.is_empty()
            && self.series.is_empty()
            && self.transitions.is_empty()
            && self.posted.is_empty()
            && self.told.is_empty()
            && self.decisions.is_empty()
    }
}

/// All that was remembered.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) active: HashMap<String, Active>,
    pub(crate) evaluated: HashMap<String, i64>,
    pub(crate) written: HashMap<String, BTreeSet<Labels>>,
    pub(crate) told: BTreeMap<String, Told>,
    pub(crate) posted: BTreeMap<u64, Posted>,
}

/// A notification in the outbox.
#[derive(Clone, Debug, Serialize)]
pub struct Parcel {
    /// Its number.
    pub id: i64,
    /// What is told.
    pub decision: Decision,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried next, in milliseconds.
    pub next_ms: i64,
    /// When it was delivered or given up.
    pub ended_ms: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

fn json<T: Serialize>(value: &T) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn parcel(row: &sqlx::sqlite::SqliteRow) -> Result<Parcel, DbError> {
    Ok(Parcel {
        id: row.try_get(0)?,
        decision: read(&row.try_get::<String, _>(1)?)?,
        state: row.try_get(2)?,
        attempts: row.try_get(3)?,
        next_ms: row.try_get(4)?,
        ended_ms: row.try_get(5)?,
        last_error: row.try_get(6)?,
    })
}

impl Db {
    /// Opens the database and makes its tables when it is new.
    pub(crate) async fn open(path: &Path) -> Result<Self, DbError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await?;
        for statement in TABLES.split(';').filter(|statement| !statement.trim().is_empty()) {
            sqlx::query(statement).execute(&pool).await?;
        }
        Ok(Self { pool })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Writes all of it, or nothing; it is durable when this returns.
    pub(crate) async fn commit(&self, changes: &Changes) -> Result<(), DbError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let connection = &mut *transaction;
        for (rule, fingerprint, alert) in &changes.alerts {
            let fingerprint = format!("{fingerprint:016x}");
            match alert {
                Some(alert) => {
                    sqlx::query("INSERT OR REPLACE INTO alert (rule, fingerprint, body) VALUES (?, ?, ?)")
                        .bind(rule)
                        .bind(fingerprint)
                        .bind(json(alert)?)
                        .execute(&mut *connection)
                        .await?;
                }
                None => {
                    sqlx::query("DELETE FROM alert WHERE rule = ? AND fingerprint = ?")
                        .bind(rule)
                        .bind(fingerprint)
                        .execute(&mut *connection)
                        .await?;
                }
            }
        }
        for (group, time_ms) in &changes.evaluated {
            sqlx::query("INSERT OR REPLACE INTO evaluated (grp, time_ms) VALUES (?, ?)")
                .bind(group)
                .bind(time_ms)
                .execute(&mut *connection)
                .await?;
        }
        for (rule, labels, is_there) in &changes.series {
            let text = if *is_there {
                "INSERT OR IGNORE INTO series (rule, labels) VALUES (?, ?)"
            } else {
                "DELETE FROM series WHERE rule = ? AND labels = ?"
            };
            sqlx::query(text).bind(rule).bind(json(labels)?).execute(&mut *connection).await?;
        }
        for transition in &changes.transitions {
            sqlx::query("INSERT INTO transition (time_ms, rule, name, body) VALUES (?, ?, ?, ?)")
                .bind(transition.time_ms)
                .bind(&transition.rule)
                .bind(&transition.name)
                .bind(json(transition)?)
                .execute(&mut *connection)
                .await?;
        }
        for (fingerprint, posted) in &changes.posted {
            let fingerprint = format!("{fingerprint:016x}");
            match posted {
                Some(posted) => {
                    sqlx::query("INSERT OR REPLACE INTO posted (fingerprint, body) VALUES (?, ?)")
                        .bind(fingerprint)
                        .bind(json(posted)?)
                        .execute(&mut *connection)
                        .await?;
                }
                None => {
                    sqlx::query("DELETE FROM posted WHERE fingerprint = ?")
                        .bind(fingerprint)
                        .execute(&mut *connection)
                        .await?;
                }
            }
        }
        for (key, told) in &changes.told {
            sqlx::query("INSERT OR REPLACE INTO told (key, time_ms, body) VALUES (?, ?, ?)")
                .bind(key)
                .bind(told.time_ms)
                .bind(json(told)?)
                .execute(&mut *connection)
                .await?;
        }
        for decision in &changes.decisions {
            sqlx::query(
                "INSERT OR IGNORE INTO outbox (idempotency_key, lane, group_key, body, decided_ms, state, attempts, next_ms) \
                 VALUES (?, ?, ?, ?, ?, 'waiting', 0, ?)",
            )
            .bind(decision.idempotency_key())
            .bind(lane(decision))
            .bind(&decision.group_key)
            .bind(json(decision)?)
            .bind(decision.time_ms)
            .bind(decision.time_ms)
            .execute(&mut *connection)
            .await?;
        }
        transaction.commit().await
    }

    /// All that was remembered.
    pub(crate) async fn remembered(&self) -> Result<Remembered, DbError> {
        let mut all = Remembered::default();
        for row in sqlx::query("SELECT rule, fingerprint, body FROM alert").fetch_all(&self.pool).await? {
            let fingerprint = u64::from_str_radix(&row.try_get::<String, _>(1)?, 16).unwrap_or_default();
            let alert: Alert = read(&row.try_get::<String, _>(2)?)?;
            all.active.entry(row.try_get(0)?).or_default().insert(fingerprint, alert);
        }
        for row in sqlx::query("SELECT grp, time_ms FROM evaluated").fetch_all(&self.pool).await? {
            all.evaluated.insert(row.try_get(0)?, row.try_get(1)?);
        }
        for row in sqlx::query("SELECT rule, labels FROM series").fetch_all(&self.pool).await? {
            all.written.entry(row.try_get(0)?).or_default().insert(read(&row.try_get::<String, _>(1)?)?);
        }
        for row in sqlx::query("SELECT key, body FROM told").fetch_all(&self.pool).await? {
            all.told.insert(row.try_get(0)?, read(&row.try_get::<String, _>(1)?)?);
        }
        for row in sqlx::query("SELECT fingerprint, body FROM posted").fetch_all(&self.pool).await? {
            let fingerprint = u64::from_str_radix(&row.try_get::<String, _>(0)?, 16).unwrap_or_default();
            all.posted.insert(fingerprint, read(&row.try_get::<String, _>(1)?)?);
        }
        Ok(all)
    }

    /// Transitions between two moments, of one rule or of all, the newest first.
    pub(crate) async fn transitions(
        &self,
        (from_ms, to_ms): (i64, i64),
        rule: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Transition>, DbError> {
        let rows = sqlx::query(
            "SELECT body FROM transition WHERE time_ms >= ? AND time_ms <= ? AND (? IS NULL OR rule = ?) \
             ORDER BY time_ms DESC, id DESC LIMIT ?",
        )
        .bind(from_ms)
        .bind(to_ms)
        .bind(rule)
        .bind(rule)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| read(&row.try_get::<String, _>(0)?)).collect()
    }

    /// The ways for which something waits in the outbox, each with when the first of a group that waits is due.
    pub(crate) async fn waiting_lanes(&self) -> Result<Vec<(String, i64)>, DbError> {
        let text = format!("SELECT lane, MIN(next_ms) FROM outbox WHERE {FIRST_OF_GROUPS} GROUP BY lane");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// What is due of one way, the oldest first: of each group what has waited longest, for the rest waits behind it.
    pub(crate) async fn due_in_lane(&self, lane: &str, now_ms: i64) -> Result<Vec<Parcel>, DbError> {
        let text = format!(
            "SELECT {PARCEL} FROM outbox WHERE {FIRST_OF_GROUPS} AND lane = ? AND next_ms <= ? ORDER BY id LIMIT 1000"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(lane).bind(now_ms);
        query.fetch_all(&self.pool).await?.iter().map(parcel).collect()
    }

    /// Notifications that were decided between two moments, the newest first.
    pub(crate) async fn told_between(&self, (from_ms, to_ms): (i64, i64), limit: i64) -> Result<Vec<Parcel>, DbError> {
        let text =
            format!("SELECT {PARCEL} FROM outbox WHERE decided_ms >= ? AND decided_ms <= ? ORDER BY id DESC LIMIT ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(from_ms).bind(to_ms).bind(limit);
        query.fetch_all(&self.pool).await?.iter().map(parcel).collect()
    }

    /// Says what became of an attempt.
    pub(crate) async fn attempted(&self, parcel: &Parcel) -> Result<(), DbError> {
        sqlx::query(
            "UPDATE outbox SET state = ?, attempts = ?, next_ms = ?, ended_ms = ?, last_error = ? WHERE id = ?",
        )
        .bind(&parcel.state)
        .bind(parcel.attempts)
        .bind(parcel.next_ms)
        .bind(parcel.ended_ms)
        .bind(&parcel.last_error)
        .bind(parcel.id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets what is older: transitions, what was told, and notifications that ended.
    pub(crate) async fn forget(&self, history_before_ms: i64, told_before_ms: i64) -> Result<(), DbError> {
        sqlx::query("DELETE FROM transition WHERE time_ms < ?").bind(history_before_ms).execute(&self.pool).await?;
        sqlx::query("DELETE FROM outbox WHERE state <> 'waiting' AND decided_ms < ?")
            .bind(history_before_ms)
            .execute(&self.pool)
            .await?;
        sqlx::query("DELETE FROM told WHERE time_ms < ?").bind(told_before_ms).execute(&self.pool).await?;
        Ok(())
    }
}

/// The way that notifications go one after the other.
pub(crate) fn lane(decision: &Decision) -> String {
    format!("{}/{}/{}", decision.receiver, decision.kind, decision.place)
}
