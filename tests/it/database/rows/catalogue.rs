//! The walk through the catalogue: every column of every table gets the extremes of its type, against
//! a running server with every kind of socket open.

use std::time::Instant;

use futures_util::future::join_all;
use tokio_postgres::Client;
use uuid::Uuid;

use super::metric;
use crate::support::{
    client::{Frame, Http, Socket},
    server::{TestServer, eventually, open},
};

/// The row whose changes must go on arriving, and a run of it.
const MARKER: Uuid = Uuid::from_u128(0xa);
/// What is read after each value that the database has taken.
const READS: [&str; 9] = [
    "/readyz",
    "/api/me/",
    "/api/users/",
    "/api/read-source/",
    "/api/sources/?limit=500&order=-country",
    "/api/data-library/",
    "/api/pipeline-runs/",
    "/api/pipeline-runs/00000000-0000-0000-0000-00000000000a/",
    "/api/health/",
];

/// SQL expressions for the extremes of a type, by its name in `pg_type`.
fn extremes(kind: &str) -> Option<Vec<String>> {
    let quoted = |values: &[&str]| {
        let quote = |value: &&str| format!("'{value}'::{}", kind.replace("varchar", "text"));
        values.iter().map(quote).collect()
    };
    let raw = |values: &[&str]| values.iter().map(ToString::to_string).collect();
    Some(match kind {
        "timestamptz" | "timestamp" => quoted(&[
            "infinity",
            "-infinity",
            "9999-12-31 12:00+00",
            "9999-12-31 23:59:59.999999-14",
            "9999-12-30 00:00+00",
            "9999-12-29 23:59:59.999999+00",
            "10000-01-01 00:00+00",
            "20000-01-01 00:00+00",
            "294276-12-31 23:59:59.999999+00",
            "0001-01-01 00:00+00",
            "0001-01-02 00:00+00",
            "0001-12-31 00:00+00 BC",
            "4713-01-01 00:00+00 BC",
            "1969-12-31 23:59:59.999999+00",
            "2011-12-30 12:00+14",
        ]),
        "date" => quoted(&[
            "infinity",
            "-infinity",
            "9999-12-31",
            "10000-01-01",
            "5874897-12-31",
            "0001-01-01",
            "0001-12-31 BC",
            "4713-01-01 BC",
            "2011-12-30",
        ]),
        "text" | "varchar" | "bpchar" | "name" => raw(&[
            "''",
            "repeat('x', 100)",
            "repeat('x', 60000)",
            "repeat('x', 1048576)",
            r"E'\u202e\u200d\ufeff\u0301\U0010ffff\uffff\U0001f600\u0001\u001f\u007f\u2028'",
            r#"'"\{}[]</script><!--,'''"#,
        ]),
        "uuid" => quoted(&[
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ]),
        "bool" => raw(&["true", "false"]),
        "int2" => raw(&["'-32768'::int2", "'32767'::int2", "0::int2"]),
        "int4" => raw(&["'-2147483648'::int4", "2147483647", "0", "-1", "1"]),
        "int8" => raw(&[
            "'-9223372036854775808'::int8",
            "9223372036854775807",
            "9007199254740993",
            "0",
            "-1",
        ]),
        "float4" | "float8" => quoted(&["NaN", "Infinity", "-Infinity", "1e37", "1e-37", "-0"]),
        "numeric" => quoted(&["NaN", "Infinity", "-Infinity", "1e1000", "1e-1000", "-1"]),
        "interval" => quoted(&["178000000 years", "-178000000 years", "0"]),
        "bytea" => raw(&[
            "''::bytea",
            r"'\x00'::bytea",
            r"decode(repeat('ff', 32), 'hex')",
            r"decode(repeat('00', 1048576), 'hex')",
        ]),
        _ => return extremes_of_many(kind),
    })
}

/// The same for types whose values have parts.
fn extremes_of_many(kind: &str) -> Option<Vec<String>> {
    let raw = |values: &[&str]| values.iter().map(ToString::to_string).collect();
    Some(match kind {
        "_uuid" => raw(&[
            "'{}'::uuid[]",
            "'{NULL}'::uuid[]",
            "'{NULL,00000000-0000-0000-0000-000000000000,NULL}'::uuid[]",
            "array[array[gen_random_uuid()], array[gen_random_uuid()]]",
            "'[5:6]={00000000-0000-0000-0000-000000000000,NULL}'::uuid[]",
            "'[5:5]={00000000-0000-0000-0000-000000000000}'::uuid[]",
            "array(select gen_random_uuid() from generate_series(1, 900))",
            "array(select gen_random_uuid() from generate_series(1, 20000))",
        ]),
        "_text" | "_varchar" => raw(&[
            "'{}'::text[]",
            "'{NULL}'::text[]",
            "'{{a},{b}}'::text[]",
            "'[5:5]={a}'::text[]",
            "array_fill(repeat('x', 1000), array[1000])",
        ]),
        "json" | "jsonb" => {
            let cast = |value: &str| format!("{value}::{kind}");
            [
                "'null'",
                "'{}'",
                "'[]'",
                "'7'",
                "'\"text\"'",
                "'{\"id\": null}'",
                "('{\"a\": 1' || repeat('0', 400) || '}')",
                "('{\"a\": 0.' || repeat('0', 400) || '1}')",
                "('{\"a\": ' || repeat('[', 1000) || repeat(']', 1000) || '}')",
                "('{\"a\": \"' || repeat('x', 1048576) || '\"}')",
            ]
            .map(cast)
            .into()
        }
        _ => return None,
    })
}

struct Column {
    table: String,
    name: String,
    kind: String,
}

async fn columns(dba: &Client) -> Vec<Column> {
    let sql = "select c.relname::text as table, a.attname::text as name, t.typname::text as kind
                 from pg_attribute a
                 join pg_class c on c.oid = a.attrelid
                 join pg_type t on t.oid = a.atttypid
                where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
                  and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                order by c.relname, a.attnum";
    let rows = dba.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| Column {
            table: row.get("table"),
            name: row.get("name"),
            kind: row.get("kind"),
        })
        .collect()
}

/// Which row of each table is changed; any row where nothing is said.
fn victim(table: &str) -> &'static str {
    match table {
        "users" => "username = 'victim'",
        "sessions" => "user_id = (select id from public.users where username = 'victim')",
        "sources" => "country = 'victim'",
        "pipeline_runs" => "step = 'victim'",
        _ => "true",
    }
}

/// A row of each table that has none yet.
const ROWS: &str = "
    insert into sources (country) values ('victim'), ('bystander');
    insert into sources (id, country) values ('00000000-0000-0000-0000-00000000000a', 'marker');
    insert into pipeline_runs (step, source_id)
         select 'victim', id from sources where country = 'victim';
    insert into pipeline_runs (id, step) values ('00000000-0000-0000-0000-00000000000a', 'marker');
    insert into pipeline_submissions (run_id, node, claimed_until, cluster_id, command, sent_at)
         select id, id, now(), 'j-1', 'qc', now() from pipeline_runs where step = 'victim';
    insert into pipeline_followers (node, until) values (gen_random_uuid(), now());
    insert into uploads (key, name) values (gen_random_uuid(), 'a.csv');
    insert into django_imports values ('source', 'x', gen_random_uuid(), '{}');
    insert into day_turns (day) values ('2020-01-01') on conflict do nothing";

/// A row that is changed and put back.
struct Row<'a> {
    dba: &'a Client,
    table: &'a str,
    /// Where it is. The server moves a row that it writes, such as an upload that it sweeps.
    place: String,
}

impl<'a> Row<'a> {
    /// Remembers the row as it is.
    async fn of(dba: &'a Client, table: &'a str) -> Self {
        let victim = victim(table);
        if Self::find(dba, table).await.is_none() {
            let sql = format!("insert into public.{table} default values");
            let _ = dba.batch_execute(&sql).await;
        }
        dba.batch_execute(&format!(
            "drop table if exists saved;
             create temp table saved as select * from public.{table} where {victim} limit 1"
        ))
        .await
        .unwrap();
        let place = Self::find(dba, table).await.unwrap_or_else(|| {
            panic!("the table {table} has no row to walk through: let ROWS make one")
        });
        Self { dba, table, place }
    }

    async fn find(dba: &Client, table: &str) -> Option<String> {
        let victim = victim(table);
        let sql = format!("select ctid::text from public.{table} where {victim} limit 1");
        let found = dba.query_opt(&sql, &[]).await.unwrap();
        found.map(|row| row.get(0))
    }

    /// Sets a column; false when the database refuses it.
    async fn set(&mut self, column: &str, value: &str) -> bool {
        for _ in 0..10 {
            let sql = format!(
                "update public.{} set {column} = {value} where ctid = '{}'::tid returning ctid::text",
                self.table, self.place
            );
            match self.dba.query_opt(&sql, &[]).await {
                Ok(Some(row)) => {
                    self.place = row.get(0);
                    return true;
                }
                Ok(None) => self.find_again().await,
                Err(error) => {
                    let db = error.as_db_error();
                    assert!(db.is_some(), "{sql}: the connection broke: {error}");
                    return false;
                }
            }
        }
        panic!("the server writes the row of {} all the time", self.table);
    }

    /// The server has written the row, or removed it, such as an upload that is an orphan now.
    async fn find_again(&mut self) {
        let sql = format!(
            "insert into public.{} select * from saved on conflict do nothing",
            self.table
        );
        if Self::find(self.dba, self.table).await.is_none() {
            self.dba.execute(&sql, &[]).await.unwrap();
        }
        if let Some(place) = Self::find(self.dba, self.table).await {
            self.place = place;
        }
    }

    /// Gives a column the value that it had.
    async fn put_back(&mut self, column: &str) {
        let was = format!("(select {column} from saved)");
        assert!(self.set(column, &was).await, "{}.{column}", self.table);
    }
}

/// A socket, and how much of it was looked at.
struct Watched {
    path: &'static str,
    socket: Socket,
    seen: usize,
    /// Whether its frames show the marker's text.
    shows_text: bool,
}

impl Watched {
    async fn open(visitor: &Http, path: &'static str, shows_text: bool) -> Self {
        Self {
            path,
            socket: open(visitor, path).await,
            seen: 0,
            shows_text,
        }
    }

    /// Waits for a frame that is new, and shows `text` if its kind does.
    async fn arrives(&mut self, text: &str, after: &str) {
        eventually(
            &format!("{} is told after {after}", self.path),
            async || {
                assert_eq!(self.socket.closed(), None, "{} after {after}", self.path);
                let frames = self.socket.frames_from(self.seen);
                frames.iter().any(|frame| match frame {
                    Frame::Text(frame) => !self.shows_text || frame.contains(text),
                    Frame::Binary(_) => false,
                })
            },
        )
        .await;
        self.seen = self.socket.count();
    }
}

/// A server that is watched in every way.
struct World {
    keeper: Http,
    writer: Client,
    sockets: Vec<Watched>,
    step: u32,
}

impl World {
    async fn new(server: &TestServer, writer: Client) -> Self {
        let keeper = server.visitor("keeper").await;
        server.visitor("victim").await;
        writer
            .batch_execute("update users set role = 'admin' where username = 'keeper'")
            .await
            .unwrap();
        writer.batch_execute(ROWS).await.unwrap();
        let mut sockets = Vec::new();
        for (path, shows_text) in [
            ("/ws/read_source/", true),
            ("/ws/read_source/?mode=delta", true),
            ("/ws/filter_source/", true),
            ("/ws/EMRConsumer/", true),
            ("/ws/data_library/", false),
            ("/ws/source/", false),
            ("/ws/data_source_activation/", false),
            ("/ws/activity/", false),
            ("/ws/live/", true),
        ] {
            sockets.push(Watched::open(&keeper, path, shows_text).await);
        }
        let ask = serde_json::json!({ "action": "filter_by_id", "id": MARKER });
        sockets[2].socket.send_json(&ask).await;
        let ask = serde_json::json!({ "subscribe": "all", "rows": { "limit": 500 } });
        let live = sockets.last_mut().expect("it was opened last");
        live.socket.send_json(&ask).await;
        Self {
            keeper,
            writer,
            sockets,
            step: 0,
        }
    }

    /// Another client's change arrives on every socket, and everything that is read is answered.
    async fn goes_on(&mut self, after: &str) {
        self.step += 1;
        let text = format!("step {}.", self.step);
        let status = ["active", "inactive"][self.step as usize % 2];
        self.writer
            .batch_execute(&format!(
                "update sources set country = '{text}', status = '{status}' where id = '{MARKER}';
                 update pipeline_runs set reason = '{text}' where id = '{MARKER}';
                 -- A count that only grows: no two steps together leave the counts as they were.
                 insert into pipeline_runs (step, state) values ('counted', 'COMPLETED')"
            ))
            .await
            .unwrap();
        let arrivals = self.sockets.iter_mut().map(|it| it.arrives(&text, after));
        let base = self.keeper.address().base();
        let reads = READS.map(|path| {
            let mut reader = Http::new(&base).with_cookies_of(&self.keeper);
            async move { (path, reader.get(path).send().await) }
        });
        let (_, answers) = tokio::join!(join_all(arrivals), join_all(reads));
        for (path, answer) in answers {
            assert_eq!(
                answer.status,
                200,
                "{path} after {after}: {}",
                answer.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_any_column_stops_a_server_or_a_view() {
    let began = Instant::now();
    let (server, database) = TestServer::start().await;
    let mut world = World::new(&server, database.connect().await).await;
    world.goes_on("nothing").await;
    let dba = database.connect().await;
    let columns = columns(&dba).await;
    let (mut tried, mut taken) = (0, 0);
    for Column { table, name, kind } in &columns {
        let mut values = extremes(kind).unwrap_or_else(|| {
            panic!("{table}.{name} has the type {kind}: say in extremes() what its extremes are")
        });
        values.push("null".into());
        let mut row = Row::of(&dba, table).await;
        for value in values {
            tried += 1;
            if row.set(name, &value).await {
                taken += 1;
                let after = format!("{table}.{name} = {value}");
                world.goes_on(&after).await;
            }
        }
        row.put_back(name).await;
    }
    world.goes_on("every column was put back").await;
    assert!(columns.len() > 70, "{}", columns.len());
    let text = Http::new(&server.base).get("/metrics").send().await.text();
    let of = |name: &str| -> f64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values = lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        values.sum()
    };
    let dead = of("marketplace_panics_total");
    let failed = of("marketplace_view_failures_total");
    println!(
        "{} columns, {tried} values tried, {taken} taken, {} refused, in {:.0?}: 0 ends, {dead} \
         panics, {failed} failed reads of views",
        columns.len(),
        tried - taken,
        began.elapsed()
    );
    assert_eq!((dead, failed), (0.0, 0.0));
    assert!(metric(&server.base, "marketplace_listener_up").await > 0.0);
    server.stop().await.expect("it has run until now");
}
