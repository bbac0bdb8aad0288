//! What every handler shares. Cheap to clone; holds no state of a request.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use warp::http::HeaderValue;

use crate::{
    auth::{password::Hasher, role::Role},
    catalogue::Catalogue,
    config::{Anonymous, CookieSecure, MetricsToken, Registration},
    emr::Emr,
    hosts::Hosts,
    limits::Limits,
    live::{Groups, listener, notification_counts::Announced},
    metrics::Metrics,
    peer::Network,
    pg::Pool,
    reads::Reads,
    restarts::Restarts,
    server::Shortage,
    shared::Shared,
    sockets::stats::Tally,
    start::Start,
    uploads::Uploads,
};

/// The server's parts that handlers use.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// See [`App`].
#[derive(Debug)]
pub struct Parts {
    /// For short reads and writes.
    pub pool: Pool,
    /// The whole list for whoever asks for it.
    pub catalogue: Catalogue,
    /// Whether the database answers; asked once for all who want to know.
    pub probe: Shared<Result<(), String>>,
    /// Hashes and verifies passwords, a few at a time.
    pub hasher: Hasher,
    /// Who gets what the views make.
    pub groups: Groups,
    /// The pipeline on Amazon EMR.
    pub emr: Emr,
    /// The files that came with sources.
    pub uploads: Uploads,
    /// How many sockets there are, and why others ended.
    pub tally: Tally,
    /// How the listener is.
    pub listener: watch::Receiver<listener::Status>,
    /// Whether clients are turned away.
    pub shortage: Shortage,
    /// Which parts of the server have panicked and do not run yet.
    pub restarts: Restarts,
    /// What cannot be read at present.
    pub reads: Reads,
    /// How much was announced.
    pub announced: Arc<Announced>,
    /// How full the queue of notifications is, from 0 to 1.
    pub queue_usage: watch::Receiver<f64>,
    /// What is counted.
    pub metrics: Metrics,
    /// From where it may be read.
    pub metrics_allow: Vec<Network>,
    /// With what it may be read from anywhere.
    pub metrics_token: Option<MetricsToken>,
    /// Whether the database has this program's schema.
    pub start: watch::Receiver<Start>,
    /// Cancelled when the server is about to stop.
    pub stopping: CancellationToken,
    /// The hosts that requests may be sent to.
    pub hosts: Hosts,
    /// Origins of the frontends.
    pub allowed_origins: Vec<HeaderValue>,
    /// Whether strangers may register.
    pub registration: Registration,
    /// What those become who register.
    pub registration_role: Role,
    /// What people may do who have not signed in.
    pub anonymous: Anonymous,
    /// Whether browsers are to keep the cookies off plain http.
    pub cookie_secure: CookieSecure,
    /// How much one stranger may have.
    pub limits: Limits,
    /// The local calendar, for times on the wire.
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
