//! The database that a command works on: one that is named, or the private cluster, visited whether
//! its server runs or not.

use std::path::Path;

use super::explained;
use crate::{
    config::Target,
    db::migrate,
    embedded::{EmbeddedError, Options, Visit},
    error::{Error, Result},
    pg::dsn::Dsn,
};

/// What messages name instead of a setting.
pub(super) const CLUSTER: &str = "the private cluster";

/// Does `work` on the database of `target`.
///
/// # Errors
/// [`Error::Config`] when none is named, [`Error::Start`] when the cluster cannot be visited;
/// otherwise what `work` says, with what to do about it.
pub(super) async fn visit<T>(
    target: &Target,
    work: impl AsyncFnOnce(&Dsn) -> Result<T>,
) -> Result<T> {
    visit_home(target, async |url: &Dsn, _: Option<&Path>| work(url).await).await
}

/// The same; hands over where the private cluster lives, too, if it is one.
pub(super) async fn visit_home<T>(
    target: &Target,
    work: impl AsyncFnOnce(&Dsn, Option<&Path>) -> Result<T>,
) -> Result<T> {
    if !target.embedded {
        return work(&target.database.url()?, None).await.map_err(explained);
    }
    let options = Options {
        data_dir: target.data_dir.clone(),
        port: None,
        settings: Vec::new(),
    };
    let fail = |error: EmbeddedError| Error::Start(error.to_string());
    let visit = Visit::begin(options).await.map_err(fail)?;
    let url: Dsn = visit.url().parse().map_err(Error::Start)?;
    let url = url.set_by(CLUSTER);
    let done = async {
        if visit.is_alone() {
            migrate::run(&url, &target.database.time_zone.name).await?;
        }
        work(&url, Some(visit.data_dir())).await
    }
    .await;
    visit.end().await.map_err(fail)?;
    done.map_err(explained)
}
