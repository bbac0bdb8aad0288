//! Turns what differs from run to run (ids, names, instants) into placeholders, as was done to the recordings.
//! A value that is written otherwise than the reference wrote it becomes another text, and so fails.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::template::{Vars, paris};

/// What follows is the wording of a parser.
const PARSE_ERROR: &str = "JSON parse error - ";
/// An id that never exists and is never replaced.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// The value with placeholders in all its texts and keys.
pub(crate) fn value(vars: &Vars, value: &Value) -> Value {
    match value {
        Value::String(string) => text(vars, string).into(),
        Value::Array(list) => list.iter().map(|item| self::value(vars, item)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| (text(vars, key), self::value(vars, item)))
            .collect(),
        other => other.clone(),
    }
}

/// The text with placeholders.
pub(crate) fn text(vars: &Vars, text: &str) -> String {
    if let Some(datetime) = Datetime::parse(text) {
        let known = |(name, value): &(&str, &str)| name.starts_with("created:") && *value == text;
        return match vars.iter().find(known) {
            Some((name, _)) => format!("<{name}>"),
            None => datetime.placeholder().unwrap_or_else(|| text.to_owned()),
        };
    }
    let mut known: Vec<_> = vars.iter().collect();
    known.sort_by_key(|(_, value)| Reverse(value.chars().count()));
    let mut text = text.to_owned();
    for (name, value) in known {
        let secret = name.starts_with("pw:") || name.starts_with("created:");
        if value.chars().count() >= 6 && !secret {
            text = text.replace(value, &format!("<{name}>"));
        }
    }
    if let Some(start) = text.find(PARSE_ERROR) {
        text.truncate(start + PARSE_ERROR.len());
        text.push_str("<text>");
    }
    step_ids(&uuids(&text))
}

/// A text of the form `2026-11-23T01:05:58.702123+01:00`, in parts.
struct Datetime<'a> {
    seconds: &'a str,
    /// With its point.
    fraction: Option<&'a str>,
    offset: Option<&'a str>,
}

impl<'a> Datetime<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
        let head = text.get(..SHAPE.len())?;
        if !fits(head, SHAPE) {
            return None;
        }
        let rest = &text[SHAPE.len()..];
        let digits = match rest.strip_prefix('.') {
            Some(after) => {
                after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len()
            }
            None => 0,
        };
        let (fraction, offset) = match digits {
            0 => (None, rest),
            _ => (Some(&rest[..=digits]), &rest[digits + 1..]),
        };
        match offset {
            "" => Some(Self {
                seconds: head,
                fraction,
                offset: None,
            }),
            _ if offset == "Z" || fits(offset, b"+dd:dd") || fits(offset, b"-dd:dd") => {
                Some(Self {
                    seconds: head,
                    fraction,
                    offset: Some(offset),
                })
            }
            _ => None,
        }
    }

    /// `None` for an instant that is part of the test data (or none at all).
    fn placeholder(&self) -> Option<String> {
        let digits = self.fraction.map_or("", |fraction| &fraction[1..]);
        let micros: String = digits.chars().chain("000000".chars()).take(6).collect();
        let offset = self.offset.unwrap_or("Z");
        let instant: Timestamp = format!("{}.{micros}{offset}", self.seconds).parse().ok()?;
        if instant.duration_since(Timestamp::now()).abs() > SignedDuration::from_hours(24) {
            return None;
        }
        let seconds = paris().to_offset(instant).seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        let right = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        if offset == right && matches!(digits.len(), 0 | 6) {
            return Some("<datetime>".into());
        }
        let offset = self.offset.unwrap_or("None");
        let count = digits.len();
        Some(format!(
            "<datetime but written as {count} fraction digits, offset {offset}>"
        ))
    }
}

/// Whether a text has that shape: `d` is a digit, `x` a hexadecimal one, anything else itself.
fn fits(text: &str, shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => byte == *other,
        })
}

fn uuids(text: &str) -> String {
    const SHAPE: &[u8] = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(uuid) = rest.get(..SHAPE.len()).filter(|uuid| fits(uuid, SHAPE)) {
            let nobody = uuid.eq_ignore_ascii_case(NOBODY);
            replaced.push_str(if nobody { uuid } else { "<uuid>" });
            rest = &rest[SHAPE.len()..];
        } else {
            replaced.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    replaced
}

/// Ids of EMR steps: a word `s-` and 10 to 20 capitals or digits.
fn step_ids(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut replaced = String::new();
    let mut rest = text;
    let mut before = None;
    while let Some(first) = rest.chars().next() {
        let id = rest.strip_prefix("s-").map(|after| {
            after.len()
                - after
                    .trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
                    .len()
        });
        match id {
            Some(length @ 10..=20)
                if !before.is_some_and(is_word) && !rest[2 + length..].starts_with(is_word) =>
            {
                replaced.push_str("<step-id>");
                rest = &rest[2 + length..];
                before = Some('>');
            }
            _ => {
                replaced.push(first);
                rest = &rest[first.len_utf8()..];
                before = Some(first);
            }
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use jiff::{ToSpan, Zoned};

    use super::*;

    fn plain(given: &str) -> String {
        text(&Vars::default(), given)
    }

    #[test]
    fn a_recent_instant_must_be_written_as_the_reference_does() {
        let now = Zoned::now().with_time_zone(paris());
        let offset = now.strftime("%:z").to_string();
        let seconds = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        assert_eq!(plain(&format!("{seconds}.000123{offset}")), "<datetime>");
        assert_eq!(plain(&format!("{seconds}{offset}")), "<datetime>");
        for wrong in [
            format!("{seconds}.123{offset}"),
            format!("{seconds}.000123"),
            format!("{seconds}+05:00"),
        ] {
            assert!(plain(&wrong).starts_with("<datetime but"), "{wrong}");
        }
        let utc = Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%S.123456Z")
            .to_string();
        assert_eq!(
            plain(&utc),
            "<datetime but written as 6 fraction digits, offset Z>"
        );
        let old = (&now - 2.days())
            .strftime("%Y-%m-%dT%H:%M:%S.123456%:z")
            .to_string();
        assert_eq!(plain(&old), old);
        assert_eq!(plain("2026-13-45T00:00:00Z"), "2026-13-45T00:00:00Z");
    }

    #[test]
    fn a_creation_instant_is_recognised() {
        let mut vars = Vars::default();
        vars.set("created:s1", "2001-02-03T04:05:06+01:00".into());
        assert_eq!(text(&vars, "2001-02-03T04:05:06+01:00"), "<created:s1>");
        assert_eq!(
            text(&vars, "at 2001-02-03T04:05:06+01:00"),
            "at 2001-02-03T04:05:06+01:00"
        );
    }

    #[test]
    fn ids_names_and_parse_errors() {
        let mut vars = Vars::default();
        vars.set("alice", "alice_qwerty".into());
        vars.set("pw:alice", "secretsecret".into());
        vars.set("short", "abc".into());
        assert_eq!(
            text(&vars, "Hello alice_qwerty abc secretsecret"),
            "Hello <alice> abc secretsecret"
        );
        assert_eq!(
            plain("x 5D0c9f1a-0000-4000-8000-00000000000b."),
            "x <uuid>."
        );
        assert_eq!(plain(NOBODY), NOBODY);
        assert_eq!(
            plain("JSON parse error - line 1\nmore"),
            "JSON parse error - <text>"
        );
        assert_eq!(
            plain("é s-3BX9VHJHCGVDM, s-3bx9, s-ABCDEFGHIJ_ xs-ABCDEFGHIJ"),
            "é <step-id>, s-3bx9, s-ABCDEFGHIJ_ xs-ABCDEFGHIJ"
        );
    }
}
