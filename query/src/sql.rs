//! SQL over the tables, by DataFusion.
//!
//! Tables `logs`, `spans` and `metric_points` have the columns of the store's schema; trace and span ids are hex text.
//! Comparisons of `time`, equality of indexed columns and `matches(column, 'terms')` are given to the scan, so that parts
//! and pages are left out; everything is checked again by DataFusion. `search('logs', '…')` and `trace('…')` stand for the rows
//! that a search finds and the spans of a trace.

mod bounded;
mod fault;
mod functions;
mod guard;
mod lanes;
mod memory;
mod pairs;
mod provider;
mod pruned;
mod rewrite;
mod tables;
mod values;
mod write;

pub(crate) use lanes::Lanes;
pub(crate) use values::append;
pub use write::SqlFormat;
pub(crate) use write::{arrow as as_arrow, csv as as_csv, ndjson as as_ndjson};

use crate::{Coverage, ErrorCode, QueryError, QueryService};
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt as _;
use mangru_store::{Signal, TimeRange};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Queries longer than this are refused.
const MAX_SQL_BYTES: usize = 16 << 10;

/// A question in SQL.
#[derive(Clone, Debug)]
pub struct SqlRequest {
    /// One statement that reads.
    pub sql: String,
    /// Rows outside are not seen.
    pub range: TimeRange,
    /// How many rows of the result at most.
    pub limit: usize,
}

/// A column of a result.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SqlColumn {
    /// Its name.
    pub name: String,
    /// Arrow's name of its type.
    pub r#type: String,
}

/// A result of SQL.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SqlResult {
    /// The columns in order.
    pub columns: Vec<SqlColumn>,
    /// The rows, a value per column: times in RFC 3339, maps as objects.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<Json>>,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// What the scans below a query saw.
#[derive(Debug, Default)]
struct Seen {
    rows_in_range: u64,
    unreadable_parts: Vec<String>,
}

/// A result as Arrow has it.
pub(crate) struct SqlBatches {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) coverage: Coverage,
}

impl QueryService {
    /// Answers a statement of SQL that reads.
    pub async fn sql(&self, request: &SqlRequest) -> Result<SqlResult, QueryError> {
        let SqlBatches { schema, batches, coverage } = self.sql_batches(request).await?;
        let column =
            |field: &Arc<Field>| SqlColumn { name: field.name().clone(), r#type: field.data_type().to_string() };
        let mut rows = Vec::new();
        for batch in &batches {
            values::append(batch, &mut rows);
        }
        Ok(SqlResult { columns: schema.fields().iter().map(column).collect(), rows, coverage })
    }

    /// Answers a statement of SQL that reads with Arrow batches.
    pub(crate) async fn sql_batches(&self, request: &SqlRequest) -> Result<SqlBatches, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        if request.sql.len() > MAX_SQL_BYTES {
            return Err(QueryError::invalid("sql", format!("statement is longer than {MAX_SQL_BYTES} bytes")));
        }
        let (control, _cancel) = self.control();
        let _turn = self.turn().await?;
        // What does not fit the memory is refused: nothing is written beside the data folder.
        let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(no_disk)
            .with_memory_pool(Arc::new(memory::Pool::new(control.memory())))
            .build_arc()
            .map_err(error)?;
        let config = SessionConfig::new().with_target_partitions(2).with_information_schema(true);
        let session = SessionContext::new_with_config_rt(config, runtime);
        bounded::bound(&session, &control);
        functions::register(&session);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut known = Vec::new();
        for signal in Signal::ALL {
            let table = provider::Table::new(self.store(), signal, request.range, control.clone(), Arc::clone(&seen));
            let table = Arc::new(table);
            session.register_table(signal.table(), Arc::clone(&table) as _).map_err(error)?;
            known.push((signal, table));
        }
        tables::register(&session, &known);
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let mut held = control.held();
        let (running, sql) = (control.clone(), request.sql.clone());
        let run = async move {
            let (state, plan) = session.sql_with_options(&sql, options).await?.into_parts();
            let plan = rewrite::rewritten(plan, &state)?;
            let frame = DataFrame::new(state, plan);
            let context = Arc::new(frame.task_ctx());
            let plan = guard::guarded(frame.create_physical_plan().await?, &running)?;
            let mut stream = execute_stream(plan, context)?;
            let schema = stream.schema();
            let (mut batches, mut rows, mut more) = (Vec::new(), 0, false);
            while let Some(batch) = stream.next().await {
                let batch = batch?;
                let room = limit - rows;
                more |= batch.num_rows() > room;
                let taken = batch.slice(0, batch.num_rows().min(room));
                rows += taken.num_rows();
                held.cover(held.bytes() + taken.get_array_memory_size()).map_err(provider::external)?;
                batches.push(taken);
                if more {
                    break;
                }
            }
            Ok::<_, DataFusionError>((schema, batches, rows, more))
        };
        // On threads of its own, which stop when nobody waits any more: at the next batch, or when this is dropped.
        let lane = self.lanes().begin()?;
        let task = AbortOnDropHandle::new(lane.spawn(run));
        let result = tokio::time::timeout(self.settings().deadline, task).await;
        let (schema, batches, rows, more) = match result {
            Ok(Ok(result)) => result.map_err(|found| fault::placed(error(found), &request.sql))?,
            Ok(Err(stopped)) => return Err(QueryError::internal(format!("the statement stopped: {stopped}"))),
            Err(_) => {
                control.check()?;
                return Err(QueryError::new(ErrorCode::DeadlineExceeded, "query took longer than its deadline"));
            }
        };
        let seen = seen.lock();
        let mut coverage = Coverage {
            matched: rows as u64,
            matched_is_exact: !more,
            complete: true,
            limit_hit: None,
            rows_in_range: seen.rows_in_range,
            elapsed_ms: crate::request::elapsed_ms(started),
        };
        coverage.unreadable(&seen.unreadable_parts);
        if more {
            coverage.cut(format!("limit of {limit} rows"));
        }
        Ok(SqlBatches { schema, batches, coverage })
    }
}

/// DataFusion's errors as ours: what is wrong with the statement is the caller's.
#[allow(clippy::needless_pass_by_value)] // is given to `map_err`
fn error(error: DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(message) => QueryError::new(ErrorCode::ResourceExhausted, message.clone()),
        DataFusionError::External(inner) if inner.downcast_ref::<QueryError>().is_some() => {
            inner.downcast_ref::<QueryError>().cloned().unwrap_or_else(|| QueryError::internal(&error))
        }
        // Those of functions: an expression that is too large, say.
        DataFusionError::External(inner) => QueryError::invalid("sql", inner.to_string()),
        DataFusionError::Internal(message) if message.contains("Regular expression did not compile") => {
            QueryError::invalid("sql", message.split(".\n").next().unwrap_or_default())
        }
        DataFusionError::NotImplemented(message) => {
            QueryError { field: Some("sql"), ..QueryError::new(ErrorCode::Unsupported, message.clone()) }
        }
        DataFusionError::SQL(found, _) => QueryError::invalid("sql", fault::of_parser(found)),
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::Execution(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::ArrowError(..) => QueryError::invalid("sql", fault::of_plan(&error)),
        _ => QueryError::internal(error.strip_backtrace()),
    }
}

/// Whether a text is one statement that reads, as far as that can be told without data.
///
/// # Errors
/// What is wrong with it.
pub fn check_sql(text: &str) -> Result<(), QueryError> {
    use datafusion::sql::parser::{DFParser, Statement};
    use datafusion::sql::sqlparser::ast;
    if text.len() > MAX_SQL_BYTES {
        return Err(QueryError::invalid("sql", format!("statement is longer than {MAX_SQL_BYTES} bytes")));
    }
    let statements = DFParser::parse_sql(text).map_err(|found| {
        let found = fault::placed(error(found), text);
        let place = found.position.map(|at| format!(" (at character {at})")).unwrap_or_default();
        QueryError { message: format!("{}{place}", found.message), ..found }
    })?;
    let reads = |statement: &Statement| matches!(statement, Statement::Statement(inner) if matches!(**inner, ast::Statement::Query(_)));
    match statements.len() {
        1 if statements.iter().all(reads) => Ok(()),
        1 => Err(QueryError::invalid("sql", "the statement is not a SELECT")),
        count => Err(QueryError::invalid("sql", format!("{count} statements stand here: one is wanted"))),
    }
}
