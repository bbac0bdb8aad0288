//! The user as whom PostgreSQL runs: the one who runs this program, or, since PostgreSQL refuses
//! root, another one when that is root. It never makes or changes users.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::EmbeddedError;
use crate::directory::User;

/// Where programs are that are named without a directory.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user as whom the server runs and to whom its files belong.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) user: User,
    name: String,
    /// The user who runs this program: the same, or root.
    runner: String,
}

impl Owner {
    /// Who shall own a directory that exists, or shall be made, at `path`. For root that is whoever
    /// owns it or, if it is missing, the directory above it; the user `postgres` if that is root
    /// again or a number without a name (as in a container that sees a directory of its host).
    pub(super) fn of(path: &Path) -> Result<Self, EmbeddedError> {
        let runner = id(&["-un"]).ok_or(EmbeddedError::NoUser)?;
        if id(&["-u"]).as_deref() != Some("0") {
            let (uid, gid) = numbers(&runner).ok_or(EmbeddedError::NoUser)?;
            return Ok(Self {
                user: User {
                    uid,
                    gid,
                    is_other: false,
                },
                name: runner.clone(),
                runner,
            });
        }
        let name = match uid_of(existing(path))? {
            0 => None,
            uid => id(&["-un", &uid.to_string()]),
        };
        let name = name.unwrap_or_else(|| String::from("postgres"));
        let (uid, gid) = numbers(&name).ok_or(EmbeddedError::NoUser)?;
        Ok(Self {
            user: User {
                uid,
                gid,
                is_other: true,
            },
            name,
            runner,
        })
    }

    /// A command that runs as the owner, without root's groups, in a directory that exists for
    /// everybody. It gets nothing of this program's environment: settings of libpq and of the language
    /// change nothing, and no secret gets to it.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // Messages that are looked for in the log are the untranslated ones.
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        if self.user.is_other {
            // The standard library clears the supplementary groups when root changes the user.
            command.uid(self.user.uid).gid(self.user.gid);
        }
        command
    }

    /// Whether the owner gets to a path, or to the nearest directory above it that exists.
    pub(super) fn reaches(&self, path: &Path) -> bool {
        !self.user.is_other
            || self
                .command("test")
                .arg("-x")
                .arg(existing(path))
                .status()
                .is_ok_and(|status| status.success())
    }

    pub(super) fn runner(&self) -> &str {
        &self.runner
    }

    /// The names of those who may open the database over the Unix socket.
    pub(super) fn names(&self) -> [&str; 3] {
        [&self.name, &self.runner, "root"]
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// The path itself, or the nearest directory above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"))
}

fn uid_of(path: &Path) -> Result<u32, EmbeddedError> {
    let metadata = fs::metadata(path).map_err(|error| EmbeddedError::io(path, error))?;
    Ok(metadata.uid())
}

fn numbers(name: &str) -> Option<(u32, u32)> {
    Some((
        id(&["-u", name])?.parse().ok()?,
        id(&["-g", name])?.parse().ok()?,
    ))
}

/// Asks the program `id`, because the standard library does not know who runs a process.
fn id(arguments: &[&str]) -> Option<String> {
    let output = Command::new("id").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
