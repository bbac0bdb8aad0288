//! The server process under its watchdog, which stops it when this program ends in whatever way,
//! and what to do about a server that is left from before.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use super::{
    POLL,
    binaries::Binaries,
    error::EmbeddedError,
    home::Home,
    program::{last_lines, run},
};

/// A shell whose arguments are a log and the server's command. It starts the server, sends it each
/// signal that it reads from its standard input, and SIGINT (a fast stop) when that ends, which it
/// does when this program is gone. It signals its own child only, never a number read from a file,
/// so it can't hit a server that was started later.
const WATCHDOG: &str = r#"
umask 077
exec 3<&0 >>"$1" 2>&1
shift
"$@" </dev/null 3<&- &
server=$!
{
    while read -r signal; do kill -s "$signal" "$server"; done
    kill -s INT "$server"
} <&3 &
exec 3<&-
wait "$server"
kill -s KILL $!
"#;

/// How long a fast stop may take before it becomes an immediate one.
const FAST_LIMIT: Duration = Duration::from_secs(30);

/// How much of the log is read for them.
const TAIL_BYTES: u64 = 16 << 10;

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions are ended, everything is written down.
    Fast,
    /// As in a crash: the next start has to recover.
    Immediate,
}

/// A server that runs, or tries to.
#[derive(Debug)]
pub(super) struct Server {
    watchdog: Child,
    signals: Option<ChildStdin>,
    log_start: u64,
}

impl Server {
    /// Starts a server in a cluster in which none runs: see [`stop_leftover`].
    pub(super) fn spawn(home: &Home, binaries: &Binaries) -> Result<Self, EmbeddedError> {
        let log_start = home.rotate_log()?;
        home.remove_sockets()?;
        let mut command = home.owner.command("sh");
        command
            .args(["-c", WATCHDOG, "sh"])
            .arg(home.log())
            .arg(binaries.path("postgres"))
            .arg("-D")
            .arg(home.cluster())
            // Wins over what a person has set: what is looked for in the log is not translated.
            .args(["-c", "lc_messages=C"]);
        if let Some(stale) = recorded_pid(home)? {
            // If the number in the old postmaster.pid now belongs to another process of the same
            // user, PostgreSQL would refuse to start. It does not when that process counts as an
            // ancestor of its own.
            command.env("PG_GRANDPARENT_PID", stale.to_string());
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Not in the terminal's foreground group: Ctrl-C is for this program, which then stops the
        // server.
        command.process_group(0);
        let mut watchdog = command
            .spawn()
            .map_err(|error| EmbeddedError::io(Path::new("sh"), error))?;
        let signals = watchdog.stdin.take();
        Ok(Self {
            watchdog,
            signals,
            log_start,
        })
    }

    /// Waits for the server's end, looking so often.
    pub(super) async fn exited(&mut self, look: Duration) {
        while matches!(self.watchdog.try_wait(), Ok(None)) {
            tokio::time::sleep(look).await;
        }
    }

    /// Stops the server and waits for its end.
    pub(super) async fn stop(mut self, mode: StopMode) {
        let Some(mut signals) = self.signals.take() else {
            return;
        };
        let signal: &[u8] = match mode {
            StopMode::Fast => b"INT\n",
            StopMode::Immediate => b"QUIT\n",
        };
        // Writing fails if the watchdog has already ended.
        let _ = signals.write_all(signal);
        if tokio::time::timeout(FAST_LIMIT, self.exited(POLL))
            .await
            .is_err()
        {
            let _ = signals.write_all(b"QUIT\n");
            self.exited(POLL).await;
        }
    }

    /// Why it did not start: what it wrote to its log since.
    pub(super) fn failure(&self, home: &Home) -> EmbeddedError {
        let log = home.log();
        let tail = tail(home, self.log_start).unwrap_or_else(|error| error.to_string());
        EmbeddedError::NotStarted { log, tail }
    }
}

/// Stops a server of this cluster that was not started by this value: a crashed program's, whose
/// watchdog was killed too or has not finished.
pub(super) async fn stop_leftover(home: &Home, binaries: &Binaries) -> Result<(), EmbeddedError> {
    let Some(pid) = recorded_pid(home)?.filter(|pid| is_server(*pid, home)) else {
        return Ok(());
    };
    tracing::info!(pid, "stopping a PostgreSQL left over from an earlier run");
    let mut pg_ctl = home.owner.command(binaries.path("pg_ctl"));
    pg_ctl
        .arg("stop")
        .arg("-D")
        .arg(home.cluster())
        .args(["-m", "fast", "-w", "-t", "60"]);
    match run("pg_ctl stop", pg_ctl).await {
        // It may have ended by itself in between.
        Err(_) if !is_server(pid, home) => Ok(()),
        result => result,
    }
}

/// The process that postmaster.pid names, whether it still lives or not.
fn recorded_pid(home: &Home) -> Result<Option<u32>, EmbeddedError> {
    let text = home.postmaster_pid()?.unwrap_or_default();
    Ok(text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok()))
}

/// Whether a process is the server of this cluster: a server's working directory is its data
/// directory. Where the kernel does not tell (no /proc), postmaster.pid is believed.
fn is_server(pid: u32, home: &Home) -> bool {
    if !Path::new("/proc/self/cwd").exists() {
        return true;
    }
    let works_in = fs::metadata(Path::new("/proc").join(pid.to_string()).join("cwd"));
    let works_in = works_in.ok().map(|file| (file.dev(), file.ino()));
    works_in.is_some() && works_in == home.identity()
}

fn tail(home: &Home, start: u64) -> Result<String, EmbeddedError> {
    let mut file = home.open_log()?;
    let read = || {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(end.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(last_lines(&String::from_utf8_lossy(&bytes)))
    };
    read().map_err(|error| EmbeddedError::io(&home.log(), error))
}
