//! Figures by several fields at once, over one range.

use super::{MAX_GROUPS, Numbers, Source, Tally, error_columns, errors};
use crate::counts::Buckets;
use crate::language::{FieldRef, group_field, group_keys};
use crate::scan::{self, Held, ScanRequest};
use crate::{Coverage, Figures, QueryError, QueryService};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::{Signal, TimeRange};
use std::sync::Arc;
use std::time::Instant;

/// A request for figures by several fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsRequest {
    /// Logs or spans.
    pub signal: Signal,
    /// The search; empty matches all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// The fields to tell rows apart by.
    pub by: Vec<String>,
    /// The field that holds a number; none when rows are only counted.
    pub number: Option<String>,
}

/// The figures of rows that have the same values.
#[derive(Clone, Debug)]
pub struct GroupFigures {
    /// A value for each field; none where rows do not have it.
    pub keys: Vec<Option<String>>,
    /// The figures.
    pub figures: Figures,
}

type Groups = HashMap<Vec<Option<String>>, Tally>;

struct Found {
    groups: Groups,
    held: Held,
}

impl Found {
    fn batch(&mut self, batch: &RecordBatch, request: &Asked) -> Result<(), QueryError> {
        let numbers = match &request.number {
            Some(source) => Some(source.numbers(batch)?),
            None => None,
        };
        let number = |row: usize| numbers.as_ref().and_then(|numbers: &Numbers| numbers.of(row));
        let is_error = errors(request.signal, batch)?;
        let keys = request.by.iter().map(|by| group_keys(by, request.signal, batch)).collect::<Result<Vec<_>, _>>()?;
        let mut by_place: HashMap<Vec<i32>, Tally> = HashMap::new();
        for row in 0..batch.num_rows() {
            let tally = by_place.entry(keys.iter().map(|keys| keys.keys[row]).collect()).or_default();
            tally.rows += 1;
            tally.errors += u64::from(is_error(row));
            if let Some(number) = number(row) {
                tally.sketch.add(number);
            }
        }
        for (places, tally) in by_place {
            let values = places.iter().zip(&keys);
            let values = values
                .map(|(place, keys)| usize::try_from(*place).ok().map(|place| keys.values[place].clone()))
                .collect();
            add(&mut self.groups, values, &tally)?;
        }
        self.held.cover(self.groups.values().map(|tally| 128 + tally.sketch.bytes()).sum())
    }
}

fn add(groups: &mut Groups, key: Vec<Option<String>>, tally: &Tally) -> Result<(), QueryError> {
    if groups.len() >= MAX_GROUPS && !groups.contains_key(&key) {
        let message = format!("the fields have more than {MAX_GROUPS} values: choose others, or narrow the search");
        return Err(QueryError::invalid("by", message));
    }
    groups.entry(key).or_default().add(tally);
    Ok(())
}

/// The request with its fields resolved.
struct Asked {
    signal: Signal,
    by: Vec<FieldRef>,
    number: Option<Source>,
}

impl QueryService {
    /// Rows, errors and percentiles of each set of values that rows have in some fields, the sets in order.
    pub async fn groups(&self, request: &GroupsRequest) -> Result<(Vec<GroupFigures>, Coverage), QueryError> {
        let started = Instant::now();
        let signal = request.signal;
        if signal == Signal::MetricPoints {
            return Err(QueryError::invalid("signal", "figures are those of logs or spans"));
        }
        let filter = crate::language::parse(&request.query, signal)?;
        let buckets = Buckets::new(request.range, None)?;
        let source = |field: &String| Source {
            signal,
            field: FieldRef::of(field.trim(), signal),
            extract: None,
            by: None,
            buckets,
        };
        let number = request.number.as_ref().map(source);
        let by = request.by.iter().map(|by| group_field("by", by.trim(), signal)).collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<&'static str> = by.iter().flat_map(|by| by.columns(signal)).collect();
        columns.extend(number.iter().flat_map(Source::columns));
        columns.push("time");
        columns.extend(error_columns(signal));
        columns.sort_unstable();
        columns.dedup();
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal, filter, range: request.range, columns };
        let nothing = control.clone();
        let init = move || Found { groups: Groups::new(), held: nothing.held() };
        let asked = Arc::new(Asked { signal, by, number });
        let each = move |found: &mut Found, batch: &RecordBatch| found.batch(batch, &asked);
        let (states, scan) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        let mut all = Groups::new();
        for found in &states {
            for (key, tally) in &found.groups {
                add(&mut all, key.clone(), tally)?;
            }
        }
        let whole = request.range.end.saturating_sub(request.range.start);
        let mut groups: Vec<GroupFigures> =
            all.into_iter().map(|(keys, tally)| GroupFigures { keys, figures: tally.figures(whole) }).collect();
        groups.sort_by(|left, right| left.keys.cmp(&right.keys));
        Ok((groups, Coverage::of_scan(&scan, started)))
    }
}
