//! What Grafana's drill-down asks: volumes by label, and which labels and fields there are.

use super::{Asker, Fault, Pairs, Service, duration, found, number, one, range, required, success};
use crate::api::prometheus;
use crate::logql::{self, Entry, Kind, Label, LinesRequest, MetricRequest, Parser, Query};
use crate::request::usual_step;
use crate::{PromQlSeries, PromQlValue, QueryError, QueryService};
use axum::Json;
use axum::extract::{Form, Path, State};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Lines that are looked at for fields.
const LINES: usize = 1_000;

/// The query for the bytes of streams by the labels that are asked for.
fn volume_query(pairs: &[(String, String)], range_ns: i64) -> Result<logql::MetricQuery, QueryError> {
    let selector = required(pairs, "query")?;
    let matchers = logql::parse_selector(selector)?;
    let by = match one(pairs, "targetLabels") {
        Some(names) => names.split(',').map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>(),
        None => matchers.into_iter().map(|matcher| matcher.name).collect(),
    };
    let by = by.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!("sum by ({by}) (bytes_over_time({selector}[{range_ns}ns]))");
    match logql::parse(&text)? {
        Query::Metric(query) => Ok(query),
        Query::Lines(_) => Err(QueryError::internal("a volume is not a query for numbers")),
    }
}

/// Whether volumes are told for each label alone instead of for each set of labels.
fn is_by_label(pairs: &[(String, String)]) -> Result<bool, QueryError> {
    match one(pairs, "aggregateBy") {
        None | Some("series") => Ok(false),
        Some("labels") => Ok(true),
        Some(other) => Err(QueryError::invalid("aggregateBy", format!("`{other}` is neither `series` nor `labels`"))),
    }
}

/// Series with several labels as one series for each label's name, which is the sum of all that have it.
fn by_label(series: &[PromQlSeries]) -> Vec<PromQlSeries> {
    let mut all: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for (labels, points) in series {
        for name in labels.as_object().into_iter().flat_map(|labels| labels.keys()) {
            let sums = all.entry(name.clone()).or_default();
            for (time, value) in points {
                *sums.entry(*time).or_default() += value;
            }
        }
    }
    all.into_iter().map(|(name, points)| (json!({ name: "" }), points.into_iter().collect())).collect()
}

async fn volumes(
    service: &QueryService,
    pairs: &[(String, String)],
    tenants: Vec<String>,
    step: Option<i64>,
) -> Result<Json<Value>, Fault> {
    let range = range(pairs)?;
    let window = step.unwrap_or(range.end - range.start).max(1);
    let query = volume_query(pairs, window)?;
    let request = MetricRequest { query, start: range.start, end: range.end, step, tenants };
    let mut answer = service.logql_metric(&request).await?;
    let limit = number(pairs, "limit", 100)?;
    // The largest first.
    let size = |points: &[(i64, f64)]| points.iter().map(|(_, value)| *value).sum::<f64>();
    let is_by_label = is_by_label(pairs)?;
    if let PromQlValue::Vector(series) | PromQlValue::Matrix(series) = &mut answer.value {
        if is_by_label {
            *series = by_label(series);
        }
        series.sort_by(|(_, left), (_, right)| size(right).total_cmp(&size(left)));
        series.truncate(limit);
    }
    Ok(success(&prometheus::result(answer.value, 0)))
}

pub(super) async fn volume(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    volumes(&service, &pairs, asker.tenants, None).await
}

pub(super) async fn volume_range(
    State(service): Service,
    asker: Asker,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let range = range(&pairs)?;
    let step = duration(&pairs, "step")?.filter(|step| *step > 0).unwrap_or_else(|| usual_step(range));
    volumes(&service, &pairs, asker.tenants, Some(step)).await
}

pub(super) async fn labels(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let found = found(&service, &pairs, asker.tenants).await?;
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for label in found.iter().flat_map(|(labels, _)| labels) {
        values.entry(&label.name).or_default().insert(&label.value);
    }
    let all: Vec<Value> =
        values.iter().map(|(name, values)| json!({ "label": name, "cardinality": values.len() })).collect();
    Ok(Json(json!({ "detectedLabels": all })))
}

/// A field of some lines: its values, and by which parsers it was found.
#[derive(Default)]
struct Field {
    values: BTreeSet<String>,
    parsers: BTreeSet<&'static str>,
}

/// The newest lines of a query as they are, and by each parser.
async fn sampled(
    service: &QueryService,
    pairs: &[(String, String)],
    tenants: Vec<String>,
) -> Result<BTreeMap<String, Field>, QueryError> {
    let text = required(pairs, "query")?;
    let range = range(pairs)?;
    let limit = number(pairs, "line_limit", LINES)?.min(service.settings().max_limit);
    let Query::Lines(query) = logql::parse(text)? else {
        return Err(QueryError::invalid("query", "only log queries have fields"));
    };
    let request = LinesRequest { query, range, limit, interval: 0, is_forward: false, tenants };
    let (entries, _) = service.logql_lines(&request).await?;
    crate::scan::blocking(move || Ok(fields_of(&entries))).await
}

/// The fields of some lines: their metadata, and what the parsers find that can read them.
fn fields_of(entries: &[Entry]) -> BTreeMap<String, Field> {
    let mut fields: BTreeMap<String, Field> = BTreeMap::new();
    let mut add = |labels: &[Label], kind: Kind, parser: Option<&'static str>| {
        for label in labels.iter().filter(|label| label.kind == kind) {
            let field = fields.entry(label.name.to_string()).or_default();
            field.values.insert(label.value.to_string());
            field.parsers.extend(parser);
        }
    };
    for entry in entries {
        add(&entry.labels, Kind::Metadata, None);
        for (parser, name) in [(Parser::Json, "json"), (Parser::Logfmt, "logfmt")] {
            if let Some(labels) = entry.parsed(parser) {
                add(&labels, Kind::Parsed, Some(name));
            }
        }
    }
    fields
}

/// The type of values as Loki names it.
fn kind(values: &BTreeSet<String>) -> &'static str {
    let all = |test: fn(&str) -> bool| values.iter().all(|value| test(value));
    if all(|value| value.parse::<i64>().is_ok()) {
        "int"
    } else if all(|value| value.parse::<f64>().is_ok()) {
        "float"
    } else if all(|value| matches!(value, "true" | "false")) {
        "boolean"
    } else if all(|value| crate::language::duration_ns(value).is_some()) {
        "duration"
    } else {
        "string"
    }
}

pub(super) async fn fields(State(service): Service, asker: Asker, Form(pairs): Pairs) -> Result<Json<Value>, Fault> {
    let limit = number(&pairs, "limit", 1_000)?;
    let found = sampled(&service, &pairs, asker.tenants).await?;
    let all: Vec<Value> = found
        .iter()
        .take(limit)
        .map(|(name, field)| {
            let parsers = if field.parsers.is_empty() { Value::Null } else { json!(field.parsers) };
            json!({ "label": name, "type": kind(&field.values), "cardinality": field.values.len(), "parsers": parsers })
        })
        .collect();
    Ok(Json(json!({ "fields": all, "limit": limit })))
}

pub(super) async fn field_values(
    State(service): Service,
    asker: Asker,
    Path(name): Path<String>,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Fault> {
    let limit = number(&pairs, "limit", 1_000)?;
    let found = sampled(&service, &pairs, asker.tenants).await?;
    let values: Vec<&String> = found.get(&name).into_iter().flat_map(|field| &field.values).take(limit).collect();
    Ok(Json(json!({ "values": values, "limit": limit })))
}
