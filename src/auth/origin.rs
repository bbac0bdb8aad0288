//! Whether a page of this origin may act for the visitor it was shown to. Compares; answers nobody.

use warp::http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN},
};

use crate::app::App;

/// Whether a request with these headers may use the visitor's cookies: it comes from one of the
/// frontends, from a page of this server's own, or from no page at all.
pub fn allowed(app: &App, headers: &HeaderMap) -> bool {
    foreign(&app.allowed_origins, headers).is_none()
}

/// The origin that may not act, if there is one.
pub(crate) fn foreign<'a>(
    allowed: &[HeaderValue],
    headers: &'a HeaderMap,
) -> Option<&'a HeaderValue> {
    // A browser sends one; of several each would have to be allowed.
    headers
        .get_all(ORIGIN)
        .iter()
        .find(|origin| !allowed.contains(origin) && !is_own(origin, headers))
}

/// A page's origin is this server's when it names the host that the request was sent to. TLS may
/// end in front of the server, so either scheme will do.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.as_bytes();
    let host = origin
        .strip_prefix(b"http://")
        .or_else(|| origin.strip_prefix(b"https://"));
    match (host, headers.get(HOST)) {
        (Some(host), Some(own)) => host == own.as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins_and_the_own_host_may_act() {
        let allowed = [HeaderValue::from_static("http://localhost:3000")];
        for (origin, may) in [
            (None, true),
            (Some("http://localhost:3000"), true),
            (Some("http://market.example:8000"), true),
            (Some("https://market.example:8000"), true),
            (Some("http://market.example"), false),
            (Some("ftp://market.example:8000"), false),
            (Some("https://localhost:3000"), false),
            (Some("http://127.0.0.1:3000"), false),
            (Some("http://localhost:3000.evil.example"), false),
            (Some("HTTP://LOCALHOST:3000"), false),
            (Some("http://evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("market.example:8000"));
            if let Some(origin) = origin {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(foreign(&allowed, &headers).is_none(), may, "{origin:?}");
            headers.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
            assert!(foreign(&allowed, &headers).is_some());
        }
    }
}
