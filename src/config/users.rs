//! The command line of `marketplace users`. A password is never part of it: everybody on the machine
//! can read the arguments of a process.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;
use crate::db::users::Role;

/// Which database, and what to do there.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 when it was done, 1 when it could not be (no such user, the name is \
        taken, the last admin, the database does not answer), 2 for a mistake in the command line."
)]
pub struct Users {
    /// Where the users are.
    #[command(flatten)]
    pub target: Target,

    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done to users. Open sockets and sessions follow within a second.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Add a user. The password is read from a file, asked for, or the first line of the input.
    Add {
        /// The name to sign in with.
        name: String,
        /// Address to reach them at.
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "ADDRESS"
        )]
        email: String,
        /// What they may do: viewer (read), editor (also change) or admin (also manage users).
        #[arg(long, default_value_t = Role::Editor)]
        role: Role,
        /// The same as --role admin.
        #[arg(long, conflicts_with = "role")]
        admin: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// List all users.
    List {
        /// As JSON, the same as GET /api/users/ gives.
        #[arg(long)]
        json: bool,
    },
    /// Change what a user may do.
    Role {
        /// Whose role.
        name: String,
        /// viewer (read), editor (also change) or admin (also manage users).
        role: Role,
    },
    /// Change a user's password; ends their sessions.
    Password {
        /// Whose password.
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Keep a user out: no sign-in, and no session or socket any more.
    Disable {
        /// The user's name.
        name: String,
    },
    /// Let a disabled user in again, who then has to sign in anew.
    Enable {
        /// The user's name.
        name: String,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct PasswordFrom {
    /// File whose first line is the password. Without it the password is asked for at a terminal, or
    /// else is the first line of the standard input.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}
