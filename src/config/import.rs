//! The command line of `marketplace import-django`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{FromFile, Target, dsn};
use crate::pg::dsn::Dsn;

/// From where, to where, and whether really.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("backend").required(true)),
    after_help = "The import is one transaction. You can repeat it until the day of the move: rows that are \
        unchanged in Django since the last import are skipped, even if you edited them here.\n\nExit status: \
        0: done; 1: failed, and nothing was changed; 2: a mistake in the command line."
)]
pub struct Import {
    /// Where to bring it.
    #[command(flatten)]
    pub target: Target,

    /// Connection string of the Django backend's database. The import only reads it.
    #[arg(
        long,
        env = "DJANGO_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        group = "backend"
    )]
    pub from: Option<Dsn>,

    /// File whose first line is that connection string.
    #[arg(
        long,
        env = "DJANGO_DATABASE_URL_FILE",
        value_name = "FILE",
        value_parser = FromFile::<Dsn>::read,
        group = "backend"
    )]
    pub from_file: Option<FromFile<Dsn>>,

    /// Dump of that database by `pg_dump` or `pg_dumpall`: text, also gzipped, or the custom, tar or
    /// directory format. The import restores it into a temporary PostgreSQL, with an unprivileged role.
    #[arg(long, value_name = "FILE", group = "backend")]
    pub dump: Option<PathBuf>,

    /// Report the changes without making them.
    #[arg(long)]
    pub dry_run: bool,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl Import {
    /// The backend's database, unless a dump is imported.
    pub fn backend(&self) -> Option<Dsn> {
        dsn(
            "DJANGO_DATABASE_URL",
            self.from.as_ref(),
            self.from_file.as_ref(),
        )
    }
}
