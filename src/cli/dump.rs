//! A file that `pg_dump` wrote, as a database: restored into a private cluster that is thrown away.

use std::{
    env, fs,
    fs::File,
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use flate2::read::MultiGzDecoder;
use tokio::{
    signal::unix::{SignalKind, signal},
    task,
};

use crate::{
    db::{
        dsn::Dsn,
        embedded::{Cluster, EmbeddedError, Options},
    },
    error::{Error, Result},
};

/// What nobody will miss if the machine crashes.
const SETTINGS: [(&str, &str); 3] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
];

/// How a dump in SQL ends; one that was cut short could not be told otherwise.
const END: &[u8] = b"-- PostgreSQL database dump complete";
/// How far from the end of the file that is looked for.
const TAIL: usize = 4 << 10;

/// Does `work` on the database that is in `file`.
///
/// # Errors
/// [`Error::Start`] when it cannot be restored whole; otherwise what `work` says.
pub(super) async fn visit<T>(file: &Path, work: impl AsyncFnOnce(&Dsn) -> Result<T>) -> Result<T> {
    let dump = Dump::open(file).map_err(|error| failed(file, &error.to_string()))?;
    let place = Place::new();
    let fail = |error: EmbeddedError| Error::Start(error.to_string());
    let cluster = Cluster::start(Options {
        data_dir: place.0.clone(),
        port: None,
        settings: SETTINGS
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
    })
    .await
    .map_err(fail)?;
    let url: Dsn = cluster.url().parse().map_err(Error::Start)?;
    let done = async {
        dump.restore(&cluster, file).await?;
        work(&url).await
    };
    // An interrupt, too, is to leave nothing behind.
    let done = tokio::select! {
        done = done => done,
        interrupted = interrupted() => Err(interrupted),
    };
    cluster.stop().await.map_err(fail)?;
    done
}

async fn interrupted() -> Error {
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let (mut interrupt, mut terminate) = match (signal(interrupt), signal(terminate)) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error.into(),
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Error::Start("interrupted".into())
}

fn failed(file: &Path, why: &str) -> Error {
    Error::Start(format!("{}: {why}", file.display()))
}

/// Where the cluster is for a while.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = format!("marketplace-import-{:016x}", rand::random::<u64>());
        Self(env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.0.display(), "what is left there can be removed");
        }
    }
}

/// A dump, by the program that reads it.
enum Dump {
    /// Statements, for psql.
    Sql(Box<dyn Read + Send>),
    /// The custom or the tar format, for `pg_restore`.
    Archive(Box<dyn Read + Send>),
}

impl Dump {
    fn open(file: &Path) -> io::Result<Self> {
        if file.is_dir() {
            let why = "is a directory; make a dump that is one file (pg_dump -Fc, or -Fp)";
            return Err(io::Error::other(why));
        }
        let (head, whole) = head(File::open(file)?)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            let (head, whole) = self::head(MultiGzDecoder::new(whole))?;
            return Ok(Self::of(&head, whole));
        }
        Ok(Self::of(&head, whole))
    }

    fn of(head: &[u8], whole: impl Read + Send + 'static) -> Self {
        if head.starts_with(b"PGDMP") || head.get(257..262) == Some(b"ustar") {
            Self::Archive(Box::new(whole))
        } else {
            Self::Sql(Box::new(whole))
        }
    }

    async fn restore(self, cluster: &Cluster, file: &Path) -> Result<()> {
        let (mut program, dump, is_sql) = match self {
            Self::Sql(dump) => {
                let mut psql = cluster.program("psql");
                psql.args(["-X", "-q", "-v", "VERBOSITY=verbose"]);
                (psql, dump, true)
            }
            Self::Archive(dump) => {
                let mut restore = cluster.program("pg_restore");
                restore.args(["--no-owner", "--no-privileges", "--exit-on-error"]);
                restore.args(["-d", "marketplace"]);
                (restore, dump, false)
            }
        };
        let file = file.to_owned();
        let restore = move || {
            let mut child = program
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| Error::Start(format!("{program:?}: {error}")))?;
            let mut complaints = child.stderr.take().expect("it is piped");
            // Read while writing, or both would wait for each other.
            let complaints = std::thread::spawn(move || {
                let mut text = Vec::new();
                complaints.read_to_end(&mut text).map(|_| text)
            });
            let input = child.stdin.take().expect("it is piped");
            let tail = feed(dump, input).map_err(|error| failed(&file, &error.to_string()))?;
            let status = child.wait()?;
            let complaints = complaints
                .join()
                .map_err(|_| Error::Start("psql could not be listened to".into()))??;
            let complaints = String::from_utf8_lossy(&complaints);
            if let Some(complaint) = complaints.lines().find(|line| is_failure(line)) {
                return Err(failed(&file, &format!("cannot be restored: {complaint}")));
            }
            if !status.success() {
                let last = complaints.lines().last().unwrap_or("no word of why");
                return Err(failed(&file, &format!("cannot be restored: {last}")));
            }
            if is_sql && !tail.windows(END.len()).any(|part| part == END) {
                return Err(failed(&file, "is cut short, or was not written by pg_dump"));
            }
            Ok(())
        };
        let done = task::spawn_blocking(restore).await;
        done.map_err(|_| Error::Start("the process is ending".into()))?
    }
}

/// The beginning of a stream, and the stream with it.
fn head(mut stream: impl Read + Send + 'static) -> io::Result<(Vec<u8>, impl Read + Send)> {
    let mut head = Vec::new();
    stream.by_ref().take(512).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(stream)))
}

/// Writes `dump` to a program that may not want all of it; gives the end of it.
fn feed(mut dump: impl Read, mut program: impl Write) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = dump.read(&mut chunk)?;
        if read == 0 {
            return Ok(tail);
        }
        tail.extend_from_slice(&chunk[..read]);
        tail.drain(..tail.len().saturating_sub(TAIL));
        match program.write_all(&chunk[..read]) {
            // It says itself why it has ended.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(tail),
            written => written?,
        }
    }
}

/// Whether this line of psql's or `pg_restore`'s means that something is missing now. That the roles
/// of the other cluster are not here does not matter.
fn is_failure(line: &str) -> bool {
    (line.contains("ERROR:") && !line.contains("42704: role ")) || line.contains("FATAL:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_roles_may_be_missing() {
        for (line, expected) in [
            ("ERROR:  42704: role \"django\" does not exist", false),
            ("LOCATION:  get_role_oid, acl.c:5471", false),
            ("ERROR:  42704: type \"public.citext\" does not exist", true),
            ("ERROR:  42P01: relation \"x\" does not exist", true),
            (
                "pg_restore: error: could not execute query: ERROR:  x",
                true,
            ),
            ("FATAL:  the database system is shutting down", true),
        ] {
            assert_eq!(is_failure(line), expected, "{line}");
        }
    }

    #[test]
    fn a_stream_is_whole_after_a_look_at_its_head() {
        for length in [0, 1, 511, 512, 513, 100_000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let (head, mut whole) = head(io::Cursor::new(bytes.clone())).unwrap();
            assert_eq!(head, bytes[..length.min(512)]);
            let mut read = Vec::new();
            whole.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            let mut written = Vec::new();
            let tail = feed(io::Cursor::new(read), &mut written).unwrap();
            assert_eq!(written, bytes);
            assert_eq!(tail, bytes[length.saturating_sub(TAIL)..]);
        }
    }
}
