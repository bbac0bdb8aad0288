//! Channels and their payloads: the only place where a channel is spelt. A payload is a hint about
//! what to read again; it is neither secret nor authenticated, so it is checked and never forwarded.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A channel that the database's triggers notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Any statement on `sources`.
    Crud,
    /// The Data Library's counts, without a source being touched.
    Lib,
    /// Sources, without a count moving.
    Source,
    /// Sources whose status changed.
    Toggle,
    /// Sources and counts.
    SourceLib,
    /// Pipeline runs.
    Emr,
    /// Sessions that changed or ended.
    Session,
    /// Users whose role or standing changed, or who went.
    Account,
    /// Statements that the database has kept in `changes`.
    Activity,
}

impl Channel {
    /// All of them, to listen on.
    pub const ALL: [Self; 9] = [
        Self::Crud,
        Self::Lib,
        Self::Source,
        Self::Toggle,
        Self::SourceLib,
        Self::Emr,
        Self::Session,
        Self::Account,
        Self::Activity,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crud => "crud",
            Self::Lib => "lib",
            Self::Source => "source",
            Self::Toggle => "toggle",
            Self::SourceLib => "source_lib",
            Self::Emr => "emr",
            Self::Session => "session",
            Self::Account => "account",
            Self::Activity => "activity",
        }
    }

    /// The channel of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
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
    fn names_are_those_of_the_triggers() {
        for channel in Channel::ALL {
            assert_eq!(Channel::named(channel.name()), Some(channel));
        }
        assert_eq!(Channel::named("heartbeat"), None);
    }

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
