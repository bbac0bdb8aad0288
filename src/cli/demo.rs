//! `marketplace demo`: sample sources for a first look.

use super::{explained, say, target};
use crate::{
    config::Target,
    db::{Pool, dsn::Dsn},
    error::Result,
};

const DEMO: &str = include_str!("../../sql/demo.sql");

/// Adds those that are missing.
///
/// # Errors
/// As those of [`visit`](super::visit), and what the database says.
pub async fn run(target: Target) -> Result<()> {
    let add = async |url: &Dsn| {
        let client = Pool::new(&url.clone().named("marketplace demo"), 1)?
            .client()
            .await?;
        Ok(client.execute_typed(DEMO, &[]).await?)
    };
    let added = target::visit(&target, add).await.map_err(explained)?;
    say(&format!("{added} sample sources were added"))
}
