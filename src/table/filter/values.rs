//! Days and moments as filters write them.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::table::row::pack_date;

pub(super) const NOT_A_DATE: &str = "Enter a date such as 2026-12-31.";
pub(super) const NOT_A_TIME: &str =
    "Enter a date such as 2026-12-31 or a time such as 2026-12-31T08:30:00Z.";
pub(super) const NO_END: &str = "Give \"from\", \"to\" or both.";

/// Which end of a range a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    From,
    To,
}

/// A packed day.
pub(super) fn day(text: &str) -> Option<i32> {
    // The parser would also take a time and drop it.
    let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date: Date = is_plain.then(|| text.parse().ok()).flatten()?;
    Some(pack_date(Some(date)))
}

/// Microseconds; a date stands for the first or the last moment of its day in `zone`.
pub(super) fn moment(text: &str, end: End, zone: &TimeZone) -> Option<i64> {
    if day(text).is_none() {
        let time: Timestamp = text.parse().ok()?;
        // Rows have whole microseconds.
        let after = i64::from(time.as_nanosecond().rem_euclid(1000) > 0);
        let micros = i64::try_from(time.as_nanosecond().div_euclid(1000)).ok()?;
        return Some(if end == End::From {
            micros + after
        } else {
            micros
        });
    }
    let date: Date = text.parse().ok()?;
    let start = |date: Date| {
        let midnight = date.to_zoned(zone.clone()).ok()?;
        Some(midnight.start_of_day().ok()?.timestamp().as_microsecond())
    };
    match end {
        End::From => start(date),
        End::To => match date.tomorrow().ok().and_then(start) {
            Some(next) => Some(next - 1),
            // The last day of all.
            None => Some(i64::MAX),
        },
    }
}
