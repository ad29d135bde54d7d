//! The story of an id: everything that carries it, whenever it was, on one time line.

use crate::cells::{Cells, plain};
use crate::language::{Expr, FieldRef, Matcher, ResourceTest, TextPattern};
use crate::logs::{self, LogRow, any_time};
use crate::scan::Counting;
use crate::spans::{self, SpanRow};
use crate::traces::{of_trace, of_traces};
use crate::{Coverage, QueryError, QueryService};
use mangru_store::nested::Exemplar;
use mangru_store::{Signal, SpanId, TraceId, id::normal_correlation_id, value};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// Traces that a story is widened to.
const MAX_TRACES: usize = 20;
/// Where an id may stand and is not looked for.
const NOT_LOOKED_AT: &[&str] = &[
    "values inside lists and objects of attributes",
    "ids and attributes of span links",
    "attributes of scopes",
    "attributes of metric points",
    "exemplars without one of the story's traces",
];

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
    /// Where an id may stand and was not looked for: rows that carry it only there are missing.
    #[schema(value_type = Vec<String>)]
    pub not_looked_at: &'static [&'static str],
}

impl StoryEntry {
    fn trace_id(&self) -> Option<&str> {
        let id = match &self.item {
            StoryItem::Log(row) => &row.trace_id,
            StoryItem::Span(row) => &row.trace_id,
            StoryItem::Exemplar(row) => &row.trace_id,
        };
        Some(id.as_str()).filter(|id| !id.is_empty())
    }
}

impl QueryService {
    /// The story of any id: of a trace, a span, a correlation, a request, an order.
    ///
    /// Rows carry the id when it is one of their ids, the value of one of their attributes, their events' or their resource's, or stands in a log's body or
    /// in a span's name or status message. A UUID is looked for with dashes and without. The story is widened to the traces of these rows, 20 at most.
    pub async fn story(&self, id: &str, limit: usize) -> Result<Story, QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(limit)?;
        let id = id.trim();
        if id.is_empty() || id.len() > 512 {
            return Err(QueryError::invalid("id", "id is empty or longer than 512 bytes"));
        }
        let _turn = self.turn().await?;
        let mut coverage = Coverage { matched_is_exact: true, complete: true, ..Coverage::default() };
        let mut traces: BTreeSet<String> =
            TraceId::from_hex(&normal_correlation_id(id)).map(|id| id.to_string()).into_iter().collect();
        let (of_logs, of_spans) = (carries(id, Signal::Logs), carries(id, Signal::Spans));
        let (logs, spans) =
            tokio::try_join!(self.story_logs(of_logs.clone(), limit), self.story_spans(of_spans.clone(), limit))?;
        // The rows of traces get what the rows that carry the id leave of the limit.
        let left = [&logs, &spans].map(|(found, _)| (limit - found.len().min(limit)).max(1));
        let mut entries = Vec::new();
        for (mut found, part) in [logs, spans] {
            coverage.add(&part);
            traces.extend(found.iter().filter_map(StoryEntry::trace_id).map(str::to_owned));
            entries.append(&mut found);
        }
        if traces.len() > MAX_TRACES {
            coverage.cut(format!("limit of {MAX_TRACES} traces"));
        }
        let traces: Vec<String> = traces.into_iter().take(MAX_TRACES).collect();
        if !traces.is_empty() {
            let others = |known: Expr| Expr::And(vec![of_traces(&traces), Expr::Not(Box::new(known))]);
            let (logs, spans, exemplars) = tokio::try_join!(
                self.story_logs(others(of_logs), left[0]),
                self.story_spans(others(of_spans), left[1]),
                self.exemplars(&traces, limit),
            )?;
            // Their tables were counted by the first look.
            let (logs, spans) =
                [logs, spans].map(|(found, part)| (found, Coverage { rows_in_range: 0, ..part })).into();
            for (mut found, part) in [logs, spans, exemplars] {
                coverage.add(&part);
                entries.append(&mut found);
            }
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
        Ok(Story {
            id: id.to_owned(),
            entries,
            trace_ids: traces,
            services: services.into_iter().collect(),
            coverage,
            not_looked_at: NOT_LOOKED_AT,
        })
    }

    async fn story_logs(&self, filter: Expr, limit: usize) -> Result<(Vec<StoryEntry>, Coverage), QueryError> {
        let scan = any_time(Signal::Logs, filter, logs::columns());
        let (batch, cursors, part) = self.all_rows(&scan, limit, Counting::All).await?;
        let entry = |row: LogRow| StoryEntry {
            time_unix_nano: row.time_unix_nano.clone(),
            item: StoryItem::Log(Box::new(row)),
        };
        Ok((logs::rows(&batch, &cursors).into_iter().map(entry).collect(), part))
    }

    async fn story_spans(&self, filter: Expr, limit: usize) -> Result<(Vec<StoryEntry>, Coverage), QueryError> {
        let scan = any_time(Signal::Spans, filter, spans::columns());
        let (batch, _, part) = self.all_rows(&scan, limit, Counting::All).await?;
        let entry = |row: SpanRow| StoryEntry {
            time_unix_nano: row.time_unix_nano.clone(),
            item: StoryItem::Span(Box::new(row)),
        };
        Ok((spans::rows(&batch).into_iter().map(entry).collect(), part))
    }

    /// The measurements that were kept with one of these traces.
    async fn exemplars(&self, traces: &[String], limit: usize) -> Result<(Vec<StoryEntry>, Coverage), QueryError> {
        let started = Instant::now();
        let wanted = traces.to_vec();
        let (control, _guard) = self.control();
        let scan = crate::scan::ScanRequest {
            signal: Signal::MetricPoints,
            filter: Expr::Field(
                FieldRef::ExemplarTrace,
                Matcher::Any(traces.iter().map(|id| Matcher::exactly(id)).collect()),
            ),
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
        let mut coverage = Coverage::of_scan(&scan, started);
        let mut entries: Vec<StoryEntry> = found.into_iter().flatten().collect();
        // A point may have several exemplars.
        coverage.matched = entries.len() as u64;
        if entries.len() > limit {
            coverage.cut(format!("limit of {limit} exemplars"));
            entries.truncate(limit);
        }
        Ok((entries, coverage))
    }
}

/// The rows of a signal that carry an id themselves.
fn carries(id: &str, signal: Signal) -> Expr {
    let normal = normal_correlation_id(id);
    let mut any = vec![Expr::Field(FieldRef::Column("correlation_id"), Matcher::exactly(&normal))];
    if TraceId::from_hex(&normal).is_some() {
        any.push(of_trace(&normal));
    }
    if SpanId::from_hex(&normal).is_some() {
        any.push(Expr::Field(FieldRef::Id("span_id"), Matcher::exactly(&normal)));
        if signal == Signal::Spans {
            any.push(Expr::Field(FieldRef::Id("parent_span_id"), Matcher::exactly(&normal)));
        }
    }
    let spellings = spellings(id);
    for spelling in &spellings {
        any.push(Expr::Field(FieldRef::AnyAttribute, Matcher::exactly(spelling)));
        any.extend(TextPattern::phrase(spelling).map(Expr::Text));
    }
    let shown = format!("any attribute of the resource is {}", spellings.join(" or "));
    let passes = move |resource: &str| {
        let is_carried = |text: &str| spellings.iter().any(|spelling| spelling == text);
        value::read_object(resource).iter().any(|(_, value)| is_carried(&value.text()))
    };
    any.push(Expr::Resource(ResourceTest { shown, passes: Arc::new(passes) }));
    Expr::Or(any)
}

/// The id as it was given, and as a UUID with its dashes or without when it can be one.
fn spellings(id: &str) -> Vec<String> {
    let mut all = vec![id.to_owned()];
    let normal = normal_correlation_id(id);
    if normal.len() == 32 && normal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let dashed = [&normal[..8], &normal[8..12], &normal[12..16], &normal[16..20], &normal[20..]].join("-");
        all.extend([normal, dashed].into_iter().filter(|spelling| spelling != id));
    }
    all
}
