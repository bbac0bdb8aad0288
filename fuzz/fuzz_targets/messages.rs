//! Messages on a socket: what is taken of a form fits into the table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marketplace::{db::sources::{Change, FIELDS, FieldValue}, forms::{json, registration, source::{self, Mode}, Input}, sockets::filter};

fuzz_target!(|text: &str| {
    filter::answer(text);
    let Ok(message) = json::parse(text.as_bytes()) else {
        return;
    };
    let form = message.get("formData").unwrap_or(&message).clone();
    let input = Input::json(form);
    for mode in [
        Mode::Add,
        Mode::Replace,
        Mode::Patch,
        Mode::SocketAdd,
        Mode::SocketUpdate,
    ] {
        if let Ok(change) = source::parse(&input, mode) {
            fits(&change);
        }
    }
    if let Ok(draft) = registration::parse(&input) {
        let _ = draft.finish(false);
    }
});

/// The columns take it.
fn fits(change: &Change) {
    for column in FIELDS.iter().map(|field| field.name) {
        let Some(value) = change.get(column) else {
            continue;
        };
        match value {
            FieldValue::Text(text) => assert!(
                text.chars().count() <= 255 && !text.contains('\0'),
                "{column}: {text:?}"
            ),
            FieldValue::Date(date) => assert!(
                date.is_none_or(|date| date.year() > 0),
                "{column}: {date:?}"
            ),
            FieldValue::File(_) => {}
        }
    }
}
