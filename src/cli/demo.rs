//! `marketplace demo`: sample sources for a first look.

use super::{say, target};
use crate::{
    config::Target,
    db::demo,
    error::Result,
    pg::{Pool, dsn::Dsn},
};

/// Adds those that are missing.
///
/// # Errors
/// [`Error::Config`](crate::error::Error::Config) when no database is named,
/// [`Error::Start`](crate::error::Error::Start) when the private cluster cannot be used; otherwise what the
/// database says.
pub async fn run(target: Target) -> Result<()> {
    let add = async |url: &Dsn| {
        let client = Pool::new(&url.clone().named("marketplace demo"), 1)?
            .client()
            .await?;
        demo::add(&client, "").await
    };
    let added = target::visit(&target, add).await?;
    say(&format!("{added} sample sources were added"))
}
