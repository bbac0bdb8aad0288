//! A change-driven server for PostgreSQL: a row changes, by whatever hand, and every connected
//! dashboard shows it.
//!
//! ```text
//!  psql, COPY, cron ──┐                                 one task each
//!  HTTP, sockets ─────┤          ┌──────────┐  hint   ┌────────────────┐
//!                     ▼          │ listener │ ──────▶ │ signal ▸ view  │
//!               ┌────────────┐   └──────────┘         └───────┬────────┘
//!               │ PostgreSQL │ ───── NOTIFY ▲                 │ frame, encoded once
//!               │  triggers  │ ◀───── reads what changed ─────┤
//!               └────────────┘                                ▼
//!                                                     group ▸ socket ▸ socket ▸ socket
//! ```
//!
//! One arrow: PostgreSQL -> listener -> signal -> view -> group -> socket. Nothing flows back up: a
//! write ends at the table, and what anybody sees of it arrives by the arrow. Pipeline runs too: [`emr`]
//! takes requests from their table to the cluster and writes what the cluster says back into it.
//!
//! # Words
//!
//! | word | here |
//! |---|---|
//! | channel | a name that triggers notify ([`live::channel`]) |
//! | notification | a hint about what to read again; never the data |
//! | listener | the one LISTEN connection ([`live::listener`]) |
//! | heartbeat | a notification sent through the pool that the listener must hear ([`live::heartbeat`]) |
//! | audit | what the database has counted, held against what was announced ([`live::audit`]) |
//! | probe | tries every few seconds whether the tables can be read (`live::probe`) |
//! | validity | how long the counts of the past 30 days hold (`live::validity`) |
//! | window | some rows of a filtered and ordered list, kept right for those who watch ([`live::windows`]) |
//! | table | all sources in memory, with the filters, orders and counts that are watched ([`table`]) |
//! | signal | what a view is to read again, merged while the view is busy ([`live::signal`]) |
//! | view | reads what changed and makes frames ([`live::view`]) |
//! | frame | a WebSocket message, encoded once for everybody ([`ws::Frame`]) |
//! | group | who gets a view's frames ([`live::group`]) |
//! | member | a socket's place in a group |
//! | consumer | what a socket's path stands for ([`crate::sockets::consumer`]) |
//! | snapshot, delta | the whole list; what leads from one version of it to the next |
//! | version, epoch | `epoch:counter` of a snapshot; one view's life in one process |
//! | activity | which statements changed what, and whose they were ([`db::changes`]) |
//! | console | the page for people that this program serves itself ([`console`]) |
//! | upload | a file that came with a source ([`uploads`]) |
//! | role | what a user may do: viewer, editor or admin ([`auth::role`]) |
//! | peer | where a request comes from, as the connection or a trusted proxy says ([`peer`]) |
//! | host | a name or address that requests are sent to ([`hosts`]) |
//! | request id | what the lines of one request and its socket have in common in the log ([`request`]) |
//! | part | a view or another task that runs for ever; after a panic it is started again ([`restarts`]) |
//! | supervisor | who started the process and watches it, such as systemd |
//! | outage | something that is out, as the log speaks of it: at its beginning, once a minute, at its end |
//! | limits | how much of the server one client may have ([`limits`]) |
//! | shared read | one read for all requests that came before it began ([`shared`]) |
//! | session | a signed-in browser; source, run: rows of the catalogue and of the pipeline |
//!
//! # Invariants
//!
//! * The listener holds no pool, reads no table and never opens a transaction.
//! * After every successful LISTEN everything is read again; start, restart and change share a path.
//! * Nobody is believed to listen who has not heard what others send.
//! * A hint is never lost: a read that fails puts it back.
//! * A row that cannot be read is left out alone; a part that panics is started again alone.
//! * A group never sees SQL; `db` never sees HTTP; [`ws`] never sees what messages mean.
//! * A member that is slow costs the others nothing: it skips to the newest frame.
//! * Every password is looked at in [`auth::verify_password`], so that every wrong one counts.
//! * A run is noted as being sent before it is sent, and one whose answer was lost is looked for at
//!   the cluster before it is sent again. Nobody waits for AWS but who asked for the run.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic when nobody reads: see `output`"
)]

pub mod app;
pub mod auth;
mod backoff;
pub mod bodies;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod console;
pub mod db;
mod directory;
pub mod embedded;
pub mod emr;
pub mod error;
pub mod forms;
pub mod hashes;
pub mod hosts;
pub mod http;
mod https;
pub mod limits;
pub mod live;
pub mod local_time;
pub mod log;
pub mod metrics;
pub mod names;
mod outage;
pub mod output;
mod panics;
pub mod peer;
pub mod pg;
pub mod readiness;
pub mod reads;
pub mod reply;
pub mod request;
pub mod restarts;
pub mod rollover;
pub mod server;
pub mod shared;
pub mod signals;
pub mod sockets;
pub mod start;
mod supervisor;
pub mod table;
pub mod uploads;
pub mod writes;
pub mod ws;

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    app::{App, Parts, Settings},
    auth::{Auth, password::Hasher},
    catalogue::Catalogue,
    config::{Config, List, RateLimits},
    emr::Emr,
    error::{Error, Result},
    hosts::Hosts,
    limits::{Limits, turns::Bounds},
    live::{Live, socket_stats::SocketStats},
    metrics::Metrics,
    pg::{Pool, dsn::Dsn, primary::Primary},
    readiness::Readiness,
    reads::Reads,
    restarts::{Part, Restarts},
    server::Shortage,
    shared::Shared,
    start::Start,
    uploads::Uploads,
    writes::Writes,
};

/// Serves until `stop` completes, then stops gracefully. `bound` is told the address once it is
/// listened on; requests are answered from then on, with 503 while the database is not there yet.
///
/// # Errors
/// [`Error::Config`] for a setting that is wrong, [`Error::Start`] for a database that this program
/// cannot use. A database that is merely down is waited for.
#[expect(
    clippy::too_many_lines,
    reason = "it wires every part of the server, once and in order"
)]
pub async fn run(
    mut config: Config,
    database: &Dsn,
    bound: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let listen = config.listen.url().unwrap_or_else(|| database.clone());
    let zone = config.database.time_zone;
    let pool = Pool::new(&database.clone().named("marketplace"), config.pool_size)?;
    pg::tls::connector(&listen)?;
    let socket = match config.passed.take() {
        Some(socket) => socket,
        None => Arc::new(server::bind(config.bind)?),
    };
    let listener = server::adopt(&socket)?;
    // Or clients would be accepted for as long as this waits for others at a stop.
    drop(socket);
    let address = listener.local_addr()?;
    let primary = Primary::new(database)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        %address,
        database = primary.address(),
        role = primary.role(),
        "started"
    );

    let metrics = Metrics::default();
    let reads = Reads::default();
    let live = Live::new(
        metrics.clone(),
        f64::from(config.notify_queue_warning) / 100.0,
        reads.clone(),
        &zone.rules,
    );
    let shortage = Shortage::default();
    let restarts = Restarts::new(metrics.clone());
    let emr = Emr::new(config.emr, &metrics);
    let uploads = Uploads::new(&config.uploads, &config.data_dir, pool.clone(), &metrics)?;
    let (progress, start) = watch::channel(Start::default());
    let stopping = CancellationToken::new();
    let origins = List::join(config.allowed_origins);
    let mut allowed_hosts = List::join(config.allowed_hosts);
    allowed_hosts.extend(origins.iter().map(|origin| origin.host.clone()));
    let (limits, bounds) = match config.rate_limits {
        RateLimits::On => (Limits::new(config.max_connections), Bounds::ON),
        RateLimits::Off => (Limits::off(), Bounds::OFF),
    };
    let limits = Arc::new(limits);
    let handle = live.handle();
    let app = App::new(Parts {
        pool: pool.clone(),
        auth: Auth {
            pool: pool.clone(),
            hasher: Hasher::new(bounds),
            limits: Arc::clone(&limits),
            allowed_origins: origins.into_iter().map(|origin| origin.value).collect(),
            cookie_secure: config.cookie_secure,
        },
        catalogue: Catalogue::new(pool.clone(), zone.rules.clone()),
        writes: Writes {
            pool: pool.clone(),
            limits: Arc::clone(&limits),
            pending: Arc::clone(&handle.groups.expected),
        },
        emr: emr.clone(),
        uploads: uploads.clone(),
        readiness: Readiness {
            pool: pool.clone(),
            start,
            restarts: restarts.clone(),
            reads,
            shortage: shortage.clone(),
            listener: handle.listener.clone(),
            queue_usage: handle.queue_usage.clone(),
            probe: Shared::default(),
        },
        live: handle,
        socket_stats: SocketStats::default(),
        metrics,
        limits,
        settings: Settings {
            hosts: Hosts::new(allowed_hosts, address.ip()),
            metrics_allow: List::join(config.metrics_allow),
            metrics_token: config
                .metrics_token
                .or(config.metrics_token_file.map(|file| file.value)),
            registration: config.registration,
            registration_role: config.registration_role,
            anonymous: config.anonymous,
            time_zone: zone.rules.clone(),
        },
        stopping: stopping.clone(),
    });
    let mut serving = tokio::spawn(server::serve(
        listener,
        http::service(app.clone()),
        server::Settings {
            proxies: List::join(config.trusted_proxies),
            max_connections: config.max_connections,
            limits: app.limits.connections.clone(),
            keep_alive: config.keep_alive,
        },
        shortage,
        stopping.clone(),
    ));
    bound(address);

    let work = async {
        start::run(database, &zone.name, &progress).await?;
        tokio::select! {
            ended = live.run(&listen, &pool, &restarts) => ended,
            () = restarts.keep(Part::task("day"), || {
                rollover::run(pool.clone(), zone.rules.clone())
            }) => Ok(()),
            () = restarts.keep(Part::task("emr"), || emr.clone().run(pool.clone())) => Ok(()),
            () = restarts.keep(Part::task("uploads"), || uploads.run()) => Ok(()),
        }
    };
    let mut work = pin!(work);
    let mut stop = pin!(stop);
    let mut accepts = true;
    let result = tokio::select! {
        result = &mut work => result,
        () = Box::pin(supervisor::run(&app.readiness)) => Ok(()),
        () = &mut stop => Ok(()),
        ended = &mut serving => {
            accepts = false;
            ended.map_err(|error| Error::Start(format!("no connection is accepted any more: {error}")))
        }
    };
    stopping.cancel();
    supervisor::stopping();
    // The arrow keeps running while sockets say goodbye and requests finish.
    tokio::select! {
        _ = serving, if accepts => {}
        _ = &mut work, if result.is_ok() => {}
        else => {}
    }
    pool.close();
    result
}
