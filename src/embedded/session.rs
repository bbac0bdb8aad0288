//! A private cluster for a short while: the one that a server of this program runs there already,
//! or else one that is started and stopped again. It changes nothing that a running server relies on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Cluster, EmbeddedError, Options, home, url};

/// How long a cluster that somebody else holds may take until it lets visitors in, or is let go.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it is tried.
const POLL: Duration = Duration::from_millis(100);

/// Access to a private cluster.
#[derive(Debug)]
pub struct Visit {
    url: String,
    data_dir: PathBuf,
    started: Option<Cluster>,
}

impl Visit {
    /// Finds the cluster running, or starts it.
    ///
    /// # Errors
    /// [`EmbeddedError::NoCluster`] when there is none.
    pub async fn begin(options: Options) -> Result<Self, EmbeddedError> {
        let begun = Instant::now();
        loop {
            let busy = match Cluster::start_existing(options.clone()).await {
                Ok(cluster) => {
                    return Ok(Self {
                        url: cluster.url(),
                        data_dir: cluster.data_dir().to_owned(),
                        started: Some(cluster),
                    });
                }
                Err(EmbeddedError::InUse { data_dir, holder }) => {
                    if let Some(url) = running(&data_dir).await? {
                        return Ok(Self {
                            url,
                            data_dir,
                            started: None,
                        });
                    }
                    EmbeddedError::InUse { data_dir, holder }
                }
                Err(error) => return Err(error),
            };
            // It is just being started or stopped.
            if begun.elapsed() > PATIENCE {
                return Err(busy);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// As [`Cluster::url`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As [`Cluster::data_dir`].
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether the cluster was started for this visit, so that no server cares for its schema.
    pub fn is_alone(&self) -> bool {
        self.started.is_some()
    }

    /// Stops what was started.
    pub async fn end(self) -> Result<(), EmbeddedError> {
        match self.started {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// The address of the cluster in a data directory that somebody else holds, if it answers there.
async fn running(data_dir: &Path) -> Result<Option<String>, EmbeddedError> {
    let Some((password, port)) = home::address(data_dir)? else {
        return Ok(None);
    };
    let url = url(&password, port);
    let config: tokio_postgres::Config = url.parse().map_err(EmbeddedError::Connect)?;
    match config.connect(tokio_postgres::NoTls).await {
        Ok(_) => Ok(Some(url)),
        Err(_) => Ok(None),
    }
}
