//! Where uploads are kept: a directory, a bucket or, for tests, memory.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    buffered::BufWriter,
    memory::InMemory,
    path::Path,
    prefix::PrefixStore,
};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{
    Failure, Fetched,
    https::Https,
    local::{Local, LocalWriter},
};
use crate::{
    config::{self, UploadsUrl, aws::AwsVariables},
    error::{Error, Result},
};

/// Whoever sends a file waits for it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RETRIES: usize = 3;
/// What is kept of a file that arrives, at most twice. S3 takes no smaller parts.
const PART_BYTES: usize = 5 << 20;

/// Where uploads are.
#[derive(Debug)]
pub(super) enum Place {
    /// A directory.
    Directory(Local),
    /// Anywhere else.
    Store(Arc<dyn ObjectStore>),
}

impl Place {
    /// The place of the settings.
    pub(super) fn new(settings: &config::Uploads, data_dir: &std::path::Path) -> Result<Self> {
        if let Some(directory) = settings.directory(data_dir) {
            return Ok(Self::Directory(Local::new(directory)));
        }
        Ok(match &settings.uploads_url {
            Some(UploadsUrl::S3 { bucket, prefix }) => {
                let store = s3_by_variables()
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
            // It is no directory.
            _ => Self::Store(Arc::new(InMemory::new())),
        })
    }

    /// Finds out what can be known before the first byte: a directory is made.
    pub(super) async fn prepare(&self) -> Result<(), Failure> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Directory(directory) => directory.make().await,
        }
    }

    /// Begins to store a file.
    pub(super) async fn create(&self, key: Uuid) -> Result<Writer, Failure> {
        Ok(match self {
            Self::Directory(directory) => Writer::Local(directory.create(key).await?),
            Self::Store(store) => {
                let writer = BufWriter::with_capacity(store.clone(), path(key), PART_BYTES);
                Writer::Store(writer.with_max_concurrency(1))
            }
        })
    }

    /// A file's length and what it contains.
    pub(super) async fn fetch(&self, key: Uuid) -> Result<Fetched, Failure> {
        match self {
            Self::Directory(directory) => directory.fetch(key).await,
            Self::Store(store) => {
                let found = store.get(&path(key)).await?;
                Ok(Fetched {
                    size: found.meta.size,
                    chunks: found.into_stream().map_err(io::Error::from).boxed(),
                })
            }
        }
    }

    /// Removes a file. One that is not there is gone.
    pub(super) async fn delete(&self, key: Uuid) -> Result<(), Failure> {
        match self {
            Self::Directory(directory) => directory.delete(key).await,
            Self::Store(store) => match store.delete(&path(key)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Whether it can be there. A directory that is missing may be one that is not mounted: whatever was in
    /// it is there all the same.
    pub(super) fn is_there(&self) -> Result<(), Failure> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Directory(directory) => directory.is_there(),
        }
    }

    /// Whether files can be stored, as far as that can be known without storing one; says where.
    pub(super) fn can_be_written(&self) -> io::Result<()> {
        match self {
            Self::Store(_) => Ok(()),
            Self::Directory(directory) => directory.can_be_written().map_err(io::Error::other),
        }
    }
}

/// Region, credentials and endpoint by the variables of every AWS tool. The library would take an empty
/// variable for a value.
fn s3_by_variables() -> AmazonS3Builder {
    let variables = AwsVariables::from_environment();
    let set = variables.all().filter_map(|(name, value)| {
        let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().ok()?;
        Some((key, value))
    });
    set.fold(AmazonS3Builder::new(), |builder, (key, value)| {
        builder.with_config(key, value)
    })
}

/// A file that arrives.
#[derive(Debug)]
pub(super) enum Writer {
    /// In a directory.
    Local(LocalWriter),
    /// Anywhere else.
    Store(BufWriter),
}

impl Writer {
    /// Takes the next piece.
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        match self {
            Self::Local(writer) => writer
                .write(piece)
                .await
                .map_err(|error| super::sorted(&error)),
            Self::Store(writer) => Ok(writer.put(piece).await?),
        }
    }

    /// Completes it.
    pub(super) async fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Local(writer) => writer.finish().await,
            Self::Store(mut writer) => writer
                .shutdown()
                .await
                .map_err(|error| super::sorted(&error)),
        }
    }

    /// Removes what has arrived.
    pub(super) async fn abort(self, key: Uuid) {
        match self {
            Self::Local(writer) => writer.abort().await,
            Self::Store(mut writer) => {
                if let Err(error) = writer.abort().await {
                    tracing::debug!(%error, %key, "an upload could not be broken off");
                }
            }
        }
    }
}

fn path(key: Uuid) -> Path {
    Path::from(key.to_string())
}
