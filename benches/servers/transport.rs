//! The product's own path from the handshake to the socket, with its group fed by hand: no database,
//! no listener, no views. Strangers may follow the reading sockets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use marketplace::{
    app::{App, Parts, Settings},
    auth::{Auth, password::Hasher, role::Role},
    catalogue::Catalogue,
    config::{self, Anonymous, CookieSecure, Registration, UploadsUrl},
    emr::Emr,
    hosts::Hosts,
    http,
    limits::{Limits, turns::Bounds},
    live::{
        Live,
        socket_stats::SocketStats,
        view::{Snapshot, Version},
    },
    metrics::Metrics,
    pg::Pool,
    readiness::Readiness,
    reads::Reads,
    restarts::Restarts,
    server,
    shared::Shared,
    start::Start,
    uploads::Uploads,
    writes::Writes,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::role;
use crate::Result;

/// More than any row opens.
const MAX_CONNECTIONS: usize = 20_000;

pub(crate) fn main() -> Result<()> {
    role::runtime()?.block_on(async {
        // Nobody answers there, and nobody is asked.
        let pool = Pool::new(&"postgres://nobody@127.0.0.1:1/nothing".parse()?, 1)?;
        let metrics = Metrics::default();
        let reads = Reads::default();
        let live = Live::new(metrics.clone(), 1.0, reads.clone(), &TimeZone::UTC).handle();
        let lists = live.groups.sources.whole.clone();
        let limits = Arc::new(Limits::off());
        let stopping = CancellationToken::new();
        let app = App::new(Parts {
            catalogue: Catalogue::new(pool.clone(), TimeZone::UTC),
            auth: Auth {
                pool: pool.clone(),
                hasher: Hasher::new(Bounds::OFF),
                limits: Arc::clone(&limits),
                allowed_origins: Vec::new(),
                cookie_secure: CookieSecure::Auto,
            },
            writes: Writes {
                pool: pool.clone(),
                limits: Arc::clone(&limits),
                pending: live.groups.expected.clone(),
            },
            emr: Emr::new(
                config::Emr {
                    emr_cluster_id: None,
                    s3_path: None,
                    pipeline_steps: Vec::new(),
                    pipeline_jobs: Vec::new(),
                    emr_poll: Duration::from_secs(5),
                },
                &metrics,
            ),
            uploads: Uploads::new(
                &config::Uploads {
                    uploads_url: Some(UploadsUrl::Memory),
                    max_upload_mib: 1,
                    uploads_grace: Duration::ZERO,
                },
                Path::new("unused"),
                pool.clone(),
                &metrics,
            )?,
            readiness: Readiness {
                pool: pool.clone(),
                start: watch::channel(Start::done()).1,
                restarts: Restarts::new(metrics.clone()),
                reads,
                shortage: server::Shortage::default(),
                listener: live.listener.clone(),
                queue_usage: live.queue_usage.clone(),
                probe: Shared::default(),
            },
            pool,
            live,
            socket_stats: SocketStats::default(),
            metrics,
            limits,
            settings: Settings {
                hosts: Hosts::new(Vec::new(), Ipv4Addr::LOCALHOST.into()),
                metrics_allow: Vec::new(),
                metrics_token: None,
                registration: Registration::Closed,
                registration_role: Role::Editor,
                anonymous: Anonymous::Read,
                time_zone: TimeZone::UTC,
            },
            stopping: stopping.clone(),
        });
        let listener = server::adopt(&server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?)?;
        role::announce(&listener)?;
        let mut version = Version::start();
        role::obey(move |counter, frame| {
            version.counter = counter;
            lists.publish(Snapshot {
                version,
                frame,
                changed: Some(std::time::Instant::now()),
            });
        });
        let shortage = app.readiness.shortage.clone();
        let limits = app.limits.connections.clone();
        server::serve(
            listener,
            http::service(app),
            server::Settings {
                proxies: Vec::new(),
                max_connections: MAX_CONNECTIONS,
                limits,
                keep_alive: Duration::from_secs(75),
            },
            shortage,
            stopping,
        )
        .await;
        Ok(())
    })
}
