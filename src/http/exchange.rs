//! What surrounds every request and its answer: the id, what is logged of it, and what is counted.
//! Knows neither bodies nor headers but the id's; what is asked for is the routes' business.

use std::{convert::Infallible, sync::Arc, time::Instant};

use hyper::{Request, body::Incoming, service::Service};

use super::{paths, reply::Response};
use crate::{
    metrics::{Histogram, Metrics},
    outage,
    request::{self, Id},
};

/// A path that is not listed.
const OTHER: &str = "other";

/// `service` with all that around it.
pub(super) fn around<S>(
    service: S,
    metrics: Metrics,
) -> impl Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send,
    S::Future: Send,
{
    let counts = Arc::new(Counts::new(metrics));
    hyper::service::service_fn(move |request| {
        let id = Id::of(request.headers());
        let header = id.header();
        let answered = id.around(exchange(service.clone(), Arc::clone(&counts), request));
        async move {
            let mut response = answered.await?;
            response.headers_mut().insert(request::HEADER, header);
            Ok(response)
        }
    })
}

/// A function of its own, because the service is used only once the request's span is entered.
async fn exchange<S>(
    service: S,
    counts: Arc<Counts>,
    request: Request<Incoming>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible>,
{
    let started = Instant::now();
    let method = request.method().clone();
    let route = paths::listed(request.uri().path());
    let response = service.call(request).await?;
    let (status, took) = (response.status().as_u16(), started.elapsed());
    counts.requests(route, status);
    counts.seconds[route.unwrap_or(paths::PATHS.len())].note(took);
    // The pattern, not the path: what a client made up stays out of the log.
    let route = name(route);
    let took = outage::seconds(took);
    tracing::debug!(%method, route, status, took, "answered");
    Ok(response)
}

struct Counts {
    metrics: Metrics,
    /// In the order of the paths; the last is for all others.
    seconds: Vec<Arc<Histogram>>,
}

impl Counts {
    fn new(metrics: Metrics) -> Self {
        let routes = paths::PATHS.iter().chain([&OTHER]);
        let seconds = routes.map(|route| metrics.http_seconds(route)).collect();
        Self { metrics, seconds }
    }

    fn requests(&self, route: Option<usize>, status: u16) {
        self.metrics.http_requests(name(route), status).increment(1);
    }
}

fn name(route: Option<usize>) -> &'static str {
    route.map_or(OTHER, |route| paths::PATHS[route])
}
