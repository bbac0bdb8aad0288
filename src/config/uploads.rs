//! Settings of the files that people upload, and the command line of `marketplace uploads`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};

use super::{Target, duration};

/// Where uploaded files are kept, and how long they may be.
#[derive(Clone, Debug, Args)]
pub struct Uploads {
    /// Where the server stores uploaded files: `file:///directory`, `s3://bucket/path` (region, credentials
    /// and endpoint from `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_ENDPOINT_URL_S3`) or `memory://`. Default: the directory uploads beside `DATA_DIR`, with
    /// `--embedded` in it.
    #[arg(long, env, value_name = "URL", value_parser = url)]
    pub uploads_url: Option<UploadsUrl>,

    /// Maximum size of an uploaded file, in MiB.
    #[arg(long, env, default_value_t = 256, value_name = "MIB", value_parser = mebibytes)]
    pub max_upload_mib: u64,

    /// How long the server keeps a file after the last source that uses it is deleted (30m, 12h, 7d). A
    /// source that is restored within this time gets its file back.
    #[arg(long, env, default_value = "7d", value_name = "TIME", value_parser = grace)]
    pub uploads_grace: Duration,
}

/// `marketplace uploads`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0: done; 1: not done (not confirmed, or the database or the store does not \
        answer); 2: a mistake in the command line."
)]
pub struct Command {
    /// Where the sources are.
    #[command(flatten)]
    pub target: Target,

    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with files.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List the files that no source has used for `UPLOADS_GRACE`, and delete them. Servers do so themselves,
    /// unless more than a tenth of all files are affected.
    Sweep {
        /// The settings of the server.
        #[command(flatten)]
        settings: Uploads,
        /// Delete without asking.
        #[arg(long)]
        yes: bool,
    },
}

/// The name of the directory where files are kept without a setting.
const UPLOADS: &str = "uploads";

impl Uploads {
    /// The settings of a server on a private cluster that lives in `home`: without a setting files are kept
    /// there too. Earlier versions kept them beside `data_dir`; a directory that exists there stays in use.
    #[must_use]
    pub fn of_cluster(mut self, data_dir: &Path, home: &Path) -> Self {
        let beside = data_dir.with_file_name(UPLOADS);
        if self.uploads_url.is_none() && !beside.is_dir() {
            self.uploads_url = Some(UploadsUrl::File(home.join(UPLOADS)));
        }
        self
    }

    /// The directory of this machine where files are kept, if they are. Without a setting it is beside
    /// the one of the embedded cluster.
    pub fn directory(&self, data_dir: &Path) -> Option<PathBuf> {
        match &self.uploads_url {
            None => Some(data_dir.with_file_name(UPLOADS)),
            Some(UploadsUrl::File(directory)) => Some(directory.clone()),
            Some(UploadsUrl::S3 { .. } | UploadsUrl::Memory) => None,
        }
    }
}

/// A place for files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UploadsUrl {
    /// A directory of this machine.
    File(PathBuf),
    /// A bucket, of Amazon's or of a compatible store.
    S3 {
        /// Its name.
        bucket: String,
        /// What all keys begin with; may be empty.
        prefix: String,
    },
    /// Gone when the program stops.
    Memory,
}

fn url(text: &str) -> Result<UploadsUrl, String> {
    let found = match text.split_once("://") {
        Some(("memory", "" | "/")) => Some(UploadsUrl::Memory),
        Some(("file", path)) if path.starts_with('/') => Some(UploadsUrl::File(path.into())),
        Some(("file", path)) if !path.is_empty() => {
            return Err(format!(
                "file://{path} has no absolute path; write three slashes: file:///{path}"
            ));
        }
        Some(("s3", rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            (!bucket.is_empty() && bucket.chars().all(is_name)).then(|| UploadsUrl::S3 {
                bucket: bucket.to_owned(),
                prefix: prefix.trim_matches('/').to_owned(),
            })
        }
        _ => None,
    };
    found.ok_or_else(|| "must be file:///directory, s3://bucket/path or memory://".into())
}

fn mebibytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..=40_000) => Ok(count),
        _ => Err("must be a number from 1 to 40000".into()),
    }
}

fn grace(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_hours(24 * 3660);
    duration::with_unit(text)
        .filter(|time| *time <= longest)
        .ok_or_else(|| format!("{text} is not a time such as 30m, 12h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_has_a_unit() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("1w", 604_800),
            ("12h", 43_200),
            ("1d 12h", 129_600),
            ("90s", 90),
            ("0s", 0),
            ("0", 0),
        ] {
            assert_eq!(grace(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "7", "soon", "-1d", "100y", "1 month"] {
            assert!(grace(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places_are_directories_buckets_or_memory() {
        let s3 = |bucket: &str, prefix: &str| {
            Some(UploadsUrl::S3 {
                bucket: bucket.into(),
                prefix: prefix.into(),
            })
        };
        for (text, place) in [
            ("memory://", Some(UploadsUrl::Memory)),
            ("file:///srv/up", Some(UploadsUrl::File("/srv/up".into()))),
            ("s3://files", s3("files", "")),
            ("s3://files/a/b/", s3("files", "a/b")),
            ("s3://", None),
            ("s3://user:secret@files", None),
            ("file://", None),
            ("file://relative", None),
            ("file://var/lib/uploads", None),
            ("file://./up", None),
            ("https://files", None),
            ("/srv/up", None),
        ] {
            assert_eq!(url(text).ok(), place, "{text}");
        }
    }
}
