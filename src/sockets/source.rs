//! `ws/source/`: adds and updates sources. Answers the sender; everybody else hears of a change
//! from the table, never from here.

use serde_json::{Map, Value, json};

use super::message::{action, failure, object, request_id, source_id};
use crate::{
    app::App,
    auth::{Identity, role::FORBIDDEN},
    db::sources::{Change, Source},
    error::Error,
    forms::{
        Errors, Input,
        source::{self, Mode},
    },
    local_time::InZone,
};

/// The answer to one message.
pub async fn answer(app: &App, who: &Identity, text: &str) -> Value {
    match change(app, who, text).await {
        Ok((event, source)) => {
            tracing::debug!(user = who.username, id = %source.id, event, "source saved");
            json!({
                "status": "success",
                "event": event,
                "data": InZone(&app.settings.time_zone, &source),
            })
        }
        Err(Problem::Message(text)) => {
            json!({"status": "error", "message": text, "errors": {}})
        }
        Err(Problem::Fields(errors)) => json!({"status": "error", "errors": errors}),
        Err(Problem::Failed(error)) => {
            tracing::error!(%error, "saving a source failed");
            json!({
                "status": "error",
                "message": failure(&error),
                "errors": {},
                "request_id": request_id(),
            })
        }
    }
}

/// Why nothing was saved.
enum Problem {
    Message(&'static str),
    Fields(Errors),
    Failed(Error),
}

/// Does what the message asks for, and says what that was.
async fn change(app: &App, who: &Identity, text: &str) -> Result<(&'static str, Source), Problem> {
    if !who.role.may_edit() {
        return Err(Problem::Message(FORBIDDEN));
    }
    let message = object(text).map_err(Problem::Message)?;
    match action(&message) {
        "add_source" => {
            let change = form(&message, Mode::SocketAdd)?;
            app.writes
                .insert(&change, &who.username)
                .await
                .map(|source| ("created", source))
                .map_err(Problem::Failed)
        }
        "update_source" => {
            let id = source_id(&message).ok_or_else(not_found)?;
            let change = form(&message, Mode::SocketUpdate)?;
            app.writes
                .update(id, &change, &who.username)
                .await
                .map_err(Problem::Failed)?
                .map(|source| ("updated", source))
                .ok_or_else(not_found)
        }
        _ => Err(Problem::Message("action is add_source or update_source")),
    }
}

fn form(message: &Map<String, Value>, mode: Mode) -> Result<Change, Problem> {
    let Some(form) = message.get("formData") else {
        return Err(Problem::Message("formData is missing"));
    };
    source::parse(&Input::json(form.clone()), mode).map_err(Problem::Fields)
}

fn not_found() -> Problem {
    Problem::Fields(Errors::of("source_id", "Source not found"))
}
