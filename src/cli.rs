//! The program's commands, a file each. All but `serve` do their work and end. What they print is for
//! people, or with `--json` for programs.

pub mod check;
pub mod demo;
pub mod doctor;
mod dump;
pub mod emr;
pub mod healthcheck;
pub mod import;
pub mod migrate;
mod secret;
pub mod serve;
pub mod tail;
mod target;
pub mod uploads;
pub mod users;

use tokio_postgres::error::SqlState;

use crate::{
    db::users::LAST_ADMIN,
    error::{Error, Result},
    output,
    pg::advice,
};

/// Errors with what somebody at a terminal can do about them.
fn explained(error: Error) -> Error {
    match error {
        Error::Constraint(name) if name == LAST_ADMIN => Error::Start(
            "this is the last admin: make somebody else one first, or nobody could manage users"
                .into(),
        ),
        Error::Database(error)
            if matches!(
                error.code(),
                Some(
                    &SqlState::UNDEFINED_TABLE
                        | &SqlState::UNDEFINED_COLUMN
                        | &SqlState::UNDEFINED_FUNCTION
                )
            ) =>
        {
            Error::Start(
                "the database does not have this program's schema: run `marketplace migrate`"
                    .into(),
            )
        }
        Error::Forbidden(why) => Error::Start(format!("{why}; {}", advice::MISSING_RIGHT)),
        error => error,
    }
}

/// Prints a line; a reader that has gone is no failure of what was done.
fn say(text: &str) -> Result<()> {
    output::line(text).map(drop)
}

/// How many problems a report has.
fn problems(of: &str, count: usize) -> String {
    match count {
        1 => format!("{of} has one problem"),
        many => format!("{of} has {many} problems"),
    }
}
