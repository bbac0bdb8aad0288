//! Which directory a cluster gets, and that one process at a time has it. Directories of somebody
//! else are refused before anything in them is touched.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::{error::EmbeddedError, owner::Owner};
use crate::directory::Directory;

/// Marks a directory as ours, and is locked by the process that uses it.
const LOCK: &str = "marketplace.lock";

/// Where the clusters of root live whose own directory the server's user can't enter.
const SHARED: &str = "/var/lib/marketplace";

/// A Unix socket's path has 107 bytes at most (104 less one on some systems), with the file's name.
const MAX_SOCKET_DIR_BYTES: usize = 103 - "/.s.PGSQL.65535.lock".len();

/// A directory is ours if it is missing, empty or bears our mark.
pub(super) fn refuse_foreign(dir: &Path) -> Result<(), EmbeddedError> {
    let found = match Directory::open(dir) {
        Err(error) if error.is_not_found() => return Ok(()),
        found => found?,
    };
    if found.names()?.is_empty() || found.has(LOCK) {
        return Ok(());
    }
    Err(EmbeddedError::NotOurs {
        data_dir: dir.to_owned(),
    })
}

/// Whether the directory bears our mark.
pub(super) fn is_ours(dir: &Path) -> Result<bool, EmbeddedError> {
    match Directory::open(dir) {
        Err(error) if error.is_not_found() => Ok(false),
        found => Ok(found?.has(LOCK)),
    }
}

/// The wanted directory, or one below `/var/lib/marketplace` if the server's user could not get
/// there, as in a checkout below root's home.
pub(super) fn reachable(wanted: PathBuf, owner: &Owner) -> Result<PathBuf, EmbeddedError> {
    if owner.reaches(&wanted) {
        return Ok(wanted);
    }
    let name = wanted
        .to_string_lossy()
        .trim_matches('/')
        .replace('-', "--")
        .replace('/', "-");
    let dir = Path::new(SHARED).join(name);
    refuse_foreign(&dir)?;
    tracing::info!(
        "user {owner}, who runs PostgreSQL for root, cannot access {}; using {} instead",
        wanted.display(),
        dir.display()
    );
    Ok(dir)
}

/// Makes the directory if it is missing and takes the lock in it.
pub(super) fn take(dir: &Path, owner: &Owner) -> Result<(Directory, File), EmbeddedError> {
    let mut home = Directory::make(dir, owner.user)?;
    if home.names()?.is_empty() {
        home.give(owner.user)?;
    }
    if !home.is_of(owner.user) {
        return Err(EmbeddedError::NotOwner {
            dir: dir.to_owned(),
            user: owner.runner().to_owned(),
        });
    }
    let failed = |error| EmbeddedError::io(&dir.join(LOCK), error);
    let mut lock = home.lock_file(LOCK, owner.user)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = io::read_to_string(lock)
                .map_err(failed)?
                .trim_end()
                .to_owned();
            return Err(EmbeddedError::InUse {
                data_dir: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed)?;
    Ok((home, lock))
}

/// The directory of the Unix socket: in the data directory, or in `/tmp`, which is short and open
/// to every user, if the path is too long or has characters that a list of directories in
/// `postgresql.conf` can't have.
pub(super) fn socket_dir(home: &Directory, owner: &Owner) -> Result<Directory, EmbeddedError> {
    const NAME: &str = "socket";
    let near = home.path().join(NAME);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+= ".contains(byte);
    let bytes = near.as_os_str().as_bytes();
    let dir = if bytes.len() <= MAX_SOCKET_DIR_BYTES && bytes.iter().all(plain) {
        home.private_directory(NAME, owner.user)?
    } else {
        let digest = Sha256::digest(home.path().as_os_str().as_bytes());
        let name = BASE64_URL_SAFE_NO_PAD.encode(&digest[..9]);
        let shared = Directory::open(Path::new("/tmp"))?;
        shared.private_directory(&format!("marketplace-{name}"), owner.user)?
    };
    // In /tmp anybody could have made it first, and would then be the one whom psql talks to.
    if dir.is_private() && dir.is_of(owner.user) {
        return Ok(dir);
    }
    Err(EmbeddedError::NotOwner {
        dir: dir.path().to_owned(),
        user: owner.to_string(),
    })
}
