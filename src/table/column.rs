//! The columns of `sources`, and how the store holds each. Knows no rows.

use jiff::civil::Date;
use uuid::Uuid;

use crate::{db::sources::Source, local_time::LocalTime};

/// What a column holds. The number is the column's place among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The row's id.
    Id,
    /// A text, never null.
    Text(usize),
    /// A moment, never null.
    Time(usize),
    /// A day or null.
    Date(usize),
    /// The reference of a file or null.
    Upload,
}

/// How many columns hold moments.
pub const TIMES: usize = 2;
/// How many columns hold days.
pub const DATES: usize = 3;

/// Declares the columns that hold texts, each by its variant and its name, beside those of other kinds.
macro_rules! columns {
    ($($variant:ident $name:ident,)*) => {
        /// How many columns hold texts.
        pub const TEXTS: usize = [$(stringify!($name)),*].len();

        /// A column of `sources`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each has its column's name")]
        pub enum Column {
            Id,
            CreatedAt,
            UpdatedAt,
            EndDate,
            CurrentUpdate,
            NextUpdate,
            DataUpload,
            $($variant,)*
        }

        impl Column {
            /// All columns.
            pub const ALL: [Self; 7 + TEXTS] = [
                Self::Id,
                Self::CreatedAt,
                Self::UpdatedAt,
                Self::EndDate,
                Self::CurrentUpdate,
                Self::NextUpdate,
                Self::DataUpload,
                $(Self::$variant,)*
            ];

            /// Its name in the database, in JSON and in parameters.
            pub const fn name(self) -> &'static str {
                match self {
                    Self::Id => "id",
                    Self::CreatedAt => "created_at",
                    Self::UpdatedAt => "updated_at",
                    Self::EndDate => "end_date",
                    Self::CurrentUpdate => "current_update",
                    Self::NextUpdate => "next_update",
                    Self::DataUpload => "data_upload",
                    $(Self::$variant => stringify!($name),)*
                }
            }
        }

        /// The texts of a source, in the order of their numbers.
        pub(super) fn texts(source: &Source) -> [&str; TEXTS] {
            [$(&source.$name),*]
        }

        /// A source with these values.
        pub(super) fn source(
            id: Uuid,
            [created_at, updated_at]: [LocalTime; TIMES],
            [end_date, current_update, next_update]: [Option<Date>; DATES],
            data_upload: Option<String>,
            [$($name),*]: [&str; TEXTS],
        ) -> Source {
            Source {
                id,
                created_at,
                updated_at,
                end_date,
                current_update,
                next_update,
                data_upload,
                $($name: $name.to_owned(),)*
            }
        }
    };
}

columns! {
    CreatedBy created_by,
    Country country,
    DataVendor data_vendor,
    Panel panel,
    PanelGroup panel_group,
    ScopeOfSubscription scope_of_subscription,
    DataType data_type,
    Granularity granularity,
    DatadeliveryStatus datadelivery_status,
    Status status,
    // The last one: it repeats a date, so no search looks at it.
    NextStatus next_status,
}

impl Column {
    /// The text columns that a search looks at are the first of the text columns, so many.
    pub const SEARCHED: usize = TEXTS - 1;

    /// What it holds.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Id => Kind::Id,
            Self::CreatedAt => Kind::Time(0),
            Self::UpdatedAt => Kind::Time(1),
            Self::EndDate => Kind::Date(0),
            Self::CurrentUpdate => Kind::Date(1),
            Self::NextUpdate => Kind::Date(2),
            Self::DataUpload => Kind::Upload,
            _ => Kind::Text(self as usize - Self::DataUpload as usize - 1),
        }
    }

    /// The column of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// Its bit in a set of columns.
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The bits of the columns in which a search looks.
pub fn searched_bits() -> u32 {
    Column::ALL
        .into_iter()
        .filter(|column| matches!(column.kind(), Kind::Text(n) if n < Column::SEARCHED))
        .fold(0, |bits, column| bits | column.bit())
}
