//! `marketplace uploads`: files in the store, from the command line. Removes what the servers would
//! remove by themselves, after it has shown it; also when that is more than they dare to.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use super::{say, secret, target};
use crate::{
    config::{
        self,
        uploads::{Action, Command},
    },
    error::{Error, Result},
    metrics::Metrics,
    pg::{Pool, dsn::Dsn},
    uploads::{Pending, Uploads},
};

/// Does what the command line says.
///
/// # Errors
/// [`Error::Config`] when no database is named, [`Error::Unavailable`] when it does not answer,
/// [`Error::Start`] with a sentence when what was asked for cannot be done.
pub async fn run(command: Command) -> Result<()> {
    let Command { target, action } = command;
    let Action::Sweep { settings, yes } = action;
    if settings.uploads_url == Some(config::UploadsUrl::Memory) {
        return Err(Error::Config(
            "UPLOADS_URL: memory:// exists only inside a running server; there is nothing to sweep"
                .into(),
        ));
    }
    let data_dir = &target.data_dir;
    target::visit_home(&target, async |url: &Dsn, home: Option<&Path>| {
        let settings = match home {
            Some(home) => settings.of_cluster(data_dir, home),
            None => settings,
        };
        let pool = Pool::new(&url.clone().named("marketplace uploads"), 2)?;
        let uploads = Uploads::new(&settings, data_dir, pool, &Metrics::default())?;
        sweep(&uploads, yes).await
    })
    .await
}

async fn sweep(uploads: &Uploads, yes: bool) -> Result<()> {
    let pending = uploads.pending().await?;
    say(&shown(&pending))?;
    if pending.due.due == 0 {
        return Ok(());
    }
    if !yes && !is_wanted(pending.due.due).await? {
        return Err(Error::Start("nothing was deleted".into()));
    }
    let removed = uploads.remove_pending(&pending).await?;
    say(&format!("{removed} files were deleted"))?;
    match usize::try_from(pending.due.due) {
        Ok(due) if removed < due => Err(Error::Start(format!(
            "{} files were not deleted: a server deletes them now, the store refuses, or sources use them again",
            due - removed
        ))),
        _ => Ok(()),
    }
}

fn shown(Pending { due, examples }: &Pending) -> String {
    let mut lines: Vec<String> = examples
        .iter()
        .map(|example| {
            let since = match &example.orphaned_at {
                Some(at) => format!("unused since {at}"),
                None => "no source ever used it".into(),
            };
            format!("{}  ({since})", example.name)
        })
        .collect();
    let rest = due.due - i64::try_from(examples.len()).unwrap_or(i64::MAX);
    if rest > 0 {
        lines.push(format!("and {rest} more"));
    }
    lines.push(format!(
        "{} of {} files can be deleted; {} more have no source and are still in their grace period",
        due.due, due.all, due.kept
    ));
    lines.join("\n")
}

/// Asks, at a terminal or of whatever is piped in.
async fn is_wanted(count: i64) -> Result<bool> {
    let mut terminal = io::stderr();
    if io::stdin().is_terminal() {
        write!(terminal, "Delete {count} files? [y/N] ")?;
    }
    let answer = secret::line().await?;
    Ok(matches!(&*answer.trim().to_lowercase(), "y" | "yes"))
}
