//! From a list of hosts to the one that takes writes. All are asked: a standby is passed over, so is
//! a host that is silent, and so is a former primary which came back after another had taken its
//! place. It keeps no connection.

mod hosts;

use std::{
    fmt,
    io::{self, ErrorKind},
    pin::pin,
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time;
use tokio_postgres::{
    Client, Config, Connection, SimpleQueryMessage, Socket, config::SslMode, error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::hosts::Host;
use super::{
    advice,
    dsn::Dsn,
    host_state::Place,
    settings::{MARKED, Settings, ask_for_mark},
    tls,
};
use crate::error::{Error, Result, describe, is_refusal};

/// A host has this long before the next of the list is asked beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A host that has taken longer is silent, even if it accepts connections; `connect_timeout` wins.
const SILENCE: Duration = Duration::from_secs(5);

/// The half of a connection that has to be driven.
pub type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Makes connections to the primary.
#[derive(Clone)]
pub struct Primary {
    dsn: Dsn,
    hosts: Vec<Host>,
    tls: MakeRustlsConnect,
    settings: Settings,
}

impl Primary {
    /// Connects as `dsn` says; of several hosts only one that takes writes will do.
    ///
    /// # Errors
    /// [`Error::Config`] when its TLS settings are wrong.
    pub fn new(dsn: &Dsn) -> Result<Self> {
        let tls = tls::connector(dsn)?;
        let mut dsn = dsn.clone();
        if hosts::split(&dsn.config).len() > 1 {
            dsn = dsn.read_write();
        }
        let hosts = hosts::split(&dsn.config);
        Ok(Self {
            dsn,
            hosts,
            tls,
            settings: Settings::default(),
        })
    }

    /// The same, with connections that wait for a lock no longer than this.
    #[must_use]
    pub(crate) fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.settings.lock_timeout = lock_timeout;
        self
    }

    /// The settings of its connections.
    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// The server's version if each transaction has to begin with the settings, because a pooler is
    /// in the way. Known once there was a connection.
    pub(crate) fn per_transaction(&self) -> Option<u32> {
        self.dsn.known.pooled()
    }

    /// The connection string, and what is known of its hosts.
    pub(crate) fn dsn(&self) -> &Dsn {
        &self.dsn
    }

    /// Hosts and database, without role and password: `host1:5432,host2:5432/name`.
    pub fn address(&self) -> String {
        address(&self.dsn)
    }

    /// The role of the database that it connects as; empty when that is who runs the program.
    pub fn role(&self) -> &str {
        self.dsn.config.get_user().unwrap_or_default()
    }

    /// How its connections are secured.
    pub(crate) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// A connection to the first host that proves fit. The one that was fit last time is asked
    /// first, the others one after another beside it. Cancel-safe: what is not chosen is closed.
    ///
    /// # Errors
    /// What each host said; each has as long as `connect_timeout` allows.
    pub async fn connect(&self) -> Result<(Client, Wire), Failures> {
        let known = &self.dsn.known;
        let mut waiting = known.in_order(self.hosts.len());
        let mut failures = Vec::new();
        let mut asked = FuturesUnordered::new();
        loop {
            if let Some(place) = waiting.next() {
                asked.push(async move { (place, self.ask(&self.hosts[place]).await) });
            }
            // Waits for an answer, or long enough to ask the next.
            let answer = if waiting.len() == 0 {
                asked.next().await
            } else {
                match time::timeout(HEAD_START, asked.next()).await {
                    Ok(answer) => answer,
                    Err(_) => continue,
                }
            };
            match answer {
                Some((place, Ok(connection))) => {
                    if known.served_by(place) {
                        tracing::info!(host = %self.hosts[place], "connected to another primary");
                    }
                    return Ok(connection);
                }
                Some((place, Err(failure))) => {
                    let host = &self.hosts[place];
                    failures.push(Refusal {
                        host: host.to_string(),
                        advice: failure.advice(self.dsn.setting(), host.is_socket()),
                        failure,
                    });
                }
                None => return Err(Failures(failures)),
            }
        }
    }

    async fn ask(&self, host: &Host) -> Result<(Client, Wire), Failure> {
        let limit = self.dsn.config.get_connect_timeout().copied();
        let answer = async {
            let (client, mut wire) = self.open(host).await?;
            if !self.dsn.standby_will_do && is_standby(&client, &mut wire).await {
                return Err(Failure::Standby);
            }
            if self.hosts.len() > 1
                && let Some(place) = place_in_history(&client, &mut wire).await
                && !self.dsn.known.is_newest(place)
            {
                return Err(Failure::LeftBehind);
            }
            Ok((client, wire))
        };
        time::timeout(limit.unwrap_or(SILENCE), answer)
            .await
            .unwrap_or(Err(Failure::Silent))
    }

    /// A connection with the program's settings, or through a pooler that keeps none.
    async fn open(&self, host: &Host) -> Result<(Client, Wire), tokio_postgres::Error> {
        if self.per_transaction().is_none() {
            let options = self.settings.options(host.config.get_options());
            let mut config = host.config.clone();
            config.options(options);
            match self.encrypted(&config).await {
                Ok((client, mut wire)) => {
                    let version = version(&wire);
                    if !has_settings(&client, &mut wire, version).await? {
                        self.dsn.known.found_pooler(version);
                    }
                    return Ok((client, wire));
                }
                Err(error) if refuses_options(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let (client, wire) = self.encrypted(&host.config).await?;
        self.dsn.known.found_pooler(version(&wire));
        Ok((client, wire))
    }
}

/// Whether it was a pooler that does not know what to do with `options`.
fn refuses_options(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::PROTOCOL_VIOLATION | &SqlState::FEATURE_NOT_SUPPORTED)
    )
}

/// The server's major version, as it says at the start of a connection.
fn version(wire: &Wire) -> u32 {
    let text = wire.parameter("server_version").unwrap_or_default();
    let digits = text.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

/// Whether the settings that a connection was made with have reached the server.
async fn has_settings(
    client: &Client,
    wire: &mut Wire,
    version: u32,
) -> Result<bool, tokio_postgres::Error> {
    let rows = driven(wire, client.simple_query(&ask_for_mark(version))).await?;
    Ok(rows.iter().any(|message| {
        matches!(message, SimpleQueryMessage::Row(row)
            if row.try_get("mark").is_ok_and(|mark| mark == Some(MARKED)))
    }))
}

/// Drives a connection until `work` on it is done.
async fn driven<T>(
    wire: &mut Wire,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => done,
        // With the connection gone it says what has happened to it.
        ended = wire => match ended {
            Err(error) => Err(error),
            Ok(()) => work.await,
        },
    }
}

impl Primary {
    /// Connects, with `sslmode=allow` and `prefer` a second time where the first way is refused. The
    /// error is that of the encrypted attempt, which says more.
    async fn encrypted(&self, config: &Config) -> Result<(Client, Wire), tokio_postgres::Error> {
        let refusal = match config.connect(self.tls.clone()).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(other) = hosts::otherwise(config, self.dsn.fallback) else {
            return Err(refusal);
        };
        if !depends_on_encryption(&refusal) {
            return Err(refusal);
        }
        match other.connect(self.tls.clone()).await {
            Err(_) if other.get_ssl_mode() == SslMode::Disable => Err(refusal),
            opened => opened,
        }
    }
}

/// Whether the server, or the handshake, refuses a connection so that one that is encrypted otherwise
/// could be let in.
fn depends_on_encryption(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        // Class 28: invalid authorization.
        return code.code().starts_with("28");
    }
    // What the system says of the socket is no refusal. rustls and a peer that hangs up have no number.
    let io = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    io.is_none_or(|io| io.raw_os_error().is_none() || io.kind() == ErrorKind::ConnectionReset)
}

/// Whether the server is one; `target_session_attrs=primary` passes it over.
async fn is_standby(client: &Client, wire: &mut Wire) -> bool {
    let rows = tokio::select! {
        rows = client.simple_query("select pg_catalog.pg_is_in_recovery()") => rows,
        _ = wire => return false,
    };
    rows.is_ok_and(|rows| {
        rows.iter().any(|message| {
            matches!(message, SimpleQueryMessage::Row(row) if row.try_get(0).is_ok_and(|is| is == Some("t")))
        })
    })
}

impl fmt::Debug for Primary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dsn.fmt(f)
    }
}

fn address(dsn: &Dsn) -> String {
    let hosts = hosts::split(&dsn.config);
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    // As libpq has it, a database that is not named is called like the role.
    let name = dsn.config.get_dbname().or(dsn.config.get_user());
    format!("{}/{}", hosts.join(","), name.unwrap_or_default())
}

/// A connection string as it may be shown: role, hosts and database, and `mask` for the password.
pub fn masked(dsn: &Dsn, mask: &str) -> String {
    let role = dsn.config.get_user().unwrap_or_default();
    let password = match dsn.config.get_password() {
        Some(_) => format!(":{mask}"),
        None => String::new(),
    };
    format!("postgres://{role}{password}@{}", address(dsn))
}

/// Where a primary stands in its cluster's history; `None` where that is not told.
async fn place_in_history(client: &Client, wire: &mut Wire) -> Option<Place> {
    // The first eight digits of a WAL file's name are the timeline. What the control file says of it
    // is older: there it moves only with the first checkpoint after a promotion.
    let sql = "select system_identifier as cluster,
                      pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) as wal
                 from pg_catalog.pg_control_system()";
    let rows = driven(wire, client.simple_query(sql)).await.ok()?;
    let row = rows.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    Some(Place {
        cluster: row.try_get("cluster").ok()??.to_owned(),
        timeline: u32::from_str_radix(row.try_get("wal").ok()??.get(..8)?, 16).ok()?,
    })
}

/// Why a host will not do.
#[derive(Debug)]
enum Failure {
    Postgres(tokio_postgres::Error),
    Silent,
    Standby,
    LeftBehind,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => f.write_str(&describe(error)),
            Self::Silent => f.write_str("no answer in time"),
            Self::Standby => f.write_str("a standby, which takes no writes"),
            Self::LeftBehind => f.write_str("a former primary; another one has taken its place"),
        }
    }
}

impl Failure {
    /// What to do about it. `setting` has the connection string.
    fn advice(&self, setting: &str, is_socket: bool) -> String {
        match self {
            Self::Postgres(error) => advice::on_connecting(error, setting, is_socket),
            Self::Silent => advice::unreachable(setting),
            Self::Standby | Self::LeftBehind => advice::on_standby(setting),
        }
    }

    /// The SQLSTATE that the host has given as its reason.
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            Self::Silent | Self::Standby | Self::LeftBehind => None,
        }
    }
}

/// What a host said, and what to do about it.
#[derive(Debug)]
struct Refusal {
    host: String,
    failure: Failure,
    advice: String,
}

/// Why no host will do.
#[derive(Debug)]
pub struct Failures(Vec<Refusal>);

impl Failures {
    /// Whether a host is the right one but has no room for another connection.
    pub(crate) fn is_full(&self) -> bool {
        let mut codes = self.0.iter().filter_map(|one| one.failure.code());
        codes.any(|code| *code == SqlState::TOO_MANY_CONNECTIONS)
    }

    /// Whether every host refuses to let this program in, now and as long as nobody changes a setting.
    pub(crate) fn is_refusal(&self) -> bool {
        self.0.iter().all(|one| match &one.failure {
            Failure::Postgres(error) => is_refusal(error),
            Failure::Silent | Failure::Standby | Failure::LeftBehind => false,
        })
    }

    /// What to do about it. A server that has answered knows better than a host that has not.
    pub(crate) fn advice(&self) -> &str {
        let answered = self.0.iter().find(|one| one.failure.code().is_some());
        let first = answered.or(self.0.first());
        first.map_or("", |one| &one.advice)
    }

    /// What each host said, and what to do about it.
    pub(crate) fn explained(&self) -> String {
        format!("{self}; {}", self.advice())
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Refusal { host, failure, .. }) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{host}: {failure}")?;
        }
        Ok(())
    }
}

impl From<Failures> for Error {
    fn from(failures: Failures) -> Self {
        let text = failures.explained();
        if failures.is_refusal() {
            Self::Refused(text)
        } else {
            Self::Unavailable(text)
        }
    }
}
