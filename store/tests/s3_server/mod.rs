//! An S3 server on a free port, with its objects in a folder, that can be told to fail.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(crate) const KEY: (&str, &str) = ("AKIAMANGRU", "a-secret-of-tests");
const BUCKET: &str = "lake";
pub(crate) const URL: &str = "s3://lake/telemetry";

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// What goes wrong, and what was asked.
#[derive(Default)]
pub(crate) struct Faults {
    /// Connections are closed without an answer.
    pub(crate) is_down: AtomicBool,
    /// One request in so many is refused or cut short; 0: none.
    pub(crate) one_in: AtomicU64,
    /// Requests of this method are refused for good.
    pub(crate) refused: Mutex<Option<Method>>,
    pub(crate) requests: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
}

/// The server; it ends with the runtime.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) faults: Arc<Faults>,
    root: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let root = tempfile::tempdir().expect("folder");
        std::fs::create_dir(root.path().join(BUCKET)).expect("bucket");
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).expect("file system"));
        builder.set_auth(SimpleAuth::from_single(KEY.0, KEY.1));
        let service = builder.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let endpoint = format!("http://{}", listener.local_addr().expect("address"));
        let faults = Arc::new(Faults::default());
        let shared = Arc::clone(&faults);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, faults) = (service.clone(), Arc::clone(&shared));
                let answer = service_fn(move |request| answer(service.clone(), Arc::clone(&faults), request));
                tokio::spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { endpoint, faults, root }
    }

    /// The objects there are, less what the server keeps for itself.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.path().join(BUCKET)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet") {
                    found.push(path);
                }
            }
        }
        found
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

fn whole(response: Response<s3s::Body>) -> Response<Body> {
    response.map(|body| body.map_err(io::Error::other).boxed_unsync())
}

fn refusal(status: StatusCode) -> Response<Body> {
    let empty = http_body_util::Empty::new().map_err(|never| match never {});
    let mut response = Response::new(empty.boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn answer(service: S3Service, faults: Arc<Faults>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let number = faults.requests.fetch_add(1, Ordering::Relaxed);
    if faults.is_down.load(Ordering::Relaxed) {
        return Err(io::Error::other("down"));
    }
    if faults.refused.lock().as_ref() == Some(request.method()) {
        return Ok(refusal(StatusCode::FORBIDDEN));
    }
    let one_in = faults.one_in.load(Ordering::Relaxed);
    let fails = one_in > 0 && number.is_multiple_of(one_in);
    if fails && (number / one_in).is_multiple_of(2) {
        return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE));
    }
    let response = service.call(request.map(s3s::Body::from)).await.map_err(io::Error::other)?;
    let response = whole(response);
    let (head, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    faults.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    let cut = if fails { bytes.len() / 2 } else { bytes.len() };
    let mut frames = vec![Ok(Frame::data(bytes.slice(..cut)))];
    if fails {
        frames.push(Err(io::Error::other("cut short")));
    }
    Ok(Response::from_parts(head, StreamBody::new(stream::iter(frames)).boxed_unsync()))
}
