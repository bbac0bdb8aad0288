//! The accept loop: one listening socket, a bounded number of connections, and a graceful stop. Tells
//! each request where it comes from; never what may be asked from there.

mod connections;
mod descriptors;
mod linger;
mod timer;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_util::sync::CancellationToken;
use warp::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    reply::Response,
};

use self::{
    connections::{Connections, Entered, Keeping, Refused},
    descriptors::Reserve,
    timer::{Expired, Timer},
};
pub use self::{descriptors::Shortage, timer::Stream};
use crate::{
    error::{Error, Result},
    hosts::LocalAddress,
    limits::{self, Place},
    peer::{self, Network, Peer},
};

/// The longest request head, in bytes; a longer one is answered with 431.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// A client that takes nothing of what it was sent for this long is hung up on. Sockets do so
/// themselves, and sooner; this is for those who ask and do not read the answer.
#[cfg(target_os = "linux")]
const UNREAD_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a stop waits for what is being answered.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// When the server stops, a client that keeps its connection open may send another request for this
/// long, and reads in the answer that it was the last. Hanging up at once would lose one on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// How long a client that is turned away may take to hang up.
const FAREWELL: Duration = Duration::from_millis(100);
/// How many clients may be told at once that there is no place for them; others are hung up on.
const FAREWELLS: usize = 256;
/// How many handshakes may wait to be accepted; the kernel may hold it lower.
const BACKLOG: i32 = 4096;
/// The kernel takes no more than this of a frame in advance, in bytes: a slow client holds little
/// memory, and a newer frame is not stuck behind an older one.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Binds the listening socket. Clients that connect from now on wait until somebody serves them.
///
/// # Errors
/// [`Error::Config`] when the address cannot be had.
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program uses {address}; stop it, or set BIND to another address (port 0 picks a \
                 free port)"
            ),
            io::ErrorKind::AddrNotAvailable => {
                format!("{address} is not an address of this machine")
            }
            io::ErrorKind::PermissionDenied => format!(
                "this user may not listen on {address}; use a port from 1024 up, or a socket of systemd"
            ),
            _ => format!("{address}: {error}"),
        };
        Error::Config(format!("BIND: {why}"))
    })
}

/// Takes over a listening socket: that of [`bind`], or one that others may listen on too. Whoever connects
/// to the latter while this process stops is accepted by another, or waits in the socket until there is
/// one: nobody is refused.
///
/// # Errors
/// [`Error::Config`] when it does not listen.
pub fn adopt(socket: &std::net::TcpListener) -> Result<TcpListener> {
    let open = || {
        let options = SockRef::from(socket);
        if !options.is_listener()? {
            return Err(io::Error::other("the socket does not listen"));
        }
        prepare(options)?;
        TcpListener::from_std(socket.try_clone()?)
    };
    open().map_err(|error| Error::Config(format!("LISTEN_FDS: {error}")))
}

/// What is set here is inherited by every connection.
#[expect(clippy::needless_pass_by_value, reason = "it is a reference already")]
fn prepare(socket: SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNREAD_TIMEOUT))?;
    socket.set_nonblocking(true)
}

/// How connections are served.
#[derive(Debug)]
pub struct Settings {
    /// What these say of their clients is believed.
    pub proxies: Vec<Network>,
    /// So many are served at once.
    pub max_connections: usize,
    /// So many of one address.
    pub limits: limits::Connections,
    /// How long one is kept for the next request.
    pub keep_alive: Duration,
}

/// Serves by `service` until `stopping`, then finishes what is being answered.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    settings: Settings,
    shortage: Shortage,
    stopping: CancellationToken,
) where
    S: Service<Request<Incoming>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Response: Into<Response>,
{
    let Settings {
        proxies,
        max_connections,
        limits,
        keep_alive,
    } = settings;
    shortage.compare_with(max_connections);
    let mut reserve = Reserve::new();
    let proxies: Arc<[Network]> = proxies.into();
    let connections = Connections::new(max_connections, limits);
    let farewells = Arc::new(Semaphore::new(FAREWELLS));
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    shortage.accepted();
                    (stream, address.ip())
                }
                Err(error) if descriptors::are_spent(&error) => {
                    shortage.noted(&error);
                    if let Some(stream) = reserve.accept(&listener).await {
                        turn_away(stream, Refused::Full).await;
                    }
                    reserve.refill();
                    continue;
                }
                Err(error) => {
                    // A client that left at once. Others are still served.
                    tracing::debug!(%error, "a connection could not be accepted");
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stopping.cancelled() => break,
        };
        let client = Client {
            stream,
            address,
            proxies: Arc::clone(&proxies),
            connections: Arc::clone(&connections),
            keep_alive,
            stopping: stopping.clone(),
        };
        let refused = match connections.count(address, client.is_proxy()) {
            Err(refused) => refused,
            Ok(counted) => {
                if let Some(entered) = connections.try_enter() {
                    tokio::spawn(client.serve(service.clone(), entered, counted));
                    continue;
                }
                if connections.make_room() {
                    let service = service.clone();
                    tokio::spawn(async move {
                        match Arc::clone(&client.connections).enter().await {
                            Ok(entered) => client.serve(service, entered, counted).await,
                            Err(refused) => turn_away(client.stream, refused).await,
                        }
                    });
                    continue;
                }
                Refused::Full
            }
        };
        if let Ok(farewell) = Arc::clone(&farewells).try_acquire_owned() {
            tokio::spawn(async move {
                turn_away(client.stream, refused).await;
                drop(farewell);
            });
        }
    }
    drop(listener);
    if time::timeout(STOP_DEADLINE, connections.all_gone())
        .await
        .is_err()
    {
        tracing::warn!("shutdown timed out; closing connections that are still busy");
    }
}

/// A client that was accepted.
struct Client {
    stream: TcpStream,
    address: IpAddr,
    proxies: Arc<[Network]>,
    connections: Arc<Connections>,
    keep_alive: Duration,
    stopping: CancellationToken,
}

impl Client {
    fn is_proxy(&self) -> bool {
        peer::is_trusted(&self.proxies, self.address)
    }

    /// One connection's HTTP; a socket leaves it by the upgrade and takes its place along. `counted`
    /// is what it counts for while it is no socket.
    async fn serve<S>(self, service: S, entered: Entered, counted: Option<Place>)
    where
        S: Service<Request<Incoming>> + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Response: Into<Response>,
    {
        let is_proxy = self.is_proxy();
        let must_go = entered.must_go.clone();
        let is_stopping = self.stopping.clone();
        let local = self.stream.local_addr().map(|at| LocalAddress(at.ip()));
        let timer = Timer::new();
        let stream = Stream::new(self.stream, timer.clone());
        let of_requests = timer.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let peer = Peer::of(self.address, request.headers(), &self.proxies);
            let counted = if is_proxy {
                self.connections.count_request(&peer).map(Some)
            } else {
                Ok(None)
            };
            request.extensions_mut().insert(peer);
            if let Ok(local) = local {
                request.extensions_mut().insert(local);
            }
            request.extensions_mut().insert(Arc::clone(&entered.place));
            let answer = counted.map(|counted| {
                let answering = entered.answering(counted);
                (answering, service.call(request))
            });
            let stopping = is_stopping.clone();
            let waiting = of_requests.requested();
            async move {
                let (answer, answering) = match answer {
                    Ok((answering, answer)) => (answer.await?.into(), Some(answering)),
                    Err(refused) => (refused.answer(), None),
                };
                let answer = answered(answer, stopping.is_cancelled());
                Ok::<_, S::Error>(answer.map(|body| Keeping::new(body, (answering, waiting))))
            }
        });
        let connection = http1::Builder::new()
            // The timer here tells a head that is slow from a client that has nothing to ask.
            .header_read_timeout(None)
            // Who has sent a request and closes that direction still reads the answer.
            .half_close(true)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let last = async {
            self.stopping.cancelled().await;
            time::sleep(LAST_REQUEST).await;
        };
        let ended = tokio::select! {
            result = connection.as_mut() => Some(result),
            () = must_go.cancelled() => {
                tracing::debug!("closed the longest idle connection to accept another");
                Some(Ok(()))
            }
            () = last => None,
            expired = timer.expired(self.keep_alive) => match expired {
                Expired::Head => Some(Ok(())),
                Expired::Idle => None,
            },
        };
        let result = if let Some(result) = ended {
            result
        } else {
            // What is left of an answer is sent, and that is the end.
            connection.as_mut().graceful_shutdown();
            connection.await
        };
        drop(counted);
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// The answer; when it is the connection's last one, it says so.
fn answered(mut answer: Response, is_last: bool) -> Response {
    if is_last && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

impl Refused {
    fn status(self) -> StatusCode {
        match self {
            Self::OfAddress => StatusCode::TOO_MANY_REQUESTS,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// When to try again, in seconds.
    fn retry_after(self) -> u32 {
        match self {
            Self::OfAddress => 10,
            Self::Full => 1,
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::OfAddress => {
                r#"{"detail":"Too many connections of this address. Close some, or try again later."}"#
            }
            Self::Full => r#"{"detail":"Too many connections. Try again shortly."}"#,
        }
    }

    /// What a client gets whose connection is served.
    fn answer(self) -> Response {
        let mut answer = Response::new(self.body().into());
        *answer.status_mut() = self.status();
        let headers = answer.headers_mut();
        headers.insert(header::RETRY_AFTER, self.retry_after().into());
        for (name, value) in ABOUT_REFUSALS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    /// What a client gets whose connection is not.
    fn farewell(self) -> String {
        let (status, body) = (self.status(), self.body());
        let about = ABOUT_REFUSALS.map(|(name, value)| format!("{name}: {value}\r\n"));
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nretry-after: {}\r\nconnection: close\r\n\
             {}\r\n{body}",
            body.len(),
            self.retry_after(),
            about.concat(),
        )
    }
}

/// What is said of every refusal.
const ABOUT_REFUSALS: [(HeaderName, &str); 3] = [
    (header::CONTENT_TYPE, "application/json"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// Tells a client that there is no place for it.
async fn turn_away(mut stream: TcpStream, why: Refused) {
    let told = async {
        stream.write_all(why.farewell().as_bytes()).await?;
        stream.shutdown().await?;
        // Hanging up before the request was read would take the answer back.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = time::timeout(FAREWELL, told).await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_passed_socket_is_prepared_like_one_of_its_own() {
        let passed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = adopt(&passed).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let stream = accepted.unwrap().0;
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNREAD_TIMEOUT));
        drop(client);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(adopt(&socket.into()).is_err(), "one that does not listen");
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_hung_up_on_by_the_kernel() {
        let listener = adopt(&bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let timeout = SockRef::from(&accepted.unwrap().0).tcp_user_timeout();
        assert_eq!(timeout.unwrap(), Some(UNREAD_TIMEOUT));
        drop(client);
    }
}
