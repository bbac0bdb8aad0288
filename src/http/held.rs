//! Answers that count as under way until the client has taken them.

use std::convert::Infallible;

use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Body;
use warp::{
    Reply,
    http::{StatusCode, header::CONTENT_LENGTH},
};

use crate::{
    limits::UnderWay,
    reply::{Problem, Response},
};

/// In bytes. A shorter body fits into what a connection buffers anyway.
const PIECE: usize = 64 * 1024;

/// Keeps `place` until the client has taken the body, or is gone. A body of unknown size is a stream,
/// which holds little at a time.
pub(super) async fn until_taken(response: Response, place: UnderWay) -> Response {
    let (mut parts, body) = response.into_parts();
    let size = body.size_hint().exact();
    let Some(size) = size.filter(|size| *size > PIECE as u64) else {
        return Response::from_parts(parts, body);
    };
    let Ok(body) = body.collect().await else {
        let why = Problem::detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.");
        return why.into_response();
    };
    let mut rest = body.to_bytes();
    let pieces = std::iter::from_fn(move || {
        let _place = &place;
        let piece = rest.split_to(PIECE.min(rest.len()));
        (!piece.is_empty()).then_some(Ok::<_, Infallible>(piece))
    });
    parts.headers.insert(CONTENT_LENGTH, size.into());
    let body = warp::reply::stream(stream::iter(pieces)).into_response();
    Response::from_parts(parts, body.into_body())
}
