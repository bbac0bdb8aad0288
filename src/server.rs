//! The accept loop: one listening socket, a bounded number of connections, and a graceful stop. Tells
//! each request where it comes from; never what may be asked from there.

mod descriptors;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use hyper::{Request, body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};
use tokio_util::sync::CancellationToken;
use warp::{
    http::{HeaderValue, StatusCode, header},
    reply::Response,
};

use self::descriptors::Reserve;
pub use self::descriptors::Shortage;
use crate::{
    error::{Error, Result},
    peer::{Network, Peer},
};

/// A client has this long for a request's headers, and between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
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
/// How many handshakes may wait to be accepted; the kernel may hold it lower.
const BACKLOG: i32 = 4096;
/// The kernel takes no more than this of a frame in advance, in bytes: a slow client holds little
/// memory, and a newer frame is not stuck behind an older one.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Binds the listening socket.
///
/// # Errors
/// [`Error::Config`] when the address cannot be had.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let open = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        prepare(SockRef::from(&socket))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|e: io::Error| Error::Config(format!("BIND: {address}: {e}")))
}

/// Takes over a listening socket that others may listen on too. Whoever connects while this process
/// stops is accepted by another, or waits in the socket until there is one: nobody is refused.
///
/// # Errors
/// [`Error::Config`] when it does not listen.
pub fn adopt(passed: &std::net::TcpListener) -> Result<TcpListener> {
    let open = || {
        let socket = SockRef::from(passed);
        if !socket.is_listener()? {
            return Err(io::Error::other("the socket does not listen"));
        }
        prepare(socket)?;
        TcpListener::from_std(passed.try_clone()?)
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

/// Serves by `service` until `stopping`, then finishes what is being answered. What `proxies` say of
/// their clients is believed.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    proxies: Vec<Network>,
    max_connections: usize,
    shortage: Shortage,
    stopping: CancellationToken,
) where
    S: Service<Request<Incoming>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Response: Into<Response>,
{
    shortage.compare_with(max_connections);
    let mut reserve = Reserve::new();
    let proxies: Arc<[Network]> = proxies.into();
    let places = Arc::new(Semaphore::new(max_connections));
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
                        turn_away(stream).await;
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
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let service = service.clone();
                tokio::spawn(connection(
                    stream,
                    address,
                    Arc::clone(&proxies),
                    service,
                    Arc::new(place),
                    stopping.clone(),
                ));
            }
            Err(_) => {
                tokio::spawn(turn_away(stream));
            }
        }
    }
    drop(listener);
    let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
    if time::timeout(STOP_DEADLINE, places.acquire_many(all))
        .await
        .is_err()
    {
        tracing::warn!("stopping although some connections are still busy");
    }
}

/// One connection's HTTP; a socket leaves it by the upgrade and takes its place along.
async fn connection<S>(
    stream: TcpStream,
    address: IpAddr,
    proxies: Arc<[Network]>,
    service: S,
    place: Arc<OwnedSemaphorePermit>,
    stopping: CancellationToken,
) where
    S: Service<Request<Incoming>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Response: Into<Response>,
{
    let is_stopping = stopping.clone();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let peer = Peer::of(address, request.headers(), &proxies);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&place));
        let answer = service.call(request);
        let stopping = is_stopping.clone();
        async move {
            answer
                .await
                .map(|answer| answered(answer.into(), stopping.is_cancelled()))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let last = async {
        stopping.cancelled().await;
        time::sleep(LAST_REQUEST).await;
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = last => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
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

/// Tells a client that there is no place for it.
async fn turn_away(mut stream: TcpStream) {
    const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
        content-length: 53\r\nretry-after: 1\r\nconnection: close\r\ncache-control: no-store\r\n\
        x-content-type-options: nosniff\r\n\r\n\
        {\"detail\":\"Too many connections. Try again shortly.\"}";
    let told = async {
        stream.write_all(FULL).await?;
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
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let timeout = SockRef::from(&accepted.unwrap().0).tcp_user_timeout();
        assert_eq!(timeout.unwrap(), Some(UNREAD_TIMEOUT));
        drop(client);
    }
}
