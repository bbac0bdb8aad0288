//! Headers that say who is asking and for what.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marketplace::{auth::{basic, cookies}, sockets::consumer::Consumer, ws::{deflate::Params, handshake}};
use warp::http::{
    HeaderMap, HeaderValue, Method,
    header::{
        AUTHORIZATION, CONNECTION, COOKIE, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};

fuzz_target!(|lines: Vec<(u8, &[u8])>| {
    let names = [
        AUTHORIZATION,
        CONNECTION,
        COOKIE,
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        UPGRADE,
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(&names[usize::from(name) % names.len()], value);
        }
    }
    let _ = basic::credentials(&headers);
    cookies::values(&headers, cookies::SESSION).for_each(drop);
    if let Ok(accept) = handshake::accept(&Method::GET, &headers) {
        accept.headers();
    }
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        if let Some(params) = Params::negotiate([value].into_iter()) {
            assert!((9..=15).contains(&params.window_bits()));
        }
        Consumer::at(value);
    }
});
