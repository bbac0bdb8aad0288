//! The opening handshake (RFC 6455, section 4.2): is this request a WebSocket's, and with what is it
//! answered. Knows headers only: it never sees the connection, nor who is asking. No subprotocol is
//! ever agreed to, whatever the client lists.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use std::fmt;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::deflate::Params;

/// What every server appends to the client's key before hashing it (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake that can be answered with 101.
#[derive(Clone, Debug)]
pub struct Accept {
    token: HeaderValue,
    deflate: Option<Params>,
}

/// Why a handshake is not answered with 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request does not ask for a WebSocket.
    NotWebSocket,
    /// A WebSocket is opened with GET.
    Method,
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes.
    Key,
    /// Another version than 13.
    Version,
}

/// Checks an opening handshake and negotiates compression.
pub fn accept(method: &Method, headers: &HeaderMap) -> Result<Accept, Refusal> {
    if !lists(headers, header::UPGRADE, "websocket")
        || !lists(headers, header::CONNECTION, "upgrade")
    {
        return Err(Refusal::NotWebSocket);
    }
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    if only(headers, header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != b"13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, header::SEC_WEBSOCKET_KEY).ok_or(Refusal::Key)?;
    if STANDARD.decode(key).map_err(|_| Refusal::Key)?.len() != 16 {
        return Err(Refusal::Key);
    }
    let offers = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let offers = offers.iter().filter_map(|value| value.to_str().ok());
    Ok(Accept {
        token: token(key),
        deflate: Params::negotiate(offers),
    })
}

impl Accept {
    /// The headers of the 101 response.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.token.clone());
        if let Some(params) = self.deflate {
            let answer = HeaderValue::try_from(params.to_string()).expect("tokens and digits");
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, answer);
        }
        headers
    }

    /// The compression agreed on, to be handed to the connection.
    pub fn deflate(&self) -> Option<Params> {
        self.deflate
    }

    /// The same handshake without compression.
    #[must_use]
    pub fn without_deflate(self) -> Self {
        Self {
            deflate: None,
            ..self
        }
    }
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotWebSocket | Self::Key => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// The headers that tell the client how to ask instead.
    pub fn headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::NotWebSocket | Self::Key => {}
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::Version => {
                headers.insert(
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static("13"),
                );
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            }
        }
        headers
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWebSocket => "a websocket handshake is expected here",
            Self::Method => "a websocket is opened with GET",
            Self::Key => "sec-websocket-key must be the base64 of 16 bytes",
            Self::Version => "sec-websocket-version must be 13",
        })
    }
}

impl std::error::Error for Refusal {}

/// Whether the comma-separated lists of this header have `token`, in any case of letters.
fn lists(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that must be there exactly once.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn token(key: &[u8]) -> HeaderValue {
    let hash = Sha1::new()
        .chain_update(key)
        .chain_update(KEY_SUFFIX)
        .finalize();
    HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The request of RFC 6455, section 1.2.
    fn request() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert("connection", HeaderValue::from_static("Upgrade"));
        headers.insert(
            "sec-websocket-key",
            HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="),
        );
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        headers
    }

    fn with(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = request();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    fn refusal(headers: &HeaderMap) -> Option<Refusal> {
        accept(&Method::GET, headers).err()
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let headers = accept(&Method::GET, &request()).unwrap().headers();
        assert_eq!(
            headers["sec-websocket-accept"],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(headers["upgrade"], "websocket");
        assert_eq!(headers["connection"], "Upgrade");
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn tokens_may_stand_in_lists_and_in_any_case() {
        assert_eq!(refusal(&with("connection", "keep-alive, UPGRADE")), None);
        assert_eq!(refusal(&with("upgrade", "h2c,WebSocket")), None);
        let mut twice = with("connection", "keep-alive");
        twice.append("connection", HeaderValue::from_static("upgrade"));
        assert_eq!(refusal(&twice), None);
    }

    #[test]
    fn what_is_no_websocket_request_is_refused() {
        let mut plain = request();
        plain.remove("upgrade");
        assert_eq!(refusal(&plain), Some(Refusal::NotWebSocket));
        assert_eq!(
            refusal(&with("upgrade", "websockets")),
            Some(Refusal::NotWebSocket)
        );
        assert_eq!(
            refusal(&with("connection", "keep-alive")),
            Some(Refusal::NotWebSocket)
        );
        assert_eq!(Refusal::NotWebSocket.status(), 400);
    }

    #[test]
    fn only_get_opens_a_websocket() {
        assert_eq!(
            accept(&Method::POST, &request()).unwrap_err(),
            Refusal::Method
        );
        assert_eq!(Refusal::Method.status(), 405);
        assert_eq!(Refusal::Method.headers()["allow"], "GET");
    }

    #[test]
    fn another_version_is_told_the_one_we_speak() {
        assert_eq!(
            refusal(&with("sec-websocket-version", "8")),
            Some(Refusal::Version)
        );
        let mut none = request();
        none.remove("sec-websocket-version");
        assert_eq!(refusal(&none), Some(Refusal::Version));
        assert_eq!(Refusal::Version.status(), 426);
        assert_eq!(Refusal::Version.headers()["sec-websocket-version"], "13");
    }

    #[test]
    fn a_key_is_one_value_of_sixteen_bytes() {
        assert_eq!(
            refusal(&with("sec-websocket-key", "short")),
            Some(Refusal::Key)
        );
        assert_eq!(
            refusal(&with("sec-websocket-key", "c2hvcnQ=")),
            Some(Refusal::Key)
        );
        let mut twice = request();
        let again = twice["sec-websocket-key"].clone();
        twice.append("sec-websocket-key", again);
        assert_eq!(refusal(&twice), Some(Refusal::Key));
        twice.remove("sec-websocket-key");
        assert_eq!(refusal(&twice), Some(Refusal::Key));
    }

    #[test]
    fn no_subprotocol_is_invented() {
        let headers = accept(&Method::GET, &with("sec-websocket-protocol", "chat"))
            .unwrap()
            .headers();
        assert!(!headers.contains_key("sec-websocket-protocol"));
    }

    #[test]
    fn compression_is_answered_when_offered() {
        let offer = with(
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        );
        let accept = accept(&Method::GET, &offer).unwrap();
        assert_eq!(
            accept.headers()["sec-websocket-extensions"],
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        );
        assert!(accept.deflate().is_some());
        let plain = accept.without_deflate();
        assert!(plain.deflate().is_none() && plain.headers().len() == 3);
    }

    proptest! {
        #[test]
        fn any_headers_are_survived_and_only_a_key_of_16_bytes_is_accepted(
            lines in prop::collection::vec(
                (
                    prop::sample::select(vec![
                        "upgrade", "connection", "sec-websocket-key", "sec-websocket-version",
                        "sec-websocket-extensions",
                    ]),
                    prop_oneof![
                        Just(b"websocket".to_vec()),
                        "permessage-deflate(; [a-z_]{0,30}(=[0-9\"]{0,4})?){0,3}".prop_map(String::into_bytes),
                        "[A-Za-z0-9+/]{20,24}={0,2}".prop_map(String::into_bytes),
                        prop::collection::vec(any::<u8>(), 0..40),
                    ],
                ),
                0..6,
            ),
        ) {
            let mut headers = request();
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.insert(name, value);
                }
            }
            if let Ok(accept) = accept(&Method::GET, &headers) {
                let key = STANDARD.decode(&headers[header::SEC_WEBSOCKET_KEY]);
                prop_assert_eq!(key.map(|key| key.len()), Ok(16));
                prop_assert!(accept.headers().len() <= 4);
            }
        }
    }
}
