//! Searches as Elasticsearch's clients send them, over logs and spans.
//!
//! Documents are logs; an index whose name begins with `spans` or `traces` holds the spans. A query becomes the tree that searches use, a range
//! of `@timestamp` the range of the scan, and aggregations are gathered while the matching rows are read. What is not supported is
//! an error.

mod aggregate;
mod clauses;
mod documents;
mod lucene;
mod time;

use crate::language::{Expr, FieldRef};
use crate::scan::{self, Counting, Cursor, ScanRequest};
use crate::{ErrorCode, QueryError, QueryService, logs, spans};
use aggregate::{Aggregation, Tree};
use clauses::Clauses;
use documents::Source;
use mangru_store::{ELASTIC_INDEX, Signal, TimeRange};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Instant;

/// The name of the field with a document's time.
pub(crate) const TIME: &str = "@timestamp";
/// Documents of an answer when nothing is said.
const SIZE: usize = 10;

/// What indices hold.
#[derive(Clone, Debug)]
pub(crate) struct Indices {
    /// The table.
    pub(crate) signal: Signal,
    /// The names, with `*` for any text; none is all.
    names: Vec<String>,
}

impl Indices {
    /// Reads names separated by commas.
    pub(crate) fn of(text: &str) -> Result<Self, QueryError> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let is_of_spans = |name: &&str| name.starts_with("spans") || name.starts_with("traces");
        let signal = match names.iter().filter(|name| is_of_spans(name)).count() {
            0 => Signal::Logs,
            count if count == names.len() => Signal::Spans,
            _ => return Err(QueryError::invalid("index", "an answer is of logs or of spans, not of both")),
        };
        let is_all =
            |name: &&str| matches!(*name, "_all" | "*" | "logs" | "logs*" | "spans" | "spans*" | "traces" | "traces*");
        let names = if names.iter().any(is_all) { Vec::new() } else { names };
        Ok(Self { signal, names: names.into_iter().map(str::to_owned).collect() })
    }

    /// The rows of these indices: documents that came over Elasticsearch's API have the name of theirs.
    fn filter(&self) -> Result<Expr, QueryError> {
        if self.names.is_empty() || self.signal == Signal::Spans {
            return Ok(Expr::All);
        }
        let of = |name: &String| {
            let field = FieldRef::Resource(ELASTIC_INDEX.to_owned());
            Ok(Expr::Field(field, clauses::wildcard(name, false)?))
        };
        Ok(Expr::Or(self.names.iter().map(of).collect::<Result<_, QueryError>>()?))
    }
}

/// How documents are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Newest,
    Oldest,
}

/// A search.
pub(crate) struct Search {
    indices: Indices,
    filter: Expr,
    range: TimeRange,
    size: usize,
    from: usize,
    order: Order,
    after: Option<Vec<Json>>,
    counts_all: bool,
    aggregations: Vec<Aggregation>,
    source: Source,
}

fn unsupported(what: impl std::fmt::Display) -> QueryError {
    QueryError::new(ErrorCode::Unsupported, format!("{what} is not supported"))
}

fn size(body: &Map<String, Json>, name: &'static str, usual: usize) -> Result<usize, QueryError> {
    let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(usual) };
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| QueryError::invalid(name, format!("[{name}] is a number that is not negative")))
}

/// The order that `sort` asks for; ties are always broken the same way.
fn order(body: &Map<String, Json>) -> Result<Order, QueryError> {
    let keys = match body.get("sort") {
        None | Some(Json::Null) => return Ok(Order::Newest),
        Some(Json::Array(keys)) => keys.clone(),
        Some(one) => vec![one.clone()],
    };
    let mut order = None;
    for key in keys {
        let (name, direction) = match &key {
            Json::String(text) => match text.split_once(':') {
                Some((name, direction)) => (name.to_owned(), direction.to_owned()),
                None => (text.clone(), "asc".to_owned()),
            },
            Json::Object(members) => {
                let (name, how) =
                    members.iter().next().ok_or_else(|| QueryError::invalid("sort", "[sort] is empty"))?;
                let direction = how.as_str().or_else(|| how["order"].as_str()).unwrap_or("asc");
                (name.clone(), direction.to_owned())
            }
            _ => return Err(QueryError::invalid("sort", "[sort] holds fields")),
        };
        match name.as_str() {
            TIME | "time" if order.is_none() => {
                order = Some(if direction == "desc" { Order::Newest } else { Order::Oldest });
            }
            "_doc" | "_shard_doc" | "_score" | "_id" | TIME | "time" => {}
            _ if order.is_some() => {}
            other => return Err(unsupported(format!("sorting by [{other}] before {TIME}"))),
        }
    }
    Ok(order.unwrap_or(Order::Newest))
}

impl Search {
    /// Reads the body of a search.
    pub(crate) fn read(indices: Indices, body: &Map<String, Json>) -> Result<Self, QueryError> {
        const KNOWN: [&str; 25] = [
            "query",
            "size",
            "from",
            "sort",
            "search_after",
            "track_total_hits",
            "aggs",
            "aggregations",
            "_source",
            "fields",
            "docvalue_fields",
            "stored_fields",
            "script_fields",
            "highlight",
            "timeout",
            "track_scores",
            "version",
            "explain",
            "min_score",
            "profile",
            "seq_no_primary_term",
            "runtime_mappings",
            "terminate_after",
            "stats",
            "indices_boost",
        ];
        if let Some(name) = body.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(unsupported(format!("[{name}] of a search")));
        }
        for name in ["script_fields", "runtime_mappings"] {
            if body.get(name).and_then(Json::as_object).is_some_and(|fields| !fields.is_empty()) {
                return Err(unsupported(format!("[{name}]")));
            }
        }
        let mut clauses = Clauses::new(indices.signal);
        let asked = match body.get("query") {
            None | Some(Json::Null) => Expr::All,
            Some(query) => clauses.required(query)?,
        };
        let aggregations = body.get("aggs").or_else(|| body.get("aggregations"));
        let aggregations = aggregations.and_then(Json::as_object).cloned().unwrap_or_default();
        let after = match body.get("search_after") {
            None | Some(Json::Null) => None,
            Some(Json::Array(values)) if !values.is_empty() => Some(values.clone()),
            Some(_) => return Err(QueryError::invalid("search_after", "[search_after] is a list of sort values")),
        };
        Ok(Self {
            filter: indices.filter()?.and(asked),
            range: clauses.range,
            size: size(body, "size", SIZE)?,
            from: size(body, "from", 0)?,
            order: order(body)?,
            after,
            counts_all: body.get("track_total_hits") != Some(&Json::Bool(false)),
            aggregations: Aggregation::read_all(&aggregations, indices.signal, 0)?,
            source: Source::read(body)?,
            indices,
        })
    }

    /// Continues behind the document with these sort values.
    fn continued(&mut self) -> Result<Option<Cursor>, QueryError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let wrong =
            || QueryError::invalid("search_after", "[search_after] are not the sort values of an earlier answer");
        let exact = after.get(1).and_then(Json::as_str);
        let milliseconds = || after[0].as_i64().or_else(|| after[0].as_f64().map(|time| time as i64)).ok_or_else(wrong);
        match (self.order, exact) {
            (Order::Newest, Some(cursor)) => cursor.parse().map(Some).map_err(|_| wrong()),
            (Order::Newest, None) => {
                self.range.end = self.range.end.min(milliseconds()?.saturating_mul(1_000_000));
                Ok(None)
            }
            (Order::Oldest, Some(cursor)) => {
                let cursor: Cursor = cursor.parse().map_err(|_| wrong())?;
                self.range.start = self.range.start.max(cursor.time.saturating_add(1));
                Ok(None)
            }
            (Order::Oldest, None) => {
                let next = milliseconds()?.saturating_add(1).saturating_mul(1_000_000);
                self.range.start = self.range.start.max(next);
                Ok(None)
            }
        }
    }
}

/// An answer without documents.
fn empty() -> Json {
    json!({
        "took": 0, "timed_out": false, "_shards": { "total": 1, "successful": 1, "skipped": 0, "failed": 0 },
        "hits": { "total": { "value": 0, "relation": "eq" }, "max_score": null, "hits": [] }, "status": 200,
    })
}

impl QueryService {
    /// Answers a search.
    pub(crate) async fn elastic_search(&self, mut search: Search) -> Result<Json, QueryError> {
        let started = Instant::now();
        let mut answer = empty();
        if search.size > 0 {
            let (hits, total, is_exact) = self.elastic_hits(&mut search).await?;
            answer["hits"]["hits"] = hits.into();
            answer["hits"]["total"] = json!({ "value": total, "relation": if is_exact { "eq" } else { "gte" } });
        }
        if search.size == 0 || !search.aggregations.is_empty() {
            let (aggregations, matched) = self.elastic_aggregations(&search).await?;
            answer["hits"]["total"] = json!({ "value": matched, "relation": "eq" });
            if let Some(aggregations) = aggregations {
                answer["aggregations"] = aggregations;
            }
        }
        if !search.counts_all
            && let Some(hits) = answer["hits"].as_object_mut()
        {
            hits.remove("total");
        }
        answer["took"] = (started.elapsed().as_millis() as u64).into();
        Ok(answer)
    }

    async fn elastic_hits(&self, search: &mut Search) -> Result<(Vec<Json>, u64, bool), QueryError> {
        let limit = self.checked_limit(search.size.saturating_add(search.from).max(1))?;
        let before = search.continued()?;
        let signal = search.indices.signal;
        let columns = if signal == Signal::Spans { spans::columns() } else { logs::columns() };
        let scan = ScanRequest { signal, filter: search.filter.clone(), range: search.range, columns };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let counting = if search.counts_all { Counting::All } else { Counting::Page };
        let found = match search.order {
            Order::Newest => scan::newest(self.store(), &scan, limit, before, counting, &control).await?,
            Order::Oldest => self.elastic_oldest(&scan, limit, &control).await?,
        };
        if let Some(part) = found.unreadable_parts.first() {
            return Err(QueryError::internal(format!("part {part} could not be read")));
        }
        let mut rows = documents::documents(signal, &found.rows, &found.cursors);
        if search.order == Order::Oldest {
            rows.reverse();
        }
        let hits = rows.into_iter().skip(search.from).take(search.size);
        let hits = hits.map(|document| document.hit(signal, &search.source)).collect();
        Ok((hits, found.matched, found.matched_is_exact))
    }

    /// The oldest rows, newest first: the time up to which there are enough is looked for from the counts by time.
    async fn elastic_oldest(
        &self,
        scan: &ScanRequest,
        limit: usize,
        control: &scan::Control,
    ) -> Result<scan::Newest, QueryError> {
        let init = std::collections::BinaryHeap::<i64>::new;
        let each = move |oldest: &mut std::collections::BinaryHeap<i64>, batch: &arrow::record_batch::RecordBatch| {
            let cells = crate::cells::Cells::new(batch);
            for row in 0..batch.num_rows() {
                oldest.push(cells.integer("time", row).unwrap_or_default());
                if oldest.len() > limit {
                    oldest.pop();
                }
            }
            Ok(())
        };
        let times = ScanRequest { columns: vec!["time"], ..scan.clone() };
        let (states, coverage) = scan::for_each(self.store(), &times, control, init, each).await?;
        let mut oldest: Vec<i64> = states.into_iter().flatten().collect();
        oldest.sort_unstable();
        let last = oldest.get(limit.saturating_sub(1)).or(oldest.last()).copied().unwrap_or(scan.range.start);
        // All rows of the last time come too: they are cut at its end, as they are ordered.
        let same = oldest.iter().filter(|time| **time <= last).count();
        let range = TimeRange { start: scan.range.start, end: last.saturating_add(1) };
        let most = self.settings().max_limit.max(limit);
        let scan = ScanRequest { range, ..scan.clone() };
        let mut found = scan::newest(self.store(), &scan, same.clamp(1, most), None, Counting::Page, control).await?;
        found.matched = coverage.matched;
        found.matched_is_exact = coverage.unreadable_parts.is_empty();
        found.unreadable_parts = coverage.unreadable_parts;
        Ok(found)
    }

    /// The aggregations, and how many documents match.
    async fn elastic_aggregations(&self, search: &Search) -> Result<(Option<Json>, u64), QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let signal = search.indices.signal;
        if search.aggregations.is_empty() {
            let found = scan::count(self.store(), signal, &search.filter, search.range, &control).await?;
            return Ok((None, found.matched));
        }
        let aggregations = Arc::new(search.aggregations.clone());
        let mut columns = vec!["time"];
        for aggregation in aggregations.iter() {
            aggregation.columns(signal, &mut columns);
        }
        let scan = ScanRequest { signal, filter: search.filter.clone(), range: search.range, columns };
        let (nothing, roots) = (control.clone(), Arc::clone(&aggregations));
        let init = move || Tree::new(&roots, nothing.held());
        let roots = Arc::clone(&aggregations);
        let each = move |tree: &mut Tree, batch: &arrow::record_batch::RecordBatch| tree.add(&roots, signal, batch);
        let (states, coverage) = scan::for_each(self.store(), &scan, &control, init, each).await?;
        if let Some(part) = coverage.unreadable_parts.first() {
            return Err(QueryError::internal(format!("part {part} could not be read")));
        }
        let answer = scan::blocking(move || Tree::finish(&aggregations, states)).await?;
        Ok((Some(answer), coverage.matched))
    }

    /// The fields of some indices with their types in Elasticsearch: columns, and attributes as their newest values tell.
    pub(crate) async fn elastic_fields(&self, indices: &Indices) -> Result<Vec<(String, &'static str)>, QueryError> {
        documents::fields(self, indices.signal).await
    }

    /// The names of the indices that documents were written to.
    pub(crate) async fn elastic_indices(&self) -> Result<Vec<String>, QueryError> {
        let request = crate::FieldValuesRequest {
            signal: Signal::Logs,
            name: format!("resource.{ELASTIC_INDEX}"),
            query: format!("resource.{ELASTIC_INDEX}:*"),
            prefix: String::new(),
            range: TimeRange::ALL,
            limit: 1_000.min(self.settings().max_limit),
        };
        let (values, _) = self.field_values(&request).await?;
        let mut names: Vec<String> = values.into_iter().map(|value| value.value).collect();
        names.extend(["logs".to_owned(), "spans".to_owned()]);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}
