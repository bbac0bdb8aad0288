//! `marketplace uploads`: files in the store, from the command line. Removes what the servers would
//! remove by themselves, after it has shown it; also when that is more than they dare to.

use std::io::{self, IsTerminal, Write};

use super::{explained, say, secret, target};
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
            "UPLOADS_URL: what is in memory is the server's own; it goes when that stops".into(),
        ));
    }
    let beside = &target.data_dir;
    target::visit(&target, async |url: &Dsn| {
        let pool = Pool::new(&url.clone().named("marketplace uploads"), 2)?;
        let uploads = Uploads::new(&settings, beside, pool, &Metrics::default())?;
        sweep(&uploads, yes).await.map_err(explained)
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
        return Err(Error::Start("nothing was removed".into()));
    }
    let removed = uploads.remove_pending(&pending).await?;
    say(&format!("{removed} files were removed"))?;
    match usize::try_from(pending.due.due) {
        Ok(due) if removed < due => Err(Error::Start(format!(
            "{} files were not removed: a server is at it, the store refuses, or sources name them again",
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
                Some(at) => format!("no source names it since {at}"),
                None => "it never got a source".into(),
            };
            format!("{}  ({since})", example.name)
        })
        .collect();
    let rest = due.due - i64::try_from(examples.len()).unwrap_or(i64::MAX);
    if rest > 0 {
        lines.push(format!("and {rest} more"));
    }
    lines.push(format!(
        "{} of {} files may be removed; {} more have no source and are kept yet",
        due.due, due.all, due.kept
    ));
    lines.join("\n")
}

/// Asks, at a terminal or of whatever is piped in.
async fn is_wanted(count: i64) -> Result<bool> {
    let mut terminal = io::stderr();
    if io::stdin().is_terminal() {
        write!(terminal, "Remove {count} files for ever? [y/N] ")?;
    }
    let answer = secret::line().await?;
    Ok(matches!(&*answer.trim().to_lowercase(), "y" | "yes"))
}
