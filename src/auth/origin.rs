//! Whether a page of this origin may act for the visitor it was shown to. Compares; answers nobody.

use warp::http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN, REFERER},
};

use super::Auth;

/// What a browser says of where a request comes from (Fetch Metadata), also when it sends no origin, as
/// for a link or an image.
const FETCH_SITE: &str = "sec-fetch-site";

/// Whether a request with these headers may use the visitor's cookies: it comes from one of the
/// frontends, from a page of this server's own, or from no page at all.
pub fn allowed(auth: &Auth, headers: &HeaderMap) -> bool {
    may_act(&auth.allowed_origins, headers)
}

fn may_act(allowed: &[HeaderValue], headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter().peekable();
    if origins.peek().is_none() {
        // A page of the same site may be of another subdomain or port; a frontend sends its origin.
        let mut sites = headers.get_all(FETCH_SITE).iter().peekable();
        if sites.peek().is_some() {
            return sites.all(|site| site == "same-origin" || site == "none");
        }
        // An old browser sends none, nor does any over plain HTTP.
        let pages = headers.get_all(REFERER).iter().map(HeaderValue::as_bytes);
        let mut pages = pages.filter(|page| !page.is_empty());
        return pages.all(|page| is_allowed(origin_of(page), allowed, headers));
    }
    // A browser sends one; of several each has to be allowed.
    origins.all(|origin| is_allowed(origin.as_bytes(), allowed, headers))
}

fn is_allowed(origin: &[u8], allowed: &[HeaderValue], headers: &HeaderMap) -> bool {
    allowed.iter().any(|allowed| allowed == origin) || is_own(origin, headers)
}

/// The beginning of a page's address, up to its path.
fn origin_of(page: &[u8]) -> &[u8] {
    let mut slashes = page.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let end = slashes.nth(2).map_or(page.len(), |(at, _)| at);
    &page[..end]
}

/// A page's origin is this server's when it names the host that the request was sent to, which is one
/// of [`hosts`](crate::hosts). TLS may end in front of the server, so either scheme will do.
fn is_own(origin: &[u8], headers: &HeaderMap) -> bool {
    let host = origin
        .strip_prefix(b"http://")
        .or_else(|| origin.strip_prefix(b"https://"));
    match (host, headers.get(HOST)) {
        (Some(host), Some(own)) => host == own.as_bytes(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_origins_and_the_own_host_may_act() {
        let allowed = [HeaderValue::from_static("http://localhost:3000")];
        for (origin, may) in [
            (None, true),
            (Some("http://localhost:3000"), true),
            (Some("http://market.example:8000"), true),
            (Some("https://market.example:8000"), true),
            (Some("http://market.example"), false),
            (Some("ftp://market.example:8000"), false),
            (Some("https://localhost:3000"), false),
            (Some("http://127.0.0.1:3000"), false),
            (Some("http://localhost:3000.evil.example"), false),
            (Some("HTTP://LOCALHOST:3000"), false),
            (Some("http://evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("market.example:8000"));
            if let Some(origin) = origin {
                headers.append(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(may_act(&allowed, &headers), may, "{origin:?}");
            headers.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
            assert!(!may_act(&allowed, &headers));
        }
    }

    #[test]
    fn without_an_origin_a_browser_says_from_which_site_it_comes() {
        let allowed = [HeaderValue::from_static("http://localhost:3000")];
        for (site, alone, on_frontend) in [
            (None, true, true),
            (Some("none"), true, true),
            (Some("same-origin"), true, true),
            (Some("same-site"), false, true),
            (Some("cross-site"), false, true),
            (Some("Cross-Site"), false, true),
            (Some(""), false, true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert(FETCH_SITE, HeaderValue::from_static(site));
            }
            assert_eq!(may_act(&allowed, &headers), alone, "{site:?}");
            headers.insert(ORIGIN, allowed[0].clone());
            assert_eq!(may_act(&allowed, &headers), on_frontend, "{site:?}");
            headers.insert(ORIGIN, HeaderValue::from_static("null"));
            assert!(!may_act(&allowed, &headers), "{site:?}");
        }
    }

    #[test]
    fn a_browser_that_sends_neither_is_asked_for_the_page_it_shows() {
        let allowed = [HeaderValue::from_static("http://localhost:3000")];
        for (page, may) in [
            ("", true),
            ("http://localhost:3000/main?a=http://evil.example/", true),
            ("http://localhost:3000", true),
            ("https://market.example/", true),
            ("http://evil.example/", false),
            ("http://evil.example", false),
            ("http://evil.example/http://localhost:3000/", false),
            ("http://localhost:3000.evil.example/", false),
            ("http://localhost:3000@evil.example/", false),
            ("http://localhost/", false),
            ("about:blank", false),
            ("/main", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("market.example"));
            headers.insert(REFERER, HeaderValue::from_static(page));
            assert_eq!(may_act(&allowed, &headers), may, "{page}");
            let mut says_site = headers.clone();
            says_site.insert(FETCH_SITE, HeaderValue::from_static("cross-site"));
            assert!(!may_act(&allowed, &says_site), "{page}");
            says_site.insert(FETCH_SITE, HeaderValue::from_static("same-origin"));
            assert!(may_act(&allowed, &says_site), "{page}");
            headers.append(REFERER, HeaderValue::from_static("http://evil.example/"));
            assert!(!may_act(&allowed, &headers), "{page}");
        }
    }
}
