//! The data directory: found or made, held by one process at a time, filled by initdb, configured
//! for one start. It starts no server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::binaries::Binaries;
use super::error::EmbeddedError;
use super::owner::Owner;
use super::{NAME, claim, program, roles::ADMIN};

/// The file of settings that `cluster/postgresql.conf` includes.
const CONF: &str = "marketplace.conf";

/// The first line of each file that the program keeps in the cluster.
const HEAD: &str = "# Written by marketplace at every start.";

/// The log is moved aside at a start when it has grown larger than this.
const MAX_LOG_BYTES: u64 = 10 << 20;

/// A data directory that this process holds until the value is dropped.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) owner: Owner,
    lock: File,
}

impl Home {
    /// Finds or makes the directory and takes its lock.
    pub(super) fn claim(wanted: &Path) -> Result<Self, EmbeddedError> {
        let wanted =
            std::path::absolute(wanted).map_err(|error| EmbeddedError::io(wanted, error))?;
        claim::refuse_foreign(&wanted)?;
        let owner = Owner::of(&wanted)?;
        let dir = claim::reachable(wanted, &owner)?;
        let lock = claim::take(&dir, &owner)?;
        let socket_dir = claim::socket_dir(&dir, &owner)?;
        Ok(Self {
            dir,
            socket_dir,
            owner,
            lock,
        })
    }

    /// What initdb made: PostgreSQL's own data directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// The major version that made the cluster, if there is one.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.cluster().join("PG_VERSION");
        match fs::read_to_string(&path) {
            Ok(text) => {
                let digits = text
                    .split(|c: char| !c.is_ascii_digit())
                    .next()
                    .unwrap_or_default();
                let invalid =
                    |error| EmbeddedError::io(&path, io::Error::new(ErrorKind::InvalidData, error));
                digits.parse().map(Some).map_err(invalid)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EmbeddedError::io(&path, error)),
        }
    }

    /// Makes the cluster unless there is one; returns its password. One that is cut short leaves
    /// nothing that the next would take for a cluster: it gets its name when it is complete.
    pub(super) async fn initialise(&self, binaries: &Binaries) -> Result<String, EmbeddedError> {
        let password = self.dir.join("password");
        if self.major()?.is_none() {
            if !password.exists() {
                let random: [u8; 24] = rand::random();
                self.write(&password, &BASE64_URL_SAFE_NO_PAD.encode(random))?;
            }
            self.initdb(binaries, &password).await?;
        }
        password_in(&self.dir)
    }

    async fn initdb(&self, binaries: &Binaries, password: &Path) -> Result<(), EmbeddedError> {
        let unfinished = self.dir.join("cluster.new");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(EmbeddedError::io(&unfinished, error));
            }
            _ => {}
        }
        let mut initdb = self.owner.command(binaries.path("initdb"));
        initdb
            .arg("-D")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(password)
            .args(["-U", ADMIN]);
        initdb.args([
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth-host=scram-sha-256",
            "--auth-local=peer",
        ]);
        program::run("initdb", initdb).await?;
        let conf = unfinished.join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(&conf)
            .and_then(|mut file| writeln!(file, "\ninclude = '{CONF}'"))
            .map_err(|error| EmbeddedError::io(&conf, error))?;
        fs::rename(&unfinished, self.cluster())
            .map_err(|error| EmbeddedError::io(&unfinished, error))
    }

    /// Writes what the next start of the server shall obey. These files are the program's; a
    /// person's settings go to `postgresql.conf` or through `alter system`, which wins.
    pub(super) fn configure(
        &self,
        port: u16,
        settings: &[(String, String)],
    ) -> Result<(), EmbeddedError> {
        let mut conf = vec![
            HEAD.to_owned(),
            format!("port = {port}"),
            String::from("listen_addresses = '127.0.0.1'"),
            format!("unix_socket_directories = '{}'", self.socket_dir.display()),
            String::from("max_connections = 200"),
            String::from("log_checkpoints = off"),
        ];
        let quoted =
            |(name, value): &(String, String)| format!("{name} = '{}'", value.replace('\'', "''"));
        conf.extend(settings.iter().map(quoted));
        let mut ident = vec![HEAD.to_owned()];
        for name in self.owner.names() {
            ident.extend([NAME, ADMIN].map(|role| format!("{NAME} \"{name}\" {role}")));
        }
        let hba = [
            HEAD.to_owned(),
            format!("local all,replication all peer map={NAME}"),
            format!("host all,replication {ADMIN} 127.0.0.1/32 reject"),
            String::from("host all,replication all 127.0.0.1/32 scram-sha-256"),
        ];
        self.write(&self.cluster().join(CONF), &conf.join("\n"))?;
        self.write(&self.cluster().join("pg_hba.conf"), &hba.join("\n"))?;
        self.write(&self.cluster().join("pg_ident.conf"), &ident.join("\n"))
    }

    /// Removes the sockets, and their lock files, of a server that was killed. PostgreSQL itself keeps
    /// away from them while some process has the number that the lock file names.
    pub(super) fn remove_sockets(&self) -> Result<(), EmbeddedError> {
        let failed = |error| EmbeddedError::io(&self.socket_dir, error);
        for entry in fs::read_dir(&self.socket_dir).map_err(failed)? {
            fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
        }
        Ok(())
    }

    /// The port of the last start.
    pub(super) fn last_port(&self) -> Option<u16> {
        port_in(&self.dir)
    }

    /// Moves the log aside when it has grown large; returns the size of what is left.
    pub(super) fn rotate_log(&self) -> Result<u64, EmbeddedError> {
        let path = self.log();
        let bytes = fs::metadata(&path).map_or(0, |log| log.len());
        if bytes <= MAX_LOG_BYTES {
            return Ok(bytes);
        }
        fs::rename(&path, path.with_extension("log.1"))
            .map_err(|error| EmbeddedError::io(&path, error))?;
        Ok(0)
    }

    /// Replaces a file by one that only its owner can read. Whoever reads it sees the old or the
    /// new one. Root does not follow a link that the owner could have put there.
    fn write(&self, path: &Path, text: &str) -> Result<(), EmbeddedError> {
        let new = path.with_extension("new");
        let failed = |error| EmbeddedError::io(&new, error);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&new)
            .and_then(|mut file| writeln!(file, "{text}"))
            .map_err(failed)?;
        self.owner.give(&new)?;
        fs::rename(&new, path).map_err(|error| EmbeddedError::io(path, error))
    }
}

/// Finds out whether a data directory was ever used, and touches nothing.
///
/// # Errors
/// [`EmbeddedError::NoCluster`] when it was not.
pub(super) fn refuse_missing(wanted: &Path) -> Result<(), EmbeddedError> {
    let wanted = std::path::absolute(wanted).map_err(|error| EmbeddedError::io(wanted, error))?;
    let owner = Owner::of(&wanted)?;
    let data_dir = claim::reachable(wanted, &owner)?;
    if claim::is_ours(&data_dir) {
        return Ok(());
    }
    Err(EmbeddedError::NoCluster { data_dir })
}

/// The password of the cluster in a data directory.
pub(super) fn password_in(dir: &Path) -> Result<String, EmbeddedError> {
    let path = dir.join("password");
    let text = fs::read_to_string(&path).map_err(|error| EmbeddedError::io(&path, error))?;
    Ok(text.trim_end().to_owned())
}

/// The port of the last start in a data directory.
pub(super) fn port_in(dir: &Path) -> Option<u16> {
    let conf = fs::read_to_string(dir.join("cluster").join(CONF)).ok()?;
    conf.lines()
        .find_map(|line| line.strip_prefix("port = "))?
        .parse()
        .ok()
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.socket_dir.starts_with(&self.dir) {
            // It stays while a server that nobody waited for still has its socket there.
            let _ = fs::remove_dir(&self.socket_dir);
        }
        // Closing the file would do, were there not a moment in which a process that is just being
        // started by another thread still holds a copy. A failure is as good as that.
        let _ = self.lock.unlock();
    }
}
