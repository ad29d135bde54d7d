//! A table of the store as DataFusion sees it.

use super::Seen;
use super::functions::{MATCHES, text_search};
use super::pruned::{Left, Pruned};
use crate::language::{Bound, Expr, FieldRef, Literal, Matcher, write_hex};
use crate::scan::{Control, PartRows, open_part_told};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{BinaryExpr, Expr as SqlExpr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use mangru_store::{Part, Signal, Store, TimeRange};
use parking_lot::Mutex;
use std::sync::Arc;

/// Batches that a partition reads ahead.
const AHEAD: usize = 2;

/// One signal's table in one query.
#[derive(Debug)]
pub(super) struct Table {
    source: Arc<Source>,
    schema: SchemaRef,
    /// Rows that it does not match are no rows of the table.
    only: Expr,
}

/// Where the rows of a table come from.
struct Source {
    store: Arc<Store>,
    signal: Signal,
    range: TimeRange,
    control: Control,
    seen: Arc<Mutex<Seen>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("signal", &self.signal).field("range", &self.range).finish_non_exhaustive()
    }
}

impl Table {
    pub(super) fn new(
        store: &Arc<Store>,
        signal: Signal,
        range: TimeRange,
        control: Control,
        seen: Arc<Mutex<Seen>>,
    ) -> Self {
        let fields: Vec<Field> = signal
            .schema()
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                DataType::FixedSizeBinary(_) => Field::new(field.name(), DataType::Utf8, field.is_nullable()),
                _ => field.as_ref().clone(),
            })
            .collect();
        let source = Source { store: Arc::clone(store), signal, range, control, seen };
        Self { source: Arc::new(source), schema: Arc::new(Schema::new(fields)), only: Expr::All }
    }

    /// The rows of the table that a search finds.
    pub(super) fn only(&self, expr: Expr) -> Self {
        Self { source: Arc::clone(&self.source), schema: Arc::clone(&self.schema), only: self.only.clone().and(expr) }
    }
}

#[async_trait]
impl TableProvider for Table {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&SqlExpr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // What is pushed down leaves out rows that cannot match; DataFusion looks at the rest again.
        Ok(filters
            .iter()
            .map(|filter| {
                if pushed(filter, self.source.signal).is_some() || time_bound(filter).is_some() {
                    TableProviderFilterPushDown::Inexact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[SqlExpr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let signal = self.source.signal;
        let mut filter = self.only.clone();
        let mut range = self.source.range;
        for sql in filters {
            if let Some((low, high)) = time_bound(sql) {
                range.start = range.start.max(low.unwrap_or(range.start));
                range.end = range.end.min(high.unwrap_or(range.end));
            } else if let Some(expr) = pushed(sql, signal) {
                filter = filter.and(expr);
            }
        }
        let places: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&places)?);
        let full = signal.schema();
        let columns: Vec<&'static str> = places.iter().filter_map(|place| name_of(&full, *place)).collect();
        let snapshot = self.source.store.snapshot(signal);
        let mut partitions: Vec<Arc<dyn PartitionStream>> = Vec::new();
        let metrics = ExecutionPlanMetricsSet::new();
        let left = Left::new(&metrics);
        let shared = Arc::new(Shared {
            source: Arc::clone(&self.source),
            filter,
            range,
            columns,
            schema: Arc::clone(&schema),
            left,
        });
        let hot_rows = snapshot.hot.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        let (all_parts, all_rows) = parts_and_rows(snapshot.parts.iter());
        let touched = snapshot.parts.iter().filter(|part| range.touches(part.min_time(), part.max_time()));
        let (parts, part_rows) = parts_and_rows(touched);
        self.source.seen.lock().rows_in_range += hot_rows + part_rows;
        let says = format!(
            "{}, time={}, filter={}, hot_rows={hot_rows}, parts={parts} of {all_parts}, part_rows={part_rows} of {all_rows}, \
             columns=[{}]",
            signal.table(),
            shown_range(range),
            shared.filter,
            shared.columns.join(", "),
        );
        partitions.push(Arc::new(Partition { shared: Arc::clone(&shared), rows: Rows::Hot(snapshot.hot) }));
        for part in snapshot.parts.into_iter().filter(|part| range.touches(part.min_time(), part.max_time())) {
            partitions.push(Arc::new(Partition { shared: Arc::clone(&shared), rows: Rows::Part(part) }));
        }
        let plan = StreamingTableExec::try_new(schema, partitions, None, Vec::new(), false, limit)?;
        Ok(Arc::new(Pruned { inner: Arc::new(plan), says, metrics }))
    }
}

/// How many parts, and how many rows they have.
fn parts_and_rows<'a>(parts: impl Iterator<Item = &'a Arc<Part>>) -> (usize, u64) {
    parts.fold((0, 0), |(parts, rows), part| (parts + 1, rows + u64::from(part.rows())))
}

/// A range of time as `[start, end)`, an open side as nothing.
fn shown_range(range: TimeRange) -> String {
    let moment = |time: i64, open: i64| {
        let shown = chrono::DateTime::from_timestamp_nanos(time).format("%Y-%m-%dT%H:%M:%S%.fZ");
        if time == open { String::new() } else { shown.to_string() }
    };
    format!("[{}, {})", moment(range.start, TimeRange::ALL.start), moment(range.end, TimeRange::ALL.end))
}

/// The static name of a column: those of the schema live as long as the program.
fn name_of(schema: &SchemaRef, place: usize) -> Option<&'static str> {
    let name = schema.fields().get(place)?.name();
    crate::columns::static_name(name)
}

/// What the partitions of one scan share.
#[derive(Debug)]
struct Shared {
    source: Arc<Source>,
    filter: Expr,
    range: TimeRange,
    columns: Vec<&'static str>,
    schema: SchemaRef,
    left: Left,
}

#[derive(Debug)]
enum Rows {
    Hot(Vec<RecordBatch>),
    Part(Arc<Part>),
}

/// The hot batches, or one part.
#[derive(Debug)]
struct Partition {
    shared: Arc<Shared>,
    rows: Rows,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.shared.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let shared = Arc::clone(&self.shared);
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<RecordBatch>>(AHEAD);
        match &self.rows {
            Rows::Hot(batches) => {
                let batches = batches.clone();
                tokio::task::spawn_blocking(move || {
                    for batch in batches {
                        let rows = crate::scan::hot_rows(
                            &batch,
                            shared.source.signal,
                            &shared.filter,
                            shared.range,
                            &shared.columns,
                            &shared.source.control,
                        );
                        let done = rows.is_err();
                        let rows = rows.map_err(external).and_then(|rows| shown(&rows, &shared.schema));
                        if sender.blocking_send(rows).is_err() || done {
                            break;
                        }
                    }
                });
            }
            Rows::Part(part) => {
                let part = Arc::clone(part);
                tokio::spawn(async move {
                    let path = part.path().to_owned();
                    let source = &shared.source;
                    let opened = open_part_told(
                        part,
                        source.signal,
                        &shared.filter,
                        shared.range,
                        &shared.columns,
                        &source.control,
                        |left| shared.left.add(left),
                    )
                    .await;
                    let mut rows: PartRows = match opened {
                        Ok(Some(rows)) => rows,
                        Ok(None) => return,
                        Err(error) if error.code != crate::ErrorCode::Internal => {
                            // Nobody may be waiting any more.
                            let _ = sender.send(Err(external(error))).await;
                            return;
                        }
                        Err(error) => {
                            tracing::error!(path, %error, "part could not be read");
                            source.seen.lock().unreadable_parts.push(path);
                            return;
                        }
                    };
                    let schema = Arc::clone(&shared.schema);
                    // Ends with its receiver: a send then fails.
                    let _ = tokio::task::spawn_blocking(move || {
                        while let Some(batch) = rows.next_batch() {
                            let done = batch.is_err();
                            let batch = batch.map_err(external).and_then(|batch| shown(&batch, &schema));
                            if sender.blocking_send(batch).is_err() || done {
                                break;
                            }
                        }
                    })
                    .await;
                });
            }
        }
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.shared.schema), stream))
    }
}

pub(super) fn external(error: crate::QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The batch with ids as hex text.
fn shown(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_fixed_size_binary_opt() {
            Some(ids) => {
                let mut hex = String::new();
                let texts: StringArray = (0..ids.len())
                    .map(|row| {
                        ids.is_valid(row).then(|| {
                            write_hex(ids.value(row), &mut hex);
                            hex.clone()
                        })
                    })
                    .collect();
                Arc::new(texts) as ArrayRef
            }
            None => Arc::clone(column),
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            Some(text)
        }
        ScalarValue::Dictionary(_, inner) => text_of(inner),
        _ => None,
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The column that an expression is, as it is or as text.
fn column_of(expr: &SqlExpr) -> Option<&str> {
    match expr {
        SqlExpr::Column(column) => Some(&column.name),
        // Texts are dictionaries or not; numbers may become others.
        SqlExpr::Cast(cast) if is_text(cast.field.data_type()) => column_of(&cast.expr),
        _ => None,
    }
}

/// A filter of SQL as one of the search language that keeps every row the filter keeps.
fn pushed(sql: &SqlExpr, signal: Signal) -> Option<Expr> {
    match sql {
        SqlExpr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let ((Some(column), SqlExpr::Literal(value, _), _, _) | (_, _, SqlExpr::Literal(value, _), Some(column))) =
                (column_of(left), right.as_ref(), left.as_ref(), column_of(right))
            else {
                return None;
            };
            let name = crate::columns::static_name(column)?;
            let text = text_of(value)?.to_owned();
            let field = match name {
                "trace_id" | "span_id" | "parent_span_id" if signal != Signal::MetricPoints => {
                    // Ids are shown in lower case; text in capitals equals none of them.
                    FieldRef::Id(name)
                }
                "service_name" | "name" | "event_name" | "scope_name" | "correlation_id" | "metric_name" => {
                    FieldRef::Column(name)
                }
                _ => return None,
            };
            Some(Expr::Field(field, Matcher::exactly(&text)))
        }
        SqlExpr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq) =>
        {
            let (column, value, op) = match (column_of(left), left.as_ref(), right.as_ref()) {
                (Some(column), _, SqlExpr::Literal(value, _)) => (column, value, *op),
                (_, SqlExpr::Literal(value, _), right) => (column_of(right)?, value, op.swap()?),
                _ => return None,
            };
            let ScalarValue::Int64(Some(value)) = value else { return None };
            let name = crate::columns::static_name(column)?;
            let bound = |inclusive| Some(Bound { value: Literal::new(value.to_string(), false), inclusive });
            let range = match op {
                Operator::Gt | Operator::GtEq => Matcher::Range(bound(op == Operator::GtEq), None),
                _ => Matcher::Range(None, bound(op == Operator::LtEq)),
            };
            let is_integer = matches!(signal.schema().field_with_name(name).ok()?.data_type(), DataType::Int64);
            is_integer.then(|| Expr::Field(FieldRef::Column(name), range))
        }
        SqlExpr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (pushed(left, signal), pushed(right, signal)) {
                (Some(left), Some(right)) => Some(left.and(right)),
                (one, other) => one.or(other),
            }
        }
        SqlExpr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Expr::Or(vec![pushed(left, signal)?, pushed(right, signal)?]))
        }
        SqlExpr::ScalarFunction(call) if call.func.name() == MATCHES && signal == Signal::Logs => {
            let [column, SqlExpr::Literal(terms, _)] = call.args.as_slice() else { return None };
            if column_of(column) != Some("body") {
                return None;
            }
            text_search(text_of(terms)?).ok()
        }
        _ => None,
    }
}

/// The range of time that a comparison of `time` with a literal leaves: start inclusive, end exclusive.
fn time_bound(sql: &SqlExpr) -> Option<(Option<i64>, Option<i64>)> {
    let SqlExpr::BinaryExpr(BinaryExpr { left, op, right }) = sql else { return None };
    let nanos = |expr: &SqlExpr| match expr {
        SqlExpr::Literal(ScalarValue::TimestampNanosecond(Some(time), _), _) => Some(*time),
        SqlExpr::Literal(ScalarValue::TimestampMicrosecond(Some(time), _), _) => time.checked_mul(1_000),
        SqlExpr::Literal(ScalarValue::TimestampMillisecond(Some(time), _), _) => time.checked_mul(1_000_000),
        SqlExpr::Literal(ScalarValue::TimestampSecond(Some(time), _), _) => time.checked_mul(1_000_000_000),
        _ => None,
    };
    let is_time = |expr: &SqlExpr| matches!(expr, SqlExpr::Column(column) if column.name == "time");
    let (op, time) = if is_time(left) {
        (*op, nanos(right)?)
    } else if is_time(right) {
        (op.swap()?, nanos(left)?)
    } else {
        return None;
    };
    match op {
        Operator::Gt | Operator::GtEq => Some((Some(time), None)),
        Operator::Lt => Some((None, Some(time))),
        Operator::LtEq => Some((None, Some(time.saturating_add(1)))),
        Operator::Eq => Some((Some(time), Some(time.saturating_add(1)))),
        _ => None,
    }
}
