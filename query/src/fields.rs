//! Which fields there are, and which values they have.

use crate::counts::{Buckets, ByIndex};
use crate::language::{Expr, FieldRef, group_field, group_keys};
use crate::scan::{self, ScanCoverage, ScanRequest, Shortcut};
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use futures::FutureExt as _;
use hashbrown::HashMap;
use mangru_store::value::read_object;
use mangru_store::{PROMOTED, Signal, TimeRange};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Distinct values that are counted for one answer.
const MAX_VALUES: usize = 100_000;

/// A field that can be searched.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Field {
    /// Its name in the search language.
    pub name: String,
    /// `column`, `attribute` or `resource`.
    pub kind: String,
    /// How many rows have it; resource fields count rows, columns of the table count all rows.
    pub rows: u64,
}

/// A value of a field.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FieldValue {
    /// The value in text form.
    pub value: String,
    /// How many rows have it.
    pub rows: u64,
}

/// A request for a field's values.
#[derive(Clone, Debug)]
pub struct FieldValuesRequest {
    /// Whose rows.
    pub signal: Signal,
    /// The field's name in the search language.
    pub name: String,
    /// Only rows that match; empty matches all.
    pub query: String,
    /// Only values that start so.
    pub prefix: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// How many values, those of most rows.
    pub limit: usize,
}

/// The fields that every row of a signal may have.
const fn columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => {
            &["service.name", "severity", "body", "trace_id", "span_id", "correlation_id", "event.name", "scope.name"]
        }
        Signal::Spans => &[
            "service.name",
            "name",
            "kind",
            "status",
            "duration",
            "trace_id",
            "span_id",
            "parent_span_id",
            "correlation_id",
            "scope.name",
        ],
        Signal::MetricPoints => &["service.name", "metric_name", "metric_type", "metric_unit", "scope.name"],
    }
}

impl QueryService {
    /// The fields of rows in the range, columns first, then by how many rows have them. Sealed rows are counted by whole
    /// parts, from their indexes.
    pub async fn fields(&self, signal: Signal, range: TimeRange) -> Result<(Vec<Field>, Coverage), QueryError> {
        let started = Instant::now();
        let (found, scan, is_exact) = match self.indexed_fields(signal, range).await? {
            Some(found) => found,
            None => {
                let (found, scan) = self.scanned_fields(signal, range).await?;
                (found, scan, true)
            }
        };
        let sorted = |map: FieldRows, kind: &str| {
            let mut all: Vec<Field> =
                map.into_iter().map(|(name, rows)| Field { name, kind: kind.to_owned(), rows }).collect();
            all.sort_by_key(|field| std::cmp::Reverse(field.rows));
            all
        };
        let column = |name: &&str| Field { name: (*name).to_owned(), kind: "column".to_owned(), rows: found.rows };
        let mut fields: Vec<Field> = columns(signal).iter().map(column).collect();
        fields.extend(sorted(found.attributes, "attribute"));
        fields.extend(
            sorted(found.resources, "resource")
                .into_iter()
                .map(|field| Field { name: format!("resource.{}", field.name), ..field }),
        );
        let mut coverage = Coverage::of_scan(&scan, started);
        coverage.matched_is_exact &= is_exact;
        Ok((fields, coverage))
    }

    /// The fields by the indexes of parts, and whether all these rows are of the range; `None` when rows of the range are not indexed by their attributes.
    async fn indexed_fields(
        &self,
        signal: Signal,
        range: TimeRange,
    ) -> Result<Option<(Found, ScanCoverage, bool)>, QueryError> {
        if signal == Signal::MetricPoints {
            return Ok(None);
        }
        let snapshot = self.store().snapshot(signal);
        let mut unreadable_parts = Vec::new();
        let hot = snapshot.hot;
        let (control, _guard) = self.control();
        let of_hot = control.clone();
        let mut is_exact = true;
        let mut found = scan::blocking(move || {
            let mut found = Found::default();
            for batch in &hot {
                found
                    .add(&scan::hot_rows(batch, signal, &Expr::All, range, &read_columns(signal), &of_hot)?, signal)?;
            }
            Ok(found)
        })
        .await?;
        for part in snapshot.parts.iter().filter(|part| range.touches(part.min_time(), part.max_time())) {
            found.rows += u64::from(part.rows());
            is_exact &= range.covers(part.min_time(), part.max_time());
            let index = match part.index().await {
                Ok(Some(index)) => index,
                Ok(None) => return Ok(None),
                Err(error) => {
                    tracing::error!(path = part.path(), %error, "index could not be read");
                    unreadable_parts.push(part.path().to_owned());
                    continue;
                }
            };
            for (key, rows) in index.attribute_keys() {
                *found.attributes.entry(key.to_owned()).or_default() += rows;
            }
            let resources = scan::blocking(move || Ok(index.resources()?)).await?;
            for (json, rows) in resources {
                add_keys(&mut found.resources, &json, rows);
            }
        }
        let scan = ScanCoverage { matched: found.rows, rows_in_range: found.rows, unreadable_parts };
        Ok(Some((found, scan, is_exact)))
    }

    /// The fields by the rows themselves.
    async fn scanned_fields(&self, signal: Signal, range: TimeRange) -> Result<(Found, ScanCoverage), QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let request = ScanRequest { signal, filter: Expr::All, range, columns: read_columns(signal) };
        let each = move |found: &mut Found, batch: &RecordBatch| found.add(batch, signal);
        let (states, scan) = scan::for_each(self.store(), &request, &control, Found::default, each).await?;
        let all = states.into_iter().fold(Found::default(), Found::and);
        Ok((all, scan))
    }

    /// The values of a field with the most rows.
    pub async fn field_values(&self, request: &FieldValuesRequest) -> Result<(Vec<FieldValue>, Coverage), QueryError> {
        let filter = crate::language::parse(&request.query, request.signal)?;
        self.field_values_of(filter, request).await
    }

    /// The same among the rows that fit; the request's own query is not read.
    pub(crate) async fn field_values_of(
        &self,
        filter: Expr,
        request: &FieldValuesRequest,
    ) -> Result<(Vec<FieldValue>, Coverage), QueryError> {
        let started = Instant::now();
        let limit = self.checked_limit(request.limit)?;
        let signal = request.signal;
        let field = group_field("name", &request.name, signal)?;
        let columns = field.columns(signal);
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let scan = ScanRequest { signal, filter: with_field(filter, &field), range: request.range, columns };
        let prefix: Arc<str> = request.prefix.as_str().into();
        let shortcut = ByIndex::new(Some(&field), signal, request.range, Buckets::new(request.range, None)?);
        let shortcut = shortcut.map(|by_index| {
            let (by_index, control, prefix) = (Arc::new(by_index), control.clone(), Arc::clone(&prefix));
            let shortcut: Shortcut<Values> = Arc::new(move |plan| {
                let (by_index, control, prefix) = (Arc::clone(&by_index), control.clone(), Arc::clone(&prefix));
                let values = async move {
                    let Some((counted, matched)) = by_index.counts(plan, &control).await? else { return Ok(None) };
                    let mut values = Values::default();
                    let found =
                        counted.groups.into_iter().filter_map(|(value, rows)| Some((value?, rows.iter().sum())));
                    values.add(found, &prefix);
                    Ok(Some((values, matched)))
                };
                values.boxed()
            });
            shortcut
        });
        let each = move |values: &mut Values, batch: &RecordBatch| {
            let keys = group_keys(&field, signal, batch)?;
            let mut rows = vec![0_u64; keys.values.len()];
            keys.keys.iter().filter_map(|place| usize::try_from(*place).ok()).for_each(|place| rows[place] += 1);
            values.add(keys.values.into_iter().zip(rows), &prefix);
            Ok(())
        };
        let (states, scan) = scan::for_each_or(self.store(), &scan, &control, Values::default, each, shortcut).await?;
        let mut coverage = Coverage::of_scan(&scan, started);
        let mut counts: HashMap<String, u64> = HashMap::new();
        let is_cut = states.iter().any(|values| values.is_cut);
        for (value, rows) in states.into_iter().flat_map(|values| values.counts) {
            *counts.entry(value).or_default() += rows;
        }
        if is_cut {
            coverage.cut(format!("limit of {MAX_VALUES} distinct values"));
        }
        let mut values: Vec<FieldValue> = counts.into_iter().map(|(value, rows)| FieldValue { value, rows }).collect();
        values.sort_by(|left, right| right.rows.cmp(&left.rows).then_with(|| left.value.cmp(&right.value)));
        if values.len() > limit {
            coverage.cut(format!("limit of {limit} values"));
            values.truncate(limit);
        }
        coverage.elapsed_ms = crate::request::elapsed_ms(started);
        Ok((values, coverage))
    }
}

/// Values that start as wanted, with their rows.
#[derive(Default)]
struct Values {
    counts: HashMap<String, u64>,
    /// Whether there were too many.
    is_cut: bool,
}

impl Values {
    /// Takes those that start with the prefix.
    fn add(&mut self, found: impl Iterator<Item = (String, u64)>, prefix: &str) {
        for (value, rows) in found.filter(|(value, rows)| *rows > 0 && value.starts_with(prefix)) {
            if let Some(count) = self.counts.get_mut(&value) {
                *count += rows;
            } else if self.counts.len() < MAX_VALUES {
                self.counts.insert(value, rows);
            } else {
                self.is_cut = true;
            }
        }
    }
}

/// The columns that tell which fields a row has.
fn read_columns(signal: Signal) -> Vec<&'static str> {
    let mut columns = vec!["attributes", "resource_attributes"];
    if signal != Signal::MetricPoints {
        columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
    }
    columns
}

/// Rows without the field need not be read.
fn with_field(filter: Expr, field: &FieldRef) -> Expr {
    match field {
        FieldRef::Attribute(_) | FieldRef::EventName | FieldRef::EventAttribute(_) => {
            filter.and(Expr::Field(field.clone(), crate::language::Matcher::Exists))
        }
        _ => filter,
    }
}

type FieldRows = BTreeMap<String, u64>;

/// Keys of attributes and resources with the rows that have them.
#[derive(Default)]
struct Found {
    attributes: FieldRows,
    resources: FieldRows,
    rows: u64,
}

fn add_keys(rows_by_key: &mut FieldRows, json: &str, rows: u64) {
    for (key, _) in read_object(json) {
        *rows_by_key.entry(key).or_default() += rows;
    }
}

impl Found {
    fn add(&mut self, batch: &RecordBatch, signal: Signal) -> Result<(), QueryError> {
        self.rows += batch.num_rows() as u64;
        if let Some(map) = batch.column_by_name("attributes").and_then(|column| column.as_map_opt()) {
            let keys = map.keys().as_string::<i32>();
            let mut counts: HashMap<&str, u64> = HashMap::new();
            for place in 0..keys.len() {
                *counts.entry(keys.value(place)).or_default() += 1;
            }
            for (key, rows) in counts {
                *self.attributes.entry(key.to_owned()).or_default() += rows;
            }
            for promoted in PROMOTED {
                let rows = batch.column_by_name(promoted.column).map_or(0, |column| column.len() - column.null_count());
                if rows > 0 {
                    *self.attributes.entry(promoted.key.to_owned()).or_default() += rows as u64;
                }
            }
        } else {
            for (json, rows) in objects("attributes", signal, batch)? {
                add_keys(&mut self.attributes, &json, rows);
            }
        }
        for (json, rows) in objects("resource_attributes", signal, batch)? {
            add_keys(&mut self.resources, &json, rows);
        }
        Ok(())
    }

    fn and(mut self, other: Self) -> Self {
        for (key, rows) in other.attributes {
            *self.attributes.entry(key).or_default() += rows;
        }
        for (key, rows) in other.resources {
            *self.resources.entry(key).or_default() += rows;
        }
        self.rows += other.rows;
        self
    }
}

/// The distinct values of a column of JSON objects with their rows.
fn objects(column: &'static str, signal: Signal, batch: &RecordBatch) -> Result<Vec<(String, u64)>, QueryError> {
    let keys = group_keys(&FieldRef::Column(column), signal, batch)?;
    let mut rows = vec![0_u64; keys.values.len()];
    keys.keys.iter().filter_map(|place| usize::try_from(*place).ok()).for_each(|place| rows[place] += 1);
    Ok(keys.values.into_iter().zip(rows).filter(|(_, rows)| *rows > 0).collect())
}
