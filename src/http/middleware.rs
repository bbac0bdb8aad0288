//! What surrounds every request and its answer: the id, what is logged of it, and what is counted.
//! Knows neither bodies nor headers but the id's; what is asked for is the routes' business.

use std::{convert::Infallible, sync::Arc, time::Instant};

use hyper::{Request, body::Incoming, service::Service};
use metrics::Counter;
use warp::http::StatusCode;

use super::{
    routes::{ROUTES, position},
    security_headers,
};
use crate::{
    metrics::{Histogram, Metrics},
    outage, panics,
    reply::{self, Response},
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
    let route = position(request.uri().path());
    let answering = panics::caught(async move { service.call(request).await });
    let response = match answering.await {
        Ok(response) => response?,
        Err(panic) => {
            counts.panics.increment(1);
            let route = name(route);
            tracing::error!(%method, route, %panic, "a request panicked");
            let detail = reply::detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal error.");
            security_headers::mark(detail)
        }
    };
    let (status, took) = (response.status().as_u16(), started.elapsed());
    counts.requests(route, status);
    counts.seconds[route.unwrap_or(ROUTES.len())].note(took);
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
    panics: Counter,
}

impl Counts {
    fn new(metrics: Metrics) -> Self {
        let paths = ROUTES.iter().map(|route| route.path).chain([OTHER]);
        let seconds = paths.map(|path| metrics.http_seconds(path)).collect();
        let panics = metrics.panics("request");
        Self {
            metrics,
            seconds,
            panics,
        }
    }

    fn requests(&self, route: Option<usize>, status: u16) {
        self.metrics.http_requests(name(route), status).increment(1);
    }
}

fn name(route: Option<usize>) -> &'static str {
    route.map_or(OTHER, |route| ROUTES[route].path)
}

#[cfg(test)]
mod tests {
    use hyper_util::{
        rt::{TokioIo, TokioTimer},
        service::TowerToHyperService,
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use warp::Filter;

    use super::*;

    /// Reads from `stream` until `end` has come.
    async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let mut bytes = [0; 4096];
            let len = stream.read(&mut bytes).await.unwrap();
            assert!(len > 0, "the connection was closed after {text:?}");
            text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered_and_its_connection_goes_on() {
        let panics = warp::path!("panics").map(|| -> Response { panic!("a defect") });
        let fine = warp::path!("fine").map(|| Response::new("fine".into()));
        let routes = TowerToHyperService::new(warp::service(panics.or(fine).unify()));
        let metrics = Metrics::default();
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(server), around(routes, metrics.clone()));
        tokio::spawn(connection);

        let head = "host: a\r\nx-request-id: seven\r\n\r\n";
        let asked = format!("GET /panics HTTP/1.1\r\n{head}");
        client.write_all(asked.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "}").await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        for part in [
            "x-request-id: seven",
            "x-content-type-options: nosniff",
            r#""detail":"Internal error.""#,
            r#""request_id":"seven""#,
        ] {
            assert!(answer.contains(part), "{part}: {answer}");
        }
        let asked = format!("GET /fine HTTP/1.1\r\n{head}");
        client.write_all(asked.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\nfine").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let shown = metrics.render();
        assert!(
            shown.contains("marketplace_panics_total{part=\"request\"} 1"),
            "{shown}"
        );
    }
}
