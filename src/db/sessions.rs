//! The table `sessions`: signed-in browsers. Only hashes of tokens pass through here.

use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{
    row::{self, FromRow, row},
    users::{Role, User},
};
use crate::{error::Result, pg::Client};

row! {
    /// A session that is still valid, and whose it is.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Session from "sessions" {
        /// Names the session; gives no access.
        pub id: Uuid = "s.id",
        /// Whose it is.
        pub user_id: Uuid = "s.user_id",
        /// The name that user signs in with.
        pub username: String = "u.username",
        /// What that user may do.
        pub role: Role = "u.role",
        /// How much longer the session is valid, in seconds. An end further away than a year is no nearer to being looked
        /// at again, and might be one that no interval can hold.
        seconds: f64 = "extract(epoch from
            least(s.expires_at, statement_timestamp() + interval '1 year') - statement_timestamp())::float8",
    }
}

impl Session {
    /// How much longer it is valid, by the database's clock; a year when it is longer.
    pub fn remaining(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

/// SHA-256 of a session's token.
pub type TokenHash = [u8; 32];

/// Of those that are valid.
pub(super) const FROM: &str = "from public.sessions s join public.users u on u.id = s.user_id
  where s.expires_at > statement_timestamp() and u.is_active";

/// How many sessions a user has at most; a new one replaces the one that was used longest ago.
const MOST: i64 = 100;

/// The user of `$1`, unless they are gone, disabled or have another password by now than `$2`; and
/// the end of their sessions that are too many beside a new one. The lock makes a change of password
/// that is under way come first or after: it ends the sessions that it finds, and must find the new
/// one or prevent it. `$4` is how long a session lasts that has a cookie.
const OWNER: &str = "with owner as materialized (
        select id from public.users
         where id = $1 and password_hash = $2 and is_active for share
    ), surplus as (
        delete from public.sessions
         where id in (
             select id from public.sessions
              where id in (
                  select s.id from public.sessions s join owner on owner.id = s.user_id
                   where s.token_hash <> $3
                   order by greatest(s.created_at, s.expires_at - make_interval(secs => $4)) desc,
                       s.id
                  offset $5)
                for update skip locked)
    )";

/// Opens a session of `user` that lasts `lifetime`; `None` when the user is gone, disabled or
/// has another password by now.
pub async fn insert(
    client: &Client,
    user: &User,
    token: &TokenHash,
    lifetime: Duration,
) -> Result<Option<Uuid>> {
    let sql = format!(
        "{OWNER}
         insert into public.sessions (user_id, token_hash, expires_at)
         select id, $3, clock_timestamp() + make_interval(secs => $4) from owner
         returning id"
    );
    let values: [(&(dyn ToSql + Sync), Type); 5] = [
        (&user.id, Type::UUID),
        (&user.password_hash, Type::TEXT),
        (&token.as_slice(), Type::BYTEA),
        (&lifetime.as_secs_f64(), Type::FLOAT8),
        (&(MOST - 1), Type::INT8),
    ];
    let rows = client.query_typed(&sql, &values).await?;
    row::value(&rows, "id")
}

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// One that has a cookie, since it was last used.
    pub with_cookie: Duration,
    /// One that has none.
    pub unseen: Duration,
    /// One that has none is prolonged when less than this is left.
    pub renewed_below: Duration,
}

/// The one session of `user` with this token, which no cookie has: opened if there is none, prolonged
/// when it ends soon. With how much longer it is valid; `None` as for [`insert`].
pub async fn stay(
    client: &Client,
    user: &User,
    token: &TokenHash,
    lifetimes: Lifetimes,
) -> Result<Option<(Uuid, Duration)>> {
    let sql = format!(
        "{OWNER}, kept as (
             select s.id, s.expires_at from public.sessions s join owner on owner.id = s.user_id
              where s.token_hash = $3
                and s.expires_at > statement_timestamp() + make_interval(secs => $7)
         ), opened as (
             insert into public.sessions (user_id, token_hash, expires_at)
             select id, $3, clock_timestamp() + make_interval(secs => $6) from owner
              where not exists (select from kept)
             on conflict (token_hash) do update set expires_at = excluded.expires_at
             returning id, expires_at
         )
         select stay.id, extract(epoch from
                 least(stay.expires_at, clock_timestamp() + interval '1 year') - clock_timestamp()
             )::float8 as remaining
           from (select * from kept union all select * from opened) stay"
    );
    let values: [(&(dyn ToSql + Sync), Type); 7] = [
        (&user.id, Type::UUID),
        (&user.password_hash, Type::TEXT),
        (&token.as_slice(), Type::BYTEA),
        (&lifetimes.with_cookie.as_secs_f64(), Type::FLOAT8),
        (&(MOST - 1), Type::INT8),
        (&lifetimes.unseen.as_secs_f64(), Type::FLOAT8),
        (&lifetimes.renewed_below.as_secs_f64(), Type::FLOAT8),
    ];
    let rows = client.query_typed(&sql, &values).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let remaining = Duration::try_from_secs_f64(row.try_get("remaining")?);
    Ok(Some((row.try_get("id")?, remaining.unwrap_or_default())))
}

/// How many sessions are valid.
pub async fn count(client: &Client) -> Result<i64> {
    let sql =
        "select count(*) as valid from public.sessions where expires_at > statement_timestamp()";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(row::value(&rows, "valid")?.unwrap_or_default())
}

/// The valid session of one of these tokens, of several the one whose token comes last, and which of
/// them that is.
pub async fn by_tokens(client: &Client, tokens: &[TokenHash]) -> Result<Option<(usize, Session)>> {
    let sql = format!(
        "select {}, s.token_hash {FROM} and s.token_hash = any($1)",
        Session::COLUMNS
    );
    let asked: Vec<&[u8]> = tokens.iter().map(TokenHash::as_slice).collect();
    let rows = client
        .query_typed(&sql, &[(&asked, Type::BYTEA_ARRAY)])
        .await?;
    let mut last = None;
    for row in &rows {
        let hash: &[u8] = row.try_get("token_hash")?;
        let place = asked.iter().rposition(|token| *token == hash);
        if place >= last.map(|(place, _)| place) {
            last = place.map(|place| (place, row));
        }
    }
    let session = |(place, row)| Ok((place, Session::from_row(row)?));
    last.map(session).transpose()
}

/// Those of `ids` that are still valid.
pub async fn by_ids(client: &Client, ids: &[Uuid]) -> Result<Vec<Session>> {
    let sql = format!("select {} {FROM} and s.id = any($1)", Session::COLUMNS);
    let rows = client
        .query_typed(&sql, &[(&ids, Type::UUID_ARRAY)])
        .await?;
    row::all(&rows)
}

/// Moves the end of a session to `lifetime` from now.
pub async fn extend(client: &Client, id: Uuid, lifetime: Duration) -> Result<()> {
    let sql =
        "update public.sessions set expires_at = clock_timestamp() + make_interval(secs => $2)
                where id = $1";
    client
        .execute_typed(
            sql,
            &[(&id, Type::UUID), (&lifetime.as_secs_f64(), Type::FLOAT8)],
        )
        .await?;
    Ok(())
}

/// Ends the sessions of these tokens.
pub async fn delete(client: &Client, tokens: &[TokenHash]) -> Result<()> {
    let sql = "delete from public.sessions where token_hash = any($1)";
    let tokens: Vec<&[u8]> = tokens.iter().map(TokenHash::as_slice).collect();
    client
        .execute_typed(sql, &[(&tokens, Type::BYTEA_ARRAY)])
        .await?;
    Ok(())
}

/// Ends all sessions of a user.
pub async fn delete_of_user(client: &Client, user_id: Uuid) -> Result<()> {
    let sql = "delete from public.sessions where user_id = $1";
    client.execute_typed(sql, &[(&user_id, Type::UUID)]).await?;
    Ok(())
}

/// Removes sessions that ended by themselves; returns how many. Leaves those that another transaction
/// has locked: waiting for them could make that one fail with a deadlock.
pub async fn delete_expired(client: &Client) -> Result<u64> {
    let sql = "delete from public.sessions where id in (
                   select id from public.sessions where expires_at <= statement_timestamp()
                      for update skip locked)";
    client.execute_typed(sql, &[]).await
}
