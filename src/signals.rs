//! The signals that end the server: those that ask for it, and those that come when its terminal is
//! closed. Each one is a graceful stop.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for such a signal, from now on.
///
/// # Errors
/// When the system does not let this program handle them.
pub fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = unless_ignored(SignalKind::hangup())?;
    let mut quit = unless_ignored(SignalKind::quit())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = received(hangup.as_mut()) => "SIGHUP",
            () = received(quit.as_mut()) => "SIGQUIT",
        };
        tracing::info!(signal = name, "stopping");
    })
}

/// Handles a signal, unless whoever started this program wants it ignored, as `nohup` does.
fn unless_ignored(kind: SignalKind) -> io::Result<Option<Signal>> {
    let is_ignored = ignored().is_some_and(|mask| mask & (1 << (kind.as_raw_value() - 1)) != 0);
    if is_ignored {
        return Ok(None);
    }
    signal(kind).map(Some)
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that are ignored, a bit each; none where the system does not tell so.
fn ignored() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}
