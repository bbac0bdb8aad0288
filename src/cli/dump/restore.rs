//! Runs the statements of a dump in the private cluster, as a role that has no rights beyond databases
//! of its own: it reads no file, runs no program and makes no other role. Whatever functions the dump
//! brings, they run as that role, also when its tables are read afterwards. What the server refuses is
//! told by its SQLSTATE, whose meaning does not change with the language.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::Path,
    time::Duration,
};

use futures_util::SinkExt;
use tokio::{
    sync::mpsc,
    task,
    time::{self, Instant},
};
use tokio_postgres::{Client, error::SqlState, types::Type};

use super::{
    archive::PgRestore,
    file::Dump,
    script::{Part, Script},
    statement::{self, Meaning},
};
use crate::{
    embedded::Cluster,
    pg::{dsn::Dsn, primary::Primary},
};

/// The role that runs the statements.
const ROLE: &str = "importer";
/// Longest that a statement may take, and all the rows of a table.
const STATEMENT_LIMIT: Duration = Duration::from_mins(10);
const ROWS_LIMIT: Duration = Duration::from_hours(2);
/// How long nothing may come of a dump that is still being read.
const SILENCE: Duration = Duration::from_mins(10);
/// What the disk must have left. It is looked at so often.
const MIN_FREE_BYTES: u64 = 256 << 20;
const LOOK: Duration = Duration::from_secs(1);
/// How many parts of a dump are read ahead.
const AHEAD: usize = 16;
/// How many databases a dump may hold.
const MAX_DATABASES: usize = 100;
/// How many sentences about one kind of statement are kept.
const MAX_NOTES: usize = 100;

/// What was restored.
pub(super) struct Restored {
    /// The database that holds the backend's tables.
    pub(super) database: Dsn,
    /// What was not made of the dump, a sentence each.
    pub(super) left_out: Vec<String>,
}

/// Restores `dump` into `cluster`.
///
/// # Errors
/// Says what of it cannot be restored, and what to do.
pub(super) async fn restore(dump: Dump, cluster: &Cluster) -> Result<Restored, String> {
    let mut databases = Databases::new(cluster).await.map_err(text)?;
    let (send, parts) = mpsc::channel(AHEAD);
    let (mut pg_restore, script): (_, Box<dyn Read + Send>) = match dump {
        Dump::Sql(script) => (None, script),
        archive => {
            let (pg_restore, script) = PgRestore::start(archive, cluster, send.clone())?;
            (Some(pg_restore), Box::new(script))
        }
    };
    let is_archive = pg_restore.is_some();
    let reader = task::spawn_blocking(move || read(script, &send));
    let mut restoring = Restoring {
        databases: &mut databases,
        client: None,
        encoding: "UTF8".into(),
        left_out: Vec::new(),
        unneeded: BTreeMap::new(),
        has_tables: false,
        has_rows: false,
        place: cluster.data_dir(),
    };
    let done = restoring.all(parts).await;
    let (has_tables, has_rows) = (restoring.has_tables, restoring.has_rows);
    let left_out = restoring.notes();
    if let (Err(_), Some(pg_restore)) = (&done, &mut pg_restore) {
        // Nobody reads the rest.
        pg_restore.kill();
    }
    let read = reader
        .await
        .map_err(|_| "the process is ending".to_owned())?;
    let converted = match pg_restore {
        Some(pg_restore) => task::spawn_blocking(move || pg_restore.end())
            .await
            .map_err(|_| "the process is ending".to_owned())?,
        None => Ok(()),
    };
    done?;
    converted?;
    let is_complete = read.map_err(|error| error.to_string())?;
    if !is_complete && !is_archive {
        return Err("is cut short, or was not written by pg_dump".into());
    }
    if has_tables && !has_rows {
        return Err("holds tables without rows; dump again without --schema-only".into());
    }
    let database = databases.of_backend().await?;
    Ok(Restored { database, left_out })
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Reads the script to its end; says whether it is complete.
fn read(script: impl Read, parts: &mpsc::Sender<io::Result<Part>>) -> io::Result<bool> {
    let mut script = Script::new(BufReader::with_capacity(64 << 10, script));
    loop {
        let part = match script.next() {
            Ok(None) => return Ok(script.is_complete()),
            Ok(Some(part)) => Ok(part),
            Err(error) => Err(error),
        };
        let is_last = part.is_err();
        if parts.blocking_send(part).is_err() || is_last {
            return Ok(false);
        }
    }
}

/// The databases of the dump, each with a name of our own: names of a dump are not trusted.
struct Databases<'a> {
    cluster: &'a Cluster,
    password: String,
    names: Vec<String>,
}

impl<'a> Databases<'a> {
    async fn new(cluster: &'a Cluster) -> Result<Self, tokio_postgres::Error> {
        let password = format!("{:032x}", rand::random::<u128>());
        let role = format!(
            "create role {ROLE} login nosuperuser nocreatedb nocreaterole noreplication \
             connection limit 4 password '{password}'"
        );
        cluster.administer(&role).await?;
        let others = "select pg_catalog.format('revoke all on database %I from public', datname) \
                      from pg_catalog.pg_database";
        for revoke in cluster.ask(others).await? {
            cluster.administer(&revoke).await?;
        }
        let names = Vec::new();
        Ok(Self {
            cluster,
            password,
            names,
        })
    }

    /// Connects to the database that the dump calls so; makes it if it is new.
    async fn connect(&mut self, name: &str) -> Result<Client, String> {
        let known = self.names.iter().position(|known| known == name);
        let number = known.unwrap_or(self.names.len());
        if number == self.names.len() {
            if number == MAX_DATABASES {
                return Err(
                    "holds too many databases; dump the one that is meant, with pg_dump".into(),
                );
            }
            let create = format!(
                "create database dump_{number} owner {ROLE} template template0 encoding 'UTF8'"
            );
            self.cluster.administer(&create).await.map_err(text)?;
            self.names.push(name.to_owned());
        }
        let (client, wire) = Primary::new(&self.dsn(number)?)
            .map_err(text)?
            .connect()
            .await
            .map_err(text)?;
        tokio::spawn(wire);
        Ok(client)
    }

    fn dsn(&self, number: usize) -> Result<Dsn, String> {
        let (port, password) = (self.cluster.port(), &self.password);
        format!("postgres://{ROLE}:{password}@127.0.0.1:{port}/dump_{number}?sslmode=disable")
            .parse()
    }

    /// The one that holds the backend's tables.
    async fn of_backend(&mut self) -> Result<Dsn, String> {
        let sql = r"select pg_catalog.count(*) from pg_catalog.pg_class c
                     where c.relkind in ('r', 'p')
                       and (c.relname like '%\_sourcemodel' or c.relname = 'auth_user')";
        let mut found = Vec::new();
        for (number, name) in self.names.clone().iter().enumerate() {
            let client = self.connect(name).await?;
            let row = client.query_typed_one(sql, &[]).await.map_err(text)?;
            if row.try_get::<_, i64>(0).map_err(text)? > 1 {
                found.push(number);
            }
        }
        match found.as_slice() {
            [number] => self.dsn(*number),
            [] => Err(
                "holds no tables ..._sourcemodel and auth_user: it is not of the backend's \
                       database, or not of all of it"
                    .into(),
            ),
            _ => Err(
                "holds several databases with the backend's tables; dump the one that is meant, \
                      with pg_dump"
                    .into(),
            ),
        }
    }
}

/// The work on one dump.
struct Restoring<'a, 'b> {
    databases: &'a mut Databases<'b>,
    client: Option<Client>,
    encoding: String,
    left_out: Vec<String>,
    unneeded: BTreeMap<String, usize>,
    has_tables: bool,
    has_rows: bool,
    place: &'a Path,
}

impl Restoring<'_, '_> {
    async fn all(&mut self, mut parts: mpsc::Receiver<io::Result<Part>>) -> Result<(), String> {
        self.client = Some(self.databases.connect("").await?);
        loop {
            let part = time::timeout(SILENCE, parts.recv()).await;
            let Some(part) = part.map_err(|_| refused("no data for 10 minutes"))? else {
                break;
            };
            match part.map_err(|error| refused(&error))? {
                Part::Command(line, command) => self.command(line, &command).await?,
                Part::Statement(line, text) => match statement::meaning(&text) {
                    Meaning::Unneeded => {}
                    Meaning::LeftOut(what) => *self.unneeded.entry(what).or_default() += 1,
                    Meaning::Encoding(name) => self.encoding = name,
                    Meaning::Refused => {
                        let shown = statement::shown(&text);
                        return Err(refused(format!(
                            "line {line}: pg_dump does not write `{shown}`: somebody has edited the file, or it is not a dump"
                        )));
                    }
                    Meaning::Rows => self.rows(line, &text, &mut parts).await?,
                    meaning @ (Meaning::Needed | Meaning::Attempted) => {
                        self.statement(line, &text, meaning == Meaning::Needed)
                            .await?;
                    }
                },
                Part::Rows(_) | Part::EndOfRows => {
                    return Err(refused("there are rows without a table"));
                }
            }
        }
        // Closed before the database is read.
        self.client = None;
        Ok(())
    }

    /// The commands of psql that `pg_dump` writes; all others are psql's power over the machine that it
    /// runs on.
    async fn command(&mut self, line: usize, command: &str) -> Result<(), String> {
        let (name, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        match name {
            "restrict" | "unrestrict" => Ok(()),
            "connect" | "c" => {
                let rest = rest.trim();
                let database = rest.strip_prefix("-reuse-previous=on ").unwrap_or(rest);
                self.client = None;
                self.client = Some(self.databases.connect(database).await?);
                Ok(())
            }
            _ => {
                let shown = statement::shown(command.as_bytes());
                Err(refused(format!(
                    "line {line}: `\\{shown}` is a command for psql that pg_dump does not write"
                )))
            }
        }
    }

    async fn statement(&mut self, line: usize, text: &[u8], needed: bool) -> Result<(), String> {
        let sql = self.decoded(line, text).await?;
        let done = self.guarded(STATEMENT_LIMIT, self.client()?.batch_execute(&sql));
        match done.await.map_err(|why| at(line, text, &why))? {
            Ok(()) => {
                self.has_tables |= statement::makes_table(text);
                self.has_rows |= statement::is_row(text);
                Ok(())
            }
            Err(error) if needed => Err(self.lost(line, text, &error)),
            Err(error) => {
                // Schemas and languages that every database has.
                let is_there = error.code().is_some_and(|code| {
                    [
                        SqlState::DUPLICATE_SCHEMA,
                        SqlState::DUPLICATE_OBJECT,
                        SqlState::DUPLICATE_FUNCTION,
                    ]
                    .contains(code)
                });
                if error.code().is_none() {
                    return Err(self.lost(line, text, &error));
                }
                if !is_there && self.left_out.len() < MAX_NOTES {
                    let shown = statement::shown(text);
                    let why = crate::error::describe(&error);
                    self.left_out
                        .push(format!("`{shown}` (line {line}): {why}"));
                }
                Ok(())
            }
        }
    }

    async fn rows(
        &mut self,
        line: usize,
        text: &[u8],
        parts: &mut mpsc::Receiver<io::Result<Part>>,
    ) -> Result<(), String> {
        let mut sql = self.decoded(line, text).await?;
        if !is_utf8(&self.encoding) {
            let encoding = self.encoding.replace('\'', "''");
            sql = format!("{sql} with (encoding '{encoding}')");
        }
        let copy = async {
            let mut table = Box::pin(self.client()?.copy_in(&sql).await.map_err(Failed::Server)?);
            while let Some(part) = parts.recv().await {
                match part.map_err(|error| Failed::Dump(error.to_string()))? {
                    Part::Rows(rows) => table.send(rows).await.map_err(Failed::Server)?,
                    _ => break,
                }
            }
            table
                .as_mut()
                .finish()
                .await
                .map(drop)
                .map_err(Failed::Server)
        };
        let done: Result<_, String> = self.guarded(ROWS_LIMIT, copy).await;
        match done.map_err(|why| at(line, text, &why))? {
            Ok(()) => {
                self.has_rows = true;
                Ok(())
            }
            Err(Failed::Server(error)) => Err(self.lost(line, text, &error)),
            Err(Failed::Dump(why)) => Err(refused(why)),
        }
    }

    /// A statement in UTF-8.
    async fn decoded(&self, line: usize, text: &[u8]) -> Result<String, String> {
        if is_utf8(&self.encoding) || text.is_ascii() {
            return String::from_utf8(text.to_vec()).map_err(|_| {
                refused(format!(
                    "line {line}: the text is not {}, as the dump says",
                    self.encoding
                ))
            });
        }
        let sql = "select pg_catalog.convert_from($1, $2::text::name)";
        let row = self
            .client()?
            .query_typed(sql, &[(&text, Type::BYTEA), (&self.encoding, Type::TEXT)])
            .await
            .map_err(|error| at(line, text, &crate::error::describe(&error)))?;
        let row = row.first().ok_or_else(|| refused("there is no answer"))?;
        row.try_get(0).map_err(refused)
    }

    fn client(&self) -> Result<&Client, String> {
        self.client
            .as_ref()
            .ok_or_else(|| "there is no connection".to_owned())
    }

    /// Waits for the server as long as it may take, and while the disk has room.
    async fn guarded<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, String> {
        let mut work = std::pin::pin!(work);
        let started = Instant::now();
        loop {
            match time::timeout(LOOK, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) if started.elapsed() > limit => {
                    return Err(format!(
                        "takes longer than {} minutes",
                        limit.as_secs() / 60
                    ));
                }
                Err(_) => {}
            }
            let room = rustix::fs::statvfs(self.place).map_err(text)?;
            if room.f_bavail.saturating_mul(room.f_frsize) < MIN_FREE_BYTES {
                return Err(format!(
                    "the disk of {} is almost full; name a directory with more room in TMPDIR",
                    self.place.display()
                ));
            }
        }
    }

    /// What is lost with a statement, and what to do.
    fn lost(&self, line: usize, text: &[u8], error: &tokio_postgres::Error) -> String {
        let mut why = at(line, text, &crate::error::describe(error));
        if error.code() == Some(&SqlState::UNDEFINED_TABLE) && !self.has_tables {
            why += "; it holds rows but no tables: dump again without --data-only";
        } else if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            why += "; a dump is restored by a role that has no rights beyond its database";
        } else if let Some(before) = self.left_out.first() {
            why = format!(
                "{why}; before, {before}: install what is missing on this machine, or dump the \
                 backend's tables alone (pg_dump -t '*_sourcemodel' -t auth_user)"
            );
        }
        why
    }

    fn notes(self) -> Vec<String> {
        let mut notes = self.left_out;
        notes.extend(
            self.unneeded
                .into_iter()
                .map(|(what, count)| format!("{count} x {what} of the dump, which is not run")),
        );
        notes
    }
}

/// Why rows did not get into their table.
enum Failed {
    Server(tokio_postgres::Error),
    Dump(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Dump(why)
    }
}

pub(super) fn refused(why: impl std::fmt::Display) -> String {
    format!("cannot be restored: {why}")
}

fn at(line: usize, text: &[u8], why: &str) -> String {
    refused(format!("line {line}: `{}`: {why}", statement::shown(text)))
}

fn is_utf8(encoding: &str) -> bool {
    ["UTF8", "UTF-8", "UNICODE"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(encoding))
}
