//! Commands other than serving: each does its work on the database and ends. What they print is for
//! people, or with `--json` for programs; they start no server.

pub mod check;
pub mod demo;
pub mod doctor;
mod dump;
pub mod emr;
pub mod healthcheck;
pub mod import;
mod secret;
pub mod tail;
mod target;
pub mod uploads;
pub mod users;

use tokio_postgres::error::SqlState;

pub use self::target::visit;
use crate::{
    db::users::LAST_ADMIN,
    error::{Error, Result},
    output,
};

/// Errors that have another meaning to somebody at a terminal.
fn explained(error: Error) -> Error {
    match error {
        Error::Constraint(name) if name == LAST_ADMIN => Error::Start(
            "this is the last admin: make somebody else one first, or nobody could manage users"
                .into(),
        ),
        Error::Database(error)
            if matches!(
                error.code(),
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN)
            ) =>
        {
            Error::Start(
                "the database does not have this program's schema: run `marketplace migrate`"
                    .into(),
            )
        }
        error => error,
    }
}

/// Prints a line; a reader that has gone is no failure of what was done.
fn say(text: &str) -> Result<()> {
    output::line(text).map(drop)
}
