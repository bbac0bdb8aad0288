//! What is written about the API for those who write clients: `/api/openapi.json`, made from the
//! routes, and `/api/asyncapi.yaml` about the sockets. Behind a session like the rest of the API:
//! strangers are told nothing of what they may not use.

mod bodies;
mod openapi;

use warp::http::{HeaderValue, StatusCode, header::CONTENT_TYPE};

use crate::reply::Response;

/// The sockets, by hand; tests hold it against frames as they come.
const ASYNCAPI: &str = include_str!("documents/asyncapi.yaml");

/// The document about HTTP.
pub(super) fn openapi() -> Response {
    text("application/json", &openapi::DOCUMENT)
}

/// The document about the sockets.
pub(super) fn asyncapi() -> Response {
    // RFC 9512.
    text("application/yaml", ASYNCAPI)
}

fn text(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
