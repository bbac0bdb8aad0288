//! A configuration that names several hosts, taken apart into one for each. Connects to nothing.

use std::fmt;

use tokio_postgres::{
    Config,
    config::{self, SslMode, SslNegotiation},
};

/// One of the hosts.
#[derive(Clone)]
pub(super) struct Host {
    /// The configuration, with this host alone.
    pub(super) config: Config,
}

impl Host {
    /// Whether it is reached by a Unix socket.
    pub(super) fn is_socket(&self) -> bool {
        is_socket(&self.config)
    }
}

/// The same with another encryption, where there can be one.
pub(super) fn otherwise(config: &Config, mode: Option<SslMode>) -> Option<Config> {
    let mut other = config.clone();
    other.ssl_mode(mode.filter(|_| !is_socket(config))?);
    Some(other)
}

/// libpq speaks no TLS over a Unix socket, whatever `sslmode` says.
fn is_socket(config: &Config) -> bool {
    let is_path = |host: &config::Host| matches!(host, config::Host::Unix(_));
    config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_path)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.config.get_hosts(), self.config.get_hostaddrs()) {
            ([config::Host::Tcp(name), ..], _) => f.write_str(name)?,
            ([config::Host::Unix(path), ..], _) => write!(f, "{}", path.display())?,
            ([], [address, ..]) => write!(f, "{address}")?,
            ([], []) => {}
        }
        write!(f, ":{}", self.config.get_ports().first().unwrap_or(&5432))
    }
}

/// The hosts in the order of the list, which a [`Dsn`](crate::pg::dsn::Dsn) has checked.
pub(super) fn split(config: &Config) -> Vec<Host> {
    let (names, addresses, ports) = (
        config.get_hosts(),
        config.get_hostaddrs(),
        config.get_ports(),
    );
    let count = names.len().max(addresses.len());
    (0..count)
        .map(|place| {
            let mut one = without_hosts(config);
            match names.get(place) {
                Some(config::Host::Tcp(name)) => drop(one.host(name)),
                Some(config::Host::Unix(path)) => drop(one.host_path(path)),
                None => {}
            }
            if let Some(address) = addresses.get(place) {
                one.hostaddr(*address);
            }
            if let Some(port) = ports.get(place).or(ports.first()) {
                one.port(*port);
            }
            if is_socket(&one) {
                one.ssl_mode(SslMode::Disable);
                one.ssl_negotiation(SslNegotiation::Postgres);
            }
            Host { config: one }
        })
        .collect()
}

/// Everything else that was configured; a configuration's hosts can only be added to.
fn without_hosts(config: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        one.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .load_balance_hosts(config.get_load_balance_hosts());
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::dsn::Dsn;

    #[test]
    fn each_host_has_its_port_and_all_else() {
        let dsn: Dsn = "postgres://u:p@a:1,b:2/x?application_name=n&options=-c%20jit%3Doff\
            &channel_binding=disable&connect_timeout=3&load_balance_hosts=random\
            &target_session_attrs=read-write&keepalives=0&sslmode=require"
            .parse()
            .unwrap();
        let hosts = split(&dsn.config);
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a:1", "b:2"]);
        let mut whole = without_hosts(&dsn.config);
        whole.host("a").host("b").port(1).port(2);
        assert_eq!(whole, dsn.config, "nothing but the hosts is left out");
    }

    #[test]
    fn one_port_serves_all_and_addresses_stay_with_their_names() {
        let dsn: Dsn = "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=7 user=u"
            .parse()
            .unwrap();
        let hosts = split(&dsn.config);
        assert_eq!(hosts.len(), 2);
        assert_eq!(hosts[1].to_string(), "b:7");
        assert_eq!(hosts[1].config.get_hostaddrs().len(), 1);
        let wrong = "host=a,b port=1,2,3 user=u".parse::<Dsn>();
        assert!(wrong.is_err(), "it names more ports than hosts");
    }
}
