//! Pages for browsers: the console at `/`, where other clients are told what is here, what is written about the API at `/api/docs`, and their
//! files below `/console/<build>/`. They hold nothing that is not for everybody: what they show they
//! ask of the API, with their visitor's session.

use std::sync::LazyLock;

use warp::{
    Reply,
    http::{HeaderMap, HeaderValue, StatusCode, header},
};

use super::operation::{Call, Public};
use crate::{
    config::Registration,
    console::{self, BUILD, DOCS_PAGE, File, PAGE, PAGE_WITHOUT_REGISTRATION},
    reply::{self, Problem, Response},
};

/// Nothing but the files that this server has and its API and sockets; not even a style in a tag.
const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'self'; \
    script-src 'self'; img-src 'self'; require-trusted-types-for 'script'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/`: the page, for those that ask for one; others are told in JSON where to look. A bare request, which
/// says neither what it takes nor who sends it, finds nothing there, as it always has.
pub(super) async fn console(call: Call<Public>) -> Result<Response, Problem> {
    let headers = &call.request.headers;
    let mut response = match taken(headers) {
        Some(Taken::Page) if call.app.settings.registration == Registration::Closed => {
            send(&PAGE_WITHOUT_REGISTRATION, headers)
        }
        Some(Taken::Page) => send(&PAGE, headers),
        Some(Taken::Other) => reply::json(StatusCode::OK, &*WHERE),
        None => return Err(Problem::NOT_FOUND),
    };
    let by = HeaderValue::from_static("accept, upgrade, user-agent");
    response.headers_mut().append(header::VARY, by);
    Ok(response)
}

/// `/api/docs`.
pub(super) async fn docs(call: Call<Public>) -> Result<Response, Problem> {
    Ok(send(&DOCS_PAGE, &call.request.headers))
}

/// A file of a build of the console.
pub(super) async fn file(call: Call<Public, [String; 2]>) -> Result<Response, Problem> {
    let [build, name] = call.parts;
    found(console::file(&build, &name))
}

/// A library of a build of the console.
pub(super) async fn vendored_file(call: Call<Public, [String; 2]>) -> Result<Response, Problem> {
    let [build, name] = call.parts;
    found(console::file(&build, &format!("vendor/{name}")))
}

fn found(file: Option<&'static File>) -> Result<Response, Problem> {
    file.map(send_file).ok_or(Problem::NOT_FOUND)
}

/// What a client takes at `/`.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    Page,
    Other,
}

fn taken(headers: &HeaderMap) -> Option<Taken> {
    // There is no socket at this path.
    if headers.contains_key(header::UPGRADE) {
        return None;
    }
    let ranges = || {
        let accepted = headers.get_all(header::ACCEPT).iter();
        accepted.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
    };
    let is_page = |range: &[u8]| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or_default();
        let refuses = |part: &[u8]| {
            let part = part.to_ascii_lowercase();
            let weight = part.strip_prefix(b"q=");
            weight.is_some_and(|weight| weight.iter().all(|byte| b"0.".contains(byte)))
        };
        kind.eq_ignore_ascii_case(b"text/html") && !parts.any(refuses)
    };
    if ranges().any(is_page) {
        return Some(Taken::Page);
    }
    let says_what = ranges().any(|range| ![&b""[..], b"*/*"].contains(&range.trim_ascii()));
    let says_who = headers.contains_key(header::USER_AGENT);
    (says_what || says_who).then_some(Taken::Other)
}

/// What is said at `/` to a client that asks for no page.
static WHERE: LazyLock<serde_json::Value> = LazyLock::new(|| {
    serde_json::json!({
        "name": "marketplace",
        "detail": "Open this address in a browser for the page.",
        "documentation": "/api/docs",
        "health": "/readyz",
    })
});

/// Asked for each time, but sent only when it is another.
fn send(page: &'static str, asked: &HeaderMap) -> Response {
    // The pages of a build differ in length.
    let tag = format!("\"{}-{}\"", *BUILD, page.len());
    let known = asked.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        warp::reply::html(page).into_response()
    };
    let tag = HeaderValue::from_str(&tag).expect("it is plain text");
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::ETAG, tag);
    response
}

/// What is in it is in its address, so it never changes.
fn send_file(file: &'static File) -> Response {
    let mut response = Response::new(file.text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_asks_for_html_gets_the_page_and_a_bare_request_finds_nothing() {
        for (accept, expected) in [
            (&[][..], None),
            (&["*/*"], None),
            (&[""], None),
            (&["application/json"], Some(Taken::Other)),
            (&["image/avif,*/*;q=0.8"], Some(Taken::Other)),
            (&["text/html"], Some(Taken::Page)),
            (&["TEXT/HTML;q=0.1, */*"], Some(Taken::Page)),
            (&["application/json, text/html; level=1"], Some(Taken::Page)),
            (&["application/json", "text/html"], Some(Taken::Page)),
            (&["h\u{e9}, text/html"], Some(Taken::Page)),
            (&["text/html;q=0, application/json"], Some(Taken::Other)),
            (&["text/html; q=0.000"], Some(Taken::Other)),
            (&["text/html5"], Some(Taken::Other)),
        ] {
            let lines = accept.iter().map(|line| {
                let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
                (header::ACCEPT, line)
            });
            let mut headers: HeaderMap = lines.collect();
            assert_eq!(taken(&headers), expected, "{accept:?}");
            // As curl does.
            headers.insert(header::USER_AGENT, HeaderValue::from_static("curl/8"));
            let expected = expected.unwrap_or(Taken::Other);
            assert_eq!(taken(&headers), Some(expected), "{accept:?}");
            // A browser's socket, whose handshake also says who sends it.
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            assert_eq!(taken(&headers), None, "{accept:?}");
        }
    }
}
