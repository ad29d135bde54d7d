//! OTLP over HTTP: protobuf and JSON, plain, gzip, deflate or zstd.

mod cors;

use crate::export::{Exporter, Kept, Refused, RefusedKind, put_varint, response};
use crate::intake::Protocol;
use crate::receive::{self, Fault};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::post;
use mangru_store::Signal;
use std::time::Duration;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// The same three endpoints, under the paths that other stacks use as well.
const PREFIXES: &[&str] = &["", "/otlp", "/api/v1/otlp", "/opentelemetry"];

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Receiver {
    exporter: Exporter,
    max_bytes: usize,
}

/// The HTTP receiver as routes, those of other protocols among them.
pub(crate) fn router(
    exporter: Exporter,
    max_bytes: usize,
    origins: &[String],
    headers: &[String],
    others: Router<Receiver>,
) -> Router {
    let mut router = Router::new();
    for prefix in PREFIXES {
        for (name, signal) in [("logs", Signal::Logs), ("traces", Signal::Spans), ("metrics", Signal::MetricPoints)] {
            let handler =
                move |State(receiver): State<Receiver>, request: Request<Body>| receiver.export(signal, request);
            router = router.route(&format!("{prefix}/v1/{name}"), post(handler));
        }
    }
    router
        .merge(others)
        .fallback(|headers: HeaderMap| async move {
            failure(
                StatusCode::NOT_FOUND,
                5,
                "there is nothing here: post to /v1/logs, /v1/traces or /v1/metrics, or as docs/apis.md says",
                is_json(&headers),
            )
        })
        .method_not_allowed_fallback(|headers: HeaderMap| async move {
            let mut response =
                failure(StatusCode::METHOD_NOT_ALLOWED, 12, "only POST is understood here", is_json(&headers));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            response
        })
        .layer(cors::layer(origins, headers))
        .with_state(Receiver { exporter, max_bytes })
}

/// The media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers) == JSON
}

/// A failure as `google.rpc.Status` in the request's encoding.
fn failure(status: StatusCode, code: i32, message: &str, json: bool) -> Response<Body> {
    let (kind, body) = if json {
        (JSON, serde_json::json!({ "code": code, "message": message }).to_string().into_bytes())
    } else {
        let mut body = vec![0x08];
        put_varint(code as u64, &mut body);
        body.push(0x12);
        put_varint(message.len() as u64, &mut body);
        body.extend_from_slice(message.as_bytes());
        (PROTOBUF, body)
    };
    answer(status, kind, body)
}

fn answer(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn success(kept: &Kept, signal: Signal, json: bool) -> Response<Body> {
    if !json {
        return answer(StatusCode::OK, PROTOBUF, response(kept));
    }
    let rejected = match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Spans => "rejectedSpans",
        Signal::MetricPoints => "rejectedDataPoints",
    };
    let body = if kept.rejected == 0 && kept.message.is_empty() {
        serde_json::json!({})
    } else {
        serde_json::json!({ "partialSuccess": { rejected: kept.rejected.to_string(), "errorMessage": kept.message } })
    };
    answer(StatusCode::OK, JSON, body.to_string().into_bytes())
}

fn refusal(refused: &Refused, json: bool) -> Response<Body> {
    match refused.kind {
        RefusedKind::Bad => failure(StatusCode::BAD_REQUEST, 3, &refused.message, json),
        RefusedKind::Later(after) => later(&refused.message, after, json),
        RefusedKind::Broken => failure(StatusCode::INTERNAL_SERVER_ERROR, 13, &refused.message, json),
    }
}

fn later(message: &str, after: Duration, json: bool) -> Response<Body> {
    let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, 14, message, json);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    response
}

/// The status of a body that was not received, of HTTP and of `google.rpc.Status`.
const fn status(fault: &Fault) -> (StatusCode, i32) {
    match fault {
        Fault::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, 14),
        Fault::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 8),
        Fault::TooSlow => (StatusCode::REQUEST_TIMEOUT, 4),
        Fault::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3),
        Fault::CutOff(_) | Fault::Undecodable { .. } | Fault::Framing(_) => (StatusCode::BAD_REQUEST, 3),
        Fault::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, 13),
    }
}

impl Receiver {
    async fn export(self, signal: Signal, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let (protocol, json) = match media_type(&parts.headers).as_str() {
            JSON => (Protocol::HttpJson, true),
            PROTOBUF | "application/protobuf" => (Protocol::HttpProtobuf, false),
            other => {
                self.exporter.intake.refused(signal, Protocol::HttpProtobuf, "unsupported_content_type");
                let message = format!("content type `{other}` is not {PROTOBUF} or {JSON}");
                return failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, &message, false);
            }
        };
        let received = receive::http(parts.version, &parts.headers, body, &self.exporter.door, self.max_bytes).await;
        let (message, room) = match received {
            Ok(received) => received,
            Err(Fault::NoRoom) => return refusal(&self.exporter.overloaded(signal, protocol), json),
            Err(fault) => {
                self.exporter.intake.refused(signal, protocol, fault.why());
                let (status, code) = status(&fault);
                return failure(status, code, &fault.to_string(), json);
            }
        };
        match self.exporter.export(signal, protocol, message, room).await {
            Ok(kept) => success(&kept, signal, json),
            Err(refused) => refusal(&refused, json),
        }
    }
}
