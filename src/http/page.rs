//! Pages for browsers: the console at `/`, what is written about the API at `/api/docs`, and their
//! files below `/console/<build>/`. They hold nothing that is not for everybody: what they show they
//! ask of the API, with their visitor's session.

use warp::{
    Filter, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    path::Tail,
};

use super::{
    reads,
    reply::{self, Problem, Response},
};
use crate::console::{self, BUILD, DOCS_PAGE, File, PAGE};

/// Nothing but the files that this server has and its API and sockets; not even a style in a tag.
const POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'self'; \
    script-src 'self'; img-src 'self'; require-trusted-types-for 'script'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/` for browsers. Other clients find nothing there, as they always have.
pub(super) fn routes() -> BoxedFilter<(Response,)> {
    let page = warp::path::end()
        .and(reads())
        .and(warp::header::headers_cloned())
        .and_then(async |headers: HeaderMap| {
            let accept = headers
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            if accept.is_some_and(|accept| accept.contains("text/html")) {
                Ok(send(&PAGE, &headers))
            } else {
                Err(warp::reject::not_found())
            }
        });
    let docs = warp::path!("api" / "docs")
        .and(reads())
        .and(warp::header::headers_cloned())
        .map(|headers: HeaderMap| send(&DOCS_PAGE, &headers));
    let files = warp::path("console")
        .and(warp::path::param())
        .and(warp::path::tail())
        .and(reads())
        .and_then(async |build: String, name: Tail| {
            console::file(&build, name.as_str())
                .map(file)
                .ok_or_else(warp::reject::not_found)
        });
    page.or(docs).unify().or(files).unify().boxed()
}

/// Says what may be done with a page, and with what operators ask, to whoever wants to do something
/// else with it.
pub(super) fn is_only_read() -> BoxedFilter<(Response,)> {
    const ALLOWED: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];
    let file = warp::path("console").and(warp::path::tail()).map(drop);
    let paths = warp::path::end()
        .or(warp::path!("api" / "docs"))
        .unify()
        .or(warp::path!("healthz"))
        .unify()
        .or(warp::path!("readyz"))
        .unify()
        .or(warp::path!("metrics"))
        .unify()
        .or(file.untuple_one())
        .unify();
    paths
        .and(warp::method())
        .and_then(async |method: Method| match method {
            // There is none, or none for this client.
            Method::GET | Method::HEAD => Err(warp::reject::not_found()),
            Method::OPTIONS => Ok(reply::options(ALLOWED)),
            method => {
                let allowed = ALLOWED;
                Ok(Problem::Method { method, allowed }.into_response())
            }
        })
        .boxed()
}

/// Asked for each time, but sent only when it is another.
fn send(page: &'static str, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", *BUILD);
    let known = asked.get(header::IF_NONE_MATCH);
    let mut response = if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        warp::reply::html(page).into_response()
    };
    let tag = HeaderValue::from_str(&tag).expect("it is hexadecimal");
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
fn file(file: &'static File) -> Response {
    let mut response = Response::new(file.text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, forever);
    response
}
