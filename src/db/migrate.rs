//! Brings a database to this program's schema, one program at a time.

use std::{
    error::Error as _,
    fmt::{self, Display},
    future::poll_fn,
    iter::successors,
    num::ParseIntError,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use refinery_core::{
    AsyncMigrate, Migration, Runner,
    error::Kind,
    traits::r#async::{AsyncQuery, AsyncTransaction},
};
use tokio::time;
use tokio_postgres::{
    AsyncMessage, Row,
    error::{Severity, SqlState},
    types::Type,
};

use super::{
    creators, declared,
    row::{self, FromRow, row},
};
use crate::{
    error::{Error, Result, causes, describe},
    outage::Outage,
    pg::{
        Client, Transaction,
        dsn::Dsn,
        primary::{Primary, Wire},
        retry::retried,
    },
};

/// The name and the text of each migration.
const MIGRATIONS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
/// Where refinery notes what was applied. Programs that migrate lock it, one at a time.
const HISTORY: &str = "public.refinery_schema_history";
/// The first migration that names every schema. Those before it look up names in `public` too.
const CLOSED_SINCE: i32 = 29;
/// Where names are looked up by the migrations before [`CLOSED_SINCE`].
const OPEN_PATH: &str = "set local search_path = public, pg_temp";
/// Makes it as refinery does, which does not expect that somebody else makes it at the same time.
const MAKE_HISTORY: &str = "create table if not exists public.refinery_schema_history (
    version int4 primary key, name varchar(255), applied_on varchar(255), checksum varchar(255))";
/// Between two attempts to lock something.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Longest wait for one table in an attempt to lock all. All waits of an attempt together are shorter than
/// PostgreSQL's `deadlock_timeout` of a second, so that nobody else's transaction is ever ended because of us.
const TABLE_WAIT_MILLIS: u32 = 60;
/// A shorter wait for a lock is not logged: another program that starts at the same time migrates in less.
const USUAL_WAIT: Duration = Duration::from_secs(5);
/// Longest wait to be told whether there is anything to do.
const ANSWER: Duration = Duration::from_secs(2);

/// What [`run`] did.
#[derive(Debug)]
pub struct Migrated {
    /// How many migrations were applied now.
    pub applied: usize,
    /// Whether the database's time zone was changed, and so the delivery states derived again.
    pub zone_changed: bool,
}

/// Applies what is missing and sets the local time zone, one program at a time.
///
/// # Errors
/// [`Error::Unavailable`] when the database cannot be reached, [`Error::Conflict`] and [`Error::Locked`]
/// when other transactions were in the way (try again), [`Error::Forbidden`] when the role lacks a right,
/// [`Error::Start`] when its schema is not one this
/// program can bring up to date.
pub async fn run(dsn: &Dsn, time_zone: &str) -> Result<Migrated> {
    run_and_tell(dsn, time_zone, &|_| ()).await
}

/// The same. Tells `waits` who holds a lock that is waited for, each time it is asked for.
///
/// # Errors
/// As [`run`].
pub async fn run_and_tell(
    dsn: &Dsn,
    time_zone: &str,
    waits: &(dyn Fn(&str) + Send + Sync),
) -> Result<Migrated> {
    if is_done(dsn, time_zone).await? {
        return Ok(Migrated {
            applied: 0,
            zone_changed: false,
        });
    }
    let gate = connect(dsn).await?;
    refuse_foreign_code(&gate).await?;
    make_history(&gate).await?;
    lock(&gate, waits).await?;
    let mut migrator = Migrator {
        client: connect(dsn).await?,
        waits: Waits::new(waits),
    };
    let applied = retried!(apply(&mut migrator).await)?;
    let zone_changed = set_time_zone(&mut migrator.client, time_zone).await?;
    gate.raw().batch_execute("rollback").await?;
    Ok(Migrated {
        applied,
        zone_changed,
    })
}

/// Applies what is missing; gives how many migrations that were.
async fn apply(migrator: &mut Migrator<'_>) -> Result<usize> {
    let mut runner = runner();
    let runner = runner.set_migration_table_name(HISTORY);
    let report = runner
        .run_async(migrator)
        .await
        .map_err(|error| refused(&error))?;
    Ok(report.applied_migrations().len())
}

/// Whether there is nothing to do, as at most starts: they ask nobody for the lock, and a connection
/// that has gone silent does not keep them waiting.
async fn is_done(dsn: &Dsn, time_zone: &str) -> Result<bool> {
    let client = connect(dsn).await?;
    let asked =
        async { Ok(is_migrated(&client).await? && local_time_zone(&client).await? == time_zone) };
    time::timeout(ANSWER, asked)
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("no answer in time".into())))
}

row! {
    /// A migration that was applied.
    struct Applied from "public.refinery_schema_history" {
        version: i32,
        name: String,
        checksum: String,
    }
}

/// Whether exactly this program's migrations were applied. Only reads: refinery would make the table
/// that it keeps, and several programs at once must not.
async fn is_migrated(client: &Client) -> Result<bool> {
    if !has_history(client).await? {
        return Ok(false);
    }
    // Reading a view runs its functions with the rights of this role.
    if let Some(foreign) = creators::foreign_table(client, HISTORY).await? {
        return Err(Error::Start(foreign));
    }
    let applied = format!(
        "select {} from {HISTORY} order by version",
        Applied::COLUMNS
    );
    let mut applied_before = Vec::new();
    for row in &client.query_typed(&applied, &[]).await? {
        // One that cannot be read is no reason to think that nothing is to be done.
        let Applied {
            version,
            name,
            checksum,
        } = Applied::from_row(row)?;
        applied_before.push((version, name, checksum));
    }
    Ok(applied_before == wanted())
}

/// Version, name and checksum of this program's migrations, in order.
pub(super) fn wanted() -> Vec<(i32, String, String)> {
    let runner = runner();
    let wanted = runner.get_migrations().iter();
    let mut wanted: Vec<(i32, String, String)> = wanted
        .map(|it| {
            (
                it.version(),
                it.name().to_owned(),
                it.checksum().to_string(),
            )
        })
        .collect();
    // They come in the order of their files' names, V10 before V2.
    wanted.sort_unstable();
    wanted
}

async fn has_history(client: &Client) -> Result<bool> {
    let kept = format!("select to_regclass('{HISTORY}') is not null as kept");
    let rows = client.query_typed(&kept, &[]).await?;
    Ok(row::value(&rows, "kept")?.unwrap_or(false))
}

/// Refuses to run migrations that look up names in `public` where another role may have made, or may still
/// make, an operator or a function there: they could take it for PostgreSQL's own.
async fn refuse_foreign_code(client: &Client) -> Result<()> {
    if has_history(client).await? {
        if let Some(foreign) = creators::foreign_table(client, HISTORY).await? {
            return Err(Error::Start(foreign));
        }
        let newest = format!("select max(version) as newest from {HISTORY}");
        let rows = client.query_typed(&newest, &[]).await?;
        let newest: Option<i32> = row::value(&rows, "newest")?.flatten();
        if newest.is_some_and(|newest| newest >= CLOSED_SINCE) {
            return Ok(());
        }
    }
    let roles = creators::of_public(client).await?;
    if !roles.is_empty() {
        return Err(Error::Start(format!(
            "{roles} may create objects in the schema public, and the migrations to come could take them for \
             PostgreSQL's own: run `revoke create on schema public from {roles}` and migrate again; afterwards \
             it may be granted again"
        )));
    }
    let planted = creators::planted(client).await?;
    if !planted.is_empty() {
        return Err(Error::Start(format!(
            "the schema public holds {planted} of another role, and the migrations to come could take this for \
             PostgreSQL's own: drop it, or move it to another schema, and migrate again"
        )));
    }
    Ok(())
}

/// Makes refinery's table where it is missing. Others may do so at the same time.
async fn make_history(client: &Client) -> Result<()> {
    let there = format!("select to_regclass('{HISTORY}') is not null as there");
    loop {
        let rows = client.query_typed(&there, &[]).await?;
        if row::value(&rows, "there")?.unwrap_or(false) {
            return Ok(());
        }
        client.begin().await?;
        let made = client.raw().batch_execute(MAKE_HISTORY).await;
        let end = if made.is_ok() { "commit" } else { "rollback" };
        match made.and(client.raw().batch_execute(end).await) {
            Err(error) if is_made_by_another(&error) => time::sleep(ASK_EVERY).await,
            done => return done.map_err(|error| failed(Some(&error), &causes(&error))),
        }
    }
}

fn is_made_by_another(error: &tokio_postgres::Error) -> bool {
    // The table, its row type, or the row of a catalogue that both wrote.
    let made = [
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::UNIQUE_VIOLATION,
    ];
    error.code().is_some_and(|code| made.contains(code))
}

/// Locks refinery's table for as long as the transaction lasts that is begun here; reading and adding rows
/// goes on. It is no advisory lock: any role that can connect can hold one of those for ever. It is not
/// held by a session: behind a transaction pooler that would be the pooler's, and keep it for ever. Nor is
/// it waited for in a transaction, or the programs that wait would hold all of the pooler's connections.
async fn lock(gate: &Client, waits: &(dyn Fn(&str) + Send + Sync)) -> Result<()> {
    let sql = format!("lock table {HISTORY} in share update exclusive mode nowait");
    let mut waits = Waits::new(waits);
    loop {
        gate.begin().await?;
        let locked = gate.raw().batch_execute(&sql).await;
        if locked.is_err() {
            gate.raw().batch_execute("rollback").await?;
        }
        match locked {
            Ok(()) => {
                waits.over();
                return Ok(());
            }
            Err(error) if is_locked(&error) => waits.again(gate, &[HISTORY.into()]).await?,
            Err(error) => return Err(failed(Some(&error), &causes(&error))),
        }
    }
}

fn is_locked(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// A wait for locks that others hold: it says who, in the log and to whoever asked.
struct Waits<'a> {
    tell: &'a (dyn Fn(&str) + Send + Sync),
    outage: Outage,
}

impl<'a> Waits<'a> {
    fn new(tell: &'a (dyn Fn(&str) + Send + Sync)) -> Self {
        Self {
            tell,
            outage: Outage::longer_than(USUAL_WAIT),
        }
    }

    /// Waits before another attempt to lock one of `tables`.
    async fn again(&mut self, client: &Client, tables: &[String]) -> Result<()> {
        // Those who wait for a lock themselves come last.
        let sql = "select pg_catalog.concat(l.relation::pg_catalog.regclass, ' is locked by ',
                       case when l.pid is null then pg_catalog.format(
                           'the prepared transaction %L (user %s, since %s); end it with COMMIT PREPARED '
                           'or ROLLBACK PREPARED', p.gid, p.owner, p.prepared::timestamptz(0))
                       else pg_catalog.format(
                           'pid %s (user %s, application %L, in a transaction since %s)',
                           a.pid, a.usename, a.application_name, a.xact_start::timestamptz(0))
                       end) as holder
                     from pg_catalog.pg_locks l
                     left join pg_catalog.pg_stat_activity a using (pid)
                     left join lateral (
                         select x.gid, x.owner, x.prepared
                           from pg_catalog.pg_locks own
                           join pg_catalog.pg_prepared_xacts x on x.transaction = own.transactionid
                          where own.pid is null and own.virtualtransaction = l.virtualtransaction) p
                       on l.pid is null
                    where l.granted and l.pid is distinct from pg_catalog.pg_backend_pid()
                      and l.database = (select oid from pg_catalog.pg_database
                                         where datname = pg_catalog.current_database())
                      and l.relation = any (select pg_catalog.to_regclass(t)::oid
                                              from pg_catalog.unnest($1) t)
                    order by coalesce(a.xact_start, p.prepared) limit 1";
        let values: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&tables, Type::TEXT_ARRAY)];
        // Nobody is found when the lock was given back meanwhile.
        if let Some(row) = client.query_typed(sql, &values).await?.first() {
            let holder: &str = row.try_get("holder")?;
            (self.tell)(holder);
            if let Some(lasting) = self.outage.failed() {
                tracing::warn!(holder, lasting, "migrating waits for a lock");
            }
        }
        time::sleep(ASK_EVERY).await;
        Ok(())
    }

    fn over(&mut self) {
        if let Some(after) = self.outage.over() {
            tracing::info!(after, "the lock was given back");
        }
    }
}

/// Applies the migrations.
fn runner() -> Runner {
    let read = |(name, sql): &(&str, &str)| {
        Migration::unapplied(name, sql).expect("every file's name begins with V and a number")
    };
    let migrations: Vec<_> = MIGRATIONS.iter().map(read).collect();
    Runner::new(&migrations)
}

/// The version of the schema that this program makes.
pub fn newest() -> i32 {
    wanted().last().map_or(0, |(version, ..)| *version)
}

/// A connection of its own: migrations must not run through a pool that others wait for.
async fn connect(dsn: &Dsn) -> Result<Client> {
    let primary = Primary::new(dsn)?;
    let (client, wire) = primary.connect().await?;
    if let Some(encoding) = unfit_encoding(&wire) {
        let name = dsn.config.get_dbname().unwrap_or_default();
        return Err(Error::Start(format!(
            "the database {name} has the encoding {encoding}: {UTF8}"
        )));
    }
    tokio::spawn(drive(wire));
    Ok(Client::own(client, &primary))
}

/// Drives a connection, and logs what migrations say, such as which rows they corrected.
async fn drive(mut wire: Wire) {
    while let Some(Ok(message)) = poll_fn(|context| wire.poll_message(context)).await {
        let AsyncMessage::Notice(notice) = message else {
            continue;
        };
        if notice.parsed_severity() == Some(Severity::Warning) {
            tracing::warn!(
                said = notice.message(),
                "warning from the database during a migration"
            );
        } else {
            tracing::debug!(
                said = notice.message(),
                "notice from the database during a migration"
            );
        }
    }
}

/// What to do about a database that cannot hold every text.
pub(super) const UTF8: &str = "make one with `create database NAME encoding 'UTF8' template template0` \
    and restore a dump of this one there";

/// The encoding of the database when it is not UTF8, in which clients send their texts.
pub(super) fn unfit_encoding(wire: &Wire) -> Option<&str> {
    wire.parameter("server_encoding")
        .filter(|encoding| *encoding != "UTF8")
}

/// Applies migrations, each in a transaction with the program's settings that has the tables for itself.
struct Migrator<'a> {
    client: Client,
    waits: Waits<'a>,
}

impl AsyncTransaction for Migrator<'_> {
    type Error = Failure;

    /// A transaction of others may have locked some of the tables and want others. Locking one after another
    /// as a migration comes to them could therefore end in a deadlock, so all are locked first. Until that
    /// works, none is kept, and nobody waits long behind us.
    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        statements: T,
    ) -> Result<usize, Self::Error> {
        let statements: Vec<&str> = statements.collect();
        loop {
            let work = self.client.begin_transaction().await?;
            let tables = tables(&work).await?;
            match lock_all(&work, &tables).await {
                Ok(()) => {
                    self.waits.over();
                    for statement in &statements {
                        if is_open(statement) {
                            work.batch_execute(OPEN_PATH).await?;
                        }
                        work.batch_execute(statement).await?;
                    }
                    work.commit().await?;
                    return Ok(statements.len());
                }
                Err(error) if is_locked(&error) => {
                    work.rollback().await?;
                    // Who it is helps an operator; nothing depends on it.
                    if let Err(error) = self.waits.again(&self.client, &tables).await {
                        tracing::debug!(%error, "who holds the lock is not known");
                        time::sleep(ASK_EVERY).await;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Those of the schema's tables that are there.
async fn tables(work: &Transaction<'_>) -> Result<Vec<String>, tokio_postgres::Error> {
    let names: Vec<&str> = declared::tables().collect();
    let sql = "select pg_catalog.format('public.%I', name) as name from pg_catalog.unnest($1) name
                where pg_catalog.to_regclass(pg_catalog.format('public.%I', name)) is not null
                order by 1";
    let rows = work.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| row.try_get("name")).collect()
}

async fn lock_all(work: &Transaction<'_>, tables: &[String]) -> Result<(), tokio_postgres::Error> {
    if tables.is_empty() {
        return Ok(());
    }
    let lock = format!(
        "set local lock_timeout = {TABLE_WAIT_MILLIS};
         lock table {} in access exclusive mode;
         set local lock_timeout = 0",
        tables.join(", ")
    );
    work.batch_execute(&lock).await
}

/// Whether this is a migration that was written for a path with `public` in it.
fn is_open(statement: &str) -> bool {
    let runner = runner();
    let mut migrations = runner.get_migrations().iter();
    migrations.any(|it| it.version() < CLOSED_SINCE && it.sql() == Some(statement))
}

impl AsyncQuery<Vec<Migration>> for Migrator<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        let work = self.client.begin_transaction().await?;
        let rows = work.query_typed(query, &[]).await?;
        work.commit().await?;
        rows.iter().map(applied).collect()
    }
}

impl AsyncMigrate for Migrator<'_> {}

row! {
    /// What the library wants to know of a migration that was applied.
    struct Noted from "public.refinery_schema_history" {
        version: i32,
        name: String,
        applied_on: String,
        checksum: String,
    }
}

/// A row of the history; somebody may have changed it by hand.
fn applied(row: &Row) -> Result<Migration, Failure> {
    let wrong = |why: String| Failure::History(format!("a row of {HISTORY} cannot be read: {why}"));
    let row =
        Noted::from_row(row).map_err(|unreadable| wrong(Error::from(unreadable).to_string()))?;
    let version = row.version;
    let in_row = |why: &dyn Display| wrong(format!("version {version}: {why}"));
    let applied_on: Timestamp = row.applied_on.parse().map_err(|why| in_row(&why))?;
    let checksum = row
        .checksum
        .parse()
        .map_err(|why: ParseIntError| in_row(&why))?;
    Ok(Migration::applied(
        version,
        row.name,
        SystemTime::from(applied_on).into(),
        checksum,
    ))
}

/// Why a migration was not applied.
#[derive(Debug)]
enum Failure {
    /// The database failed or refused a statement.
    Database(tokio_postgres::Error),
    /// The history cannot be read.
    History(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => f.write_str(&describe(error)),
            Self::History(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::History(_) => None,
        }
    }
}

async fn local_time_zone(client: &Client) -> Result<String> {
    let sql = "select public.local_time_zone() as zone";
    let rows = client.query_typed(sql, &[]).await?;
    Ok(row::value(&rows, "zone")?.unwrap_or_default())
}

/// Lets the database's calendar follow `time_zone`; everything derived from "today" with it.
async fn set_time_zone(client: &mut Client, time_zone: &str) -> Result<bool> {
    if local_time_zone(client).await? == time_zone {
        return Ok(false);
    }
    // A function's body takes no parameters, so the name is quoted by the server itself.
    let quoted = client
        .query_typed(
            "select format('create or replace function public.local_time_zone() returns text \
             language sql immutable parallel safe return %L', $1) as statement",
            &[(&time_zone, Type::TEXT)],
        )
        .await?;
    let statement: &str = row::value(&quoted, "statement")?.unwrap_or_default();
    let work = client.transaction().await?;
    work.batch_execute(&format!("{statement}; select public.rederive_sources()"))
        .await?;
    work.commit().await?;
    Ok(true)
}

fn refused(error: &refinery_core::Error) -> Error {
    // refinery wraps an error once or twice.
    let mut sources = successors(error.source(), |&cause| cause.source());
    let by_database = sources.find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>());
    let why = match error.kind() {
        // Its text would repeat the first of its causes, without what the database says.
        Kind::Connection(what, cause) => format!("{what}: {}", causes(&**cause)),
        _ => causes(error),
    };
    failed(by_database, &why)
}

/// What to do about a statement that failed, by its SQLSTATE.
fn failed(by_database: Option<&tokio_postgres::Error>, why: &str) -> Error {
    let why = format!("migrating the database failed: {why}");
    match by_database.map(|error| error.code().map(SqlState::code)) {
        // The connection ended, an administrator ended the session, the server stops or lacks something, or
        // it was the primary a moment ago.
        Some(None | Some("25006")) => Error::Unavailable(why),
        Some(Some(code)) if ["08", "53", "57", "58"].contains(&&code[..2]) => {
            Error::Unavailable(why)
        }
        Some(Some(code)) if code.starts_with("40") => Error::Conflict(why),
        Some(Some("55P03")) => Error::Locked(why),
        Some(Some("42501")) => Error::Forbidden(why),
        _ => Error::Start(why),
    }
}
