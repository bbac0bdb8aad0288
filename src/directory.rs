//! A directory that is held open, and the files in it: the data directory of a cluster, and the directory of
//! uploads. Files are found by their name in the open directory, never by a path, and never through a
//! link: the owner of a directory may put whatever he likes into it, and root, who serves from it, must
//! not be led elsewhere. What is opened is looked at once more before it is used. It knows nothing of
//! what the files are for.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// How a directory is opened: a link in its place is an error.
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How a file is opened: a link in its place is an error, and a pipe keeps nobody waiting.
const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Most that is read of a file.
const MAX_BYTES: u64 = 1 << 20;

/// How many links the path of a data directory may lead through.
const MAX_LINKS: usize = 40;

/// A file or directory that could not be used.
#[derive(Debug)]
pub(crate) struct PathError {
    /// Which.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) source: io::Error,
}

impl PathError {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { path, source }
    }

    /// There is no such file or directory.
    pub(crate) fn is_not_found(&self) -> bool {
        self.source.kind() == ErrorKind::NotFound
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A user to whom what is made shall belong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether it is another user than the one who runs this program.
    pub(crate) is_other: bool,
}

impl User {
    /// The user who runs this program.
    pub(crate) fn running() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            is_other: false,
        }
    }

    /// Makes an open file or directory the user's.
    fn own(self, fd: impl AsFd) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        Ok(rustix::fs::fchown(fd, Some(uid), Some(gid))?)
    }
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    owner: u32,
}

impl Directory {
    /// Opens a directory that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, PathError> {
        let opened = if is_root() {
            walk(Path::new("/"), path, None)
        } else {
            let follow = DIRECTORY.difference(OFlags::NOFOLLOW);
            rustix::fs::openat(CWD, path, follow, Mode::empty()).map_err(io::Error::from)
        };
        opened
            .and_then(|fd| Self::of(fd, path))
            .map_err(|error| PathError::new(path, error))
    }

    /// Opens a directory, or makes it for the owner alone. Those above it that are missing are made
    /// for everybody to pass through, and belong to whom the directory above them belongs.
    pub(crate) fn make(path: &Path, owner: User) -> Result<Self, PathError> {
        let from = if is_root() {
            Path::new("/")
        } else {
            path.ancestors()
                .find(|path| path.exists())
                .unwrap_or(Path::new("/"))
        };
        let rest = path.strip_prefix(from).unwrap_or(path);
        walk(from, rest, Some(owner))
            .and_then(|fd| Self::of(fd, path))
            .map_err(|error| PathError::new(path, error))
    }

    fn of(fd: OwnedFd, path: &Path) -> io::Result<Self> {
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        let path = path.to_owned();
        Ok(Self { fd, path, owner })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it belongs to the user as whom the server runs.
    pub(crate) fn is_of(&self, owner: User) -> bool {
        self.owner == owner.uid
    }

    /// Hands it to the owner.
    pub(crate) fn give(&mut self, owner: User) -> Result<(), PathError> {
        if owner.is_other {
            owner
                .own(&self.fd)
                .map_err(|error| PathError::new(&self.path, error))?;
            self.owner = owner.uid;
        }
        Ok(())
    }

    /// Whether nobody but its owner can look into it.
    pub(crate) fn is_private(&self) -> bool {
        rustix::fs::fstat(&self.fd).is_ok_and(|stat| stat.st_mode & 0o777 == 0o700)
    }

    /// What tells it from every other directory of the machine.
    pub(crate) fn identity(&self) -> Option<(u64, u64)> {
        rustix::fs::fstat(&self.fd)
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// A directory in it.
    pub(crate) fn directory(&self, name: &str) -> Result<Self, PathError> {
        let path = self.path.join(name);
        rustix::fs::openat(&self.fd, name, DIRECTORY, Mode::empty())
            .map_err(|error| refusal(error, "directory"))
            .and_then(|fd| Self::of(fd, &path))
            .map_err(|error| PathError::new(&path, error))
    }

    /// A directory in it, made for the owner alone if it is missing.
    pub(crate) fn private_directory(&self, name: &str, owner: User) -> Result<Self, PathError> {
        let path = self.path.join(name);
        open_or_make(self.fd.as_fd(), OsStr::new(name), Some((owner, true)))
            .and_then(|fd| Self::of(fd, &path))
            .map_err(|error| PathError::new(&path, error))
    }

    /// The names of what is in it.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, PathError> {
        let read = || {
            let mut names = Vec::new();
            for entry in Dir::read_from(&self.fd)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name));
                }
            }
            Ok(names)
        };
        read().map_err(|error: Errno| PathError::new(&self.path, error.into()))
    }

    /// Whether there is anything of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens a file of the directory's owner for reading.
    pub(crate) fn file(&self, name: &str) -> Result<File, PathError> {
        self.checked(name, OFlags::RDONLY, &[self.owner])
    }

    /// The same of a file that may also belong to the user who runs this program.
    pub(crate) fn own_file(&self, name: &str) -> Result<File, PathError> {
        let owners = [self.owner, rustix::process::geteuid().as_raw()];
        self.checked(name, OFlags::RDONLY, &owners)
    }

    /// The text of a file of the directory's owner; `None` when there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, PathError> {
        self.text(self.file(name), name)
    }

    /// The same of a file that may also belong to the user who runs this program.
    pub(crate) fn read_own(&self, name: &str) -> Result<Option<String>, PathError> {
        self.text(self.own_file(name), name)
    }

    fn text(
        &self,
        opened: Result<File, PathError>,
        name: &str,
    ) -> Result<Option<String>, PathError> {
        let file = match opened {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| self.failed(name, error))?;
        Ok(Some(text))
    }

    /// Makes a file that was not there, to be written.
    pub(crate) fn new_file(&self, name: &str, owner: User) -> Result<File, PathError> {
        self.create(name, OFlags::WRONLY, owner)
            .map_err(|error| self.failed(name, error))
    }

    /// Opens a file for locking and writing; made for the owner alone if it is missing.
    pub(crate) fn lock_file(&self, name: &str, owner: User) -> Result<File, PathError> {
        match self.create(name, OFlags::RDWR, owner) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.checked(name, OFlags::RDWR, &[self.owner])
            }
            created => created.map_err(|error| self.failed(name, error)),
        }
    }

    /// Writes a line at the end of a file of the directory's owner.
    pub(crate) fn append(&self, name: &str, line: &str) -> Result<(), PathError> {
        let flags = OFlags::WRONLY.union(OFlags::APPEND);
        let mut file = self.checked(name, flags, &[self.owner])?;
        writeln!(file, "{line}").map_err(|error| self.failed(name, error))
    }

    /// Puts a file that only its owner can read into the place of what has this name. Whoever reads it
    /// sees the old or the new one.
    pub(crate) fn replace(&self, name: &str, text: &str, owner: User) -> Result<(), PathError> {
        let new = format!("{name}.new");
        let write = || {
            match rustix::fs::unlinkat(&self.fd, new.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            writeln!(self.create(&new, OFlags::WRONLY, owner)?, "{text}")
        };
        write().map_err(|error| self.failed(&new, error))?;
        self.rename(&new, name)
    }

    /// Copies something into a file that was not there.
    pub(crate) fn store(
        &self,
        name: &str,
        mut from: impl Read,
        owner: User,
    ) -> Result<(), PathError> {
        let mut copy = || {
            let mut file = self.create(name, OFlags::WRONLY, owner)?;
            io::copy(&mut from, &mut file)
        };
        copy().map(drop).map_err(|error| self.failed(name, error))
    }

    /// Gives what is in it another name in it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), PathError> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
            .map_err(|error| self.failed(from, error.into()))
    }

    /// Waits until the names of what is in it are on the disk.
    pub(crate) fn sync(&self) -> Result<(), PathError> {
        rustix::fs::fsync(&self.fd).map_err(|error| PathError::new(&self.path, error.into()))
    }

    /// Removes the file of this name; of a link, the link.
    pub(crate) fn remove(&self, name: &OsStr) -> Result<(), PathError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(|error| PathError::new(&self.path.join(name), error.into()))
    }

    /// Makes a file that was not there, and hands it to the owner.
    fn create(&self, name: &str, flags: OFlags, owner: User) -> io::Result<File> {
        let flags = flags.union(FILE).union(OFlags::CREATE).union(OFlags::EXCL);
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR.union(Mode::WUSR))?;
        if owner.is_other {
            owner.own(&fd)?;
        }
        Ok(fd.into())
    }

    /// Opens a file that is there, if it is a plain one of these owners.
    fn checked(&self, name: &str, flags: OFlags, owners: &[u32]) -> Result<File, PathError> {
        let open = || {
            let fd = rustix::fs::openat(&self.fd, name, flags.union(FILE), Mode::empty())
                .map_err(|error| refusal(error, "file"))?;
            refuse(&rustix::fs::fstat(&fd)?, owners)?;
            Ok(fd.into())
        };
        open().map_err(|error| self.failed(name, error))
    }

    fn failed(&self, name: &str, error: io::Error) -> PathError {
        PathError::new(&self.path.join(name), error)
    }
}

/// Removes a directory that is empty; of a link, nothing.
pub(crate) fn remove_empty(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Refuses what is no plain file of one of these users. One that has a second name may be somebody
/// else's.
fn refuse(stat: &Stat, owners: &[u32]) -> io::Result<()> {
    let why = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        "is no file; remove it".into()
    } else if !owners.contains(&stat.st_uid) {
        format!(
            "belongs to another user ({}) than the directory; remove it",
            stat.st_uid
        )
    } else if stat.st_nlink > 1 {
        "has a second name elsewhere (a hard link); remove it".into()
    } else {
        return Ok(());
    };
    Err(io::Error::other(why))
}

/// Says of a link what it is; the kernel's words for it are of no help.
fn refusal(error: Errno, wanted: &str) -> io::Error {
    match error {
        Errno::LOOP | Errno::MLINK => io::Error::other(format!(
            "is a symbolic link, where a {wanted} belongs; remove it"
        )),
        Errno::NOTDIR => io::Error::other("is no directory, or a symbolic link to one; remove it"),
        Errno::NXIO => io::Error::other("is no file; remove it"),
        error => error.into(),
    }
}

/// Goes from a directory along a path, one part after another. A link is followed only in a directory
/// that root alone can write. Missing directories are made for `owner`, when there is one.
fn walk(from: &Path, path: &Path, owner: Option<User>) -> io::Result<OwnedFd> {
    let follow = DIRECTORY.difference(OFlags::NOFOLLOW);
    let root = || rustix::fs::openat(CWD, "/", DIRECTORY, Mode::empty());
    let mut at = rustix::fs::openat(CWD, from, follow, Mode::empty())?;
    let mut parts = parts(path);
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        let make = owner.map(|owner| (owner, parts.is_empty()));
        at = match open_or_make(at.as_fd(), &part, make) {
            Ok(next) => next,
            Err(error) => {
                let Some(target) = link(&at, &part)? else {
                    return Err(error);
                };
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                for part in self::parts(&target).into_iter().rev() {
                    parts.push_front(part);
                }
                if target.is_absolute() { root()? } else { at }
            }
        };
    }
    Ok(at)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// Where a link leads; `None` when it is none.
fn link(at: &OwnedFd, name: &OsStr) -> io::Result<Option<PathBuf>> {
    let Ok(found) = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(None);
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
        return Ok(None);
    }
    // Elsewhere somebody could replace it between two looks.
    let directory = rustix::fs::fstat(at)?;
    if is_root() && (directory.st_uid != 0 || directory.st_mode & 0o022 != 0) {
        let name = name.to_string_lossy();
        return Err(io::Error::other(format!(
            "{name} on the way to it is a symbolic link that others than root can change; name the \
             directory that it leads to"
        )));
    }
    let target = rustix::fs::readlinkat(at, name, Vec::new())?;
    Ok(Some(OsString::from_vec(target.into_bytes()).into()))
}

/// Opens a directory, or makes it: the last one of a path for the owner alone.
fn open_or_make(
    at: std::os::fd::BorrowedFd<'_>,
    name: &OsStr,
    make: Option<(User, bool)>,
) -> io::Result<OwnedFd> {
    let open = || rustix::fs::openat(at, name, DIRECTORY, Mode::empty());
    let (owner, is_last) = match (open(), make) {
        (Err(Errno::NOENT), Some(make)) => make,
        (opened, _) => return opened.map_err(|error| refusal(error, "directory")),
    };
    match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) => {}
        Err(Errno::EXIST) => return open().map_err(|error| refusal(error, "directory")),
        Err(error) => return Err(error.into()),
    }
    let opened = open().map_err(|error| refusal(error, "directory"))?;
    // It may have been replaced since it was made, by another one that is somebody else's.
    if rustix::fs::fstat(&opened)?.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("was replaced while it was made"));
    }
    if is_last {
        rustix::fs::fchmod(&opened, Mode::RWXU)?;
        if owner.is_other {
            owner.own(&opened)?;
        }
    } else {
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o755))?;
        if owner.is_other {
            let above = Uid::from_raw(rustix::fs::fstat(at)?.st_uid);
            rustix::fs::fchown(&opened, Some(above), None)?;
        }
    }
    Ok(opened)
}
