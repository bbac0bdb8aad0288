//! Uploads in a directory of this machine. Whoever owns the directory, or one above it, may put links into
//! it: files are opened as in [`crate::directory`], so that root is led nowhere.

use std::{io, path::PathBuf, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncWriteExt},
    task,
};
use uuid::Uuid;

use super::{Failure, Fetched};
use crate::directory::{Directory, PathError, User};

/// What is read of a file at once.
const PIECE_BYTES: usize = 64 << 10;

/// A directory, which is made when the first file arrives. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Local(Arc<PathBuf>);

impl Local {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(path))
    }

    /// Whether it is there. One that is missing may be one that is not mounted.
    pub(super) fn is_there(&self) -> Result<(), Failure> {
        Ok(self.open().map(drop)?)
    }

    /// Whether a file can be made in it, or the directory itself.
    pub(super) fn can_be_written(&self) -> Result<(), PathError> {
        let path = self.path();
        let there = path.ancestors().find(|path| path.exists());
        let directory = Directory::open(there.unwrap_or(&path))?;
        let name = format!(".marketplace-check-{}", Uuid::new_v4());
        directory.new_file(&name, User::running())?;
        directory.remove(name.as_ref())
    }

    /// Makes the directory if it is missing.
    pub(super) async fn make(&self) -> Result<(), Failure> {
        let this = self.clone();
        let made = in_background(move || Directory::make(&this.path(), User::running()));
        Ok(made.await.map(drop)?)
    }

    /// Begins to store a file.
    pub(super) async fn create(&self, key: Uuid) -> Result<LocalWriter, Failure> {
        let this = self.clone();
        let made = in_background(move || {
            let directory = this.open()?;
            let file = directory.new_file(&staged(key), User::running())?;
            Ok((directory, file))
        });
        let (directory, file) = made.await?;
        Ok(LocalWriter {
            directory: Arc::new(directory),
            key,
            file: File::from_std(file),
        })
    }

    /// A file's length and what it contains.
    pub(super) async fn fetch(&self, key: Uuid) -> Result<Fetched, Failure> {
        let this = self.clone();
        let opened = in_background(move || {
            let file = match this.open()?.own_file(&key.to_string()) {
                Err(error) if error.is_not_found() => return Ok(None),
                file => file?,
            };
            let size = file.metadata().map_err(|source| PathError {
                path: this.0.join(key.to_string()),
                source,
            })?;
            Ok(Some((file, size.len())))
        });
        let (file, size) = opened.await?.ok_or(Failure::NotFound)?;
        let file = File::from_std(file).take(size);
        let chunks = stream::try_unfold(file, async |mut file| {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let read = file.read_buf(&mut piece).await?;
            Ok((read > 0).then(|| (piece.freeze(), file)))
        });
        Ok(Fetched {
            size,
            chunks: chunks.boxed(),
        })
    }

    /// Removes a file, and what a server that was killed has left of it. One that is not there is gone.
    pub(super) async fn delete(&self, key: Uuid) -> Result<(), Failure> {
        let this = self.clone();
        let deleted = in_background(move || {
            let directory = this.open()?;
            for name in [key.to_string(), staged(key)] {
                remove(&directory, &name)?;
            }
            Ok(())
        });
        Ok(deleted.await?)
    }

    fn open(&self) -> Result<Directory, PathError> {
        Directory::open(&self.path())
    }

    /// Its path from the root, which fails only for an empty one or where there is no current directory.
    fn path(&self) -> PathBuf {
        std::path::absolute(&*self.0).unwrap_or_else(|_| self.0.to_path_buf())
    }
}

/// A file that arrives. It gets its name when it is whole.
#[derive(Debug)]
pub(super) struct LocalWriter {
    directory: Arc<Directory>,
    key: Uuid,
    file: File,
}

impl LocalWriter {
    /// Takes the next piece.
    pub(super) async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.file.write_all(&piece).await
    }

    /// Gives the file its name once it is on the disk. One that cannot be completed goes.
    pub(super) async fn finish(mut self) -> Result<(), Failure> {
        let written = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        if let Err(error) = written.await {
            self.abort().await;
            return Err(super::sorted(&error));
        }
        let (directory, key) = (self.directory.clone(), self.key);
        let named = in_background(move || {
            directory.rename(&staged(key), &key.to_string())?;
            directory.sync()
        });
        Ok(named.await?)
    }

    /// Removes what has arrived.
    pub(super) async fn abort(self) {
        let Self {
            directory,
            key,
            file,
        } = self;
        drop(file);
        let removed = in_background(move || remove(&directory, &staged(key)));
        if let Err(error) = removed.await {
            tracing::debug!(%error, %key, "an upload could not be broken off");
        }
    }
}

/// The name of a file that is not whole.
fn staged(key: Uuid) -> String {
    format!("{key}#1")
}

fn remove(directory: &Directory, name: &str) -> Result<(), PathError> {
    match directory.remove(name.as_ref()) {
        Err(error) if error.is_not_found() => Ok(()),
        removed => removed,
    }
}

/// Does what may wait for the disk.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PathError> + Send + 'static,
) -> Result<T, PathError> {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(PathError {
            path: "the directory of uploads".into(),
            source: error.into(),
        }),
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        super::sorted(&error)
    }
}
