//! Which hosts this server answers to: names and addresses that a request may name as the one it was
//! sent to. A page whose own name leads here (DNS rebinding) sends that name, which is on no list.
//! Judges text; answers nobody.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// What a name may contain besides letters and digits (RFC 3986, `reg-name`).
const NAME_MARKS: &[u8] = b"-._~!$&'()*+,;=%";

/// A host, in the one spelling by which it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In small letters, without the dot at the end.
    Name(String),
    /// An IPv4 address that is written as an IPv6 one is the IPv4 one.
    Address(IpAddr),
}

impl Host {
    /// The host of a `Host` header or of a request's target: a host and perhaps a port (RFC 9110,
    /// section 7.2). `None` when it is neither, and when the host is empty.
    pub fn of_authority(authority: &[u8]) -> Option<Self> {
        let text = str::from_utf8(authority).ok()?;
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            // The zone means something only on the client's machine.
            let (address, _zone) = address.split_once('%').unwrap_or((address, ""));
            let address: Ipv6Addr = address.parse().ok()?;
            (Self::Address(IpAddr::from(address).to_canonical()), port)
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let (name, port) = text.split_at(end);
            (Self::of_name(name)?, port)
        };
        let is_port = match port.strip_prefix(':') {
            None => port.is_empty(),
            Some("") => true,
            Some(digits) => {
                digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok()
            }
        };
        is_port.then_some(host)
    }

    fn of_name(name: &str) -> Option<Self> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Some(Self::Address(address));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || NAME_MARKS.contains(&byte);
        let name = name.strip_suffix('.').unwrap_or(name);
        (!name.is_empty() && name.bytes().all(is_plain))
            .then(|| Self::Name(name.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            // RFC 6761, section 6.3: these names lead nowhere else.
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// One of `ALLOWED_HOSTS`: a name or an address, for every port.
impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What stands before `@` may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        if text.contains('*') || text.starts_with('.') {
            return Err(format!("{shown} is a pattern: name each host"));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let wrong = || format!("{shown} is not a host (market.example, 192.0.2.1, [2001:db8::1])");
        let (_, rest) = text.split_once("://").unwrap_or(("", text));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (_, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
        // A browser sends a name in the spelling of the DNS.
        let ascii = match authority.rsplit_once(':') {
            _ if authority.starts_with('[') => Some(authority.to_owned()),
            Some((name, port)) => idna(name).map(|name| format!("{name}:{port}")),
            None => idna(authority),
        };
        let host = ascii
            .and_then(|authority| Self::of_authority(authority.as_bytes()))
            .ok_or_else(wrong)?;
        let port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
        if authority != text || port {
            return Err(format!("a host has no scheme, port or path: write {host}"));
        }
        Ok(host)
    }
}

fn idna(name: &str) -> Option<String> {
    if name.is_ascii() {
        return Some(name.to_owned());
    }
    match url::Host::parse(name).ok()? {
        url::Host::Domain(name) => Some(name),
        url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
    }
}

/// The address at which a connection arrived. The accept loop tells each request.
#[derive(Clone, Copy, Debug)]
pub struct LocalAddress(pub IpAddr);

/// The hosts that a request may be sent to.
#[derive(Clone, Debug)]
pub struct Hosts {
    listed: Vec<Host>,
    /// Whether the server listens at all addresses of the machine.
    is_everywhere: bool,
}

impl Hosts {
    /// The loopback names, the address that a request arrived at, and `listed`. `bound` is where
    /// the server listens.
    pub fn new(listed: Vec<Host>, bound: IpAddr) -> Self {
        Self {
            listed,
            is_everywhere: bound.is_unspecified(),
        }
    }

    /// Whether a request for this host that arrived at `local` is for this server.
    pub fn contain(&self, host: &Host, local: Option<LocalAddress>) -> bool {
        let is_here = |address: &IpAddr| {
            local.is_some_and(|local| local.0.to_canonical() == *address)
                // As the start prints it, and as people paste it.
                || self.is_everywhere && address.is_unspecified()
        };
        host.is_loopback()
            || self.listed.contains(host)
            || matches!(host, Host::Address(address) if is_here(address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn local(address: &str) -> LocalAddress {
        LocalAddress(address.parse().unwrap())
    }

    #[test]
    fn a_host_is_compared_without_case_port_zone_and_last_dot() {
        for (authority, host) in [
            ("market.example", Some("market.example")),
            ("Market.EXAMPLE.", Some("market.example")),
            ("market.example:8000", Some("market.example")),
            ("market.example:", Some("market.example")),
            ("under_score", Some("under_score")),
            ("127.0.0.1:8000", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[0:0:0:0:0:0:0:1]:80", Some("[::1]")),
            ("[::ffff:127.0.0.1]:80", Some("127.0.0.1")),
            ("[fe80::1%25eth0]:80", Some("[fe80::1]")),
            // Browsers send addresses in one spelling; these are names that nobody has.
            ("127.1", Some("127.1")),
            ("0x7f000001", Some("0x7f000001")),
            ("", None),
            (".", None),
            (":80", None),
            ("a:b", None),
            ("a:65536", None),
            ("a:+1", None),
            ("a:1:2", None),
            ("::1", None),
            ("[::1", None),
            ("[::1]80", None),
            ("[v1.x]", None),
            ("user@localhost", None),
            ("localhost/", None),
            ("local host", None),
            ("localhost, evil.example", None),
            ("h\u{e9}", None),
        ] {
            let found = Host::of_authority(authority.as_bytes());
            assert_eq!(
                found.map(|host| host.to_string()).as_deref(),
                host,
                "{authority}"
            );
        }
        assert_eq!(Host::of_authority(b"h\xe9"), None);
    }

    #[test]
    fn only_loopback_the_own_address_and_listed_hosts_are_answered() {
        let listed = ["market.example", "192.0.2.7"].map(|host| host.parse().unwrap());
        let hosts = |bound: &str| Hosts::new(listed.to_vec(), bound.parse().unwrap());
        for (bound, arrived, host, is_own) in [
            ("127.0.0.1", "127.0.0.1", "localhost:8000", true),
            ("127.0.0.1", "127.0.0.1", "LOCALHOST.", true),
            ("127.0.0.1", "127.0.0.1", "app.localhost", true),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", "127.8.9.1", true),
            ("127.0.0.1", "127.0.0.1", "[::1]:1", true),
            ("127.0.0.1", "127.0.0.1", "market.example", true),
            ("127.0.0.1", "127.0.0.1", "market.example:443", true),
            ("127.0.0.1", "127.0.0.1", "192.0.2.7", true),
            ("127.0.0.1", "127.0.0.1", "192.0.2.8", false),
            ("127.0.0.1", "127.0.0.1", "evil.example", false),
            (
                "127.0.0.1",
                "127.0.0.1",
                "market.example.evil.example",
                false,
            ),
            ("127.0.0.1", "127.0.0.1", "notlocalhost", false),
            ("127.0.0.1", "127.0.0.1", "localhost.evil.example", false),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1.evil.example", false),
            ("127.0.0.1", "127.0.0.1", "0.0.0.0", false),
            ("198.51.100.1", "198.51.100.1", "198.51.100.1:80", true),
            ("0.0.0.0", "198.51.100.1", "198.51.100.1", true),
            ("0.0.0.0", "198.51.100.1", "198.51.100.2", false),
            ("0.0.0.0", "127.0.0.1", "0.0.0.0:8000", true),
            ("::", "::ffff:198.51.100.1", "198.51.100.1", true),
            ("::", "2001:db8::1", "[2001:db8::1]", true),
            ("::", "2001:db8::1", "[2001:db8::2]", false),
        ] {
            let asked = Host::of_authority(host.as_bytes()).unwrap();
            assert_eq!(
                hosts(bound).contain(&asked, Some(local(arrived))),
                is_own,
                "{bound} {host}"
            );
        }
        let own = Host::of_authority(b"198.51.100.1").unwrap();
        assert!(!hosts("0.0.0.0").contain(&own, None));
    }

    #[test]
    fn an_entry_that_would_match_nothing_is_refused_with_its_right_spelling() {
        for (entry, host) in [
            ("market.example", "market.example"),
            ("Market.Example.", "market.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ] {
            let parsed: Host = entry.parse().unwrap();
            assert_eq!(parsed.to_string(), host, "{entry}");
        }
        for (entry, said) in [
            ("https://market.example/", "write market.example"),
            ("market.example:8000", "write market.example"),
            ("market.example/path", "write market.example"),
            ("me:secret@market.example", "write market.example"),
            ("[2001:db8::1]:80", "write [2001:db8::1]"),
            ("*", "pattern"),
            ("*.market.example", "pattern"),
            (".market.example", "pattern"),
            ("market example", "is not a host"),
            ("http://", "is not a host"),
            ("\"market.example\"", "is not a host"),
        ] {
            let why = entry.parse::<Host>().unwrap_err();
            assert!(
                why.contains(said) && !why.contains("secret"),
                "{entry}: {why}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_no_name_passes_for_loopback(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            name in "[a-z0-9.:\\[\\]%-]{0,20}",
        ) {
            let _ = Host::of_authority(&bytes);
            let authority = format!("{name}.evil.example");
            if let Some(host) = Host::of_authority(authority.as_bytes()) {
                let hosts = Hosts::new(Vec::new(), Ipv6Addr::UNSPECIFIED.into());
                prop_assert!(!hosts.contain(&host, Some(local("127.0.0.1"))), "{}", authority);
            }
        }
    }
}
