//! The page at `/`: one embedded file for people who just started the server.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};
use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, header},
};

use super::reply::Response;

const PAGE: &str = include_str!("../console/index.html");
/// Nothing but the script and the style that are in the file, by their hashes, and this server's API
/// and sockets.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = hash(part("<style>", "</style>"));
    let script = hash(part("<script type=\"module\">", "</script>"));
    let policy = format!(
        "default-src 'none'; connect-src 'self'; style-src {style}; script-src {script}; \
         require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("words and base64")
});

/// `GET /` for browsers. Other clients find nothing there, as they always have.
pub(super) fn routes() -> BoxedFilter<(Response,)> {
    warp::path::end()
        .and(warp::get())
        .and(warp::header::headers_cloned())
        .and_then(async |headers: HeaderMap| {
            let accept = headers
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            if accept.is_some_and(|accept| accept.contains("text/html")) {
                Ok(page())
            } else {
                Err(warp::reject::not_found())
            }
        })
        .boxed()
}

fn page() -> Response {
    let mut response = warp::reply::html(PAGE).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What is between two tags of the page.
fn part(open: &str, close: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(open).expect("the page has one");
    rest.split_once(close).expect("and it ends").0
}

/// A source expression of a policy (<https://www.w3.org/TR/CSP3/#grammardef-hash-source>).
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}
