//! Settings of the files that people upload.

use std::path::{Path, PathBuf};

use clap::Args;

/// Where uploaded files are kept, and how long they may be.
#[derive(Clone, Debug, Args)]
pub struct Uploads {
    /// Where uploaded files are kept: `file:///directory`, `s3://bucket/path` (region, credentials and
    /// endpoint from the variables `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_ENDPOINT_URL_S3`) or `memory://`. Without it, the directory uploads beside `DATA_DIR`.
    #[arg(long, env, value_name = "URL", value_parser = url)]
    pub uploads_url: Option<UploadsUrl>,

    /// Longest file that may be uploaded, in MiB.
    #[arg(long, env, default_value_t = 256, value_name = "MIB", value_parser = mebibytes)]
    pub max_upload_mib: u64,
}

impl Uploads {
    /// The directory of this machine where files are kept, if they are. Without a setting it is beside
    /// the one of the embedded cluster.
    pub fn directory(&self, data_dir: &Path) -> Option<PathBuf> {
        match &self.uploads_url {
            None => Some(data_dir.with_file_name("uploads")),
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
        Some(("file", path)) if !path.is_empty() => Some(UploadsUrl::File(path.into())),
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
    found.ok_or_else(|| "is file:///directory, s3://bucket/path or memory://".into())
}

fn mebibytes(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..=40_000) => Ok(count),
        _ => Err("is a number from 1 to 40000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("https://files", None),
            ("/srv/up", None),
        ] {
            assert_eq!(url(text).ok(), place, "{text}");
        }
    }
}
