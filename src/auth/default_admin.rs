//! The account that is ready when an embedded cluster is used, so that a newcomer is in within a
//! minute, and may manage users. It is made once: who deletes it has deleted it. Its password is random and
//! kept in a file that only the cluster's owner can read; that the file is there says that the account was made.

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{password, role::Role};
use crate::{
    db::users,
    embedded::{self, EmbeddedError},
    error::{Error, Result},
    pg::{Pool, dsn::Dsn},
};

/// The name it signs in with.
pub const USERNAME: &str = "newcomer";
/// The file in the cluster's directory that its password is in.
const FILE: &str = "newcomer";

/// What there is to say of the account at a start.
#[derive(Debug, PartialEq, Eq)]
pub enum Newcomer {
    /// It was made with this password, which is said now and never again.
    Made(String),
    /// It was made before; its password is in this file, unless somebody has changed it.
    Kept(PathBuf),
    /// It was deleted or disabled, or its file was.
    Gone,
}

/// Makes the account, at the first start.
///
/// # Errors
/// [`Error::Unavailable`] when the database cannot be reached, [`Error::Start`] when the file cannot
/// be read or written.
pub async fn welcome(database: &Dsn, data_dir: &Path) -> Result<Newcomer> {
    let was_made = embedded::is_kept(data_dir, FILE).map_err(|error| fail(&error))?;
    let client = Pool::new(database, 1)?.client().await?;
    let user = users::by_username(&client, USERNAME).await?;
    if let Some(user) = &user {
        // It may be from before there were roles.
        users::appoint_first_admin(&client, user.id).await?;
    }
    match user {
        Some(user) if user.is_active && was_made => Ok(Newcomer::Kept(data_dir.join(FILE))),
        Some(_) => Ok(Newcomer::Gone),
        None if was_made => Ok(Newcomer::Gone),
        None => {
            let password = kept(data_dir)?;
            let hash = password::hash(&password);
            let made = users::insert(&client, USERNAME, "", &hash, Role::Admin).await;
            match made {
                Ok(Some(_)) => Ok(Newcomer::Made(password)),
                // Somebody else's name looks like it.
                Ok(None) => Ok(Newcomer::Gone),
                Err(error) => {
                    // So that the next start tries again.
                    let _ = embedded::forget(data_dir, FILE);
                    Err(error)
                }
            }
        }
    }
}

/// The password in the file, which is made if it is missing.
fn kept(data_dir: &Path) -> Result<String> {
    let make = || BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>());
    embedded::kept(data_dir, FILE, make).map_err(|error| fail(&error))
}

fn fail(error: &EmbeddedError) -> Error {
    Error::Start(error.to_string())
}
