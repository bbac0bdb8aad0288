//! Whether a database is fit for the server, as far as a connection can tell. It changes nothing,
//! unless it is asked to mend triggers.

mod catalogue;
mod followed;
mod roles;
mod triggers;

use std::{
    fmt::Display,
    future::poll_fn,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time;
use tokio_postgres::{AsyncMessage, types::Type};

pub use self::catalogue::facts;
use super::{
    declared, migrate,
    row::{self, FromRow, row},
};
use crate::{
    error::{Error, Result},
    pg::{
        Client, advice,
        dsn::{Dsn, Verify},
        primary::{Primary, Wire},
    },
};

/// The first thing that is looked at.
const CONNECTION: &str = "connection";
/// How long a notification may take.
const ROUND_TRIP: Duration = Duration::from_secs(3);
/// What two clocks may differ by.
const SKEW: Duration = Duration::from_secs(2);
/// Beyond this somebody keeps PostgreSQL from emptying its queue of notifications.
const QUEUE: f64 = 0.01;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub about: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The server works, but somebody should look.
    Warn,
    /// The server does not work, or misses changes.
    Fail,
}

impl Finding {
    fn ok(about: &'static str, found: impl Display) -> Self {
        Self {
            level: Level::Ok,
            about,
            found: found.to_string(),
            advice: None,
        }
    }

    fn of(level: Level, about: &'static str, found: impl Display, advice: &str) -> Self {
        Self {
            level,
            advice: Some(advice.into()),
            ..Self::ok(about, found)
        }
    }
}

/// Looks at one thing after another, and no further than the first that explains what would follow:
/// a database that cannot be reached or has no schema is one thing that is wrong. With `fix`, triggers
/// that are not as they should be are mended.
pub async fn run(dsn: &Dsn, listen: Option<&Dsn>, zone: &str, fix: bool) -> Vec<Finding> {
    let client = match connect(dsn).await {
        Ok(client) => client,
        Err(finding) => return vec![finding],
    };
    let mut report = Report::default();
    report.look_at(&client, dsn, listen, zone, fix).await;
    report.findings
}

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    async fn look_at(
        &mut self,
        client: &Client,
        dsn: &Dsn,
        listen: Option<&Dsn>,
        zone: &str,
        fix: bool,
    ) {
        if !(self.add(CONNECTION, connection(client).await)
            && self.add("encryption", encryption(client, dsn).await)
            && self.add("standby", standby(client, dsn).await)
            && self.add("encoding", roles::encoding(client).await)
            && self.add("schema", schema(client).await))
        {
            return;
        }
        self.add("privileges", privileges(client).await);
        self.add("schemas", roles::schemas(client).await);
        self.add("schema public", roles::creators(client).await);
        self.add("callers", roles::callers(client).await);
        self.add("settings", roles::settings(client).await);
        self.add("definitions", catalogue::look(client.raw()).await);
        if self.add("functions", triggers::functions(client).await) {
            let found = if fix {
                triggers::mend(client).await
            } else {
                triggers::look(client).await
            };
            self.add("triggers", found);
            self.add("followed tables", followed::look(client).await);
        }
        self.add("time zone", time_zone(client, zone).await);
        self.add("clock", clock(client).await);
        self.add("queue", queue(client).await);
        if self.add("pooler", Ok(pooler(dsn, listen).await)) {
            let found = round_trip(client, listen.unwrap_or(dsn)).await;
            self.add("notifications", Ok(vec![found]));
        }
    }

    /// Adds what one look has found. False when something is wrong there.
    fn add(&mut self, about: &'static str, found: Result<Vec<Finding>>) -> bool {
        let found = found.unwrap_or_else(|error| {
            let advice = advice::on_statement(&error);
            vec![Finding::of(Level::Fail, about, error, &advice)]
        });
        let is_well = found.iter().all(|one| one.level != Level::Fail);
        self.findings.extend(found);
        is_well
    }
}

/// A connection as the server makes it, or what keeps it from being made.
async fn connect(dsn: &Dsn) -> Result<Client, Finding> {
    let dsn = dsn.clone().named("marketplace doctor");
    let primary = Primary::new(&dsn).map_err(|error| {
        let advice = format!("correct {}", dsn.setting());
        Finding::of(Level::Fail, CONNECTION, error, &advice)
    })?;
    let (client, wire) = primary
        .connect()
        .await
        .map_err(|failures| Finding::of(Level::Fail, CONNECTION, &failures, failures.advice()))?;
    tokio::spawn(wire);
    Ok(Client::own(client, &primary))
}

row! {
    /// Who answers.
    struct Server from "the database server" {
        found: String = "format('PostgreSQL %s, database %s as %s',
            current_setting('server_version'), current_database(), current_user)",
        version: i32 = "current_setting('server_version_num')::int",
    }
}

async fn connection(client: &Client) -> Result<Vec<Finding>> {
    let sql = format!("select {}", Server::COLUMNS);
    let server: Server = row::only(&client.query_typed(&sql, &[]).await?)?;
    let found = server.found;
    Ok(vec![if server.version < 150_000 {
        let advice = "use PostgreSQL 15 or newer";
        Finding::of(Level::Fail, "connection", found, advice)
    } else {
        Finding::ok("connection", found)
    }])
}

row! {
    /// How the connection is secured.
    struct Encryption from "pg_stat_ssl" {
        tls: String = "coalesce(
            (select version from pg_stat_ssl where pid = pg_backend_pid() and ssl), '')",
        is_local: bool = "coalesce(host(inet_server_addr()) in ('127.0.0.1', '::1'), true)",
    }
}

async fn encryption(client: &Client, dsn: &Dsn) -> Result<Vec<Finding>> {
    const ABOUT: &str = "encryption";
    let advice = format!("set sslmode=verify-full in {}", dsn.setting());
    let sql = format!("select {}", Encryption::COLUMNS);
    let found: Encryption = row::only(&client.query_typed(&sql, &[]).await?)?;
    Ok(vec![
        match (found.tls.as_str(), found.is_local, dsn.tls.verify) {
            ("", true, _) => Finding::ok(ABOUT, "none; not needed on the same machine"),
            ("", false, _) => Finding::of(Level::Warn, ABOUT, "none", &advice),
            (tls, is_local, Verify::Nothing) => {
                let found = format!("{tls}: encrypted, not verified");
                if is_local {
                    Finding::ok(ABOUT, found)
                } else {
                    Finding::of(Level::Warn, ABOUT, found, &advice)
                }
            }
            (tls, _, Verify::Authority) => {
                let found =
                    format!("{tls}: encrypted, the authority verified, the host's name not");
                Finding::ok(ABOUT, found)
            }
            (tls, _, Verify::Host) => Finding::ok(ABOUT, format!("{tls}: encrypted, verified")),
        },
    ])
}

row! {
    /// What keeps the server from writing.
    struct Writable from "the database server" {
        is_standby: bool = "pg_is_in_recovery()",
        is_read_only: bool = "current_setting('transaction_read_only') = 'on'",
    }
}

async fn standby(client: &Client, dsn: &Dsn) -> Result<Vec<Finding>> {
    const ABOUT: &str = "standby";
    let sql = format!("select {}", Writable::COLUMNS);
    let found: Writable = row::only(&client.query_typed(&sql, &[]).await?)?;
    Ok(vec![match (found.is_standby, found.is_read_only) {
        (true, _) => {
            let advice = format!(
                "name the primary in {}, or all hosts with commas",
                dsn.setting()
            );
            let found = "this is one: it cannot be written or listened to";
            Finding::of(Level::Fail, ABOUT, found, &advice)
        }
        (false, true) => {
            let advice = "look at default_transaction_read_only of role and database";
            Finding::of(
                Level::Fail,
                ABOUT,
                "the primary, but transactions only read",
                advice,
            )
        }
        (false, false) => Finding::ok(ABOUT, "no, this is the primary"),
    }])
}

async fn schema(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "schema";
    let migrate = "run `marketplace migrate`";
    let there = "select to_regclass('public.refinery_schema_history') is not null as there";
    if !row::value(&client.query_typed(there, &[]).await?, "there")?.unwrap_or(false) {
        return Ok(vec![Finding::of(Level::Fail, ABOUT, "missing", migrate)]);
    }
    let sql = "select version, coalesce(name, '') as name, coalesce(checksum, '') as checksum
                 from public.refinery_schema_history order by version";
    let mut applied = Vec::new();
    for row in client.query_typed(sql, &[]).await? {
        let text = |column| row.try_get::<_, String>(column);
        applied.push((
            row.try_get::<_, i32>("version")?,
            text("name")?,
            text("checksum")?,
        ));
    }
    let wanted = migrate::wanted();
    let newest = |versions: &[(i32, String, String)]| versions.last().map_or(0, |one| one.0);
    let (found, known) = (newest(&applied), newest(&wanted));
    let strange = |one: &&(i32, String, String)| !wanted.contains(one);
    Ok(vec![match applied.iter().find(strange) {
        None if applied.len() == wanted.len() => Finding::ok(ABOUT, format!("version {found}")),
        None => {
            let found = format!("version {found}, of {known}");
            Finding::of(Level::Fail, ABOUT, found, migrate)
        }
        Some((version, ..)) if *version > known => {
            let found =
                format!("version {found}; this program knows up to {known} and refuses to start");
            Finding::of(Level::Fail, ABOUT, found, "use the newer program")
        }
        Some((version, name, _)) => {
            let found = format!(
                "the history has another version {version} ({name}) than this program, which refuses to start"
            );
            let advice = "use the program that has made this database; if somebody has changed \
                          public.refinery_schema_history, restore that table from a backup";
            Finding::of(Level::Fail, ABOUT, found, advice)
        }
    }])
}

/// What docs/databases.md asks for a role that does not own the tables.
async fn privileges(client: &Client) -> Result<Vec<Finding>> {
    let tables: Vec<&str> = declared::tables().collect();
    let functions: Vec<&str> = declared::callable().collect();
    let sql = "select concat_ws(', ',
               (select string_agg(p || ' on ' || t, ', ' order by place, nth)
                  from unnest($1) with ordinality wanted (t, place),
                       unnest(array['select', 'insert', 'update', 'delete']) with ordinality rights (p, nth)
                 where not has_table_privilege(to_regclass('public.' || t)::oid, p)),
               (select 'select on ' || t from unnest(array['refinery_schema_history']) t
                 where not has_table_privilege(to_regclass('public.' || t)::oid, 'select')),
               (select string_agg('execute on function ' || f, ', ' order by place)
                  from unnest($2) with ordinality wanted (f, place)
                 where not has_function_privilege(to_regprocedure('public.' || f)::oid, 'execute'))) as missing";
    let rows = client
        .query_typed(
            sql,
            &[(&tables, Type::TEXT_ARRAY), (&functions, Type::TEXT_ARRAY)],
        )
        .await?;
    let missing: String = row::value(&rows, "missing")?.unwrap_or_default();
    Ok(vec![if missing.is_empty() {
        Finding::ok("privileges", "enough")
    } else {
        let advice = "grant them, or let the server use the role that owns the tables";
        let found = format!("missing: {missing}");
        Finding::of(Level::Fail, "privileges", found, advice)
    }])
}

async fn time_zone(client: &Client, zone: &str) -> Result<Vec<Finding>> {
    const ABOUT: &str = "time zone";
    let there = "select to_regprocedure('public.local_time_zone()') is not null as there";
    if !row::value(&client.query_typed(there, &[]).await?, "there")?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    let sql = "select public.local_time_zone() as zone";
    let rows = client.query_typed(sql, &[]).await?;
    let found: String = row::value(&rows, "zone")?.unwrap_or_default();
    Ok(vec![if found == zone {
        Finding::ok(ABOUT, found)
    } else {
        let found = format!("{found} in the database, {zone} in the settings");
        let advice = "set TIME_ZONE alike on every node; a server sets the database's at its start";
        Finding::of(Level::Warn, ABOUT, found, advice)
    }])
}

async fn clock(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "clock";
    let (asked, at) = (Instant::now(), Timestamp::now());
    let sql = "select clock_timestamp() as now";
    let rows = client.query_typed(sql, &[]).await?;
    let there: Timestamp = row::value(&rows, "now")?.unwrap_or(at);
    // It was read somewhere in between.
    let skew = there.duration_since(at).unsigned_abs();
    let skew = skew.saturating_sub(asked.elapsed());
    Ok(vec![if skew > SKEW {
        let found = format!("{skew:.1?} from the database's");
        let advice = "let both machines follow a time server: sessions end by the database's clock";
        Finding::of(Level::Warn, ABOUT, found, advice)
    } else {
        Finding::ok(ABOUT, "the same as the database's")
    }])
}

async fn queue(client: &Client) -> Result<Vec<Finding>> {
    const ABOUT: &str = "queue";
    let sql = "select pg_notification_queue_usage() as usage";
    let rows = client.query_typed(sql, &[]).await?;
    let usage: f64 = row::value(&rows, "usage")?.unwrap_or_default();
    let found = format!("{:.1} % of the notifications' queue is used", usage * 100.0);
    Ok(vec![if usage < QUEUE {
        Finding::ok(ABOUT, found)
    } else {
        let level = if usage < 0.5 {
            Level::Warn
        } else {
            Level::Fail
        };
        let advice = "end the session that listens inside an old transaction: select pid, xact_start, query from pg_stat_activity order by xact_start";
        Finding::of(level, ABOUT, found, advice)
    }])
}

/// Two connections that are open at once and share one of the server's are a pooler's.
async fn pooler(dsn: &Dsn, listen: Option<&Dsn>) -> Vec<Finding> {
    const ABOUT: &str = "pooler";
    let mut findings = Vec::new();
    for (is_for_all, dsn) in [(true, Some(dsn)), (false, listen)] {
        let Some(dsn) = dsn else { continue };
        let setting = dsn.setting();
        let shares = match shares(dsn).await {
            Ok(shares) => shares,
            Err(finding) => {
                findings.push(finding);
                continue;
            }
        };
        let found = format!("{setting} goes through one");
        findings.push(match (shares, is_for_all) {
            (false, _) => Finding::ok(ABOUT, format!("none seen behind {setting}")),
            (true, true) if listen.is_some() => {
                Finding::ok(ABOUT, format!("{found}, which is fine for reading and writing"))
            }
            (true, _) => {
                let advice = "set LISTEN_DATABASE_URL to the server itself: LISTEN does not work through a pooler in transaction mode";
                Finding::of(Level::Fail, ABOUT, found, advice)
            }
        });
    }
    findings
}

async fn shares(dsn: &Dsn) -> Result<bool, Finding> {
    let failed = |error: Error| {
        let advice = advice::on_statement(&error);
        Finding::of(
            Level::Fail,
            CONNECTION,
            format!("{}: {error}", dsn.setting()),
            &advice,
        )
    };
    let sql = "select pg_backend_pid() as pid";
    let mut pids = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let client = connect(dsn).await?;
        for row in client.query_typed(sql, &[]).await.map_err(failed)? {
            pids.push(
                row.try_get::<_, i32>("pid")
                    .map_err(|error| failed(error.into()))?,
            );
        }
        kept.push(client);
    }
    let all = pids.len();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids.len() < all)
}

/// Listens as a server would, and notifies by another connection.
async fn round_trip(client: &Client, listen: &Dsn) -> Finding {
    const ABOUT: &str = "notifications";
    let advice = "set LISTEN_DATABASE_URL to the primary itself, not a pooler or a standby";
    let channel = format!("doctor_{:016x}", rand::random::<u64>());
    let trip = async {
        let (listener, mut wire) = Primary::new(&listen.clone().named("marketplace doctor"))?
            .connect()
            .await?;
        let statement = format!("listen {channel}");
        let listening = listener.batch_execute(&statement);
        tokio::select! {
            done = listening => done?,
            _ = arrival(&mut wire) => {}
        }
        let sent = Instant::now();
        let notify = format!("notify {channel}");
        client.raw().batch_execute(&notify).await?;
        arrival(&mut wire).await?;
        Ok::<_, Error>(sent.elapsed())
    };
    match time::timeout(ROUND_TRIP, trip).await {
        Ok(Ok(took)) => Finding::ok(ABOUT, format!("arrive, after {took:.1?}")),
        Ok(Err(error)) => Finding::of(Level::Fail, ABOUT, error, advice),
        Err(_) => {
            let found = format!("none arrived within {ROUND_TRIP:?}");
            Finding::of(Level::Fail, ABOUT, found, advice)
        }
    }
}

/// Waits for a notification.
async fn arrival(wire: &mut Wire) -> Result<()> {
    loop {
        match poll_fn(|cx| wire.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => return Ok(()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => {
                let why = "the connection was closed".into();
                return Err(Error::Unavailable(why));
            }
        }
    }
}
