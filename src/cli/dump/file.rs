//! What kind of file a dump is, told by its first bytes, and what to do about a file that is none. It
//! runs nothing.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::tar::Tar;

/// How an archive of `pg_dump` begins.
const ARCHIVE: &[u8] = b"PGDMP";
/// Where that stands in an archive in the tar format: behind the first file's header.
const IN_TAR: usize = 512;

/// A dump, by how it is read.
pub(super) enum Dump {
    /// Statements.
    Sql(Box<dyn Read + Send>),
    /// The custom or the tar format, which `pg_restore` turns into statements.
    Archive(Box<dyn Read + Send>, Version),
    /// The directory format: the files of the directory.
    Directory(Vec<PathBuf>, Version),
}

/// The version of an archive's format: `1.15` is `(1, 15)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u8, u8);

impl Version {
    /// Refuses an archive that is newer than the programs here.
    ///
    /// # Errors
    /// Says who wrote it, and what to do.
    pub(super) fn refuse_newer(self, major: u32) -> Result<(), String> {
        let newest = match major {
            ..16 => Self(1, 14),
            16 => Self(1, 15),
            // A newer pg_restore says itself what it cannot read.
            17.. => return Ok(()),
        };
        if self <= newest {
            return Ok(());
        }
        let writer = if self == Self(1, 15) {
            "16"
        } else {
            "17 or newer"
        };
        Err(format!(
            "was written by the pg_dump of PostgreSQL {writer}, and the pg_restore here is of PostgreSQL \
             {major}: install a newer PostgreSQL on this machine, or dump again with pg_dump -Fp, which \
             writes text"
        ))
    }
}

impl Dump {
    /// # Errors
    /// Says why the file is no dump, and what to do.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        if file.is_dir() {
            return directory(file);
        }
        let (head, whole) = head(File::open(file)?)?;
        if head.starts_with(&[0x1f, 0x8b]) {
            let (head, whole) = self::head(MultiGzDecoder::new(whole))?;
            return Self::of(&head, whole);
        }
        Self::of(&head, whole)
    }

    fn of(head: &[u8], whole: impl Read + Send + 'static) -> io::Result<Self> {
        if let Some(version) = version(head) {
            let archive: Box<dyn Read + Send> = if is_tar(head) {
                Box::new(Tar::new(whole))
            } else {
                Box::new(whole)
            };
            return Ok(Self::Archive(archive, version));
        }
        match foreign(head) {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(Self::Sql(Box::new(whole))),
        }
    }
}

fn directory(path: &Path) -> io::Result<Dump> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    let toc = files.iter().find(|file| file.ends_with("toc.dat"));
    let Some(toc) = toc else {
        let why = "is a directory without a toc.dat: it is not a dump in the directory format (pg_dump -Fd)";
        return Err(io::Error::other(why));
    };
    let (head, _) = head(File::open(toc)?)?;
    match version(&head) {
        Some(version) => Ok(Dump::Directory(files, version)),
        None => Err(io::Error::other(
            "holds a toc.dat that pg_dump did not write",
        )),
    }
}

/// The version of an archive's format; `None` for what is no archive.
fn version(head: &[u8]) -> Option<Version> {
    let rest = head.get(if is_tar(head) { IN_TAR } else { 0 }..)?;
    match rest.strip_prefix(ARCHIVE)? {
        [major, minor, ..] => Some(Version(*major, *minor)),
        _ => None,
    }
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Why a file that begins so holds no statements.
fn foreign(head: &[u8]) -> Option<String> {
    let unpack = |program: &str| Some(format!("is compressed; unpack it first ({program})"));
    match head {
        [] => return Some("is empty".into()),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            let why = "is text in UTF-16, as PowerShell's `>` writes it; let pg_dump write the file itself: \
                       pg_dump -f FILE";
            return Some(why.into());
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return unpack("xz -d"),
        [b'B', b'Z', b'h', ..] => return unpack("bzip2 -d"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return unpack("zstd -d"),
        [0x04, 0x22, 0x4d, 0x18, ..] => return unpack("lz4 -d"),
        [b'P', b'K', 3, 4, ..] => return unpack("unzip"),
        _ => {}
    }
    if is_tar(head) {
        return Some(
            "is an archive of tar that pg_dump did not write; unpack it first (tar -x)".into(),
        );
    }
    let text = String::from_utf8_lossy(head);
    let begins = |words: &str| {
        text.trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with(words)
    };
    if begins("[") || begins("{") {
        return Some("is JSON, as manage.py dumpdata writes it; make a dump with pg_dump".into());
    }
    if begins("SQLite format 3") || begins("-- MySQL") || begins("-- MariaDB") {
        return Some("is not a dump of PostgreSQL".into());
    }
    head.contains(&0).then(|| "is no dump of pg_dump".into())
}

/// The beginning of a stream, and the stream with it.
pub(super) fn head(
    mut stream: impl Read + Send + 'static,
) -> io::Result<(Vec<u8>, impl Read + Send)> {
    let mut head = Vec::new();
    let most = IN_TAR + ARCHIVE.len() + 2;
    stream.by_ref().take(most as u64).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(stream)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_whole_after_a_look_at_its_head() {
        for length in [0, 1, 518, 519, 520, 100_000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let (head, mut whole) = head(io::Cursor::new(bytes.clone())).unwrap();
            assert_eq!(head, bytes[..length.min(519)]);
            let mut read = Vec::new();
            whole.read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
    }

    #[test]
    fn files_are_told_by_their_first_bytes() {
        let mut tar = vec![0; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let plain_tar = tar.clone();
        tar[512..519].copy_from_slice(b"PGDMP\x01\x0e");
        for (head, expected) in [
            (&b"PGDMP\x01\x10\x00"[..], Some(Version(1, 16))),
            (&tar, Some(Version(1, 14))),
            (&plain_tar, None),
            (b"--\n-- PostgreSQL database dump\n--\n", None),
        ] {
            assert_eq!(version(head), expected);
        }
        for (head, expected) in [
            (&b""[..], "empty"),
            (b"\xff\xfe-\0-\0", "UTF-16"),
            (b"\xfe\xff\0-\0-", "UTF-16"),
            (b"\x28\xb5\x2f\xfd...", "zstd -d"),
            (b"PK\x03\x04...", "unzip"),
            (b"\xef\xbb\xbf [{\"model\"", "dumpdata"),
            (b"SQLite format 3\0...", "not a dump of PostgreSQL"),
            (b"\x7fELF\x02\0\0", "no dump"),
            (&plain_tar, "tar -x"),
        ] {
            let found = foreign(head).unwrap();
            assert!(found.contains(expected), "{found}");
        }
        assert_eq!(
            foreign(b"\xef\xbb\xbf--\n-- PostgreSQL database dump\n"),
            None
        );
    }

    #[test]
    fn what_is_newer_than_the_programs_here_is_refused() {
        for (version, major, is_newer) in [
            (Version(1, 14), 15, false),
            (Version(1, 15), 15, true),
            (Version(1, 16), 15, true),
            (Version(1, 16), 16, true),
            (Version(1, 15), 16, false),
            (Version(1, 16), 17, false),
            (Version(1, 16), 18, false),
        ] {
            assert_eq!(
                version.refuse_newer(major).is_err(),
                is_newer,
                "{version:?} {major}"
            );
        }
    }
}
