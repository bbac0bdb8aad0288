//! The table `users`: its row and its statements. Hashes come and go; passwords are never seen here.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use tokio_postgres::types::{FromSql, Type};
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{self, FromRow, row};
use crate::{
    error::{Error, Result},
    local_time::LocalTime,
    names::Keys,
    pg::{Client, Transaction, retry::retried},
};

row! {
    /// Somebody who may sign in.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct User from "users" {
        /// Names the user everywhere else in the database.
        pub id: Uuid,
        /// What is typed to sign in.
        pub username: String,
        /// A PHC string, or what was imported from elsewhere.
        pub password_hash: String,
        /// What they may do.
        pub role: Role,
        /// Whether they are let in at all.
        pub is_active: bool,
    }
}

row! {
    /// A user as those see them who manage users: all but the hash.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
    #[schema(as = User)]
    pub struct Account from "users" {
        /// As [`User::id`].
        pub id: Uuid,
        /// As [`User::username`].
        pub username: String,
        /// May be empty.
        pub email: String,
        /// As [`User::role`].
        pub role: Role,
        /// As [`User::is_active`].
        pub is_active: bool,
        /// When it was made.
        pub created_at: LocalTime,
        /// The last sign-in with a session; none before the first.
        #[schema(required)]
        pub last_login_at: Option<LocalTime>,
    }
}

row! {
    /// The role of somebody who is let in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Admitted from "users" {
        /// As [`User::id`].
        pub id: Uuid,
        /// As [`User::role`].
        pub role: Role,
    }
}

/// What a user is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also changes.
    Editor,
    /// Also manages users.
    Admin,
}

impl Role {
    /// The name in SQL and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }
}

impl<'a> FromSql<'a> for Role {
    /// A role of a later version of the schema, which may run beside this one, is the least here.
    fn from_sql(
        kind: &Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let name = <&str as FromSql>::from_sql(kind, raw)?;
        Ok(name.parse().unwrap_or(Self::Viewer))
    }

    fn accepts(kind: &Type) -> bool {
        <&str as FromSql>::accepts(kind)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Viewer, Self::Editor, Self::Admin]
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| "must be viewer, editor or admin".into())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The user of exactly this name.
pub async fn by_username(client: &Client, username: &str) -> Result<Option<User>> {
    // PostgreSQL holds no NUL, so nobody can be called so; asking would be an error.
    if username.contains('\0') {
        return Ok(None);
    }
    let sql = format!(
        "select {} from public.users where username = $1",
        User::COLUMNS
    );
    row::first(&client.query_typed(&sql, &[(&username, Type::TEXT)]).await?)
}

/// The user of exactly this name, and whether anybody still has a password's hash that was imported.
pub async fn to_sign_in(client: &Client, username: &str) -> Result<(Option<User>, bool)> {
    let sql = format!(
        "select {}, exists (select from public.users
                             where password_hash like 'pbkdf2\\_sha256$%'
                                or password_hash like '$argon2%'
                                   and password_hash not like '$argon2id$v=19$m=19456,t=2,p=1$%'
                           ) as has_imported
           from (values (1)) one left join public.users on username = $1",
        User::COLUMNS
    );
    // PostgreSQL holds no NUL, so nobody can be called so; nor is anybody called nothing.
    let username = if username.contains('\0') {
        ""
    } else {
        username
    };
    let rows = client.query_typed(&sql, &[(&username, Type::TEXT)]).await?;
    let has_imported = row::value(&rows, "has_imported")?.unwrap_or_default();
    let is_there = row::value::<Option<Uuid>>(&rows, "id")?.flatten().is_some();
    let found = if is_there { row::first(&rows)? } else { None };
    Ok((found, has_imported))
}

/// Whether somebody has this name, or one that looks like it.
///
/// # Errors
/// [`Error::Unavailable`] while so many users have no keys yet that comparing with them takes too long.
pub async fn is_taken(client: &Client, username: &str) -> Result<bool> {
    let keys = Keys::of(username);
    let sql =
        "select from public.users where username = $1 or name_key = $2 or look_key = $3 limit 1";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&username, Type::TEXT),
        (&keys.letters, Type::TEXT),
        (&keys.look, Type::TEXT),
    ];
    if !client.query_typed(sql, &values).await?.is_empty() {
        return Ok(true);
    }
    looks_like_one_without_keys(client, &keys).await
}

/// So many users without keys are compared with a new name, and no more.
const MAX_WITHOUT_KEYS: i64 = 10_000;

/// Compares with those who came by an import or by SQL and have not been given keys yet.
async fn looks_like_one_without_keys(client: &Client, keys: &Keys) -> Result<bool> {
    let sql = "select username from public.users where name_key is null limit $1";
    let rows = client
        .query_typed(sql, &[(&(MAX_WITHOUT_KEYS + 1), Type::INT8)])
        .await?;
    if i64::try_from(rows.len()).is_ok_and(|found| found > MAX_WITHOUT_KEYS) {
        return Err(Error::Unavailable(
            "the names of many new users are still being prepared for comparison".into(),
        ));
    }
    for row in &rows {
        let other = Keys::of(row.try_get("username")?);
        if other.letters == keys.letters || other.look == keys.look {
            return Ok(true);
        }
    }
    Ok(false)
}

/// So many users are given keys by one statement.
const KEYS_AT_ONCE: i64 = 1_000;

/// Gives keys to those who came without: by an import, by SQL, or before there were keys. Gives how many
/// that were in this call; there may be more of them. Nobody is waited for.
pub async fn add_keys(client: &Client) -> Result<u64> {
    let sql = "select id, username from public.users where name_key is null limit $1";
    let rows = client
        .query_typed(sql, &[(&KEYS_AT_ONCE, Type::INT8)])
        .await?;
    let (mut ids, mut names) = (Vec::<Uuid>::new(), Vec::<&str>::new());
    for row in &rows {
        ids.push(row.try_get("id")?);
        names.push(row.try_get("username")?);
    }
    let keys = names.iter().map(|name| Keys::of(name));
    let (letters, looks): (Vec<_>, Vec<_>) = keys.map(|keys| (keys.letters, keys.look)).unzip();
    // Somebody may have been renamed since.
    let sql = "with keyed as materialized (
                   select u.id, k.letters, k.look
                     from unnest($1, $2, $3, $4) k (id, username, letters, look)
                     join public.users u on u.id = k.id and u.username = k.username
                    where u.name_key is null
                      for no key update of u skip locked)
               update public.users u set name_key = keyed.letters, look_key = keyed.look
                 from keyed where u.id = keyed.id";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&ids, Type::UUID_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&letters, Type::TEXT_ARRAY),
        (&looks, Type::TEXT_ARRAY),
    ];
    if ids.is_empty() {
        return Ok(0);
    }
    client.execute_typed(sql, &values).await
}

/// The indexes by which no two new names look alike that come at the same time.
const NEW_NAMES: [&str; 2] = ["users_new_name_key", "users_new_look_key"];

/// Adds a user; `None` when the name is taken, or looks like one that is.
///
/// # Errors
/// As [`is_taken`].
pub async fn insert(
    client: &Client,
    username: &str,
    email: &str,
    password_hash: &str,
    role: Role,
) -> Result<Option<User>> {
    let keys = Keys::of(username);
    if looks_like_one_without_keys(client, &keys).await? {
        return Ok(None);
    }
    let sql = format!(
        "insert into public.users (username, email, password_hash, role, name_key, look_key, was_compared)
         select $1, $2, $3, $4, $5, $6, true
          where not exists (select from public.users where name_key = $5 or look_key = $6)
         returning {}",
        User::COLUMNS
    );
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 6] = [
        (&username, Type::TEXT),
        (&email, Type::TEXT),
        (&password_hash, Type::TEXT),
        (&role.name(), Type::TEXT),
        (&keys.letters, Type::TEXT),
        (&keys.look, Type::TEXT),
    ];
    match client.query_typed(&sql, &values).await {
        Ok(rows) => match row::first(&rows)? {
            Some(user) => Ok(Some(user)),
            None if is_taken(client, username).await? => Ok(None),
            None => Err(Error::Suppressed(User::TABLE)),
        },
        Err(Error::Constraint(name))
            if name == "users_username_key" || NEW_NAMES.contains(&name.as_str()) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Replaces a user's hash, for example by one of today's cost.
pub async fn set_password_hash(client: &Client, id: Uuid, hash: &str) -> Result<()> {
    let sql = "update public.users set password_hash = $2 where id = $1";
    client
        .execute_typed(sql, &[(&id, Type::UUID), (&hash, Type::TEXT)])
        .await?;
    Ok(())
}

/// Replaces the hash that `user` was read with by another of the same password, and ends no session;
/// false when the user is gone or has another hash by now.
pub async fn renew_password_hash(client: &Client, user: &User, hash: &str) -> Result<bool> {
    let sql = "update public.users set password_hash = $3 where id = $1 and password_hash = $2";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&user.id, Type::UUID),
        (&user.password_hash, Type::TEXT),
        (&hash, Type::TEXT),
    ];
    Ok(client.execute_typed(sql, &values).await? == 1)
}

/// Replaces the hash that `user` was read with by that of a new password, and ends all sessions but
/// `kept`, both or neither; false when the user is gone or has another hash by now.
///
/// In two statements: a session that is opened with the old password meanwhile is waited for by the
/// first, and only a later one sees it.
pub async fn change_password(
    client: &mut Client,
    user: &User,
    hash: &str,
    kept: Option<Uuid>,
) -> Result<bool> {
    retried!(change_password_once(client, user, hash, kept).await)
}

async fn change_password_once(
    client: &mut Client,
    user: &User,
    hash: &str,
    kept: Option<Uuid>,
) -> Result<bool> {
    let change = client.transaction().await?;
    let sql = "update public.users set password_hash = $3 where id = $1 and password_hash = $2";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&user.id, Type::UUID),
        (&user.password_hash, Type::TEXT),
        (&hash, Type::TEXT),
    ];
    let changed = change.execute_typed(sql, &values).await? == 1;
    if changed {
        let sql = "delete from public.sessions where user_id = $1 and id is distinct from $2";
        change
            .execute_typed(sql, &[(&user.id, Type::UUID), (&kept, Type::UUID)])
            .await?;
    }
    change.commit().await?;
    Ok(changed)
}

/// Notes a sign-in.
pub async fn signed_in(client: &Client, id: Uuid) -> Result<()> {
    let sql = "update public.users set last_login_at = clock_timestamp() where id = $1";
    client.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(())
}

/// Everybody, by name.
pub async fn list(client: &Client) -> Result<Vec<Account>> {
    let sql = format!("select {ACCOUNT} from public.users order by username");
    row::all(&client.query_typed(&sql, &[]).await?)
}

const ACCOUNT: &str = Account::COLUMNS;

/// The account of this id.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<Account>> {
    let sql = format!("select {ACCOUNT} from public.users where id = $1");
    let rows = client.query_typed(&sql, &[(&id, Type::UUID)]).await?;
    row::first(&rows)
}

/// The roles of those of `ids` who are still let in.
pub async fn roles(client: &Client, ids: &[Uuid]) -> Result<Vec<Admitted>> {
    let sql = "select id, role from public.users where id = any($1) and is_active";
    let rows = client.query_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
    row::all(&rows)
}

/// What is changed of a user; `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What the user may do from now on.
    pub role: Option<Role>,
    /// Whether the user may sign in from now on.
    pub is_active: Option<bool>,
}

/// Name of the rule that somebody must be left who may manage users, as [`Error::Constraint`] has it.
pub const LAST_ADMIN: &str = "users_last_admin";

/// Changes a user; `None` when there is none of this id.
///
/// # Errors
/// [`Error::Constraint`] with [`LAST_ADMIN`] when nobody would be left who may manage users,
/// [`Error::Suppressed`] when a trigger kept the row as it was.
pub async fn change(client: &mut Client, id: Uuid, change: Change) -> Result<Option<Account>> {
    retried!(change_once(client, id, change).await)
}

async fn change_once(client: &mut Client, id: Uuid, change: Change) -> Result<Option<Account>> {
    let work = client.transaction().await?;
    let stays_admin = change.role.is_none_or(|role| role == Role::Admin);
    if !stays_admin || change.is_active == Some(false) {
        spare_last_admin(&work, id).await?;
    }
    let sql = format!(
        "update public.users set role = coalesce($2, role), is_active = coalesce($3, is_active)
          where id = $1 returning {ACCOUNT}"
    );
    let role = change.role.map(Role::name);
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&id, Type::UUID),
        (&role, Type::TEXT),
        (&change.is_active, Type::BOOL),
    ];
    let rows = work.query_typed(&sql, &values).await?;
    if rows.is_empty() {
        unless_kept(&work, id).await?;
    }
    work.commit().await?;
    row::first(&rows)
}

/// Refuses to say that there is no such user, when there is one and a trigger kept the row as it was.
async fn unless_kept(work: &Transaction<'_>, id: Uuid) -> Result<()> {
    let sql = "select from public.users where id = $1";
    let rows = work.query_typed(sql, &[(&id, Type::UUID)]).await?;
    if rows.is_empty() {
        Ok(())
    } else {
        Err(Error::Suppressed(User::TABLE))
    }
}

/// Removes a user and their sessions; false when there was none of this id.
///
/// # Errors
/// As [`change`].
pub async fn delete(client: &mut Client, id: Uuid) -> Result<bool> {
    retried!(delete_once(client, id).await)
}

async fn delete_once(client: &mut Client, id: Uuid) -> Result<bool> {
    let work = client.transaction().await?;
    spare_last_admin(&work, id).await?;
    let sql = "delete from public.users where id = $1";
    let removed = work.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    if removed == 0 {
        unless_kept(&work, id).await?;
    }
    work.commit().await?;
    Ok(removed > 0)
}

/// Makes a user an admin, unless somebody is one already.
pub async fn appoint_first_admin(client: &Client, id: Uuid) -> Result<()> {
    let sql = "update public.users set role = 'admin' where id = $1
                  and not exists (select from public.users where role = 'admin' and is_active)";
    client.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(())
}

/// Refuses to go on when this user is the only one left who may manage users. Until the transaction
/// ends nobody else can cease to be: of two admins who remove each other, one finds the other gone.
async fn spare_last_admin(work: &Transaction<'_>, id: Uuid) -> Result<()> {
    // In one order, so that no two wait for each other; not for those who only sign in meanwhile.
    let sql = "select id from public.users where role = 'admin' and is_active
                order by id for no key update";
    let admins = work.query_typed(sql, &[]).await?;
    if admins.len() == 1 && row::value(&admins, "id")? == Some(id) {
        return Err(Error::Constraint(LAST_ADMIN.into()));
    }
    Ok(())
}
