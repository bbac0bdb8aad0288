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
    after_help = "Exit status: 0: done; 1: not done (no such user, the name is taken, the last admin, the \
        database does not answer); 2: a mistake in the command line."
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
    /// Add a user. The password comes from a file, a prompt, or the first line of stdin.
    Add {
        /// User name.
        name: String,
        /// E-mail address.
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "ADDRESS"
        )]
        email: String,
        /// Role: viewer (reads), editor (also changes) or admin (also manages users).
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
        /// Print JSON, as GET /api/users/ does.
        #[arg(long)]
        json: bool,
    },
    /// Change a user's role.
    Role {
        /// User name.
        name: String,
        /// viewer (reads), editor (also changes) or admin (also manages users).
        role: Role,
    },
    /// Change a user's password and end the user's sessions.
    Password {
        /// User name.
        name: String,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Disable a user and end the user's sessions and sockets.
    Disable {
        /// User name.
        name: String,
    },
    /// Enable a disabled user, who must sign in again.
    Enable {
        /// User name.
        name: String,
    },
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub struct PasswordFrom {
    /// File whose first line is the password. Without it the program prompts at a terminal, or reads the
    /// first line of stdin.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}
