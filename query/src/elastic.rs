//! Searches as Elasticsearch's clients send them, over logs and spans.
//!
//! Documents are logs; an index whose name begins with `spans` or `traces` holds the spans. A query becomes the tree that searches use, a range
//! of `@timestamp` the range of the scan, and aggregations are gathered while the matching rows are read. What is not supported is
//! an error.

mod aggregate;
mod clauses;
mod documents;
mod lucene;
mod sorted;
mod time;

use crate::language::{Expr, FieldRef};
use crate::scan::{self, Counting, ScanRequest};
use crate::{ErrorCode, QueryError, QueryService, logs, spans};
use aggregate::{Aggregation, Tree};
use clauses::Clauses;
use documents::Source;
use mangru_store::{ELASTIC_INDEX, Signal, TimeRange};
use serde_json::{Map, Value as Json, json};
use sorted::Order;
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
            order: sorted::order(body, indices.signal)?,
            after,
            counts_all: body.get("track_total_hits") != Some(&Json::Bool(false)),
            aggregations: Aggregation::read_all(&aggregations, indices.signal, 0)?,
            source: Source::read(body)?,
            indices,
        })
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
    pub(crate) async fn elastic_search(&self, search: Search) -> Result<Json, QueryError> {
        let started = Instant::now();
        let mut answer = empty();
        if search.size > 0 {
            let (hits, total, is_exact) = self.elastic_hits(&search).await?;
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

    async fn elastic_hits(&self, search: &Search) -> Result<(Vec<Json>, u64, bool), QueryError> {
        let limit = self.checked_limit(search.size.saturating_add(search.from).max(1))?;
        let signal = search.indices.signal;
        let columns = if signal == Signal::Spans { spans::columns() } else { logs::columns() };
        let scan = ScanRequest { signal, filter: search.filter.clone(), range: search.range, columns };
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let after = search.after.as_deref();
        let (page, is_exact) = match &search.order {
            Order::Newest => {
                let counting = if search.counts_all { Counting::All } else { Counting::Page };
                self.elastic_newest(&scan, after, limit, counting, &control).await?
            }
            Order::By(keys) => (self.elastic_sorted(&scan, keys.clone(), after, limit, &control).await?, true),
        };
        let hits = page.documents.into_iter().skip(search.from).take(search.size);
        let hits = hits.map(|(document, sort)| document.hit(&sort, &search.source)).collect();
        Ok((hits, page.matched, is_exact))
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
