//! OTLP over gRPC: the three `Export` methods, their messages taken as raw bytes.

use crate::export::{Exporter, Refused, RefusedKind, response};
use crate::intake::Protocol;
use crate::receive::{self, Fault};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::post;
use bytes::{BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use mangru_store::Signal;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

const GRPC: &str = "application/grpc";
/// Of the message encodings those that are understood.
const ENCODINGS: &str = "identity,gzip,deflate,zstd";

/// What the handlers share.
#[derive(Clone)]
struct Receiver {
    exporter: Exporter,
    max_bytes: usize,
}

/// The gRPC services as routes.
pub(crate) fn router(exporter: Exporter, max_bytes: usize) -> Router {
    let route = |signal: Signal| {
        post(move |State(receiver): State<Receiver>, request: Request<Body>| receiver.export(signal, request))
    };
    Router::new()
        .route("/opentelemetry.proto.collector.logs.v1.LogsService/Export", route(Signal::Logs))
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", route(Signal::Spans))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", route(Signal::MetricPoints))
        .fallback(|| async { answer(Status::unimplemented("there is no such method").into_http()) })
        .with_state(Receiver { exporter, max_bytes })
}

fn answer(response: Response<tonic::body::Body>) -> Response<Body> {
    let mut response = response.map(Body::new);
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static(ENCODINGS));
    response
}

/// The answer of a call that went well: one message, and the status behind it.
fn success(message: &[u8]) -> Response<Body> {
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

/// A refusal as OTLP/gRPC wants it.
fn status(refused: &Refused) -> Status {
    match refused.kind {
        RefusedKind::Bad => {
            let details = ErrorDetails::with_bad_request_violation("request", refused.message.clone());
            Status::with_error_details(Code::InvalidArgument, refused.message.clone(), details)
        }
        RefusedKind::Later(after) => {
            let details = ErrorDetails::with_retry_info(Some(after));
            Status::with_error_details(Code::Unavailable, refused.message.clone(), details)
        }
        RefusedKind::Broken => Status::internal(refused.message.clone()),
    }
}

/// The status of a message that was not received. RESOURCE_EXHAUSTED without RetryInfo and INVALID_ARGUMENT keep a client
/// from sending again what can never be kept.
fn fault_status(fault: &Fault) -> Status {
    let code = match fault {
        Fault::NoRoom | Fault::TooSlow => Code::Unavailable,
        Fault::TooLarge(_) => Code::ResourceExhausted,
        Fault::Encoding(_) => Code::Unimplemented,
        Fault::CutOff(_) => Code::Unknown,
        Fault::Undecodable { .. } | Fault::Framing(_) => Code::InvalidArgument,
        Fault::Internal(_) => Code::Internal,
    };
    Status::new(code, fault.to_string())
}

impl Receiver {
    async fn export(self, signal: Signal, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(GRPC) {
            self.exporter.intake.refused(signal, Protocol::Grpc, "unsupported_content_type");
            let mut response = Response::new(Body::from(format!("content type `{kind}` is not {GRPC}\n")));
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let (message, room) = match receive::grpc(&parts.headers, body, &self.exporter.door, self.max_bytes).await {
            Ok(received) => received,
            Err(Fault::NoRoom) => {
                return answer(status(&self.exporter.overloaded(signal, Protocol::Grpc)).into_http());
            }
            Err(fault) => {
                self.exporter.intake.refused(signal, Protocol::Grpc, fault.why());
                return answer(fault_status(&fault).into_http());
            }
        };
        match self.exporter.export(signal, Protocol::Grpc, message, room).await {
            Ok(kept) => success(&response(&kept)),
            Err(refused) => answer(status(&refused).into_http()),
        }
    }
}
