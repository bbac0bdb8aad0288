//! Row types. [`row!`] makes from one declaration a struct, the list of columns that a statement
//! selects for it, and its decoding, by name. A value that the struct cannot hold is an error, never
//! a panic: lists leave such a row out and say so.

use std::error::Error as _;

use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::unreadable::Unreadable;
use crate::error::{Error, Result};

/// Declares a row type: `pub struct Source from "sources" { pub id: Uuid, ... }`.
///
/// The struct has the fields as declared. The first one names the row in the log. A column has the
/// field's name; one that is computed says how: `is_over: bool = "state = 'COMPLETED'"`. A type that is
/// `listed by created_at, updated_at from "sources"` is the row of a [list](super::listed): newest first by
/// the first column; the second, where there is one, says when a row was changed last.
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident listed by $created:ident $(, $updated:ident)?
            from $table:literal $fields:tt
    ) => {
        $crate::db::row::row! {
            $(#[$meta])*
            $vis struct $name from $table $fields
        }

        impl $crate::db::listed::Listed for $name {
            const ORDER: &'static str = concat!(stringify!($created), " desc, id");

            fn id(&self) -> uuid::Uuid {
                self.id
            }

            fn created_at(&self) -> jiff::Timestamp {
                self.$created.0
            }

            fn updated_at(&self) -> Option<jiff::Timestamp> {
                let changed: &[jiff::Timestamp] = &[$(self.$updated.0)?];
                changed.first().copied()
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident from $table:literal {
            $(#[$key_meta:meta])*
            $key_vis:vis $key:ident : $key_type:ty $(= $key_sql:literal)?,
            $(
                $(#[$field_meta:meta])*
                $field_vis:vis $field:ident : $type:ty $(= $sql:literal)?,
            )*
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $(#[$key_meta])*
            $key_vis $key: $key_type,
            $(
                $(#[$field_meta])*
                $field_vis $field: $type,
            )*
        }

        impl $crate::db::row::FromRow for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static str = concat!(
                $crate::db::row::row!(@column $key $($key_sql)?)
                $(, ", ", $crate::db::row::row!(@column $field $($sql)?))*
            );

            fn from_row(
                row: &tokio_postgres::Row,
            ) -> Result<Self, $crate::db::unreadable::Unreadable> {
                let mut columns = $crate::db::row::Columns::new(row, $table, stringify!($key));
                Ok(Self {
                    $key: columns.next(stringify!($key))?,
                    $($field: columns.next(stringify!($field))?,)*
                })
            }

            fn check_types(row: &tokio_postgres::Row) -> $crate::error::Result<()> {
                $crate::db::row::check_type::<$key_type>(row, $table, stringify!($key))?;
                $($crate::db::row::check_type::<$type>(row, $table, stringify!($field))?;)*
                Ok(())
            }
        }
    };
    (@column $name:ident) => { stringify!($name) };
    (@column $name:ident $sql:literal) => { concat!($sql, " as ", stringify!($name)) };
}

pub(crate) use row;

/// What [`row!`] makes.
pub trait FromRow: Sized {
    /// Where the rows come from, for the log.
    const TABLE: &'static str;
    /// What a statement selects.
    const COLUMNS: &'static str;

    /// Decodes a row; columns are found by name.
    ///
    /// # Errors
    /// When a column is missing, or has a value that its field cannot hold.
    fn from_row(row: &Row) -> Result<Self, Unreadable>;

    /// Whether the columns have types that the fields can hold, whatever the values.
    ///
    /// # Errors
    /// [`Error::Unreadable`] names the first column that has not.
    fn check_types(row: &Row) -> Result<()>;
}

/// Whether the column `name` is there and has a type that a `T` can hold: if not, no row can be read, and
/// it is the table that is wrong.
pub(crate) fn check_type<'a, T: FromSql<'a>>(
    row: &'a Row,
    table: &'static str,
    name: &'static str,
) -> Result<()> {
    let column = row.columns().iter().find(|column| column.name() == name);
    let why = match column {
        Some(column) if T::accepts(column.type_()) => return Ok(()),
        Some(column) => format!(
            "has the type {}, which is not the one that this program reads",
            column.type_()
        ),
        None => "is missing".into(),
    };
    Err(Error::Unreadable(format!(
        "{table}: the column {name} {why}"
    )))
}

/// The rows that can be read. Each of the others is counted and left out, and logged once.
///
/// # Errors
/// [`Error::Unreadable`] when a column has a type by which no row can be read.
pub(super) fn all<T: FromRow>(rows: &[Row]) -> Result<Vec<T>> {
    if let Some(row) = rows.first() {
        T::check_types(row)?;
    }
    let readable = |row| match T::from_row(row) {
        Ok(row) => Some(row),
        Err(unreadable) => {
            unreadable.left_out();
            None
        }
    };
    Ok(rows.iter().filter_map(readable).collect())
}

/// The first row, if there is one.
///
/// # Errors
/// [`Error::Unreadable`] when it cannot be read.
pub(super) fn first<T: FromRow>(rows: &[Row]) -> Result<Option<T>> {
    rows.first()
        .map(T::from_row)
        .transpose()
        .map_err(Error::from)
}

/// The row of a statement that has one.
///
/// # Errors
/// [`Error::Unreadable`] when there is none, or when it cannot be read.
pub(super) fn only<T: FromRow>(rows: &[Row]) -> Result<T> {
    first(rows)?.ok_or_else(|| Error::Unreadable(format!("{}: no row was returned", T::TABLE)))
}

/// The column `name` of the first row, if there is a row.
///
/// # Errors
/// [`Error::Unreadable`] when it cannot be read.
pub(super) fn value<'a, T: FromSql<'a>>(rows: &'a [Row], name: &str) -> Result<Option<T>> {
    rows.first()
        .map(|row| row.try_get(name).map_err(Error::from))
        .transpose()
}

/// The column `name` of each row that can be read. The others are left out as by [`all`]; the
/// column is their key.
///
/// # Errors
/// As [`all`].
pub(super) fn values<'a, T: FromSql<'a>>(
    rows: &'a [Row],
    table: &'static str,
    name: &'static str,
) -> Result<Vec<T>> {
    if let Some(row) = rows.first() {
        check_type::<T>(row, table, name)?;
    }
    let readable = |row| match Columns::new(row, table, name).next(name) {
        Ok(value) => Some(value),
        Err(unreadable) => {
            unreadable.left_out();
            None
        }
    };
    Ok(rows.iter().filter_map(readable).collect())
}

/// The columns of a row, one after another.
pub(crate) struct Columns<'a> {
    row: &'a Row,
    table: &'static str,
    key: &'static str,
    at: usize,
}

impl<'a> Columns<'a> {
    /// The columns of a row of `table` whose `key` names it.
    pub(crate) fn new(row: &'a Row, table: &'static str, key: &'static str) -> Self {
        Self {
            row,
            table,
            key,
            at: 0,
        }
    }

    /// The column `name`, which most often is the next one.
    pub(crate) fn next<T: FromSql<'a>>(&mut self, name: &'static str) -> Result<T, Unreadable> {
        let is_next = |column: &tokio_postgres::Column| column.name() == name;
        let value = if self.row.columns().get(self.at).is_some_and(is_next) {
            self.row.try_get(self.at)
        } else {
            self.row.try_get(name)
        };
        self.at += 1;
        value.map_err(|error| Unreadable {
            table: self.table,
            key: key(self.row, self.key),
            column: name,
            why: match error.source() {
                Some(cause) => cause.to_string(),
                None => error.to_string(),
            },
        })
    }
}

/// A row's key as text, if it can be read.
fn key(row: &Row, name: &str) -> Option<String> {
    let number = || row.try_get::<_, i64>(name).map(|key| key.to_string());
    row.try_get::<_, Uuid>(name)
        .map(|key| key.to_string())
        .or_else(|_| row.try_get::<_, String>(name))
        .or_else(|_| number())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    row! {
        /// Of no table.
        #[expect(dead_code, reason = "no row of it is ever read")]
        struct Sample from "samples" {
            id: Uuid,
            name: String,
            is_long: bool = "length(name) > 10",
        }
    }

    #[test]
    fn a_declaration_gives_the_list_of_columns() {
        assert_eq!(Sample::TABLE, "samples");
        assert_eq!(Sample::COLUMNS, "id, name, length(name) > 10 as is_long");
    }
}
