//! Who is asking, and whether they may. Used by HTTP and by the handshake of sockets; knows neither.

pub mod access;
pub mod basic;
pub mod cookies;
pub mod default_admin;
mod imported;
pub mod origin;
pub mod password;
pub mod role;
pub mod sessions;
mod verified_cache;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time;
use uuid::Uuid;
use warp::http::{HeaderMap, HeaderValue};

use self::{password::Hasher, role::Role};
use crate::{
    config::CookieSecure,
    db::users::{self, User},
    error::Error,
    hashes::Kind,
    limits::{Limits, TooMany, turns::Asker},
    peer::Peer,
    pg::{self, Pool},
};

/// Longest name and password that are looked for: 150 and 4,096 characters of four bytes.
const MAX_NAME_BYTES: usize = 600;
const MAX_PASSWORD_BYTES: usize = 16 * 1024;

/// Finds out who sends a request, and opens and ends sessions.
#[derive(Debug)]
pub struct Auth {
    /// For accounts and sessions.
    pub pool: Pool,
    /// Hashes and verifies passwords, a few at a time.
    pub hasher: Hasher,
    /// How often one client may be wrong.
    pub limits: Arc<Limits>,
    /// Origins of the frontends.
    pub allowed_origins: Vec<HeaderValue>,
    /// Whether browsers are to keep the cookies off plain http.
    pub cookie_secure: CookieSecure,
}

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
    /// The token, when the session's end was just moved: the browser's cookie should follow.
    pub extended: Option<sessions::Token>,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Refused {
    /// They did not prove who they are; the text says what was missing.
    Denied(&'static str),
    /// Too many were wrong before, or wait already; whether this one is was not looked at.
    TooMany(TooMany),
    /// Too many passwords wait to be looked at.
    Busy,
    /// It could not be found out.
    Failed(Error),
}

impl From<TooMany> for Refused {
    fn from(many: TooMany) -> Self {
        Self::TooMany(many)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Who sent these headers from there: by the session's cookie, or else by name and password.
///
/// # Errors
/// [`Refused`] when neither is valid, or when the database does not answer in time.
pub async fn identify(auth: &Auth, from: &Peer, headers: &HeaderMap) -> Result<Identity, Refused> {
    match sessions::of(auth, headers).await? {
        Some(identity) => Ok(identity),
        None => Ok(by_password(auth, from, headers).await?.into()),
    }
}

/// Somebody who asks to stay, and may be refused yet for other reasons.
#[derive(Debug)]
pub struct Arrival {
    identity: Identity,
    /// Whoever came with a password has no session yet.
    user: Option<User>,
}

impl Arrival {
    /// What they may do.
    pub fn role(&self) -> Role {
        self.identity.role
    }

    /// Names the user in the database.
    pub fn user_id(&self) -> Uuid {
        self.identity.user_id
    }
}

/// Like [`identify`], for somebody who asks to stay. Leaves nothing behind: [`stay`] does, once
/// nothing is in the way.
///
/// # Errors
/// As [`identify`].
pub async fn arrive(auth: &Auth, from: &Peer, headers: &HeaderMap) -> Result<Arrival, Refused> {
    if let Some(mut identity) = sessions::of(auth, headers).await? {
        // An answer that opens a socket sets no cookie.
        if let Some(session) = &mut identity.session {
            session.extended = None;
        }
        return Ok(Arrival {
            identity,
            user: None,
        });
    }
    let user = by_password(auth, from, headers).await?;
    Ok(Arrival {
        identity: user.clone().into(),
        user: Some(user),
    })
}

/// Lets somebody stay. A password has no end, so it becomes a session that nobody has the cookie of:
/// what ends a user's sessions ends their stay, however they came in.
///
/// # Errors
/// [`Refused`] when the user was disabled or has another password by now, or when the database does
/// not answer in time.
pub async fn stay(auth: &Auth, arrival: Arrival) -> Result<Identity, Refused> {
    let Arrival { identity, user } = arrival;
    let Some(user) = user else {
        return Ok(identity);
    };
    let session = pg::in_time(sessions::open_unseen(auth, &user)).await?;
    Ok(Identity {
        session: Some(session.ok_or(NOT_THEM)?),
        ..identity
    })
}

/// What is said whether the name or the password was wrong.
const NOT_THEM: Refused = Refused::Denied("Invalid username/password.");

impl From<User> for Identity {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id,
            username: user.username,
            role: user.role,
            session: None,
        }
    }
}

async fn by_password(auth: &Auth, from: &Peer, headers: &HeaderMap) -> Result<User, Refused> {
    let Some(credentials) = basic::credentials(headers).map_err(Refused::Denied)? else {
        return Err(Refused::Denied(
            "Authentication credentials were not provided.",
        ));
    };
    let basic::Credentials { username, password } = credentials;
    verify_password(auth, from, &username, &password)
        .await?
        .ok_or(NOT_THEM)
}

/// The user of this name, if the password is theirs. Every password is looked at here and nowhere
/// else, so that every wrong one counts.
///
/// # Errors
/// [`Refused`] when too many were wrong, or when the database does not answer in time.
pub async fn verify_password(
    auth: &Auth,
    from: &Peer,
    username: &str,
    password: &str,
) -> Result<Option<User>, Refused> {
    // No account has such a name or password, and nobody keeps that much in mind while they wait.
    if username.len() > MAX_NAME_BYTES || password.len() > MAX_PASSWORD_BYTES {
        return Ok(None);
    }
    // Whoever is refused is so before anything is done for them.
    auth.limits.sign_ins.attempt(from, username)?.withdraw();
    // Who is disabled is found out about as slowly as who is not there.
    let (user, has_imported) = active(auth, username).await?;
    let stored = user.as_ref().map(|user| user.password_hash.as_str());
    let asker = auth.limits.sign_ins.asker(from, username);
    let turn = auth.hasher.turn(&asker).await?;
    let began = Instant::now();
    // Not counted before it is our turn: of a hundred who sign in at once, few count at a time. Nor
    // is what is remembered asked before, or it could be guessed at without end.
    let attempt = auth.limits.sign_ins.attempt(from, username)?;
    if !turn.verify(username, password, stored).await? {
        if has_imported {
            time::sleep_until(end_of_wrong(began, began.elapsed()).into()).await;
        }
        return Ok(None);
    }
    attempt.succeeded();
    match user {
        Some(user) if Kind::of(&user.password_hash).is_foreign() => {
            renew(auth, &asker, user, password).await
        }
        user => Ok(user),
    }
}

/// How long every wrong password takes while somebody has a hash that was imported: these take longer to
/// compare than this program's own, so that a shorter time would tell who has which, and who is not there.
/// The most costly ones that are compared at all take half of it on a small machine.
const WRONG: Duration = Duration::from_secs(1);

/// When a wrong password is answered whose comparison took `took`: on a machine that is too slow, after
/// twice or three times as long, and never at a time of its own.
fn end_of_wrong(began: Instant, took: Duration) -> Instant {
    let times = took.as_millis() / WRONG.as_millis() + 1;
    began + WRONG * u32::try_from(times).unwrap_or(u32::MAX)
}

/// The user of this name who is let in, and whether anybody has a hash that was imported.
async fn active(auth: &Auth, username: &str) -> Result<(Option<User>, bool), Error> {
    let found =
        pg::in_time(async { users::to_sign_in(&*auth.pool.client().await?, username).await });
    let (user, has_imported) = found.await?;
    Ok((user.filter(|user| user.is_active), has_imported))
}

/// Gives a user whose hash came from elsewhere one of ours, now that the password is known.
async fn renew(
    auth: &Auth,
    asker: &Asker,
    user: User,
    password: &str,
) -> Result<Option<User>, Refused> {
    let hash = auth.hasher.hash(asker, password.to_owned()).await?;
    let renewed = pg::in_time(async {
        users::renew_password_hash(&*auth.pool.client().await?, &user, &hash).await
    });
    match renewed.await {
        Ok(true) => Ok(Some(User {
            password_hash: hash,
            ..user
        })),
        // Most likely they did so themselves, by another request at the same time.
        Ok(false) => {
            let (Some(user), _) = active(auth, &user.username).await? else {
                return Ok(None);
            };
            let turn = auth.hasher.turn(asker).await?;
            let is_right = turn
                .verify(&user.username, password, Some(&user.password_hash))
                .await?;
            Ok(is_right.then_some(user))
        }
        Err(error) => {
            // A database that only reads still knows who is who.
            tracing::warn!(%error, "cannot replace the hash of an imported password");
            Ok(Some(user))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_answered_at_a_time_that_tells_nothing_of_its_comparison() {
        let began = Instant::now();
        for (took, after) in [
            (0, 1),
            (1, 1),
            (40, 1),
            (640, 1),
            (999, 1),
            (1000, 2),
            (2500, 3),
        ] {
            let end = end_of_wrong(began, Duration::from_millis(took));
            assert_eq!(end - began, Duration::from_secs(after), "{took} ms");
        }
    }
}
