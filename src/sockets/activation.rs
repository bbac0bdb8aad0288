//! `ws/data_source_activation/`: switches one source on or off. Everybody else hears of it from the
//! table, never from here.

use serde_json::{Value, json};

use super::message::{action, failure, object, request_id, source_id};
use crate::{
    app::App,
    auth::{Identity, role::FORBIDDEN},
    db::sources::{Card, Change},
};

/// The answer to one message.
pub async fn answer(app: &App, who: &Identity, text: &str) -> Value {
    if !who.role.may_edit() {
        return json!({ "error": FORBIDDEN });
    }
    let message = match object(text) {
        Ok(message) => message,
        Err(why) => return json!({ "error": why }),
    };
    let (status, done) = match action(&message) {
        "activate" => ("active", "activated"),
        "deactivate" => ("inactive", "deactivated"),
        "reactivate" => ("active", "reactivated"),
        _ => return json!({"error": "action is activate, deactivate or reactivate"}),
    };
    let Some(id) = source_id(&message) else {
        return not_found();
    };
    let change = Change::of_status(status);
    let updated = app.writes.update::<Card>(id, &change, &who.username);
    match updated.await {
        Ok(Some(source)) => {
            tracing::debug!(user = who.username, %id, status, "source toggled");
            json!({
                "message": format!("Source {done} successfully"),
                "source": source,
            })
        }
        Ok(None) => not_found(),
        Err(error) => {
            tracing::error!(%error, "toggling a source failed");
            json!({ "error": failure(&error), "request_id": request_id() })
        }
    }
}

fn not_found() -> Value {
    json!({"error": "Source not found"})
}
