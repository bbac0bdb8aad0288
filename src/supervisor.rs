//! Tells whoever started the process, such as systemd, how it is: ready when `/readyz` says so, alive
//! while its tasks run, stopping. Where nobody wants to know (no `NOTIFY_SOCKET`) it says nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time;

use crate::{app::App, http};

/// Between looks at whether the server is ready yet.
const LOOK: Duration = Duration::from_millis(200);

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
    tell(&[NotifyState::Stopping]);
}

async fn ready(app: &App) {
    let mut said = String::new();
    loop {
        let troubles = http::troubles(app).await;
        if troubles.is_empty() {
            tell(&[NotifyState::Ready, NotifyState::Status("ready")]);
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

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
