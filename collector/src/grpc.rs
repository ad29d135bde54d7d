//! OTLP over gRPC: the three `Export` methods, their messages taken as raw bytes.

use crate::export::{Exporter, Refused, RefusedKind, response};
use crate::intake::Protocol;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response};
use axum::routing::post;
use bytes::{Buf as _, BufMut as _, Bytes};
use mangru_store::Signal;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

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
    response.map(Body::new)
}

/// One call.
struct Call {
    exporter: Exporter,
    signal: Signal,
    /// Set when the message arrived as a whole: what fails before is the sender's fault.
    arrived: Arc<AtomicBool>,
}

impl UnaryService<Bytes> for Call {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        self.arrived.store(true, Ordering::Relaxed);
        let (exporter, signal) = (self.exporter.clone(), self.signal);
        Box::pin(async move {
            match exporter.export(signal, Protocol::Grpc, request.into_inner()).await {
                Ok(kept) => Ok(tonic::Response::new(response(&kept))),
                Err(refused) => Err(status(&refused)),
            }
        })
    }
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

impl Receiver {
    async fn export(self, signal: Signal, request: Request<Body>) -> Response<Body> {
        let arrived = Arc::new(AtomicBool::new(false));
        let intake = Arc::clone(&self.exporter.intake);
        let call = Call { exporter: self.exporter, signal, arrived: Arc::clone(&arrived) };
        let mut grpc = Grpc::new(RawCodec)
            .max_decoding_message_size(self.max_bytes)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        let mut response = grpc.unary(call, request).await;
        if !arrived.load(Ordering::Relaxed) {
            // tonic says OUT_OF_RANGE of a message that is too long, which OTLP counts as worth a retry, and INTERNAL of one
            // that cannot be decompressed. Neither will ever succeed.
            let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()).unwrap_or_default();
            let (better, why) = match code {
                "11" | "8" => (Code::ResourceExhausted, "too_large"),
                "13" => (Code::InvalidArgument, "undecodable"),
                "12" => (Code::Unimplemented, "unsupported_encoding"),
                _ => (Code::Unknown, "cut_off"),
            };
            intake.refused(signal, Protocol::Grpc, why);
            if better != Code::Unknown {
                response.headers_mut().insert("grpc-status", HeaderValue::from(better as i32));
            }
        }
        answer(response)
    }
}
