//! `ws/filter_source/`: `{"action":"filter_by_id","id"}` names the one source to show.

use serde_json::{Value, json};

use super::{
    Answer,
    message::{action, is_nothing, object},
};
use crate::{
    live::view::{filter::NotFound, json_frame},
    ws::Frame,
};

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
                Answer::Nothing => prop_assert!(false, "{text} is not answered"),
            }
        }
    }
}
