//! The command line of `marketplace import-django`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{Target, from_file};
use crate::pg::dsn::Dsn;

/// From where, to where, and whether really.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("backend").required(true)),
    after_help = "Everything is brought in one transaction. It can be repeated until the day of the \
        move: what was brought before and has not changed there is left alone, also where it was \
        changed here.\n\nExit status: 0 when it was done, 1 when it could not be (nothing is changed \
        then), 2 for a mistake in the command line."
)]
pub struct Import {
    /// Where to bring it.
    #[command(flatten)]
    pub target: Target,

    /// The Django backend's database, which is only read.
    #[arg(
        long,
        env = "DJANGO_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        group = "backend"
    )]
    pub from: Option<Dsn>,

    /// File whose first line is that URL.
    #[arg(
        long,
        env = "DJANGO_DATABASE_URL_FILE",
        value_name = "FILE",
        value_parser = from_file::<Dsn>,
        group = "backend"
    )]
    pub from_file: Option<Dsn>,

    /// What `pg_dump` or `pg_dumpall` wrote of that database: text, also gzipped, or the custom, tar or
    /// directory format. It is restored into a private PostgreSQL that is thrown away afterwards, by a
    /// role that has no rights beyond it.
    #[arg(long, value_name = "FILE", group = "backend")]
    pub dump: Option<PathBuf>,

    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Report in JSON.
    #[arg(long)]
    pub json: bool,
}
