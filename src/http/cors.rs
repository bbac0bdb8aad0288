//! What browsers are told about other origins: the frontends may read answers and send cookies,
//! anybody else gets the plain answer, which their browser keeps from them.

use std::convert::Infallible;

use warp::{
    Filter,
    filters::BoxedFilter,
    http::{
        HeaderValue,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
            VARY,
        },
    },
    reply::Response,
};

use crate::app::App;

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, OPTIONS, PATCH, POST, PUT");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "accept, authorization, content-type, user-agent, x-csrftoken, x-requested-with",
);
/// Seconds for which a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// `routes` with the right headers on whatever they answer, and preflights answered.
pub fn around(app: &App, routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let allowed = app.clone();
    let preflight = warp::options()
        .and(warp::header::value("origin"))
        .and(warp::header::value("access-control-request-method"))
        .and_then(move |origin: HeaderValue, _method| {
            let is_allowed = allowed.allowed_origins.contains(&origin);
            async move {
                if is_allowed {
                    Ok(origin)
                } else {
                    Err(warp::reject::not_found())
                }
            }
        })
        .map(answer_preflight);
    let allowed = app.clone();
    let others =
        origin()
            .and(routes)
            .map(move |origin: Option<HeaderValue>, mut response: Response| {
                let origin = origin.filter(|origin| allowed.allowed_origins.contains(origin));
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

fn answer_preflight(origin: HeaderValue) -> Response {
    let mut response = Response::default();
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    mark(&mut response, Some(origin));
    response
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
