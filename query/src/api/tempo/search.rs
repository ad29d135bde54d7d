//! Searches for traces: by TraceQL, or by tags and durations as older clients send them.

use super::{Fault, Pairs, Service, number, range};
use crate::api::parameters::one;
use crate::logql::logfmt_pairs;
use crate::scan::{self, ScanRequest};
use crate::spans::{self, SpanRow};
use crate::traceql::{self, TraceQl};
use crate::traces::{of_traces, places_by_row};
use crate::{QueryError, QueryService, TraceOrder, TraceSummary, TracesRequest, parse_duration};
use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use axum::Json;
use axum::extract::{Query, State};
use mangru_store::{Signal, TimeRange};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Spans of one trace that are shown at most.
const MAX_SPANS_OF_TRACE: usize = 100;
/// Traces of one look, when not all that are found are wanted.
const TRACES_OF_A_LOOK: usize = 200;
/// Traces that are looked at for one answer.
const MAX_TRACES: usize = 20_000;

/// A text in quotes, as TraceQL reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A question of the older form, by tags in logfmt and the durations of traces, in TraceQL.
fn of_tags(pairs: &[(String, String)]) -> Result<String, QueryError> {
    let mut conditions = Vec::new();
    let tags = logfmt_pairs(one(pairs, "tags").unwrap_or_default());
    for (key, value) in tags.map_err(|why| QueryError::invalid("tags", format!("tags are not logfmt: {why}")))? {
        conditions.push(match key.as_str() {
            "name" | "root.name" => format!("{} = {}", if key == "name" { "name" } else { "rootName" }, quoted(&value)),
            "root.service.name" => format!("rootServiceName = {}", quoted(&value)),
            "status" | "kind" => format!("{key} = {value}"),
            "error" if value == "true" => "status = error".to_owned(),
            _ => format!(".{} = {}", quoted(&key), quoted(&value)),
        });
    }
    for (name, operator) in [("minDuration", ">="), ("maxDuration", "<=")] {
        if let Some(duration) = one(pairs, name) {
            let parsed = parse_duration(duration);
            let length = parsed
                .ok_or_else(|| QueryError::invalid(name, format!("`{duration}` is not a duration such as 100ms")))?;
            conditions.push(format!("traceDuration {operator} {length}ns"));
        }
    }
    Ok(format!("{{ {} }}", conditions.join(" && ")))
}

/// A value in the form of OTLP's JSON.
fn any_value(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(number) if number.is_f64() => json!({ "doubleValue": number }),
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

/// What was selected of a span.
fn selected(query: &TraceQl, row: &SpanRow) -> Vec<Value> {
    let of = |name: &str| -> Option<Value> {
        let key = name.trim_start_matches('.');
        match key.strip_prefix("span:").unwrap_or(key) {
            "name" => Some(row.name.as_str().into()),
            "status" => ["unset", "ok", "error"].get(row.status_code as usize).map(|name| Value::from(*name)),
            "kind" => Some(row.kind_text.as_str().into()),
            "duration" => Some(row.duration_ns.into()),
            "statusMessage" => Some(row.status_message.as_str().into()),
            _ => {
                let plain = key.trim_start_matches("span.").trim_start_matches("resource.").replace('"', "");
                let own = row.attributes.get(&plain).filter(|_| !key.starts_with("resource."));
                own.or_else(|| row.resource_attributes.get(&plain).filter(|_| !key.starts_with("span."))).cloned()
            }
        }
    };
    let fields = query.selected.iter().filter_map(|(name, _)| Some((name, of(name)?)));
    fields
        .map(|(name, value)| {
            let key = name.trim_start_matches("span.").trim_start_matches("resource.").trim_start_matches('.');
            json!({ "key": key.replace('"', ""), "value": any_value(&value) })
        })
        .collect()
}

pub(super) async fn search(State(service): Service, Query(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let text = match one(&pairs, "q") {
        Some(text) => text.to_owned(),
        None => of_tags(&pairs)?,
    };
    let query = traceql::parse(&text)?;
    if query.metrics.is_some() {
        return Err(QueryError::invalid("q", "a query for metrics belongs to /api/metrics/query_range").into());
    }
    let limit = service.checked_limit(number(&pairs, "limit", 20)?)?;
    let per_trace = number(&pairs, "spss", 3)?;
    if per_trace > MAX_SPANS_OF_TRACE {
        let message = format!("spans per span set are {per_trace}, allowed are 1 to {MAX_SPANS_OF_TRACE}");
        return Err(QueryError::invalid("spss", message).into());
    }
    let range = range(&pairs)?;
    let (traces, inspected) = found(&service, &query, range, limit).await?;
    let spans = matched(&service, &query, range, &traces, per_trace).await?;
    let shown: Vec<Value> = traces.iter().map(|trace| summary(&query, trace, &spans)).collect();
    Ok(Json(json!({
        "traces": shown,
        "metrics": { "inspectedTraces": inspected, "completedJobs": 1, "totalJobs": 1 },
    })))
}

/// The newest traces that pass all of a query, and how many were looked at.
async fn found(
    service: &QueryService,
    query: &TraceQl,
    range: TimeRange,
    limit: usize,
) -> Result<(Vec<TraceSummary>, u64), QueryError> {
    let is_wanted = |trace: &TraceSummary| {
        let count = query.count.is_none_or(|(compared, count)| compared.holds(trace.matched_spans as f64, count));
        count && query.of_trace.iter().all(|test| test.passes(trace))
    };
    let passes_all = query.count.is_none() && query.of_trace.is_empty();
    let of_a_look = if passes_all { limit } else { limit.max(TRACES_OF_A_LOOK).min(service.settings().max_limit) };
    let mut request =
        TracesRequest { query: String::new(), range, limit: of_a_look, order: TraceOrder::Newest, cursor: None };
    let (mut traces, mut inspected, mut looked_at) = (Vec::new(), 0, 0);
    let (control, _guard) = service.control();
    loop {
        let page = service.traces_by(&query.structure, &request).await?;
        inspected += page.coverage.matched.max(page.rows.len() as u64);
        looked_at += page.rows.len();
        traces.extend(page.rows.into_iter().filter(is_wanted));
        request.cursor = page.cursor;
        if traces.len() >= limit || request.cursor.is_none() || passes_all {
            traces.truncate(limit);
            return Ok((traces, inspected));
        }
        if looked_at >= MAX_TRACES {
            let message = format!(
                "{} traces of {looked_at} that were looked at pass, {limit} are asked for: take a shorter time range, a \
                 smaller limit or more conditions",
                traces.len()
            );
            return Err(QueryError::new(crate::ErrorCode::ResourceExhausted, message));
        }
        control.check()?;
    }
}

/// Spans of each trace that match, the earliest of them; of sets that stand in a relation those of the last one.
async fn matched(
    service: &QueryService,
    query: &TraceQl,
    range: TimeRange,
    traces: &[TraceSummary],
    per_trace: usize,
) -> Result<BTreeMap<String, Vec<SpanRow>>, QueryError> {
    type Earliest = BTreeMap<[u8; 16], Vec<(i64, SpanRow)>>;
    if traces.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = traces.iter().map(|trace| trace.trace_id.clone()).collect();
    let filter = query.structure.last().clone().and(of_traces(&ids));
    let only = match query.single() {
        Some(_) => None,
        None => Some(service.spans_by_structure(&query.structure, range, ids).await?),
    };
    let scan = ScanRequest { signal: Signal::Spans, filter, range, columns: spans::columns() };
    let each = move |earliest: &mut Earliest, batch: &RecordBatch| {
        let missing = || QueryError::internal("time and trace id were not read");
        let times = batch.column_by_name("time").ok_or_else(missing)?.as_primitive::<TimestampNanosecondType>().clone();
        let traces = batch.column_by_name("trace_id").ok_or_else(missing)?.as_fixed_size_binary().clone();
        let id = |row: usize| <[u8; 16]>::try_from(traces.value(row)).unwrap_or_default();
        let last = |earliest: &Earliest, row: usize| {
            earliest.get(&id(row)).filter(|known| known.len() >= per_trace).and_then(|known| Some(known.last()?.0))
        };
        let may_be_shown = |row: usize| last(earliest, row).is_none_or(|last| times.value(row) < last);
        let places = only.as_ref().map(|only| (only, places_by_row(batch)));
        let is_found = |row: usize| {
            places.as_ref().is_none_or(|(only, places)| places.get(&row).is_some_and(|place| only.contains(place)))
        };
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_found(row) && may_be_shown(row))).collect();
        let places: Vec<usize> = (0..batch.num_rows()).filter(|row| keep.value(*row)).collect();
        for (place, row) in spans::rows(&filter_record_batch(batch, &keep)?).into_iter().enumerate() {
            let (id, time) = (id(places[place]), times.value(places[place]));
            let of_trace = earliest.entry(id).or_default();
            let at = of_trace.partition_point(|(known, _)| *known <= time);
            if at < per_trace {
                of_trace.insert(at, (time, row));
                of_trace.truncate(per_trace);
            }
        }
        Ok(())
    };
    let (control, _guard) = service.control();
    let _turn = service.turn().await?;
    let (states, coverage) = scan::for_each(service.store(), &scan, &control, Earliest::new, each).await?;
    if let Some(part) = coverage.unreadable_parts.first() {
        return Err(QueryError::internal(format!("part {part} could not be read")));
    }
    let mut all = Earliest::new();
    for (id, rows) in states.into_iter().flatten() {
        all.entry(id).or_default().extend(rows);
    }
    Ok(all
        .into_iter()
        .map(|(id, mut rows)| {
            rows.sort_by_key(|(time, _)| *time);
            let rows = rows.into_iter().take(per_trace).map(|(_, row)| row).collect();
            (mangru_store::TraceId(id).to_string(), rows)
        })
        .collect())
}

fn summary(query: &TraceQl, trace: &TraceSummary, spans: &BTreeMap<String, Vec<SpanRow>>) -> Value {
    let spans: Vec<Value> = spans
        .get(&trace.trace_id)
        .into_iter()
        .flatten()
        .map(|row| {
            json!({
                "spanID": row.span_id,
                "name": row.name,
                "startTimeUnixNano": row.time_unix_nano,
                "durationNanos": row.duration_ns.max(0).to_string(),
                "attributes": selected(query, row),
            })
        })
        .collect();
    let set = json!({ "spans": spans, "matched": trace.matched_spans });
    let services: Map<String, Value> =
        trace.services.iter().map(|service| (service.name.clone(), json!({ "spanCount": service.spans }))).collect();
    json!({
        "traceID": trace.trace_id,
        "rootServiceName": trace.root_service,
        "rootTraceName": if trace.root_is_missing { "<root span not yet received>" } else { trace.root_name.as_str() },
        "startTimeUnixNano": trace.start_unix_nano,
        "durationMs": trace.duration_ns / 1_000_000,
        "spanSet": set,
        "spanSets": [set],
        "serviceStats": services,
    })
}
