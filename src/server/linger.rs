//! The end of a connection whose client is still sending: what it sends is read past for a while, or the
//! kernel would take back the answer, and the client would never learn why it was refused. Reading bytes
//! past costs next to nothing; what they mean is never looked at.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{self, Sleep},
};

/// How much is read past.
const MAX_BYTES: usize = 16 << 20;
/// How long.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that ends so.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    /// How long the end may take.
    timeout: Duration,
    end: Option<End>,
}

/// How far the end is.
#[derive(Debug)]
struct End {
    timeout: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            timeout: TIMEOUT,
            end: None,
        }
    }

    /// The connection itself, for somebody who ends it in another way.
    pub(super) fn into_inner(self) -> TcpStream {
        self.stream
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            timeout,
            end,
        } = &mut *self;
        let mut stream = Pin::new(stream);
        if end.is_none() {
            ready!(stream.as_mut().poll_shutdown(cx))?;
        }
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = stream.as_mut().poll_read(cx, &mut buffer);
            match (read, &mut *end) {
                (Poll::Pending, Some(end)) => {
                    ready!(end.timeout.as_mut().poll(cx));
                    return Poll::Ready(Ok(()));
                }
                // Nothing was left unread, or the client has gone: there is no reason to stay.
                (Poll::Pending, None) | (Poll::Ready(Err(_)), _) => return Poll::Ready(Ok(())),
                (Poll::Ready(Ok(())), end) => {
                    let end = end.get_or_insert_with(|| End {
                        timeout: Box::pin(time::sleep(*timeout)),
                        bytes: 0,
                    });
                    let count = buffer.filled().len();
                    end.bytes += count;
                    if count == 0 || end.bytes > MAX_BYTES {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, Lingering) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), Lingering::new(accepted.unwrap().0))
    }

    #[tokio::test]
    async fn a_client_that_is_still_sending_gets_its_answer() {
        let (mut client, mut server) = pair().await;
        let much = vec![0; 4 << 20];
        let ask = async {
            client.write_all(&much).await.expect("all is taken");
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let refuse = async {
            server.read_u8().await.unwrap();
            server.write_all(b"no").await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
        };
        let (answer, ()) = tokio::join!(ask, refuse);
        assert_eq!(answer, "no");
    }

    #[tokio::test]
    async fn an_end_takes_as_long_as_it_may_and_no_time_without_need() {
        let (client, mut server) = pair().await;
        server.shutdown().await.expect("nobody is waited for");
        drop((client, server));

        let (mut client, mut server) = pair().await;
        client.write_all(b"a").await.unwrap();
        server.stream.readable().await.unwrap();
        server.timeout = Duration::from_millis(50);
        let began = time::Instant::now();
        server.shutdown().await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(50));
        drop(client);
    }
}
