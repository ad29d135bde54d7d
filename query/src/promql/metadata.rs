//! What metrics there are: their type, unit and description.

use super::names::{self, Kind};
use super::read::kind;
use crate::cells::Cells;
use crate::language::Expr;
use crate::scan::{self, ScanRequest};
use crate::{QueryError, QueryService};
use arrow::array::RecordBatch;
use mangru_store::value::read_object;
use mangru_store::{PROMETHEUS_SCOPE, PROMETHEUS_TYPE, Signal, TimeRange};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a metric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Metadata {
    /// Prometheus' name of its type.
    pub(crate) r#type: &'static str,
    /// Its description.
    pub(crate) help: String,
    /// Its unit in UCUM.
    pub(crate) unit: String,
}

type Found = BTreeMap<String, BTreeSet<Metadata>>;

const TEXTS: [&str; 6] =
    ["metric_name", "metric_type", "metric_unit", "metric_description", "scope_name", "metric_metadata"];

/// Prometheus' names of types.
const TYPES: [&str; 8] = ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"];

/// What Prometheus wrote of one of its metrics: the name of its family, and its type.
fn written(name: &str, metadata: &str) -> Option<(String, &'static str)> {
    let said = read_object(metadata).into_iter().find(|(key, _)| key == PROMETHEUS_TYPE)?.1.text();
    let kind = TYPES.into_iter().find(|kind| *kind == said)?;
    let endings: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_count", "_sum"],
        "summary" => &["_count", "_sum"],
        _ => &[],
    };
    let family = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    Some((family.to_owned(), kind))
}

fn add(found: &mut Found, batch: &RecordBatch) {
    let cells = Cells::new(batch);
    let mut before = None;
    for row in 0..batch.num_rows() {
        let texts = TEXTS.map(|name| cells.text(name, row).unwrap_or_default());
        let is_monotonic = cells.boolean("is_monotonic", row).unwrap_or_default();
        // Points of one metric lie together.
        if before.replace((texts, is_monotonic)) == Some((texts, is_monotonic)) {
            continue;
        }
        let [name, metric_type, unit, help, scope, metadata] = texts;
        if scope == PROMETHEUS_SCOPE {
            if let Some((family, r#type)) = written(name, metadata) {
                let metadata = Metadata { r#type, help: help.to_owned(), unit: unit.to_owned() };
                found.entry(family).or_default().insert(metadata);
            }
            continue;
        }
        let kind = kind(metric_type, is_monotonic);
        let r#type = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        };
        let metadata = Metadata { r#type, help: help.to_owned(), unit: unit.to_owned() };
        found.entry(names::metric(name, unit, kind)).or_default().insert(metadata);
    }
}

impl QueryService {
    /// The metrics with points in a range, by their names in Prometheus.
    pub(crate) async fn promql_metadata(&self, range: TimeRange) -> Result<Found, QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let columns = TEXTS.into_iter().chain(["is_monotonic"]).collect();
        let scan = ScanRequest { signal: Signal::MetricPoints, filter: Expr::All, range, columns };
        let each = |found: &mut Found, batch: &RecordBatch| {
            add(found, batch);
            Ok(())
        };
        let (states, _) = scan::for_each(self.store(), &scan, &control, Found::new, each).await?;
        let mut all = Found::new();
        for (name, metadata) in states.into_iter().flatten() {
            all.entry(name).or_default().extend(metadata);
        }
        Ok(all)
    }
}
