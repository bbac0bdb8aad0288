//! Rows that this program cannot hold: the error that says so, one line in the log for each row, and
//! how often rows of each table were left out. It reads nothing itself.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::error::Error;

/// So many rows are remembered as logged. Beyond it no further row is logged, only counted.
const MAX_LOGGED: usize = 1_000;

/// A row with a value that this program cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub(super) table: &'static str,
    /// The row's key as text; none when the key is what cannot be read.
    pub(super) key: Option<String>,
    pub(super) column: &'static str,
    pub(super) why: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            table,
            key,
            column,
            why,
        } = self;
        match key {
            Some(key) => write!(f, "{table}: the row {key}: ")?,
            None => write!(f, "{table}: a row whose key cannot be read either: ")?,
        }
        write!(f, "column {column}: {why}")
    }
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable.to_string())
    }
}

/// What was left out so far in this process.
#[derive(Default)]
struct Noted {
    /// Table and key of the rows that were logged.
    logged: HashSet<(&'static str, Option<String>)>,
    /// How often rows of each table were left out.
    left_out: BTreeMap<&'static str, u64>,
}

static NOTED: Mutex<Option<Noted>> = Mutex::new(None);

impl Unreadable {
    /// Counts a row that a read has left out, and logs it the first time.
    pub(super) fn left_out(&self) {
        if with_noted(|noted| noted.note(self)) {
            tracing::error!(
                table = self.table,
                id = self.key.as_deref().unwrap_or("unreadable"),
                column = self.column,
                why = self.why,
                "a row cannot be read and is left out; mend it in the database"
            );
        }
    }
}

impl Noted {
    /// Counts the row; says whether it is to be logged.
    fn note(&mut self, row: &Unreadable) -> bool {
        *self.left_out.entry(row.table).or_default() += 1;
        self.logged.len() < MAX_LOGGED && self.logged.insert((row.table, row.key.clone()))
    }
}

/// How often rows of each table were left out in this process, for tables that had any.
pub(super) fn left_out() -> BTreeMap<&'static str, u64> {
    with_noted(|noted| noted.left_out.clone())
}

fn with_noted<T>(work: impl FnOnce(&mut Noted) -> T) -> T {
    let mut noted: MutexGuard<'_, _> = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    work(noted.get_or_insert_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: Option<&str>) -> Unreadable {
        Unreadable {
            table: "sources",
            key: key.map(str::to_owned),
            column: "created_at",
            why: "out of range".into(),
        }
    }

    #[test]
    fn a_row_is_logged_once_and_counted_each_time() {
        let mut noted = Noted::default();
        assert!(noted.note(&row(Some("7"))));
        assert!(!noted.note(&row(Some("7"))));
        assert!(noted.note(&row(Some("8"))));
        assert!(noted.note(&row(None)));
        assert_eq!(noted.left_out["sources"], 4);
    }

    #[test]
    fn the_memory_of_logged_rows_is_bounded() {
        let mut noted = Noted::default();
        let logged = (0..2 * MAX_LOGGED).filter(|n| noted.note(&row(Some(&n.to_string()))));
        assert_eq!(logged.count(), MAX_LOGGED);
        assert!(!noted.note(&row(Some("another"))));
    }

    #[test]
    fn it_says_which_row_and_column() {
        assert_eq!(
            row(Some("7")).to_string(),
            "sources: the row 7: column created_at: out of range"
        );
        assert!(row(None).to_string().contains("key cannot be read"));
    }
}
