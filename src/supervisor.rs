//! Tells whoever started the process, such as systemd, how it is: ready when `/readyz` says so, alive
//! while its tasks run, stopping. Where nobody wants to know (no `NOTIFY_SOCKET`) it says nothing.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::net::UnixDatagram,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sd_notify::NotifyState;
use tokio::time;

use crate::{
    backoff::Backoff,
    outage::{self, Outage},
    readiness::Readiness,
};

/// What is said of a server that can do its work.
const READY: &str = "ready";

/// Between looks at whether the server is ready yet.
const LOOK: Duration = Duration::from_millis(200);
/// Between looks at a server that has been ready.
const LOOK_LATER: Duration = Duration::from_secs(2);
/// Between attempts to say that it is, while whoever wants to know does not read.
const AGAIN: Backoff = Backoff::new(LOOK, Duration::from_secs(5));
/// A migration may take longer than a start usually may: while one runs, so much more time is asked
/// for, in microseconds.
const EXTENSION: u32 = 60_000_000;

/// Says that the server is ready, once it is, and then how it is, and as often as is asked for
/// (`WATCHDOG_USEC`) that it lives. Never ends.
pub(crate) async fn run(readiness: &Readiness) {
    let mut said = String::new();
    ready(readiness, &mut said).await;
    let alive = async {
        match sd_notify::watchdog_enabled() {
            Some(patience) => watchdog(patience).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(alive, follow(readiness, said));
}

/// Says that the server stops.
pub(crate) fn stopping() {
    // The end of the process says it as well.
    tell(&[NotifyState::Stopping]);
}

/// Says what the server waits for, until it is ready.
async fn ready(readiness: &Readiness, said: &mut String) {
    let began = Instant::now();
    loop {
        let status = status(readiness).await;
        if status == READY {
            tracing::info!(after = outage::seconds(began.elapsed()), "ready");
            let mut again = AGAIN;
            while !tell(&[NotifyState::Ready, NotifyState::Status(READY)]) {
                again.pause().await;
            }
            *said = status;
            return;
        }
        if readiness.start.borrow().is_migrating() {
            tell(&[NotifyState::ExtendTimeoutUsec(EXTENSION)]);
        }
        if status != *said {
            tell(&[NotifyState::Status(&status)]);
            *said = status;
        }
        time::sleep(LOOK).await;
    }
}

/// Says how the server is whenever that has changed.
async fn follow(readiness: &Readiness, mut said: String) {
    if manager().is_none() {
        return;
    }
    loop {
        time::sleep(LOOK_LATER).await;
        let status = status(readiness).await;
        if status != said && tell(&[NotifyState::Status(&status)]) {
            said = status;
        }
    }
}

/// What is wrong, or that nothing is, on one line.
async fn status(readiness: &Readiness) -> String {
    let troubles = readiness.problems().await;
    if troubles.is_empty() {
        return READY.into();
    }
    troubles.join("; ").replace('\n', " ")
}

/// Each sign of life is sent by a new task, which a runtime whose threads are all stuck never starts.
async fn watchdog(patience: Duration) {
    loop {
        let alive = tokio::spawn(async { tell(&[NotifyState::Watchdog]) });
        // It cannot fail, and its end is what is waited for.
        let _ = alive.await;
        time::sleep(patience / 3).await;
    }
}

/// False when it is worth another attempt, because there was no room for it.
fn tell(state: &[NotifyState<'_>]) -> bool {
    static OUTAGE: Mutex<Outage> = Mutex::new(Outage::longer_than(Duration::ZERO));
    // Each of its changes leaves it whole, so a panic elsewhere does not matter.
    let mut outage = OUTAGE.lock().unwrap_or_else(PoisonError::into_inner);
    match send(state) {
        Ok(()) => {
            if let Some(after) = outage.over() {
                tracing::info!(after, "notifying the service manager works again");
            }
            true
        }
        Err(error) => {
            if let Some(lasting) = outage.failed() {
                tracing::warn!(%error, lasting, "cannot notify the service manager");
            }
            error.kind() != io::ErrorKind::WouldBlock
        }
    }
}

/// Where somebody wants to know.
#[expect(
    clippy::disallowed_methods,
    reason = "the address is the manager's business and no setting, as with the variables that sd_notify reads"
)]
fn manager() -> Option<OsString> {
    env::var_os("NOTIFY_SOCKET")
}

/// One message, as `sd_notify(3)` has it. `sd_notify::notify` would wait for room, and with it
/// everything that its task does.
fn send(state: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(manager) = manager() else {
        return Ok(());
    };
    let parts: Vec<String> = state.iter().map(ToString::to_string).collect();
    let message = format!("{}\n", parts.join("\n"));
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(manager)?;
    // A datagram goes as a whole or not at all.
    socket.send(message.as_bytes()).map(drop)
}
