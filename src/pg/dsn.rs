//! A connection string as libpq understands it
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>). Every option of
//! libpq has the meaning that it has there, or is refused. Never printed: it may hold a password.

mod conninfo;

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use tokio_postgres::config::{
    ChannelBinding, Config, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};

use self::conninfo::{Options, is_blank};
use super::host_state::Known;

/// Where a database is and how to reach it.
#[derive(Clone)]
pub struct Dsn {
    /// What the driver needs to know. Its `ssl_mode` is that of the first attempt.
    pub config: Config,
    /// The encryption of a second attempt, for when a server refuses the first: `allow` and `prefer`.
    pub(super) fallback: Option<SslMode>,
    /// Whether a host that is a standby will do.
    pub(super) standby_will_do: bool,
    /// How TLS is spoken.
    pub tls: Tls,
    /// What clones of it have learnt about its hosts.
    pub(super) known: Arc<Known>,
    /// The variable that it came from, and the file if there is one.
    setting: Arc<str>,
}

/// How TLS is spoken, where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether the server's certificate is verified, and how far.
    pub verify: Verify,
    /// `sslrootcert`: the authorities that are trusted for it, a PEM file; those of the system when it
    /// is not given.
    pub root_cert: Option<PathBuf>,
    /// `sslcert` and `sslkey`: the certificate of this client and its private key, PEM files.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `sslsni`: whether the server is told the name of the host.
    pub names_host: bool,
    /// `ssl_min_protocol_version` and `ssl_max_protocol_version`: from which version to which.
    pub versions: (Version, Version),
}

/// A version of TLS that this program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// How far the server's certificate is checked
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Not at all: `disable`; `allow`, `prefer` and `require` without `sslrootcert`.
    Nothing,
    /// It must come from a trusted authority: `verify-ca`; `allow`, `prefer` and `require` with
    /// `sslrootcert`.
    Authority,
    /// It must also name the host: `verify-full`.
    Host,
}

/// How long connecting to one host of the list may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silent peer is probed after this long, three times, and given up.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Written data that stays unacknowledged this long breaks the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

impl Dsn {
    /// The same database, but only a server that takes writes (and so can `LISTEN`) will do.
    #[must_use]
    pub fn read_write(mut self) -> Self {
        self.config
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        self
    }

    /// The same database, with the setting that named it.
    #[must_use]
    pub fn set_by(mut self, setting: &str) -> Self {
        self.setting = setting.into();
        self
    }

    /// Where somebody can correct it: the variable, and the file if there is one. For messages.
    pub fn setting(&self) -> &str {
        &self.setting
    }

    /// The same database with another name for `pg_stat_activity`.
    #[must_use]
    pub fn named(mut self, application_name: &str) -> Self {
        self.config.application_name(application_name);
        self
    }
}

impl FromStr for Dsn {
    type Err = String;

    /// # Errors
    /// Says what is wrong with the string without repeating it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut options =
            Options::parse(text).map_err(|why| format!("not a connection string: {why}"))?;
        let mut config = Config::new();
        whose(&mut options, &mut config)?;
        let hosts = hosts(&mut options, &mut config)?;
        let (fallback, tls) = encryption(&mut options, &mut config)?;
        if tls.verify == Verify::Host && hosts == Named::ByAddress {
            return Err("sslmode=verify-full needs the name of the host, not only hostaddr".into());
        }
        timeouts(&mut options, &mut config)?;
        let standby_will_do = session(&mut options, &mut config)?;
        refuse_the_rest(&mut options)?;
        Ok(Self {
            config,
            fallback,
            standby_will_do,
            tls,
            known: Arc::default(),
            setting: "DATABASE_URL".into(),
        })
    }
}

/// User, password, database, and what the session is called.
fn whose(options: &mut Options, config: &mut Config) -> Result<(), String> {
    if let Some(user) = options.take("user")? {
        config.user(user);
    }
    if let Some(password) = options.take_bytes("password") {
        config.password(password);
    }
    if let Some(name) = options.take("dbname")? {
        // It would be shown, with the password that may be in it.
        if name.contains("://") {
            return Err("dbname is a URL; write the name of the database".into());
        }
        config.dbname(name);
    }
    if let Some(words) = options.take("options")? {
        config.options(words);
    }
    let fallback = options.take("fallback_application_name")?;
    if let Some(name) = options.take("application_name")?.or(fallback) {
        config.application_name(name);
    }
    Ok(())
}

/// By what the hosts are named.
#[derive(PartialEq, Eq)]
enum Named {
    ByName,
    ByAddress,
}

fn hosts(options: &mut Options, config: &mut Config) -> Result<Named, String> {
    let list = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        let parts = text
            .split(',')
            .map(|part| part.trim_matches(is_blank).to_owned());
        if text.is_empty() {
            Vec::new()
        } else {
            parts.collect()
        }
    };
    let names = list(options.take("host")?);
    let addresses = list(options.take("hostaddr")?);
    let ports = list(options.take("port")?);
    let count = names.len().max(addresses.len());
    if count == 0 {
        return Err("names no host (postgres://user:password@host:5432/database)".into());
    }
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err("host and hostaddr do not name the same number of hosts".into());
    }
    if ports.len() > 1 && ports.len() != count {
        return Err("there are not as many ports as hosts".into());
    }
    for port in &ports {
        let number = if port.is_empty() {
            Ok(5432)
        } else {
            port.parse()
        };
        match number {
            Ok(number) if number > 0 => config.port(number),
            _ => {
                return Err(
                    "the port is not a number from 1 to 65535; write host:5432 (and a / of the password \
                     as %2F)"
                        .into(),
                );
            }
        };
    }
    for address in &addresses {
        let address: IpAddr = address
            .parse()
            .map_err(|_| "hostaddr is not an IP address, or one of the list is missing")?;
        config.hostaddr(address);
    }
    for name in &names {
        if name.is_empty() {
            return Err("one of the hosts has no name; the directory of a socket is host=/var/run/postgresql".into());
        }
        if name.starts_with('@') {
            return Err("a host that begins with @ (an abstract socket) is not supported".into());
        }
        // A host is shown. What stands in it before `@` or `:` may be a part of a password.
        if name.contains('@') && !name.starts_with('/') {
            return Err(
                "the host contains @; write user and password in front of the host, and an @ of \
                 the password as %40"
                    .into(),
            );
        }
        if name.contains(':') && !name.starts_with('/') && !is_ipv6(name) {
            return Err("the host contains `:`; write host=name port=5432, or a URL".into());
        }
        config.host(name);
    }
    if names.is_empty() {
        // The driver wants a name before it speaks TLS.
        for address in &addresses {
            config.host(address);
        }
        return Ok(Named::ByAddress);
    }
    Ok(Named::ByName)
}

/// Whether a host is an IPv6 address, perhaps with a zone.
fn is_ipv6(name: &str) -> bool {
    let address = name.split_once('%').map_or(name, |(address, _)| address);
    address.parse::<std::net::Ipv6Addr>().is_ok()
}

fn encryption(
    options: &mut Options,
    config: &mut Config,
) -> Result<(Option<SslMode>, Tls), String> {
    let root = options.take("sslrootcert")?;
    let of_system = root.as_deref() == Some("system");
    let mode = options.take("sslmode")?;
    if of_system && mode.as_deref().is_some_and(|mode| mode != "verify-full") {
        return Err("sslrootcert=system needs sslmode=verify-full".into());
    }
    let default = if of_system { "verify-full" } else { "prefer" };
    let unless_root = match &root {
        Some(_) => Verify::Authority,
        None => Verify::Nothing,
    };
    let (mode, fallback, verify) = match mode.as_deref().unwrap_or(default) {
        "disable" => (SslMode::Disable, None, Verify::Nothing),
        "allow" => (SslMode::Disable, Some(SslMode::Require), unless_root),
        "prefer" => (SslMode::Prefer, Some(SslMode::Disable), unless_root),
        "require" => (SslMode::Require, None, unless_root),
        "verify-ca" => (SslMode::Require, None, Verify::Authority),
        "verify-full" => (SslMode::Require, None, Verify::Host),
        _ => {
            return Err(
                "sslmode is disable, allow, prefer, require, verify-ca or verify-full".into(),
            );
        }
    };
    config.ssl_mode(mode);
    let negotiation = options.take("sslnegotiation")?;
    config.ssl_negotiation(match negotiation.as_deref() {
        None | Some("postgres") => SslNegotiation::Postgres,
        Some("direct") if mode == SslMode::Require => SslNegotiation::Direct,
        Some("direct") => return Err("sslnegotiation=direct needs sslmode=require or more".into()),
        Some(_) => return Err("sslnegotiation is postgres or direct".into()),
    });
    let binding = options.take("channel_binding")?;
    config.channel_binding(match binding.as_deref() {
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("disable") => ChannelBinding::Disable,
        Some("require") => ChannelBinding::Require,
        Some(_) => return Err("channel_binding is disable, prefer or require".into()),
    });
    let tls = Tls {
        verify,
        root_cert: root.filter(|_| !of_system).map(PathBuf::from),
        identity: identity(options)?,
        names_host: flag(options, "sslsni")?.unwrap_or(true),
        versions: versions(options)?,
    };
    if flag(options, "sslcompression")? == Some(true) {
        return Err("sslcompression=1 is not supported".into());
    }
    match options.take("gssencmode")?.as_deref() {
        // As libpq without credentials of Kerberos.
        None | Some("disable" | "prefer") => {}
        Some("require") => return Err("gssencmode=require is not supported".into()),
        Some(_) => return Err("gssencmode is disable, prefer or require".into()),
    }
    Ok((fallback, tls))
}

/// The certificate of this client.
fn identity(options: &mut Options) -> Result<Option<(PathBuf, PathBuf)>, String> {
    let files = (options.take("sslcert")?, options.take("sslkey")?);
    let files = match files {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        _ => return Err("sslcert and sslkey are given together".into()),
    };
    match options.take("sslcertmode")?.as_deref() {
        None | Some("allow") => Ok(files),
        Some("disable") => Ok(None),
        Some("require") => Err("sslcertmode=require is not supported".into()),
        Some(_) => Err("sslcertmode is disable, allow or require".into()),
    }
}

fn versions(options: &mut Options) -> Result<(Version, Version), String> {
    let read = |text: Option<String>| match text.as_deref() {
        None => Ok(None),
        Some("TLSv1" | "TLSv1.1") => Ok(Some(None)),
        Some("TLSv1.2") => Ok(Some(Some(Version::Tls12))),
        Some("TLSv1.3") => Ok(Some(Some(Version::Tls13))),
        Some(_) => Err("a version of TLS is TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3"),
    };
    let lowest = read(options.take("ssl_min_protocol_version")?)?;
    let highest = read(options.take("ssl_max_protocol_version")?)?;
    let lowest = lowest.flatten().unwrap_or(Version::Tls12);
    let Some(highest) = highest.unwrap_or(Some(Version::Tls13)) else {
        return Err("ssl_max_protocol_version: this program speaks TLSv1.2 and TLSv1.3".into());
    };
    if lowest > highest {
        return Err("ssl_min_protocol_version is above ssl_max_protocol_version".into());
    }
    Ok((lowest, highest))
}

/// How long is waited, and how a silent peer is found out.
fn timeouts(options: &mut Options, config: &mut Config) -> Result<(), String> {
    let seconds = |number: i64| {
        u64::try_from(number)
            .ok()
            .filter(|n| *n > 0)
            .map(Duration::from_secs)
    };
    let given = number(options, "connect_timeout")?.and_then(seconds);
    // One that waits for ever would keep a server from ever looking elsewhere.
    config.connect_timeout(given.unwrap_or(CONNECT_TIMEOUT));
    config.keepalives(number(options, "keepalives")? != Some(0));
    let given = number(options, "keepalives_idle")?.and_then(seconds);
    config.keepalives_idle(given.unwrap_or(KEEPALIVE));
    let given = number(options, "keepalives_interval")?.and_then(seconds);
    config.keepalives_interval(given.unwrap_or(KEEPALIVE));
    let given = number(options, "keepalives_count")?.and_then(|n| u32::try_from(n).ok());
    config.keepalives_retries(given.filter(|n| *n > 0).unwrap_or(3));
    let given = number(options, "tcp_user_timeout")?.and_then(|n| u64::try_from(n).ok());
    let given = given.filter(|n| *n > 0).map(Duration::from_millis);
    config.tcp_user_timeout(given.unwrap_or(USER_TIMEOUT));
    Ok(())
}

/// Which host of the list will do; says whether a standby does.
fn session(options: &mut Options, config: &mut Config) -> Result<bool, String> {
    let wanted = options.take("target_session_attrs")?;
    let standby_will_do = match wanted.as_deref() {
        None | Some("any") => true,
        Some("read-write") => {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            false
        }
        Some("primary") => false,
        Some("read-only" | "standby" | "prefer-standby") => {
            return Err(
                "target_session_attrs asks for a server that takes no writes; this program needs the \
                 primary: use read-write, primary or any"
                    .into(),
            );
        }
        Some(_) => return Err("target_session_attrs is read-write, primary or any".into()),
    };
    let balance = options.take("load_balance_hosts")?;
    config.load_balance_hosts(match balance.as_deref() {
        None | Some("disable") => LoadBalanceHosts::Disable,
        Some("random") => LoadBalanceHosts::Random,
        Some(_) => return Err("load_balance_hosts is disable or random".into()),
    });
    Ok(standby_will_do)
}

/// Refuses what is left, but for options that change nothing here.
fn refuse_the_rest(options: &mut Options) -> Result<(), String> {
    for without_effect in [
        "authtype",
        "debug",
        "tty",
        "krbsrvname",
        "krb5_service",
        "gsslib",
        "gssdelegation",
        "max_protocol_version",
    ] {
        options.take_bytes(without_effect);
    }
    if let Some(encoding) = options.take("client_encoding")? {
        let plain = encoding.to_ascii_lowercase().replace(['-', '_'], "");
        if !["utf8", "unicode", "auto"].contains(&plain.as_str()) {
            return Err("client_encoding is always UTF8; leave it out".into());
        }
    }
    match options.take("min_protocol_version")?.as_deref() {
        None | Some("3.0") => {}
        Some(_) => return Err("min_protocol_version: this program speaks 3.0".into()),
    }
    match options.take("replication")?.as_deref() {
        None | Some("false" | "off" | "no" | "0") => {}
        Some(_) => return Err("replication is not supported".into()),
    }
    match options.left() {
        None => Ok(()),
        Some("service" | "servicefile") => {
            Err("service files are not supported; write host, user and dbname here".into())
        }
        Some("passfile") => Err(
            "passfile is not supported; keep the whole connection string in a file \
             (DATABASE_URL_FILE)"
                .into(),
        ),
        Some(key) => Err(format!("{key} is not supported")),
    }
}

fn number(options: &mut Options, key: &str) -> Result<Option<i64>, String> {
    let Some(text) = options.take(key)? else {
        return Ok(None);
    };
    let number = text.trim_matches(is_blank).parse();
    number
        .map(Some)
        .map_err(|_| format!("{key} is not a number"))
}

fn flag(options: &mut Options, key: &str) -> Result<Option<bool>, String> {
    match options.take(key)?.as_deref() {
        None => Ok(None),
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(Some(true)),
        Some(_) => Err(format!("{key} is 0 or 1")),
    }
}

impl fmt::Debug for Dsn {
    /// Hosts, user and database, without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        f.debug_struct("Dsn")
            .field("hosts", &hosts)
            .field("user", &self.config.get_user())
            .field("dbname", &self.config.get_dbname())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dsn(text: &str) -> Dsn {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn hosts_of(text: &str) -> Vec<String> {
        let hosts = dsn(text).config.get_hosts().to_vec();
        let text = |host: Host| match host {
            Host::Tcp(name) => name,
            Host::Unix(path) => path.display().to_string(),
        };
        hosts.into_iter().map(text).collect()
    }

    #[test]
    fn every_sslmode_is_understood_in_both_forms() {
        use SslMode::{Disable, Prefer, Require};
        for (mode, ssl, fallback, with_root, without_root) in [
            ("disable", Disable, None, Verify::Nothing, Verify::Nothing),
            (
                "allow",
                Disable,
                Some(Require),
                Verify::Authority,
                Verify::Nothing,
            ),
            (
                "prefer",
                Prefer,
                Some(Disable),
                Verify::Authority,
                Verify::Nothing,
            ),
            ("require", Require, None, Verify::Authority, Verify::Nothing),
            (
                "verify-ca",
                Require,
                None,
                Verify::Authority,
                Verify::Authority,
            ),
            ("verify-full", Require, None, Verify::Host, Verify::Host),
        ] {
            for (root, verify) in [(true, with_root), (false, without_root)] {
                let (in_uri, in_words) = if root {
                    ("&sslrootcert=%2Fca%20s.pem", "sslrootcert='/ca s.pem'")
                } else {
                    ("", "")
                };
                for text in [
                    format!("postgres://me@db/name?sslmode={mode}{in_uri}"),
                    format!("host=db user=me sslmode={mode} {in_words} dbname=name"),
                ] {
                    let dsn = dsn(&text);
                    let found = (dsn.config.get_ssl_mode(), dsn.fallback, dsn.tls.verify);
                    assert_eq!(found, (ssl, fallback, verify), "{text}");
                    let expected = root.then(|| PathBuf::from("/ca s.pem"));
                    assert_eq!(dsn.tls.root_cert, expected, "{text}");
                    assert_eq!(dsn.config.get_dbname(), Some("name"));
                }
            }
        }
        let of_system = dsn("host=db sslrootcert=system").tls;
        assert_eq!(
            (of_system.verify, of_system.root_cert),
            (Verify::Host, None)
        );
    }

    #[test]
    fn a_password_is_taken_as_it_stands() {
        for (text, password) in [
            ("host=h password='a  b'", "a  b"),
            (
                "host=h password='sslmode=disable' sslmode=require",
                "sslmode=disable",
            ),
            (
                "host=h password=sslmode=disable sslmode=require",
                "sslmode=disable",
            ),
            (
                "postgres://u:sslmode=disable?sslmode=x&y@h/d?sslmode=require",
                "sslmode=disable?sslmode=x&y",
            ),
            (
                "postgres://u@h/d?password=a%26sslmode=disable"
                    .replace("=disable", "%3Ddisable")
                    .leak(),
                "a&sslmode=disable",
            ),
            ("postgres://u:p+q%20r@h/d\n", "p+q r"),
            ("host=h password=end\n", "end"),
            ("host=h password=' '\n", " "),
        ] {
            let dsn = dsn(text);
            assert_eq!(
                dsn.config.get_password(),
                Some(password.as_bytes()),
                "{text}"
            );
            let is_encrypted = text.contains("sslmode=require");
            assert_eq!(
                dsn.config.get_ssl_mode() == SslMode::Require,
                is_encrypted,
                "{text}"
            );
        }
        let bytes = dsn("postgres://u:%ff@h/d").config;
        assert_eq!(bytes.get_password(), Some(&[0xff][..]));
    }

    #[test]
    fn hosts_are_understood_in_both_forms() {
        for (text, expected) in [
            ("postgres://a:1,b:2/x", vec!["a", "b"]),
            ("host=a,b port=1,2", vec!["a", "b"]),
            ("postgres://[::1]:5/x", vec!["::1"]),
            ("host=::1", vec!["::1"]),
            ("postgres://%2Frun%2Fpg/x", vec!["/run/pg"]),
            ("postgres:///x?host=/run/pg&port=7", vec!["/run/pg"]),
            ("host=/run/pg,b", vec!["/run/pg", "b"]),
            ("hostaddr=10.0.0.1,::1", vec!["10.0.0.1", "::1"]),
            ("host=a hostaddr=10.0.0.1", vec!["a"]),
        ] {
            assert_eq!(hosts_of(text), expected, "{text}");
        }
        assert_eq!(dsn("host=a,b,c port=1,,3").config.get_ports(), [1, 5432, 3]);
        for text in [
            "",
            "port=5432",
            "postgres://",
            "postgres:///x",
            "host=a,,b",
            "host=a,b port=1,2,3",
            "host=a,b hostaddr=10.0.0.1",
            "hostaddr=a",
            "host=a port=0",
            "host=a port=65536",
            "host=a port=x",
            "host=@a",
            "hostaddr=10.0.0.1 sslmode=verify-full",
        ] {
            assert!(text.parse::<Dsn>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_have_the_meaning_that_libpq_gives_them() {
        let text = "host=a connect_timeout=7 keepalives=0 keepalives_idle=8 keepalives_interval=9 \
            keepalives_count=2 tcp_user_timeout=1500 options='-c jit=off' application_name=n \
            fallback_application_name=m channel_binding=require gssencmode=disable \
            load_balance_hosts=random target_session_attrs=read-write";
        let config = dsn(text).config;
        let seconds = Duration::from_secs;
        assert_eq!(config.get_connect_timeout(), Some(&seconds(7)));
        assert!(!config.get_keepalives());
        assert_eq!(config.get_keepalives_idle(), seconds(8));
        assert_eq!(config.get_keepalives_interval(), Some(seconds(9)));
        assert_eq!(config.get_keepalives_retries(), Some(2));
        assert_eq!(
            config.get_tcp_user_timeout(),
            Some(&Duration::from_millis(1500))
        );
        assert_eq!(config.get_options(), Some("-c jit=off"));
        assert_eq!(config.get_application_name(), Some("n"));
        assert_eq!(config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(config.get_load_balance_hosts(), LoadBalanceHosts::Random);
        assert_eq!(
            config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );

        let plain = dsn("host=a fallback_application_name=m").config;
        assert_eq!(plain.get_application_name(), Some("m"));
        assert_eq!(plain.get_keepalives_idle(), KEEPALIVE);
        assert_eq!(plain.get_tcp_user_timeout(), Some(&USER_TIMEOUT));
        assert_eq!(plain.get_connect_timeout(), Some(&CONNECT_TIMEOUT));
        for (attributes, standby_will_do) in [("any", true), ("primary", false)] {
            let dsn = dsn(&format!("host=a target_session_attrs={attributes}"));
            assert_eq!(dsn.standby_will_do, standby_will_do, "{attributes}");
        }
        let versions = dsn("host=a ssl_min_protocol_version=TLSv1.3").tls.versions;
        assert_eq!(versions, (Version::Tls13, Version::Tls13));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (option, named) in [
            ("service=x", "service files"),
            ("passfile=/x", "passfile"),
            ("target_session_attrs=standby", "target_session_attrs"),
            (
                "target_session_attrs=prefer-standby",
                "target_session_attrs",
            ),
            ("target_session_attrs=read-only", "target_session_attrs"),
            ("target_session_attrs=all", "target_session_attrs"),
            ("gssencmode=require", "gssencmode"),
            ("require_auth=scram-sha-256", "require_auth"),
            ("requirepeer=postgres", "requirepeer"),
            ("sslcrl=/x", "sslcrl"),
            ("sslcert=/x", "sslkey"),
            ("sslkey=/x sslcert=/y sslpassword=z", "sslpassword"),
            ("sslrootcert=system sslmode=require", "verify-full"),
            ("sslnegotiation=direct", "sslnegotiation"),
            ("sslmode=maybe", "sslmode"),
            ("client_encoding=LATIN1", "client_encoding"),
            ("replication=database", "replication"),
            ("connect_timeout=soon", "connect_timeout"),
            (
                "ssl_max_protocol_version=TLSv1.1",
                "ssl_max_protocol_version",
            ),
        ] {
            let error = format!("host=a {option}").parse::<Dsn>().unwrap_err();
            assert!(error.contains(named), "{option}: {error}");
        }
        for option in [
            "gssencmode=prefer",
            "krbsrvname=x",
            "client_encoding=UTF-8",
            "sslcompression=0",
            "sslsni=0",
            "sslcertmode=disable",
            "replication=false",
            "service=",
            "tty=x",
        ] {
            dsn(&format!("host=a {option}"));
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_refused_and_never_becomes_a_host_or_a_database() {
        for (text, advice) in [
            ("postgres://u:a@geheim@h/d", "%40"),
            ("postgres://u:a@geheim@h:5432/d?sslmode=disable", "%40"),
            ("postgres://u:a@b/geheim@h/d", "%40"),
            ("postgres://u:a@b?user=geheim@h/d", "%40"),
            ("postgres://u:12/geheim@h/d", "%2F"),
            ("postgres://u:12/geheim?user=x@h/d", "%2F"),
            ("postgres://u:12/x?host=geheim@h/d", "%2F"),
            ("postgres://u:12/x?host=geheim%40h", "the host contains @"),
            ("postgres://u%3Ageheim%40h/d", "the host contains @"),
            ("postgres://u%3Ageheim@h/d", "%3A"),
            ("postgres://u%3Ageheim/d", "the host contains `:`"),
            ("host=u:geheim@h dbname=d", "the host contains @"),
            ("host=h dbname=postgres://u:geheim@h/d", "dbname is a URL"),
        ] {
            let error = text.parse::<Dsn>().map(drop).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
            assert!(!error.contains("geheim"), "{text}: {error}");
        }
        assert_eq!(
            dsn("postgres://me%40org:p@h/d%40e").config.get_user(),
            Some("me@org")
        );
        assert_eq!(hosts_of("host=fe80::1%eth0"), ["fe80::1%eth0"]);
    }

    #[test]
    fn a_mistake_is_named_with_what_to_write() {
        for (text, says) in [
            (
                "mysql://u:geheim@h/d",
                "neither a PostgreSQL URL (postgres://user:password@host/database)",
            ),
            ("mysql://u:geheim@h/d?a=b", "neither a PostgreSQL URL"),
            ("foo", "neither a PostgreSQL URL"),
            ("'postgres://u:geheim@h/d'", "quotation mark"),
            (
                "\"postgres://u:geheim@h/d?sslmode=require\"",
                "quotation mark",
            ),
            (
                "postgres://u:geheim@h/d?sslmod=require",
                "no option \"sslmod\"",
            ),
            ("postgres://u:geheim@h:x/d", "%2F"),
            ("postgres://u:p/geheim@h/d", "%2F"),
            ("host=localhost:5432", "port=5432"),
        ] {
            let error = text.parse::<Dsn>().map(drop).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("geheim"), "{text}: {error}");
        }
    }

    #[test]
    fn errors_do_not_repeat_the_password() {
        for text in [
            "postgres://u:geheim@h/d?sslmode=maybe",
            "password=geheim",
            "postgres://u:geheim@h:x/d",
            "host=h password=two geheim",
            "host=h password=two geheim=x",
            "postgres://u:a/geheim@h/d",
            "postgres://u:a/b?geheim=x@h/d",
        ] {
            let error = text.parse::<Dsn>().map(drop).unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
        let dsn: Dsn = "postgres://u:geheim@h/d".parse().unwrap();
        assert!(!format!("{dsn:?}").contains("geheim"));
    }
}
