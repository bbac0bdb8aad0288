//! A row on its way into the store and out of it: borrowed, packed into numbers, and as a `Source`.
//! Knows how values are packed, not where they are kept.

use jiff::{Timestamp, civil::Date};
use uuid::Uuid;

use super::column::{self, Column, DATES, Kind, TEXTS, TIMES};
use crate::{db::sources::Source, local_time::LocalTime};

/// No day, as a packed date: after all others.
pub const NO_DATE: i32 = i32::MAX;

/// A row that borrows its texts, so that none is copied that the store has already.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The row's id.
    pub id: Uuid,
    /// Microseconds since 1970.
    pub times: [i64; TIMES],
    /// Days, as [`pack_date`] packs them.
    pub dates: [i32; DATES],
    /// Texts.
    pub texts: [&'a str; TEXTS],
    /// The reference of a file.
    pub upload: Option<&'a str>,
}

impl<'a> From<&'a Source> for Row<'a> {
    fn from(source: &'a Source) -> Self {
        Self {
            id: source.id,
            times: [&source.created_at, &source.updated_at].map(|time| time.as_microsecond()),
            dates: [source.end_date, source.current_update, source.next_update].map(pack_date),
            texts: column::texts(source),
            upload: source.data_upload.as_deref(),
        }
    }
}

impl Row<'_> {
    /// The row that owns its texts.
    pub fn to_source(&self) -> Source {
        let time = |n: usize| {
            LocalTime(Timestamp::from_microsecond(self.times[n]).expect("it was made from one"))
        };
        let dates = self.dates.map(unpack_date);
        let upload = self.upload.map(str::to_owned);
        column::source(self.id, [time(0), time(1)], dates, upload, self.texts)
    }
}

/// A row whose texts are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    pub(super) id: Uuid,
    pub(super) times: [i64; TIMES],
    pub(super) dates: [i32; DATES],
    pub(super) texts: [u32; TEXTS],
    pub(super) upload: u32,
}

impl Packed {
    /// The bits of the columns in which two versions of a row differ.
    pub(super) fn difference(&self, other: &Self) -> u32 {
        Column::ALL
            .into_iter()
            .filter(|column| match column.kind() {
                Kind::Id => self.id != other.id,
                Kind::Text(n) => self.texts[n] != other.texts[n],
                Kind::Time(n) => self.times[n] != other.times[n],
                Kind::Date(n) => self.dates[n] != other.dates[n],
                Kind::Upload => self.upload != other.upload,
            })
            .fold(0, |bits, column| bits | column.bit())
    }
}

/// Year, month and day in one number; numbers sort as their days do.
pub fn pack_date(date: Option<Date>) -> i32 {
    date.map_or(NO_DATE, |date| {
        i32::from(date.year()) << 9 | i32::from(date.month()) << 5 | i32::from(date.day())
    })
}

/// The day that [`pack_date`] packed.
#[expect(clippy::cast_possible_truncation, reason = "each part fits")]
pub fn unpack_date(packed: i32) -> Option<Date> {
    (packed != NO_DATE).then(|| {
        let (year, month, day) = (packed >> 9, packed >> 5 & 15, packed & 31);
        Date::new(year as i16, month as i8, day as i8).expect("it was packed from a date")
    })
}
