//! `ws/filter_source/`: `{"action":"filter_by_id","id"}` names the one source to show.

use serde_json::{Value, json};

use super::Answer;
use crate::{
    live::view::{filter::NotFound, json_frame},
    ws::Frame,
};

/// Answers one message. The source itself comes by the arrow.
pub fn answer(text: &str) -> Answer {
    let message: Value = match serde_json::from_str(text) {
        Ok(message @ Value::Object(_)) => message,
        Ok(_) => return Answer::Frame(error("the message is not a JSON object")),
        Err(_) => return Answer::Frame(error("the message is not JSON")),
    };
    if message["action"] != "filter_by_id" {
        return Answer::Frame(error("unknown action; this socket takes filter_by_id"));
    }
    match &message["id"] {
        // The frontend's own page never asks so, and clients know this answer as it is.
        id if is_missing(id) => Answer::Frame(json_frame(
            &json!({ "status": "error", "message": "ID not provided" }),
        )),
        Value::String(id) => match id.parse() {
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

/// Whether the value counts as none given.
fn is_missing(id: &Value) -> bool {
    match id {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(keys) => keys.is_empty(),
    }
}
