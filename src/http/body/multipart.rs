//! Forms with files (RFC 7578). The texts are kept, within limits; what a file contains is read past.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use multer::{Constraints, Multipart, SizeLimit};

use super::{Chunks, MAX_BYTES, broken_off, collect, malformed, too_large};
use crate::{forms::Input, http::reply::Problem};

/// Longest form with files.
const MAX_UPLOAD_BYTES: u64 = 64 << 20;
/// How much may be kept that belongs to no field and no file yet: the parser looks through all of it
/// again with each chunk.
const MAX_UNPARSED_BYTES: usize = 128 * 1024;
/// Fields of a form at most.
const MAX_FIELDS: usize = 1000;

/// The fields of a form.
pub(super) async fn read(chunks: Chunks, content_type: &str) -> Result<Input, Problem> {
    let boundary = match multer::parse_boundary(content_type) {
        Ok(boundary) => boundary,
        Err(why) => {
            collect(chunks).await?;
            return Err(malformed(format!("Multipart form parse error - {why}")));
        }
    };
    let pace = Arc::new(Pace::default());
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(MAX_UPLOAD_BYTES));
    let paced = Paced {
        chunks,
        pace: Arc::clone(&pace),
    };
    let parts = Multipart::with_constraints(paced, boundary, limits);
    let mut fields = pin!(fields(parts, &pace));
    let fields = poll_fn(|cx| {
        pace.may_take.store(true, Relaxed);
        fields.as_mut().poll(cx)
    });
    Ok(Input::form(fields.await.map_err(problem)?))
}

async fn fields(
    mut parts: Multipart<'_>,
    pace: &Pace,
) -> Result<Vec<(String, String)>, multer::Error> {
    let mut fields = Vec::new();
    let mut kept = 0;
    while let Some(mut part) = parts.next_field().await? {
        pace.parsed();
        let mut text = part.file_name().is_none().then(BytesMut::new);
        let name = part.name().map(ToOwned::to_owned);
        kept += name.as_ref().map_or(0, String::len);
        while let Some(chunk) = part.chunk().await? {
            pace.parsed();
            let Some(text) = &mut text else { continue };
            kept += chunk.len();
            if kept > MAX_BYTES {
                return Err(TooLarge.into());
            }
            text.extend_from_slice(&chunk);
        }
        if let (Some(text), Some(name)) = (text, name) {
            if fields.len() == MAX_FIELDS || kept > MAX_BYTES {
                return Err(TooLarge.into());
            }
            fields.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(fields)
}

/// How fast the parser may take chunks. Left to itself it takes whatever is ready, and keeps what it
/// cannot make sense of.
#[derive(Default)]
struct Pace {
    /// Whether one more may be taken before the parser has looked at the last.
    may_take: AtomicBool,
    /// Bytes taken since the parser made something of them.
    unparsed: AtomicUsize,
}

impl Pace {
    fn parsed(&self) {
        self.unparsed.store(0, Relaxed);
    }
}

struct Paced {
    chunks: Chunks,
    pace: Arc<Pace>,
}

impl Stream for Paced {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.pace.may_take.swap(false, Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(chunk) = ready!(self.chunks.as_mut().poll_next(cx)) else {
            return Poll::Ready(None);
        };
        let chunk = chunk.map_err(Box::new)?;
        let before = self.pace.unparsed.fetch_add(chunk.len(), Relaxed);
        if before + chunk.len() > MAX_UNPARSED_BYTES {
            return Poll::Ready(Some(Err(TooLarge.into())));
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// What the form, or a part of it, is.
#[derive(Debug)]
struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too large")
    }
}

impl std::error::Error for TooLarge {}

impl From<TooLarge> for multer::Error {
    fn from(too_large: TooLarge) -> Self {
        Self::StreamReadFailed(too_large.into())
    }
}

fn problem(error: multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } => too_large(),
        multer::Error::StreamReadFailed(why) if why.is::<TooLarge>() => too_large(),
        multer::Error::StreamReadFailed(_) => broken_off(),
        other => malformed(format!("Multipart form parse error - {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::tests::read;

    #[tokio::test]
    async fn a_form_that_never_gets_to_its_fields_is_refused() {
        let long = vec![b' '; MAX_UNPARSED_BYTES + 1];
        let kind = "multipart/form-data; boundary=x";
        let name = [
            &b"--x\r\nContent-Disposition: form-data; name=\"a"[..],
            &long,
        ]
        .concat();
        for body in [&long, &name] {
            assert_eq!(read(kind, body).await, Err(413));
        }
        let mut many = Vec::new();
        for n in 0..MAX_FIELDS {
            let name = format!("{n}{}", "n".repeat(MAX_BYTES / MAX_FIELDS));
            let head = "--x\r\nContent-Disposition: form-data; name=";
            many.extend(format!("{head}\"{name}\"\r\n\r\n\r\n").into_bytes());
        }
        many.extend(b"--x--\r\n");
        assert_eq!(read(kind, &many).await, Err(413), "names count too");
    }
}
