//! The data directory: found or made, held by one process at a time, filled by initdb, configured
//! for one start. It starts no server.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{
    NAME, binaries::Binaries, data_dir, error::EmbeddedError, owner::Owner, program, roles::ADMIN,
};
use crate::directory::{self, Directory};

/// The file of settings that `cluster/postgresql.conf` includes.
const CONF: &str = "marketplace.conf";

/// What initdb made: PostgreSQL's own data directory.
const CLUSTER: &str = "cluster";

/// Where the password of the cluster is kept.
const PASSWORD: &str = "password";

/// What the server writes.
const LOG: &str = "postgres.log";

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
    data: Directory,
    sockets: Directory,
    lock: File,
}

impl Home {
    /// Finds or makes the directory and takes its lock.
    pub(super) fn claim(wanted: &Path) -> Result<Self, EmbeddedError> {
        let wanted =
            std::path::absolute(wanted).map_err(|error| EmbeddedError::io(wanted, error))?;
        data_dir::refuse_foreign(&wanted)?;
        let owner = Owner::of(&wanted)?;
        let dir = data_dir::reachable(wanted, &owner)?;
        let (data, lock) = data_dir::take(&dir, &owner)?;
        let sockets = data_dir::socket_dir(&data, &owner)?;
        Ok(Self {
            dir,
            socket_dir: sockets.path().to_owned(),
            owner,
            data,
            sockets,
            lock,
        })
    }

    /// What initdb made: PostgreSQL's own data directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join(CLUSTER)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// The log, open for reading.
    pub(super) fn open_log(&self) -> Result<File, EmbeddedError> {
        Ok(self.data.file(LOG)?)
    }

    /// What tells the cluster's directory from every other.
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.data.directory(CLUSTER).ok()?.identity()
    }

    /// What the last start of the server has left in postmaster.pid.
    pub(super) fn postmaster_pid(&self) -> Result<Option<String>, EmbeddedError> {
        Ok(self.data.directory(CLUSTER)?.read("postmaster.pid")?)
    }

    /// The major version that made the cluster, if there is one.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        const FILE: &str = "PG_VERSION";
        let cluster = match self.data.directory(CLUSTER) {
            Err(error) if error.is_not_found() => return Ok(None),
            cluster => cluster?,
        };
        let Some(text) = cluster.read(FILE)? else {
            return Ok(None);
        };
        let digits = text
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default();
        let invalid = |error| {
            let error = io::Error::new(ErrorKind::InvalidData, error);
            EmbeddedError::io(&cluster.path().join(FILE), error)
        };
        digits.parse().map(Some).map_err(invalid)
    }

    /// Makes the cluster unless there is one; returns its password. One that is cut short leaves
    /// nothing that the next would take for a cluster: it gets its name when it is complete.
    pub(super) async fn initialise(
        &self,
        binaries: &Binaries,
        settings: &[(String, String)],
    ) -> Result<String, EmbeddedError> {
        if self.major()?.is_none() {
            if self.data.read(PASSWORD)?.is_none() {
                let random: [u8; 24] = rand::random();
                let password = BASE64_URL_SAFE_NO_PAD.encode(random);
                self.data.replace(PASSWORD, &password, self.owner.user)?;
            }
            let no_sync = settings
                .iter()
                .any(|(name, value)| name == "fsync" && value == "off");
            self.initdb(binaries, no_sync).await?;
        }
        password(&self.data)
    }

    async fn initdb(&self, binaries: &Binaries, no_sync: bool) -> Result<(), EmbeddedError> {
        const UNFINISHED: &str = "cluster.new";
        let unfinished = self.dir.join(UNFINISHED);
        // As its owner, for it may hold anything.
        let mut remove = self.owner.command("rm");
        remove.args(["-rf", "--"]).arg(&unfinished);
        program::run("rm", remove).await?;
        let mut initdb = self.owner.command(binaries.path("initdb"));
        initdb
            .arg("-D")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(self.dir.join(PASSWORD))
            .args(["-U", ADMIN]);
        initdb.args([
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth-host=scram-sha-256",
            "--auth-local=peer",
        ]);
        if no_sync {
            // Nobody will miss it if the machine crashes.
            initdb.arg("--no-sync");
        }
        program::run("initdb", initdb).await?;
        let made = self.data.directory(UNFINISHED)?;
        made.append("postgresql.conf", &format!("\ninclude = '{CONF}'"))?;
        Ok(self.data.rename(UNFINISHED, CLUSTER)?)
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
        let cluster = self.data.directory(CLUSTER)?;
        for (file, lines) in [
            (CONF, &conf[..]),
            ("pg_hba.conf", &hba),
            ("pg_ident.conf", &ident),
        ] {
            cluster.replace(file, &lines.join("\n"), self.owner.user)?;
        }
        Ok(())
    }

    /// Removes the sockets, and their lock files, of a server that was killed. PostgreSQL itself keeps
    /// away from them while some process has the number that the lock file names.
    pub(super) fn remove_sockets(&self) -> Result<(), EmbeddedError> {
        for name in self.sockets.names()? {
            self.sockets.remove(&name)?;
        }
        Ok(())
    }

    /// Copies something into a file in a directory of the owner's, both made for it; gives the
    /// directory.
    pub(super) fn store(
        &self,
        directory: &str,
        name: &str,
        from: impl io::Read,
    ) -> Result<PathBuf, EmbeddedError> {
        let directory = self.data.private_directory(directory, self.owner.user)?;
        directory.store(name, from, self.owner.user)?;
        Ok(directory.path().to_owned())
    }

    /// The port of the last start.
    pub(super) fn last_port(&self) -> Option<u16> {
        port(&self.data)
    }

    /// Moves the log aside when it has grown large; returns the size of what is left.
    pub(super) fn rotate_log(&self) -> Result<u64, EmbeddedError> {
        let bytes = match self.data.file(LOG) {
            Err(error) if error.is_not_found() => 0,
            log => log?.metadata().map_or(0, |log| log.len()),
        };
        if bytes <= MAX_LOG_BYTES {
            return Ok(bytes);
        }
        self.data.rename(LOG, "postgres.log.1")?;
        Ok(0)
    }
}

/// Finds out whether a data directory was ever used, and touches nothing.
///
/// # Errors
/// [`EmbeddedError::NoCluster`] when it was not.
pub(super) fn refuse_missing(wanted: &Path) -> Result<(), EmbeddedError> {
    let wanted = std::path::absolute(wanted).map_err(|error| EmbeddedError::io(wanted, error))?;
    let owner = Owner::of(&wanted)?;
    let data_dir = data_dir::reachable(wanted, &owner)?;
    if data_dir::is_ours(&data_dir)? {
        return Ok(());
    }
    Err(EmbeddedError::NoCluster { data_dir })
}

/// The password and the port of the cluster in a data directory, when it has been started before.
pub(super) fn address(dir: &Path) -> Result<Option<(String, u16)>, EmbeddedError> {
    let home = Directory::open(dir)?;
    match port(&home) {
        Some(port) if home.has(PASSWORD) => Ok(Some((password(&home)?, port))),
        _ => Ok(None),
    }
}

fn password(home: &Directory) -> Result<String, EmbeddedError> {
    let missing = || EmbeddedError::io(&home.path().join(PASSWORD), ErrorKind::NotFound.into());
    let text = home.read(PASSWORD)?.ok_or_else(missing)?;
    Ok(text.trim_end().to_owned())
}

/// The port of the last start.
fn port(home: &Directory) -> Option<u16> {
    let conf = home.directory(CLUSTER).ok()?.read(CONF).ok()??;
    conf.lines()
        .find_map(|line| line.strip_prefix("port = "))?
        .parse()
        .ok()
}

/// The text that is kept in a file of a data directory, made by `make` when there is none.
pub(super) fn kept(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> String,
) -> Result<String, EmbeddedError> {
    let home = Directory::open(dir)?;
    // Former versions left such a file to root.
    if let Some(text) = home.read_own(name)? {
        return Ok(text.trim().to_owned());
    }
    let text = make();
    home.replace(name, &text, Owner::of(dir)?.user)?;
    Ok(text)
}

/// Whether a data directory has a file of this name. Anything else in its place is an error, before somebody
/// is told to look into it.
pub(super) fn is_kept(dir: &Path, name: &str) -> Result<bool, EmbeddedError> {
    match Directory::open(dir)?.own_file(name) {
        Err(error) if error.is_not_found() => Ok(false),
        file => Ok(file.map(|_| true)?),
    }
}

/// Removes a file of a data directory.
pub(super) fn forget(dir: &Path, name: &str) -> Result<(), EmbeddedError> {
    Ok(Directory::open(dir)?.remove(name.as_ref())?)
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.socket_dir.starts_with(&self.dir) {
            // It stays while a server that nobody waited for still has its socket there.
            let _ = directory::remove_empty(&self.socket_dir);
        }
        // Closing the file would do, were there not a moment in which a process that is just being
        // started by another thread still holds a copy. A failure is as good as that.
        let _ = self.lock.unlock();
    }
}
