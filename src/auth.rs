//! Who is asking, and whether they may. Used by HTTP and by the handshake of sockets; knows neither.

pub mod basic;
pub mod cookies;
pub mod newcomer;
pub mod origin;
pub mod password;
mod recent;
pub mod role;
pub mod sessions;

use std::time::Duration;

use uuid::Uuid;
use warp::http::HeaderMap;

use self::role::Role;
use crate::{
    app::App,
    db::{self, users},
    error::Error,
};

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names the user in the database.
    pub user_id: Uuid,
    /// The name they sign in with.
    pub username: String,
    /// What they may do; on a socket, by now.
    pub role: Role,
    /// The session they came with; none when they sent their password.
    pub session: Option<SessionRef>,
}

/// A session by the name that gives no access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRef {
    /// Names the session in the database and in notifications.
    pub id: Uuid,
    /// How much longer it is valid.
    pub remaining: Duration,
    /// Whether its end was just moved: the browser's cookie should follow.
    pub extended: bool,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Refused {
    /// They did not prove who they are; the text says what was missing.
    Denied(&'static str),
    /// It could not be found out.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Who sent these headers: by the session's cookie, or else by name and password.
///
/// # Errors
/// [`Refused`] when neither is valid, or when the database does not answer in time.
pub async fn identify(app: &App, headers: &HeaderMap) -> Result<Identity, Refused> {
    if let Some(token) = cookies::value(headers, cookies::SESSION)
        && let Some(identity) = sessions::resume(app, &token).await?
    {
        return Ok(identity);
    }
    let Some(credentials) = basic::credentials(headers).map_err(Refused::Denied)? else {
        return Err(Refused::Denied(
            "Authentication credentials were not provided.",
        ));
    };
    let basic::Credentials { username, password } = credentials;
    let user =
        db::in_time(async { users::by_username(&*app.pool.client().await?, &username).await })
            .await?
            // Who is disabled is found out about as slowly as who is not there.
            .filter(|user| user.is_active);
    let stored = user.as_ref().map(|user| user.password_hash.as_str());
    let is_right = app.hasher.verify_again(&username, password, stored).await?;
    match user {
        Some(user) if is_right => Ok(Identity {
            user_id: user.id,
            username: user.username,
            role: user.role,
            session: None,
        }),
        _ => Err(Refused::Denied("Invalid username/password.")),
    }
}
