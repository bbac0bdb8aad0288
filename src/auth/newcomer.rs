//! The account that is ready when an embedded cluster is used, so that a newcomer is in within a
//! minute, and may manage users. Its password is random and kept in a file that only the cluster's owner can read.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{password, role::Role};
use crate::{
    db::{Pool, dsn::Dsn, users},
    error::{Error, Result},
};

/// The name it signs in with.
pub const USERNAME: &str = "newcomer";

/// Makes the account if it is missing and gives its password; the same in every run.
///
/// # Errors
/// [`Error::Unavailable`] when the database cannot be reached, [`Error::Start`] when the file cannot
/// be read or written.
pub async fn password(database: &Dsn, data_dir: &Path) -> Result<String> {
    let password = kept(&data_dir.join("newcomer"))?;
    let client = Pool::new(database, 1)?.client().await?;
    if let Some(user) = users::by_username(&client, USERNAME).await? {
        // It may be from before there were roles.
        users::appoint_first_admin(&client, user.id).await?;
    } else {
        let hash = password::hash(&password);
        users::insert(&client, USERNAME, "", &hash, Role::Admin).await?;
    }
    Ok(password)
}

/// The password in the file, which is made if it is missing.
fn kept(file: &PathBuf) -> Result<String> {
    let fail = |e: std::io::Error| Error::Start(format!("{}: {e}", file.display()));
    match fs::read_to_string(file) {
        Ok(password) => Ok(password.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let password = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 12]>());
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(file)
                .map_err(fail)?;
            writeln!(file, "{password}").map_err(fail)?;
            Ok(password)
        }
        Err(e) => Err(fail(e)),
    }
}
