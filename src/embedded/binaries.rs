//! The installed server binaries: where they are and of which version. It never installs anything.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::EmbeddedError;

/// The programs of one installed major version.
#[derive(Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
    pub(super) major: u32,
    /// `psql` as a person would type it, or its whole path when the shell would not find it.
    pub(super) psql: PathBuf,
}

impl Binaries {
    /// The newest version that is installed, or the one that has made the cluster in `data_dir`.
    pub(super) fn find(made_by: Option<u32>, data_dir: &Path) -> Result<Self, EmbeddedError> {
        let installed = installed();
        let Some(newest) = installed.iter().map(|(major, _)| *major).max() else {
            return Err(EmbeddedError::NotInstalled);
        };
        let wanted = made_by.unwrap_or(newest);
        match installed.iter().find(|(major, _)| *major == wanted) {
            Some((major, dir)) => Ok(Self {
                dir: dir.clone(),
                major: *major,
                psql: psql(dir),
            }),
            None => Err(EmbeddedError::OtherVersion {
                data_dir: data_dir.to_owned(),
                made_by: wanted,
                found: versions(&installed),
            }),
        }
    }

    /// Those in a directory, if it has them.
    pub(super) fn in_dir(dir: &Path) -> Option<Self> {
        Some(Self {
            dir: dir.to_owned(),
            major: major(dir)?,
            psql: psql(dir),
        })
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }
}

/// Every installed version with its directory; the directory that `pg_config` names comes before
/// others of the same version.
fn installed() -> Vec<(u32, PathBuf)> {
    let mut dirs = Vec::from_iter(first_line(Command::new("pg_config").arg("--bindir")));
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        dirs.extend(versions.flatten().map(|entry| entry.path().join("bin")));
    }
    // The other programs lie beside what a link in PATH points to.
    let in_path = which("postgres").and_then(|path| fs::canonicalize(path).ok());
    dirs.extend(
        in_path
            .as_deref()
            .and_then(Path::parent)
            .map(Path::to_owned),
    );
    let usable = |dir: &PathBuf| dir.join("initdb").is_file();
    let with_version = |dir: PathBuf| Some((major(&dir)?, dir));
    dirs.into_iter()
        .filter(usable)
        .filter_map(with_version)
        .collect()
}

fn versions(installed: &[(u32, PathBuf)]) -> Vec<u32> {
    let mut versions: Vec<_> = installed.iter().map(|(major, _)| *major).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.dedup();
    versions
}

/// The major version of the server in a directory: `15` of `postgres (PostgreSQL) 15.4 (Debian
/// 15.4-1)`.
fn major(dir: &Path) -> Option<u32> {
    let line = first_line(Command::new(dir.join("postgres")).arg("--version"))?;
    let version = line.to_str()?.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn psql(dir: &Path) -> PathBuf {
    let beside = dir.join("psql");
    if which("psql").is_none() && beside.is_file() {
        beside
    } else {
        PathBuf::from("psql")
    }
}

/// Where the shell finds a program.
fn which(program: &str) -> Option<PathBuf> {
    first_line(Command::new("sh").args(["-c", "command -v -- \"$1\"", "sh", program]))
}

fn first_line(command: &mut Command) -> Option<PathBuf> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let line = output.stdout.split(|byte| *byte == b'\n').next()?.to_vec();
    (!line.is_empty()).then(|| OsString::from_vec(line).into())
}
