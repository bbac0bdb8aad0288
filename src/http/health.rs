//! `/healthz`: the process answers. `/readyz`: it can do its work or not; operators, who may read
//! `/metrics`, are told why not. `/api/health/`: the same in numbers, for people who have signed in.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use warp::{
    Filter,
    filters::BoxedFilter,
    http::{HeaderMap, StatusCode},
};

use super::{hosts::Misdirected, metrics};
use crate::{
    app::App,
    db::server_info,
    peer::Peer,
    pg,
    reply::{self, Problem, Response},
    ws::Reason,
};

/// The routes of both.
pub(super) fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let alive =
        warp::path!("healthz").map(|| reply::json(StatusCode::OK, &Health::new(Vec::new())));
    let ready = warp::path!("readyz")
        .and(warp::ext::optional::<Peer>())
        .and(warp::ext::optional::<Misdirected>())
        .and(warp::header::headers_cloned())
        .then(move |peer, misdirected: Option<Misdirected>, headers| {
            // A page whose own name leads here may have an operator's address.
            let peer = if misdirected.is_some() { None } else { peer };
            ready(app.clone(), peer, headers)
        });
    super::reads().and(alive.or(ready).unify()).boxed()
}

async fn ready(app: App, peer: Option<Peer>, headers: HeaderMap) -> Response {
    let troubles = app.readiness.problems().await;
    let status = if troubles.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut health = Health::new(troubles);
    if !metrics::may_read(&app, peer, &headers) {
        health.troubles.clear();
    }
    reply::json(status, &health)
}

/// The numbers behind. What cannot be asked of the database is null.
pub(super) async fn report(app: &App) -> Result<Response, Problem> {
    let troubles = app.readiness.problems().await;
    let vitals = pg::in_time(async { server_info::read(&*app.pool.client().await?).await });
    let vitals = vitals.await.ok();
    let listener = app.live.listener.borrow().clone();
    let tally = &app.socket_stats;
    let body = json!({
        "troubles": troubles,
        "listener": {
            "heartbeat_age_ms": listener.heartbeat.map(|beat| beat.elapsed().as_millis()),
            "connections": listener.connections,
            "trouble": listener.trouble,
        },
        "groups": app.live.groups.members().into_iter().collect::<BTreeMap<_, _>>(),
        "sockets": {
            "open": tally.open(),
            "slow": tally.ended_by(Reason::Slow),
            "gone": tally.ended_by(Reason::Gone),
        },
        "database": vitals.map(|vitals| json!({
            "version": vitals.version,
            "queue_usage": vitals.queue_usage,
            "nodes": vitals.nodes,
        })),
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(reply::json(StatusCode::OK, &body))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<String>,
}

impl Health {
    fn new(troubles: Vec<String>) -> Self {
        Self {
            status: if troubles.is_empty() {
                "ok"
            } else {
                "unavailable"
            },
            troubles,
        }
    }
}
