//! Folding: how texts are searched and ordered whatever their case and accents. NFKD, marks dropped,
//! each character in lower case. Knows texts only.

use std::{borrow::Cow, cmp::Ordering};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The folded form of `text`. An ASCII text folds to itself in lower case.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    // Character by character: `str::to_lowercase` would write a last sigma in another way.
    let folded = text
        .nfkd()
        .filter(|&c| !is_combining_mark(c))
        .flat_map(char::to_lowercase)
        // Few capital letters become a letter with a mark.
        .filter(|&c| !is_combining_mark(c));
    Cow::Owned(folded.collect())
}

/// Compares texts in folded form that may still have ASCII capitals.
pub fn compare(a: &str, b: &str) -> Ordering {
    // UTF-8 sorts as its code points do.
    let lower = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}
