//! Single-row commits a second on a cluster that survives a crash (`fsync` and `synchronous_commit` on,
//! as they are by default), beside the same on a table without triggers: what notifying costs.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    listen::Listener,
    report::Line,
    stats::{figure, median},
};

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let database = Database::new(cluster, "commits").await?;
    database.fill(1_000).await?;
    let plain = "create table plain (like sources including all); insert into plain table sources";
    database.client.batch_execute(plain).await?;
    durability(&database.client, true).await?;
    // Somebody listens, as the product does.
    let _listener = Listener::open(&database, &["crud", "source"]).await?;

    let mut lines = Vec::new();
    let length = options.pick(Duration::from_secs(2), Duration::from_millis(200));
    for writers in [1, 8, 32] {
        let mut clients = Vec::new();
        for _ in 0..writers {
            clients.push(database.connect().await?);
        }
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..options.pick(3, 1) {
            for (table, rates) in [("sources", &mut with), ("plain", &mut without)] {
                let (counted, rate);
                (clients, counted, rate) = commit(clients, table, length).await?;
                assert!(counted > 0, "nothing was committed");
                rates.push(rate);
            }
        }
        let what = match writers {
            1 => "durable single-row commits, 1 writer".to_owned(),
            _ => format!("durable single-row commits, {writers} writers"),
        };
        lines.push(Line::new(what, "1/s", median(&with)).beside(median(&without)));
    }
    durability(&database.client, false).await?;
    Ok(lines)
}

/// Lets each client commit for as long as `length`, one after the other, to a row of its own. Gives
/// the number of commits and their rate.
async fn commit(
    clients: Vec<Client>,
    table: &'static str,
    length: Duration,
) -> Result<(Vec<Client>, u64, f64)> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            let row = format!(
                "select id::text from {table} order by created_at desc offset {number} limit 1"
            );
            let id: String = client.query_one(&row, &[]).await?.get(0);
            let update = format!("update {table} set panel = $1 where id = $2::text::uuid");
            let update = client.prepare(&update).await?;
            let mut commits: u64 = 0;
            while start.elapsed() < length {
                assert_eq!(
                    client
                        .execute(&update, &[&commits.to_string(), &id])
                        .await?,
                    1
                );
                commits += 1;
            }
            Ok::<_, tokio_postgres::Error>((client, commits))
        });
    }
    let (mut clients, mut commits) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (client, count) = done??;
        clients.push(client);
        commits += count;
    }
    Ok((
        clients,
        commits,
        figure(commits) / start.elapsed().as_secs_f64(),
    ))
}

/// Turns the cluster's durability on as it is by default, or off again as in the other rows.
async fn durability(client: &Client, on: bool) -> Result<()> {
    let value = if on { "on" } else { "off" };
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        client
            .batch_execute(&format!("alter system set {setting} = {value}"))
            .await?;
    }
    client.batch_execute("select pg_reload_conf()").await?;
    // The server reads its settings when it gets to it.
    while client.query_one("show fsync", &[]).await?.get::<_, &str>(0) != value {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
