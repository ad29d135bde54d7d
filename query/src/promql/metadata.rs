//! What metrics there are: their type, unit and description.

use super::names::{self, Kind};
use super::select::kind;
use crate::cells::Cells;
use crate::language::Expr;
use crate::scan::{self, ScanRequest};
use crate::{QueryError, QueryService};
use arrow::array::RecordBatch;
use mangru_store::{Signal, TimeRange};
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

const TEXTS: [&str; 4] = ["metric_name", "metric_type", "metric_unit", "metric_description"];

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
        let [name, metric_type, unit, help] = texts;
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
