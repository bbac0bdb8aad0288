//! The two cookies: the session's, which gives access, and the token that the frontend copies into a
//! header. Reads requests and writes headers; knows nothing of what the values mean.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use warp::http::{HeaderMap, HeaderValue, header::COOKIE};

/// Holds the session's token.
pub const SESSION: &str = "sessionid";
/// Holds the token that a script of the frontend's sends back in `X-CSRFToken`.
pub const CSRF: &str = "csrftoken";
/// How long a browser keeps that one: 52 weeks.
const CSRF_LIFETIME: Duration = Duration::from_hours(52 * 7 * 24);

/// The values of all cookies of this name, as they were sent: a browser sends several when they were
/// set for different paths or domains. Other cookies may hold any bytes.
pub fn values<'a>(
    headers: &'a HeaderMap,
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let end = pair.iter().position(|byte| *byte == b'=')?;
            let (found, value) = pair.split_at(end);
            (found.trim_ascii() == name.as_bytes()).then(|| unquoted(value[1..].trim_ascii()))
        })
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"");
    inner
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// `Set-Cookie` for the session's token: out of reach of scripts; `secure` keeps it off plain http.
pub fn set_session(token: &str, lifetime: Duration, secure: bool) -> HeaderValue {
    set(SESSION, token, " HttpOnly;", lifetime, secure)
}

/// `Set-Cookie` for the token that scripts read.
pub fn set_csrf(token: &str, secure: bool) -> HeaderValue {
    set(CSRF, token, "", CSRF_LIFETIME, secure)
}

/// `Set-Cookie` that takes the session's cookie away.
pub fn clear_session(secure: bool) -> HeaderValue {
    // As it was set, so that no browser takes it for another cookie.
    HeaderValue::from_static(if secure {
        "sessionid=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax; Secure"
    } else {
        "sessionid=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax"
    })
}

fn set(name: &str, token: &str, flag: &str, lifetime: Duration, secure: bool) -> HeaderValue {
    let end = SignedDuration::try_from(lifetime)
        .ok()
        .and_then(|lifetime| Timestamp::now().checked_add(lifetime).ok())
        .unwrap_or(Timestamp::MAX);
    let text = format!(
        "{name}={token}; expires={};{flag} Max-Age={}; Path=/; SameSite=Lax{}",
        end.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        lifetime.as_secs(),
        if secure { "; Secure" } else { "" },
    );
    HeaderValue::from_str(&text).expect("tokens are letters")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap()))
            .collect()
    }

    #[test]
    fn values_are_found_among_others() {
        let of = |lines: &[&[u8]]| {
            let headers = headers(lines);
            let found = values(&headers, SESSION).map(|value| String::from_utf8_lossy(value));
            found.map(std::borrow::Cow::into_owned).collect::<Vec<_>>()
        };
        for (lines, found) in [
            (&[&b"sessionid=abc"[..]][..], &["abc"][..]),
            (&[b"a=b; sessionid=\"abc\";c"], &["abc"]),
            (&[b"sessionid=old; sessionid=abc"], &["old", "abc"]),
            (&[b"sessionid=old", b"sessionid=abc"], &["old", "abc"]),
            (&[b"a=b", b"sessionid=abc"], &["abc"]),
            (&[b" sessionid = abc ;sessionid\t=\td"], &["abc", "d"]),
            (&["greeting=h\u{e9}llo; sessionid=abc".as_bytes()], &["abc"]),
            (&[b"greeting=h\xe9llo; sessionid=abc"], &["abc"]),
            (&[b"sessionid=abc; greeting=\xff\xfe"], &["abc"]),
            (&[b"\xff; =; ;;sessionid=abc; ="], &["abc"]),
            (&[b"sessionid=a=b"], &["a=b"]),
            (&[b"sessionid="], &[""]),
            (&[b"sessionid=\""], &["\""]),
            (&[b"xsessionid=abc", b"session=1; SESSIONID=abc"], &[]),
            (&[b"sessionid"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(of(lines), found, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_other_cookies_never_matter(
            before in prop::collection::vec(any::<u8>(), 0..40),
            after in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let plain = |bytes: Vec<u8>| -> Vec<u8> {
                bytes.into_iter().filter(|byte| (32..).contains(byte) && ![127, b';'].contains(byte)).collect()
            };
            let (before, after) = (plain(before), plain(after));
            prop_assume!(!before.starts_with(b"sessionid") && !after.starts_with(b"sessionid"));
            let line = [b"a", &before[..], b"; sessionid=abc; b", &after].concat();
            let headers = headers(&[&line]);
            let found: Vec<_> = values(&headers, SESSION).collect();
            prop_assert_eq!(found, vec![&b"abc"[..]]);
        }
    }

    #[test]
    fn only_the_session_is_hidden_from_scripts() {
        let session = set_session("abc", Duration::from_hours(336), false);
        let session = session.to_str().unwrap();
        assert!(session.starts_with("sessionid=abc; expires="), "{session}");
        assert!(
            session.ends_with(" GMT; HttpOnly; Max-Age=1209600; Path=/; SameSite=Lax"),
            "{session}"
        );
        let csrf = set_csrf("abc", false);
        assert!(!csrf.to_str().unwrap().contains("HttpOnly"));
    }

    #[test]
    fn over_https_all_are_kept_off_plain_http() {
        for secure in [true, false] {
            for cookie in [
                set_session("abc", Duration::from_hours(336), secure),
                set_csrf("abc", secure),
                clear_session(secure),
            ] {
                let cookie = cookie.to_str().unwrap();
                assert_eq!(
                    cookie.ends_with("; SameSite=Lax; Secure"),
                    secure,
                    "{cookie}"
                );
                assert_eq!(cookie.ends_with("; SameSite=Lax"), !secure, "{cookie}");
            }
        }
    }
}
