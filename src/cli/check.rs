//! `marketplace check`: reads the configuration as `serve` does and says what is wrong with it. It asks
//! no database (that is for [`doctor`](super::doctor)), and leaves nothing behind.

use std::{
    fmt::{Display, Write as _},
    fs,
};

use super::{healthcheck, say};
use crate::{
    config::{
        Anonymous, Config, List, RateLimits, Registration,
        settings::{self, Setting},
    },
    error::{Error, Result},
    log,
    metrics::Metrics,
    peer::Network,
    pg::{Pool, dsn::Dsn, primary, tls},
    server,
    uploads::Uploads,
};

/// What was found out about one setting.
struct Finding {
    level: &'static str,
    about: String,
    found: String,
}

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, level: &'static str, about: impl Display, found: impl Display) {
        self.0.push(Finding {
            level,
            about: about.to_string(),
            found: found.to_string(),
        });
    }

    fn ok(&mut self, about: impl Display, found: impl Display) {
        self.add("ok  ", about, found);
    }

    fn warn(&mut self, about: impl Display, found: impl Display) {
        self.add("warn", about, found);
    }

    fn fail(&mut self, about: impl Display, found: impl Display) {
        self.add("fail", about, found);
    }
}

/// Prints what was found, or with `--print-config` the settings.
///
/// # Errors
/// [`Error::Start`] with how many problems there are.
pub async fn run(config: &Config) -> Result<()> {
    if config.print_config {
        return print(&config.settings);
    }
    let mut report = Report::default();
    variables(config, &mut report);
    database(config, &mut report);
    bind(config, &mut report).await;
    exposure(config, &mut report);
    descriptors(config, &mut report);
    uploads(config, &mut report);
    emr(config, &mut report);
    let mut text = String::new();
    for Finding {
        level,
        about,
        found,
    } in &report.0
    {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{level}  {about}: {found}");
    }
    say(text.trim_end())?;
    match report.0.iter().filter(|one| one.level == "fail").count() {
        0 => Ok(()),
        count => Err(Error::Start(super::problems("the configuration", count))),
    }
}

/// Prints the settings, one a line: name, value, where it comes from.
///
/// # Errors
/// When the output cannot be written.
pub fn print(settings: &[Setting]) -> Result<()> {
    let width = |text: fn(&Setting) -> usize| settings.iter().map(text).max().unwrap_or_default();
    let name = width(|one| one.name.len());
    let value = width(|one| one.value.as_ref().map_or(0, String::len)).min(50);
    let lines: Vec<_> = settings
        .iter()
        .map(|one| {
            let shown = one.value.as_deref().unwrap_or("");
            format!("{:name$}  {shown:value$}  {}", one.name, one.source)
        })
        .collect();
    say(&lines.join("\n"))
}

fn variables(config: &Config, report: &mut Report) {
    let misspelt = settings::misspelt();
    for (name, meant) in &misspelt {
        report.fail(
            name,
            format_args!("unknown variable; did you mean {meant}?"),
        );
    }
    if misspelt.is_empty() {
        report.ok("environment", "no variable looks misspelt");
    }
    for (name, why) in settings::wrong_endpoints(&config.settings) {
        report.fail(name, why);
    }
    if let Some(filter) = settings::value(&config.settings, "RUST_LOG")
        && let Err(why) = log::check(filter)
    {
        report.fail("RUST_LOG", why);
    }
}

fn database(config: &Config, report: &mut Report) {
    if config.embedded {
        let at = config.data_dir.display();
        report.ok("DATABASE_URL", format_args!("the private cluster at {at}"));
    } else {
        match config.database.url() {
            Ok(url) => connection_string(report, &url),
            Err(error) => report.fail("DATABASE_URL", bare(&error, "DATABASE_URL")),
        }
    }
    if let Some(url) = config.listen.url() {
        connection_string(report, &url);
    }
}

fn connection_string(report: &mut Report, url: &Dsn) {
    let found = tls::connector(url).map(|_| primary::masked(url, "***"));
    tell(report, url.setting(), found);
}

fn tell(report: &mut Report, about: &str, found: Result<String>) {
    match found {
        Ok(found) => report.ok(about, found),
        Err(error) => report.fail(about, bare(&error, about)),
    }
}

/// What an error says, without the name of the variable in front.
fn bare(error: &Error, about: &str) -> String {
    let text = error.to_string();
    let rest = text
        .strip_prefix(about)
        .and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(&text).to_owned()
}

/// As `serve` binds it. A server that runs already is usual where an operator checks new settings.
async fn bind(config: &Config, report: &mut Report) {
    const ABOUT: &str = "BIND";
    let address = config.bind;
    match server::bind(address) {
        Ok(_) => report.ok(ABOUT, format_args!("{address} is free")),
        Err(_) if healthcheck::is_ours(address).await => report.warn(
            ABOUT,
            format_args!(
                "a marketplace server uses {address} already; a second one cannot start there"
            ),
        ),
        Err(error) => report.fail(ABOUT, bare(&error, ABOUT)),
    }
}

/// What should be thought of before others than this machine can reach the server.
fn exposure(config: &Config, report: &mut Report) {
    let is_set = |name| settings::value(&config.settings, name).is_some();
    let by: Vec<_> = [
        ("BIND", !config.bind.ip().is_loopback()),
        ("ALLOWED_HOSTS", is_set("ALLOWED_HOSTS")),
        ("TRUSTED_PROXIES", is_set("TRUSTED_PROXIES")),
    ]
    .into_iter()
    .filter_map(|(name, exposes)| exposes.then_some(name))
    .collect();
    if config.registration == Registration::Open {
        let role = config.registration_role;
        let found = format!("anybody who reaches the server can create an account, as {role}");
        if by.is_empty() {
            report.ok("REGISTRATION", format_args!("open: {found}"));
        } else {
            let by = by.join(" and ");
            report.warn(
                "REGISTRATION",
                format_args!("open: {found}, and {by} lets others reach it; set it to closed"),
            );
        }
    }
    let proxies = List::values(&config.trusted_proxies);
    for everybody in proxies.filter(|network| network.is_everybody()) {
        report.warn(
            "TRUSTED_PROXIES",
            format_args!(
                "{everybody} is every address: any client can claim another address in X-Forwarded-For, and \
                 so evade limits and METRICS_ALLOW; name the proxies"
            ),
        );
    }
    if List::values(&config.metrics_allow).any(Network::is_everybody) {
        report.warn("METRICS_ALLOW", "every address may read /metrics");
    }
    if config.rate_limits == RateLimits::Off {
        let found = match config.anonymous {
            Anonymous::Read => {
                "off, and ANONYMOUS=read: anybody can open any number of sockets; set it to on"
            }
            Anonymous::None => {
                "off: nothing limits how often one address tries passwords; set it to on"
            }
        };
        report.warn("RATE_LIMITS", found);
    }
}

fn descriptors(config: &Config, report: &mut Report) {
    const ABOUT: &str = "MAX_CONNECTIONS";
    let wanted = config.max_connections;
    match limit() {
        Some(limit) if limit < wanted => report.warn(
            ABOUT,
            format_args!(
                "{wanted}, but only {limit} file descriptors are allowed here (ulimit -n)"
            ),
        ),
        _ => report.ok(ABOUT, wanted),
    }
}

/// How many descriptors a process may have; none where the system does not tell.
fn limit() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn uploads(config: &Config, report: &mut Report) {
    const ABOUT: &str = "UPLOADS_URL";
    let mut settings = config.uploads.clone();
    if config.embedded {
        settings = settings.of_cluster(&config.data_dir, &config.data_dir);
    }
    // Neither is asked for anything yet.
    let built = "postgres://nobody@localhost/nothing"
        .parse()
        .map_err(Error::Config)
        .and_then(|nobody| Pool::new(&nobody, 1))
        .and_then(|pool| {
            let metrics = Metrics::default();
            Uploads::new(&settings, &config.data_dir, pool, &metrics)
        });
    let Some(directory) = settings.directory(&config.data_dir) else {
        let said = built.map(|_| "valid; the store was not asked".into());
        return tell(report, ABOUT, said);
    };
    let at = directory.display();
    let tried = built.and_then(|uploads| Ok(uploads.can_be_written()?));
    match tried {
        Ok(()) => report.ok(ABOUT, format_args!("{at} can be written")),
        Err(error) => report.fail(ABOUT, format_args!("{at} cannot be written: {error}")),
    }
}

fn emr(config: &Config, report: &mut Report) {
    let is_set = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.is_empty());
    let cluster = is_set(&config.emr.emr_cluster_id);
    let path = is_set(&config.emr.s3_path);
    match (cluster, path) {
        (false, false) => report.ok("EMR_CLUSTER_ID", "not set: there is no pipeline"),
        (true, false) => report.fail(
            "S3_PATH",
            "not set, but EMR_CLUSTER_ID is: set both or neither",
        ),
        (false, true) => report.fail(
            "EMR_CLUSTER_ID",
            "not set, but S3_PATH is: set both or neither",
        ),
        (true, true) => report.ok("EMR_CLUSTER_ID", "set, and S3_PATH too"),
    }
    let value = |name| settings::value(&config.settings, name).is_some();
    let (id, secret) = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
    for (set, other) in [(id, secret), (secret, id)] {
        if value(set) && !value(other) {
            report.fail(
                other,
                format_args!("not set, but {set} is: set both or neither"),
            );
        }
    }
    if cluster && path && !value("AWS_REGION") && !value("AWS_PROFILE") {
        report.warn(
            "AWS_REGION",
            "not set: the server looks for it in ~/.aws and on the instance",
        );
    }
}
