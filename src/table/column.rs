//! The columns of `sources`, and how the store holds each. Knows no rows.

/// A column of `sources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each has its column's name")]
pub enum Column {
    Id,
    NextStatus,
    CreatedAt,
    UpdatedAt,
    CreatedBy,
    Country,
    DataVendor,
    Panel,
    PanelGroup,
    ScopeOfSubscription,
    DataType,
    Granularity,
    EndDate,
    CurrentUpdate,
    NextUpdate,
    DatadeliveryStatus,
    DataUpload,
    Status,
}

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

/// How many columns hold texts.
pub const TEXTS: usize = 11;
/// How many columns hold moments.
pub const TIMES: usize = 2;
/// How many columns hold days.
pub const DATES: usize = 3;

use Column as C;

impl Column {
    /// All columns, in the order of a source's keys.
    pub const ALL: [Self; 18] = [
        C::Id,
        C::NextStatus,
        C::CreatedAt,
        C::UpdatedAt,
        C::CreatedBy,
        C::Country,
        C::DataVendor,
        C::Panel,
        C::PanelGroup,
        C::ScopeOfSubscription,
        C::DataType,
        C::Granularity,
        C::EndDate,
        C::CurrentUpdate,
        C::NextUpdate,
        C::DatadeliveryStatus,
        C::DataUpload,
        C::Status,
    ];

    /// The text columns that a search looks at: all but `next_status`, which repeats a date. They are
    /// the first of the text columns.
    pub const SEARCHED: usize = TEXTS - 1;

    /// Its name in the database, in JSON and in parameters.
    pub const fn name(self) -> &'static str {
        match self {
            C::Id => "id",
            C::NextStatus => "next_status",
            C::CreatedAt => "created_at",
            C::UpdatedAt => "updated_at",
            C::CreatedBy => "created_by",
            C::Country => "country",
            C::DataVendor => "data_vendor",
            C::Panel => "panel",
            C::PanelGroup => "panel_group",
            C::ScopeOfSubscription => "scope_of_subscription",
            C::DataType => "data_type",
            C::Granularity => "granularity",
            C::EndDate => "end_date",
            C::CurrentUpdate => "current_update",
            C::NextUpdate => "next_update",
            C::DatadeliveryStatus => "datadelivery_status",
            C::DataUpload => "data_upload",
            C::Status => "status",
        }
    }

    /// What it holds.
    pub const fn kind(self) -> Kind {
        match self {
            C::Id => Kind::Id,
            C::CreatedBy => Kind::Text(0),
            C::Country => Kind::Text(1),
            C::DataVendor => Kind::Text(2),
            C::Panel => Kind::Text(3),
            C::PanelGroup => Kind::Text(4),
            C::ScopeOfSubscription => Kind::Text(5),
            C::DataType => Kind::Text(6),
            C::Granularity => Kind::Text(7),
            C::DatadeliveryStatus => Kind::Text(8),
            C::Status => Kind::Text(9),
            C::NextStatus => Kind::Text(10),
            C::CreatedAt => Kind::Time(0),
            C::UpdatedAt => Kind::Time(1),
            C::EndDate => Kind::Date(0),
            C::CurrentUpdate => Kind::Date(1),
            C::NextUpdate => Kind::Date(2),
            C::DataUpload => Kind::Upload,
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
