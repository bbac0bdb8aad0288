//! How long a client of HTTP may take: for the head of its first request, for the rest of a head once its
//! first byte has come, and between requests. Watches bytes come and answers end; reads neither.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{self, Instant},
};

use super::linger::Lingering;

/// A client has this long for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What a connection waits for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For the head of the first request, or the rest of one that has begun.
    Head(Instant),
    /// For the next request.
    Idle(Instant),
    /// Not for the client's head: a request is being answered.
    Busy,
}

impl Phase {
    /// When a client has taken too long, and for what.
    fn deadline(self, keep_alive: Duration) -> Option<(Instant, Expired)> {
        match self {
            Self::Head(since) => Some((since + HEAD_TIMEOUT, Expired::Head)),
            Self::Idle(since) => Some((since + keep_alive, Expired::Idle)),
            Self::Busy => None,
        }
    }
}

/// Why a client is waited for no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// A head did not come in time.
    Head,
    /// No other request came in time.
    Idle,
}

/// The timer of one connection. Its clones are the same timer.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    phase: Arc<watch::Sender<Phase>>,
}

impl Timer {
    /// A timer that runs for the first request's head.
    pub(super) fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Head(Instant::now()))),
        }
    }

    /// Bytes came from the client.
    fn received(&self) {
        self.phase.send_if_modified(|phase| {
            let begins = matches!(phase, Phase::Idle(_));
            if begins {
                *phase = Phase::Head(Instant::now());
            }
            begins
        });
    }

    /// A request's head is complete; its answer is being made and sent.
    pub(super) fn requested(&self) -> Busy {
        self.phase.send_replace(Phase::Busy);
        Busy(self.clone())
    }

    /// Waits until the client has taken too long. `keep_alive` is the time between requests.
    pub(super) async fn expired(&self, keep_alive: Duration) -> Expired {
        let mut phases = self.phase.subscribe();
        loop {
            let phase = *phases.borrow_and_update();
            let late = async {
                match phase.deadline(keep_alive) {
                    Some((deadline, expired)) => {
                        time::sleep_until(deadline).await;
                        expired
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // It fails when the timer is gone, and it is there.
                _ = phases.changed() => {}
                expired = late => return expired,
            }
        }
    }
}

/// A connection whose timer is told of what comes.
#[derive(Debug)]
pub struct Stream {
    inner: Lingering,
    timer: Timer,
}

impl Stream {
    pub(super) fn new(inner: TcpStream, timer: Timer) -> Self {
        Self {
            inner: Lingering::new(inner),
            timer,
        }
    }

    /// The connection, once HTTP is done with it.
    pub fn into_tcp(self) -> TcpStream {
        self.inner.into_inner()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.timer.received();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// That a request is being answered. Once it is dropped, the next one is waited for.
#[derive(Debug)]
pub(super) struct Busy(Timer);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.phase.send_replace(Phase::Idle(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(75);

    fn phase(timer: &Timer) -> Phase {
        *timer.phase.borrow()
    }

    #[test]
    fn a_head_has_thirty_seconds_from_its_first_byte_and_the_next_request_the_keep_alive() {
        let timer = Timer::new();
        let began = phase(&timer);
        assert!(
            matches!(began, Phase::Head(_)),
            "a client that sends nothing"
        );
        timer.received();
        assert_eq!(phase(&timer), began, "a trickle gains no time");

        let busy = timer.requested();
        timer.received();
        assert_eq!(phase(&timer), Phase::Busy, "a body takes its own time");
        drop(busy);
        let Phase::Idle(since) = phase(&timer) else {
            panic!("it waits for the next request: {:?}", phase(&timer));
        };
        let deadline = phase(&timer).deadline(KEEP_ALIVE);
        assert_eq!(deadline, Some((since + KEEP_ALIVE, Expired::Idle)));

        timer.received();
        let Phase::Head(since) = phase(&timer) else {
            panic!("the next head has begun: {:?}", phase(&timer));
        };
        let began = phase(&timer);
        let deadline = began.deadline(KEEP_ALIVE);
        assert_eq!(deadline, Some((since + HEAD_TIMEOUT, Expired::Head)));
        timer.received();
        assert_eq!(phase(&timer), began, "a trickle gains no time");
    }

    #[tokio::test]
    async fn whoever_waits_follows_what_comes() {
        let timer = Timer::new();
        let waiting = tokio::spawn({
            let timer = timer.clone();
            async move { timer.expired(Duration::ZERO).await }
        });
        tokio::task::yield_now().await;
        drop(timer.requested());
        assert_eq!(waiting.await.unwrap(), Expired::Idle);
    }
}
