//! The crate's one error type. Its variants differ in what the caller can do; it knows nothing of HTTP.

use std::fmt;

use tokio_postgres::error::SqlState;

/// What can go wrong while the server starts or serves.
#[derive(Debug)]
pub enum Error {
    /// The database cannot be reached, refuses writes or does not answer in time. Trying later may help.
    Unavailable(String),
    /// The database has no space left: it reads but does not write.
    Full(String),
    /// A constraint refused the statement; the name is the constraint's.
    Constraint(String),
    /// A value the database cannot hold, such as a text that is too long.
    Value(String),
    /// Any other refusal of the database: a defect of this program or of the schema.
    Database(tokio_postgres::Error),
    /// A setting is wrong; nothing was started. Names the variable and says what it takes.
    Config(String),
    /// The server cannot start or go on for another reason.
    Start(String),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the database is not available: {why}"),
            Self::Full(why) => write!(f, "the database has no space left: {why}"),
            Self::Constraint(name) => write!(f, "the constraint {name} refused the change"),
            Self::Value(what) => write!(f, "a value the database cannot hold: {what}"),
            Self::Database(error) => write!(f, "{}", describe(error)),
            Self::Config(message) | Self::Start(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl From<tokio_postgres::Error> for Error {
    /// Sorts the database's errors by SQLSTATE
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // No answer of the server's: the connection itself failed or broke.
            return Self::Unavailable(describe(&error));
        };
        match db.code() {
            // A node that was primary a moment ago, or a standby: the pool will find the new primary.
            // Or the queue of notifications is full, and nothing that notifies can be committed.
            &SqlState::READ_ONLY_SQL_TRANSACTION | &SqlState::PROGRAM_LIMIT_EXCEEDED => {
                Self::Unavailable(describe(&error))
            }
            &SqlState::DISK_FULL => Self::Full(describe(&error)),
            code => match &code.code()[..2] {
                // Connection lost, wrong credentials, no such database, resources, shutdown.
                "08" | "28" | "3D" | "53" | "57" | "58" => Self::Unavailable(describe(&error)),
                "23" => Self::Constraint(db.constraint().unwrap_or_default().to_owned()),
                "22" => Self::Value(db.message().to_owned()),
                _ => Self::Database(error),
            },
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// One line with the cause: `tokio_postgres` prints only "db error" or "error connecting to server".
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
