//! The command line and the environment: the only reader of variables.

pub mod aws;
mod duration;
pub mod emr;
mod from_file;
pub mod import;
mod list;
mod origin;
mod parse;
pub mod settings;
mod token;
pub mod uploads;
pub mod users;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use listenfd::ListenFd;

pub use self::{
    emr::Emr,
    from_file::FromFile,
    list::List,
    origin::Origin,
    parse::parse,
    settings::Setting,
    token::MetricsToken,
    uploads::{Uploads, UploadsUrl},
};
use crate::{
    db::users::Role,
    error::{Error, Result},
    hosts::Host,
    peer::{Network, Peer},
    pg::dsn::Dsn,
};

/// A change-driven server for PostgreSQL: row changes reach every dashboard over WebSockets.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, the sockets and the page.
    Serve(Box<Config>),
    /// Check the settings of `serve`.
    #[command(
        after_help = "Use `marketplace doctor` to check the database.\n\nExit status: 0 without problems \
        (warnings do not count), 1 with problems, 2 for an invalid value."
    )]
    Check(Box<Config>),
    /// Create or update the schema of the database.
    Migrate(Box<Target>),
    /// Add, list and change users.
    Users(Box<users::Users>),
    /// Start, list and cancel runs on Amazon EMR.
    Emr(Box<emr::Command>),
    /// Delete the files of deleted sources.
    Uploads(Box<uploads::Command>),
    /// Import sources and users from a Django backend.
    ImportDjango(Box<import::Import>),
    /// Check a database and suggest fixes.
    Doctor(Box<Doctor>),
    /// Print change notifications as they arrive.
    Tail(Box<Tail>),
    /// Add sample sources.
    Demo(Box<Target>),
    /// Print a completion script for a shell.
    Completions {
        /// Shell.
        shell: clap_complete::Shell,
    },
    /// Ask a server on this machine whether it is ready; exit with 0 if it is.
    Healthcheck(Healthcheck),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Man {
        /// Output directory.
        directory: PathBuf,
    },
}

/// How to reach the database, and its calendar.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// PostgreSQL connection string: a URL (`postgres://user:password@host:5432/database`) or key=value
    /// pairs (host=...). Separate several hosts with commas.
    #[arg(long, env, global = true, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Dsn>,

    /// File whose first line is the connection string, so that ps does not show the password.
    #[arg(
        long,
        env,
        global = true,
        value_name = "FILE",
        value_parser = FromFile::<Dsn>::read,
        conflicts_with = "database_url"
    )]
    pub database_url_file: Option<FromFile<Dsn>>,

    /// Time zone that decides the current date: an IANA name.
    #[arg(
        long,
        env,
        global = true,
        default_value = "Europe/Paris",
        value_name = "ZONE"
    )]
    pub time_zone: Zone,
}

impl Database {
    /// The database that is named.
    ///
    /// # Errors
    /// [`Error::Config`] when none is.
    pub fn url(&self) -> Result<Dsn> {
        let set = dsn(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        );
        set.ok_or_else(|| {
            Error::Config("DATABASE_URL: is not set; name a database, or use --embedded".into())
        })
    }
}

/// The database that a command works on.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// One that is named.
    #[command(flatten)]
    pub database: Database,

    /// Use the private PostgreSQL cluster of `serve --embedded`, even if the server is not running.
    #[arg(long, global = true, conflicts_with_all = ["database_url", "database_url_file"])]
    pub embedded: bool,

    /// Directory of the private PostgreSQL cluster of `--embedded`.
    #[arg(
        long,
        env,
        global = true,
        default_value = "data/postgres",
        value_name = "DIRECTORY"
    )]
    pub data_dir: PathBuf,
}

/// Which database to look at, as the server would use it.
#[derive(Debug, Args)]
#[command(
    after_help = "The checks stop at the first problem that would cause others.\n\nExit status: 0 without \
        problems (warnings do not count), 1 if the server would not work or would miss changes, 2 for a \
        mistake in the command line."
)]
pub struct Doctor {
    /// Where the data is.
    #[command(flatten)]
    pub target: Target,
    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,
    /// Run the statements that are suggested for triggers, and recompute derived columns. The role must
    /// own the tables.
    #[arg(long)]
    pub fix: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Whose announcements to print.
#[derive(Debug, Args)]
pub struct Tail {
    /// Where the data is.
    #[command(flatten)]
    pub target: Target,
    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,
    /// Print a JSON object per line.
    #[arg(long)]
    pub json: bool,
}

/// Which server to ask.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Address of the server.
    #[arg(long, env, default_value = "127.0.0.1:8000", value_name = "ADDRESS", value_parser = address)]
    pub bind: SocketAddr,
}

/// The connection that listens.
#[derive(Clone, Debug, Args)]
pub struct Listen {
    /// Direct connection for LISTEN; needed when `DATABASE_URL` uses a transaction pooler.
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub listen_database_url: Option<Dsn>,

    /// File whose first line is the connection string for LISTEN.
    #[arg(
        long,
        env,
        value_name = "FILE",
        value_parser = FromFile::<Dsn>::read,
        conflicts_with = "listen_database_url"
    )]
    pub listen_database_url_file: Option<FromFile<Dsn>>,
}

impl Listen {
    /// Where to listen, when that is elsewhere.
    pub fn url(&self) -> Option<Dsn> {
        let file = self.listen_database_url_file.as_ref();
        dsn(
            "LISTEN_DATABASE_URL",
            self.listen_database_url.as_ref(),
            file,
        )
    }
}

/// The connection string of a setting or of the file that `SETTING_FILE` names. It knows which of them it
/// comes from.
fn dsn(setting: &str, set: Option<&Dsn>, file: Option<&FromFile<Dsn>>) -> Option<Dsn> {
    match (set, file) {
        (Some(dsn), _) => Some(dsn.clone().set_by(setting)),
        (None, Some(file)) => {
            let setting = format!("{setting}_FILE ({})", file.path);
            Some(file.value.clone().set_by(&setting))
        }
        (None, None) => None,
    }
}

/// Everything the server can be told. Each flag has a variable of the same meaning.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Where the data is.
    #[command(flatten)]
    pub database: Database,

    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,

    /// Use a private PostgreSQL cluster, which the program creates, starts and stops.
    #[arg(long, conflicts_with_all = ["database_url", "database_url_file"])]
    pub embedded: bool,

    /// Directory of the private PostgreSQL cluster of `--embedded`.
    #[arg(long, env, default_value = "data/postgres", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,

    /// Address to listen on. Port 0 picks a free port; the server prints the address.
    #[arg(long, env, default_value = "127.0.0.1:8000", value_name = "ADDRESS", value_parser = address)]
    pub bind: SocketAddr,

    /// A listening socket that is used instead of `bind`: bound before, or passed by a service manager.
    #[arg(skip)]
    pub passed: Option<Arc<TcpListener>>,

    /// Host names and addresses that browsers use for this server. `localhost`, the server's own address
    /// and the hosts of `ALLOWED_ORIGINS` are always allowed.
    #[arg(long, env, value_name = "HOST,...")]
    pub allowed_hosts: Vec<List<Host>>,

    /// Origins of frontends that may use the API and the sockets.
    #[arg(
        long,
        env,
        default_value = "http://localhost:3000",
        value_name = "ORIGIN,..."
    )]
    pub allowed_origins: Vec<List<Origin>>,

    /// Self-registration.
    #[arg(long, env, default_value = "open")]
    pub registration: Registration,

    /// Role of newly registered users: viewer (reads) or editor (also changes).
    #[arg(long, env, default_value = "editor", value_name = "ROLE", value_parser = registration_role)]
    pub registration_role: Role,

    /// What clients may do without signing in.
    #[arg(long, env, default_value = "none")]
    pub anonymous: Anonymous,

    /// Rate limits per address and user.
    #[arg(long, env, default_value = "on")]
    pub rate_limits: RateLimits,

    /// Addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto the server trusts.
    #[arg(long, env, value_name = "NETWORK,...")]
    pub trusted_proxies: Vec<List<Network>>,

    /// `Secure` attribute of cookies.
    #[arg(long, env, default_value = "auto")]
    pub cookie_secure: CookieSecure,

    /// Maximum size of the connection pool, in addition to the LISTEN connection.
    #[arg(long, env, default_value_t = 16, value_name = "N", value_parser = pool_size)]
    pub pool_size: usize,

    /// Maximum number of client connections, including sockets.
    #[arg(long, env, default_value_t = 20_000, value_name = "N", value_parser = connections)]
    pub max_connections: usize,

    /// How long an idle client connection stays open (75s, 2m; a plain number is seconds). Must be longer
    /// than the idle timeout of the load balancer in front.
    #[arg(long, env, default_value = "75s", value_name = "TIME", value_parser = keep_alive)]
    pub keep_alive: Duration,

    /// Addresses and networks that may read /metrics.
    #[arg(
        long,
        env,
        default_value = "127.0.0.0/8,::1",
        value_name = "NETWORK,..."
    )]
    pub metrics_allow: Vec<List<Network>>,

    /// Bearer token that lets other addresses read /metrics: `Authorization: Bearer TOKEN`.
    #[arg(long, env, hide_env_values = true, value_name = "TOKEN")]
    pub metrics_token: Option<MetricsToken>,

    /// File whose first line is the token for /metrics.
    #[arg(
        long,
        env,
        value_name = "FILE",
        value_parser = FromFile::<MetricsToken>::read,
        conflicts_with = "metrics_token"
    )]
    pub metrics_token_file: Option<FromFile<MetricsToken>>,

    /// Warn when PostgreSQL's notification queue is this full, in percent.
    #[arg(long, env, default_value_t = 10.0, value_name = "PERCENT", value_parser = percent)]
    pub notify_queue_warning: f32,

    /// Log format, also of the printed lines.
    #[arg(long, env, default_value = "text")]
    pub log_format: LogFormat,

    /// Print each setting without secrets, and where it comes from (flag, variable, default), then exit.
    #[arg(long)]
    pub print_config: bool,

    /// The same settings as they are printed.
    #[arg(skip)]
    pub settings: Vec<Setting>,

    /// Where pipeline steps run.
    #[command(flatten)]
    pub emr: Emr,

    /// Where files are kept.
    #[command(flatten)]
    pub uploads: Uploads,
}

/// Self-registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anybody can create an account.
    Open,
    /// Only admins can create accounts.
    Closed,
}

/// What people may do who have not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Anonymous {
    /// Nothing: sign-in required.
    None,
    /// Subscribe to the read-only sockets, for displays on a wall.
    Read,
}

/// Rate limits per address and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateLimits {
    /// Limits apply.
    On,
    /// No limits, for load tests only.
    Off,
}

/// The `Secure` attribute of cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CookieSecure {
    /// If a trusted proxy says that the client used https.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl CookieSecure {
    /// Whether cookies that go to `peer` have it.
    pub fn applies(self, peer: &Peer) -> bool {
        match self {
            Self::Auto => peer.https,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object per line.
    Json,
}

/// A time zone with the name it was asked for by.
#[derive(Clone, Debug)]
pub struct Zone {
    /// As given; PostgreSQL gets the same name.
    pub name: String,
    /// Its rules.
    pub rules: TimeZone,
}

impl std::str::FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        // A fixed or POSIX zone has no name in the database of zones; both programs know the rule.
        let rules = TimeZone::get(name)
            .or_else(|_| TimeZone::posix(name))
            .map_err(|_| format!("{name} is not a time zone (Europe/Paris, UTC, ...)"))?;
        Ok(Self {
            name: name.to_owned(),
            rules,
        })
    }
}

/// What makes `shell` complete the arguments.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "marketplace", &mut script);
    script
}

/// Writes a page of the manual for the program and one for each command.
///
/// # Errors
/// [`Error::Start`] when the directory cannot be written.
pub fn manual(directory: &Path) -> Result<()> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(Error::from)
}

/// The listening socket that a service manager has passed (`LISTEN_FDS`), if any. Takes the
/// variables away, so that no child believes they are for it: to be called before any thread runs.
///
/// # Errors
/// [`Error::Config`] when what was passed is something else than one TCP socket.
pub fn passed() -> Result<Option<Arc<TcpListener>>> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(Error::Config("LISTEN_FDS: takes one socket".into()));
    }
    let listener = passed
        .take_tcp_listener(0)
        .map_err(|error| Error::Config(format!("LISTEN_FDS: {error}")))?;
    Ok(listener.map(Arc::new))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text} is not an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000")
    })
}

fn keep_alive(text: &str) -> Result<Duration, String> {
    duration::or_seconds(text)
        .filter(|time| (Duration::from_secs(1)..=Duration::from_hours(1)).contains(time))
        .ok_or_else(|| format!("{text} is not a time from 1s to 1h (75s, 2m)"))
}

fn registration_role(text: &str) -> Result<Role, String> {
    match text.parse() {
        Ok(role @ (Role::Viewer | Role::Editor)) => Ok(role),
        _ => Err("must be viewer or editor".into()),
    }
}

fn pool_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=1000) => Ok(size),
        _ => Err("must be a number from 1 to 1000".into()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("must be a number from 1 to 1000000".into()),
    }
}

fn percent(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("must be a number from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    /// The values of each list.
    fn lists(config: &Config) -> [(&'static str, Vec<String>); 6] {
        fn texts<T>(lists: &[List<T>]) -> Vec<String>
        where
            T: FromStr<Err = String> + std::fmt::Debug,
        {
            List::values(lists)
                .map(|value| format!("{value:?}"))
                .collect()
        }
        [
            ("allowed-hosts", texts(&config.allowed_hosts)),
            ("allowed-origins", texts(&config.allowed_origins)),
            ("trusted-proxies", texts(&config.trusted_proxies)),
            ("metrics-allow", texts(&config.metrics_allow)),
            ("pipeline-steps", texts(&config.emr.pipeline_steps)),
            ("pipeline-jobs", texts(&config.emr.pipeline_jobs)),
        ]
    }

    fn serve(lines: &[String]) -> Config {
        let words = ["marketplace", "serve"].map(str::to_owned);
        match Cli::try_parse_from(words.iter().chain(lines))
            .unwrap()
            .command
        {
            Command::Serve(config) => *config,
            _ => unreachable!("serve was asked for"),
        }
    }

    #[test]
    fn every_list_takes_blanks_and_new_lines_between_its_values() {
        let samples = [
            ("allowed-hosts", ["a.example", "b.example"]),
            (
                "allowed-origins",
                ["https://a.example", "https://b.example"],
            ),
            ("trusted-proxies", ["10.0.0.0/8", "::1"]),
            ("metrics-allow", ["10.0.0.0/8", "::1"]),
            ("pipeline-steps", ["qc", "cleaning"]),
            ("pipeline-jobs", ["report-*", "load"]),
        ];
        let given = |between: &str| {
            samples.map(|(name, values)| format!("--{name}={}", values.join(between)))
        };
        let expected = lists(&serve(&given(",")));
        assert!(
            expected.iter().all(|(_, values)| values.len() == 2),
            "{expected:?}"
        );
        for between in [", ", " , ", " ", ",\n"] {
            assert_eq!(lists(&serve(&given(between))), expected, "{between:?}");
        }
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let is_list = |argument: &&clap::Arg| {
            let names = argument.get_value_names().unwrap_or_default();
            names.iter().any(|name| name.ends_with(",..."))
        };
        let mut named: Vec<_> = serve
            .get_arguments()
            .filter(is_list)
            .filter_map(clap::Arg::get_long)
            .collect();
        named.sort_unstable();
        let mut tested = samples.map(|(name, _)| name);
        tested.sort_unstable();
        assert_eq!(named, tested);
    }
}
