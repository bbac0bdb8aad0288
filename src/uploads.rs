//! Files that people send with a source: streamed into the store, out of it, and removed some time after
//! the last source that named them is gone. What is stored is noted in the table first, so that nothing
//! is lost track of. Knows no request and no source's fields.

mod https;
mod local;
mod name;
mod place;
mod sweep;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::stream::BoxStream;
use uuid::Uuid;

pub use self::sweep::Pending;
use self::{
    place::{Place, Writer},
    sweep::Stopped,
};
use crate::{
    config,
    db::uploads::{self, Upload},
    error::{Error, Result},
    limits::Slot,
    metrics::Metrics,
    outage::Outage,
    pg::{self, Pool},
};

/// Longest time that a file may take to arrive.
pub const LONGEST: Duration = Duration::from_mins(30);
/// Smaller pieces of a file are gathered before they are written.
const MIN_WRITTEN_BYTES: usize = 64 * 1024;
/// How long the write may take of the source that is to name a file; much longer than the database is
/// waited for.
const WRITE_LEASE: Duration = Duration::from_secs(20);

/// The store of uploads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Uploads(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    place: Place,
    pool: Pool,
    /// Longest file.
    max_bytes: u64,
    /// How long a file is kept that no source names any more.
    grace: Duration,
    stopped: Stopped,
    outages: Mutex<Outages>,
}

/// What the log says of the store: of storing and of fetching, because one may work without the other.
#[derive(Debug, Default)]
struct Outages {
    storing: Outage,
    fetching: Outage,
}

/// Why a file was not stored or fetched.
#[derive(Debug)]
pub enum Failure {
    /// It is longer than files may be.
    TooLarge,
    /// Too many others arrive.
    Busy,
    /// The store has no such object.
    NotFound,
    /// The store cannot be reached, or refuses.
    Unavailable(String),
    /// The store has no space left.
    Full(String),
    /// The database failed.
    Database(Error),
}

impl Failure {
    /// Whether the store is out, or has no space.
    fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

/// A file that is to be sent.
pub struct Fetched {
    /// In bytes.
    pub size: u64,
    /// What it contains.
    pub chunks: BoxStream<'static, io::Result<Bytes>>,
}

impl Uploads {
    /// Nothing is opened before it is needed.
    ///
    /// # Errors
    /// [`Error::Config`] when the address of the store lacks something.
    pub fn new(
        settings: &config::Uploads,
        data_dir: &std::path::Path,
        pool: Pool,
        metrics: &Metrics,
    ) -> Result<Self> {
        let place = Place::new(settings, data_dir)?;
        Ok(Self(Arc::new(Parts {
            place,
            pool,
            max_bytes: settings.max_upload_mib << 20,
            grace: settings.uploads_grace,
            stopped: Stopped::new(metrics),
            outages: Mutex::default(),
        })))
    }

    /// Whether files can be stored, as far as that can be known without storing one.
    ///
    /// # Errors
    /// Says which file or directory cannot be made, and why.
    pub fn can_be_written(&self) -> io::Result<()> {
        self.0.place.can_be_written()
    }

    /// Longest file, in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.0.max_bytes
    }

    /// Begins to store a file under a fresh key. `sent_name` is what its sender calls it.
    pub async fn receive(&self, sent_name: &str, slot: Slot) -> Result<Receiving, Failure> {
        self.storing(self.begin(sent_name, slot).await)
    }

    async fn begin(&self, sent_name: &str, slot: Slot) -> Result<Receiving, Failure> {
        self.0.place.prepare().await?;
        let original_name = name::harmless(sent_name);
        let upload = Upload {
            key: Uuid::new_v4(),
            name: name::fit_for_paths(&original_name),
            original_name,
        };
        pg::in_time(async { uploads::announce(&*self.0.pool.client().await?, &upload).await })
            .await
            .map_err(Failure::Database)?;
        let key = upload.key;
        // Made first: where nothing can be stored, the row goes again with it.
        let file = Received {
            upload,
            size: 0,
            unwanted: Some(self.clone()),
        };
        Ok(Receiving {
            writer: Some(self.0.place.create(key).await?),
            gathered: BytesMut::new(),
            file,
            _slot: slot,
        })
    }

    /// The file of that name, if a source names it.
    pub async fn find(&self, key: Uuid) -> Result<Option<Upload>> {
        pg::in_time(async { uploads::find(&*self.0.pool.client().await?, key).await }).await
    }

    /// What it contains.
    pub async fn fetch(&self, upload: &Upload) -> Result<Fetched, Failure> {
        let fetched = self.0.place.fetch(upload.key).await;
        let mut outages = self.outages();
        match &fetched {
            Ok(_) | Err(Failure::NotFound) => {
                if let Some(after) = outages.fetching.over() {
                    tracing::info!(after, "uploads can be fetched again");
                }
            }
            Err(why) if why.is_of_the_store() => {
                if let Some(lasting) = outages.fetching.failed() {
                    tracing::error!(%why, lasting, "uploads cannot be fetched");
                }
            }
            Err(_) => {}
        }
        drop(outages);
        fetched
    }

    /// Tells of a store that fails while a file arrives.
    fn storing<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(why) = &done
            && why.is_of_the_store()
            && let Some(lasting) = self.outages().storing.failed()
        {
            tracing::error!(%why, lasting, "uploads cannot be stored");
        }
        done
    }

    /// Tells of a store that has taken a file.
    fn stored(&self) {
        if let Some(after) = self.outages().storing.over() {
            tracing::info!(after, "uploads can be stored again");
        }
    }

    fn outages(&self) -> MutexGuard<'_, Outages> {
        // A panic while it was locked leaves nothing that is wrong.
        self.0
            .outages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how the write went that was to make a source name the file.
    pub async fn settle<T>(&self, upload: &Upload, written: &Result<Option<T>>) {
        let settled = match written {
            Ok(Some(_)) => {
                let release =
                    async { uploads::release(&*self.0.pool.client().await?, upload.key).await };
                pg::in_time(release).await.map_err(Failure::Database)
            }
            Ok(None) => self.remove(upload.key).await,
            Err(error) if error.has_changed_nothing() => self.remove(upload.key).await,
            // It may have been written all the same; later that will be seen.
            Err(_) => Ok(()),
        };
        if let Err(why) = settled {
            tracing::debug!(%why, key = %upload.key, "an upload is left to the sweep");
        }
    }

    /// Removes an object, then its row.
    async fn remove(&self, key: Uuid) -> Result<(), Failure> {
        self.0.place.delete(key).await?;
        pg::in_time(async { uploads::forget(&*self.0.pool.client().await?, key).await })
            .await
            .map_err(Failure::Database)
    }
}

/// A file that arrives. Dropped before it is whole, it goes again.
pub struct Receiving {
    writer: Option<Writer>,
    /// What has arrived and was not written yet.
    gathered: BytesMut,
    file: Received,
    _slot: Slot,
}

impl Receiving {
    /// Takes the next piece.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Failure> {
        let unwanted = self.file.unwanted.as_ref();
        let uploads = unwanted.expect("it is nobody's yet");
        self.file.size += piece.len() as u64;
        if self.file.size > uploads.0.max_bytes {
            return Err(Failure::TooLarge);
        }
        if self.gathered.is_empty() && piece.len() >= MIN_WRITTEN_BYTES {
            return self.put(piece).await;
        }
        self.gathered.extend_from_slice(&piece);
        if self.gathered.len() >= MIN_WRITTEN_BYTES {
            self.put_gathered().await?;
        }
        Ok(())
    }

    async fn put_gathered(&mut self) -> Result<(), Failure> {
        let gathered = self.gathered.split().freeze();
        if gathered.is_empty() {
            return Ok(());
        }
        self.put(gathered).await
    }

    async fn put(&mut self, piece: Bytes) -> Result<(), Failure> {
        let uploads = self.file.unwanted.as_ref();
        let uploads = uploads.expect("it is nobody's yet");
        let writer = self.writer.as_mut().expect("it is open until it is whole");
        uploads.storing(writer.write(piece).await)
    }

    /// Completes it. Whether a store that fails now, or that nobody waits for any more, has completed
    /// it is not known; so that is left to the sweep.
    pub async fn finish(mut self) -> Result<Received, Failure> {
        self.put_gathered().await?;
        let writer = self.writer.take();
        let writer = writer.expect("it is open until it is whole");
        let unwanted = self.file.unwanted.take();
        let finished = writer.finish().await;
        if let Some(uploads) = &unwanted {
            uploads.storing(finished)?;
            uploads.stored();
        }
        Ok(Received {
            upload: self.file.upload.clone(),
            size: self.file.size,
            unwanted,
        })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let (Some(writer), Some(uploads)) = (self.writer.take(), self.file.unwanted.take()) else {
            return;
        };
        let key = self.file.upload.key;
        in_background(async move {
            writer.abort(key).await;
            uploads.discard(key).await;
        });
    }
}

/// A file that is stored, and goes again when it is dropped before it is kept.
pub struct Received {
    upload: Upload,
    size: u64,
    /// Whence it goes.
    unwanted: Option<Uploads>,
}

impl Received {
    /// Whether it contains nothing.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// What stands in the source that has it.
    pub fn reference(&self) -> String {
        self.upload.reference()
    }

    /// Notes that a source is about to name it: from here on it is removed no sooner than one that a
    /// source has named.
    pub async fn attach(mut self) -> Result<Upload, Failure> {
        let key = self.upload.key;
        if let Some(uploads) = &self.unwanted {
            let pool = &uploads.0.pool;
            let attach = async { uploads::attach(&*pool.client().await?, key, WRITE_LEASE).await };
            if !pg::in_time(attach).await.map_err(Failure::Database)? {
                let why = "somebody deleted its row while it arrived";
                tracing::warn!(%key, "an upload is lost: {why}");
                return Err(Failure::Unavailable(why.into()));
            }
        }
        self.unwanted = None;
        Ok(self.upload.clone())
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(uploads) = self.unwanted.take() {
            let key = self.upload.key;
            in_background(async move { uploads.discard(key).await });
        }
    }
}

impl Uploads {
    async fn discard(&self, key: Uuid) {
        if let Err(why) = self.remove(key).await {
            tracing::debug!(%why, %key, "an upload is left to the sweep");
        }
    }
}

fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    // Without a runtime the program is ending; the sweep of its next life does it.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(work);
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the file is too large"),
            Self::Busy => f.write_str("too many files arrive at a time"),
            Self::NotFound => f.write_str("there is no such object"),
            Self::Unavailable(why) => write!(f, "the store of uploads is not available: {why}"),
            Self::Full(why) => write!(f, "the store of uploads has no space left: {why}"),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => sorted(&other),
        }
    }
}

/// Looks through the causes for a disk that is full.
fn sorted(error: &(dyn std::error::Error + 'static)) -> Failure {
    use std::io::{
        self,
        ErrorKind::{QuotaExceeded, StorageFull},
    };

    let mut causes = std::iter::successors(Some(error), |error| {
        // What an I/O error wraps is not its source, but the same.
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    });
    let is_full = causes.any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(StorageFull | QuotaExceeded))
    });
    if is_full {
        Failure::Full(error.to_string())
    } else {
        Failure::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_store_that_is_away() {
        let of = |kind| {
            let error = object_store::Error::Generic {
                store: "disk",
                source: Box::new(io::Error::from(kind)),
            };
            Failure::from(error)
        };
        assert!(matches!(of(io::ErrorKind::StorageFull), Failure::Full(_)));
        assert!(matches!(of(io::ErrorKind::QuotaExceeded), Failure::Full(_)));
        assert!(matches!(
            of(io::ErrorKind::ConnectionRefused),
            Failure::Unavailable(_)
        ));
        let wrapped = io::Error::other(object_store::Error::Generic {
            store: "disk",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        });
        assert!(matches!(sorted(&wrapped), Failure::Full(_)));
    }
}
