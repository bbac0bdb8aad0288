//! Sends one HTTP request and reads the whole answer.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::{Response, Uri, body::Bytes, header::USER_AGENT};
use object_store::client::HttpRequest;
use tokio::time;

use crate::{backoff::Backoff, error::causes, https};

/// The longest answer that is read. A page of steps with long commands is below a mebibyte.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// How this program names itself.
const AGENT: &str = concat!("marketplace/", env!("CARGO_PKG_VERSION"));
/// How often a source of credentials is asked that fails on its side.
const ATTEMPTS: usize = 3;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// There was no connection, so nothing was sent.
    Connect(String),
    /// The connection broke afterwards, or the answer cannot be read.
    Broken(String),
}

/// Sends a request once: hyper sends it again only where a kept connection had ended before the first byte
/// was written. Sets no deadline.
pub(super) async fn send(
    http: &https::Client,
    mut request: HttpRequest,
) -> Result<Response<Bytes>, SendError> {
    let agent = AGENT.parse().expect("a version is ASCII");
    request.headers_mut().insert(USER_AGENT, agent);
    let answer = http.request(request).await.map_err(|error| {
        let why = causes(&error);
        if error.is_connect() {
            SendError::Connect(why)
        } else {
            SendError::Broken(why)
        }
    })?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| SendError::Broken(causes(&*error)))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Asks a source of credentials. Asks again when the connection breaks, and when the answer is a failure
/// of the source itself. Each attempt takes at most `patience`.
pub(super) async fn ask(
    http: &https::Client,
    request: HttpRequest,
    patience: Duration,
) -> Result<Response<Bytes>, String> {
    let source = origin(request.uri());
    let mut retry = Backoff::new(Duration::from_millis(200), Duration::from_millis(400));
    let mut attempt = 1;
    loop {
        let last = attempt == ATTEMPTS;
        match time::timeout(patience, send(http, request.clone())).await {
            Ok(Ok(answer)) if last || !is_temporary(&answer) => return Ok(answer),
            Ok(Err(SendError::Broken(why))) if last => return Err(format!("{source}: {why}")),
            Ok(Ok(_) | Err(SendError::Broken(_))) => {}
            Ok(Err(SendError::Connect(why))) => return Err(format!("{source}: {why}")),
            Err(_) => return Err(format!("{source} does not answer")),
        }
        attempt += 1;
        retry.pause().await;
    }
}

fn is_temporary(answer: &Response<Bytes>) -> bool {
    answer.status().is_server_error() || answer.status().as_u16() == 429
}

/// Scheme, host and port, for messages: the path of a container's source is known to that container alone.
pub(super) fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    match uri.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}
