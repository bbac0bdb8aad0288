//! `ws/filter_source/`: `{"action":"filter_by_id","id"}` names the one source to show. Each request is
//! answered, in the order in which they came; after the last answer its source is followed.

use std::{collections::VecDeque, sync::Arc};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    consumer::{Answer, Fed},
    message::{action, is_nothing, object},
};
use crate::{
    live::{
        group::keyed::{Keyed, KeyedMember},
        view::{filter::NotFound, json_frame},
    },
    metrics::Traffic,
    ws::Frame,
};

/// So many requests of one socket may wait for their answers; until then no more of it is read.
const MAX_OWED: usize = 32;

/// What a socket asked for: the answers that are still to come, and the source that it follows.
#[derive(Debug)]
pub struct FilterFeed {
    group: Arc<Keyed>,
    owed: VecDeque<Owed>,
    followed: Option<KeyedMember>,
}

/// An answer that is still to come.
#[derive(Debug)]
enum Owed {
    /// The source that is read by now or soon.
    Source(KeyedMember),
    /// An error, which waits for the answers before it.
    Error(Frame),
}

impl FilterFeed {
    /// Nothing was asked for yet.
    pub(super) fn new(group: Arc<Keyed>) -> Self {
        Self {
            group,
            owed: VecDeque::new(),
            followed: None,
        }
    }

    /// What goes out to the group.
    pub(super) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(self.group.traffic())
    }

    /// Asks for a source.
    pub fn ask(&mut self, id: Uuid) {
        self.owed.push_back(Owed::Source(self.group.join(id)));
    }

    /// Answers with `frame` when all before it were answered.
    pub fn say(&mut self, frame: Frame) {
        self.owed.push_back(Owed::Error(frame));
    }

    /// Whether another request may be taken.
    pub fn has_room(&self) -> bool {
        self.owed.len() < MAX_OWED
    }

    /// Waits for the next answer; when none is owed, for the followed source to change. Cancel-safe.
    pub(super) async fn next(&mut self) -> Fed {
        let fed = match self.owed.front_mut() {
            Some(Owed::Source(member)) => member.next().await,
            Some(Owed::Error(frame)) => (frame.clone(), None),
            None => {
                return match &mut self.followed {
                    Some(member) => member.next().await,
                    None => std::future::pending().await,
                };
            }
        };
        if let Some(Owed::Source(member)) = self.owed.pop_front() {
            self.followed = Some(member);
        }
        fed
    }
}

/// Answers one message. The source itself comes by the arrow.
pub fn answer(text: &str) -> Answer {
    let message = match object(text) {
        Ok(message) => message,
        Err(why) => return Answer::Frame(error(why)),
    };
    if action(&message) != "filter_by_id" {
        return Answer::Frame(error("unknown action; this socket takes filter_by_id"));
    }
    match message.get("id") {
        // The frontend's own page never asks so, and clients know this answer as it is.
        id if is_nothing(id) => Answer::Frame(json_frame(
            &json!({ "status": "error", "message": "ID not provided" }),
        )),
        Some(Value::String(id)) => match id.parse() {
            Ok(id) => Answer::Show(id),
            Err(_) => Answer::Frame(json_frame(&NotFound::default())),
        },
        _ => Answer::Frame(json_frame(&NotFound::default())),
    }
}

/// An error that keeps the frontend's page alive, which reads `data` of every frame.
pub fn error(message: &str) -> Frame {
    json_frame(&json!({ "status": "error", "message": message, "data": {} }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_message_is_answered_and_only_an_id_is_shown(
            text in prop_oneof![
                ".{0,100}",
                r#"\{"action":"filter_by_id","id":("[0-9a-f-]{30,40}"|[0-9.e-]{1,8}|null|\[\]|\{\})\}"#,
                r#"\{("[a-z_]{0,8}":[0-9"{}\[\],:a-z]{0,20},?){0,3}\}"#,
            ],
        ) {
            match answer(&text) {
                Answer::Show(id) => prop_assert!(text.contains(&id.simple().to_string()[..8])),
                Answer::Frame(_) => {}
                Answer::Nothing | Answer::Live(_) => {
                    prop_assert!(false, "{text} is not answered");
                }
            }
        }
    }
}
