//! The page at `/`: one embedded file for people who just started the server.

use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, header},
};

use super::reply::Response;

const PAGE: &str = include_str!("../console/index.html");
/// Nothing but the file itself and this server's API and sockets.
const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
