//! Where a row stands in an order, apart from the row: its place is known after it went, and a page
//! can begin after it. Serialises, for a cursor that clients give back.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Order, Term};
use crate::table::{column::Kind, dictionary::NONE, fold::fold, row::NO_DATE, store::Store};

/// The values of a row that decide its place in one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    parts: Vec<Part>,
    created: i64,
    id: Uuid,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Null,
    Number(i64),
    Text(String),
    Id,
}

impl Order {
    /// The key of a row.
    pub(in crate::table) fn key(&self, store: &Store, slot: u32) -> Key {
        let part = |term: &Term| match term.column.kind() {
            Kind::Id => Part::Id,
            Kind::Time(n) => Part::Number(store.time(n, slot)),
            Kind::Date(n) => match store.date(n, slot) {
                NO_DATE => Part::Null,
                date => Part::Number(date.into()),
            },
            Kind::Text(n) => Part::Text(store.words.text(store.text(n, slot)).to_owned()),
            Kind::Upload => match store.upload(slot) {
                NONE => Part::Null,
                number => Part::Text(store.references.text(number).to_owned()),
            },
        };
        Key {
            parts: self.0.iter().map(part).collect(),
            created: store.time(0, slot),
            id: store.id(slot),
        }
    }

    /// Whether a key that came from outside can be one of this order.
    pub fn fits(&self, key: &Key) -> bool {
        self.0.len() == key.parts.len()
            && self
                .0
                .iter()
                .zip(&key.parts)
                .all(|(term, part)| match term.column.kind() {
                    Kind::Id => matches!(part, Part::Id),
                    Kind::Time(_) => matches!(part, Part::Number(_)),
                    Kind::Date(_) => matches!(part, Part::Number(_) | Part::Null),
                    Kind::Text(_) => matches!(part, Part::Text(_)),
                    Kind::Upload => matches!(part, Part::Text(_) | Part::Null),
                })
    }

    /// Compares a row with a key.
    pub(in crate::table) fn compare_with(&self, store: &Store, slot: u32, key: &Key) -> Ordering {
        for (term, part) in self.0.iter().zip(&key.parts) {
            let order = term.compare_with(store, slot, part, key.id);
            if order.is_ne() {
                return order;
            }
        }
        let newer = key.created.cmp(&store.time(0, slot));
        newer.then_with(|| store.id(slot).cmp(&key.id))
    }
}

impl Term {
    fn compare_with(self, store: &Store, slot: u32, part: &Part, id: Uuid) -> Ordering {
        let turned = |order: Ordering| {
            if self.descending {
                order.reverse()
            } else {
                order
            }
        };
        let (is_null, order) = match (self.column.kind(), part) {
            (Kind::Id, _) => (false, store.id(slot).cmp(&id)),
            (Kind::Time(n), Part::Number(time)) => (false, store.time(n, slot).cmp(time)),
            (Kind::Text(n), Part::Text(text)) => (
                false,
                store
                    .words
                    .compare_with(store.text(n, slot), &fold(text), text),
            ),
            (Kind::Date(n), part) => match (store.date(n, slot), part) {
                (NO_DATE, _) => (true, Ordering::Equal),
                (date, Part::Number(other)) => (false, i64::from(date).cmp(other)),
                (_, _) => (false, Ordering::Equal),
            },
            (Kind::Upload, part) => match (store.upload(slot), part) {
                (NONE, _) => (true, Ordering::Equal),
                (number, Part::Text(text)) => (
                    false,
                    store.references.compare_with(number, &fold(text), text),
                ),
                (_, _) => (false, Ordering::Equal),
            },
            (Kind::Time(_) | Kind::Text(_), _) => (false, Ordering::Equal),
        };
        match (is_null, *part == Part::Null) {
            (false, false) => turned(order),
            (one, other) => one.cmp(&other),
        }
    }
}
