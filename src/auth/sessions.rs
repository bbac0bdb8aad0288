//! Signed-in browsers: 256 random bits in a cookie, their SHA-256 in the table. A session that is
//! used stays; its end moves at most once an hour, because each move is a write.

use std::{sync::LazyLock, time::Duration};

use sha2::{Digest, Sha256};
use uuid::Uuid;
use warp::http::HeaderMap;

use super::{Identity, SessionRef, cookies};
use crate::{
    app::App,
    db::{
        self, sessions,
        users::{self, User},
    },
    error::Result,
};

/// How long a session lasts after it was last used.
pub const LIFETIME: Duration = Duration::from_hours(14 * 24);
/// How long one lasts that has no cookie and so cannot be used again.
const STAY: Duration = Duration::from_hours(24);
/// How stale the stored end may get before it is moved.
const SLIDE: Duration = Duration::from_hours(1);

/// Opens a session and returns its token, which is new each time and known to nobody else from here
/// on. `None` when the user has another password by now than the one that was proved.
pub async fn open(app: &App, user: &User) -> Result<Option<String>> {
    let token = new_token();
    let client = app.pool.client().await?;
    let opened = sessions::insert(&client, user, &digest(&token), LIFETIME).await?;
    if opened.is_none() {
        return Ok(None);
    }
    users::signed_in(&client, user.id).await?;
    Ok(Some(token))
}

/// The session of a stay without a cookie, whose token nobody ever knows. All stays of a user at this
/// process share one, or each socket that is opened with a password would leave a row behind.
pub(super) async fn open_unseen(app: &App, user: &User) -> Result<Option<SessionRef>> {
    let client = app.pool.client().await?;
    let lifetimes = sessions::Lifetimes {
        with_cookie: LIFETIME,
        unseen: STAY,
        renewed_below: STAY.saturating_sub(SLIDE),
    };
    let stay = sessions::stay(&client, user, &unseen(user), lifetimes).await?;
    Ok(stay.map(|(id, remaining)| SessionRef {
        id,
        remaining,
        extended: false,
    }))
}

/// What the table has for the token of this user's stays. With another password it is another one.
fn unseen(user: &User) -> sessions::TokenHash {
    static SECRET: LazyLock<[u8; 32]> = LazyLock::new(rand::random);
    Sha256::new_with_prefix(*SECRET)
        .chain_update(user.id)
        .chain_update(&user.password_hash)
        .finalize()
        .into()
}

/// Who sent these headers, as the session's cookie tells.
pub(super) async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Identity>> {
    match cookies::value(headers, cookies::SESSION) {
        Some(token) => resume(app, &token).await,
        None => Ok(None),
    }
}

/// Whose session this is, if it is still valid; using it moves its end.
async fn resume(app: &App, token: &str) -> Result<Option<Identity>> {
    db::in_time(async {
        let client = app.pool.client().await?;
        let Some(session) = sessions::by_token(&client, &digest(token)).await? else {
            return Ok(None);
        };
        let remaining = session.remaining();
        let mut extended = remaining + SLIDE < LIFETIME;
        if extended && let Err(error) = sessions::extend(&client, session.id, LIFETIME).await {
            // A database that only reads still knows who is who.
            tracing::warn!(%error, "a session's end could not be moved");
            extended = false;
        }
        Ok(Some(Identity {
            user_id: session.user_id,
            username: session.username,
            role: session.role,
            session: Some(SessionRef {
                id: session.id,
                remaining: if extended { LIFETIME } else { remaining },
                extended,
            }),
        }))
    })
    .await
}

/// Ends the session of this token; true when there was one.
pub async fn close(app: &App, token: &str) -> Result<bool> {
    sessions::delete(&*app.pool.client().await?, &digest(token)).await
}

/// Ends all sessions of a user, and with them their sockets on every node.
pub async fn close_all(app: &App, user_id: Uuid) -> Result<()> {
    sessions::delete_of_user(&*app.pool.client().await?, user_id).await
}

/// 256 random bits as letters, four bits each: clients that look for a year in a cookie to see
/// whether it is being cleared exist, and digits make one now and then.
pub(crate) fn new_token() -> String {
    let bits: [u8; 32] = rand::random();
    bits.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(b'a' + nibble))
        .collect()
}

fn digest(token: &str) -> sessions::TokenHash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_256_bits_in_letters_and_different() {
        let token = new_token();
        assert_eq!(token.len(), 64);
        assert!(token.chars().all(|c| ('a'..='p').contains(&c)));
        assert_ne!(token, new_token());
        assert_ne!(digest(&token), digest(&new_token()));
    }
}
