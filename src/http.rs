//! The HTTP API. A request passes the middleware, the check of its host, and CORS; then the table of
//! routes says who may send it and which handler answers it.

mod accounts;
mod answer;
pub mod body;
pub mod cors;
mod documents;
mod health;
mod held;
mod hosts;
mod metrics;
mod middleware;
mod operation;
mod page;
mod request;
pub mod route;
pub mod routes;
mod runs;
mod security_headers;
mod serve;
mod source_pages;
mod sources;
mod uploads;
mod users;

use std::convert::Infallible;

use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use warp::reply::Response;

use crate::app::App;

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
    let routes = security_headers::around(cors::around(&app, serve::routes(&app)));
    let routes = TowerToHyperService::new(warp::service(routes));
    let metrics = app.metrics.clone();
    middleware::around(hosts::around(routes, app), metrics)
}
