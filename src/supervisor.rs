//! Tells whoever started the process, such as systemd, how it is: ready when `/readyz` says so, alive
//! while its tasks run, stopping. Where nobody wants to know (no `NOTIFY_SOCKET`) it says nothing.

use std::{env, io, os::unix::net::UnixDatagram, time::Duration};

use sd_notify::NotifyState;
use tokio::time;

use crate::{app::App, backoff::Backoff, http};

/// Between looks at whether the server is ready yet.
const LOOK: Duration = Duration::from_millis(200);
/// Between attempts to say that it is, while whoever wants to know does not read.
const AGAIN: Backoff = Backoff::new(LOOK, Duration::from_secs(5));

/// Says that the server is ready, once it is, and then as often as is asked for (`WATCHDOG_USEC`)
/// that it lives. Never ends.
pub(crate) async fn run(app: &App) {
    ready(app).await;
    match sd_notify::watchdog_enabled() {
        Some(patience) => watchdog(patience).await,
        None => std::future::pending().await,
    }
}

/// Says that the server stops.
pub(crate) fn stopping() {
    // The end of the process says it as well.
    tell(&[NotifyState::Stopping]);
}

async fn ready(app: &App) {
    let mut said = String::new();
    loop {
        let troubles = http::troubles(app).await;
        if troubles.is_empty() {
            let mut again = AGAIN;
            while !tell(&[NotifyState::Ready, NotifyState::Status("ready")]) {
                again.pause().await;
            }
            return;
        }
        // A status is one line.
        let status = troubles.join("; ").replace('\n', " ");
        if status != said {
            tell(&[NotifyState::Status(&status)]);
            said = status;
        }
        time::sleep(LOOK).await;
    }
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
    match send(state) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "the service manager cannot be told");
            error.kind() != io::ErrorKind::WouldBlock
        }
    }
}

/// One message, as `sd_notify(3)` has it. `sd_notify::notify` would wait for room, and with it
/// everything that its task does.
#[expect(
    clippy::disallowed_methods,
    reason = "the address is the manager's business and no setting, as with the variables that sd_notify reads"
)]
fn send(state: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(manager) = env::var_os("NOTIFY_SOCKET") else {
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
