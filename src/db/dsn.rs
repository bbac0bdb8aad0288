//! A connection string as libpq reads it, with the `sslmode`s that `tokio_postgres` leaves to its
//! caller. Never printed: it may hold a password.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::known::Known;

/// Where a database is and how to reach it.
#[derive(Clone)]
pub struct Dsn {
    /// Everything but the verification of the server's certificate.
    pub config: tokio_postgres::Config,
    /// Whether the server's certificate is verified, and how far.
    pub verify: Verify,
    /// `sslrootcert`: the authorities trusted for it, a PEM file; the system's when not given.
    pub root_cert: Option<PathBuf>,
    /// What clones of it have learnt about its hosts.
    pub(super) known: Arc<Known>,
}

/// How far the server's certificate is checked
/// (<https://www.postgresql.org/docs/current/libpq-ssl.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Not at all: `disable`, `prefer`, `require`.
    Nothing,
    /// It must come from a trusted authority: `verify-ca`.
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
        let (rest, sslmode, root_cert) = take_ssl_options(text);
        let mut config: tokio_postgres::Config =
            rest.parse().map_err(|e: tokio_postgres::Error| {
                let cause = std::error::Error::source(&e).map(ToString::to_string);
                format!(
                    "not a connection string: {}",
                    cause.unwrap_or_else(|| e.to_string())
                )
            })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("names no host (postgres://user:password@host:5432/database)".into());
        }
        let (mode, verify) = match sslmode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Authority),
            Some("verify-full") => (SslMode::Require, Verify::Host),
            Some(_) => {
                return Err("sslmode is disable, prefer, require, verify-ca or verify-full".into());
            }
        };
        config
            .ssl_mode(mode)
            .keepalives_idle(KEEPALIVE)
            .keepalives_interval(KEEPALIVE);
        config.keepalives_retries(3).tcp_user_timeout(USER_TIMEOUT);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok(Self {
            config,
            verify,
            root_cert,
            known: Arc::default(),
        })
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

/// The string without `sslmode` and `sslrootcert`, and what they said.
type SslOptions = (String, Option<String>, Option<PathBuf>);

/// Takes the options out of either form of the string: a URL's query, or `key=value` words.
fn take_ssl_options(text: &str) -> SslOptions {
    let (mut mode, mut root) = (None, None);
    let mut take = |key: &str, value: &str| {
        match key {
            "sslmode" => mode = Some(value.to_owned()),
            "sslrootcert" => root = Some(PathBuf::from(value)),
            _ => return false,
        }
        true
    };
    let rest = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let kept: Vec<String> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .filter(|pair| {
                !form_urlencoded::parse(pair.as_bytes()).any(|(key, value)| take(&key, &value))
            })
            .map(ToOwned::to_owned)
            .collect();
        if kept.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", kept.join("&"))
        }
    } else {
        let kept: Vec<&str> = text
            .split_ascii_whitespace()
            .filter(|word| {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                !take(key, value.trim_matches('\''))
            })
            .collect();
        kept.join(" ")
    };
    (rest, mode, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sslmode_is_understood_in_both_forms() {
        for (mode, ssl, verify) in [
            ("disable", SslMode::Disable, Verify::Nothing),
            ("prefer", SslMode::Prefer, Verify::Nothing),
            ("require", SslMode::Require, Verify::Nothing),
            ("verify-ca", SslMode::Require, Verify::Authority),
            ("verify-full", SslMode::Require, Verify::Host),
        ] {
            for text in [
                format!("postgres://me@db/name?sslmode={mode}&sslrootcert=%2Fca%20s.pem"),
                format!("host=db user=me sslmode={mode} sslrootcert=/ca.pem dbname=name"),
            ] {
                let dsn: Dsn = text.parse().unwrap();
                assert_eq!(
                    (dsn.config.get_ssl_mode(), dsn.verify),
                    (ssl, verify),
                    "{text}"
                );
                assert!(dsn.root_cert.is_some());
                assert_eq!(dsn.config.get_dbname(), Some("name"));
            }
        }
    }

    #[test]
    fn hosts_and_session_attributes_survive() {
        let dsn: Dsn = "postgres://a:1,b:2/x?target_session_attrs=read-write&sslmode=require"
            .parse()
            .unwrap();
        assert_eq!(dsn.config.get_hosts().len(), 2);
        assert_eq!(dsn.config.get_ports(), [1, 2]);
        assert_eq!(dsn.config.get_keepalives_idle(), KEEPALIVE);
        assert_eq!(dsn.config.get_tcp_user_timeout(), Some(&USER_TIMEOUT));
        assert_eq!(
            dsn.config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn errors_do_not_repeat_the_password() {
        for text in [
            "postgres://u:geheim@h/d?sslmode=maybe",
            "password=geheim",
            "postgres://u:geheim@h:x/d",
        ] {
            let error = text.parse::<Dsn>().unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
        let dsn: Dsn = "postgres://u:geheim@h/d".parse().unwrap();
        assert!(!format!("{dsn:?}").contains("geheim"));
    }
}
