//! What browsers are told about other origins: the frontends may read answers and send cookies,
//! anybody else gets the plain answer, which their browser keeps from them.

use std::convert::Infallible;

use warp::{
    Filter,
    filters::BoxedFilter,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_HEADERS, VARY,
        },
    },
    reply::Response,
};

use crate::app::App;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, OPTIONS, PATCH, POST, PUT");
const HEADERS: &str =
    "accept, authorization, content-type, user-agent, x-csrftoken, x-requested-with";
/// A longer list of headers that a page wants to send is not repeated, in bytes.
const MAX_ASKED: usize = 2 * 1024;
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// `routes` with the right headers on whatever they answer, and preflights answered.
pub fn around(app: &App, routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let allowed = app.clone();
    let preflight = warp::options()
        .and(warp::header::value("origin"))
        .and(warp::header::value("access-control-request-method"))
        .and(warp::header::headers_cloned())
        .and_then(move |origin: HeaderValue, _method, headers: HeaderMap| {
            let is_allowed = allowed.auth.allowed_origins.contains(&origin);
            async move {
                if is_allowed {
                    Ok((origin, headers))
                } else {
                    Err(warp::reject::not_found())
                }
            }
        })
        .untuple_one()
        .map(|origin, asked: HeaderMap| answer_preflight(origin, &asked));
    let allowed = app.clone();
    let others =
        origin()
            .and(routes)
            .map(move |origin: Option<HeaderValue>, mut response: Response| {
                let origin = origin.filter(|origin| allowed.auth.allowed_origins.contains(origin));
                mark(&mut response, origin);
                response
            });
    preflight.or(others).unify().boxed()
}

/// The request's origin, if it names one.
fn origin() -> impl Filter<Extract = (Option<HeaderValue>,), Error = Infallible> + Clone {
    warp::header::value("origin")
        .map(Some)
        .or(warp::any().map(|| None))
        .unify()
}

fn answer_preflight(origin: HeaderValue, asked: &HeaderMap) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, sendable(asked));
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    mark(&mut response, Some(origin));
    response
}

/// The headers that a page may send: those that are known here, and whichever it asks for, such as those
/// of tracing. Which origins may is what protects.
fn sendable(asked: &HeaderMap) -> HeaderValue {
    let values = asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS);
    if values.iter().map(HeaderValue::len).sum::<usize>() > MAX_ASKED {
        return HeaderValue::from_static(HEADERS);
    }
    let mut names: Vec<String> = HEADERS.split(", ").map(ToOwned::to_owned).collect();
    for value in values {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            // A name as HTTP knows it, in small letters; what is none is left out.
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
                && !names.iter().any(|known| known == name.as_str())
            {
                names.push(name.as_str().to_owned());
            }
        }
    }
    HeaderValue::from_str(&names.join(", ")).expect("names of headers are plain text")
}

fn mark(response: &mut Response, origin: Option<HeaderValue>) {
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_send_whatever_headers_it_asks_for() {
        let asked = |lines: &[&[u8]]| {
            let headers = lines.iter().map(|line| {
                let line = HeaderValue::from_bytes(line).unwrap();
                (ACCESS_CONTROL_REQUEST_HEADERS, line)
            });
            let list = sendable(&headers.collect());
            let list = list.to_str().unwrap();
            let more = list
                .strip_prefix(HEADERS)
                .expect("the known ones are always there");
            more.trim_start_matches(", ").to_owned()
        };
        let long = vec![b'a'; MAX_ASKED + 1];
        for (lines, more) in [
            (&[][..], ""),
            (&[&b"content-type,x-csrftoken"[..]], ""),
            (&[b"traceparent, tracestate"], "traceparent, tracestate"),
            (&[b"Content-Type,,X-Own ,x-own"], "x-own"),
            (&[b"a", b"b,a"], "a, b"),
            (&[b"a b, c:d, \xff, e"], "e"),
            (&[b"*"], "*"),
            (&[&long], ""),
        ] {
            assert_eq!(asked(lines), more, "{lines:?}");
        }
    }
}
