//! Fields of a source that clients set: what is said of one, and which of them a statement sets.

use std::collections::BTreeMap;

use jiff::civil::Date;
use tokio_postgres::types::{ToSql, Type};

use super::STATUS;

/// A field that clients set; [`FIELDS`](super::FIELDS) are all. It has its column's name.
#[derive(Debug)]
pub struct Field {
    /// The column.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What the API document says of it; empty where the name says it.
    pub about: &'static str,
    /// An example for the API document.
    pub example: Option<&'static str>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text {
        /// In characters.
        max: usize,
        /// Whether it may be empty.
        blank: bool,
    },
    /// A day of the local calendar, or none.
    Date,
    /// The reference of an uploaded file, or none.
    File,
}

impl Field {
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            about: "",
            example: None,
        }
    }

    pub(super) const fn text(name: &'static str) -> Self {
        let kind = Kind::Text {
            max: 255,
            blank: false,
        };
        Self::new(name, kind)
    }

    pub(super) const fn optional(name: &'static str) -> Self {
        let kind = Kind::Text {
            max: 255,
            blank: true,
        };
        Self::new(name, kind)
    }

    pub(super) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub(super) const fn example(self, example: &'static str) -> Self {
        Self {
            example: Some(example),
            ..self
        }
    }
}

/// What a statement writes into a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// Into a text.
    Text(String),
    /// Into a date.
    Date(Option<Date>),
    /// Into the field of a file.
    File(Option<String>),
}

impl FieldValue {
    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Date(date) => (date, Type::DATE),
            Self::File(reference) => (reference, Type::TEXT),
        }
    }
}

/// The fields that a statement sets. It leaves the others as they are (or at their defaults), so that
/// two changes of different fields never undo each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change(BTreeMap<&'static str, FieldValue>);

impl Change {
    /// Sets a field.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: FieldValue) -> Self {
        self.set(field, value);
        self
    }

    /// Sets the status alone.
    pub fn of_status(status: &str) -> Self {
        Self::default().with(STATUS, FieldValue::Text(status.to_owned()))
    }

    /// Sets a field.
    pub fn set(&mut self, field: &'static str, value: FieldValue) {
        self.0.insert(field, value);
    }

    /// What it sets a field to, if it does.
    pub fn get(&self, field: &str) -> Option<&FieldValue> {
        self.0.get(field)
    }

    /// The columns that it sets.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    /// The values, in the order of the columns.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&(dyn ToSql + Sync), Type)> {
        self.0.values().map(FieldValue::parameter)
    }
}
