//! The private PostgreSQL cluster of `marketplace serve --embedded` (and of the tests): made with
//! the installed server binaries, started by this program, kept between runs, stopped with it.
//!
//! What a data directory holds: `cluster/` (what initdb made), `password`, `postgres.log`,
//! `socket/`, and `marketplace.lock`, by which a directory is known as ours and which one process
//! at a time holds. A directory without that file is never touched unless it is empty.
//!
//! Who gets in: over the Unix socket, without a password, exactly the user who runs the program,
//! the user who owns the files and root (`peer`); over TCP, on the loopback address alone, whoever
//! knows the password (SCRAM), which only those users can read. No command line and no log line
//! carries it. The role of the application owns its database and is no superuser; the superuser,
//! `marketplace_admin`, gets in over the Unix socket alone.
//!
//! When root runs the program, the owner of a data directory is somebody else, who could put links into
//! it. Every file is therefore opened without following links.
//!
//! It knows nothing of tables, migrations or the application: it ends at an empty database and its
//! address.

mod binaries;
mod data_dir;
mod error;
mod home;
mod owner;
mod program;
mod roles;
mod server;
mod session;

use std::convert::Infallible;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use self::binaries::Binaries;
pub use self::error::EmbeddedError;
use self::home::Home;
use self::server::Server;
pub use self::server::StopMode;
pub use self::session::Visit;
use crate::{backoff::Backoff, outage::Outage};

/// The database that is made for the application, and the role that owns it and is no superuser.
const NAME: &str = "marketplace";

/// How long a server may take until it accepts connections; most of it is for recovery after a
/// crash.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How long a start is repeated that failed for a reason that goes away by itself.
const RETRY_LIMIT: Duration = Duration::from_secs(10);

/// How long a start waits for a port that it has to have, and that somebody may be just leaving.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// How often it is looked whether a server that was started still runs.
const LOOK: Duration = Duration::from_millis(100);

/// Between attempts to start a server again that ended by itself.
const REVIVE: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// How often a starting server is asked whether it accepts connections.
const POLL: Duration = Duration::from_millis(10);

/// Where a cluster lives and how it is configured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of everything the cluster needs; made if missing.
    pub data_dir: PathBuf,
    /// The loopback port; `None`: the one of the last run while it is free, else any free one.
    pub port: Option<u16>,
    /// More settings for `postgresql.conf`, which win over the program's own.
    pub settings: Vec<(String, String)>,
}

/// A running cluster. Dropping it stops the server too, but does not wait for that as
/// [`Cluster::stop`] does.
#[derive(Debug)]
pub struct Cluster {
    // Fields are dropped in this order: the server is told to stop before its directory is given
    // up.
    server: Option<Server>,
    home: Home,
    binaries: Binaries,
    password: String,
    port: u16,
    settings: Vec<(String, String)>,
}

impl Cluster {
    /// Makes the cluster if there is none, starts it, waits until it accepts connections and makes
    /// the database `marketplace` if it is missing. A server that a crash of this program left
    /// behind is stopped first.
    pub async fn start(options: Options) -> Result<Self, EmbeddedError> {
        let home = Home::claim(&options.data_dir)?;
        Self::start_in(home, options).await
    }

    /// The same, but makes none.
    ///
    /// # Errors
    /// [`EmbeddedError::NoCluster`] when there is none; nothing was made then.
    async fn start_existing(options: Options) -> Result<Self, EmbeddedError> {
        home::refuse_missing(&options.data_dir)?;
        let home = Home::claim(&options.data_dir)?;
        if home.major()?.is_none() {
            // A first start was interrupted.
            let data_dir = home.dir.clone();
            return Err(EmbeddedError::NoCluster { data_dir });
        }
        Self::start_in(home, options).await
    }

    async fn start_in(home: Home, options: Options) -> Result<Self, EmbeddedError> {
        let binaries = Binaries::find(home.major()?, &home.dir)?;
        Self::start_with(options, home, binaries).await
    }

    /// The same with the server programs in the directory `programs`, not with those that are
    /// installed. Only the tests do so.
    pub async fn start_from(programs: &Path, options: Options) -> Result<Self, EmbeddedError> {
        let home = Home::claim(&options.data_dir)?;
        let binaries = Binaries::in_dir(programs).ok_or(EmbeddedError::NotInstalled)?;
        Self::start_with(options, home, binaries).await
    }

    async fn start_with(
        options: Options,
        home: Home,
        binaries: Binaries,
    ) -> Result<Self, EmbeddedError> {
        let password = home.initialise(&binaries, &options.settings).await?;
        server::stop_leftover(&home, &binaries).await?;
        let settings = options.settings;
        let mut cluster = Self {
            server: None,
            home,
            binaries,
            password,
            port: 0,
            settings,
        };
        cluster.launch(options.port).await?;
        tracing::info!(
            data_dir = %cluster.data_dir().display(),
            port = cluster.port,
            version = cluster.binaries.major,
            "private PostgreSQL started"
        );
        Ok(cluster)
    }

    /// The address of the database `marketplace`, with the password: for connecting, never for a
    /// log.
    pub fn url(&self) -> String {
        url(&self.password, self.port)
    }

    /// The address by which the cluster's superuser gets in over the Unix socket, for whoever may.
    pub fn admin_url(&self) -> String {
        let socket: String =
            form_urlencoded::byte_serialize(self.home.socket_dir.as_os_str().as_encoded_bytes())
                .collect();
        // The driver reads %20, and takes a plus for a plus.
        let socket = socket.replace('+', "%20");
        format!(
            "postgres://{}@{socket}:{}/postgres",
            roles::ADMIN,
            self.port
        )
    }

    /// The command that opens the database when the user who runs this program, or root, pastes it
    /// into a shell. It holds no secret. `-d NAME` behind it opens another database, and
    /// `-U marketplace_admin` is the superuser.
    pub fn psql(&self) -> String {
        format!(
            "{} -h {} -p {} -U {NAME} -d {NAME}",
            quoted(&self.binaries.psql),
            quoted(&self.home.socket_dir),
            self.port
        )
    }

    /// One of PostgreSQL's programs, to be run as the server's user. It is told nothing of the
    /// database.
    pub fn program(&self, name: &str) -> Command {
        self.home.owner.command(self.binaries.path(name))
    }

    /// The major version of its programs.
    pub fn major(&self) -> u32 {
        self.binaries.major
    }

    /// Runs statements as the superuser of the cluster.
    pub async fn administer(&self, statements: &str) -> Result<(), tokio_postgres::Error> {
        roles::connect(&self.home.socket_dir, self.port, roles::ADMIN, NAME)
            .await?
            .batch_execute(statements)
            .await
    }

    /// Asks something as the superuser of the cluster; gives the first column.
    pub async fn ask(&self, question: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let admin = roles::connect(&self.home.socket_dir, self.port, roles::ADMIN, NAME).await?;
        let answer = admin.simple_query(question).await?;
        let text = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok()?.map(str::to_owned),
            _ => None,
        };
        Ok(answer.iter().filter_map(text).collect())
    }

    /// Copies something into a file that only the server's user can read, in a directory of the data
    /// directory; gives the directory.
    pub fn store(
        &self,
        directory: &str,
        name: &str,
        from: impl Read,
    ) -> Result<PathBuf, EmbeddedError> {
        self.home.store(directory, name, from)
    }

    /// The loopback port, which stays the same over a [`Cluster::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where the cluster really lives: not where [`Options::data_dir`] said if root's server could
    /// not get there.
    pub fn data_dir(&self) -> &Path {
        &self.home.dir
    }

    /// Stops the server and starts it again on the same port.
    pub async fn restart(&mut self, mode: StopMode) -> Result<(), EmbeddedError> {
        self.halt(mode).await?;
        self.launch(Some(self.port)).await
    }

    /// Starts the server again, on the same port, whenever it ends by itself: after a crash that it
    /// does not recover from, or a signal of somebody else's. Tries for ever: a disk that was full
    /// may have room again. Cancel-safe.
    pub async fn keep_running(&mut self) -> Infallible {
        let mut retry = REVIVE;
        let mut outage = Outage::default();
        loop {
            if let Some(server) = &mut self.server {
                server.exited(LOOK).await;
                let end = server.failure(&self.home);
                tracing::error!(%end, "the private PostgreSQL has ended; starting it again");
            }
            let started = match self.halt(StopMode::Immediate).await {
                Ok(()) => self.launch(Some(self.port)).await,
                Err(error) => Err(error),
            };
            match started {
                Ok(()) => {
                    let after = outage.over();
                    tracing::info!(port = self.port, after, "the private PostgreSQL runs again");
                    retry.reset();
                }
                Err(error) => {
                    if let Some(lasting) = outage.failed() {
                        tracing::error!(
                            %error,
                            lasting,
                            "the private PostgreSQL does not start; trying again"
                        );
                    }
                    retry.pause().await;
                }
            }
        }
    }

    /// Stops the server, ending its sessions, and waits until it is down; the data stays.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        self.halt(StopMode::Fast).await
    }

    async fn halt(&mut self, mode: StopMode) -> Result<(), EmbeddedError> {
        if let Some(server) = self.server.take() {
            server.stop(mode).await;
        }
        // Normally there is nothing left. There is if somebody killed the watchdog.
        server::stop_leftover(&self.home, &self.binaries).await
    }

    /// Starts the server and remembers its port. A port that was taken since it was found free is
    /// replaced, and the last processes of a server that was killed are given time to notice.
    async fn launch(&mut self, port: Option<u16>) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        let mut preferred = self.home.last_port();
        loop {
            self.port = match port {
                Some(port) => port,
                None => free_port(preferred.take())?,
            };
            self.home.configure(self.port, &self.settings)?;
            let mut server = Server::spawn(&self.home, &self.binaries)?;
            match self.wait_until_ready(&mut server).await {
                Ok(()) => {
                    self.server = Some(server);
                    return Ok(());
                }
                Err(error) => {
                    server.stop(StopMode::Immediate).await;
                    let limit = match port {
                        Some(_) if error.is_busy_port() => BUSY_LIMIT,
                        _ => RETRY_LIMIT,
                    };
                    let passing = error.is_leftover_memory() || error.is_busy_port();
                    if !passing || started.elapsed() > limit {
                        return Err(error);
                    }
                    tracing::debug!(%error, "PostgreSQL did not start: trying again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Waits until the database can be opened with what [`Cluster::url`] hands out, or the server has ended: if
    /// its port belongs to a stranger, who may never answer, it ends.
    async fn wait_until_ready(&self, server: &mut Server) -> Result<(), EmbeddedError> {
        let ready = tokio::time::timeout(START_LIMIT, async {
            tokio::select! {
                opened = Box::pin(self.open()) => Some(opened),
                () = server.exited(POLL) => None,
            }
        });
        match ready.await {
            Ok(Some(opened)) => opened.map_err(EmbeddedError::Connect),
            Ok(None) | Err(_) => Err(server.failure(&self.home)),
        }
    }

    /// Opens the database as soon as that is possible; makes it, and its owner, if they are missing.
    async fn open(&self) -> Result<(), tokio_postgres::Error> {
        loop {
            let opened = async {
                roles::prepare(&self.home.socket_dir, self.port).await?;
                self.connect().await
            };
            match opened.await {
                Err(error)
                    if matches!(error.code(), Some(&SqlState::CANNOT_CONNECT_NOW) | None) =>
                {
                    tokio::time::sleep(POLL).await;
                }
                opened => return opened,
            }
        }
    }

    /// Connects once by the address that is handed out.
    async fn connect(&self) -> Result<(), tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).dbname(NAME);
        config.user(NAME).password(&self.password);
        let (client, connection) = config.connect(NoTls).await?;
        drop(client);
        connection.await
    }
}

/// The text that is kept in a file of a data directory, which only the cluster's owner can read; made
/// by `make` when there is none.
pub fn kept(
    data_dir: &Path,
    name: &str,
    make: impl FnOnce() -> String,
) -> Result<String, EmbeddedError> {
    home::kept(data_dir, name, make)
}

/// Whether there is such a file.
///
/// # Errors
/// When there is a link or anything else in its place.
pub fn is_kept(data_dir: &Path, name: &str) -> Result<bool, EmbeddedError> {
    home::is_kept(data_dir, name)
}

/// Removes such a file.
pub fn forget(data_dir: &Path, name: &str) -> Result<(), EmbeddedError> {
    home::forget(data_dir, name)
}

fn url(password: &str, port: u16) -> String {
    format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{NAME}")
}

/// A loopback port that nobody listens on at this moment: the preferred one if that is free.
fn free_port(preferred: Option<u16>) -> Result<u16, EmbeddedError> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr();
    let preferred = preferred.map(bind).and_then(Result::ok);
    let address = match preferred {
        Some(address) => address,
        None => bind(0).map_err(|error| EmbeddedError::io(Path::new("127.0.0.1"), error))?,
    };
    Ok(address.port())
}

/// A path as one word of a shell command.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(quoted(Path::new("/usr/bin/psql")), "/usr/bin/psql");
        for path in ["/a b", "/it's", "/$HOME;`id`", "/\"x\""] {
            let script = format!("printf %s {}", quoted(Path::new(path)));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), path);
        }
    }

    #[test]
    fn a_taken_port_is_not_preferred() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_port(Some(port)).unwrap(), port);
    }
}
