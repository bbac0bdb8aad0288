//! Refuses a request for a host that is not this server's, before anything else is done with it.
//! Health probes are answered whatever host they name: a load balancer asks by an address of its own.

use std::{convert::Infallible, sync::Once};

use hyper::{Request, body::Incoming, service::Service};
use warp::http::{HeaderValue, Method, StatusCode, Version, header::HOST};

use super::{metrics, security_headers};
use crate::{
    app::App,
    hosts::{Host, LocalAddress},
    reply::{Problem, Response},
};

/// Marks a request for a host that is not this server's, and that is answered all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misdirected;

/// `service` for requests to hosts of this server.
pub(super) fn around<S>(
    service: S,
    app: App,
) -> impl Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send,
    S::Future: Send,
{
    hyper::service::service_fn(move |mut request| {
        let judged = judge(&app, &mut request);
        let service = service.clone();
        async move {
            match judged {
                Ok(()) => service.call(request).await,
                Err(refusal) => Ok(security_headers::mark(refusal.into_response())),
            }
        }
    })
}

fn judge<B>(app: &App, request: &mut Request<B>) -> Result<(), Problem> {
    let Some(host) = host(request).map_err(|why| Problem::detail(StatusCode::BAD_REQUEST, why))?
    else {
        return Ok(());
    };
    let local = request.extensions().get::<LocalAddress>().copied();
    if app.settings.hosts.contain(&host, local) {
        return Ok(());
    }
    if is_probe(app, request) {
        request.extensions_mut().insert(Misdirected);
        return Ok(());
    }
    note(&host);
    Err(Problem::detail(
        StatusCode::MISDIRECTED_REQUEST,
        format!(
            "This server does not answer for the host {host}. \
             If it should, add {host} to ALLOWED_HOSTS."
        ),
    ))
}

/// The host that a request was sent to (RFC 9112, section 3.2). A target that names one counts, and
/// takes the header's place for all that follows. None with HTTP/1.0, as some health probes are
/// sent; browsers always name one.
fn host<B>(request: &mut Request<B>) -> Result<Option<Host>, &'static str> {
    const MALFORMED: &str = "The Host header is not a host.";
    let mut headers = request.headers().get_all(HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (Some(_), Some(_)) => return Err("There is more than one Host header."),
        (Some(header), None) => Some(Host::of_authority(header.as_bytes()).ok_or(MALFORMED)?),
        (None, _) if request.version() >= Version::HTTP_11 => {
            return Err("There is no Host header.");
        }
        (None, _) => None,
    };
    let Some(authority) = request.uri().authority() else {
        return Ok(header);
    };
    let authority = authority.as_str();
    let host = Host::of_authority(authority.as_bytes());
    let value = HeaderValue::from_str(authority);
    let (Some(host), Ok(value)) = (host, value) else {
        return Err("The request target has no valid host.");
    };
    request.headers_mut().insert(HOST, value);
    Ok(Some(host))
}

fn is_probe<B>(app: &App, request: &Request<B>) -> bool {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return false;
    }
    let path = request.uri().path();
    match path.strip_suffix('/').unwrap_or(path) {
        "/healthz" | "/readyz" => true,
        // A page on an operator's machine has the address that may read them, but not the token.
        "/metrics" => metrics::has_token(app, request.headers()),
        _ => false,
    }
}

/// Says once that clients use another name: most likely a setting is missing.
fn note(host: &Host) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(%host, "requests for a host that is not in ALLOWED_HOSTS are refused");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, version: Version, hosts: &[&'static str]) -> Result<String, ()> {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(()).unwrap();
        let found = host(&mut request).map_err(drop)?;
        let header = request.headers().get(HOST).map(HeaderValue::as_bytes);
        // Whoever looks at the header later sees what was judged.
        assert_eq!(header.and_then(Host::of_authority), found);
        Ok(found.map_or(String::new(), |host| host.to_string()))
    }

    #[test]
    fn the_host_is_the_targets_or_the_one_header() {
        let (new, old) = (Version::HTTP_11, Version::HTTP_10);
        for (target, version, hosts, found) in [
            ("/", new, &["a"][..], Ok("a")),
            ("/", new, &[], Err(())),
            ("/", new, &["a", "a"], Err(())),
            ("/", new, &["a", "b"], Err(())),
            ("/", new, &[""], Err(())),
            ("/", new, &["a,b"], Ok("a,b")),
            ("/", new, &["a b"], Err(())),
            ("/", old, &[], Ok("")),
            ("/", old, &["a"], Ok("a")),
            ("/", old, &["a", "b"], Err(())),
            ("http://b/", new, &["a"], Ok("b")),
            ("http://b:80/", new, &["a"], Ok("b")),
            ("http://b/", new, &[], Err(())),
            ("http://b/", old, &[], Ok("b")),
            ("http://user@b/", new, &["a"], Err(())),
            ("*", new, &["a"], Ok("a")),
        ] {
            let host = asked(target, version, hosts);
            assert_eq!(host.as_deref(), found.as_deref(), "{target} {hosts:?}");
        }
    }
}
