//! Making an HTTP request, and what its answer means.

use super::fields::HttpFields;
use super::{Outcome, Unmade, secret};
use std::sync::LazyLock;
use std::time::Duration;

/// How long an attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Redirections that are followed.
const MAX_REDIRECTS: usize = 5;
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 16 << 10;

/// A request that is to be made.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) body: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) http: Option<HttpFields>,
    pub(super) timeout: Option<Duration>,
    /// What an answer of success has to say, for those who say failure with a status of success.
    pub(super) is_accepted: fn(&str) -> bool,
}

impl Request {
    /// A POST of JSON.
    pub(super) fn json(url: String, body: &serde_json::Value, http: Option<&HttpFields>) -> Self {
        Self {
            url,
            body: body.to_string(),
            headers: vec![("content-type", "application/json".to_owned())],
            http: http.cloned(),
            timeout: None,
            is_accepted: |_| true,
        }
    }
}

/// The client of requests without settings of their own.
static CLIENT: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| client(&HttpFields::default()));

fn client(fields: &HttpFields) -> Result<reqwest::Client, String> {
    let mut builder =
        reqwest::Client::builder().timeout(TIMEOUT).user_agent(concat!("Mangru/", env!("CARGO_PKG_VERSION")));
    builder = builder.redirect(if fields.follow_redirects == Some(false) {
        reqwest::redirect::Policy::none()
    } else {
        // What follows other redirections is a GET without the notification.
        reqwest::redirect::Policy::custom(|attempt| match attempt.status().as_u16() {
            307 | 308 if attempt.previous().len() < MAX_REDIRECTS => attempt.follow(),
            _ => attempt.stop(),
        })
    });
    if let Some(proxy) = &fields.proxy_url {
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| format!("proxy_url: {error}"))?);
    }
    if let Some(tls) = &fields.tls_config {
        if let Some(path) = &tls.ca_file {
            let pem = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
            let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| format!("{path}: {error}"))?;
            builder = all.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        builder = builder.danger_accept_invalid_certs(tls.insecure_skip_verify);
    }
    builder.build().map_err(|error| error.to_string())
}

/// What an error says, and what lies below it, without the address: it may be a secret.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut below = std::error::Error::source(&error);
    while let Some(cause) = below {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        below = cause.source();
    }
    text
}

/// Makes a request.
pub(super) async fn send(request: Request, shared: Option<&HttpFields>) -> Outcome {
    let fields = request.http.as_ref().or(shared);
    let made = match fields {
        Some(fields)
            if fields.proxy_url.is_some() || fields.tls_config.is_some() || fields.follow_redirects.is_some() =>
        {
            client(fields)
        }
        _ => CLIENT.clone(),
    };
    let client = match made {
        Ok(client) => client,
        Err(message) => return Outcome::Later(message, None),
    };
    let mut call = client.post(&request.url).body(request.body);
    for (name, value) in request.headers {
        call = call.header(name, value);
    }
    if let Some(timeout) = request.timeout {
        call = call.timeout(timeout);
    }
    if let Some(fields) = fields {
        call = match authorized(call, fields) {
            Ok(call) => call,
            Err(unmade) => return unmade.into(),
        };
    }
    let mut response = match call.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Outcome::Never(said(error)),
        Err(error) => return Outcome::Later(said(error), None),
    };
    let status = response.status();
    let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER
        && let Ok(Some(more)) = response.chunk().await
    {
        body.extend_from_slice(&more[..more.len().min(MAX_ANSWER - body.len())]);
    }
    let body = String::from_utf8_lossy(&body);
    if status.is_success() && (request.is_accepted)(&body) {
        return Outcome::Delivered;
    }
    let message = format!("answered {status}: {}", super::words::clipped(body.trim(), 300));
    match status.as_u16() {
        408 | 425 | 429 | 500.. => Outcome::Later(message, after.map(Duration::from_secs)),
        _ => Outcome::Never(message),
    }
}

fn authorized(call: reqwest::RequestBuilder, fields: &HttpFields) -> Result<reqwest::RequestBuilder, Unmade> {
    if let Some(basic) = &fields.basic_auth {
        let password = secret(basic.password.as_ref(), basic.password_file.as_ref())?;
        return Ok(call.basic_auth(&basic.username, password));
    }
    if let Some(token) = secret(fields.bearer_token.as_ref(), fields.bearer_token_file.as_ref())? {
        return Ok(call.bearer_auth(token));
    }
    if let Some(given) = &fields.authorization
        && let Some(credentials) = secret(given.credentials.as_ref(), given.credentials_file.as_ref())?
    {
        let kind = given.r#type.as_deref().unwrap_or("Bearer");
        return Ok(call.header("authorization", format!("{kind} {credentials}")));
    }
    Ok(call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use axum::response::IntoResponse as _;
    use axum::routing::{get, post};
    use futures::StreamExt as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Sends to a path of a server with these routes.
    async fn sent(router: axum::Router, path: &str) -> Outcome {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}{path}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        send(Request::json(url, &serde_json::json!({}), None), None).await
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_only_so_far() {
        let given = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&given);
        let endless = post(async move || {
            let chunks = futures::stream::repeat_with(move || {
                counted.fetch_add(1 << 20, Ordering::Relaxed);
                Ok::<_, std::io::Error>(vec![b'x'; 1 << 20])
            });
            axum::body::Body::from_stream(chunks.take(1 << 20)).into_response()
        });
        let outcome = sent(axum::Router::new().route("/", endless), "/").await;
        assert!(matches!(outcome, Outcome::Delivered), "{outcome:?}");
        // What the sockets hold besides is a few megabytes.
        assert!(given.load(Ordering::Relaxed) < 64 << 20, "{}", given.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_redirection_that_loses_the_notification_is_a_failure() {
        let to = |status: StatusCode| post(async move || (status, [("location", "/there")]));
        for (status, is_delivered) in [
            (StatusCode::MOVED_PERMANENTLY, false),
            (StatusCode::FOUND, false),
            (StatusCode::SEE_OTHER, false),
            (StatusCode::TEMPORARY_REDIRECT, true),
            (StatusCode::PERMANENT_REDIRECT, true),
        ] {
            let there = get(async || "a page").post(async || "taken");
            let router = axum::Router::new().route("/here", to(status)).route("/there", there);
            let outcome = sent(router, "/here").await;
            assert_eq!(matches!(outcome, Outcome::Delivered), is_delivered, "{status}: {outcome:?}");
        }
    }
}
