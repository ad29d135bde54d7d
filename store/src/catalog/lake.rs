//! The catalog as an open lake: the tables of the DuckLake 1.0 specification (<https://ducklake.select/docs>), so that
//! DuckDB attaches a running store and reads the parts with no export.
//!
//! There is one schema `main`, one table per signal, one snapshot per change. Columns are found in the files
//! by name (`ducklake_column_mapping` of type `map_by_name`), because the files carry no field numbers.

use crate::part::PartRecord;
use crate::{Signal, StoreError};
use arrow::datatypes::{DataType, Field};
use chrono::{DateTime, Utc};
use sqlx::{Row as _, Sqlite, SqlitePool, Transaction};

/// The tables that the specification names.
pub(super) const TABLES: &[&str] = &[
    r#"CREATE TABLE IF NOT EXISTS ducklake_metadata("key" VARCHAR NOT NULL, "value" VARCHAR NOT NULL, "scope" VARCHAR, scope_id BIGINT)"#,
    "CREATE TABLE IF NOT EXISTS ducklake_snapshot(snapshot_id BIGINT PRIMARY KEY, snapshot_time VARCHAR, schema_version BIGINT, next_catalog_id BIGINT, next_file_id BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_snapshot_changes(snapshot_id BIGINT PRIMARY KEY, changes_made VARCHAR, author VARCHAR, commit_message VARCHAR, commit_extra_info VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_schema(schema_id BIGINT PRIMARY KEY, schema_uuid VARCHAR, begin_snapshot BIGINT, end_snapshot BIGINT, schema_name VARCHAR, path VARCHAR, path_is_relative BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_table(table_id BIGINT, table_uuid VARCHAR, begin_snapshot BIGINT, end_snapshot BIGINT, schema_id BIGINT, table_name VARCHAR, path VARCHAR, path_is_relative BIGINT)",
    r#"CREATE TABLE IF NOT EXISTS ducklake_view(view_id BIGINT, view_uuid VARCHAR, begin_snapshot BIGINT, end_snapshot BIGINT, schema_id BIGINT, view_name VARCHAR, dialect VARCHAR, "sql" VARCHAR, column_aliases VARCHAR)"#,
    r#"CREATE TABLE IF NOT EXISTS ducklake_tag(object_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, "key" VARCHAR, "value" VARCHAR)"#,
    r#"CREATE TABLE IF NOT EXISTS ducklake_column_tag(table_id BIGINT, column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, "key" VARCHAR, "value" VARCHAR)"#,
    "CREATE TABLE IF NOT EXISTS ducklake_data_file(data_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, file_order BIGINT, path VARCHAR, path_is_relative BIGINT, file_format VARCHAR, record_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT, row_id_start BIGINT, partition_id BIGINT, encryption_key VARCHAR, mapping_id BIGINT, partial_max BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_file_column_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT, column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BIGINT, extra_stats VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_file_variant_stats(data_file_id BIGINT, table_id BIGINT, column_id BIGINT, variant_path VARCHAR, shredded_type VARCHAR, column_size_bytes BIGINT, value_count BIGINT, null_count BIGINT, min_value VARCHAR, max_value VARCHAR, contains_nan BIGINT, extra_stats VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_delete_file(delete_file_id BIGINT PRIMARY KEY, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, data_file_id BIGINT, path VARCHAR, path_is_relative BIGINT, format VARCHAR, delete_count BIGINT, file_size_bytes BIGINT, footer_size BIGINT, encryption_key VARCHAR, partial_max BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_column(column_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT, table_id BIGINT, column_order BIGINT, column_name VARCHAR, column_type VARCHAR, initial_default VARCHAR, default_value VARCHAR, nulls_allowed BIGINT, parent_column BIGINT, default_value_type VARCHAR, default_value_dialect VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_table_stats(table_id BIGINT, record_count BIGINT, next_row_id BIGINT, file_size_bytes BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_table_column_stats(table_id BIGINT, column_id BIGINT, contains_null BIGINT, contains_nan BIGINT, min_value VARCHAR, max_value VARCHAR, extra_stats VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_partition_info(partition_id BIGINT, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT)",
    r#"CREATE TABLE IF NOT EXISTS ducklake_partition_column(partition_id BIGINT, table_id BIGINT, partition_key_index BIGINT, column_id BIGINT, "transform" VARCHAR)"#,
    "CREATE TABLE IF NOT EXISTS ducklake_file_partition_value(data_file_id BIGINT, table_id BIGINT, partition_key_index BIGINT, partition_value VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_files_scheduled_for_deletion(data_file_id BIGINT, path VARCHAR, path_is_relative BIGINT, schedule_start VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_inlined_data_tables(table_id BIGINT, table_name VARCHAR, schema_version BIGINT)",
    r#"CREATE TABLE IF NOT EXISTS ducklake_column_mapping(mapping_id BIGINT, table_id BIGINT, "type" VARCHAR)"#,
    "CREATE TABLE IF NOT EXISTS ducklake_name_mapping(mapping_id BIGINT, column_id BIGINT, source_name VARCHAR, target_field_id BIGINT, parent_column BIGINT, is_partition BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_schema_versions(begin_snapshot BIGINT, schema_version BIGINT, table_id BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_macro(schema_id BIGINT, macro_id BIGINT, macro_name VARCHAR, begin_snapshot BIGINT, end_snapshot BIGINT)",
    r#"CREATE TABLE IF NOT EXISTS ducklake_macro_impl(macro_id BIGINT, impl_id BIGINT, dialect VARCHAR, "sql" VARCHAR, "type" VARCHAR)"#,
    "CREATE TABLE IF NOT EXISTS ducklake_macro_parameters(macro_id BIGINT, impl_id BIGINT, column_id BIGINT, parameter_name VARCHAR, parameter_type VARCHAR, default_value VARCHAR, default_value_type VARCHAR)",
    "CREATE TABLE IF NOT EXISTS ducklake_sort_info(sort_id BIGINT, table_id BIGINT, begin_snapshot BIGINT, end_snapshot BIGINT)",
    "CREATE TABLE IF NOT EXISTS ducklake_sort_expression(sort_id BIGINT, table_id BIGINT, sort_key_index BIGINT, expression VARCHAR, dialect VARCHAR, sort_direction VARCHAR, null_order VARCHAR)",
];

const SCHEMA_ID: i64 = 0;
const SCHEMA_VERSION: i64 = 1;
/// The column `time` is the first of every table.
const TIME_COLUMN_ID: i64 = 1;

const fn table_id(signal: Signal) -> i64 {
    signal as i64 + 1
}

/// A table's mapping from names in files to columns has the table's number.
const fn mapping_id(signal: Signal) -> i64 {
    table_id(signal)
}

fn now() -> String {
    timestamp(Utc::now())
}

fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// One column of a table, nested ones behind their parents.
struct LakeColumn {
    id: i64,
    name: String,
    kind: &'static str,
    nullable: bool,
    parent: Option<i64>,
}

/// The table's columns by DuckLake's type names.
fn columns(signal: Signal) -> Vec<LakeColumn> {
    let mut columns = Vec::new();
    for field in signal.schema().fields() {
        add_column(field, None, &mut columns);
    }
    columns
}

fn add_column(field: &Field, parent: Option<i64>, columns: &mut Vec<LakeColumn>) {
    let id = columns.len() as i64 + 1;
    let kind = match field.data_type() {
        DataType::Timestamp(..) => "timestamptz",
        DataType::Boolean => "boolean",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float64 => "float64",
        DataType::FixedSizeBinary(_) => "blob",
        DataType::Map(..) => "map",
        DataType::List(_) => "list",
        _ => "varchar",
    };
    columns.push(LakeColumn { id, name: field.name().clone(), kind, nullable: field.is_nullable(), parent });
    match field.data_type() {
        DataType::List(element) => add_column(element, Some(id), columns),
        DataType::Map(entries, _) => {
            if let DataType::Struct(parts) = entries.data_type() {
                for part in parts {
                    add_column(part, Some(id), columns);
                }
            }
        }
        _ => {}
    }
}

/// Describes the tables once, in a first snapshot; keeps the path of the files true when the folder was moved.
pub(super) async fn describe(pool: &SqlitePool, data_path: &str) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with(super::WRITE).await?;
    let known: i64 =
        sqlx::query("SELECT count(*) FROM ducklake_snapshot").fetch_one(&mut *transaction).await?.try_get(0)?;
    if known == 0 {
        for (key, value) in [
            ("version", "1.0"),
            ("created_by", concat!("mangru ", env!("CARGO_PKG_VERSION"))),
            ("data_path", data_path),
            ("encrypted", "false"),
        ] {
            sqlx::query("INSERT INTO ducklake_metadata VALUES (?, ?, NULL, NULL)")
                .bind(key)
                .bind(value)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query("INSERT INTO ducklake_schema VALUES (?, ?, 0, NULL, 'main', '', 1)")
            .bind(SCHEMA_ID)
            .bind(uuid())
            .execute(&mut *transaction)
            .await?;
        add_snapshot(&mut transaction, 0, 0, 1, 0, "created_schema:\"main\"").await?;
        let changes: Vec<String> =
            Signal::ALL.iter().map(|signal| format!("created_table:\"main\".\"{}\"", signal.table())).collect();
        // Numbers are given to tables and mappings alike.
        let next_catalog_id = table_id(Signal::MetricPoints) + 1;
        add_snapshot(&mut transaction, 1, SCHEMA_VERSION, next_catalog_id, 0, &changes.join(",")).await?;
        for signal in Signal::ALL {
            describe_table(&mut transaction, signal).await?;
        }
    } else {
        sqlx::query("UPDATE ducklake_metadata SET \"value\" = ? WHERE \"key\" = 'data_path' AND \"value\" <> ?")
            .bind(data_path)
            .bind(data_path)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// DuckLake wants a UUID for each schema and table; a ULID has the same 128 bits.
fn uuid() -> String {
    let number = u128::from(ulid::Ulid::generate());
    let hex = format!("{number:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

async fn add_snapshot(
    transaction: &mut Transaction<'_, Sqlite>,
    id: i64,
    schema_version: i64,
    next_catalog_id: i64,
    next_file_id: i64,
    changes: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO ducklake_snapshot VALUES (?, ?, ?, ?, ?)")
        .bind(id)
        .bind(now())
        .bind(schema_version)
        .bind(next_catalog_id)
        .bind(next_file_id)
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO ducklake_snapshot_changes VALUES (?, ?, 'mangru', NULL, NULL)")
        .bind(id)
        .bind(changes)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn describe_table(transaction: &mut Transaction<'_, Sqlite>, signal: Signal) -> Result<(), StoreError> {
    let table = table_id(signal);
    sqlx::query("INSERT INTO ducklake_table VALUES (?, ?, 1, NULL, ?, ?, ?, 1)")
        .bind(table)
        .bind(uuid())
        .bind(SCHEMA_ID)
        .bind(signal.table())
        .bind(format!("{}/", signal.table()))
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO ducklake_schema_versions VALUES (1, ?, ?)")
        .bind(SCHEMA_VERSION)
        .bind(table)
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO ducklake_column_mapping VALUES (?, ?, 'map_by_name')")
        .bind(mapping_id(signal))
        .bind(table)
        .execute(&mut **transaction)
        .await?;
    sqlx::query("INSERT INTO ducklake_table_stats VALUES (?, 0, 0, 0)").bind(table).execute(&mut **transaction).await?;
    for column in columns(signal) {
        sqlx::query(
            "INSERT INTO ducklake_column VALUES (?, 1, NULL, ?, ?, ?, ?, NULL, 'NULL', ?, ?, 'literal', 'duckdb')",
        )
        .bind(column.id)
        .bind(table)
        .bind(column.id)
        .bind(&column.name)
        .bind(column.kind)
        .bind(column.nullable)
        .bind(column.parent)
        .execute(&mut **transaction)
        .await?;
        sqlx::query("INSERT INTO ducklake_name_mapping VALUES (?, ?, ?, ?, ?, 0)")
            .bind(mapping_id(signal))
            .bind(column.id)
            .bind(&column.name)
            .bind(column.id)
            .bind(column.parent)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// A snapshot that is being made, and the numbers of its new data files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    id: i64,
    next_file: i64,
}

/// What a snapshot with a new part says of itself.
pub(super) fn inserted(signal: Signal) -> String {
    format!("inserted_into_table:{}", table_id(signal))
}

/// What a snapshot in which a part takes the place of others says of itself.
pub(super) fn replaced(signal: Signal, by_another: bool) -> String {
    let table = table_id(signal);
    if by_another { format!("compacted_table:{table}") } else { format!("deleted_from_table:{table}") }
}

/// Begins the next snapshot, in which there will be so many new files.
pub(super) async fn begin_snapshot(
    transaction: &mut Transaction<'_, Sqlite>,
    changes: &str,
    files: i64,
) -> Result<Snapshot, StoreError> {
    let last = sqlx::query(
        "SELECT snapshot_id, schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot \
         ORDER BY snapshot_id DESC LIMIT 1",
    )
    .fetch_one(&mut **transaction)
    .await?;
    let id = last.try_get::<i64, _>(0)? + 1;
    let next_file = last.try_get::<i64, _>(3)?;
    add_snapshot(transaction, id, last.try_get(1)?, last.try_get(2)?, next_file + files, changes).await?;
    Ok(Snapshot { id, next_file })
}

/// Ends a data file: later snapshots are without it.
pub(super) async fn end_data_file(
    transaction: &mut Transaction<'_, Sqlite>,
    signal: Signal,
    file: i64,
    snapshot: Snapshot,
) -> Result<(), StoreError> {
    let ended = sqlx::query(
        "UPDATE ducklake_data_file SET end_snapshot = ? WHERE data_file_id = ? RETURNING record_count, file_size_bytes",
    )
    .bind(snapshot.id)
    .bind(file)
    .fetch_one(&mut **transaction)
    .await?;
    sqlx::query(
        "UPDATE ducklake_table_stats SET record_count = record_count - ?, file_size_bytes = file_size_bytes - ? \
         WHERE table_id = ?",
    )
    .bind(ended.try_get::<i64, _>(0)?)
    .bind(ended.try_get::<i64, _>(1)?)
    .bind(table_id(signal))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Takes an ended data file, and the snapshots that had it, out of the history.
pub(super) async fn forget_data_file(transaction: &mut Transaction<'_, Sqlite>, file: i64) -> Result<(), StoreError> {
    let ended: Option<i64> =
        sqlx::query("DELETE FROM ducklake_data_file WHERE data_file_id = ? RETURNING end_snapshot")
            .bind(file)
            .fetch_one(&mut **transaction)
            .await?
            .try_get(0)?;
    sqlx::query("DELETE FROM ducklake_file_column_stats WHERE data_file_id = ?")
        .bind(file)
        .execute(&mut **transaction)
        .await?;
    let Some(ended) = ended else { return Ok(()) };
    // The first snapshots describe the tables.
    for statement in [
        "DELETE FROM ducklake_snapshot WHERE snapshot_id > 1 AND snapshot_id < ?",
        "DELETE FROM ducklake_snapshot_changes WHERE snapshot_id > 1 AND snapshot_id < ?",
    ] {
        sqlx::query(statement).bind(ended).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Adds a part as a data file and gives the file's number. Files in the object store have whole URLs as paths.
pub(super) async fn add_data_file(
    transaction: &mut Transaction<'_, Sqlite>,
    part: &PartRecord,
    remote_url: Option<&str>,
    snapshot: Snapshot,
) -> Result<i64, StoreError> {
    let file = snapshot.next_file;
    let table = table_id(part.signal);
    let next_row_id: i64 = sqlx::query("SELECT next_row_id FROM ducklake_table_stats WHERE table_id = ?")
        .bind(table)
        .fetch_one(&mut **transaction)
        .await?
        .try_get(0)?;
    let prefix = format!("{}/", part.signal.table());
    let path = match remote_url {
        Some(url) => format!("{url}/{}", part.path),
        None => part.path.strip_prefix(&prefix).unwrap_or(&part.path).to_owned(),
    };
    sqlx::query(
        "INSERT INTO ducklake_data_file VALUES (?, ?, ?, NULL, NULL, ?, ?, 'parquet', ?, ?, ?, ?, NULL, NULL, ?, NULL)",
    )
    .bind(file)
    .bind(table)
    .bind(snapshot.id)
    .bind(path)
    .bind(i64::from(remote_url.is_none()))
    .bind(i64::from(part.rows))
    .bind(part.bytes as i64)
    .bind(part.footer_bytes as i64)
    .bind(next_row_id)
    .bind(mapping_id(part.signal))
    .execute(&mut **transaction)
    .await?;
    // DuckDB reads microseconds, so the ends are widened to whole ones.
    let min_time = timestamp(DateTime::from_timestamp_nanos(part.min_time));
    let max_time = timestamp(DateTime::from_timestamp_nanos(part.max_time.saturating_add(1000)));
    sqlx::query("INSERT INTO ducklake_file_column_stats VALUES (?, ?, ?, NULL, ?, 0, ?, ?, NULL, NULL)")
        .bind(file)
        .bind(table)
        .bind(TIME_COLUMN_ID)
        .bind(i64::from(part.rows))
        .bind(&min_time)
        .bind(&max_time)
        .execute(&mut **transaction)
        .await?;
    sqlx::query(
        "UPDATE ducklake_table_stats SET record_count = record_count + ?, next_row_id = next_row_id + ?, \
         file_size_bytes = file_size_bytes + ? WHERE table_id = ?",
    )
    .bind(i64::from(part.rows))
    .bind(i64::from(part.rows))
    .bind(part.bytes as i64)
    .bind(table)
    .execute(&mut **transaction)
    .await?;
    Ok(file)
}
