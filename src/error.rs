//! The crate's one error type. Its variants differ in what the caller can do; it knows nothing of HTTP.

use std::fmt;

use tokio_postgres::error::SqlState;

/// What can go wrong while the server starts or serves.
#[derive(Debug)]
pub enum Error {
    /// The database cannot be reached, refuses writes or does not answer in time. Trying later may help.
    Unavailable(String),
    /// The database does not let this program in: the password, the role or the database's name is
    /// wrong, or `pg_hba.conf` forbids it. Trying again helps only once somebody has mended that.
    Refused(String),
    /// The role lacks a right on something. Trying again helps only once somebody has granted it.
    Forbidden(String),
    /// The database has no space left: it reads but does not write.
    Full(String),
    /// Another transaction has held a lock that the statement needs for too long. Nothing was changed,
    /// and trying later may help.
    Locked(String),
    /// The transaction was rolled back because of another one: a deadlock, or a serialization failure.
    /// Nothing was changed, and trying again helps.
    Conflict(String),
    /// A constraint refused the statement; the name is the constraint's.
    Constraint(String),
    /// A value the database cannot hold, such as a text that is too long.
    Value(String),
    /// A function of the database refused the statement with `raise exception`. This program's own have other
    /// codes, so a person who looks after the database has written it.
    Rejected {
        /// Its message: one line, not too long.
        said: String,
        /// All that the database says, for the log.
        all: String,
    },
    /// A trigger kept a row from being written, without an error; the name is the table's.
    Suppressed(&'static str),
    /// A stored row that this program cannot hold. Says which row of which table, and why.
    Unreadable(String),
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
            Self::Refused(why) => write!(f, "the database refuses the connection: {why}"),
            Self::Full(why) => write!(f, "the database has no space left: {why}"),
            Self::Locked(why) => write!(f, "another transaction holds a lock: {why}"),
            Self::Conflict(why) => write!(f, "conflict with another transaction: {why}"),
            Self::Forbidden(why) => f.write_str(why),
            Self::Constraint(name) => write!(f, "the constraint {name} refused the change"),
            Self::Value(what) => write!(f, "invalid value: {what}"),
            Self::Rejected { all, .. } => write!(f, "a function of the database refused: {all}"),
            Self::Suppressed(table) => {
                write!(f, "a trigger kept a row of {table} from being written")
            }
            Self::Unreadable(what) => write!(f, "a stored value cannot be read: {what}"),
            Self::Database(error) => write!(f, "{}", describe(error)),
            Self::Config(message) | Self::Start(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// The same for another who waited for the same. The driver's own error cannot be copied; what it
    /// says is.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Unavailable(why) => Self::Unavailable(why.clone()),
            Self::Refused(why) => Self::Refused(why.clone()),
            Self::Forbidden(why) => Self::Forbidden(why.clone()),
            Self::Full(why) => Self::Full(why.clone()),
            Self::Locked(why) => Self::Locked(why.clone()),
            Self::Conflict(why) => Self::Conflict(why.clone()),
            Self::Constraint(name) => Self::Constraint(name.clone()),
            Self::Value(what) => Self::Value(what.clone()),
            Self::Rejected { said, all } => Self::Rejected {
                said: said.clone(),
                all: all.clone(),
            },
            Self::Suppressed(table) => Self::Suppressed(table),
            Self::Unreadable(what) => Self::Unreadable(what.clone()),
            Self::Database(error) => Self::Start(describe(error)),
            Self::Config(message) => Self::Config(message.clone()),
            Self::Start(message) => Self::Start(message.clone()),
        }
    }

    /// Whether the statement is known to have changed nothing.
    pub fn has_changed_nothing(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::Full(_)
            | Self::Locked(_)
            | Self::Conflict(_)
            | Self::Constraint(_)
            | Self::Value(_)
            | Self::Rejected { .. }
            | Self::Suppressed(_)
            | Self::Forbidden(_)
            | Self::Database(_) => true,
            // The answer may have been lost, or the row may have been written that cannot be read.
            Self::Unavailable(_) | Self::Unreadable(_) | Self::Config(_) | Self::Start(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    /// Sorts the database's errors by SQLSTATE
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            if is_decoding(&error) {
                return Self::Unreadable(describe(&error));
            }
            // No answer of the server's: the connection itself failed or broke, or a setting is wrong.
            return if is_refusal(&error) {
                Self::Refused(describe(&error))
            } else {
                Self::Unavailable(describe(&error))
            };
        };
        match db.code() {
            // A node that was primary a moment ago, or a standby: the pool will find the new primary.
            // Or the queue of notifications is full, and nothing that notifies can be committed.
            &SqlState::READ_ONLY_SQL_TRANSACTION | &SqlState::PROGRAM_LIMIT_EXCEEDED => {
                Self::Unavailable(describe(&error))
            }
            &SqlState::LOCK_NOT_AVAILABLE => Self::Locked(describe(&error)),
            &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => {
                Self::Conflict(describe(&error))
            }
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::Forbidden(describe(&error)),
            &SqlState::DISK_FULL => Self::Full(describe(&error)),
            &SqlState::RAISE_EXCEPTION => Self::Rejected {
                said: first_line(db.message()),
                all: causes(&error),
            },
            code => match &code.code()[..2] {
                // Wrong credentials, no such database.
                "28" | "3D" => Self::Refused(describe(&error)),
                // Connection lost, resources, shutdown.
                "08" | "53" | "57" | "58" => Self::Unavailable(describe(&error)),
                "23" => Self::Constraint(db.constraint().unwrap_or_default().to_owned()),
                "22" => Self::Value(db.message().to_owned()),
                _ => Self::Database(error),
            },
        }
    }
}

/// The first line of a message, cut to [`LONGEST_SAID`].
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars().take(LONGEST_SAID).collect()
}

/// Longest message of a function that is passed on, in characters.
const LONGEST_SAID: usize = 300;

/// Whether a column is missing from a row or has a value that cannot be decoded. The driver does
/// not tell this kind of error in another way than by its first words.
fn is_decoding(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.starts_with("error deserializing column") || text.starts_with("invalid column")
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Start(error.to_string())
    }
}

/// Whether a server that answered will answer the same to the next attempt to connect, until somebody
/// changes a setting there or here. Only for errors of connecting.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => false,
        Some(code) => !matches!(&code.code()[..2], "08" | "40" | "53" | "57" | "58" | "XX"),
        // The driver has found something missing before it connected, such as a password.
        None => error.to_string().starts_with("invalid configuration"),
    }
}

/// An error and all its causes on one line, with what the database says beside its message.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        if let Some(postgres) = cause.downcast_ref::<tokio_postgres::Error>() {
            parts.push(describe(postgres));
            if let Some(db) = postgres.as_db_error() {
                for (name, text) in [
                    ("detail", db.detail()),
                    ("hint", db.hint()),
                    ("in", db.where_()),
                ] {
                    parts.extend(text.map(|text| format!("{name}: {}", text.replace('\n', "; "))));
                }
            }
            // Its own causes are told already.
            break;
        }
        parts.push(cause.to_string());
    }
    // Some errors repeat what caused them.
    parts.dedup();
    parts.join(": ")
}

/// One line with the cause: `tokio_postgres` prints only "db error" or "error connecting to server".
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_says_one_line_that_is_not_too_long() {
        assert_eq!(
            first_line("closed until Monday\nselect 1"),
            "closed until Monday"
        );
        assert_eq!(first_line(""), "");
        assert_eq!(first_line(&"é".repeat(1000)).chars().count(), 300);
    }
}
