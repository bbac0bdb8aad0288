//! Texts from outside, as PostgreSQL can store them.

use std::borrow::Cow;

/// The text without the NUL characters that a text of PostgreSQL cannot have. A service such as EMR may
/// answer with one.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
