//! Reading a body: bounded before and after decompression.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use std::io::Read;

/// A body that is refused.
pub(super) struct RefusedBody {
    pub(super) status: StatusCode,
    /// The code of `google.rpc.Status`.
    pub(super) code: i32,
    pub(super) message: String,
    /// The name of the counter.
    pub(super) why: &'static str,
}

fn too_large(max_bytes: usize) -> RefusedBody {
    RefusedBody {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: 8,
        message: format!("body is longer than {max_bytes} bytes, before or after decompression"),
        why: "too_large",
    }
}

fn bad(message: String, why: &'static str) -> RefusedBody {
    RefusedBody { status: StatusCode::BAD_REQUEST, code: 3, message, why }
}

/// Reads and decompresses a body.
pub(super) async fn read(headers: &HeaderMap, body: Body, max_bytes: usize) -> Result<Bytes, RefusedBody> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let packed = match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large(max_bytes)),
        Err(error) => return Err(bad(format!("body was cut off: {error}"), "cut_off")),
    };
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let encoding = encoding.trim().to_ascii_lowercase();
    if matches!(encoding.as_str(), "" | "identity") {
        return Ok(packed);
    }
    let unpack = move || -> Result<Bytes, RefusedBody> {
        let source = packed.as_ref();
        let mut reader: Box<dyn Read> = match encoding.as_str() {
            "gzip" => Box::new(flate2::read::MultiGzDecoder::new(source)),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(source)),
            "zstd" => match zstd::stream::read::Decoder::new(source) {
                Ok(mut decoder) => {
                    // Frames that ask for a longer window than the limit are bombs.
                    let _ = decoder.window_log_max(27);
                    Box::new(decoder)
                }
                Err(error) => return Err(bad(format!("body is not zstd: {error}"), "undecodable")),
            },
            other => {
                return Err(RefusedBody {
                    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    code: 3,
                    message: format!("content encoding `{other}` is not gzip, deflate, zstd or identity"),
                    why: "unsupported_encoding",
                });
            }
        };
        let mut out = Vec::new();
        let read = reader.by_ref().take(max_bytes as u64 + 1).read_to_end(&mut out);
        if out.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        read.map_err(|error| bad(format!("body is not {encoding}: {error}"), "undecodable"))?;
        Ok(out.into())
    };
    tokio::task::spawn_blocking(unpack).await.unwrap_or_else(|error| Err(bad(error.to_string(), "internal")))
}
