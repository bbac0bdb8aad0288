//! An origin of `ALLOWED_ORIGINS`, in the one spelling in which browsers send it: an entry that is
//! spelt in another way would match no page, and is refused with the right spelling.

use std::str::FromStr;

use url::Url;
use warp::http::HeaderValue;

use crate::hosts::Host;

/// An origin of a frontend: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// As browsers send it.
    pub value: HeaderValue,
    /// The host in it.
    pub host: Host,
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "null" {
            return Err("null is sent by every page in a sandbox and cannot be allowed".into());
        }
        let shown = without_user(text);
        if text.contains('*') {
            return Err(format!(
                "{shown} has a wildcard, which matches no page: name each origin"
            ));
        }
        let Some(right) = right_spelling(text) else {
            return Err(format!("{shown} is not an origin (http://localhost:3000)"));
        };
        if right != text {
            return Err(format!("{shown} matches no page: write {right}"));
        }
        let (_, authority) = right.split_once("://").unwrap_or_default();
        match (
            HeaderValue::from_str(&right),
            Host::of_authority(authority.as_bytes()),
        ) {
            (Ok(value), Some(host)) => Ok(Self { value, host }),
            _ => Err(format!("{shown} is not an origin (http://localhost:3000)")),
        }
    }
}

/// How a browser spells the origin of a page at this address.
fn right_spelling(text: &str) -> Option<String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return right_spelling(&format!("http://{text}"));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {}
        // A page that opens a socket there is not of that scheme.
        "ws" => return right_spelling(&format!("http://{rest}")),
        "wss" => return right_spelling(&format!("https://{rest}")),
        _ => {
            let url = Url::parse(text).ok()?;
            let host = url.host_str().filter(|host| !host.is_empty())?;
            let port = url.port().map_or(String::new(), |port| format!(":{port}"));
            return Some(format!("{}://{host}{port}", url.scheme()));
        }
    }
    let url = Url::parse(text).ok()?;
    Some(url.origin().ascii_serialization())
}

/// The entry without what may be a password.
fn without_user(text: &str) -> String {
    match text.rsplit_once('@') {
        None => text.to_owned(),
        Some((_, host)) => format!("...@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_spelling_of_browsers_is_taken_and_others_are_corrected() {
        for good in [
            "http://localhost:3000",
            "https://market.example",
            "https://market.example:8443",
            "http://192.0.2.1",
            "http://[::1]:3000",
            "https://xn--bcher-kva.example",
            "chrome-extension://abcdefghijklmnop",
            "capacitor://localhost",
        ] {
            let origin: Origin = good.parse().unwrap();
            assert_eq!(origin.value, good);
        }
        for (entry, right) in [
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://localhost:3000/app?x#y", "http://localhost:3000"),
            ("HTTP://LOCALHOST:3000", "http://localhost:3000"),
            ("https://Market.example", "https://market.example"),
            ("http://market.example:80", "http://market.example"),
            ("https://market.example:443", "https://market.example"),
            ("https://me:secret@market.example", "https://market.example"),
            (
                "https://me:a@secret@market.example",
                "https://market.example",
            ),
            (
                "https://b\u{fc}cher.example",
                "https://xn--bcher-kva.example",
            ),
            ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
            ("http://127.1:3000", "http://127.0.0.1:3000"),
            ("localhost:3000", "http://localhost:3000"),
            ("localhost", "http://localhost"),
            ("//market.example", "http://market.example"),
            ("wss://market.example", "https://market.example"),
            ("capacitor://localhost/", "capacitor://localhost"),
        ] {
            let why = entry.parse::<Origin>().unwrap_err();
            assert!(why.ends_with(&format!("write {right}")), "{entry}: {why}");
            assert!(!why.contains("secret"), "{why}");
        }
        for (entry, said) in [
            ("*", "wildcard"),
            ("https://*.market.example", "wildcard"),
            ("null", "sandbox"),
            ("http://", "is not an origin"),
            ("file:///home", "is not an origin"),
            ("http://a:b", "is not an origin"),
            ("\"http://localhost:3000\"", "is not an origin"),
            ("", "is not an origin"),
        ] {
            let why = entry.parse::<Origin>().unwrap_err();
            assert!(why.contains(said), "{entry}: {why}");
        }
    }
}
