//! One UPDATE of 100,000 rows: how often it notifies, and how long it takes beside the same UPDATE of
//! a table without triggers.

use std::time::Instant;

use crate::{
    Options, Result,
    cluster::{Database, Throwaway},
    listen::Listener,
    report::Line,
    stats::{figure, median, ms},
};

pub(crate) async fn measure(options: Options, cluster: &Throwaway) -> Result<Vec<Line>> {
    let rows = options.pick(100_000, 2_000);
    let database = Database::new(cluster, "bulk").await?;
    database.fill(rows).await?;
    for (table, triggers) in [("plain", ""), ("derived", DERIVED)] {
        let make = format!(
            "create table {table} (like sources including all); insert into {table} table sources; {triggers}"
        );
        database.client.batch_execute(&make).await?;
    }
    let mut listener = Listener::open(
        &database,
        &["crud", "source", "toggle", "source_lib", "lib"],
    )
    .await?;

    let tables = ["sources", "plain", "derived"];
    let mut times = [const { Vec::new() }; 3];
    let rounds = options.pick(7, 3);
    for round in 0..=rounds {
        for (table, times) in tables.iter().zip(&mut times) {
            // Each alone: a batch would be a transaction.
            for tidy in [&format!("vacuum {table}"), "checkpoint"] {
                database.client.batch_execute(tidy).await?;
            }
            let update = format!("update {table} set panel = 'round {round}'");
            let start = Instant::now();
            let updated = database.client.execute(&update, &[]).await?;
            // The first finds pages without room for a second version of their rows.
            if round > 0 {
                times.push(ms(start.elapsed()));
            }
            assert_eq!(updated, u64::try_from(rows)?, "all rows are changed");
        }
    }
    let heard = listener.drain().await?;
    let per_update = |channel: &str| {
        let count = heard.iter().filter(|heard| *heard == channel).count();
        figure(count as u64) / figure(rounds + 1)
    };
    let others = heard
        .iter()
        .filter(|heard| !["crud", "source"].contains(&heard.as_str()))
        .count();
    assert_eq!(others, 0, "a channel that it is none of: {heard:?}");
    assert!(
        per_update("crud") > 0.0 && per_update("source") > 0.0,
        "nothing was heard"
    );
    let [with, without, derived] = times.map(|times| median(&times));
    let what = format!("UPDATE of {rows} rows");
    Ok(vec![
        Line::new(
            format!("{what}: notifications on crud"),
            "",
            per_update("crud"),
        )
        .at_most(1.0),
        Line::new(
            format!("{what}: notifications on source"),
            "",
            per_update("source"),
        )
        .at_most(1.0),
        Line::new(format!("{what}, beside one without triggers"), "ms", with)
            .beside(without)
            .at_most_times(2.0),
        Line::new(format!("{what}: the derived columns alone"), "ms", derived).beside(without),
    ])
}

/// What of the triggers keeps the row right, without what announces it.
const DERIVED: &str = "create trigger derived before insert or update on derived
    for each row execute function derive_source()";
