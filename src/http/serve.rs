//! The order in which a request is judged: its path, who sends it, its method; then its operation
//! answers it.

use warp::{
    Filter,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header::SET_COOKIE},
    path::FullPath,
};

use super::{
    accounts,
    body::Body,
    held,
    hosts::Misdirected,
    metrics,
    request::{Head, Request},
    route::{Route, Target},
    routes::at,
};
use crate::{
    app::App,
    auth::{self, Identity, Refused, access::Access, cookies, role::FORBIDDEN, sessions::LIFETIME},
    peer::Peer,
    pg,
    reply::{self, Problem, Response},
    sockets::handshake::{self, Handshake},
};

/// Answers every request.
pub(super) fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path::full()
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::ext::optional())
        .and(warp::header::headers_cloned())
        .and(query)
        .and(warp::body::stream().map(Body::new))
        .and(warp::ext::optional())
        .and(warp::ext::optional())
        .then(
            move |path: FullPath,
                  method,
                  peer,
                  misdirected: Option<Misdirected>,
                  headers,
                  query,
                  body,
                  upgrade,
                  permit| {
                let head = Head {
                    method,
                    peer,
                    is_misdirected: misdirected.is_some(),
                    headers,
                    query,
                };
                let app = app.clone();
                async move {
                    let Some((route, parts)) = at(path.as_str()) else {
                        return Problem::NOT_FOUND.into_response();
                    };
                    match &route.target {
                        Target::Operations(_) => {
                            pg::within_budget(Box::pin(serve(
                                app,
                                route,
                                &parts,
                                Request::new(head, body),
                            )))
                            .await
                        }
                        Target::Socket(endpoint) => {
                            let handshake = Handshake {
                                method: &head.method,
                                peer: &head.peer,
                                headers: &head.headers,
                                query: &head.query,
                                upgrade,
                                permit,
                            };
                            if handshake.asks_for_socket() {
                                handshake::open(app, endpoint, handshake).await
                            } else {
                                Problem::NOT_FOUND.into_response()
                            }
                        }
                    }
                }
            },
        )
        .boxed()
}

async fn serve(app: App, route: &'static Route, parts: &[&str], mut request: Request) -> Response {
    if !route.has_ids(parts) {
        return Problem::NOT_FOUND.into_response();
    }
    if request.method == Method::OPTIONS {
        return reply::options(route.methods());
    }
    let mut cookie = None;
    let mut response = match admit(&app, route, &request.head, &mut cookie).await {
        Ok(user) => {
            if let Some(user) = &user {
                request.admitted(route.access(&request.method), user.clone());
            }
            answer(app, route, user, parts, request)
                .await
                .unwrap_or_else(Problem::into_response)
        }
        Err(problem) => problem.into_response(),
    };
    // What the answer itself says of the cookie is newer.
    if let Some(cookie) = cookie
        && !response.headers().contains_key(SET_COOKIE)
    {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Lets a request pass whose sender is known, and may come here, where that is needed, and whose page
/// may act for its visitor. `cookie` is what the browser is to do with its session's cookie.
async fn admit(
    app: &App,
    route: &Route,
    head: &Head,
    cookie: &mut Option<HeaderValue>,
) -> Result<Option<Identity>, Problem> {
    let Head {
        method,
        peer,
        headers,
        ..
    } = head;
    let access = route.access(method);
    if access == Access::Operator && !metrics::may_read(app, head) {
        return Err(metrics::refused());
    }
    if access.is_without_user() {
        return Ok(None);
    }
    let secure = app.auth.cookie_secure.applies(peer);
    let identity = auth::identify(&app.auth, peer, headers).await;
    let session = match &identity {
        Ok(identity) => identity.session.as_ref(),
        Err(Refused::Denied(_)) => None,
        Err(Refused::TooMany(_) | Refused::Busy | Refused::Failed(_)) => {
            return identity.map(Some).map_err(Problem::from);
        }
    };
    *cookie = match session {
        // Of several, a stale one is left alone while another is good.
        None if has_session_cookie(headers) => Some(cookies::clear_session(secure)),
        None => None,
        Some(session) => {
            let token = session.extended.as_ref();
            token.map(|token| cookies::set_session(token.reveal(), LIFETIME, secure))
        }
    };
    if session.is_some() && !method.is_safe() {
        accounts::check_origin(app, headers)?;
    }
    let identity = identity?;
    if !access.admits(identity.role) {
        return Err(Problem::detail(StatusCode::FORBIDDEN, FORBIDDEN));
    }
    Ok(Some(identity))
}

/// Whether a request has the cookie of a session, valid or not.
pub(super) fn has_session_cookie(headers: &HeaderMap) -> bool {
    cookies::values(headers, cookies::SESSION).next().is_some()
}

async fn answer(
    app: App,
    route: &'static Route,
    user: Option<Identity>,
    parts: &[&str],
    request: Request,
) -> Result<Response, Problem> {
    let Some(operation) = route.operation(&request.method) else {
        return Err(Problem::Method {
            method: request.method.clone(),
            allowed: route.methods(),
        });
    };
    let limits = app.limits.clone();
    match &user {
        Some(user) if request.method.is_safe() && !operation.limits_itself => {
            let place = limits.reads.begin(user.user_id).await?;
            let response = operation
                .answer(app, Some(user.clone()), parts, request)
                .await?;
            Ok(held::until_taken(response, place).await)
        }
        _ => operation.answer(app, user, parts, request).await,
    }
}
