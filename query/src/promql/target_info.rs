//! `target_info`: one series with the value 1 for each resource that sends metrics, with the resource's attributes as labels.
//!
//! The [compatibility specification](https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1) asks for it,
//! so that `job` and `instance` of any series lead to everything that its resource says. It is computed from the stored points when it is asked for; what was written under
//! that name by Prometheus' remote write is given as it came.

use super::labels::{Labels, NAME};
use super::names;
use super::select::{is_match, nanoseconds};
use super::series::Samples;
use crate::QueryError;
use crate::cells::Cells;
use crate::language::Expr;
use crate::scan::{self, Control, Held, ScanCoverage, ScanRequest};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::value::read_object;
use mangru_store::{PROMETHEUS_SCOPE, Signal, Store};
use promql_parser::label::Matcher;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The metric's name.
pub(super) const TARGET_INFO: &str = "target_info";

/// Of the points of a resource within this time, in milliseconds, the newest gives a sample.
const STEP: i64 = 15_000;

const COLUMNS: [&str; 4] = ["time", "series_id", "scope_name", "resource_attributes"];

/// The resources that were met: their labels, and when.
struct Targets {
    /// By `series_id`; none for a resource without anything to tell.
    known: HashMap<u64, Option<usize>>,
    places: HashMap<Labels, usize>,
    all: Vec<Times>,
    bytes: usize,
    held: Held,
}

/// By step, the newest time.
type Times = BTreeMap<i64, i64>;

impl Targets {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let series = cells.unsigned("series_id", row).unwrap_or_default();
            let place = match self.known.get(&series) {
                Some(place) => *place,
                None => {
                    let is_own = cells.text("scope_name", row) == Some(PROMETHEUS_SCOPE);
                    let labels =
                        if is_own { None } else { labels(cells.text("resource_attributes", row).unwrap_or_default()) };
                    let place = labels.map(|labels| self.place(labels));
                    self.known.insert(series, place);
                    self.bytes += 48;
                    place
                }
            };
            let Some(place) = place else { continue };
            let time = cells.integer("time", row).unwrap_or_default().div_euclid(1_000_000);
            let newest = self.all[place].entry(time.div_euclid(STEP)).or_insert_with(|| {
                self.bytes += 48;
                time
            });
            *newest = time.max(*newest);
        }
        self.held.cover(self.bytes)
    }

    fn place(&mut self, labels: Labels) -> usize {
        let next = self.all.len();
        let place = *self.places.entry(labels).or_insert(next);
        if place == next {
            self.all.push(Times::new());
            self.bytes += 1024;
        }
        place
    }
}

/// The labels of a resource; `None` for one that is not identified, or says nothing else.
fn labels(resource: &str) -> Option<Labels> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    let (mut namespace, mut service, mut instance) = (String::new(), String::new(), String::new());
    for (key, value) in read_object(resource) {
        let value = value.text();
        match key.as_str() {
            "service.namespace" => namespace = value,
            "service.name" => service = value,
            "service.instance.id" => instance = value,
            key => {
                let known = pairs.entry(names::label(key)).or_default();
                // Of keys that become the same name, all values count, as the specification says.
                if !known.is_empty() && !value.is_empty() {
                    known.push(';');
                }
                known.push_str(&value);
            }
        }
    }
    if pairs.is_empty() || (service.is_empty() && instance.is_empty()) {
        return None;
    }
    let job = if namespace.is_empty() { service } else { format!("{namespace}/{service}") };
    pairs.extend([("job".to_owned(), job), ("instance".to_owned(), instance)]);
    pairs.insert(NAME.to_owned(), TARGET_INFO.to_owned());
    Some(Labels::new(pairs.into_iter().map(|(name, value)| (Arc::from(name), Arc::from(value)))))
}

/// The series that match within a range in milliseconds, both ends included.
pub(super) async fn select(
    store: &Arc<Store>,
    matchers: &[Matcher],
    range: (i64, i64),
    control: &Control,
) -> Result<(Vec<Samples>, ScanCoverage, Vec<Held>), QueryError> {
    let request = ScanRequest {
        signal: Signal::MetricPoints,
        filter: Expr::All,
        range: nanoseconds(range),
        columns: COLUMNS.to_vec(),
    };
    let nothing = control.clone();
    let init = move || Targets {
        known: HashMap::new(),
        places: HashMap::new(),
        all: Vec::new(),
        bytes: 0,
        held: nothing.held(),
    };
    let (states, coverage) = scan::for_each(store, &request, control, init, Targets::add).await?;
    let mut all: BTreeMap<Labels, Times> = BTreeMap::new();
    let mut held = Vec::new();
    for state in states {
        held.push(state.held);
        let mut times = state.all;
        for (labels, place) in state.places.into_iter().filter(|(labels, _)| is_match(matchers, labels)) {
            let into = all.entry(labels).or_default();
            for (step, time) in std::mem::take(&mut times[place]) {
                let newest = into.entry(step).or_insert(time);
                *newest = time.max(*newest);
            }
        }
    }
    let samples = all.into_iter().map(|(labels, times)| {
        let times: Vec<i64> = times.into_values().collect();
        let values = vec![1.0; times.len()];
        Samples::new(labels, times, values)
    });
    Ok((samples.collect(), coverage, held))
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn resources_are_identified_by_job_and_instance() {
        let text = |resource: &str| labels(resource).map(|labels| labels.to_string());
        let whole = r#"{"host.name":"a","service.instance.id":"i-1","service.name":"cart","service.namespace":"shop"}"#;
        assert_eq!(text(whole).as_deref(), Some(r#"target_info{host_name="a", instance="i-1", job="shop/cart"}"#));
        assert_eq!(text(r#"{"host.name":"a"}"#), None, "no target");
        assert_eq!(text(r#"{"service.name":"cart"}"#), None, "nothing to tell");
    }
}
