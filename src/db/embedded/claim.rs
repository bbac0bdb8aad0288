//! Which directory a cluster gets, and that one process at a time has it. Directories of somebody
//! else are refused before anything in them is touched.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::error::EmbeddedError;
use super::owner::Owner;

/// Marks a directory as ours, and is locked by the process that uses it.
const LOCK: &str = "marketplace.lock";

/// Where the clusters of root live whose own directory the server's user can't enter.
const SHARED: &str = "/var/lib/marketplace";

/// A Unix socket's path has 107 bytes at most (104 less one on some systems), with the file's name.
const MAX_SOCKET_DIR_BYTES: usize = 103 - "/.s.PGSQL.65535.lock".len();

/// A directory is ours if it is missing, empty or bears our mark.
pub(super) fn refuse_foreign(dir: &Path) -> Result<(), EmbeddedError> {
    if is_empty(dir)? || is_ours(dir) {
        return Ok(());
    }
    Err(EmbeddedError::NotOurs {
        data_dir: dir.to_owned(),
    })
}

/// Whether the directory bears our mark.
pub(super) fn is_ours(dir: &Path) -> bool {
    dir.join(LOCK).is_file()
}

fn is_empty(dir: &Path) -> Result<bool, EmbeddedError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(EmbeddedError::io(dir, error)),
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
        "user {owner}, who runs PostgreSQL for root, can't enter {}: the data is kept in {}",
        wanted.display(),
        dir.display()
    );
    Ok(dir)
}

/// Makes the directory if it is missing and takes the lock in it.
pub(super) fn take(dir: &Path, owner: &Owner) -> Result<File, EmbeddedError> {
    make(dir, owner)?;
    if !owner.owns(dir)? {
        return Err(EmbeddedError::NotOwner {
            dir: dir.to_owned(),
            user: owner.runner().to_owned(),
        });
    }
    let path = dir.join(LOCK);
    let failed = |error| EmbeddedError::io(&path, error);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let mut lock = options.open(&path).map_err(failed)?;
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
    owner.give(&path)?;
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(lock)
}

/// Makes a directory for the owner alone, and those above it for everybody to pass through; they
/// belong to whom the directory above them belongs.
fn make(dir: &Path, owner: &Owner) -> Result<(), EmbeddedError> {
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    for &above in missing.iter().skip(1).rev() {
        let open = fs::Permissions::from_mode(0o755);
        let made = fs::create_dir(above).and_then(|()| fs::set_permissions(above, open));
        made.map_err(|error| EmbeddedError::io(above, error))?;
        owner.bequeath(above)?;
    }
    if !missing.is_empty() {
        private_dir(dir).map_err(|error| EmbeddedError::io(dir, error))?;
    }
    if is_empty(dir)? {
        owner.give(dir)
    } else {
        Ok(())
    }
}

fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)
}

/// The directory of the Unix socket: in the data directory, or in `/tmp`, which is short and open
/// to every user, if the path is too long or has characters that a list of directories in
/// `postgresql.conf` can't have.
pub(super) fn socket_dir(home: &Path, owner: &Owner) -> Result<PathBuf, EmbeddedError> {
    let near = home.join("socket");
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+= ".contains(byte);
    let bytes = near.as_os_str().as_bytes();
    let fits = bytes.len() <= MAX_SOCKET_DIR_BYTES && bytes.iter().all(plain);
    let dir = if fits {
        near
    } else {
        let digest = Sha256::digest(home.as_os_str().as_bytes());
        let name = BASE64_URL_SAFE_NO_PAD.encode(&digest[..9]);
        Path::new("/tmp").join(format!("marketplace-{name}"))
    };
    match private_dir(&dir) {
        Ok(()) => owner.give(&dir)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(EmbeddedError::io(&dir, error)),
    }
    // In /tmp anybody could have made it first, and would then be the one whom psql talks to.
    let is_private = fs::symlink_metadata(&dir)
        .is_ok_and(|metadata| metadata.is_dir() && metadata.permissions().mode() & 0o777 == 0o700);
    if is_private && owner.owns(&dir)? {
        return Ok(dir);
    }
    Err(EmbeddedError::NotOwner {
        dir,
        user: owner.to_string(),
    })
}
