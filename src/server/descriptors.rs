//! What happens when the process has no file descriptors left: one is kept in reserve, so that a
//! client can still be told, and it is noted for whoever asks whether the server is well.

use std::{
    fs::{self, File},
    io,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

use crate::outage::Outage;

/// How long after a connection could not be accepted the server does not count as well.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Between attempts while there is no descriptor, not even for telling so.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether clients were lately turned away for want of descriptors.
#[derive(Clone, Debug)]
pub struct Shortage {
    noted: Arc<Mutex<Noted>>,
    /// How many there may be. Found out in time: it takes a descriptor.
    limit: Option<usize>,
}

#[derive(Debug, Default)]
struct Noted {
    /// When a connection could last not be accepted; none once it is over.
    last: Option<Instant>,
    outage: Outage,
}

impl Default for Shortage {
    fn default() -> Self {
        Self {
            noted: Arc::default(),
            limit: limit(),
        }
    }
}

impl Shortage {
    /// Whether there is none; otherwise what is short.
    ///
    /// # Errors
    /// One sentence for an operator.
    pub fn check(&self) -> Result<(), String> {
        match self.lock().last {
            Some(noted) if noted.elapsed() < REMEMBERED => Err(format!(
                "rejecting clients: all {} file descriptors are in use (ulimit -n)",
                self.limit
                    .map_or_else(String::new, |limit| limit.to_string())
            )),
            _ => Ok(()),
        }
    }

    /// Warns when the limit allows fewer connections than the settings do.
    pub(super) fn compare_with(&self, max_connections: usize) {
        if let Some(limit) = self.limit.filter(|limit| *limit < max_connections) {
            tracing::warn!(
                max_connections,
                limit,
                "fewer file descriptors are allowed (ulimit -n) than connections of clients"
            );
        }
    }

    /// A connection could not be accepted.
    pub(super) fn noted(&self, error: &io::Error) {
        let mut noted = self.lock();
        noted.last = Some(Instant::now());
        if let Some(lasting) = noted.outage.failed() {
            tracing::error!(%error, lasting, "out of file descriptors; rejecting clients");
        }
    }

    /// A connection was accepted. The shortage is over once none was refused for a while.
    pub(super) fn accepted(&self) {
        let mut noted = self.lock();
        if noted.last.is_some_and(|last| last.elapsed() >= REMEMBERED) {
            noted.last = None;
            if let Some(after) = noted.outage.over() {
                tracing::info!(after, "accepting clients again");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        // Both parts are whole at every moment, so a panic elsewhere does not matter.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether accepting failed because the process, or the machine, is out of descriptors.
pub(super) fn are_spent(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// A descriptor that is given up to tell a client that there are no others.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn new() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// The client that waits; none when even the reserve is gone, after a pause.
    pub(super) async fn accept(&mut self, listener: &TcpListener) -> Option<TcpStream> {
        if self.0.take().is_some()
            && let Ok(Ok((stream, _))) = time::timeout(PAUSE, listener.accept()).await
        {
            return Some(stream);
        }
        time::sleep(PAUSE).await;
        None
    }

    /// Takes a descriptor again, once the client has gone.
    pub(super) fn refill(&mut self) {
        self.0 = self.0.take().or_else(|| File::open("/dev/null").ok());
    }
}

/// How many descriptors this process may have; `None` where the system does not tell so. Asked for
/// once, at the start: it takes a descriptor.
fn limit() -> Option<usize> {
    static LIMIT: LazyLock<Option<usize>> = LazyLock::new(|| {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))?;
        line.split_whitespace().nth(3)?.parse().ok()
    });
    *LIMIT
}
