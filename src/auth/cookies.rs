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

/// The value of a cookie; of several with one name the last counts.
pub fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .rfind(|(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
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
    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines
            .iter()
            .map(|line| (COOKIE, HeaderValue::from_static(line)))
            .collect()
    }

    #[test]
    fn values_are_found_among_others() {
        for (lines, found) in [
            (&["sessionid=abc"][..], Some("abc")),
            (&["a=b; sessionid=\"abc\";c"], Some("abc")),
            (&["sessionid=old; sessionid=abc"], Some("abc")),
            (&["a=b", "sessionid=abc"], Some("abc")),
            (&["sessionid="], Some("")),
            (&["xsessionid=abc", "session=1"], None),
            (&[], None),
        ] {
            assert_eq!(
                value(&headers(lines), SESSION).as_deref(),
                found,
                "{lines:?}"
            );
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
