//! Bodies: read up to a limit and within a time, then parsed by their type. What a file contains is
//! read past and kept nowhere.

use std::{pin::Pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use warp::http::{HeaderMap, StatusCode, header::CONTENT_TYPE};

use super::reply::Problem;
use crate::forms::{self, Input};

/// Longest body that is kept, and longest sum of the texts in a form.
const MAX_BYTES: usize = 1 << 20;
/// Longest form with files.
const MAX_UPLOAD_BYTES: usize = 64 << 20;
/// How much of a body that is too long is read past, so that a client that sends before it listens
/// hears why it is refused.
const MAX_SKIPPED_BYTES: usize = 16 << 20;
/// Fields of a form at most.
const MAX_FIELDS: usize = 1000;
/// Longest time a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(30);

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

/// The body of a request, not yet read.
pub(super) struct Body(Chunks);

impl Body {
    pub(super) fn new(
        chunks: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static,
    ) -> Self {
        Self(Box::pin(chunks.map(|chunk| {
            chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))
        })))
    }

    /// The fields in a body of any type that has some; without a body there are none.
    ///
    /// # Errors
    /// 400 when the body is not what its type says, 408, 413 and 415.
    pub(super) async fn input(self, headers: &HeaderMap) -> Result<Input, Problem> {
        in_time(async {
            let Some(chunks) = self.unless_empty().await else {
                return Ok(Input::form([]));
            };
            let sent = headers
                .get(CONTENT_TYPE)
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .unwrap_or_default();
            let kind = sent.split(';').next().unwrap_or_default();
            match kind.trim().to_ascii_lowercase().as_str() {
                "application/json" => parse_json(&collect(chunks).await?),
                "application/x-www-form-urlencoded" => {
                    Ok(parse_urlencoded(&collect(chunks).await?))
                }
                "multipart/form-data" => read_multipart(chunks, &sent).await,
                _ => {
                    collect(chunks).await?;
                    Err(Problem::detail(
                        StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        format!("Unsupported media type \"{sent}\" in request."),
                    ))
                }
            }
        })
        .await
    }

    /// All of it, whatever its type.
    ///
    /// # Errors
    /// 400 when it breaks off, 408, 413.
    pub(super) async fn bytes(self) -> Result<Bytes, Problem> {
        in_time(collect(self.0)).await
    }

    async fn unless_empty(mut self) -> Option<Chunks> {
        loop {
            let first = self.0.next().await?;
            if !matches!(&first, Ok(chunk) if chunk.is_empty()) {
                return Some(Box::pin(stream::iter([first]).chain(self.0)));
            }
        }
    }
}

async fn in_time<T>(read: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| {
            Err(Problem::detail(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not arrive in time.",
            ))
        })
}

async fn collect(mut chunks: Chunks) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| broken_off())?;
        if body.len() + chunk.len() > MAX_BYTES {
            skip(chunks).await;
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

async fn skip(mut chunks: Chunks) {
    let mut skipped = 0;
    while skipped < MAX_SKIPPED_BYTES
        && let Some(Ok(chunk)) = chunks.next().await
    {
        skipped += chunk.len();
    }
}

fn parse_json(body: &[u8]) -> Result<Input, Problem> {
    match forms::json::parse(body) {
        Ok(value) => Ok(Input::json(value)),
        Err(why) => Err(malformed(format!("JSON parse error - {why}"))),
    }
}

fn parse_urlencoded(body: &[u8]) -> Input {
    Input::form(form_urlencoded::parse(body).into_owned())
}

async fn read_multipart(chunks: Chunks, content_type: &str) -> Result<Input, Problem> {
    let boundary = match multer::parse_boundary(content_type) {
        Ok(boundary) => boundary,
        Err(why) => {
            collect(chunks).await?;
            return Err(malformed(format!("Multipart form parse error - {why}")));
        }
    };
    let limits = multer::SizeLimit::new().whole_stream(MAX_UPLOAD_BYTES as u64);
    let limits = multer::Constraints::new().size_limit(limits);
    let mut parts = multer::Multipart::with_constraints(chunks, boundary, limits);
    let mut pairs = Vec::new();
    let mut kept = 0;
    while let Some(mut part) = parts.next_field().await.map_err(unreadable)? {
        let mut text = part.file_name().is_none().then(BytesMut::new);
        while let Some(chunk) = part.chunk().await.map_err(unreadable)? {
            let Some(text) = &mut text else { continue };
            kept += chunk.len();
            if kept > MAX_BYTES {
                return Err(too_large());
            }
            text.extend_from_slice(&chunk);
        }
        if let (Some(text), Some(name)) = (text, part.name()) {
            if pairs.len() == MAX_FIELDS {
                return Err(too_large());
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            pairs.push((name.to_owned(), text));
        }
    }
    Ok(Input::form(pairs))
}

fn unreadable(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            too_large()
        }
        other => malformed(format!("Multipart form parse error - {other}")),
    }
}

fn malformed(why: String) -> Problem {
    Problem::detail(StatusCode::BAD_REQUEST, why)
}

fn broken_off() -> Problem {
    Problem::detail(StatusCode::BAD_REQUEST, "The body broke off.")
}

fn too_large() -> Problem {
    Problem::detail(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn read(content_type: &str, body: &[u8]) -> Result<Value, u16> {
        let chunks: Vec<Result<Bytes, warp::Error>> = body
            .chunks(4096)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        match Body::new(stream::iter(chunks)).input(&headers).await {
            Ok(input) => Ok(input.body),
            Err(problem) => Err(problem.into_response().status().as_u16()),
        }
    }

    #[tokio::test]
    async fn each_type_is_read_its_way() {
        let multipart = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\nzz\r\n\
            --x--\r\n";
        for (content_type, body, expected) in [
            (
                "application/json",
                &b"{\"a\":\"1\"}"[..],
                Ok(json!({"a": "1"})),
            ),
            ("Application/JSON; charset=utf-8", b"[]", Ok(json!([]))),
            ("application/json", b"{", Err(400)),
            ("application/json", b"", Ok(json!({}))),
            ("text/plain", b"", Ok(json!({}))),
            ("text/plain", b"a", Err(415)),
            (
                "application/x-www-form-urlencoded",
                b"a=1%202&b=",
                Ok(json!({"a": "1 2", "b": ""})),
            ),
            (
                "multipart/form-data; boundary=x",
                multipart,
                Ok(json!({"a": "1"})),
            ),
            ("multipart/form-data; boundary=y", multipart, Err(400)),
            ("multipart/form-data", multipart, Err(400)),
            (
                "multipart/form-data; boundary=x",
                &multipart[..90],
                Err(400),
            ),
        ] {
            assert_eq!(read(content_type, body).await, expected, "{content_type}");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused() {
        let long = vec![b' '; MAX_BYTES + 1];
        for content_type in ["application/json", "text/plain"] {
            assert_eq!(read(content_type, &long).await, Err(413));
        }
        let head = b"--x\r\nContent-Disposition: form-data; name=\"a\"";
        let rest = b"\r\n\r\n";
        let end = b"\r\n--x--\r\n";
        let text = [&head[..], rest, &long, end].concat();
        assert_eq!(
            read("multipart/form-data; boundary=x", &text).await,
            Err(413)
        );
        let file = [&head[..], b"; filename=\"f\"", rest, &long, end].concat();
        assert_eq!(
            read("multipart/form-data; boundary=x", &file).await,
            Ok(json!({}))
        );
    }
}
