//! A file that `pg_dump` wrote, as a database: restored into a private cluster that is thrown away. The
//! file is not trusted: see [`restore`].

mod archive;
mod file;
mod restore;
mod script;
mod statement;
mod tar;

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use tokio::signal::unix::{SignalKind, signal};

use self::file::Dump;
use crate::{
    embedded::{Cluster, EmbeddedError, Options},
    error::{Error, Result},
    pg::dsn::Dsn,
};

/// What nobody will miss if the machine crashes.
const SETTINGS: [(&str, &str); 4] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    // Nothing of a dump runs while nobody waits for it.
    ("max_worker_processes", "0"),
];

/// Does `work` on the database that is in `file`; hands it what was not made of the dump, a sentence
/// each.
///
/// # Errors
/// [`Error::Start`] when it cannot be restored whole; otherwise what `work` says.
pub(super) async fn visit<T>(
    file: &Path,
    work: impl AsyncFnOnce(&Dsn, Vec<String>) -> Result<T>,
) -> Result<T> {
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
    let done = async {
        let restored = restore::restore(dump, &cluster)
            .await
            .map_err(|why| failed(file, &why))?;
        work(&restored.database, restored.left_out).await
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
