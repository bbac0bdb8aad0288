//! What a list may be limited to. Filters that mean the same are equal, so that they can share a view.
//! The one place that defines filters for sockets (JSON) and HTTP (parameters). Knows no rows.

mod json;
mod query;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use super::{column::Column, fold::fold};

pub use self::query::Query;

/// Conditions that hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    pub(super) conditions: BTreeMap<Column, Condition>,
    /// Folded. Each is contained in some text column.
    pub(super) words: BTreeSet<String>,
}

/// What a column must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Condition {
    /// One of these texts.
    Texts(BTreeSet<String>),
    /// One of these days, packed.
    Days(BTreeSet<i32>),
    /// A day from the first to the second, packed.
    DayRange(i32, i32),
    /// A moment from the first to the second, in microseconds.
    TimeRange(i64, i64),
}

/// What is wrong, by the path of the value.
pub type Errors = BTreeMap<String, Vec<String>>;

/// So many values may be listed for a column.
pub const MOST_VALUES: usize = 1000;
/// So many words may be searched for at once.
pub const MOST_WORDS: usize = 20;

impl Filter {
    /// Whether all rows pass.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty() && self.words.is_empty()
    }

    /// Adds the words of `text`, which white space separates. A word that is only marks is none.
    fn search(&mut self, text: &str) -> Result<(), String> {
        let words = text.split_whitespace().map(|word| fold(word).into_owned());
        self.words.extend(words.filter(|word| !word.is_empty()));
        if self.words.len() > MOST_WORDS {
            return Err(format!("Search for at most {MOST_WORDS} words."));
        }
        Ok(())
    }
}
