//! `marketplace migrate`: creates or updates the schema, without a server.

use super::{say, target};
use crate::{config::Target, db::migrate, error::Result, pg::dsn::Dsn};

/// Applies the migrations that are missing.
///
/// # Errors
/// [`Error::Config`](crate::error::Error::Config) when no database is named,
/// [`Error::Start`](crate::error::Error::Start) when the private cluster cannot be used; otherwise as
/// [`migrate::run`].
pub async fn run(target: Target) -> Result<()> {
    let zone = &target.database.time_zone.name;
    // A private cluster that no server runs is brought up to date as it is visited.
    let done = target::visit(&target, async |url: &Dsn| migrate::run(url, zone).await).await?;
    say(&format!("applied {} migrations", done.applied))
}
