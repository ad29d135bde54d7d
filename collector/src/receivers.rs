//! What other senders than OTLP's write, over HTTP: each protocol is put into columns by the code that decodes OTLP, and kept by the
//! same durable path. Answers are those that its senders expect.
//!
//! These routes are on the port of OTLP over HTTP, and on that of UI and APIs for tools that know one address only.

mod documents;
mod elasticsearch;
mod loki;
mod ndjson;
mod prometheus;
mod zipkin;

use crate::admit::Room;
use crate::export::{Exporter, Refused, RefusedKind, now};
use crate::intake::Protocol;
use crate::otlp::{DecodeError, Decoded};
use crate::receive::{self, Fault};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use mangru_store::Signal;
use prometheus::{Families, Version};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Receivers {
    exporter: Exporter,
    max_bytes: usize,
    families: Families,
}

impl Receivers {
    pub(crate) fn new(exporter: Exporter, max_bytes: usize) -> Self {
        Self { exporter, max_bytes, families: Families::default() }
    }
}

/// The routes; those of Elasticsearch also below `/elastic`.
pub(crate) fn router<S>(receivers: Receivers) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = Router::new()
        .route("/api/v1/write", post(prometheus_write))
        .route("/api/v1/push", post(prometheus_write))
        .route("/loki/api/v1/push", post(loki_push))
        .route("/api/v2/spans", post(zipkin_spans))
        .route("/api/v1/ingest/ndjson", post(ndjson_lines));
    for prefix in ["", "/elastic"] {
        router = router
            .route(&format!("{prefix}/_bulk"), post(bulk).put(bulk))
            .route(&format!("{prefix}/{{index}}/_bulk"), post(bulk_of).put(bulk_of))
            .route(&format!("{prefix}/{{index}}/_doc"), post(document))
            .route(&format!("{prefix}/_license"), get(license))
            .route(&format!("{prefix}/_xpack"), get(xpack))
            .route(&format!("{prefix}/_nodes/http"), get(nodes))
            .route(&format!("{prefix}/_index_template/{{name}}"), get(template).put(acknowledged).head(found))
            .route(&format!("{prefix}/_template/{{name}}"), get(template).put(acknowledged).head(found))
            .route(&format!("{prefix}/_component_template/{{name}}"), get(template).put(acknowledged).head(found))
            .route(&format!("{prefix}/_ilm/policy/{{name}}"), get(policy).put(acknowledged).head(found))
            .route(&format!("{prefix}/_ingest/pipeline/{{name}}"), get(template).put(acknowledged).head(found));
    }
    router.with_state(receivers)
}

/// What stands at the root of a port that is for senders only: who we are, as Elasticsearch's clients ask.
pub(crate) fn greeting<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(elastic_root))
        .route("/elastic", get(elastic_root))
        .route("/elastic/", get(elastic_root))
}

/// The same below the path of Elasticsearch only, where the root is for people.
pub(crate) fn greeting_below<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new().route("/elastic", get(elastic_root)).route("/elastic/", get(elastic_root))
}

type Answer = Response<Body>;
type Shared = State<Receivers>;

fn text(status: StatusCode, message: String) -> Answer {
    (status, message).into_response()
}

const fn status(kind: RefusedKind) -> StatusCode {
    match kind {
        RefusedKind::Bad => StatusCode::BAD_REQUEST,
        RefusedKind::Later(_) => StatusCode::SERVICE_UNAVAILABLE,
        RefusedKind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The header that says when to try again.
fn with_retry(mut answer: Answer, refused: &Refused) -> Answer {
    if let RefusedKind::Later(after) = refused.kind {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    answer
}

/// A refusal in plain text, which Prometheus, Promtail and Zipkin's reporters log.
fn refusal(refused: &Refused) -> Answer {
    with_retry(text(status(refused.kind), refused.message.clone()), refused)
}

/// The same for a body that was not received.
fn not_received((status, refused): &(StatusCode, Refused)) -> Answer {
    with_retry(text(*status, refused.message.clone()), refused)
}

/// The refusal of a body that was not received.
const fn fault_status(fault: &Fault) -> StatusCode {
    match fault {
        Fault::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        Fault::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Fault::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Fault::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Fault::CutOff(_) | Fault::Undecodable { .. } | Fault::Framing(_) => StatusCode::BAD_REQUEST,
        Fault::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The media type with its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.to_ascii_lowercase()
}

/// A content type without its parameters.
fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

impl Receivers {
    fn refuse(&self, signal: Signal, protocol: Protocol, why: &'static str) {
        self.exporter.intake.refused(signal, protocol, why);
    }

    /// Receives a body, packed as the protocol says or else as the headers say.
    async fn receive(
        &self,
        request: Request<Body>,
        packed: Option<&str>,
        (signal, protocol): (Signal, Protocol),
    ) -> Result<(Bytes, Room), (StatusCode, Refused)> {
        let (parts, body) = request.into_parts();
        let (door, max) = (&self.exporter.door, self.max_bytes);
        let received = match packed {
            Some(encoding) => {
                receive::packed_so(encoding.to_owned(), parts.version, &parts.headers, body, door, max).await
            }
            None => receive::http(parts.version, &parts.headers, body, door, max).await,
        };
        received.map_err(|fault| {
            if matches!(fault, Fault::NoRoom) {
                return (StatusCode::SERVICE_UNAVAILABLE, self.exporter.overloaded(signal, protocol));
            }
            self.refuse(signal, protocol, fault.why());
            (fault_status(&fault), Refused { message: fault.to_string(), kind: RefusedKind::Bad })
        })
    }

    /// Keeps what this decodes, and gives what the decoder says beside the rows.
    async fn keep<T: Send + 'static>(
        &self,
        received: (Bytes, Room),
        (signal, protocol): (Signal, Protocol),
        decode: impl FnOnce(&[u8]) -> Result<(Decoded, T), DecodeError> + Send + 'static,
    ) -> Result<(String, T), Refused> {
        let (message, room) = received;
        let (kept, more) = self.exporter.export_as(signal, protocol, message, room, decode).await?;
        Ok((kept.message, more))
    }
}

/// The version of remote write by the content type; `None` when it is another message.
fn version_of(content_type: &str) -> Option<Version> {
    let mut pieces = content_type.split(';').map(str::trim);
    if !matches!(pieces.next()?, "" | "application/x-protobuf") {
        return None;
    }
    match pieces.find_map(|piece| piece.strip_prefix("proto=")) {
        None | Some("prometheus.writerequest") => Some(Version::One),
        Some("io.prometheus.write.v2.request") => Some(Version::Two),
        Some(_) => None,
    }
}

async fn prometheus_write(State(receivers): Shared, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::MetricPoints, Protocol::PrometheusRemoteWrite);
    let kind = content_type(request.headers());
    let Some(version) = version_of(&kind) else {
        receivers.refuse(WHAT.0, WHAT.1, "unsupported_content_type");
        let message = format!(
            "content type `{kind}` is not application/x-protobuf with proto=prometheus.WriteRequest or \
             proto=io.prometheus.write.v2.Request"
        );
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    };
    let encoding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("snappy")) {
        receivers.refuse(WHAT.0, WHAT.1, "unsupported_encoding");
        let message = format!("encoding `{}` is not snappy", encoding.unwrap_or_default());
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let received = match receivers.receive(request, Some("snappy"), WHAT).await {
        Ok(received) => received,
        Err(fault) => return not_received(&fault),
    };
    let families = receivers.families.clone();
    let decode = move |message: &[u8]| prometheus::decode(message, version, now(), &families);
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => refusal(&refused),
        Ok((message, counts)) => {
            // The others were kept: the sender must not send them again.
            let status = if counts.refused > 0 { StatusCode::BAD_REQUEST } else { StatusCode::NO_CONTENT };
            let mut answer = text(status, message);
            for (name, count) in [
                ("x-prometheus-remote-write-samples-written", counts.samples),
                ("x-prometheus-remote-write-histograms-written", counts.histograms),
                ("x-prometheus-remote-write-exemplars-written", counts.exemplars),
            ] {
                answer.headers_mut().insert(name, HeaderValue::from(count));
            }
            answer
        }
    }
}

async fn loki_push(State(receivers): Shared, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::Logs, Protocol::LokiPush);
    let kind = content_type(request.headers());
    let tenant = request.headers().get("x-scope-orgid").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tenant = tenant.to_owned();
    let is_json = match media_type(&kind) {
        "application/json" => true,
        "application/x-protobuf" | "" => false,
        other => {
            receivers.refuse(WHAT.0, WHAT.1, "unsupported_content_type");
            let message = format!("content type `{other}` is not application/json or application/x-protobuf");
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
        }
    };
    // Promtail packs with snappy and does not say so.
    let received = match receivers.receive(request, (!is_json).then_some("snappy"), WHAT).await {
        Ok(received) => received,
        Err(fault) => return not_received(&fault),
    };
    let correlation = Arc::clone(&receivers.exporter.correlation);
    let decode = move |message: &[u8]| {
        let decode = if is_json { loki::decode_json } else { loki::decode_protobuf };
        Ok((decode(message, &tenant, now(), &correlation)?, ()))
    };
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => refusal(&refused),
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn zipkin_spans(State(receivers): Shared, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::Spans, Protocol::Zipkin);
    let kind = content_type(request.headers());
    if !matches!(media_type(&kind), "application/json" | "text/plain" | "") {
        receivers.refuse(WHAT.0, WHAT.1, "unsupported_content_type");
        let message = format!("content type `{kind}` is not application/json");
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let received = match receivers.receive(request, None, WHAT).await {
        Ok(received) => received,
        Err(fault) => return not_received(&fault),
    };
    let correlation = Arc::clone(&receivers.exporter.correlation);
    let decode = move |message: &[u8]| Ok((zipkin::decode(message, now(), &correlation)?, ()));
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => refusal(&refused),
        Ok(_) => StatusCode::ACCEPTED.into_response(),
    }
}

async fn ndjson_lines(State(receivers): Shared, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::Logs, Protocol::Ndjson);
    let failed = |status: StatusCode, refused: &Refused| {
        let body = Json(json!({ "error": { "message": refused.message } }));
        with_retry((status, body).into_response(), refused)
    };
    let parameters = match Query::try_from_uri(request.uri()) {
        Ok(Query(parameters)) => parameters,
        Err(error) => {
            let refused = Refused { message: error.body_text(), kind: RefusedKind::Bad };
            return failed(StatusCode::BAD_REQUEST, &refused);
        }
    };
    let received = match receivers.receive(request, None, WHAT).await {
        Ok(received) => received,
        Err((status, refused)) => return failed(status, &refused),
    };
    let correlation = Arc::clone(&receivers.exporter.correlation);
    let decode = move |message: &[u8]| ndjson::decode(message, parameters, now(), &correlation);
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => failed(status(refused.kind), &refused),
        Ok((_, lines)) => {
            let status = if lines.is_all_refused() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
            (status, Json(lines.json())).into_response()
        }
    }
}

/// An answer that Elasticsearch's clients take for one of Elasticsearch.
fn elastic(status: StatusCode, body: Value) -> Answer {
    let mut answer = (status, Json(body)).into_response();
    answer.headers_mut().insert("x-elastic-product", HeaderValue::from_static("Elasticsearch"));
    answer
}

fn elastic_failure(status: StatusCode, kind: &str, refused: &Refused) -> Answer {
    let cause = json!({ "type": kind, "reason": refused.message });
    let error = json!({ "root_cause": [cause], "type": kind, "reason": refused.message });
    with_retry(elastic(status, json!({ "error": error, "status": status.as_u16() })), refused)
}

/// Refusals of bulk requests: 429 is what Elasticsearch's clients try again.
fn bulk_refusal(refused: &Refused) -> Answer {
    match refused.kind {
        RefusedKind::Bad => elastic_failure(StatusCode::BAD_REQUEST, "illegal_argument_exception", refused),
        RefusedKind::Later(_) => {
            elastic_failure(StatusCode::TOO_MANY_REQUESTS, "es_rejected_execution_exception", refused)
        }
        RefusedKind::Broken => elastic_failure(StatusCode::INTERNAL_SERVER_ERROR, "exception", refused),
    }
}

fn bulk_not_received((status, refused): &(StatusCode, Refused)) -> Answer {
    match *status {
        StatusCode::SERVICE_UNAVAILABLE => bulk_refusal(refused),
        status => elastic_failure(status, "illegal_argument_exception", refused),
    }
}

async fn bulk_into(receivers: Receivers, index: Option<String>, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::Logs, Protocol::ElasticsearchBulk);
    let since = std::time::Instant::now();
    let received = match receivers.receive(request, None, WHAT).await {
        Ok(received) => received,
        Err(fault) => return bulk_not_received(&fault),
    };
    let correlation = Arc::clone(&receivers.exporter.correlation);
    let decode = move |message: &[u8]| elasticsearch::decode_bulk(message, index.as_deref(), now(), &correlation);
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => bulk_refusal(&refused),
        Ok((_, items)) => {
            let body = json!({
                "took": since.elapsed().as_millis() as u64,
                "errors": items.iter().any(elasticsearch::Item::is_refused),
                "items": items.iter().map(elasticsearch::Item::json).collect::<Vec<_>>(),
            });
            elastic(StatusCode::OK, body)
        }
    }
}

async fn bulk(State(receivers): Shared, request: Request<Body>) -> Answer {
    bulk_into(receivers, None, request).await
}

async fn bulk_of(State(receivers): Shared, Path(index): Path<String>, request: Request<Body>) -> Answer {
    bulk_into(receivers, Some(index), request).await
}

/// One document, as `POST /{index}/_doc` sends it.
async fn document(State(receivers): Shared, Path(index): Path<String>, request: Request<Body>) -> Answer {
    const WHAT: (Signal, Protocol) = (Signal::Logs, Protocol::ElasticsearchBulk);
    let received = match receivers.receive(request, None, WHAT).await {
        Ok(received) => received,
        Err(fault) => return bulk_not_received(&fault),
    };
    let correlation = Arc::clone(&receivers.exporter.correlation);
    let decode = move |message: &[u8]| {
        // A document may stand on several lines; a bulk request has it on one.
        let document: serde_json::Map<String, Value> = serde_json::from_slice(message)
            .map_err(|error| DecodeError::Request(format!("failed to parse: {error}")))?;
        let bulk = format!("{{\"create\":{{}}}}\n{}\n", Value::Object(document));
        elasticsearch::decode_bulk(bulk.as_bytes(), Some(&index), now(), &correlation)
    };
    match receivers.keep(received, WHAT, decode).await {
        Err(refused) => bulk_refusal(&refused),
        Ok((_, items)) => match items.first().map(|item| item.json()["create"].take()) {
            Some(item) if item["status"] == 201 => elastic(StatusCode::CREATED, item),
            Some(item) => {
                let body = json!({ "error": item["error"], "status": item["status"] });
                elastic(StatusCode::BAD_REQUEST, body)
            }
            None => elastic(StatusCode::BAD_REQUEST, json!({ "status": 400 })),
        },
    }
}

/// Who we are; the version is the last of Elasticsearch whose API this follows.
async fn elastic_root() -> Answer {
    elastic(
        StatusCode::OK,
        json!({
            "name": "mangru",
            "cluster_name": "mangru",
            "cluster_uuid": "mangru",
            "version": {
                "number": "8.17.0",
                "build_flavor": "default",
                "build_type": "tar",
                "build_hash": "mangru",
                "build_date": "2024-12-11T12:08:05.663969764Z",
                "build_snapshot": false,
                "lucene_version": "9.12.0",
                "minimum_wire_compatibility_version": "7.17.0",
                "minimum_index_compatibility_version": "7.0.0",
            },
            "tagline": "You Know, for Search",
        }),
    )
}

async fn license() -> Answer {
    let license = json!({
        "status": "active", "uid": "mangru", "type": "basic", "issue_date": "2024-01-01T00:00:00.000Z",
        "issue_date_in_millis": 1_704_067_200_000_i64, "max_nodes": 1000, "issued_to": "mangru", "issuer": "mangru",
        "start_date_in_millis": -1,
    });
    elastic(StatusCode::OK, json!({ "license": license }))
}

async fn xpack() -> Answer {
    let license = json!({ "uid": "mangru", "type": "basic", "mode": "basic", "status": "active" });
    elastic(StatusCode::OK, json!({ "build": {}, "license": license, "features": {}, "tagline": "You know, for X" }))
}

async fn nodes() -> Answer {
    elastic(
        StatusCode::OK,
        json!({ "_nodes": { "total": 0, "successful": 0, "failed": 0 }, "cluster_name": "mangru", "nodes": {} }),
    )
}

/// Templates, policies and pipelines are taken note of and do nothing: fields need no declaration here.
async fn acknowledged() -> Answer {
    elastic(StatusCode::OK, json!({ "acknowledged": true }))
}

async fn found() -> Answer {
    elastic(StatusCode::OK, json!({}))
}

/// A template by its name, so that shippers do not load theirs again.
async fn template(Path(name): Path<String>) -> Answer {
    elastic(StatusCode::OK, json!({ name: {}, "index_templates": [] }))
}

async fn policy(Path(name): Path<String>) -> Answer {
    elastic(StatusCode::OK, json!({ name: { "version": 1, "policy": { "phases": {} } } }))
}
