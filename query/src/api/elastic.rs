//! Elasticsearch's search API below `/elastic`, as Grafana's data source and Elasticsearch's clients call it
//! (<https://www.elastic.co/docs/api/doc/elasticsearch/group/endpoint-search>). Documents are written by other means.

use crate::elastic::{Indices, Search};
use crate::{ErrorCode, QueryError, QueryService};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mangru_store::Signal;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Service = State<Arc<QueryService>>;
type Pairs = Query<Vec<(String, String)>>;

pub(super) fn router() -> Router<Arc<QueryService>> {
    Router::new()
        .route("/elastic/_cluster/health", get(cluster_health))
        .route("/elastic/_cluster/health/{index}", get(cluster_health))
        .route("/elastic/_cat/indices", get(cat_indices))
        .route("/elastic/_search", get(search).post(search))
        .route("/elastic/{index}/_search", get(search_index).post(search_index))
        .route("/elastic/_count", get(count).post(count))
        .route("/elastic/{index}/_count", get(count_index).post(count_index))
        .route("/elastic/_msearch", get(msearch).post(msearch))
        .route("/elastic/{index}/_msearch", get(msearch_index).post(msearch_index))
        .route("/elastic/_field_caps", get(field_caps).post(field_caps))
        .route("/elastic/{index}/_field_caps", get(field_caps_index).post(field_caps_index))
        .route("/elastic/_mapping", get(mapping))
        .route("/elastic/{index}/_mapping", get(mapping_index))
        .route("/elastic/{index}", get(mapping_index))
}

/// An error as Elasticsearch answers it.
struct Fault(QueryError);

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

fn failure(error: &QueryError) -> (StatusCode, Value) {
    let (status, kind) = match error.code {
        ErrorCode::InvalidArgument => (StatusCode::BAD_REQUEST, "parsing_exception"),
        ErrorCode::Unsupported => (StatusCode::BAD_REQUEST, "illegal_argument_exception"),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, "resource_not_found_exception"),
        ErrorCode::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "circuit_breaking_exception"),
        ErrorCode::DeadlineExceeded | ErrorCode::Cancelled => (StatusCode::GATEWAY_TIMEOUT, "timeout_exception"),
        ErrorCode::Internal => {
            tracing::error!(%error, "request failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "exception")
        }
    };
    let cause = json!({ "type": kind, "reason": error.message });
    (
        status,
        json!({
            "error": { "root_cause": [cause], "type": kind, "reason": error.message },
            "status": status.as_u16(),
        }),
    )
}

/// An answer with what clients look for before they trust it.
fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    response
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, body) = failure(&self.0);
        answer(status, &body)
    }
}

type Answer = Result<Response, Fault>;

fn ok(body: &Value) -> Response {
    answer(StatusCode::OK, body)
}

/// The body of a request, which may be empty; clients of version 8 send it with a media type of their own.
fn body(bytes: &Bytes) -> Result<Map<String, Value>, QueryError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(bytes)
        .map_err(|error| QueryError::invalid("body", format!("the body is not an object: {error}")))
}

/// What may stand in the address instead of the body.
fn with_parameters(mut body: Map<String, Value>, pairs: &[(String, String)]) -> Map<String, Value> {
    for (name, value) in pairs {
        match name.as_str() {
            "q" => {
                body.entry("query").or_insert_with(|| json!({ "query_string": { "query": value } }));
            }
            "size" | "from" | "sort" => {
                body.entry(name.clone()).or_insert_with(|| value.as_str().into());
            }
            "track_total_hits" => {
                body.entry(name.clone()).or_insert_with(|| (value != "false").into());
            }
            _ => {}
        }
    }
    body
}

async fn searched(service: &QueryService, index: &str, body: &Map<String, Value>) -> Result<Value, QueryError> {
    service.elastic_search(Search::read(Indices::of(index)?, body)?).await
}

async fn search(State(service): Service, Query(pairs): Pairs, bytes: Bytes) -> Answer {
    Ok(ok(&searched(&service, "", &with_parameters(body(&bytes)?, &pairs)).await?))
}

async fn search_index(State(service): Service, Path(index): Path<String>, Query(pairs): Pairs, bytes: Bytes) -> Answer {
    Ok(ok(&searched(&service, &index, &with_parameters(body(&bytes)?, &pairs)).await?))
}

async fn counted(service: &QueryService, index: &str, body: Map<String, Value>) -> Answer {
    let mut asked = Map::new();
    asked.insert("size".to_owned(), 0.into());
    asked.extend(body.into_iter().filter(|(name, _)| name == "query"));
    let found = searched(service, index, &asked).await?;
    Ok(ok(&json!({ "count": found["hits"]["total"]["value"], "_shards": found["_shards"] })))
}

async fn count(State(service): Service, Query(pairs): Pairs, bytes: Bytes) -> Answer {
    counted(&service, "", with_parameters(body(&bytes)?, &pairs)).await
}

async fn count_index(State(service): Service, Path(index): Path<String>, Query(pairs): Pairs, bytes: Bytes) -> Answer {
    counted(&service, &index, with_parameters(body(&bytes)?, &pairs)).await
}

/// Several searches, each with a line that says of which index; each is answered or refused alone.
async fn searches(service: &QueryService, index: &str, bytes: &Bytes) -> Answer {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut responses = Vec::new();
    while let Some(head) = lines.next() {
        let wrong = |what: &str| QueryError::invalid("body", format!("search {}: {what}", responses.len() + 1));
        let head: Map<String, Value> = serde_json::from_slice(head).map_err(|_| wrong("its head is not an object"))?;
        let asked = lines.next().ok_or_else(|| wrong("its body is missing"))?;
        let asked: Map<String, Value> =
            serde_json::from_slice(asked).map_err(|error| wrong(&format!("its body is not an object: {error}")))?;
        let own = match head.get("index") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            Some(Value::String(name)) => name.clone(),
            _ => index.to_owned(),
        };
        responses.push(match searched(service, &own, &asked).await {
            Ok(found) => found,
            Err(error) => failure(&error).1,
        });
    }
    if responses.is_empty() {
        return Err(QueryError::invalid("body", "no requests added").into());
    }
    Ok(ok(&json!({ "took": 0, "responses": responses })))
}

async fn msearch(State(service): Service, bytes: Bytes) -> Answer {
    searches(&service, "", &bytes).await
}

async fn msearch_index(State(service): Service, Path(index): Path<String>, bytes: Bytes) -> Answer {
    searches(&service, &index, &bytes).await
}

async fn caps(service: &QueryService, index: &str) -> Answer {
    let indices = Indices::of(index)?;
    let mut fields = Map::new();
    for (name, kind) in service.elastic_fields(&indices).await? {
        let is_text = kind == "text";
        let caps = json!({ "type": kind, "metadata_field": false, "searchable": true, "aggregatable": !is_text });
        fields.insert(name, json!({ kind: caps }));
    }
    let names =
        if indices.signal == Signal::Spans { vec!["spans".to_owned()] } else { service.elastic_indices().await? };
    Ok(ok(&json!({ "indices": names, "fields": fields })))
}

async fn field_caps(State(service): Service) -> Answer {
    caps(&service, "").await
}

async fn field_caps_index(State(service): Service, Path(index): Path<String>) -> Answer {
    caps(&service, &index).await
}

async fn mappings(service: &QueryService, index: &str) -> Answer {
    let mut properties = Map::new();
    for (name, kind) in service.elastic_fields(&Indices::of(index)?).await? {
        properties.insert(name, json!({ "type": kind }));
    }
    let name = if index.is_empty() { "logs" } else { index };
    Ok(ok(&json!({ name: { "aliases": {}, "mappings": { "properties": properties }, "settings": {} } })))
}

async fn mapping(State(service): Service) -> Answer {
    mappings(&service, "").await
}

async fn mapping_index(State(service): Service, Path(index): Path<String>) -> Answer {
    mappings(&service, &index).await
}

async fn cluster_health() -> Response {
    ok(&json!({
        "cluster_name": "mangru", "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
        "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0,
        "delayed_unassigned_shards": 0, "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0, "active_shards_percent_as_number": 100.0,
    }))
}

async fn cat_indices(State(service): Service, headers: HeaderMap, Query(pairs): Pairs) -> Answer {
    let names = service.elastic_indices().await?;
    let is_json = pairs.iter().any(|(name, value)| name == "format" && value == "json")
        || headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("json"));
    if is_json {
        let rows: Vec<Value> =
            names.iter().map(|name| json!({ "health": "green", "status": "open", "index": name })).collect();
        return Ok(ok(&Value::Array(rows)));
    }
    let rows: Vec<String> = names.iter().map(|name| format!("green open {name}")).collect();
    Ok(format!("{}\n", rows.join("\n")).into_response())
}
