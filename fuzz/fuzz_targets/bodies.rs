//! Bodies of requests, of any type, in pieces: the same is read as from the whole.
#![no_main]

use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use marketplace::{
    forms::{
        registration,
        source::{self, Mode},
    },
    http::body::Body,
};
use serde_json::Value;
use tokio::runtime::Builder;
use warp::http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};

const KINDS: [&str; 4] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, piece, bytes) = input;
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let whole = read(kind, bytes, usize::MAX).await;
        assert_eq!(whole, read(kind, bytes, usize::from(piece).max(1)).await);
    });
});

async fn read(kind: &'static str, bytes: &[u8], piece: usize) -> Result<Value, u16> {
    let chunks: Vec<Result<_, warp::Error>> = bytes
        .chunks(piece)
        .map(|piece| Ok(std::io::Cursor::new(piece.to_vec())))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let input = Body::new(stream::iter(chunks)).input(&headers).await;
    let input = input.map_err(|problem| problem.into_response().status().as_u16())?;
    let _ = source::parse(&input, Mode::Add);
    let _ = registration::parse(&input).map(|draft| draft.finish(false));
    Ok(input.body)
}
