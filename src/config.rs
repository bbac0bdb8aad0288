//! The command line and the environment: the only reader of variables.

pub mod aws;
pub mod emr;
pub mod import;
mod list;
mod origin;
pub mod settings;
mod token;
pub mod uploads;
pub mod users;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, error::ContextKind,
    error::ErrorKind,
};
use jiff::{SignedDuration, tz::TimeZone};
use listenfd::ListenFd;

pub use self::{
    emr::Emr,
    list::List,
    origin::Origin,
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
    /// Check the settings of `serve` and exit.
    #[command(
        after_help = "The database itself is asked by `marketplace doctor`.\n\nExit status: 0 when \
        there is no problem (a warn is none), 1 when there is one, 2 for a value that is not understood."
    )]
    Check(Box<Config>),
    /// Create or update the database's schema and exit.
    Migrate(Box<Target>),
    /// Add, list and change users.
    Users(Box<users::Users>),
    /// Start, list and cancel runs on Amazon EMR.
    Emr(Box<emr::Command>),
    /// Remove files that no source has named for long.
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
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Ask the server on this machine whether it is ready; exit with 0 if it is.
    Healthcheck(Healthcheck),
    /// Write the manual's pages into a directory.
    #[command(hide = true)]
    Man {
        /// Which directory.
        directory: PathBuf,
    },
}

/// How to reach the database, and its calendar.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// PostgreSQL to use, as a URL (user:password@host:5432/database) or as words (host=...).
    /// Several hosts with commas.
    #[arg(long, env, global = true, hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Dsn>,

    /// File whose first line is the database's URL, which keeps it out of the list of processes.
    #[arg(
        long,
        env,
        global = true,
        value_name = "FILE",
        value_parser = from_file::<Dsn>,
        conflicts_with = "database_url"
    )]
    pub database_url_file: Option<Dsn>,

    /// Time zone that decides the current date, as an IANA name.
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
    pub fn url(&self) -> Result<&Dsn> {
        let named = self
            .database_url
            .as_ref()
            .or(self.database_url_file.as_ref());
        named.ok_or_else(|| {
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

    /// Use the private PostgreSQL cluster of `serve --embedded`, whether that runs or not.
    #[arg(long, global = true, conflicts_with_all = ["database_url", "database_url_file"])]
    pub embedded: bool,

    /// Directory of the embedded cluster.
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
    after_help = "The checks stop at the first problem that would cause the others.\n\nExit status: 0 \
        when there is no problem (a warn is none), 1 when the server would not work or would miss changes, \
        2 for a mistake in the command line."
)]
pub struct Doctor {
    /// Where the data is.
    #[command(flatten)]
    pub target: Target,
    /// Where to listen.
    #[command(flatten)]
    pub listen: Listen,
    /// Run the statements that are suggested for triggers, and derive columns again that no trigger
    /// has derived. The role must own the tables.
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
    /// A JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Which server to ask.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Address that it serves at.
    #[arg(long, env, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub bind: SocketAddr,
}

/// The connection that listens.
#[derive(Clone, Debug, Args)]
pub struct Listen {
    /// Direct connection for LISTEN, when the database's URL goes through a transaction pooler.
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub listen_database_url: Option<Dsn>,

    /// File whose first line is the URL for LISTEN.
    #[arg(
        long,
        env,
        value_name = "FILE",
        value_parser = from_file::<Dsn>,
        conflicts_with = "listen_database_url"
    )]
    pub listen_database_url_file: Option<Dsn>,
}

impl Listen {
    /// Where to listen, when that is elsewhere.
    pub fn url(&self) -> Option<&Dsn> {
        let file = self.listen_database_url_file.as_ref();
        self.listen_database_url.as_ref().or(file)
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

    /// Use a private PostgreSQL cluster; this program makes, starts and stops it.
    #[arg(long, conflicts_with_all = ["database_url", "database_url_file"])]
    pub embedded: bool,

    /// Directory of the embedded cluster.
    #[arg(long, env, default_value = "data/postgres", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,

    /// Address to listen on; port 0 takes a free one, and the address is printed.
    #[arg(long, env, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub bind: SocketAddr,

    /// The listening socket that whoever started this program has passed, used instead of `bind`.
    #[arg(skip)]
    pub passed: Option<Arc<TcpListener>>,

    /// Hosts that requests may be sent to: names and addresses by which browsers reach the server.
    /// Always allowed are localhost, the address that a connection arrives at, and the hosts of
    /// `ALLOWED_ORIGINS`.
    #[arg(long, env, value_name = "HOST,...")]
    pub allowed_hosts: Vec<List<Host>>,

    /// Origins of the frontends that may use the API and the sockets from a browser.
    #[arg(
        long,
        env,
        default_value = "http://localhost:3000",
        value_name = "ORIGIN,..."
    )]
    pub allowed_origins: Vec<List<Origin>>,

    /// Whether visitors may register.
    #[arg(long, env, default_value = "open")]
    pub registration: Registration,

    /// Role of newly registered users: viewer (reads) or editor (also changes).
    #[arg(long, env, default_value = "editor", value_name = "ROLE", value_parser = registration_role)]
    pub registration_role: Role,

    /// What visitors may do without signing in.
    #[arg(long, env, default_value = "none")]
    pub anonymous: Anonymous,

    /// Whether what one address or user may do is limited.
    #[arg(long, env, default_value = "on")]
    pub rate_limits: RateLimits,

    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses and networks.
    #[arg(long, env, value_name = "NETWORK,...")]
    pub trusted_proxies: Vec<List<Network>>,

    /// Whether browsers are to keep the cookies off plain http.
    #[arg(long, env, default_value = "auto")]
    pub cookie_secure: CookieSecure,

    /// Connections to PostgreSQL at most, besides the one that listens.
    #[arg(long, env, default_value_t = 16, value_name = "N", value_parser = pool_size)]
    pub pool_size: usize,

    /// Connections of clients at most, sockets included.
    #[arg(long, env, default_value_t = 20_000, value_name = "N", value_parser = connections)]
    pub max_connections: usize,

    /// How long a connection of HTTP is kept for the next request; longer than a proxy in front keeps it.
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

    /// Token by which /metrics may also be read from elsewhere: Authorization: Bearer TOKEN.
    #[arg(long, env, hide_env_values = true, value_name = "TOKEN")]
    pub metrics_token: Option<MetricsToken>,

    /// File whose first line is the token for /metrics.
    #[arg(
        long,
        env,
        value_name = "FILE",
        value_parser = from_file::<MetricsToken>,
        conflicts_with = "metrics_token"
    )]
    pub metrics_token_file: Option<MetricsToken>,

    /// Warn when PostgreSQL's queue of notifications is this full, in percent.
    #[arg(long, env, default_value_t = 10.0, value_name = "PERCENT", value_parser = percent)]
    pub notify_queue_warning: f32,

    /// Form of the log and of the printed lines.
    #[arg(long, env, default_value = "text")]
    pub log_format: LogFormat,

    /// Print the settings without secrets, each with where it comes from (flag, variable, default), and
    /// exit.
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

/// Whether strangers may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anybody may.
    Open,
    /// Nobody may.
    Closed,
}

/// What people may do who have not signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Anonymous {
    /// Nothing.
    None,
    /// Follow the reading sockets, for displays on a wall.
    Read,
}

/// Whether what one address or user may do is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RateLimits {
    /// They are.
    On,
    /// They are not, for replays and load tests.
    Off,
}

/// Whether browsers are to keep the cookies off plain http.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CookieSecure {
    /// Those that came by https, as a trusted proxy says.
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

impl CookieSecure {
    /// Whether it is so for cookies that go to `peer`.
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
    /// One JSON object a line.
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

/// Reads the command line and the environment.
///
/// # Errors
/// [`Error::Config`] with one line that names the variable whose value is wrong. Questions for
/// help and mistakes in the command line itself are answered by `clap`, which exits.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Cli> {
    parsed(args).map_err(|error| {
        let flag = match error.kind() {
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
                error.get(ContextKind::InvalidArg).map(ToString::to_string)
            }
            _ => None,
        };
        let Some(flag) = flag else { error.exit() };
        // "--bind <ADDRESS>" is the variable BIND; "<ROLE>" is named as it is.
        let name = flag
            .trim_start_matches('-')
            .trim_matches(['<', '>'])
            .split(' ')
            .next()
            .unwrap_or_default();
        let variable = name.replace('-', "_").to_uppercase();
        let why = match std::error::Error::source(&error) {
            Some(cause) => cause.to_string(),
            None => match error.get(ContextKind::ValidValue) {
                Some(valid) => format!("takes one of {valid}"),
                None => "the value is not understood".into(),
            },
        };
        Error::Config(format!("{variable}: {why}"))
    })
}

fn parsed(args: impl IntoIterator<Item = String>) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if let Command::Serve(config) | Command::Check(config) = &mut cli.command
        && let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        config.settings = settings::of(command, matches);
    }
    Ok(cli)
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

/// What the first line of a file says.
fn from_file<T: FromStr<Err = String>>(path: &str) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().next().unwrap_or_default().trim();
    line.parse().map_err(|why| format!("{path}: {why}"))
}

/// A time with its unit (75s, 250ms), or in seconds.
fn duration(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok().map(SignedDuration::from_secs);
    let time = seconds.or_else(|| text.parse().ok())?;
    Duration::try_from(time).ok()
}

fn keep_alive(text: &str) -> Result<Duration, String> {
    duration(text)
        .filter(|time| (Duration::from_secs(1)..=Duration::from_hours(1)).contains(time))
        .ok_or_else(|| format!("{text} is not a time from 1s to 1h"))
}

fn registration_role(text: &str) -> Result<Role, String> {
    match text.parse() {
        Ok(role @ (Role::Viewer | Role::Editor)) => Ok(role),
        _ => Err("is viewer or editor".into()),
    }
}

fn pool_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 1..=1000) => Ok(size),
        _ => Err("is a number from 1 to 1000".into()),
    }
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("is a number from 1 to 1000000".into()),
    }
}

fn percent(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("is a number from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
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
