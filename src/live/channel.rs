//! Channels and their payloads: the only place where a channel is spelt. A payload is a hint about
//! what to read again; it is neither secret nor authenticated, so it is checked and never forwarded.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A channel that the database's triggers notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(&'static str);

impl Channel {
    /// Any statement on `sources`.
    pub const CRUD: Self = Self("crud");
    /// The Data Library's counts, without a source being touched.
    pub const LIB: Self = Self("lib");
    /// Sources, without a count moving.
    pub const SOURCE: Self = Self("source");
    /// Sources whose status changed.
    pub const TOGGLE: Self = Self("toggle");
    /// Sources and counts.
    pub const SOURCE_LIB: Self = Self("source_lib");
    /// Pipeline runs.
    pub const EMR: Self = Self("emr");
    /// Sessions that changed or ended.
    pub const SESSION: Self = Self("session");
    /// Users whose role or standing changed, or who went.
    pub const ACCOUNT: Self = Self("account");
    /// Statements that the database has kept in `changes`.
    pub const ACTIVITY: Self = Self("activity");

    /// Any statement on a table whose channel has its name.
    pub const fn of(table: &'static str) -> Self {
        Self(table)
    }

    /// The name in SQL.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// What a statement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the SQL command of that name")]
pub enum Op {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// A notification's payload: `{"op":"update","ids":["..."]}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Payload {
    /// What happened to the rows.
    pub op: Op,
    /// The rows; `None` when they were too many to name.
    pub ids: Option<Vec<Uuid>>,
}

impl Payload {
    /// Reads a payload; what cannot be read means "read everything again".
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self {
            op: Op::Update,
            ids: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_read_means_everything() {
        let everything = Payload {
            op: Op::Update,
            ids: None,
        };
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"op":"grant","ids":[]}"#,
            r#"{"op":"update","ids":["x"]}"#,
        ] {
            assert_eq!(Payload::parse(text), everything, "{text}");
        }
        let id = Uuid::from_u128(7);
        let text = format!(r#"{{"op":"delete","ids":["{id}"]}}"#);
        assert_eq!(
            Payload::parse(&text),
            Payload {
                op: Op::Delete,
                ids: Some(vec![id])
            }
        );
    }

    proptest! {
        #[test]
        fn any_payload_is_survived_and_names_no_more_than_it_has(
            text in prop_oneof![
                ".*",
                r#"\{"op":"(insert|update|delete|truncate|x)","ids":(null|\[("[0-9a-f-]{30,38}",?){0,9}\])\}"#,
            ],
        ) {
            let payload = Payload::parse(&text);
            prop_assert!(payload.ids.map_or(0, |ids| ids.len()) * 32 <= text.len());
        }
    }
}
