//! Forms with files (RFC 7578). The texts are kept, within limits; a file that is wanted goes on into
//! the store piece by piece, and what others contain is read past.

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
use multer::{Constraints, Field, Multipart, SizeLimit};

use super::{
    Chunks, MAX_BYTES, MAX_SKIPPED_BYTES, MIN_SKIPPED_BYTES, broken_off, collect, in_time,
    malformed, too_large,
};
use crate::{
    forms::Input,
    http::reply::Problem,
    uploads::{Received, Uploads},
};

/// Longest form with files.
const MAX_UPLOAD_BYTES: u64 = 64 << 20;
/// How much may be kept that belongs to no field and no file yet: the parser looks through all of it
/// again with each chunk.
const MAX_UNPARSED_BYTES: usize = 128 * 1024;
/// Fields of a form at most.
const MAX_FIELDS: usize = 1000;

/// The fields of a form.
pub(super) async fn read(chunks: Chunks, content_type: &str) -> Result<Input, Problem> {
    let (input, _) = read_parts(chunks, content_type, MAX_UPLOAD_BYTES, None).await?;
    Ok(input)
}

/// The fields of a form, and the file in the field of that name.
pub(super) async fn read_file(
    chunks: Chunks,
    content_type: &str,
    field: &str,
    uploads: &Uploads,
) -> Result<(Input, Option<Received>), Problem> {
    let longest = uploads.max_bytes() + MAX_UPLOAD_BYTES;
    read_parts(chunks, content_type, longest, Some((field, uploads))).await
}

/// The field of a file that is wanted, and where it goes.
type Wanted<'a> = Option<(&'a str, &'a Uploads)>;

async fn read_parts(
    chunks: Chunks,
    content_type: &str,
    longest: u64,
    wanted: Wanted<'_>,
) -> Result<(Input, Option<Received>), Problem> {
    let boundary = match multer::parse_boundary(content_type) {
        Ok(boundary) => boundary,
        Err(why) => {
            collect(chunks).await?;
            return Err(malformed(format!("Multipart form parse error - {why}")));
        }
    };
    let pace = Arc::new(Pace::default());
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(longest));
    let paced = Paced {
        chunks,
        pace: Arc::clone(&pace),
    };
    let parts = Multipart::with_constraints(paced, boundary, limits);
    let mut fields = pin!(fields(parts, &pace, wanted));
    let fields = poll_fn(|cx| {
        pace.may_take.store(true, Relaxed);
        fields.as_mut().poll(cx)
    });
    let (fields, file) = fields.await?;
    Ok((Input::form(fields), file))
}

async fn fields(
    mut parts: Multipart<'_>,
    pace: &Pace,
    wanted: Wanted<'_>,
) -> Result<(Vec<(String, String)>, Option<Received>), Problem> {
    let mut fields = Vec::new();
    let mut file = None;
    let mut kept = 0;
    while let Some(mut part) = in_time(async { parts.next_field().await.map_err(problem) }).await? {
        pace.parsed();
        if let Some((field, uploads)) = wanted
            && part.name() == Some(field)
            && let Some(name) = part.file_name()
        {
            // A form says so where no file was chosen.
            if !name.is_empty() {
                let name = name.to_owned();
                file = Some(store(&mut part, &name, pace, uploads).await?);
            }
            continue;
        }
        let mut text = part.file_name().is_none().then(BytesMut::new);
        let name = part.name().map(ToOwned::to_owned);
        kept += name.as_ref().map_or(0, String::len);
        while let Some(chunk) = next(&mut part, pace).await? {
            let Some(text) = &mut text else { continue };
            kept += chunk.len();
            if kept > MAX_BYTES {
                return Err(too_large());
            }
            text.extend_from_slice(&chunk);
        }
        if let (Some(text), Some(name)) = (text, name) {
            if fields.len() == MAX_FIELDS || kept > MAX_BYTES {
                return Err(too_large());
            }
            fields.push((name, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    if let (Some((field, _)), Some(_)) = (wanted, &file) {
        // Of a text and a file in one field the file counts.
        fields.retain(|(name, _)| name != field);
    }
    Ok((fields, file))
}

async fn next(part: &mut Field<'_>, pace: &Pace) -> Result<Option<Bytes>, Problem> {
    let chunk = in_time(async { part.chunk().await.map_err(problem) }).await?;
    pace.parsed();
    Ok(chunk)
}

/// Stores a file. When that fails, some more of it is read past, so that its sender hears of it.
async fn store(
    part: &mut Field<'_>,
    name: &str,
    pace: &Pace,
    uploads: &Uploads,
) -> Result<Received, Problem> {
    let receive = async {
        let mut file = uploads.receive(name).await?;
        while let Some(chunk) = next(part, pace).await? {
            file.write(chunk).await?;
        }
        Ok(file.finish().await?)
    };
    let received = receive.await;
    if let Err(Problem::Upload(_) | Problem::Failed(_)) = &received {
        let mut skipped = 0;
        while skipped < MAX_SKIPPED_BYTES
            && let Ok(Some(chunk)) = next(part, pace).await
        {
            skipped += chunk.len().max(MIN_SKIPPED_BYTES);
        }
    }
    received
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
