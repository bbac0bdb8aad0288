//! A request's id: whoever asks may bring one, else one is made. It stands in every line that is
//! logged on the request's behalf, and on a socket's that began with it. It names a request and
//! proves nothing: no access hangs on it.

use std::{fmt, sync::Arc};

use tracing::{Instrument, Span};
use uuid::Uuid;
use warp::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that brings it, and takes it back.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Of a longer one no log is improved.
const MAX_BYTES: usize = 64;

tokio::task_local! {
    static CURRENT: Id;
}

/// The id of a request. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(Arc<str>);

impl Id {
    /// The id that these headers bring, if it is one that can be written anywhere; else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let brought = headers.get(HEADER).and_then(|value| value.to_str().ok());
        match brought.filter(|text| is_sane(text)) {
            Some(text) => Self(text.into()),
            None => Self::new(),
        }
    }

    /// The id of the request on whose behalf this is called; a new one when there is none.
    pub fn current() -> Self {
        CURRENT
            .try_with(Clone::clone)
            .unwrap_or_else(|_| Self::new())
    }

    /// Does `work` on behalf of this request.
    pub fn around<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let span = self.span();
        CURRENT.scope(self, work).instrument(span)
    }

    /// What marks lines as this request's. At the highest level, so that it is there whenever
    /// anything at all is logged.
    pub fn span(&self) -> Span {
        tracing::error_span!("request", request_id = %self)
    }

    /// As a header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("it is letters, digits and a few marks")
    }

    fn new() -> Self {
        Self(Uuid::new_v4().simple().to_string().into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether it can stand in a line, a header and a shell without doing anything there.
fn is_sane(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_is_taken_over() {
        for (brought, is_kept) in [
            ("7", true),
            ("0f8fad5b-d9cb-469f-a165-70867728950e", true),
            ("edge:1_a.B", true),
            (&"a".repeat(MAX_BYTES), true),
            (&"a".repeat(MAX_BYTES + 1), false),
            ("", false),
            ("a b", false),
            ("a\"", false),
            ("a;rm", false),
            ("$(id)", false),
            ("\u{e9}", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(brought.as_bytes()).unwrap());
            let id = Id::of(&headers);
            assert_eq!(id.to_string() == brought, is_kept, "{brought}");
            assert!(is_sane(&id.to_string()), "{id}");
        }
        let made = Id::of(&HeaderMap::new());
        assert_ne!(made, Id::of(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn work_knows_on_whose_behalf_it_is_done() {
        let id = Id::new();
        assert_eq!(id.clone().around(async { Id::current() }).await, id);
        assert_ne!(Id::current(), id);
    }
}
