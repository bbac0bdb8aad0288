//! Moments as clients see them: local time and offset. Rows hold a [`LocalTime`]; it is written in the
//! zone of the [`InZone`] around the row.

use std::{cell::RefCell, error::Error, ops::Deref};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer, ser};
use tokio_postgres::types::{FromSql, Type as SqlType};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

thread_local! {
    /// That of the value which this thread serialises.
    static ZONE: RefCell<Option<TimeZone>> = const { RefCell::new(None) };
}

/// A value whose moments are written in a zone.
#[derive(Debug)]
pub struct InZone<'a, T: ?Sized>(pub &'a TimeZone, pub &'a T);

impl<T: Serialize + ?Sized> Serialize for InZone<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let around = ZONE.replace(Some(self.0.clone()));
        let written = self.1.serialize(serializer);
        ZONE.set(around);
        written
    }
}

/// `2026-11-23T01:05:58.702123+01:00`: local time and offset, six digits or no fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(pub Timestamp);

impl Deref for LocalTime {
    type Target = Timestamp;

    fn deref(&self) -> &Timestamp {
        &self.0
    }
}

impl<'a> FromSql<'a> for LocalTime {
    fn from_sql(kind: &SqlType, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Timestamp::from_sql(kind, raw).map(Self)
    }

    fn accepts(kind: &SqlType) -> bool {
        <Timestamp as FromSql>::accepts(kind)
    }
}

impl ToSchema for LocalTime {}

impl PartialSchema for LocalTime {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some(
                "Local time and offset, with six digits or no fraction",
            ))
            .into()
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let local = ZONE.with_borrow(|zone| {
            let zone = zone.as_ref()?;
            Some((zone.to_datetime(self.0), zone.to_offset(self.0).seconds()))
        });
        let (local, offset) =
            local.ok_or_else(|| ser::Error::custom("a moment is written in no zone"))?;
        let fraction = match local.subsec_nanosecond() / 1000 {
            0 => String::new(),
            micros => format!(".{micros:06}"),
        };
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        serializer.collect_str(&format_args!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{sign}{hours:02}:{minutes:02}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local_with_six_digits_or_none() {
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let written = |instant: &str, zone: &TimeZone| {
            let at = LocalTime(instant.parse().unwrap());
            serde_json::to_value(InZone(zone, &at)).unwrap()
        };
        for (instant, text) in [
            (
                "2026-11-23T00:05:58.702123Z",
                "2026-11-23T01:05:58.702123+01:00",
            ),
            ("2026-07-01T10:00:00.5Z", "2026-07-01T12:00:00.500000+02:00"),
            ("2026-07-01T10:00:00Z", "2026-07-01T12:00:00+02:00"),
        ] {
            assert_eq!(written(instant, &paris), text);
        }
        let newfoundland = TimeZone::get("America/St_Johns").unwrap();
        assert_eq!(
            written("2026-01-01T00:00:00Z", &newfoundland),
            "2025-12-31T20:30:00-03:30"
        );
    }

    #[test]
    fn the_zone_is_that_of_the_value_around() {
        let at = LocalTime(Timestamp::UNIX_EPOCH);
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let both = (InZone(&paris, &at), at);
        assert_eq!(
            serde_json::to_string(&InZone(&TimeZone::UTC, &both)).unwrap(),
            r#"["1970-01-01T01:00:00+01:00","1970-01-01T00:00:00+00:00"]"#
        );
        assert!(serde_json::to_string(&at).is_err(), "there is none");
    }
}
