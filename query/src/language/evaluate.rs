//! The tree on rows: which rows of a batch match, and the values of a field in each row.

use super::field::{FieldRef, KINDS, STATUSES, severity_numbers};
use super::{Expr, Matcher, TextPattern, text};
use crate::QueryError;
use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, UInt32Type, UInt64Type};
use hashbrown::HashMap;
use mangru_store::nested::{Exemplar, Link, SpanEvent};
use mangru_store::value::{self, AnyValue};
use mangru_store::{PROMOTED, Signal};
use std::fmt::Write as _;

impl Expr {
    /// Which rows match; the batch holds at least [`Expr::columns`].
    pub(crate) fn matches(&self, signal: Signal, batch: &RecordBatch) -> Result<BooleanArray, QueryError> {
        Ok(BooleanArray::new(self.bits(signal, batch)?, None))
    }

    fn bits(&self, signal: Signal, batch: &RecordBatch) -> Result<BooleanBuffer, QueryError> {
        let rows = batch.num_rows();
        Ok(match self {
            Self::All => BooleanBuffer::new_set(rows),
            Self::And(all) => {
                let mut bits = BooleanBuffer::new_set(rows);
                for expr in all {
                    bits = &bits & &expr.bits(signal, batch)?;
                    if bits.count_set_bits() == 0 {
                        break;
                    }
                }
                bits
            }
            Self::Or(any) => {
                let mut bits = BooleanBuffer::new_unset(rows);
                for expr in any {
                    bits = &bits | &expr.bits(signal, batch)?;
                }
                bits
            }
            Self::Not(inner) => !&inner.bits(signal, batch)?,
            Self::Traces(traces) => {
                let ids = column(batch, "trace_id")?.as_fixed_size_binary();
                (0..rows)
                    .map(|row| {
                        ids.is_valid(row) && <[u8; 16]>::try_from(ids.value(row)).is_ok_and(|id| traces.contains(&id))
                    })
                    .collect()
            }
            Self::Resource(test) => strings(column(batch, "resource_attributes")?, |json| (test.passes)(json))?,
            Self::Text(pattern) => {
                let mut bits = BooleanBuffer::new_unset(rows);
                for name in text::columns(signal) {
                    bits = &bits | &text_bits(pattern, column(batch, name)?)?;
                }
                bits
            }
            Self::Field(field, matcher) => field_bits(field, matcher, signal, batch)?,
        })
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, QueryError> {
    batch.column_by_name(name).ok_or_else(|| QueryError::internal(format!("column {name} was not read")))
}

fn text_bits(pattern: &TextPattern, array: &ArrayRef) -> Result<BooleanBuffer, QueryError> {
    let mut scratch = String::new();
    strings(array, |text| pattern.matches(text, &mut scratch))
}

/// Tests text, once per distinct value where the column is a dictionary; NULL does not match.
fn strings(array: &ArrayRef, mut test: impl FnMut(&str) -> bool) -> Result<BooleanBuffer, QueryError> {
    if let Some(plain) = array.as_string_opt::<i32>() {
        return Ok((0..plain.len()).map(|row| plain.is_valid(row) && test(plain.value(row))).collect());
    }
    let dictionary = array
        .as_dictionary_opt::<Int32Type>()
        .ok_or_else(|| QueryError::internal(format!("{} is not text", array.data_type())))?;
    let values = dictionary.values().as_string::<i32>();
    let mut known: Vec<Option<bool>> = vec![None; values.len()];
    let keys = dictionary.keys();
    Ok((0..keys.len())
        .map(|row| {
            if keys.is_null(row) {
                return false;
            }
            let key = keys.value(row) as usize;
            *known[key].get_or_insert_with(|| values.is_valid(key) && test(values.value(key)))
        })
        .collect())
}

/// The row's attribute in the map: whether any entry of this key passes.
fn map_bits(array: &ArrayRef, key: &str, mut test: impl FnMut(&str) -> bool) -> BooleanBuffer {
    let map = array.as_map();
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let offsets = map.value_offsets();
    (0..map.len())
        .map(|row| {
            (offsets[row] as usize..offsets[row + 1] as usize).any(|entry| {
                keys.value(entry) == key && test(if values.is_valid(entry) { values.value(entry) } else { "" })
            })
        })
        .collect()
}

fn attribute_bits(
    key: &str,
    matcher: &Matcher,
    signal: Signal,
    batch: &RecordBatch,
) -> Result<BooleanBuffer, QueryError> {
    if signal == Signal::MetricPoints {
        return object_bits(column(batch, "attributes")?, key, matcher);
    }
    let bits = map_bits(column(batch, "attributes")?, key, |text| matcher.text(text));
    match PROMOTED.iter().find(|promoted| promoted.key == key) {
        Some(promoted) => Ok(&bits | &column_bits(column(batch, promoted.column)?, matcher)?),
        None => Ok(bits),
    }
}

/// Rows of which any attribute, or any of an event of a span, passes.
fn any_attribute_bits(matcher: &Matcher, signal: Signal, batch: &RecordBatch) -> Result<BooleanBuffer, QueryError> {
    let attributes = column(batch, "attributes")?;
    if signal == Signal::MetricPoints {
        return strings(attributes, |json| {
            value::read_object(json).iter().any(|(_, value)| matcher.text(&value.text()))
        });
    }
    let map = attributes.as_map();
    let (values, offsets) = (map.values().as_string::<i32>(), map.value_offsets());
    let passes = |entry| matcher.text(if values.is_valid(entry) { values.value(entry) } else { "" });
    let mut bits: BooleanBuffer =
        (0..map.len()).map(|row| (offsets[row] as usize..offsets[row + 1] as usize).any(passes)).collect();
    for promoted in PROMOTED {
        bits = &bits | &column_bits(column(batch, promoted.column)?, matcher)?;
    }
    if signal == Signal::Spans {
        let passes = |event: &SpanEvent| event.attributes.iter().any(|(_, value)| matcher.text(&value.text()));
        bits = &bits | &event_bits(column(batch, "events")?, passes);
    }
    Ok(bits)
}

/// A key of a column of JSON objects.
fn object_bits(array: &ArrayRef, key: &str, matcher: &Matcher) -> Result<BooleanBuffer, QueryError> {
    strings(array, |json| object_matches(json, key, matcher))
}

/// Whether a JSON object of attributes has a value under this key that passes.
pub(super) fn object_matches(json: &str, key: &str, matcher: &Matcher) -> bool {
    value::read_object(json).iter().any(|(name, value)| name == key && matcher.text(&value.text()))
}

fn column_bits(array: &ArrayRef, matcher: &Matcher) -> Result<BooleanBuffer, QueryError> {
    macro_rules! integers {
        ($kind:ty) => {{
            let numbers = array.as_primitive::<$kind>();
            (0..numbers.len())
                .map(|row| {
                    numbers.is_valid(row) && matcher.integer(i64::try_from(numbers.value(row)).unwrap_or(i64::MAX))
                })
                .collect()
        }};
    }
    Ok(match array.data_type() {
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float64 => {
            let numbers = array.as_primitive::<Float64Type>();
            (0..numbers.len())
                .map(|row| numbers.is_valid(row) && matcher.text(&AnyValue::Double(numbers.value(row)).text()))
                .collect()
        }
        _ => strings(array, |text| matcher.text(text))?,
    })
}

fn id_bits(array: &ArrayRef, matcher: &Matcher) -> BooleanBuffer {
    let ids = array.as_fixed_size_binary();
    let mut hex = String::new();
    (0..ids.len())
        .map(|row| {
            ids.is_valid(row) && {
                write_hex(ids.value(row), &mut hex);
                matcher.text(&hex)
            }
        })
        .collect()
}

/// Writes bytes as lower-case hex over what was in the text.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.clear();
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn event_bits(array: &ArrayRef, mut test: impl FnMut(&SpanEvent) -> bool) -> BooleanBuffer {
    let events = array.as_string::<i32>();
    (0..events.len())
        .map(|row| {
            events.is_valid(row)
                && serde_json::from_str::<Vec<SpanEvent>>(events.value(row)).is_ok_and(|all| all.iter().any(&mut test))
        })
        .collect()
}

/// The severity as a number: what was sent, else what the text stands for, else 0.
pub(crate) fn severity(number: i32, text: Option<&str>) -> i64 {
    if number != 0 {
        return i64::from(number);
    }
    text.and_then(severity_numbers).map_or(0, |(first, _)| first)
}

/// The columns that [`severities`] reads.
pub(crate) const SEVERITY_COLUMNS: [&str; 2] = ["severity_number", "severity_text"];

/// The severity of each log of a batch, as [`severity`] says.
pub(crate) fn severities(batch: &RecordBatch) -> Result<impl Fn(usize) -> i64 + use<>, QueryError> {
    let numbers = column(batch, "severity_number")?.as_primitive::<Int32Type>().clone();
    let texts = column(batch, "severity_text")?.as_dictionary::<Int32Type>();
    let (keys, values) = (texts.keys().clone(), texts.values().as_string::<i32>());
    let of_texts: Vec<i64> = values.iter().map(|text| severity(0, text)).collect();
    Ok(move |row: usize| match numbers.value(row) {
        0 if keys.is_valid(row) => of_texts[keys.value(row) as usize],
        number => i64::from(number),
    })
}

fn field_bits(
    field: &FieldRef,
    matcher: &Matcher,
    signal: Signal,
    batch: &RecordBatch,
) -> Result<BooleanBuffer, QueryError> {
    Ok(match field {
        FieldRef::Column(name) => column_bits(column(batch, name)?, matcher)?,
        FieldRef::Id(name) => id_bits(column(batch, name)?, matcher),
        FieldRef::Severity => {
            let numbers = column(batch, "severity_number")?.as_primitive::<Int32Type>();
            let texts = column(batch, "severity_text")?.as_dictionary::<Int32Type>();
            let values = texts.values().as_string::<i32>();
            let is_unset = names_unset(matcher);
            (0..numbers.len())
                .map(|row| {
                    let text = texts.is_valid(row).then(|| values.value(texts.keys().value(row) as usize));
                    let number = severity(numbers.value(row), text);
                    let is_number = (number != 0 || is_unset) && matcher.integer(number);
                    is_number || text.is_some_and(|text| severity_text(matcher, text))
                })
                .collect()
        }
        FieldRef::Attribute(key) => attribute_bits(key, matcher, signal, batch)?,
        FieldRef::AnyAttribute => any_attribute_bits(matcher, signal, batch)?,
        FieldRef::Resource(key) => object_bits(column(batch, "resource_attributes")?, key, matcher)?,
        FieldRef::Either(key) => {
            &attribute_bits(key, matcher, signal, batch)?
                | &object_bits(column(batch, "resource_attributes")?, key, matcher)?
        }
        FieldRef::Scope(key) => object_bits(column(batch, "scope_attributes")?, key, matcher)?,
        FieldRef::EventName => event_bits(column(batch, "events")?, |event| matcher.text(&event.name)),
        FieldRef::EventAttribute(key) => event_bits(column(batch, "events")?, |event| {
            event.attributes.iter().any(|(name, value)| name == key && matcher.text(&value.text()))
        }),
        FieldRef::LinkAttribute(key) => {
            let links = column(batch, "links")?.as_string::<i32>();
            let holds =
                |link: &Link| link.attributes.iter().any(|(name, value)| name == key && matcher.text(&value.text()));
            (0..links.len())
                .map(|row| {
                    links.is_valid(row)
                        && serde_json::from_str::<Vec<Link>>(links.value(row)).is_ok_and(|all| all.iter().any(holds))
                })
                .collect()
        }
        FieldRef::ExemplarTrace => {
            let exemplars = column(batch, "exemplars")?.as_string::<i32>();
            (0..exemplars.len())
                .map(|row| {
                    exemplars.is_valid(row)
                        && serde_json::from_str::<Vec<Exemplar>>(exemplars.value(row))
                            .is_ok_and(|all| all.iter().any(|exemplar| matcher.text(&exemplar.trace_id)))
                })
                .collect()
        }
    })
}

/// Whether a matcher asks for severity 0 by itself: no severity is not less than another.
fn names_unset(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Equals(literal) => literal.number == Some(0.0),
        Matcher::Any(all) => all.iter().any(names_unset),
        _ => false,
    }
}

/// Severity texts that are no known name are compared as they are, without case.
fn severity_text(matcher: &Matcher, text: &str) -> bool {
    match matcher {
        Matcher::Exists => true,
        Matcher::Equals(literal) => literal.number.is_none() && literal.text.eq_ignore_ascii_case(text),
        Matcher::Glob(..) | Matcher::Regex(_) => matcher.text(text) || matcher.text(&text.to_ascii_lowercase()),
        Matcher::Any(all) => all.iter().any(|matcher| severity_text(matcher, text)),
        Matcher::Range(..) => false,
    }
}

/// The field to count by, named so in a request's parameter.
///
/// # Errors
/// One of which a row may have many values, at the parameter.
pub(crate) fn group_field(parameter: &'static str, name: &str, signal: Signal) -> Result<FieldRef, QueryError> {
    match FieldRef::of(name, signal) {
        FieldRef::AnyAttribute => {
            let message = format!("`{name}` is no field to count by: a row has many attributes, name one of them");
            Err(QueryError::invalid(parameter, message))
        }
        field => Ok(field),
    }
}

/// A field's value in each row: a number into the distinct values, or none.
pub(crate) struct GroupKeys {
    /// Per row the place of its value in `values`; -1 for a row without one.
    pub(crate) keys: Vec<i32>,
    /// The distinct values of this batch in text form.
    pub(crate) values: Vec<String>,
}

/// The values of a field for each row, for counting by them. An attribute that stands twice in a row counts once, by its
/// first value. The batch holds the field's columns.
pub(crate) fn group_keys(field: &FieldRef, signal: Signal, batch: &RecordBatch) -> Result<GroupKeys, QueryError> {
    let rows = batch.num_rows();
    match field {
        FieldRef::Column(name) => column_keys(name, column(batch, name)?),
        FieldRef::Id(name) => {
            let ids = column(batch, name)?.as_fixed_size_binary();
            let mut hex = String::new();
            Ok(interned(rows, |row| {
                ids.is_valid(row).then(|| {
                    write_hex(ids.value(row), &mut hex);
                    hex.clone()
                })
            }))
        }
        FieldRef::Severity => {
            let numbers = column(batch, "severity_number")?.as_primitive::<Int32Type>();
            let texts = column(batch, "severity_text")?.as_dictionary::<Int32Type>();
            let values = texts.values().as_string::<i32>();
            Ok(interned(rows, |row| {
                let text = texts.is_valid(row).then(|| values.value(texts.keys().value(row) as usize));
                severity_name(severity(numbers.value(row), text)).map(str::to_owned).or_else(|| text.map(str::to_owned))
            }))
        }
        FieldRef::Attribute(key) => attribute_keys(key, signal, batch),
        FieldRef::Resource(key) => object_keys(column(batch, "resource_attributes")?, key),
        FieldRef::Scope(key) => object_keys(column(batch, "scope_attributes")?, key),
        FieldRef::Either(key) => {
            let mine = attribute_keys(key, signal, batch)?;
            let theirs = object_keys(column(batch, "resource_attributes")?, key)?;
            if theirs.values.is_empty() {
                return Ok(mine);
            }
            Ok(interned(rows, |row| {
                let (source, place) =
                    if mine.keys[row] >= 0 { (&mine, mine.keys[row]) } else { (&theirs, theirs.keys[row]) };
                usize::try_from(place).ok().map(|place| source.values[place].clone())
            }))
        }
        // Fields of many values in a row are no groups.
        FieldRef::ExemplarTrace | FieldRef::AnyAttribute => Ok(GroupKeys { keys: vec![-1; rows], values: Vec::new() }),
        FieldRef::LinkAttribute(key) => {
            let links = column(batch, "links")?.as_string::<i32>();
            Ok(interned(rows, |row| {
                let all: Vec<Link> = links.is_valid(row).then(|| serde_json::from_str(links.value(row)).ok())??;
                let attributes = all.iter().flat_map(|link| &link.attributes);
                attributes.into_iter().find_map(|(name, value)| (name == key).then(|| value.text()))
            }))
        }
        FieldRef::EventName | FieldRef::EventAttribute(_) => {
            let events = column(batch, "events")?.as_string::<i32>();
            Ok(interned(rows, |row| {
                let all: Vec<SpanEvent> =
                    events.is_valid(row).then(|| serde_json::from_str(events.value(row)).ok())??;
                match field {
                    FieldRef::EventAttribute(key) => all
                        .iter()
                        .flat_map(|event| &event.attributes)
                        .find_map(|(name, value)| (name == key).then(|| value.text())),
                    _ => all.into_iter().next().map(|event| event.name),
                }
            }))
        }
    }
}

/// The name of a severity number's group of four.
pub(crate) const fn severity_name(number: i64) -> Option<&'static str> {
    Some(match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        // Beyond the last that OpenTelemetry has, still the worst.
        21.. => "fatal",
        _ => return None,
    })
}

fn interned(rows: usize, mut value: impl FnMut(usize) -> Option<String>) -> GroupKeys {
    let mut places: HashMap<String, i32> = HashMap::new();
    let mut values = Vec::new();
    let keys = (0..rows)
        .map(|row| {
            let Some(text) = value(row) else { return -1 };
            if let Some(place) = places.get(&text) {
                return *place;
            }
            let place = values.len() as i32;
            values.push(text.clone());
            places.insert(text, place);
            place
        })
        .collect();
    GroupKeys { keys, values }
}

fn column_keys(name: &str, array: &ArrayRef) -> Result<GroupKeys, QueryError> {
    if let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() {
        let values = dictionary.values().as_string::<i32>();
        let keys = dictionary.keys();
        return Ok(GroupKeys {
            keys: (0..keys.len()).map(|row| if keys.is_valid(row) { keys.value(row) } else { -1 }).collect(),
            values: (0..values.len()).map(|place| values.value(place).to_owned()).collect(),
        });
    }
    if let Some(plain) = array.as_string_opt::<i32>() {
        return Ok(interned(plain.len(), |row| plain.is_valid(row).then(|| plain.value(row).to_owned())));
    }
    let names = match name {
        "kind" => KINDS,
        "status_code" => STATUSES,
        _ => &[],
    };
    let numbers = arrow::compute::cast(array, &DataType::Int64)?;
    let numbers = numbers.as_primitive::<Int64Type>();
    let mut text = String::new();
    Ok(interned(numbers.len(), |row| {
        numbers.is_valid(row).then(|| {
            let number = numbers.value(row);
            match usize::try_from(number).ok().and_then(|place| names.get(place)) {
                Some(name) => (*name).to_owned(),
                None => {
                    text.clear();
                    let _ = write!(text, "{number}");
                    text.clone()
                }
            }
        })
    }))
}

fn attribute_keys(key: &str, signal: Signal, batch: &RecordBatch) -> Result<GroupKeys, QueryError> {
    if signal == Signal::MetricPoints {
        return object_keys(column(batch, "attributes")?, key);
    }
    let map = column(batch, "attributes")?.as_map();
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let offsets = map.value_offsets();
    let promoted = PROMOTED
        .iter()
        .find(|promoted| promoted.key == key)
        .map(|promoted| column_keys(promoted.column, column(batch, promoted.column)?))
        .transpose()?;
    Ok(interned(batch.num_rows(), |row| {
        if let Some(promoted) = &promoted
            && let Ok(place) = usize::try_from(promoted.keys[row])
        {
            return Some(promoted.values[place].clone());
        }
        (offsets[row] as usize..offsets[row + 1] as usize)
            .find(|entry| keys.value(*entry) == key)
            .map(|entry| if values.is_valid(entry) { values.value(entry).to_owned() } else { String::new() })
    }))
}

fn object_keys(array: &ArrayRef, key: &str) -> Result<GroupKeys, QueryError> {
    let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else {
        return Err(QueryError::internal("attributes are not a dictionary"));
    };
    let objects = dictionary.values().as_string::<i32>();
    let found: Vec<Option<String>> = (0..objects.len())
        .map(|place| {
            value::read_object(objects.value(place))
                .into_iter()
                .find_map(|(name, value)| (name == key).then(|| value.text()))
        })
        .collect();
    let keys = dictionary.keys();
    Ok(interned(keys.len(), |row| if keys.is_valid(row) { found[keys.value(row) as usize].clone() } else { None }))
}
