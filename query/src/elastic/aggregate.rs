//! Aggregations: trees of buckets with figures in them, gathered while rows are read.

mod figures;

use super::clauses::{self, Clauses};
use super::time::{Rounding, interval_ns, moment, shown, unit_ns};
use super::{TIME, unsupported};
use crate::language::{Expr, FieldRef, group_keys};
use crate::scan::Held;
use crate::{QueryError, now_ns};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use figures::{Figure, Figures};
use mangru_store::{PROMOTED, PromotedType, Signal};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Aggregations may nest this deep.
const MAX_DEPTH: usize = 8;
/// Buckets of an answer, as Elasticsearch allows them.
const MAX_BUCKETS: usize = 65_536;

/// An aggregation with those within its buckets.
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    name: String,
    kind: Kind,
    within: Vec<Aggregation>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// `bounds` are shown even when they are empty, `hard_bounds` cut what lies outside of them.
    DateHistogram {
        interval: i64,
        offset: i64,
        least: u64,
        bounds: Option<(i64, i64)>,
        hard_bounds: Option<(i64, i64)>,
    },
    Histogram {
        field: FieldRef,
        interval: f64,
        least: u64,
    },
    Terms {
        field: FieldRef,
        size: usize,
        order: (String, bool),
        least: u64,
        missing: Option<String>,
        is_number: bool,
    },
    Filters {
        names: Vec<String>,
        filters: Vec<Expr>,
        is_single: bool,
    },
    Figure {
        field: FieldRef,
        figure: Figure,
    },
}

fn wrong(name: &str, message: impl std::fmt::Display) -> QueryError {
    QueryError::invalid("aggs", format!("[{name}] {message}"))
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Aggregation {
    /// Reads aggregations by their names.
    pub(super) fn read_all(body: &Map<String, Json>, signal: Signal, depth: usize) -> Result<Vec<Self>, QueryError> {
        if depth > MAX_DEPTH {
            return Err(QueryError::invalid("aggs", format!("aggregations nest deeper than {MAX_DEPTH}")));
        }
        body.iter().map(|(name, body)| Self::read(name, body, signal, depth)).collect()
    }

    fn read(name: &str, body: &Json, signal: Signal, depth: usize) -> Result<Self, QueryError> {
        let members = body.as_object().ok_or_else(|| wrong(name, "is not an object"))?;
        let within = members.get("aggs").or_else(|| members.get("aggregations")).and_then(Json::as_object);
        let within = Self::read_all(&within.cloned().unwrap_or_default(), signal, depth + 1)?;
        let mut kinds = members.iter().filter(|(kind, _)| !matches!(kind.as_str(), "aggs" | "aggregations" | "meta"));
        let (Some((kind, body)), None) = (kinds.next(), kinds.next()) else {
            return Err(wrong(name, "must have one type"));
        };
        if body.get("script").is_some() {
            return Err(unsupported(format!("a script in [{name}]")));
        }
        let kind = match kind.as_str() {
            "date_histogram" => date_histogram(name, body)?,
            "histogram" => {
                let interval = body["interval"].as_f64().or_else(|| body["interval"].as_str()?.parse().ok());
                let interval = interval.filter(|interval| *interval > 0.0);
                Kind::Histogram {
                    field: field(name, body, signal)?,
                    interval: interval.ok_or_else(|| wrong(name, "[interval] must be greater than 0"))?,
                    least: body["min_doc_count"].as_u64().unwrap_or(0),
                }
            }
            "terms" => terms(name, body, signal)?,
            "filter" => Kind::Filters {
                names: vec![String::new()],
                filters: vec![Clauses::other(signal, body)?],
                is_single: true,
            },
            "filters" => {
                let named = body["filters"].as_object().ok_or_else(|| unsupported("[filters] without names"))?;
                let filters = named.values().map(|filter| Clauses::other(signal, filter)).collect::<Result<_, _>>()?;
                Kind::Filters { names: named.keys().cloned().collect(), filters, is_single: false }
            }
            "missing" => {
                let exists = Expr::Field(field(name, body, signal)?, crate::language::Matcher::Exists);
                Kind::Filters {
                    names: vec![String::new()],
                    filters: vec![Expr::Not(Box::new(exists))],
                    is_single: true,
                }
            }
            other => match Figure::read(other, body).map_err(|why| wrong(name, why))? {
                Some(figure) => Kind::Figure { field: field(name, body, signal)?, figure },
                None => return Err(unsupported(format!("the aggregation type [{other}] of [{name}]"))),
            },
        };
        if matches!(kind, Kind::Figure { .. }) && !within.is_empty() {
            return Err(wrong(name, "cannot accept sub-aggregations"));
        }
        Ok(Self { name: name.to_owned(), kind, within })
    }

    /// The columns that it reads.
    pub(super) fn columns(&self, signal: Signal, columns: &mut Vec<&'static str>) {
        let own = match &self.kind {
            Kind::DateHistogram { .. } => Vec::new(),
            Kind::Histogram { field, .. } | Kind::Terms { field, .. } | Kind::Figure { field, .. } => {
                field.columns(signal)
            }
            Kind::Filters { filters, .. } => filters.iter().flat_map(|filter| filter.columns(signal)).collect(),
        };
        for column in own {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        for aggregation in &self.within {
            aggregation.columns(signal, columns);
        }
    }
}

fn field(name: &str, body: &Json, signal: Signal) -> Result<FieldRef, QueryError> {
    let field = body["field"].as_str().ok_or_else(|| wrong(name, "has no [field]"))?;
    Ok(clauses::field(field, signal))
}

fn date_histogram(name: &str, body: &Json) -> Result<Kind, QueryError> {
    let field = body["field"].as_str().unwrap_or(TIME);
    if !matches!(field, TIME | "time") {
        return Err(unsupported(format!("a [date_histogram] of [{field}], which is not {TIME},")));
    }
    let interval = ["fixed_interval", "interval", "calendar_interval"].iter().find_map(|key| body[*key].as_str());
    let interval = interval.ok_or_else(|| wrong(name, "has no [fixed_interval]"))?;
    let length = interval_ns(interval).or_else(|| unit_ns(interval));
    let length = length.ok_or_else(|| unsupported(format!("the interval [{interval}] of [{name}]")))?;
    if body["time_zone"].as_str().is_some_and(|zone| !matches!(zone, "UTC" | "utc" | "Z" | "+00:00" | "browser"))
        && length > 3_600_000_000_000
    {
        return Err(unsupported("[time_zone] other than UTC in intervals longer than an hour"));
    }
    let offset = match body["offset"].as_str() {
        None => 0,
        Some(text) => {
            let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
            let offset =
                interval_ns(text.trim_start_matches('+')).ok_or_else(|| wrong(name, "[offset] is not a duration"))?;
            sign * offset
        }
    };
    // Weeks begin on Mondays.
    let offset = if length % 604_800_000_000_000 == 0 { offset + 345_600_000_000_000 } else { offset };
    let bounds = |key: &str| -> Result<Option<(i64, i64)>, QueryError> {
        let Some(bounds) = body[key].as_object() else { return Ok(None) };
        let bound = |end: &str, open: i64, rounding| match bounds.get(end).filter(|value| !value.is_null()) {
            None => Ok(open),
            Some(value) => moment(&text(value), now_ns(), rounding)
                .ok_or_else(|| wrong(name, format!("[{end}] of [{key}] is not a time: [{value}]"))),
        };
        Ok(Some((bound("min", i64::MIN, Rounding::Down)?, bound("max", i64::MAX, Rounding::Up)?)))
    };
    let hard_bounds = bounds("hard_bounds")?;
    // An open end shows nothing that is empty; what hard bounds cut is not shown either.
    let shown = bounds("extended_bounds")?.filter(|(first, last)| *first != i64::MIN && *last != i64::MAX);
    let bounds = shown.map(|(first, last)| {
        let (low, high) = hard_bounds.unwrap_or((i64::MIN, i64::MAX));
        (first.max(low), last.min(high))
    });
    let least = body["min_doc_count"].as_u64().or_else(|| body["min_doc_count"].as_str()?.parse().ok()).unwrap_or(0);
    Ok(Kind::DateHistogram { interval: length, offset, least, bounds, hard_bounds })
}

fn terms(name: &str, body: &Json, signal: Signal) -> Result<Kind, QueryError> {
    let field = field(name, body, signal)?;
    let size = body["size"].as_u64().or_else(|| body["size"].as_str()?.parse().ok()).unwrap_or(10) as usize;
    let first = match &body["order"] {
        Json::Array(orders) => orders.first().cloned().unwrap_or_default(),
        other => other.clone(),
    };
    let order = match first.as_object().and_then(|order| order.iter().next()) {
        None => ("_count".to_owned(), true),
        Some((by, direction)) => (by.clone(), direction.as_str().is_none_or(|direction| direction != "asc")),
    };
    let is_number = match &field {
        FieldRef::Attribute(key) | FieldRef::Either(key) => {
            PROMOTED.iter().any(|promoted| promoted.key == *key && promoted.kind == PromotedType::Integer)
        }
        FieldRef::Column(column) => matches!(*column, "duration_ns"),
        _ => false,
    };
    let least = body["min_doc_count"].as_u64().or_else(|| body["min_doc_count"].as_str()?.parse().ok()).unwrap_or(1);
    let missing = body.get("missing").filter(|missing| !missing.is_null()).map(text);
    for name in ["include", "exclude"] {
        if body.get(name).is_some_and(|value| !value.is_null()) {
            return Err(unsupported(format!("[{name}] of terms")));
        }
    }
    Ok(Kind::Terms { field, size, order, least, missing, is_number })
}

/// What tells a bucket apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A time in nanoseconds, the place of a filter, or the number of an interval.
    Number(i64),
    Text(String),
}

/// What was gathered for an aggregation.
#[derive(Clone, Debug)]
enum State {
    Buckets(BTreeMap<Key, Bucket>),
    Figures(Figures),
}

#[derive(Clone, Debug)]
struct Bucket {
    count: u64,
    within: Vec<State>,
}

/// What was gathered for all aggregations, and its memory.
pub(super) struct Tree {
    states: Vec<State>,
    bytes: usize,
    buckets: usize,
    held: Held,
}

/// What is known of each row of a batch before it is put into buckets.
enum Prepared {
    /// The beginning of each row's interval, when it counts.
    Times(Vec<Option<i64>>),
    Values {
        keys: Vec<i32>,
        texts: Vec<String>,
        numbers: Vec<Option<f64>>,
    },
    Filters(Vec<BooleanArray>),
}

/// An aggregation with what is known of the rows.
struct Ready<'a> {
    of: &'a Aggregation,
    rows: Prepared,
    within: Vec<Ready<'a>>,
}

impl<'a> Ready<'a> {
    fn new(of: &'a Aggregation, signal: Signal, batch: &RecordBatch) -> Result<Self, QueryError> {
        let rows = match &of.kind {
            Kind::DateHistogram { interval, offset, hard_bounds, .. } => {
                let times =
                    batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
                let times = times.as_primitive::<TimestampNanosecondType>().values().iter();
                let place = |time: &i64| {
                    let is_inside = hard_bounds.is_none_or(|(first, last)| (first..=last).contains(time));
                    is_inside.then(|| (time - offset).div_euclid(*interval) * interval + offset)
                };
                Prepared::Times(times.map(place).collect())
            }
            Kind::Histogram { field, .. } | Kind::Terms { field, .. } | Kind::Figure { field, .. } => {
                let found = group_keys(field, signal, batch)?;
                let numbers = found.values.iter().map(|value| value.trim().parse().ok()).collect();
                Prepared::Values { keys: found.keys, texts: found.values, numbers }
            }
            Kind::Filters { filters, .. } => {
                let bits = filters.iter().map(|filter| filter.matches(signal, batch)).collect::<Result<_, _>>()?;
                Prepared::Filters(bits)
            }
        };
        let within = of.within.iter().map(|within| Self::new(within, signal, batch)).collect::<Result<_, _>>()?;
        Ok(Self { of, rows, within })
    }
}

fn empty_states(aggregations: &[Aggregation]) -> Vec<State> {
    let empty = |aggregation: &Aggregation| match &aggregation.kind {
        Kind::Figure { figure, .. } => State::Figures(Figures::new(figure)),
        // Filters have their buckets even when nothing fits.
        Kind::Filters { filters, .. } => {
            let bucket = || Bucket { count: 0, within: empty_states(&aggregation.within) };
            State::Buckets((0..filters.len()).map(|place| (Key::Number(place as i64), bucket())).collect())
        }
        _ => State::Buckets(BTreeMap::new()),
    };
    aggregations.iter().map(empty).collect()
}

impl Tree {
    pub(super) fn new(aggregations: &[Aggregation], held: Held) -> Self {
        Self { states: empty_states(aggregations), bytes: 0, buckets: 0, held }
    }

    /// Puts the rows of a batch into their buckets.
    pub(super) fn add(
        &mut self,
        aggregations: &[Aggregation],
        signal: Signal,
        batch: &RecordBatch,
    ) -> Result<(), QueryError> {
        let ready: Vec<Ready<'_>> =
            aggregations.iter().map(|aggregation| Ready::new(aggregation, signal, batch)).collect::<Result<_, _>>()?;
        let (mut bytes, mut buckets) = (self.bytes, self.buckets);
        for row in 0..batch.num_rows() {
            for (ready, state) in ready.iter().zip(&mut self.states) {
                add(ready, state, row, &mut bytes, &mut buckets);
            }
            if buckets > MAX_BUCKETS {
                let message =
                    format!("trying to create too many buckets: must be less than or equal to [{MAX_BUCKETS}]");
                return Err(QueryError::invalid("aggs", message));
            }
        }
        (self.bytes, self.buckets) = (bytes, buckets);
        self.held.cover(bytes)
    }

    /// The answer of all pieces together.
    pub(super) fn finish(aggregations: &[Aggregation], trees: Vec<Self>) -> Result<Json, QueryError> {
        let mut all = empty_states(aggregations);
        for tree in trees {
            for (state, more) in all.iter_mut().zip(tree.states) {
                merge(state, more);
            }
        }
        shown_all(aggregations, &all)
    }
}

fn add(ready: &Ready<'_>, state: &mut State, row: usize, bytes: &mut usize, buckets: &mut usize) {
    match (&ready.rows, state) {
        (Prepared::Values { keys, texts, numbers }, State::Figures(figures)) => {
            if let Ok(place) = usize::try_from(keys[row]) {
                *bytes += figures.add(&texts[place], numbers[place]);
            }
        }
        (Prepared::Filters(bits), State::Buckets(all)) => {
            for (place, bits) in bits.iter().enumerate() {
                if bits.value(row)
                    && let Some(bucket) = all.get_mut(&Key::Number(place as i64))
                {
                    add_to(ready, bucket, row, bytes, buckets);
                }
            }
        }
        (rows, State::Buckets(all)) => {
            let Some(key) = key(ready, rows, row) else { return };
            let bucket = all.entry(key).or_insert_with_key(|key| {
                *buckets += 1;
                *bytes += 160 + if let Key::Text(text) = key { text.len() } else { 0 };
                Bucket { count: 0, within: empty_states(&ready.of.within) }
            });
            add_to(ready, bucket, row, bytes, buckets);
        }
        // States are made for their aggregations.
        (_, State::Figures(_)) => {}
    }
}

fn add_to(ready: &Ready<'_>, bucket: &mut Bucket, row: usize, bytes: &mut usize, buckets: &mut usize) {
    bucket.count += 1;
    for (within, state) in ready.within.iter().zip(&mut bucket.within) {
        add(within, state, row, bytes, buckets);
    }
}

fn key(ready: &Ready<'_>, rows: &Prepared, row: usize) -> Option<Key> {
    match (rows, &ready.of.kind) {
        (Prepared::Times(times), _) => times[row].map(Key::Number),
        (Prepared::Values { keys, numbers, .. }, Kind::Histogram { interval, .. }) => {
            let number = numbers[usize::try_from(keys[row]).ok()?]?;
            Some(Key::Number((number / interval).floor() as i64))
        }
        (Prepared::Values { keys, texts, .. }, Kind::Terms { missing, .. }) => match usize::try_from(keys[row]) {
            Ok(place) => Some(Key::Text(texts[place].clone())),
            Err(_) => missing.clone().map(Key::Text),
        },
        _ => None,
    }
}

fn merge(into: &mut State, more: State) {
    match (into, more) {
        (State::Figures(figures), State::Figures(more)) => figures.merge(more),
        (State::Buckets(all), State::Buckets(more)) => {
            for (key, bucket) in more {
                match all.get_mut(&key) {
                    Some(known) => {
                        known.count += bucket.count;
                        for (state, more) in known.within.iter_mut().zip(bucket.within) {
                            merge(state, more);
                        }
                    }
                    None => {
                        all.insert(key, bucket);
                    }
                }
            }
        }
        // States are made for their aggregations.
        _ => {}
    }
}

fn shown_all(aggregations: &[Aggregation], states: &[State]) -> Result<Json, QueryError> {
    let mut all = Map::new();
    for (aggregation, state) in aggregations.iter().zip(states) {
        all.insert(aggregation.name.clone(), shown_one(aggregation, state)?);
    }
    Ok(Json::Object(all))
}

/// A bucket with what is within it.
fn bucket(aggregation: &Aggregation, found: &Bucket, mut own: Json) -> Result<Json, QueryError> {
    own["doc_count"] = found.count.into();
    if let (Json::Object(own), Json::Object(within)) = (&mut own, shown_all(&aggregation.within, &found.within)?) {
        own.extend(within);
    }
    Ok(own)
}

fn shown_one(aggregation: &Aggregation, state: &State) -> Result<Json, QueryError> {
    let all = match state {
        State::Figures(figures) => return Ok(figures.json()),
        State::Buckets(all) => all,
    };
    match &aggregation.kind {
        Kind::DateHistogram { interval, offset, least, bounds, .. } => {
            let bounds = bounds.map(|(first, last)| {
                let place = |time: i64| (time - offset).div_euclid(*interval) * interval + offset;
                (place(first), place(last))
            });
            let keys = between(all, *interval, *least, bounds)?;
            let buckets = keys.into_iter().map(|time| {
                let empty = Bucket { count: 0, within: empty_states(&aggregation.within) };
                let own = json!({ "key_as_string": shown(time), "key": time.div_euclid(1_000_000) });
                bucket(aggregation, all.get(&Key::Number(time)).unwrap_or(&empty), own)
            });
            Ok(json!({ "buckets": buckets.collect::<Result<Vec<_>, _>>()? }))
        }
        Kind::Histogram { interval, least, .. } => {
            let keys = between(all, 1, *least, None)?;
            let buckets = keys.into_iter().map(|place| {
                let empty = Bucket { count: 0, within: empty_states(&aggregation.within) };
                let own = json!({ "key": place as f64 * interval });
                bucket(aggregation, all.get(&Key::Number(place)).unwrap_or(&empty), own)
            });
            Ok(json!({ "buckets": buckets.collect::<Result<Vec<_>, _>>()? }))
        }
        Kind::Filters { names, is_single, .. } => {
            let mut named = Map::new();
            for (place, name) in names.iter().enumerate() {
                if let Some(found) = all.get(&Key::Number(place as i64)) {
                    named.insert(name.clone(), bucket(aggregation, found, json!({}))?);
                }
            }
            Ok(if *is_single { named.remove("").unwrap_or_default() } else { json!({ "buckets": named }) })
        }
        Kind::Terms { .. } => shown_terms(aggregation, all),
        Kind::Figure { .. } => Ok(Json::Null),
    }
}

/// The keys from the first to the last, gaps filled when buckets may be empty.
fn between(
    all: &BTreeMap<Key, Bucket>,
    step: i64,
    least: u64,
    bounds: Option<(i64, i64)>,
) -> Result<Vec<i64>, QueryError> {
    let numbers = all.iter().filter_map(|(key, bucket)| match key {
        Key::Number(number) if bucket.count >= least.max(1) => Some(*number),
        _ => None,
    });
    let found: Vec<i64> = numbers.collect();
    if least > 0 {
        return Ok(found);
    }
    let ends = found.first().copied().zip(found.last().copied());
    let ends = match (ends, bounds) {
        (Some((first, last)), Some((low, high))) => (first.min(low), last.max(high)),
        (Some(ends), None) | (None, Some(ends)) => ends,
        (None, None) => return Ok(Vec::new()),
    };
    let count = (ends.1 - ends.0) / step + 1;
    if count > MAX_BUCKETS as i64 {
        let message =
            format!("trying to create too many buckets: [{count}], must be less than or equal to [{MAX_BUCKETS}]");
        return Err(QueryError::invalid("aggs", message));
    }
    Ok((0..count).map(|place| ends.0 + place * step).collect())
}

fn shown_terms(aggregation: &Aggregation, all: &BTreeMap<Key, Bucket>) -> Result<Json, QueryError> {
    let Kind::Terms { size, order: (by, falls), least, is_number, .. } = &aggregation.kind else {
        return Ok(Json::Null);
    };
    let mut buckets: Vec<(&String, &Bucket)> = all
        .iter()
        .filter_map(|(key, bucket)| match key {
            Key::Text(text) if bucket.count >= *least => Some((text, bucket)),
            _ => None,
        })
        .collect();
    match by.as_str() {
        "_count" => buckets.sort_by_key(|(_, bucket)| bucket.count),
        "_key" | "_term" => buckets.sort_by(|left, right| match (left.0.parse::<f64>(), right.0.parse::<f64>()) {
            (Ok(left), Ok(right)) if *is_number => left.total_cmp(&right),
            _ => left.0.cmp(right.0),
        }),
        by => {
            let (name, part) = by.split_once(['.', '[']).unwrap_or((by, "value"));
            let part = part.trim_end_matches(']');
            let place = aggregation.within.iter().position(|within| within.name == name);
            let place =
                place.ok_or_else(|| wrong(&aggregation.name, format!("has no aggregation [{name}] to order by")))?;
            let value = |bucket: &Bucket| match &bucket.within[place] {
                State::Figures(figures) => figures.part(part).unwrap_or(f64::NEG_INFINITY),
                State::Buckets(_) => f64::NEG_INFINITY,
            };
            buckets.sort_by(|left, right| value(left.1).total_cmp(&value(right.1)));
        }
    }
    if *falls {
        // Of equal ones the first by their names stay first.
        buckets.reverse();
        if by == "_count" {
            buckets.sort_by(|left, right| right.1.count.cmp(&left.1.count).then_with(|| left.0.cmp(right.0)));
        }
    }
    let others: u64 = buckets.iter().skip(*size).map(|(_, bucket)| bucket.count).sum();
    let shown = buckets.into_iter().take(*size).map(|(key, found)| {
        let key = match key.parse::<i64>() {
            Ok(number) if *is_number => Json::from(number),
            _ => Json::from(key.as_str()),
        };
        bucket(aggregation, found, json!({ "key": key }))
    });
    let buckets = shown.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets }))
}
