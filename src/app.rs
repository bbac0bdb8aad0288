//! The parts that every request and socket may use. Cheap to clone; holds no state of a request.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Auth, role::Role},
    catalogue::Catalogue,
    config::{Anonymous, MetricsToken, Registration},
    emr::Emr,
    hosts::Hosts,
    limits::Limits,
    live::{self, socket_stats::SocketStats},
    metrics::Metrics,
    peer::Network,
    pg::Pool,
    readiness::Readiness,
    uploads::Uploads,
    writes::Writes,
};

/// The server's parts. It dereferences to [`Parts`].
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// The server's parts, each once.
#[derive(Debug)]
pub struct Parts {
    /// For short reads and writes.
    pub pool: Pool,
    /// Finds out who sends a request.
    pub auth: Auth,
    /// The whole list of sources.
    pub catalogue: Catalogue,
    /// Changes sources.
    pub writes: Writes,
    /// The pipeline on Amazon EMR.
    pub emr: Emr,
    /// The files that came with sources.
    pub uploads: Uploads,
    /// The groups that sockets join, and how their arrow is.
    pub live: live::Handle,
    /// Counts sockets.
    pub socket_stats: SocketStats,
    /// Finds out whether the server can do its work.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// How much of the server one client may have.
    pub limits: Arc<Limits>,
    /// What the operator has set.
    pub settings: Settings,
    /// Cancelled when the server is about to stop.
    pub stopping: CancellationToken,
}

/// What the operator has set, as far as requests and sockets must know it.
#[derive(Debug)]
pub struct Settings {
    /// The hosts that requests may be sent to.
    pub hosts: Hosts,
    /// From where the metrics may be read.
    pub metrics_allow: Vec<Network>,
    /// With what the metrics may be read from anywhere.
    pub metrics_token: Option<MetricsToken>,
    /// Whether people may make accounts for themselves.
    pub registration: Registration,
    /// The role of newly registered users.
    pub registration_role: Role,
    /// What people may do who have not signed in.
    pub anonymous: Anonymous,
    /// The local calendar, for the times that are sent.
    pub time_zone: TimeZone,
}

impl App {
    /// Shares `parts`.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
