//! Signed-in browsers: 256 random bits in a cookie, their SHA-256 in the table. A session that is
//! used stays; its end moves at most once an hour, because each move is a write.

use std::{fmt, sync::LazyLock, time::Duration};

use sha2::{Digest, Sha256};
use uuid::Uuid;
use warp::http::HeaderMap;

use super::{Auth, Identity, SessionRef, cookies};
use crate::{
    db::{
        sessions,
        users::{self, User},
    },
    error::Result,
    pg,
};

/// How long a session lasts after it was last used.
pub const LIFETIME: Duration = Duration::from_hours(14 * 24);
/// How long one lasts that has no cookie and so cannot be used again.
const STAY: Duration = Duration::from_hours(24);
/// So many cookies of a session are looked at.
const MAX_TOKENS: usize = 32;
/// How stale the stored end may get before it is moved.
const SLIDE: Duration = Duration::from_hours(1);

/// Opens a session and returns its token, which is new each time and known to nobody else from here
/// on. `None` when the user has another password by now than the one that was proved.
pub async fn open(auth: &Auth, user: &User) -> Result<Option<String>> {
    let token = new_token();
    let client = auth.pool.client().await?;
    let opened = sessions::insert(&client, user, &digest(&token), LIFETIME).await?;
    if opened.is_none() {
        return Ok(None);
    }
    users::signed_in(&client, user.id).await?;
    Ok(Some(token))
}

/// The session of a stay without a cookie, whose token nobody ever knows. All stays of a user at this
/// process share one, or each socket that is opened with a password would leave a row behind.
pub(super) async fn open_unseen(auth: &Auth, user: &User) -> Result<Option<SessionRef>> {
    let client = auth.pool.client().await?;
    let lifetimes = sessions::Lifetimes {
        with_cookie: LIFETIME,
        unseen: STAY,
        renewed_below: STAY.saturating_sub(SLIDE),
    };
    let stay = sessions::stay(&client, user, &unseen(user), lifetimes).await?;
    Ok(stay.map(|(id, remaining)| SessionRef {
        id,
        remaining,
        extended: None,
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

/// A session's token as a cookie brought it. It is never formatted.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// For the cookie.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// What the session's cookies bring that can be tokens, the last `MAX_TOKENS` of them. A browser may
/// send several: an old one of another path, or one that a page of another subdomain has set.
fn tokens(headers: &HeaderMap) -> Vec<Token> {
    let mut tokens: Vec<_> = cookies::values(headers, cookies::SESSION)
        .rev()
        .filter(|value| is_token(value))
        .map(|value| Token(String::from_utf8_lossy(value).into_owned()))
        .take(MAX_TOKENS)
        .collect();
    tokens.reverse();
    tokens
}

fn digests(tokens: &[Token]) -> Vec<sessions::TokenHash> {
    tokens.iter().map(|token| digest(token.reveal())).collect()
}

/// Who sent these headers, as the session's cookie tells: of several cookies any that is good, and the
/// last of those. Using a session moves its end.
pub(super) async fn of(auth: &Auth, headers: &HeaderMap) -> Result<Option<Identity>> {
    let mut tokens = tokens(headers);
    if tokens.is_empty() {
        return Ok(None);
    }
    pg::in_time(async {
        let client = auth.pool.client().await?;
        let found = sessions::by_tokens(&client, &digests(&tokens)).await?;
        let Some((place, session)) = found else {
            return Ok(None);
        };
        let remaining = session.remaining();
        let mut extended = remaining + SLIDE < LIFETIME;
        if extended && let Err(error) = sessions::extend(&client, session.id, LIFETIME).await {
            // A database that only reads still knows who is who.
            tracing::warn!(%error, "cannot extend a session");
            extended = false;
        }
        Ok(Some(Identity {
            user_id: session.user_id,
            username: session.username,
            role: session.role,
            session: Some(SessionRef {
                id: session.id,
                remaining: if extended { LIFETIME } else { remaining },
                extended: extended.then(|| tokens.swap_remove(place)),
            }),
        }))
    })
    .await
}

/// Ends the sessions whose cookies these headers bring.
pub async fn close(auth: &Auth, headers: &HeaderMap) -> Result<()> {
    let tokens = tokens(headers);
    if tokens.is_empty() {
        return Ok(());
    }
    sessions::delete(&*auth.pool.client().await?, &digests(&tokens)).await
}

/// Ends all sessions of a user, and with them their sockets on every node.
pub async fn close_all(auth: &Auth, user_id: Uuid) -> Result<()> {
    sessions::delete_of_user(&*auth.pool.client().await?, user_id).await
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

/// Whether it is of the form of [`new_token`].
fn is_token(value: &[u8]) -> bool {
    value.len() == 64 && value.iter().all(|byte| (b'a'..=b'p').contains(byte))
}

fn digest(token: &str) -> sessions::TokenHash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use warp::http::{HeaderValue, header::COOKIE};

    use super::*;

    #[test]
    fn tokens_are_256_bits_in_letters_and_different() {
        let token = new_token();
        assert_eq!(token.len(), 64);
        assert!(is_token(token.as_bytes()));
        assert_ne!(token, new_token());
        assert_ne!(digest(&token), digest(&new_token()));
    }

    #[test]
    fn only_so_many_cookies_are_looked_at_and_only_tokens() {
        let all: Vec<String> = (0..MAX_TOKENS + 5).map(|_| new_token()).collect();
        let cookies: Vec<String> = all
            .iter()
            .map(|token| format!("sessionid={token}; sessionid=made-up"))
            .collect();
        let cookies = HeaderValue::from_str(&cookies.join("; ")).unwrap();
        let headers = HeaderMap::from_iter([(COOKIE, cookies)]);
        let found: Vec<_> = tokens(&headers).iter().map(|t| t.0.clone()).collect();
        assert_eq!(found, all[5..]);
        assert!(!format!("{:?}", tokens(&headers)).contains(&all[5]));
    }
}
