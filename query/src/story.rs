//! The story of an id: everything that carries it, whenever it was, on one time line.

use crate::cells::{Cells, plain};
use crate::language::{Expr, FieldRef, Literal, Matcher, TextPattern};
use crate::logs::{self, LogRow, any_time};
use crate::scan::Counting;
use crate::spans::{self, SpanRow};
use crate::traces::of_trace;
use crate::{Coverage, QueryError, QueryService};
use mangru_store::nested::Exemplar;
use mangru_store::{Signal, SpanId, TraceId, id::normal_correlation_id};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::time::Instant;

/// Attribute keys whose values are looked through for an id.
const MAX_KEYS: usize = 500;
/// Traces that a story is widened to.
const MAX_TRACES: usize = 20;

/// One thing that carries the id.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct StoryEntry {
    /// When it happened, nanoseconds since the Unix epoch.
    pub time_unix_nano: String,
    /// What it is.
    #[serde(flatten)]
    pub item: StoryItem,
}

/// A log, a span or an exemplar.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum StoryItem {
    /// A log record.
    Log(Box<LogRow>),
    /// A span.
    Span(Box<SpanRow>),
    /// A measurement that was kept with the id of its trace.
    Exemplar(Box<ExemplarRow>),
}

/// An exemplar of a metric point.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ExemplarRow {
    /// The metric.
    pub metric_name: String,
    /// `service.name` of the resource.
    pub service_name: String,
    /// What was measured.
    #[schema(value_type = Object)]
    pub value: Json,
    /// The trace it was measured in.
    pub trace_id: String,
    /// The span it was measured in.
    pub span_id: String,
    /// Attributes that the aggregation dropped.
    #[schema(value_type = Object)]
    pub attributes: Map<String, Json>,
}

/// All that carries an id.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Story {
    /// The id as it was asked for.
    pub id: String,
    /// Oldest first.
    pub entries: Vec<StoryEntry>,
    /// The traces that were touched; their logs and spans are in the story.
    pub trace_ids: Vec<String>,
    /// The services that were touched.
    pub services: Vec<String>,
    /// What was looked at.
    pub coverage: Coverage,
}

fn equals(text: &str) -> Matcher {
    Matcher::Equals(Literal::new(text.to_owned(), true))
}

impl QueryService {
    /// The story of any id: of a trace, a span, a correlation, a request, an order.
    ///
    /// Rows carry the id when it is one of their ids, the value of one of their attributes, or stands in the body. The story
    /// is widened to the traces of these rows, 20 at most.
    pub async fn story(&self, id: &str, limit: usize) -> Result<Story, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(limit)?;
        let id = id.trim();
        if id.is_empty() || id.len() > 512 {
            return Err(QueryError::invalid("id", "id is empty or longer than 512 bytes"));
        }
        let _turn = self.turn().await?;
        let logs_filter = self.carries(id, Signal::Logs).await?;
        let spans_filter = self.carries(id, Signal::Spans).await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut traces: BTreeSet<String> =
            TraceId::from_hex(&normal_correlation_id(id)).map(|id| id.to_string()).into_iter().collect();

        let scan = any_time(Signal::Logs, logs_filter.clone(), vec!["trace_id"]);
        let (batch, _, _) = self.all_rows(&scan, limit, Counting::All).await?;
        collect_traces(&batch, &mut traces);
        let scan = any_time(Signal::Spans, spans_filter.clone(), vec!["trace_id"]);
        let (batch, _, _) = self.all_rows(&scan, limit, Counting::All).await?;
        collect_traces(&batch, &mut traces);
        if traces.len() > MAX_TRACES {
            coverage.cut(format!("limit of {MAX_TRACES} traces"));
        }
        let traces: Vec<String> = traces.into_iter().take(MAX_TRACES).collect();
        let widen = |filter: Expr| {
            let mut any = vec![filter];
            any.extend(traces.iter().map(|id| of_trace(id)));
            Expr::Or(any)
        };

        let mut entries = Vec::new();
        let scan = any_time(Signal::Logs, widen(logs_filter), logs::columns());
        let (batch, cursors, part) = self.all_rows(&scan, limit, Counting::All).await?;
        merge(&mut coverage, &part);
        entries.extend(
            logs::rows(&batch, &cursors).into_iter().map(|row| StoryEntry {
                time_unix_nano: row.time_unix_nano.clone(),
                item: StoryItem::Log(Box::new(row)),
            }),
        );
        let scan = any_time(Signal::Spans, widen(spans_filter), spans::columns());
        let (batch, _, part) = self.all_rows(&scan, limit, Counting::All).await?;
        merge(&mut coverage, &part);
        entries.extend(spans::rows(&batch).into_iter().map(|row| StoryEntry {
            time_unix_nano: row.time_unix_nano.clone(),
            item: StoryItem::Span(Box::new(row)),
        }));
        if !traces.is_empty() {
            self.exemplars(&traces, limit, &mut entries, &mut coverage).await?;
        }
        entries.sort_by_key(|entry| entry.time_unix_nano.parse::<i64>().unwrap_or_default());
        let services: BTreeSet<String> = entries
            .iter()
            .map(|entry| match &entry.item {
                StoryItem::Log(row) => row.service_name.clone(),
                StoryItem::Span(row) => row.service_name.clone(),
                StoryItem::Exemplar(row) => row.service_name.clone(),
            })
            .filter(|name| !name.is_empty())
            .collect();
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok(Story { id: id.to_owned(), entries, trace_ids: traces, services: services.into_iter().collect(), coverage })
    }

    /// The rows of a signal that carry an id themselves.
    async fn carries(&self, id: &str, signal: Signal) -> Result<Expr, QueryError> {
        let normal = normal_correlation_id(id);
        let mut any = vec![Expr::Field(FieldRef::Column("correlation_id"), equals(&normal))];
        if TraceId::from_hex(&normal).is_some() {
            any.push(of_trace(&normal));
        }
        if SpanId::from_hex(&normal).is_some() {
            any.push(Expr::Field(FieldRef::Id("span_id"), equals(&normal)));
            if signal == Signal::Spans {
                any.push(Expr::Field(FieldRef::Id("parent_span_id"), equals(&normal)));
            }
        }
        for field in self.fields(signal, mangru_store::TimeRange::ALL).await?.0.into_iter().take(MAX_KEYS) {
            if field.kind == "attribute" && !field.name.starts_with("event.") {
                any.push(Expr::Field(FieldRef::Attribute(field.name), equals(id)));
            }
        }
        if signal == Signal::Logs {
            any.extend(TextPattern::phrase(id).map(Expr::Text));
        }
        Ok(Expr::Or(any))
    }

    async fn exemplars(
        &self,
        traces: &[String],
        limit: usize,
        entries: &mut Vec<StoryEntry>,
        coverage: &mut Coverage,
    ) -> Result<(), QueryError> {
        let wanted = traces.to_vec();
        let (control, _guard) = self.control();
        let scan = crate::scan::ScanRequest {
            signal: Signal::MetricPoints,
            filter: Expr::Field(FieldRef::ExemplarTrace, Matcher::Any(traces.iter().map(|id| equals(id)).collect())),
            range: mangru_store::TimeRange::ALL,
            columns: vec!["metric_name", "service_name", "exemplars"],
        };
        let (found, scan) = crate::scan::for_each(self.store(), &scan, &control, Vec::new, move |found, batch| {
            let cells = Cells::new(batch);
            for row in 0..batch.num_rows() {
                let stored = cells.text("exemplars", row).unwrap_or_default();
                let exemplars: Vec<Exemplar> = serde_json::from_str(stored).unwrap_or_default();
                for exemplar in exemplars.into_iter().filter(|exemplar| wanted.contains(&exemplar.trace_id)) {
                    found.push(StoryEntry {
                        time_unix_nano: exemplar.time_unix_nano,
                        item: StoryItem::Exemplar(Box::new(ExemplarRow {
                            metric_name: cells.text("metric_name", row).unwrap_or_default().to_owned(),
                            service_name: cells.text("service_name", row).unwrap_or_default().to_owned(),
                            value: exemplar.value.plain_json(),
                            trace_id: exemplar.trace_id,
                            span_id: exemplar.span_id,
                            attributes: plain(&exemplar.filtered_attributes),
                        })),
                    });
                }
            }
            Ok(())
        })
        .await?;
        coverage.rows_in_range += scan.rows_in_range;
        let before = entries.len();
        entries.extend(found.into_iter().flatten().take(limit));
        coverage.matched += (entries.len() - before) as u64;
        Ok(())
    }
}

fn collect_traces(batch: &arrow::record_batch::RecordBatch, traces: &mut BTreeSet<String>) {
    let cells = Cells::new(batch);
    traces.extend((0..batch.num_rows()).map(|row| cells.id("trace_id", row)).filter(|id| !id.is_empty()));
}

fn merge(coverage: &mut Coverage, part: &Coverage) {
    coverage.matched += part.matched;
    coverage.matched_is_exact &= part.matched_is_exact;
    coverage.rows_in_range += part.rows_in_range;
    if let Some(limit) = &part.limit_hit {
        coverage.cut(limit.clone());
    }
}
