//! What is written about the API for those who write clients: `/api/openapi.json`, made from the
//! routes, and `/api/asyncapi.yaml` about the sockets. Behind a session like the rest of the API:
//! strangers are told nothing of what they may not use.

pub(super) mod bodies;
pub(super) mod description;
pub(super) mod openapi;
mod problems;
pub(super) mod schemas;

use std::sync::LazyLock;

use warp::http::{HeaderValue, header::CONTENT_TYPE};

use super::operation::{Call, Viewer};
use crate::reply::{Problem, Response};

/// The document about the sockets. Tests compare it with frames as they come.
static ASYNCAPI: LazyLock<String> = LazyLock::new(|| {
    include_str!("documents/asyncapi.yaml").replace("{schemas}", &schemas::of_sockets())
});

/// The document about the sockets.
pub(super) async fn asyncapi(_: Call<Viewer>) -> Result<Response, Problem> {
    // RFC 9512.
    Ok(text("application/yaml", &ASYNCAPI))
}

/// A document of that media type.
pub(super) fn text(kind: &'static str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
