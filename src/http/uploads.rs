//! Uploaded files over HTTP, as attachments: a browser saves them and never shows one as a page of
//! this server's.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use futures_util::Stream;
use uuid::Uuid;
use warp::{
    Reply,
    http::{
        HeaderValue,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    },
};

use super::operation::{Call, Viewer};
use crate::reply::{Problem, Response};

/// The file of that key, while a source names it.
pub(super) async fn fetch(call: Call<Viewer, Uuid>) -> Result<Response, Problem> {
    let Call {
        app, parts: key, ..
    } = call;
    let Some(upload) = app.uploads.find(key).await? else {
        return Err(Problem::NOT_FOUND);
    };
    let file = app.uploads.fetch(&upload).await?;
    let mut response = warp::reply::stream(Shared(Mutex::new(file.chunks))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, file.size.into());
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_DISPOSITION, attachment(&upload.original_name));
    Ok(response)
}

/// The name twice (RFC 6266): as it is, and for programs that read nothing but ASCII.
fn attachment(name: &str) -> HeaderValue {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let ascii: String = name
        .chars()
        .map(|c| if plain(c) || c == ' ' { c } else { '_' })
        .collect();
    let all: String = name
        .bytes()
        .map(|byte| match char::from(byte) {
            c if plain(c) => c.to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let value = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{all}");
    HeaderValue::from_str(&value).expect("all of it is plain")
}

/// A body has to be `Sync`, although only one task reads it.
struct Shared<S>(Mutex<S>);

impl<S: Stream + Unpin> Stream for Shared<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        match self.0.get_mut() {
            Ok(chunks) => Pin::new(chunks).poll_next(cx),
            Err(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_in_two_ways() {
        assert_eq!(
            attachment("été \"\r\n.csv"),
            "attachment; filename=\"_t_ ___.csv\"; filename*=UTF-8''%C3%A9t%C3%A9%20%22%0D%0A.csv"
        );
    }
}
