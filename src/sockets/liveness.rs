//! `{"action":"ping"}` on the socket of deltas: whether what was shown last is still the truth, and
//! which role the client's user has now. A browser sees neither the protocol's pings nor whether the
//! server itself hears of changes.

use jiff::Timestamp;
use serde::Serialize;

use super::{
    consumer::Answer,
    message::{action, object},
};
use crate::{app::App, db::users::Role, live::view::json_frame};

/// Answers one message: a ping, and nothing else. `role` is the role that the user has now; somebody
/// who is not signed in has none, and is not told the reason.
pub(super) fn answer(app: &App, role: Option<Role>, text: &str) -> Answer {
    if !object(text).is_ok_and(|message| action(&message) == "ping") {
        return Answer::Nothing;
    }
    let trouble = app.live.listener.borrow().check().err();
    Answer::Frame(json_frame(&Pulse {
        live: trouble.is_none(),
        trouble: trouble.filter(|_| role.is_some()),
        now: Timestamp::now().as_millisecond(),
        role: role.map(Role::name),
    }))
}

#[derive(Serialize)]
struct Pulse {
    live: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    /// The server's clock, in milliseconds since 1970.
    now: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}
