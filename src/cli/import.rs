//! `marketplace import-django`: what a Django backend holds, brought here. Dashboards that are open
//! follow, as after any other change.

use super::{dump, say, target};
use crate::{
    config::import::Import,
    db::django::{self, Counts, Report},
    error::Result,
    pg::dsn::Dsn,
};

/// How many sentences of a kind a person is shown.
const SHOWN: usize = 20;

/// Does what the command line says, and prints the report.
///
/// # Errors
/// As [`django::import`]; [`Error::Start`](crate::error::Error::Start) when a dump cannot be
/// restored.
pub async fn run(command: Import) -> Result<()> {
    let zone = &command.target.database.time_zone.name;
    let report = target::visit(&command.target, async |to: &Dsn| {
        let to = to.clone().named("marketplace import-django");
        let import = async |from: &Dsn| django::import(from, &to, zone, command.dry_run).await;
        match (&command.dump, command.backend()) {
            (Some(file), _) => {
                let import = async |from: &Dsn, left_out: Vec<String>| {
                    let mut report = import(from).await?;
                    report.left_out.extend(left_out);
                    Ok(report)
                };
                dump::visit(file, import).await
            }
            (None, Some(from)) => import(&from.named("marketplace import-django")).await,
            (None, None) => unreachable!("the command line demands one of them"),
        }
    })
    .await?;
    if command.json {
        let json = serde_json::to_string_pretty(&report);
        return say(&json.expect("keys are strings, so it is JSON"));
    }
    say(&text(&report))
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("sources: {}", counts(&report.sources)),
        format!("users:   {}", counts(&report.users)),
    ];
    for (title, notes) in [("changed", &report.changed), ("left out", &report.left_out)] {
        if notes.is_empty() {
            continue;
        }
        lines.push(format!("{title}:"));
        lines.extend(notes.iter().take(SHOWN).map(|note| format!("  {note}")));
        if notes.len() > SHOWN {
            let more = notes.len() - SHOWN;
            lines.push(format!("  and {more} more, which --json lists"));
        }
    }
    if report.dry_run {
        lines.push("nothing was written: this was a dry run".into());
    }
    lines.join("\n")
}

fn counts(counts: &Counts) -> String {
    let Counts {
        found,
        added,
        changed,
        removed,
    } = counts;
    format!("{found} there; {added} added, {changed} changed, {removed} removed")
}
