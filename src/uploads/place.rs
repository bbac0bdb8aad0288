//! Where uploads are kept: a directory, a bucket or, for tests, memory.

use std::{fs, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem, memory::InMemory,
    path::Path, prefix::PrefixStore,
};
use uuid::Uuid;

use super::{Failure, https::Https};
use crate::{
    config::UploadsUrl,
    error::{Error, Result},
};

/// Whoever sends a file waits for it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 3;

/// Where uploads are.
#[derive(Debug)]
pub(super) enum Place {
    /// A directory, made when it is needed.
    Directory(PathBuf),
    /// Anywhere else.
    Store(Arc<dyn ObjectStore>),
}

impl Place {
    /// The place at `url`; without one a directory beside the one of the embedded cluster.
    pub(super) fn new(url: Option<&UploadsUrl>, beside: &std::path::Path) -> Result<Self> {
        Ok(match url {
            None => Self::Directory(beside.with_file_name("uploads")),
            Some(UploadsUrl::File(directory)) => Self::Directory(directory.clone()),
            Some(UploadsUrl::Memory) => Self::Store(Arc::new(InMemory::new())),
            Some(UploadsUrl::S3 { bucket, prefix }) => {
                // Region, credentials and endpoint are the variables of every AWS tool.
                let store = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_http_connector(Https)
                    .with_retry(RetryConfig {
                        max_retries: MAX_RETRIES,
                        retry_timeout: RETRY_TIMEOUT,
                        ..RetryConfig::default()
                    })
                    .build()
                    .map_err(|error| Error::Config(format!("UPLOADS_URL: {error}")))?;
                Self::Store(Arc::new(PrefixStore::new(
                    store,
                    Path::from(prefix.as_str()),
                )))
            }
        })
    }

    /// The store, which may not have been there a moment ago.
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>, Failure> {
        match self {
            Self::Store(store) => Ok(store.clone()),
            Self::Directory(directory) => {
                let mut maker = fs::DirBuilder::new();
                maker.recursive(true).mode(0o700);
                maker
                    .create(directory)
                    .map_err(|error| super::sorted(&error))?;
                let store = LocalFileSystem::new_with_prefix(directory)?;
                Ok(Arc::new(store.with_fsync(true)))
            }
        }
    }

    /// Whether it can be there. A directory that is missing may be one that is not mounted: whatever was in
    /// it is there all the same.
    pub(super) fn is_there(&self) -> Result<(), Failure> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Directory(directory) if directory.is_dir() => Ok(()),
            Self::Directory(directory) => Err(Failure::Unavailable(format!(
                "{} is no directory",
                directory.display()
            ))),
        }
    }

    /// Removes what a server that was killed may have left of a file that arrived.
    pub(super) async fn remove_staged(&self, key: Uuid) {
        if let Self::Directory(directory) = self {
            // Most files have none, which is no failure.
            let _ = tokio::fs::remove_file(directory.join(format!("{key}#1"))).await;
        }
    }
}
