//! Where a request comes from: the client's address, and whether the client used https. Both are the
//! connection's, unless a trusted proxy stands in between and says otherwise. Judges nobody.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::Once,
};

use warp::http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Who is at the other end, as far as the network tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The client's address; IPv4 in IPv6's clothes is undressed.
    pub address: IpAddr,
    /// Whether the client used https: TLS ends at a proxy, never here.
    pub https: bool,
}

impl Peer {
    /// The peer at the other end of a connection from `address`, whatever requests on it say.
    pub fn direct(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            https: false,
        }
    }

    /// The peer of a request with these headers, on a connection from `connection`.
    ///
    /// `X-Forwarded-For` is read from its end, where the nearest proxy has written, and only as far
    /// as trusted proxies did: what stands before that is the client's own invention.
    pub fn of(connection: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> Self {
        let trusts = |address| is_trusted(proxies, address);
        let mut address = connection.to_canonical();
        if !trusts(address) {
            if headers.contains_key(FORWARDED_FOR) {
                note_stranger(address);
            }
            return Self {
                address,
                https: false,
            };
        }
        let mut hops = words(headers, FORWARDED_FOR).rev();
        while trusts(address)
            && let Some(hop) = hops.next().and_then(address_of)
        {
            address = hop;
        }
        let proto = words(headers, FORWARDED_PROTO).next_back();
        Self {
            address,
            https: proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")),
        }
    }

    /// What is counted as one stranger: an IPv4 address, or the /64 that one IPv6 subscriber has all
    /// addresses of.
    pub fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

/// Whether a trusted proxy has this address.
pub fn is_trusted(proxies: &[Network], address: IpAddr) -> bool {
    let address = address.to_canonical();
    proxies.iter().any(|network| network.contains(address))
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits count.
    prefix: u32,
}

impl Network {
    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        // Shifting out all bits is what /0 means.
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// Whether it is every address, of IPv4 or of IPv6.
    pub fn is_everybody(&self) -> bool {
        self.prefix == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What stands before `@` may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let wrong = || format!("{shown} is not an address or a network (10.0.0.0/8, ::1)");
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
        };
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

/// The items of a header that is a list, over all its lines. One that is no text is empty and takes
/// no other along: a proxy adds its own to the line that the client sent.
fn words<'a>(
    headers: &'a HeaderMap,
    name: &str,
) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|word| str::from_utf8(word).unwrap_or_default().trim())
}

/// The address in an entry, which some proxies write with the port.
fn address_of(hop: &str) -> Option<IpAddr> {
    hop.parse()
        .or_else(|_| hop.parse().map(|address: SocketAddr| address.ip()))
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Says once that somebody unknown calls itself a proxy: most likely a setting is missing, and all
/// people behind it would share the limits of one.
fn note_stranger(address: IpAddr) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            %address,
            "X-Forwarded-For from an address that is not in TRUSTED_PROXIES is ignored"
        );
    });
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    fn proxies() -> Vec<Network> {
        ["10.0.0.0/8", " 127.0.0.1", "2001:db8:1::/48"]
            .map(|text| text.parse().unwrap())
            .into()
    }

    fn address(connection: &str, forwarded: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        let peer = Peer::of(connection.parse().unwrap(), &headers, &proxies());
        peer.address.to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        for (connection, forwarded, client) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:127.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // The client wrote the first; the proxy added whom it saw.
            ("127.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("127.0.0.1", &["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
            (
                "127.0.0.1",
                &["1.1.1.1,198.51.100.7,10.9.8.7"],
                "198.51.100.7",
            ),
            ("127.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("127.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("127.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("127.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("2001:db8:1:2::3", &["2001:db8:2::1"], "2001:db8:2::1"),
            ("2001:db8:2:2::3", &["2001:db8:9::1"], "2001:db8:2:2::3"),
            // What cannot be read ends the chain at the proxy.
            ("127.0.0.1", &["1.1.1.1, unknown"], "127.0.0.1"),
            ("127.0.0.1", &["1.1.1.1, unknown, 10.0.0.1"], "10.0.0.1"),
            ("127.0.0.1", &[""], "127.0.0.1"),
            ("127.0.0.1", &["h\u{e9}, 198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(
                address(connection, forwarded),
                client,
                "{connection} {forwarded:?}"
            );
        }
    }

    #[test]
    fn https_is_a_trusted_proxys_word() {
        for (connection, proto, https) in [
            ("127.0.0.1", "https", true),
            ("127.0.0.1", "HTTPS", true),
            ("127.0.0.1", "http", false),
            ("127.0.0.1", "https, http", false),
            ("127.0.0.1", "", false),
            ("192.0.2.1", "https", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
            let peer = Peer::of(connection.parse().unwrap(), &headers, &proxies());
            assert_eq!(peer.https, https, "{connection} {proto}");
        }
    }

    #[test]
    fn a_subscriber_with_a_whole_network_is_one_stranger() {
        let network = |address: &str| {
            let peer = Peer::of(address.parse().unwrap(), &HeaderMap::new(), &[]);
            peer.network().to_string()
        };
        assert_eq!(network("2001:db8:a:b:1:2:3:4"), "2001:db8:a:b::");
        assert_eq!(network("2001:db8:a:c::1"), "2001:db8:a:c::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn networks_are_read_and_compared_by_their_bits() {
        for (network, address, contains) in [
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.0/25", "192.0.2.127", true),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("192.0.2.1/32", "192.0.2.1", true),
            ("::/0", "2001:db8::", true),
            ("2001:db8::/127", "2001:db8::1", true),
            ("2001:db8::/127", "2001:db8::2", false),
        ] {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                contains,
                "{network:?} {address}"
            );
        }
        for wrong in [
            "",
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0/8",
            "1/-1",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
