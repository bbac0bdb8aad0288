//! Why a private cluster could not be started. Every message is for the person who started the
//! program: it names the input and says what to do. It never holds the password.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::PathError;

/// Why a private cluster could not be started or stopped.
#[derive(Debug)]
pub enum EmbeddedError {
    /// No `initdb` and `postgres` were found.
    NotInstalled,
    /// The data directory belongs to a major version of PostgreSQL that is not installed.
    OtherVersion {
        /// The data directory.
        data_dir: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The major versions that are installed.
        found: Vec<u32>,
    },
    /// There is no cluster, and the command is not one that makes one.
    NoCluster {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The data directory holds files of somebody else; nothing in it was touched.
    NotOurs {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// Another process of this program holds the data directory.
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// The process that holds it, as it says itself.
        holder: String,
    },
    /// The data directory or the socket directory belongs to another user, and this one may not
    /// change that.
    NotOwner {
        /// The directory.
        dir: PathBuf,
        /// The user who runs this program.
        user: String,
    },
    /// The program runs as root, which PostgreSQL refuses, and there is no user to run the server
    /// as.
    NoUser,
    /// A file or directory could not be used.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of PostgreSQL failed.
    Failed {
        /// Which.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// The server ended, or did not accept connections in time.
    NotStarted {
        /// The server's log.
        log: PathBuf,
        /// The last lines that it wrote there.
        tail: String,
    },
    /// The server runs but refuses this program.
    Connect(tokio_postgres::Error),
}

impl EmbeddedError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Somebody else listens on the port.
    pub(super) fn is_busy_port(&self) -> bool {
        self.log_says("could not bind")
    }

    /// Sessions of a server that was killed have not all noticed it yet.
    pub(super) fn is_leftover_memory(&self) -> bool {
        self.log_says("pre-existing shared memory block")
    }

    fn log_says(&self, words: &str) -> bool {
        matches!(self, Self::NotStarted { tail, .. } if tail.contains(words))
    }
}

impl From<PathError> for EmbeddedError {
    fn from(PathError { path, source }: PathError) -> Self {
        Self::Io { path, source }
    }
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str(
                "no PostgreSQL server found (initdb and postgres): install it, on Debian or Ubuntu with \
                 `apt-get install postgresql`, or set DATABASE_URL to a server that runs elsewhere",
            ),
            Self::OtherVersion { data_dir, made_by, found } => {
                let found: Vec<_> = found.iter().map(u32::to_string).collect();
                write!(
                    f,
                    "{} was made by PostgreSQL {made_by}, but only {} is installed: install PostgreSQL {made_by} \
                     (on Debian or Ubuntu `apt-get install postgresql-{made_by}`), or move the directory away to \
                     start with an empty database",
                    data_dir.display(),
                    found.join(", "),
                )
            }
            Self::NoCluster { data_dir } => write!(
                f,
                "no cluster at {}; start one with `marketplace serve --embedded`, or name its directory (DATA_DIR)",
                data_dir.display()
            ),
            Self::NotOurs { data_dir } => write!(
                f,
                "{} is not empty and was not made by this program: name another data directory",
                data_dir.display()
            ),
            Self::InUse { data_dir, holder } => write!(
                f,
                "{} is in use by another marketplace (process {holder}): stop that one first, or name another \
                 data directory",
                data_dir.display()
            ),
            Self::NotOwner { dir, user } => write!(
                f,
                "{} belongs to another user than {user}: run the program as its owner, or name another data \
                 directory",
                dir.display()
            ),
            Self::NoUser => f.write_str(
                "PostgreSQL does not run as root and there is no user `postgres`: make one with `useradd --system \
                 postgres`, or run the program as another user",
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Failed { program, output } => write!(f, "{program} failed: {output}"),
            Self::NotStarted { log, tail } => {
                write!(f, "PostgreSQL does not run; the end of {}:\n{tail}", log.display())
            }
            Self::Connect(error) => {
                write!(f, "the private PostgreSQL refuses the connection: {error}")?;
                error.source().map_or(Ok(()), |cause| write!(f, ": {cause}"))
            }
        }
    }
}

impl Error for EmbeddedError {}
