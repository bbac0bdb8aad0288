//! The table `uploads`: which objects there are in the store, and which of them no source names.
//! Never sees the store itself.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::row::{self, FromRow, row};
use crate::{
    error::Result,
    pg::{Client, Transaction},
};

row! {
    /// An object in the store.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Upload from "uploads" {
        /// Names the object.
        pub key: Uuid,
        /// What follows the key in a source's `data_upload`.
        pub name: String,
        /// What the file is called when it is fetched.
        pub original_name: String = "coalesce(original_name, name)",
    }
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

/// Writes where the file is to be had, with its name; a text that names no object as it is.
#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
pub(super) fn path<S: Serializer>(
    reference: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match reference.as_deref() {
        Some(text) if is_reference(text) => {
            serializer.collect_str(&format_args!("/api/uploads/{text}"))
        }
        text => text.serialize(serializer),
    }
}

/// Notes an object that is about to be stored.
pub async fn announce(client: &Client, upload: &Upload) -> Result<()> {
    let sql = "insert into public.uploads (key, name, original_name)
               values ($1, $2, nullif($3, $2))";
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&upload.key, Type::UUID),
        (&upload.name, Type::TEXT),
        (&upload.original_name, Type::TEXT),
    ];
    client.execute_typed(sql, &parameters).await?;
    Ok(())
}

/// Notes that a source is about to name the object, and keeps others from removing it for so long;
/// false when it is not noted any more, or just being removed.
pub async fn attach(client: &Client, key: Uuid, lease: Duration) -> Result<bool> {
    let sql = "update public.uploads
                  set attached = true, claimed_until = now() + $2 * interval '1 second'
                where key = $1 and (claimed_until is null or claimed_until <= now())";
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&key, Type::UUID), (&lease.as_secs_f64(), Type::FLOAT8)];
    Ok(client.execute_typed(sql, &parameters).await? == 1)
}

/// Notes that the source was written.
pub async fn release(client: &Client, key: Uuid) -> Result<()> {
    let sql = "update public.uploads set claimed_until = null where key = $1";
    client.execute_typed(sql, &[(&key, Type::UUID)]).await?;
    Ok(())
}

/// Forgets an object that is no longer stored.
pub async fn forget(client: &Client, key: Uuid) -> Result<()> {
    let sql = "delete from public.uploads where key = $1";
    client.execute_typed(sql, &[(&key, Type::UUID)]).await?;
    Ok(())
}

/// The object of that key, if a source names it.
pub async fn find(client: &Client, key: Uuid) -> Result<Option<Upload>> {
    let columns = Upload::COLUMNS;
    let sql = format!("select {columns} from public.uploads u where u.key = $1 and {IS_NAMED}");
    row::first(&client.query_typed(&sql, &[(&key, Type::UUID)]).await?)
}

/// Which objects may be removed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long one is kept that sources have named, in seconds.
    pub grace: f64,
    /// How long one is kept that has never got a source, in seconds.
    pub half_way: f64,
    /// What is counted from; now, when it is left out. By the database's clock, as all times here.
    pub moment: Option<Timestamp>,
}

/// What may be removed, as the table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// How many objects there are.
    pub all: i64,
    /// How many of them may be removed.
    pub due: i64,
    /// How many no source names, and are kept yet.
    pub kept: i64,
    /// What was counted from.
    pub moment: Timestamp,
}

impl Due {
    /// Whether so many of all may be removed that the table of sources is more likely to be wrong than
    /// the files to be unwanted.
    pub fn is_doubtful(&self) -> bool {
        self.due > 20 && self.due.saturating_mul(10) > self.all
    }
}

row! {
    /// An object that may be removed, for people.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Example from "uploads" {
        /// What the file is called.
        pub name: String = "coalesce(original_name, name)",
        /// Since when no source names it; none for one that never got a source.
        pub orphaned_at: Option<String> = "orphaned_at::text",
    }
}

/// A look at both tables, in one transaction. Programs look one after the other.
pub struct Look<'a>(Transaction<'a>);

/// Held by the program that looks. It is no advisory lock, because any role that can connect can hold one of
/// those for ever. Files are noted and forgotten meanwhile. An autovacuum of the table, which would be in the
/// way, ends itself for somebody who has waited for a second.
const ALONE: &str = "set local lock_timeout = '5s';
    lock table public.uploads in share update exclusive mode";

/// Whether nobody has claimed the object, as far as that can be: no program claims one for so long. Somebody has
/// written there then, or mended a time that cannot be read.
const IS_FREE: &str = "(claimed_until is null or claimed_until <= now()
    or claimed_until > now() + interval '1 hour')";

/// Whether a source names the object `u`.
const IS_NAMED: &str = "exists (
    select from public.sources s where s.data_upload = u.key || '/' || u.name)";

/// Whether `u` may be removed by now. Computes the bounds alone, never with what stands in the table:
/// any time may stand there.
const IS_DUE: &str = "
    (u.orphaned_at is not null or not u.attached)
    and case when u.attached
        then u.orphaned_at <= coalesce($3, now()) - $1 * interval '1 second'
        else u.created_at <= coalesce($3, now()) - $2 * interval '1 second' end";

/// Notes again what sources name and somebody deleted here, so that it can be fetched. Looks at some of the
/// sources, in the order of their ids.
const ADOPT: &str = "
    insert into public.uploads (key, name, attached)
    select distinct on (n.key) n.key, n.name, true
      from (select case when s.data_upload ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[^/]+$'
                        then left(s.data_upload, 36)::uuid end as key,
                   substr(s.data_upload, 38) as name
              from (select data_upload from public.sources where id >= $1 order by id limit $2) s
             where s.data_upload like '________-____-____-____-____________/_%') n
     where n.key is not null
    on conflict (key) do nothing";

/// The first source that [`ADOPT`] did not look at.
const NEXT: &str = "select id from public.sources where id >= $1 order by id offset $2 limit 1";

/// How many sources are asked at once for their uploads: a sweep costs the same however many there are.
const ASKED_AT_ONCE: i64 = 5000;

/// A policy would leave out rows of `sources` without a word; so it is an error.
const SEE_ALL: &str = "set local row_security = off";

impl<'a> Look<'a> {
    /// Begins with noting which objects are orphans now, and which are none any more.
    ///
    /// # Errors
    /// Also when a policy hides rows from this role.
    pub async fn begin(client: &'a mut Client) -> Result<Self> {
        let look = client.transaction().await?;
        look.batch_execute(SEE_ALL).await?;
        look.batch_execute(ALONE).await?;
        // Rows that others have locked are looked at by the next sweep: waiting for one while holding
        // others could end somebody's transaction.
        let named_again = format!(
            "with found as (select u.key from public.uploads u
                 where (u.orphaned_at is not null or not u.attached) and {IS_NAMED}
                   for no key update of u skip locked)
             update public.uploads u set attached = true, orphaned_at = null
               from found where u.key = found.key"
        );
        look.execute_typed(&named_again, &[]).await?;
        // The source of one that is claimed is being written.
        let orphaned = format!(
            "with found as (select u.key from public.uploads u
                 where u.attached and u.orphaned_at is null and not {IS_NAMED} and {IS_FREE}
                   for no key update of u skip locked)
             update public.uploads u set orphaned_at = now()
               from found where u.key = found.key"
        );
        look.execute_typed(&orphaned, &[]).await?;
        Ok(Self(look))
    }

    /// Notes again what some sources name and the table does not have: of those whose ids are `from` or more.
    /// Gives the id to go on with.
    pub async fn adopt(&self, from: Uuid) -> Result<Uuid> {
        let some: [(&(dyn ToSql + Sync), Type); 2] =
            [(&from, Type::UUID), (&ASKED_AT_ONCE, Type::INT8)];
        self.0.execute_typed(ADOPT, &some).await?;
        let next = self.0.query_typed(NEXT, &some).await?;
        Ok(row::value(&next, "id")?.unwrap_or(Uuid::nil()))
    }

    /// How much may be removed.
    pub async fn due(&self, terms: &Terms) -> Result<Due> {
        let sql = format!(
            "select count(*) as all_of_them, count(*) filter (where {IS_DUE}) as due,
                    count(*) filter (where u.orphaned_at is not null and not ({IS_DUE})) as kept,
                    coalesce($3, now()) as moment
               from public.uploads u"
        );
        let row = self.0.query_typed_one(&sql, &parameters(terms)).await?;
        Ok(Due {
            all: row.try_get("all_of_them")?,
            due: row.try_get("due")?,
            kept: row.try_get("kept")?,
            moment: row.try_get("moment")?,
        })
    }

    /// Some of what may be removed.
    pub async fn examples(&self, terms: &Terms) -> Result<Vec<Example>> {
        let columns = Example::COLUMNS;
        let sql = format!(
            "select {columns} from public.uploads u
              where {IS_DUE} order by u.orphaned_at, u.created_at limit 20"
        );
        row::all(&self.0.query_typed(&sql, &parameters(terms)).await?)
    }

    /// Claims some of what may be removed, for so long, and ends the look.
    pub async fn claim(self, terms: &Terms, lease: Duration) -> Result<Vec<Uuid>> {
        let sql = format!(
            "update public.uploads set claimed_until = now() + $4 * interval '1 second'
              where key in (
                    select u.key from public.uploads u
                     where {IS_DUE} and not {IS_NAMED} and {IS_FREE}
                     limit {AT_ONCE} for update skip locked)
             returning key"
        );
        let lease = lease.as_secs_f64();
        let [grace, half_way, moment] = parameters(terms);
        let parameters = [grace, half_way, moment, (&lease as _, Type::FLOAT8)];
        let rows = self.0.query_typed(&sql, &parameters).await?;
        self.0.commit().await?;
        row::values(&rows, "uploads", "key")
    }

    /// Ends the look; what was noted stays.
    pub async fn end(self) -> Result<()> {
        Ok(self.0.commit().await?)
    }
}

/// How many objects are claimed at once, at most.
pub const AT_ONCE: usize = 100;

/// Those of [`IS_DUE`].
fn parameters(terms: &Terms) -> [(&(dyn ToSql + Sync), Type); 3] {
    [
        (&terms.grace, Type::FLOAT8),
        (&terms.half_way, Type::FLOAT8),
        (&terms.moment, Type::TIMESTAMPTZ),
    ]
}

/// Whether a source names the object by now.
///
/// # Errors
/// As [`Look::begin`].
pub async fn is_named(client: &mut Client, key: Uuid) -> Result<bool> {
    let look = client.transaction().await?;
    look.batch_execute(SEE_ALL).await?;
    let sql = format!("select from public.uploads u where u.key = $1 and {IS_NAMED}");
    let rows = look.query_typed(&sql, &[(&key, Type::UUID)]).await?;
    look.commit().await?;
    Ok(!rows.is_empty())
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

    #[test]
    fn many_of_all_are_doubtful() {
        for (due, all, is_doubtful) in [
            (0, 0, false),
            (5, 5, false),
            (20, 20, false),
            (21, 21, true),
            (21, 209, true),
            (21, 210, false),
            (100, 1000, false),
            (101, 1000, true),
        ] {
            let due = Due {
                all,
                due,
                kept: 0,
                moment: Timestamp::UNIX_EPOCH,
            };
            assert_eq!(due.is_doubtful(), is_doubtful, "{due:?}");
        }
    }
}
