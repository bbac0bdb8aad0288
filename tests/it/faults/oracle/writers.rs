//! Random writes: every kind of statement of the matrix in `sql.rs`, and the API. What they do is
//! decided by the seed alone; when, by whatever else happens. A source that is gone never comes back
//! under its id. They look at no client.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::SinkExt;
use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{followers::Way, stored::is_a_defect};
use crate::support::client::Request;

/// Longest wait for an answer of the API.
const PATIENCE: Duration = Duration::from_secs(4);

/// What each seed begins with.
pub fn beginning(rng: &mut impl Rng) -> String {
    let rows: Vec<String> = (1..=rng.random_range(3..20))
        .map(|n| {
            let id = Uuid::from_u128(n);
            format!(
                "('{id}', 'c{n}', local_date() + {})",
                rng.random_range(-1..=1)
            )
        })
        .collect();
    format!(
        "truncate sources, pipeline_runs;
         insert into sources (id, country, current_update) values {};
         insert into pipeline_runs (step, state) values ('qc', 'PENDING'), ('qc', 'COMPLETED')",
        rows.join(", ")
    )
}

/// Writes until it is stopped, and counts the writes that were done.
pub async fn write(
    way: Way,
    mut rng: Xoshiro256PlusPlus,
    written: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut connected = None;
    while !stop.is_cancelled() {
        let mut statement = Xoshiro256PlusPlus::from_rng(&mut rng);
        if connected.is_none() {
            let connecting = timeout(PATIENCE, connect(&way.database));
            connected = connecting.await.ok().and_then(Result::ok);
        }
        let Some(client) = connected.take() else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        match one(&client, &way, &mut statement, &stop).await {
            Ok(()) => {
                written.fetch_add(1, Ordering::Relaxed);
                connected = Some(client);
            }
            // What is left of the transaction goes with the connection.
            Err(error) => assert!(!is_a_defect(&error), "{error:?}"),
        }
        sleep(Duration::from_millis(rng.random_range(2..25))).await;
    }
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn one(
    client: &Client,
    way: &Way,
    rng: &mut Xoshiro256PlusPlus,
    stop: &CancellationToken,
) -> Result<(), Error> {
    match rng.random_range(0..20) {
        0 => copy(client, rng).await,
        1..=3 => through_the_api(client, way, rng, stop).await,
        _ => client.batch_execute(&sql(rng)).await,
    }
}

async fn copy(client: &Client, rng: &mut Xoshiro256PlusPlus) -> Result<(), Error> {
    let rows: Vec<String> = (0..rng.random_range(0..4))
        .map(|_| format!("{}\tcopied\t\\N\n", id(rng)))
        .collect();
    let sink = client
        .copy_in("copy sources (id, country, current_update) from stdin")
        .await?;
    let mut sink = pin!(sink);
    sink.send(bytes::Bytes::from(rows.concat())).await?;
    sink.finish().await?;
    Ok(())
}

/// One request of a client; whether it is answered is not looked at.
async fn through_the_api(
    client: &Client,
    way: &Way,
    rng: &mut Xoshiro256PlusPlus,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let target = client.query_opt(&some(rng, 1), &[]).await?;
    let target: Uuid = target.map_or(Uuid::nil(), |row| row.get(0));
    let text = text(rng);
    let (method, path, body) = match rng.random_range(0..5) {
        0 => (
            "POST",
            "add-source".to_owned(),
            json!({ "created_by": "api", "country": text }),
        ),
        1 => ("DELETE", format!("delete-source/{target}"), Value::Null),
        2 => ("POST", format!("activate-source/{target}"), json!({})),
        3 => ("POST", format!("deactivate-source/{target}"), json!({})),
        _ => (
            "PATCH",
            format!("update-source/{target}"),
            json!({ "country": text }),
        ),
    };
    let mut request = Request::new(method, &format!("/api/{path}/"));
    request.headers = way.visitor.headers();
    request
        .headers
        .push(("Content-Type".to_owned(), "application/json".to_owned()));
    request.body = (!body.is_null()).then(|| body.to_string().into_bytes());
    tokio::select! {
        _ = timeout(PATIENCE, request.send(way.visitor.address())) => {}
        // As when a page is closed.
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// A statement, or a few.
fn sql(rng: &mut Xoshiro256PlusPlus) -> String {
    if rng.random() {
        plain(rng)
    } else {
        involved(rng)
    }
}

/// One that does one thing.
fn plain(rng: &mut Xoshiro256PlusPlus) -> String {
    let a = text(rng);
    let few = rng.random_range(1..4);
    match rng.random_range(0..19) {
        0 => format!("insert into sources (id, country) values ('{}', '{a}')", id(rng)),
        1 => {
            let rows: Vec<String> = (0..few)
                .map(|_| format!("('{}', '{a}', {})", id(rng), day(rng)))
                .collect();
            let rows = rows.join(", ");
            format!("insert into sources (id, country, current_update) values {rows}")
        }
        2 => format!("update sources set {} = '{a}' where {}", text_column(rng), one_of(rng, few)),
        3 => format!("update sources set {} = {} where {}", day_column(rng), day(rng), one_of(rng, few)),
        4 => format!("update sources set current_update = {} where {}", day(rng), one_of(rng, few)),
        5 | 6 => format!("update sources set status = '{}' where {}", status(rng), one_of(rng, few)),
        7 => format!("update sources set status = '{}', country = '{a}' where {}", status(rng), one_of(rng, few)),
        8 => format!("update sources set {} = '{a}'", text_column(rng)),
        9 => format!("update sources set status = '{}'", status(rng)),
        10 => "update sources set country = 'x' where false; delete from sources where false;
            insert into sources (country) select 'x' where false"
            .to_owned(),
        11 => format!("delete from sources where {}", one_of(rng, few)),
        12 => format!("update sources set id = '{}' where {}", id(rng), one_of(rng, 1)),
        13 if rng.random_ratio(1, 4) => "truncate sources".to_owned(),
        14 if rng.random_ratio(1, 4) => format!(
            "insert into sources (id, country) select md5('{}' || n)::uuid, 'bulk' from generate_series(1, 210) n",
            id(rng)
        ),
        15 => "set search_path = ''; update public.sources set panel = panel; reset search_path".to_owned(),
        16 => format!("update sources set updated_at = now() - interval '1 day', created_at = now() where {}", one_of(rng, 1)),
        // Out of the past 30 days, and into them again.
        17 => format!(
            "update sources set created_at = now() - {} * interval '1 day' where {}",
            rng.random_range(0..60), one_of(rng, few)
        ),
        // The table stays small.
        _ => "delete from sources where id in (select id from sources order by created_at desc, id offset 25)".to_owned(),
    }
}

/// One that does more, or undoes it.
fn involved(rng: &mut Xoshiro256PlusPlus) -> String {
    let (a, b) = (text(rng), text(rng));
    let few = rng.random_range(1..4);
    match rng.random_range(0..14) {
        0 => format!(
            "merge into sources s using (values ('{a}', '{}'::uuid), ('new {b}', '{}')) v (c, id) on s.country = v.c
                 when matched then update set panel = 'merged {b}'
                 when not matched then insert (id, country) values (v.id, v.c)",
            id(rng),
            id(rng)
        ),
        1 => format!(
            "merge into sources s using ({}) v on s.id = v.id when matched then delete",
            some(rng, few)
        ),
        2 => format!(
            "with v as materialized ({} for update) insert into sources (id, country) select id, 'x' from v
                 on conflict (id) do update set country = '{a}', status = '{}'",
            some(rng, few),
            status(rng)
        ),
        3 => format!(
            "insert into sources (id, country) values ('{}', '{a}')
                 on conflict (id) do update set country = 'upserted'",
            id(rng)
        ),
        4 => format!(
            "with v as materialized ({} for update) insert into sources (id) select id from v on conflict do nothing",
            some(rng, few)
        ),
        5 => format!("begin; update sources set status = '{a}'; delete from sources where {}; rollback", one_of(rng, few)),
        6 => format!(
            "begin; update sources set panel = '{a}' where {}; savepoint s; delete from sources;
             rollback to s; commit",
            one_of(rng, few)
        ),
        7 => format!(
            "begin; update sources set status = '{}' where {}; update sources set panel = '{b}' where {}; commit",
            status(rng),
            one_of(rng, 1),
            one_of(rng, 1)
        ),
        8 => {
            let same = one_of(rng, 1);
            format!(
                "begin; update sources set panel = '{a}' where {same};
                 update sources set panel = '{b}' where {same}; commit"
            )
        }
        9 => replica(&format!(
            "update sources set status = '{}', current_update = {} where {}",
            status(rng),
            day(rng),
            one_of(rng, few)
        )),
        10 => replica(&format!(
            "insert into sources (id, current_update) values ('{}', {}); delete from sources where {}",
            id(rng),
            day(rng),
            one_of(rng, 1)
        )),
        11 => format!(
            "with gone as (delete from sources where {} returning id)
             insert into sources (id, country) select '{}', 'instead of ' || count(*) from gone",
            one_of(rng, few),
            id(rng)
        ),
        12 => format!(
            "insert into pipeline_runs (step, state) values ('qc', '{}');
             update pipeline_runs set state = 'COMPLETED' where id in (select id from pipeline_runs order by id limit 1)",
            if rng.random() { "RUNNING" } else { "requested" }
        ),
        _ => "delete from pipeline_runs where id in (select id from pipeline_runs order by id limit 2)".to_owned(),
    }
}

fn replica(statements: &str) -> String {
    format!("begin; set local session_replication_role = replica; {statements}; commit")
}

/// Some of the sources there are.
fn some(rng: &mut impl Rng, count: u32) -> String {
    let salt: u32 = rng.random();
    format!("select id from sources order by md5(id::text || '{salt}') limit {count}")
}

fn one_of(rng: &mut impl Rng, count: u32) -> String {
    format!("id in ({})", some(rng, count))
}

fn id(rng: &mut impl Rng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.random()).into_uuid()
}

fn text(rng: &mut impl Rng) -> String {
    format!("t{}", rng.random_range(0..1000))
}

fn status(rng: &mut impl Rng) -> &'static str {
    ["active", "inactive", "inactive", "archived"][rng.random_range(0..4)]
}

fn text_column(rng: &mut impl Rng) -> &'static str {
    let columns = [
        "country",
        "data_vendor",
        "panel",
        "panel_group",
        "data_type",
        "granularity",
    ];
    columns[rng.random_range(0..columns.len())]
}

fn day_column(rng: &mut impl Rng) -> &'static str {
    ["end_date", "next_update"][rng.random_range(0..2)]
}

fn day(rng: &mut impl Rng) -> String {
    match rng.random_range(0..4) {
        0 => "null".to_owned(),
        days => format!("local_date() + {}", days - 2),
    }
}
