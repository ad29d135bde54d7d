//! What is measured: each metric with its type, unit and description, how many series and points it has, and its labels.

use crate::cells::Cells;
use crate::language::{Expr, FieldRef, Literal, Matcher};
use crate::promql::{kind, metric_name};
use crate::scan::{self, Held, ScanRequest};
use crate::{Coverage, ExemplarRow, QueryError, QueryService, StoryEntry, StoryItem};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use hashbrown::{HashMap, HashSet};
use mangru_store::nested::Exemplar;
use mangru_store::{Signal, TimeRange};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

const TEXTS: [&str; 4] = ["metric_name", "metric_type", "metric_unit", "metric_description"];

/// A metric with points in a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct MetricSummary {
    /// OpenTelemetry's name.
    pub name: String,
    /// The name in PromQL, without the endings of a histogram's series.
    pub promql_name: String,
    /// `gauge`, `sum`, `histogram`, `exponential_histogram` or `summary`.
    pub metric_type: String,
    /// Whether a sum only grows.
    pub is_monotonic: bool,
    /// Its unit in UCUM.
    pub unit: String,
    /// What it measures.
    pub description: String,
    /// How many series it has: different resources and attributes.
    pub series: u64,
    /// How many points.
    pub points: u64,
    /// Its newest point, nanoseconds since the Unix epoch.
    pub newest_unix_nano: String,
}

type Key = (String, String, String, bool);

#[derive(Default)]
struct Gathered {
    description: String,
    series: HashSet<u64>,
    points: u64,
    newest: i64,
}

struct Found {
    metrics: HashMap<Key, Gathered>,
    held: Held,
}

impl Found {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let missing = || QueryError::internal("columns time and series_id were not read");
        let times =
            batch.column_by_name("time").and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
        let series = batch.column_by_name("series_id").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let (times, series) = (times.ok_or_else(missing)?, series.ok_or_else(missing)?);
        let cells = Cells::new(batch);
        let mut row = 0;
        while row < batch.num_rows() {
            let texts = |row: usize| TEXTS.map(|name| cells.text(name, row).unwrap_or_default());
            let is_monotonic = |row: usize| cells.boolean("is_monotonic", row).unwrap_or_default();
            let first = row;
            let [name, metric_type, unit, description] = texts(first);
            // Points of one metric lie together.
            while row < batch.num_rows() && texts(row) == texts(first) && is_monotonic(row) == is_monotonic(first) {
                row += 1;
            }
            let key = (name.to_owned(), metric_type.to_owned(), unit.to_owned(), is_monotonic(first));
            let gathered = self.metrics.entry(key).or_default();
            if gathered.description.is_empty() {
                description.clone_into(&mut gathered.description);
            }
            gathered.points += (row - first) as u64;
            gathered.series.extend(series.values()[first..row].iter().copied());
            gathered.newest = times.values()[first..row].iter().copied().fold(gathered.newest, i64::max);
        }
        let bytes = |gathered: &Gathered| 256 + gathered.description.len() + 16 * gathered.series.capacity();
        self.held.cover(self.metrics.values().map(bytes).sum())
    }
}

impl QueryService {
    /// The metrics with points in a range, by name.
    pub async fn metrics(&self, range: TimeRange) -> Result<(Vec<MetricSummary>, Coverage), QueryError> {
        let started = Instant::now();
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let columns = TEXTS.into_iter().chain(["is_monotonic", "series_id", "time"]).collect();
        let scan = ScanRequest { signal: Signal::MetricPoints, filter: Expr::All, range, columns };
        let nothing = control.clone();
        let init = move || Found { metrics: HashMap::new(), held: nothing.held() };
        let (mut states, scan) = scan::for_each(self.store(), &scan, &control, init, Found::batch).await?;
        let mut all: BTreeMap<Key, Gathered> = BTreeMap::new();
        for (key, found) in states.iter_mut().flat_map(|found| found.metrics.drain()) {
            let gathered = all.entry(key).or_default();
            gathered.points += found.points;
            gathered.newest = gathered.newest.max(found.newest);
            gathered.series.extend(found.series);
            if gathered.description.is_empty() {
                gathered.description = found.description;
            }
        }
        let summary = |((name, metric_type, unit, is_monotonic), gathered): (Key, Gathered)| MetricSummary {
            promql_name: metric_name(&name, &unit, kind(&metric_type, is_monotonic)),
            name,
            metric_type,
            is_monotonic,
            unit,
            description: gathered.description,
            series: gathered.series.len() as u64,
            points: gathered.points,
            newest_unix_nano: gathered.newest.to_string(),
        };
        Ok((all.into_iter().map(summary).collect(), Coverage::of_scan(&scan, started)))
    }

    /// The exemplars of these metrics (by OpenTelemetry's names) that lead to a trace, the newest first.
    pub async fn metric_exemplars(
        &self,
        names: &[String],
        range: TimeRange,
        limit: usize,
    ) -> Result<Vec<StoryEntry>, QueryError> {
        let limit = self.checked_limit(limit)?;
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let equals = |name: &String| Matcher::Equals(Literal::new(name.clone(), true));
        let filter = Expr::Field(FieldRef::Column("metric_name"), Matcher::Any(names.iter().map(equals).collect()));
        let columns = vec!["time", "metric_name", "service_name", "exemplars"];
        let scan = ScanRequest { signal: Signal::MetricPoints, filter, range, columns };
        let each = move |found: &mut Vec<(i64, StoryEntry)>, batch: &RecordBatch| {
            exemplars(found, batch, range);
            // What is no longer among the newest need not be held.
            if found.len() > 8 * limit {
                found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
                found.truncate(limit);
            }
            Ok(())
        };
        let (states, _) = scan::for_each(self.store(), &scan, &control, Vec::new, each).await?;
        let mut all: Vec<(i64, StoryEntry)> = states.into_iter().flatten().collect();
        all.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        all.truncate(limit);
        Ok(all.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The labels of the series that a selector of PromQL finds in a range, each with its values.
    pub async fn metric_labels(
        &self,
        selector: &str,
        range: TimeRange,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, QueryError> {
        let selectors = if selector.is_empty() { Vec::new() } else { vec![crate::promql::parse_selector(selector)?] };
        let millis = |ns: i64| ns.div_euclid(1_000_000);
        let (all, _) = self.promql_series(&selectors, millis(range.start), millis(range.end)).await?;
        let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (name, value) in all.iter().flat_map(crate::promql::Labels::iter) {
            labels.entry(name.to_owned()).or_default().insert(value.to_owned());
        }
        Ok(labels)
    }
}

/// Gathers the exemplars of a batch that name a trace.
fn exemplars(found: &mut Vec<(i64, StoryEntry)>, batch: &RecordBatch, range: TimeRange) {
    let cells = Cells::new(batch);
    for row in 0..batch.num_rows() {
        let Some(stored) = cells.text("exemplars", row).filter(|stored| !stored.is_empty()) else { continue };
        let all: Vec<Exemplar> = serde_json::from_str(stored).unwrap_or_default();
        for exemplar in all.into_iter().filter(|exemplar| !exemplar.trace_id.is_empty()) {
            let time = exemplar.time_unix_nano.parse::<i64>().unwrap_or_default();
            if !(range.start..range.end).contains(&time) {
                continue;
            }
            let entry = ExemplarRow {
                metric_name: cells.text("metric_name", row).unwrap_or_default().to_owned(),
                service_name: cells.text("service_name", row).unwrap_or_default().to_owned(),
                value: exemplar.value.plain_json(),
                trace_id: exemplar.trace_id,
                span_id: exemplar.span_id,
                attributes: crate::cells::plain(&exemplar.filtered_attributes),
            };
            found.push((
                time,
                StoryEntry { time_unix_nano: exemplar.time_unix_nano, item: StoryItem::Exemplar(Box::new(entry)) },
            ));
        }
    }
}
