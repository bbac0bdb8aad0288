//! The HTTP API: the tree of routes and the order in which a request is judged: its path, who sent
//! it, its method, its body. Knows what to ask of whom; the tables are `db`'s business.

mod accounts;
pub mod body;
pub mod cors;
mod documents;
mod health;
mod hosts;
mod metrics;
mod middleware;
mod page;
pub mod paths;
mod request;
mod runs;
mod security_headers;
mod sources;
mod uploads;
mod users;

use std::convert::Infallible;

use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use uuid::Uuid;
use warp::{
    Filter, Rejection,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header::SET_COOKIE},
    path::FullPath,
    reply::Response,
};

use self::{body::Body, request::Request};
use crate::{
    app::App,
    auth::{
        self, Identity, Refused, cookies,
        role::{FORBIDDEN, Role},
        sessions::LIFETIME,
    },
    peer::Peer,
    pg,
    reply::{self, Problem},
    sockets::handshake,
};

/// Every route of the server.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let routes = api(app)
        .or(handshake::routes(app))
        .unify()
        .or(health::routes(app))
        .unify()
        .or(metrics::routes(app))
        .unify()
        .or(page::routes())
        .unify();
    let routes = routes.or(page::is_only_read()).unify();
    let routes = listed().and(routes).or(not_found()).unify();
    security_headers::around(cors::around(app, routes.boxed()))
}

/// All routes as the accept loop serves them, to hosts of this server, each answer with its id, logged
/// and counted.
pub fn service(
    app: App,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone {
    let routes = TowerToHyperService::new(warp::service(routes(&app)));
    let metrics = app.metrics.clone();
    middleware::around(hosts::around(routes, app), metrics)
}

/// Rejects every path that is not listed.
fn listed() -> BoxedFilter<()> {
    warp::path::full()
        .and_then(|path: FullPath| async move {
            let path = path.as_str();
            if paths::is_listed(path) {
                return Ok(());
            }
            debug_assert!(Endpoint::at(path).is_none(), "{path} is not in http::paths");
            Err(warp::reject::not_found())
        })
        .untuple_one()
        .boxed()
}

/// The API; rejects what is not its own path, and nothing else.
pub fn api(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path::full()
        .and_then(|path: FullPath| async move {
            Endpoint::at(path.as_str()).ok_or_else(warp::reject::not_found)
        })
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::body::stream().map(Body::new))
        .then(move |endpoint, method, peer, headers, query, body| {
            let request = Request::new(method, peer, headers, query, body);
            pg::within_budget(serve(app.clone(), endpoint, request))
        })
        .boxed()
}

/// Says of any request that there is nothing here.
pub fn not_found() -> BoxedFilter<(Response,)> {
    warp::any()
        .map(|| Problem::detail(StatusCode::NOT_FOUND, "Not found.").into_response())
        .boxed()
}

/// Passes what reads; who may GET may HEAD.
fn reads() -> impl Filter<Extract = (), Error = Rejection> + Copy {
    warp::get().or(warp::head()).unify()
}

/// What follows the question mark, if anything.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// What a path of the API names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Register,
    Login,
    Logout,
    LogoutEverywhere,
    Password,
    Add,
    AddDemo,
    Read,
    Library,
    OpenApi,
    AsyncApi,
    Update(Uuid),
    Delete(Uuid),
    Activate(Uuid),
    Deactivate(Uuid),
    Reactivate(Uuid),
    Me,
    Users,
    User(Uuid),
    Pipeline,
    Steps,
    Runs,
    Run(Uuid),
    CancelRun(Uuid),
    StartJob,
    Upload(Uuid),
    Health,
}

impl Endpoint {
    /// The endpoint at a path, with or without its last slash.
    fn at(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path == "/emrrunner/start" {
            return Some(Self::StartJob);
        }
        let path = path.strip_prefix("/api/")?;
        Some(match path.split_once('/') {
            None => match path {
                "register" => Self::Register,
                "login" => Self::Login,
                "logout" => Self::Logout,
                "logout-everywhere" => Self::LogoutEverywhere,
                "password" => Self::Password,
                "add-source" => Self::Add,
                "add-demo" => Self::AddDemo,
                "read-source" => Self::Read,
                "data-library" => Self::Library,
                "me" => Self::Me,
                "users" => Self::Users,
                "pipeline" => Self::Pipeline,
                "pipeline-steps" => Self::Steps,
                "pipeline-runs" => Self::Runs,
                "health" => Self::Health,
                "openapi.json" => Self::OpenApi,
                "asyncapi.yaml" => Self::AsyncApi,
                _ => return None,
            },
            Some(("pipeline-runs", run)) => match run.strip_suffix("/cancel") {
                Some(id) => Self::CancelRun(canonical(id)?),
                None => Self::Run(canonical(run)?),
            },
            Some(("uploads", file)) => {
                // The name that follows is for people and programs that save by it.
                let key = match file.split_once('/') {
                    None => file,
                    Some((key, name)) if !name.is_empty() && !name.contains('/') => key,
                    Some(_) => return None,
                };
                Self::Upload(canonical(key)?)
            }
            Some((name, id)) => {
                let to = match name {
                    "update-source" => Self::Update,
                    "delete-source" => Self::Delete,
                    "activate-source" => Self::Activate,
                    "deactivate-source" => Self::Deactivate,
                    "reactivate-source" => Self::Reactivate,
                    "users" => Self::User,
                    _ => return None,
                };
                to(canonical(id)?)
            }
        })
    }

    /// What may be done with it, in the order of `Allow`. Who may GET may HEAD.
    fn methods(self) -> &'static [Method] {
        match self {
            Self::Register
            | Self::Login
            | Self::LogoutEverywhere
            | Self::Password
            | Self::Add
            | Self::AddDemo
            | Self::Reactivate(_)
            | Self::CancelRun(_)
            | Self::StartJob => &[Method::OPTIONS, Method::POST],
            Self::Logout => &[
                Method::DELETE,
                Method::GET,
                Method::OPTIONS,
                Method::PATCH,
                Method::POST,
                Method::PUT,
            ],
            Self::Read
            | Self::Library
            | Self::OpenApi
            | Self::AsyncApi
            | Self::Me
            | Self::Users
            | Self::Pipeline
            | Self::Steps
            | Self::Run(_)
            | Self::Upload(_)
            | Self::Health => &[Method::GET, Method::HEAD, Method::OPTIONS],
            Self::Runs => &[Method::GET, Method::HEAD, Method::OPTIONS, Method::POST],
            Self::Update(_) => &[Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT],
            Self::Delete(_) => &[Method::DELETE, Method::OPTIONS, Method::POST],
            Self::Activate(_) | Self::Deactivate(_) => {
                &[Method::OPTIONS, Method::POST, Method::PUT]
            }
            Self::User(_) => &[Method::DELETE, Method::OPTIONS, Method::PATCH],
        }
    }

    /// Whether those of this role may do this here.
    fn admits(self, method: &Method, role: Role) -> bool {
        match self {
            Self::Register
            | Self::Login
            | Self::Logout
            | Self::LogoutEverywhere
            | Self::Password
            | Self::Read
            | Self::Library
            | Self::OpenApi
            | Self::AsyncApi
            | Self::Me
            | Self::Pipeline
            | Self::Steps
            | Self::Run(_)
            | Self::Upload(_)
            | Self::Health => true,
            Self::Runs => method != Method::POST || role.may_edit(),
            Self::Add
            | Self::AddDemo
            | Self::Update(_)
            | Self::Delete(_)
            | Self::Activate(_)
            | Self::Deactivate(_)
            | Self::Reactivate(_)
            | Self::CancelRun(_)
            | Self::StartJob => role.may_edit(),
            Self::Users | Self::User(_) => role.may_manage_users(),
        }
    }

    /// Whether one may come here without having signed in.
    fn is_open(self) -> bool {
        matches!(self, Self::Register | Self::Login | Self::Logout)
    }
}

/// An id in the one spelling that paths have.
fn canonical(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text).ok()?;
    (id.to_string() == text).then_some(id)
}

async fn serve(app: App, endpoint: Endpoint, mut request: Request) -> Response {
    if request.method == Method::OPTIONS {
        return reply::options(endpoint.methods());
    }
    let mut cookie = None;
    let admitted = admit(
        &app,
        endpoint,
        &request.method,
        &request.peer,
        &request.headers,
        &mut cookie,
    );
    let mut response = match admitted.await {
        Ok(who) => {
            if let Some(who) = &who {
                request.admitted(endpoint, who.clone());
            }
            answer(&app, endpoint, who, request)
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

/// Lets a request pass whose sender is known, and may come here, where that is needed, whose page may
/// act for its visitor, and whose method fits. `cookie` is what the browser is to do with its session's cookie.
async fn admit(
    app: &App,
    endpoint: Endpoint,
    method: &Method,
    peer: &Peer,
    headers: &HeaderMap,
    cookie: &mut Option<HeaderValue>,
) -> Result<Option<Identity>, Problem> {
    let mut who = None;
    if !endpoint.is_open() {
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
        if !endpoint.admits(method, identity.role) {
            return Err(Problem::detail(StatusCode::FORBIDDEN, FORBIDDEN));
        }
        who = Some(identity);
    }
    if endpoint.methods().contains(method) {
        Ok(who)
    } else {
        Err(Problem::Method {
            method: method.clone(),
            allowed: endpoint.methods(),
        })
    }
}

fn has_session_cookie(headers: &HeaderMap) -> bool {
    cookies::values(headers, cookies::SESSION).next().is_some()
}

async fn answer(
    app: &App,
    endpoint: Endpoint,
    who: Option<Identity>,
    request: Request,
) -> Result<Response, Problem> {
    let _reading = match &who {
        // Lists of all rows are counted on their own, until they are sent.
        Some(who) if request.method.is_safe() && endpoint != Endpoint::Read => {
            Some(app.limits.reads.begin(who.user_id).await?)
        }
        _ => None,
    };
    let by = who.as_ref().map(|who| who.username.clone());
    let by = by.as_deref().unwrap_or_default();
    match endpoint {
        Endpoint::Register => accounts::register(app, request).await,
        Endpoint::Login => accounts::login(app, request).await,
        Endpoint::Logout => accounts::logout(app, request).await,
        Endpoint::LogoutEverywhere => accounts::logout_everywhere(app, who, &request.peer).await,
        Endpoint::Password => accounts::change_password(app, who, request).await,
        Endpoint::Add => sources::add(app, by, request).await,
        Endpoint::AddDemo => sources::add_demo(app, by).await,
        Endpoint::Read => sources::read(app, who).await,
        Endpoint::Library => sources::library(app).await,
        Endpoint::OpenApi => Ok(documents::openapi()),
        Endpoint::AsyncApi => Ok(documents::asyncapi()),
        Endpoint::Update(id) => sources::update(app, by, id, request).await,
        Endpoint::Delete(id) => sources::delete(app, by, id).await,
        Endpoint::Activate(id) => sources::set_status(app, by, id, "active", "activated").await,
        Endpoint::Deactivate(id) => {
            sources::set_status(app, by, id, "inactive", "deactivated").await
        }
        Endpoint::Reactivate(id) => sources::set_status(app, by, id, "active", "reactivated").await,
        Endpoint::Me => users::me(app, who).await,
        Endpoint::Users => users::list(app).await,
        Endpoint::Health => health::report(app).await,
        Endpoint::User(id) => users::user(app, id, request).await,
        Endpoint::Pipeline => Ok(runs::pipeline(app)),
        Endpoint::Steps => Ok(runs::steps(app)),
        Endpoint::Runs if request.method == Method::POST => runs::start(app, who, request).await,
        Endpoint::Runs => runs::list(app, &request.query).await,
        Endpoint::Run(id) => runs::one(app, id).await,
        Endpoint::CancelRun(id) => runs::cancel(app, id).await,
        Endpoint::Upload(key) => uploads::fetch(app, key).await,
        Endpoint::StartJob => runs::start_job(app, who, request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-00000000000a";

    #[test]
    fn paths_are_exact_but_for_the_last_slash() {
        let id = Uuid::try_parse(ID).unwrap();
        for (path, endpoint) in [
            ("/api/login/", Some(Endpoint::Login)),
            ("/api/login", Some(Endpoint::Login)),
            (
                &format!("/api/update-source/{ID}/"),
                Some(Endpoint::Update(id)),
            ),
            (
                &format!("/api/delete-source/{ID}"),
                Some(Endpoint::Delete(id)),
            ),
            ("/api/pipeline/", Some(Endpoint::Pipeline)),
            ("/api/pipeline-runs/", Some(Endpoint::Runs)),
            (
                &format!("/api/pipeline-runs/{ID}/"),
                Some(Endpoint::Run(id)),
            ),
            (
                &format!("/api/pipeline-runs/{ID}/cancel/"),
                Some(Endpoint::CancelRun(id)),
            ),
            ("/api/pipeline-runs/cancel/", None),
            (&format!("/api/uploads/{ID}/"), Some(Endpoint::Upload(id))),
            (
                &format!("/api/uploads/{ID}/a.csv"),
                Some(Endpoint::Upload(id)),
            ),
            (&format!("/api/uploads/{ID}//"), None),
            (&format!("/api/uploads/{ID}/a/b"), None),
            ("/emrrunner/start", Some(Endpoint::StartJob)),
            ("/api/login//", None),
            ("/API/login/", None),
            ("/api/", None),
            ("/api", None),
            ("/", None),
            ("/login/", None),
            ("/api/read-source/x/", None),
            ("/api/update-source/", None),
            ("/api/update-source/1/", None),
            (&format!("/api/login/{ID}/"), None),
            (&format!("/api/update-source/{}/", ID.to_uppercase()), None),
            (
                &format!("/api/update-source/{}/", ID.replace('-', "")),
                None,
            ),
            (&format!("/api/update-source/{ID}/x/"), None),
        ] {
            assert_eq!(Endpoint::at(path), endpoint, "{path}");
        }
    }
}
