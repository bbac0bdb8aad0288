//! `/healthz`: the process answers. `/readyz`: it can do its work or not; operators, who may read
//! `/metrics`, are told why not. `/api/health/`: the same in numbers, for people who have signed in.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::{
    answer::Json,
    metrics,
    operation::{Call, Public, Viewer},
};
use crate::{
    db::server_info,
    pg,
    reply::{self, Problem, Response},
    ws::Reason,
};

/// Readiness.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok` or `unavailable`.
    status: &'static str,
    /// Reasons; for operators only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
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

/// Says that the process answers.
pub(super) async fn alive(_: Call<Public>) -> Result<Json<Health>, Problem> {
    Ok(Json::new(&Health::new(Vec::new())))
}

/// Says whether the server can do its work.
pub(super) async fn ready(call: Call<Public>) -> Result<Response, Problem> {
    let troubles = call.app.readiness.problems().await;
    let status = if troubles.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut health = Health::new(troubles);
    if !metrics::may_read(&call.app, &call.request) {
        health.troubles.clear();
    }
    Ok(reply::json(status, &health))
}

/// Server status.
#[derive(Serialize, ToSchema)]
pub(super) struct Report {
    /// Reasons why the server is not ready.
    troubles: Vec<String>,
    listener: Listener,
    /// How many sockets each group has, by the group's name.
    groups: BTreeMap<&'static str, usize>,
    sockets: Sockets,
    /// Null when the database does not answer.
    #[schema(required)]
    database: Option<Database>,
    /// Version of the server.
    version: &'static str,
}

/// The LISTEN connection.
#[derive(Serialize, ToSchema)]
struct Listener {
    /// Null before the first heartbeat.
    #[schema(required, value_type = Option<u64>)]
    heartbeat_age_ms: Option<u128>,
    /// Number of connections since the start.
    connections: u64,
    #[schema(required)]
    trouble: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Sockets {
    open: u64,
    /// Closed because the client did not read.
    slow: u64,
    /// Closed because the client did not answer pings.
    gone: u64,
}

#[derive(Serialize, ToSchema)]
struct Database {
    version: String,
    /// Usage of the notification queue, from 0 to 1.
    queue_usage: f64,
    /// Servers on this database.
    nodes: i64,
}

/// The numbers behind. What the database does not answer is null.
pub(super) async fn report(call: Call<Viewer>) -> Result<Json<Report>, Problem> {
    let app = call.app;
    let troubles = app.readiness.problems().await;
    let info = pg::in_time(async { server_info::read(&*app.pool.client().await?).await });
    let database = info.await.ok().map(|info| Database {
        version: info.version,
        queue_usage: info.queue_usage,
        nodes: info.nodes,
    });
    let listener = app.live.listener.borrow().clone();
    let sockets = &app.socket_stats;
    Ok(Json::new(&Report {
        troubles,
        listener: Listener {
            heartbeat_age_ms: listener.heartbeat.map(|beat| beat.elapsed().as_millis()),
            connections: listener.connections,
            trouble: listener.trouble,
        },
        groups: app.live.groups.members().collect(),
        sockets: Sockets {
            open: sockets.open(),
            slow: sockets.ended_by(Reason::Slow),
            gone: sockets.ended_by(Reason::Gone),
        },
        database,
        version: env!("CARGO_PKG_VERSION"),
    }))
}
