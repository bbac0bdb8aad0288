//! What browsers are told of every answer, lest they do with it what it is not meant for. An answer
//! that says something else of itself, as the page does, keeps it.

use warp::{
    Filter,
    filters::BoxedFilter,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
            X_FRAME_OPTIONS,
        },
    },
    reply::Response,
};

/// On every answer; also in what the accept loop says when there is no place.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    // Rows, names and cookies: kept by nobody on the way and not on the visitor's disk.
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // An answer that is opened as a page of its own does nothing, in no frame.
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    // For what is asked for without CORS, as by an `img`; the frontends ask with it.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// `routes` with these headers on whatever they answer.
pub(super) fn around(routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    routes.map(mark).boxed()
}

/// The answer with these headers.
pub(super) fn mark(mut response: Response) -> Response {
    // After a handshake there is no answer that a browser would show or keep.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        for (name, value) in HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}
