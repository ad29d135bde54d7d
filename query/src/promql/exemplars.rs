//! Exemplars: single measurements that were kept with the points of a series, and the traces they were made in.

use super::labels::{Labels, NAME};
use super::read::{described, number, series_columns};
use super::select::{is_match, name_filter, nanoseconds};
use super::{Grid, eval, parse};
use crate::cells::Cells;
use crate::scan::{self, Held, ScanRequest};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::Signal;
use mangru_store::nested::{self, Exemplar};
use mangru_store::value::AnyValue;
use promql_parser::label::Matcher;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// An exemplar: its own labels, its value, and its time in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    pub(crate) time: i64,
}

/// The exemplars of series.
type BySeries = BTreeMap<Labels, Vec<Kept>>;

struct State {
    found: BySeries,
    known: HashMap<u64, (Labels, String)>,
    bytes: usize,
    held: Held,
}

impl State {
    fn add(
        &mut self,
        batch: &RecordBatch,
        selectors: &[Vec<Matcher>],
        (from, to): (i64, i64),
    ) -> Result<(), QueryError> {
        let cells = Cells::new(batch);
        for row in 0..batch.num_rows() {
            let exemplars: Vec<Exemplar> = nested::read(cells.text("exemplars", row));
            if exemplars.is_empty() {
                continue;
            }
            let id = cells.unsigned("series_id", row).unwrap_or_default();
            let (common, name) = match self.known.get(&id) {
                Some(known) => known.clone(),
                None => {
                    let known = described(batch, row)?;
                    self.known.insert(id, known.clone());
                    self.bytes += 256;
                    known
                }
            };
            let bounds = cells.double_list("explicit_bounds", row);
            for exemplar in exemplars {
                let value = match exemplar.value {
                    AnyValue::Int(number) => number as f64,
                    AnyValue::Double(number) => number,
                    _ => continue,
                };
                let time = exemplar.time_unix_nano.parse::<i64>().unwrap_or_default().div_euclid(1_000_000);
                if !(from..=to).contains(&time) {
                    continue;
                }
                // That of a histogram belongs to the bucket that it was counted in.
                let labels = match &bounds {
                    None => common.with(NAME, &name),
                    Some(bounds) => {
                        let bound = bounds.iter().copied().find(|bound| value <= *bound).unwrap_or(f64::INFINITY);
                        common.with(NAME, &format!("{name}_bucket")).with("le", &number(bound))
                    }
                };
                if !selectors.iter().any(|matchers| is_match(matchers, &labels)) {
                    continue;
                }
                let ids = [("trace_id", exemplar.trace_id), ("span_id", exemplar.span_id)].into_iter();
                let ids = ids.map(|(name, id)| (Arc::from(name), Arc::from(id)));
                let others = exemplar.filtered_attributes.iter();
                let others = others.map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.text())));
                self.bytes += 384;
                self.found.entry(labels).or_default().push(Kept {
                    labels: Labels::new(others.chain(ids)),
                    value,
                    time,
                });
            }
        }
        self.held.cover(self.bytes)
    }
}

impl QueryService {
    /// The exemplars of all series that an expression selects, within a range in milliseconds, by time.
    pub(crate) async fn promql_exemplars(
        &self,
        query: &str,
        (from, to): (i64, i64),
    ) -> Result<(BySeries, Coverage), QueryError> {
        let started = Instant::now();
        let mut needed = HashMap::new();
        let grid = Grid { start: from, step: 1, count: 1 };
        eval::needs(&parse(query)?, (grid.start, to), (from, to), super::LOOKBACK, 0, &mut needed)?;
        let selectors = needed.into_values().map(|(selector, _, _)| eval::matchers(&selector));
        let selectors: Vec<Vec<Matcher>> = selectors.collect::<Result<_, _>>()?;
        if selectors.is_empty() {
            return Ok((BySeries::new(), Coverage { complete: true, ..Coverage::default() }));
        }
        let mut columns = series_columns();
        columns.extend(["exemplars", "explicit_bounds"]);
        let filter = name_filter(&selectors)?;
        let scan = ScanRequest { signal: Signal::MetricPoints, filter, range: nanoseconds((from, to)), columns };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let nothing = control.clone();
        let init = move || State { found: BySeries::new(), known: HashMap::new(), bytes: 0, held: nothing.held() };
        let selectors = Arc::new(selectors);
        let each = move |state: &mut State, batch: &RecordBatch| state.add(batch, &selectors, (from, to));
        let (states, coverage) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        let mut all = BySeries::new();
        for (labels, found) in states.into_iter().flat_map(|state| state.found) {
            all.entry(labels).or_default().extend(found);
        }
        for found in all.values_mut() {
            found.sort_by_key(|exemplar| exemplar.time);
            // The same one may have been sent with several points.
            found.dedup();
        }
        Ok((all, Coverage::of_scan(&coverage, started)))
    }
}
