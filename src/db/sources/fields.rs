//! The fields of a source that clients set: one table. Forms, statements and the API documents follow
//! it.

use std::collections::BTreeMap;

use jiff::civil::Date;
use tokio_postgres::types::{ToSql, Type};

/// A field that clients set. It has its column's name.
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
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            about: "",
            example: None,
        }
    }

    const fn text(name: &'static str) -> Self {
        let kind = Kind::Text {
            max: 255,
            blank: false,
        };
        Self::new(name, kind)
    }

    const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        Self {
            example: Some(example),
            ..self
        }
    }
}

/// The field that a new source must have.
pub const AUTHOR: &str = "created_by";
/// The field that switches a source on and off.
pub const STATUS: &str = "status";
/// The date for which there are also words.
pub const NEXT_UPDATE: &str = "next_update";
/// The field of the file.
pub const UPLOAD: &str = "data_upload";

/// All fields that clients set, in the order in which their errors are named.
pub static FIELDS: [Field; 13] = [
    Field::text(AUTHOR)
        .about("Who is responsible for it.")
        .example("Ann"),
    Field::text("country").example("Norway"),
    Field::text("data_vendor"),
    Field::text("panel"),
    Field::text("panel_group").about("Default: `DKM`."),
    Field::new(
        "scope_of_subscription",
        Kind::Text {
            max: 255,
            blank: true,
        },
    ),
    Field::text("data_type"),
    Field::text("granularity").about("Default: `National`."),
    Field::new(
        STATUS,
        Kind::Text {
            max: 50,
            blank: false,
        },
    )
    .about("The server toggles and counts `active` and `inactive`; it stores any other text.")
    .example("active"),
    Field::new("end_date", Kind::Date),
    Field::new("current_update", Kind::Date),
    Field::new(NEXT_UPDATE, Kind::Date),
    Field::new(UPLOAD, Kind::File).about("A file, in a form; null removes it."),
];

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
