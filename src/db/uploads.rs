//! The table `uploads`: which objects there are in the store, and which of them no source names.
//! Never sees the store itself.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{client::Client, row};
use crate::error::Result;

/// An object in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Names the object.
    pub key: Uuid,
    /// What the file is called when it is fetched.
    pub name: String,
}

impl Upload {
    /// What stands in a source's `data_upload`.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.key, self.name)
    }
}

/// Whether this text of a `data_upload` names an object, as far as its form tells.
pub fn is_reference(text: &str) -> bool {
    text.split_once('/').is_some_and(|(key, name)| {
        !name.is_empty()
            && !name.contains('/')
            && Uuid::try_parse(key).is_ok_and(|id| id.to_string() == key)
    })
}

/// Notes an object that is about to be stored.
pub async fn announce(client: &Client, upload: &Upload) -> Result<()> {
    let sql = "insert into uploads (key, name) values ($1, $2)";
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&upload.key, Type::UUID), (&upload.name, Type::TEXT)];
    client.execute_typed(sql, parameters).await?;
    Ok(())
}

/// Notes that a source names the object: when none does any more, it is an orphan at once.
pub async fn attach(client: &Client, key: Uuid) -> Result<()> {
    let sql = "update uploads set attached = true where key = $1";
    client.execute_typed(sql, &[(&key, Type::UUID)]).await?;
    Ok(())
}

/// Forgets an object that is no longer stored.
pub async fn forget(client: &Client, key: Uuid) -> Result<()> {
    let sql = "delete from uploads where key = $1";
    client.execute_typed(sql, &[(&key, Type::UUID)]).await?;
    Ok(())
}

/// The object of that key, if a source names it.
pub async fn find(client: &Client, key: Uuid) -> Result<Option<Upload>> {
    let sql = "select u.name from uploads u
                where u.key = $1
                  and exists (select from sources s where s.data_upload = u.key || '/' || u.name)";
    let rows = client.query_typed(sql, &[(&key, Type::UUID)]).await?;
    let name: Option<String> = row::value(&rows, "name")?;
    Ok(name.map(|name| Upload { key, name }))
}

/// Claims some objects that no source names, for so long; those that never had a source only when
/// they are older than `grace`.
pub async fn claim_orphans(client: &Client, grace: Duration, lease: Duration) -> Result<Vec<Uuid>> {
    let sql = "update uploads
                  set claimed_until = clock_timestamp() + $2 * interval '1 second'
                where key in (
                      select u.key from uploads u
                       where (u.attached
                              or u.created_at < clock_timestamp() - $1 * interval '1 second')
                         and (u.claimed_until is null or u.claimed_until < clock_timestamp())
                         and not exists (
                             select from sources s where s.data_upload = u.key || '/' || u.name)
                       limit 100 for update skip locked)
               returning key";
    let (grace, lease) = (grace.as_secs_f64(), lease.as_secs_f64());
    let rows = client
        .query_typed(sql, &[(&grace, Type::FLOAT8), (&lease, Type::FLOAT8)])
        .await?;
    Ok(row::values(&rows, "uploads", "key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_no_references() {
        let key = "00000000-0000-4000-8000-00000000000a";
        assert!(is_reference(&format!("{key}/a.csv")));
        for text in [
            String::new(),
            "uploads/a.csv".into(),
            key.into(),
            format!("{key}/"),
            format!("{key}/../a"),
            format!("{}/a.csv", key.to_uppercase()),
            format!("{}/a.csv", key.replace('-', "")),
            format!("{{{key}}}/a.csv"),
        ] {
            assert!(!is_reference(&text), "{text}");
        }
    }
}
