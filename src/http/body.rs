//! Bodies: read up to a limit and within a time, then parsed by their type. What a file contains is
//! stored while it arrives, where it is wanted, and else read past. A body that is refused is not read
//! any further.

mod crumbs;
mod multipart;

use std::{borrow::Cow, pin::Pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use warp::http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use self::crumbs::Crumbs;
pub(super) use self::multipart::Wanted;
use crate::{
    forms::{self, Input},
    reply::Problem,
    uploads::{self, Failure, Received},
};

/// Longest body that is kept, and longest sum of the names and texts in a form.
const MAX_BYTES: usize = 1 << 20;
/// Fields and files of a form at most.
const MAX_FIELDS: usize = 1000;
/// Longest time a client may take to send its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// The chunks of a body as they arrive.
struct Chunks {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send>>,
    /// One that was looked at and comes again.
    first: Option<Result<Bytes, Problem>>,
    crumbs: Crumbs,
}

impl Chunks {
    /// The next chunk, unless there were too many small ones.
    async fn next(&mut self) -> Option<Result<Bytes, Problem>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let chunk = self.stream.next().await?;
        Some(chunk.and_then(|chunk| {
            self.crumbs.count(chunk.len())?;
            Ok(chunk)
        }))
    }

    /// The next chunk of a file that is stored, however small: programs send a row a chunk.
    async fn next_of_file(&mut self) -> Option<Result<Bytes, Problem>> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.stream.next().await,
        }
    }
}

/// The body of a request, not yet read.
pub struct Body(Chunks);

impl Body {
    /// The body that these chunks make.
    pub fn new(chunks: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static) -> Self {
        let whole = |chunk: Result<_, warp::Error>| {
            let mut chunk = chunk.map_err(|_| broken_off())?;
            let bytes = Buf::remaining(&chunk);
            Ok(Buf::copy_to_bytes(&mut chunk, bytes))
        };
        Self(Chunks {
            stream: Box::pin(chunks.map(whole)),
            first: None,
            crumbs: Crumbs::default(),
        })
    }

    /// The fields in a body of any type that has some; without a body there are none.
    ///
    /// # Errors
    /// 400 when the body is not what its type says, 408, 413 and 415.
    pub async fn input(self, headers: &HeaderMap) -> Result<Input, Problem> {
        in_time(async {
            let Some(chunks) = self.unless_empty().await else {
                return Ok(Input::form([]));
            };
            let (sent, kind) = content_type(headers);
            match kind.as_str() {
                "application/json" => parse_json(&collect(chunks).await?),
                "application/x-www-form-urlencoded" => parse_urlencoded(&collect(chunks).await?),
                // Too large for the stack of whoever waits for it.
                "multipart/form-data" => Box::pin(multipart::read(chunks, &sent)).await,
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

    /// The same with the file that is wanted, which is in the store of uploads then. It takes as long
    /// as it needs, while it keeps coming.
    ///
    /// # Errors
    /// Also those of the store.
    pub(super) async fn with_file(
        self,
        headers: &HeaderMap,
        wanted: Wanted<'_>,
    ) -> Result<(Input, Option<Received>), Problem> {
        let (sent, kind) = content_type(headers);
        if kind != "multipart/form-data" {
            return Ok((self.input(headers).await?, None));
        }
        let length = headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let longest = wanted.uploads.max_bytes() + MAX_BYTES as u64;
        if length.is_some_and(|length: u64| length > longest) {
            return Err(Failure::TooLarge.into());
        }
        within(uploads::LONGEST, async {
            match in_time(async { Ok(self.unless_empty().await) }).await? {
                Some(chunks) => Box::pin(multipart::read_file(chunks, &sent, wanted)).await,
                None => Ok((Input::form([]), None)),
            }
        })
        .await
    }

    /// All of it, whatever its type.
    ///
    /// # Errors
    /// 400 when it breaks off, 408, 413.
    pub async fn bytes(self) -> Result<Bytes, Problem> {
        in_time(collect(self.0)).await
    }

    async fn unless_empty(mut self) -> Option<Chunks> {
        loop {
            let first = self.0.next().await?;
            if !matches!(&first, Ok(chunk) if chunk.is_empty()) {
                self.0.first = Some(first);
                return Some(self.0);
            }
        }
    }
}

/// What is sent, in its own words and in short.
fn content_type(headers: &HeaderMap) -> (String, String) {
    let sent = headers
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let kind = sent.split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    (sent, kind)
}

async fn in_time<T>(read: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    within(PATIENCE, read).await
}

async fn within<T>(
    limit: Duration,
    read: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| {
        Err(Problem::detail(
            StatusCode::REQUEST_TIMEOUT,
            "The body did not arrive in time.",
        ))
    })
}

async fn collect(mut chunks: Chunks) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn parse_json(body: &[u8]) -> Result<Input, Problem> {
    match forms::json::parse(body) {
        Ok(value) => Ok(Input::json(value)),
        Err(why) => Err(malformed(format!("JSON parse error - {why}"))),
    }
}

fn parse_urlencoded(body: &[u8]) -> Result<Input, Problem> {
    let fields: Vec<_> = form_urlencoded::parse(body).take(MAX_FIELDS + 1).collect();
    if fields.len() > MAX_FIELDS {
        return Err(too_large());
    }
    let owned = |(name, value): (Cow<str>, Cow<str>)| (name.into_owned(), value.into_owned());
    Ok(Input::form(fields.into_iter().map(owned)))
}

fn malformed(why: String) -> Problem {
    Problem::detail(StatusCode::BAD_REQUEST, why)
}

fn broken_off() -> Problem {
    Problem::detail(StatusCode::BAD_REQUEST, "The body is incomplete.")
}

fn too_large() -> Problem {
    Problem::detail(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large.")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    pub(super) async fn read(content_type: &str, body: &[u8]) -> Result<Value, u16> {
        read_pieces(content_type, body, 4096).await
    }

    async fn read_pieces(content_type: &str, body: &[u8], piece: usize) -> Result<Value, u16> {
        let chunks: Vec<Result<Bytes, warp::Error>> = body
            .chunks(piece)
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

    /// Types and bodies that fit each other more often than chance has it.
    fn any_body() -> impl Strategy<Value = (String, Vec<u8>)> {
        let kind = prop_oneof![
            Just("application/json".to_owned()),
            Just("application/x-www-form-urlencoded".to_owned()),
            Just("multipart/form-data; boundary=x".to_owned()),
            Just("multipart/form-data; boundary=\"\"".to_owned()),
            "[ -~]{0,40}",
        ];
        let piece = prop_oneof![
            "--x\r\nContent-Disposition: form-data; name=\"[a-z]{0,3}\"(; filename=\"f\")?\r\n\r\n",
            Just("\r\n--x--\r\n".to_owned()),
            Just("\r\n--x\r\n".to_owned()),
            r#"[\[\]{}",:\\u0-9a-fdtrue&=%+-]{0,20}"#,
            ".{0,20}",
        ];
        let bytes = prop_oneof![
            prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..200),
        ];
        (kind, bytes)
    }

    proptest! {
        #[test]
        fn however_a_body_is_cut_the_same_is_read((kind, bytes) in any_body(), piece in 1usize..40) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let whole = read_pieces(&kind, &bytes, usize::MAX).await;
                prop_assert_eq!(&whole, &read_pieces(&kind, &bytes, piece).await);
                prop_assert!(!matches!(whole, Err(500..)), "{:?}", whole);
                Ok(())
            })?;
        }
    }
}
