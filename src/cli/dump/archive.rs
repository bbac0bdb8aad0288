//! `pg_restore`, which makes a script of an archive. It runs as the cluster's user, in an empty
//! environment, and is connected to nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc;

use super::{
    file::Dump,
    restore::{refused, text},
    script::Part,
};
use crate::embedded::Cluster;

/// What it is not to write: nothing of it would be run.
const WITHOUT: [&str; 7] = [
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
];
/// Most that is kept of what it complains about.
const MAX_COMPLAINTS: u64 = 64 << 10;

/// The running program.
pub(super) struct PgRestore {
    process: Child,
    feeding: Option<JoinHandle<()>>,
    complaints: JoinHandle<io::Result<Vec<u8>>>,
}

impl PgRestore {
    /// Starts it; gives the script that it writes. That an archive cannot be read is told to `parts`.
    ///
    /// # Errors
    /// Says what to do about an archive that is too new for it.
    pub(super) fn start(
        dump: Dump,
        cluster: &Cluster,
        parts: mpsc::Sender<io::Result<Part>>,
    ) -> Result<(Self, ChildStdout), String> {
        let mut command = cluster.program("pg_restore");
        command.args(WITHOUT).args(["-f", "-"]);
        let input = match dump {
            Dump::Archive(archive, version) => {
                version.refuse_newer(cluster.major())?;
                command.stdin(Stdio::piped());
                Some(archive)
            }
            Dump::Directory(files, version) => {
                version.refuse_newer(cluster.major())?;
                command.arg(copied(&files, cluster)?);
                None
            }
            Dump::Sql(_) => return Err("is no archive".into()),
        };
        let mut process = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("pg_restore: {error}"))?;
        let (Some(script), Some(mut stderr)) = (process.stdout.take(), process.stderr.take())
        else {
            return Err("pg_restore has no output".into());
        };
        // Read while writing, or both would wait for each other.
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let kept = stderr.by_ref().take(MAX_COMPLAINTS).read_to_end(&mut text);
            io::copy(&mut stderr, &mut io::sink())?;
            kept.map(|_| text)
        });
        let feeding = input
            .zip(process.stdin.take())
            .map(|(mut input, mut stdin)| {
                thread::spawn(move || {
                    if let Err(error) = io::copy(&mut input, &mut stdin)
                    // It says itself why it has ended.
                    && error.kind() != io::ErrorKind::BrokenPipe
                    {
                        // Nobody listens when the dump was refused before.
                        let _ = parts.blocking_send(Err(error));
                    }
                })
            });
        let started = Self {
            process,
            feeding,
            complaints,
        };
        Ok((started, script))
    }

    /// Ends it.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
    }

    /// Waits for its end; its script is read or given up by now.
    pub(super) fn end(mut self) -> Result<(), String> {
        let ended = |_| "a thread has ended early".to_owned();
        let status = self.process.wait().map_err(text)?;
        if let Some(feeding) = self.feeding.filter(|_| status.success()) {
            feeding.join().map_err(ended)?;
        }
        let complaints = self.complaints.join().map_err(ended)?.map_err(text)?;
        if status.success() {
            return Ok(());
        }
        let complaints = String::from_utf8_lossy(&complaints);
        let last = complaints.lines().last();
        Err(refused(last.unwrap_or("pg_restore does not say why")))
    }
}

/// Copies a dump in the directory format to where the server's user can read it.
fn copied(files: &[PathBuf], cluster: &Cluster) -> Result<PathBuf, String> {
    let mut directory = Err("is empty".to_owned());
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let from = File::open(file).map_err(text)?;
        let stored = cluster.store("dump", &name, from);
        directory = Ok(stored.map_err(text)?);
    }
    directory
}
