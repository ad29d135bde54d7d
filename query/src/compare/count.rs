//! Counting the values of all fields on both sides of a comparison.

use super::Signal;
use crate::QueryError;
use crate::language::{FieldRef, group_keys};
use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::buffer::BooleanBuffer;
use hashbrown::HashMap;
use mangru_store::PROMOTED;
use mangru_store::value::read_object;
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Fields that are counted.
pub(super) const MAX_FIELDS: usize = 2_000;
/// Values of one field; a field that has more is left out.
const MAX_VALUES: usize = 20_000;
/// Values of all fields; beyond it the field with the most is left out.
const MAX_ALL_VALUES: usize = 400_000;
/// Values are compared by so many bytes.
const MAX_VALUE_BYTES: usize = 256;

/// A field whose values are counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FieldKey {
    /// A column of the table.
    Column(Column),
    /// A record attribute.
    Attribute(String),
    /// A resource attribute.
    Resource(String),
}

/// Columns of the table that are compared; names, bodies and ids are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Column {
    Service,
    Scope,
    Kind,
    Status,
    Severity,
    EventName,
}

impl Column {
    const fn all(signal: Signal) -> &'static [Self] {
        match signal {
            Signal::Logs => &[Self::Service, Self::Severity, Self::EventName, Self::Scope],
            Signal::Spans => &[Self::Service, Self::Kind, Self::Status, Self::Scope],
            Signal::MetricPoints => &[Self::Service, Self::Scope],
        }
    }

    /// Its name in the search language.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Service => "service.name",
            Self::Scope => "scope.name",
            Self::Kind => "kind",
            Self::Status => "status",
            Self::Severity => "severity",
            Self::EventName => "event.name",
        }
    }
}

/// The columns that [`add`] needs.
pub(super) fn columns(signal: Signal) -> Vec<&'static str> {
    let mut columns = vec!["attributes", "resource_attributes"];
    columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
    for column in Column::all(signal) {
        columns.extend(column.field(signal).columns(signal));
    }
    columns
}

/// A value, or as much of it as is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) is_cut: bool,
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}

/// Rows on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) selection: u64,
    pub(super) baseline: u64,
}

impl Count {
    const fn is_zero(self) -> bool {
        self.selection == 0 && self.baseline == 0
    }

    const fn add(&mut self, other: Self) {
        self.selection += other.selection;
        self.baseline += other.baseline;
    }

    const fn see(&mut self, side: Side) {
        match side {
            Side::Selection => self.selection += 1,
            Side::Baseline => self.baseline += 1,
            Side::Neither => {}
        }
    }
}

/// Which side a row is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Selection,
    Baseline,
    Neither,
}

/// The values of a field.
#[derive(Debug)]
enum Values {
    Counted(HashMap<Value, Count>),
    /// There are too many.
    LeftOut,
}

/// All that was counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Rows of both sides.
    pub(super) rows: Count,
    fields: HashMap<FieldKey, Values>,
    /// Values of all fields.
    values: usize,
    /// Whether there were more fields than are counted.
    pub(super) has_more_fields: bool,
}

impl Counts {
    /// The fields that are left out, by name.
    pub(super) fn left_out(&self) -> Vec<String> {
        let left_out = self.fields.iter().filter(|(_, values)| matches!(values, Values::LeftOut));
        left_out.map(|(key, _)| key.name().0).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The fields with their values.
    pub(super) fn into_fields(self) -> Vec<(FieldKey, HashMap<Value, Count>)> {
        let counted = |(key, values)| match values {
            Values::Counted(values) => Some((key, values)),
            Values::LeftOut => None,
        };
        self.fields.into_iter().filter_map(counted).collect()
    }

    fn add(&mut self, key: FieldKey, text: &str, count: Count) {
        if count.is_zero() {
            return;
        }
        if self.fields.len() >= MAX_FIELDS && !self.fields.contains_key(&key) {
            self.has_more_fields = true;
            return;
        }
        let field = self.fields.entry(key).or_insert_with(|| Values::Counted(HashMap::new()));
        let Values::Counted(values) = field else { return };
        let value = Value { text: cut(text).to_owned(), is_cut: text.len() > MAX_VALUE_BYTES };
        if let Some(known) = values.get_mut(&value) {
            known.add(count);
            return;
        }
        values.insert(value, count);
        self.values += 1;
        if values.len() > MAX_VALUES {
            self.values -= values.len();
            *field = Values::LeftOut;
        } else if self.values > MAX_ALL_VALUES {
            self.leave_out_the_largest();
        }
    }

    fn leave_out_the_largest(&mut self) {
        let size = |values: &Values| match values {
            Values::Counted(values) => values.len(),
            Values::LeftOut => 0,
        };
        if let Some(largest) = self.fields.values_mut().max_by_key(|values| size(values)) {
            self.values -= size(largest);
            *largest = Values::LeftOut;
        }
    }
}

/// Counts the rows of a batch. A row on both sides belongs to the selection.
pub(super) fn add(
    counts: &Mutex<Counts>,
    signal: Signal,
    batch: &RecordBatch,
    selected: &BooleanBuffer,
    compared: &BooleanBuffer,
) -> Result<(), QueryError> {
    let mut rows = Count::default();
    let sides: Vec<Side> = selected
        .iter()
        .zip(compared)
        .map(|(selected, compared)| {
            let side = match (selected, compared) {
                (true, _) => Side::Selection,
                (false, true) => Side::Baseline,
                (false, false) => Side::Neither,
            };
            rows.see(side);
            side
        })
        .collect();
    // Values are counted within the batch first, so that others wait for a moment only.
    let mut grouped = Vec::new();
    for column in Column::all(signal) {
        grouped.push((FieldKey::Column(*column), by_value(&column.field(signal), signal, batch, &sides)?));
    }
    for promoted in PROMOTED {
        if column(batch, promoted.column)?.null_count() < batch.num_rows() {
            let field = FieldRef::Column(promoted.column);
            grouped.push((FieldKey::Attribute(promoted.key.to_owned()), by_value(&field, signal, batch, &sides)?));
        }
    }
    let attributes = attributes(batch, &sides)?;
    let resources = by_value(&FieldRef::Column("resource_attributes"), signal, batch, &sides)?;
    let resources: Vec<_> = resources.into_iter().map(|(json, count)| (read_object(&json), count)).collect();

    let mut counts = counts.lock();
    counts.rows.add(rows);
    for (key, values) in grouped {
        for (value, count) in values {
            counts.add(key.clone(), &value, count);
        }
    }
    for (key, value, count) in attributes {
        counts.add(FieldKey::Attribute(key.to_owned()), value, count);
    }
    for (resource, count) in resources {
        for (place, (key, value)) in resource.iter().enumerate() {
            let is_first = resource[..place].iter().all(|(other, _)| other != key);
            if is_first && key != Column::Service.name() {
                counts.add(FieldKey::Resource(key.clone()), &value.text(), count);
            }
        }
    }
    Ok(())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, QueryError> {
    batch.column_by_name(name).ok_or_else(|| QueryError::internal(format!("column {name} was not read")))
}

/// The values of a field with the rows of both sides that have them.
fn by_value(
    field: &FieldRef,
    signal: Signal,
    batch: &RecordBatch,
    sides: &[Side],
) -> Result<Vec<(String, Count)>, QueryError> {
    let keys = group_keys(field, signal, batch)?;
    let mut counts = vec![Count::default(); keys.values.len()];
    for (place, side) in keys.keys.iter().zip(sides) {
        if let Ok(place) = usize::try_from(*place) {
            counts[place].see(*side);
        }
    }
    Ok(keys.values.into_iter().zip(counts).filter(|(_, count)| !count.is_zero()).collect())
}

/// The values of the attributes in the map. A key that stands twice in a row counts by its first value, and one that has a
/// column by the column's.
fn attributes<'a>(batch: &'a RecordBatch, sides: &[Side]) -> Result<Vec<(&'a str, &'a str, Count)>, QueryError> {
    let map = column(batch, "attributes")?.as_map();
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let offsets = map.value_offsets();
    // A key's number, the row that had it last and its column.
    let mut known: HashMap<&str, (u32, usize, Option<&ArrayRef>)> = HashMap::new();
    let mut counts: HashMap<(u32, &str), (&str, Count)> = HashMap::new();
    for (row, side) in sides.iter().enumerate().filter(|(_, side)| **side != Side::Neither) {
        for entry in offsets[row] as usize..offsets[row + 1] as usize {
            let key = keys.value(entry);
            let next = known.len() as u32;
            let (number, last_row, promoted) = known.entry(key).or_insert_with(|| {
                let promoted = PROMOTED.iter().find(|promoted| promoted.key == key);
                (next, usize::MAX, promoted.and_then(|promoted| batch.column_by_name(promoted.column)))
            });
            let is_first = std::mem::replace(last_row, row) != row;
            if is_first && promoted.is_none_or(|column| column.is_null(row)) {
                let value = if values.is_valid(entry) { values.value(entry) } else { "" };
                counts.entry((*number, value)).or_insert((key, Count::default())).1.see(*side);
            }
        }
    }
    Ok(counts.into_iter().map(|((_, value), (key, count))| (key, value, count)).collect())
}
