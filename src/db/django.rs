//! Sources and users of a Django backend: read there in one snapshot, brought here in one
//! transaction. What was brought is remembered, so that the next time only what has changed there
//! since is brought. It never writes there.

mod backend;

use futures_util::{SinkExt, TryStreamExt};
use serde::Serialize;
use tokio_postgres::types::Type;

use self::backend::Backend;
use super::row::{self, row};
use crate::{
    error::{Error, Result},
    hashes::Kind,
    pg::{Client, Transaction, dsn::Dsn, primary::Primary, retry::retried},
};

/// Makes the temporary tables that the rows are put into.
const STAGE: &str = include_str!("../../sql/django/stage.sql");
/// Brings them from there to where they belong.
const MERGE: &str = include_str!("../../sql/django/merge.sql");

/// What an import did, or would do.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// What became of the sources.
    pub sources: Counts,
    /// What became of the users.
    pub users: Counts,
    /// Values that are not here as they were there, a sentence each.
    pub changed: Vec<String>,
    /// What was not taken, a sentence each.
    pub left_out: Vec<String>,
}

/// How many rows there are there, and what became of them here.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Rows there.
    pub found: i64,
    /// Those that were new.
    pub added: i64,
    /// Those that have changed there since the last import.
    pub changed: i64,
    /// Those that are gone there since.
    pub removed: i64,
}

/// Brings what is new or changed at `from` to `to`; with `dry_run` only says what that would be.
/// Times without a zone are taken for those of `zone`.
///
/// # Errors
/// [`Error::Start`] when there is no Django backend of the expected kind, or when it is another one
/// than the last time, or when nobody would be left who may manage users; nothing is changed then.
pub async fn import(from: &Dsn, to: &Dsn, zone: &str, dry_run: bool) -> Result<Report> {
    retried!(import_once(from, to, zone, dry_run).await)
}

async fn import_once(from: &Dsn, to: &Dsn, zone: &str, dry_run: bool) -> Result<Report> {
    let backend = Backend::open(from, zone).await.map_err(of_the_backend)?;
    let primary = Primary::new(to)?;
    let (client, wire) = primary.connect().await?;
    tokio::spawn(wire);
    let mut client = Client::own(client, &primary);
    let work = client.transaction().await?;
    work.batch_execute(STAGE).await?;
    for (there, here) in backend.copies() {
        let mut rows = Box::pin(backend.client.copy_out(&there).await?);
        let mut stage = Box::pin(work.copy_in(&here).await?);
        while let Some(chunk) = rows.try_next().await? {
            stage.send(chunk).await?;
        }
        stage.close().await?;
    }
    refuse_another_backend(&work).await?;
    let had_admin = has_admin(&work).await?;
    work.batch_execute(MERGE).await?;
    if had_admin && !has_admin(&work).await? {
        return Err(Error::Start(
            "the import would leave nobody who may manage users: make somebody an admin first"
                .into(),
        ));
    }
    let mut report = report(&work, &backend, dry_run).await?;
    report.left_out.extend(passwords_left_out(&work).await?);
    if dry_run {
        work.rollback().await?;
    } else {
        work.commit().await?;
    }
    Ok(report)
}

fn of_the_backend(error: Error) -> Error {
    match error {
        Error::Unavailable(why) => {
            Error::Start(format!("the backend's database is not available: {why}"))
        }
        error @ (Error::Database(_) | Error::Forbidden(_)) => {
            Error::Start(format!("the backend's database: {error}"))
        }
        error => error,
    }
}

/// Of what was imported before, all would be removed again.
async fn refuse_another_backend(work: &Transaction<'_>) -> Result<()> {
    let sql = "select kind from public.django_imports l
                group by kind
               having not bool_or(case kind
                   when 'source' then exists (select from django_sources d where d.id::text = key)
                   else exists (select from django_users d where d.key = l.key) end)";
    match work.query_typed(sql, &[]).await?.first() {
        None => Ok(()),
        Some(row) => Err(Error::Start(format!(
            "none of the {}s that were imported before is in this backend: is it another one?",
            row.try_get::<_, &str>("kind")?
        ))),
    }
}

/// What is told of passwords whose hash is of a known kind and cannot be computed all the same.
async fn passwords_left_out(work: &Transaction<'_>) -> Result<Vec<String>> {
    let sql =
        "select u.username, u.password_hash from public.users u join django_touched using (id)
                where u.password_hash like 'pbkdf2\\_sha256$%' or u.password_hash like '$argon2%'
                order by u.username";
    let mut notes = Vec::new();
    for row in work.query_typed(sql, &[]).await? {
        let why = match Kind::of(row.try_get("password_hash")?) {
            Kind::Own | Kind::Argon2 | Kind::Pbkdf2 => continue,
            Kind::TooCostly => "whose hash costs more than any may here",
            Kind::Unusable => "whose hash cannot be read",
        };
        let name: &str = row.try_get("username")?;
        notes.push(format!(
            "the password of user {name}, {why}: set one with marketplace users password"
        ));
    }
    Ok(notes)
}

async fn has_admin(work: &Transaction<'_>) -> Result<bool> {
    let sql = "select from public.users where role = 'admin' and is_active limit 1";
    Ok(!work.query_typed(sql, &[]).await?.is_empty())
}

row! {
    /// What became of some rows.
    struct Outcome from "django_counts" {
        kind: String,
        done: String,
        rows: i64,
    }
}

async fn report(work: &Transaction<'_>, backend: &Backend, dry_run: bool) -> Result<Report> {
    let mut report = Report {
        dry_run,
        sources: Counts::default(),
        users: Counts::default(),
        changed: Vec::new(),
        left_out: backend.left_out.clone(),
    };
    let sql = "select kind, done, rows from django_counts
               union all select 'source', 'found', count(*) from django_sources
               union all select 'user', 'found', count(*) from django_users";
    for done in row::all::<Outcome>(&work.query_typed(sql, &[]).await?)? {
        let counts = match done.kind.as_str() {
            "source" => &mut report.sources,
            _ => &mut report.users,
        };
        let count = match done.done.as_str() {
            "found" => &mut counts.found,
            "added" => &mut counts.added,
            "changed" => &mut counts.changed,
            _ => &mut counts.removed,
        };
        *count = done.rows;
    }
    let sql = "select note from django_notes where section = $1 order by note";
    for (section, notes) in [
        ("changed", &mut report.changed),
        ("left out", &mut report.left_out),
    ] {
        let rows = work.query_typed(sql, &[(&section, Type::TEXT)]).await?;
        notes.extend(row::values::<String>(&rows, "django_notes", "note")?);
    }
    Ok(report)
}
