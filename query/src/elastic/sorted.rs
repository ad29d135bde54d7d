//! Documents in an order that is not newest first: the oldest first, or by the values of fields.

use super::documents::{self, Document};
use super::{TIME, clauses, unsupported};
use crate::language::{FieldRef, group_keys};
use crate::scan::{self, Control, Counting, Cursor, Held, ScanRequest, hashes, identity_columns};
use crate::{QueryError, QueryService};
use arrow::array::{AsArray as _, BooleanArray};
use arrow::compute::{filter_record_batch, interleave_record_batch};
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use mangru_store::Signal;
use serde_json::{Map, Value as Json};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Candidates beside twice those that are wanted before the worse ones are dropped.
const SPARE: usize = 4_096;
/// Keys of one order.
const MAX_KEYS: usize = 8;

/// How documents are put in order.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Newest,
    By(Vec<SortKey>),
}

/// A value that documents are put in order by.
#[derive(Clone, Debug)]
pub(super) struct SortKey {
    by: By,
    falls: bool,
    missing_first: bool,
}

#[derive(Clone, Debug)]
enum By {
    Time,
    Field(FieldRef),
}

/// A document's value of a key; texts come behind numbers.
#[derive(Clone, Debug)]
enum Value {
    Integer(i64),
    Number(f64),
    Text(Arc<str>),
    Missing,
}

impl Value {
    fn of(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(number) => Self::Integer(number),
            Err(_) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(number),
                _ => Self::Text(Arc::from(text)),
            },
        }
    }

    fn of_json(value: &Json) -> Self {
        match value {
            Json::Null => Self::Missing,
            Json::Number(number) => number
                .as_i64()
                .map(Self::Integer)
                .or_else(|| number.as_f64().map(Self::Number))
                .unwrap_or(Self::Missing),
            Json::String(text) => Self::of(text),
            other => Self::of(&other.to_string()),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Integer(number) => (*number).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => (&**text).into(),
            Self::Missing => Json::Null,
        }
    }

    /// The order of two values that are there.
    fn order(&self, other: &Self) -> Ordering {
        let number = |value: &Self| match value {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Missing => None,
        };
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => left.cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            _ => match (number(self), number(other)) {
                (Some(left), Some(right)) => left.total_cmp(&right),
                (left, right) => right.is_some().cmp(&left.is_some()),
            },
        }
    }
}

impl SortKey {
    fn order(&self, left: &Value, right: &Value) -> Ordering {
        match (matches!(left, Value::Missing), matches!(right, Value::Missing)) {
            (false, false) if self.falls => right.order(left),
            (false, false) => left.order(right),
            (left, right) if self.missing_first => right.cmp(&left),
            (left, right) => left.cmp(&right),
        }
    }
}

fn order_of(keys: &[SortKey], left: &[Value], right: &[Value]) -> Ordering {
    keys.iter()
        .zip(left.iter().zip(right))
        .map(|(key, (left, right))| key.order(left, right))
        .fold(Ordering::Equal, Ordering::then)
}

/// The order that `sort` asks for; ties are always broken the same way.
pub(super) fn order(body: &Map<String, Json>, signal: Signal) -> Result<Order, QueryError> {
    let keys = match body.get("sort") {
        None | Some(Json::Null) => return Ok(Order::Newest),
        Some(Json::Array(keys)) => keys.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut order: Vec<SortKey> = Vec::new();
    for key in keys {
        let (name, how) = match &key {
            Json::String(text) => match text.split_once(':') {
                Some((name, direction)) => (name.to_owned(), direction.into()),
                None => (text.clone(), Json::Null),
            },
            Json::Object(members) => {
                let first = members.iter().next();
                let (name, how) = first.ok_or_else(|| QueryError::invalid("sort", "[sort] is empty"))?;
                (name.clone(), how.clone())
            }
            _ => return Err(QueryError::invalid("sort", "[sort] holds fields")),
        };
        let falls = match how.as_str().or_else(|| how["order"].as_str()).unwrap_or("asc") {
            "asc" => false,
            "desc" => true,
            other => return Err(QueryError::invalid("sort", format!("[{other}] is neither [asc] nor [desc]"))),
        };
        let missing_first = match how["missing"].as_str() {
            None | Some("_last") => false,
            Some("_first") => true,
            Some(_) => return Err(unsupported("[missing] other than [_first] and [_last]")),
        };
        let by = match name.as_str() {
            TIME | "time" => By::Time,
            // These break ties, or are the same for all documents.
            "_doc" | "_shard_doc" | "_score" | "_id" => continue,
            name if name.starts_with('_') => return Err(unsupported(format!("sorting by [{name}]"))),
            name => By::Field(match clauses::field(name, signal) {
                FieldRef::AnyAttribute | FieldRef::ExemplarTrace => {
                    return Err(unsupported(format!("sorting by [{name}]")));
                }
                field => field,
            }),
        };
        if order.len() == MAX_KEYS {
            return Err(QueryError::invalid("sort", format!("[sort] has more than {MAX_KEYS} fields")));
        }
        order.push(SortKey { by, falls, missing_first });
    }
    // Of nanoseconds hardly two are the same: what stands behind the time says nothing more.
    Ok(match order.first() {
        None | Some(SortKey { by: By::Time, falls: true, .. }) => Order::Newest,
        Some(SortKey { by: By::Time, .. }) => Order::By(order.into_iter().take(1).collect()),
        Some(_) => Order::By(order),
    })
}

/// Where the page before ended.
#[derive(Clone, Debug)]
struct After {
    values: Vec<Value>,
    /// The place among documents of the same values.
    cursor: Option<Cursor>,
}

impl After {
    /// Reads the sort values of a hit; of clients that sort by less than we show, only the first.
    fn read(keys: &[SortKey], given: &[Json]) -> Result<Self, QueryError> {
        let wrong =
            || QueryError::invalid("search_after", "[search_after] are not the sort values of an earlier answer");
        if given.len() < keys.len() {
            return Err(wrong());
        }
        let cursor = given.get(keys.len()).and_then(Json::as_str).map(str::parse::<Cursor>);
        let cursor = cursor.transpose().map_err(|_| wrong())?;
        let value = |(key, given): (&SortKey, &Json)| -> Result<Value, QueryError> {
            match (&key.by, cursor) {
                (By::Field(_), _) => Ok(Value::of_json(given)),
                (By::Time, Some(cursor)) => Ok(Value::Integer(cursor.time)),
                (By::Time, None) => {
                    let milliseconds = given.as_i64().or_else(|| given.as_f64().map(|time| time as i64));
                    let start = milliseconds.ok_or_else(wrong)?.saturating_mul(1_000_000);
                    // All documents of the same millisecond are behind us.
                    Ok(Value::Integer(if key.falls { start } else { start.saturating_add(999_999) }))
                }
            }
        };
        Ok(Self { values: keys.iter().zip(given).map(value).collect::<Result<_, _>>()?, cursor })
    }

    /// Whether a document may come behind it; equal ones are told apart when they are numbered.
    fn allows(&self, keys: &[SortKey], values: &[Value]) -> bool {
        match order_of(keys, values, &self.values) {
            Ordering::Greater => true,
            Ordering::Equal => self.cursor.is_some(),
            Ordering::Less => false,
        }
    }

    /// Whether a document of the same values was on an earlier page for sure.
    fn is_before(&self, keys: &[SortKey], values: &[Value], place: (i64, u64)) -> bool {
        let is_earlier = self.cursor.is_some_and(|cursor| place < (cursor.time, cursor.hash));
        is_earlier && order_of(keys, values, &self.values) == Ordering::Equal
    }
}

/// A document that may be on the page.
struct Candidate {
    values: Vec<Value>,
    time: i64,
    hash: u64,
    batch: usize,
    row: usize,
}

fn compare(keys: &[SortKey], left: &Candidate, right: &Candidate) -> Ordering {
    order_of(keys, &left.values, &right.values).then((left.time, left.hash).cmp(&(right.time, right.hash)))
}

/// The first documents so far.
struct First {
    keys: Arc<Vec<SortKey>>,
    after: Arc<Option<After>>,
    signal: Signal,
    /// So many are kept.
    most: usize,
    candidates: Vec<Candidate>,
    /// What is behind these values is not wanted.
    worst: Option<Vec<Value>>,
    batches: Vec<RecordBatch>,
    held: Held,
}

impl First {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let times = batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
        let times = times.as_primitive::<TimestampNanosecondType>();
        let mut columns: Vec<Option<(Vec<i32>, Vec<Value>)>> = Vec::with_capacity(self.keys.len());
        for key in self.keys.iter() {
            columns.push(match &key.by {
                By::Time => None,
                By::Field(field) => {
                    let found = group_keys(field, self.signal, batch)?;
                    Some((found.keys, found.values.iter().map(|text| Value::of(text)).collect()))
                }
            });
        }
        let of_row = |row: usize| -> Vec<Value> {
            let value = |column: &Option<(Vec<i32>, Vec<Value>)>| match column {
                None => Value::Integer(times.value(row)),
                Some((keys, values)) => {
                    usize::try_from(keys[row]).map_or(Value::Missing, |place| values[place].clone())
                }
            };
            columns.iter().map(value).collect()
        };
        let mut wanted = Vec::new();
        let mut keep = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let values = of_row(row);
            let is_wanted = self.after.as_ref().as_ref().is_none_or(|after| after.allows(&self.keys, &values))
                && self.worst.as_ref().is_none_or(|worst| order_of(&self.keys, &values, worst) != Ordering::Greater);
            keep.push(is_wanted);
            if is_wanted {
                wanted.push(values);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let rows = filter_record_batch(batch, &BooleanArray::from(keep))?;
        let found = rows.column_by_name("time").map(|times| times.as_primitive::<TimestampNanosecondType>().clone());
        let found = found.ok_or_else(|| QueryError::internal("column time was not read"))?;
        let number = self.batches.len();
        for (row, (values, hash)) in wanted.into_iter().zip(hashes(self.signal, &rows)?).enumerate() {
            let time = found.value(row);
            if !self.after.as_ref().as_ref().is_some_and(|after| after.is_before(&self.keys, &values, (time, hash))) {
                self.candidates.push(Candidate { values, time, hash, batch: number, row });
            }
        }
        self.batches.push(rows);
        if self.candidates.len() > 2 * self.most + SPARE {
            self.settle()?;
        }
        let bytes: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        self.held.cover(bytes + 160 * self.candidates.len())
    }

    /// Keeps the best, in their order, in one batch.
    fn settle(&mut self) -> Result<(), QueryError> {
        let keys = Arc::clone(&self.keys);
        self.candidates.sort_by(|left, right| compare(&keys, left, right));
        self.candidates.truncate(self.most);
        if self.candidates.len() == self.most {
            self.worst = self.candidates.last().map(|last| last.values.clone());
        }
        if !self.candidates.is_empty() {
            let sources: Vec<&RecordBatch> = self.batches.iter().collect();
            let places: Vec<(usize, usize)> = self.candidates.iter().map(|one| (one.batch, one.row)).collect();
            self.batches = vec![interleave_record_batch(&sources, &places)?];
            for (row, one) in self.candidates.iter_mut().enumerate() {
                (one.batch, one.row) = (0, row);
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<(), QueryError> {
        let number = self.batches.len();
        self.batches.extend(other.batches);
        self.candidates.extend(other.candidates.into_iter().map(|one| Candidate { batch: one.batch + number, ..one }));
        if self.candidates.len() > 2 * self.most + SPARE {
            self.settle()?;
        }
        let bytes: usize = self.batches.iter().map(RecordBatch::get_array_memory_size).sum();
        self.held.cover(bytes + 160 * self.candidates.len())
    }

    /// The page: each document with its sort values, the last of them its place.
    fn finish(mut self, limit: usize) -> Result<Vec<(Document, Vec<Json>)>, QueryError> {
        self.settle()?;
        let Some(batch) = self.batches.first() else { return Ok(Vec::new()) };
        let mut cursors: Vec<Cursor> = Vec::with_capacity(self.candidates.len());
        let mut before: Option<(&Candidate, u32)> = None;
        for one in &self.candidates {
            let ordinal = match before {
                Some((last, ordinal)) if compare(&self.keys, last, one) == Ordering::Equal => ordinal + 1,
                _ => 0,
            };
            before = Some((one, ordinal));
            cursors.push(Cursor { time: one.time, hash: one.hash, ordinal });
        }
        let documents = documents::documents(self.signal, batch, &cursors);
        let is_behind = |one: &Candidate, cursor: &Cursor| match self.after.as_ref() {
            Some(After { values, cursor: Some(last) })
                if order_of(&self.keys, &one.values, values) == Ordering::Equal =>
            {
                (cursor.time, cursor.hash, cursor.ordinal) > (last.time, last.hash, last.ordinal)
            }
            _ => true,
        };
        let all = documents.into_iter().zip(self.candidates.iter().zip(&cursors));
        let page = all.filter(|(_, (one, cursor))| is_behind(one, cursor)).take(limit);
        Ok(page
            .map(|(document, (one, cursor))| {
                let shown = self.keys.iter().zip(&one.values).map(|(key, value)| match (&key.by, value) {
                    (By::Time, Value::Integer(time)) => time.div_euclid(1_000_000).into(),
                    _ => value.json(),
                });
                (document, shown.chain([Json::from(cursor.to_string())]).collect())
            })
            .collect())
    }
}

/// A page of documents with their sort values.
pub(super) struct Page {
    pub(super) documents: Vec<(Document, Vec<Json>)>,
    /// How many match, on all pages.
    pub(super) matched: u64,
}

impl QueryService {
    /// The first documents in this order, those behind the sort values only.
    pub(super) async fn elastic_sorted(
        &self,
        scan: &ScanRequest,
        keys: Vec<SortKey>,
        after: Option<&[Json]>,
        limit: usize,
        control: &Control,
    ) -> Result<Page, QueryError> {
        let after = after.map(|given| After::read(&keys, given)).transpose()?;
        let signal = scan.signal;
        let mut scan = scan.clone();
        let mut matched = None;
        // Documents by time are looked for by their times first: the others need not be decoded.
        if let [SortKey { by: By::Time, .. }] = keys.as_slice() {
            if let Some(After { values, .. }) = &after
                && let [Value::Integer(time)] = values.as_slice()
            {
                matched = Some(scan::count(self.store(), signal, &scan.filter, scan.range, control).await?.matched);
                scan.range.start = scan.range.start.max(*time);
            }
            let (last, found) = self.elastic_last_time(&scan, after.is_some(), limit, control).await?;
            scan.range.end = scan.range.end.min(last.saturating_add(1));
            matched = matched.or(Some(found));
        }
        for column in
            identity_columns(signal).iter().copied().chain(["time"]).chain(keys.iter().flat_map(|key| match &key.by {
                By::Time => Vec::new(),
                By::Field(field) => field.columns(signal),
            }))
        {
            if !scan.columns.contains(&column) {
                scan.columns.push(column);
            }
        }
        let skipped = after.as_ref().and_then(|after| after.cursor).map_or(0, |cursor| cursor.ordinal as usize + 1);
        let (keys, after, nothing) = (Arc::new(keys), Arc::new(after), control.clone());
        let first = move || First {
            keys: Arc::clone(&keys),
            after: Arc::clone(&after),
            signal,
            // Documents that cannot be told from the last one of the page before are read again.
            most: limit + skipped,
            candidates: Vec::new(),
            worst: None,
            batches: Vec::new(),
            held: nothing.held(),
        };
        let mut all = first();
        let each = |first: &mut First, batch: &RecordBatch| first.add(batch);
        let (states, coverage) = scan::for_each(self.store(), &scan, control, first, each).await?;
        if let Some(part) = coverage.unreadable_parts.first() {
            return Err(QueryError::internal(format!("part {part} could not be read")));
        }
        let documents = scan::blocking(move || {
            for state in states {
                all.merge(state)?;
            }
            all.finish(limit)
        })
        .await?;
        Ok(Page { documents, matched: matched.unwrap_or(coverage.matched) })
    }

    /// The time at which there are so many documents, and how many there are in all; those of the very first time do not count
    /// when some of them may have been on earlier pages.
    async fn elastic_last_time(
        &self,
        scan: &ScanRequest,
        is_continued: bool,
        limit: usize,
        control: &Control,
    ) -> Result<(i64, u64), QueryError> {
        let first = scan.range.start;
        let each = move |oldest: &mut BinaryHeap<i64>, batch: &RecordBatch| {
            let times = batch.column_by_name("time").ok_or_else(|| QueryError::internal("column time was not read"))?;
            for time in times.as_primitive::<TimestampNanosecondType>().values() {
                let is_full = oldest.len() == limit;
                if (is_continued && *time == first) || (is_full && oldest.peek().is_some_and(|last| last <= time)) {
                    continue;
                }
                oldest.push(*time);
                if is_full {
                    oldest.pop();
                }
            }
            Ok(())
        };
        let times = ScanRequest { columns: vec!["time"], ..scan.clone() };
        let (states, coverage) = scan::for_each(self.store(), &times, control, BinaryHeap::new, each).await?;
        let mut oldest: Vec<i64> = states.into_iter().flatten().collect();
        oldest.sort_unstable();
        let last = oldest.get(limit.saturating_sub(1)).or(oldest.last()).copied().unwrap_or(first);
        Ok((last, coverage.matched))
    }

    /// The newest documents, those behind the sort values only.
    pub(super) async fn elastic_newest(
        &self,
        scan: &ScanRequest,
        after: Option<&[Json]>,
        limit: usize,
        counting: Counting,
        control: &Control,
    ) -> Result<(Page, bool), QueryError> {
        let mut scan = scan.clone();
        let wrong =
            || QueryError::invalid("search_after", "[search_after] are not the sort values of an earlier answer");
        let mut before = None;
        match after {
            None => {}
            Some([_, Json::String(cursor), ..]) => before = Some(cursor.parse().map_err(|_| wrong())?),
            Some(given) => {
                let milliseconds = given.first().and_then(|time| time.as_i64().or(time.as_f64().map(|t| t as i64)));
                let milliseconds = milliseconds.ok_or_else(wrong)?;
                scan.range.end = scan.range.end.min(milliseconds.saturating_mul(1_000_000));
            }
        }
        let found = scan::newest(self.store(), &scan, limit, before, counting, control).await?;
        if let Some(part) = found.unreadable_parts.first() {
            return Err(QueryError::internal(format!("part {part} could not be read")));
        }
        let documents = documents::documents(scan.signal, &found.rows, &found.cursors).into_iter();
        let documents = documents.zip(&found.cursors).map(|(document, cursor)| {
            (document, vec![cursor.time.div_euclid(1_000_000).into(), cursor.to_string().into()])
        });
        Ok((Page { documents: documents.collect(), matched: found.matched }, found.matched_is_exact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_order_of_elasticsearch() {
        let key = |falls: bool, missing_first: bool| SortKey { by: By::Time, falls, missing_first };
        let values = ["2", "10", "1.5", "b", "a"].map(Value::of);
        let order = |key: &SortKey| {
            let mut all: Vec<Value> = values.iter().cloned().chain([Value::Missing]).collect();
            all.sort_by(|left, right| key.order(left, right));
            all.iter().map(Value::json).collect::<Vec<_>>()
        };
        let expect = |found: Vec<Json>, text: &str| assert_eq!(Json::Array(found).to_string(), text);
        expect(order(&key(false, false)), r#"[1.5,2,10,"a","b",null]"#);
        expect(order(&key(true, false)), r#"["b","a",10,2,1.5,null]"#);
        expect(order(&key(false, true)), r#"[null,1.5,2,10,"a","b"]"#);
    }
}
