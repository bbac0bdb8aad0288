//! An order of rows: columns, up or down; nulls last both ways; then newest first, then by id. Texts
//! compare by folding, then by code points. The one place that says what comes before what.

mod key;

use std::cmp::Ordering;

use serde_json::Value;

pub use self::key::Key;
use super::{
    column::{Column, Kind},
    dictionary::NONE,
    row::NO_DATE,
    sorting::sort_stable,
    store::Store,
};

/// An order. Orders that mean the same are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order(Vec<Term>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Term {
    column: Column,
    descending: bool,
}

impl Order {
    /// Reads column names, with `-` before one for descending.
    ///
    /// # Errors
    /// Sentences that say what is wrong.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<String>> {
        let (mut terms, mut errors) = (Vec::<Term>::new(), Vec::new());
        for name in names {
            let (descending, plain) = match name.strip_prefix('-') {
                Some(plain) => (true, plain),
                None => (false, name),
            };
            match Column::named(plain) {
                None => errors.push(format!("There is no column {plain:?}.")),
                Some(column) if terms.iter().any(|term| term.column == column) => {
                    errors.push(format!("{plain} is named twice."));
                }
                Some(column) => terms.push(Term { column, descending }),
            }
        }
        if errors.is_empty() {
            Ok(Self(terms).canonical())
        } else {
            Err(errors)
        }
    }

    /// Reads `["-next_update","country"]`.
    ///
    /// # Errors
    /// Sentences that say what is wrong.
    pub fn from_json(value: &Value) -> Result<Self, Vec<String>> {
        let wrong = || vec!["Give a list of column names.".to_owned()];
        let names = value.as_array().ok_or_else(wrong)?.iter();
        let names: Option<Vec<&str>> = names.map(Value::as_str).collect();
        Self::new(names.ok_or_else(wrong)?)
    }

    /// Leaves out what the order means anyway.
    fn canonical(mut self) -> Self {
        let is =
            |term: Option<&Term>, column, descending| term == Some(&Term { column, descending });
        if let Some(id) = self.0.iter().position(|term| term.column == Column::Id) {
            // No two rows have the same id.
            self.0.truncate(id + 1);
        }
        if is(self.0.last(), Column::Id, false)
            && self.0.iter().any(|term| term.column == Column::CreatedAt)
        {
            self.0.pop();
        }
        if is(self.0.last(), Column::CreatedAt, true) {
            self.0.pop();
        }
        self
    }

    /// Compares the rows of two slots.
    pub(super) fn compare(&self, store: &Store, a: u32, b: u32) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        for term in &self.0 {
            let order = term.compare(store, a, b);
            if order.is_ne() {
                return order;
            }
        }
        let newer = store.time(0, b).cmp(&store.time(0, a));
        newer.then_with(|| store.id(a).cmp(&store.id(b)))
    }

    /// Sorts slots that are in the default order, after [`rank`](Self::rank).
    pub(super) fn sort(&self, store: &Store, slots: &mut [u32]) {
        for term in self.0.iter().rev() {
            term.sort(store, slots);
        }
    }

    /// Sorts slots in the default order.
    pub(super) fn sort_by_default(store: &Store, slots: &mut [u32]) {
        let by_id = Term {
            column: Column::Id,
            descending: false,
        };
        let newest_first = Term {
            column: Column::CreatedAt,
            descending: true,
        };
        newest_first.sort(store, slots);
        // Most rows were created at a time of their own.
        let same_time = |&a: &u32, &b: &u32| store.time(0, a) == store.time(0, b);
        for run in slots.chunk_by_mut(same_time).filter(|run| run.len() > 1) {
            by_id.sort(store, run);
        }
    }

    /// Gives a rank to the texts by which this order sorts.
    pub(super) fn rank(&self, store: &mut Store) {
        let has = |is: fn(Kind) -> bool| self.0.iter().any(|term| is(term.column.kind()));
        if has(|kind| matches!(kind, Kind::Text(_))) {
            store.words.rank_all();
        }
        if has(|kind| kind == Kind::Upload) {
            store.references.rank_all();
        }
    }

    /// The bits of the columns that it looks at.
    pub(super) fn columns(&self) -> u32 {
        self.0.iter().fold(Column::CreatedAt.bit(), |bits, term| {
            bits | term.column.bit()
        })
    }
}

impl Term {
    fn compare(self, store: &Store, a: u32, b: u32) -> Ordering {
        let turned = |order: Ordering| {
            if self.descending {
                order.reverse()
            } else {
                order
            }
        };
        match self.column.kind() {
            Kind::Id => turned(store.id(a).cmp(&store.id(b))),
            Kind::Time(n) => turned(store.time(n, a).cmp(&store.time(n, b))),
            Kind::Text(n) => turned(store.words.compare(store.text(n, a), store.text(n, b))),
            Kind::Date(n) => match (store.date(n, a), store.date(n, b)) {
                (a, b) if a == NO_DATE || b == NO_DATE => a.cmp(&b),
                (a, b) => turned(a.cmp(&b)),
            },
            Kind::Upload => match (store.upload(a), store.upload(b)) {
                (a, b) if a == NONE || b == NONE => (a == NONE).cmp(&(b == NONE)),
                (a, b) => turned(store.references.compare(a, b)),
            },
        }
    }

    /// Sorts by this column; those with the same value stay in their order.
    fn sort(self, store: &Store, slots: &mut [u32]) {
        const SIGN: u64 = 1 << 63;
        const NO_DAY: u64 = 1 << 23;
        const NO_UPLOAD: u64 = 1 << 32;
        let turned = |word: u64| if self.descending { !word } else { word };
        // Nulls stay last when the others are turned.
        let turned_below = |null: u64, word: u64| {
            if self.descending {
                null - 1 - word
            } else {
                word
            }
        };
        match self.column.kind() {
            // Hardly any two ids have the same first half.
            Kind::Id => {
                let half = |slot| store.id(slot).as_u64_pair().0;
                sort_stable(slots, &|slot| turned(half(slot)));
                for run in slots.chunk_by_mut(|&a, &b| half(a) == half(b)) {
                    run.sort_unstable_by(|&a, &b| self.compare(store, a, b));
                }
            }
            Kind::Time(n) => sort_stable(slots, &|slot| {
                turned(store.time(n, slot).cast_unsigned() ^ SIGN)
            }),
            Kind::Text(n) => sort_stable(slots, &|slot| {
                turned(u64::from(store.words.rank(store.text(n, slot))))
            }),
            Kind::Date(n) => sort_stable(slots, &|slot| match store.date(n, slot) {
                NO_DATE => NO_DAY,
                date => turned_below(NO_DAY, u64::from(date.cast_unsigned())),
            }),
            Kind::Upload => sort_stable(slots, &|slot| match store.upload(slot) {
                NONE => NO_UPLOAD,
                number => turned_below(NO_UPLOAD, store.references.rank(number).into()),
            }),
        }
    }
}
