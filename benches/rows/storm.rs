//! A sustained storm: a thousand single-row commits a second, and clients of three kinds that must
//! show the final state soon after the last one. How often the product reads is taken from
//! PostgreSQL's own log of the statements that it was sent, view by view.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::{Map, Value, json};
use tokio::{sync::watch, task::JoinSet, time};
use tokio_postgres::Client;

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    crowd::Crowd,
    probe::Probe,
    report::Line,
    servers::Server,
    session,
    stats::{figure, ms},
    websocket::Handshake,
};

const ROWS: i32 = 100;
const WRITERS: u64 = 4;
/// Each writer, in a second.
const RATE: u64 = 250;
/// Beyond so many unanswered statements a writer waits.
const PIPELINED: usize = 64;

/// Who watches, and where.
const KINDS: [(&str, &str); 3] = [
    ("list", "/ws/read_source/"),
    ("delta", "/ws/read_source/?mode=delta"),
    ("counts", "/ws/data_library/"),
];
/// A client that does not show the final state by then has missed it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let seconds = options.pick(20, 2);
    let clients = options.pick(100, 10);
    let database = Database::new(cluster, "storm").await?;
    database.fill(ROWS).await?;
    // The product's own connections tell the log what they are asked; nobody else's do.
    let url = format!("{}?options=-c%20log_statement%3Dall", database.url());
    let server = Server::product(&url).await?;
    let cookie = session::sign_in(server.address).await?;
    let mut groups = Vec::new();
    for (kind, path) in KINDS {
        let handshake = Handshake::to(path).with(&cookie);
        let probe = Probe::open(server.address, &handshake).await?;
        let crowd = Crowd::sockets(server.address, handshake, clients).await?;
        crowd.greeted().await?;
        let (shown, newest) = watch::channel(Shown::default());
        tokio::spawn(async move {
            // The row ends without the other half; until then it must not.
            if let Err(error) = follow(probe, &shown).await
                && !shown.is_closed()
            {
                eprintln!("{kind}: {error}");
            }
        });
        groups.push((kind, crowd, newest));
    }

    let logged = cluster.log().metadata()?.len();
    let start = Instant::now();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(database.connect().await?, writer, seconds * RATE));
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    let stormed = start.elapsed().as_secs_f64();
    // The last of all: it shows in the list, in the deltas and in the counts.
    let last = "update sources set status = 'inactive', panel = 'the last'
        where id = (select id from sources order by created_at limit 1)";
    database.client.execute(last, &[]).await?;
    let end = Instant::now();

    let (rows, counts) = stored(&database.client).await?;
    let mut lines = Vec::new();
    for (kind, crowd, newest) in &mut groups {
        let truth = if *kind == "counts" { &counts } else { &rows };
        let reached = newest.wait_for(|shown| shown.state == *truth);
        let version = match time::timeout(PATIENCE, reached).await {
            Ok(shown) => shown?.version,
            Err(_) => return Err(format!("the {kind} client misses the final state").into()),
        };
        let round = crowd.shows(version).await?;
        let frames = figure(crowd.messages()) / figure(crowd.len() as u64);
        let what = format!(
            "last commit until {} {kind} clients show it ({frames:.0} frames each)",
            crowd.len()
        );
        lines.push(Line::new(what, "ms", ms(round.since(end))).at_most(100.0));
    }
    let reads = Reads::since(&cluster.log(), logged)?;
    assert!(
        reads.list > 0 && reads.counts > 0,
        "the log does not show the product's statements"
    );
    // Nobody misses what the server's end takes away.
    drop(groups);
    server.stop().await?;
    let commits = figure(seconds * RATE * WRITERS);
    lines.extend([
        Line::new("single-row commits a second", "1/s", commits / stormed),
        Line::new("reads of the list", "1/s", figure(reads.list) / stormed).at_most(50.0),
        Line::new("reads of the counts", "1/s", figure(reads.counts) / stormed).at_most(50.0),
        Line::new(
            "other statements of the product",
            "1/s",
            figure(reads.other) / stormed,
        ),
    ]);
    Ok(lines)
}

/// Commits `count` single-row changes at the writer's rate; catches up when it fell behind.
async fn write(client: Client, writer: u64, count: u64) -> Result<()> {
    // The oldest row is left for the last change.
    let newest = "select id::text from sources order by created_at desc limit 96";
    let ids: Vec<String> = client
        .query(newest, &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let statement = "update sources set panel = $1, status = $2 where id = $3::text::uuid";
    let update = client.prepare(statement).await?;
    let change = |number: u64| {
        let turn = number * WRITERS + writer;
        let (client, update, rows) = (&client, &update, ids.len() as u64);
        let id = &ids[usize::try_from(turn % rows).expect("an index")];
        // Each turn through the rows toggles them all, so that the counts move too.
        let status = if (turn / rows).is_multiple_of(2) {
            "inactive"
        } else {
            "active"
        };
        async move {
            client
                .execute(update, &[&format!("{writer}.{number}"), &status, id])
                .await
        }
    };
    let mut ticks = time::interval(Duration::from_secs(1) / u32::try_from(RATE)?);
    let mut pending = FuturesUnordered::new();
    let mut sent = 0;
    while sent < count || !pending.is_empty() {
        tokio::select! {
            _ = ticks.tick(), if sent < count && pending.len() < PIPELINED => {
                pending.push(change(sent));
                sent += 1;
            }
            Some(updated) = pending.next(), if !pending.is_empty() => {
                assert_eq!(updated?, 1, "one row is changed");
            }
        }
    }
    Ok(())
}

/// What a client shows.
#[derive(Debug, Default)]
struct Shown {
    /// The list as `{id: [panel, status]}`, or the counts as a list.
    state: Value,
    version: u64,
}

/// Follows a socket of any kind, as its page would.
async fn follow(mut probe: Probe, shown: &watch::Sender<Shown>) -> Result<()> {
    let mut rows = Map::new();
    loop {
        let frame = probe.next().await?.json()?;
        let version = frame["version"]
            .as_str()
            .and_then(|version| version.split_once(':'));
        let version = version.ok_or("a frame without a version")?.1.parse()?;
        if frame["data"][0]["section"].is_string() {
            let section = &frame["data"][0];
            let state = json!([section["s1"], section["s2"], section["s3"]]);
            shown.send_replace(Shown { state, version });
            continue;
        }
        if frame["data"].is_array() {
            rows.clear();
        }
        let lists = [&frame["data"], &frame["changed"]];
        for row in lists.into_iter().filter_map(Value::as_array).flatten() {
            let id = row["id"].as_str().ok_or("a row without an id")?;
            rows.insert(id.to_owned(), json!([row["panel"], row["status"]]));
        }
        shown.send_replace(Shown {
            state: Value::Object(rows.clone()),
            version,
        });
    }
}

/// The same from the table: the rows and the counts.
async fn stored(client: &Client) -> Result<(Value, Value)> {
    let statement = "select json_object_agg(id, json_build_array(panel, status))::text,
        json_build_array(count(*) filter (where status in ('active', 'inactive')),
            count(*) filter (where status = 'active'),
            count(*) filter (where status = 'inactive'))::text
        from sources";
    let row = client.query_one(statement, &[]).await?;
    Ok((
        serde_json::from_str(row.get(0))?,
        serde_json::from_str(row.get(1))?,
    ))
}

/// How many statements of the product the log shows.
struct Reads {
    list: u64,
    counts: u64,
    other: u64,
}

impl Reads {
    fn since(log: &Path, from: u64) -> Result<Self> {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let count = |what: &str| text.matches(what).count() as u64;
        let list = count("from sources where id = any") + count("from sources order by created_at");
        let counts = count("from pipeline_runs");
        let all = count("LOG:  execute ") + count("LOG:  statement: ");
        Ok(Self {
            list,
            counts,
            other: all - list - counts,
        })
    }
}
