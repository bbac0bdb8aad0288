//! The table `users`: its row and its statements. Hashes come and go; passwords are never seen here.

use tokio_postgres::{Client, Row, types::Type};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Names the user everywhere else in the database.
    pub id: Uuid,
    /// What is typed to sign in.
    pub username: String,
    /// A PHC string.
    pub password_hash: String,
}

/// The user of exactly this name.
pub async fn by_username(client: &Client, username: &str) -> Result<Option<User>> {
    // PostgreSQL holds no NUL, so nobody can be called so; asking would be an error.
    if username.contains('\0') {
        return Ok(None);
    }
    let sql = "select id, username, password_hash from users where username = $1";
    let rows = client.query_typed(sql, &[(&username, Type::TEXT)]).await?;
    Ok(rows.first().map(user))
}

/// Adds a user; `None` when the name is taken.
pub async fn insert(
    client: &Client,
    username: &str,
    email: &str,
    password_hash: &str,
) -> Result<Option<User>> {
    let sql = "insert into users (username, email, password_hash) values ($1, $2, $3)
               returning id, username, password_hash";
    let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&username, Type::TEXT),
        (&email, Type::TEXT),
        (&password_hash, Type::TEXT),
    ];
    match client.query_typed(sql, &values).await.map_err(Error::from) {
        Ok(rows) => Ok(rows.first().map(user)),
        Err(Error::Constraint(name)) if name == "users_username_key" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a user's hash, for example by one of today's cost.
pub async fn set_password_hash(client: &Client, id: Uuid, hash: &str) -> Result<()> {
    let sql = "update users set password_hash = $2 where id = $1";
    client
        .execute_typed(sql, &[(&id, Type::UUID), (&hash, Type::TEXT)])
        .await?;
    Ok(())
}

/// Notes a sign-in.
pub async fn signed_in(client: &Client, id: Uuid) -> Result<()> {
    let sql = "update users set last_login_at = clock_timestamp() where id = $1";
    client.execute_typed(sql, &[(&id, Type::UUID)]).await?;
    Ok(())
}

fn user(row: &Row) -> User {
    User {
        id: row.get(0),
        username: row.get(1),
        password_hash: row.get(2),
    }
}
