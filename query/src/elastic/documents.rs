//! Rows as documents: what of them Elasticsearch's clients read.

use super::time::shown;
use super::{TIME, unsupported};
use crate::logs::{self, LogRow};
use crate::scan::Cursor;
use crate::spans::{self, SpanRow};
use crate::{QueryError, QueryService, RowsRequest};
use arrow::record_batch::RecordBatch;
use mangru_store::{ELASTIC_ID, ELASTIC_INDEX, Signal, TimeRange};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Rows whose values tell the types of fields.
const SAMPLE: usize = 500;

/// A document: its fields by their names with dots.
pub(super) struct Document {
    id: String,
    index: String,
    fields: Map<String, Json>,
}

/// Which fields a hit has.
#[derive(Clone, Debug)]
pub(super) struct Source {
    is_wanted: bool,
    includes: Vec<String>,
    excludes: Vec<String>,
    /// Fields that are given apart from the source, as lists.
    fields: Vec<String>,
}

impl Source {
    pub(super) fn read(body: &Map<String, Json>) -> Result<Self, QueryError> {
        let names = |value: &Json| -> Vec<String> {
            let of = |item: &Json| item.as_str().or_else(|| item["field"].as_str()).map(str::to_owned);
            match value {
                Json::Array(items) => items.iter().filter_map(of).collect(),
                other => of(other).into_iter().collect(),
            }
        };
        let mut source = Self { is_wanted: true, includes: Vec::new(), excludes: Vec::new(), fields: Vec::new() };
        match body.get("_source") {
            None | Some(Json::Null | Json::Bool(true)) => {}
            Some(Json::Bool(false)) => source.is_wanted = false,
            Some(Json::Object(both)) => {
                source.includes = both.get("includes").or_else(|| both.get("include")).map(names).unwrap_or_default();
                source.excludes = both.get("excludes").or_else(|| both.get("exclude")).map(names).unwrap_or_default();
            }
            Some(list @ (Json::String(_) | Json::Array(_))) => source.includes = names(list),
            Some(_) => return Err(unsupported("[_source] of this form")),
        }
        for name in ["fields", "docvalue_fields", "stored_fields"] {
            source.fields.extend(body.get(name).map(names).unwrap_or_default());
        }
        source.fields.retain(|name| !matches!(name.as_str(), "_none_" | "_source"));
        Ok(source)
    }
}

/// Whether a name fits a pattern with `*`, or lies below it.
fn fits(name: &str, pattern: &str) -> bool {
    let below = name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.'));
    match pattern.split_once('*') {
        None => name == pattern || below,
        Some((head, tail)) if !tail.contains('*') => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        Some(_) => {
            let expression = pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
            regex::Regex::new(&format!("^{expression}$")).is_ok_and(|regex| regex.is_match(name))
        }
    }
}

impl Document {
    fn of_log(row: LogRow) -> Self {
        let time: i64 = row.time_unix_nano.parse().unwrap_or_default();
        let mut fields = row.attributes;
        fields.remove(ELASTIC_ID);
        let mut resource = row.resource_attributes;
        let index = match resource.remove(ELASTIC_INDEX) {
            Some(Json::String(index)) => index,
            _ => "logs".to_owned(),
        };
        fields.extend(resource);
        fields.insert(TIME.to_owned(), shown(time).into());
        fields.insert("message".to_owned(), row.body);
        fields.insert("service.name".to_owned(), row.service_name.into());
        let level = if row.severity_text.is_empty() { level(row.severity_number) } else { row.severity_text };
        for (name, text) in [
            ("log.level", level),
            ("trace.id", row.trace_id),
            ("span.id", row.span_id),
            ("correlation_id", row.correlation_id),
            ("scope.name", row.scope_name),
            ("event.name", row.event_name),
        ] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), text.into());
            }
        }
        Self { id: row.row, index, fields }
    }

    fn of_span(row: SpanRow, id: String) -> Self {
        let time: i64 = row.time_unix_nano.parse().unwrap_or_default();
        let mut fields = row.attributes;
        fields.extend(row.resource_attributes);
        fields.insert(TIME.to_owned(), shown(time).into());
        fields.insert("duration".to_owned(), row.duration_ns.into());
        for (name, text) in [
            ("trace.id", row.trace_id),
            ("span.id", row.span_id),
            ("parent.id", row.parent_span_id),
            ("name", row.name),
            ("kind", row.kind_text),
            ("status", ["unset", "ok", "error"].get(row.status_code as usize).copied().unwrap_or_default().to_owned()),
            ("status_message", row.status_message),
            ("service.name", row.service_name),
            ("scope.name", row.scope_name),
        ] {
            if !text.is_empty() {
                fields.insert(name.to_owned(), text.into());
            }
        }
        Self { id, index: "spans".to_owned(), fields }
    }

    /// As a hit of an answer. Its sort values lead to the next page.
    pub(super) fn hit(self, sort: &[Json], source: &Source) -> Json {
        let is_included = |name: &str| {
            (source.includes.is_empty() || source.includes.iter().any(|pattern| fits(name, pattern)))
                && !source.excludes.iter().any(|pattern| fits(name, pattern))
        };
        let mut hit = json!({
            "_index": self.index,
            "_id": self.id,
            "_score": null,
            "sort": sort,
        });
        if !source.fields.is_empty() {
            let wanted = self.fields.iter().filter(|(name, _)| source.fields.iter().any(|pattern| fits(name, pattern)));
            let lists = wanted.map(|(name, value)| {
                let list = if value.is_array() { value.clone() } else { json!([value]) };
                (name.clone(), list)
            });
            hit["fields"] = Json::Object(lists.collect());
        }
        if source.is_wanted {
            let fields = self.fields.into_iter().filter(|(name, _)| is_included(name));
            hit["_source"] = Json::Object(fields.collect());
        }
        hit
    }
}

fn level(number: i32) -> String {
    crate::language::severity_name(i64::from(number)).unwrap_or_default().to_owned()
}

/// The rows of a batch as documents, in their order.
pub(super) fn documents(signal: Signal, batch: &RecordBatch, cursors: &[Cursor]) -> Vec<Document> {
    if signal == Signal::Spans {
        let rows = spans::rows(batch).into_iter().zip(cursors);
        return rows.map(|(row, cursor)| Document::of_span(row, cursor.to_string())).collect();
    }
    logs::rows(batch, cursors).into_iter().map(Document::of_log).collect()
}

/// The type of a value in Elasticsearch.
fn kind(value: &Json) -> &'static str {
    match value {
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "double",
        Json::Number(_) => "long",
        _ => "keyword",
    }
}

/// The fields of a table with their types.
pub(super) async fn fields(service: &QueryService, signal: Signal) -> Result<Vec<(String, &'static str)>, QueryError> {
    let mut all: BTreeMap<String, &'static str> = BTreeMap::new();
    let (known, _) = service.fields(signal, TimeRange::ALL).await?;
    for field in known.into_iter().filter(|field| field.kind != "column") {
        let name = field.name.strip_prefix("resource.").filter(|_| field.kind == "resource").unwrap_or(&field.name);
        if ![ELASTIC_INDEX, ELASTIC_ID].contains(&name) {
            all.insert(name.to_owned(), "keyword");
        }
    }
    let limit = SAMPLE.min(service.settings().max_limit);
    let request = RowsRequest { query: String::new(), range: TimeRange::ALL, limit, cursor: None };
    let columns = if signal == Signal::Spans { spans::columns() } else { logs::columns() };
    let page = service.page(signal, &request, columns).await?;
    for document in documents(signal, &page.batch, &page.cursors) {
        for (name, value) in document.fields {
            let found = kind(&value);
            let known = all.entry(name).or_insert(found);
            // A field with numbers of both kinds is of doubles, one with texts too of texts.
            *known = match (*known, found) {
                ("keyword", "long" | "double" | "boolean") => found,
                ("long", "double") => "double",
                (known, _) => known,
            };
        }
    }
    all.insert(TIME.to_owned(), "date");
    if signal == Signal::Logs {
        all.insert("message".to_owned(), "text");
        all.insert("log.level".to_owned(), "keyword");
    } else {
        all.insert("duration".to_owned(), "long");
    }
    Ok(all.into_iter().collect())
}
