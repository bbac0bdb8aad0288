//! `/metrics`: what is counted, as Prometheus reads it, for the addresses that may know. Whoever was
//! sent on by a proxy may not: the address is then the proxy's.

use warp::{
    Filter,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
};

use super::reply::{self, Response};
use crate::{app::App, peer::Peer};

/// Headers by which a proxy says for whom it asks.
const FORWARDED: [&str; 2] = ["forwarded", "x-forwarded-for"];

/// The route.
pub(super) fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    warp::path!("metrics")
        .and(warp::get())
        .and(warp::ext::optional::<Peer>())
        .and(warp::header::headers_cloned())
        .map(move |peer, headers| answer(&app, peer, &headers))
        .boxed()
}

fn answer(app: &App, peer: Option<Peer>, headers: &HeaderMap) -> Response {
    let may_read = |peer: Peer| app.metrics_allow.iter().any(|n| n.contains(peer.address));
    let was_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
    if was_forwarded || !peer.is_some_and(may_read) {
        return reply::detail(
            StatusCode::FORBIDDEN,
            "This address may not read the metrics.",
        );
    }
    look_up(app);
    let mut response = Response::new(app.metrics.render().into());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Brings the numbers that are kept elsewhere up to date.
fn look_up(app: &App) {
    let metrics = app.metrics.on_demand();
    {
        let listener = app.listener.borrow();
        let is_up = f64::from(u8::from(listener.check().is_ok()));
        let age = listener
            .heartbeat
            .map_or(-1.0, |at| at.elapsed().as_secs_f64());
        metrics.listener_up.set(is_up);
        metrics.heartbeat_age.set(age);
        metrics.listener_connections.absolute(listener.connections);
    }
    // Precise far beyond any number of sockets.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    metrics.sockets_open.set(app.tally.open() as f64);
    metrics.sockets_opened.absolute(app.tally.opened_so_far());
    for (reason, ended) in app.tally.ended_so_far() {
        app.metrics.sockets_ended(reason).absolute(ended);
    }
}
