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

use super::{
    hosts::Misdirected,
    metrics,
    reply::{self, Problem, Response},
};
use crate::{
    app::App,
    db::server_info,
    error::{Error, Result},
    peer::Peer,
    pg::{self, Pool},
    ws::Reason,
};

/// From here on the queue of notifications is about to refuse writes; from 0 to 1.
const QUEUE_NEARLY_FULL: f64 = 0.9;

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
    let troubles = troubles(&app).await;
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
    let troubles = troubles(app).await;
    let vitals = pg::in_time(async { server_info::read(&*app.pool.client().await?).await });
    let vitals = vitals.await.ok();
    let listener = app.listener.borrow().clone();
    let tally = &app.tally;
    let body = json!({
        "troubles": troubles,
        "listener": {
            "heartbeat_age_ms": listener.heartbeat.map(|beat| beat.elapsed().as_millis()),
            "connections": listener.connections,
            "trouble": listener.trouble,
        },
        "groups": app.groups.members().into_iter().collect::<BTreeMap<_, _>>(),
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

/// Why the server cannot do its work, a sentence each; none when it can.
pub async fn troubles(app: &App) -> Vec<String> {
    let mut troubles = Vec::new();
    troubles.extend(app.shortage.check().err());
    troubles.extend(app.restarts.troubles());
    let started = app.start.borrow().check();
    if let Err(why) = started {
        troubles.push(why);
    } else {
        troubles.extend(answers(app).await.err());
        troubles.extend(app.pool.check().err());
        troubles.extend(app.reads.troubles());
        troubles.extend(app.listener.borrow().check().err());
        troubles.extend(nearly_full(*app.queue_usage.borrow()));
    }
    troubles
}

/// What to say of a queue of notifications that is so full.
fn nearly_full(usage: f64) -> Option<String> {
    (usage >= QUEUE_NEARLY_FULL).then(|| {
        format!(
            "the database's queue of notifications is {:.0} % full, and when it is full writes \
             fail: end the session that listens in an open transaction",
            usage * 100.0
        )
    })
}

/// Whether the database answers and takes writes. However many ask, one look at a time is under way.
async fn answers(app: &App) -> Result<(), String> {
    let look = || {
        let pool = app.pool.clone();
        async move {
            let looked = pg::in_time(ping(&pool)).await;
            looked.map_err(|error| error.to_string())
        }
    };
    let answers = app.probe.get(look).await;
    answers.unwrap_or_else(|| Err("the database could not be asked".into()))
}

async fn ping(pool: &Pool) -> Result<()> {
    if server_info::takes_writes(&*pool.client().await?).await? {
        return Ok(());
    }
    Err(Error::Unavailable(
        "it only reads: it is a standby, or its transactions are read-only".into(),
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_spoken_of_when_it_is_nearly_full() {
        assert_eq!(nearly_full(0.89), None);
        assert!(nearly_full(0.914).unwrap().contains("91 % full"));
    }
}
