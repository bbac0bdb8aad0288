//! Messages on a socket: what is taken of a form fits into the table.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marketplace::{db::sources::Change, forms::{json, registration, source::{self, Mode}, Input}, sockets::filter};

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
    let texts = [
        &change.created_by,
        &change.country,
        &change.data_vendor,
        &change.panel,
        &change.panel_group,
        &change.scope_of_subscription,
        &change.data_type,
        &change.granularity,
        &change.status,
    ];
    for text in texts.into_iter().flatten() {
        assert!(
            text.chars().count() <= 255 && !text.contains('\0'),
            "{text:?}"
        );
    }
    for date in [change.end_date, change.current_update, change.next_update] {
        assert!(
            date.flatten().is_none_or(|date| date.year() > 0),
            "{date:?}"
        );
    }
}
